"""Which blocks are read, and how often, floor 3: the points of a device in the fewest reads.

Points of one interval that stand in one table are read together as far as the device gives them in one reply and no
more lies between two of them than its ``hole``. From left to right this gives the least number of blocks. A point that
lies in a block of a shorter interval rides along, and needs none of its own: it is one of that block's points.
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

    def halves(self) -> tuple[Block, Block] | None:
        """Two blocks with half of its points each, for a device that refused the whole; None where it has one point,
        or none of its points ends before the next begins."""
        for middle in sorted(range(1, len(self.points)), key=lambda at: abs(2 * at - len(self.points))):
            left, right = self.points[:middle], self.points[middle:]
            if max(one.end for one in left) <= right[0].address:
                return _block(left, self.poll), _block(right, self.poll)
        return None


def blocks_of(device: Device) -> list[Block]:
    """The blocks of a device, those of short intervals first; without the points that are read only when asked for."""
    polled = [one for one in device.points.values() if one.poll]
    blocks: list[Block] = []
    riders: dict[Block, list[Point]] = {}
    for poll in sorted({one.poll for one in polled}):
        own: list[Point] = []
        for one in (one for one in polled if one.poll == poll):
            faster = next((block for block in blocks if _covers(block, one)), None)
            (own if faster is None else riders.setdefault(faster, [])).append(one)
        for table in dict.fromkeys(one.table for one in own):
            blocks += _joined(sorted((one for one in own if one.table == table), key=_place), device, poll)
    return [
        _block(tuple(sorted((*one.points, *riders[one]), key=_place)), one.poll) if one in riders else one
        for one in blocks
    ]


def _place(point: Point) -> tuple[int, int]:
    return point.address, point.end


def _covers(block: Block, point: Point) -> bool:
    end = block.address + block.quantity
    return block.table == point.table and block.address <= point.address and point.end <= end


def _joined(points: Iterable[Point], device: Device, poll: float) -> Iterator[Block]:
    run: list[Point] = []
    end = 0
    for point in points:
        if run:
            most = device.most_entries(point.table)
            if max(end, point.end) - run[0].address > most or point.address - end > device.hole:
                yield _block(tuple(run), poll)
                run = []
        end = max(end, point.end) if run else point.end
        run.append(point)
    if run:
        yield _block(tuple(run), poll)


def _block(points: tuple[Point, ...], poll: float) -> Block:
    address = points[0].address
    return Block(points[0].table, address, max(one.end for one in points) - address, points, poll)
