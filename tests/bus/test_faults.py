"""What goes wrong on the wire is counted by unit and kind, also where a retry heals it (row A17)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Failure
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.statistics.counters import NAMES, Fault, Faults, damage_in
from tests.bus.world import World, read, reply_to, write


def damaged(frame: bytes) -> bytes:
    """A frame whose CRC is wrong."""
    return frame[:-1] + bytes((frame[-1] ^ 0x55,))


class FaultCase(SynchronousTestCase):
    """A bus with a response timeout of 0.1 s."""

    def setUp(self) -> None:
        self.world = World()

    def fail_with(self, *heard: bytes) -> None:
        """The attempt that is on the wire hears this, and then nothing."""
        world = self.world
        world.advance(max(0.0, world.sent[-1].until - world.now) + 0.002)
        for data in heard:
            world.hear(data)
        count = len(world.sent)
        while len(world.sent) == count and world.tick():
            pass

    def counts(self, unit: int = 3) -> dict[str, int]:
        """What is counted of a unit, zeros left out."""
        return {name: count for name, count in self.world.bus.faults.of(unit).as_dict().items() if count}

    def report(self) -> Any:
        return self.world.bus.figures.report(self.world.now)


class Kinds(FaultCase):
    """Each failed attempt is one kind."""

    def test_a17_a_retry_heals_a_wrong_crc_and_it_is_counted(self) -> None:
        request = self.world.submit(read(3, 7), retries=1)
        self.fail_with(damaged(reply_to(read(3, 7))))
        self.world.reply()
        self.assertEqual(self.world.outcome(request).pdu, reply_to(read(3, 7))[1:-2])  # type: ignore[union-attr]
        self.assertEqual(self.counts(), {"wrong_crc": 1, "retried": 1, "healed": 1})
        report = self.report()
        self.assertEqual(report["failure_rate"], 0.0)
        told = report["faults"]
        self.assertEqual((told["attempts"], told["wrong_crc"], told["healed"]), (2, 1, 1))
        (unit,) = report["units"]
        self.assertEqual((unit["faults"]["attempts"], unit["faults"]["wrong_crc"]), (2, 1))
        self.assertTrue(0.02 < unit["faults"]["lost_seconds"] < 0.09, "it need not be waited for to the end")

    def test_a17_a_reply_that_is_cut(self) -> None:
        self.world.submit(read(3, 7, 4), retries=1)
        self.fail_with(reply_to(read(3, 7, 4))[:6])
        self.world.reply()
        self.assertEqual(self.counts(), {"cut": 1, "retried": 1, "healed": 1})

    def test_a17_a_reply_whose_header_was_hit(self) -> None:
        self.world.submit(read(3, 7), retries=1)
        self.fail_with(b"\x13" + reply_to(read(3, 7))[1:])
        self.world.reply()
        self.assertEqual(self.counts(), {"unreadable": 1, "retried": 1, "healed": 1})

    def test_a17_a_damaged_exception(self) -> None:
        self.world.submit(read(3, 7), retries=1)
        self.fail_with(b"\x03\x83\x02\x00\x00")
        self.world.reply(refuses=True)
        self.assertEqual(self.counts(), {"unreadable": 1, "retried": 1, "healed": 1, "exception": 1})

    def test_silence(self) -> None:
        request = self.world.submit(read(3, 7), retries=1)
        self.fail_with()
        self.fail_with()
        self.world.run_dry()
        self.assertEqual(self.counts(), {"no_reply": 2, "retried": 1})
        self.assertIsInstance(self.world.outcome(request), Failure)

    def test_junk_around_a_good_reply(self) -> None:
        """Once for the bytes before it and after it; the reply is good all the same."""
        for _ in range(2):
            self.world.submit(read(3, 7))
            self.world.advance(0.02)
            self.world.hear(b"\x00\xff" + reply_to(read(3, 7)) + b"\x00")
            self.world.advance(0.02)
        self.world.submit(read(4, 7))
        self.assertEqual(self.counts(), {"junk": 2})
        self.world.reply()
        self.world.advance(0.02)
        self.world.submit(read(4, 8))
        self.assertEqual(self.counts(4), {})

    def test_a_frame_that_nobody_asked_for(self) -> None:
        self.world.submit(read(3, 7))
        self.world.hear(reply_to(read(9, 7)))
        self.world.reply()
        self.assertEqual(self.counts(9), {"foreign": 1})
        self.assertEqual([one["unit"] for one in self.report()["units"]], [3, 9])

    def test_a_clean_bus_counts_nothing(self) -> None:
        for address in range(5):
            self.world.submit(read(3, address))
            self.world.reply()
            self.world.advance(0.02)
        self.assertEqual(self.world.bus.faults.units, {})
        self.assertEqual(self.report()["faults"], {"attempts": 5, "lost_seconds": 0, **dict.fromkeys(NAMES, 0)})

    def test_a_device_that_is_busy_is_no_fault_that_a_retry_heals(self) -> None:
        self.world = World(BusSettings(timeout=0.1, echo="off", busy_retries=3))
        self.world.submit(read(3, 7))
        self.world.reply(refuses=True, code=6)
        while len(self.world.sent) < 2:
            self.world.tick()
        self.world.reply()
        self.assertEqual(self.counts(), {"exception": 1, "retried": 1})


class Sentences(FaultCase):
    """The one whose request fails is told what came (rows A12 and A16)."""

    def sentence(self, frame: bytes, *replies: bytes, retries: int = 0) -> str:
        request = self.world.submit(frame, retries=retries)
        for reply in replies:
            self.fail_with(*filter(None, (reply,)))
        self.world.run_dry()
        outcome = self.world.outcome(request)
        assert isinstance(outcome, Failure)
        return str(outcome.error)

    def test_a16_a_wrong_crc_is_no_silence(self) -> None:
        told = self.sentence(read(3, 7), damaged(reply_to(read(3, 7))))
        self.assertIn("the reply of unit 3 on tty to function 3 came with a wrong CRC, asked once; check", told)
        self.assertIs(damage_in(told), Fault.WRONG_CRC)

    def test_a16_other_damage(self) -> None:
        for reply, kind in ((reply_to(read(3, 7, 4))[:6], Fault.CUT), (b"\x55\xaa\x55", Fault.UNREADABLE)):
            self.world = World()
            self.assertIs(damage_in(self.sentence(read(3, 7, 4), reply)), kind)

    def test_silence_is_told_as_before(self) -> None:
        told = self.sentence(read(3, 7), b"")
        self.assertTrue(told.startswith("unit 3 on tty did not answer function 3, asked once"))
        self.assertIsNone(damage_in(told))

    def test_several_attempts(self) -> None:
        bad = damaged(reply_to(read(3, 7)))
        told = self.sentence(read(3, 7), bad, b"", bad, retries=2)
        self.assertIn("came with a wrong CRC 2 times, asked 3 times", told)

    def test_a_write(self) -> None:
        told = self.sentence(write(3, 7), damaged(write(3, 7)))
        self.assertIn("was sent to unit 3 and its reply came with a wrong CRC (sent once)", told)


class Bounds(SynchronousTestCase):
    """Nothing grows."""

    def test_units_are_bytes(self) -> None:
        faults = Faults()
        for unit in (*range(-5, 300), 10**9):
            faults.note(unit, Fault.LATE, 2)
        self.assertEqual((len(faults.units), faults.total()["late"]), (256, 512))
        self.assertEqual(faults.of(77).as_dict()["late"], 2)
