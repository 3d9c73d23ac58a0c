"""Values that move, floor 2: functions of the seconds since a simulation began. Pure, and the same in every run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Literal

Motion = Callable[[float], float]
"""A value at a time."""

Shape = Literal["sine", "square", "saw", "triangle"]

MOST_STEPS: Final = 10_000
"""Steps of a random walk that are made up for at a time, so that a value nobody read for a year costs no second."""

_SHAPES: Final[dict[str, Motion]] = {
    "sine": lambda part: (1 + math.sin(math.tau * part)) / 2,
    "square": lambda part: float(part < 0.5),
    "saw": lambda part: part,
    "triangle": lambda part: 1 - abs(2 * part - 1),
}
"""From 0 to 1, by the part of the period that has gone by."""


def wave(shape: Shape, low: float, high: float, period: float, phase: float = 0.0) -> Motion:
    """A value that swings between two others for ever, such as a temperature.

    :param shape: ``sine`` begins in the middle and rises, ``square`` is high in the first half of its period, ``saw``
        and ``triangle`` begin low.
    :param period: seconds from one crest to the next.
    :param phase: which part of a period it is ahead.
    """
    form = _SHAPES[shape]
    return lambda now: low + (high - low) * form((now / period + phase) % 1.0)


def ramp(start: float, end: float, seconds: float) -> Motion:
    """A value that goes from one to another in so many seconds, and stays."""
    return lambda now: start + (end - start) * min(now / seconds, 1.0) if seconds else end


def together(bits: Mapping[int, Motion]) -> Motion:
    """A number whose bits move, each on from a half up."""
    return lambda now: sum((motion(now) >= 0.5) << bit for bit, motion in bits.items())


class Counter:
    """A value that grows with time.

    :param rate: by how much in a second.
    :param start: where it begins.
    :param is_whole: whether it grows in steps of one.
    """

    def __init__(self, rate: float, start: float = 0, *, is_whole: bool = True) -> None:
        self._rate = rate
        self._start = start
        self._since = 0.0
        self._is_whole = is_whole

    def __call__(self, now: float) -> float:
        """What it has counted."""
        grown = (now - self._since) * self._rate
        return self._start + (math.floor(grown) if self._is_whole else grown)

    def count_from(self, value: float, now: float) -> None:
        """Goes on from ``value``."""
        self._start, self._since = value, now


class Walk:
    """A value that makes a random step now and then, between two bounds.

    :param start: where it begins.
    :param step: the longest step, up or down.
    :param every: seconds between two steps.
    :param random: what its steps are drawn with.
    """

    def __init__(self, start: float, step: float, low: float, high: float, every: float, random: Random) -> None:
        self._value = start
        self._step = step
        self._low, self._high = low, high
        self._every = every
        self._random = random
        self._done = 0

    def __call__(self, now: float) -> float:
        """Where it has come to."""
        due = int(now / self._every)
        for _ in range(min(due - self._done, MOST_STEPS)):
            moved = self._value + self._random.uniform(-self._step, self._step)
            self._value = min(max(moved, self._low), self._high)
        self._done = max(self._done, due)
        return self._value
