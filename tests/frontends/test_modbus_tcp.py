"""The Modbus TCP front-end: what a gateway answers, to whom, and what it survives."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.tcp import Connection as TcpConnection

from lumina_twisted.errors import (
    Expired,
    LuminaError,
    OutcomeUnknown,
    Overloaded,
    PortClosed,
    PortLost,
    QueueFull,
    RequestError,
    ResponseTimeout,
    Stopping,
    UnitOffline,
    exception_from_code,
)
from lumina_twisted.framing.mbap import Adu, MbapDecoder, encode_adu
from lumina_twisted.framing.rtu import encode_adu as rtu
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.testing import MemoryConnection
from tests.gateway_case import GatewayCase

READ = bytes.fromhex("0300000001")
REPLY = bytes.fromhex("0302002A")
WRITE = bytes.fromhex("060001002A")
WRITE_COIL = bytes.fromhex("050003FF00")


class ModbusTcpCase(GatewayCase):
    """One client more."""

    def start(self, **options: object) -> None:
        super().start(**options)
        self.client = self.connect()
        self.came = b""

    def say(self, *adus: Adu) -> None:
        self.came += self.client.send(b"".join(encode_adu(*adu) for adu in adus))

    def answers(self, client: MemoryConnection | None = None) -> list[Adu]:
        decoder = MbapDecoder()
        came, self.came = self.came, b""
        adus = list(decoder.receive(client.received() if client else came + self.client.received()))
        self.assertEqual(len(decoder), 0)
        return adus

    def asked_and_answered(self, unit: int, pdu: bytes) -> bytes:
        """The PDU of the answer that comes at once."""
        self.say(Adu(77, unit, pdu))
        (answer,) = self.answers()
        self.assertEqual(answer[:2], (77, unit))
        return answer.pdu


class RequestTests(ModbusTcpCase):
    """From a client to a port and back."""

    def test_round_trip(self) -> None:
        self.say(Adu(0x1501, 17, READ))
        (asked,) = self.boiler.asked
        self.assertEqual((asked.unit, asked.pdu, asked.timeout), (17, READ, 5.0))
        self.assertEqual((asked.serial, asked.retries), (None, None))
        self.assertIs(asked.caller, self.client.protocol.caller)
        asked.end(rtu(17, REPLY))
        self.assertEqual(self.answers(), [Adu(0x1501, 17, REPLY)])

    def test_turns(self) -> None:
        """As the listener says, broadcasts too."""
        for options, expected in (({}, ("normal", None)), ({"priority": "high", "max_age": 2.0}, ("high", 2.0))):
            self.start(**options)
            self.say(Adu(1, 17, READ))
            self.assertEqual((self.boiler.asked[0].priority, self.boiler.asked[0].max_age), expected)
        self.start(priority="low", broadcast="on")
        self.say(Adu(1, 0, WRITE))
        self.assertEqual(self.boiler.asked[0].priority, "low")

    def test_replies_leave_as_they_come(self) -> None:
        """Under their own transaction identifiers, whatever these are."""
        self.say(Adu(9, 1, READ), Adu(9, 2, READ), Adu(65535, 3, READ))
        first, second, third = self.boiler.asked
        third.end(rtu(3, REPLY))
        first.end(rtu(1, REPLY))
        second.end(rtu(2, bytes.fromhex("03020007")))
        self.assertEqual(
            self.answers(), [Adu(65535, 3, REPLY), Adu(9, 1, REPLY), Adu(9, 2, bytes.fromhex("03020007"))]
        )

    def test_twenty_in_one_segment(self) -> None:
        """Each is answered with its own."""
        self.boiler.devices[1] = SimulatedDevice()
        self.say(*(Adu(number, 1, bytes((6, 0, number, 0, number))) for number in range(20)))
        self.answers()
        self.say(*(Adu(1000 + number, 1, bytes((3, 0, number, 0, 1))) for number in range(20)))
        self.assertEqual(
            self.answers(), [Adu(1000 + number, 1, bytes((3, 2, 0, number))) for number in range(20)]
        )

    def test_one_byte_at_a_time(self) -> None:
        for byte in encode_adu(5, 1, READ):
            self.assertEqual(self.boiler.asked, [])
            self.client.send(bytes((byte,)))
        self.assertEqual(self.boiler.asked[0].pdu, READ)

    def test_any_function_of_the_users_own(self) -> None:
        """65 to 72 and whatever else is no public function: passed as it is."""
        for code in (65, 72, 100, 43):
            pdu = bytes((code, 13, 1, 2, 3))
            self.say(Adu(code, 5, pdu))
            self.boiler.asked[-1].end(rtu(5, pdu + b"\x09"))
            self.assertEqual(self.answers(), [Adu(code, 5, pdu + b"\x09")])

    def test_exceptions_of_the_device_are_its_own(self) -> None:
        for code in (1, 2, 3, 4, 5, 6, 8, 0x0A, 0x0B, 0x42):
            self.boiler.script.append(exception_from_code(code, unit=1, function_code=3, frame=b"\1\x83"))
            self.assertEqual(self.asked_and_answered(1, READ), bytes((0x83, code)))

    def test_a_unit_in_the_reserved_range(self) -> None:
        self.say(Adu(1, 248, READ))
        self.assertEqual(self.boiler.asked[0].unit, 248)


class GatewayTests(ModbusTcpCase):
    """What the gateway itself answers."""

    def test_how_requests_end_without_a_reply(self) -> None:
        cases: tuple[tuple[LuminaError | None, int], ...] = (
            (PortClosed("x"), 0x0A), (Stopping("x"), 0x0A), (QueueFull("x"), 6), (Overloaded("x"), 6),
            (UnitOffline("x", frame=b"\3"), 0x0B), (UnitOffline("x", frame=b"\6"), 0x0A),
            (Expired("x"), 6), (None, 0x0B), (ResponseTimeout("x"), 0x0B), (PortLost("x"), 0x0B),
            (OutcomeUnknown("x"), 0x0B), (RequestError("x"), 3),
        )
        for error, code in cases:
            self.say(Adu(1, 1, WRITE))
            self.boiler.asked[-1].end(error)
            self.assertEqual(self.answers(), [Adu(1, 1, bytes((0x86, code)))], error)

    def test_a_fault_of_ours_is_logged_and_answered(self) -> None:
        self.say(Adu(1, 1, READ))
        self.boiler.asked[0].end(ZeroDivisionError())
        self.assertEqual(self.answers(), [Adu(1, 1, b"\x83\x0b")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_cannot_be_framed(self) -> None:
        """A length that the function contradicts, a reply longer than a frame, a code that is none."""
        for pdu in (
            "03000000", "030000000100", "0F000000080201", "10000000010200", "2B0E01", "08", "0800010000AA", "14",
            "030000007E", "0100000801", "170000007E00000001020000", "83", "00", "FF01",
        ):
            request = bytes.fromhex(pdu)
            self.assertEqual(self.asked_and_answered(1, request), bytes((request[0] | 0x80, 3)), pdu)
        self.assertEqual(self.boiler.asked, [])

    def test_what_a_device_shall_judge(self) -> None:
        """Quantities and values that the specification forbids, but a frame can carry."""
        for pdu in ("0300000000", "03FFFF007D", "0500031234", "01000007D1", "0F0000000000", "1600000000FFFF"):
            self.say(Adu(1, 1, bytes.fromhex(pdu)))
            self.assertEqual(self.boiler.asked[-1].pdu, bytes.fromhex(pdu))

    def test_units_0_and_255(self) -> None:
        for unit in (0, 255):
            self.assertEqual(self.asked_and_answered(unit, READ), b"\x83\x0a")
        self.start(default_unit=7)
        for unit in (0, 255):
            self.say(Adu(1, unit, READ))
            self.boiler.asked[-1].end(rtu(7, REPLY))
            self.assertEqual(self.boiler.asked[-1].unit, 7)
            self.assertEqual(self.answers(), [Adu(1, unit, REPLY)])
        self.start(default_unit=255)
        self.say(Adu(1, 255, READ))
        self.assertEqual(self.boiler.asked[0].unit, 255)

    def test_another_port(self) -> None:
        self.start(port="pv")
        self.say(Adu(1, 1, READ))
        self.assertEqual((len(self.pv.asked), len(self.boiler.asked)), (1, 0))

    def test_routes(self) -> None:
        self.start(routes={"1-6": "boiler", "101-120": "/dev/ttyUSB1@1-20", "255": "pv@3"}, default_unit=101)
        for unit, port, there in ((1, self.boiler, 1), (6, self.boiler, 6), (101, self.pv, 1), (120, self.pv, 20),
                                  (255, self.pv, 3), (0, self.pv, 1)):
            self.say(Adu(1, unit, READ))
            self.assertEqual(port.asked[-1].unit, there)
            port.asked[-1].end(rtu(there, REPLY))
            self.assertEqual(self.answers(), [Adu(1, unit, REPLY)])
        for unit in (7, 100, 121, 247):
            self.assertEqual(self.asked_and_answered(unit, READ), b"\x83\x0a")

    def test_readonly(self) -> None:
        self.start(readonly=True)
        for pdu in (WRITE, WRITE_COIL, bytes.fromhex("0800000000"), bytes.fromhex("4101")):
            self.assertEqual(self.asked_and_answered(1, pdu), bytes((pdu[0] | 0x80, 1)))
        self.say(Adu(1, 1, READ))
        self.assertEqual(len(self.boiler.asked), 1)

    def test_the_listeners_timeout(self) -> None:
        self.start(timeout=1.5)
        self.say(Adu(1, 1, READ))
        self.assertEqual(self.boiler.asked[0].timeout, 1.5)


class BroadcastTests(ModbusTcpCase):
    """Unit 0."""

    def test_off(self) -> None:
        self.assertEqual(self.asked_and_answered(0, WRITE), b"\x86\x0a")

    def test_on(self) -> None:
        """To every port of the listener, and no answer."""
        self.start(broadcast="on", routes={"1-10": "boiler", "11-20": "pv@1"}, default_unit=1)
        self.say(Adu(1, 0, WRITE))
        for port in (self.boiler, self.pv):
            self.assertEqual((port.asked[-1].unit, port.asked[-1].pdu), (0, WRITE))
            port.asked[-1].end(b"")
        self.assertEqual(self.answers(), [])
        self.assertEqual(self.client.protocol.pending, set())

    def test_with_a_synthetic_reply(self) -> None:
        self.start(broadcast="reply")
        for request, reply in (
            (WRITE, WRITE), (WRITE_COIL, WRITE_COIL), (bytes.fromhex("10000000010200FF"), bytes.fromhex("1000000001")),
            (bytes.fromhex("1600000000FFFF"), bytes.fromhex("1600000000FFFF")),
        ):
            self.say(Adu(1, 0, request))
            self.boiler.asked[-1].end(b"")
            self.assertEqual(self.answers(), [Adu(1, 0, reply)])

    def test_a_failure_is_told(self) -> None:
        self.start(broadcast="reply", routes={"1": "boiler", "2": "pv"})
        self.say(Adu(1, 0, WRITE))
        self.boiler.asked[0].end(b"")
        self.pv.asked[0].end(PortClosed("x"))
        self.assertEqual(self.answers(), [Adu(1, 0, b"\x86\x0a")])

    def test_reads_are_refused(self) -> None:
        for how in ("on", "reply"):
            self.start(broadcast=how)
            self.assertEqual(self.asked_and_answered(0, READ), b"\x83\x0a")


class ConnectionTests(ModbusTcpCase):
    """Clients come, go, and send what they should not."""

    def test_a_wrong_header_closes_that_connection(self) -> None:
        other = self.connect()
        for header in ("000100010006", "000100000000", "000100000001", "0001000000FF", "00010000FFFF"):
            client = self.connect()
            client.send(encode_adu(1, 1, READ) + bytes.fromhex(header))
            self.assertFalse(client.is_closed)  # what was asked before is answered
            self.boiler.asked[-1].end(rtu(1, REPLY))
            self.assertEqual(self.answers(client), [Adu(1, 1, REPLY)])
            self.assertTrue(client.is_closed)
        self.assertIn("closed", self.logged())
        self.assertIn("closed 192.168.1.1:54321: it does not speak Modbus TCP: its", self.logged())
        self.assertIn("its length field says 65535", self.logged())
        other.send(encode_adu(2, 1, READ))
        self.boiler.asked[-1].end(rtu(1, REPLY))
        self.assertEqual(self.answers(other), [Adu(2, 1, REPLY)])

    def test_a_client_that_leaves_takes_its_requests_back(self) -> None:
        self.say(Adu(1, 1, READ), Adu(2, 2, READ))
        self.client.leave()
        self.assertEqual([one.cancelled for one in self.boiler.asked], [True, True])
        self.assertEqual(self.answers(), [])

    def test_one_too_many(self) -> None:
        self.start(max_connections=1)
        one_more = self.connect()
        self.assertTrue(one_more.is_closed)
        self.assertEqual(one_more.received(), b"")
        self.assertFalse(self.client.is_closed)

    def test_idle(self) -> None:
        self.start(idle_timeout=10.0)
        self.clock.advance(9)
        self.say(Adu(1, 1, READ))
        self.clock.advance(9.5)
        self.assertFalse(self.client.is_closed)
        self.clock.advance(1)  # idle, but it waits for an answer
        self.assertFalse(self.client.is_closed)
        self.boiler.asked[0].end(rtu(1, REPLY))
        self.clock.advance(10)
        self.assertTrue(self.client.is_closed)

    def test_one_that_does_not_read_is_dropped(self) -> None:
        self.start(max_buffered=100)
        self.say(*(Adu(number, 1, READ) for number in range(10)))
        self.client.protocol.pauseProducing()
        for asked in self.boiler.asked:
            self.assertFalse(self.client.was_cut)
            asked.end(rtu(1, REPLY))  # eleven bytes
        self.assertTrue(self.client.was_cut)
        self.assertIn("does not read its answers", self.logged())

    def test_dropped_in_the_middle_of_a_flood(self) -> None:
        """That is told once, and nothing of what is left is asked or answered."""
        self.start(max_buffered=100)
        self.say(Adu(1, 1, READ))
        self.client.protocol.pauseProducing()
        unrouted, routed = [Adu(number, 255, READ) for number in range(50)], [Adu(50, 1, READ)]
        self.say(*unrouted, *routed)
        self.boiler.asked[0].end(rtu(1, bytes((3, 100)) + bytes(100)))
        self.assertTrue(self.client.was_cut)
        self.assertEqual(self.logged().count("does not read its answers"), 1)
        self.assertEqual((len(self.answers()), len(self.boiler.asked)), (1, 1))
        self.client.leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_half_closed(self) -> None:
        """It has said all, and gets its answers."""
        self.say(Adu(1, 1, READ))
        self.client.protocol.readConnectionLost()
        self.assertFalse(self.client.is_closed)
        self.boiler.asked[0].end(rtu(1, REPLY))
        self.assertEqual(self.answers(), [Adu(1, 1, REPLY)])
        self.assertTrue(self.client.is_closed)

    def test_drain(self) -> None:
        """What was asked is answered; what comes then is told 0A."""
        self.say(Adu(1, 1, READ))
        drained: Deferred[None] = self.listener.drain()
        self.say(Adu(2, 1, WRITE))
        self.assertEqual(self.answers(), [Adu(2, 1, b"\x86\x0a")])
        self.boiler.asked[0].end(rtu(1, REPLY))
        self.assertEqual(self.answers(), [Adu(1, 1, REPLY)])
        self.assertTrue(self.client.is_closed)
        self.assertNoResult(drained)
        self.client.leave()
        self.assertIsNone(self.successResultOf(drained))
        self.assertTrue(self.connect().is_closed)

    def test_counts(self) -> None:
        self.say(Adu(1, 1, READ), Adu(2, 0, READ))
        self.assertEqual(self.listener.factory.counts(), {"clients": 1, "requests": 2, "errors": 1})


class _Writers:
    """A reactor that notes who wants to write."""

    def __init__(self) -> None:
        self.wanting: list[Any] = []

    def addWriter(self, writer: Any) -> None:
        """See :class:`twisted.internet.interfaces.IReactorFDSet`."""
        self.wanting.append(writer)

    def removeWriter(self, writer: Any) -> None:
        """See :class:`twisted.internet.interfaces.IReactorFDSet`."""
        self.wanting.remove(writer)


class SocketTests(ModbusTcpCase):
    """What a client of a real socket gets, and when."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = _Writers()
        ours, self.theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self.server = self.client.protocol
        self.plain = TcpConnection(ours, self.server, self.reactor)
        self.plain.connected = 1
        self.server.transport = self.plain
        self.server._is_plain_socket = True

    def read(self) -> bytes:
        try:
            return self.theirs.recv(1000)
        except BlockingIOError:
            return b""

    def test_the_last_answer_does_not_wait_for_the_reactor(self) -> None:
        self.server.dataReceived(encode_adu(1, 17, READ))
        self.boiler.asked[0].end(rtu(17, REPLY))
        self.assertEqual(self.read(), encode_adu(1, 17, REPLY))
        self.assertEqual(self.reactor.wanting, [])

    def test_the_answers_before_it_keep_their_place(self) -> None:
        self.server.dataReceived(encode_adu(1, 17, READ) + encode_adu(2, 18, READ))
        first, second = self.boiler.asked
        first.end(rtu(17, REPLY))
        second.end(rtu(18, REPLY))
        self.assertEqual(self.read(), b"")
        self.plain.doWrite()
        self.assertEqual(self.read(), encode_adu(1, 17, REPLY) + encode_adu(2, 18, REPLY))

    def test_what_the_socket_does_not_take_leaves_later(self) -> None:
        self.plain.writeSomeData = lambda data: 5 if self.plain.socket.send(data[:5]) else 0
        self.server.dataReceived(encode_adu(1, 17, READ))
        self.boiler.asked[0].end(rtu(17, REPLY))
        self.assertEqual(self.read(), encode_adu(1, 17, REPLY)[:5])
        del self.plain.writeSomeData
        self.plain.doWrite()
        self.assertEqual(self.read(), encode_adu(1, 17, REPLY)[5:])
