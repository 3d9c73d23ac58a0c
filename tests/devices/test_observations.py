"""What a transaction says of points."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices.describe.description import Device, Point
from lumina_twisted.devices.observations import ObservedPoint, Run, UnitIndex, runs_of
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.values.codec import ValueCodec


def runs(request: pdu.Request, reply: pdu.Reply | None, is_proven: bool = True) -> list[Run]:
    made = b"" if reply is None else reply.encode()
    return [
        Run(one.table, one.address, one.quantity, None if one.entries is None else tuple(one.entries))
        for one in runs_of(request.encode(), made, is_proven)
    ]


class Runs(SynchronousTestCase):
    """Each function."""

    def test_reads(self) -> None:
        for request, reply, run in (
            (pdu.ReadCoilsRequest(5, 2), pdu.ReadCoilsReply([True, False]), Run("coil", 5, 2, (True, False))),
            (pdu.ReadDiscreteInputsRequest(5, 1), pdu.ReadDiscreteInputsReply([True]), Run("discrete", 5, 1, (True,))),
            (pdu.ReadHoldingRegistersRequest(5, 2), pdu.ReadHoldingRegistersReply([1, 2]),
             Run("holding", 5, 2, (1, 2))),
            (pdu.ReadInputRegistersRequest(5, 2), pdu.ReadInputRegistersReply([1, 2]), Run("input", 5, 2, (1, 2))),
        ):
            self.assertEqual(runs(request, reply), [run])

    def test_proven_writes(self) -> None:
        for request, reply, run in (
            (pdu.WriteSingleCoilRequest(1, True), pdu.WriteSingleCoilReply(1, True), Run("coil", 1, 1, (True,))),
            (pdu.WriteSingleRegisterRequest(1, 7), pdu.WriteSingleRegisterReply(1, 7), Run("holding", 1, 1, (7,))),
            (pdu.WriteMultipleCoilsRequest(1, [True, False]), pdu.WriteMultipleCoilsReply(1, 2),
             Run("coil", 1, 2, (True, False))),
            (pdu.WriteMultipleRegistersRequest(1, [7, 8]), pdu.WriteMultipleRegistersReply(1, 2),
             Run("holding", 1, 2, (7, 8))),
        ):
            self.assertEqual(runs(request, reply), [run])
            self.assertEqual(runs(request, None, is_proven=False), [run._replace(entries=None)])

    def test_both(self) -> None:
        request = pdu.ReadWriteMultipleRegistersRequest(10, 1, 20, [5, 6])
        reply = pdu.ReadWriteMultipleRegistersReply([4])
        self.assertEqual(runs(request, reply), [Run("holding", 20, 2, (5, 6)), Run("holding", 10, 1, (4,))])

    def test_a_mask_leaves_it_open(self) -> None:
        found = runs(pdu.MaskWriteRegisterRequest(9, 0, 1), pdu.MaskWriteRegisterReply(9, 0, 1))
        self.assertEqual(found, [Run("holding", 9, 1, None)])

    def test_a_relay_that_is_turned_over_is_open_too(self) -> None:
        """By a value that the specification has not, and many boards have."""
        request = bytes.fromhex("0500075500")
        self.assertEqual(list(runs_of(request, request)), [Run("coil", 7, 1, None)])

    def test_others_say_nothing(self) -> None:
        self.assertEqual(runs(pdu.ReadExceptionStatusRequest(), pdu.ReadExceptionStatusReply(1)), [])

    def test_what_a_client_makes_up(self) -> None:
        for made_up in ("05000112", "0f00010003", "10000100020400"):
            self.assertEqual(list(runs_of(bytes.fromhex(made_up), bytes.fromhex(made_up))), [], made_up)


class Index(SynchronousTestCase):
    """Which points lie in a run."""

    def index(self, *points: tuple[str, int, Any]) -> UnitIndex:
        codecs = {kind: ValueCodec(type=kind, bit=0 if kind == "bool" else None) for _, _, kind in points}
        made = {
            name: Point(name=name, table="holding", address=at, codec=codecs[kind]) for name, at, kind in points
        }
        device = Device(name="d", port="p", unit=3, points=made)
        return UnitIndex(ObservedPoint(device, point, f"d.{name}") for name, point in made.items())

    def names(self, index: UnitIndex, address: int, quantity: int) -> list[tuple[str, int, int]]:
        return [(one.name, at, end) for at, end, one in index.within("holding", address, quantity)]

    def test_wholly_within(self) -> None:
        index = self.index(("a", 0, "u32"), ("b", 2, "u16"), ("c", 3, "f64"))
        self.assertEqual(self.names(index, 0, 7), [("d.a", 0, 2), ("d.b", 2, 3), ("d.c", 3, 7)])
        self.assertEqual(self.names(index, 1, 3), [("d.b", 1, 2)])
        self.assertEqual(self.names(index, 7, 5), [])
        self.assertEqual(index.within("input", 0, 7), ())

    def test_again(self) -> None:
        index = self.index(("a", 0, "u16"))
        self.assertIs(index.within("holding", 0, 1), index.within("holding", 0, 1))

    def test_by_brute_force(self) -> None:
        points = [
            ("a", 0, "f64"), ("b", 1, "u16"), ("c", 2, "u32"), ("d", 9, "bool"), ("e", 9, "u16"), ("f", 12, "u64"),
        ]
        index = self.index(*points)
        widths = {"f64": 4, "u64": 4, "u32": 2, "u16": 1, "bool": 1}
        for address in range(18):
            for quantity in range(1, 18):
                end = address + quantity
                wanted = {f"d.{name}" for name, at, kind in points if address <= at and at + widths[kind] <= end}
                self.assertEqual({one.name for _, _, one in index.within("holding", address, quantity)}, wanted)
                touched = {name for name, at, kind in points if at < end and address < at + widths[kind]}
                self.assertEqual({one.point.name for one in index.touched("holding", address, quantity)}, touched)
