"""Which block a poller reads next, and when it may, floor 3.

:class:`Schedule` is a heap by time for each unit, so that the thousand blocks of a unit that is busy cost the others
nothing. An entry whose task has been given another time since does not count any more, and is dropped when it comes up,
or when there are many.

:class:`Budget` is how much of a bus the poller may take. Time fills a small store of bus seconds at the configured
share of it; what the poller's requests held the bus for is taken out. Nothing begins while what is left does not cover
what is under way. So over any time the poller's use is at most the share, and the little that the store holds.

:class:`Congestion` is for a bus whose clients leave the low lane next to nothing. A block that has waited there too
long is asked for in the normal lane, where all clients take turns and the poller is one of them. Then the poller asks
for one block at a time, and leaves as much time after it, so that a client waits for one block at most.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Container
from itertools import count
from typing import Final

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from lumina_twisted.devices.describe.description import Device
from lumina_twisted.devices.poll.plan import Block

_FEW: Final = 64
"""Entries of the heap that are not worth a search for those that do not count any more."""
CREDIT: Final = 0.25
"""Seconds of bus time that may be saved up, so that a few blocks can be due at the same time."""
_NOTHING: Final = 1e-9
"""Seconds that are none: a sum of floating-point numbers may be short by so little."""
LONGEST_WAIT: Final = 0.2
"""Seconds that a block waits in the low lane while others are answered, before the bus counts as congested."""
OTHERS_REPLIES: Final = 3
"""Replies to others in that time; fewer are no congestion, but slow devices."""
CONGESTED: Final = 5.0
"""Seconds for which it then is; afterwards the low lane is tried again."""


@define(eq=False)
class Task:
    """A block and when it is due.

    :param first_pause: seconds between its first read and its second, if not its interval.
    :param asked: the request for it; None while there is none.
    :param patience: the call that ends its time in the low lane.
    :param begin: when it was asked for, how much of the bus the poller had used, and how many replies had come.
    """

    device: Device
    block: Block
    due: float
    request: bytes
    cost: float = 0.01
    first_pause: float = 0.0
    is_over: bool = False
    version: int = 0
    asked: Deferred[bytes] | None = None
    patience: IDelayedCall | None = None
    begin: tuple[float, int] = (0.0, 0)


_Entry = tuple[float, int, int, Task]
"""When, what distinguishes two of that time, the version, and which."""


class Schedule:
    """The tasks of one port."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[_Entry]] = {}
        self._size = 0
        self._sweep_at = _FEW
        self._numbers = count()

    def __len__(self) -> int:
        """Entries, those that do not count included."""
        return self._size

    def put(self, task: Task, due: float) -> None:
        """It is due then, and not when it was before. Where it comes later, to set its ``due`` will do."""
        task.due = due
        task.version += 1
        heap = self._heaps.setdefault(task.device.unit, [])
        heapq.heappush(heap, (due, next(self._numbers), task.version, task))
        self._size += 1
        if self._size > self._sweep_at:
            self._sweep()

    def first(self, busy_units: Container[int]) -> Task | None:
        """What is due first, or was, of all but these units. None if there is nothing else."""
        first: _Entry | None = None
        for unit, heap in self._heaps.items():
            if unit not in busy_units and self._is_left(heap) and (first is None or heap[0][:2] < first[:2]):
                first = heap[0]
        return None if first is None else first[3]

    def _is_left(self, heap: list[_Entry]) -> bool:
        """Brings the first entry that counts to its top; False if there is none."""
        while heap:
            due, _, version, task = entry = heap[0]
            if version != task.version or task.is_over or task.asked is not None:
                heapq.heappop(heap)
                self._size -= 1
            elif due < task.due:  # a client has read it meanwhile
                heapq.heapreplace(heap, (task.due, *entry[1:]))
            else:
                return True
        return False

    def _sweep(self) -> None:
        """Drops what does not count; else each write to a block that is read once a day is remembered for a day."""
        for heap in self._heaps.values():
            heap[:] = [one for one in heap if one[2] == one[3].version and not one[3].is_over]
            heapq.heapify(heap)
        self._size = sum(map(len, self._heaps.values()))
        self._sweep_at = 2 * self._size + _FEW


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
        """Seconds until a request of that cost may begin; 0 if it may now. One alone may as soon as nothing is left to
        pay: otherwise what costs more than the store holds could never."""
        self._left = min(CREDIT, self._left + self._share * (now - self._at))
        self._at = now
        missing = self._promised + min(cost, CREDIT / 2) - self._left
        return missing / self._share if missing > _NOTHING else 0.0


class Congestion:
    """Whether one bus is congested."""

    def __init__(self) -> None:
        self._until = self._begun_at = self._others_until = -math.inf

    def noticed(self, now: float) -> None:
        """It is, from now on for a while."""
        self._until = now + CONGESTED

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
        """Seconds for which nothing more is asked for on a congested bus; a block that takes long is not waited for.

        :param is_busy: whether a block is under way.
        """
        if not self.is_there(now):
            return 0.0
        busy = self._begun_at + LONGEST_WAIT if is_busy else -math.inf
        return max(0.0, busy - now, self._others_until - now)
