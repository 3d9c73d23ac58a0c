"""The fault matrix: cases that each defeat at least one other gateway, those that the core decides.

A case's number is in its test's name. The cases that need a real port, process or socket are in `test_ports.py`,
`test_lifecycle.py` and the tests of the line front.
"""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.errors import Cancelled, IllegalDataAddress, OutcomeUnknown, ResponseTimeout
from lumina_twisted.framing.rtu import character_time, encode_adu
from lumina_twisted.modbus.functions import FunctionCode
from tests.bus.world import World, frame_of, read, reply_frame, reply_to, write

OFF = BusSettings(timeout=0.1, echo="off", retries=0)


def coils(unit: int) -> bytes:
    """A write of multiple coils."""
    return encode_adu(unit, bytes.fromhex("0f0000000a02ff03"))


def registers(unit: int) -> bytes:
    """A write of multiple registers."""
    return encode_adu(unit, bytes.fromhex("10000000010200ff"))


def coil(unit: int) -> bytes:
    """A write of a single coil."""
    return encode_adu(unit, bytes.fromhex("05000aff00"))


class LateReplyTests(SynchronousTestCase):
    """Rule 2: replies that are owed."""

    def test_case_1_late_reply_never_answers_another(self) -> None:
        """The reply to A, which gave up, comes when B of the same shape waits: B is not even sent before."""
        world = World(OFF)
        first = world.submit(read(1, 0x0AAA), "a", timeout=0.15)
        world.tick()
        second = world.submit(read(1, 0x0BBB), "b")
        while first not in world.ended:
            world.tick()
        self.assertIs(world.error(first), ResponseTimeout)
        world.hear(reply_to(read(1, 0x0AAA)))
        self.assertNotIn(read(1, 0x0BBB), [one.frame for one in world.sent])
        self.assertIsNone(world.outcome(second))
        self.assertEqual(world.bus.counters.late, 1)
        world.reply()  # the canary
        world.advance(0.02)
        world.reply()
        event = world.outcome(second)
        self.assertTrue(isinstance(event, Reply) and reply_frame(event) == reply_to(read(1, 0x0BBB)))

    def test_case_1_late_reply_answers_its_own_caller(self) -> None:
        """Who still waits gets it."""
        world = World(OFF)
        request = world.submit(read(1, 5))
        world.tick()
        world.reply(after=0.03)
        self.assertIsInstance(world.outcome(request), Reply)

    def test_case_1_other_shapes_go_on(self) -> None:
        """Another unit, function or length is not held back."""
        for frame in (read(2, 0), read(1, 0, 2), encode_adu(1, b"\x04\x00\x00\x00\x01")):
            world = World(OFF)
            world.submit(read(1, 0), "a")
            world.tick()
            world.submit(frame, "b")
            self.assertEqual(world.sent[-1].frame, frame)

    def test_case_1_late_exception_answers_nobody_else(self) -> None:
        """Exceptions look alike whatever was asked: a late one is not the answer to a longer read."""
        world = World(OFF)
        world.submit(read(1, 0), "a", timeout=0.12)
        world.tick()
        second = world.submit(read(1, 0, 2), "b")
        world.hear(encode_adu(1, b"\x83\x02"))
        self.assertIsNone(world.outcome(second))
        world.reply()
        self.assertIsInstance(world.outcome(second), Reply)

    def test_case_1_window_grows(self) -> None:
        """Where nothing is proven, a unit that is very late is waited for longer the next time, and not for ever."""
        world = World(BusSettings(timeout=0.1, echo="off", retries=0, canary="off"))
        world.submit(read(1, 0))
        world.advance(0.02 + 0.1 + 0.1)
        world.reply(after=0)
        world.submit(read(1, 1), "a")
        world.advance(0.05)
        world.submit(read(1, 2), "b")
        world.run_dry()
        waited = world.sent[-1].at - world.sent[-2].until
        self.assertGreater(waited, 0.28)
        self.assertLess(waited, 5.2)

    def test_case_1_the_end_of_the_window_frees_the_shape(self) -> None:
        """There a reply that never comes is not waited for longer than its window."""
        world = World(BusSettings(timeout=0.1, echo="off", retries=0, canary="off"))
        world.submit(read(1, 0), "a")
        world.submit(read(1, 1), "b")
        while len(world.sent) < 2:
            world.tick()
        self.assertLess(world.sent[1].at - world.sent[0].until, 0.3)


class EchoTests(SynchronousTestCase):
    """Rule 4: the echo."""

    def play(self, frame: bytes, *, answers: bool, mode: str = "auto") -> tuple[World, object]:
        """A write on an echoing port, with or without a device."""
        world = World(BusSettings(timeout=0.1, echo=mode, retries=0), echoes=True)  # type: ignore[arg-type]
        request = world.submit(frame)
        for _ in range(10):
            if answers and world.bus.is_busy and not world.sent[-1].answered:
                world.reply()
            world.tick()
        return world, world.error(request) or world.outcome(request)

    def test_case_2_echo_confirms_nothing(self) -> None:
        """Without a device each write fails; with one it succeeds, and reached it once."""
        for mode in ("auto", "on"):
            for frame in (coil(1), write(1, 5), coils(1), registers(1)):
                world, ended = self.play(frame, answers=False, mode=mode)
                self.assertIs(ended, OutcomeUnknown, (mode, frame.hex()))
                world, ended = self.play(frame, answers=True, mode=mode)
                self.assertIsInstance(ended, Reply, (mode, frame.hex()))
                self.assertEqual([one.frame for one in world.sent].count(frame), 1)
                self.assertEqual(world.wrong, [])

    def test_case_2_probe_comes_first_and_once(self) -> None:
        """A first single write is preceded by a read of one register, whose echo decides; a second is not."""
        world, _ = self.play(write(1, 5), answers=True)
        self.assertEqual(
            [one.frame[1] for one in world.sent],
            [FunctionCode.READ_HOLDING_REGISTERS, FunctionCode.WRITE_SINGLE_REGISTER],
        )
        self.assertTrue(world.bus.echoes)
        world.submit(write(1, 6))
        world.advance(0.02)
        self.assertEqual(world.sent[-1].frame, write(1, 6))

    def test_case_2_auto_learns_both_ways(self) -> None:
        """From reads, when an adapter is changed under way. One reply without an echo only makes the bus look again."""
        world = World(BusSettings(timeout=0.1, echo="auto"), echoes=True)
        for echoes, known in ((True, True), (False, None), (False, False), (True, True)):
            world.echoes = echoes
            world.submit(read(1, 3))
            world.advance(0.02)
            world.reply()
            self.assertIs(world.bus.echoes, known)

    def test_case_2_a_lost_port_is_learned_anew(self) -> None:
        """The adapter that comes back may be another."""
        world = World(BusSettings(timeout=0.1, echo="auto"), echoes=True)
        world.submit(read(1, 3))
        world.reply()
        world.lose_port()
        self.assertIsNone(world.bus.echoes)

    def test_case_2_read_whose_reply_could_be_its_echo(self) -> None:
        """24 coils from 0x0301 have a reply of 8 bytes that begins like the request."""
        frame = encode_adu(1, bytes.fromhex("0103010018"))
        world = World(BusSettings(timeout=0.1, echo="on", retries=0), echoes=True)
        request = world.submit(frame)
        world.run_dry()
        self.assertIs(world.error(request), ResponseTimeout)

    def test_case_19_damaged_echo_is_a_collision(self) -> None:
        """Bytes that are not our echo, where it must be."""
        for frame in (read(1, 3), write(1, 3)):
            world = World(BusSettings(timeout=0.1, echo="on", retries=0))
            world.submit(frame)
            world.advance(0.01)
            world.hear(frame[:3] + b"\xaa" + frame[4:])
            world.run_dry()
            self.assertEqual(world.bus.counters.collisions, 1)

    def test_case_19_good_echo_is_none(self) -> None:
        """Junk behind the echo is no collision."""
        world = World(BusSettings(timeout=0.1, echo="on", retries=0), echoes=True)
        world.submit(read(1, 3))
        world.echo()
        world.hear(b"\x00")
        world.reply()
        self.assertEqual((world.bus.counters.collisions, world.bus.counters.replies), (0, 1))


class ReplyTests(SynchronousTestCase):
    """Rules 1, 3, 5: what is the reply, and what is none."""

    def test_case_3_lost_write_reply(self) -> None:
        """The device sees one frame, its caller is told that the outcome is unknown."""
        for frame in (coil(1), write(1, 1), coils(1), registers(1)):
            world = World(OFF)
            request = world.submit(frame)
            world.run_dry()
            self.assertEqual(len(world.sent), 1)
            self.assertIs(world.error(request), OutcomeUnknown)

    def test_case_4_foreign_frames(self) -> None:
        """Another unit, function, byte count, echoed address or value: dropped, the deadline stays."""
        wrong_for_read = (
            encode_adu(7, b"\x03\x02\x00\x01"), encode_adu(1, b"\x04\x02\x00\x01"),
            encode_adu(1, b"\x03\x04\x00\x01\x00\x02"), encode_adu(7, b"\x83\x02"), encode_adu(1, b"\x84\x02"),
        )
        wrong_for_write = (write(1, 2), write(1, 1, 8), write(2, 1), encode_adu(1, b"\x10\x00\x01\x00\x07"))
        for request_frame, wrong in ((read(1, 1), wrong_for_read), (write(1, 1), wrong_for_write)):
            for frame in wrong:
                world = World(OFF)
                request = world.submit(request_frame)
                expires = world.bus.get_timer()
                world.advance(0.02)
                world.hear(frame)
                self.assertIsNone(world.outcome(request), frame.hex())
                self.assertLessEqual(world.bus.get_timer() or 0, expires or 0)
                self.assertTrue(world.bus.is_busy)
                world.reply()
                self.assertIsInstance(world.outcome(request), Reply)
                self.assertEqual(world.bus.counters.foreign, 1, frame.hex())

    def test_case_5_junk_and_splits(self) -> None:
        """Noise before and after, runs of 00 and FF, a split at every byte, a byte at a time."""
        answer = reply_to(read(1, 5, 3))
        streams = [[answer[:at], answer[at:]] for at in range(1, len(answer))]
        streams += [[bytes((one,)) for one in answer]]
        streams += [[noise + answer + noise] for noise in (b"\x00", b"\xff" * 9, b"\x00\xff\x01\x03", b"\x01\x83")]
        for stream in streams:
            world = World(OFF)
            request = world.submit(read(1, 5, 3))
            world.advance(0.02)
            for piece in stream:
                world.hear(piece)
            world.tick()
            self.assertIsInstance(world.outcome(request), Reply, stream)

    def test_case_5_pause_of_an_adapter(self) -> None:
        """16 ms inside a reply end nothing."""
        world = World(OFF)
        request = world.submit(read(1, 5))
        world.advance(0.02)
        answer = reply_to(read(1, 5))
        world.hear(answer[:4])
        world.advance(0.016)
        world.hear(answer[4:])
        self.assertIsInstance(world.outcome(request), Reply)

    def test_case_5_seeded_noise(self) -> None:
        """Random junk around, bytes lost at random: no wrong answer, and every request ends."""
        rng = random.Random(20)
        for round_number in range(300):
            world = World(OFF)
            request = world.submit(read(1, round_number, 4))
            world.sent[-1].answered = True
            world.advance(0.02)
            stream = rng.randbytes(rng.randrange(6)) + reply_to(frame_of(request)) + rng.randbytes(rng.randrange(6))
            stream = bytes(one for one in stream if rng.random() > 0.02)
            while stream:
                cut = rng.randrange(1, len(stream) + 1)
                world.hear(stream[:cut])
                stream = stream[cut:]
            world.run_dry()
            self.assertEqual(world.wrong, [])
            self.assertTrue(request.done)

    def test_case_6_exception_at_once(self) -> None:
        """Five bytes are all there is to an exception."""
        world = World(OFF)
        request = world.submit(read(1, 5, 10))
        world.advance(0.02)
        for byte in encode_adu(1, b"\x83\x02"):
            self.assertIsNone(world.outcome(request))
            world.advance(character_time(9600))
            world.hear(bytes((byte,)))
        self.assertIs(world.error(request), IllegalDataAddress)

    def test_case_12_greedy_client(self) -> None:
        """Of two clients that both always want something, each gets half."""
        world = World(OFF)
        for address in range(50):
            world.submit(read(1, address), "greedy", timeout=60)
        for address in range(5):
            world.submit(read(2, address), "polite", timeout=60)
        while len(world.order) < 10:
            if not world.sent[-1].answered:
                world.reply()
            world.tick()
        self.assertEqual([one.caller.name for one in world.order].count("polite"), 5)

    def test_case_14_expired_work_is_answered(self) -> None:
        """Behind a dead unit, at the deadline."""
        world = World(BusSettings(timeout=1.0, echo="off", retries=0))
        start = world.now
        world.submit(read(1, 0), "a")
        waiting = world.submit(read(2, 0), "b", timeout=0.45)
        while waiting not in world.ended:
            world.tick()
        self.assertAlmostEqual(world.now - start, 0.45, 3)

    def test_case_18_broadcast(self) -> None:
        """Answered when it is sent; the next request waits for the turnaround."""
        world = World(OFF)
        start = world.now
        broadcast = world.submit(encode_adu(0, b"\x06\x00\x01\x00\x02"))
        world.submit(read(1, 0), "b")
        world.tick()
        self.assertIsInstance(world.outcome(broadcast), Reply)
        self.assertLess(world.now - start, 0.01)
        while len(world.sent) < 2:
            world.tick()
        self.assertGreaterEqual(world.sent[1].at - world.sent[0].until, 0.0999)

    def test_case_20_cancelled_on_the_wire(self) -> None:
        """Its reply goes to nobody, and the next transaction is clean."""
        world = World(OFF)
        first = world.submit(read(1, 1))
        second = world.submit(read(1, 2))
        world.cancel(first)
        world.reply()
        world.tick()
        world.reply()
        event = world.outcome(second)
        self.assertTrue(isinstance(event, Reply) and reply_frame(event) == reply_to(read(1, 2)))
        self.assertNotIn(first, world.ended)
        self.assertNotIn(Cancelled, [world.error(second)])


class UnknownFunctionTests(SynchronousTestCase):
    """Rule 5 for functions whose reply tells no length."""

    FRAME = encode_adu(1, b"\x41\x01\x02")
    ANSWER = encode_adu(1, b"\x41\x0a\x0b\x0c\x0d")

    def test_ends_by_crc_and_silence(self) -> None:
        """A good CRC, then T3.5; a pause without a good CRC ends nothing."""
        world = World(OFF)
        request = world.submit(self.FRAME)
        world.advance(0.02)
        world.hear(self.ANSWER[:4])
        world.advance(0.010)
        world.hear(self.ANSWER[4:])
        self.assertIsNone(world.outcome(request))
        world.tick()
        event = world.ended[request]
        self.assertTrue(isinstance(event, Reply) and reply_frame(event) == self.ANSWER)

    def test_hint(self) -> None:
        """A caller that knows the length gets it at once; a wrong hint does no harm."""
        for hint, at_once in ((len(self.ANSWER), True), (5, False), (99, False)):
            world = World(OFF)
            request = world.submit(self.FRAME, response_length=hint)
            world.advance(0.02)
            world.hear(self.ANSWER)
            self.assertEqual(request in world.ended, at_once)
            world.tick()
            self.assertIn(request, world.ended)

    def test_hint_for_a_reply_in_pieces(self) -> None:
        """The last piece ends it."""
        world = World(OFF)
        request = world.submit(self.FRAME, response_length=len(self.ANSWER))
        world.advance(0.02)
        for byte in self.ANSWER:
            self.assertNotIn(request, world.ended)
            world.hear(bytes((byte,)))
        self.assertIn(request, world.ended)
