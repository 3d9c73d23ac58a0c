"""The components with the names that the mission gives, floor 4. Lumina itself runs on the same code."""

from __future__ import annotations

import time
from collections.abc import Callable

from lumina_twisted.helpers.commands import CommandPrioritizer, CommandValidator, RetryManager
from lumina_twisted.helpers.devices import DeviceConfigManager, DeviceStateManager
from lumina_twisted.helpers.parsing import ResponseParser
from lumina_twisted.helpers.pooling import ConnectionPool
from lumina_twisted.log import LuminaLogger
from lumina_twisted.statistics import queue as analytics
from lumina_twisted.statistics.monitor import PerformanceMonitor

__all__ = [
    "CommandPrioritizer",
    "CommandValidator",
    "ConnectionPool",
    "DeviceConfigManager",
    "DeviceStateManager",
    "LuminaLogger",
    "PerformanceMonitor",
    "QueueAnalytics",
    "ResponseParser",
    "RetryManager",
]


class QueueAnalytics(analytics.QueueAnalytics):
    """See :class:`lumina_twisted.statistics.queue.QueueAnalytics`.

    :param now: a clock that never goes back, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(now)
