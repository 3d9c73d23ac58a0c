"""Buses behind sockets: RTU over TCP, Modbus TCP, and converters that dial in. Over real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, clientFromString, connectProtocol
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import Logger, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.bus.bus import Bus
from lumina_twisted.bus.events import Event, Request
from lumina_twisted.bus.settings import UnitSettings
from lumina_twisted.errors import (
    ConfigError,
    GatewayPathUnavailable,
    GatewayTargetDeviceFailedToRespond,
    IllegalDataAddress,
    OutcomeUnknown,
    PortClosed,
    PortError,
    PortLost,
    ResponseTimeout,
)
from lumina_twisted.framing.mbap import MbapDecoder
from lumina_twisted.framing.mbap import encode_adu as mbap
from lumina_twisted.framing.numbered import MbapFraming
from lumina_twisted.framing.rtu import encode_adu as rtu
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports import dial_in
from lumina_twisted.ports.protocol import RTUProtocol
from lumina_twisted.ports.serial import why_lost
from lumina_twisted.ports.service import PortService
from lumina_twisted.ports.settings import PortSettings, SocketAddress, parted, same_place, socket_address
from lumina_twisted.ports.tcp import CONNECT_TIMEOUT, BusSocket, Link, SocketEndpoint, why_no_connection
from lumina_twisted.simulator.device import SimulatedDevice
from tests.twistd_process import free_tcp_port

ME = Caller("me")
SOMEBODY = Caller("somebody")

READ = bytes.fromhex("0300000001")
REPLY = bytes.fromhex("0302002A")
WRITE = bytes.fromhex("060000002A")
SERIAL = SerialSettings()


class Addresses(SynchronousTestCase):
    """What a path may be."""

    def test_places(self) -> None:
        for path, address in (
            ("/dev/ttyUSB0", None), ("ttyS0", None), ("./C:odd", None),
            ("rtu+tcp:10.0.0.5:4001", SocketAddress("rtu", False, "10.0.0.5", 4001)),
            ("modbus+tcp:plc.example", SocketAddress("modbus", False, "plc.example", 502)),
            ("modbus+tcp:[fe80::1]:1502", SocketAddress("modbus", False, "fe80::1", 1502)),
            ("modbus+tcp:[fe80::1%eth0]", SocketAddress("modbus", False, "fe80::1%eth0", 502)),
            ("rtu+tcp-listen:4001:interface=[::1]", SocketAddress("rtu", True, "::1", 4001)),
            ("/dev/serial/by-path/usb-0:1.2:1.0", None),
            ("rtu+tcp-listen:4001", SocketAddress("rtu", True, "", 4001)),
            ("modbus+tcp-listen:1502:interface=127.0.0.1", SocketAddress("modbus", True, "127.0.0.1", 1502)),
        ):
            self.assertEqual(socket_address(path), address, path)
        self.assertEqual(str(socket_address("modbus+tcp:[fe80::1]")), "[fe80::1]:502")

    def test_no_places(self) -> None:
        for path, said in (
            ("rtu+tcp:10.0.0.5", "looks like rtu+tcp:192.168.1.5:4001"), ("rtu+tcp:", "looks like"),
            ("rtu+tcp::4001", "names no host"), ("rtu+tcp:a:b", "'b' is no TCP port"), ("rtu+tcp:a:0", "no TCP port"),
            ("modbus+tcp:a:70000", "'70000' is no TCP port"), ("modbus+tcp:a:502:9", "no place"),
            ("rtu+tcp-listen:a:4001", "looks like rtu+tcp-listen:4001"),
            ("rtu+tcp:fe80::1:4001", "an IPv6 address stands in brackets"),
            ("rtu+tcp://10.0.0.5:4001", "'//10.0.0.5' is no name or address of a host"),
            ("rtu+tcp:h h:1", "'h h' is no name"), ("rtu+tcp:[h]:1", "'[h]' is no name"),
            ("modbus+tcp:baud=1:502", "'baud=1' is no name"),
            ("rtu+tcp-listen:1:interface=eth0", "'eth0' is no address of this machine; say interface=192.168.1.1"),
            ("modbus-tcp:h:502", "looks like modbus+tcp:192.168.1.5:502"), ("modbus:h", "looks like modbus+tcp:"),
            ("tcp:h:1", "looks like rtu+tcp:"), ("RTU+TCP:h:1", "looks like rtu+tcp:192.168.1.5:4001"),
            ("rtu-tcp-listen:1", "looks like rtu+tcp-listen:4001"), ("serail:/dev/a", "looks like serial:/dev/ttyUSB0"),
        ):
            self.assertIn(said, str(self.assertRaises(ValueError, socket_address, path)), path)

    def test_settings_behind_it(self) -> None:
        for text, path, words in (
            ("rtu+tcp:h:1:timeout=1:echo=on", "rtu+tcp:h:1", ["timeout=1", "echo=on"]),
            ("serial:/dev/a:baudrate=19200", "/dev/a", ["baudrate=19200"]), ("serial:/dev/a", "/dev/a", []),
            (r"serial:/dev/a\:b", "/dev/a:b", []), ("/dev/a:b", "/dev/a:b", []),
            ("rtu+tcp-listen:1:interface=[::1]:timeout=2", "rtu+tcp-listen:1:interface=[::1]", ["timeout=2"]),
        ):
            self.assertEqual(parted(text), (path, words))

    def test_the_same(self) -> None:
        self.assertEqual(same_place("rtu+tcp:h:1"), same_place("rtu+tcp:h:1"))
        self.assertEqual(same_place("modbus+tcp:h:1"), "")
        self.assertEqual(same_place("rtu+tcp-listen:1"), same_place("rtu+tcp-listen:1:interface=127.0.0.1"))
        self.assertNotEqual(same_place("rtu+tcp:h:1"), same_place("rtu+tcp-listen:1"))

    def test_what_the_bus_goes_by(self) -> None:
        """Nothing echoes, no silence is needed, and Modbus TCP takes no wire time."""
        rtu_bus = PortSettings(path="rtu+tcp:h:1").of_the_bus()
        self.assertEqual((rtu_bus.echo, rtu_bus.frame_gap, rtu_bus.baudrate), ("off", 0.0, 9600))
        told = PortSettings(path="rtu+tcp:h:1", echo="on", frame_gap=0.01, baudrate=19200).of_the_bus()
        self.assertEqual((told.echo, told.frame_gap, told.baudrate), ("on", 0.01, 19200))
        self.assertGreater(PortSettings(path="modbus+tcp:h").of_the_bus().baudrate, 1_000_000)
        self.assertEqual(PortSettings(path="/dev/a").of_the_bus(), PortSettings(path="/dev/a"))
        units = {7: UnitSettings(baudrate=300, timeout=2.0)}
        self.assertEqual(PortSettings(path="rtu+tcp:h:1", units=units).of_the_bus().serial_for(7).baudrate, 300)
        modbus = PortSettings(path="modbus+tcp:h", units=units).of_the_bus()
        self.assertEqual((modbus.serial_for(7), modbus.units[7].timeout), (modbus.serial, 2.0))

    def test_what_only_a_serial_device_has(self) -> None:
        self.assertEqual(list(PortSettings(path="/dev/a", rs485=True).faults()), [])
        self.assertEqual(
            list(PortSettings(path="rtu+tcp:h:1", rs485=True, parity="E").faults()),
            [("rs485", "only a serial device has this, and rtu+tcp:h:1 is none"),
             ("parity", "only a serial device has this, and rtu+tcp:h:1 is none")],
        )
        units = {7: UnitSettings(parity="E", baudrate=9600)}
        self.assertEqual(list(PortSettings(path="/dev/a", units=units).faults()), [])
        self.assertEqual(
            list(PortSettings(path="rtu+tcp:h:1", units=units).faults()),
            [("units.7.parity", "only a serial device has this, and rtu+tcp:h:1 is none")],
        )


class RecordingBus(Protocol):
    """What the bus's protocol is told."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.why = ""

    def dataReceived(self, data: bytes) -> None:
        """A frame."""
        self.heard.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """And why it ended."""
        self.why = why_lost(reason.value)


class _Quick(StringTransport):  # type: ignore[misc]
    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As a socket's."""

    setTcpKeepAlive = setTcpNoDelay

    def getHandle(self) -> Any:
        """As a socket's."""
        return self

    def setsockopt(self, *words: object) -> None:
        """As a socket's."""

    def abortConnection(self) -> None:
        """As a socket's."""
        self.aborted = True


class ModbusTcpBus(SynchronousTestCase):
    """A bus whose messages are frames of Modbus TCP."""

    def setUp(self) -> None:
        self.bus = Bus(PortSettings(path="modbus+tcp:h").of_the_bus(), framing=MbapFraming())
        self.bus.port_opened(0.0)
        self.replies: list[bytes] = []

    def sent(self, unit: int, pdu: bytes, at: float = 0.0) -> int:
        """Asks something; the number that it got."""
        self.bus.submit(Request("me", unit, pdu, SERIAL, at + 2.0, retries=0), at)
        frame = self.bus.next_frame()
        assert frame is not None
        (adu,) = MbapDecoder().receive(frame.data)
        self.assertEqual(adu[1:], (unit, pdu))
        return adu.transaction_id

    def hear(self, data: bytes, at: float = 0.0) -> list[Event]:
        """What comes of some bytes."""
        self.bus.receive_data(data, at)
        return list(iter(self.bus.next_event, None))

    @given(st.integers(1, 12))
    def test_round_trip(self, size: int) -> None:
        self.setUp()
        reply = mbap(self.sent(7, READ), 7, REPLY)
        events = [self.hear(reply[start : start + size]) for start in range(0, len(reply), size)]
        self.assertEqual([bool(one) for one in events], [False] * (len(events) - 1) + [True])
        self.assertEqual(events[-1][0][1], REPLY)

    def test_a_late_reply_is_never_the_next_ones(self) -> None:
        """The same shape was asked again: only the newer one's number counts."""
        first = self.sent(7, READ)
        self.bus.handle_timer(3.0)
        self.assertEqual(len(self.hear(b"", 3.0)), 1)
        second = self.sent(7, READ, 3.0)
        self.assertEqual(self.hear(mbap(first, 7, REPLY), 3.0), [])
        self.assertEqual(self.bus.counters.late, 1)
        (event,) = self.hear(mbap(second, 7, REPLY) * 2, 3.0)
        self.assertEqual((event[1], self.bus.counters.late), (REPLY, 2))

    def test_what_is_no_reply(self) -> None:
        number = self.sent(7, READ)
        (event,) = self.hear(mbap(number + 1, 7, REPLY) + mbap(number, 7, b"\x04\x02\0\1"))
        self.assertEqual((self.bus.counters.late, self.bus.counters.foreign), (1, 1))
        self.assertIn("its reply is one of function 4", str(event[1]))

    def test_a_device_that_repeats_the_unit_wrongly(self) -> None:
        (event,) = self.hear(mbap(self.sent(7, READ), 255, REPLY))
        self.assertEqual(event[1], REPLY)


class Sockets(SynchronousTestCase):
    """One connection."""

    def setUp(self) -> None:
        self.bus, self.wire = RecordingBus(), _Quick()
        self.link = Link(SocketAddress("modbus", False, "10.0.0.5", 502))
        self.socket = BusSocket(self.bus, self.link)
        self.socket.makeConnection(self.wire)

    def test_another_protocol(self) -> None:
        bus = Bus(PortSettings(path="modbus+tcp:h").of_the_bus(), framing=self.link.framing)
        protocol = RTUProtocol(bus, Clock(), lambda: 0.0)
        protocol.makeConnection(self.socket)
        protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n")
        self.assertTrue(self.wire.aborted)
        self.socket.connectionLost(Failure(ConnectionAborted()))
        self.assertEqual(
            self.bus.why, "the other side does not speak Modbus TCP, its protocol identifier is 21584, Modbus has 0"
        )

    def test_who_ended_it(self) -> None:
        """A bus whose own side closed it is told as Twisted tells it."""
        for error, why in (
            (ConnectionDone(), "the other side closed the connection"), (ConnectionLost(), "the connection broke"),
        ):
            self.setUp()
            self.socket.connectionLost(Failure(error))
            self.assertEqual(self.bus.why, why)
        self.setUp()
        self.socket.loseConnection()
        self.socket.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.bus.why, "the device hung up")


class Connecting(SynchronousTestCase):
    """An attempt that fails."""

    ADDRESS = SocketAddress("rtu", False, "10.0.0.5", 4001)

    def test_is_told_at_once(self) -> None:
        """Without a turn of the clock: what an attempt takes comes on top of the pause before the next one."""
        for host in ("10.0.0.5", "fe80::1"):
            reactor = MemoryReactorClock()
            endpoint = SocketEndpoint(reactor, Link(SocketAddress("rtu", False, host, 4001)))
            connecting = endpoint.connect(Factory.forProtocol(Protocol))
            ((to, tcp_port, factory, timeout, _),) = reactor.tcpClients
            self.assertEqual((to, tcp_port, timeout), (host, 4001, CONNECT_TIMEOUT))
            factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
            told = str(self.failureResultOf(connecting, PortError).value)
            self.assertTrue(told.startswith(f"{'[fe80::1]' if ':' in host else host}:4001 refuses"), told)

    def test_what_is_told(self) -> None:
        for error, told in (
            (ConnectionRefusedError(), "refuses the connection; nothing waits there"),
            (TimeoutError(), "10.0.0.5:4001 does not answer; is it on"),
            (TCPTimedOutError(110, "Connection timed out"), "10.0.0.5:4001 does not answer; is it on"),
            (NoRouteError(113, "No route to host"), "no network leads to 10.0.0.5:4001; is the cable in"),
            (DNSLookupError("nothing"), "the name 10.0.0.5 is not known"),
            (OSError(24, "Too many open files"), "no connection to 10.0.0.5:4001 ([Errno 24] Too many open files); "),
        ):
            self.assertIn(told, why_no_connection(self.ADDRESS, error))


class Peer(Protocol):
    """The other side: a device behind a socket."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.device = SimulatedDevice()
        self.is_silent = False
        self.speaks_modbus_tcp = False

    def dataReceived(self, data: bytes) -> None:
        """A request in each segment, as one bus sends them."""
        self.asked.append(data)
        if self.is_silent:
            return
        if self.speaks_modbus_tcp:
            for adu in MbapDecoder().receive(data):
                self.transport.write(mbap(adu.transaction_id, adu.unit, self.answer(adu.unit, adu.pdu)))
        else:
            self.transport.write(rtu(data[0], self.answer(data[0], data[1:-2])))

    def answer(self, unit: int, pdu: bytes) -> bytes:
        """What the device says; units 10 and 11 stand for a gateway without a path, and one without a reply."""
        if unit in (10, 11):
            return bytes((pdu[0] | 0x80, unit))
        return self.device.answer(pdu, 0.0) or b""


class SocketCase(TestCase):
    """A port on a socket, and the other side."""

    timeout = 20

    def setUp(self) -> None:
        self.tcp_port = free_tcp_port()
        self.peers: list[Peer] = []
        self.listening: Any = None

    def make(self, path: str, **settings: Any) -> PortService:
        port = PortService("plc", PortSettings(path=path, **settings), reactor, time.monotonic)
        port.startService()
        self.addCleanup(port.stopService)
        return port

    def listen(self, **how: Any) -> None:
        """The other side is there."""
        self.how = how

        def build(addr: object) -> Peer:
            return self.peer(**self.how)

        factory = Factory()
        factory.buildProtocol = build  # type: ignore[method-assign,assignment]
        self.listening = reactor.listenTCP(self.tcp_port, factory, interface="127.0.0.1")
        self.addCleanup(self.away)

    def peer(self, **how: Any) -> Peer:
        peer = Peer()
        for key, value in how.items():
            setattr(peer, key, value)
        self.peers.append(peer)
        self.addCleanup(lambda: peer.transport and peer.transport.abortConnection())
        return peer

    def away(self) -> Any:
        """It listens no longer, and its connections are cut."""
        listening, self.listening = self.listening, None
        for peer in self.peers:
            peer.transport.abortConnection()
        return listening and listening.stopListening()

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            await deferLater(reactor, 0.005)

    def ask(self, port: PortService, pdu: bytes, unit: int = 1, timeout: float = 5.0) -> Deferred[bytes]:
        return port.request(SOMEBODY, unit, pdu, Terms(timeout))

    async def fall_silent(self, port: PortService) -> None:
        """Nobody on the bus says a byte."""
        for unit in range(1, 9):
            await self.assertFailure(self.ask(port, READ, unit, timeout=0.5), ResponseTimeout, PortLost)


class RtuOverTcp(SocketCase):
    """``rtu+tcp:``."""

    async def test_as_a_twisted_endpoint(self) -> None:
        self.listen()
        endpoint: Any = clientFromString(reactor, f"rtu+tcp:127.0.0.1:{self.tcp_port}")
        bus = RecordingBus()
        self.assertIs(await endpoint.connect(Factory.forProtocol(lambda: bus)), bus)
        bus.transport.send_frame(rtu(1, WRITE), SERIAL)
        await self.until(lambda: bus.heard)
        self.assertEqual(bus.heard, [rtu(1, WRITE)])
        bus.transport.loseConnection()
        error = self.assertRaises(ConfigError, clientFromString, reactor, "modbus+tcp:127.0.0.1:0")
        self.assertIn("'0' is no TCP port", str(error))

    async def test_round_trip(self) -> None:
        self.listen()
        port = self.make(f"rtu+tcp:127.0.0.1:{self.tcp_port}")
        await self.until(lambda: port.is_open)
        self.assertEqual(await self.ask(port, WRITE), WRITE)
        self.assertEqual(await self.ask(port, READ), REPLY)
        await self.assertFailure(self.ask(port, bytes.fromhex("03FFFF0001")), IllegalDataAddress)
        self.assertEqual(port.describe().serial, "RTU at 9600")

    async def test_not_there_and_then_there(self) -> None:
        port = self.make(f"rtu+tcp:127.0.0.1:{self.tcp_port}")
        await self.until(lambda: "refuses the connection" in port.describe().state)
        await self.assertFailure(self.ask(port, READ), PortClosed)
        self.listen()
        await self.until(lambda: port.is_open)
        self.assertEqual(await self.ask(port, WRITE), WRITE)

    async def test_lost_while_asked(self) -> None:
        """A write's outcome is unknown; it comes back by itself."""
        self.listen(is_silent=True)
        port = self.make(f"rtu+tcp:127.0.0.1:{self.tcp_port}", timeout=1.0)
        await self.until(lambda: port.is_open)
        write, read = self.ask(port, WRITE), self.ask(port, READ)
        await self.until(lambda: self.peers[0].asked)
        await self.away()
        await self.assertFailure(write, OutcomeUnknown)
        await self.assertFailure(read, PortClosed)  # it waited, and never left
        self.assertEqual(port.describe().counters.unknown_outcomes, 1)

    async def test_a_read_that_was_lost(self) -> None:
        self.listen(is_silent=True)
        port = self.make(f"rtu+tcp:127.0.0.1:{self.tcp_port}", timeout=1.0, retries=0)
        await self.until(lambda: port.is_open)
        read = self.ask(port, READ)
        await self.until(lambda: self.peers[0].asked)
        self.peers[0].transport.loseConnection()
        error = await self.assertFailure(read, PortLost)
        self.assertIn("it was lost (the other side closed the connection)", str(error))
        await self.until(lambda: port.is_open)

    async def test_back_again(self) -> None:
        """It comes back by itself."""
        self.listen()
        port = self.make(f"rtu+tcp:127.0.0.1:{self.tcp_port}")
        await self.until(lambda: port.is_open)
        await self.away()
        await self.until(lambda: "refuses" in port.describe().state)
        self.listen()
        await self.until(lambda: port.is_open)
        self.assertEqual(await self.ask(port, WRITE), WRITE)

    async def test_a_request_cannot_change_the_speed_of_a_converter(self) -> None:
        self.listen()
        port = self.make(f"rtu+tcp:127.0.0.1:{self.tcp_port}")
        await self.until(lambda: port.is_open)
        odd = SerialSettings(baudrate=75, parity="E")
        self.assertEqual(await port.request(ME, 1, WRITE, Terms(5.0, serial=odd)), WRITE)

    async def test_silence(self) -> None:
        self.listen(is_silent=True)
        port = self.make(f"rtu+tcp:127.0.0.1:{self.tcp_port}", timeout=0.05, retries=0)
        await self.until(lambda: port.is_open)
        await self.assertFailure(self.ask(port, READ, timeout=0.5), ResponseTimeout)

    async def test_a_link_that_stalls(self) -> None:
        """It hands over everything later; the next read waits for the proof that nothing older comes."""
        self.listen(is_silent=True)
        port = self.make(f"rtu+tcp:127.0.0.1:{self.tcp_port}", timeout=0.3, retries=0)
        await self.until(lambda: port.is_open and self.peers)
        await self.assertFailure(self.ask(port, READ, timeout=1.0), ResponseTimeout)
        stalled = self.peers[0]
        stalled.is_silent = False
        asking = self.ask(port, bytes.fromhex("0300050001"))
        stalled.transport.write(rtu(1, bytes.fromhex("030209A9")))  # to the read before, or to any other
        self.assertEqual(await asking, bytes.fromhex("03020000"))
        self.assertEqual(([one[1] for one in stalled.asked], len(self.peers)), ([3, 8, 3], 1))

    async def test_a_link_that_stalls_for_good(self) -> None:
        """A new connection may help."""
        self.listen(is_silent=True)
        port = self.make(f"rtu+tcp:127.0.0.1:{self.tcp_port}", timeout=0.05, retries=0)
        await self.until(lambda: port.is_open and self.peers)
        self.how = {"is_silent": False}
        await self.fall_silent(port)
        self.assertEqual(await self.ask(port, WRITE), WRITE)
        self.assertEqual((len(self.peers), port.describe().counters.renewals), (2, 1))

    async def test_a_stalled_link_that_is_gone(self) -> None:
        """Whoever waits for the new connection is told that there is none."""
        self.listen(is_silent=True)
        port = self.make(f"rtu+tcp:127.0.0.1:{self.tcp_port}", timeout=0.05, retries=0)
        await self.until(lambda: port.is_open and self.peers)
        for unit in range(1, 8):
            await self.assertFailure(self.ask(port, READ, unit, timeout=0.5), ResponseTimeout)
        await self.listening.stopListening()
        last, waiting = self.ask(port, READ, 8, timeout=0.5), self.ask(port, READ, 9)
        await self.assertFailure(last, ResponseTimeout, PortLost)
        error = await self.assertFailure(waiting, PortClosed)
        self.assertIn("refuses the connection", str(error))

    async def test_a_name_that_nobody_knows(self) -> None:
        port = self.make("rtu+tcp:nowhere.invalid:4001")
        await self.until(lambda: "nowhere.invalid" in port.describe().state)
        self.assertIn("is not known", port.describe().state)


class ModbusTcp(SocketCase):
    """``modbus+tcp:``."""

    async def test_round_trip(self) -> None:
        self.listen(speaks_modbus_tcp=True)
        port = self.make(f"modbus+tcp:127.0.0.1:{self.tcp_port}")
        await self.until(lambda: port.is_open)
        self.assertEqual(await self.ask(port, WRITE), WRITE)
        self.assertEqual(await self.ask(port, READ), REPLY)
        self.assertEqual(port.describe().serial, "Modbus TCP")

    async def test_replies_that_were_not_waited_for(self) -> None:
        """Whoever asks for statistics sees them."""
        self.listen(speaks_modbus_tcp=True)
        port = self.make(f"modbus+tcp:127.0.0.1:{self.tcp_port}")
        await self.until(lambda: port.is_open and self.peers[0].connected)
        self.peers[0].transport.write(mbap(4711, 1, REPLY) * 3)
        self.assertEqual(await self.ask(port, WRITE), WRITE)
        self.assertEqual(port.describe().counters.late, 3)

    async def test_another_gateways_exceptions(self) -> None:
        """For reads they are what they are; a write that got 0B is not proven."""
        self.listen(speaks_modbus_tcp=True)
        port = self.make(f"modbus+tcp:127.0.0.1:{self.tcp_port}")
        await self.until(lambda: port.is_open)
        await self.assertFailure(self.ask(port, READ, 10), GatewayPathUnavailable)
        await self.assertFailure(self.ask(port, WRITE, 10), GatewayPathUnavailable)
        await self.assertFailure(self.ask(port, READ, 11), GatewayTargetDeviceFailedToRespond)
        error = await self.assertFailure(self.ask(port, WRITE, 11), OutcomeUnknown)
        self.assertIn("a gateway behind plc got no reply", str(error))


class DialIn(SocketCase):
    """``rtu+tcp-listen:`` and ``modbus+tcp-listen:``."""

    def dial(self, **how: Any) -> Deferred[Any]:
        return connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.tcp_port), self.peer(**how))

    async def test_it_dials_in_and_is_asked(self) -> None:
        for scheme, how in (("rtu+tcp", {}), ("modbus+tcp", {"speaks_modbus_tcp": True})):
            port = self.make(f"{scheme}-listen:{self.tcp_port}:interface=127.0.0.1")
            await self.until(lambda: "nobody has dialled in" in port.describe().state)  # noqa: B023
            await self.assertFailure(self.ask(port, READ), PortClosed)
            await self.dial(**how)
            await self.until(lambda: port.is_open)  # noqa: B023
            self.assertEqual(await self.ask(port, WRITE), WRITE)
            await port.stopService()

    async def test_the_newest_is_the_bus(self) -> None:
        """A converter that comes again has forgotten the connection before, which may look alive for minutes."""
        port = self.make(f"rtu+tcp-listen:{self.tcp_port}:interface=127.0.0.1", timeout=0.1)
        told: list[str] = []
        self.patch(dial_in, "_log", Logger("test", observer=lambda event: told.append(formatEvent(event))))
        old: Peer = await self.dial(is_silent=True)
        await self.until(lambda: port.is_open)
        write = self.ask(port, WRITE)
        await self.until(lambda: old.asked)
        new: Peer = await self.dial()
        await self.assertFailure(write, OutcomeUnknown)
        await self.until(lambda: not old.transport.connected)
        place = f"127.0.0.1:{self.tcp_port}"
        self.assertRegex(told[0], rf"^127\.0\.0\.1:\d+ dialled in on {place}$")
        self.assertRegex(told[1], rf"^127\.0\.0\.1:\d+ dialled in on {place} and takes the place of the one before$")
        await self.until(lambda: port.is_open)
        self.assertEqual(await self.ask(port, WRITE), WRITE)
        self.assertEqual(([one[1] for one in old.asked], [one[1] for one in new.asked]), ([6], [8, 6]))

    async def test_a_place_that_is_taken(self) -> None:
        """It is said who may have it, and it is tried again."""
        self.listen()
        port = self.make(f"rtu+tcp-listen:{self.tcp_port}:interface=127.0.0.1")
        await self.until(lambda: "cannot listen" in port.describe().state)
        self.assertIn("another program listens there, or a listener of ours", port.describe().state)
        await self.away()
        await self.until(lambda: "nobody has dialled in" in port.describe().state)
        await self.dial()
        await self.until(lambda: port.is_open)
        self.assertEqual(await self.ask(port, WRITE), WRITE)

    async def test_an_address_of_another_machine(self) -> None:
        port = self.make(f"rtu+tcp-listen:{self.tcp_port}:interface=192.0.2.7")
        await self.until(lambda: "cannot listen" in port.describe().state)
        self.assertIn("is 192.0.2.7 an address of this machine?", port.describe().state)

    async def test_it_leaves_and_comes_again(self) -> None:
        port = self.make(f"rtu+tcp-listen:{self.tcp_port}:interface=127.0.0.1")
        old: Peer = await self.dial()
        await self.until(lambda: port.is_open)
        old.transport.loseConnection()
        await self.until(lambda: not port.is_open)
        await self.dial()
        await self.until(lambda: port.is_open)
        self.assertEqual(await self.ask(port, WRITE), WRITE)

    async def test_it_stalls_and_comes_again(self) -> None:
        """What waits for the new connection keeps waiting while the converter notices that the old one is cut."""
        port = self.make(f"rtu+tcp-listen:{self.tcp_port}:interface=127.0.0.1", timeout=0.05, retries=0)
        stalled: Peer = await self.dial(is_silent=True)
        await self.until(lambda: port.is_open)
        await self.fall_silent(port)
        asking = self.ask(port, WRITE)
        await self.until(lambda: not stalled.transport.connected)
        await self.dial()
        await asking
        self.assertEqual(len(stalled.asked), 8)

    async def test_it_stalls_and_stays_away(self) -> None:
        self.patch(dial_in, "COMES_AGAIN", 0.1)
        port = self.make(f"rtu+tcp-listen:{self.tcp_port}:interface=127.0.0.1", timeout=0.05, retries=0)
        await self.dial(is_silent=True)
        await self.until(lambda: port.is_open)
        await self.fall_silent(port)
        error = await self.assertFailure(self.ask(port, WRITE), PortClosed)
        self.assertIn("nobody has dialled in", str(error))
