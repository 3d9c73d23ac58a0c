"""What a poller does where clients leave the low lane next to nothing, floor 3.

What has waited there in vain is asked for in the normal lane, where all clients take turns and the poller is one of
them: then it asks for one block at a time, and leaves as much time after it, so that a client waits for one at most.
"""

from __future__ import annotations

import math
from typing import Final

LONGEST_WAIT: Final = 0.2
"""Seconds that a block waits in the low lane while others are answered, before the bus counts as crowded."""
A_CROWD: Final = 3
"""Replies to others in that time; fewer are no crowd, but slow devices."""
CROWDED: Final = 5.0
"""Seconds for which it then does; afterwards the low lane is tried again."""


class Crowd:
    """Whether one bus is crowded."""

    def __init__(self) -> None:
        self._until = self._begun_at = self._others_until = -math.inf

    def noticed(self, now: float) -> None:
        """It is, from now on for a while."""
        self._until = now + CROWDED

    def is_there(self, now: float) -> bool:
        """Whether it is."""
        return now < self._until

    def begin(self, now: float) -> None:
        """A block is asked for."""
        self._begun_at = now

    def end(self, now: float, used: float) -> None:
        """One has ended, which held the bus for ``used`` seconds."""
        self._others_until = now + used

    def wait(self, now: float, is_busy: bool) -> float:
        """Seconds for which nothing more is asked for on a crowded bus; a block that takes long is not waited for.

        :param is_busy: whether a block is under way.
        """
        if not self.is_there(now):
            return 0.0
        busy = self._begun_at + LONGEST_WAIT if is_busy else -math.inf
        return max(0.0, busy - now, self._others_until - now)
