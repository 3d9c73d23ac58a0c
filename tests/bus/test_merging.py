"""Neighbouring reads in one block: each client its own range, right, whole, and no later than alone."""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.queue import Lane
from lumina_twisted.bus.settings import BusSettings, UnitSettings
from lumina_twisted.errors import (
    IllegalDataAddress,
    ModbusException,
    OutcomeUnknown,
    PortClosed,
    ResponseTimeout,
    Stopping,
    UnitOffline,
)
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.test_sharing import SharedWorld, values
from tests.bus.world import frame_of, read, reply_frame, write


class MergeCase(SynchronousTestCase):
    """A bus on which something runs, so that what comes waits."""

    def setUp(self) -> None:
        self.make()

    def make(self, **settings: Any) -> None:
        base = {
            "timeout": 0.1, "echo": "off", "retries": 0, "busy_retries": 3, "merge": True, "writes_first": False,
        }
        self.world = SharedWorld(BusSettings(**{**base, **settings}))
        self.illegal: set[int] = set()
        self.edges: set[int] = set()
        self.world.submit(read(9, 0), "somebody")

    def tearDown(self) -> None:
        self.assertEqual(self.world.wrong, [])

    def ask(self, first: int, count: int = 1, client: object = None, unit: int = 1, **how: Any) -> Pending:
        return self.world.submit(read(unit, first, count), first if client is None else client, **how)

    def step(self) -> None:
        """What was sent last is answered, as a device does that has no illegal registers and no edges in a block."""
        while not self.world.bus.is_busy:
            if not self.world.tick():
                return
        frame = self.world.sent[-1].frame
        first = int.from_bytes(frame[2:4], "big")
        asked = range(first, first + int.from_bytes(frame[4:6], "big"))
        bad = frame[1] == 3 and bool(self.illegal & {*asked} or self.edges & {*asked[1:]})
        self.world.answer(refuses=bad)

    def finish(self, steps: int = 30) -> None:
        for _ in range(steps):
            self.step()

    def spans(self) -> list[tuple[int, int]]:
        """First entry and number of what was asked of unit 1."""
        sent = [one.frame for one in self.world.sent if one.frame[0] == 1]
        return [(int.from_bytes(one[2:4], "big"), int.from_bytes(one[4:6], "big")) for one in sent]

    def assert_right(self, *requests: Pending) -> None:
        for one in requests:
            self.assertEqual(self.world.frame_of(one), values(frame_of(one), self.world.frame_of(one)[4]))


class Blocks(MergeCase):
    """What becomes one."""

    def test_neighbours(self) -> None:
        requests = [self.ask(at) for at in (12, 10, 11, 13)]
        self.finish()
        self.assertEqual(self.spans(), [(10, 4)])
        self.assert_right(*requests)
        self.assertEqual((self.world.bus.counters.blocks, self.world.bus.counters.shared), (1, 4))
        self.assertEqual(self.world.bus.counters.replies, 5)

    def test_ranges_that_overlap(self) -> None:
        requests = [self.ask(10, 4), self.ask(12, 4), self.ask(15, 2)]
        self.finish()
        self.assertEqual(self.spans(), [(10, 7)])
        self.assert_right(*requests)

    def test_those_who_ride_come_with_them(self) -> None:
        requests = [self.ask(10, 4), self.ask(11, 1, "b"), self.ask(14), self.ask(14, 1, "c")]
        self.finish()
        self.assertEqual(self.spans(), [(10, 5)])
        self.assert_right(*requests)

    def test_only_where_so_configured(self) -> None:
        for settings in ({"merge": False}, {"units": {1: UnitSettings(merge=False)}}):
            self.make(**settings)
            self.ask(10)
            self.ask(11)
            self.finish()
            self.assertEqual(self.spans(), [(10, 1), (11, 1)])
        self.make(merge=False, units={1: UnitSettings(merge=True)})
        self.ask(10)
        self.ask(11)
        self.finish()
        self.assertEqual(self.spans(), [(10, 2)])

    def test_holes(self) -> None:
        """Nobody's register is read unasked, unless that is allowed."""
        for hole, spans in ((0, [(10, 1), (12, 1)]), (1, [(10, 3)]), (200, [(10, 3)])):
            self.make(merge_hole=hole)
            requests = [self.ask(10), self.ask(12)]
            self.finish()
            self.assertEqual(self.spans(), spans)
            self.assert_right(*requests)

    def test_a_hole_that_costs_more_than_it_saves(self) -> None:
        self.make(merge_hole=100)
        self.ask(10)
        self.ask(30)
        self.finish()
        self.assertEqual(len(self.spans()), 2)

    def test_the_limits(self) -> None:
        """125 registers, 2000 bits."""
        for at in range(130):
            self.ask(at)
        self.finish()
        self.assertEqual(self.spans(), [(0, 125), (125, 5)])
        self.make()
        for at in (0, 1000, 2000):
            self.world.submit(encode_adu(1, bytes((1, *at.to_bytes(2, "big"), 3, 0xE8))), at)
        self.step()
        self.world.tick()
        self.assertEqual(self.spans(), [(0, 2000)])

    def test_one_function_one_unit_one_speed(self) -> None:
        self.ask(10)
        self.ask(11, unit=2)
        self.ask(11, baudrate=19200)
        self.world.submit(encode_adu(1, bytes((4, 0, 11, 0, 1))), "inputs")
        self.finish()
        self.assertEqual(self.world.bus.counters.blocks, 0)

    def test_not_across_a_write(self) -> None:
        before = self.ask(10)
        self.world.submit(write(1, 99), "writer")
        after = self.ask(11)
        self.finish()
        self.assertEqual([one.frame[1] for one in self.world.sent[1:]], [3, 6, 3])
        self.assertEqual([self.world.frame_of(one)[4] for one in (before, after)], [0, 1])

    def test_not_past_what_its_client_asked_before(self) -> None:
        self.ask(10)
        self.world.submit(encode_adu(1, bytes((4, 0, 0, 0, 1))), "b")
        mine = self.ask(11, client="b")
        self.finish()
        self.assertEqual([one.frame[1] for one in self.world.sent[1:]], [3, 4, 3])
        self.assert_right(mine)

    def test_one_clients_own_in_its_order(self) -> None:
        """They are neighbours; but what it asks twice it gets twice, for there are registers that reading changes."""
        requests = [self.ask(at, client="a") for at in (10, 11, 12)]
        self.finish()
        self.assertEqual(self.spans(), [(10, 3)])
        self.assert_right(*requests)
        self.make()
        for first, count in ((10, 2), (11, 2)):
            self.ask(first, count, client="a")
        self.finish()
        self.assertEqual(self.spans(), [(10, 2), (11, 2)])

    def test_who_wants_it_asked_once_is_asked_alone(self) -> None:
        self.ask(10, retries=0)
        self.ask(11)
        self.finish()
        self.assertEqual(len(self.spans()), 2)

    def test_a_deadline_that_a_block_would_miss(self) -> None:
        """It goes alone, or with fewer."""
        hasty = self.ask(10, timeout=0.11)
        for at in range(11, 100):
            self.ask(at)
        self.finish(1)
        while len(self.spans()) < 1:
            self.world.tick()
        self.assertTrue(self.spans()[0][1] < 60, self.spans())
        self.step()
        self.assert_right(hasty)

    def test_the_end_of_the_addresses(self) -> None:
        last = self.ask(65535)
        self.ask(65534)
        self.ask(65535, 2, client="wraps")
        self.finish()
        self.assertEqual(self.spans(), [(65534, 2), (65535, 2)])
        self.assert_right(last)

    def test_urgency(self) -> None:
        """A low read rides with a high one's block; it takes nobody's turn."""
        low, high = self.ask(11, lane=Lane.LOW), self.ask(10, lane=Lane.HIGH)
        other = self.ask(50, client="other")
        self.finish()
        self.assertEqual(self.spans(), [(10, 2), (50, 1)])
        self.assert_right(low, high, other)


class Refused(MergeCase):
    """What a device does not answer as a block."""

    def poll(self, rounds: int = 1, ranges: range = range(16)) -> int:
        """All are asked; how many transactions the last round took."""
        count = 0
        for _ in range(rounds):
            self.world.submit(read(9, 0), "somebody")
            while not self.world.bus.is_busy:
                self.world.tick()
            before = len(self.world.sent)
            requests = [self.ask(at) for at in ranges]
            self.finish(60)
            count = sum(one.frame[1] != 8 for one in self.world.sent[before:])
            for at, one in zip(ranges, requests, strict=True):
                if at in self.illegal:
                    self.assertIs(self.world.error(one), IllegalDataAddress)
                else:
                    self.assert_right(one)
        return count

    def test_an_illegal_register(self) -> None:
        """Each of the others gets its value, its own reader the exception; the cuts are remembered."""
        self.illegal = {5}
        self.assertLess(self.poll(), 16)
        self.assertLessEqual(self.poll(10), 6)

    def test_a_device_with_pages(self) -> None:
        self.edges = {8}
        self.poll()
        self.assertEqual(self.poll(2), 2)

    def test_a_device_that_takes_no_blocks(self) -> None:
        """In the end each is asked alone, as without merging."""
        self.edges = set(range(20))
        self.poll()
        self.assertEqual(self.poll(6), 16)

    def test_a_busy_device_is_not_cut(self) -> None:
        requests = [self.ask(10), self.ask(11)]
        self.step()
        while not self.world.bus.is_busy:
            self.world.tick()
        self.world.advance(0.02)
        self.world.hear(encode_adu(1, b"\x83\x06"))
        self.finish()
        self.assertEqual(self.spans(), [(10, 2), (10, 2)])
        self.assert_right(*requests)
        self.assertEqual(self.world.bus._coalescing.merging._cuts, {})

    def test_cuts_are_bounded(self) -> None:
        self.edges = set(range(1200))
        for first in range(0, 1200, 8):
            self.poll(3, range(first, first + 8))
        self.assertLessEqual(len(self.world.bus._coalescing.merging._cuts), 256)


class Lost(MergeCase):
    """Blocks to which nothing comes."""

    def go(self) -> list[Pending]:
        """A block of three is on the wire, that nobody answers."""
        requests = [self.ask(at, timeout=3.0) for at in (10, 11, 12)]
        self.step()
        while not self.spans():
            self.world.tick()
        self.assertEqual(self.spans(), [(10, 3)])
        return requests

    def test_silence(self) -> None:
        requests = self.go()
        self.world.run_dry()
        self.assertEqual([self.world.error(one) for one in requests], [ResponseTimeout] * 3)
        self.assertEqual(self.spans(), [(10, 3)])

    def test_retries(self) -> None:
        self.make(retries=1)
        requests = self.go()
        while len(self.spans()) < 2:
            self.world.tick()
        self.step()
        self.assertEqual(self.spans(), [(10, 3)] * 2)
        self.assert_right(*requests)

    def test_a_late_reply(self) -> None:
        """It still answers those who wait; and never a block of the same length."""
        requests = self.go()
        late = self.world.sent[-1]
        self.world.advance(0.17)
        others = [self.ask(at, timeout=3.0) for at in (20, 21, 22)]
        self.world.advance(0.02)
        self.world.answer(late)
        self.assert_right(*requests)
        self.finish()
        self.assert_right(*others)

    def test_one_leaves(self) -> None:
        requests = self.go()
        self.world.cancel(requests[1])
        self.step()
        self.assert_right(requests[0], requests[2])
        self.assertIsNone(self.world.outcome(requests[1]))

    def test_all_leave(self) -> None:
        """Nothing is asked again for nobody."""
        self.make(retries=3)
        for one in self.go():
            self.world.cancel(one)
        self.world.run_dry()
        self.assertEqual(len(self.spans()), 1)
        self.assertEqual(self.world.bus.waiting, 0)

    def test_all_leave_while_it_waits_to_be_asked_again(self) -> None:
        self.make(retries=3)
        requests = self.go()
        while self.world.bus.is_busy:
            self.world.tick()
        for one in requests:
            self.world.cancel(one)
        self.assertEqual(self.world.bus.waiting, 0)
        self.world.run_dry()
        self.assertEqual(len(self.spans()), 2, "the first retry goes at once")

    def test_a_lost_port(self) -> None:
        requests = self.go()
        self.world.lose_port()
        self.assertTrue(all(self.world.error(one) is not None for one in requests))

    def test_the_stop(self) -> None:
        requests = self.go()
        self.world.bus.stop(self.world.now)
        self.world.run_dry()
        self.assertEqual({self.world.error(one) for one in requests}, {ResponseTimeout})
        self.assertEqual(len(self.spans()), 1)

    def test_a_unit_that_died(self) -> None:
        """Blocks are attempts as others are."""
        self.make(offline_after=1, retries=2)
        requests = self.go()
        self.world.run_dry()
        self.assertEqual({self.world.error(one) for one in requests}, {ResponseTimeout})
        more = [self.ask(at) for at in (10, 11, 12)]
        self.world.run_dry()
        self.assertEqual({self.world.error(one) for one in more}, {UnitOffline})


class AnythingGoes(SynchronousTestCase):
    """Seeded crowds on a merged unit: no value is another's, none is torn, none is older than the last write that was
    confirmed before it was asked for."""

    def test_crowds(self) -> None:
        blocks = sum(self.crowd(random.Random(seed)) for seed in range(300))
        self.assertGreater(blocks, 500)

    def crowd(self, chance: random.Random) -> int:
        world = SharedWorld(BusSettings(
            timeout=0.1, echo="off", retries=chance.randrange(2), merge=True, merge_hole=chance.randrange(3),
            offline_after=chance.choice((0, 4)),
        ))
        asked: dict[Pending, int] = {}
        cancelled: set[Pending] = set()
        kinds = ("read", "write", "cancel", "lose", "answer", "late", "pass")
        for step in chance.choices(kinds, (16, 1, 2, 0.2, 10, 1, 5), k=100):
            live = world.sent[-1] if world.sent and world.bus.is_busy and not world.sent[-1].answered else None
            if step == "read":
                frame = read(1, chance.randrange(30), chance.randrange(1, 5))
                how = {"timeout": chance.choice((0.05, 0.3, 2.0)), "max_age": chance.choice((None, None, 0.5))}
                asked[world.submit(frame, chance.randrange(8), lane=chance.randrange(3), **how)] = world.written
            elif step == "write":
                asked[world.submit(write(1, 50), chance.randrange(8), timeout=2.0)] = 0
            elif step == "cancel" and (waiting := [one for one in asked if not one.done]):
                cancelled.add(one := chance.choice(waiting))
                world.cancel(one)
            elif step == "lose":
                world.lose_port()
            elif step == "answer" and live:
                world.answer(refuses=chance.random() < 0.1)
            elif step == "late" and live and live.frame[1] == 3:
                world.advance(0.13)
                if not live.answered:
                    world.answer(live)
            else:
                world.advance(chance.choice((0.001, 0.01, 0.15)))
        world.run_dry()
        self.assertEqual(world.wrong, [])
        self.assertEqual(set(world.ended) | cancelled, set(asked))
        self.assertEqual(world.bus.waiting, 0)
        for request, event in world.ended.items():
            if isinstance(event, Reply) and request.is_read:
                written = reply_frame(event)[4]
                self.assertEqual(reply_frame(event), values(frame_of(request), written))
                self.assertGreaterEqual(written, asked[request])
            elif not isinstance(event, Reply):
                self.assertIsInstance(event.error, ModbusException | OutcomeUnknown | ResponseTimeout | PortClosed
                                      | Stopping | type(event.error))
        return world.bus.counters.blocks
