"""The rigs that prove answers, without a measurement: which cells are drawn, what they mean, how figures are judged."""

from __future__ import annotations

import argparse
import io
import pathlib
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import beside, evidence, neighbour, surplus
from benchmarks.length import Figures
from benchmarks.proof import BAD, CHAIN, RTU_CHAIN, SERIAL, SOCKET, is_bad, total
from tests.test_benchmarks import load

CELL = {
    "busy": "1.2", "hearing": "deaf", "clients": "3", "functions": "3+16", "baud": "9600", "transport": CHAIN,
    "timeout": "auto", "wait": "30", "canary": "off", "diagnostics": "silent",
}


def counts(**more: int) -> Figures:
    """What mbcheck counts of a case."""
    return {**dict.fromkeys((*BAD, "reads", "confirmed", "failed"), 0), "answers": 100, **more}


class MatrixTests(SynchronousTestCase):
    """Item 1 of what must be shown."""

    def test_the_same_cells_again(self) -> None:
        """With the same seed; with another one others."""
        drawn = evidence.cells({}, 50, 13)
        self.assertEqual(drawn, evidence.cells({}, 50, 13))
        self.assertNotEqual(drawn, evidence.cells({}, 50, 14))
        self.assertEqual(len({tuple(cell.items()) for cell in drawn}), 50)

    def test_every_value_is_drawn(self) -> None:
        """By as many as are run if nothing else is said."""
        drawn = evidence.cells({}, 240, 13)
        for key, values in evidence.MATRIX.items():
            self.assertEqual({cell[key] for cell in drawn}, set(values), key)

    def test_chosen(self) -> None:
        """All there are, where those are fewer."""
        chosen = evidence.chosen_values([f"{key}={value}" for key, value in CELL.items()], self.fail)
        self.assertEqual(evidence.cells(chosen, 240, 13), [CELL])
        self.assertEqual(evidence.chosen_values(["busy=1.2,5"], self.fail), {"busy": ("1.2", "5")})

    def test_a_key_that_is_none(self) -> None:
        for word, part in (("bussy=1", "bussy=1"), ("busy", "--only busy"), ("busy=", "KEY=VALUE")):
            refusals: list[str] = []
            evidence.chosen_values([word], refusals.append)
            self.assertEqual(len(refusals), 1)
            self.assertIn(part, refusals[0])
            self.assertIn("diagnostics", refusals[0])

    def test_what_a_cell_means(self) -> None:
        made = evidence.case(CELL, 30.0)
        self.assertEqual(made.transport, CHAIN)
        self.assertEqual((made.port, made.second), (":baudrate=9600:timeout=auto:canary=off", ":timeout=auto"))
        self.assertEqual(evidence.case({**CELL, "transport": RTU_CHAIN}, 30.0).second, ":timeout=auto:canary=off")
        self.assertEqual(made.listener, ",timeout=30")
        told = " ".join(made.bus)
        for part in ("--baud 9600", "--busy-every 40", "--busy-ms 1200", "--deaf", "--mute-diag"):
            self.assertIn(part, told)
        self.assertIn("--conns 3 --functions 3,16 --seconds 30", " ".join(made.load))

    def test_defaults_are_not_said(self) -> None:
        """So that the daemon of a checkout that does not know an option starts."""
        made = evidence.case({**CELL, "timeout": "0.5", "canary": "default", "hearing": "hears", "baud": "0",
                              "diagnostics": "known"}, 30.0)
        self.assertEqual(made.port, ":frame_gap=0")
        self.assertFalse({"--deaf", "--mute-diag", "--no-diag"} & set(made.bus))

    def test_table(self) -> None:
        """Each value has a line, with what went wrong there."""
        found = [(CELL, counts(wrong=2, reads=90)), ({**CELL, "busy": "5"}, counts(confirmed=7))]
        lines = {line[:30].strip(): line[30:].split() for line in evidence.table(found)}
        self.assertEqual(lines["all"][:5], ["2", "1", "200", "90", "7"])
        self.assertEqual(lines["busy 1.2"][:2], ["1", "1"])
        self.assertEqual(lines["busy 5"][:2], ["1", "0"])
        self.assertEqual({len(cells) for cells in lines.values()}, {len(lines["all"])})


class ProofTests(SynchronousTestCase):
    """What is bad."""

    def test_each_count_that_must_not_be(self) -> None:
        self.assertFalse(is_bad(counts(failed=50)))
        for key in BAD:
            self.assertTrue(is_bad(counts(**{key: 1})), key)

    def test_total(self) -> None:
        self.assertEqual(total([counts(wrong=2), counts(wrong=3)], "wrong"), 5)


class BesideTests(SynchronousTestCase):
    """Item 2: two daemons in turns."""

    def judged(self, was: list[float], now: list[float], **more: Any) -> tuple[beside.Bus, Figures]:
        bus = beside.BUSES[0]
        rows = {"base": [load(rps) for rps in was], "now": [load(rps, **more) for rps in now]}
        return bus, beside.judged(bus, rows)

    def test_ratio_is_one_of_the_same_round(self) -> None:
        """A machine that gets slower does not count."""
        _, found = self.judged([40, 20, 10], [60, 30, 15])
        self.assertEqual((found["base"], found["now"], found["ratio"]), (20, 30, 1.5))

    def test_short(self) -> None:
        for now, is_short in ((12.4, True), (12.5, False)):
            self.assertEqual("SHORT" in beside.line(*self.judged([10], [now])), is_short)

    def test_wrong_values_are_told(self) -> None:
        """Of both, apart."""
        _, found = self.judged([10, 10], [10, 10], wrong=3)
        self.assertEqual(found["wrong"], {"base": 0, "now": 6})

    def test_utilisation(self) -> None:
        """It is the bus's figure."""
        bus = next(bus for bus in beside.BUSES if bus.figure == "utilisation")
        rows = {"base": [load(utilisation=0.8)], "now": [load(utilisation=0.88)]}
        self.assertAlmostEqual(beside.judged(bus, rows)["ratio"], 1.1)

    def test_what_is_wanted(self) -> None:
        """The figures of the issue."""
        wanted = {(bus.name, bus.baud): bus.wanted for bus in beside.BUSES}
        for name in ("lost", "damaged", "cut"):
            self.assertEqual([wanted[f"one in 7 {name}", baud] for baud in (9600, 115200)], [1.25, 1.6])
        self.assertEqual({wanted[key] for key in wanted if "late" in key[0]}, {0.97})
        self.assertEqual({wanted[key] for key in wanted if "clean" in key[0]}, {0.99})

    def test_status(self) -> None:
        """1 as soon as this daemon gave a wrong value; what the other one gave is no matter."""
        words = argparse.Namespace(base=pathlib.Path(), tree=None, rounds=1, seconds=1.0)
        for key, expected in (("base", 0), ("now", 5)):
            _, found = self.judged([10], [10])
            found["wrong"][key] = 5
            self.patch(beside, "compared", lambda *_, found=found: found)
            self.patch(sys, "stdout", io.StringIO())
            self.assertEqual(beside.run(beside.BUSES[:1], words), expected)


class SurplusTests(SynchronousTestCase):
    """Item 3: replies that nobody asked for."""

    def test_once(self) -> None:
        """Over sockets by clients and device time, on wires by speed and by when the copy comes."""
        cases = [one.case for one in surplus.once(10.0)]
        sockets = [case for case in cases if case.transport == SOCKET]
        self.assertEqual(len({(case.load[1], case.bus[3]) for case in sockets}), 9)
        wires = {(case.bus[1], case.bus[case.bus.index("--dup-us") + 1]) for case in cases if case.transport == SERIAL}
        copies = ("0", "1000", "5000", "20000")
        self.assertEqual(wires, {(baud, copy) for baud in ("9600", "115200") for copy in copies})
        self.assertTrue(all("--dup-at" in case.bus for case in cases))

    def test_always(self) -> None:
        """Every reply, every seventh, every fiftieth; 10,000 reads, fewer at 9600."""
        cases = [one.case for one in surplus.always(90.0)]
        self.assertEqual({case.bus[case.bus.index("--dup-every") + 1] for case in cases}, {"1", "7", "50"})
        reads = {(case.bus[1], case.load[case.load.index("--replies") + 1]) for case in cases}
        self.assertEqual(reads, {("9600", "2000"), ("115200", "10000"), ("0", "10000")})


class NeighbourTests(SynchronousTestCase):
    """Item 4: what a healthy unit keeps."""

    def test_kept(self) -> None:
        """Whatever is not a value counts against it."""
        lost = {"refused": 0, "silent": 0, "closed": 0}
        self.assertEqual(neighbour.kept({**counts(), **lost}), 1.0)
        for key in ("failed", *lost):
            self.assertEqual(neighbour.kept({**counts(), **lost, key: 25}), 0.8, key)
        self.assertEqual(neighbour.kept({**counts(answers=0), **lost}), 0.0)

    def test_line(self) -> None:
        """Wrong values of all clients are told together."""
        one = {**counts(wrong=1), "refused": 0, "silent": 0, "closed": 0, "rps": 5.0}
        told = neighbour.line("late, serial", {"sick": one, "same": one, "other": {**one, "failed": 100}})
        self.assertEqual(told.split(), ["late,", "serial", "100.0%", "100.0%", "5.0", "50.0%", "5.0", "3", "0"])
