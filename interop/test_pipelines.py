"""Ten thousand requests that one client sends without a pause, through the real daemon on a bus without wire time: as
many answers, each the right one."""

from __future__ import annotations

import contextlib
import socket
import threading
import unittest
from collections.abc import Iterator

from benchmarks.rig import Busim, Lumina
from lumina_twisted.framing.rtu import encode_adu

COUNT = 10_000
UNIT = 3
"""Of which the simulated bus answers with 1000 times the unit, and the address."""
PATIENCE = 30.0
"""Seconds without a byte after which a test fails."""


class PipelineTests(unittest.TestCase):
    """Back-pressure instead of refusal (issue 13, to build 7)."""

    def setUp(self) -> None:
        """The bus and the daemon."""
        self.bus = Busim("--baud", "0")
        self.addCleanup(self.bus.stop)
        self.daemon = Lumina(self.bus.path, ":baudrate=115200:frame_gap=0")
        self.addCleanup(self.daemon.stop)

    @contextlib.contextmanager
    def sending(self, port: int, requests: bytes) -> Iterator[socket.socket]:
        """A client that sends all of it, whatever comes back meanwhile."""
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            sender = threading.Thread(target=client.sendall, args=(requests,), daemon=True)
            sender.start()
            yield client
            sender.join(PATIENCE)
            self.assertFalse(sender.is_alive())

    def check_bus(self) -> None:
        """Each request was on the wire once."""
        self.assertGreaterEqual(self.bus.report()["answered"], COUNT)

    def test_lines(self) -> None:
        """Of the line protocol: in whatever order, no error, none twice."""
        frames = [encode_adu(UNIT, bytes((3, *divmod(number, 256), 0, 1))) for number in range(COUNT)]
        lines = "".join(f"{number}:t:bus::{frame.hex()}:7:5\n" for number, frame in enumerate(frames))
        with self.sending(self.daemon.tcp_port, lines.encode()) as client, client.makefile() as answers:
            found = [next(answers).split(":")[:2] for _ in range(COUNT)]
        wrong = [one for one in found if one[1] != frame_of(int(one[0]))]
        self.assertEqual(wrong[:3], [])
        self.assertEqual(len({one[0] for one in found}), COUNT)
        self.check_bus()

    def test_modbus_tcp(self) -> None:
        """Of Modbus TCP: under the transaction number of each."""
        requests = b"".join(
            number.to_bytes(2, "big") + b"\0\0\0\6" + bytes((UNIT, 3)) + number.to_bytes(2, "big") + b"\0\1"
            for number in range(COUNT)
        )
        with self.sending(self.daemon.modbus_port, requests) as client, client.makefile("rb") as answers:
            found = [answers.read(11) for _ in range(COUNT)]
        wrong = [one.hex() for one in found if one[2:] != b"\0\0\0\5" + bytes((UNIT, 3, 2)) + value(number_of(one))]
        self.assertEqual(wrong[:3], [])
        self.assertEqual(len({number_of(one) for one in found}), COUNT)
        self.check_bus()


def value(address: int) -> bytes:
    """What the bus has there."""
    return ((UNIT * 1000 + address) & 0xFFFF).to_bytes(2, "big")


def frame_of(address: int) -> str:
    """The reply, as a line has it."""
    return encode_adu(UNIT, bytes((3, 2)) + value(address)).hex().upper()


def number_of(answer: bytes) -> int:
    """The transaction number, which is the address here."""
    return int.from_bytes(answer[:2], "big")
