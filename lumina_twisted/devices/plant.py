"""All devices and their values, floor 3: :class:`Plant` implements :class:`lumina_twisted.devices.interfaces.Values`.

All state comes from the transactions that the ports report, whichever client sent the request. To read or write a
point, the plant sends a request to the port and waits for its turn, as every client does. :class:`PlantService` starts
and stops the plant: it restores the readings from before a restart, then starts polling; at the stop it saves the last
readings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lumina_twisted.access.caller import Caller, Terms, caller_of
from lumina_twisted.bus.events import Sample
from lumina_twisted.devices.changing import Changes
from lumina_twisted.devices.configuring import KeepsConfigurations
from lumina_twisted.devices.describe.description import Device, Profile, found, matching
from lumina_twisted.devices.describe.settings import ValuesSettings, take_over
from lumina_twisted.devices.interfaces import LUMINA, Observer, PointDescription
from lumina_twisted.devices.observations import Observations, ObservedPoint, Run
from lumina_twisted.devices.poll.poller import PortPoller
from lumina_twisted.devices.state import DeviceStates
from lumina_twisted.devices.store.database import DatabaseLock, Kept
from lumina_twisted.devices.store.state_store import StateStore, StoreSettings
from lumina_twisted.devices.writing import PointWrite, WriteTurns, checked_value
from lumina_twisted.errors import LuminaError, NotTaken
from lumina_twisted.modbus.functions import BROADCAST
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.ports.interfaces import Port, Ports
from lumina_twisted.valueproto.reading import Confirmed, Reading

_log: Final = Logger(namespace="lumina.values")

MARK_EVERY: Final = 1.0
"""Seconds between two searches for readings that have become stale."""


class Plant:
    """The devices behind the configured ports.

    :param devices: as the files describe them.
    :param state: the last readings of their points.
    :param clock: for delayed calls.
    :param now: a clock that never goes back, in seconds.
    :param stamp: the time of day, in seconds.
    :param profiles: the profiles that a device may name.
    :param store: keeps the changes that clients make to configurations.
    """

    def __init__(
        self, devices: Iterable[Device], ports: Ports, state: DeviceStates, settings: ValuesSettings, clock: Any,
        now: Callable[[], float], stamp: Callable[[], float], profiles: Mapping[str, Profile] | None = None,
        store: KeepsConfigurations | None = None,
    ) -> None:
        self.state = state
        self._ports = ports
        self._settings = settings
        self._clock = clock
        self._now = now
        self._observations = Observations(state, settings.stale_after, now, stamp)
        self._devices = {one.name: one for one in devices}
        self._described: dict[str, PointDescription] = {}
        self._pollers: dict[str, PortPoller] = {}
        self._listening: dict[str, Callable[[], None]] = {}
        self._turns = WriteTurns(clock)
        self._is_running = False
        self.changes = Changes(
            self._devices.values(), profiles or {}, [one.name for one in ports], self.replace, store
        )
        """The configurations of the devices, which clients may change."""
        self._observations.describe(self._devices.values())

    # -- its life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts to listen to the ports, and to poll."""
        self._is_running = True
        for port in dict.fromkeys(one.port for one in self._devices.values()):
            self._open(port)

    def stop(self) -> None:
        """Stops listening and polling."""
        self._is_running = False
        for poller in self._pollers.values():
            poller.stop()
        for end in self._listening.values():
            end()
        self._pollers.clear()
        self._listening.clear()

    def replace(self, device: Device) -> None:
        """Replaces the description of a device, or adds a new device."""
        before = self._devices.get(device.name)
        if before is not None and before.port in self._pollers:
            self._pollers[before.port].remove(before.name)
        self._devices[device.name] = device
        self._described.clear()
        self._observations.describe(self._devices.values())
        if not self._is_running:
            return
        if device.port in self._pollers:
            self._pollers[device.port].add(device)
        else:
            self._open(device.port)

    def mark_stale(self) -> None:
        """Sends an event for each point that has become stale. The owner calls this about once a second."""
        self._observations.mark_stale()

    # -- names ---------------------------------------------------------------------------------------------------------

    def names(self, pattern: str = "*") -> list[str]:
        """See :class:`~lumina_twisted.devices.interfaces.Values`, also for the methods that follow."""
        return matching(self._observations.points, pattern)

    def devices(self) -> list[str]:
        """The names of all devices."""
        return list(self._devices)

    def describe(self, name: str) -> PointDescription:
        """The description of a point."""
        known = self._described.get(name)
        if known is None:
            known = self._described[name] = _description(self._find(name))
        return known

    def text(self, name: str, value: Value | None) -> str:
        """A value as a person reads it."""
        one = self._observations.points.get(name) or self._find(name)
        return one.point.codec.format(value)

    # -- values --------------------------------------------------------------------------------------------------------

    def reading(self, name: str) -> Reading:
        """The last reading of a point, and its quality now."""
        return self._observations.reading(self._observations.points.get(name) or self._find(name))

    def read(self, caller: Caller, name: str, timeout: float) -> Deferred[Reading]:
        """Reads a point from the device now."""
        try:
            one = self._observations.points.get(name) or self._find(name)
            port = self._ports.find(one.device.port)
        except LuminaError:
            return fail()
        caller = caller if isinstance(caller, Caller) else caller_of(caller)
        asked = port.request(caller, one.device.unit, one.read_request, Terms(timeout, max_age=0.0))
        return asked.addCallback(self._read, name)

    def write(self, caller: Caller, name: str, value: Value, timeout: float) -> Deferred[Confirmed]:
        """Writes a point."""
        try:
            one = self._find(name)
            value = checked_value(one.device.unit, one.point, name, value)
        except LuminaError:
            return fail()
        return Deferred.fromCoroutine(self._write(caller_of(caller), one, value, timeout))

    def watch(self, observer: Observer, names: Iterable[str]) -> Callable[[], None]:
        """Calls ``observer`` with each change of these points."""
        wanted = [self._find(name) for name in dict.fromkeys(names)]

        def changed(device: str, point: str, reading: Reading) -> None:
            observer(f"{device}.{point}", reading)

        ends = [self.state.watch(changed, one.device.name, one.point.name) for one in wanted]

        def end_all() -> None:
            for end in ends:
                end()

        return end_all

    def history(self, name: str) -> Sequence[Reading]:
        """The last changes of a point."""
        one = self._find(name)
        return self.state.history(one.device.name, one.point.name)

    # -- what is configured --------------------------------------------------------------------------------------------

    def config(self, device: str) -> Mapping[str, Any]:
        """The configuration of a device."""
        return self.changes.config(device)

    def configure(self, device: str, changes: Mapping[str, Any], caller: Caller = LUMINA) -> Deferred[None]:
        """Changes the configuration of a device."""
        return self.changes.change(device, changes, caller)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _read(self, _: bytes, name: str) -> Reading:
        """The reading after the device has replied. The sample of that reply has already updated the state."""
        return self._observations.reading(self._observations.points.get(name) or self._find(name))

    def _on_sample(self, port: str, sample: Sample) -> None:
        poller = self._pollers.get(port)
        if poller is not None:
            poller.replies += 1
        for run, devices in self._observations.take(port, sample):
            if poller is None:
                continue
            for device in devices if sample.is_read else ():
                poller.heard(device, run.table, run.address, run.quantity)
            if run.entries is None or not sample.is_read:
                self._hurry(poller, sample.unit, run)

    def _hurry(self, poller: PortPoller, unit: int, run: Run) -> None:
        """Something was written to these entries: the poller reads them as soon as it can."""
        for device in self._devices.values():
            if device.port == poller.port.name and unit in (BROADCAST, device.unit):
                poller.hurry(device.name, run.table, run.address, run.quantity)

    async def _write(self, caller: Caller, one: ObservedPoint, value: Value, timeout: float) -> Confirmed:
        until = self._now() + timeout

        async def carry_out() -> str:
            now = self._find(one.name)  # the description may have changed while the write waited
            known, codec, unit = self.state.reading(now.device.name, now.point.name), now.point.codec, now.device.unit
            before = "" if known is None or known.value is None else f"{codec.format(known.value)} -> "
            write = PointWrite(
                self._ports.find(now.device.port), caller, unit, now.point, one.name,
                lambda: max(0.0, until - self._now()),
            )
            return await write.carry_out(value, f"{one.name} {before}{codec.format(value)}")

        try:
            not_read_back = await self._turns.run((one.device.port, one.device.unit), one.point, timeout, carry_out)
        except NotTaken as error:  # the log of writes says *confirmed*
            _log.warn("{why}", why=str(error), fold=("not taken", one.name))
            raise
        return Confirmed(self.reading(one.name), not_read_back)

    def _find(self, name: str) -> ObservedPoint:
        return self._observations.points.get(name) or found(name, self._observations.points, "value")

    def _open(self, name: str) -> None:
        port: Port = self._ports.find(name)
        if name not in self._listening:
            self._listening[name] = port.listen(partial(self._on_sample, name))
        if share := self._settings.poll_share:
            there = [one for one in self._devices.values() if one.port == name]
            poller = PortPoller(port, there, share, self._clock, self._now, self._observations.failed)
            self._pollers[name] = poller
            poller.start()


def _description(one: ObservedPoint) -> PointDescription:
    device, point, codec = one.device, one.point, one.point.codec
    return PointDescription(
        name=one.name, type=codec.type, unit_of_measure=point.unit_of_measure, writable=point.writable,
        summary=point.summary, low=codec.low, high=codec.high,
        words=tuple(codec.enum.values()) or tuple(codec.bits.values()), device=device.name, port=device.port,
        unit=device.unit,
    )


class PlantService(Service):
    """The service for all devices of a configuration. Front-ends use its ``plant``.

    :param reactor: for delayed calls and the database's thread.
    :param now: a clock that never goes back, in seconds.
    :param stamp: the time of day, in seconds.
    """

    def __init__(
        self, devices: Mapping[str, Device], profiles: Mapping[str, Profile], settings: ValuesSettings, ports: Ports,
        reactor: Any, now: Callable[[], float], stamp: Callable[[], float],
    ) -> None:
        self.store = _store(settings, reactor, now)
        self._lock = DatabaseLock(settings.database)
        self.state = DeviceStates(history=settings.history, keep=None if self.store is None else self.store.add)
        self.plant = Plant(
            devices.values(), ports, self.state, settings, reactor, now, stamp, profiles=profiles, store=self.store
        )
        self._marking = LoopingCall(self.plant.mark_stale)
        self._marking.clock = reactor
        self._started: Deferred[None] = succeed(None)

    def claim(self) -> str:
        """Makes sure that no other service uses the database. It waits some seconds for one that is about to stop.

        :return: empty, or a sentence that says which service uses it.
        """
        return self._lock.take()

    def startService(self) -> None:
        """Restores configurations and readings, and then starts polling."""
        super().startService()
        self._started = Deferred.fromCoroutine(self._start())

    def stopService(self) -> Deferred[None]:
        """Stops polling, and saves the last readings.

        :return: a Deferred that fires with None when they are saved; it does not fail.
        """
        super().stopService()
        self.plant.changes.stop()
        self.plant.stop()
        if self._marking.running:
            self._marking.stop()
        return Deferred.fromCoroutine(self._stop(self._started))

    async def _start(self) -> None:
        try:
            async with self.plant.changes.turn:
                await self._load()
        except Exception:
            self._log_failure()
        if self.store is not None and not self.store.trouble:
            path = os.path.abspath(self.store.settings.path)
            _log.info("values and changes of devices are kept in {path}", path=path)
        self.plant.changes.log_changed()
        if self.running:
            self.plant.start()
            self._marking.start(MARK_EVERY, now=False)

    async def _load(self) -> None:
        """Restores the configurations before the readings, for the readings belong to the changed descriptions."""
        kept = Kept() if self.store is None else await self.store.start()
        try:
            await self.plant.changes.restore(kept.configurations)
        finally:
            self.state.restore(kept.readings, kept.changes)

    async def _stop(self, started: Deferred[None]) -> None:
        await started
        try:
            if self.store is not None:
                await self.store.stop(self.state.readings())
        except Exception:
            self._log_failure()
        self._lock.release()

    def _log_failure(self) -> None:
        _log.failure("the devices did not start or stop cleanly")


def _store(settings: ValuesSettings, reactor: Any, now: Callable[[], float]) -> StateStore | None:
    if not settings.database:
        return None
    kept = take_over(StoreSettings, settings, path=settings.database)
    return StateStore(kept, reactor, now=now)
