"""A line listener over the shipped doubles, and the lines that the original clients write."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from lumina_twisted.framing.crc import append_crc
from lumina_twisted.frontends.line.client import LineFactory, LineOptions, LineProtocol
from lumina_twisted.testing import MemoryPort, MemoryPorts, memory_context

STAMP = 1732467890.1234


class SegmentTransport(StringTransport):
    """Remembers each write, which is what a client may receive at once."""

    aborted = False

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)

    def abortConnection(self) -> None:
        self.aborted = True


class Listener:
    """A line listener over one scripted port, and as many clients as a test wants."""

    def __init__(self, *ports: MemoryPort, **options: Any) -> None:
        self.port = ports[0] if ports else MemoryPort()
        self.clock = Clock()
        context = memory_context(MemoryPorts(*(ports or (self.port,))), self.clock, stamp=STAMP)
        self.factory = LineFactory(LineOptions(**options), context)

    def connect(self) -> tuple[LineProtocol, SegmentTransport]:
        protocol, transport = self.factory.buildProtocol(None), SegmentTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def say(self, *lines: bytes) -> list[bytes]:
        """What one new client gets for its lines, write by write."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"".join(line + b"\n" for line in lines))
        return transport.writes


def command(
    body: bytes, length: int = 0, timeout: str = ":1.0", command_id: str = "3_thc_010300000001_20241124170450_aB",
    port: str = "/dev/ttyUSB0", baudrate: int = 9600,
) -> bytes:
    """A command line as the original clients write it; ``body`` is the frame without its CRC."""
    return f"{command_id}:thc:{port}:{baudrate}:{append_crc(body).hex()}:{length}{timeout}".encode()


def read_registers(count: int, unit: int = 1) -> bytes:
    """The body of a read of holding registers."""
    return bytes((unit, 3, 0, 0, 0, count))


def registers(count: int, unit: int = 1) -> bytes:
    """The reply frame to it."""
    return append_crc(bytes((unit, 3, 2 * count)) + bytes(range(2 * count)))
