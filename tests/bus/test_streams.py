"""A bus behind a socket whose link stalls: whatever comes late, and however late, nobody is given another's answer."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.bus import Bus
from lumina_twisted.bus.events import Frame, Reply
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.errors import ResponseTimeout
from lumina_twisted.framing.rtu import RtuFraming
from tests.bus.world import Sent, World, read, write


class Tunnel(World):
    """A link that hands over everything in order, when it likes to."""

    def __init__(self, *, retries: int = 0) -> None:
        self.held: list[Sent] = []
        self.seen = 0
        settings = BusSettings(timeout=0.1, echo="off", frame_gap=0.0, retries=retries, share=False)
        super().__init__(settings, opened=False)
        self.bus = Bus(self.settings, "converter", framing=RtuFraming(has_wire_time=False))
        self.bus.watch_samples(True)
        self.bus.port_opened(self.now)

    def _on_frame(self, frame: Frame) -> None:
        self.quiet_from = 0.0  # no wire, no silence
        super()._on_frame(frame)

    def collect(self) -> None:
        """What leaves is under way until it is handed over."""
        super().collect()
        self.held += self.sent[self.seen :]
        self.seen = len(self.sent)

    def hand_over(self, *, refuses: bool = False) -> None:
        """The oldest reply that is under way arrives."""
        if self.held:
            self.reply(self.held.pop(0), after=0.0, refuses=refuses)

    def drop(self) -> None:
        """The device did not answer the oldest frame."""
        if self.held:
            self.held.pop(0)


class Stalls(SynchronousTestCase):
    """What becomes of those who wait."""

    def setUp(self) -> None:
        self.world = Tunnel()

    def tearDown(self) -> None:
        self.assertEqual(self.world.wrong, [])

    def test_a_reply_much_later(self) -> None:
        """The link stalls for a minute. The next read of that shape waits for the proof that nothing older comes."""
        first = self.world.submit(read(1, 10))
        self.world.advance(60.0)
        self.assertIs(self.world.error(first), ResponseTimeout)
        second = self.world.submit(read(1, 20))
        self.assertEqual([sent.frame[1] for sent in self.world.held], [3, 8])
        self.world.hand_over()
        self.assertIsNone(self.world.outcome(second))
        self.world.hand_over()
        self.assertEqual(self.world.sent[-1].frame, read(1, 20))
        self.world.hand_over()
        self.assertIsInstance(self.world.outcome(second), Reply)

    def test_a_link_that_never_comes_back(self) -> None:
        """Who waits for the proof is told that nothing was sent."""
        self.world.submit(read(1, 10))
        self.world.advance(60.0)
        waiting = self.world.submit(read(1, 20))
        self.world.run_dry()
        self.assertIs(self.world.error(waiting), ResponseTimeout)
        self.assertEqual(self.world.sent[-1].frame[1], 8)
        hasty = self.world.submit(read(1, 30), timeout=0.15)
        self.world.run_dry()
        self.assertIn("does not answer, neither what it was asked before", str(self.world.outcome(hasty)))

    def test_another_unit_proves_nothing(self) -> None:
        """The device itself may be busy, while the one beside it answers."""
        self.world.submit(read(1, 10), "a", timeout=0.1)
        self.world.advance(0.2)
        self.world.submit(read(2, 10), "b")
        self.world.reply(self.world.held.pop(1))
        waiting = self.world.submit(read(1, 20))
        self.assertEqual(self.world.sent[-1].frame[1], 8)
        self.world.hand_over()
        self.world.hand_over()
        self.world.hand_over()
        self.assertIsInstance(self.world.outcome(waiting), Reply)

    def test_an_older_reply_proves_nothing(self) -> None:
        """What answers a request's second attempt may be the reply to its first, from before what was sent between."""
        world = self.world = Tunnel(retries=1)
        twice = world.submit(read(1, 10), "a", timeout=2.0)
        between = world.submit(read(1, 10, 2), "b", timeout=0.15)
        while len(world.sent) < 3:
            world.tick()
        self.assertEqual([sent.frame[5] for sent in world.sent], [1, 2, 1])
        world.hand_over()
        self.assertIsInstance(world.outcome(twice), Reply)
        self.assertIsNotNone(world.error(between))
        world.submit(read(1, 20, 2), "b", timeout=3.0)
        world.tick()
        self.assertEqual(world.sent[-1].frame[1], 8)
        for _ in range(4):
            world.hand_over()


class AnythingGoes(SynchronousTestCase):
    """Seeded links that stall, lose replies and catch up."""

    def test_no_value_is_anothers(self) -> None:
        answered = sum(self.play(random.Random(seed)) for seed in range(500))
        self.assertGreater(answered, 3000)

    def play(self, chance: random.Random) -> int:
        world = Tunnel(retries=chance.randrange(2))
        asked: list[Pending] = []
        kinds = ("ask", "write", "hand over", "drop", "pass", "stall", "cancel")
        for step in chance.choices(kinds, (8, 1, 8, 1, 3, 1, 1), k=120):
            if step == "ask":
                frame = read(chance.randrange(1, 3), chance.randrange(50), chance.randrange(1, 3))
                asked.append(world.submit(frame, chance.randrange(3), timeout=chance.choice((0.15, 0.5, 3.0))))
            elif step == "write":
                asked.append(world.submit(write(1, chance.randrange(50)), chance.randrange(3)))
            elif step == "hand over":
                world.hand_over(refuses=chance.random() < 0.15)
            elif step == "drop":
                world.drop()
            elif step == "cancel" and (waiting := [one for one in asked if not one.done]):
                world.cancel(chance.choice(waiting))
            else:
                world.advance(chance.choice((0.001, 0.05, 0.2)) if step == "pass" else 20.0)
        world.run_dry()
        self.assertEqual(world.wrong, [])
        self.assertEqual([one for one in asked if not one.done], [])
        return sum(isinstance(event, Reply) for event in world.ended.values())
