"""Corners in which requests were refused, passed over or asked in vain although they need not have been."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.queue import Lane
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.test_merging import MergeCase
from tests.bus.test_sharing import SharedWorld
from tests.bus.world import World, read, write


class Starving(SynchronousTestCase):
    """Whom others could keep from the bus."""

    def test_reads_and_writes_in_turn(self) -> None:
        """One client's writes lift its reads: those are no turns of the normal lane, which starves meanwhile."""
        world = World(BusSettings(timeout=0.1, echo="off"))
        mine: list[Pending] = []

        def more() -> None:
            frame = write(1, 10) if len(mine) % 2 else read(1, 10)
            mine.append(world.submit(frame, "x", timeout=100))

        for _ in range(4):
            more()
        other = world.submit(read(2, 10), "y", timeout=30.0)
        while not other.done and world.now < 140:
            while not world.bus.is_busy:
                world.tick()
            world.reply()
            while sum(not one.done for one in mine) < 6:
                more()
        self.assertIsInstance(world.outcome(other), Reply)

    def keep_asking(self, world: World, alive: Any) -> tuple[int, int]:
        """One client that waits 0.4 s asks unit 1, two others are always there too; how many of its requests of the
        last forty seconds were answered, and how many there were."""
        answered, asked = 0, 0
        mine: Pending | None = None
        others = {unit: world.submit(read(unit, 1), unit) for unit in (2, 3)}
        begin = world.now
        while world.now < begin + 60:
            if mine is None or mine.done:
                if mine is not None and world.now > begin + 20:
                    answered += isinstance(world.outcome(mine), Reply)
                    asked += 1
                mine = world.submit(read(1, 10, 2), "mine", timeout=0.4)
            for unit, one in others.items():
                if one.done:
                    others[unit] = world.submit(read(unit, 1), unit)
            last = world.sent[-1]
            if world.bus.is_busy and not last.answered and (last.frame[0] != 1 or alive(world.now - begin)):
                world.reply()
            elif not world.tick():
                world.now += 0.001
        return answered, asked

    def test_a_unit_that_was_silent(self) -> None:
        """Its time-outs were longer than its client waits; it is asked all the same."""
        world = World(BusSettings(timeout=0.5, echo="off", retries=0, offline_after=0))
        answered, asked = self.keep_asking(world, lambda time: not 2 < time < 15)
        self.assertGreater(answered, 0.9 * asked)

    def test_a_unit_that_was_slow(self) -> None:
        world = World(BusSettings(timeout=0.5, echo="off", retries=0))
        for _ in range(20):
            world.submit(read(1, 10, 2), "patient")
            while not world.bus.is_busy:
                world.tick()
            world.reply(after=0.45)
        answered, asked = self.keep_asking(world, lambda time: True)
        self.assertGreater(answered, 0.9 * asked)

    def test_who_waits_for_a_late_reply_takes_no_time(self) -> None:
        world = World(BusSettings(timeout=0.3, echo="off", retries=0, offline_after=0))
        world.submit(read(2, 1))
        world.run_dry()
        world.submit(read(2, 1, 2))
        while world.bus.is_busy or not world.bus.waiting:
            world.tick()
        request = world.submit(read(1, 1), timeout=0.3)
        world.advance(0.05)
        self.assertIsNone(world.error(request))

    def test_dead_units_that_nobody_asks_for(self) -> None:
        """A scan found two hundred; the one that is asked for is back within ten seconds."""
        world = World(BusSettings(timeout=0.1, echo="off", offline_after=1, retries=0))
        for unit in (*range(10, 210), 1):
            world.submit(read(unit, 1))
            world.run_dry()
        begin = world.now
        while world.now < begin + 300:
            world.submit(read(1, 1), timeout=1.0)
            world.advance(0.05)
            if world.bus.is_busy:
                world.reply()
                break
        self.assertLess(world.now - begin, 10.5)

    def test_a_refusal_in_a_hurry(self) -> None:
        """It waits for its deadline, whatever else is to be refused."""
        world = World(BusSettings(timeout=0.1, echo="off"), opened=False)
        world.submit(read(1, 1), "a")
        world.now += 0.001
        request = world.submit(read(1, 1), "b", timeout=0.015)
        self.assertFalse(request.done)
        world.advance(0.015)
        self.assertTrue(request.done)


class Left(SynchronousTestCase):
    """What a transaction leaves that has no caller."""

    def test_those_who_follow_a_read_whose_caller_left(self) -> None:
        """Its reply comes too soon, and nobody asks for a proof on its behalf: they are asked for themselves."""
        world = World(BusSettings(timeout=0.1, echo="off"), answers_canaries=True)
        for _ in range(8):
            world.submit(read(1, 10), "first")
            world.reply(after=0.05)
            world.advance(0.5)
        world.submit(read(2, 10), "other")
        leaves, stays = world.submit(read(1, 10), "first"), world.submit(read(1, 10), "second")
        world.reply()
        world.advance(0.01)
        world.cancel(leaves)
        world.reply(after=0.001)
        while not stays.done and world.tick():
            if world.bus.is_busy and not world.is_canary(world.sent[-1]):
                world.reply(after=0.05)
        self.assertIsInstance(world.outcome(stays), Reply)
        self.assertLess(world.now - stays.arrived, 1.0)
        self.assertEqual(world.wrong, [])

    def test_noise_after_a_broadcast(self) -> None:
        """Nothing is looked for in it: the bus sleeps until the turnaround delay is over."""
        world = World(BusSettings(timeout=0.1, echo="off", turnaround=0.2))
        world.submit(write(0, 10))
        world.advance(0.02)
        world.hear(b"\x55\x66\x77")
        for _ in range(3):
            world.tick()
        self.assertFalse(world.bus.is_busy)


class Urgent(SynchronousTestCase):
    """A write that is urgent waits for nobody's low read but what its client asked before."""

    def setUp(self) -> None:
        self.world = SharedWorld(BusSettings(timeout=0.1, echo="off", retries=1))
        self.world.submit(read(9, 0), "somebody")
        self.world.advance(0.01)

    def turns_until(self, request: Pending) -> int:
        """How many transactions go by before it ends, while three others always want something."""
        world, turns = self.world, 0
        busy = [world.submit(read(8, at, 100), f"x{at}", timeout=100) for at in range(3)]
        while not request.done and turns < 400:
            sent = world.sent[-1]
            if world.bus.is_busy and not sent.answered and sent.frame[0]:
                world.answer()
                turns += 1
            else:
                world.tick()
            for at in range(3):
                if busy[at].done:
                    busy[at] = world.submit(read(8, at, 100), f"x{at}", timeout=100)
        return turns

    def test_two_steps(self) -> None:
        """What its read rides with waits for what rides with a third."""
        self.world.submit(read(1, 20, 4), "c", lane=Lane.LOW)
        self.world.submit(read(1, 21), "b", lane=Lane.LOW)
        self.world.submit(read(1, 10, 4), "b", lane=Lane.LOW)
        self.world.submit(read(1, 11), "a", lane=Lane.LOW)
        urgent = self.world.submit(write(1, 99), "a", lane=Lane.HIGH, timeout=60)
        self.assertLess(self.turns_until(urgent), 6)

    def test_a_leader_that_is_asked_again(self) -> None:
        """It was on the wire when the write came. The late window comes first."""
        world = self.world
        world.answer()
        world.submit(read(8, 0), "d")
        world.advance(0.01)
        world.submit(read(1, 10, 4), "c", lane=Lane.LOW, timeout=50)
        world.submit(read(1, 11), "a", lane=Lane.LOW, timeout=50)
        world.answer()
        while not world.bus.is_busy:
            world.tick()
        self.assertEqual(world.sent[-1].frame, read(1, 10, 4))
        urgent = world.submit(write(1, 99), "a", lane=Lane.HIGH, timeout=60)
        while world.bus.is_busy and world.sent[-1].frame == read(1, 10, 4):
            world.tick()
        self.assertLess(self.turns_until(urgent), 30)

    def test_a_broadcast(self) -> None:
        self.world.submit(read(1, 20, 4), "c", lane=Lane.LOW)
        self.world.submit(read(1, 21), "a", lane=Lane.LOW)
        urgent = self.world.submit(write(0, 99), "a", lane=Lane.HIGH, timeout=60)
        self.assertLess(self.turns_until(urgent), 6)


class Blocks(MergeCase):
    """Blocks to which a device says no, and those who are in a hurry."""

    def refuse_all(self, code: int) -> int:
        """Three neighbours are asked for, and the device always says the same; how many frames that took."""
        requests = [self.ask(at, timeout=5.0) for at in (10, 11, 12)]
        self.step()
        while not all(one.done for one in requests):
            sent = self.world.sent[-1]
            if self.world.bus.is_busy and not sent.answered:
                sent.answered = True
                self.world.advance(max(0.0, sent.until - self.world.now) + 0.001)
                self.world.hear(encode_adu(1, bytes((0x83, code))))
            elif not self.world.tick():
                break
        codes = [getattr(getattr(self.world.outcome(one), "error", None), "code", None) for one in requests]
        self.assertEqual(codes, [code] * 3)
        return len(self.spans())

    def test_an_exception_that_is_not_about_the_block(self) -> None:
        """Each is told; nobody is asked again and again for it."""
        for code, frames in ((0x06, 4), (0x0A, 1), (0x0B, 1)):
            self.make()
            self.assertEqual(self.refuse_all(code), frames)

    def test_the_order_of_a_client_after_a_refused_block(self) -> None:
        for asked in ((10, 11), (30, 31, 10, 11)):
            self.make()
            self.edges = set(range(100))
            for at in asked:
                self.ask(at, client="a")
            self.finish()
            self.assertEqual([first for first, count in self.spans() if count == 1], list(asked))

    def test_a_hasty_member(self) -> None:
        """It is answered in time, though the block might have been longer."""
        self.ask(10, timeout=5)
        hasty = self.ask(11, timeout=0.15)
        for at in range(12, 110):
            self.ask(at)
        while not hasty.done:
            sent = self.world.sent[-1]
            if self.world.bus.is_busy and not sent.answered:
                data = 2 * int.from_bytes(sent.frame[4:6], "big")
                self.world.advance((13 + data) * 11 / 9600)  # the reply takes its time on the wire
                self.step()
            else:
                self.world.tick()
        self.assertIsInstance(self.world.outcome(hasty), Reply)

    def test_a_crowd_that_one_block_serves(self) -> None:
        """It is not refused because its reads would take too long one by one."""
        requests = [self.ask(at, timeout=1.0) for at in range(10, 110)]
        self.finish(5)
        self.assertEqual([self.world.error(one) for one in requests], [None] * 100)

    def test_the_stop(self) -> None:
        """What a refused block leaves is not asked for any more."""
        for at in (10, 11, 12):
            self.ask(at)
        self.step()
        while not self.spans():
            self.world.tick()
        self.world.bus.stop(self.world.now)
        self.world.collect()
        self.edges = {11}
        self.finish(10)
        self.assertEqual(self.spans(), [(10, 3)])
