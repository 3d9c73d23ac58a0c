"""How long the bus waits for units with ``timeout = "auto"``, learned from how long they take. Floor 1.

The estimate is that of TCP's retransmission timer (RFC 6298, section 2): the smoothed time that the unit takes before
it answers, and four times its deviation; the time of the reply's characters comes on top. Only replies to first
attempts teach (Karn's rule). It doubles with each attempt in vain until a reply comes.

A short timeout lets the others have the bus sooner. It does not make the late window shorter: what the unit may still
answer blocks its own shape as long as with the longest of these timeouts, for a unit that takes 30 ms as a rule may
take half a second today.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 1.0
"""Seconds; also the late window's part that other units take from their timeout."""
UNKNOWN: Final = 0.5
"""Seconds to wait for a unit of which too little is known: the default of a port's ``timeout``."""
_SHORTEST: Final = 0.01
_ENOUGH: Final = 8
"""Replies before what they teach is used."""
_MOST_DOUBLINGS: Final = 7


class _Unit:
    __slots__ = ("deviation", "in_vain", "mean", "replies")

    def __init__(self) -> None:
        self.mean = 0.0
        self.deviation = 0.0
        self.replies = 0
        self.in_vain = 0


class Latencies:
    """Of one bus's units."""

    def __init__(self) -> None:
        self._units: dict[int, _Unit] = {}

    def timeout(self, unit: int) -> float:
        """Seconds to wait for the beginning of a reply."""
        known = self._units.get(unit)
        if known is None:
            return UNKNOWN
        base = UNKNOWN if known.replies < _ENOUGH else max(_SHORTEST, known.mean + 4 * known.deviation)
        doubled: float = base * 2**known.in_vain
        return min(LONGEST, doubled)

    def replied(self, unit: int, latency: float, is_first_attempt: bool) -> None:
        """A reply came.

        :param latency: seconds from the end of the question to the beginning of the reply.
        """
        known = self._units.setdefault(unit, _Unit())
        known.in_vain = 0
        if not is_first_attempt:
            return
        latency = max(0.0, latency)
        known.replies += 1
        if known.replies == 1:
            known.mean, known.deviation = latency, latency / 2
        else:
            known.deviation += (abs(latency - known.mean) - known.deviation) / 4
            known.mean += (latency - known.mean) / 8

    def in_vain(self, unit: int) -> None:
        """No reply came in time."""
        known = self._units.setdefault(unit, _Unit())
        known.in_vain = min(known.in_vain + 1, _MOST_DOUBLINGS)
