"""What the daemon asks of its own process, floor 5: descriptors, its exit status, and the operator's ear."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import resource
import sys
from typing import Final

from lumina_twisted.text import shown

_COLLECT_AFTER: Final = 20_000
"""New objects between two looks of the garbage collector. Nearly all of ours die by their reference count; its default
of 700 looks every few dozen commands and costs a tenth of the throughput."""


class Operator:
    """Whoever started us, as long as that one looks.

    :param foreground: whether stderr stays the operator's. In the background twistd puts nothing in its place and
        passes on a hundred bytes of an error, so the descriptor is kept until we serve.
    """

    def __init__(self, foreground: bool = True) -> None:
        self.foreground = foreground
        self._fd: int | None = None
        with contextlib.suppress(OSError):  # it may have been closed
            self._fd = 2 if foreground else os.dup(2)

    def tell(self, sentence: str) -> None:
        """On stderr."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, f"lumina: {shown(sentence)}\n".encode("utf-8", "replace"))

    def leave_alone(self) -> None:
        """We serve: in the background nothing more is told, and nobody waits for the end of our output."""
        if not self.foreground and self._fd is not None:
            os.close(self._fd)
            self._fd = None


def raise_open_files_limit() -> None:
    """A thousand clients need more descriptors than the usual soft limit; the hard one is what an operator set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # some systems refuse what they call unlimited
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def collect_less() -> None:
    """What was made to start stays; the garbage collector looks at it no more, and at the rest less often."""
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def exit_with_failure() -> None:
    """Lets a process that twistd ends cleanly have exit status 1; twistd itself has no way to say so."""

    def leave() -> None:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        os._exit(1)

    atexit.register(leave)
