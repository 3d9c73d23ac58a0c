"""Faults of simulated buses: what each does to an exchange, how often, and the same again with the same seed."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import ConfigError
from lumina_twisted.framing.crc import crc16
from lumina_twisted.framing.rtu import decode_adu, encode_adu, t3_5, wire_time
from lumina_twisted.schema import structure
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.simulator.faults import KINDS, Exchange, Fault, Faults
from lumina_twisted.simulator.units import Units

READ_PDU = bytes.fromhex("03 0005 0002")
READ = encode_adu(1, READ_PDU)
ANSWER = encode_adu(1, bytes.fromhex("03 04 0007 0008"))
WRITE = encode_adu(1, bytes.fromhex("06 0005 0063"))
BROADCAST = encode_adu(0, bytes.fromhex("06 0005 0063"))
HAPPENED = [0, 3, 7, 21, 25, 26, 42, 49]
"""Which of sixty exchanges a tenth of silence hits with seed 1."""
START = t3_5(9600) + 0.001
"""When an undisturbed reply begins."""


def fault(kind: str, rate: float = 1.0, **keys: Any) -> Fault:
    """One as a file describes it."""
    return structure({"rate": rate, **keys}, KINDS[kind])


class FaultTestCase(SynchronousTestCase):
    """Units 1 and 2, with registers 5 and 6 holding 7 and 8."""

    def setUp(self) -> None:
        self.devices = {1: SimulatedDevice(), 2: SimulatedDevice()}
        self.devices[1].holding_registers[5:7] = [7, 8]

    def exchange(self, *faults: Fault, frame: bytes = READ, quiet: float = 1.0, seed: int = 0) -> Exchange:
        """What comes of one request."""
        made = Units(self.devices, faults=Faults(faults, seed=seed)).exchange(*decode_adu(frame), quiet, 0.0)
        assert made is not None
        return made

    def sent(self, *faults: Fault, frame: bytes = READ, seed: int = 0) -> bytes:
        """The one thing that is sent, at the usual time."""
        ((start, data),) = self.exchange(*faults, frame=frame, seed=seed).sent(9600, 0.001)
        self.assertEqual(start, START)
        return data


class KindTests(FaultTestCase):
    """What each does."""

    def test_none(self) -> None:
        self.assertEqual(self.sent(), ANSWER)

    def test_silence(self) -> None:
        """The device has done what was asked."""
        self.assertEqual(self.exchange(fault("silence"), frame=WRITE).sent(9600, 0.001), [])
        self.assertEqual(self.devices[1].holding_registers[5], 0x63)

    def test_silence_of_one_that_did_not_hear(self) -> None:
        self.assertEqual(self.exchange(fault("silence", carried_out=False), frame=WRITE).sent(9600, 0.001), [])
        self.assertEqual(self.devices[1].holding_registers[5], 7)

    def test_delay(self) -> None:
        starts = set()
        for seed in range(50):
            ((start, data),) = self.exchange(fault("delay", least=0.2, most=0.3), seed=seed).sent(9600, 0.001)
            self.assertEqual(data, ANSWER)
            self.assertTrue(START + 0.2 <= start <= START + 0.3, start)
            starts.add(start)
        self.assertGreater(len(starts), 40)

    def test_late(self) -> None:
        self.assertEqual(self.exchange(fault("late", after=0.6)).sent(9600, 0.001), [(0.6, ANSWER)])

    def test_corrupt(self) -> None:
        """One bit, anywhere."""
        places = set()
        for seed in range(100):
            data = self.sent(fault("corrupt"), seed=seed)
            wrong = int.from_bytes(data, "big") ^ int.from_bytes(ANSWER, "big")
            self.assertEqual((len(data), wrong.bit_count()), (len(ANSWER), 1))
            self.assertNotEqual(crc16(data), 0)
            places.add(wrong)
        self.assertGreater(len(places), 30)

    def test_truncate(self) -> None:
        """One byte is left at least, and one goes."""
        lengths = set()
        for seed in range(100):
            data = self.sent(fault("truncate"), seed=seed)
            self.assertTrue(ANSWER.startswith(data))
            lengths.add(len(data))
        self.assertEqual(lengths, set(range(1, len(ANSWER))))

    def test_wrong_unit(self) -> None:
        """A good frame, of anybody else."""
        for seed in range(2000):
            data = self.sent(fault("wrong_unit"), seed=seed)
            self.assertEqual((data[1:-2], crc16(data)), (ANSWER[1:-2], 0))
            self.assertNotEqual(data[0], 1)
        self.assertEqual(self.sent(fault("wrong_unit", unit=9)), encode_adu(9, ANSWER[1:-2]))

    def test_echo(self) -> None:
        made = self.exchange(fault("echo"))
        self.assertTrue(made.is_echoed)
        self.assertEqual(made.sent(9600, 0.001), [(START, ANSWER)])

    def test_junk(self) -> None:
        for where, before, after in (("before", 1, 0), ("after", 0, 1), ("both", 1, 1)):
            lengths = set()
            for seed in range(50):
                data = self.sent(fault("junk", where=where, least=2, most=3), seed=seed)
                at = data.index(ANSWER)
                lengths.add((at, len(data) - at - len(ANSWER)))
            possible = [(a * before, b * after) for a in (2, 3) for b in (2, 3)]
            self.assertEqual(lengths, set(possible), where)

    def test_duplicate(self) -> None:
        (first, one), (second, other) = self.exchange(fault("duplicate")).sent(9600, 0.001)
        self.assertEqual((one, other), (ANSWER, ANSWER))
        self.assertAlmostEqual(second - first, wire_time(9600, len(ANSWER)) + t3_5(9600))

    def test_exception(self) -> None:
        """What was asked is not done."""
        self.assertEqual(self.sent(fault("exception", code=6), frame=WRITE), encode_adu(1, b"\x86\x06"))
        self.assertEqual(self.devices[1].holding_registers[5], 7)

    def test_gap(self) -> None:
        """A request that comes too soon is as if it had not come."""
        gap = fault("gap", seconds=0.02)
        soon = self.exchange(gap, frame=WRITE, quiet=0.0199)
        self.assertEqual((soon.sent(9600, 0.001), soon.faults), ([], ["gap"]))
        self.assertEqual(self.devices[1].holding_registers[5], 7)
        later = self.exchange(gap, frame=WRITE, quiet=0.02)
        self.assertEqual((later.sent(9600, 0.001), later.faults), ([(START, WRITE)], []))

    def test_several_at_once(self) -> None:
        made = self.exchange(fault("junk", where="both"), fault("corrupt"), fault("truncate"), fault("late"))
        ((start, data),) = made.sent(9600, 0.001)
        self.assertEqual((start, made.faults), (0.75, ["junk", "corrupt", "truncate", "late"]))
        self.assertNotIn(ANSWER, data)

    def test_a_wire_without_time(self) -> None:
        self.assertEqual(self.exchange(fault("duplicate")).sent(0, 0.001), [(0.001, ANSWER), (0.001, ANSWER)])


class BroadcastTests(FaultTestCase):
    """A broadcast has no reply that could suffer."""

    def test_obeyed_by_all(self) -> None:
        faults = [fault(kind) for kind in KINDS if kind != "gap"]
        made = self.exchange(*faults, frame=BROADCAST)
        self.assertEqual((made.sent(9600, 0.001), made.faults), ([], []))
        self.assertEqual([self.devices[unit].holding_registers[5] for unit in (1, 2)], [0x63, 0x63])

    def test_too_soon(self) -> None:
        self.exchange(fault("gap"), frame=BROADCAST, quiet=0.001)
        self.assertEqual(self.devices[1].holding_registers[5], 7)


class DiceTests(FaultTestCase):
    """How often, and whom."""

    def drawn(self, *faults: Fault, seed: object = 0, count: int = 1000) -> list[list[str]]:
        """The faults of so many exchanges."""
        units = Units(self.devices, faults=Faults(faults, seed=seed))
        return [made.faults for _ in range(count) if (made := units.exchange(1, READ_PDU, 1.0, 0.0))]

    def test_rate(self) -> None:
        """As often as said, give or take four standard deviations; never, and always."""
        for rate, spread in ((0.0, 0), (0.1, 40), (0.5, 64), (1.0, 0)):
            happened = sum(map(len, self.drawn(fault("silence", rate))))
            self.assertTrue(abs(happened - 1000 * rate) <= spread, (rate, happened))

    def test_same_seed(self) -> None:
        """The same bytes at the same times; another seed gives others."""
        def run(seed: int) -> list[Any]:
            faults = [fault(kind, 0.3) for kind in KINDS if kind != "gap"]
            units = Units(self.devices, faults=Faults(faults, {1: [fault("delay", 0.5)]}, seed))
            return [made.sent(9600, 0.001) for _ in range(200) if (made := units.exchange(1, READ_PDU, 1.0, 0.0))]

        self.assertEqual(run(7), run(7))
        self.assertNotEqual(run(7), run(8))

    def test_numbers_are_those_of_every_python(self) -> None:
        """Else a seed noted in one place means nothing in another."""
        happened = [number for number, one in enumerate(self.drawn(fault("silence", 0.1), seed=1, count=60)) if one]
        self.assertEqual(happened, HAPPENED)

    def test_one_more_fault_changes_nothing_for_the_others(self) -> None:
        alone = self.drawn(fault("silence", 0.2))
        beside = self.drawn(fault("delay", 0.5), fault("silence", 0.2))
        self.assertEqual([[kind for kind in one if kind == "silence"] for one in beside], alone)

    def test_two_of_a_kind_are_two(self) -> None:
        together = self.drawn(fault("silence", 0.5), fault("silence", 0.5))
        self.assertEqual({len(one) for one in together}, {0, 1, 2})

    def test_of_one_unit_only(self) -> None:
        units = Units(self.devices, faults=Faults([fault("delay")], {2: [fault("silence")]}))
        drawn = [units.exchange(unit, READ_PDU, 1.0, 0.0) for unit in (1, 2)]
        self.assertEqual([made.faults for made in drawn if made], [["delay"], ["delay", "silence"]])

    def test_nobody_there(self) -> None:
        """Faults do not hit a unit that does not exist."""
        units = Units(self.devices, faults=Faults([fault("echo")]))
        self.assertIsNone(units.exchange(9, READ_PDU, 1.0, 0.0))


class SettingsTests(SynchronousTestCase):
    """What a file may say."""

    def refused(self, kind: str, sentence: str, **keys: Any) -> None:
        """That sentence, and no other."""
        error = self.assertRaises(ConfigError, structure, keys, KINDS[kind])
        self.assertEqual(error.faults, (sentence,))

    def test_rate_or_every(self) -> None:
        """One of them, and not both."""
        sentence = "settings: give either rate, from 0 to 1, or every, as in every = 40"
        for kind in KINDS:
            self.refused(kind, sentence)
            self.refused(kind, sentence, rate=0.5, every=2)

    def test_every_is_a_number_from_one_on(self) -> None:
        self.refused("busy", "every: expected 1 to 1000000000, got 0", every=0)

    def test_rate_beyond_one(self) -> None:
        self.refused("silence", "rate: expected 0 to 1, got 5.0", rate=5)

    def test_key_of_another_kind(self) -> None:
        self.refused("corrupt", "after: unknown key; did you mean 'rate'?", rate=1, after=2)

    def test_place_of_junk(self) -> None:
        self.refused("junk", "where: expected one of 'before', 'after', 'both', got 'here'", rate=1, where="here")

    def test_least_and_most(self) -> None:
        for kind in ("junk", "delay"):
            self.refused(kind, "settings: least is 3, which is more than most, 2", rate=1, least=3, most=2)
