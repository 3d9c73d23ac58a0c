"""The simulated bus in C and the load that proves answers: what they do is what their options say."""

from __future__ import annotations

import pathlib
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from benchmarks.rig import BIN, Busim, free_port, parsed
from lumina_twisted.framing.rtu import encode_adu

READ = encode_adu(1, bytes.fromhex("03 0005 0002"))
ANSWER = encode_adu(1, bytes.fromhex("03 04 03ed 03ee"))
OTHER = encode_adu(1, bytes.fromhex("04 0007 0001"))
OTHER_ANSWER = encode_adu(1, bytes.fromhex("04 02 03ef"))
WRITE = encode_adu(1, bytes.fromhex("06 1388 0063"))
UNIT = struct.calcsize("10000H10000B10000I10000II")
"""Bytes of a unit in the memory of the devices; see bus_state.h."""


class BusimTestCase(unittest.TestCase):
    """A bus behind a socket, and the memory of its devices."""

    def start(self, *options: str) -> socket.socket:
        """Without wire time, unless said otherwise."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = pathlib.Path(folder.name) / "state"
        port = free_port()
        self.bus = Busim("--baud", "0", *options, "--tcp", str(port), "--state", str(self.state))
        self.addCleanup(self.bus.stop)
        wire = socket.create_connection(("127.0.0.1", port), 5)
        self.addCleanup(wire.close)
        return wire

    def ask(self, wire: socket.socket, frame: bytes, length: int) -> bytes:
        """Sends, and takes so many bytes."""
        wire.sendall(frame)
        got = b""
        while len(got) < length:
            got += wire.recv(length - len(got))
        return got

    def register(self, unit: int, address: int) -> int:
        """What a device holds."""
        with self.state.open("rb") as memory:
            memory.seek(unit * UNIT + 2 * address)
            return int.from_bytes(memory.read(2), "little")


class BusimTests(BusimTestCase):
    """Devices that misbehave."""

    def test_busy_in_order(self) -> None:
        """What arrives meanwhile is answered afterwards, in order."""
        wire = self.start("--busy-every", "2", "--busy-ms", "200")
        self.assertEqual(self.ask(wire, READ, len(ANSWER)), ANSWER)
        began = time.monotonic()
        self.assertEqual(self.ask(wire, READ + OTHER + READ, 25), ANSWER + OTHER_ANSWER + ANSWER)
        self.assertGreater(time.monotonic() - began, 0.2)

    def test_busy_and_deaf(self) -> None:
        """What arrives meanwhile is neither done nor answered."""
        wire = self.start("--busy-every", "2", "--busy-ms", "200", "--deaf")
        self.ask(wire, READ, len(ANSWER))
        self.assertEqual(self.ask(wire, READ + WRITE, len(ANSWER)), ANSWER)
        self.assertNotEqual(self.register(1, 0x1388), 0x63)
        self.assertEqual(self.bus.report()["deaf"], 1)
        self.assertEqual(self.ask(wire, WRITE, len(WRITE)), WRITE)
        self.assertEqual(self.register(1, 0x1388), 0x63)

    def test_another_unit_answers_meanwhile(self) -> None:
        wire = self.start("--fault-unit", "1", "--busy-every", "1", "--busy-ms", "200")
        second = encode_adu(2, OTHER[1:-2])
        got = self.ask(wire, READ + second, len(ANSWER) + len(OTHER_ANSWER))
        self.assertEqual((got[0], got[-len(ANSWER):]), (2, ANSWER))

    def test_doubled(self) -> None:
        """Every second, or one of them all; at once, or later, when another reply may come first."""
        wire = self.start("--dup-every", "2")
        self.assertEqual(self.ask(wire, READ + OTHER + READ, 32), ANSWER + 2 * OTHER_ANSWER + ANSWER)
        wire = self.start("--dup-at", "1", "--dup-us", "50000")
        self.assertEqual(self.ask(wire, READ + OTHER, 25), ANSWER + OTHER_ANSWER + ANSWER)
        self.assertEqual(self.ask(wire, OTHER + OTHER, 14), 2 * OTHER_ANSWER)
        self.assertEqual(self.bus.report()["doubled"], 1)
        wire = self.start("--dup-at", "1", "--dup-us", "50000", "--dup-fifo", "1")
        self.assertEqual(self.ask(wire, READ + OTHER, 25), 2 * ANSWER + OTHER_ANSWER)

    def test_another_master(self) -> None:
        """Its request and the reply to it, of the same shape as ours, come before ours."""
        wire = self.start("--master-every", "1")
        foreign = encode_adu(1, bytes.fromhex("03 01f9 0002"))
        theirs = encode_adu(1, bytes.fromhex("03 04 05e1 05e2"))
        self.assertEqual(self.ask(wire, READ, 26), foreign + theirs + ANSWER)

    def test_diagnostics(self) -> None:
        """Function 8 is echoed, refused or not answered."""
        canary = encode_adu(1, bytes.fromhex("08 0000 a5c3"))
        self.assertEqual(self.ask(self.start(), canary, len(canary)), canary)
        self.assertEqual(self.ask(self.start("--no-diag"), canary, 5), encode_adu(1, b"\x88\x01"))
        self.assertEqual(self.ask(self.start("--mute-diag"), canary + READ, len(ANSWER)), ANSWER)

    def test_a_new_connection_gets_what_the_wire_still_brings(self) -> None:
        """As behind a converter, which knows nothing of requests."""
        wire = self.start("--busy-every", "1", "--busy-ms", "200")
        address = wire.getpeername()
        self.ask(wire, OTHER, len(OTHER_ANSWER))
        wire.sendall(READ)
        while self.bus.report()["busy"] < 2:
            time.sleep(0.01)
        wire.close()
        with socket.create_connection(address, 5) as again:
            self.assertEqual(again.recv(100), ANSWER)


class MbcheckTests(BusimTestCase):
    """The load finds what is wrong, where a server is so."""

    def check(self, functions: str, falsify: bool) -> dict[str, int]:
        """A load on a server that answers well, or with the registers of the neighbour and without writing."""
        wire = self.start()
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        threading.Thread(target=serve, args=(listener, wire, falsify), daemon=True).start()
        done = subprocess.run(
            [str(BIN / "mbcheck"), "--target", f"127.0.0.1:{listener.getsockname()[1]}", "--state", str(self.state),
             "--functions", functions, "--seconds", "5", "--replies", "24"],
            stdout=subprocess.PIPE, text=True, check=False,
        )
        found: dict[str, int] = parsed(done.stdout, "mbcheck")
        self.assertEqual(done.returncode, 1 if falsify else 0)
        return found

    def test_all_is_well(self) -> None:
        found = self.check("1,2,3,4,5,6,16", False)
        self.assertEqual((found["answers"], found["wrong"], found["false"], found["twice"]), (24, 0, 0, 0))

    def test_wrong_values(self) -> None:
        """Of each function that reads, each one is found."""
        for function in "1234":
            self.assertEqual(self.check(function, True)["wrong"], 24, function)

    def test_false_confirmations(self) -> None:
        """Of each function that writes: none was carried out."""
        for function in ("5", "6", "16"):
            self.assertGreaterEqual(self.check(function, True)["false"], 24, function)


def serve(listener: socket.socket, wire: socket.socket, falsify: bool) -> None:
    """A Modbus TCP server in front of a bus; a false one reads the next address, and confirms writes that it keeps."""
    client, _ = listener.accept()
    while head := client.recv(6):
        pdu = client.recv(int.from_bytes(head[4:6], "big"))
        asked = pdu
        if falsify and pdu[1] <= 4:
            asked = pdu[:2] + (int.from_bytes(pdu[2:4], "big") + 1).to_bytes(2, "big") + pdu[4:]
        if falsify and pdu[1] > 4:
            reply = pdu[:6]
        else:
            wire.sendall(encode_adu(asked[0], asked[1:]))
            reply = wire.recv(300)[:-2]
        client.sendall(head[:4] + len(reply).to_bytes(2, "big") + reply)
