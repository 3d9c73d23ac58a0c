"""What a request will probably cost in bus time, learned per unit and shape. Floor 1.

It is what admission reckons with: an estimate that is wrong costs a place in the queue, and nobody an answer that came.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.bus.events import Request
from lumina_twisted.bus.pace import Pace
from lumina_twisted.modbus.reply import Shape

_WEIGHT: Final = 0.2
"""Of the latest transaction."""
_MOST_KEPT: Final = 4096
"""Shapes that are remembered; a client that asks for all of them must not fill the memory."""


class Estimates:
    """The costs of one bus's transactions.

    :param pace: tells the least that a request can cost.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._known: dict[Shape, float] = {}

    def cost(self, request: Request) -> float:
        """Seconds for which it will probably hold the bus, with the silence before it."""
        known = self._known.get(request.pattern.shape)
        return self._pace.least_time(request) + self._pace.gap(request) if known is None else known

    def learn(self, request: Request, cost: float) -> None:
        """A transaction took ``cost`` seconds, whether it was answered or not."""
        shape = request.pattern.shape
        known = self._known.get(shape)
        if known is not None:
            self._known[shape] = known + (cost - known) * _WEIGHT
            return
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        self._known[shape] = cost
