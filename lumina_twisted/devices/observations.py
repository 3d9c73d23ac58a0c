"""Derives the state of points from the transactions that the ports report, floor 3.

It does not matter which client sent a request. A reply to a client's read counts as much as a reply to the poller, and
a confirmed write gives the new value. A reply replaces the known reading unless that reading is younger, or something
was written to the point after the request was sent. A point that nobody has read for several of its intervals is stale.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from attrs import define, field

from lumina_twisted.bus.events import Sample
from lumina_twisted.devices.describe.description import Device, Point, read_request
from lumina_twisted.devices.poll.plan import Block
from lumina_twisted.devices.state import DeviceStates
from lumina_twisted.errors import FrameError, RequestError
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.access import Table
from lumina_twisted.modbus.functions import BROADCAST, FUNCTIONS, FunctionCode, accesses
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.reading import Quality, Reading

NEVER: Final = Reading(None, Quality.STALE, None, "it has not been read yet")
ONLY_WHEN_ASKED: Final = Reading(None, Quality.STALE, None, "it is read only when somebody asks, as read! does")
DESCRIBED_ANEW: Final = Reading(None, Quality.STALE, None, "it was described anew, and has not been read since")
UNPOLLED: Final = 20.0
"""Seconds that count as the interval of a point that is read only when a client asks for it."""
_MOST_RANGES: Final = 1024
"""Ranges whose points are cached, for clients and the poller read the same ranges again and again."""
_REGISTERS: Final[dict[int, Table]] = {
    code: row.range_of for code, row in FUNCTIONS.items() if row.range_of and not row.is_bits
}
_READ: Final = struct.Struct(">BHH")
_FORMATS: Final = [struct.Struct(f">{quantity}H") for quantity in range(126)]


# -- from bytes to entries --------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """Consecutive entries of a table. ``entries`` is None if they may have changed, and their values are unknown."""

    table: Table
    address: int
    quantity: int
    entries: Sequence[int] | None


def runs_of(request: bytes, reply: bytes, is_proven: bool = True) -> Iterable[Run]:
    """The runs of entries that a transaction has read or written.

    :param request: the PDU of the request.
    :param reply: the PDU of a normal reply; empty if there was no reply.
    :param is_proven: whether a write is certain to have taken effect; if not, it may or may not have.
    """
    table = _REGISTERS.get(request[0])
    if table is not None and len(request) == _READ.size:
        _, address, quantity = _READ.unpack(request)
        if len(reply) == 2 + 2 * quantity:  # the most frequent transaction skips the checks of the others
            return (Run(table, address, quantity, _FORMATS[quantity].unpack_from(reply, 2)),)
    return _runs_of_any(request, reply, is_proven)


def _runs_of_any(request: bytes, reply: bytes, is_proven: bool) -> Iterator[Run]:
    if request[0] == FunctionCode.READ_FIFO_QUEUE:
        return  # the contents of a queue are not the values of its registers
    try:
        found = accesses(request)
    except FrameError:
        return  # a request may have any form, and only the device knows what it means
    for one in found:
        if one.table is None:
            continue
        quantity = one.end - one.first
        if one.writes:
            is_known = is_proven and request[0] != FunctionCode.MASK_WRITE_REGISTER
            yield Run(one.table, one.first, quantity, one.values if is_known else None)
        elif reply:
            read: Any = pdu.decode_reply(reply)
            yield Run(one.table, one.first, quantity, read.values[:quantity])


# -- from entries to points -------------------------------------------------------------------------------------------


@define(eq=False)
class ObservedPoint:
    """A point, and the times of its last sample and its last possible change, by the clock of the bus.

    :param name: DEVICE.POINT.
    :param sampled: the time of its last sample, so that an older reply does not replace a younger one.
    :param doubted: when it may have been changed last; samples from before that time do not count any more.
    """

    device: Device
    point: Point
    name: str
    sampled: float = -math.inf
    doubted: float = -math.inf
    read_request: bytes = field(init=False)
    """The PDU that reads only this point."""

    def __attrs_post_init__(self) -> None:
        point = self.point
        self.read_request = read_request(point.table, point.address, point.codec.width)

    def means(self, other: ObservedPoint) -> bool:
        """Whether both have the same place and the same codec."""
        ours, theirs = self.device, other.device
        return (ours.port, ours.unit) == (theirs.port, theirs.unit) and (
            self.point.table, self.point.address, self.point.codec
        ) == (other.point.table, other.point.address, other.point.codec)


class UnitIndex:
    """The points of one unit by address.

    :param points: of all devices at that unit; usually one device.
    """

    def __init__(self, points: Iterable[ObservedPoint]) -> None:
        self._points: dict[Table, list[tuple[int, int, ObservedPoint]]] = {}
        for one in points:
            self._points.setdefault(one.point.table, []).append((one.point.address, one.point.end, one))
        for there in self._points.values():
            there.sort(key=lambda one: one[:2])
        self._widest = {table: max(end - at for at, end, _ in one) for table, one in self._points.items()}
        self._known: dict[tuple[Table, int, int], tuple[tuple[int, int, ObservedPoint], ...]] = {}

    def within(self, table: Table, address: int, quantity: int) -> tuple[tuple[int, int, ObservedPoint], ...]:
        """The points that lie wholly in a range, each with the start and the end of its entries in that range."""
        key = table, address, quantity
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_RANGES:
                self._known.clear()
            end = address + quantity
            found = self._known[key] = tuple(
                (at - address, until - address, one)
                for at, until, one in self._near(table, address, end) if address <= at and until <= end
            )
        return found

    def touched(self, table: Table, address: int, quantity: int) -> list[ObservedPoint]:
        """The points that have at least one entry in the range."""
        end = address + quantity
        return [one for at, until, one in self._near(table, address, end) if until > address and at < end]

    def _near(self, table: Table, address: int, end: int) -> Iterator[tuple[int, int, ObservedPoint]]:
        there = self._points.get(table, [])
        begin = bisect_left(there, (address - self._widest.get(table, 0),), key=lambda one: one[:1])
        for one in there[begin:]:
            if one[0] >= end:
                return
            yield one


class Observations:
    """Updates the state of devices from samples. ``points`` has the points of all devices, by name.

    :param stale_after: intervals after which a reading is stale.
    :param now: a clock that never goes back, in seconds.
    :param stamp: the time of day, in seconds.
    """

    def __init__(
        self, state: DeviceStates, stale_after: float, now: Callable[[], float], stamp: Callable[[], float]
    ) -> None:
        self._state = state
        self._stale_after = stale_after
        self._now = now
        self._stamp = stamp
        self._units: dict[tuple[str, int], UnitIndex] = {}
        self.points: dict[str, ObservedPoint] = {}

    def describe(self, devices: Iterable[Device]) -> None:
        """Replaces the set of devices. If a point has moved or its codec has changed, its known reading does not count
        any more."""
        before, self.points = self.points, {}
        units: dict[tuple[str, int], list[ObservedPoint]] = {}
        changed = []
        for device in devices:
            there = units.setdefault((device.port, device.unit), [])
            for point in device.points.values():
                one = ObservedPoint(device, point, f"{device.name}.{point.name}")
                was = before.get(one.name)
                if was is not None and one.means(was):
                    one.sampled, one.doubted = was.sampled, was.doubted
                elif self._state.reading(device.name, point.name) is not None:
                    changed.append(one)
                self.points[one.name] = one
                there.append(one)
        self._units = {place: UnitIndex(there) for place, there in units.items()}
        self._state.dead_bands = {
            name: one.point.dead_band for name, one in self.points.items() if one.point.dead_band
        }
        for one in changed:
            self._state.update(one.device.name, {one.point.name: DESCRIBED_ANEW})

    def take(self, port: str, sample: Sample) -> list[tuple[Run, set[str]]]:
        """Updates the state from a sample.

        :return: each run of entries of the sample, with the names of the devices whose state it updated.
        """
        unit = sample.unit
        index = self._units.get((port, unit))
        taken: list[tuple[Run, set[str]]] = []
        if index is None and unit != BROADCAST:
            return taken
        for run in runs_of(sample.request, sample.reply, sample.is_proven):
            if run.entries is None:
                self._doubt(port, unit, run, sample.sampled_after)
                taken.append((run, set()))
            elif index is not None:
                taken.append((run, self._take(index, run, run.entries, sample.sampled_after)))
        return taken

    def failed(self, device: Device, block: Block, why: str) -> None:
        """A block gave no values; what was known last stays with its points."""
        readings = {}
        for point in block.points:
            known = self._state.reading(device.name, point.name) or NEVER
            readings[point.name] = Reading(known.value, Quality.BAD, known.time, why)
        self._state.update(device.name, readings)

    def reading(self, one: ObservedPoint) -> Reading:
        """The last reading of a point, marked as stale if it is too old."""
        known = self._state.reading(one.device.name, one.point.name)
        if known is None:
            return NEVER if one.point.poll else ONLY_WHEN_ASKED
        limit = self._stale_after * (one.point.poll or UNPOLLED)
        if known.quality is not Quality.GOOD or self._now() - one.sampled <= limit:
            return known
        return Reading(known.value, Quality.STALE, known.time, f"it was read more than {limit:g} s ago")

    def mark_stale(self) -> None:
        """Sends an event for each point that has become stale. The owner calls this about once a second."""
        for one in list(self.points.values()):
            known = self._state.reading(one.device.name, one.point.name)
            if known is not None and (aged := self.reading(one)) is not known:
                self._state.update(one.device.name, {one.point.name: aged})

    def _take(self, index: UnitIndex, run: Run, entries: Sequence[int], sampled: float) -> set[str]:
        when = self._stamp() - max(0.0, self._now() - sampled)
        devices: dict[str, dict[str, Reading]] = {}
        for at, end, one in index.within(run.table, run.address, run.quantity):
            if sampled < one.sampled or sampled < one.doubted:
                continue
            one.sampled = sampled
            value: Value | None
            try:
                value, quality, why = one.point.codec.decode(entries[at:end]), Quality.GOOD, ""
            except RequestError as error:
                value, quality, why = None, Quality.BAD, str(error)
            devices.setdefault(one.device.name, {})[one.point.name] = Reading(value, quality, when, why)
        for device, readings in devices.items():
            self._state.update(device, readings)
        return set(devices)

    def _doubt(self, port: str, unit: int, run: Run, since: float) -> None:
        """Something may have been written to the run at ``since``: samples from before do not count any more."""
        for (at, there), index in self._units.items():
            if at == port and unit in (BROADCAST, there):
                for one in index.touched(run.table, run.address, run.quantity):
                    one.doubted = since
