"""The figures as a line listener tells them: in words, and as JSON within bounds."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.frontends.line.answers import MOST_BYTES
from lumina_twisted.statistics.counters import Fault
from lumina_twisted.testing import MemoryPort
from tests.line_listener import Listener


class Figures(SynchronousTestCase):
    """Of a port with two units and one client."""

    def setUp(self) -> None:
        self.port = MemoryPort("a:b")
        self.port.figures.now = 10.0
        self.record(3, "ok", 0.5, 0.02)
        self.record(3, "timeout", 0.001, 2.0)
        self.record(4, "ok", 0.25, None)

    def record(self, unit: int, outcome: str, waited: float, held: float | None, client: str = "10.0.0.7:4001") -> None:
        figures = self.port.figures.port
        took = waited + (held or 0.0)
        figures.ended.append((unit, b"\x03\x00\x00\x00\x01", client, outcome, waited, held, took, 10.0))

    def say(self, word: bytes, **options: Any) -> list[str]:
        """What a new client is told."""
        (told,) = Listener(self.port, **options).say(word)
        lines = told.decode().split("\n")
        self.assertEqual(lines[-2:], ["#", ""])
        self.assertTrue(all(line.startswith("# ") for line in lines[:-2]))
        return [line[2:] for line in lines[:-2]]

    def rows(self, **options: Any) -> list[Any]:
        return [json.loads(line) for line in self.say(b"stats json", **options)]

    def test_words(self) -> None:
        told = self.say(b"stats")
        self.assertIn("a%3Ab  nothing yet", told)
        self.assertIn("a%3Ab waiting  now 0, highest 0, mean 0.00", told)
        self.assertFalse([line for line in told if ":" in line])
        (unit,) = (line for line in told if line.startswith("a%3Ab unit 3"))
        self.assertEqual(
            unit,
            "a%3Ab unit 3  ok 1, timeout 1; wire 0 %; queue mean 250 ms, max 500 ms; bus mean 1.01 s, max 2 s",
        )
        (four,) = (line for line in told if line.startswith("a%3Ab unit 4"))
        self.assertTrue(four.endswith("; bus none"), four)
        self.assertEqual(len([line for line in told if line.startswith("a%3Ab client 10.0.0.7%3A4001")]), 1)

    def fault(self, unit: int, kind: Fault, count: int) -> None:
        self.port.figures.faults.note(unit, kind, count)

    def test_a17_faults_are_told_by_unit_and_kind(self) -> None:
        """Also where no request failed; the worst unit first, and only those to which something happened."""
        self.port.figures.port.used += [(0.0, 1.0, 3, "x", 0)] * 74
        self.fault(4, Fault.FOREIGN, 1)
        for kind, count in ((Fault.WRONG_CRC, 9), (Fault.CUT, 2), (Fault.RETRIED, 14), (Fault.HEALED, 13)):
            self.fault(3, kind, count)
        told = self.say(b"stats")
        self.assertEqual([line for line in told if line.startswith("a%3Ab faults")], [
            "a%3Ab faults  unit 3  9 wrong CRC, 2 cut in 74 attempts; 14 retries healed 13",
            "a%3Ab faults  unit 4  1 not asked for in 0 attempts",
        ])
        self.assertLess(max(len(line) for line in told if " client " not in line), 105, told)
        rows = {row.get("unit"): row for row in self.rows() if row["what"] in ("port", "unit")}
        for unit in (None, 3):
            faults = rows[unit]["faults"]
            self.assertEqual([faults[kind] for kind in ("attempts", "wrong_crc", "cut", "healed")], [74, 9, 2, 13])
        self.assertEqual((rows[None]["faults"]["foreign"], rows[3]["faults"]["foreign"]), (1, 0))

    def test_a17_faults_are_bounded(self) -> None:
        for unit in range(1, 256):
            self.fault(unit, Fault.CUT, unit)
        told = [line for line in self.say(b"stats") if line.startswith("a%3Ab faults")]
        self.assertEqual(told[0], "a%3Ab faults  unit 255  255 cut in 0 attempts")
        self.assertEqual((len(told), told[-1]), (9, "a%3Ab faults  247 units more; stats json tells of all"))

    def test_a17_every_kind_has_a_word(self) -> None:
        for kind in Fault:
            self.fault(3, kind, 1)
        (line,) = (line for line in self.say(b"stats") if line.startswith("a%3Ab faults"))
        self.assertEqual(line, (
            "a%3Ab faults  unit 3  1 no reply, 1 wrong CRC, 1 cut, 1 unreadable, 1 refused, 1 junk, 1 late, 1 doubled,"
            " 1 not asked for, 1 other master in 0 attempts; 1 retries healed 1"
        ))

    def test_nothing_yet(self) -> None:
        self.port = MemoryPort("idle")
        self.assertEqual(self.say(b"stats"), ["listener  clients 1", "idle  nothing yet"])

    def test_json(self) -> None:
        listener, port, three, four, client = self.rows()
        self.assertEqual(listener, {"what": "listener", "name": "listener", "clients": 1, "lines": 0, "errors": 0})
        self.assertEqual((port["what"], port["name"], port["requests"], port["late"]), ("port", "a:b", 0, 0))
        self.assertEqual(port["ended"], {"ok": 2, "timeout": 1})
        self.assertEqual((three["what"], three["port"], three["unit"], four["unit"]), ("unit", "a:b", 3, 4))
        self.assertEqual((four["shared"], four["bus"]["count"], four["queue"]["max"]), (1, 0, 0.25))
        self.assertEqual((client["client"], client["ended"]), ("10.0.0.7:4001", {"ok": 2, "timeout": 1}))

    def test_bounded(self) -> None:
        """What does not fit is left off, clients first, and told of: a client that is sent more than it may hold would
        be dropped."""
        for number in range(50):
            self.record(5, "ok", 0.1, 0.1, f"client {number}")
        self.assertEqual(len(self.rows()), 2 + 3 + 51)
        rows = self.rows(max_buffered=10_000)
        self.assertLess(len("\n# ".join(self.say(b"stats json", max_buffered=10_000))), 10_000)
        self.assertEqual([row["what"] for row in rows[:5]], ["listener", "port", "unit", "unit", "unit"])
        self.assertEqual(rows[-1], {"what": "left_off", "rows": 2 + 3 + 51 - (len(rows) - 1)})
        self.assertLess(MOST_BYTES, 262144)

    def test_words_are_bounded(self) -> None:
        """A person is told of those that used the wire most, and that there are more."""
        for unit in range(1, 101):
            self.record(unit, "ok", 0.1, 0.1)
            self.port.figures.port.used.append((0.0, float(unit), unit, "x", 0))
        told = [line for line in self.say(b"stats") if " unit" in line]
        self.assertEqual([line.split()[2] for line in told[:8]], [str(unit) for unit in range(100, 92, -1)])
        self.assertEqual(told[8:], ["a%3Ab units  92 more, which used the wire less; stats json tells of all"])
        many = [MemoryPort(f"p{number}") for number in range(200)]
        for port in many:
            port.figures = self.port.figures
        (answer,) = Listener(*many).say(b"stats")
        self.assertLess(len(answer), 150_000)
        self.assertIn(b"\n# p199  nothing yet\n", answer)

    def test_clients_are_named_by_their_address(self) -> None:
        listener = Listener(self.port)
        line, _ = listener.connect()
        self.assertRegex(line.caller.name, r"^192\.168\.1\.1:\d+$")
