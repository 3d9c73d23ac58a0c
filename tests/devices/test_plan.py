"""The fewest block reads."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices.describe.description import Device, Point
from lumina_twisted.devices.poll.plan import Block, blocks_of
from lumina_twisted.modbus.values.codec import ValueCodec


def point(name: str, address: int, table: Any = "holding", poll: float = 1.0, **codec: Any) -> Point:
    return Point(name=name, table=table, address=address, poll=poll, codec=ValueCodec(**codec))


def device(*points: Point, **keys: Any) -> Device:
    return Device(name="d", port="p", unit=1, points={one.name: one for one in points}, **keys)


def ranges(blocks: list[Block]) -> list[tuple[str, int, int, float]]:
    return [(one.table, one.address, one.quantity, one.poll) for one in blocks]


class Blocks(SynchronousTestCase):
    """Which there are."""

    def test_neighbours_are_one(self) -> None:
        blocks = blocks_of(device(point("b", 2, type="u32"), point("a", 0), point("c", 1)))
        self.assertEqual(ranges(blocks), [("holding", 0, 4, 1.0)])
        self.assertEqual([one.name for one in blocks[0].points], ["a", "c", "b"])

    def test_holes_are_read_along_only_as_far_as_allowed(self) -> None:
        points = point("a", 0), point("b", 3), point("c", 10)
        self.assertEqual(ranges(blocks_of(device(*points))), [
            ("holding", 0, 1, 1.0), ("holding", 3, 1, 1.0), ("holding", 10, 1, 1.0),
        ])
        self.assertEqual(ranges(blocks_of(device(*points, hole=2))), [("holding", 0, 4, 1.0), ("holding", 10, 1, 1.0)])

    def test_no_block_is_larger_than_the_device_gives(self) -> None:
        points = [point(f"p{at}", at, type="u32") for at in range(0, 20, 2)]
        self.assertEqual(ranges(blocks_of(device(*points, most=9))), [
            ("holding", 0, 8, 1.0), ("holding", 8, 8, 1.0), ("holding", 16, 4, 1.0),
        ])

    def test_bits_are_more_in_a_reply(self) -> None:
        points = [point(f"p{at}", at, table="coil", type="bool") for at in range(300)]
        self.assertEqual(ranges(blocks_of(device(*points))), [("coil", 0, 300, 1.0)])
        self.assertEqual([one.quantity for one in blocks_of(device(*points, most=10))], [160, 140])

    def test_each_interval_has_its_own(self) -> None:
        points = point("a", 0), point("b", 1, poll=5.0), point("c", 2), point("d", 9, poll=0)
        self.assertEqual(ranges(blocks_of(device(*points))), [
            ("holding", 0, 1, 1.0), ("holding", 2, 1, 1.0), ("holding", 1, 1, 5.0),
        ])

    def test_what_a_faster_block_brings_is_not_read_again(self) -> None:
        points = point("a", 0), point("b", 1, poll=5.0), point("c", 2)
        self.assertEqual(ranges(blocks_of(device(*points, hole=1))), [("holding", 0, 3, 1.0)])

    def test_and_belongs_to_it(self) -> None:
        points = point("a", 0), point("b", 1, poll=5.0), point("c", 2)
        (block,) = blocks_of(device(*points, hole=1))
        self.assertEqual([one.name for one in block.points], ["a", "b", "c"])
        left, right = block.halves() or (block, block)
        self.assertEqual([one.name for one in (*left.points, *right.points)], ["a", "b", "c"])

    def test_several_points_of_one_register(self) -> None:
        points = [point(f"b{bit}", 7, type="bool", bit=bit) for bit in range(16)]
        self.assertEqual(ranges(blocks_of(device(*points))), [("holding", 7, 1, 1.0)])

    def test_halves(self) -> None:
        (block,) = blocks_of(device(*[point(f"p{at}", at) for at in range(5)]))
        halves = block.halves()
        assert halves is not None
        self.assertEqual([(one.address, one.quantity) for one in halves], [(0, 2), (2, 3)])

    def test_one_point_has_no_halves(self) -> None:
        (block,) = blocks_of(device(point("a", 0, type="f64")))
        self.assertIsNone(block.halves())

    def test_points_of_one_register_are_not_parted(self) -> None:
        (block,) = blocks_of(device(point("a", 0, type="bool", bit=0), point("b", 0, type="bool", bit=1)))
        self.assertIsNone(block.halves())
