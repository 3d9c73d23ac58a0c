"""The fronts in a real daemon: every function through each, a chain of two gateways, what ill-behaved clients cost."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import serial
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.process import memory
from lumina_twisted.framing.mbap import Adu, MbapDecoder
from lumina_twisted.framing.mbap import encode_adu as mbap
from lumina_twisted.framing.rtu import decode_adu
from lumina_twisted.framing.rtu import encode_adu as rtu
from tests.cli.case import run_main
from tests.twistd_process import PATIENCE, TestDevice, Twistd, free_tcp_port

EXCHANGES = {
    7: ("07", "076D"), 8: ("0800001234", "0800001234"), 11: ("0B", "0B00000108"), 12: ("0C", "0C080000010801212000"),
    17: ("11", "110342FF07"), 20: ("140706000400010002", "1406050611223344"),
    21: ("15090600040007000112AB", "15090600040007000112AB"),
    22: ("16000400F20025", "16000400F20025"), 23: ("17000300020010000102CAFE", "170412345678"),
    24: ("1804DE", "180006000201B81284"), "43/13": ("2B0D0001", "2B0D0102030405"),
    "43/14": ("2B0E0100", "2B0E01010000010003414243"),
    **{code: (f"{code:02X}0102", f"{code:02X}AABBCCDD") for code in range(65, 73)},
}
"""A request and its reply of each function that is not among the usual ones; the shapes are the specification's."""


class Answering:
    """A device that answers what it is told to, on a real terminal."""

    def __init__(self, replies: dict[bytes, bytes]) -> None:
        self._device = TestDevice()
        self.path = self._device.path
        self._replies = replies
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        data = b""
        while not self._stopped.is_set():
            if not select.select([self._device._master], [], [], 0.02)[0]:
                data = b""
                continue
            data += os.read(self._device._master, 512)
            if (reply := self._replies.get(data)) is not None:
                self._device.write(reply)
                data = b""

    def close(self) -> None:
        """Ends it."""
        self._stopped.set()
        self._thread.join()
        self._device.close()


class TcpClient:
    """A client of a front-end over TCP, byte by byte."""

    def __init__(self, tcp_port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", tcp_port), PATIENCE)
        self._decoder = MbapDecoder()
        self._adus: list[Adu] = []

    def ask(self, unit: int, pdu: bytes, number: int = 1) -> bytes:
        """The PDU of a reply over Modbus TCP."""
        self.socket.sendall(mbap(number, unit, pdu))
        adu = self.next_adu()
        assert adu[:2] == (number, unit), adu
        return adu.pdu

    def next_adu(self) -> Adu:
        """The next reply."""
        while not self._adus:
            data = self.socket.recv(4096)
            assert data, "the connection was closed"
            self._adus += self._decoder.receive(data)
        return self._adus.pop(0)

    def ask_rtu(self, unit: int, pdu: bytes, length: int) -> bytes:
        """The PDU of a reply in RTU over TCP; empty if none comes."""
        self.socket.sendall(rtu(unit, pdu))
        data = b""
        with contextlib.suppress(TimeoutError):
            while len(data) < length + 3:
                data += self.socket.recv(4096)
        return decode_adu(data)[1] if data else b""

    def close(self) -> None:
        """Leaves."""
        self.socket.close()


@contextlib.contextmanager
def fronts(*options: str, timeout: float = 2.0) -> Iterator[tuple[Twistd, int, int, str]]:
    """A daemon with all fronts: the TCP ports of Modbus TCP and of RTU over TCP, and a virtual serial port."""
    modbus, rtu_tcp = free_tcp_port(), free_tcp_port()
    twistd = Twistd.__new__(Twistd)
    folder = pathlib.Path(os.environ.get("TMPDIR", "/tmp"))
    tty = str(folder / f"lumina-test-{os.getpid()}-{modbus}")
    twistd.__init__(  # type: ignore[misc]
        *options, "--log", "directory=", "--listen", f"modbus-tcp=tcp:{modbus}:interface=127.0.0.1",
        "--listen", f"rtu-tcp,timeout={timeout}=tcp:{rtu_tcp}:interface=127.0.0.1",
        "--listen", f"rtu-pty,timeout={timeout}={tty}",
    )
    with twistd:
        yield twistd, modbus, rtu_tcp, tty
    with contextlib.suppress(OSError):
        os.unlink(tty)


class EveryFunction(SynchronousTestCase):
    """Case 17 of the fault matrix, and a unit in the reserved range."""

    def test_case_17_through_each_front(self) -> None:
        pdus = {name: (bytes.fromhex(asked), bytes.fromhex(told)) for name, (asked, told) in EXCHANGES.items()}
        unit = 248
        device = Answering({rtu(unit, asked): rtu(unit, told) for asked, told in pdus.values()})
        self.addCleanup(device.close)
        with fronts("--port", f"bus={device.path}:baudrate=115200:timeout=1:echo=off") as (_, modbus, rtu_tcp, tty):
            over_modbus, over_tcp = TcpClient(modbus), TcpClient(rtu_tcp)
            with serial.Serial(tty, timeout=PATIENCE) as port:
                for name, (asked, told) in pdus.items():
                    self.assertEqual(over_modbus.ask(unit, asked), told, name)
                    self.assertEqual(over_tcp.ask_rtu(unit, asked, len(told)), told, name)
                    port.write(rtu(unit, asked))
                    self.assertEqual(port.read(len(told) + 3), rtu(unit, told), name)


class Broadcasts(SynchronousTestCase):
    """Case 18: a broadcast returns at once, and what comes next waits the turnaround delay."""

    def test_case_18(self) -> None:
        read, write = bytes.fromhex("0300000001"), bytes.fromhex("060000002A")
        tcp_port = free_tcp_port()
        listen = f"modbus-tcp,broadcast=reply=tcp:{tcp_port}:interface=127.0.0.1"
        device = TestDevice()
        self.addCleanup(device.close)
        port = f"bus={device.path}:turnaround=0.3:echo=off:baudrate=115200"
        with Twistd("--log", "directory=", "--port", port, "--listen", listen):
            client = TcpClient(tcp_port)
            began = time.monotonic()
            self.assertEqual(client.ask(0, write), write)
            self.assertLess(time.monotonic() - began, 0.25)
            self.assertEqual(device.read(8), rtu(0, write))
            client.socket.sendall(mbap(2, 1, read))
            self.assertEqual(device.read(8), rtu(1, read))
            self.assertGreaterEqual(time.monotonic() - began, 0.3)


class Chain(SynchronousTestCase):
    """A Modbus TCP client, a first gateway, RTU over TCP, a second gateway, and a simulated bus."""

    def test_values_exceptions_and_timeouts(self) -> None:
        """Told apart end to end."""
        middle, front = free_tcp_port(), free_tcp_port()
        with (
            Twistd("--log", "directory=", "--demo", "--listen", f"rtu-tcp,timeout=1=tcp:{middle}:interface=127.0.0.1"),
            Twistd(
                "--log", "directory=", "--port", f"far=rtu+tcp:127.0.0.1:{middle}:timeout=1.5:retries=0",
                "--listen", f"modbus-tcp=tcp:{front}:interface=127.0.0.1",
            ) as first,
        ):
            first.wait_for("far: open")
            client = TcpClient(front)
            self.assertEqual(client.ask(2, bytes.fromhex("0300000001")), bytes.fromhex("03020008"))
            self.assertEqual(client.ask(2, bytes.fromhex("06000A1234")), bytes.fromhex("06000A1234"))
            self.assertEqual(client.ask(2, bytes.fromhex("03000A0001")), bytes.fromhex("03021234"))
            self.assertEqual(client.ask(2, bytes.fromhex("03270F0001")), b"\x83\x02")
            self.assertEqual(client.ask(2, bytes.fromhex("4101")), b"\xc1\x01")
            self.assertEqual(client.ask(9, bytes.fromhex("0300000001")), b"\x83\x0b")
            self.assertEqual(client.ask(0, bytes.fromhex("0300000001")), b"\x83\x0a")

    def test_over_modbus_tcp(self) -> None:
        """The second gateway's own exceptions arrive."""
        middle, front = free_tcp_port(), free_tcp_port()
        with (
            Twistd("--log", "directory=", "--demo", "--listen",
                   f"modbus-tcp,routes.1-9=demo1=tcp:{middle}:interface=127.0.0.1"),
            Twistd("--log", "directory=", "--port", f"far=modbus+tcp:127.0.0.1:{middle}:timeout=6",
                   "--listen", f"modbus-tcp,timeout=8=tcp:{front}:interface=127.0.0.1") as first,
        ):
            first.wait_for("far: open")
            client = TcpClient(front)
            self.assertEqual(client.ask(2, bytes.fromhex("0300000001")), bytes.fromhex("03020008"))
            self.assertEqual(client.ask(2, bytes.fromhex("03270F0001")), b"\x83\x02")
            self.assertEqual(client.ask(77, bytes.fromhex("0300000001")), b"\x83\x0a")
            self.assertEqual(client.ask(9, bytes.fromhex("0300000001")), b"\x83\x0b")


class CrossTalk(SynchronousTestCase):
    """Twenty clients, each of which knows what only it may be told."""

    def test_twenty_clients(self) -> None:
        """Twenty reads each, of registers that they wrote themselves, five at a time; with a load of thousands
        `interop` has it too."""
        with fronts("--demo") as (_, modbus, _, _):
            clients = [TcpClient(modbus) for _ in range(20)]
            for number, client in enumerate(clients):
                values = struct.pack(">10H", *range(1000 * number, 1000 * number + 10))
                client.ask(2, struct.pack(">BHHB", 16, 100 + 10 * number, 10, 20) + values)
            asked: list[dict[int, int]] = [{} for _ in clients]
            for turn in range(0, 20, 5):
                for number, client in enumerate(clients):
                    for transaction in range(turn, turn + 5):
                        at = transaction % 10
                        asked[number][transaction] = 1000 * number + at
                        client.socket.sendall(mbap(transaction, 2, struct.pack(">BHH", 3, 100 + 10 * number + at, 1)))
                for number, client in enumerate(clients):
                    for _ in range(5):
                        adu = client.next_adu()
                        expected = asked[number].pop(adu.transaction_id)
                        self.assertEqual(adu.pdu, struct.pack(">BBH", 3, 2, expected))
            self.assertEqual(asked, [{}] * 20)


class Stub(SynchronousTestCase):
    """S4: the exchange of the original Lumina Server's client stub, and the console in its place."""

    def test_echo(self) -> None:
        tcp_port = free_tcp_port()
        with Twistd("--demo", "--log", "directory=", "--listen", f"echo=tcp:{tcp_port}:interface=127.0.0.1") as twistd:
            with socket.create_connection(("127.0.0.1", tcp_port), PATIENCE) as stub:
                for said in ("Hello", "Temperature 21 °C"):
                    stub.send(said.encode())
                    self.assertEqual(stub.recv(1024).decode(), f"Echo: {said}")
                status, out, err = run_main("console", "127.0.0.1", str(tcp_port), typed="Hello, plant\nbye\n")
                self.assertEqual((status, out.strip(), err), (0, "Echo: Hello, plant", ""))
                client = twistd.connect()
                client.write(b"stats")
                told = [client.read() for _ in range(2)]
            self.assertEqual(told[1], f"# echo tcp%3A{tcp_port}%3Ainterface=127.0.0.1  clients 1\n".encode())


class Abuse(SynchronousTestCase):
    """Afterwards a healthy client is served as before, and the process has not grown."""

    READ = bytes.fromhex("0300000001")

    def abused(self, abuse: Callable[[int, int, str], None]) -> None:
        """Latency and memory before and after."""
        with fronts("--demo") as (twistd, modbus, rtu_tcp, tty):
            before, size = self.latency(modbus), memory(twistd.process.pid)
            abuse(modbus, rtu_tcp, tty)
            after = self.latency(modbus)
            self.assertLess(memory(twistd.process.pid) - size, 20_000_000)
            self.assertLess(after, max(0.1, 5 * before))
            healthy = TcpClient(rtu_tcp)
            self.assertEqual(healthy.ask_rtu(2, self.READ, 4), bytes.fromhex("03020008"))
            with serial.Serial(tty, timeout=PATIENCE) as port:
                port.write(rtu(2, self.READ))
                self.assertEqual(port.read(7), rtu(2, bytes.fromhex("03020008")))
            self.assertIsNone(twistd.process.poll())

    def latency(self, modbus: int) -> float:
        """The median of twenty reads, in seconds."""
        client, times = TcpClient(modbus), []
        for _ in range(20):
            began = time.monotonic()
            self.assertEqual(client.ask(2, self.READ), bytes.fromhex("03020008"))
            times.append(time.monotonic() - began)
        client.close()
        return sorted(times)[10]

    def test_five_hundred_that_leave(self) -> None:
        """With a request in flight, by closing and by a reset."""

        def abuse(modbus: int, rtu_tcp: int, _: str) -> None:
            for number in range(500):
                client = TcpClient(modbus if number % 2 else rtu_tcp)
                if number % 3:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.socket.sendall(mbap(1, 9, self.READ) if number % 2 else rtu(9, self.READ))
                client.close()

        self.abused(abuse)

    def test_random_bytes(self) -> None:
        def abuse(modbus: int, rtu_tcp: int, tty: str) -> None:
            noise = random.Random(4)
            for tcp_port in (modbus, rtu_tcp):
                for _ in range(50):
                    client = TcpClient(tcp_port)
                    with contextlib.suppress(OSError):
                        client.socket.sendall(noise.randbytes(noise.randrange(1, 20_000)))
                    client.close()
            with serial.Serial(tty, write_timeout=PATIENCE) as port:
                for _ in range(50):
                    port.write(noise.randbytes(1000))
            time.sleep(0.2)

        self.abused(abuse)

    def test_half_open_and_slow(self) -> None:
        """Connections that say nothing, or a byte now and then, cost nobody anything."""

        def abuse(modbus: int, rtu_tcp: int, _: str) -> None:
            clients = [TcpClient(tcp_port) for tcp_port in (modbus, rtu_tcp) for _ in range(100)]
            for byte in mbap(1, 2, self.READ)[:5]:
                for client in clients:
                    client.socket.sendall(bytes((byte,)))
            self.assertLess(self.latency(modbus), 0.2)
            for client in clients[:50]:
                client.socket.shutdown(socket.SHUT_WR)
            self.addCleanup(lambda: [client.close() for client in clients])

        self.abused(abuse)

    def test_lengths_and_protocols(self) -> None:
        """Case 10: those connections are closed, at once and without an answer."""

        def abuse(modbus: int, _: int, __: str) -> None:
            for header in ("000100000000", "000100000001", "0001000000FF", "00010000FFFF", "000100010006"):
                client = TcpClient(modbus)
                client.socket.sendall(bytes.fromhex(header) + b"\1" + self.READ)
                self.assertEqual(client.socket.recv(100), b"")
                client.close()

        self.abused(abuse)

    def test_pipelined_in_one_segment_and_byte_by_byte(self) -> None:
        """Case 10: twenty requests in one segment, and one a byte at a time."""
        with fronts("--demo") as (_, modbus, _, _):
            client = TcpClient(modbus)
            client.socket.sendall(b"".join(mbap(number, 2, self.READ) for number in range(20)))
            found = {adu.transaction_id: adu.pdu for adu in (client.next_adu() for _ in range(20))}
            self.assertEqual(found, dict.fromkeys(range(20), bytes.fromhex("03020008")))
            for byte in mbap(99, 2, self.READ):
                client.socket.sendall(bytes((byte,)))
                time.sleep(0.002)
            self.assertEqual(client.next_adu(), Adu(99, 2, bytes.fromhex("03020008")))
