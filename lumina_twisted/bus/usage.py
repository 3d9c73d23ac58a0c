"""What share of the time something was in use: since the beginning, and over the last minute. Floor 1.

The seconds of use are one sum. What it was at a time in the last minute is read from marks, which are set once a second
at most, at the two ends of a use; between two marks the sum is taken to have grown evenly.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from math import inf
from typing import Final

MINUTE: Final = 60.0
_PAUSE: Final = 1.0
_MARKS: Final = 2 * 62
"""Two a second for a minute, and one beyond it at each end."""


class Usage:
    """Seconds of use of one thing, which is used once at a time.

    ``total`` is their sum; ``due`` is when the next mark is.
    """

    __slots__ = ("_marks", "due", "since", "total")

    def __init__(self) -> None:
        self.since = inf
        """When it began to count."""
        self.total = 0.0
        self.due = -inf
        self._marks: deque[tuple[float, float]] = deque(maxlen=_MARKS)

    def add(self, start: float, end: float) -> None:
        """It was in use from ``start`` to ``end``."""
        self.since = min(self.since, start)
        self.total += end - start
        if end >= self.due:
            self.mark(start, end)

    def mark(self, start: float, end: float) -> None:
        """Notes what the sum was before and after a use that has just been added."""
        self.due = end + _PAUSE
        self._marks.append((start, self.total - (end - start)))
        self._marks.append((end, self.total))

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
        marks = [*self._marks, (inf, self.total)]
        if when < marks[0][0]:
            return 0.0
        for (start, before), (end, after) in pairwise(marks):
            if start <= when < end:
                return before if end == inf else before + (after - before) * (when - start) / (end - start)
        return self.total


def _share(used: float, whole: float) -> float:
    return min(max(used / whole, 0.0), 1.0) if whole > 0 else 0.0
