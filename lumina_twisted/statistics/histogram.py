"""Durations and shares of time, in a fixed amount of memory. Floor 1.

:class:`Histogram` says how durations are distributed. Its buckets are four to the octave from 100 us to 1,000 s and
more, so that a percentile is known to within 9.1 % of itself; count, mean, least and most are exact. A duration below
100 us counts as at most that, one beyond the last bucket as the longest that was seen.

:class:`Usage` says what share of the time something was in use: since the beginning, and over the last minute. The
seconds of use are one sum. What it was at a time in the last minute is read from marks, which are set once a second at
most, at the two ends of a use and at the end of the one before. Between two marks the sum is taken to have grown
evenly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from math import ceil, inf, log2
from operator import add
from typing import Final

from attrs import asdict, frozen

FIRST: Final = 1e-4
"""Seconds; shorter durations are one bucket."""
PER_OCTAVE: Final = 4
BUCKETS: Final = 96
"""The last one begins at 1,186 s."""
RELATIVE_ERROR: Final = 2 ** (1 / (2 * PER_OCTAVE)) - 1
"""Of a percentile: half a bucket."""
_OFFSET: Final = 1 - PER_OCTAVE * log2(FIRST)


@frozen
class Durations:
    """The summary of a histogram, in seconds; all of it 0 if nothing was recorded."""

    count: int
    mean: float
    min: float
    max: float
    p50: float
    p99: float

    def as_dict(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


class Histogram:
    """Durations in seconds. A clock that stepped back makes one of 0."""

    __slots__ = ("buckets", "longest", "shortest", "total")

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS
        self.total = 0.0
        self.shortest = inf
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Records a duration."""
        bucket = 0
        if seconds >= FIRST:
            bucket = _bucket(seconds)
        elif seconds < 0.0:
            seconds = 0.0
        if seconds > self.longest:
            self.longest = seconds
        if seconds < self.shortest:
            self.shortest = seconds
        self.buckets[bucket] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """How many were recorded."""
        return sum(self.buckets)

    def percentile(self, share: float) -> float:
        """The duration that ``share`` of all did not exceed, to within :data:`RELATIVE_ERROR`."""
        wanted, seen = max(1, ceil(share * self.count)), 0
        for bucket, count in enumerate(self.buckets):
            seen += count
            if seen >= wanted:
                return min(max(_middle(bucket), self.shortest), self.longest)
        return 0.0

    def summary(self) -> Durations:
        """All of it."""
        if not (count := self.count):
            return Durations(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        return Durations(
            count, self.total / count, self.shortest, self.longest, self.percentile(0.5), self.percentile(0.99)
        )

    @classmethod
    def sum_of(cls, parts: Iterable[Histogram]) -> Histogram:
        """One histogram of what several have recorded."""
        whole = cls()
        for part in parts:
            whole.buckets = list(map(add, whole.buckets, part.buckets))
            whole.total += part.total
            whole.shortest = min(whole.shortest, part.shortest)
            whole.longest = max(whole.longest, part.longest)
        return whole


def add_to_both(one: Histogram, other: Histogram, seconds: float) -> None:
    """Records a duration in two. This is on the way of every request; the bucket is found once, and nothing called."""
    if seconds < FIRST:
        bucket, seconds = 0, max(0.0, seconds)
    else:
        bucket = int(log2(seconds) * PER_OCTAVE + _OFFSET)
        if bucket >= BUCKETS:
            bucket = BUCKETS - 1
    if seconds > one.longest:
        one.longest = seconds
    if seconds < one.shortest:
        one.shortest = seconds
    one.buckets[bucket] += 1
    one.total += seconds
    if seconds > other.longest:
        other.longest = seconds
    if seconds < other.shortest:
        other.shortest = seconds
    other.buckets[bucket] += 1
    other.total += seconds


def _bucket(seconds: float) -> int:
    """Of a duration that is not shorter than the first."""
    return min(int(log2(seconds) * PER_OCTAVE + _OFFSET), BUCKETS - 1)


def _middle(bucket: int) -> float:
    """The duration from which both ends of a bucket are equally far, in proportion; the last has no end."""
    if bucket == 0:
        return FIRST
    return inf if bucket == BUCKETS - 1 else float(FIRST * 2 ** ((bucket - 0.5) / PER_OCTAVE))


MINUTE: Final = 60.0
_PAUSE: Final = 1.0
_MARKS: Final = 3 * 62
"""Three a second for a minute, and some beyond it at each end."""


class Usage:
    """Seconds of use of one thing, which is used once at a time.

    ``total`` is their sum.
    """

    __slots__ = ("_due", "_marks", "_until", "since", "total")

    def __init__(self) -> None:
        self.since = inf
        """When it began to count."""
        self.total = 0.0
        self._due = -inf
        self._until = -inf  # the end of the last use
        self._marks: deque[tuple[float, float]] = deque(maxlen=_MARKS)

    def add(self, start: float, end: float) -> None:
        """It was in use from ``start`` to ``end``."""
        self.since = min(self.since, start)
        self.total += end - start
        if end >= self._due:
            self._due = end + _PAUSE
            before = self.total - (end - start)
            self._marks.extend(((self._until, before), (start, before), (end, self.total)))
        self._until = end

    def share(self, now: float, running: float = 0.0) -> float:
        """Of all the time until now, from 0 to 1.

        :param running: seconds of a use that goes on.
        """
        return _share(self.total + running, now - self.since)

    def share_of_last_minute(self, now: float, running: float = 0.0) -> float:
        """The same of the last 60 s; of less if it has not counted for so long."""
        begin = now - MINUTE
        if begin <= self.since:
            return self.share(now, running)
        return _share(self.total + running - self._total_at(begin), MINUTE)

    def _total_at(self, when: float) -> float:
        """What the sum was."""
        for (start, before), (end, after) in pairwise([*self._marks, (self._until, self.total)]):
            if start <= when < end:
                return before if after == before else before + (after - before) * (when - start) / (end - start)
        return self.total


def _share(used: float, whole: float) -> float:
    return min(max(used / whole, 0.0), 1.0) if whole > 0 else 0.0
