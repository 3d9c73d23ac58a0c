"""Durations and shares of time, in a fixed amount of memory. Floor 1.

:class:`Histogram` holds the distribution of durations. It has four buckets per octave from 100 us to more than 1,000 s,
so a percentile is accurate to within 9.1 %. Count, mean, minimum and maximum are exact. In a percentile, a duration
below 100 us counts as at most that, and one in the last bucket counts as the longest that was recorded.

:class:`Usage` holds the share of the time in which something was in use, since the beginning and over the last minute.
The seconds of use are one running sum. Marks record past values of that sum: at the start and the end of a use, and at
the end of the use before, at most once a second. Between two marks the sum is interpolated linearly.
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
"""Seconds; all shorter durations share one bucket."""
PER_OCTAVE: Final = 4
BUCKETS: Final = 96
"""The last one begins at 1,186 s."""
RELATIVE_ERROR: Final = 2 ** (1 / (2 * PER_OCTAVE)) - 1
"""The relative error of a percentile: half a bucket."""
_OFFSET: Final = 1 - PER_OCTAVE * log2(FIRST)


@frozen
class Durations:
    """The summary of a histogram, in seconds; all fields are 0 if nothing was recorded."""

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
    """Durations in seconds. A negative duration, from a clock that stepped back, counts as 0."""

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
        """The number of durations that were recorded."""
        return sum(self.buckets)

    def percentile(self, share: float) -> float:
        """The duration that a ``share`` of all durations did not exceed, to within :data:`RELATIVE_ERROR`."""
        wanted, seen = max(1, ceil(share * self.count)), 0
        for bucket, count in enumerate(self.buckets):
            seen += count
            if seen >= wanted:
                return min(max(_middle(bucket), self.shortest), self.longest)
        return 0.0

    def summary(self) -> Durations:
        """The summary of all durations."""
        if not (count := self.count):
            return Durations(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        return Durations(
            count, self.total / count, self.shortest, self.longest, self.percentile(0.5), self.percentile(0.99)
        )

    @classmethod
    def sum_of(cls, parts: Iterable[Histogram]) -> Histogram:
        """One histogram with the durations of several."""
        whole = cls()
        for part in parts:
            whole.buckets = list(map(add, whole.buckets, part.buckets))
            whole.total += part.total
            whole.shortest = min(whole.shortest, part.shortest)
            whole.longest = max(whole.longest, part.longest)
        return whole


def add_to_both(one: Histogram, other: Histogram, seconds: float) -> None:
    """Records a duration in two histograms. Every request passes here, so the bucket is computed once, and inline."""
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
    """The bucket of a duration of at least :data:`FIRST`."""
    return min(int(log2(seconds) * PER_OCTAVE + _OFFSET), BUCKETS - 1)


def _middle(bucket: int) -> float:
    """The geometric middle of a bucket; infinite for the last bucket, which has no upper end."""
    if bucket == 0:
        return FIRST
    return inf if bucket == BUCKETS - 1 else float(FIRST * 2 ** ((bucket - 0.5) / PER_OCTAVE))


MINUTE: Final = 60.0
_PAUSE: Final = 1.0
_MARKS: Final = 3 * 62
"""Three marks a second for a minute, with some to spare at each end."""


class Usage:
    """The time in which something was in use; uses do not overlap.

    ``total`` is the sum in seconds.
    """

    __slots__ = ("_due", "_marks", "_until", "since", "total")

    def __init__(self) -> None:
        self.since = inf
        """The start of the first use; the shares count from here."""
        self.total = 0.0
        self._due = -inf
        self._until = -inf  # the end of the last use
        self._marks: deque[tuple[float, float]] = deque(maxlen=_MARKS)

    def add(self, start: float, end: float) -> None:
        """Adds a use from ``start`` to ``end``."""
        self.since = min(self.since, start)
        self.total += end - start
        if end >= self._due:
            self._due = end + _PAUSE
            before = self.total - (end - start)
            self._marks.extend(((self._until, before), (start, before), (end, self.total)))
        self._until = end

    def share(self, now: float, running: float = 0.0) -> float:
        """The share of all the time until now, from 0 to 1.

        :param running: seconds of a use that has not ended.
        """
        return _share(self.total + running, now - self.since)

    def share_of_last_minute(self, now: float, running: float = 0.0) -> float:
        """The share of the last 60 s, or of all the time if that is shorter."""
        begin = now - MINUTE
        if begin <= self.since:
            return self.share(now, running)
        return _share(self.total + running - self._total_at(begin), MINUTE)

    def _total_at(self, when: float) -> float:
        """The value of the running sum at a past time."""
        for (start, before), (end, after) in pairwise([*self._marks, (self._until, self.total)]):
            if start <= when < end:
                return before if after == before else before + (after - before) * (when - start) / (end - start)
        return self.total


def _share(used: float, whole: float) -> float:
    return min(max(used / whole, 0.0), 1.0) if whole > 0 else 0.0
