"""``lumina stats``: as JSON, watched, and with a server that does not know the word."""

from __future__ import annotations

import json
import subprocess

from lumina_twisted.cli.stats import _changes
from tests.cli.case import LUMINA, CommandCase
from tests.cli.scripted_server import lumina
from tests.twistd_process import PATIENCE, ROOT, environment


class Stats(CommandCase):
    """One daemon with the demo's devices."""

    def test_older_server(self) -> None:
        with lumina(lambda command: "invalid", stats=lambda: "bus  requests 3") as older:
            for words in (("--json",), ("--watch",), ("--interval", "1")):
                status, out, err = self.run_command("stats", "--server", older.place, *words)
                self.assertEqual(status, 1)
                self.assertIn("is older and does not tell its figures as JSON", out + err)
            self.assertEqual(
                self.run_command("stats", "--server", older.place), (0, "listener  clients 1\nbus  requests 3\n", "")
            )

    def test_watched_through_a_pipe(self) -> None:
        """A block each time, and nothing that only a terminal understands."""
        place = f"127.0.0.1:{self.twistd.tcp_port}"
        for words, text in (((), "demo1  "), (("--json",), '"demo1"')):
            command = [*LUMINA, "stats", "--interval", "0.1", "--server", place, *words]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()) as one:
                assert one.stdout is not None
                seen = 0
                for line in one.stdout:
                    self.assertNotIn("\x1b", line)
                    self.assertTrue(not words or json.loads(line))
                    seen += text in line and (not words or json.loads(line)["what"] == "port")
                    if seen == 3:
                        break
                one.kill()
                one.wait(PATIENCE)
            self.assertEqual(seen, 3)

    def test_rates_since_the_last_look(self) -> None:
        rows = self.told("stats")
        now = {**next(row for row in rows if row["what"] == "port"), "seconds": 10.0, "requests": 100}
        now["faults"] = dict.fromkeys(now["faults"], 0)  # others may have asked for a unit that is dead
        before = {**now, "seconds": now["seconds"] - 2, "requests": now["requests"] - 30, "utilisation": {
            **now["utilisation"], "seconds": now["utilisation"]["seconds"] - 0.5,
        }}
        self.assertRegex(_changes(now, before), r"^demo1  15\.0 requests/s, wire 25% used, \d+ waiting; in all ")
        self.assertNotIn("attempts", _changes(now, None))
        self.assertIn("% failed (5 of 74 attempts failed, retries healed 4)", _changes({**now, "faults": {
            **now["faults"], "attempts": 74, "wrong_crc": 3, "no_reply": 2, "healed": 4,
        }}, None))
        older = {key: value for key, value in now.items() if key != "faults"}
        self.assertIn("% failed, p99", _changes(older, None))
        again = {**before, "seconds": now["seconds"] + 99}  # the server was started again
        self.assertEqual(_changes(now, again), _changes(now, None))
        self.assertIn("  10.0 requests/s", _changes(now, again))
