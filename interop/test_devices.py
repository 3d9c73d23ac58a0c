"""Devices that others wrote behind the real daemon: libmodbus and pymodbus, each on a pair of terminals of socat."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from benchmarks.rig import Lumina
from interop.device import PYMODBUS_DEVICE, Wire
from lumina_twisted.framing.rtu import encode_adu

HERE = pathlib.Path(__file__).parent


class DeviceTests(unittest.TestCase):
    """All four tables, read and written through the line protocol."""

    def start(self, *command: str) -> Lumina:
        """The device and the daemon."""
        wire = Wire()
        self.addCleanup(wire.cut)
        device = subprocess.Popen([*command, wire.theirs, "19200"], stdout=subprocess.PIPE, text=True)
        assert device.stdout is not None
        self.addCleanup(device.stdout.close)
        self.addCleanup(device.wait)
        self.addCleanup(device.kill)
        self.assertEqual(device.stdout.readline().strip(), "ready")
        daemon = Lumina(wire.ours, ":baudrate=19200")
        self.addCleanup(daemon.stop)
        time.sleep(0.3)
        return daemon

    def check(self, daemon: Lumina) -> None:
        """Reads and writes each table."""
        asked = ("0100000008", "0200000008", "0300030002", "0400030002", "0500020000", "0600070bb8", "0f000400040105",
                 "1000090002040aaa0bbb", "0300070004", "0100000008", "03ffff0001")
        self.assertEqual(
            self.ask_in_turn(daemon, asked),
            ["0101aa", "020149", "030407d307d4", "040403eb03ec", "0500020000", "0600070bb8", "0f00040004", "1000090002",
             "03080bb807d80aaa0bbb", "01015a", "exception 2 illegal data address"],
        )

    def ask_in_turn(self, daemon: Lumina, pdus: tuple[str, ...]) -> list[str]:
        """One client, one request after the other."""
        answers = []
        with socket.create_connection(("127.0.0.1", daemon.tcp_port), 10) as client, client.makefile() as lines:
            for number, pdu in enumerate(pdus):
                frame = encode_adu(5, bytes.fromhex(pdu)).hex()
                client.sendall(f"{number}:t:bus:19200:{frame}:0:5\n".encode())
                line = lines.readline().split(":")
                answers.append(line[2] if line[1] == "ERROR" else line[1][2:-4].lower())
        return answers

    def test_libmodbus(self) -> None:
        """A device on libmodbus."""
        with tempfile.TemporaryDirectory() as folder:
            program = f"{folder}/device"
            subprocess.run(["gcc", "-O2", "-o", program, str(HERE / "libmodbus_device.c"), "-lmodbus"], check=True)
            self.check(self.start(program))

    def test_pymodbus(self) -> None:
        """A device on pymodbus."""
        self.check(self.start(sys.executable, "-c", PYMODBUS_DEVICE))
