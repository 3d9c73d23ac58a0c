"""The read plan: which blocks are read, and how often, floor 3. It has the points of a device in the fewest reads.

Points of one interval that stand in one table are read together, as far as the device gives them in one reply and no
more lies between two of them than its ``hole``. From left to right this gives the least number of blocks. A point that
lies in a block of a shorter interval needs none of its own: it becomes one of that block's points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

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
