"""The Deferred-returning client against the real line front-end, in memory."""

from __future__ import annotations

from binascii import hexlify
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.client import CommandFailure, CommandReply, LuminaModbusClient
from lumina_twisted.errors import (
    Cancelled,
    IllegalDataAddress,
    NotConnected,
    OutcomeUnknown,
    PortClosed,
    QueueFull,
    RequestError,
    ResponseTimeout,
    Stopping,
)
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.modbus import pdu
from lumina_twisted.testing import MemoryPort, MemoryServer, ScriptedDevice

READ = bytes.fromhex("010300000002")
REPLY = encode_adu(1, bytes.fromhex("0304000A000B"))


class ClientCase(SynchronousTestCase):
    """One port, one server, one client."""

    def setUp(self) -> None:
        self.port = MemoryPort()
        self.server = MemoryServer(self.port)
        self.client: LuminaModbusClient = self.server.client()
        self.open: list[Deferred[Any]] = []

    def tearDown(self) -> None:
        self.client.close()
        for one in self.open:
            one.addErrback(lambda _: None)
        self.server.lose_connections()
        self.server.clock.advance(10)
        self.assertEqual(self.server.clock.getDelayedCalls(), [])

    def read(self, **settings: Any) -> Deferred[tuple[int, ...]]:
        self.open.append(self.client.port("boiler", **settings).unit(1).read_holding_registers(0, 2))
        return self.open[-1]

    def write(self, **settings: Any) -> Deferred[None]:
        self.open.append(self.client.port("boiler", **settings).unit(1).write_single_register(7, 1))
        return self.open[-1]


class Commands(ClientCase):
    """What a caller gets."""

    def test_as_the_mission_sends(self) -> None:
        """``response_length=7`` though nine bytes come; the CRC is added; the reply carries its id."""
        self.port.script = [REPLY]
        reply = self.successResultOf(self.client.send_command(
            name="read_holding", port="boiler", command=READ, baudrate=9600, response_length=7,
        ))
        self.assertEqual((reply.frame, reply.name, reply.port), (REPLY, "read_holding", "boiler"))
        self.assertTrue(reply.command_id)
        self.assertEqual(self.port.asked[0].pdu, READ[1:])

    def test_all_in_one_mapping(self) -> None:
        self.port.script = [REPLY]
        data = {"name": "x", "port": "boiler", "command": "01 03 0000 0002", "timeout": 2}
        self.assertEqual(self.successResultOf(self.client.send_command(data)).pdu, REPLY[1:-2])
        self.assertAlmostEqual(self.port.asked[0].timeout, 1.8)

    def test_settings_reach_the_port(self) -> None:
        self.read(baudrate=4800, parity="E", stopbits=2, retries=1, timeout=3)
        (asked,) = self.port.asked
        assert asked.serial is not None
        self.assertEqual(str(asked.serial), "4800 8E2")
        self.assertEqual(asked.retries, 1)

    def test_turns_reach_the_port(self) -> None:
        self.read(priority="low", max_age=2)
        self.open.append(self.client.send_command("x", "boiler", READ, priority="high", max_age=0))
        self.read()
        self.assertEqual(
            [(one.priority, one.max_age) for one in self.port.asked], [("low", 2.0), ("high", 0.0), ("normal", None)]
        )

    def test_turns_that_cannot_be(self) -> None:
        for wrong, sentence in (
            ({"priority": "urgent"}, "priority is one of high, normal, low, not 'urgent'"),
            ({"priority": 0}, "high, normal, low"), ({"max_age": -1}, "max_age is 0 to 3600 seconds, not -1"),
            ({"max_age": 3601}, "3600"), ({"max_age": float("nan")}, "3600"), ({"max_age": True}, "3600"),
            ({"max_age": "2"}, "3600"),
        ):
            self.assertIn(sentence, str(self.assertRaises(RequestError, self.client.port, "boiler", **wrong)))

    def test_without_settings_the_ports_own(self) -> None:
        self.read()
        self.assertIsNone(self.port.asked[0].serial)

    def test_device_says_no(self) -> None:
        self.port.devices[1] = ScriptedDevice().then(pdu.ExceptionReply(3, 2))
        error: Any = self.failureResultOf(self.read(), IllegalDataAddress).value
        self.assertEqual((error.code, error.unit, error.function_code), (2, 1, 3))
        self.assertIn("unit 1 refused function 3", str(error))

    def test_server_says_no(self) -> None:
        self.port.script = [PortClosed("boiler is not open, unplugged"), QueueFull("too many"), None]
        self.assertIn("unplugged", self.failureResultOf(self.read(), PortClosed).getErrorMessage())
        self.failureResultOf(self.read(), QueueFull)
        self.failureResultOf(self.read(), ResponseTimeout)
        self.port.script = [None]
        self.failureResultOf(self.write(), OutcomeUnknown)

    def test_callers_faults(self) -> None:
        unit = self.client.port("boiler").unit(1)
        for wrong, words in (
            (unit.read_coils(0, 2001), "2000"), (unit.write_single_register(0, 65536), "65535"),
            (self.client.send_command("x", "a:b", READ), "colons"), (self.client.send_command("x", "b", "zz"), "hex"),
            (self.client.send_command("x", "b", encode_adu(1, READ[1:])), "CRC already"),
            (self.client.send_command("x", "b", READ, timeout=0), "0.05 to 60"),
            (self.client.send_command("x", "b", READ, baudrate=0), "baudrate"),
            (self.client.send_command("x", "nowhere", READ), "configured are"),
        ):
            self.assertIn(words, self.failureResultOf(wrong, RequestError).getErrorMessage())
        self.assertRaises(RequestError, self.client.port, "boiler", parity="X")
        self.assertEqual(self.port.asked, [])

    def test_what_is_of_the_wrong_kind(self) -> None:
        """The client guesses nothing: ``bytes(5)`` would be a frame to all units, and the text "off" is true."""
        port = self.client.port("boiler")
        for wrong, words in (
            (self.client.send_command("x", "boiler", 5), "hexadecimal"),  # type: ignore[arg-type]
            (self.client.send_command("x", "boiler", None), "hexadecimal"),  # type: ignore[arg-type]
            (self.client.send_command(5, "boiler", READ), "the name is a text"),  # type: ignore[arg-type]
            (self.client.send_command("x" * 5000, "boiler", READ), "1000"),
            (port.unit(1).write_single_coil(0, "off"), "True or False"),  # type: ignore[arg-type]
            (port.unit(1).write_single_coil(0, 2), "True or False"),
            (port.unit(1).write_multiple_coils(0, ["off"]), "True or False"),  # type: ignore[list-item]
            (port.unit(1).write_multiple_registers(0, None), "list"),  # type: ignore[arg-type]
            (port.unit(1).read_write_multiple_registers(0, 1, 0, 5), "list"),  # type: ignore[arg-type]
            (port.unit("1").read_coils(0), "a unit is"),  # type: ignore[arg-type]
            (self.client.ask("ports\nstats"), "cannot stand in a line"), (self.client.ask(""), "no word"),
        ):
            self.assertIn(words, self.failureResultOf(wrong, RequestError).getErrorMessage())
        for key, value in (
            ("stopbits", True), ("stopbits", 1.0), ("baudrate", 9600.0), ("timeout", "1"), ("name", 5),
        ):
            self.assertRaises(RequestError, self.client.port, **{key: value})
        self.assertEqual(self.port.asked, [])

    def test_states_of_coils(self) -> None:
        unit = self.client.port("boiler").unit(1)
        self.open += [unit.write_single_coil(0, 1), unit.write_multiple_coils(0, (False, True))]
        self.assertEqual([one.pdu.hex() for one in self.port.asked], ["050000ff00", "0f000000020102"])

    def test_servers_that_cannot_be(self) -> None:
        for host, port in (
            ("a..b", 8888), ("x" * 70, 8888), ("", 8888), (" ", 8888), ("\0", 8888), ("/" + "x" * 108, 0),
            ("127.0.0.1", 0), ("127.0.0.1", 65536), ("127.0.0.1", "8888"),
        ):
            self.assertRaises(RequestError, LuminaModbusClient, host, port)
        self.assertRaises(RequestError, LuminaModbusClient, timeout=100)

    def test_many_in_flight_keep_their_order_and_the_servers_bound(self) -> None:
        """The server holds 64 commands of one client; the others wait in the client."""
        told: list[int] = []
        for number in range(500):
            unit = self.client.port("boiler").unit(1)
            unit.read_holding_registers(number, 1).addCallback(lambda values: told.append(values[0]))
        self.assertEqual(len(self.port.waiting), 64)
        while self.port.waiting:
            asked = self.port.waiting[0]
            address = int.from_bytes(asked.pdu[1:3], "big")
            asked.end(pdu.ReadHoldingRegistersReply([address]))
        self.assertEqual(told, list(range(500)))

    def test_observers(self) -> None:
        seen: list[CommandReply | CommandFailure] = []
        self.client.subscribe(lambda ended: 1 / 0)
        unsubscribe = self.client.subscribe(seen.append)
        self.port.script = [REPLY, None, REPLY]
        self.read()
        self.failureResultOf(self.read())
        unsubscribe()
        self.read()
        self.assertEqual([type(one) for one in seen], [CommandReply, CommandFailure])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_words(self) -> None:
        self.assertIn("boiler", self.successResultOf(self.client.ask("ports"))[0])
        self.assertGreater(len(self.successResultOf(self.client.ask("help"))), 5)

    def test_a_word_that_nobody_answers(self) -> None:
        self.successResultOf(self.client.connect())
        self.client._session.receive_data = lambda data, now: None  # the server hears, and says nothing
        asking = self.client.ask("ports")
        self.server.clock.advance(4.9)
        self.assertNoResult(asking)
        self.server.clock.advance(0.2)
        self.assertIn("did not answer 'ports'", self.failureResultOf(asking, NotConnected).getErrorMessage())


class Functions(ClientCase):
    """Every public function, values in and out."""

    def test_all(self) -> None:
        records = [pdu.FileRecord(4, 1, (7, 8))]
        unit = self.client.port("boiler").unit(1)
        for call, reply, value in (
            (lambda: unit.read_coils(0, 3), pdu.ReadCoilsReply([1, 0, 1]), (True, False, True)),
            (lambda: unit.read_discrete_inputs(0, 2), pdu.ReadDiscreteInputsReply([0, 1]), (False, True)),
            (lambda: unit.read_holding_registers(0, 2), pdu.ReadHoldingRegistersReply([1, 2]), (1, 2)),
            (lambda: unit.read_input_registers(0, 2), pdu.ReadInputRegistersReply([3, 4]), (3, 4)),
            (lambda: unit.write_single_coil(3, True), pdu.WriteSingleCoilReply(3, True), None),
            (lambda: unit.write_single_register(3, 9), pdu.WriteSingleRegisterReply(3, 9), None),
            (lambda: unit.write_multiple_coils(3, [True]), pdu.WriteMultipleCoilsReply(3, 1), None),
            (lambda: unit.write_multiple_registers(3, [1, 2]), pdu.WriteMultipleRegistersReply(3, 2), None),
            (lambda: unit.mask_write_register(3, 1, 2), pdu.MaskWriteRegisterReply(3, 1, 2), None),
            (lambda: unit.read_write_multiple_registers(0, 1, 3, [5]), pdu.ReadWriteMultipleRegistersReply([6]), (6,)),
            (lambda: unit.read_exception_status(), pdu.ReadExceptionStatusReply(5), 5),
            (lambda: unit.diagnostics(0, b"ab"), pdu.DiagnosticsReply(0, b"ab"), b"ab"),
            (lambda: unit.get_comm_event_counter(), pdu.GetCommEventCounterReply(0, 7),
             pdu.GetCommEventCounterReply(0, 7)),
            (lambda: unit.get_comm_event_log(), pdu.GetCommEventLogReply(0, 7, 8, b"x"),
             pdu.GetCommEventLogReply(0, 7, 8, b"x")),
            (lambda: unit.report_server_id(), pdu.ReportServerIdReply(b"id\xff"), b"id\xff"),
            (lambda: unit.read_file_record([pdu.RecordReference(4, 1, 2)]), pdu.ReadFileRecordReply([(7, 8)]),
             ((7, 8),)),
            (lambda: unit.write_file_record(records), pdu.WriteFileRecordReply(records), None),
            (lambda: unit.read_fifo_queue(9), pdu.ReadFIFOQueueReply([1, 2]), (1, 2)),
            (lambda: unit.request(pdu.RawRequest(65, b"x")), pdu.RawReply(65, b"y"), pdu.RawReply(65, b"y")),
        ):
            self.port.script = [encode_adu(1, reply.encode())]
            self.assertEqual(self.successResultOf(call()), value, reply)

    def test_identification_has_pages(self) -> None:
        self.port.devices[1] = device = ScriptedDevice().then(
            pdu.ReadDeviceIdentificationReply(1, 1, True, 2, [(0, b"ACME"), (1, b"P1")]),
            pdu.ReadDeviceIdentificationReply(1, 1, False, 0, [(2, b"1.0")]),
        )
        found = self.successResultOf(self.client.port("boiler").unit(1).read_device_identification())
        self.assertEqual(found, {0: b"ACME", 1: b"P1", 2: b"1.0"})
        self.assertEqual(device.asked[1], pdu.ReadDeviceIdentificationRequest(1, 2))

    def test_identification_that_never_ends(self) -> None:
        page = pdu.ReadDeviceIdentificationReply(1, 1, True, 0, [(0, b"ACME")])
        self.port.devices[1] = ScriptedDevice().then(*[page] * 9)
        found = self.successResultOf(self.client.port("boiler").unit(1).read_device_identification())
        self.assertEqual(found, {0: b"ACME"})

    def test_broadcast(self) -> None:
        self.port.script = [b""]
        everybody = self.client.port("boiler").unit(0)
        self.assertIsNone(self.successResultOf(everybody.write_single_coil(1, True)))
        self.port.script = [b""]
        self.assertIsNone(self.successResultOf(everybody.diagnostics(1)))


class Connections(ClientCase):
    """The connection comes and goes; every Deferred fires once."""

    def test_connect(self) -> None:
        self.successResultOf(self.client.connect())
        self.successResultOf(self.client.connect())
        self.assertTrue(self.client.is_connected)

    def test_nobody_there(self) -> None:
        self.server.refuses = True
        error = self.failureResultOf(self.client.connect(), NotConnected)
        self.assertIn("127.0.0.1:8888", error.getErrorMessage())
        self.assertIn("is Lumina running there", error.getErrorMessage())

    def test_commands_wait_for_the_connection(self) -> None:
        self.server.refuses = True
        late, soon = self.read(timeout=4), self.read(timeout=0.5)
        self.server.clock.pump([0.1] * 10)
        self.assertIn("refused", self.failureResultOf(soon, NotConnected).getErrorMessage())
        self.server.refuses, self.port.script = False, [REPLY]
        self.server.clock.pump([0.1] * 20)
        self.assertEqual(self.successResultOf(late), (10, 11))

    def test_read_is_asked_again(self) -> None:
        reading = self.read()
        self.server.lose_connections()
        self.assertTrue(self.port.asked[0].cancelled)
        self.port.script = [REPLY]
        self.server.clock.pump([0.1] * 3)
        self.assertEqual(self.successResultOf(reading), (10, 11))

    def test_write_is_not(self) -> None:
        writing = self.write()
        self.server.lose_connections()
        self.assertIn("may or may not", self.failureResultOf(writing, OutcomeUnknown).getErrorMessage())
        self.server.clock.pump([0.1] * 3)
        self.assertEqual(len(self.port.asked), 1)

    def test_what_was_not_sent_goes_later(self) -> None:
        writes = [self.write() for _ in range(70)]
        self.server.lose_connections()
        for one in writes[:64]:
            self.failureResultOf(one, OutcomeUnknown)
        self.server.clock.pump([0.1] * 3)
        self.assertEqual(len(self.port.waiting), 6)

    def test_server_that_stops(self) -> None:
        """What it has not sent waits for the next server, in its order. The client sends nothing more to this one."""
        first, second = self.write(), self.read()
        for asked in self.port.waiting:
            asked.end(Stopping("the service is stopping"))
        third = self.read()
        self.assertEqual(len(self.port.asked), 2)
        self.server.lose_connections()
        self.server.clock.pump([0.1] * 3)
        self.assertEqual([one.pdu[0] for one in self.port.waiting], [6, 3, 3])
        self.port.waiting[0].end(pdu.WriteSingleRegisterReply(7, 1))
        for asked in self.port.waiting:
            asked.end(REPLY)
        self.assertIsNone(self.successResultOf(first))
        self.assertEqual(self.successResultOf(second), self.successResultOf(third))

    def test_silent_server(self) -> None:
        """The requests fail at their deadlines, and the client connects again."""
        reading, writing = self.read(timeout=1), self.write(timeout=1)
        self.port.request = lambda *args, **options: Deferred()  # type: ignore[assignment]
        self.server.clock.pump([0.3] * 4)
        self.failureResultOf(reading, ResponseTimeout)
        self.failureResultOf(writing, OutcomeUnknown)
        self.assertFalse(self.client.is_connected)
        self.server.clock.pump([0.1] * 3)
        self.assertTrue(self.client.is_connected)

    def test_silent_server_and_all_are_cancelled(self) -> None:
        """Cancelled requests do not hide that the server answers nothing."""
        self.client.connect()
        self.port.request = lambda *args, **options: Deferred()  # type: ignore[assignment]
        for one in [self.read(timeout=1) for _ in range(64)]:
            one.cancel()
            self.failureResultOf(one, Cancelled)
        self.server.clock.pump([0.3] * 4)
        self.assertFalse(self.client.is_connected)
        self.server.clock.pump([0.1] * 3)
        self.assertTrue(self.client.is_connected)

    def test_cancelled(self) -> None:
        """The request fails at once. Its answer is dropped, and the next command gets its own."""
        reading, writing, next_one = self.read(), self.write(), self.read()
        reading.cancel()
        writing.cancel()
        self.failureResultOf(reading, Cancelled)
        self.failureResultOf(writing, OutcomeUnknown)
        for asked, outcome in zip(self.port.waiting, (REPLY, None, REPLY), strict=True):
            asked.end(outcome)
        self.assertEqual(self.successResultOf(next_one), (10, 11))

    def test_cancelled_before_it_is_sent(self) -> None:
        self.server.refuses = True
        writing = self.write()
        writing.cancel()
        self.failureResultOf(writing, Cancelled)
        self.server.refuses = False
        self.server.clock.pump([0.1] * 3)
        self.assertEqual(self.port.asked, [])

    def test_closed(self) -> None:
        reading, writing = self.read(), self.write()
        self.client.close()
        self.failureResultOf(reading, Cancelled)
        self.failureResultOf(writing, OutcomeUnknown)
        self.failureResultOf(self.read(), NotConnected)
        self.failureResultOf(self.client.connect(), NotConnected)

    def test_closed_after_cancelling(self) -> None:
        """Cancelled requests have ended already; the others end, and the connection is closed."""
        ends: list[Any] = []
        self.client.subscribe(ends.append)
        taken_back, writing, reading = self.read(), self.write(), self.read()
        taken_back.cancel()
        writing.cancel()
        closing = self.client.close()
        self.server.clock.advance(0)
        self.successResultOf(closing)
        self.failureResultOf(taken_back, Cancelled)
        self.failureResultOf(writing, OutcomeUnknown)
        self.failureResultOf(reading, Cancelled)
        self.assertEqual(len(ends), 1)

    def test_cancelled_by_the_end_of_another(self) -> None:
        """Both answers came at once, and the first caller cancels the second request: it ends with its answer."""
        first, second = self.read(), self.write()
        first.addCallback(lambda _: second.cancel())
        written = encode_adu(1, self.port.asked[1].pdu)
        self.client._on_data(b"1:%b:7.0\n2:%b:7.0\n" % (hexlify(REPLY), hexlify(written)))
        self.successResultOf(first)
        self.assertIsNone(self.successResultOf(second))
        third = self.read()
        self.port.waiting[2].end(REPLY)
        self.assertEqual(self.successResultOf(third), (10, 11))

    def test_cancelled_by_the_failure_of_another(self) -> None:
        """Neither was sent, and both have reached their deadlines."""
        self.server.refuses = True
        first, second = self.read(timeout=1), self.write(timeout=1)
        first.addErrback(lambda _: second.cancel())
        self.server.clock.pump([0.3] * 4)
        self.successResultOf(first)
        self.failureResultOf(second, NotConnected)

    def test_connecting_is_taken_back_by_another_who_waited(self) -> None:
        for refuses in (False, True):
            self.server.refuses = refuses
            client = self.server.client()
            client._start = lambda: None  # type: ignore[method-assign]
            first, second, third = client.connect(), client.connect(), client.connect()
            first.addBoth(lambda _, second=second: second.cancel())
            del client._start
            client._start()
            self.successResultOf(first)
            self.failureResultOf(second, CancelledError)
            third.addErrback(lambda failure: failure.trap(NotConnected))
            self.successResultOf(third)
            client.close()

    def test_too_many_clients(self) -> None:
        self.server = MemoryServer(self.port, max_connections=1)
        self.client = self.server.client()
        self.successResultOf(self.client.connect())
        other = self.server.client()
        reading = other.port("boiler").unit(1).read_coils(0, 1)
        self.server.clock.pump([0.5] * 12)
        self.assertIn("overloaded", self.failureResultOf(reading, NotConnected).getErrorMessage())
        other.close()

    def test_no_lumina_server(self) -> None:
        """A peer that speaks another protocol is recognised by its first line."""
        self.client.connect()
        self.client._on_data(b"SSH-2.0-OpenSSH_9.6\r\n")
        self.assertFalse(self.client.is_connected)
        self.assertIn("SSH-2.0", self.client._session.why_not_connected)
