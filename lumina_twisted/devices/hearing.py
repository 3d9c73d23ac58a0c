"""What is known of points, from what is heard on the ports, floor 3.

It does not matter who asked. A reply takes the place of what was known unless that is younger, or something was written
since it was asked for. A point that nobody has read for some of its intervals is stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from lumina_twisted.bus.events import Sample
from lumina_twisted.devices.decoding import Run, UnitIndex, runs_of, value_of
from lumina_twisted.devices.description import Device, Point
from lumina_twisted.devices.plan import Block
from lumina_twisted.devices.state import DeviceStateManager
from lumina_twisted.modbus.codes import BROADCAST
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
        self, state: DeviceStateManager, stale_after: float, now: Callable[[], float], stamp: Callable[[], float]
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
        unit = sample.unit
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
