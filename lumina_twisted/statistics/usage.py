"""What share of the time something was in use: since the beginning, and over the last minute. Floor 1.

The seconds of use are one sum. What it was at a time in the last minute is read from marks, which are set once a second
at most, at the two ends of a use and at the end of the one before. Between two marks the sum is taken to have grown
evenly.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from math import inf
from typing import Final

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
