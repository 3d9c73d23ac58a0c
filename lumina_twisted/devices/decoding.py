"""From what came off a wire to what is known of points, floor 3.

It does not matter who asked: a reply to a client's read has as much to say as one to the poller's, and a write that
the device confirmed says what stands there now.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from lumina_twisted.devices.description import Device, Point
from lumina_twisted.errors import FrameError, RequestError
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.access import Table, accesses
from lumina_twisted.modbus.codes import FunctionCode
from lumina_twisted.modbus.values.codec import Value

_MOST_RANGES: Final = 1024
"""How many ranges are remembered, for the same ones are read again and again."""


class Run(NamedTuple):
    """Entries of a table from an address on, as they stand there; None for what may have changed in an unknown way."""

    table: Table
    address: int
    quantity: int
    entries: Sequence[int] | None


def runs_of(request: bytes, reply: bytes, is_proven: bool = True) -> Iterator[Run]:
    """What a transaction says of the tables of its unit.

    :param request: its PDU, and ``reply`` that of the reply, which is a normal one; empty if there was none.
    :param is_proven: whether what was written is there now; else it may be.
    """
    code = request[0]
    if code == FunctionCode.READ_FIFO_QUEUE:
        return  # what a queue gives is not what stands in its registers
    try:
        found = accesses(request)
    except FrameError:
        return  # nobody judges what clients send to devices; what it means, the device alone knows
    for one in found:
        if one.table is None:
            continue
        quantity = one.end - one.first
        if one.writes:
            is_known = is_proven and code != FunctionCode.MASK_WRITE_REGISTER
            yield Run(one.table, one.first, quantity, one.values if is_known else None)
        elif reply:
            read: Any = pdu.decode_reply(reply)
            yield Run(one.table, one.first, quantity, read.values[:quantity])


class Placed(NamedTuple):
    """A point and whose it is; ``at`` is where its entries begin in a run, ``end`` where they end; ``name`` is
    DEVICE.POINT."""

    device: str
    point: Point
    at: int
    end: int
    name: str


class UnitIndex:
    """The points of one unit by address.

    :param devices: those at that unit; usually there is one.
    """

    def __init__(self, devices: Iterable[Device]) -> None:
        self._points: dict[Table, list[tuple[int, int, str, Point]]] = {}
        for device in devices:
            for point in device.points.values():
                self._points.setdefault(point.table, []).append((point.address, point.end, device.name, point))
        for there in self._points.values():
            there.sort(key=lambda one: one[:2])
        self._widest = {table: max(end - at for at, end, _, _ in one) for table, one in self._points.items()}
        self._known: dict[tuple[Table, int, int], tuple[Placed, ...]] = {}

    def within(self, table: Table, address: int, quantity: int) -> tuple[Placed, ...]:
        """The points that lie wholly in a run."""
        key = table, address, quantity
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_RANGES:
                self._known.clear()
            end = address + quantity
            found = tuple(
                Placed(device, point, at - address, until - address, f"{device}.{point.name}")
                for at, until, device, point in self._near(table, address, end) if address <= at and until <= end
            )
            self._known[key] = found
        return found

    def touched(self, table: Table, address: int, quantity: int) -> list[tuple[str, Point]]:
        """Those that have at least one entry in it."""
        end = address + quantity
        return [(device, point) for at, until, device, point in self._near(table, address, end)
                if until > address and at < end]

    def _near(self, table: Table, address: int, end: int) -> Iterator[tuple[int, int, str, Point]]:
        there = self._points.get(table, [])
        begin = bisect_left(there, (address - self._widest.get(table, 0),), key=lambda one: one[:1])
        for one in there[begin:]:
            if one[0] >= end:
                return
            yield one


def value_of(point: Point, entries: Sequence[int]) -> tuple[Value | None, str]:
    """The value that the entries hold, or a sentence that says why they hold none."""
    try:
        return point.codec.decode(entries), ""
    except RequestError as error:
        return None, str(error)
