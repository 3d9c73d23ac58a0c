"""When a client that does not read is given up, floor 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

SOON: Final = 0.001
"""Seconds that are not waited for any more; a rest of rounding is none."""


class Stall:
    """Looks whether what was written to a client is taken in time. One delayed call serves many fillings, most of
    which are over within a millisecond.

    :param listener: whose client it is.
    :param limit: seconds that the transport's buffer may stay full.
    :param given_up: called when it was full for so long.
    """

    def __init__(self, listener: Any, limit: float, given_up: Callable[[], None]) -> None:
        self._listener = listener
        self._limit = limit
        self._given_up = given_up
        self._since: float | None = None
        self._call: IDelayedCall | None = None

    def begin(self) -> None:
        """The buffer is full."""
        self._since = self._listener.now()
        if self._call is None:
            self._call = self._listener.clock.callLater(self._limit, self._look)

    def end(self) -> None:
        """All of it was taken."""
        self._since = None

    def stop(self) -> None:
        """The client is gone."""
        self.end()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        if self._since is None:
            return
        left = self._since + self._limit - self._listener.now()
        if left > SOON:
            self._call = self._listener.clock.callLater(left, self._look)
        else:
            self._given_up()
