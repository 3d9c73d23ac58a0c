"""What a process that becomes the daemon does first, floor 5: nothing here imports Twisted, which takes a while.

From then on a signal to stop is not lost, and a crash tells where it was. ``lumina_twisted.tap`` imports this before
all else, and twistd imports that before it does anything; a program of our own may call :func:`take_over` earlier.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import sys
from types import FrameType
from typing import Final, TextIO

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
MEANINGLESS: Final = tuple(
    number for number in signal.valid_signals()
    if number in {
        signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGSTKFLT,
    } or number >= signal.SIGRTMIN
)
"""Signals that mean nothing to Lumina and would end it by default: a timer that a library has left, a script that
takes it for another daemon, an operator's slip."""
asked: list[int] = []
"""Signals to stop that came before there was a reactor to stop."""


def take_over() -> None:
    """Notes signals to stop; a second one does not wait and kills."""
    tell_stacks_to(sys.__stderr__)
    for number in STOPPING:
        signal.signal(number, _note)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signal.signal(signal.SIGHUP, pass_over)
    for number in MEANINGLESS:
        if signal.getsignal(number) is signal.SIG_DFL:  # else somebody knows what it means
            signal.signal(number, pass_over)


def tell_stacks_to(stream: TextIO | None) -> None:
    """Where the stacks of all threads go, after a crash and when they are asked for."""
    if stream is None:
        return  # whoever started us has closed it
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # it is no file, as in some tests
        faulthandler.enable(stream)
        faulthandler.register(signal.SIGUSR1, stream)
        faulthandler.register(signal.SIGQUIT, stream, chain=True)


def _note(number: int, frame: FrameType | None) -> None:
    asked.append(number)
    signal.signal(number, signal.SIG_DFL)


def pass_over(number: int, frame: FrameType | None) -> None:
    """Takes a signal for which there is nothing to do."""


if "twisted.scripts.twistd" in sys.modules:
    take_over()
