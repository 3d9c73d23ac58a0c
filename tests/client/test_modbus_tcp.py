"""The clients of Modbus TCP: a session with a hostile peer, and both faces before a real front-end."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lumina_twisted.client import ModbusTcpClient, aio, client_from_url
from lumina_twisted.client.command import CommandReply, CommandSettings, PendingCommand
from lumina_twisted.client.command_sessions import SILENCE, ModbusTcpSession
from lumina_twisted.client.session import Answered, Failed, Unusable
from lumina_twisted.client.url import parse_url
from lumina_twisted.config.listeners import front_ends
from lumina_twisted.errors import (
    Cancelled,
    Expired,
    FrameError,
    GatewayPathUnavailable,
    GatewayTargetDeviceFailedToRespond,
    IllegalDataAddress,
    NotConnected,
    OutcomeUnknown,
    RequestError,
    ResponseTimeout,
)
from lumina_twisted.framing.mbap import Adu, MbapDecoder
from lumina_twisted.framing.mbap import encode_adu as mbap
from lumina_twisted.framing.rtu import encode_adu as rtu
from lumina_twisted.modbus import pdu
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.testing import MemoryListener, MemoryPort

READ = bytes.fromhex("0300000001")
REPLY = bytes.fromhex("0302002A")
WRITE = bytes.fromhex("060000002A")


class SessionTests(SynchronousTestCase):
    """Bytes and times in, bytes and events out."""

    def setUp(self) -> None:
        self.now = 100.0
        self.make()

    def make(self, window: int = 16) -> None:
        self.session = ModbusTcpSession("plc:502", window)
        self.session.connected(self.now)

    def ask(self, pdu: bytes = READ, unit: int = 1, timeout: float = 5.0) -> PendingCommand:
        command = PendingCommand("", "", unit, pdu, CommandSettings(), self.now + timeout)
        self.session.submit(command, self.now)
        return command

    def sent(self) -> list[Adu]:
        return list(MbapDecoder().receive(self.session.data_to_send()))

    def hear(self, *adus: Adu) -> list[Any]:
        self.session.receive_data(b"".join(mbap(*adu) for adu in adus), self.now)
        return self.events()

    def events(self) -> list[Any]:
        found = []
        while (event := self.session.next_event()) is not None:
            found.append(event)
        return found

    def failed(self, events: list[Any], kind: type[Exception]) -> str:
        """The sentence of the one event."""
        (event,) = events
        self.assertIsInstance(event, Failed)
        self.assertIs(type(event.error), kind)
        return str(event.error)

    def test_replies_in_any_order(self) -> None:
        commands = [self.ask(unit=unit) for unit in (1, 2, 3)]
        adus = self.sent()
        self.assertEqual([(adu.unit, adu.pdu) for adu in adus], [(1, READ), (2, READ), (3, READ)])
        events = self.hear(*(Adu(adu.transaction_id, adu.unit, REPLY) for adu in reversed(adus)))
        self.assertEqual([event.request for event in events], commands[::-1])
        self.assertEqual([event.answer.pdu for event in events], [REPLY] * 3)

    @given(st.integers(1, 20))
    def test_cut_anywhere(self, size: int) -> None:
        self.setUp()
        for unit in (1, 2):
            self.ask(unit=unit)
        stream = b"".join(mbap(adu.transaction_id, adu.unit, REPLY) for adu in self.sent())
        for start in range(0, len(stream), size):
            self.session.receive_data(stream[start : start + size], self.now)
        self.assertEqual([type(event) for event in self.events()], [Answered, Answered])

    def test_twice_unknown_late(self) -> None:
        """They are dropped, and counted."""
        self.ask()
        (adu,) = self.sent()
        reply = Adu(adu.transaction_id, 1, REPLY)
        self.assertEqual(len(self.hear(reply, reply, Adu(999, 1, REPLY))), 1)
        self.ask(timeout=1.0)
        (late,) = self.sent()
        self.now += 1.0
        self.session.handle_timer(self.now)
        self.assertIsInstance(self.events()[0].error, ResponseTimeout)
        self.ask()  # of the same shape, and another number
        self.assertEqual(self.hear(Adu(late.transaction_id, 1, REPLY)), [])
        self.assertEqual(self.session.late, 3)

    def test_what_is_no_reply_to_it(self) -> None:
        for reply in ("0402002A", "0302", "0304002A002B", "0301", "84020102", "03"):
            self.setUp()
            self.ask()
            number = self.sent()[0].transaction_id
            told = self.failed(self.hear(Adu(number, 1, bytes.fromhex(reply))), FrameError)
            self.assertIn("which is no reply to this request", told)
        self.setUp()
        self.ask(WRITE)
        self.failed(self.hear(Adu(self.sent()[0].transaction_id, 1, bytes.fromhex("060000002B"))), OutcomeUnknown)

    def test_exceptions(self) -> None:
        for code, kind in (
            (2, IllegalDataAddress), (10, GatewayPathUnavailable), (11, GatewayTargetDeviceFailedToRespond),
        ):
            self.ask()
            self.failed(self.hear(Adu(self.sent()[0].transaction_id, 1, bytes((0x83, code)))), kind)
        self.ask(WRITE)
        told = self.failed(self.hear(Adu(self.sent()[0].transaction_id, 1, b"\x86\x0b")), OutcomeUnknown)
        self.assertIn("got no reply from unit 1", told)

    def test_a_unit_that_is_repeated_wrongly(self) -> None:
        self.ask(unit=7)
        (event,) = self.hear(Adu(self.sent()[0].transaction_id, 255, REPLY))
        self.assertEqual(CommandReply.of(event.request, event.answer).frame, rtu(7, REPLY))

    def test_window(self) -> None:
        self.make(window=2)
        commands = [self.ask(unit=unit) for unit in (1, 2, 3)]
        _, second = self.sent()
        (event,) = self.hear(Adu(second.transaction_id, 2, REPLY))
        self.assertIs(event.request, commands[1])
        self.assertEqual([adu.unit for adu in self.sent()], [3])
        self.make(window=1)
        self.ask(timeout=9.0)
        self.ask(timeout=1.0)
        self.now += 1.0
        self.session.handle_timer(self.now)
        self.failed(self.events(), Expired)

    def test_a_lost_connection(self) -> None:
        """Reads are sent again; writes that may have been carried out are not."""
        self.ask()
        self.ask(WRITE)
        before = self.sent()
        self.session.connection_lost("it was cut", self.now)
        self.failed(self.events(), OutcomeUnknown)
        self.session.connected(self.now)
        (again,) = self.sent()
        self.assertEqual((again.pdu, again.transaction_id in {adu.transaction_id for adu in before}), (READ, False))
        self.assertEqual(len(self.hear(Adu(again.transaction_id, 1, REPLY))), 1)

    def test_another_protocol(self) -> None:
        self.ask()
        self.session.receive_data(b"HTTP/1.1 400 Bad Request\r\n\r\n", self.now)
        (event,) = self.events()
        self.assertIsInstance(event, Unusable)
        self.assertIn("plc:502 does not speak Modbus TCP: its protocol identifier is", event.why)

    def test_cancelled(self) -> None:
        """The reply to a cancelled request is dropped, and the next request gets its own."""
        command = self.ask()
        (adu,) = self.sent()
        self.assertIsInstance(self.session.cancel(command, self.now), Cancelled)
        follower = self.ask()
        (event,) = self.hear(Adu(adu.transaction_id, 1, REPLY), Adu(self.sent()[0].transaction_id, 1, REPLY))
        self.assertIs(event.request, follower)

    def test_cancelled_and_never_answered(self) -> None:
        """It keeps its place in the window until its deadline."""
        self.make(window=1)
        self.session.cancel(self.ask(timeout=2.0), self.now)
        self.sent()
        waits = self.ask()
        self.assertEqual(self.sent(), [])
        self.now += 2.0
        self.assertEqual(self.session.get_timer(), self.now)
        self.session.handle_timer(self.now)
        (adu,) = self.sent()
        (event,) = self.hear(Adu(adu.transaction_id, 1, REPLY))
        self.assertIs(event.request, waits)
        self.assertIsNone(self.session.get_timer())

    def expire(self, timeout: float) -> list[Any]:
        """A read that gets no answer."""
        self.ask(unit=9, timeout=timeout)
        self.sent()
        self.now += timeout
        self.session.handle_timer(self.now)
        return self.events()

    def test_a_silent_unit(self) -> None:
        """Many gateways do not report it. The other requests keep their connection and their answers."""
        self.ask(WRITE)
        (write,) = self.sent()
        self.failed(self.expire(0.3), ResponseTimeout)
        self.assertEqual(len(self.hear(Adu(write.transaction_id, 1, WRITE))), 1)
        for _ in range(30):
            self.failed(self.expire(1.0), ResponseTimeout)
            self.ask()
            self.hear(Adu(self.sent()[0].transaction_id, 1, REPLY))

    def test_silent_for_long(self) -> None:
        """The client closes the connection, for its peer may be dead."""
        self.failed(self.expire(SILENCE - 1.0), ResponseTimeout)
        failed, unusable = self.expire(1.0)
        self.assertIsInstance(failed.error, ResponseTimeout)
        self.assertIsInstance(unusable, Unusable)
        self.assertIn("plc:502 has been silent", unusable.why)
        self.session.connection_lost(unusable.why, self.now)
        self.session.connected(self.now)  # where the silence counts anew
        self.failed(self.expire(SILENCE - 1.0), ResponseTimeout)

    def test_silent_for_long_while_a_write_may_be_answered(self) -> None:
        self.ask(WRITE, timeout=SILENCE + 5.0)
        self.failed(self.expire(SILENCE), ResponseTimeout)
        self.now += 5.0
        self.session.handle_timer(self.now)
        failed, unusable = self.events()
        self.assertIsInstance(failed.error, OutcomeUnknown)
        self.assertIsInstance(unusable, Unusable)

    def test_what_cannot_be_asked_so(self) -> None:
        for window in (0, -1, 65536):
            self.assertIn("1 to 65535", str(self.assertRaises(RequestError, ModbusTcpSession, "plc:502", window)))
        settings = CommandSettings()
        self.session.check("any: name", "", settings)
        self.assertIn("'boiler'", str(self.assertRaises(RequestError, self.session.check, "", "boiler", settings)))
        told = self.assertRaises(RequestError, self.session.check, "", "", CommandSettings(parity="E", timeout=1.0))
        self.assertIn("has no parity", str(told))
        for turn in (CommandSettings(priority="high"), CommandSettings(max_age=0)):
            told = self.assertRaises(RequestError, self.session.check, "", "", turn)
            self.assertIn("over Modbus TCP has no", str(told))

    def test_identifiers_wrap(self) -> None:
        waits = self.ask()
        (adu,) = self.sent()
        for _ in range(65535 + 5):
            self.ask()
            (other,) = self.sent()
            self.assertNotEqual(other.transaction_id, adu.transaction_id)
            self.hear(Adu(other.transaction_id, 1, REPLY))
        (event,) = self.hear(Adu(adu.transaction_id, 1, REPLY))
        self.assertIs(event.request, waits)


class FaceTests(TestCase):
    """Both faces of the client, with the real front-end over ports in memory, through a real socket."""

    timeout = 30

    def setUp(self) -> None:
        front_end: Any = front_ends()["modbus-tcp"]
        self.port = MemoryPort(devices={1: SimulatedDevice()})
        self.listener = MemoryListener(front_end, self.port)
        self.listener.factory.clock = reactor
        listening = reactor.listenTCP(0, self.listener.factory, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.tcp_port = listening.getHost().port

    async def test_deferreds(self) -> None:
        client = ModbusTcpClient("127.0.0.1", self.tcp_port)
        self.addCleanup(client.close)
        unit = client.unit(1)
        await unit.write_multiple_registers(10, [1, 2, 3])
        self.assertEqual(await unit.read_holding_registers(10, 3), (1, 2, 3))
        self.assertTrue(client.is_connected)
        await self.assertFailure(unit.read_holding_registers(65535, 2), IllegalDataAddress)
        await self.assertFailure(client.unit(0).read_coils(0), GatewayPathUnavailable)
        await self.assertFailure(client.unit(9, timeout=0.1).read_coils(0), ResponseTimeout)
        await self.assertFailure(unit.write_single_register(0, 70000), RequestError)
        reply = await client.unit(1).request(pdu.ReadHoldingRegistersRequest(12, 1))
        self.assertEqual(reply, pdu.ReadHoldingRegistersReply([3]))

    async def test_awaitables(self) -> None:
        """With the same names, without a reactor."""

        async def whole() -> tuple[Any, ...]:
            async with aio.ModbusTcpClient("127.0.0.1", self.tcp_port) as client:
                unit = client.unit(1)
                await unit.write_single_coil(3, True)
                found = await asyncio.gather(*(unit.read_coils(address) for address in range(40)))
                with self.assertRaises(IllegalDataAddress):
                    await unit.read_holding_registers(65535, 2)
                return tuple(found)

        found = await deferToThread(asyncio.run, whole())
        self.assertEqual([value for (value,) in found], [address == 3 for address in range(40)])

    async def test_nobody_there(self) -> None:
        client = ModbusTcpClient("127.0.0.1", 1)
        self.addCleanup(client.close)
        error = await self.assertFailure(client.connect(), NotConnected)
        self.assertIn("is it on, and its port right?", str(error))


class Urls(SynchronousTestCase):
    """URLs name the server and its protocol."""

    def test_urls(self) -> None:
        for url, parts in (
            ("lumina://10.0.0.5", ("lumina", "10.0.0.5", 8888)), ("modbus://plc", ("modbus", "plc", 502)),
            ("modbus://[fe80::1]:1502/", ("modbus", "fe80::1", 1502)), ("lumina://h:9", ("lumina", "h", 9)),
        ):
            self.assertEqual(parse_url(url), parts)

    def test_no_urls(self) -> None:
        for url in ("10.0.0.5", "http://h", "modbus://", "modbus://h:x", "modbus://h:99999", "modbus://h:0",
                    "modbus://h/unit/1", "modbus://me@h", "lumina://h?x=1", "modbus://[::1"):
            told = str(self.assertRaises(RequestError, parse_url, url))
            self.assertIn("expected lumina://HOST[:8888] or modbus://HOST[:502]", told)

    def test_the_client_of_one(self) -> None:
        self.assertIsInstance(client_from_url("modbus://h", timeout=1.0), ModbusTcpClient)
        self.assertIsInstance(aio.client_from_url("lumina://h"), aio.LuminaModbusClient)
        self.assertIsInstance(aio.client_from_url("modbus://h", transactions=1), aio.ModbusTcpClient)
