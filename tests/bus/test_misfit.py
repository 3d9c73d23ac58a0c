"""A reply of the wrong length (issue 13, to build 5): it settles its request, and the next exception is its own's. And
the copies of replies that look the same."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.pending import Pending, State
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.errors import IllegalDataValue, LuminaError, ResponseTimeout, ServerDeviceBusy
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.world import World, read, reply_to

ONCE = BusSettings(timeout=0.6, echo="off", retries=0)


def value(number: int, unit: int = 1) -> bytes:
    """A reply of one register."""
    return encode_adu(unit, bytes((3, 2, *number.to_bytes(2, "big"))))


class Misanswering(SynchronousTestCase):
    """A device that gives one register where two were asked for."""

    def setUp(self) -> None:
        """A bus that asks once, as the unit tests of a library want it."""
        self.world = World(ONCE, answers_canaries=True)

    def short(self, number: int, address: int = 0x160) -> Pending:
        """Two registers are asked for, and one comes; the client waits for nothing then."""
        asked = self.world.submit(read(1, address, 2))
        self.world.advance(0.05)
        self.world.hear(value(number))
        self.world.advance(2.0)
        self.assertIs(self.world.error(asked), ResponseTimeout)
        return asked

    def refused(self, address: int, quantity: int, code: int) -> type[LuminaError] | None:
        """How a read ends that the device refuses, if it ends within 100 ms."""
        asked = self.world.submit(read(1, address, quantity))
        self.world.advance(0.02)
        while self.world.is_canary(self.world.sent[-1]):
            self.world.advance(0.01)
        self.world.reply(refuses=True, code=code)
        self.world.advance(0.05)
        return self.world.error(asked)

    def test_exceptions_after_it_come_at_once(self) -> None:
        """Busy, and an illegal value, for the same shape and for another; nothing of the bus's own goes ahead."""
        for code, error in ((6, ServerDeviceBusy), (3, IllegalDataValue)):
            for quantity in (2, 3):
                self.short(0x17)
                self.assertIs(self.refused(0x170, quantity, code), error)
        self.assertEqual(self.world.bus.counters.canaries, 0)
        self.assertEqual(self.world.wrong, [])

    def test_the_shape_that_was_read_before(self) -> None:
        """Which a copy would have, too; but it says something else."""
        for number in (1, 2, 3):
            self.world.submit(read(1, number))
            self.world.advance(0.01)
            self.world.reply()
        self.short(0x17)
        self.assertIs(self.refused(0x170, 3, 6), ServerDeviceBusy)
        self.assertEqual((self.world.bus.counters.doubled, self.world.bus.counters.canaries), (0, 0))

    def test_what_may_be_a_copy(self) -> None:
        """It equals the reply before: a question of the bus's own proves that nothing else comes, and the exception is
        given. The unit does not count as one that answers twice."""
        self.world.submit(read(1, 0x17))
        self.world.reply()
        self.short(0x17)
        self.assertIs(self.refused(0x170, 3, 6), ServerDeviceBusy)
        self.assertEqual((self.world.bus.counters.doubled, self.world.bus.counters.canaries), (0, 1))

    def test_a_device_that_answers_no_question(self) -> None:
        """Then the next request goes without a proof, as long as its reply can be told apart."""
        self.world = World(BusSettings(timeout=0.1, echo="off", retries=0))
        self.world.submit(read(1, 0x17))
        self.world.reply()
        self.short(0x17)
        asked = self.world.submit(read(1, 0x20, 3))
        self.world.advance(0.3)
        self.world.reply()
        self.assertIsInstance(self.world.outcome(asked), Reply)

    def test_the_next_value_is_right(self) -> None:
        self.short(0x17)
        asked = self.world.submit(read(1, 0x42, 2))
        self.world.reply()
        self.assertIsInstance(self.world.outcome(asked), Reply)
        self.assertEqual(self.world.wrong, [])

    def test_counted(self) -> None:
        """Once each, as a reply that answers nothing."""
        self.short(0x17)
        self.short(0x18)
        self.assertEqual(self.world.bus.counters.foreign, 2)

    def test_an_older_reply_may_still_come(self) -> None:
        """Then nobody knows whose the short one is, and an exception is nobody's."""
        late = self.world.submit(read(1, 0x300, 5), timeout=0.7)
        self.world.advance(1.0)
        self.assertIs(self.world.error(late), ResponseTimeout)
        asked = self.world.submit(read(1, 0x160, 2))
        self.world.advance(0.05)
        self.world.hear(value(0x17))
        self.world.advance(0.65)
        self.assertTrue(asked.state is State.AWAITING_LATE_REPLY or asked.done)
        self.assertIn(asked.pattern.shape, self.world.bus._wire.doubts.late.in_doubt(1))


class Copies(SynchronousTestCase):
    """A unit that answers twice."""

    def test_a_copy_that_comes_instead_of_a_late_reply(self) -> None:
        """The late reply is not taken for the next one of its shape."""
        world = World(ONCE, answers_canaries=True)
        world.submit(read(1, 0x17))
        world.reply()
        first = world.submit(read(1, 0x160, 2), timeout=0.7)
        world.advance(0.05)
        late = world.sent[-1]
        world.hear(reply_to(read(1, 0x17)))
        world.advance(0.8)
        self.assertTrue(first.done)
        second = world.submit(read(1, 0x170, 2))
        world.reply(late, after=0.0)
        world.advance(0.01)
        world.tick()
        world.reply()
        world.run_dry()
        self.assertEqual(world.wrong, [])
        self.assertTrue(second.done)

    def test_convicted_when_the_right_reply_follows(self) -> None:
        world = World(ONCE)
        world.submit(read(1, 0x17))
        world.reply()
        asked = world.submit(read(1, 0x160, 2))
        world.advance(0.02)
        world.hear(reply_to(read(1, 0x17)))
        self.assertEqual(world.bus.counters.doubled, 0)
        world.reply()
        self.assertIsInstance(world.outcome(asked), Reply)
        self.assertEqual((world.bus.counters.doubled, world.bus.counters.foreign), (1, 0))

    def test_a_register_that_does_not_change(self) -> None:
        """A unit that has doubled once, and says the same each time: no reply of it is lost for that."""
        world = World(BusSettings(timeout=0.5, echo="off", retries=0), answers_canaries=True)
        world.submit(read(1, 0x17))
        world.reply()
        world.advance(0.01)
        world.hear(reply_to(read(1, 0x17)))
        self.assertEqual(world.bus.counters.doubled, 1)
        for _ in range(20):
            asked, began = world.submit(read(1, 0x17)), world.now
            while world.sent[-1].answered or world.is_canary(world.sent[-1]):
                self.assertTrue(world.tick())
            world.reply()
            while not asked.done:
                self.assertTrue(world.tick())
            self.assertIsInstance(world.outcome(asked), Reply)
            self.assertLess(world.now - began, 0.15)
            world.advance(0.5)
        self.assertEqual((world.wrong, world.bus.counters.doubled), ([], 1))

    def test_a_copy_that_is_later_than_any_before(self) -> None:
        """It looks like the reply to the next read of the same shape, but that one follows, and counts."""
        world = World(BusSettings(timeout=0.5, echo="off", retries=0), answers_canaries=True)
        world.submit(read(1, 0x17))
        world.reply()
        world.advance(0.01)
        world.hear(reply_to(read(1, 0x17)))
        world.submit(read(1, 0x17))
        world.advance(0.1)
        world.reply()
        other = world.submit(read(1, 0x20))
        while world.sent[-1].answered:
            self.assertTrue(world.tick())
        world.advance(0.01)
        world.hear(reply_to(read(1, 0x17)))
        world.reply()
        world.run_dry()
        self.assertIsInstance(world.outcome(other), Reply)
        self.assertEqual((world.wrong, world.bus.counters.doubled), ([], 2))

    def test_the_copy_of_a_reply_that_was_damaged(self) -> None:
        """Another reply proves that the damaged one does not come any more; its copy does, and looks like the next."""
        world = World(BusSettings(timeout=0.2, echo="off", retries=0))
        world.submit(read(1, 0x17))
        world.reply()
        world.advance(0.15)
        world.hear(reply_to(read(1, 0x17)))
        self.assertEqual(world.bus.counters.doubled, 1)
        damaged = world.submit(read(1, 0x20, 4))
        world.advance(0.15)
        world.sent[-1].answered = True
        whole = reply_to(read(1, 0x20, 4))
        world.hear(whole[:5] + b"\xff" + whole[6:])
        came_at = world.now
        proof = world.submit(read(1, 0x30))
        while world.sent[-1].answered:
            self.assertTrue(world.tick())
        world.reply()
        self.assertIs(world.error(damaged), ResponseTimeout)
        self.assertIsInstance(world.outcome(proof), Reply)
        other = world.submit(read(1, 0x40, 4))
        self.assertLess(world.now, came_at + 0.15)
        world.advance(came_at + 0.15 - world.now)
        world.hear(whole)
        self.assertEqual((world.outcome(other), world.bus.counters.doubled), (None, 2))
        while world.sent[-1].answered:
            self.assertTrue(world.tick())
        world.reply()
        self.assertIsInstance(world.outcome(other), Reply)
        self.assertLess(world.now, came_at + 0.3)
        self.assertEqual((world.wrong, world.bus.counters.canaries), ([], 0))


class BusyTests(SynchronousTestCase):
    """How often a busy device is asked again."""

    def sent(self, settings: BusSettings) -> int:
        """Frames that a read costs which is always refused as busy."""
        world = World(settings)
        asked = world.submit(read(1, 0))
        for _ in range(50):
            if world.sent[-1].answered and not world.tick():
                break
            if not world.sent[-1].answered:
                world.reply(refuses=True, code=6)
        self.assertIs(world.error(asked), ServerDeviceBusy)
        return len(world.sent)

    def test_where_nothing_is_asked_again(self) -> None:
        """``retries = 0`` means that, unless ``busy_retries`` says otherwise."""
        for options, expected in (
            ({}, 4), ({"retries": 0}, 1), ({"retries": 0, "busy_retries": 2}, 3), ({"busy_retries": 0}, 1),
        ):
            self.assertEqual(self.sent(BusSettings(timeout=0.1, echo="off", **options)), expected, options)
