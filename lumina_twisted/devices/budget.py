"""How much of a bus the poller may take, floor 3.

Time fills a small store of bus seconds at the configured share of it; what the poller's requests held the bus for is
taken out. It begins nothing while what is left does not cover what is under way. So over any time its use is at most
the share, and the little that the store holds.
"""

from __future__ import annotations

from typing import Final

CREDIT: Final = 0.25
"""Seconds of bus time that may be saved up, so that a few blocks can be due at the same time."""
_NOTHING: Final = 1e-9
"""Seconds that are none: a sum of floating-point numbers may be short by so little."""


class Budget:
    """Bus seconds of one port.

    :param share: of the bus, above 0 and up to 1.
    :param now: when it begins, with a full store.
    """

    def __init__(self, share: float, now: float) -> None:
        self._share = share
        self._left = CREDIT
        self._at = now
        self._promised = 0.0

    def begin(self, cost: float) -> None:
        """A request begins that will probably hold the bus for ``cost`` seconds."""
        self._promised += cost

    def end(self, cost: float, used: float) -> None:
        """It has ended.

        :param cost: as it was promised.
        :param used: seconds for which the bus was held since the last time.
        """
        self._promised = max(0.0, self._promised - cost)
        self._left -= used

    def wait(self, cost: float, now: float) -> float:
        """Seconds until a request of that cost may begin; 0 if it may now. One alone may, as soon as nothing is owed:
        otherwise what costs more than the store holds could never."""
        self._left = min(CREDIT, self._left + self._share * (now - self._at))
        self._at = now
        missing = self._promised + min(cost, CREDIT / 2) - self._left
        return missing / self._share if missing > _NOTHING else 0.0
