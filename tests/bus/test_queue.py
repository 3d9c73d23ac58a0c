"""Turns: lanes, rings, and what they cost."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.endings import PATIENCE
from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.queue import AGEING, Lane, RequestQueue
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.errors import Expired, Overloaded, QueueFull
from lumina_twisted.modbus.settings import SerialSettings
from tests.bus.world import World, ask, read, write


def waiting_for(client: object, frame: bytes, serial: SerialSettings, deadline: float, **options: Any) -> Pending:
    """A request to put into a queue, which takes turns between whatever can be told apart."""
    request = Pending(ask("anybody", frame, serial, deadline, **options))
    request.caller = client  # type: ignore[assignment]
    return request


class QueueCase(SynchronousTestCase):
    """A queue whose requests may all go."""

    def setUp(self) -> None:
        self.queue: RequestQueue[Pending] = RequestQueue(1000, 100)
        self.now = 0.0
        self.costs: dict[object, float] = {}

    def put(self, client: object, lane: int = Lane.NORMAL, unit: int = 1, cost: float = 1.0) -> Pending:
        request = waiting_for(client, read(unit, 0), BusSettings().serial, math.inf, lane=lane)
        request.cost, request.arrived = cost, self.now
        self.queue.put(request, self.now)
        return request

    def serve(self, *blocked: int) -> Pending:
        """One turn, of a request whose unit is not blocked."""
        request, _ = self.queue.first(self.now, lambda one: math.inf if one.unit in blocked else 0.0)
        assert request is not None
        self.queue.take(request)
        cost = self.costs.get(request.caller, 1.0)
        self.now += cost / 1000
        self.queue.charge(request.caller, cost, self.now)
        return request

    def clients(self, turns: int) -> list[object]:
        return [self.serve().caller for _ in range(turns)]


class Lanes(QueueCase):
    """High before normal before low."""

    def test_order(self) -> None:
        for name, lane in (("c", Lane.LOW), ("b", Lane.NORMAL), ("a", Lane.HIGH), ("B", Lane.NORMAL)):
            self.put(name, lane)
        self.assertEqual(self.clients(4), ["a", "b", "B", "c"])

    def test_within_one_client(self) -> None:
        """To different units; to one unit the order stays, and what is urgent lifts what was before."""
        low, high = self.put("a", Lane.LOW, 1), self.put("a", Lane.HIGH, 2)
        self.assertEqual([self.serve(), self.serve()], [high, low])
        first, urgent = self.put("a", Lane.LOW, 1), self.put("a", Lane.HIGH, 1)
        other = self.put("b", Lane.NORMAL, 3)
        self.assertEqual([self.serve() for _ in range(3)], [first, urgent, other])

    def test_a_broadcast_lifts_all(self) -> None:
        """It is to every unit."""
        low, high = self.put("a", Lane.LOW, 1), self.put("a", Lane.HIGH, 0)
        self.put("b")
        self.assertEqual([self.serve(), self.serve()], [low, high])

    def test_what_cannot_go_keeps_nobody_from_lower_lanes(self) -> None:
        blocked, mine, other = self.put("a", Lane.HIGH, 1), self.put("a", Lane.NORMAL, 2), self.put("b", Lane.LOW, 3)
        self.assertEqual([self.serve(1), self.serve(1), self.serve()], [mine, other, blocked])

    def test_a_lane_that_starves(self) -> None:
        """Who has waited long in it rises: low to normal, and normal to high."""
        for lane in (Lane.NORMAL, Lane.LOW):
            self.setUp()
            starving = self.put("a", lane)
            seen = []
            while starving in list(self.queue):
                self.put("c", Lane.HIGH)
                self.put("c", Lane.HIGH)
                seen.append(self.serve().caller)
                self.now += AGEING / 4
            self.assertTrue(4 * lane <= len(seen) <= 4 * lane + 4, seen)
            self.assertEqual(seen[:-1], ["c"] * (len(seen) - 1))

    def test_only_who_waited_rises(self) -> None:
        self.put("a")
        for _ in range(4):
            self.put("c", Lane.HIGH)
            self.serve()
            self.now += AGEING / 4
        young = self.put("b")
        self.put("c", Lane.HIGH)
        self.serve()
        self.assertEqual(young.lane, Lane.NORMAL)

    def test_a_lane_that_is_served_does_not_starve(self) -> None:
        """However long its queue is: a write is before hundreds of reads that have waited for long."""
        for client in range(200):
            self.put(client)
        for _ in range(150):
            self.serve()
            self.now += AGEING / 10
        self.put("w", Lane.HIGH)
        self.assertEqual(self.serve().caller, "w")

    def test_a_long_queue_of_ones_own_is_no_reason_to_be_first(self) -> None:
        for _ in range(100):
            self.put("greedy")
        for _ in range(60):
            self.serve()
            self.now += AGEING / 10
        self.put("polite")
        self.assertEqual(self.serve().caller, "polite")

    def test_lifting(self) -> None:
        first = self.put("a", Lane.LOW)
        self.put("b")
        self.queue.lift(first, Lane.LOW)
        self.queue.lift(first, Lane.HIGH)
        self.queue.lift(first, Lane.NORMAL)
        self.assertEqual((first.lane, self.clients(2)), (Lane.HIGH, ["a", "b"]))


class Rounds(QueueCase):
    """Deficit round robin in bus time."""

    def keep_busy(self, turns: int, **costs: float) -> Counter[object]:
        """Each asks again as soon as it was served; how much bus time each had."""
        self.costs = dict(costs)
        for client in costs:
            self.put(client)
            self.put(client)
        spent: Counter[object] = Counter()
        for _ in range(turns):
            request = self.serve()
            spent[request.caller] += costs[str(request.caller)]  # type: ignore[assignment]
            self.put(request.caller)
        return spent

    def test_equal_costs_are_equal_turns(self) -> None:
        self.keep_busy(10, a=1.0, b=1.0, c=1.0)
        self.assertEqual(self.clients(6), [*"bca", *"bca"])

    def test_little_differences_are_made_up_for(self) -> None:
        """By a turn in ten or twenty, no sooner."""
        spent = self.keep_busy(300, a=1.0, b=1.1, c=0.9)
        for client in "abc":
            self.assertTrue(97 <= spent[client] <= 104, spent)

    def test_each_lane_has_its_own_measure(self) -> None:
        """Writes are short: whoever reads is not in debt for that."""
        for _ in range(200):
            self.costs = {"w": 0.3, "r": 1.0, "s": 1.0}
            for client, lane in (("w", Lane.HIGH), ("r", Lane.NORMAL), ("s", Lane.NORMAL)):
                self.put(client, lane)
                self.put(client, lane)
            self.assertEqual(self.clients(6), [*"wwrsrs"])

    def test_nothing_is_saved_up(self) -> None:
        """Who was modest for an hour has no claim to the bus."""
        self.keep_busy(300, a=0.5, b=1.0)
        spent = self.keep_busy(60, a=20.0, b=1.0)
        self.assertLess(spent["a"], 3 * spent["b"])

    def test_who_costs_more_has_fewer_turns(self) -> None:
        """A dead unit, or long blocks."""
        spent = self.keep_busy(2000, dead=10.0, a=1.0, b=1.0)
        self.assertLess(spent["dead"], 1.25 * spent["a"])
        self.assertGreater(spent["dead"], 0.6 * spent["a"])

    def test_alone_it_pays_nothing(self) -> None:
        self.keep_busy(50, a=10.0)
        self.costs = {"a": 10.0}
        self.assertEqual(self.clients(2), ["a", "a"])

    def test_two_that_cost_much(self) -> None:
        """If both are in debt, it is the turn of who is less so; nobody waits for nothing."""
        spent = self.keep_busy(300, a=10.0, b=20.0, c=1.0)
        self.put("d")
        for _ in range(100):
            self.queue.first(self.now, lambda one: 0.0)
        self.assertLess(abs(spent["a"] - spent["b"]), 0.35 * spent["a"])

    def test_asking_often_whose_turn_it_is_changes_nothing(self) -> None:
        self.keep_busy(20, a=5.0, b=1.0)
        state = [(one.key, one.balance) for one in self.queue._clients.values()]
        for _ in range(10):
            self.queue.first(self.now, lambda one: 0.0)
        self.assertEqual([(one.key, one.balance) for one in self.queue._clients.values()], state)

    def test_debts_end(self) -> None:
        """When nobody waits, and for who comes back after a while."""
        self.keep_busy(30, a=50.0, b=1.0)
        while len(self.queue):
            self.serve()
        self.put("b")
        self.put("a")
        self.assertEqual([one.balance for one in self.queue._clients.values()], [0.0, 0.0])

    def test_a_debt_of_long_ago(self) -> None:
        """Others have waited all the time, and it does not count any more."""
        self.keep_busy(20, a=50.0, b=1.0)
        for one in [one for one in self.queue if one.caller == "a"]:
            self.queue.remove(one)
        self.put("a")
        self.assertLess(self.queue._clients["a"].balance, -1.0)
        self.queue.remove(next(one for one in self.queue if one.caller == "a"))
        self.now += AGEING + 1.0
        self.put("a")
        self.assertEqual(self.queue._clients["a"].balance, 0.0)

    def test_who_left_in_debt_is_forgotten(self) -> None:
        queue: RequestQueue[Pending] = RequestQueue(10, 10)
        keep = waiting_for("stays", read(1, 0), BusSettings().serial, math.inf)
        queue.put(keep, 0.0)
        for number in range(200):
            one = waiting_for(number, read(1, 0), BusSettings().serial, math.inf)
            queue.put(one, 0.0)
            queue.take(one)
            queue.charge(number, 1.0 if number % 2 else 50.0, 0.0)
        self.assertLess(len(queue._clients), 30)


class Ahead(QueueCase):
    """How long a request will wait."""

    def test_of_equals(self) -> None:
        """Others' turns come in between, as many as its client has requests."""
        for _ in range(50):
            self.put("greedy")
        self.assertEqual(self.queue.cost, 50.0)
        self.assertEqual(self.queue.ahead_of("polite", Lane.NORMAL, 1.0), 1.0)
        self.put("polite")
        self.assertEqual(self.queue.ahead_of("polite", Lane.NORMAL, 1.0), 3.0)
        self.assertEqual(self.queue.ahead_of("greedy", Lane.NORMAL, 1.0), 51.0)

    def test_lanes(self) -> None:
        for _ in range(5):
            self.put("low", Lane.LOW)
            self.put("high", Lane.HIGH)
        self.assertEqual(self.queue.ahead_of("me", Lane.HIGH, 1.0), 1.0)
        self.assertEqual(self.queue.ahead_of("me", Lane.NORMAL, 1.0), 5.0)
        self.assertEqual(self.queue.ahead_of("me", Lane.LOW, 1.0), 6.0)

    def test_the_sum_is_what_waits(self) -> None:
        requests = [self.put("a", cost=0.1) for _ in range(10)]
        for request in requests[:9]:
            self.queue.remove(request)
        self.assertAlmostEqual(self.queue.cost, 0.1)
        self.queue.remove(requests[9])
        self.assertEqual(self.queue.cost, 0.0)

    def test_who_has_nothing_waits_for_nothing(self) -> None:
        """Not even for a rest of rounding: who is alone is never refused for what waits."""
        for cost in (0.1, 0.2, 0.3):
            self.put("a", cost=cost)
        self.clients(3)
        self.assertEqual(self.queue.of("a"), (0, 0.0))
        self.assertEqual(self.queue.ahead_of("a", Lane.NORMAL, 1.0), 0.0)


class AnythingGoes(SynchronousTestCase):
    """Whatever comes in comes out once, in the order of its client and unit."""

    @given(st.lists(st.tuples(
        st.sampled_from(["put", "put", "put", "serve", "serve", "remove", "wait", "lift", "pass", "back"]),
        st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.floats(0.0, 3.0),
    ), max_size=60))
    def test_orders(self, steps: list[tuple[str, int, int, int, float]]) -> None:
        queue: RequestQueue[Pending] = RequestQueue(1000, 1000)
        waiting: list[Pending] = []
        now, last = 0.0, None
        for step, client, unit, lane, cost in steps:
            if step == "put":
                request = waiting_for(client, write(unit, 0), BusSettings().serial, math.inf, lane=lane)
                request.cost = cost
                queue.put(request, now)
                waiting.append(request)
            elif step in ("serve", "pass") and waiting:
                first, _ = queue.first(now, lambda one: 0.0)
                assert first is not None
                before = [one for one in waiting[: waiting.index(first)] if one.caller == first.caller]
                self.assertEqual([one for one in before if one.unit in (0, first.unit) or not first.unit], [])
                if step == "serve":
                    queue.take(first)
                    waiting.remove(first)
                    last = first
                else:
                    queue.pass_turn(first)
                queue.charge(first.caller, cost, now)
            elif step == "back" and last is not None:
                queue.put_back(last, now)
                waiting.insert(0, last)
                last = None
            elif step == "remove" and waiting:
                last = None
                queue.remove(waiting.pop(client % len(waiting)))
            elif step == "lift" and waiting:
                queue.lift(waiting[client % len(waiting)], lane)
            elif step == "wait":
                now += cost
            self.assertEqual(len(queue), len(waiting))
            self.assertEqual(sorted(map(id, queue)), sorted(map(id, waiting)))
            self.assertAlmostEqual(queue.cost, sum(one.cost for one in waiting), 6)
            self.assertEqual([queue._in_lane[one] for one in Lane],
                             [sum(one.lane == lane for one in waiting) for lane in Lane])
        while waiting:
            first, _ = queue.first(now, lambda one: 0.0)
            assert first is not None
            queue.take(first)
            waiting.remove(first)
        self.assertEqual(queue.first(now, lambda one: 0.0), (None, math.inf))


class Alone(SynchronousTestCase):
    """A request that nobody waits with passes through; whoever comes later finds no difference."""

    @given(st.lists(st.tuples(
        st.sampled_from(["ask", "ask", "ask", "end", "end", "wait"]), st.integers(0, 3), st.sampled_from(list(Lane)),
        st.sampled_from([0.001, 0.01, 0.2, AGEING]),
    ), max_size=60))
    def test_as_if_it_had_waited(self, steps: list[tuple[str, int, int, float]]) -> None:
        short, long = [
            RequestQueue[Pending](10, 5, extra=10, singles_first=True) for _ in range(2)
        ]
        now, running = 0.0, ""

        def served(queue: RequestQueue[Pending]) -> str:
            request, _ = queue.first(now, lambda one: 0.0)
            if request is not None:
                queue.take(request)
            return "" if request is None else str(request.caller)

        for step, client, lane, cost in steps:
            now += cost if step == "wait" else 0.0001
            if step == "ask" and len(short) < 10:
                asked = [waiting_for(str(client), read(1, 0), BusSettings().serial, math.inf, lane=lane) for _ in "ab"]
                for one in asked:
                    one.cost, one.arrived = cost, now
                if not running and not len(short):
                    short.pass_through(asked[0], now)
                    long.put(asked[1], now)
                    running = served(long)
                elif short.of(str(client))[0] < 5:
                    short.put(asked[0], now)
                    long.put(asked[1], now)
            elif step == "end" and running:
                for queue in (short, long):
                    queue.charge(running, cost, now)
                running = served(short)
                self.assertEqual(running, served(long))
            self.assertEqual(len(short), len(long))
            self.assertEqual(short.cost, long.cost)
            self.assertEqual(
                *({key: one.balance for key, one in queue._clients.items() if one.balance} for queue in (short, long))
            )
            self.assertEqual(*([[*ring] for ring in (*queue._rings, *queue._single)] for queue in (short, long)))
        while len(long):
            self.assertEqual(served(short), served(long))


class Priorities(SynchronousTestCase):
    """On a bus."""

    def test_writes_go_first(self) -> None:
        for writes_first, expected in ((True, write(3, 0)), (False, read(1, 0))):
            world = World(BusSettings(timeout=0.1, echo="off", writes_first=writes_first))
            world.submit(read(9, 0), "somebody")
            for unit in range(1, 3):
                world.submit(read(unit, 0), f"poller {unit}")
            world.submit(write(3, 0), "switch")
            world.reply()
            world.tick()
            self.assertEqual(world.sent[-1].frame, expected)

    def test_what_was_said_counts(self) -> None:
        """A write that can wait is as urgent as a read of which nothing was said."""
        world = World()
        world.submit(read(9, 0), "somebody")
        world.submit(write(1, 0), "low", lane=Lane.LOW)
        world.submit(read(2, 0), "normal")
        world.submit(read(3, 0), "high", lane=Lane.HIGH)
        for _ in range(4):
            world.reply()
            world.tick()
        self.assertEqual([one.frame[0] for one in world.sent], [9, 3, 1, 2])


class Admission(SynchronousTestCase):
    """What cannot be served in time is told so, instead of waiting in vain."""

    def setUp(self) -> None:
        self.world = World(BusSettings(timeout=0.5, echo="off", share=False, queue_per_client=1000))

    def tearDown(self) -> None:
        self.assertEqual(self.world.wrong, [])

    def learn(self) -> None:
        """A unit that takes 50 ms for its answer."""
        self.world.submit(read(1, 0))
        self.world.reply(after=0.05)
        self.world.advance(1.0)

    def test_too_much_waits(self) -> None:
        """Of a client's hundred those are refused that would be too late, and not at once, or it would ask again."""
        self.learn()
        requests = [self.world.submit(read(1, at), timeout=1.0) for at in range(100)]
        self.assertFalse(requests[-1].done)
        while not all(one.done for one in requests):
            if self.world.bus.is_busy and not self.world.sent[-1].answered:
                self.world.reply(after=0.05)
            else:
                self.world.tick()
        ends = [self.world.error(one) for one in requests]
        refused = ends.count(Overloaded)
        self.assertEqual(ends[-refused:], [Overloaded] * refused)
        self.assertTrue(80 < refused < 90, refused)
        self.assertEqual(ends[: 99 - refused], [None] * (99 - refused))  # the last admitted may be a hair too late

    def test_what_would_not_be_awaited_is_not_sent(self) -> None:
        """Its caller would be gone when the reply comes, and others have lost the time."""
        self.learn()
        self.world.submit(read(1, 0), "a")
        late = self.world.submit(read(1, 1), "b", timeout=0.18)
        other = self.world.submit(read(1, 2), "c")
        while not self.world.bus.is_busy:
            self.world.tick()
        self.world.reply(after=0.1)
        while not self.world.bus.is_busy:
            self.world.tick()
        self.assertEqual(self.world.sent[-1].frame, read(1, 2))
        self.assertIs(self.world.error(late), Expired)
        self.world.reply()
        self.assertIsInstance(self.world.outcome(other), Reply)

    def test_another_client_is_not_told_so(self) -> None:
        """Its turn comes soon."""
        self.learn()
        for at in range(12):
            self.world.submit(read(1, at), "greedy", timeout=1.0)
        polite = self.world.submit(read(1, 0), "polite", timeout=0.3)
        self.world.advance(PATIENCE)
        self.assertFalse(polite.done)

    def test_an_idle_bus_refuses_nothing(self) -> None:
        """Even where it was slow before: it may be faster now."""
        self.learn()
        self.world.submit(read(1, 0), timeout=0.03)
        self.world.reply(after=0.001)
        self.assertIsInstance(self.world.order and self.world.ended[self.world.order[-1]], Reply)

    def test_a_night_without_the_port_is_no_cost(self) -> None:
        """What was on the wire when it vanished took no time of anybody's."""
        self.learn()
        self.world.submit(read(1, 0), "a")
        self.world.bus.port_lost(self.world.now)
        self.world.now += 36_000.0
        self.world.bus.port_opened(self.world.now)
        self.world.quiet_from = self.world.now
        requests = [self.world.submit(read(1, at), client, timeout=1.0) for at, client in enumerate("abc")]
        self.world.advance(PATIENCE)
        self.assertEqual([one.done for one in requests], [False] * 3)

    def test_the_bound_holds_still(self) -> None:
        world = World(BusSettings(timeout=0.1, echo="off", queue_per_client=3, share=False))
        requests = [world.submit(read(1, at), timeout=60.0) for at in range(6)]
        self.assertEqual([world.error(one) for one in requests[4:]], [QueueFull] * 2)
