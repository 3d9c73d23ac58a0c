"""Values of a moment ago, for who is content with them; and devices that are too busy to answer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.pending import Finished, Kind, Outcome, Pending
from lumina_twisted.bus.reply_cache import ReplyCache
from lumina_twisted.bus.settings import BusSettings, UnitSettings
from lumina_twisted.errors import OutcomeUnknown, ServerDeviceBusy
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.test_sharing import SharedWorld, values
from tests.bus.world import World, ask, frame_of, read, write


class FreshCase(SynchronousTestCase):
    """A bus on which somebody has asked for old values before: only then anything is kept."""

    def setUp(self) -> None:
        self.make()

    def make(self, **settings: Any) -> None:
        self.world = SharedWorld(BusSettings(**{"timeout": 0.1, "echo": "off", "retries": 0, **settings}))
        self.answered(read(9, 0), max_age=1.0)

    def tearDown(self) -> None:
        self.assertEqual(self.world.wrong, [])

    def answered(self, frame: bytes, client: object = "a", **how: Any) -> bytes:
        """Asks; the device answers if it is asked."""
        request = self.world.submit(frame, client, **how)
        if not request.done:
            while not self.world.bus.is_busy:
                self.world.tick()
            self.world.answer()
        return self.world.frame_of(request)

    def is_asked(self, frame: bytes, client: object = "b", **how: Any) -> bool:
        """Whether the bus asks for it."""
        before = len(self.world.sent)
        self.answered(frame, client, **how)
        return len(self.world.sent) > before


class Fresh(FreshCase):
    """``max_age``."""

    def test_answered_by_the_last_reply(self) -> None:
        """At once, whoever asked for it."""
        self.answered(read(1, 10, 4))
        self.world.advance(0.5)
        request = self.world.submit(read(1, 10, 4), "b", max_age=1.0)
        self.assertEqual(self.world.frame_of(request), values(read(1, 10, 4)))
        self.assertEqual((self.world.bus.counters.fresh, self.world.bus.counters.replies), (1, 3))

    def test_a_part_of_it(self) -> None:
        self.answered(read(1, 10, 4))
        request = self.world.submit(read(1, 12, 2), "b", max_age=1.0)
        self.assertEqual(self.world.frame_of(request), values(read(1, 12, 2)))
        self.assertTrue(self.is_asked(read(1, 12, 3), max_age=1.0))

    def test_never_older(self) -> None:
        """Counted from when the question had left."""
        self.answered(read(1, 10))
        sampled = self.world.sent[-1].until
        self.world.now = sampled + 0.999
        self.assertFalse(self.is_asked(read(1, 10), max_age=1.0))
        self.world.now = sampled + 1.001
        self.assertTrue(self.is_asked(read(1, 10), max_age=1.0))

    def test_not_unless_asked_for(self) -> None:
        self.answered(read(1, 10))
        for how in ({}, {"max_age": 0.0}, {"max_age": None}):
            self.assertTrue(self.is_asked(read(1, 10), **how))

    def test_by_configuration(self) -> None:
        """Of a port, of a unit; who says it gets what it says."""
        for settings in ({"max_age": 1.0}, {"units": {1: UnitSettings(max_age=1.0)}}):
            self.make(**settings)
            self.answered(read(1, 10))
            self.assertFalse(self.is_asked(read(1, 10)))
            self.assertTrue(self.is_asked(read(1, 10), max_age=0.0))
        self.make(max_age=1.0, units={1: UnitSettings(max_age=0.0)})
        self.answered(read(1, 10))
        self.assertTrue(self.is_asked(read(1, 10)))

    def test_a_write_ends_it(self) -> None:
        for unit, is_asked in ((1, True), (0, True), (2, False)):
            self.make()
            self.answered(read(1, 10))
            if unit:
                self.answered(write(unit, 5))
            else:
                self.world.submit(write(0, 5))
                self.world.run_dry()
            self.assertEqual(self.is_asked(read(1, 10), max_age=60.0), is_asked, unit)

    def test_so_does_a_write_that_is_proven_not_to_be_answered(self) -> None:
        """A later request is answered, so the write never will be: it ends, and with it what was read."""
        writing = self.world.submit(write(1, 5), "w", timeout=2.0)
        while not self.world.bus.is_busy:
            self.world.tick()
        while self.world.bus.is_busy:
            self.world.tick()
        self.assertIsNone(self.world.outcome(writing))
        self.answered(read(1, 10))
        self.assertIs(self.world.error(writing), OutcomeUnknown)
        self.assertTrue(self.is_asked(read(1, 10), max_age=60.0))

    def test_a_write_that_nobody_waits_for_any_more(self) -> None:
        """It left, and was taken back then."""
        self.answered(read(1, 10))
        writing = self.world.submit(write(1, 5))
        while not self.world.bus.is_busy:
            self.world.tick()
        self.world.cancel(writing)
        self.world.answer()
        self.assertTrue(self.is_asked(read(1, 10), max_age=60.0))

    def test_not_before_what_its_client_asked_before(self) -> None:
        """Its write waits: the value of before would be out of order. Another client's read is answered."""
        self.answered(read(1, 10))
        self.world.submit(read(9, 0), "somebody")
        while not self.world.bus.is_busy:
            self.world.tick()
        self.world.submit(write(1, 5), "b")
        mine = self.world.submit(read(1, 10), "b", max_age=60.0)
        others = self.world.submit(read(1, 10), "c", max_age=60.0)
        self.assertEqual((mine.done, others.done), (False, True))

    def test_other_settings_other_values(self) -> None:
        """Other functions, units, speeds."""
        self.answered(read(1, 10))
        self.assertTrue(self.is_asked(read(1, 10), max_age=60.0, baudrate=19200))
        self.assertTrue(self.is_asked(read(2, 10), max_age=60.0))
        inputs = encode_adu(1, bytes((4, 0, 10, 0, 1)))
        self.assertTrue(self.is_asked(inputs, max_age=60.0))

    def test_an_exception_is_not_kept(self) -> None:
        self.world.submit(read(1, 10))
        self.world.advance(0.1)
        self.world.hear(encode_adu(1, b"\x83\x02"))
        self.assertTrue(self.is_asked(read(1, 10), max_age=60.0))

    def test_a_port_that_was_away(self) -> None:
        """It may be another bus."""
        self.answered(read(1, 10))
        self.world.lose_port()
        self.world.advance(1.0)
        self.assertTrue(self.is_asked(read(1, 10), max_age=60.0))

    def test_nothing_of_a_canary(self) -> None:
        """Its reply may be that to an older canary, which asked for another address."""
        kept = ReplyCache()
        asked = ask("a", read(1, 10), BusSettings().serial, 1.0)
        for kind, is_kept in ((Kind.CANARY, False), (Kind.CALLER, True)):
            request = Pending(asked, kind)
            request.attempts = 1
            kept.began(request, 0.0, 0.0)
            kept.finished(Finished(request, Outcome.REPLY, values(read(1, 10))[1:-2], 0.0, 0.0, 0.0))
            self.assertEqual(kept.answer(Pending(asked), 1.0, 0.0) is not None, is_kept)

    def test_bounds(self) -> None:
        """Who asks for everything fills no memory."""
        kept = ReplyCache()
        for unit in range(1, 200):
            for address in range(100):
                request = Pending(ask("a", read(unit, address), BusSettings().serial, 1.0))
                request.attempts = 1
                kept.answer(request, 1.0, 0.0)
                kept.began(request, 0.0, 0.0)
                kept.finished(Finished(request, Outcome.REPLY, values(frame_of(request))[1:-2], 0.0, 0.0, 0.0))
        self.assertLessEqual(len(kept._groups), 64)
        self.assertLessEqual(max(map(len, kept._groups.values())), 64)


class Busy(SynchronousTestCase):
    """Exceptions 05 and 06."""

    def setUp(self) -> None:
        self.world = World(BusSettings(timeout=0.1, echo="off"))

    def tearDown(self) -> None:
        self.assertEqual(self.world.wrong, [])

    def refuse(self, times: int, code: int = 6) -> None:
        for _ in range(times):
            while not self.world.bus.is_busy:
                self.world.tick()
            self.world.reply(refuses=True, code=code)

    def test_asked_again(self) -> None:
        """After a pause, which grows."""
        for code in (5, 6):
            self.setUp()
            request = self.world.submit(read(1, 10))
            self.refuse(3, code)
            while not self.world.bus.is_busy:
                self.world.tick()
            pauses = [later.at - sooner.until for sooner, later in pairwise(self.world.sent)]
            self.assertEqual([round(pause, 1) for pause in pauses], [0.1, 0.2, 0.2])
            self.world.reply()
            self.assertIsInstance(self.world.outcome(request), Reply)

    def test_the_code_is_kept(self) -> None:
        """When it was asked often enough, and when its time is up."""
        request = self.world.submit(read(1, 10))
        self.refuse(4)
        self.assertIs(self.world.error(request), ServerDeviceBusy)
        request = self.world.submit(read(1, 10), timeout=0.2)
        self.refuse(1)
        self.world.submit(read(2, 0), timeout=60.0)
        self.world.run_dry()
        self.assertIs(self.world.error(request), ServerDeviceBusy)

    def test_no_time(self) -> None:
        request = self.world.submit(read(1, 10), timeout=0.1)
        self.refuse(1)
        self.assertIs(self.world.error(request), ServerDeviceBusy)

    def test_others_meanwhile(self) -> None:
        self.world.submit(read(1, 10))
        self.refuse(1)
        other = self.world.submit(read(2, 10), "b")
        while not self.world.bus.is_busy:
            self.world.tick()
        self.world.reply()
        self.assertIsInstance(self.world.outcome(other), Reply)

    def test_those_who_ride_wait_too(self) -> None:
        self.world.submit(read(9, 0), "somebody")
        requests = [self.world.submit(read(1, 10), client) for client in "ab"]
        self.world.reply()
        self.refuse(1)
        while not self.world.bus.is_busy:
            self.world.tick()
        self.world.reply()
        self.assertTrue(all(isinstance(self.world.outcome(one), Reply) for one in requests))

    def test_not_if_its_caller_wants_it_once(self) -> None:
        request = self.world.submit(read(1, 10), retries=0)
        self.refuse(1)
        self.assertIs(self.world.error(request), ServerDeviceBusy)

    def test_a_write_is_not_repeated(self) -> None:
        request = self.world.submit(write(1, 10))
        self.refuse(1)
        self.assertIs(self.world.error(request), ServerDeviceBusy)

    def test_what_is_answered_later_is_not_busy(self) -> None:
        """Silence after it is told as what the device said."""
        request = self.world.submit(read(1, 10), timeout=1.0)
        self.refuse(1)
        self.world.run_dry()
        self.assertIs(self.world.error(request), ServerDeviceBusy)

    def test_nobody_waits_any_more(self) -> None:
        request = self.world.submit(read(1, 10))
        self.world.cancel(request)
        self.refuse(1)
        self.world.run_dry()
        self.assertEqual(len(self.world.sent), 1)

    def test_stopping(self) -> None:
        request = self.world.submit(read(1, 10))
        self.world.bus.stop(self.world.now)
        self.refuse(1)
        self.assertIs(self.world.error(request), ServerDeviceBusy)
