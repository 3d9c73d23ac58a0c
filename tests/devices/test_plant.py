"""The devices and their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.bus.events import Sample
from lumina_twisted.devices.describe.description import Device, Point
from lumina_twisted.devices.describe.settings import ValuesSettings
from lumina_twisted.devices.plant import Plant
from lumina_twisted.devices.state import DeviceStates
from lumina_twisted.errors import Cancelled, Expired, NotTaken, NotWritable, RequestError, ResponseTimeout, UnknownName
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.values.codec import ValueCodec
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.valueproto.reading import Quality, Reading
from tests.devices.timed_port import TimedPort

CLIENT = Caller("client")

WALL = 1_000_000.0
"""What the time of day is when the clock says 0."""


def a_point(name: str, address: int, table: Any = "holding", **keys: Any) -> Point:
    own = {key: keys.pop(key) for key in list(keys) if hasattr(ValueCodec, key)}
    return Point(name=name, table=table, address=address, codec=ValueCodec(**own), **keys)


BOILER = {
    one.name: one for one in (
        a_point("temperature", 0, "input", scale=0.1, unit_of_measure="°C", dead_band=0.25, type="i16"),
        a_point("pressure", 1, "input", type="f32"),
        a_point("setpoint", 10, writable=True, low=20.0, high=90.0, scale=0.1, read_back=True),
        a_point("mode", 11, writable=True, enum={0: "off", 1: "eco", 2: "full"}),
        a_point("pump", 12, writable=True, type="bool", bit=3),
        a_point("fan", 12, writable=True, type="bool", bit=4),
        a_point("valve", 0, "coil", type="bool", writable=True),
        a_point("total", 20, type="u32", writable=True, poll=0.0),
    )
}


class Ports:
    """Those of a test."""

    def __init__(self, *ports: TimedPort) -> None:
        self._ports = {one.name: one for one in ports}

    def __iter__(self) -> Iterator[TimedPort]:
        return iter(self._ports.values())

    def find(self, text: str) -> TimedPort:
        """See :class:`lumina_twisted.ports.interfaces.Ports`."""
        if text not in self._ports:
            raise RequestError(f"there is no port {text!r}")
        return self._ports[text]


class PlantCase(SynchronousTestCase):
    """A boiler behind a port."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.boiler = SimulatedDevice()
        self.other = SimulatedDevice()
        self.port = TimedPort(self.clock, {3: self.boiler, 4: self.other})
        self.elsewhere = TimedPort(self.clock, {3: self.other}, name="q")
        self.state = DeviceStates()
        self.plant = Plant(
            [Device(name="boiler", port="p", unit=3, points=BOILER)],
            Ports(self.port, self.elsewhere),  # type: ignore[arg-type]
            self.state, ValuesSettings(), self.clock, self.clock.seconds, self.stamp,
        )
        self.boiler.input_registers[0] = 655

    def tearDown(self) -> None:
        self.plant.stop()
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def stamp(self) -> float:
        return WALL + self.clock.seconds()

    def run_for(self, seconds: float, step: float = 0.01) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def value(self, point: str) -> Any:
        return self.plant.reading(f"boiler.{point}").value

    def ask(self, request: pdu.Request, unit: int = 3) -> None:
        """A client asks the port itself."""
        self.port.request(CLIENT, unit, request.encode(), Terms(5.0)).addErrback(lambda _: None)
        self.run_for(0.05)


class Polled(PlantCase):
    """What is known because it is read again and again."""

    def test_values(self) -> None:
        self.assertEqual(self.plant.reading("boiler.temperature").quality, Quality.STALE)
        self.plant.start()
        self.run_for(1.1)
        reading = self.plant.reading("boiler.temperature")
        self.assertEqual((reading.value, reading.quality, reading.why), (65.5, Quality.GOOD, ""))
        assert reading.time is not None
        self.assertTrue(WALL < reading.time < WALL + 1.1)
        self.assertEqual(self.value("mode"), "off")
        self.assertIs(self.value("pump"), False)
        self.assertIsNone(self.value("total"))

    def test_changes_are_told_beyond_the_dead_band(self) -> None:
        self.plant.start()
        self.run_for(1.1)
        told: list[tuple[str, Reading]] = []
        end = self.plant.watch(lambda name, reading: told.append((name, reading)), ["boiler.temperature"])
        for raw in (656, 657, 660, 661, 655):
            self.boiler.input_registers[0] = raw
            self.run_for(1.0)
        name = "boiler.temperature"
        self.assertEqual([(one, reading.value) for one, reading in told], [(name, 66.0), (name, 65.5)])
        end()
        self.boiler.input_registers[0] = 0
        self.run_for(1.0)
        self.assertEqual(len(told), 2)
        self.assertEqual([one.value for one in self.plant.history("boiler.temperature")], [65.5, 66.0, 65.5, 0.0])

    def test_a_change_arrives_within_an_interval(self) -> None:
        self.plant.start()
        self.run_for(1.1)
        for _ in range(20):
            told: list[float] = []
            end = self.plant.watch(lambda *_, told=told: told.append(self.clock.seconds()), ["boiler.temperature"])
            self.boiler.input_registers[0] += 10
            began = self.clock.seconds()
            self.run_for(1.12)
            self.assertLessEqual(told[0] - began, 1.1)
            end()

    def test_a_fault_is_told_and_the_last_value_kept(self) -> None:
        self.plant.start()
        self.run_for(1.1)
        self.port.faults[3] = ResponseTimeout("unit 3 on p did not answer")
        self.run_for(1.1)
        reading = self.plant.reading("boiler.temperature")
        self.assertEqual((reading.value, reading.quality), (65.5, Quality.BAD))
        self.assertEqual(reading.why, "unit 3 on p did not answer")
        del self.port.faults[3]
        self.run_for(1.1)
        self.assertEqual(self.plant.reading("boiler.temperature").quality, Quality.GOOD)

    def test_what_is_not_read_any_more_is_stale(self) -> None:
        self.plant.start()
        self.run_for(1.1)
        told: list[str] = []
        self.plant.watch(lambda _, reading: told.append(reading.quality), ["boiler.temperature"])
        self.port.silent = True
        self.run_for(4)
        reading = self.plant.reading("boiler.temperature")
        self.assertEqual((reading.value, reading.quality), (65.5, Quality.STALE))
        self.assertIn("3 s", reading.why)
        self.assertEqual(told, [])
        self.plant.mark_stale()
        self.assertEqual(told, [Quality.STALE])


class Heard(PlantCase):
    """What is known because somebody else asked."""

    def setUp(self) -> None:
        super().setUp()
        self.plant.start()
        self.run_for(2.5)

    def test_a_clients_read(self) -> None:
        self.boiler.input_registers[0] = 700
        self.ask(pdu.ReadInputRegistersRequest(0, 10))
        self.assertEqual(self.value("temperature"), 70.0)

    def test_a_clients_write(self) -> None:
        self.ask(pdu.WriteSingleRegisterRequest(11, 2))
        self.assertEqual(self.value("mode"), "full")
        self.ask(pdu.WriteMultipleRegistersRequest(20, [1, 2]))
        self.assertEqual(self.value("total"), 65538)

    def test_what_a_client_has_written_in_part_is_read_again(self) -> None:
        asked = len(self.port.asked)
        self.ask(pdu.MaskWriteRegisterRequest(12, 0xFFF7, 8))
        self.assertGreater(len(self.port.asked), asked + 1)
        self.assertIs(self.value("pump"), True)

    def test_what_another_unit_says_is_not_its_own(self) -> None:
        self.other.input_registers[0] = 1
        self.ask(pdu.ReadInputRegistersRequest(0, 10), unit=4)
        self.assertEqual(self.value("temperature"), 65.5)

    def tell(self, request: pdu.Request, reply: pdu.Reply | None, sampled: float, **keys: Any) -> None:
        answer = b"" if reply is None else reply.encode()
        sample = Sample(3, request.encode(), answer, sampled, **{"is_read": True, "is_proven": True, **keys})
        for observer in list(self.port._samples):
            observer(sample)

    def test_an_older_reply_changes_nothing(self) -> None:
        now = self.clock.seconds()
        self.tell(pdu.ReadInputRegistersRequest(0, 1), pdu.ReadInputRegistersReply([700]), now)
        self.tell(pdu.ReadInputRegistersRequest(0, 1), pdu.ReadInputRegistersReply([800]), now - 0.5)
        self.assertEqual(self.value("temperature"), 70.0)

    def test_what_was_asked_before_a_doubtful_write_says_nothing(self) -> None:
        now = self.clock.seconds()
        self.tell(pdu.WriteSingleRegisterRequest(11, 2), None, now, is_read=False, is_proven=False)
        self.tell(pdu.ReadHoldingRegistersRequest(11, 1), pdu.ReadHoldingRegistersReply([1]), now - 0.1)
        self.assertEqual(self.value("mode"), "off")
        self.tell(pdu.ReadHoldingRegistersRequest(11, 1), pdu.ReadHoldingRegistersReply([1]), now + 0.1)
        self.assertEqual(self.value("mode"), "eco")

    def test_a_text_that_is_none_and_a_value_that_is_one(self) -> None:
        self.tell(pdu.ReadInputRegistersRequest(1, 2), pdu.ReadInputRegistersReply([0x7FC0, 0]), self.clock.seconds())
        self.assertNotEqual(self.value("pressure"), self.value("pressure"))


class Asked(PlantCase):
    """Reading and writing by name."""

    def setUp(self) -> None:
        super().setUp()
        self.plant.start()
        self.run_for(1.1)

    def write(self, point: str, value: Any) -> Any:
        written = self.plant.write("client", f"boiler.{point}", value, 5.0)
        self.run_for(0.1)
        return written

    def test_read(self) -> None:
        self.boiler.holding_registers[20:22] = [0, 5]
        asked = self.plant.read("client", "boiler.total", 5.0)
        self.run_for(0.1)
        self.assertEqual(self.successResultOf(asked).value, 5)

    def test_write(self) -> None:
        reading = self.successResultOf(self.write("setpoint", 65.5)).reading
        self.assertEqual((reading.value, reading.quality), (65.5, Quality.GOOD))
        self.assertEqual(self.boiler.holding_registers[10], 655)
        self.assertEqual(self.successResultOf(self.write("setpoint", "70")).reading.value, 70.0)
        self.assertEqual(self.successResultOf(self.write("mode", "eco")).reading.value, "eco")
        self.assertEqual(self.boiler.holding_registers[11], 1)
        self.assertIs(self.successResultOf(self.write("valve", "on")).reading.value, True)
        self.assertEqual(self.successResultOf(self.write("total", 70000)).reading.value, 70000)

    def test_a_bit_leaves_the_others(self) -> None:
        self.boiler.holding_registers[12] = 0x8001
        self.successResultOf(self.write("pump", True))
        self.assertEqual(self.boiler.holding_registers[12], 0x8009)

    def test_two_bits_at_once(self) -> None:
        self.boiler.holding_registers[12] = 0x8001
        first = self.plant.write("one", "boiler.pump", True, 5.0)
        second = self.plant.write("another", "boiler.fan", True, 5.0)
        self.run_for(0.2)
        self.assertEqual([self.successResultOf(one).reading.value for one in (first, second)], [True, True])
        self.assertEqual(self.boiler.holding_registers[12], 0x8019)
        self.assertEqual(self.plant._turns._turns, {})

    def test_who_waits_for_a_bit_waits_no_longer_than_he_will(self) -> None:
        self.port.silent = True
        first = self.plant.write("one", "boiler.pump", True, 5.0)
        second = self.plant.write("another", "boiler.fan", True, 0.5)
        third = self.plant.write("a third", "boiler.fan", True, 5.0)
        self.clock.advance(0.6)
        self.failureResultOf(second, Expired)
        first.cancel()
        self.failureResultOf(first, Cancelled)
        self.port.silent = False
        self.port._next()
        self.run_for(0.2)
        self.assertIs(self.successResultOf(third).reading.value, True)
        self.assertEqual(self.boiler.holding_registers[12], 0x10)

    def test_what_cannot_be_written(self) -> None:
        for point, value, error in (
            ("temperature", 1, NotWritable), ("setpoint", 95, RequestError), ("setpoint", "warm", RequestError),
            ("mode", "fast", RequestError), ("pump", 7, RequestError),
        ):
            asked = len(self.port.asked)
            failure = self.failureResultOf(self.write(point, value), error)
            self.assertTrue(failure.getErrorMessage())
            self.assertEqual([one for one in self.port.asked[asked:] if one[1] == "client"], [], point)

    def test_what_the_device_does_not_take(self) -> None:
        self.boiler.on_write[10] = [lambda _: self.boiler.holding_registers.__setitem__(10, 600)]
        failure = self.failureResultOf(self.write("setpoint", 65.5), NotTaken)
        self.assertIn("the device holds 60", failure.getErrorMessage())
        self.assertEqual(self.value("setpoint"), 60.0)

    def test_unknown_names(self) -> None:
        self.failureResultOf(self.plant.write("client", "boiler.setpint", 1, 5.0), UnknownName)
        error = self.assertRaises(UnknownName, self.plant.reading, "boiler.setpint")
        self.assertIn("did you mean 'boiler.setpoint'?", str(error))
        self.assertRaises(UnknownName, self.plant.watch, print, ["boiler.temperature", "kettle.x"])
        error = self.assertRaises(UnknownName, self.plant.reading, "boiler")
        self.assertIn("it is a device, and its values are boiler.temperature, boiler.", str(error))
        self.assertIn(" and more (boiler.*)", str(error))
        error = self.assertRaises(UnknownName, self.plant.describe, "boiler.*")
        self.assertIn("this takes one name, and no pattern", str(error))

    def test_names(self) -> None:
        self.assertEqual(self.plant.names("boiler.p*"), ["boiler.pressure", "boiler.pump"])
        self.assertEqual(self.plant.names("*.mod?"), ["boiler.mode"])
        self.assertEqual(self.plant.names("[a-z]*"), [])
        described = self.plant.describe("boiler.setpoint")
        self.assertEqual((described.low, described.high, described.writable, described.unit), (20.0, 90.0, True, 3))
        self.assertEqual(self.plant.describe("boiler.mode").words, ("off", "eco", "full"))


class Replaced(PlantCase):
    """A device that is described anew while the service runs."""

    def test_elsewhere(self) -> None:
        self.plant.start()
        self.run_for(1.1)
        self.other.input_registers[0] = 123
        self.plant.replace(Device(name="boiler", port="q", unit=3, points=BOILER))
        asked = len(self.port.asked)
        self.run_for(1.1)
        self.assertEqual(self.value("temperature"), 12.3)
        self.assertLessEqual(len(self.port.asked), asked + 1)

    def test_other_points(self) -> None:
        self.plant.start()
        self.run_for(1.1)
        points: Mapping[str, Point] = {"temperature": a_point("temperature", 0, "input", scale=0.01)}
        self.plant.replace(Device(name="boiler", port="p", unit=3, points=points))
        self.run_for(1.1)
        self.assertEqual(self.plant.names(), ["boiler.temperature"])
        self.assertEqual(self.value("temperature"), 6.55)
