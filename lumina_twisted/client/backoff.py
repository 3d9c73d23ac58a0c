"""How long a client waits before it connects again, floor 3."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 5.0
FACTOR: Final = 1.5


def wait_before_attempt(failed: int, jitter: Callable[[], float] = random.random) -> float:
    """Seconds before the next attempt to connect, after ``failed`` ones; spread by a fifth, so that a thousand
    clients do not come back in the same moment."""
    wait = min(LONGEST_WAIT, FIRST_WAIT * FACTOR ** min(failed, 50))
    return wait * (0.9 + 0.2 * jitter())
