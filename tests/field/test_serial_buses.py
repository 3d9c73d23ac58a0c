"""What people's serial buses did to the product: rows A10 and A11 of the field reports, and an exception after a reply
of the wrong length."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Finding, Reply
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.errors import IllegalDataAddress, ResponseTimeout
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.world import World, read, reply_frame, reply_to, write

OURS = read(1, 0)
THEIRS = read(1, 0x50)
THEIR_REPLY = encode_adu(1, bytes.fromhex("0302EEEE"))


class FieldCase(SynchronousTestCase):
    """A bus on which nothing echoes."""

    def setUp(self) -> None:
        self.world = World(BusSettings(timeout=0.1, echo="off", retries=2), answers_canaries=True)

    def until_asked(self, frame: bytes, times: int) -> None:
        """Time passes until a frame has been sent so often."""
        while [one.frame for one in self.world.sent].count(frame) < times:
            self.assertTrue(self.world.tick(), "it is asked")

    @property
    def found(self) -> list[tuple[int, str]]:
        return [(one.unit, one.kind) for one in self.world.others if isinstance(one, Finding)]


class AnotherMaster(FieldCase):
    """A10: its request, its reply, then ours, while we wait."""

    def hear(self, *frames: bytes) -> None:
        for frame in frames:
            self.world.advance(0.002)
            self.world.hear(frame)

    def assert_right_in_the_end(self, frame: bytes) -> None:
        self.until_asked(frame, 2)
        self.world.reply()
        event = next(iter(self.world.ended.values()))
        self.assertTrue(isinstance(event, Reply) and reply_frame(event) == reply_to(frame), event)
        self.assertEqual((self.world.wrong, self.found), ([], [(1, "other_master")]))

    def test_a10_its_reply_and_then_ours(self) -> None:
        self.world.submit(OURS)
        self.hear(THEIRS, THEIR_REPLY)
        self.world.sent[0].answered = True
        self.hear(reply_to(OURS))
        self.assert_right_in_the_end(OURS)
        self.assertEqual(self.world.bus.counters.other_master, 1)

    def test_a10_its_reply_and_not_ours(self) -> None:
        self.world.submit(OURS)
        self.hear(THEIRS, THEIR_REPLY)
        self.assert_right_in_the_end(OURS)

    def test_a10_in_one_piece(self) -> None:
        self.world.submit(OURS)
        self.hear(THEIRS + THEIR_REPLY)
        self.assert_right_in_the_end(OURS)

    def test_a10_behind_noise(self) -> None:
        self.world.submit(OURS)
        self.hear(b"\x00\xff", THEIRS, THEIR_REPLY)
        self.assert_right_in_the_end(OURS)

    def test_a10_before_we_ask(self) -> None:
        """It has asked, and is not answered yet, when we want the same form."""
        self.hear(THEIRS)
        request = self.world.submit(OURS)
        self.hear(THEIR_REPLY)
        self.until_asked(OURS, 1)
        self.world.reply()
        self.assertIsInstance(self.world.outcome(request), Reply)
        self.assertEqual(self.world.wrong, [])

    def test_a10_an_exception_of_its(self) -> None:
        self.world.submit(OURS)
        self.hear(THEIRS, encode_adu(1, b"\x83\x02"))
        self.assert_right_in_the_end(OURS)

    def test_a10_its_block_write_is_a_request_too(self) -> None:
        self.hear(encode_adu(1, bytes.fromhex("1000500001020007")))
        self.assertEqual(self.found, [(1, "other_master")])

    def test_a10_another_form_costs_nothing(self) -> None:
        request = self.world.submit(read(1, 0, 2))
        self.hear(THEIRS, THEIR_REPLY)
        self.world.reply()
        self.assertIsInstance(self.world.outcome(request), Reply)
        self.assertEqual(len(self.world.sent), 1)


class TwiceAnswered(FieldCase):
    """A11: a device, or a converter, that answers each request twice."""

    def doubled(self, count: int, copy_after: float) -> int:
        """Reads one after the other, each answered twice; how many got another's value."""
        for address in range(count):
            frame = read(1, address)
            self.world.submit(frame)
            self.until_asked(frame, 1)
            while self.world.sent[-1].frame != frame:
                self.world.tick()
            self.world.reply(after=0.01)
            self.world.advance(copy_after)
            self.world.hear(reply_to(frame))
        return len([one for one in self.world.wrong if "was given" in one])

    def test_a11_at_once(self) -> None:
        self.assertEqual(self.doubled(200, 0.0), 0)
        self.assertEqual(self.found, [(1, "doubled")])
        self.assertGreater(self.world.bus.counters.doubled, 190)

    def test_a11_a_moment_later(self) -> None:
        self.assertLessEqual(self.doubled(200, 0.02), 1)
        self.assertEqual(self.found, [(1, "doubled")])

    def test_a11_now_and_then(self) -> None:
        for burst in range(6):
            self.doubled(1, 0.015)
            for address in range(50):
                frame = read(1, 0x1000 + 50 * burst + address)
                self.world.submit(frame)
                self.until_asked(frame, 1)
                self.world.reply(after=0.01)
        self.assertLessEqual(len([one for one in self.world.wrong if "was given" in one]), 1)

    def test_a11_another_unit_goes_on_meanwhile(self) -> None:
        self.doubled(3, 0.0)
        self.world.submit(read(1, 1))
        self.until_asked(read(1, 1), 2)
        self.world.reply()
        self.world.submit(read(1, 2), "a")  # the copy may still come
        other = self.world.submit(read(2, 1), "b")
        self.world.advance(0.005)
        self.assertEqual(self.world.sent[-1].frame, read(2, 1))
        self.world.reply()
        self.assertIsInstance(self.world.outcome(other), Reply)

    def test_a11_it_is_forgiven(self) -> None:
        self.doubled(1, 0.0)
        self.assertEqual(self.world.bus._wire.doubts.surplus.convicted, 1)
        for address in range(300):
            self.world.submit(read(1, address, 2))
            self.until_asked(read(1, address, 2), 1)
            self.world.reply()
        self.assertEqual(self.world.bus._wire.doubts.surplus.convicted, 0)


class WrongLength(FieldCase):
    """A reply of another length ends the doubt of its request: the next exception is the next request's."""

    def test_the_exception_after_a_short_reply(self) -> None:
        short = self.world.submit(read(1, 0, 4), retries=0)
        self.world.advance(0.02)
        self.world.hear(reply_to(read(1, 0, 3)))
        while not short.done:
            self.world.tick()
        self.assertIs(self.world.error(short), ResponseTimeout)
        self.assertIn("a frame of 11 bytes came", str(self.world.outcome(short).error))  # type: ignore[union-attr]
        refused = self.world.submit(read(1, 9999, 1), retries=0)
        self.until_asked(read(1, 9999, 1), 1)
        self.world.reply(refuses=True)
        self.assertIs(self.world.error(refused), IllegalDataAddress)
        self.assertEqual(len(self.world.sent), 2, "no canary was needed")

    def test_a_write_with_another_function_beside_it(self) -> None:
        """What another request is still to be answered proves nothing of this one."""
        self.world.submit(write(1, 5), timeout=0.15)
        while self.world.bus.is_busy:
            self.world.tick()
        read_back = self.world.submit(read(1, 5))
        self.until_asked(read(1, 5), 1)
        self.world.reply()
        self.assertIsInstance(self.world.outcome(read_back), Reply)
