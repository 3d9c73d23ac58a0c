"""A port whose transactions take time on a test's clock: one at a time, the higher lane first, as on a bus."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.bus.events import HealthChange, Sample, UnitState
from lumina_twisted.errors import Cancelled, UnitOffline, exception_from_code
from lumina_twisted.modbus.functions import is_read
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.priority import lane_of
from lumina_twisted.simulator.device import SimulatedDevice


class TimedPort:
    """Its ``devices`` answer after ``cost`` seconds, or raise what ``faults`` has for their unit."""

    def __init__(
        self, clock: Clock, devices: Mapping[int, SimulatedDevice], name: str = "p", cost: float = 0.01
    ) -> None:
        self.name = name
        self.clock = clock
        self.devices = dict(devices)
        self.cost = cost
        self.faults: dict[int, Exception] = {}
        self.asked: list[tuple[float, Caller, int, bytes]] = []
        """When each transaction began, for whom, with which unit, and its request PDU."""
        self.lanes: dict[Caller, list[int]] = {}
        """That of each request, by client."""
        self.used: dict[Caller, float] = {}
        self.offline: set[int] = set()
        self.noise = ""
        """Why the bus is slow, if not for its load."""
        self.silent = False
        """Whether no request ends, nor begins."""
        self._waiting: list[tuple[int, int, Any]] = []
        self._numbers = count()
        self._is_busy = False
        self._health: list[Callable[[HealthChange], None]] = []
        self._samples: list[Callable[[Sample], None]] = []

    def request(
        self, client: Caller, unit: int, pdu: bytes, terms: Terms
    ) -> Deferred[bytes]:
        """See :class:`lumina_twisted.ports.interfaces.Port`, as for all that follow."""
        lane = lane_of(terms.priority)
        ended: Deferred[bytes] = Deferred(lambda one: one.errback(Cancelled("cancelled by its caller")))
        self.lanes.setdefault(client, []).append(lane)
        heapq.heappush(self._waiting, (lane, next(self._numbers), (client, unit, pdu, ended)))
        self._next()
        return ended

    def watch(self, observer: Callable[[HealthChange], None]) -> Callable[[], None]:
        self._health.append(observer)
        return lambda: self._health.remove(observer)

    def listen(self, observer: Callable[[Sample], None]) -> Callable[[], None]:
        self._samples.append(observer)
        return lambda: self._samples.remove(observer)

    def meter(self, client: Caller) -> None:
        self.used[client] = 0.0

    def is_full_for(self, client: Caller, timeout: float) -> bool:
        return False

    def used_by(self, client: Caller) -> float:
        return self.used.get(client, 0.0)

    def cost_of(self, unit: int, pdu: bytes) -> float:
        return self.cost

    def describe(self) -> Any:
        return self

    def slow_because(self) -> str:
        return self.noise

    def serial_for(self, unit: int) -> SerialSettings:
        return SerialSettings()

    def tell_offline(self, unit: int, serial: SerialSettings) -> None:
        """Somebody asked with those settings, and it does not answer."""
        for observer in self._health:
            observer(HealthChange(unit, serial, UnitState.OFFLINE))

    def go_offline(self, unit: int) -> None:
        """It does not answer any more, and everybody is told."""
        self.offline.add(unit)
        self.tell_offline(unit, SerialSettings())

    def come_back(self, unit: int) -> None:
        self.offline.discard(unit)
        for observer in self._health:
            observer(HealthChange(unit, SerialSettings(), UnitState.ONLINE))

    def _next(self) -> None:
        while self._waiting and not self._is_busy and not self.silent:
            client, unit, pdu, ended = heapq.heappop(self._waiting)[2]
            if not ended.called:
                self._is_busy = True
                self.asked.append((self.clock.seconds(), client, unit, pdu))
                took = 0 if unit in self.offline else self.cost
                self.clock.callLater(took, self._end, self.clock.seconds(), client, unit, pdu, ended)

    def _end(self, began: float, client: Caller, unit: int, pdu: bytes, ended: Deferred[bytes]) -> None:
        self._is_busy = False
        now = self.clock.seconds()
        if client in self.used:
            self.used[client] += now - began
        error = UnitOffline(f"unit {unit} is offline") if unit in self.offline else self.faults.get(unit)
        reply = None if error else self.devices[unit].answer(pdu, now)
        if reply is not None and not reply[0] & 0x80:
            reads = is_read(pdu)
            sample = Sample(unit, pdu, reply, began if reads else now, is_read=reads, is_proven=True)
            for observer in list(self._samples):
                observer(sample)
        if not ended.called:
            if error is not None:
                ended.errback(error)
            elif reply is not None and reply[0] & 0x80:
                ended.errback(exception_from_code(reply[1], unit=unit, function_code=pdu[0]))
            else:
                assert reply is not None
                ended.callback(reply)
        self._next()
