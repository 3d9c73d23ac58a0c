"""Shared reads: one transaction for all who want the same, and never a value that is another's, too old, or torn."""

from __future__ import annotations

import random
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Ending, Reply, Sample
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.queue import Lane
from lumina_twisted.bus.settings import BusSettings, UnitSettings
from lumina_twisted.errors import (
    Expired,
    IllegalDataAddress,
    OutcomeUnknown,
    PortClosed,
    PortLost,
    ResponseTimeout,
    Stopping,
    UnitOffline,
)
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.modbus.read_range import covers, cut
from tests.bus.world import Sent, World, frame_of, read, reply_frame, write


def values(frame: bytes, written: int = 0) -> bytes:
    """What a device answers to a read of registers: in each its own address, and how many writes it has seen."""
    if frame[1] == 8:
        return frame
    first, quantity = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
    data = b"".join(((first + at) % 256 * 256 + written).to_bytes(2, "big") for at in range(quantity))
    return encode_adu(frame[0], bytes((frame[1], len(data))) + data)


class SharedWorld(World):
    """Devices whose registers know their address and the number of writes; what it delivers the tests judge."""

    def __init__(self, settings: BusSettings | None = None) -> None:
        super().__init__(settings or BusSettings(timeout=0.1, echo="off", retries=0))
        self.written = 0

    def answer(self, sent: Sent | None = None, *, refuses: bool = False) -> None:
        """A device answers the frame that was sent last."""
        sent = sent or self.sent[-1]
        sent.answered = True
        self.advance(max(0.0, sent.until - self.now) + 0.001)
        if refuses:
            self.hear(encode_adu(sent.frame[0], bytes((sent.frame[1] | 0x80, 2))))
        elif sent.frame[1] == 6:
            self.written += 1
            self.hear(sent.frame)
        else:
            self.hear(values(sent.frame, self.written), sent.until)

    def _on_sample(self, sample: Sample) -> None:
        self.samples.append(sample)
        if sample.is_read and sample.sampled_after > self.looked:
            self.wrong.append(f"a sample of {self.looked:.6f} counts from {sample.sampled_after:.6f}")
        asked, reply = encode_adu(sample.unit, sample.request), sample.reply
        if reply[:1] == b"\x03" and reply != values(asked, reply[3])[1:-2]:
            self.wrong.append(f"the sample of {sample.request.hex()} is {sample.reply.hex()}")

    def _on_event(self, event: Ending) -> None:
        request = self.pending[event.request]
        if request in self.ended:
            self.wrong.append(f"second outcome of {frame_of(request).hex()}")
        self.ended[request] = event
        self.order.append(request)

    def frame_of(self, request: Pending) -> bytes:
        """The reply that a request got."""
        event = self.ended[request]
        assert isinstance(event, Reply), event
        return reply_frame(event)


class SharingTests(SynchronousTestCase):
    """Who rides with whom."""

    def setUp(self) -> None:
        self.world = SharedWorld(BusSettings(timeout=0.1, echo="off", retries=0, writes_first=False))
        self.busy()

    def tearDown(self) -> None:
        self.assertEqual(self.world.wrong, [])

    def busy(self) -> None:
        """Something is on the wire, so that what comes waits."""
        self.world.submit(read(9, 0), "somebody")
        self.world.advance(0.01)
        self.assertEqual(len(self.world.sent), 1)

    def go_on(self, **how: bool) -> None:
        """What is on the wire is answered, and the next frame leaves."""
        self.world.answer(**how)
        self.world.advance(0.01)

    def frames(self) -> list[bytes]:
        """What was sent since what made the bus busy."""
        return [sent.frame for sent in self.world.sent[1:]]

    def finish(self) -> None:
        """All that is sent is answered."""
        for _ in range(20):
            if self.world.sent[-1].answered:
                return
            self.go_on()
        self.fail("it sends for ever")

    def test_fifty_clients_one_transaction(self) -> None:
        requests = [self.world.submit(read(1, 7), f"client {number}") for number in range(50)]
        self.finish()
        self.assertEqual(self.frames(), [read(1, 7)])
        self.assertEqual([self.world.frame_of(one) for one in requests], [values(read(1, 7))] * 50)
        self.assertEqual((self.world.bus.counters.shared, self.world.bus.counters.replies), (49, 51))

    def test_a_range_within_anothers(self) -> None:
        whole = self.world.submit(read(1, 10, 20), "a")
        part = self.world.submit(read(1, 15, 3), "b")
        self.finish()
        self.assertEqual(self.frames(), [read(1, 10, 20)])
        self.assertEqual(self.world.frame_of(whole), values(read(1, 10, 20)))
        self.assertEqual(self.world.frame_of(part), values(read(1, 15, 3)))

    def test_what_does_not_ride(self) -> None:
        """Another unit, function or speed, a range that reaches beyond, one that began; and one client's own."""
        for other in (read(2, 10, 5), encode_adu(1, bytes.fromhex("04000A0005")), read(1, 9, 5), read(1, 11, 5)):
            self.setUp()
            self.world.submit(read(1, 10, 5), "a")
            self.world.submit(other, "b")
            self.finish()
            self.assertEqual(len(self.frames()), 2, other.hex())
        self.setUp()
        self.world.submit(read(1, 10), "a")
        self.world.submit(read(1, 10), "b", baudrate=4800)
        self.finish()
        self.assertEqual(len(self.frames()), 2)
        self.setUp()
        self.world.submit(read(1, 10), "a")
        self.world.submit(read(1, 10), "a")
        self.finish()
        self.assertEqual(len(self.frames()), 2)

    def test_none_joins_once_its_frame_began(self) -> None:
        self.world.submit(read(1, 10), "a")
        self.go_on()
        self.world.submit(read(1, 10), "b")
        self.finish()
        self.assertEqual(self.frames(), [read(1, 10), read(1, 10)])

    def test_never_across_a_write(self) -> None:
        """The second reader must see what was written before it asked."""
        first = self.world.submit(read(1, 10), "a")
        self.world.submit(write(1, 99), "writer")
        second = self.world.submit(read(1, 10), "b")
        self.finish()
        self.assertEqual(self.frames(), [read(1, 10), write(1, 99), read(1, 10)])
        self.assertEqual(self.world.frame_of(first), values(read(1, 10), 0))
        self.assertEqual(self.world.frame_of(second), values(read(1, 10), 1))

    def test_never_across_a_broadcast(self) -> None:
        self.world.submit(read(1, 10), "a")
        self.world.submit(write(0, 99), "writer")
        self.world.submit(read(1, 10), "b")
        self.go_on()
        for _ in range(20):
            if not self.world.sent[-1].answered and self.world.sent[-1].frame[0]:
                self.world.answer()
            self.world.tick()
        self.assertEqual(self.frames(), [read(1, 10), write(0, 99), read(1, 10)])

    def test_what_a_client_asked_before_its_write_comes_before(self) -> None:
        """Its read rides with one whose turn is later than its write's would be."""
        self.world.submit(read(2, 0), "a")
        self.world.submit(read(1, 10), "a")
        early = self.world.submit(read(1, 10), "b")
        self.world.submit(write(1, 99), "b")
        self.finish()
        self.assertEqual(self.frames(), [read(2, 0), read(1, 10), write(1, 99)])
        self.assertEqual(self.world.frame_of(early), values(read(1, 10), 0))

    def test_a_write_lifts_what_its_client_rides_with(self) -> None:
        """Or it would wait for a turn of another's."""
        self.world.submit(read(1, 10), "a", lane=Lane.LOW)
        self.world.submit(read(1, 10), "b")
        for unit in range(2, 6):
            self.world.submit(read(unit, 0), "c")
        self.world.submit(write(1, 99), "b", lane=Lane.HIGH)
        self.finish()
        self.assertEqual(self.frames()[:2], [read(1, 10), write(1, 99)])

    def test_a_write_to_another_unit_parts_nobody(self) -> None:
        self.world.submit(read(1, 10), "a")
        self.world.submit(write(2, 99), "writer")
        self.world.submit(read(1, 10), "b")
        self.finish()
        self.assertEqual(len(self.frames()), 2)

    def test_the_order_of_a_client_stays(self) -> None:
        """Its write to that unit waits: a read after it does not overtake it by riding."""
        self.world.submit(write(1, 5), "b")
        self.world.submit(read(1, 10), "a")
        late = self.world.submit(read(1, 10), "b")
        self.finish()
        order = [frame_of(one) for one in self.world.order if one.caller.name == "b"]
        self.assertEqual(order, [write(1, 5), read(1, 10)])
        self.assertEqual(self.world.frame_of(late), values(read(1, 10), 1))

    def test_nor_when_another_client_is_before_it(self) -> None:
        """By riding with a read that goes before its own write, a read would overtake that."""
        first = self.world.submit(read(2, 0), "a")
        self.world.submit(write(1, 5), "b")
        self.world.submit(read(1, 10), "a")
        late = self.world.submit(read(1, 10), "b")
        self.world.cancel(first)
        self.finish()
        self.assertEqual(self.frames()[0], read(1, 10))
        self.assertEqual(self.world.frame_of(late), values(read(1, 10), 1))

    def test_switched_off(self) -> None:
        for settings in (
            BusSettings(timeout=0.1, echo="off", share=False),
            BusSettings(timeout=0.1, echo="off", units={1: UnitSettings(share=False)}),  # type: ignore[dict-item]
        ):
            self.world = SharedWorld(settings)
            self.busy()
            for client in "abc":
                self.world.submit(read(1, 10), client)
            self.finish()
            self.assertEqual(len(self.frames()), 3)

    def test_exceptions(self) -> None:
        """An equal read gets it; a part of the range is asked alone, for the rest may be what is illegal."""
        whole = self.world.submit(read(1, 10, 20), "a")
        equal = self.world.submit(read(1, 10, 20), "b")
        part = self.world.submit(read(1, 15, 3), "c")
        self.go_on()
        self.go_on(refuses=True)
        self.finish()
        self.assertEqual([self.world.error(one) for one in (whole, equal)], [IllegalDataAddress] * 2)
        self.assertEqual(self.frames(), [read(1, 10, 20), read(1, 15, 3)])
        self.assertEqual(self.world.frame_of(part), values(read(1, 15, 3)))

    def test_a_leader_that_leaves_before_its_turn(self) -> None:
        leader = self.world.submit(read(1, 10), "a")
        riders = [self.world.submit(read(1, 10), client) for client in "bc"]
        self.world.cancel(leader)
        self.finish()
        self.assertEqual(self.frames(), [read(1, 10)])
        self.assertEqual([self.world.frame_of(one) for one in riders], [values(read(1, 10))] * 2)
        self.assertNotIn(leader, self.world.ended)

    def test_a_leader_that_leaves_on_the_wire(self) -> None:
        leader = self.world.submit(read(1, 10), "a")
        rider = self.world.submit(read(1, 10), "b")
        self.go_on()
        self.world.cancel(leader)
        self.finish()
        self.assertEqual(self.frames(), [read(1, 10)])
        self.assertEqual(self.world.frame_of(rider), values(read(1, 10)))

    def test_a_leader_that_leaves_and_a_silent_unit(self) -> None:
        """The rider has its own attempt."""
        leader = self.world.submit(read(1, 10), "a")
        rider = self.world.submit(read(1, 10), "b", timeout=2.0)
        self.go_on()
        self.world.cancel(leader)
        while len(self.frames()) < 2:
            self.world.tick()
        self.assertNotEqual(self.frames()[-1], read(1, 10), "the reply to the first may still come, and is older")
        self.world.answer()
        while len(self.frames()) < 3:
            self.world.tick()
        self.world.answer()
        self.assertEqual(self.world.frame_of(rider), values(read(1, 10)))

    def test_a_rider_that_leaves(self) -> None:
        leader = self.world.submit(read(1, 10), "a")
        rider = self.world.submit(read(1, 10), "b")
        self.world.cancel(rider)
        self.finish()
        self.assertNotIn(rider, self.world.ended)
        self.assertEqual(self.world.frame_of(leader), values(read(1, 10)))

    def test_deadlines_are_each_ones_own(self) -> None:
        """A leader in a hurry costs a patient rider nothing, and the other way round."""
        hasty = self.world.submit(read(1, 10), "a", timeout=0.06)
        patient = self.world.submit(read(1, 10), "b", timeout=5.0)
        self.world.advance(0.07)
        self.assertIs(self.world.error(hasty), Expired)
        self.go_on()
        self.finish()
        self.assertEqual(self.world.frame_of(patient), values(read(1, 10)))
        self.setUp()
        leader = self.world.submit(read(1, 10), "a", timeout=5.0)
        rider = self.world.submit(read(1, 10), "b", timeout=0.02)
        self.world.advance(0.03)
        self.assertIs(self.world.error(rider), Expired)
        self.finish()
        self.assertEqual(self.world.frame_of(leader), values(read(1, 10)))

    def test_a_deadline_on_the_wire(self) -> None:
        """The leader's passes; the reply still answers its rider."""
        hasty = self.world.submit(read(1, 10), "a", timeout=0.1)
        patient = self.world.submit(read(1, 10), "b", timeout=5.0)
        self.go_on()
        self.world.advance(0.09)
        self.assertIs(self.world.error(hasty), ResponseTimeout)
        self.assertIsNone(self.world.outcome(patient))
        self.finish()
        self.assertEqual(self.frames(), [read(1, 10)])
        self.assertEqual(self.world.frame_of(patient), values(read(1, 10)))

    def test_a_silent_unit(self) -> None:
        """All are told when it was asked as often as it may be."""
        requests = [self.world.submit(read(1, 10), client, timeout=2.0) for client in "abc"]
        self.go_on()
        self.world.run_dry()
        self.assertEqual([self.world.error(one) for one in requests], [ResponseTimeout] * 3)
        self.assertEqual(self.frames(), [read(1, 10)])
        errors = [event.error for one in requests if not isinstance(event := self.world.ended[one], Reply)]
        self.assertEqual(len({id(error) for error in errors}), 3)

    def test_a_port_that_is_lost(self) -> None:
        live = [self.world.submit(read(1, 10), client) for client in "ab"]
        self.go_on()
        waiting = [self.world.submit(read(1, 20), client) for client in "ab"]
        self.world.lose_port()
        self.assertEqual([self.world.error(one) for one in live], [PortLost] * 2)
        self.assertEqual([self.world.error(one) for one in waiting], [PortClosed] * 2)

    def test_the_stop(self) -> None:
        live = [self.world.submit(read(1, 10), client) for client in "ab"]
        self.go_on()
        waiting = [self.world.submit(read(1, 20), client) for client in "ab"]
        self.world.bus.stop(self.world.now)
        self.world.collect()
        self.assertEqual([self.world.error(one) for one in waiting], [Stopping] * 2)
        self.world.answer()
        self.assertEqual([self.world.frame_of(one) for one in live], [values(read(1, 10))] * 2)


class Cuts(SynchronousTestCase):
    """A part of a reply."""

    @given(st.integers(0, 65000), st.integers(1, 100), st.data())
    def test_registers(self, first: int, quantity: int, data: st.DataObject) -> None:
        inner = data.draw(st.integers(first, first + quantity - 1))
        count = data.draw(st.integers(1, first + quantity - inner))
        whole, part = read(1, first, quantity), read(1, inner, count)
        self.assertTrue(covers(whole[1:-2], part[1:-2]))
        self.assertEqual(cut(values(whole)[1:-2], whole[1:-2], part[1:-2]), values(part)[1:-2])

    @given(st.lists(st.booleans(), min_size=1, max_size=200), st.data())
    def test_bits(self, bits: list[bool], data: st.DataObject) -> None:
        def coils(first: int, quantity: int) -> tuple[bytes, bytes]:
            packed = sum(bit << at for at, bit in enumerate(bits[first : first + quantity]))
            octets = packed.to_bytes((quantity + 7) // 8, "little")
            return bytes((1, 0, first, 0, quantity)), bytes((1, len(octets))) + octets

        inner = data.draw(st.integers(0, len(bits) - 1))
        count = data.draw(st.integers(1, len(bits) - inner))
        (whole, reply), (part, expected) = coils(0, len(bits)), coils(inner, count)
        self.assertEqual(cut(reply, whole, part), expected)

    def test_what_is_not_covered(self) -> None:
        for inner, quantity in ((4, 2), (7, 2), (5, 0)):
            self.assertFalse(covers(read(1, 5, 3)[1:-2], read(1, inner, quantity)[1:-2]))


ENDS = OutcomeUnknown, PortClosed, Expired, UnitOffline, IllegalDataAddress
"""How a write may end that nothing confirms."""


class AnythingGoes(SynchronousTestCase):
    """Seeded crowds: reads that overlap, writes, cancelling, silence, exceptions, lost ports. Whatever happens, each
    request ends once, a value is that of its address, and no older than the last write that was confirmed before it was
    asked for."""

    def test_crowds(self) -> None:
        for seed in range(300):
            self.crowd(random.Random(seed))

    def crowd(self, chance: random.Random) -> None:
        world = SharedWorld(BusSettings(timeout=0.1, echo="off", retries=chance.randrange(2)))
        asked: dict[Pending, int] = {}
        cancelled: set[Pending] = set()
        for step in self.steps(chance):
            if step == "read":
                frame = read(1, chance.randrange(5), chance.randrange(1, 5))
                how = {"timeout": chance.choice((0.05, 0.3, 2.0)), "max_age": chance.choice((None, None, 0.5))}
                asked[world.submit(frame, chance.randrange(5), lane=chance.randrange(3), **how)] = world.written
            elif step == "write":
                asked[world.submit(write(1, 50), chance.randrange(5), timeout=2.0)] = 0
            elif step == "cancel" and (waiting := [one for one in asked if not one.done]):
                cancelled.add(one := chance.choice(waiting))
                world.cancel(one)
            elif step == "lose":
                world.lose_port()
            elif step == "answer" and world.sent and not world.sent[-1].answered and world.bus.is_busy:
                world.answer(refuses=chance.random() < 0.1)
            else:
                world.advance(chance.choice((0.001, 0.01, 0.15)))
        world.run_dry()
        self.assertEqual(world.wrong, [])
        self.assertEqual(set(world.ended) | cancelled, set(asked))
        for request, event in world.ended.items():
            if isinstance(event, Reply) and request.is_read:
                written = reply_frame(event)[4]
                self.assertEqual(reply_frame(event), values(frame_of(request), written))
                self.assertGreaterEqual(written, asked[request])
            elif not request.is_read and not isinstance(event, Reply):
                self.assertIn(type(event.error), ENDS)

    @staticmethod
    def steps(chance: random.Random) -> Iterator[str]:
        """What happens."""
        kinds = ("read", "write", "cancel", "lose", "answer", "pass")
        return iter(chance.choices(kinds, (12, 2, 2, 0.3, 10, 6), k=80))
