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
_MARGIN: Final = 0.005
"""Seconds by which a reply may be later than the mean."""
_MOST_KEPT: Final = 4096
"""Shapes that are remembered; a client that asks for all of them must not fill the memory."""


class Estimates:
    """The costs of one bus's transactions.

    :param pace: tells the least that a request can cost.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._known: dict[Shape, float] = {}
        self._answers: dict[Shape, float] = {}

    def answer_time(self, request: Request) -> float:
        """Seconds from its first byte until it will be answered, if it is."""
        least = self._pace.least_time(request)
        known = self._answers.get(request.pattern.shape)
        return least if known is None else max(least, known + _MARGIN)

    def cost(self, request: Request) -> float:
        """Seconds for which it will probably hold the bus, with the silence before it."""
        known = self._known.get(request.pattern.shape)
        return self._pace.least_time(request) + self._pace.gap(request) if known is None else known

    def learn(self, request: Request, cost: float) -> None:
        """A transaction took ``cost`` seconds, whether it was answered or not."""
        _learn(self._known, request.pattern.shape, cost)

    def answered(self, request: Request, duration: float) -> None:
        """A reply in time came so many seconds after the request's first byte."""
        _learn(self._answers, request.pattern.shape, duration)


def _learn(known: dict[Shape, float], shape: Shape, value: float) -> None:
    before = known.get(shape)
    if before is not None:
        known[shape] = before + (value - before) * _WEIGHT
        return
    if len(known) >= _MOST_KEPT:
        known.clear()
    known[shape] = value
