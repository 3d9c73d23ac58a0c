"""What the wire tells of the devices: once each, never another's, never younger than it is."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Reply, Sample
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.errors import OutcomeUnknown
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.test_sharing import SharedWorld, values
from tests.bus.world import World, read, reply_to, sample_of, write


class SampleCase(SynchronousTestCase):
    """A watched bus."""

    def setUp(self) -> None:
        self.make()

    def make(self, **settings: Any) -> None:
        self.world = World(BusSettings(**{"timeout": 0.1, "echo": "off", "retries": 0, **settings}))

    def tearDown(self) -> None:
        self.assertEqual(self.world.wrong, [])

    def ask(self, frame: bytes, client: object = "a", **how: Any) -> Pending:
        """It is on the wire."""
        request = self.world.submit(frame, client, **how)
        self.until_busy()
        return request

    def until_busy(self) -> None:
        while not self.world.bus.is_busy:
            self.assertTrue(self.world.tick(), "nothing is sent")

    def time_out(self) -> None:
        """Nobody answers what is on the wire."""
        sent = len(self.world.sent)
        while self.world.bus.is_busy and len(self.world.sent) == sent:
            self.world.tick()

    def doubt(self, frame: bytes, at: float) -> Sample:
        return sample_of(frame, b"", at, is_read=False, is_proven=False)

    def assert_told(self, *samples: Sample) -> None:
        told = [one._replace(sampled_after=round(one.sampled_after, 9)) for one in self.world.samples]
        self.assertEqual(told, [one._replace(sampled_after=round(one.sampled_after, 9)) for one in samples])


class Reads(SampleCase):
    """A reply tells how things were after the first question had left."""

    def sample(self, frame: bytes, at: float) -> Sample:
        return sample_of(frame, reply_to(frame), at, is_read=True)

    def test_a_reply(self) -> None:
        self.ask(read(1, 10, 4))
        self.world.reply(after=0.03)
        self.assert_told(self.sample(read(1, 10, 4), self.world.sent[0].until))

    def test_an_exception(self) -> None:
        for code in (1, 2, 4, 11):
            self.ask(read(1, 10))
            self.world.reply(refuses=True, code=code)
        self.assert_told()

    def test_nothing(self) -> None:
        """No reply, a lost port, a reply that is not the one."""
        self.ask(read(1, 10))
        self.world.hear(reply_to(read(1, 10, 2)))
        self.world.hear(reply_to(read(2, 10)))
        self.time_out()
        self.ask(read(1, 10, 2))
        self.world.lose_port()
        self.world.run_dry()
        self.assert_told()

    def test_its_caller_is_gone(self) -> None:
        for goes in (lambda request: self.world.cancel(request), lambda request: self.world.advance(0.03)):
            self.make()
            request = self.ask(read(1, 10), timeout=0.03)
            goes(request)
            self.world.reply(after=0.03)
            self.assertTrue(request.done)
            self.assertNotIsInstance(self.world.outcome(request), Reply)
            self.assert_told(self.sample(read(1, 10), self.world.sent[0].until))

    def test_late(self) -> None:
        """Whether its caller waits for it or not."""
        for timeout in (2.0, 0.1):
            self.make()
            request = self.ask(read(1, 10), timeout=timeout)
            self.time_out()
            self.world.reply()
            self.assertEqual(isinstance(self.world.outcome(request), Reply), timeout == 2.0)
            self.assert_told(self.sample(read(1, 10), self.world.sent[0].until))

    def test_after_its_late_window(self) -> None:
        """Where nothing is proven others of its shape were asked since: whose it is nobody can tell."""
        self.make(canary="off")
        self.ask(read(1, 10), timeout=0.1)
        self.time_out()
        self.world.advance(1.0)
        self.ask(read(1, 20))
        self.world.reply()
        del self.world.samples[:]
        self.world.hear(reply_to(read(1, 20)))
        self.assert_told()
        self.assertEqual(self.world.bus.counters.late, 1)

    def test_a_retry_that_the_first_reply_answers(self) -> None:
        """And the second reply, if it is still owed: both count from the first question."""
        for timeout in (0.25, 5.0):
            self.make(retries=1)
            self.ask(read(1, 10), timeout=timeout)
            while len(self.world.sent) < 2:
                self.assertTrue(self.world.tick(), "nothing is sent")
            first, second = self.world.sent
            self.world.reply(first)
            self.world.reply(second)
            self.assert_told(*[self.sample(read(1, 10), first.until)] * 2)

    def test_a_device_that_was_busy(self) -> None:
        self.make(busy_retries=1)
        self.ask(read(1, 10))
        self.world.reply(refuses=True, code=6)
        self.until_busy()
        self.world.reply()
        self.assert_told(self.sample(read(1, 10), self.world.sent[0].until))

    def test_a_link_faster_than_the_wire_is_reckoned(self) -> None:
        """It is not of the future."""
        self.ask(read(1, 10))
        now, self.world.sent[0].answered = self.world.now, True
        self.world.hear(reply_to(read(1, 10)))
        self.assertLess(now, self.world.sent[0].until)
        self.assert_told(self.sample(read(1, 10), now))

    def test_the_read_ahead_of_a_write(self) -> None:
        """It tells something too."""
        self.make(echo="auto")
        self.ask(write(1, 5))
        self.world.reply()
        self.assert_told(self.sample(read(1, 5), self.world.sent[0].until))


class Together(SampleCase):
    """One transaction, one sample, whoever asked."""

    def make(self, **settings: Any) -> None:
        base = {"timeout": 0.1, "echo": "off", "retries": 0}
        self.world: SharedWorld = SharedWorld(BusSettings(**{**base, **settings}))
        self.world.submit(read(9, 0), "somebody")

    def finish(self) -> None:
        for _ in range(3):
            self.until_busy()
            self.world.answer()
            if not self.world.bus.waiting:
                return

    def test_shared(self) -> None:
        for client in "abc":
            self.world.submit(read(1, 10, 4), client)
        self.world.submit(read(1, 11), "d")
        self.finish()
        self.assert_told(
            sample_of(read(9, 0), values(read(9, 0)), self.world.sent[0].until, is_read=True),
            sample_of(read(1, 10, 4), values(read(1, 10, 4)), self.world.sent[1].until, is_read=True),
        )

    def test_merged(self) -> None:
        """With the frame that was sent, and with none if the device refuses that."""
        self.make(merge=True)
        for at in (12, 10, 11):
            self.world.submit(read(1, at), at)
        self.finish()
        self.assert_told(
            sample_of(read(9, 0), values(read(9, 0)), self.world.sent[0].until, is_read=True),
            sample_of(read(1, 10, 3), values(read(1, 10, 3)), self.world.sent[1].until, is_read=True),
        )

    def test_all_of_them_are_gone(self) -> None:
        self.make(merge=True)
        requests = [self.world.submit(read(1, at), at) for at in (12, 10, 11)]
        self.world.answer()
        self.until_busy()
        for request in requests:
            self.world.cancel(request)
        self.world.answer()
        asked = [encode_adu(one.unit, one.request) for one in self.world.samples]
        self.assertEqual(asked, [read(9, 0), read(1, 10, 3)])

    def test_an_old_value_is_told_already(self) -> None:
        self.world.submit(read(1, 10), "a", max_age=1.0)
        self.finish()
        self.assertTrue(self.world.submit(read(1, 10), "b", max_age=1.0).done)
        self.assertEqual([encode_adu(one.unit, one.request) for one in self.world.samples], [read(9, 0), read(1, 10)])


class Writes(SampleCase):
    """Proven, or in doubt."""

    def proven(self, frame: bytes, at: float) -> Sample:
        return sample_of(frame, reply_to(frame), at, is_read=False)

    def test_proven(self) -> None:
        """What is read from now on is from after it."""
        for frame in (write(1, 5), encode_adu(1, bytes.fromhex("1000050001020007"))):
            self.make()
            self.ask(frame)
            self.world.reply(after=0.03)
            self.assert_told(self.proven(frame, self.world.now))

    def test_refused(self) -> None:
        """Some exceptions say that nothing has changed, some do not."""
        for code, is_in_doubt in ((1, False), (2, False), (3, False), (6, False), (4, True), (5, True), (11, True)):
            self.make()
            self.ask(write(1, 5))
            self.world.reply(refuses=True, code=code)
            self.assert_told(*[self.doubt(write(1, 5), self.world.now)] * is_in_doubt)

    def test_unknown(self) -> None:
        """Whether its caller waits or not, it is told when its response timeout is over."""
        for leaves in (False, True):
            self.make()
            request = self.ask(write(1, 5))
            if leaves:
                self.world.cancel(request)
            self.time_out()
            self.assert_told(self.doubt(write(1, 5), self.world.now))
            self.world.run_dry()
            self.assertEqual(len(self.world.samples), 1)
            self.assertIs(self.world.error(request), None if leaves else OutcomeUnknown)

    def test_a_port_that_is_lost(self) -> None:
        self.ask(write(1, 5))
        self.world.submit(write(1, 6))
        at = self.world.now
        self.world.lose_port()
        self.assert_told(self.doubt(write(1, 5), at))

    def test_late(self) -> None:
        """It was carried out some time after it had left: what was read since is in doubt."""
        request = self.ask(write(1, 5), timeout=2.0)
        self.time_out()
        timed_out = self.world.now
        self.world.advance(0.02)
        self.world.reply()
        self.assertIsInstance(self.world.outcome(request), Reply)
        self.assert_told(
            self.doubt(write(1, 5), timed_out), self.proven(write(1, 5), self.world.sent[0].until),
            self.doubt(write(1, 5), self.world.now),
        )

    def test_a_retry(self) -> None:
        """The proof may be the first one's, and the second may be carried out yet."""
        self.ask(write(1, 5), retries=1)
        self.time_out()
        timed_out = self.world.now
        self.until_busy()
        self.world.reply()
        self.assert_told(
            self.doubt(write(1, 5), timed_out), self.proven(write(1, 5), self.world.sent[0].until),
            self.doubt(write(1, 5), self.world.now),
        )

    def test_broadcast(self) -> None:
        """When it has left, once, also if its caller is gone or the port is lost in the turnaround delay."""
        for spoils in (lambda request: None, lambda request: self.world.cancel(request)):
            self.make()
            request = self.ask(write(0, 5))
            spoils(request)
            self.world.run_dry()
            self.assert_told(self.doubt(write(0, 5), self.world.sent[0].until))
        self.make()
        self.ask(write(0, 5))
        self.world.tick()
        self.assertEqual(len(self.world.samples), 1)
        self.world.lose_port()
        self.assert_told(self.doubt(write(0, 5), self.world.sent[0].until))

    def test_half_a_broadcast(self) -> None:
        self.ask(write(0, 5))
        at = self.world.now
        self.world.lose_port()
        self.assert_told(self.doubt(write(0, 5), at))


class Watching(SampleCase):
    """Nobody, somebody, nobody."""

    def test_nobody(self) -> None:
        self.world.bus.watch_samples(False)
        for frame in (read(1, 10), write(1, 5)):
            self.ask(frame)
            self.world.reply()
        self.ask(write(0, 5))
        self.ask(write(1, 5))
        self.time_out()
        self.assert_told()

    def test_what_left_before(self) -> None:
        """It is not told, nor is the reply to its retry."""
        self.make(retries=1)
        for frame in (read(1, 10), write(1, 5)):
            self.world.bus.watch_samples(False)
            self.ask(frame)
            self.world.bus.watch_samples(True)
            self.time_out()
            if frame == read(1, 10):
                self.until_busy()
            self.world.reply()
        self.assert_told()

    def test_no_longer(self) -> None:
        """What was under way when the last one left."""
        for frame, answers in ((read(1, 10), True), (write(1, 5), True), (write(1, 5), False), (write(0, 5), False)):
            self.make()
            self.ask(frame)
            self.world.bus.watch_samples(False)
            self.world.reply() if answers else self.world.run_dry()
            self.assert_told()

    def test_what_nobody_took(self) -> None:
        self.ask(read(1, 10))
        self.world.bus.receive_data(reply_to(read(1, 10)), self.world.now + 0.05)
        self.assertEqual([type(one) for one in self.world.bus.events], [Sample, Reply])
        self.world.bus.watch_samples(False)
        self.assertEqual([type(one) for one in self.world.bus.events], [Reply])
