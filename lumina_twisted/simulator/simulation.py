"""A simulation: any number of simulated buses that start and stop together, floor 2."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service

from lumina_twisted.errors import PortError
from lumina_twisted.simulator.build import devices_of, faults_of, masters_of, own_times
from lumina_twisted.simulator.bus import SimulatedBus
from lumina_twisted.simulator.settings import SimulatedBusSettings, SimulationSettings
from lumina_twisted.simulator.wire_log import Listener, OnWire, WireLog

REMEMBERED: Final = 1000
"""Events that :attr:`Simulation.wire` keeps."""


class Simulation(Service):
    """The buses that settings describe, as a service: started, programs can open them; stopped, nothing is left.

    A program, or a test, looks at ``simulation.buses[name]``: ``path`` is what to open, ``heard`` are the requests that
    came, ``fault_counts`` says how often each fault was applied, ``unplug()`` and ``replug()`` take the adapter away
    and bring it back.

    :param settings: from :func:`~lumina_twisted.simulator.document.simulation_settings`, or made in Python.
    :param reactor: for delayed calls and terminals.
    :param now: a clock that never goes back, as ``time.monotonic``; values begin to move when the service starts.
    :param on_wire: is told everything that comes over the wires; it shall not block.
    :param stamp: the time of day, in seconds since 1970.
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
            faults=faults_of(bus, seed), masters=masters_of(bus), name=name, on_wire=self._tell,
            stamp=self._stamp, is_plugged=False,
        )

    def startService(self) -> None:
        """Opens the log and plugs all buses in.

        :raises ConfigError: if the log cannot be written.
        :raises PortError: if the path of a bus is taken or cannot be made; none of them is plugged in then.
        """
        log = self._settings.log
        if log.path:
            self._log = WireLog(self._reactor, log.path, size=log.size, waiting=log.waiting)
        if self._folder:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)  # it was stopped before
        self._began = self._now()
        try:
            for name, bus in self.buses.items():
                _plug(name, bus)
        except PortError:
            self._end()
            raise
        super().startService()

    def stopService(self) -> None:
        """Unplugs them and closes the log; nothing is left."""
        super().stopService()
        self._end()

    def summary(self) -> list[str]:
        """A line for each bus: its name, what to open, its speed and its units."""
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

    def _tell(self, event: OnWire) -> None:
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
