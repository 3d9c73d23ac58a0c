"""What a client has sent that is no line yet, floor 4.

A program that does not know of lines, such as the client stub of the original Lumina Server, sends a text and waits. It
is told what is missing, and so is the person before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

from lumina_twisted.text import quoted

PATIENCE: Final = 3.0
"""Seconds that a client's first line may take. Who has sent one knows of lines, and is told nothing."""


def hint(text: bytes) -> bytes:
    """What is told when the first line does not end."""
    return (
        f"# a line ends with a newline, and {_shown(text)} has none yet; what is sent without one, as by the client"
        " stub of the original Lumina Server, is for a listener of the protocol `echo`\n"
    ).encode()


def fault(text: bytes) -> str:
    """What is answered to a line whose end never came: it may be a part of what was meant."""
    return f"the last line, {_shown(text)}, has no newline at its end, and was not carried out; send one"


def _shown(text: bytes) -> str:
    return quoted(text.decode("utf-8", "replace").strip())


class FirstLine:
    """Waits for it once a client has begun it.

    :param clock: for its delayed call.
    :param too_long: called when it has not ended in time.
    """

    def __init__(self, clock: Any, too_long: Callable[[], None]) -> None:
        self._clock = clock
        self._too_long = too_long
        self._call: IDelayedCall | None = None
        self._is_over = False

    def begun(self) -> None:
        """A part of it has come."""
        if self._call is None and not self._is_over:
            self._call = self._clock.callLater(PATIENCE, self._look)

    def over(self) -> None:
        """It has ended, or will not."""
        self._is_over = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        self._is_over = True
        self._too_long()
