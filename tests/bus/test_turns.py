"""Whose turn it is, how long anybody waits, and how requests end: the queue and the two clocks of the bus."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.endings import PATIENCE
from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.bus.settings import BusSettings, UnitSettings
from lumina_twisted.errors import (
    Expired,
    NotSent,
    OutcomeUnknown,
    PortClosed,
    PortLost,
    QueueFull,
    RequestError,
    ResponseTimeout,
    Stopping,
)
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.world import World, ask, caller_of, frame_of, read, write


class TurnTests(SynchronousTestCase):
    """Clients are served in turn."""

    def test_burst_delays_another_by_one_transaction(self) -> None:
        """However many requests one client has queued, another's goes next."""
        world = World(BusSettings(timeout=0.1, echo="off", queue_per_client=1000))
        for address in range(999):
            world.submit(read(1, address), "greedy", timeout=60)
        world.reply()
        polite = world.submit(read(2, 5), "polite")
        world.tick()  # the silence after the reply
        self.assertEqual(world.sent[-1].frame, read(2, 5))
        world.reply()
        self.assertIsInstance(world.outcome(polite), Reply)

    def test_burst_on_the_wire(self) -> None:
        """It waits for the one transaction that runs, when it comes in the middle of it."""
        world = World(BusSettings(timeout=0.1, echo="off"))
        for address in range(50):
            world.submit(read(1, address), "greedy")
        world.submit(read(2, 5), "polite")
        world.reply()
        world.tick()
        self.assertEqual(world.sent[-1].frame, read(2, 5))
        self.assertEqual(len(world.sent), 2)

    def test_a_proof_of_the_bus_does_not_cost_the_turn(self) -> None:
        """Of a client that waits for each answer: what the bus asks ahead of its request sent that behind all greedy
        clients, 0.6 s at 9600 baud, once in a hundred answers."""
        world = World(BusSettings(timeout=0.1, echo="off"), answers_canaries=True)
        greedy = [f"greedy {number}" for number in range(12)]
        waits = []
        for _ in range(250):
            for client in greedy:
                while world.bus._queue.of(caller_of(client))[0] < 5:
                    world.submit(read(2, 7), client, timeout=60)
            honest, before = world.submit(read(1, 5), "honest", timeout=60), len(world.sent)
            while not honest.done:
                if world.sent[-1].answered or world.is_canary(world.sent[-1]):
                    self.assertTrue(world.tick())
                else:
                    world.reply()
            waits.append(len(world.sent) - before)
        self.assertGreaterEqual(world.bus.counters.canaries, 2)
        self.assertLessEqual(max(waits), 5)
        self.assertEqual(world.wrong, [])

    def test_order_of_one_client_and_unit(self) -> None:
        """What one client asks one unit is asked in that order."""
        world = World()
        for address in (3, 1, 2):
            world.submit(read(1, address), "a")
            world.submit(read(1, address + 100), "b")
        while len(world.order) < 6:
            if not world.sent[-1].answered:
                world.reply()
            world.tick()
        mine = [frame_of(one) for one in world.order if one.caller.name == "a"]
        self.assertEqual(mine, [read(1, 3), read(1, 1), read(1, 2)])

    def test_waiting_retry_lets_others_pass(self) -> None:
        """A unit that does not answer costs its own requests their turns, not those to other units."""
        world = World()
        world.submit(read(1, 0), "a")
        second = world.submit(read(1, 1), "a")
        other = world.submit(read(2, 0), "a")
        world.tick()  # response timeout of the first
        world.tick()
        self.assertEqual(world.sent[-1].frame, read(2, 0))
        world.reply()
        self.assertIsInstance(world.outcome(other), Reply)
        self.assertIsNone(world.outcome(second))

    def test_nothing_passes_a_broadcast(self) -> None:
        """It is to every unit, so a later request of its client waits for it; and it waits for earlier ones."""
        world = World()
        world.submit(read(1, 0), "a")
        world.submit(encode_adu(0, b"\x06\x00\x01\x00\x02"), "a")
        world.submit(read(2, 0), "a")
        world.tick()
        world.advance(0.01)  # unit 1 has not answered, and is asked again
        self.assertEqual({one.frame for one in world.sent}, {read(1, 0)})

    def test_bounds_refuse(self) -> None:
        """A full queue says so at once, for the port and for one client; of each other client it takes one more."""
        world = World(BusSettings(echo="off", queue=5, queue_per_client=3, share=False))
        mine = [world.submit(read(1, address), "a") for address in range(5)]
        self.assertEqual([world.error(one) for one in mine], [None, None, None, None, QueueFull])
        others = [world.submit(read(1, address), f"client {address}") for address in range(8)]
        self.assertEqual([world.error(one) for one in others], [None] * 7 + [QueueFull])
        again = [world.submit(read(1, address), f"client {address}") for address in range(3)]
        self.assertEqual([world.error(one) for one in again], [QueueFull] * 3)


class DeadlineTests(SynchronousTestCase):
    """Two clocks: the caller's deadline, and the bus's response timeout."""

    def test_timeout_asked_is_timeout_taken(self) -> None:
        """A caller is told at its deadline, though the bus goes on waiting for the reply."""
        world = World(BusSettings(timeout=1.0, echo="off"))
        start = world.now
        request = world.submit(read(1, 0), timeout=0.3)
        while request not in world.ended:
            world.tick()
        self.assertAlmostEqual(world.now - start, 0.3, 6)
        self.assertIs(world.error(request), ResponseTimeout)
        self.assertTrue(world.bus.is_busy)

    def test_expires_in_the_queue(self) -> None:
        """What waits longer than its caller is answered in time, and never sent."""
        world = World(BusSettings(timeout=1.0, echo="off", retries=0))
        world.submit(read(1, 0), "a")
        start = world.now
        request = world.submit(write(2, 0), "b", timeout=0.4)
        while request not in world.ended:
            world.tick()
        self.assertAlmostEqual(world.now - start, 0.4, 6)
        self.assertIs(world.error(request), Expired)
        world.run_dry()
        self.assertNotIn(write(2, 0), [one.frame for one in world.sent])

    def test_not_sent_if_it_cannot_be_answered_in_time(self) -> None:
        """A frame whose reply takes longer on the wire than its caller waits is not sent at all."""
        world = World()
        request = world.submit(read(1, 0, 100), timeout=0.1)
        self.assertIs(world.error(request), Expired)
        self.assertEqual(world.sent, [])

    def test_response_timeout_is_never_below_the_formula(self) -> None:
        """1.5 x character time x expected length + 20 ms, whatever is configured."""
        world = World(BusSettings(timeout=0.001, echo="off", retries=0))
        world.submit(read(1, 0, 100))
        sent = world.sent[0]
        self.assertAlmostEqual(world.bus.get_timer() or 0, sent.until + 1.5 * 11 / 9600 * 205 + 0.020, 6)

    def test_unit_has_its_own(self) -> None:
        """A unit's response timeout and retries replace the port's."""
        world = World(BusSettings(timeout=0.1, echo="off", units={7: UnitSettings(timeout=0.8, retries=0)}))
        world.submit(read(7, 0))
        self.assertAlmostEqual(world.bus.get_timer() or 0, world.sent[0].until + 0.8, 6)
        world.run_dry()
        self.assertEqual(len(world.sent), 1)


class RetryTests(SynchronousTestCase):
    """Reads are asked again, writes are not."""

    def test_read_is_asked_again(self) -> None:
        """As often as configured; then its caller is told."""
        world = World(BusSettings(timeout=0.1, echo="off", retries=2))
        request = world.submit(read(1, 0))
        world.run_dry()
        self.assertEqual(len(world.sent), 3)
        self.assertIs(world.error(request), ResponseTimeout)
        self.assertEqual(world.bus.counters.retries, 2)

    def test_read_is_asked_again_at_once_by_a_caller_in_haste(self) -> None:
        """Who cannot wait for the late window is asked for again inside it."""
        world = World(BusSettings(timeout=0.5, echo="off"))
        request = world.submit(read(1, 0), timeout=0.9)
        world.tick()
        first = world.sent[0]
        self.assertLess(world.sent[-1].at - first.until, 0.51)
        self.assertEqual(len(world.sent), 2)
        world.reply()
        self.assertIsInstance(world.outcome(request), Reply)

    def test_write_is_sent_once(self) -> None:
        """A write without its reply is not repeated; nobody knows whether it was carried out."""
        world = World(BusSettings(timeout=0.1, echo="off"))
        request = world.submit(write(1, 0))
        world.run_dry()
        self.assertEqual(len(world.sent), 1)
        self.assertIs(world.error(request), OutcomeUnknown)

    def test_write_is_repeated_if_asked(self) -> None:
        """By its caller, or by the configuration."""
        world = World(BusSettings(timeout=0.1, echo="off"))
        world.submit(write(1, 0), retries=1)
        world.run_dry()
        self.assertEqual(len(world.sent), 2)
        world = World(BusSettings(timeout=0.1, echo="off", retry_writes=2))
        world.submit(write(1, 0))
        world.run_dry()
        self.assertEqual(len(world.sent), 3)

    def test_pauses_grow(self) -> None:
        """Exponential backoff after the first retry."""
        world = World(BusSettings(timeout=0.1, echo="off", retries=4, backoff=0.2, backoff_factor=2.0, offline_after=0))
        world.submit(read(1, 0), timeout=60)
        world.run_dry()
        gaps = [later.at - sooner.at for sooner, later in zip(world.sent, world.sent[1:], strict=False)]
        self.assertAlmostEqual(gaps[1] - gaps[0], 0.2, 2)
        self.assertAlmostEqual(gaps[2] - gaps[0], 0.4, 2)
        self.assertAlmostEqual(gaps[3] - gaps[0], 0.8, 2)

    def test_damaged_reply_is_asked_for_again_without_the_late_window(self) -> None:
        """A reply that came with a bad CRC is not owed any more."""
        world = World(BusSettings(timeout=0.2, echo="off"))
        request = world.submit(read(1, 0))
        world.advance(0.02)
        world.hear(bytes.fromhex("01030200019999"))
        while len(world.sent) < 2:
            world.tick()
        self.assertEqual(len(world.sent), 2)
        self.assertLess(world.sent[1].at - world.sent[0].until, 0.21)
        self.assertEqual(world.bus.counters.crc_errors, 1)
        world.reply()
        self.assertIsInstance(world.outcome(request), Reply)


class EndTests(SynchronousTestCase):
    """Every request ends exactly once, whatever happens to the port, the service or its client."""

    def test_port_not_open(self) -> None:
        """It fails within a moment, with the reason."""
        world = World(opened=False)
        request = world.submit(read(1, 0))
        world.advance(PATIENCE)
        self.assertIs(world.error(request), PortClosed)

    def test_port_lost(self) -> None:
        """On the wire: a read is lost, a write's outcome is unknown. Waiting: nothing was sent."""
        for frame, expected in ((read(1, 0), PortLost), (write(1, 0), OutcomeUnknown)):
            world = World()
            live, waiting = world.submit(frame), world.submit(write(2, 0))
            world.bus.port_lost(world.now, "unplugged")
            world.collect()
            self.assertEqual([world.error(live), world.error(waiting)], [expected, PortClosed])
            self.assertIsNone(world.bus.get_timer())

    def test_stop(self) -> None:
        """What waits is told so, what is on the wire ends as it would, what comes is refused."""
        world = World()
        live, waiting = world.submit(read(1, 0), "a"), world.submit(read(1, 1), "b")
        world.bus.stop(world.now)
        world.collect()
        late = world.submit(read(1, 2), "c")
        self.assertEqual([world.error(waiting), world.error(late)], [Stopping, Stopping])
        world.reply()
        self.assertIsInstance(world.outcome(live), Reply)
        self.assertFalse(world.bus.is_busy)

    def test_stop_without_a_reply(self) -> None:
        """A stopping bus asks nobody again."""
        world = World()
        live = world.submit(read(1, 0))
        world.bus.stop(world.now)
        world.run_dry()
        self.assertIs(world.error(live), ResponseTimeout)
        self.assertEqual(len(world.sent), 1)

    def test_cancel(self) -> None:
        """Waiting: it is taken out. On the wire: it is waited out, and the next one is clean."""
        world = World()
        live, waiting = world.submit(read(1, 0), "a"), world.submit(read(1, 1), "b")
        last = world.submit(read(1, 2), "c")
        world.cancel(live)
        world.cancel(waiting)
        world.reply()
        world.tick()
        world.reply()
        world.run_dry()
        self.assertEqual([one.frame for one in world.sent], [read(1, 0), read(1, 2)])
        self.assertEqual(list(world.ended), [last])
        self.assertEqual(world.wrong, [])

    def test_frame_refused(self) -> None:
        """Settings the device does not take fail their own request."""
        world = World()
        asked = ask("a", read(1, 0), world.settings.serial, world.now + 5)
        request = world.pending[asked] = world.bus.submit(asked, world.now)
        world.bus.next_frame()
        world.bus.frame_refused("no such speed", world.now)
        world.collect()
        self.assertIs(world.error(request), NotSent)
        after = world.submit(read(1, 1))
        world.tick()
        world.reply()
        self.assertIsInstance(world.outcome(after), Reply)

    def test_broadcast_read(self) -> None:
        """Nobody would answer."""
        world = World()
        self.assertIs(world.error(world.submit(read(0, 0))), RequestError)


class QueueTests(SynchronousTestCase):
    """The queue on its own."""

    def request(self, client: str, unit: int = 1) -> Pending:
        """A request."""
        return Pending(ask(client, read(unit, 0), BusSettings().serial, math.inf))

    def test_removing(self) -> None:
        """A removed request leaves no trace of its client."""
        queue = RequestQueue(10, 10)
        one = self.request("a")
        queue.put(one)
        queue.remove(one)
        self.assertEqual((len(queue), list(queue)), (0, []))
        self.assertEqual(queue.first(0, lambda request: 0.0), (None, math.inf))
        self.assertRaises(ValueError, queue.remove, one)

    def test_when_to_ask_again(self) -> None:
        """If nobody may go yet: when the first one may."""
        queue = RequestQueue(10, 10)
        times = {}
        for name, ready in (("a", 5.0), ("b", 3.0)):
            request = self.request(name)
            times[request] = ready
            queue.put(request)
        self.assertEqual(queue.first(1.0, times.__getitem__), (None, 3.0))

    def test_served_goes_behind_those_who_came_meanwhile(self) -> None:
        """The end of the ring is taken when the turn is over."""
        queue = RequestQueue(10, 10)
        first, second = self.request("a"), self.request("a")
        queue.put(first)
        queue.put(second)
        queue.take(first)
        newcomer = self.request("b")
        queue.put(newcomer)
        self.assertIs(queue.first(0, lambda request: 0.0)[0], newcomer)
