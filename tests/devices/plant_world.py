"""Two ports with their real buses, devices on a wire that is late, mute or says no, and a plant before them; all of it
on a test's clock and from one seed.

The world remembers what each device held, and when. So it knows of each reading that is told as good whether its device
did hold that at some moment from the reading's time on.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from functools import partial
from itertools import count
from typing import Any, Final

from attrs import evolve
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from lumina_twisted.access.caller import Terms, caller_of
from lumina_twisted.devices.describe.description import Device, Point
from lumina_twisted.devices.describe.settings import ValuesSettings
from lumina_twisted.devices.plant import Plant
from lumina_twisted.devices.state import DeviceStates
from lumina_twisted.errors import LuminaError
from lumina_twisted.framing.rtu import encode_adu, wire_time
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.modbus.values.codec import ValueCodec
from lumina_twisted.ports.service import PortService
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.valueproto.reading import Quality, Reading

WALL: Final = 1_000_000.0
SIZE: Final = 16
"""Entries of each table that are used."""
TIMEOUT: Final = 0.1
LONGEST_REPLY: Final = 0.03
"""Seconds that one is on the wire, at most."""
OTHER_SPEED: Final = SerialSettings(baudrate=4800)
_TABLES: Final = "holding", "input", "coil"


def _point(name: str, table: Any, address: int, poll: float = 1.0, **keys: Any) -> Point:
    own = {key: keys.pop(key) for key in list(keys) if hasattr(ValueCodec, key)}
    return Point(name=name, table=table, address=address, poll=poll, codec=ValueCodec(**own), **keys)


_POINTS: Final = (
    _point("level", "holding", 0, writable=True),
    _point("total", "holding", 1, writable=True, type="u32", poll=2.0),
    _point("pump", "holding", 3, writable=True, type="bool", bit=3),
    _point("fan", "holding", 3, writable=True, type="bool", bit=4),
    _point("setpoint", "holding", 6, writable=True, read_back=True, poll=2.0),
    _point("rarely", "holding", 5, writable=True, poll=6.0),
    _point("asked", "holding", 9, writable=True, poll=0.0),
    _point("flow", "input", 0, poll=0.6),
    _point("energy", "input", 1, type="u32"),
    _point("valve", "coil", 2, type="bool", writable=True),
)
_PLACES: Final = (("boiler", "p", 1), ("shadow", "p", 1), ("tank", "p", 2), ("pump", "q", 1))


class Unit:
    """A device, and what it held since when."""

    def __init__(self) -> None:
        self.device = SimulatedDevice()
        self._times: list[float] = []
        self._held: list[dict[str, tuple[int, ...]]] = []

    def note(self, now: float) -> None:
        """It may hold something else from now on."""
        tables = self.device.holding_registers, self.device.input_registers, self.device.coils
        self._times.append(now)
        self._held.append({name: tuple(table[:SIZE]) for name, table in zip(_TABLES, tables, strict=True)})

    def held(self, point: Point, value: object, since: float) -> bool:
        """Whether it held that value at some moment since then."""
        first = max(0, bisect_right(self._times, since) - 1)
        return any(
            point.codec.decode(held[point.table][point.address : point.end]) == value for held in self._held[first:]
        )

    def holds(self, point: Point, value: object) -> bool:
        """Whether it holds it now."""
        return self.held(point, value, self._times[-1])


class Wire:
    """What a port is open to: units that do what they are asked, and answer or do not."""

    def __init__(self, world: PlantWorld, name: str) -> None:
        self._world = world
        self.units = {unit: Unit() for unit in (1, 2, 3)}
        self.dead: set[int] = set()
        self.free_at: dict[int, float] = {}
        self.is_noisy = False
        self.plugged = 0
        self.port = PortService(name, world.settings(name), world.clock, world.clock.seconds)

    def send_frame(self, data: bytes, serial: SerialSettings) -> None:
        """See :meth:`lumina_twisted.ports.serial.BusTransport.send_frame`."""
        if serial == self.port.serial:
            seconds = wire_time(serial.baudrate, len(data))
            self._world.clock.callLater(seconds, self._arrive, data, self.plugged)

    def plug(self) -> None:
        """It is open."""
        self.plugged += 1
        self.port._protocol.makeConnection(self)  # type: ignore[arg-type]

    def unplug(self) -> None:
        """It is gone, with all that is on it."""
        self.plugged += 1
        self.port._protocol.connectionLost(Failure(ConnectionLost()))

    def _arrive(self, frame: bytes, plugged: int) -> None:
        unit, request = frame[0], frame[1:-2]
        if unit == 0:
            for one in self.units:
                self._do(one, request)
            return
        if unit in self.units and unit not in self.dead:
            chance = self._world.random.random() if self.is_noisy else 1.0
            if chance < 0.06:
                return  # it was not heard
            late = TIMEOUT * self._world.random.uniform(1.05, 1.8) if chance < 0.12 else 0.0
            seconds = late or self._world.random.uniform(0.001, 0.03)
            looks_at = self._world.random.uniform(0, seconds)
            queued = max(0.0, self.free_at.get(unit, 0.0) - self._world.clock.seconds())  # it answers in order
            self.free_at[unit] = self._world.clock.seconds() + queued + seconds + LONGEST_REPLY
            self._world.clock.callLater(queued + looks_at, self._answer, frame, plugged, chance, seconds - looks_at)

    def _answer(self, frame: bytes, plugged: int, chance: float, seconds: float) -> None:
        unit, request = frame[0], frame[1:-2]
        if 0.12 <= chance < 0.18:
            reply = bytes((request[0] | 0x80, self._world.random.choice((2, 3, 4, 6))))
        else:
            reply = self._do(unit, request)
        if 0.18 <= chance < 0.22:
            return  # nor was its answer
        data = encode_adu(unit, reply)
        if 0.22 <= chance < 0.26:
            data = data[:-1] + bytes((data[-1] ^ 1,))
        seconds += wire_time(self.port.serial.baudrate, len(data))
        self._world.clock.callLater(seconds, self._hear, data, plugged)

    def _do(self, unit: int, request: bytes) -> bytes:
        one = self.units[unit]
        reply = one.device.answer(request, self._world.clock.seconds())
        one.note(self._world.clock.seconds())
        return reply

    def _hear(self, data: bytes, plugged: int) -> None:
        if plugged == self.plugged:
            self.port._protocol.dataReceived(data)


class PlantWorld:
    """A plant, and all that happens to it. ``wrong`` is what was told as good and is not so."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = Clock()
        self.wrong: list[str] = []
        self.open = 0
        """Requests that have not ended."""
        self._values = count(1)
        self._checked: dict[str, tuple[Reading, Point, Unit]] = {}
        self.wires = {name: Wire(self, name) for name in ("p", "q")}
        self.described = {name: self._device(name, port, unit) for name, port, unit in _PLACES}
        self.values = ValuesSettings(poll_share=self.random.choice((0.0, 0.2, 0.5, 1.0)))
        self.plant = Plant(
            self.described.values(), self, DeviceStates(), self.values, self.clock,
            self.clock.seconds, self._stamp,
        )
        for wire in self.wires.values():
            for unit in wire.units.values():
                unit.note(0.0)
            wire.plug()
        self.plant.start()

    def settings(self, name: str) -> PortSettings:
        """Those of a port."""
        return PortSettings(
            path=f"/dev/{name}", baudrate=self.random.choice((9600, 115200)), timeout=TIMEOUT, echo="off",
            merge=self.random.random() < 0.5, merge_hole=2, share=self.random.random() < 0.7,
            max_age=self.random.choice((0.0, 1.0)), retry_writes=self.random.choice((0, 0, 2)),
        )

    def __iter__(self) -> Any:
        return iter([wire.port for wire in self.wires.values()])

    def find(self, name: str) -> Any:
        """See :class:`lumina_twisted.ports.interfaces.Ports`."""
        return self.wires[name].port

    # -- what happens --------------------------------------------------------------------------------------------------

    def walk(self, steps: int) -> None:
        """So many things happen."""
        happens = (
            self._changes, self._changes, self._reads, self._reads, self._writes, self._writes, self._asks, self._asks,
            self._sets, self._sets, self._faults, self._describes, self._broadcasts, self._asks_at_another_speed,
        )
        for _ in range(steps):
            self.random.choice(happens)()
            self.check()
            self.run_for(self.random.choice((0.0, 0.01, 0.05, 0.3, 1.5)))

    def rest(self, seconds: float = 30.0) -> None:
        """All is well again, and nothing moves: each polled point is known as it is."""
        for wire in self.wires.values():
            wire.dead.clear()
            wire.is_noisy = False
            if not wire.port.is_open:
                wire.plug()
        self.run_for(seconds)
        for name, device, point, unit in self._points():
            reading = self.plant.reading(name)
            has_room = self.values.poll_share >= 0.5 and self.wires[device.port].port.serial.baudrate > 9600
            if has_room and point.poll:
                if reading.quality is not Quality.GOOD:
                    self.wrong.append(f"{name} of {device.port}/{device.unit} is {reading} when all is well")
                elif not unit.holds(point, reading.value):
                    self.wrong.append(f"{name} is not {reading} any more")
        if self.open:
            self.wrong.append(f"{self.open} requests never ended")

    def stop(self) -> None:
        """The service stops."""
        self.plant.stop()
        for wire in self.wires.values():
            wire.port._protocol.stop()
        self.run_for(1.0)
        for wire in self.wires.values():
            wire.port._protocol.close()
            wire.port._noise.stop()
        self.wrong += [f"still to be called: {one}" for one in self.clock.getDelayedCalls()]

    def run_for(self, seconds: float) -> None:
        """Time passes, and each call comes in its time."""
        until = self.clock.seconds() + seconds
        while (calls := self.clock.getDelayedCalls()) and calls[0].getTime() <= until:
            self.clock.advance(max(0.0, calls[0].getTime() - self.clock.seconds()))
            self.check()
        self.clock.advance(max(0.0, until - self.clock.seconds()))

    def check(self) -> None:
        """Whether all that is told as good is so."""
        self.plant.mark_stale()
        now = self.clock.seconds()
        for name, _, point, unit in self._points():
            reading = self.plant.reading(name)
            if reading.quality is not Quality.GOOD:
                continue
            since = (reading.time or 0.0) - WALL
            if now - since > self.values.stale_after * (point.poll or 20.0) + 1e-6:
                self.wrong.append(f"{now:.3f}: {name} is {now - since:.3f} s old, and good")
            # A write is dated by its proof, which comes after the deed.
            slack = TIMEOUT * 2 if point.writable else 1e-6
            seen = self._checked.get(name, (None, None, None))
            if seen == (reading, point, unit):
                continue
            if not unit.held(point, reading.value, since - slack):
                self.wrong.append(f"{now:.3f}: {name} was never {reading.value!r} since {since:.3f}")
            before = 0.0 if seen[0] is None or seen[1:] != (point, unit) else (seen[0].time or 0.0) - WALL
            if since < before - 1e-6:
                self.wrong.append(f"{now:.3f}: {name} was told as of {since:.3f} after a younger one")
            self._checked[name] = reading, point, unit

    def _points(self) -> Any:
        for name in self.plant.names():
            one = self.plant._find(name)
            yield name, one.device, one.point, self.wires[one.device.port].units[one.device.unit]

    def _stamp(self) -> float:
        return WALL + self.clock.seconds()

    def _device(self, name: str, port: str, unit: int, points: tuple[Point, ...] = _POINTS) -> Device:
        some = [one for one in points if self.random.random() < 0.8] or [points[0]]
        return Device(
            name=name, port=port, unit=unit, points={one.name: one for one in some}, hole=self.random.choice((0, 3))
        )

    # -- each of them --------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        return next(self._values) & 0xFFFF

    def _wire(self) -> Wire:
        return self.random.choice(list(self.wires.values()))

    def _changes(self) -> None:
        """A device's own doing."""
        unit = self.random.choice(list(self._wire().units.values()))
        for table in (unit.device.holding_registers, unit.device.input_registers):
            for address in range(SIZE):
                if self.random.random() < 0.5:
                    table[address] = self._next()
        unit.device.coils[2] = self.random.random() < 0.5
        unit.note(self.clock.seconds())

    def _range(self) -> tuple[int, int]:
        address = self.random.randrange(10)
        return address, self.random.randint(1, 12 - address if self.random.random() < 0.7 else 2)

    def _reads(self) -> None:
        """A client."""
        address, quantity = self._range()
        kind = self.random.choice((
            pdu.ReadHoldingRegistersRequest, pdu.ReadHoldingRegistersRequest, pdu.ReadInputRegistersRequest,
            pdu.ReadCoilsRequest,
        ))
        self._request(kind(address, quantity).encode())

    def _writes(self) -> None:
        """A client."""
        address, quantity = self._range()
        values = [self._next() for _ in range(quantity)]
        self._request(self.random.choice((
            pdu.WriteSingleRegisterRequest(address, values[0]), pdu.WriteMultipleRegistersRequest(address, values),
            pdu.MaskWriteRegisterRequest(address, 0xFF00, values[0] & 0xFF),
            pdu.ReadWriteMultipleRegistersRequest(*self._range(), address, values),
            pdu.WriteSingleCoilRequest(2, values[0] & 1 == 0), pdu.WriteMultipleCoilsRequest(1, [True, False, True]),
        )).encode())

    def _broadcasts(self) -> None:
        self._request(pdu.WriteSingleRegisterRequest(self.random.randrange(8), self._next()).encode(), 0)

    def _asks_at_another_speed(self) -> None:
        for _ in range(self.random.choice((1, 6))):
            self._request(pdu.ReadHoldingRegistersRequest(0, 4).encode(), serial=OTHER_SPEED)

    def _request(self, request: bytes, unit: int | None = None, **keys: Any) -> None:
        asked = self._wire().port.request(
            caller_of(self.random.randrange(4)), self.random.choice((1, 1, 2, 3)) if unit is None else unit, request,
            Terms(
                self.random.choice((0.2, 1.0, 5.0)), priority=self.random.choice(("high", "normal", "low")), **keys
            ),
        )
        self._follow(asked)

    def _asks(self) -> None:
        """A program, by name."""
        self._follow(self.plant.read("me", self.random.choice(self.plant.names()), self.random.choice((0.2, 3.0))))

    def _sets(self) -> None:
        name = self.random.choice(self.plant.names())
        value = self._next()
        kind = self.plant.describe(name).type
        self._follow(self.plant.write("me", name, bool(value & 1) if kind == "bool" else value, 3.0))

    def _follow(self, asked: Any) -> None:
        self.open += 1
        asked.addBoth(self._ended)
        if self.random.random() < 0.05:
            self.clock.callLater(self.random.uniform(0, 0.2), asked.cancel)

    def _ended(self, result: Any) -> None:
        self.open -= 1
        if isinstance(result, Failure) and not result.check(LuminaError, OverflowError):
            self.wrong.append(f"{self.clock.seconds():.3f}: a request ended as {result!r}")

    def _faults(self) -> None:
        wire = self._wire()
        self.random.choice((
            partial(setattr, wire, "is_noisy", not wire.is_noisy), partial(wire.dead.add, self.random.choice((1, 2))),
            wire.dead.clear, wire.unplug if wire.port.is_open else wire.plug,
        ))()

    def _describes(self) -> None:
        """A device is described anew."""
        name, port, unit = self.random.choice(_PLACES)
        if self.random.random() < 0.5:
            port, unit = self.random.choice("pq"), self.random.randint(1, 3)
        shift = self.random.choice((0, 0, 1))
        points = tuple(evolve(one, address=one.address + shift) for one in _POINTS)
        self.plant.replace(self._device(name, port, unit, points))
        self._checked = {one: seen for one, seen in self._checked.items() if not one.startswith(f"{name}.")}
