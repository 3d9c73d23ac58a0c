"""The lengths and the waiting times of queues (the mission's row M17). Floor 1: the caller passes the clock.

The queue of a bus keeps its figures with those of its port; :meth:`QueueAnalytics.add_queue` adds them here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final

from lumina_twisted.statistics.histogram import Histogram

MOST_QUEUES: Final = 1000
"""Queues with figures of their own. One more queue evicts the oldest."""
MOST_WAITING: Final = 100_000
"""Items that may wait, or be processed, in one queue. Beyond that the oldest are dropped, because it is assumed that
nobody takes them out any more."""


class QueueFigures:
    """The figures of one queue: how many items waited, for how long, and how they left."""

    def __init__(self) -> None:
        self.size = 0
        self.highest = 0
        self.enqueued = 0
        self.unserved = 0
        """Items that left without being served: given up or cancelled."""
        self.errors = 0
        """Items that were served and failed."""
        self.waits = Histogram()
        self.processing = Histogram()
        self._since: float | None = None
        self._changed = 0.0
        self._area = 0.0  # size times seconds

    def entered(self, now: float) -> None:
        """An item entered the queue."""
        if self._since is None:
            self._since = self._changed = now
        self._area += self.size * (now - self._changed)
        self._changed = now
        self.enqueued += 1
        self.size += 1
        if self.size > self.highest:
            self.highest = self.size

    def left(self, now: float, waited: float, served: bool = True) -> None:
        """An item left the queue."""
        self._area += self.size * (now - self._changed)
        self._changed = now
        self.size -= 1
        if not served:
            self.unserved += 1
        self.waits.add(waited)

    def done(self, seconds: float, failed: bool) -> None:
        """An item was served, which took ``seconds``."""
        self.processing.add(seconds)
        if failed:
            self.errors += 1

    def report(self, now: float) -> dict[str, Any]:
        """All figures. ``size`` is the present size, ``mean_size`` its mean over all the time; times are in seconds."""
        return {
            "size": self.size,
            "highest": self.highest,
            "mean_size": self._mean_size(now),
            "enqueued": self.enqueued,
            "unserved": self.unserved,
            "errors": self.errors,
            "wait": self.waits.summary().as_dict(),
            "processing": self.processing.summary().as_dict(),
        }

    def _mean_size(self, now: float) -> float:
        if self._since is None or now <= self._since:
            return float(self.size)
        return (self._area + self.size * (now - self._changed)) / (now - self._since)


class QueueAnalytics:
    """The figures of several queues. Each item has a name in its queue; an item that enters again counts as new.

    :param now: a clock that never goes back, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._queues: dict[str, QueueFigures] = {}
        self._others: dict[str, Callable[[], dict[str, Any]]] = {}
        self._waiting: dict[str, dict[Hashable, float]] = {}
        self._served: dict[str, dict[Hashable, float]] = {}

    def add_queue(self, name: str, report: Callable[[], dict[str, Any]]) -> None:
        """Adds a queue that keeps its own figures; ``report`` returns them as :meth:`QueueFigures.report` does."""
        self._others[name] = report

    def queue(self, name: str) -> QueueFigures:
        """The figures of a queue; they are kept from now on."""
        figures = self._queues.get(name)
        if figures is None:
            while len(self._queues) >= MOST_QUEUES:
                self._forget(next(iter(self._queues)))
            figures = self._queues[name] = QueueFigures()
        return figures

    def record_enqueue(self, queue: str, item: Hashable) -> None:
        """The item waits in the queue from now on."""
        waiting = self._waiting.setdefault(queue, {})
        now = self._now()
        if item in waiting:
            self._leave(queue, item, now, served=False)
        elif len(waiting) >= MOST_WAITING:
            self._leave(queue, next(iter(waiting)), now, served=False)
        waiting[item] = now
        self.queue(queue).entered(now)

    def record_dequeue(self, queue: str, item: Hashable) -> None:
        """The item leaves the queue because its turn has come.

        :raises ValueError: if the item does not wait there.
        """
        if item not in self._waiting.get(queue, ()):
            raise ValueError(f"{item!r} does not wait in {queue!r}; record_enqueue comes before record_dequeue")
        now = self._now()
        self._leave(queue, item, now, served=True)
        served = self._served.setdefault(queue, {})
        served.pop(item, None)
        if len(served) >= MOST_WAITING:
            del served[next(iter(served))]
        served[item] = now

    def record_done(self, queue: str, item: Hashable, *, failed: bool = False) -> None:
        """The item was served, or failed. Its processing time is the time since its turn came.

        :raises ValueError: if its turn has not come.
        """
        since = self._served.get(queue, {}).pop(item, None)
        if since is None:
            raise ValueError(f"{item!r} is not being served from {queue!r}; record_dequeue comes before record_done")
        self.queue(queue).done(self._now() - since, failed)

    def get_queue_statistics(self, queue: str) -> dict[str, Any]:
        """See :meth:`QueueFigures.report`; zeros for a queue that nobody has used."""
        if (report := self._others.get(queue)) is not None:
            return report()
        return self._queues.get(queue, QueueFigures()).report(self._now())

    def _leave(self, queue: str, item: Hashable, now: float, served: bool) -> None:
        self.queue(queue).left(now, now - self._waiting[queue].pop(item), served)

    def _forget(self, queue: str) -> None:
        del self._queues[queue]
        self._waiting.pop(queue, None)
        self._served.pop(queue, None)
