"""What becomes of a write by name: rows B1 to B4 of what the field reported."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices import writing as write_turns
from lumina_twisted.devices.describe.description import Device
from lumina_twisted.errors import (
    Cancelled,
    Expired,
    LuminaError,
    NotSent,
    NotTaken,
    OutcomeUnknown,
    PortClosed,
    PortLost,
    QueueFull,
    RequestError,
    ResponseTimeout,
    UnitOffline,
)
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.values.codec import ValueCodec
from lumina_twisted.valueproto.reading import Confirmed
from tests.devices.test_plant import PlantCase, a_point

POINTS = {
    one.name: attrs.evolve(one, poll=0.0) for one in (
        a_point("set", 10, writable=True, scale=0.1, read_back=True),
        a_point("other", 11, writable=True, read_back=True),
        a_point("level", 14, writable=True, read_back=True, type="f32"),
        a_point("scaled", 16, writable=True, read_back=True, type="f32", scale=0.1),
        a_point("exact", 18, writable=True, read_back=True, type="f64"),
        a_point("coarse", 22, writable=True, read_back=True, scale=0.1, tolerance=0.3),
        a_point("coarse_f32", 24, writable=True, read_back=True, type="f32", tolerance=0.25),
        a_point("pump", 30, writable=True, type="bool", bit=3, read_back=True),
        a_point("flags", 30, writable=True, type="bits", bits={0: "a", 1: "b"}, read_back=True),
        a_point("long_flags", 32, writable=True, type="bits", bits={0: "a", 17: "b"}, length=2),
        a_point("text", 40, writable=True, type="string", length=3, read_back=True),
        a_point("valve", 0, "coil", type="bool", writable=True, read_back=True),
    )
}


class WritingCase(PlantCase):
    """A device with points of every kind, all of which are polled by nobody: what is asked is what a write asks."""

    def setUp(self) -> None:
        super().setUp()
        self.plant.replace(Device(name="boiler", port="p", unit=3, points=POINTS))
        self.plant.start()
        self.answers: Callable[[pdu.Request], bytes | None] = lambda request: None
        device, port = self.boiler, self.port

        class Moody:
            """Answers as the test says, else as the device does."""

            def answer(_, data: bytes, now: float) -> bytes | None:  # noqa: N805
                said = self.answers(pdu.decode_request(data))
                return device.answer(data, now) if said is None else said

        port.devices[3] = Moody()  # type: ignore[assignment]

    def begin(self, point: str, value: Any, client: str = "me", timeout: float = 5.0) -> Deferred[Confirmed]:
        return self.plant.write(client, f"boiler.{point}", value, timeout)

    def write(self, point: str, value: Any, timeout: float = 5.0) -> Deferred[Confirmed]:
        written = self.begin(point, value, timeout=timeout)
        self.run_for(0.1)
        return written

    def asked(self, function: int) -> int:
        """How many requests of a function were on the wire."""
        return sum(one[3][0] == function for one in self.port.asked)

    def holds(self, address: int, *registers: int) -> None:
        """The device puts this there in the place of what is written."""
        def put(_: object) -> None:
            self.boiler.holding_registers[address : address + len(registers)] = list(registers)

        self.boiler.on_write[address] = [put]


class B1ConfirmedButNotReadBack(WritingCase):
    """B1: the device confirms, and refuses the read-back or does not answer it: it has taken the value."""

    def test_b1_refused(self) -> None:
        self.answers = lambda one: b"\x83\x02" if one.function_code == 3 else None
        written = self.successResultOf(self.write("set", 21))
        self.assertEqual(written.reading.value, 21.0)
        self.assertEqual(written.not_read_back, "unit 3 refused function 3: exception 2 illegal data address")
        self.assertEqual(self.boiler.holding_registers[10], 210)

    def test_b1_a_coil(self) -> None:
        """The reported one: `error exception 2 … function 1`."""
        self.answers = lambda one: b"\x81\x02" if one.function_code == 1 else None
        written = self.successResultOf(self.write("valve", "on"))
        self.assertIs(written.reading.value, True)
        self.assertIn("refused function 1: exception 2", written.not_read_back)

    def test_b1_every_way_in_which_a_read_fails(self) -> None:
        for error in (
            ResponseTimeout("unit 3 on p did not answer"), UnitOffline("unit 3 is offline"), PortClosed("p is closed"),
            PortLost("p is gone"), Expired("its time was over"),
        ):
            self.boiler.on_write[10] = [lambda _, error=error: self.port.faults.__setitem__(3, error)]
            written = self.successResultOf(self.write("set", 21))
            self.assertEqual(written.not_read_back, str(error))
            self.port.faults.clear()

    def test_b1_a_short_reply(self) -> None:
        self.answers = lambda one: bytes((3, 2, 0, 5)) if one.function_code == 3 else None
        written = self.successResultOf(self.write("level", 21.5))
        self.assertIn("gave 1 of 2 entries", written.not_read_back)

    def test_b1_what_was_read_back_says_nothing(self) -> None:
        self.assertEqual(self.successResultOf(self.write("set", 21)).not_read_back, "")

    def test_b1_a_write_that_fails_is_none(self) -> None:
        self.answers = lambda one: b"\x86\x03" if one.function_code == 6 else None
        failure = self.failureResultOf(self.write("set", 21))
        self.assertEqual(failure.value.token, "exception")
        self.assertEqual(self.asked(3), 0)


class B2NotSent(WritingCase):
    """B2: the read before a write of one bit fails: nothing was sent, and nothing may read as if it was."""

    def check(self, error: type[LuminaError], token: str, point: str = "pump", value: str = "on") -> str:
        before = list(self.boiler.holding_registers)
        failure = self.failureResultOf(self.write(point, value), error)
        self.assertIsInstance(failure.value, NotSent)
        self.assertEqual(failure.value.token, token)
        self.assertIn(f"boiler.{point} was not written", str(failure.value))
        self.assertEqual((self.asked(6), self.asked(16)), (0, 0))
        self.assertEqual(list(self.boiler.holding_registers), before)
        return str(failure.value)

    def test_b2_refused(self) -> None:
        self.answers = lambda one: b"\x83\x02" if one.function_code == 3 else None
        told = self.check(NotSent, "not_sent")
        self.assertIn("exception 2 illegal data address", told)

    def test_b2_no_answer(self) -> None:
        self.port.faults[3] = ResponseTimeout("unit 3 on p did not answer")
        self.check(NotSent, "not_sent")

    def test_b2_the_port_is_lost_while_it_is_read(self) -> None:
        self.port.faults[3] = PortLost("p is gone")
        self.check(NotSent, "not_sent")

    def test_b2_what_says_not_sent_already_keeps_its_word(self) -> None:
        for error, token in (
            (UnitOffline("unit 3 is offline"), "unit_offline"), (PortClosed("p is closed"), "port_closed"),
            (Expired("its time was over"), "expired"), (QueueFull("too many"), "queue_full"),
        ):
            self.port.faults[3] = error
            self.check(type(error), token)

    def test_b2_a_short_reply(self) -> None:
        self.answers = lambda one: bytes((3, 2, 0, 5)) if one.function_code == 3 else None
        self.assertIn("gave 1 of 2 entries", self.check(NotSent, "not_sent", "long_flags", "a,b"))

    def test_b2_named_bits(self) -> None:
        self.answers = lambda one: b"\x83\x04" if one.function_code == 3 else None
        self.check(NotSent, "not_sent", "flags", "a")

    def test_b2_who_takes_it_back(self) -> None:
        self.port.silent = True
        written = self.begin("pump", "on")
        written.cancel()
        self.failureResultOf(written, Cancelled)


class B3Turns(WritingCase):
    """B3: writes to one point take turns, and each is judged by its own read-back."""

    def test_b3_three_writes_to_one_point(self) -> None:
        written = [self.begin("set", value) for value in (21, 22, 23)]
        self.run_for(0.5)
        self.assertEqual([self.successResultOf(one).reading.value for one in written], [21.0, 22.0, 23.0])
        self.assertEqual(self.boiler.holding_registers[10], 230)

    def test_b3_across_clients_and_devices_of_one_unit(self) -> None:
        self.plant.replace(Device(name="shadow", port="p", unit=3, points=POINTS))
        written = [self.begin("set", 20 + number, client=f"client {number}") for number in range(5)]
        written += [self.plant.write("another", "shadow.set", 30, 5.0), self.begin("set", 31)]
        self.run_for(0.5)
        values = [self.successResultOf(one).reading.value for one in written]
        self.assertEqual(values, [20.0, 21.0, 22.0, 23.0, 24.0, 30.0, 31.0])

    def test_b3_the_one_that_is_not_taken_is_told_so_and_no_other(self) -> None:
        """220 is more than this device takes."""
        def clip(_: object) -> None:
            if self.boiler.holding_registers[10] == 220:
                self.boiler.holding_registers[10] = 215

        self.boiler.on_write[10] = [clip]
        told: list[str] = []
        globalLogPublisher.addObserver(hear := lambda event: told.append(formatEvent(event) or ""))
        self.addCleanup(globalLogPublisher.removeObserver, hear)
        written = [self.begin("set", value) for value in (21, 22, 23)]
        self.run_for(0.5)
        self.assertEqual(self.successResultOf(written[0]).reading.value, 21.0)
        self.assertIn("holds 21.5 instead of 22.0", self.failureResultOf(written[1], NotTaken).getErrorMessage())
        self.assertEqual(self.successResultOf(written[2]).reading.value, 23.0)
        self.assertEqual([one for one in told if "not" in one or "holds" in one], [
            "boiler.set was written and confirmed, and the device holds 21.5 instead of 22.0"])

    def test_b3_points_that_share_a_register(self) -> None:
        self.boiler.holding_registers[30] = 0x8000
        written = [self.begin("pump", "on"), self.begin("flags", "a,b"), self.begin("pump", "off")]
        self.run_for(0.5)
        values = [self.successResultOf(one).reading.value for one in written]
        self.assertEqual((values[0], values[2]), (True, False))
        self.assertEqual(self.boiler.holding_registers[30], 0x8003)

    def test_b3_others_do_not_wait(self) -> None:
        """A coil of the same address, and the next register, are other places."""
        self.port.silent = True
        places = (("set", 21), ("other", 5), ("valve", "on"), ("level", 1.5))
        written = [self.begin(point, value) for point, value in places]
        self.assertEqual(len(self.port._waiting), 4)
        written.append(self.begin("set", 22))
        self.assertEqual(len(self.port._waiting), 4)
        self.port.silent = False
        self.port._next()
        self.run_for(0.5)
        self.assertEqual([self.successResultOf(one).not_read_back for one in written], [""] * 5)

    def test_b3_who_leaves_gives_the_turn_away(self) -> None:
        self.port.silent = True
        first, second, third = [self.begin("set", value) for value in (21, 22, 23)]
        second.cancel()
        self.failureResultOf(second)
        first.cancel()
        self.failureResultOf(first, Cancelled)
        self.port.silent = False
        self.port._next()
        self.run_for(0.1)
        self.assertEqual(self.successResultOf(third).reading.value, 23.0)
        self.assertEqual(self.plant._turns._turns, {})

    def test_b3_whose_turn_does_not_come_in_time(self) -> None:
        self.port.silent = True
        first = self.begin("set", 21)
        second = self.begin("set", 22, timeout=0.5)
        self.clock.advance(0.6)
        failure = self.failureResultOf(second, Expired)
        self.assertIn("not sent, the writes before it to the same place took too long", failure.getErrorMessage())
        first.addErrback(lambda _: None)
        first.cancel()

    def test_b3_a_write_that_fails_lets_the_next_one_go(self) -> None:
        self.port.faults[3] = OutcomeUnknown("nobody knows")
        written = [self.begin("set", value) for value in (21, 22)]
        written[0].addBoth(lambda failure: self.port.faults.clear() or failure)
        self.run_for(0.1)
        self.failureResultOf(written[0], OutcomeUnknown)
        self.assertEqual(self.successResultOf(written[1]).reading.value, 22.0)

    def test_b3_it_is_bounded(self) -> None:
        self.patch(write_turns, "MOST_WAITING", 3)
        written = [self.begin("set", value) for value in (21, 22, 23)]
        self.assertIn("3 writes wait", self.failureResultOf(self.begin("set", 24), QueueFull).getErrorMessage())
        self.run_for(0.5)
        self.assertEqual(len([self.successResultOf(one) for one in written]), 3)

    def test_b3_a_thousand_that_end_at_once(self) -> None:
        """One within the other they would need more stack than there is."""
        self.port.silent = True
        written = [self.begin("set", 20 + number % 9, timeout=0.5) for number in range(1000)]
        self.clock.advance(0.6)
        kinds = [type(self.failureResultOf(one).value) for one in written[1:]]
        self.assertEqual(set(kinds), {Expired})
        written[0].addErrback(lambda _: None)
        written[0].cancel()
        self.assertEqual(self.plant._turns._turns, {})

    def test_b3_a_device_that_is_moved_meanwhile(self) -> None:
        """Who waits for his turn writes where the point is then."""
        self.port.silent = True
        first, second = self.begin("set", 21), self.begin("set", 22)
        self.plant.replace(Device(name="boiler", port="q", unit=3, points=POINTS))
        first.cancel()
        self.failureResultOf(first, Cancelled)
        self.run_for(0.1)
        self.assertEqual(self.successResultOf(second).reading.value, 22.0)
        self.assertEqual((self.other.holding_registers[10], self.boiler.holding_registers[10]), (220, 0))

    def test_b3_what_does_not_fit_waits_for_nobody(self) -> None:
        self.port.silent = True
        first = self.begin("set", 21)
        self.failureResultOf(self.begin("set", "warm"), RequestError)
        self.port.silent = False
        self.port._next()
        self.run_for(0.1)
        self.successResultOf(first)


def _f32(value: float) -> tuple[int, ...]:
    return struct.unpack(">HH", struct.pack(">f", value))


def _next_f32(value: float, steps: int) -> tuple[int, ...]:
    (bits,) = struct.unpack(">I", struct.pack(">f", value))
    return struct.unpack(">HH", struct.pack(">I", bits + steps))


class B4Compared(WritingCase):
    """B4: what is read back is compared as the device holds it."""

    def test_b4_a_device_that_computes(self) -> None:
        """`holds 21.300001 instead of 21.3`: it computes 213 * 0.1f."""
        for steps in (1, -1, 2):
            self.holds(14, *_next_f32(21.3, steps))
            self.assertEqual(self.successResultOf(self.write("level", 21.3)).not_read_back, "")

    def test_b4_another_value_is_one(self) -> None:
        for held in (21.301, 21.29, 0.0, -21.3, float("nan"), float("inf")):
            self.holds(14, *_f32(held))
            self.failureResultOf(self.write("level", 21.3), NotTaken)

    def test_b4_nothing_is_nothing(self) -> None:
        self.holds(14, *_f32(-0.0))
        self.successResultOf(self.write("level", 0.0))
        self.holds(14, *_f32(1e-3))
        self.failureResultOf(self.write("level", 0.0), NotTaken)

    def test_b4_a_scaled_f32(self) -> None:
        self.holds(16, *_next_f32(213.0, 1))
        self.successResultOf(self.write("scaled", 21.3))

    def test_b4_an_f64(self) -> None:
        (bits,) = struct.unpack(">Q", struct.pack(">d", 21.3))
        for steps, is_same in ((1, True), (1000, False)):
            self.holds(18, *struct.unpack(">4H", struct.pack(">Q", bits + steps)))
            written = self.write("exact", 21.3)
            if is_same:
                self.successResultOf(written)
            else:
                self.failureResultOf(written, NotTaken)

    def test_b4_whole_numbers_are_the_same_or_not(self) -> None:
        """One step off may be another mode of operation."""
        self.holds(10, 214)
        self.assertIn("holds 21.4 instead of 21.3", self.failureResultOf(self.write("set", 21.3)).getErrorMessage())

    def test_b4_a_device_with_steps_of_its_own(self) -> None:
        for held, is_same in ((213, True), (215, True), (216, True), (210, True), (217, False), (209, False)):
            self.holds(22, held)
            written = self.write("coarse", 21.3)
            if is_same:
                self.assertEqual(self.successResultOf(written).reading.value, held / 10)
            else:
                self.failureResultOf(written, NotTaken)

    def test_b4_the_same_of_an_f32(self) -> None:
        for held, is_same in ((21.5, True), (21.55, True), (21.05, True), (21.5501, False), (21.0, False)):
            self.holds(24, *_f32(held))
            written = self.write("coarse_f32", 21.3)
            if is_same:
                self.successResultOf(written)
            else:
                self.failureResultOf(written, NotTaken)

    def test_b4_bits_that_nobody_wrote(self) -> None:
        """A bit without a name is the device's own, and may have changed since."""
        self.holds(30, 0x8001)
        self.successResultOf(self.write("flags", "a"))
        self.holds(30, 0x0002)
        self.failureResultOf(self.write("flags", "a"), NotTaken)

    def test_b4_a_text_is_compared_without_its_padding(self) -> None:
        self.holds(40, 0x6162, 0x2020, 0x2020)
        self.successResultOf(self.write("text", "ab"))


class Agrees(SynchronousTestCase):
    """The codec alone."""

    def test_words(self) -> None:
        """A number's word is taken or not; a tolerance would make `eco` of `off`."""
        codec = ValueCodec(enum={0: "off", 1: "eco"})
        self.assertTrue(codec.agrees([1], [1]))
        self.assertFalse(codec.agrees([0], [1]))

    def test_a_tolerance_is_one_of_the_value(self) -> None:
        codec = ValueCodec(type="i16", scale=-0.5, offset=100)
        self.assertTrue(codec.agrees([0xFFFE], [0], tolerance=1))
        self.assertFalse(codec.agrees([0xFFFD], [0], tolerance=1))
        self.assertTrue(codec.agrees([3], [0], tolerance=1.5))

    def test_what_has_another_length(self) -> None:
        self.assertRaises(RequestError, ValueCodec(type="u32").agrees, [1], [0, 1])
