"""The read plan of a port, floor 3: which blocks are read, which block is next, and when it may be read.

A block joins points of the same interval and the same table, if they fit into one reply of the device and the gap
between two neighbours is at most the device's ``hole``. A scan in the order of addresses gives the fewest blocks. A
point that lies in a block of a shorter interval needs no block of its own: it becomes one of the points of that block.

The next block is the one that is due first, among the units that are not busy (:class:`Schedule`). It may be read if
the poller's share of the bus allows it (:class:`Budget`). If clients leave almost no bus time to the low lane, it waits
until it is the poller's turn (:class:`Congestion`).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Container, Iterable, Iterator
from itertools import count
from typing import Final

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from lumina_twisted.devices.describe.description import Device, Point
from lumina_twisted.modbus.access import Table


@frozen(eq=False)
class Block:
    """Entries that one request reads.

    :param points: the points in it, by address.
    :param poll: seconds between two reads.
    """

    table: Table
    address: int
    quantity: int
    points: tuple[Point, ...]
    poll: float

    @property
    def end(self) -> int:
        """The address behind its last entry."""
        return self.address + self.quantity

    def meets(self, table: Table, address: int, quantity: int) -> bool:
        """Whether the block contains some of these entries."""
        return self.table == table and self.address < address + quantity and address < self.end

    def lies_in(self, table: Table, address: int, quantity: int) -> bool:
        """Whether these entries contain the whole block."""
        return self.table == table and address <= self.address and self.end <= address + quantity

    def covers(self, point: Point) -> bool:
        """Whether the block contains all entries of a point."""
        return self.table == point.table and self.address <= point.address and point.end <= self.end

    def halves(self) -> tuple[Block, Block] | None:
        """Two blocks with about half of the points each, for a device that refused the whole block. None if the block
        has only one point, or if its points overlap so that no split is possible."""
        for middle in sorted(range(1, len(self.points)), key=lambda at: abs(2 * at - len(self.points))):
            left, right = self.points[:middle], self.points[middle:]
            if max(one.end for one in left) <= right[0].address:
                return _block(left, self.poll), _block(right, self.poll)
        return None


def blocks_of(device: Device) -> list[Block]:
    """The blocks of a device, those with short intervals first. They leave out the points that are read only when a
    client asks for them."""
    polled = [one for one in device.points.values() if one.poll]
    blocks: list[Block] = []
    guests: dict[Block, list[Point]] = {}
    for poll in sorted({one.poll for one in polled}):
        own: list[Point] = []
        for point in (one for one in polled if one.poll == poll):
            faster = next((block for block in blocks if block.covers(point)), None)
            (own if faster is None else guests.setdefault(faster, [])).append(point)
        for table in dict.fromkeys(one.table for one in own):
            blocks += _joined(sorted((one for one in own if one.table == table), key=_place), device, poll)
    return [_block(sorted((*one.points, *guests[one]), key=_place), one.poll) if one in guests else one
            for one in blocks]


def _place(point: Point) -> tuple[int, int]:
    return point.address, point.end


def _joined(points: Iterable[Point], device: Device, poll: float) -> Iterator[Block]:
    run: list[Point] = []
    end = 0
    for point in points:
        is_far = max(end, point.end) - run[0].address > device.most_entries(point.table) if run else False
        if run and (is_far or point.address - end > device.hole):
            yield _block(run, poll)
            run, end = [], 0
        end = max(end, point.end)
        run.append(point)
    if run:
        yield _block(run, poll)


def _block(points: Iterable[Point], poll: float) -> Block:
    points = tuple(points)
    first, end = points[0], max(one.end for one in points)
    return Block(first.table, first.address, end - first.address, points, poll)


# -- which block is the next ------------------------------------------------------------------------------------------

_FEW: Final = 64
"""Up to this many entries, a search for obsolete ones is not worth its time."""


@define(eq=False)
class Task:
    """A block and when it is due.

    :param cost: the seconds for which its request probably holds the bus.
    :param first_pause: seconds between its first read and its second; 0 for the interval of the block.
    :param asked: the open request; None if there is none.
    :param patience: the delayed call that ends its wait in the low lane.
    :param begin: the bus time that the poller had used when that wait began, and the replies that had come by then.
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
"""The due time, a number that orders entries of the same time, the version of the task, and the task."""


class Schedule:
    """The tasks of one port: for each unit a heap by due time, so that the thousand blocks of a busy unit cost the
    other units nothing. An entry becomes obsolete when its task gets another due time. The schedule drops obsolete
    entries when they come to the top of the heap, or when there are many."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[_Entry]] = {}
        self._size = 0
        self._sweep_at = _FEW
        self._numbers = count()

    def __len__(self) -> int:
        """The number of entries, obsolete ones included."""
        return self._size

    def put(self, task: Task, due: float) -> None:
        """Sets the due time of a task, instead of its earlier one. To move it to a later time only, setting ``due`` is
        enough."""
        task.due = due
        task.version += 1
        heap = self._heaps.setdefault(task.device.unit, [])
        heapq.heappush(heap, (due, next(self._numbers), task.version, task))
        self._size += 1
        if self._size > self._sweep_at:
            self._sweep()

    def first(self, busy_units: Container[int]) -> Task | None:
        """The task with the earliest due time, without those of the busy units; None if there is none."""
        first: _Entry | None = None
        for unit, heap in self._heaps.items():
            if unit not in busy_units and self._is_left(heap) and (first is None or heap[0][:2] < first[:2]):
                first = heap[0]
        return None if first is None else first[3]

    def _is_left(self, heap: list[_Entry]) -> bool:
        """Removes obsolete entries from the top of the heap; False if no entry is left."""
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
        """Drops obsolete entries. Otherwise each write to a block that is read once a day stays here for a day."""
        for heap in self._heaps.values():
            heap[:] = [one for one in heap if one[2] == one[3].version and not one[3].is_over]
            heapq.heapify(heap)
        self._size = sum(map(len, self._heaps.values()))
        self._sweep_at = 2 * self._size + _FEW


# -- when it may be read ----------------------------------------------------------------------------------------------

CREDIT: Final = 0.25
"""Seconds of bus time that the budget can save up, so that a few blocks can be due at the same time."""
_NOTHING: Final = 1e-9
"""Seconds that count as zero: the rounding error of a sum of floating-point numbers."""
LONGEST_WAIT: Final = 0.2
"""Seconds that a block waits in the low lane while others are answered, before the bus counts as congested."""
OTHERS_REPLIES: Final = 3
"""Replies to others within that time. Fewer replies mean slow devices, not congestion."""
CONGESTED: Final = 5.0
"""Seconds for which the bus then counts as congested; afterwards the poller tries the low lane again."""


class Budget:
    """The bus time that the poller may use: a token bucket of bus seconds. It fills at the configured share of the
    elapsed time. The time for which the poller's requests held the bus is taken out. No request begins unless the
    content also covers the requests that are under way. So over any period the poller uses at most its share, plus the
    small amount that the bucket holds.

    :param share: of the bus, above 0 and up to 1.
    :param now: the start time; the bucket is full then.
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
        """A request has ended.

        :param cost: as given to :meth:`begin`.
        :param used: seconds for which the poller's requests held the bus since the last call.
        """
        self._promised = max(0.0, self._promised - cost)
        self._left -= used

    def wait(self, cost: float, now: float) -> float:
        """Seconds until a request of that cost may begin; 0 if it may begin now. For this check a cost counts as at
        most half of the bucket: otherwise a request that costs more than the bucket holds could never begin."""
        self._left = min(CREDIT, self._left + self._share * (now - self._at))
        self._at = now
        missing = self._promised + min(cost, CREDIT / 2) - self._left
        return missing / self._share if missing > _NOTHING else 0.0


class Congestion:
    """Whether clients leave almost no bus time to the low lane. The poller requests a block that has waited there too
    long in the normal lane, where it takes turns with all clients. On a congested bus, the poller requests one block at
    a time, and then pauses for as long as that block held the bus. So a client waits for one block at most."""

    def __init__(self) -> None:
        self._until = self._begun_at = self._others_until = -math.inf

    def noticed(self, now: float) -> None:
        """The bus counts as congested for a while from now on."""
        self._until = now + CONGESTED

    def is_there(self, now: float) -> bool:
        """Whether the bus counts as congested."""
        return now < self._until

    def begin(self, now: float) -> None:
        """The poller requests a block."""
        self._begun_at = now

    def end(self, now: float, used: float) -> None:
        """A block has ended; its request held the bus for ``used`` seconds."""
        self._others_until = now + used

    def wait(self, now: float, is_busy: bool) -> float:
        """Seconds until the poller may request the next block on a congested bus. It does not wait for a slow block.

        :param is_busy: whether a block is under way.
        """
        if not self.is_there(now):
            return 0.0
        busy = self._begun_at + LONGEST_WAIT if is_busy else -math.inf
        return max(0.0, busy - now, self._others_until - now)
