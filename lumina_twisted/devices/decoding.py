"""From what came off a wire to what is known of points, floor 3.

It does not matter who asked: a reply to a client's read has as much to say as one to the poller's, and a write that
the device confirmed says what stands there now.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from lumina_twisted.devices.description import Device, Point, TableName
from lumina_twisted.errors import LuminaError, RequestError
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.value_codec import Value

_TABLES: Final[dict[int, TableName]] = {
    1: "coil", 2: "discrete", 3: "holding", 4: "input", 5: "coil", 6: "holding", 15: "coil", 16: "holding",
    22: "holding", 23: "holding",
}
_READS: Final = frozenset({1, 2, 3, 4})
_MOST_RANGES: Final = 1024
"""How many ranges are remembered, for the same ones are read again and again."""


class Run(NamedTuple):
    """Entries of a table from an address on, as they stand there; None for what may have changed in an unknown way."""

    table: TableName
    address: int
    quantity: int
    entries: Sequence[int] | None


def runs_of(request: bytes, reply: bytes, is_proven: bool = True) -> Iterator[Run]:
    """What a transaction says of the tables of its unit.

    :param request: its frame, and ``reply`` that of the reply, which is a normal one; empty if there was none.
    :param is_proven: whether what was written is there now; else it may be.
    """
    code = request[1]
    if code not in _TABLES:
        return
    try:
        asked = pdu.decode_request(request[1:-2])
    except LuminaError:  # nobody judges what clients send to devices; what it means, the device alone knows
        if code == 5 and len(request) == 8:  # as 5500, by which many relay boards turn a relay over
            yield Run("coil", int.from_bytes(request[2:4], "big"), 1, None)
        return
    if code in _READS:
        if reply:
            yield _read(_TABLES[code], asked, reply)
    elif code == 23:
        yield _written("holding", asked.write_address, asked.values, is_proven)  # type: ignore[attr-defined]
        if reply:
            read = pdu.decode_reply(reply[1:-2]).values  # type: ignore[attr-defined]
            yield Run("holding", asked.read_address, len(read), read)  # type: ignore[attr-defined]
    elif code == 22:
        yield Run("holding", asked.address, 1, None)  # type: ignore[attr-defined]
    else:
        values = asked.values if code in (15, 16) else (asked.value,)  # type: ignore[attr-defined]
        yield _written(_TABLES[code], asked.address, values, is_proven)  # type: ignore[attr-defined]


def _read(table: TableName, asked: pdu.Request, reply: bytes) -> Run:
    address, quantity = asked.address, asked.quantity  # type: ignore[attr-defined]
    values = pdu.decode_reply(reply[1:-2]).values  # type: ignore[attr-defined]
    return Run(table, address, quantity, values[:quantity])


def _written(table: TableName, address: int, values: Sequence[int], is_proven: bool) -> Run:
    return Run(table, address, len(values), values if is_proven else None)


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
        self._points: dict[TableName, list[tuple[int, int, str, Point]]] = {}
        for device in devices:
            for point in device.points.values():
                self._points.setdefault(point.table, []).append((point.address, point.end, device.name, point))
        for there in self._points.values():
            there.sort(key=lambda one: one[:2])
        self._widest = {table: max(end - at for at, end, _, _ in one) for table, one in self._points.items()}
        self._known: dict[tuple[TableName, int, int], tuple[Placed, ...]] = {}

    def within(self, table: TableName, address: int, quantity: int) -> tuple[Placed, ...]:
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

    def touched(self, table: TableName, address: int, quantity: int) -> list[tuple[str, Point]]:
        """Those that have at least one entry in it."""
        end = address + quantity
        return [(device, point) for at, until, device, point in self._near(table, address, end)
                if until > address and at < end]

    def _near(self, table: TableName, address: int, end: int) -> Iterator[tuple[int, int, str, Point]]:
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
