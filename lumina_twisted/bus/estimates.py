"""What a request will probably cost in bus time, learned per unit and shape. Floor 1.

It is what admission reckons with: an estimate that is wrong costs a place in the queue, and nobody an answer that came.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.bus.events import Request
from lumina_twisted.bus.pace import Pace

_WEIGHT: Final = 0.2
"""Of the latest transaction."""
_MOST_KEPT: Final = 4096
"""Shapes that are remembered; a client that asks for all of them must not fill the memory."""

_Key = tuple[int, int, int, int]


class Estimates:
    """The costs of one bus's transactions.

    :param pace: tells the least that a request can cost.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._known: dict[_Key, float] = {}

    def cost(self, request: Request) -> float:
        """Seconds for which it will probably hold the bus, with the silence before it."""
        known = self._known.get(_key(request))
        return self._pace.least_time(request) + self._pace.gap(request) if known is None else known

    def learn(self, request: Request, cost: float) -> None:
        """A transaction took ``cost`` seconds, whether it was answered or not."""
        key = _key(request)
        known = self._known.get(key)
        if known is None and len(self._known) >= _MOST_KEPT:
            self._known.clear()
        self._known[key] = cost if known is None else known + (cost - known) * _WEIGHT


def _key(request: Request) -> _Key:
    return request.unit, request.frame[1], request.pattern.expected_length, request.serial.baudrate
