"""Who is on the wire of a simulated bus, and when, floor 2. Pure: times are arguments, in seconds on one clock.

A device answers in order: it takes a request up when its last reply has left. One speaks at a time: what is to begin
while another speaks begins behind it.
"""

from __future__ import annotations


class Turns:
    """The times at which units are free again, and those at which the wire is taken."""

    def __init__(self) -> None:
        self._free: dict[int, float] = {}
        self._taken: list[tuple[float, float]] = []

    def wait(self, unit: int, now: float) -> float:
        """Seconds until this unit takes up what comes now."""
        return max(0.0, self._free.get(unit, now) - now)

    def occupy(self, unit: int, until: float) -> None:
        """The unit takes nothing up before then."""
        self._free[unit] = max(until, self._free.get(unit, until))

    def reserve(self, start: float, seconds: float, now: float) -> float:
        """When something that wants to begin at ``start`` and takes ``seconds`` begins."""
        self._taken = sorted(one for one in self._taken if one[1] > now)
        for begin, end in self._taken:
            if start + seconds <= begin:
                break
            start = max(start, end)
        if seconds:
            self._taken.append((start, start + seconds))
        return start
