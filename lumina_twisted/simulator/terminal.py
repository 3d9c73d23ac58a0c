"""A pseudo-terminal under a path, floor 2: what a program that opens a serial device finds there."""

from __future__ import annotations

import contextlib
import os
import termios
import tty
from typing import Final

_NAMES: Final = [name for name in dir(termios) if name[0] == "B" and name[1:].isdigit()]
_SPEEDS: Final = {getattr(termios, name): int(name[1:]) for name in _NAMES}
"""What each of the terminal's speed constants means, in baud."""


class Terminal:
    """A pair of ends, of which a program opens one.

    :param path: a link of this name leads to it while it is plugged in.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._master = self._slave = -1

    @property
    def is_plugged(self) -> bool:
        """Whether it is there."""
        return self._master >= 0

    def plug(self) -> None:
        """It appears under its path.

        A link that leads nowhere, left by a simulation that was killed, is replaced.

        :raises OSError: if something else has that path, or it cannot be made.
        """
        self._master, self._slave = os.openpty()  # both held: that nobody has it open is no hang-up to us
        try:
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            if os.path.islink(self.path) and not os.path.exists(self.path):
                os.unlink(self.path)
            os.symlink(os.ttyname(self._slave), self.path)
        except OSError:
            self._close()
            raise

    def unplug(self) -> None:
        """It vanishes: a program that has it open sees a hang-up."""
        with contextlib.suppress(OSError):  # somebody has tidied its folder up
            if os.readlink(self.path) == os.ttyname(self._slave):
                os.unlink(self.path)
        self._close()

    def _close(self) -> None:
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    def fileno(self) -> int:
        """Our end."""
        return self._master

    @property
    def speed(self) -> int:
        """The speed that is set on it now, in baud; 0 for one that has no standard name."""
        return _SPEEDS.get(termios.tcgetattr(self._master)[5], 0)

    def read(self) -> bytes:
        """What the program has sent."""
        return os.read(self._master, 4096)

    def write(self, data: bytes) -> None:
        """Bytes to the program."""
        with contextlib.suppress(BlockingIOError):  # nobody reads: a wire does not wait either
            os.write(self._master, data)
