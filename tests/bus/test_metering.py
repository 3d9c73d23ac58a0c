"""What a client used of the bus, and what a request will cost."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access.caller import Caller
from lumina_twisted.bus.admission import FRESH
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.framing.rtu import t3_5
from lumina_twisted.statistics.tally import MOST_CLIENTS
from tests.bus.test_sharing import SharedWorld
from tests.bus.world import ask, caller_of, read, write

GAP = t3_5(9600)


class Used(SynchronousTestCase):
    """Seconds for which the bus was a client's."""

    def setUp(self) -> None:
        self.make()

    def make(self, **settings: Any) -> None:
        base = {"timeout": 0.1, "echo": "off", "retries": 0, "baudrate": 9600, "turnaround": 0.2}
        self.world = SharedWorld(BusSettings(**{**base, **settings}))
        self.world.bus.figures.meter(caller_of("me"))

    def used(self, client: str = "me") -> float:
        return self.world.bus.figures.used_by(caller_of(client), self.world.now)

    def go_on(self) -> None:
        """What waits is asked and answered."""
        while not self.world.bus.is_busy:
            self.assertTrue(self.world.tick(), "nothing is sent")
        self.world.answer()

    def test_nothing_yet(self) -> None:
        self.world.submit(read(1, 0), "you")
        self.go_on()
        self.assertEqual(self.used(), 0.0)

    def test_a_transaction_and_the_silence_before_it(self) -> None:
        begin = self.world.now
        for at in (0, 10):
            self.world.submit(read(1, at), "me")
        self.go_on()
        self.assertAlmostEqual(self.used(), self.world.now - begin)
        self.go_on()
        self.assertAlmostEqual(self.used(), self.world.now - begin)
        self.assertAlmostEqual(self.world.sent[1].at, self.world.sent[0].until + 0.001 + GAP)

    def test_what_runs(self) -> None:
        self.world.submit(read(1, 0), "me")
        self.world.advance(0.05)
        self.assertAlmostEqual(self.used(), 0.05)
        self.assertEqual(self.used("you"), 0.0)

    def test_timeouts_and_retries(self) -> None:
        """Not the pause between them, in which others may ask."""
        self.make(retries=1)
        self.world.submit(read(1, 0), "me")
        self.world.run_dry()
        self.assertEqual(len(self.world.sent), 2)
        spent = sum(one.until - one.at + 0.1 for one in self.world.sent)
        self.assertAlmostEqual(self.used(), spent, places=2)

    def test_a_caller_that_is_gone(self) -> None:
        request = self.world.submit(read(1, 0), "me")
        self.world.cancel(request)
        self.world.run_dry()
        self.assertAlmostEqual(self.used(), self.world.sent[0].until - self.world.sent[0].at + 0.1)

    def test_a_broadcast(self) -> None:
        self.world.submit(write(0, 0), "me")
        self.world.run_dry()
        self.assertAlmostEqual(self.used(), self.world.sent[0].until - self.world.sent[0].at + 0.2)

    def test_whose_turn_it_was(self) -> None:
        """Reads that are shared or merged are its who was the first of them."""
        for settings, ranges in (({}, (10, 10)), ({"merge": True}, (10, 11))):
            self.make(**settings)
            self.world.submit(read(9, 0), "somebody")
            for client, at in zip(("me", "you"), ranges, strict=True):
                self.world.submit(read(1, at), client)
            self.world.answer()
            begin = self.world.now
            self.go_on()
            self.assertEqual(len(self.world.sent), 2)
            self.assertAlmostEqual(self.used("me"), self.world.now - begin)
            self.assertEqual(self.used("you"), 0.0)

    def test_it_is_the_queues_account(self) -> None:
        """What a turn is charged is what was used."""
        charged: list[tuple[Caller, float]] = []
        self.patch(self.world.bus._queue, "charge", lambda client, cost, now: charged.append((client, cost)))
        for number in range(20):
            self.world.submit(read(1, number), ("me", "you")[number % 3 == 0])
        for _ in range(20):
            self.go_on()
        self.world.run_dry()
        mine = sum(cost for client, cost in charged if client.name == "me")
        self.assertAlmostEqual(self.used("me"), mine, delta=GAP * 20 / 1000)

    def test_however_many_come(self) -> None:
        """Who is metered is not forgotten; others may be."""
        for client in ("me", "you"):
            self.world.submit(read(1, 0), client)
            self.go_on()
        before = self.used("me"), self.used("you")
        for number in range(MOST_CLIENTS + 10):
            self.world.submit(read(1, 0), f"client {number}")
            self.go_on()
        self.assertEqual((self.used("me"), self.used("you")), (before[0], 0.0))
        self.assertGreater(before[1], 0.0)

    def test_many_that_are_metered(self) -> None:
        """The table stays bounded."""
        for number in range(2 * MOST_CLIENTS):
            self.world.bus.figures.meter(caller_of(number))
        self.assertEqual(len(self.world.bus.figures.port.clients), MOST_CLIENTS)


class Cost(SynchronousTestCase):
    """Before anything is known, what the bytes take; then what it took."""

    def cost_of(self, world: SharedWorld, frame: bytes) -> float:
        request = ask("me", frame, world.settings.serial, 0.0)
        return world.bus.cost_of(request, world.now)

    def test_known_for_a_while(self) -> None:
        world = SharedWorld(BusSettings(timeout=0.1, echo="off", retries=0, baudrate=9600))
        least = (8 + 7) * 11 / 9600 + GAP
        self.assertAlmostEqual(self.cost_of(world, read(1, 0)), least)
        begin = world.now
        world.submit(read(1, 5))
        world.advance(0.05)
        world.answer()
        took = world.now - begin + GAP
        self.assertAlmostEqual(self.cost_of(world, read(1, 0)), took)
        self.assertAlmostEqual(self.cost_of(world, read(2, 0)), least)
        world.advance(FRESH + 0.1)
        self.assertAlmostEqual(self.cost_of(world, read(1, 0)), least)
