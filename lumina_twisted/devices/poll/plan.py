"""The read plan of a port: which blocks are read, which is the next, and when it may be read, floor 3.

Points of one interval that stand in one table are read together, as far as the device gives them in one reply and no
more lies between two of them than its ``hole``. From left to right this gives the least number of blocks. A point that
lies in a block of a shorter interval needs none of its own: it becomes one of that block's points.

The next block is that which is due first, of the units that are not busy (:class:`Schedule`). It may be read as far as
the poller's share of the bus allows (:class:`Budget`), and where clients leave the low lane next to nothing, when it is
the poller's turn (:class:`Congestion`).
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
    """Entries that are read at a time.

    :param points: what lies there, by address.
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
        """Whether some of these entries are its own."""
        return self.table == table and self.address < address + quantity and address < self.end

    def lies_in(self, table: Table, address: int, quantity: int) -> bool:
        """Whether all its entries are among these."""
        return self.table == table and address <= self.address and self.end <= address + quantity

    def covers(self, point: Point) -> bool:
        """Whether all entries of a point are its own."""
        return self.table == point.table and self.address <= point.address and point.end <= self.end

    def halves(self) -> tuple[Block, Block] | None:
        """Two blocks with half of its points each, for a device that refused the whole; None where it has one point,
        or none of its points ends before the next begins."""
        for middle in sorted(range(1, len(self.points)), key=lambda at: abs(2 * at - len(self.points))):
            left, right = self.points[:middle], self.points[middle:]
            if max(one.end for one in left) <= right[0].address:
                return _block(left, self.poll), _block(right, self.poll)
        return None


def blocks_of(device: Device) -> list[Block]:
    """The blocks of a device, those of short intervals first; without the points that are read only when a client asks
    for them."""
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
"""Entries of the heap that are not worth a search for those that do not count any more."""


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
    """The tasks of one port: a heap by time for each unit, so that the thousand blocks of a unit that is busy cost the
    others nothing. An entry whose task has been given another time since does not count any more, and is dropped when
    it comes up, or when there are many."""

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


# -- when it may be read ----------------------------------------------------------------------------------------------

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


class Budget:
    """How much of a bus the poller may take. Time fills a small store of bus seconds at the configured share of it;
    what the poller's requests held the bus for is taken out. Nothing begins while what is left does not cover what is
    under way. So over any time the poller's use is at most the share, and the little that the store holds.

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
    """Whether clients leave the low lane of a bus next to nothing. A block that has waited there too long is asked for
    in the normal lane, where all clients take turns and the poller is one of them. Then the poller asks for one block
    at a time, and leaves as much time after it, so that a client waits for one block at most."""

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
