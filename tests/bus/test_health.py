"""Units that do not answer: what they cost the others, and how they come back."""

from __future__ import annotations

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.endings import MOST_PATIENCE, PATIENCE
from lumina_twisted.bus.events import HealthChange, Reply, UnitState
from lumina_twisted.bus.health import LONGEST_INTERVAL
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.settings import BusSettings, UnitSettings
from lumina_twisted.errors import OutcomeUnknown, PortClosed, ResponseTimeout, Stopping, UnitOffline
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.modbus.settings import SerialSettings
from tests.bus.world import World, ask, read, write

DEAD = 9


class HealthCase(SynchronousTestCase):
    """A world in which unit 9 is dead."""

    def setUp(self) -> None:
        self.make()

    def make(self, **settings: object) -> None:
        settings = {"timeout": 0.3, "echo": "off", "retries": 0, **settings}
        self.world = World(BusSettings(**settings))  # type: ignore[arg-type]

    def tearDown(self) -> None:
        self.assertEqual(self.world.wrong, [])

    def ask(self, unit: int = DEAD, client: object = "a", **how: object) -> Pending:
        """Asks, and waits until the answer is there; unit 9 has none."""
        world = self.world
        request = world.submit(read(unit, 0), client, **how)  # type: ignore[arg-type]
        while not request.done:
            if unit != DEAD and world.bus.is_busy and not world.sent[-1].answered:
                world.reply()
            else:
                world.tick()
        return request

    def answered(self, frame: bytes, client: object = "a") -> bool:
        """Asks, and the device answers."""
        request = self.world.submit(frame, client)
        while not request.done:
            if self.world.bus.is_busy and not self.world.sent[-1].answered:
                self.world.reply()
            else:
                self.world.tick()
        return isinstance(self.world.outcome(request), Reply)

    def kill(self) -> None:
        """Asks unit 9 until it is offline."""
        while self.state is not UnitState.OFFLINE:
            self.ask()

    @property
    def state(self) -> UnitState:
        return self.world.bus.health.state_of(DEAD, self.world.settings.serial)


class Dying(HealthCase):
    """When a unit is offline."""

    def test_after_a_run(self) -> None:
        self.assertIs(self.state, UnitState.ONLINE)
        for _ in range(3):
            self.ask()
            self.assertIs(self.state, UnitState.SUSPECT)
        self.ask()
        self.assertIs(self.state, UnitState.OFFLINE)
        self.assertEqual(self.world.bus.health.offline_units(), (DEAD,))
        self.assertIs(self.world.error(self.ask()), UnitOffline)
        self.assertEqual(len(self.world.sent), 4)

    def test_retries_count(self) -> None:
        """A request's own tries are attempts too, and none follows once the unit is offline."""
        self.make(retries=10)
        self.assertIs(self.world.error(self.ask(timeout=60.0)), ResponseTimeout)
        self.assertEqual((len(self.world.sent), self.state), (4, UnitState.OFFLINE))

    def test_an_answer_ends_the_run(self) -> None:
        for _ in range(3):
            self.ask()
        self.assertTrue(self.answered(read(DEAD, 0)))
        for _ in range(3):
            self.ask()
        self.assertIs(self.state, UnitState.SUSPECT)

    def test_who_answered_a_moment_ago_is_not_offline(self) -> None:
        self.make(timeout=0.05)
        self.world.submit(read(DEAD, 5))
        self.world.reply()
        before = self.world.now
        for quantity in range(2, 8):  # of other lengths, for which nothing is owed
            self.world.submit(read(DEAD, 0, quantity), quantity)
        for _ in range(40):
            if len(self.world.sent) < 7:
                self.world.tick()
        self.assertLess(self.world.now, before + 1.0)
        self.assertIs(self.state, UnitState.SUSPECT)
        self.world.advance(1.0)
        self.ask()
        self.assertIs(self.state, UnitState.OFFLINE)

    def test_never_if_so_configured(self) -> None:
        for settings in ({"offline_after": 0}, {"units": {DEAD: UnitSettings(offline_after=0)}}):
            self.make(**settings)
            for _ in range(8):
                self.assertIs(self.world.error(self.ask()), ResponseTimeout)

    def test_only_with_these_settings(self) -> None:
        """Who asks at a wrong speed takes the unit from nobody else."""
        for _ in range(4):
            self.ask(baudrate=19200)
        self.assertIs(self.world.error(self.ask(baudrate=19200)), UnitOffline)
        self.assertTrue(self.answered(read(DEAD, 0)))
        self.assertIs(self.world.error(self.ask(baudrate=19200)), UnitOffline)

    def test_damaged_replies_say_that_it_lives(self) -> None:
        for _ in range(8):
            request = self.world.submit(read(DEAD, 0))
            while not self.world.bus.is_busy:
                self.world.tick()
            if self.world.sent[-1].frame[1] == 8:
                self.world.reply()
            while not self.world.bus.is_busy:
                self.world.tick()
            self.world.advance(0.02)
            self.world.hear(bytes.fromhex("09030200019999"))
            while not request.done:
                self.world.tick()
        self.assertIs(self.state, UnitState.ONLINE)

    def test_behind_another_gateway(self) -> None:
        """Its exception 0B says that the unit did not answer."""
        for _ in range(4):
            request = self.world.submit(read(DEAD, 0))
            self.world.sent[-1].refused = True
            self.world.advance(0.1)
            self.world.hear(encode_adu(DEAD, bytes.fromhex("830b")))
            self.assertEqual(self.world.outcome(request).error.code, 0x0B)  # type: ignore[union-attr]
        self.assertIs(self.world.error(self.ask()), UnitOffline)

    def test_broadcasts_say_nothing(self) -> None:
        for _ in range(8):
            self.world.submit(write(0, 1))
            self.world.run_dry()
        self.assertEqual(self.world.bus.health.offline_units(), ())


class Waiting(HealthCase):
    """What becomes of those who want something from it."""

    def test_all_that_waits_is_refused(self) -> None:
        """Once it is offline; those who ride with others too. Who asks another unit is served."""
        for client in "abc":
            self.ask(client=client)
        world = self.world
        dying = [world.submit(read(DEAD, 0), client) for client in "abcd"]
        dying += [world.submit(write(DEAD, 1), client) for client in "ab"]
        alive = world.submit(read(1, 0), "e")
        while not world.bus.is_busy or world.sent[-1].frame[0] == DEAD:
            world.tick()
        world.reply()
        self.assertIsInstance(world.outcome(alive), Reply)
        world.run_dry()
        self.assertEqual(len([one for one in world.sent if one.frame[0] == DEAD]), 4)
        told = [world.error(one) for one in dying]
        self.assertEqual(told, [ResponseTimeout] + 5 * [UnitOffline])

    def test_not_at_once(self) -> None:
        """A client in a tight loop must not burn a processor."""
        self.kill()
        before = self.world.now
        request = self.world.submit(read(DEAD, 0))
        self.assertFalse(request.done)
        self.world.advance(PATIENCE - 0.001)
        self.assertFalse(request.done)
        self.world.advance(0.001)
        self.assertIs(self.world.error(request), UnitOffline)
        self.assertLess(self.world.now - before, 0.021)

    def test_cancelled_meanwhile(self) -> None:
        self.kill()
        request = self.world.submit(read(DEAD, 0))
        self.world.cancel(request)
        self.world.run_dry()
        self.assertIsNone(self.world.outcome(request))

    def test_stopped_meanwhile(self) -> None:
        self.kill()
        requests = [self.world.submit(read(DEAD, 0)), self.world.submit(read(DEAD, 1))]
        self.world.bus.stop(self.world.now)
        self.world.collect()
        self.assertEqual([self.world.error(one) for one in requests], [UnitOffline] * 2)
        self.assertIs(self.world.error(self.world.submit(read(DEAD, 0))), Stopping)
        self.world.run_dry()
        self.assertIsNone(self.world.bus.get_timer())

    def test_many_at_once(self) -> None:
        """No more wait to be refused than may wait for the port."""
        self.make(queue=5)
        self.kill()
        requests = [self.world.submit(read(DEAD, 0), client) for client in range(7)]
        self.assertEqual([one.done for one in requests], [False] * 5 + [True] * 2)
        self.world.run_dry()
        self.assertEqual({self.world.error(one) for one in requests}, {UnitOffline})

    def test_hundreds_at_once(self) -> None:
        """They wait longer, and none longer than its deadline."""
        self.kill()
        before = self.world.now
        requests = [self.world.submit(read(DEAD, 0), client) for client in range(400)]
        hasty = self.world.submit(read(DEAD, 0), "hasty", timeout=0.01)
        self.world.advance(0.01)
        self.assertIs(self.world.error(hasty), UnitOffline)
        ends = []
        for one in requests:
            while not one.done:
                self.world.tick()
            ends.append(self.world.now - before)
        self.assertEqual(ends, sorted(ends))
        self.assertAlmostEqual(ends[0], PATIENCE)
        self.assertTrue(0.1 < ends[-1] < MOST_PATIENCE, ends[-1])

    def test_a_port_that_is_gone(self) -> None:
        """Its refusals are paced likewise."""
        self.world.bus.port_lost(self.world.now, "unplugged")
        request = self.world.submit(read(1, 0))
        self.world.advance(PATIENCE - 0.001)
        self.assertFalse(request.done)
        self.world.advance(0.001)
        self.assertIs(self.world.error(request), PortClosed)
        self.assertIsNone(self.world.bus.get_timer())


class Probing(HealthCase):
    """A client's own request, now and then."""

    def hammer(self, seconds: float, unit: int = DEAD) -> list[float]:
        """Asks a dead unit again and again; when it was really asked."""
        until, before = self.world.now + seconds, len(self.world.sent)
        while self.world.now < until:
            request = self.world.submit(read(unit, 0))
            while not request.done:
                self.world.tick()
        return [one.at for one in self.world.sent[before:]]

    def test_intervals_grow(self) -> None:
        self.kill()
        times = self.hammer(60.0)
        pauses = [later - sooner for sooner, later in pairwise(times)]
        self.assertEqual([round(pause) for pause in pauses[:4]], [2, 2, 3, 5])
        self.assertLess(pauses[1], 3.0)
        for pause in pauses[6:]:
            self.assertTrue(LONGEST_INTERVAL <= pause < LONGEST_INTERVAL + 0.5, pauses)

    def test_what_they_cost(self) -> None:
        """A short timeout's probes come oftener, and take 3 % of the bus."""
        self.make(timeout=0.05)
        self.kill()
        self.hammer(20.0)
        asked = len(self.hammer(20.0))
        cost = asked * (0.05 + 0.01)
        self.assertGreater(asked, 2 * 20 / LONGEST_INTERVAL)
        self.assertLess(cost / 20.0, 0.04)

    def test_it_is_sent_once(self) -> None:
        self.make(retries=3)
        self.kill()
        self.world.advance(LONGEST_INTERVAL)
        before = len(self.world.sent)
        self.assertIs(self.world.error(self.ask(timeout=60.0)), UnitOffline)
        self.assertEqual([one.frame[1] for one in self.world.sent[before:]], [8], "a canary does it")

    def test_a_write_may_be_it(self) -> None:
        """It was sent, so nobody knows."""
        self.kill()
        self.world.advance(LONGEST_INTERVAL)
        request = self.world.submit(write(DEAD, 1))
        self.world.run_dry()
        self.assertIs(self.world.error(request), OutcomeUnknown)

    def test_only_one_at_a_time(self) -> None:
        self.kill()
        self.world.advance(LONGEST_INTERVAL)
        probe = self.world.submit(read(DEAD, 0), "a")
        self.assertIs(self.state, UnitState.PROBING)
        other = self.world.submit(read(DEAD, 5), "b")
        self.world.advance(PATIENCE)
        self.assertEqual((probe.done, self.world.error(other)), (False, UnitOffline))

    def test_back_again(self) -> None:
        """Its first answer ends it, and is told."""
        self.kill()
        self.world.advance(LONGEST_INTERVAL)
        self.assertTrue(self.answered(read(DEAD, 0)))
        self.assertIs(self.state, UnitState.ONLINE)
        self.assertTrue(self.answered(read(DEAD, 1)))
        changes = [(change.unit, change.state) for change in self.world.others if isinstance(change, HealthChange)]
        self.assertEqual(changes, [(DEAD, UnitState.OFFLINE), (DEAD, UnitState.ONLINE)])

    def test_any_frame_of_it(self) -> None:
        """A late one, or one that nobody asked for here."""
        self.kill()
        self.world.hear(encode_adu(DEAD, bytes.fromhex("0402beef")))
        self.assertIs(self.state, UnitState.ONLINE)
        self.kill()
        self.world.reply(self.world.sent[-1], after=0.0)
        self.assertIs(self.state, UnitState.ONLINE)

    def test_a_lost_port_ends_no_probe(self) -> None:
        """The next one may ask at once, when the port is back."""
        self.kill()
        self.world.advance(LONGEST_INTERVAL)
        self.world.submit(read(DEAD, 0))
        self.world.lose_port()
        self.assertIs(self.state, UnitState.OFFLINE)
        self.world.submit(read(DEAD, 1, 2))
        self.world.advance(0.01)
        self.assertIs(self.state, UnitState.PROBING)

    def ask_all(self, seconds: float) -> None:
        """All of twenty units are asked again and again."""
        until = self.world.now + seconds
        while self.world.now < until:
            for unit in range(DEAD, DEAD + 20):
                self.world.submit(read(unit, 0), timeout=60.0)
            self.world.advance(0.5)

    def test_all_of_them_together(self) -> None:
        """Twenty dead units do not take the bus from one that lives, and each has its turn."""
        self.make(queue_per_client=1000)
        for unit in range(DEAD, DEAD + 20):
            for _ in range(4):
                request = self.world.submit(read(unit, 0), timeout=60.0)
                while not request.done:
                    self.world.tick()
        self.ask_all(40.0)
        before = len(self.world.sent)
        self.ask_all(60.0)
        share = (len(self.world.sent) - before) * 0.31 / 60.0
        self.assertLess(share, 0.22)
        self.assertEqual(len({one.frame[0] for one in self.world.sent[before:]}), 20)


class Bounds(SynchronousTestCase):
    """A client that invents settings fills no memory."""

    def test_kept(self) -> None:
        world = World(BusSettings(timeout=0.01, echo="off", retries=0, offline_after=1))
        health = world.bus.health
        for baudrate in range(1200, 4200):
            request = Pending(ask("a", read(1, 0), SerialSettings(baudrate=baudrate), 1.0))
            health.unanswered(request, 0.01, 0.0)
        self.assertLessEqual(len(health.silent), 1024)
