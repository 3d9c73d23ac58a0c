"""What happened once and must not again: echoes in doubt, exceptions in doubt, frames that never left."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.settings import BusSettings, UnitSettings
from lumina_twisted.errors import NotSent, OutcomeUnknown, ResponseTimeout
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.world import World, read, reply_frame, write

AUTO = BusSettings(timeout=0.1, echo="auto", retries=0)
BROADCAST = encode_adu(0, b"\x06\x00\x01\x00\x02")


class EchoInDoubtTests(SynchronousTestCase):
    """The read that goes ahead of a first write does not always tell."""

    def test_answered_by_an_exception(self) -> None:
        """That comes without an echo, which is an answer too: the write goes, and once."""
        world = World(AUTO)
        request = world.submit(write(1, 5))
        world.reply(refuses=True)
        world.tick()
        self.assertEqual([one.frame[1] for one in world.sent], [3, 6])
        world.reply()
        self.assertIsInstance(world.outcome(request), Reply)

    def test_damaged(self) -> None:
        """Something came, and nobody knows what: then one copy of the write is no proof."""
        world = World(AUTO)
        request = world.submit(write(1, 5))
        world.advance(0.01)
        world.hear(b"\x01\x03\x00\x45")
        while len(world.sent) < 2:
            world.tick()
        world.hear(write(1, 5))
        world.run_dry()
        self.assertIs(world.error(request), OutcomeUnknown)

    def test_echo_of_a_broadcast(self) -> None:
        """It teaches nothing wrong."""
        world = World(AUTO, echoes=True)
        world.submit(read(1, 3))
        world.reply()
        world.submit(BROADCAST)
        world.run_dry()
        self.assertTrue(world.bus.echoes)
        self.assertEqual(world.bus.counters.foreign, 0)

    def test_unknown_function_with_its_echo_in_one_piece(self) -> None:
        """The echo is told apart first."""
        world = World(BusSettings(timeout=0.1, echo="on", retries=0))
        frame, answer = encode_adu(1, b"\x41\x01"), encode_adu(1, b"\x41\x0a\x0b")
        request = world.submit(frame)
        world.sent[-1].answered = True
        world.advance(0.02)
        world.hear(frame + answer)
        world.tick()
        event = world.outcome(request)
        self.assertTrue(isinstance(event, Reply) and reply_frame(event) == answer)

    def test_echo_that_begins_like_the_reply(self) -> None:
        """Without a reply behind it, that one is still in doubt."""
        world = World(BusSettings(timeout=0.1, echo="auto", retries=0), echoes=True)
        world.submit(read(1, 0x0203), "a", timeout=0.15)
        other = world.submit(read(1, 0x0300), "b")
        world.advance(0.15)
        self.assertEqual([one.frame == read(1, 0x0300) for one in world.sent], [False, False], "a canary goes ahead")
        self.assertIsNone(world.outcome(other))


class ExceptionInDoubtTests(SynchronousTestCase):
    """While two replies of one function are awaited, an exception belongs to neither."""

    def test_of_the_later_one(self) -> None:
        """It is not given to the earlier one."""
        world = World(AUTO)
        first = world.submit(read(1, 0, 10), "a")
        world.tick()
        second = world.submit(read(1, 9999), "b")
        world.reply(refuses=True)
        world.run_dry()
        self.assertEqual([world.error(first), world.error(second)], [ResponseTimeout, ResponseTimeout])


class NeverLeftTests(SynchronousTestCase):
    """Frames whose settings the device does not take."""

    def refuse(self, world: World) -> None:
        """What the port's owner says of the frame just taken."""
        world.bus.frame_refused("no such speed", world.now)
        world.collect()

    def test_read_ahead_of_a_write(self) -> None:
        """The write ends with it, at once."""
        world = World(AUTO)
        request = world.submit(write(1, 5))
        self.refuse(world)
        self.assertIs(world.error(request), NotSent)
        self.assertFalse(world.bus.is_busy)

    def test_second_attempt_of_a_write(self) -> None:
        """The first one was sent: nobody knows what it did."""
        world = World(BusSettings(timeout=0.1, echo="off"))
        request = world.submit(write(1, 5), retries=1)
        while len(world.sent) < 2:
            world.tick()
        self.refuse(world)
        self.assertIs(world.error(request), OutcomeUnknown)


class GapTests(SynchronousTestCase):
    """Silences of single units."""

    def test_long_gap_of_one_unit_does_not_hold_up_another(self) -> None:
        """After it was asked, the others have their own."""
        world = World(BusSettings(timeout=0.1, echo="off", units={7: UnitSettings(frame_gap=2.0)}))
        world.submit(read(7, 0))
        world.advance(2.0)
        world.reply()
        start = world.now
        world.submit(read(1, 0), "b", timeout=0.5)
        while len(world.sent) < 2:
            world.tick()
        self.assertLess(world.now - start, 0.01)
