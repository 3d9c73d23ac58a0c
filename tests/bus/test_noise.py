"""The log names a noisy unit while retries still heal it, and says when it is over (row A17)."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Failure
from lumina_twisted.bus.noise import FIRST_LOOK, LOOK_EVERY
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.errors import Overloaded
from lumina_twisted.ports.port_log import NoiseTimer
from lumina_twisted.statistics.counters import Fault
from tests.bus.test_faults import damaged
from tests.bus.world import World, read, reply_to


class Told(SynchronousTestCase):
    """A bus whose time is that of a Clock, and what is told of it."""

    def setUp(self) -> None:
        self.world = World(BusSettings(timeout=0.1, echo="off", retries=3), answers_canaries=True)
        self.clock = Clock()
        self.told: list[tuple[int, bool, str]] = []
        watch, told = self.world.bus.noise, self.told
        self.timer = NoiseTimer(watch, self.clock, lambda: self.world.now, lambda *one: told.append(one))

    def ask(self, unit: int, *heard: bytes | None, retries: int | None = None) -> None:
        """One read, whose attempts hear this: None is the reply, no bytes are silence. It takes half a second."""
        until = self.world.now + 0.5
        self.world.submit(read(unit, 7), retries=retries)
        for data in heard:
            while not self.world.bus.is_busy or self.world.is_canary(self.world.sent[-1]):
                if self.world.now >= until - 0.02 or not self.world.tick():
                    break
            if data is None:
                self.world.reply()
                break
            self.world.advance(max(0.0, self.world.sent[-1].until - self.world.now) + 0.002)
            if data:
                self.world.hear(data)
            count = len(self.world.sent)
            while len(self.world.sent) == count and self.world.now < until - 0.02 and self.world.tick():
                pass
        self.world.advance(until - self.world.now)
        self.clock.advance(0.5)

    def run_for(self, seconds: float, every: int = 0, *heard: bytes | None, unit: int = 3) -> None:
        """Two reads a second, of which every so many hear that."""
        for number in range(int(seconds * 2)):
            self.ask(unit, *(heard if every and number % every == every - 1 else (None,)))

    @property
    def sentences(self) -> list[str]:
        return [sentence for _, _, sentence in self.told]

    def test_a17_wrong_crcs_that_retries_heal(self) -> None:
        self.run_for(FIRST_LOOK + 2, 4, damaged(reply_to(read(3, 7))), None)
        ((unit, is_wrong, sentence),) = self.told
        self.assertEqual((unit, is_wrong), (3, True))
        self.assertRegex(sentence, (
            r"^unit 3 on tty: 5 of 30 attempts failed in the last 10 s \(5 with a wrong CRC\), retries healed 5"
            r" requests, none got no answer; check the wiring, its termination and bias"
        ))

    def test_a17_kinds_beside_each_other_and_what_was_lost(self) -> None:
        bad = damaged(reply_to(read(3, 7)))
        for _ in range(6):
            self.ask(3, bad, None)
            self.ask(3, reply_to(read(3, 7))[:5], None)
            self.ask(3, b"", None)
            self.ask(3, bad, b"\x00\x01", retries=1)
        (sentence,) = self.sentences
        self.assertRegex(sentence, r"\(\d+ with a wrong CRC, \d+ cut short, \d+ unreadable, \d+ without any reply\)")
        self.assertRegex(sentence, r"retries healed \d+ requests, [1-9]\d* got no answer")

    def test_a17_replies_that_are_lost_now_and_then(self) -> None:
        """Nothing damaged comes, and each time the retry hides it."""
        self.run_for(FIRST_LOOK + 2, 3, b"", None)
        (sentence,) = self.sentences
        self.assertIn("without any reply), retries healed", sentence)
        self.assertIn("check its power and the wiring", sentence)

    def test_a17_a_slow_unit_is_told_to_be_slow(self) -> None:
        """The reply comes after its timeout each time, and is no fault of the wiring."""
        for _ in range(30):
            self.run_for(0.5, 1, b"", None)
            self.world.bus.faults.note(3, Fault.LATE)  # as the bus counts it
        self.assertIn("it answers later than its timeout; raise that", self.sentences[0])

    def test_a_single_error_is_no_news(self) -> None:
        self.ask(3, damaged(reply_to(read(3, 7))), None)
        self.run_for(30)
        self.ask(3, b"", None)
        self.run_for(3 * 600)
        self.assertEqual(self.told, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rare_errors_are_added_up(self) -> None:
        """A unit that is asked once a minute is noisy too, if every second reply is damaged."""
        for number in range(8):
            self.ask(3, *((damaged(reply_to(read(3, 7))), None) if number % 2 else (None,)))
            self.world.advance(59.5)
            self.clock.advance(59.5)
        self.assertEqual(len(self.told), 1)

    def test_a_unit_that_is_off_is_not_noisy(self) -> None:
        """That it is offline is said elsewhere."""
        self.run_for(120, 1, b"", b"", b"", b"")
        self.assertEqual(self.told, [])

    def test_it_is_said_ever_more_rarely_and_that_it_is_over(self) -> None:
        self.run_for(1200, 4, damaged(reply_to(read(3, 7))), None)
        self.assertTrue(4 <= len(self.told) <= 6, self.sentences)
        self.run_for(3 * LOOK_EVERY)
        unit, is_wrong, sentence = self.told[-1]
        self.assertEqual((unit, is_wrong), (3, False))
        self.assertRegex(sentence, r"^unit 3 on tty: no attempt has failed for \d+ s; it is in order again$")
        count = len(self.told)
        self.run_for(60)
        self.assertEqual((len(self.told), self.clock.getDelayedCalls()), (count, []))

    def test_what_nobody_asks_is_not_in_order_again(self) -> None:
        self.run_for(12, 2, damaged(reply_to(read(3, 7))), None)
        self.world.advance(600)
        self.clock.pump([60] * 10)
        self.assertEqual(self.clock.getDelayedCalls()[1:], [])
        self.assertEqual(len(self.told), 1)

    def test_units_are_told_apart(self) -> None:
        for number in range(60):
            self.ask(3, *((damaged(reply_to(read(3, 7))), None) if number % 4 == 0 else (None,)))
            self.ask(4, None)
        self.assertEqual({unit for unit, _, _ in self.told}, {3})

    def test_a_clean_bus_has_no_call_pending(self) -> None:
        self.run_for(20)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped(self) -> None:
        self.ask(3, damaged(reply_to(read(3, 7))), None)
        self.timer.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WhyItIsSlow(SynchronousTestCase):
    """Load is blamed for load only."""

    def setUp(self) -> None:
        self.world = World(BusSettings(timeout=1.0, echo="off", retries=0), answers_canaries=True)

    def overload(self) -> str:
        """Many requests come that their callers cannot wait for."""
        requests = [self.world.submit(read(3, address), f"client {address}", timeout=3) for address in range(60)]
        self.world.advance(0.2)  # a refusal is told a moment later
        for request in requests:
            event = self.world.outcome(request)
            if isinstance(event, Failure) and isinstance(event.error, Overloaded):
                return str(event.error)
        raise AssertionError("nothing was refused")

    def fail(self, count: int) -> None:
        for address in range(count):
            self.world.submit(read(3, address))
            while self.world.sent[-1].frame != read(3, address):
                self.world.tick()
            self.world.advance(0.05)
            self.world.hear(b"\x13" + reply_to(read(3, address))[1:])
            self.world.advance(2.5)

    def test_a17_noise_is_named(self) -> None:
        self.fail(4)
        self.assertRegex(self.world.bus.noise.cause(self.world.now), (
            r"^failed attempts take \d+% of the bus: unit 3, 4 of 7 attempts failed in the last \d+ s \(4"
            r" unreadable\); check the wiring"
        ))

    def test_a17_the_error_of_an_overload_names_the_noise(self) -> None:
        self.fail(4)
        self.assertRegex(self.overload(), r"is too long for it; failed attempts take \d+% of the bus: unit 3, ")

    def test_the_error_of_a_load_names_the_load(self) -> None:
        self.world.submit(read(3, 0))
        self.world.reply(after=0.4)
        self.assertIn("ask less often, or wait longer", self.overload())

    def test_little_noise_is_not_why(self) -> None:
        self.fail(1)
        self.world.advance(60)
        self.assertEqual(self.world.bus.noise.cause(self.world.now), "")

    def test_no_noise(self) -> None:
        self.assertEqual(self.world.bus.noise.cause(self.world.now), "")
