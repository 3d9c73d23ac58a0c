"""What a request will probably cost in bus time, learned per unit and shape. Floor 1.

It is what admission reckons with: an estimate that is wrong costs a place in the queue, and nobody an answer that came.
What was learned long ago counts no more, or a unit that was slow once would never be found to be quick again.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.bus.events import Request
from lumina_twisted.bus.pace import Pace
from lumina_twisted.modbus.reply import Shape

FRESH: Final = 3.0
"""Seconds for which what was learned counts, after it was learned last."""
_WEIGHT: Final = 0.2
"""Of the latest transaction."""
_MARGIN: Final = 0.005
"""Seconds by which a reply may be later than the mean."""
_MOST_KEPT: Final = 4096
"""Shapes that are remembered; a client that asks for all of them must not fill the memory."""


class _Known:
    """A mean, and when the last value came to it."""

    __slots__ = ("at", "mean")

    def __init__(self, mean: float, at: float) -> None:
        self.mean = mean
        self.at = at


class Estimates:
    """The costs of one bus's transactions.

    :param pace: tells the least that a request can cost.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._known: dict[Shape, _Known] = {}
        self._answers: dict[Shape, _Known] = {}

    def answer_time(self, request: Request, now: float) -> float:
        """Seconds from its first byte until it will be answered, if it is."""
        least = self._pace.least_time(request)
        known = self._answers.get(request.pattern.shape)
        return least if known is None or now > known.at + FRESH else max(least, known.mean + _MARGIN)

    def cost(self, request: Request, now: float) -> float:
        """Seconds for which it will probably hold the bus, with the silence before it."""
        known = self._known.get(request.pattern.shape)
        if known is None or now > known.at + FRESH:
            return self._pace.least_time(request) + self._pace.gap(request)
        return known.mean

    def learn(self, request: Request, cost: float, now: float) -> None:
        """A transaction took ``cost`` seconds, whether it was answered or not."""
        _learn(self._known, request.pattern.shape, cost, now)

    def answered(self, request: Request, duration: float, now: float) -> None:
        """A reply in time came so many seconds after the request's first byte."""
        _learn(self._answers, request.pattern.shape, duration, now)


def _learn(known: dict[Shape, _Known], shape: Shape, value: float, now: float) -> None:
    one = known.get(shape)
    if one is None:
        if len(known) >= _MOST_KEPT:
            known.clear()
        known[shape] = _Known(value, now)
        return
    one.mean = value if now > one.at + FRESH else one.mean + (value - one.mean) * _WEIGHT
    one.at = now
