"""What is known of points, from what is heard on the ports, floor 3.

It does not matter who asked. A reply takes the place of what was known unless that is younger, or something was written
since it was asked for. A point that nobody has read for some of its intervals is stale.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from lumina_twisted.bus.events import Sample
from lumina_twisted.devices.describe.description import Device, Point
from lumina_twisted.devices.observe.state import DeviceStates
from lumina_twisted.devices.poll.plan import Block
from lumina_twisted.errors import FrameError, RequestError
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.access import Table
from lumina_twisted.modbus.functions import BROADCAST, FunctionCode, accesses
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.reading import Quality, Reading

NEVER: Final = Reading(None, Quality.STALE, None, "it has not been read yet")
ONLY_WHEN_ASKED: Final = Reading(None, Quality.STALE, None, "it is read only when somebody asks, as read! does")
DESCRIBED_ANEW: Final = Reading(None, Quality.STALE, None, "it was described anew, and has not been read since")
UNPOLLED: Final = 20.0
"""Seconds that count as the interval of a point that is read only when it is asked for."""

Place = tuple[str, int]
"""A port and a unit."""


class Hearing:
    """Keeps the state of devices.

    :param stale_after: intervals after which a reading is stale.
    :param now: a clock that never goes back; ``stamp`` is the time of day; both in seconds.
    """

    def __init__(
        self, state: DeviceStates, stale_after: float, now: Callable[[], float], stamp: Callable[[], float]
    ) -> None:
        self._state = state
        self._stale_after = stale_after
        self._now = now
        self._stamp = stamp
        self._units: dict[Place, UnitIndex] = {}
        self._sampled: dict[str, float] = {}
        """When each point was sampled last, so that an older reply does not take the place of a younger."""
        self._doubted: dict[str, float] = {}
        """When each may have been changed last; what was sampled before says nothing of it any more."""

    def describe(self, devices: Iterable[Device]) -> None:
        """Which devices there are, from now on."""
        places: dict[Place, list[Device]] = {}
        for device in devices:
            places.setdefault((device.port, device.unit), []).append(device)
        self._units = {place: UnitIndex(there) for place, there in places.items()}

    def replaced(self, before: Device | None, device: Device) -> None:
        """A device is described anew: what was heard of a point says nothing any more if it lies elsewhere now, or
        means something else."""
        has_moved = before is not None and (before.port, before.unit) != (device.port, device.unit)
        for name, point in device.points.items():
            was = None if before is None else before.points.get(name)
            if was is not None and not has_moved and _means(was) == _means(point):
                continue
            self._sampled.pop(f"{device.name}.{name}", None)
            self._doubted.pop(f"{device.name}.{name}", None)
            if self._state.reading(device.name, name) is not None:
                self._state.update(device.name, {name: DESCRIBED_ANEW})

    def take(self, port: str, sample: Sample) -> Iterator[tuple[Run, set[str]]]:
        """The state of what a sample tells.

        :return: each run of entries, and the devices of which something is known by it.
        """
        unit = sample.request[0]
        index = self._units.get((port, unit))
        if index is None and unit != BROADCAST:
            return
        for run in runs_of(sample.request, sample.reply, sample.is_proven):
            if run.entries is None:
                self._doubt(port, unit, run, sample.sampled_after)
                yield run, set()
            elif index is not None:
                yield run, self._take(index, run, sample.sampled_after)

    def failed(self, device: Device, block: Block, why: str) -> None:
        """A block gave no values; what was known last is told along."""
        readings = {}
        for point in block.points:
            known = self._state.reading(device.name, point.name) or NEVER
            readings[point.name] = Reading(known.value, Quality.BAD, known.time, why)
        self._state.update(device.name, readings)

    def reading(self, name: str, device: Device, point: Point) -> Reading:
        """What is known of a point, stale if it is too old."""
        known = self._state.reading(device.name, point.name)
        if known is None:
            return NEVER if point.poll else ONLY_WHEN_ASKED
        limit = self._stale_after * (point.poll or UNPOLLED)
        sampled = self._sampled.get(name)
        if known.quality is not Quality.GOOD or sampled is None or self._now() - sampled <= limit:
            return known
        return Reading(known.value, Quality.STALE, known.time, f"it was read more than {limit:g} s ago")

    def _take(self, index: UnitIndex, run: Run, sampled: float) -> set[str]:
        entries = run.entries
        assert entries is not None, "those of doubt are told elsewhere"
        when = self._stamp() - max(0.0, self._now() - sampled)
        devices: dict[str, dict[str, Reading]] = {}
        for device, point, at, end, name in index.within(run.table, run.address, run.quantity):
            if sampled < self._sampled.get(name, sampled) or sampled < self._doubted.get(name, sampled):
                continue
            self._sampled[name] = sampled
            value, why = value_of(point, entries[at:end])
            devices.setdefault(device, {})[point.name] = Reading(
                value, Quality.BAD if why else Quality.GOOD, when, why
            )
        for device, readings in devices.items():
            self._state.update(device, readings)
        return set(devices)

    def _doubt(self, port: str, unit: int, run: Run, since: float) -> None:
        """Something may have been written there: what was asked before says nothing of it."""
        for (at, there), index in self._units.items():
            if at == port and unit in (BROADCAST, there):
                for device, point in index.touched(run.table, run.address, run.quantity):
                    self._doubted[f"{device}.{point.name}"] = since


def _means(point: Point) -> tuple[object, ...]:
    return point.table, point.address, point.codec


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

    :param request: its frame, and ``reply`` that of the reply, which is a normal one; empty if there was none.
    :param is_proven: whether what was written is there now; else it may be.
    """
    code = request[1]
    if code == FunctionCode.READ_FIFO_QUEUE:
        return  # what a queue gives is not what stands in its registers
    try:
        found = accesses(request[1:-2])
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
            read: Any = pdu.decode_reply(reply[1:-2])
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
