"""The daemon on a bus with real wire time, under load and faults: counted, never timed. Figures are the benchmarks'."""

from __future__ import annotations

import socket
import subprocess
import time
import unittest

from benchmarks.faults import FAULTS
from benchmarks.rig import BIN, Busim, Lumina, bus_and_daemon, load_lines, load_modbus_tcp, mbload
from lumina_twisted.framing.rtu import encode_adu

LIMITED = ("bash", "-c", 'ulimit -Sn 1024; exec "$@"', "bash")


class LoadTests(unittest.TestCase):
    """What every load must show."""

    def test_no_frame_is_early_and_none_collides(self) -> None:
        """At each speed, under ten busy connections; and what the bus answered reached its callers."""
        for baudrate in (9600, 19200, 115200):
            found = load_lines(
                ("--baud", str(baudrate), "--turnaround-us", "1000"), f":baudrate={baudrate}", baudrate,
                "--conns", "10", "--count", "10", "--seconds", "2",
            )
            bus = found["bus"]
            self.assertEqual((bus["early"], bus["collision"], bus["bad_crc"], found["wrong"]), (0, 0, 0, 0))
            self.assertLessEqual(bus["answered"] - found["ok"], 10)

    def test_modbus_tcp(self) -> None:
        """The same through Modbus TCP; twenty clients with ten requests each under way never get another's value."""
        for baudrate in (9600, 115200):
            found = load_modbus_tcp(
                ("--baud", str(baudrate), "--turnaround-us", "1000"), f":baudrate={baudrate}",
                "--conns", "10", "--count", "10", "--seconds", "2",
            )
            bus = found["bus"]
            self.assertEqual((bus["early"], bus["collision"], bus["bad_crc"], found["wrong"]), (0, 0, 0, 0))
        found = load_modbus_tcp(
            ("--baud", "0"), ":baudrate=115200:frame_gap=0", "--conns", "20", "--depth", "10", "--count", "1",
            "--seconds", "2",
        )
        self.assertEqual((found["wrong"], found["errors"], found["exceptions"]), (0, 0, 0))
        self.assertGreater(found["ok"], 4000)

    def test_no_wrong_value_whatever_happens_to_replies(self) -> None:
        """Every seventh reply is late, spoilt, cut or missing; or the adapter echoes."""
        for name, options in FAULTS.items():
            found = load_lines(
                ("--baud", "19200", "--turnaround-us", "1000", *options), ":baudrate=19200:timeout=0.1", 19200,
                "--conns", "6", "--count", "10", "--units", "1-1", "--timeout", "3", "--seconds", "2",
            )
            self.assertEqual(found["wrong"], 0, name)
            self.assertGreaterEqual(found["ok"], 0.7 * found["bus"]["answered"], name)

    def test_echo_confirms_no_write(self) -> None:
        """On an echoing bus a write to a device that is there succeeds, one to nobody has an unknown outcome."""
        with bus_and_daemon(("--baud", "19200", "--echo"), ":baudrate=19200:timeout=0.1") as (bus, daemon):
            bus.reset()
            answers = [ask(daemon, unit, "0600070001") for unit in (3, 99)]
            self.assertEqual(answers[0], encode_adu(3, bytes.fromhex("0600070001")).hex().upper())
            self.assertTrue(answers[1].startswith("ERROR:outcome_unknown"), answers)
            self.assertEqual(bus.report()["unanswered"], 1)

    def test_lost_write_reply(self) -> None:
        """The device gets the write once, its caller is told that the outcome is unknown."""
        silent = ("--baud", "19200", "--drop-every", "1")
        with bus_and_daemon(silent, ":baudrate=19200:timeout=0.1:echo=off") as (bus, daemon):
            bus.reset()
            self.assertTrue(ask(daemon, 3, "0600070001").startswith("ERROR:outcome_unknown"))
            self.assertEqual(bus.report()["dropped"], 1)

    def test_a_thousand_clients(self) -> None:
        """Of whom fifty talk, under a soft limit of 1,024 open files."""
        bus = Busim("--baud", "0")
        self.addCleanup(bus.stop)
        daemon = Lumina(bus.path, ":baudrate=115200:frame_gap=0", before=LIMITED)
        self.addCleanup(daemon.stop)
        options = ("--line", f"127.0.0.1:{daemon.tcp_port}", "--serial", "bus@0", "--baud", "115200", "--count", "10")
        silent = subprocess.Popen(
            [str(BIN / "mbload"), *options, "--conns", "950", "--poll-ms", "3600000", "--seconds", "5"],
            stdout=subprocess.DEVNULL,
        )
        time.sleep(1)
        found = mbload(*options, "--conns", "50", "--seconds", "2")
        self.assertEqual((found["errors"], found["closed"], found["wrong"]), (0, 0, 0))
        self.assertGreater(found["ok"], 100)
        self.assertEqual(silent.wait(), 0)


def ask(daemon: Lumina, unit: int, pdu: str) -> str:
    """What the line protocol answers, without id and time."""
    with socket.create_connection(("127.0.0.1", daemon.tcp_port), 10) as client, client.makefile() as lines:
        client.sendall(f"x:t:bus:19200:{encode_adu(unit, bytes.fromhex(pdu)).hex()}:0:3\n".encode())
        return lines.readline().strip().split(":", 1)[1].rsplit(":", 1)[0]
