"""A simulation, floor 2: simulated buses that are made from settings, and that start and stop together."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final

import attrs
from twisted.application.service import Service

from lumina_twisted.errors import PortError
from lumina_twisted.modbus.functions import BROADCAST
from lumina_twisted.modbus.pdu import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
)
from lumina_twisted.simulator.bus import OtherMaster, SimulatedBus
from lumina_twisted.simulator.device import SimulatedDevice, Table
from lumina_twisted.simulator.faults import Fault, Faults, Gap
from lumina_twisted.simulator.settings import (
    TABLES,
    SimulatedBusSettings,
    SimulatedUnitSettings,
    SimulationSettings,
    TableSettings,
)
from lumina_twisted.simulator.values import Bit, Cell, Constant, Count, Counter
from lumina_twisted.simulator.wire_log import Listener, OnWire, WireLog

REMEMBERED: Final = 1000
"""Events that :attr:`Simulation.wire` keeps."""


class Simulation(Service):
    """The buses that settings describe, as a service. While it runs, programs can open them. A stopped simulation
    leaves nothing behind.

    A program, or a test, uses ``simulation.buses[name]``: ``path`` is the path to open, ``heard`` has the last
    requests, ``fault_counts`` says how often each fault was applied, and ``unplug()`` and ``replug()`` remove and
    restore the adapter.

    :param settings: from :func:`~lumina_twisted.simulator.settings.simulation_settings`, or made in Python.
    :param reactor: for delayed calls and terminals.
    :param now: a monotonic clock such as ``time.monotonic``; values begin to move when the service starts.
    :param on_wire: is called with every event on the wires; it must not block.
    :param stamp: returns the time of day, in seconds since 1970.
    """

    def __init__(
        self, settings: SimulationSettings, reactor: Any, now: Callable[[], float], *, on_wire: Listener | None = None,
        stamp: Callable[[], float] = time.time,
    ) -> None:
        self.wire: deque[OnWire] = deque(maxlen=REMEMBERED)
        """The last events on all wires."""
        self._settings = settings
        self._reactor = reactor
        self._now = now
        self._began = now()
        self._stamp = stamp
        self._on_wire = on_wire
        self._log: WireLog | None = None
        needs_folder = any(not bus.link for bus in settings.buses.values())
        self._folder = tempfile.mkdtemp(prefix="lumina-") if needs_folder else ""
        self.buses = {name: self._bus(name, bus) for name, bus in settings.buses.items()}

    def _bus(self, name: str, bus: SimulatedBusSettings) -> SimulatedBus:
        seed = f"{self._settings.seed} {name}"
        return SimulatedBus(
            self._reactor, devices_of(bus, seed), bus.link or f"{self._folder}/{name}", self._elapsed,
            baudrate=bus.baudrate, device_time=bus.device_time, own_times=own_times(bus), echo=bus.echo,
            faults=faults_of(bus, seed), masters=masters_of(bus), name=name, on_wire=self._on_event,
            stamp=self._stamp, is_plugged=False,
        )

    def startService(self) -> None:
        """Opens the log and plugs all buses in.

        :raises ConfigError: if the log cannot be written.
        :raises PortError: if the path of a bus is taken or cannot be made; then no bus is plugged in.
        """
        log = self._settings.log
        if log.path:
            self._log = WireLog(self._reactor, log.path, size=log.size, waiting=log.waiting)
        if self._folder:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)  # an earlier stop removed it
        self._began = self._now()
        try:
            for name, bus in self.buses.items():
                _plug(name, bus)
        except PortError:
            self._end()
            raise
        super().startService()

    def stopService(self) -> None:
        """Unplugs all buses and closes the log; nothing is left behind."""
        super().stopService()
        self._end()

    def summary(self) -> list[str]:
        """A line for each bus: its name, the path to open, its speed and its units."""
        return [
            f"{name}: {self.buses[name].path}, {bus.baudrate} baud, {_listed(bus)}"
            for name, bus in self._settings.buses.items()
        ]

    def _end(self) -> None:
        for bus in self.buses.values():
            bus.stop()
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _elapsed(self) -> float:
        return self._now() - self._began

    def _on_event(self, event: OnWire) -> None:
        self.wire.append(event)
        if self._log is not None:
            self._log(event)
        if self._on_wire is not None:
            self._on_wire(event)


def _plug(name: str, bus: SimulatedBus) -> None:
    try:
        bus.replug()
    except FileExistsError:
        raise PortError(
            f"bus {name}: {bus.path} exists already; if no other simulation runs there, remove it, or give the bus"
            " another link"
        ) from None
    except OSError as error:
        raise PortError(f"bus {name}: {bus.path} cannot be made ({error.strerror}); does its folder exist?") from None


def _listed(bus: SimulatedBusSettings) -> str:
    units = ", ".join(map(str, sorted(bus.units)))
    return f"units {units}" if len(bus.units) > 1 else f"unit {units}" if units else "no units"


# -- from settings to devices ----------------------------------------------------------------------------------------

_READS: Final = {
    "coils": ReadCoilsRequest, "discrete_inputs": ReadDiscreteInputsRequest,
    "holding_registers": ReadHoldingRegistersRequest, "input_registers": ReadInputRegistersRequest,
}


def devices_of(bus: SimulatedBusSettings, seed: str) -> dict[int, SimulatedDevice]:
    """The devices of a bus, by unit identifier."""
    return {number: _device(unit, f"{seed} unit {number}") for number, unit in bus.units.items()}


def own_times(bus: SimulatedBusSettings) -> dict[int, float]:
    """The device time of each unit that has its own."""
    return {number: unit.device_time for number, unit in bus.units.items() if unit.device_time is not None}


def faults_of(bus: SimulatedBusSettings, seed: str) -> Faults:
    """The faults of a bus. The silence that a device needs is a :class:`Gap` fault of that unit."""
    units = {
        number: [*_gap(bus.frame_gap if unit.frame_gap is None else unit.frame_gap), *unit.faults]
        for number, unit in bus.units.items()
    }
    return Faults(bus.faults, {BROADCAST: _gap(bus.frame_gap), **units}, seed)


def masters_of(bus: SimulatedBusSettings) -> list[OtherMaster]:
    """The other masters of a bus."""
    return [
        OtherMaster(one.unit, _READS[one.table](one.address, one.count).encode(), one.interval)
        for one in bus.masters
    ]


def _gap(seconds: float) -> list[Fault]:
    return [Gap(rate=1.0, seconds=seconds)] if seconds else []


def _device(unit: SimulatedUnitSettings, seed: str) -> SimulatedDevice:
    objects = enumerate(attrs.astuple(unit.identity))  # the fields are in the order of the object ids
    device = SimulatedDevice({number: text for number, text in objects if text})
    for name, is_bits in TABLES.items():
        setattr(device, name, _table(getattr(unit, name), f"{seed} {name}", is_bits, device.on_write))
    device.files = {number: list(records) for number, records in unit.files.items()}
    device.fifo_queues = {address: list(entries) for address, entries in unit.fifo_queues.items()}
    return device


def _table(
    settings: TableSettings, seed: str, is_bits: bool, on_write: dict[int, list[Callable[[float], None]]]
) -> Table:
    """Makes a table, and adds to ``on_write`` the writes that reset its counters."""
    table = Table(
        settings.size, forbidden=settings.forbidden, read_only=settings.read_only, write_once=settings.write_once
    )
    for address, value in settings.values.items():
        if isinstance(value, Constant):
            entries = value.entries(is_bits)
            table[address : address + len(entries)] = entries
            continue
        motion = value.motion(Random(f"{seed} {address}"))
        table.cells.append(Cell(address, motion, Bit() if is_bits else value))
        if isinstance(value, Count) and value.reset_by is not None and isinstance(motion, Counter):
            on_write.setdefault(value.reset_by, []).append(partial(motion.count_from, 0))
    return table
