"""All devices and their values, floor 3: implements :class:`lumina_twisted.devices.interfaces.Values`.

State comes from one place: what is heard on the ports, whoever asked for it. Who reads a value anew, or writes one,
goes to the port as every client does, in its own turn.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from lumina_twisted.bus.events import Sample
from lumina_twisted.devices.asking import checked_value, read_point, write_point
from lumina_twisted.devices.decoding import Run
from lumina_twisted.devices.description import Device, Point
from lumina_twisted.devices.hearing import Hearing
from lumina_twisted.devices.interfaces import Observer, PointDescription
from lumina_twisted.devices.names import found, matching
from lumina_twisted.devices.poller import PortPoller
from lumina_twisted.devices.settings import ValuesSettings
from lumina_twisted.devices.state import DeviceStateManager
from lumina_twisted.devices.write_turns import Turns
from lumina_twisted.errors import LuminaError, NotTaken
from lumina_twisted.modbus.codes import BROADCAST
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.ports.interfaces import Port, Ports
from lumina_twisted.valueproto.reading import Confirmed, Reading

_log: Final = Logger(namespace="lumina.values")


class Configurable(Protocol):
    """What :class:`lumina_twisted.devices.changing.Changes` does."""

    def config(self, device: str) -> Mapping[str, Any]:
        """See :meth:`lumina_twisted.devices.interfaces.Values.config`."""
        ...

    def change(self, device: str, changes: Mapping[str, Any], client: Hashable) -> Deferred[None]:
        """See :meth:`lumina_twisted.devices.interfaces.Values.configure`."""
        ...


class Plant:
    """The devices behind the configured ports.

    :param state: what is known of them.
    :param clock: for delayed calls; ``now`` never goes back, ``stamp`` is the time of day; all in seconds.
    """

    def __init__(
        self, devices: Iterable[Device], ports: Ports, state: DeviceStateManager, settings: ValuesSettings, clock: Any,
        now: Callable[[], float], stamp: Callable[[], float],
    ) -> None:
        self.state = state
        self._ports = ports
        self._settings = settings
        self._clock = clock
        self._now = now
        self._hearing = Hearing(state, settings.stale_after, now, stamp)
        self._devices = {one.name: one for one in devices}
        self._points: dict[str, tuple[Device, Point]] = {}
        self._described: dict[str, PointDescription] = {}
        self._pollers: dict[str, PortPoller] = {}
        self._listening: dict[str, Callable[[], None]] = {}
        self._turns = Turns(clock)
        self._is_running = False
        self.changes: Configurable | None = None
        """Who knows what is configured of devices, and changes it."""
        self._index()

    # -- its life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listens to the ports, and polls."""
        self._is_running = True
        for port in dict.fromkeys(one.port for one in self._devices.values()):
            self._open(port)

    def stop(self) -> None:
        """Asks for nothing more."""
        self._is_running = False
        for poller in self._pollers.values():
            poller.stop()
        for end in self._listening.values():
            end()
        self._pollers.clear()
        self._listening.clear()

    def replace(self, device: Device) -> None:
        """A device that is described anew, or a new one; from now on."""
        before = self._devices.get(device.name)
        if before is not None and before.port in self._pollers:
            self._pollers[before.port].remove(before.name)
        self._devices[device.name] = device
        self._index()
        self._hearing.replaced(before, device)
        if not self._is_running:
            return
        if device.port in self._pollers:
            self._pollers[device.port].add(device)
        else:
            self._open(device.port)

    def look(self) -> None:
        """Tells of each point that has become stale; to be called about once a second."""
        for name, (device, point) in self._points.items():
            known = self.state.reading(device.name, point.name)
            if known is not None and (aged := self._hearing.reading(name, device, point)) is not known:
                self.state.update(device.name, {point.name: aged})

    # -- names ---------------------------------------------------------------------------------------------------------

    def names(self, pattern: str = "*") -> list[str]:
        """See :class:`~lumina_twisted.devices.interfaces.Values`, as for all that follow."""
        return matching(self._points, pattern)

    def devices(self) -> list[str]:
        """Their names."""
        return list(self._devices)

    def describe(self, name: str) -> PointDescription:
        """What a point is."""
        known = self._described.get(name)
        if known is None:
            known = self._described[name] = _description(name, *self._find(name))
        return known

    def text(self, name: str, value: Value | None) -> str:
        """A value as a person reads it."""
        return self._find(name)[1].codec.format(value)

    # -- values --------------------------------------------------------------------------------------------------------

    def reading(self, name: str) -> Reading:
        """What is known of it."""
        return self._hearing.reading(name, *self._find(name))

    def read(self, client: Hashable, name: str, timeout: float) -> Deferred[Reading]:
        """Asks the device."""
        try:
            device, point = self._find(name)
            port = self._ports.find(device.port)
        except LuminaError:
            return fail()
        asked = read_point(port, client, device.unit, point, timeout)
        return asked.addCallback(lambda _: self.reading(name))

    def write(self, client: Hashable, name: str, value: Value, timeout: float) -> Deferred[Confirmed]:
        """Sets a point."""
        try:
            device, point = self._find(name)
            value = checked_value(device.unit, point, name, value)
        except LuminaError:
            return fail()
        until = self._now() + timeout
        write = partial(self._write, client, name, value, until)
        written = self._turns.run((device.port, device.unit), point, timeout, write).addErrback(_tell_not_taken, name)
        return written.addCallback(lambda not_read_back: Confirmed(self.reading(name), not_read_back))

    def watch(self, observer: Observer, names: Iterable[str]) -> Callable[[], None]:
        """Has it told of changes."""
        wanted = [(name, *self._find(name)) for name in dict.fromkeys(names)]

        def tell(device: str, point: str, reading: Reading) -> None:
            observer(f"{device}.{point}", reading)

        ends = [self.state.watch(tell, device.name, point.name) for _, device, point in wanted]

        def end_all() -> None:
            for end in ends:
                end()

        return end_all

    def history(self, name: str) -> Sequence[Reading]:
        """Its last changes."""
        device, point = self._find(name)
        return self.state.history(device.name, point.name)

    # -- what is configured --------------------------------------------------------------------------------------------

    def config(self, device: str) -> Mapping[str, Any]:
        """What is configured for a device."""
        assert self.changes is not None, "the service has said who knows"
        return self.changes.config(device)

    def configure(self, device: str, changes: Mapping[str, Any], client: Hashable = "Lumina") -> Deferred[None]:
        """Changes it."""
        assert self.changes is not None, "the service has said who knows"
        return self.changes.change(device, changes, client)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _on_sample(self, port: str, sample: Sample) -> None:
        poller = self._pollers.get(port)
        if poller is not None:
            poller.replies += 1
        for run, devices in self._hearing.take(port, sample):
            if poller is None:
                continue
            for device in devices if sample.is_read else ():
                poller.heard(device, run.table, run.address, run.quantity)
            if run.entries is None or not sample.is_read:
                self._hurry(poller, sample.unit, run)

    def _hurry(self, poller: PortPoller, unit: int, run: Run) -> None:
        """Something was written there: it is read as soon as there is room for that."""
        for device in self._devices.values():
            if device.port == poller.port.name and unit in (BROADCAST, device.unit):
                poller.hurry(device.name, run.table, run.address, run.quantity)

    def _write(self, client: Hashable, name: str, value: Value, until: float) -> Deferred[str]:
        """Sends it, as the point is described now that its turn has come."""
        device, point = self._find(name)
        known = self.state.reading(device.name, point.name)
        before = "" if known is None or known.value is None else f"{point.codec.format(known.value)} -> "
        note = f"{name} {before}{point.codec.format(value)}"
        port = self._ports.find(device.port)
        return write_point(port, client, device.unit, point, name, value, until, self._now, note)

    def _find(self, name: str) -> tuple[Device, Point]:
        return found(name, self._points, "value")

    def _index(self) -> None:
        """Makes what is looked up fast."""
        self._described.clear()
        self._points = {
            f"{device.name}.{point.name}": (device, point)
            for device in self._devices.values() for point in device.points.values()
        }
        self.state.dead_bands = {name: point.dead_band for name, (_, point) in self._points.items() if point.dead_band}
        self._hearing.describe(self._devices.values())

    def _open(self, name: str) -> None:
        port: Port = self._ports.find(name)
        if name not in self._listening:
            self._listening[name] = port.listen(partial(self._on_sample, name))
        if share := self._settings.poll_share:
            there = [one for one in self._devices.values() if one.port == name]
            poller = PortPoller(port, there, share, self._clock, self._now, self._hearing.failed)
            self._pollers[name] = poller
            poller.start()


def _tell_not_taken(failure: Failure, name: str) -> Failure:
    """The log of writes says *confirmed*, which is what the device did; that it holds another value is said here."""
    if failure.check(NotTaken):
        _log.warn("{why}", why=str(failure.value), fold=("not taken", name))
    return failure


def _description(name: str, device: Device, point: Point) -> PointDescription:
    codec = point.codec
    return PointDescription(
        name=name, type=codec.type, unit_of_measure=point.unit_of_measure, writable=point.writable,
        summary=point.summary, low=codec.low, high=codec.high,
        words=tuple(codec.enum.values()) or tuple(codec.bits.values()), device=device.name, port=device.port,
        unit=device.unit,
    )
