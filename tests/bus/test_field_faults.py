"""What the walk over the field found, each as its smallest sequence."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.canary import Canaries
from lumina_twisted.bus.echo import Echo
from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.late_replies import LateReplies
from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.surplus import Surplus
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.modbus.functions import is_request
from lumina_twisted.statistics.counters import Counters
from tests.bus.test_streams import Tunnel
from tests.bus.world import World, ask, frame_of, read, reply_to, write

SETTINGS = BusSettings(timeout=0.1, echo="off", retries=0)
EXCEPTION = b"\x83\x02"


def request_of(frame: bytes, *, is_canary: bool = False) -> Pending:
    """A request that nobody waits for."""
    return Pending(ask("client", frame, SETTINGS.serial, 100.0), Kind.CANARY if is_canary else Kind.CALLER)


def late_reads(quantities: range) -> LateReplies:
    """Reads of a client's in doubt, of registers of both kinds."""
    late = LateReplies((True,) * 256)
    for number, (code, quantity) in enumerate((code, one) for one in quantities for code in (1, 2, 3, 4)):
        late.add(request_of(encode_adu(1, bytes((code, 0, 0, 0, quantity)))), number, 0.0, 0.1)
    return late


class Canary(SynchronousTestCase):
    """A canary proves what it can, and hides nothing."""

    def test_it_never_looks_like_a_clients_late_read(self) -> None:
        """Whatever lengths are in doubt (A1's kind: a number that is used twice)."""
        late = late_reads(range(1, 12))
        made = Canaries(BusSettings(canary="read")).make(request_of(read(1, 0)), late.in_doubt(1), None)
        self.assertNotIn(made.pattern.shape, late.in_doubt(1))

    def test_it_asks_elsewhere_each_time(self) -> None:
        """However many canaries were refused at one place: a place that the device answers comes soon."""
        late, canaries = LateReplies((True,) * 256), Canaries(BusSettings(canary="read"))
        for code in (1, 2):
            late.add(request_of(encode_adu(1, bytes((code, 0, 0, 0, 1)))), code, 0.0, 0.1)
        late.add(request_of(encode_adu(1, b"\x04\0\x21\0\x02")), 3, 0.0, 0.1)
        for quantity in (1, *range(3, 9)):
            refused = request_of(encode_adu(1, bytes((4, 0, 0x3D, 0, quantity))), is_canary=True)
            late.add(refused, 3 + quantity, 0.0, 0.1)
        for quantity in range(1, 9):
            late.add(request_of(encode_adu(1, bytes((3, 0, 0, 0, quantity)))), 20 + quantity, 0.0, 0.1)
        made = [canaries.make(request_of(read(1, 0)), late.in_doubt(1), None).pdu for _ in range(2)]
        self.assertEqual({pdu[:3] for pdu in made}, {b"\x04\0\x21", b"\x04\0\x3d"})

    def test_it_does_not_take_the_place_of_a_doubt(self) -> None:
        late = LateReplies((True,) * 256)
        late.add(request_of(read(1, 10)), 2, 0.0, 0.1)
        kept = late.add(request_of(read(1, 0), is_canary=True), 4, 0.0, 0.1)
        self.assertEqual((kept.numbers, kept.request.kind), ([2, 4], Kind.CALLER))

    def test_a_unit_that_answers_by_exceptions_alone(self) -> None:
        """They look alike, and each ends one doubt: the unit is not locked out for ever."""
        late = late_reads(range(1, 3))
        for _ in range(20):
            if fitting := late.fitting(1, EXCEPTION):
                late.ambiguous_reply_came(fitting[0])
        self.assertEqual([one for one in late if frame_of(one.request)[1] == 3], [])


class AnotherMaster(SynchronousTestCase):
    """A10: its replies are not ours, whatever it asks, and whenever that is heard."""

    def setUp(self) -> None:
        self.world = World(SETTINGS)

    def test_it_asks_what_we_just_asked(self) -> None:
        self.world.submit(read(1, 10))
        self.world.reply()
        self.world.advance(0.1)
        self.world.hear(read(1, 10))
        second = self.world.submit(read(1, 20))
        self.world.advance(0.02)
        self.world.hear(reply_to(read(1, 10)))
        self.assertNotIsInstance(self.world.outcome(second), Reply)

    def test_it_asks_what_is_on_the_wire(self) -> None:
        """The unit answers both; the second reply is not the next request's."""
        self.world.submit(read(1, 10))
        self.world.advance(0.02)
        self.world.hear(read(1, 10))
        self.world.hear(read(1, 10))
        self.world.hear(reply_to(read(1, 10)))
        second = self.world.submit(read(1, 20))
        self.world.advance(0.02)
        self.world.hear(reply_to(read(1, 10)))
        self.assertNotIsInstance(self.world.outcome(second), Reply)

    def test_what_is_heard_after_our_frame_may_have_been_before_it(self) -> None:
        """So its reply does not prove that ours is not answered any more."""
        self.world.submit(read(1, 10), timeout=0.12)
        self.world.advance(0.02)
        self.world.hear(read(1, 0x50, 2))
        self.world.advance(0.2)
        self.world.hear(reply_to(read(1, 0x50, 2)))
        self.world.submit(read(1, 20))
        self.world.advance(0.01)
        self.assertTrue(self.world.is_canary(self.world.sent[-1]))

    def test_two_of_its_writes(self) -> None:
        """The reply to the second is not that to ours, which the unit did not hear."""
        ours, other = (encode_adu(1, bytes((16, 0, at, 0, 1, 2, 0, value))) for at, value in ((0x20, 1), (0x10, 2)))
        request = self.world.submit(ours)
        self.world.advance(0.02)
        self.world.hear(other)
        self.world.hear(encode_adu(1, bytes((16, 0, 0x20, 0, 1, 2, 0, 3))))
        self.world.hear(encode_adu(1, bytes((16, 0, 0x20, 0, 1))))
        self.assertNotIsInstance(self.world.outcome(request), Reply)

    def test_registers_from_0x0300(self) -> None:
        """The high byte of the address looks like a byte count; no reply has three bytes of registers."""
        self.assertTrue(is_request(bytes((3, 3, 0x10, 0, 2))))
        self.assertTrue(is_request(bytes((4, 3, 0x10, 0, 2))))
        self.assertFalse(is_request(bytes((1, 3, 0x10, 0, 2))))

    def test_its_broadcast_leaves_nothing(self) -> None:
        self.world.hear(encode_adu(0, bytes((16, 0, 0, 0, 1, 2, 0, 1))))
        self.assertEqual(self.world.bus._wire.doubts.late.count, 0)


class EchoInDoubt(SynchronousTestCase):
    """One observation that may be wrong decides nothing."""

    def test_silence_of_a_stream_says_nothing(self) -> None:
        """The link stalls: the echo of the probe comes later, and that of the write is no proof."""
        world = Tunnel()
        world.bus._wire.echo = Echo("auto", world.bus.counters)
        request = world.submit(write(1, 5))
        world.advance(0.3)
        self.assertEqual(world.sent[-1].frame, write(1, 5))
        world.hear(write(1, 5))
        self.assertNotIsInstance(world.outcome(request), Reply)

    def test_one_reply_without_an_echo(self) -> None:
        echo = Echo("auto", Counters())
        echo.learn(True)
        echo.learn(False)
        self.assertIsNone(echo.known)
        echo.learn(False)
        self.assertIs(echo.known, False)


class Doubling(SynchronousTestCase):
    """A11: once a unit is known to answer twice, no copy answers anything."""

    def setUp(self) -> None:
        self.surplus = Surplus(has_wire_time=True)
        self.surplus.answered(request_of(read(1, 1)), reply_to(read(1, 1))[1:-2], 1.0)
        self.assertTrue(self.surplus.convicts(1, reply_to(read(1, 1))[1:-2], 1.01))

    def test_a_copy_after_the_reply_to_another_shape(self) -> None:
        self.surplus.answered(request_of(read(1, 2)), reply_to(read(1, 2))[1:-2], 2.0)
        self.surplus.answered(request_of(read(1, 3, 2)), reply_to(read(1, 3, 2))[1:-2], 2.01)
        self.assertGreater(self.surplus.blocked_until(request_of(read(1, 4))), 2.01)
        self.assertTrue(self.surplus.is_copy(1, reply_to(read(1, 2))[1:-2], 2.02))
        self.assertEqual(self.surplus.blocked_until(request_of(read(1, 4))), 0.0)

    def test_a_copy_of_a_late_reply(self) -> None:
        self.surplus.came_late(1, reply_to(read(1, 2))[1:-2], 2.0)
        self.assertGreater(self.surplus.blocked_until(request_of(read(1, 4))), 2.0)

    def test_a_copy_of_the_reply_to_a_canary(self) -> None:
        self.surplus.answered(request_of(read(1, 2, 3), is_canary=True), reply_to(read(1, 2, 3))[1:-2], 2.0)
        self.assertGreater(self.surplus.blocked_until(request_of(read(1, 4, 3))), 2.0)

    def test_the_next_reply_of_the_same_value(self) -> None:
        """After the look-out it is a reply, not a copy."""
        self.surplus.answered(request_of(read(1, 2)), reply_to(read(1, 2))[1:-2], 2.0)
        self.assertFalse(self.surplus.is_copy(1, reply_to(read(1, 2))[1:-2], 2.5))
