"""``timeout = "auto"``: what a unit's latencies teach, and that a short timeout gives nobody another's answer."""

from __future__ import annotations

import random
from typing import Literal

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.pace import LONGEST, UNKNOWN, Latencies
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.settings import BusSettings, Timeout, UnitSettings
from lumina_twisted.errors import ConfigError
from lumina_twisted.schema import setting, structure, structure_text
from tests.bus.world import World, read


class Estimating(SynchronousTestCase):
    """RFC 6298."""

    def setUp(self) -> None:
        self.latencies = Latencies()

    def test_unknown(self) -> None:
        """A unit of which little is known has the usual time."""
        self.assertEqual(self.latencies.timeout(1), UNKNOWN)
        for _ in range(7):
            self.latencies.replied(1, 0.01, True)
        self.assertEqual(self.latencies.timeout(1), UNKNOWN)
        self.latencies.replied(1, 0.01, True)
        self.assertLess(self.latencies.timeout(1), 0.03)
        self.assertEqual(self.latencies.timeout(2), UNKNOWN)

    def test_bounds(self) -> None:
        for unit, latency, expected in ((1, 0.0, 0.01), (2, -0.1, 0.01), (3, 7.0, LONGEST)):
            for _ in range(50):
                self.latencies.replied(unit, latency, True)
            self.assertEqual(self.latencies.timeout(unit), expected)

    def test_a_unit_that_varies(self) -> None:
        """It is given time enough for practically all of its replies."""
        chance = random.Random(1)
        missed = 0
        for _ in range(2000):
            latency = chance.uniform(0.02, 0.08)
            missed += latency > self.latencies.timeout(1)
            self.latencies.replied(1, latency, True)
        self.assertLess(missed, 10)
        self.assertLess(self.latencies.timeout(1), 0.2)

    def test_doubles_until_a_reply_comes(self) -> None:
        for _ in range(50):
            self.latencies.replied(1, 0.05, True)
        one = self.latencies.timeout(1)
        self.latencies.unanswered(1)
        self.assertAlmostEqual(self.latencies.timeout(1), 2 * one)
        for _ in range(20):
            self.latencies.unanswered(1)
        self.assertEqual(self.latencies.timeout(1), LONGEST)
        self.latencies.replied(1, 0.9, False)  # of whichever attempt
        self.assertAlmostEqual(self.latencies.timeout(1), one)


class OnABus(SynchronousTestCase):
    """What it changes."""

    def setUp(self) -> None:
        self.world = World(
            BusSettings(timeout="auto", echo="off", retries=0, units={9: UnitSettings(timeout=0.3)}),
            answers_canaries=True,
        )

    def tearDown(self) -> None:
        self.assertEqual(self.world.wrong, [])

    def ask(self, unit: int = 1, address: int = 0, after: float | None = 0.01) -> Pending:
        """Asks, and the device answers after a while, or not."""
        request = self.world.submit(read(unit, address))
        while not self.world.bus.is_busy or self.world.is_canary(self.world.sent[-1]):
            self.world.tick()
        if after is not None:
            self.world.reply(after=after)
        return request

    def waits(self, unit: int = 1) -> float:
        """How long the bus is held by a unit that does not answer."""
        self.ask(unit, after=None)
        sent = self.world.sent[-1]
        while self.world.bus.is_busy:
            self.world.tick()
        return self.world.now - sent.until

    def test_learned(self) -> None:
        self.assertGreater(self.waits(), UNKNOWN)
        self.world.advance(2.0)
        for address in range(20):
            self.ask(address=address)
        self.assertLess(self.waits(), 0.1)
        self.assertAlmostEqual(self.waits(9), 0.3)

    def test_others_have_the_bus_sooner(self) -> None:
        for address in range(20):
            self.ask(address=address)
        self.ask(after=None)
        other = self.world.submit(read(2, 0), "b")
        self.world.advance(0.1)
        self.assertEqual(self.world.sent[-1].frame, read(2, 0))
        self.world.reply()
        self.assertIsInstance(self.world.outcome(other), Reply)

    def test_a_reply_later_than_ever(self) -> None:
        """It is twenty times as late as usual, and still nobody else's."""
        for address in range(20):
            self.ask(address=address)
        late = self.ask(address=50, after=None)
        sent = self.world.sent[-1]
        other = self.world.submit(read(1, 60), "b")
        self.world.answers_canaries = False  # it is busy
        self.world.advance(0.4)
        self.world.reply(sent, after=0.0)
        self.world.answers_canaries = True
        self.assertIsInstance(self.world.outcome(late), Reply)
        while not other.done:
            if self.world.bus.is_busy and self.world.sent[-1].frame == read(1, 60):
                self.world.reply()
            else:
                self.assertTrue(self.world.tick(), "it is asked")
        self.assertIsInstance(self.world.outcome(other), Reply)

    def test_what_is_slower_now(self) -> None:
        """After a few attempts in vain it is waited for long enough."""
        for address in range(20):
            self.ask(address=address)
        answered = 0
        for address in range(30):
            request = self.world.submit(read(1, address), timeout=10.0)
            while not request.done:
                if self.world.bus.is_busy and not self.world.sent[-1].answered:
                    sent = self.world.sent[-1]
                    self.world.advance(0.1)
                    if not request.done:
                        self.world.reply(sent, after=0.0)
                else:
                    self.world.tick()
            answered += isinstance(self.world.outcome(request), Reply)
        self.assertEqual(answered, 30)
        self.assertGreater(self.waits(), 0.11)


@frozen
class Example:
    """A number or a word, with or without nothing."""

    wait: float | Literal["auto", "never"] = setting(1.0, "how long")
    own: Timeout | None = setting(None, "how long")


class Settings(SynchronousTestCase):
    """A number, or the word."""

    def test_both(self) -> None:
        self.assertEqual(structure({"wait": "auto", "own": 2}, Example), Example(wait="auto", own=2.0))
        self.assertEqual(structure_text({"wait": "2.5", "own": "auto"}, Example), Example(wait=2.5, own="auto"))
        error = self.assertRaises(ConfigError, structure, {"wait": "soon", "own": -1}, Example)
        self.assertEqual(error.faults, (
            "wait: expected a number, got 'soon'; 'auto' or 'never' is possible too",
            "own: expected 0 to 3600, got -1.0; 'auto' is possible too",
        ))
