"""A real daemon on a simulated bus that damages replies: what the scan, the log and the figures say (A16 and A17)."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tempfile
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.case import LUMINA, run_main
from tests.twistd_process import PATIENCE, ROOT, Twistd, environment

NOISE = """
seed = 7
[buses.boiler]
link = "{link}"
baudrate = 115200
[[buses.boiler.faults]]
kind = "{kind}"
rate = {rate}
[buses.boiler.units.3.holding_registers]
0 = 215
[buses.boiler.units.5.holding_registers]
0 = 216
"""
SOON = "import lumina_twisted.ports.port_log as noise; noise.FIRST_LOOK = noise.LOOK_EVERY = 0.5"


class ANoisyBus(SynchronousTestCase):
    """Units 3 and 5, at 115200 baud."""

    def start(self, kind: str, rate: float, **options: str) -> Twistd:
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        link = folder / "boiler"
        (folder / "sim.toml").write_text(NOISE.format(link=link, kind=kind, rate=rate))
        simulator = subprocess.Popen(
            [*LUMINA, "simulate", str(folder / "sim.toml")], cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(simulator.wait, PATIENCE)
        self.addCleanup(simulator.kill)
        ends = time.monotonic() + PATIENCE
        while not os.path.exists(link):
            self.assertTrue(simulator.poll() is None and time.monotonic() < ends, "no simulated bus")
            time.sleep(0.05)
        twistd = Twistd("--port", f"boiler={link}:baudrate=115200:timeout=0.1", **options)
        self.addCleanup(twistd.__exit__, None, None, None)
        return twistd.__enter__()

    def run_at(self, twistd: Twistd, *words: str) -> tuple[int, str, str]:
        return run_main(*words, "--server", f"127.0.0.1:{twistd.tcp_port}")

    def figures(self, twistd: Twistd) -> dict[int | None, Any]:
        """The faults of the port (None) and of each unit."""
        rows = map(json.loads, self.run_at(twistd, "stats", "--json")[1].splitlines())
        return {row.get("unit"): row["faults"] for row in rows if row["what"] in ("port", "unit")}

    def test_a16_a_scan_of_a_noisy_bus_finds_all_each_time(self) -> None:
        twistd = self.start("corrupt", 0.25)
        damaged = 0
        for _ in range(4):
            status, out, err = self.run_at(twistd, "scan", "boiler", "--units", "2-6")
            found = sorted(line.split(":")[0] for line in out.splitlines())
            self.assertEqual((status, found), (0, ["unit 3", "unit 5"]), err)
            self.assertNotIn("no unit answered", err)
            damaged += out.count("but damaged: ")
        self.assertGreater(damaged, 2)

    def test_a16_a_unit_of_which_no_reply_is_good(self) -> None:
        twistd = self.start("truncate", 1.0)
        status, out, err = self.run_at(twistd, "scan", "boiler", "--units", "3")
        self.assertEqual((status, "no unit answered" in err), (0 if out else 1, False))
        self.assertRegex(out + err, r"there, but damaged: .* of 20 replies|something came on boiler when 3 was asked")

    def test_a17_the_log_and_the_figures_name_the_unit(self) -> None:
        twistd = self.start("corrupt", 0.25, before=SOON)
        for _ in range(40):
            self.assertEqual(self.run_at(twistd, "read", "boiler", "3", "holding", "0", "--retries", "9")[1], "0 215\n")
        twistd.wait_for("unit 3 on boiler: ")
        sentence = twistd.printed.splitlines()[-1]
        self.assertRegex(sentence, r"\d of \d+ attempts failed in the last \d+ s \(.*\), retries healed \d+ request")
        self.assertNotIn("takes more of the bus", twistd.printed)
        faults = self.figures(twistd)[3]
        damaged = faults["wrong_crc"] + faults["cut"] + faults["unreadable"]
        self.assertGreater(damaged, 3)
        failed = damaged + faults["no_reply"]
        asked = faults["attempts"]  # the bus's own questions, after a failure, are attempts too
        self.assertGreaterEqual(asked, 40 + faults["retried"])
        self.assertLessEqual(faults["retried"], failed)
        self.assertIn(f"({failed} of {asked} attempts failed", self.watched(twistd))

    def watched(self, twistd: Twistd) -> str:
        """The first line of ``stats --watch``."""
        words = [*LUMINA, "stats", "--watch", "--server", f"127.0.0.1:{twistd.tcp_port}"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()) as one:
            assert one.stdout is not None
            line = one.stdout.readline()
            one.kill()
        return line
