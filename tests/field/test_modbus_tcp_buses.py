"""Modbus TCP devices and gateways as people met them, rows A1 to A9, A12 and A14. Over real sockets.

Each device is a function from a request to what it sends back: bytes, or :data:`CLOSE` or :data:`RESET`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lumina_twisted.access.caller import Caller, Terms, caller_of
from lumina_twisted.config.compose import Given, compose
from lumina_twisted.errors import (
    ConfigError,
    IllegalDataValue,
    OutcomeUnknown,
    PortClosed,
    PortLost,
    RequestError,
    ResponseTimeout,
)
from lumina_twisted.framing.mbap import Adu, MbapDecoder
from lumina_twisted.framing.mbap import encode_adu as mbap
from lumina_twisted.framing.rtu import encode_adu as rtu
from lumina_twisted.frontends.gateway import Gateway, GatewayOptions
from lumina_twisted.ports import pool as pool_module
from lumina_twisted.ports.pool import PortPool
from lumina_twisted.ports.service import PortService
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.reconnecting import LONGEST_FRUITLESS_WAIT, Connections
from tests.twistd_process import free_tcp_port

ME = Caller("me")
CLOSE: Final = "close"
RESET: Final = "reset"
Does = Iterable[bytes | str]
READ = bytes.fromhex("0300000001")
WRITE = bytes.fromhex("060000002A")


def read(address: int) -> bytes:
    """A read of one holding register."""
    return b"\x03" + address.to_bytes(2, "big") + b"\0\1"


def value(number: int) -> bytes:
    """The reply that says so."""
    return b"\x03\x02" + number.to_bytes(2, "big")


def honest(adu: Adu) -> bytes:
    """A device whose registers hold their own addresses; it confirms writes."""
    pdu = value(int.from_bytes(adu.pdu[1:3], "big")) if adu.pdu[0] == 3 else adu.pdu[:5]
    return mbap(adu.transaction_id, adu.unit, pdu)


def headed(adu: Adu, length: int, pdu: bytes) -> bytes:
    """A reply whose header says any length."""
    return adu.transaction_id.to_bytes(2, "big") + b"\0\0" + length.to_bytes(2, "big") + bytes((adu.unit,)) + pdu


class Connection(Protocol):
    """One connection of the device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.decoder = MbapDecoder()

    def connectionMade(self) -> None:
        """Somebody came."""
        self.transport.setTcpNoDelay(True)
        self.device.connections.append(self)
        self.do(self.device.greets())

    def dataReceived(self, data: bytes) -> None:
        """Requests."""
        for adu in self.device.requests(self, data):
            self.device.asked.append(adu)
            self.do(self.device.answers(adu))

    def do(self, what: Does) -> None:
        """Sends, closes or resets."""
        for one in what:
            if isinstance(one, bytes):
                self.transport.write(one)
            elif one == RESET:
                self.transport.abortConnection()
            else:
                self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It ended."""


class Device(Factory):
    """What is behind the socket."""

    noisy = False

    def __init__(self, answers: Callable[[Adu], Does]) -> None:
        self.answers = answers
        self.greets: Callable[[], Does] = tuple
        self.connections: list[Connection] = []
        self.asked: list[Adu] = []
        self.is_rtu = False
        self.listening: Any = None

    def buildProtocol(self, addr: object) -> Connection:  # type: ignore[override]
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        return Connection(self)

    def requests(self, connection: Connection, data: bytes) -> list[Adu]:
        """As numbered ones, also of RTU."""
        if self.is_rtu:
            return [Adu(0, data[0], data[1:-2])]
        return list(connection.decoder.receive(data))


class BusCase(TestCase):
    """A port, and a device behind a socket."""

    timeout = 30

    def device(self, answers: Callable[[Adu], Does]) -> Device:
        self.tcp_port = free_tcp_port()
        device = Device(answers)
        device.listening = reactor.listenTCP(self.tcp_port, device, interface="127.0.0.1")
        self.addCleanup(self.away, device)
        return device

    def away(self, device: Device) -> Any:
        """It is gone; its connections are cut."""
        for one in device.connections:
            one.transport.abortConnection()
        return device.listening.stopListening()

    def port(self, scheme: str = "modbus+tcp", **settings: Any) -> PortService:
        path = f"{scheme}:127.0.0.1:{self.tcp_port}"
        port = PortService("plc", PortSettings(path=path, **settings), reactor, time.monotonic)
        port.startService()
        self.addCleanup(port.stopService)
        return port

    def ask(self, port: Any, pdu: bytes = READ, unit: int = 1, timeout: float = 5.0) -> Deferred[bytes]:
        return port.request(caller_of(("somebody", unit)), unit, pdu, Terms(timeout))

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            await deferLater(reactor, 0.002)

    def log(self) -> list[str]:
        """The lines of the log from now on, before any are folded."""
        told: list[str] = []

        def note(event: LogEvent) -> None:
            space = str(event.get("log_namespace", ""))
            if space.startswith("lumina") and space != "lumina.writes":
                told.append(formatEvent(event))

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        return told


class KeptReplies(BusCase):
    """A1: a gateway keeps the reply of a connection that ended, and hands it over on the next one."""

    async def played(self, first_ends: Callable[[PortService], Any], pause: float = 0.0) -> bytes:
        kept: list[bytes] = []

        def answers(adu: Adu) -> Does:
            if len(device.connections) == 1:
                kept.append(mbap(adu.transaction_id, adu.unit, value(0xAAAA)))
                return [CLOSE] if first_ends is _nothing else []
            return [*kept, mbap(adu.transaction_id, adu.unit, value(0xBBBB))]

        device = self.device(answers)
        port = self.port(retries=0, timeout=0.1)
        lost = self.ask(port, read(1), timeout=0.5).addErrback(lambda _: b"")
        await self.until(lambda: device.asked)
        await first_ends(port)
        self.assertEqual(await lost, b"")
        await deferLater(reactor, pause)
        reply = await self.ask(port, read(5))
        self.assertEqual((len(device.connections), port.describe().counters.late), (2, 1))
        return reply

    async def test_the_device_ended_it(self) -> None:
        self.assertEqual(await self.played(_nothing), value(0xBBBB))

    async def test_a_while_later(self) -> None:
        self.assertEqual(await self.played(_nothing, pause=0.5), value(0xBBBB))

    async def test_we_ended_it(self) -> None:
        self.assertEqual(await self.played(PortService.close_device), value(0xBBBB))


async def _nothing(port: PortService) -> None:
    """Lumina does not end it."""


class OpenedByRequests(BusCase):
    """A2: ``open = "request"`` and ``idle_close`` on a socket."""

    async def played(self, scheme: str) -> None:
        device = self.device(lambda adu: [honest(adu)])
        if scheme == "rtu+tcp":
            device.is_rtu = True
            device.answers = lambda adu: [rtu(adu.unit, honest(adu)[7:])]
        self.patch(pool_module, "_LOOK_EVERY", 0.02)
        path = f"{scheme}:127.0.0.1:{self.tcp_port}"
        ports = PortPool(
            {"plc": PortSettings(path=path, open="request", idle_close=0.1, timeout=0.3)}, reactor, time.monotonic
        )
        ports.startService()
        self.addCleanup(ports.stopService)
        port: Any = ports.find("plc")
        for address in range(4):
            self.assertEqual(await self.ask(port, read(address)), value(address))
            await self.until(lambda: "closed until" in port.describe().state)
        self.assertEqual((len(device.connections), len(device.asked)), (4, 4))

    async def test_modbus_tcp(self) -> None:
        await self.played("modbus+tcp")

    async def test_rtu_over_tcp(self) -> None:
        await self.played("rtu+tcp")

    async def test_several_at_once_and_at_the_start(self) -> None:
        """All wait for the one connection; also those that come before a port that opens at the start is open."""
        for opens in ("request", "start"):
            device = self.device(lambda adu: [honest(adu)])
            port = self.port(open=opens)
            asking = [self.ask(port, read(at), unit) for at in range(3) for unit in (1, 2)]
            self.assertEqual([ok for ok, _ in await DeferredList(asking)], [True] * 6, opens)
            self.assertEqual(len(device.connections), 1)

    async def test_nobody_is_there(self) -> None:
        """The attempt fails, and who waited for it is told at once why."""
        self.tcp_port = free_tcp_port()
        began = time.monotonic()
        error = await self.assertFailure(self.ask(self.port(open="request")), PortClosed)
        self.assertIn("refuses the connection", str(error))
        self.assertLess(time.monotonic() - began, 1.0)

    async def test_its_deadline_holds(self) -> None:
        """An address that does not answer: the request ends when its caller stops waiting."""
        port = PortService("plc", PortSettings(path="modbus+tcp:192.0.2.1", open="request"), reactor, time.monotonic)
        self.patch(port._endpoint, "connect", lambda factory: Deferred())
        port.startService()
        self.addCleanup(port.stopService)
        began = time.monotonic()
        error = await self.assertFailure(self.ask(port, timeout=0.2), Exception)
        self.assertIn("not sent", str(error))
        self.assertLess(time.monotonic() - began, 1.0)


class OddHeaders(BusCase):
    """A3, A4, A5: one unit answers with headers that are wrong, a healthy one answers beside it."""

    async def played(
        self, odd: Callable[[Adu], Does], rounds: int = 20, timeout: float = 0.5
    ) -> tuple[list[Any], float]:
        """What the odd unit's requests came to, and how long each took; the healthy unit gets all its answers."""
        self.odd_device = device = self.device(lambda adu: odd(adu) if adu.unit == 1 else [honest(adu)])
        port = self.port(timeout=timeout, retries=0)
        results, began = [], time.monotonic()
        for address in range(rounds):
            asking = [self.ask(port, read(address), unit) for unit in (1, 2)]
            (_, came), (good, healthy) = await DeferredList(asking, consumeErrors=True)
            results.append(came)
            self.assertTrue(good, healthy)
            self.assertEqual(healthy, value(address))
        self.assertEqual(len(device.connections), 1)
        return results, (time.monotonic() - began) / rounds

    async def test_a3_an_exception_whose_length_is_too_great(self) -> None:
        results, each = await self.played(lambda adu: [headed(adu, 4, b"\x83\x03")])
        self.assertEqual({type(one.value) for one in results}, {IllegalDataValue})
        self.assertLess(each, 0.1)

    async def test_a3_the_last_byte_of_the_length_comes_later(self) -> None:
        """The exception came; the padding that its header counts comes with the next reply."""
        results, _ = await self.played(lambda adu: [headed(adu, 4, b"\x83\x03") + b"\0"])
        self.assertEqual({type(one.value) for one in results}, {IllegalDataValue})

    async def test_a4_a_length_one_too_great_or_too_small(self) -> None:
        told = self.log()
        for length in (6, 4, 254, 2):
            results, each = await self.played(lambda adu, length=length: [headed(adu, length, honest(adu)[7:])])
            self.assertEqual(results, [value(address) for address in range(20)], length)
            self.assertLess(each, 0.1)
        warnings = [line for line in told if "is read by its function code" in line]
        self.assertEqual(len(warnings), 4)  # once a port
        self.assertIn("its length field says 6 where the reply has 5", warnings[0])

    async def test_a5_a_header_and_nothing_else(self) -> None:
        """It costs its own request, at once, with a sentence that says what came."""
        results, each = await self.played(lambda adu: [headed(adu, 1, b"")])
        self.assertEqual({type(one.value) for one in results}, {ResponseTimeout})
        self.assertIn("no usable reply to function 3, asked once: its reply is a header and nothing else",
                      str(results[0].value))
        self.assertLess(each, 0.1)

    async def test_a5_now_and_then(self) -> None:
        """With the default retries nobody notices."""
        device = self.device(
            lambda adu: [headed(adu, 1, b"") if len(device.asked) % 3 == 0 else honest(adu)]
        )
        port = self.port()
        for address in range(30):
            self.assertEqual(await self.ask(port, read(address)), value(address))
        self.assertEqual(len(device.connections), 1)

    async def test_half_a_reply_does_not_eat_the_next_one(self) -> None:
        """The kind of A3: whatever stays unfinished is dropped with its request."""
        for cut in (3, 6, 7, 8, 10):
            results, _ = await self.played(lambda adu, cut=cut: [honest(adu)[:cut]], rounds=2, timeout=0.1)
            self.assertEqual({type(one.value) for one in results}, {ResponseTimeout})


class Closes(BusCase):
    """A6 and A7: the other side ends the connection."""

    async def test_a6_the_same_read_again(self) -> None:
        """The device closes with a read on the wire: it is answered on the next connection, without any wait."""
        device = self.device(lambda adu: [CLOSE] if len(device.asked) == 1 else [honest(adu)])
        for retries in (0, 2):
            device.asked.clear()
            port = self.port(timeout=5.0, retries=retries)
            began = time.monotonic()
            if not retries:
                await self.assertFailure(self.ask(port, read(7)), PortLost)
            self.assertEqual(await self.ask(port, read(7)), value(7))
            self.assertLess(time.monotonic() - began, 1.0)

    async def test_a7_after_each_reply(self) -> None:
        """Reads and writes 50 ms apart, and reads without a pause: all are answered, and no write is sent twice."""
        device = self.device(lambda adu: [honest(adu), CLOSE])
        port = self.port()
        for address in range(10):
            self.assertEqual(await self.ask(port, read(address)), value(address))
            await deferLater(reactor, 0.05)
            self.assertEqual(await self.ask(port, WRITE, unit=2), WRITE)
            await deferLater(reactor, 0.05)
        for address in range(30):
            self.assertEqual(await self.ask(port, read(address)), value(address))
        self.assertEqual(sum(adu.pdu == WRITE for adu in device.asked), 10)

    async def test_a7_idle(self) -> None:
        """It closes when nobody asks; what comes at that moment waits for the new connection."""
        device = self.device(lambda adu: [honest(adu)])
        port = self.port()
        for address in range(10):
            self.assertEqual(await self.ask(port, read(address)), value(address))
            before = len(device.connections)
            device.connections[-1].transport.loseConnection()
            await self.until(lambda before=before: not port.is_open or len(device.connections) > before)
        self.assertEqual(await self.ask(port, read(99)), value(99))

    async def test_a7_a_write_on_the_wire(self) -> None:
        """It ends as unknown, and is not sent again; a read that waits behind it is answered."""
        for how in (CLOSE, RESET):
            device = self.device(lambda adu, how=how: [how] if adu.pdu == WRITE else [honest(adu)])
            port = self.port()
            write, reading = self.ask(port, WRITE), self.ask(port, read(3), unit=2)
            error = await self.assertFailure(write, OutcomeUnknown)
            self.assertIn("lost before its reply came", str(error))
            self.assertEqual(await reading, value(3))
            await deferLater(reactor, 0.2)
            self.assertEqual([adu.pdu for adu in device.asked].count(WRITE), 1)

    async def test_a7_a_reset_with_a_read_on_the_wire(self) -> None:
        device = self.device(lambda adu: [RESET] if len(device.asked) < 3 else [honest(adu)])
        self.assertEqual(await self.ask(self.port(), read(3)), value(3))
        self.assertEqual(len(device.asked), 3)  # twice more, as `retries` allows

    async def test_a7_rtu_over_tcp(self) -> None:
        device = self.device(lambda adu: [rtu(adu.unit, honest(adu)[7:]), CLOSE])
        device.is_rtu = True
        port = self.port("rtu+tcp", timeout=0.5)
        for address in range(10):
            self.assertEqual(await self.ask(port, read(address)), value(address))

    async def test_a7_gone_for_good(self) -> None:
        """The first attempt to connect again fails: what waits is told, and what comes is refused at once."""
        device = self.device(lambda adu: [])
        port = self.port(timeout=2.0)
        asking = [self.ask(port, read(1)), self.ask(port, read(2), unit=2)]
        await self.until(lambda: device.asked)
        await self.away(device)
        began = time.monotonic()
        await self.assertFailure(asking[0], PortLost)
        await self.assertFailure(asking[1], PortClosed)
        self.assertIn("refuses", str(await self.assertFailure(self.ask(port), PortClosed)))
        self.assertLess(time.monotonic() - began, 1.0)


class NeverAnswers(BusCase):
    """A8: the device accepts connections, and closes them at once."""

    async def test_a8_waits_grow(self) -> None:
        device = self.device(lambda adu: [honest(adu)])
        device.greets = lambda: [CLOSE]
        port, told = self.port(), self.log()
        await deferLater(reactor, 3.0)
        self.assertLess(len(device.connections), 10)
        error = await self.assertFailure(self.ask(port), PortClosed)
        self.assertIn("and so were those before, each without a reply", str(error))
        self.assertLessEqual(len(set(told)), 4)  # the log folds what is the same again
        device.greets = tuple
        await self.until(lambda: port.is_open)
        self.assertEqual(await self.ask(port, read(3)), value(3))

    def test_a8_how_long(self) -> None:
        """Twice as long each time, to a bound; a reply ends that; what closes because nobody asks never begins it."""
        connections, waits = Connections(is_socket=True), []
        for _ in range(9):
            connections.began(0.0, 0, 0)
            connections.ended(0.01, 0, 0)
            waits.append(connections.wait(1))
        self.assertEqual(waits, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_FRUITLESS_WAIT, LONGEST_FRUITLESS_WAIT])
        connections.began(0.0, 0, 0)
        self.assertTrue(connections.ended(0.01, 3, 1))
        self.assertEqual(connections.wait(1), 0.0)
        for _ in range(9):
            connections.began(0.0, 3, 1)
            self.assertTrue(connections.ended(1.0, 3, 1))
            self.assertEqual(connections.wait(1), 0.0)
        connections.began(0.0, 3, 1)
        connections.ended(1.0, 4, 1)
        self.assertEqual(connections.wait(1), 0.05)

    async def test_resets_each_50_ms_for_two_seconds(self) -> None:
        """It must show, 5, in small: what it answers between two resets is served, and no write goes twice."""
        device = self.device(lambda adu: [honest(adu)])
        port, told = self.port(), self.log()
        await self.until(lambda: port.is_open)
        ends, answered, asked = time.monotonic() + 2.0, 0, 0
        writes: list[int] = []
        resetting = self.reset_each(device, ends)
        while time.monotonic() < ends:
            asked += 1
            writes.append(asked)
            write = self.ask(port, b"\x06\0\0" + asked.to_bytes(2, "big"), unit=2)
            write.addErrback(lambda failure: failure.trap(OutcomeUnknown))
            answered += await self.ask(port, read(asked)) == value(asked)
            await write
        await resetting
        self.assertEqual((answered, asked > 50), (asked, True))
        written = [adu.pdu for adu in device.asked if adu.pdu[0] == 6]
        self.assertEqual(len(written), len(set(written)))
        self.assertLess(len(set(told)), 40)

    def reset_each(self, device: Device, ends: float) -> Deferred[None]:
        def reset() -> Any:
            device.connections[-1].transport.abortConnection()
            return deferLater(reactor, 0.05, reset) if time.monotonic() < ends else None

        return deferLater(reactor, 0.05, reset)


class DialIn(BusCase):
    """The same where the other side connects to us: ``modbus+tcp-listen`` and ``rtu+tcp-listen``."""

    def dials_in(self, answers: Callable[[Adu], Does], scheme: str = "modbus+tcp-listen") -> tuple[Device, Any]:
        """A device that connects again as soon as its connection has ended."""
        self.tcp_port = free_tcp_port()
        device = Device(answers)
        path = f"{scheme}:{self.tcp_port}:interface=127.0.0.1"
        port = PortService("plc", PortSettings(path=path, timeout=0.3), reactor, time.monotonic)
        port.startService()
        self.addCleanup(port.stopService)
        self.addCleanup(lambda: [one.transport.abortConnection() for one in device.connections])
        self.is_over = False
        self.addCleanup(setattr, self, "is_over", True)

        def dial() -> None:
            made = Connection(device)
            made.connectionLost = lambda reason=None: self.is_over or dial()  # type: ignore[method-assign,misc]
            connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.tcp_port), made).addErrback(lambda _: None)

        dial()
        return device, port

    async def test_a1_a_kept_reply(self) -> None:
        kept: list[bytes] = []

        def answers(adu: Adu) -> Does:
            if len(device.connections) == 1:
                kept.append(mbap(adu.transaction_id, adu.unit, value(0xAAAA)))
                return [CLOSE]
            return [*kept, honest(adu)]

        device, port = self.dials_in(answers)
        await self.until(lambda: port.is_open)
        self.assertEqual(await self.ask(port, read(5)), value(5))
        self.assertEqual(await self.ask(port, read(6)), value(6))

    async def test_a7_it_closes_after_each_reply(self) -> None:
        await self.closes_after_each_reply("modbus+tcp-listen", honest)

    async def test_a7_rtu_closes_after_each_reply(self) -> None:
        await self.closes_after_each_reply("rtu+tcp-listen", lambda adu: rtu(adu.unit, honest(adu)[7:]))

    async def closes_after_each_reply(self, scheme: str, reply: Callable[[Adu], bytes]) -> None:
        device, port = self.dials_in(lambda adu: [reply(adu), CLOSE], scheme)
        device.is_rtu = scheme.startswith("rtu")
        await self.until(lambda: port.is_open)
        for address in range(10):
            self.assertEqual(await self.ask(port, read(address)), value(address))
        self.assertGreater(len(device.connections), 5)

    async def test_a3_an_exception_whose_length_is_too_great(self) -> None:
        _, port = self.dials_in(lambda adu: [headed(adu, 4, b"\x83\x03")])
        await self.until(lambda: port.is_open)
        for _ in range(5):
            await self.assertFailure(self.ask(port), IllegalDataValue)


class UnitZero(BusCase):
    """A9: a device that answers unit 0 only."""

    def gateway(self, port: Any, **options: Any) -> Gateway:
        class Ports:
            def __iter__(self) -> Any:
                return iter([port])

            def find(self, text: str) -> Any:
                return port

        return Gateway(GatewayOptions(**options), 2.0, Ports())

    async def test_a9_read_and_written_like_any_other(self) -> None:
        device = self.device(lambda adu: [honest(adu)] if adu.unit == 0 else [])
        port = self.port(unit_0="device", timeout=0.3)
        self.assertEqual(await self.ask(port, read(3), unit=0), value(3))
        for gateway, unit in (
            (self.gateway(port, routes={"1": "plc@0"}), 1), (self.gateway(port, routes={"0-5": "plc"}), 0),
            (self.gateway(port), 0),
        ):
            self.assertEqual(await gateway.request(ME, unit, read(4)), value(4))
            self.assertEqual(await gateway.request(ME, unit, WRITE), WRITE)
        self.assertEqual({adu.unit for adu in device.asked}, {0})

    async def test_a9_a_write_without_an_answer_is_not_confirmed(self) -> None:
        self.device(lambda adu: [] if adu.pdu[0] == 6 else [honest(adu)])
        port = self.port(unit_0="device", timeout=0.1)
        await self.assertFailure(self.gateway(port).request(ME, 0, WRITE), OutcomeUnknown)
        self.assertEqual(await self.gateway(port).request(ME, 0, read(4)), value(4))

    async def test_a9_else_it_is_every_device(self) -> None:
        """As before: a write is sent and not answered, a read is refused, and no route leads there."""
        device = self.device(lambda adu: [])
        port = self.port()
        await self.until(lambda: port.is_open)
        self.assertEqual(await self.ask(port, WRITE, unit=0), b"")
        await self.until(lambda: device.asked)
        await self.assertFailure(self.ask(port, READ, unit=0), RequestError)
        self.assertRaises(RequestError, self.gateway, port, routes={"1": "plc@0"})

    def test_a9_what_the_file_may_say(self) -> None:
        listen = ("modbus-tcp,routes.1=b@0=tcp:1502:interface=127.0.0.1",)
        given = partial(Given, listeners=listen)
        compose(given(ports=("b=modbus+tcp:h:unit_0=device",)), "/nonexistent")
        for ports, told in (
            (("b=/dev/ttyS0",), "routes.1: unit 0 of b is every device on it; begin at 1"),
            (("b=modbus+tcp:h",), 'only of a Modbus TCP port with unit_0 = "device" it is one device'),
            (("b=rtu+tcp:h:1:unit_0=device",), "unit_0: only behind Modbus TCP is unit 0 a device"),
            (("b=/dev/ttyS0:zero_ids=yes",), "zero_ids: only Modbus TCP numbers its requests"),
            (("b=modbus+tcp:h:unit_0=maybe",), "unit_0"),
        ):
            error = self.assertRaises(ConfigError, compose, given(ports=ports), "/nonexistent")
            self.assertIn(told, str(error))


class OtherNumbers(BusCase):
    """A12: replies that carry another transaction identifier than their request."""

    async def test_a12_the_error_says_what_came(self) -> None:
        for odd, told in (
            (lambda n: 0, "a reply with transaction identifier 0 came where"),
            (lambda n: n >> 8 | (n & 255) << 8, "its two bytes are swapped"), (lambda n: n + 1 & 65535, "came where"),
        ):
            self.device(lambda adu, odd=odd: [mbap(odd(adu.transaction_id), adu.unit, value(0xEEEE))])
            port, log = self.port(timeout=0.1), self.log()
            error = await self.assertFailure(self.ask(port), ResponseTimeout)
            self.assertIn("unit 1 on plc gave no usable reply to function 3, asked 3 times: ", str(error))
            self.assertIn(told, str(error))
            self.assertTrue(any(told in line for line in log))
            unknown = await self.assertFailure(self.ask(port, WRITE), OutcomeUnknown)
            self.assertIn("no usable reply came (sent once): a reply with", str(unknown))
            for _ in range(2):  # nor is such a unit called offline: it does answer
                await self.assertFailure(self.ask(port, timeout=1.0), ResponseTimeout)
            self.assertEqual(port.describe().offline, ())

    async def test_a12_zero_by_option(self) -> None:
        """All is answered; after a request without a reply over a new connection, for its reply may still come."""
        def answers(adu: Adu) -> Does:
            if adu.pdu == read(13) and device.asked.count(adu) < 2:
                late.append(mbap(0, adu.unit, value(0xAAAA)))
                return []
            return [*late, mbap(0, adu.unit, honest(adu)[7:])] if len(device.connections) == 1 else [
                mbap(0, adu.unit, honest(adu)[7:])]

        late: list[bytes] = []
        device = self.device(answers)
        port = self.port(zero_ids=True, timeout=0.1, retries=0)
        for address in range(10):
            self.assertEqual(await self.ask(port, read(address)), value(address))
        await self.assertFailure(self.ask(port, read(13), timeout=0.4), ResponseTimeout)
        for address in range(10):
            self.assertEqual(await self.ask(port, read(address)), value(address))
        self.assertEqual(len(device.connections), 2)


class KindsOfBus(SynchronousTestCase):
    """A14: a place of a bus that is of no kind."""

    def test_a14_refused(self) -> None:
        for text in (
            "x=ascii+tcp:10.0.0.1:4001", "x=10.0.0.1:502", "x=plc:502", "foo:/dev/ttyS0", "x=udp:h:502:timeout=1",
            "x=ascii+tcp:10.0.0.1:4001:timeout=1", "x=socket://10.0.0.1:4001", "COM3:9600",
        ):
            error = self.assertRaises(ConfigError, compose, Given(ports=(text,)), "/nonexistent")
            self.assertIn("there is no kind of bus", str(error), text)
            self.assertIn("known are serial, rtu+tcp, modbus+tcp, rtu+tcp-listen, modbus+tcp-listen", str(error))
            self.assertNotIn("written \\:", str(error))

    def test_a14_by_the_file(self) -> None:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write('[ports.x]\npath = "ascii+tcp:10.0.0.1:4001"\n')
        error = self.assertRaises(ConfigError, compose, Given(file=path), "/nonexistent")
        self.assertIn("ports.x.path: there is no kind of bus 'ascii+tcp'; known are serial,", str(error))

    def test_a14_paths_of_devices_are_none(self) -> None:
        """A path with a folder, one without a colon, one that is there, each with settings behind it."""
        there = f"{self.mktemp()}:1"
        open(there, "w").close()
        for text, path in (
            ("/dev/ttyUSB0:baudrate=19200", "/dev/ttyUSB0"), ("ttyUSB0", "ttyUSB0"),
            ("ttyUSB0:baudrate=19200", "ttyUSB0"), ("x=./ttyS0", "./ttyS0"),
            (r"x=/dev/serial/by-path/usb-0\:1.2\:1.0", "/dev/serial/by-path/usb-0:1.2:1.0"),
            (f"x={there}".replace(":", r"\:"), there),
        ):
            ports = compose(Given(ports=(text,)), "/nonexistent").ports
            self.assertEqual([one.path for one in ports.values()], [path])
