"""A port that answers what a test tells it, with the interface of the real one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from lumina_twisted.bus.counters import Counters
from lumina_twisted.errors import RequestError
from lumina_twisted.frontends.line import LineFactory, LineOptions, LineProtocol
from lumina_twisted.modbus.crc import append_crc
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.interfaces import Port, PortDescription

STAMP = 1732467890.1234


@define(eq=False)
class Asked:
    """One request as the port got it; ``answer`` is the Deferred its caller holds."""

    client: Hashable
    unit: int
    pdu: bytes
    timeout: float
    serial: SerialSettings | None
    retries: int | None
    response_length: int
    cancelled: bool = False
    answer: Deferred[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.answer = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.cancelled = True  # and does not fire: Deferred.cancel() does then, with CancelledError


class ScriptedPort:
    """Keeps its requests waiting, unless ``script`` holds what to answer next: bytes, or an error."""

    def __init__(self, name: str = "boiler", path: str = "/dev/ttyUSB0", **serial: Any) -> None:
        self.name = name
        self.path = path
        self.serial = SerialSettings(**serial)
        self.asked: list[Asked] = []
        self.script: list[bytes | Exception] = []

    def request(
        self, client: Hashable, unit: int, pdu: bytes, *, timeout: float, serial: SerialSettings | None = None,
        retries: int | None = None, response_length: int = 0,
    ) -> Deferred[bytes]:
        asked = Asked(client, unit, pdu, timeout, serial, retries, response_length)
        self.asked.append(asked)
        if self.script:
            answer = self.script.pop(0)
            asked.answer.callback(answer) if isinstance(answer, bytes) else asked.answer.errback(answer)
        return asked.answer

    def describe(self) -> PortDescription:
        return PortDescription(self.name, self.path, self.serial, "open", len(self.asked), Counters(requests=3))


class ScriptedPorts:
    """Some of them."""

    def __init__(self, *ports: ScriptedPort) -> None:
        self.ports = ports

    def __iter__(self) -> Iterator[Port]:
        return iter(self.ports)

    def find(self, text: str) -> Port:
        for port in self.ports:
            if text in {port.name, port.path}:
                return port
        known = ", ".join(f"{port.name} ({port.path})" for port in self.ports)
        raise RequestError(f"there is no port {text!r}; configured are {known}")


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

    def __init__(self, *ports: ScriptedPort, **options: Any) -> None:
        self.port = ports[0] if ports else ScriptedPort()
        self.clock = Clock()
        self.factory = LineFactory(
            LineOptions(**options), ScriptedPorts(*(ports or (self.port,))), self.clock, lambda: STAMP
        )

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
