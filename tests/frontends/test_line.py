"""The line front-end: one answer to each line, whatever the client does."""

from __future__ import annotations

import socket

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import ClientCreator, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lumina_twisted.errors import IllegalFunction, OutcomeUnknown, QueueFull, RequestError, ResponseTimeout
from lumina_twisted.frontends.connection import LINGER
from lumina_twisted.frontends.line.client import LineFactory, LineOptions, LineProtocol
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.schema import structure, structure_text
from lumina_twisted.testing import Asked, MemoryPort, MemoryPorts, memory_context
from tests.line_listener import STAMP, Listener, command, read_registers, registers

READ = read_registers(1)
REPLY = registers(1)
ID = b"3_thc_010300000001_20241124170450_aB"
GONE = Failure(ConnectionDone())


class FrontCase(SynchronousTestCase):
    """A listener and one client."""

    def setUp(self) -> None:
        self.start()

    def tearDown(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])

    def start(self, *ports: MemoryPort, **options: object) -> None:
        self.listener = Listener(*ports, **options)
        self.port, self.clock = self.listener.port, self.listener.clock
        self.line, self.transport = self.listener.connect()

    def say(self, *lines: bytes) -> None:
        self.line.dataReceived(b"".join(line + b"\n" for line in lines))

    def asked(self) -> Asked:
        return self.port.asked[-1]

    def leave(self, line: LineProtocol) -> None:
        line.connectionLost(GONE)


class CommandTests(FrontCase):
    """From a line to its port and back."""

    def test_reply(self) -> None:
        self.say(command(READ, 7))
        self.assertEqual(self.transport.writes, [])
        self.asked().end(REPLY)
        self.assertEqual(self.transport.writes, [ID + b":" + REPLY.hex().upper().encode() + b":1732467890.1234\n"])

    def test_what_the_port_is_asked(self) -> None:
        self.say(command(READ, 9, ":2.0"))
        asked = self.asked()
        self.assertIs(asked.caller, self.line.caller)
        self.assertEqual((asked.unit, asked.pdu), (1, READ[1:]))
        self.assertEqual((asked.timeout, asked.response_length, asked.retries), (1.8, 9, None))
        self.assertIsNone(asked.serial)

    def test_timeout_of_a_line_without_one(self) -> None:
        self.start(timeout=2.0)
        self.say(command(READ, 7, ""))
        self.assertEqual(self.asked().timeout, 0.9 * 2.0)

    def test_other_speed(self) -> None:
        self.say(command(READ, baudrate=4800), command(READ, baudrate=4800))
        self.assertEqual(self.asked().serial, SerialSettings(baudrate=4800))
        self.assertIs(self.port.asked[0].serial, self.port.asked[1].serial)

    def test_other_settings_keep_the_ports_rest(self) -> None:
        self.start(MemoryPort(parity="E", stopbits=2))
        self.say(command(READ, 7, ":1:bytesize=7:retries=0"))
        self.assertEqual(self.asked().serial, SerialSettings(bytesize=7, parity="E", stopbits=2))
        self.assertEqual(self.asked().retries, 0)

    def test_turns(self) -> None:
        self.say(command(READ, 7, ":1:priority=low:max_age=2.5"), command(READ, 7))
        self.assertEqual([(one.priority, one.max_age) for one in self.port.asked], [("low", 2.5), ("normal", None)])

    def test_the_listeners_turns(self) -> None:
        """What a line says itself goes before it, a max_age of 0 too."""
        self.start(priority="high", max_age=2.0)
        self.say(command(READ, 7), command(READ, 7, ":1:priority=normal:max_age=0"), command(READ, 7, ":1:max_age=1"))
        self.assertEqual(
            [(one.priority, one.max_age) for one in self.port.asked], [("high", 2.0), ("normal", 0.0), ("high", 1.0)]
        )

    def test_help_tells_every_key(self) -> None:
        self.say(b"help")
        told = b"".join(self.transport.writes)
        for key in (b"parity=", b"bytesize=", b"stopbits=", b"retries=", b"priority=", b"max_age="):
            self.assertIn(key, told)

    def test_the_ports_own_settings_named(self) -> None:
        self.say(command(READ, 7, ":1:parity=N:bytesize=8:stopbits=1"))
        self.assertIsNone(self.asked().serial)

    def test_empty_port_is_the_first(self) -> None:
        self.start(MemoryPort("one"), MemoryPort("two", "/dev/two"))
        self.say(command(READ, port=""))
        self.assertEqual(len(self.port.asked), 1)

    def test_empty_port_is_the_listeners(self) -> None:
        two = MemoryPort("two", "/dev/two")
        self.start(MemoryPort("one"), two, port="two")
        self.say(command(READ, port=""))
        self.assertEqual((len(self.port.asked), len(two.asked)), (0, 1))

    def test_unknown_port_says_which_exist(self) -> None:
        self.say(command(READ, port="/dev/nope"))
        [answer] = self.transport.writes
        self.assertTrue(answer.startswith(ID + b":ERROR:invalid there is no port '/dev/nope'"))
        self.assertIn(b"boiler (/dev/ttyUSB0)", answer)

    def test_no_port_at_all(self) -> None:
        factory = LineFactory(LineOptions(), memory_context(MemoryPorts(), self.clock))
        self.assertRaises(RequestError, factory.find, "")

    def test_answers_in_the_order_they_come(self) -> None:
        self.say(command(READ, command_id="a"), command(READ, command_id="b"))
        self.port.asked[1].end(REPLY)
        self.port.asked[0].answer.errback(ResponseTimeout("none"))
        self.assertEqual([one[:1] for one in self.transport.writes], [b"b", b"a"])

    def test_same_id_twice_is_answered_twice(self) -> None:
        self.port.script += [REPLY, REPLY]
        self.say(command(READ), command(READ))
        self.assertEqual(len(self.transport.writes), 2)

    def test_any_split(self) -> None:
        line = command(READ, 7) + b"\r\n"
        for at in range(1, len(line)):
            self.start()
            self.line.dataReceived(line[:at])
            self.line.dataReceived(line[at:])
            self.assertEqual(len(self.port.asked), 1)

    def test_a_byte_at_a_time(self) -> None:
        for byte in command(READ, 7) + b"\n":
            self.line.dataReceived(bytes((byte,)))
        self.assertEqual(len(self.port.asked), 1)

    def test_errors(self) -> None:
        for error, reason in (
            (ResponseTimeout("x"), b"timeout x"), (QueueFull("x"), b"queue_full x"),
            (OutcomeUnknown("x"), b"outcome_unknown x"), (IllegalFunction(), b"exception 1 illegal function"),
        ):
            self.port.script.append(error)
            self.say(command(READ, command_id="a"))
            self.assertEqual(self.transport.writes.pop(), b"a:ERROR:" + reason + b":1732467890.123400\n")

    def test_fault_of_ours_is_answered_and_logged(self) -> None:
        self.port.script.append(ZeroDivisionError())
        self.say(command(READ, command_id="a"))
        self.assertTrue(self.transport.writes[0].startswith(b"a:ERROR:error ZeroDivisionError"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_port_that_raises_is_answered(self) -> None:
        self.port.request = None  # type: ignore[assignment]
        self.say(command(READ, command_id="a"))
        self.assertEqual(len(self.transport.writes), 1)
        self.flushLoggedErrors(TypeError)


class OddLineTests(FrontCase):
    """Lines that ask nothing of a port."""

    def test_empty_lines(self) -> None:
        self.say(b"", b"  ", b"\r")
        self.assertEqual(self.transport.writes, [])

    def test_no_command(self) -> None:
        self.say(b"hello", b"x:y", b"\xff:1:2:3:4:5")
        starts = [b":ERROR:invalid no command", b"x:ERROR:invalid 2 fields", b":ERROR:invalid the id"]
        for written, start in zip(self.transport.writes, starts, strict=True):
            self.assertTrue(written.startswith(start), written)
            self.assertTrue(written.endswith(b":1732467890.123400\n"))

    def test_too_long(self) -> None:
        for rest in (b"\n", b""):
            self.start()
            self.line.dataReceived(b"abc:" + b"x" * 5000 + rest)
            self.assertEqual(len(self.transport.writes), 1)
            self.assertTrue(self.transport.writes[0].startswith(b"abc:ERROR:invalid the line is longer than 4096"))
            self.assertTrue(self.transport.disconnecting)
            self.line.dataReceived(b"y" * 5000)
            self.say(command(READ))
            self.assertEqual((len(self.transport.writes), len(self.port.asked)), (1, 0))

    def test_longest_is_no_fault(self) -> None:
        self.say(b"x" * 4096)
        self.assertFalse(self.transport.disconnecting)

    def test_too_long_waits_for_what_was_asked_before(self) -> None:
        self.say(command(READ))
        self.line.dataReceived(b"x" * 5000)
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.transport.producerState, "paused")
        self.asked().end(REPLY)
        self.assertEqual(len(self.transport.writes), 2)
        self.assertTrue(self.transport.disconnecting)

    def test_cut_off_line(self) -> None:
        self.line.dataReceived(command(READ))
        self.leave(self.line)
        self.assertEqual((self.port.asked, self.transport.writes), ([], []))

    def test_ping_turns_the_connection_to_v1(self) -> None:
        self.port.script += [REPLY, ResponseTimeout("x"), REPLY]
        self.say(b"FF:F0:AA:AF\r", command(READ, command_id="a"), command(READ, command_id="b"))
        self.assertEqual(
            self.transport.writes, [b"FF:F0:AA:AF\n", b"a:" + REPLY.hex().encode() + b"\n", b"b:TIMEOUT\n"]
        )
        [other] = self.listener.say(command(READ, command_id="c"))
        self.assertEqual(other.count(b":"), 2)

    def test_dialect_v1(self) -> None:
        self.start(dialect="v1")
        self.port.script += [REPLY, b"", IllegalFunction()]
        self.say(*(command(READ, command_id=one) for one in "abc"), b"nonsense")
        self.assertEqual(
            self.transport.writes, [b"a:" + REPLY.hex().encode() + b"\n", b"b:\n", b"c:MISMATCH\n", b":MISMATCH\n"]
        )

    def test_spaced_hex(self) -> None:
        self.start(hex="spaced")
        self.port.script.append(bytes.fromhex("018302C0F1"))
        self.say(command(READ, command_id="a"))
        self.assertEqual(self.transport.writes, [b"a:01 83 02 C0 F1:1732467890.1234\n"])

    def test_words_for_people(self) -> None:
        port = MemoryPort("by:path", "/dev/serial/by-path/pci-0:1")
        port.counters.replies = 3
        self.start(port)
        for word, inside in ((b"help", b"response length"), (b"PORTS", b"9600 8N1  open"), (b"Stats", b"replies 3")):
            self.say(word + b"\r")
            text = self.transport.writes.pop()
            self.assertIn(inside, text)
            self.assertTrue(word == b"help" or b":" not in text)
            *lines, end = text.splitlines()
            self.assertEqual(end, b"#")
            for line in lines:
                self.assertTrue(line.startswith(b"# "))
        self.assertEqual(self.transport.writes, [])


class LeavingTests(FrontCase):
    """The client goes, or we do."""

    def test_pending_commands_are_cancelled(self) -> None:
        self.say(command(READ), command(READ))
        self.leave(self.line)
        self.assertEqual([one.cancelled for one in self.port.asked], [True, True])
        self.assertEqual(self.transport.writes, [])

    def test_late_answers_go_nowhere(self) -> None:
        self.port.request = lambda *_, **__: answer  # type: ignore[method-assign]
        answer: Deferred[bytes] = Deferred(lambda _: answer.callback(REPLY[1:-2]))
        self.say(command(READ))
        self.leave(self.line)
        self.assertEqual(self.transport.writes, [])
        self.assertIsNone(self.successResultOf(answer))

    def test_half_closed_client_gets_its_answers(self) -> None:
        self.say(command(READ), command(READ))
        self.line.readConnectionLost()
        self.port.asked[0].end(REPLY)
        self.assertFalse(self.transport.disconnecting)
        self.port.asked[1].answer.errback(ResponseTimeout("x"))
        self.assertEqual(len(self.transport.writes), 2)
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)
        self.leave(self.line)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_half_closed_without_pending_closes(self) -> None:
        self.line.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)

    def test_connection_that_will_not_close_is_cut(self) -> None:
        self.line.readConnectionLost()
        self.clock.advance(LINGER)
        self.assertTrue(self.transport.aborted)

    def test_too_many(self) -> None:
        self.start(max_connections=2)
        self.listener.connect()
        line, transport = self.listener.connect()
        self.assertEqual(len(transport.writes), 1)
        self.assertTrue(transport.writes[0].startswith(b":ERROR:overloaded 2 clients"))
        self.assertTrue(transport.disconnecting)
        line.dataReceived(command(READ) + b"\n")
        self.assertEqual(self.port.asked, [])
        self.leave(line)
        self.leave(self.line)
        _, transport = self.listener.connect()
        self.assertEqual(transport.writes, [])


class NotReadingTests(FrontCase):
    """A client that asks and does not read."""

    def setUp(self) -> None:
        self.start(max_buffered=100)

    def test_dropped_at_its_bound(self) -> None:
        self.say(*[command(READ, command_id="a")] * 5)
        for asked in self.port.asked[:3]:
            self.line.pauseProducing()  # the transport says so at each write
            asked.end(registers(20))
        self.assertTrue(self.transport.aborted)
        self.assertTrue(self.asked().cancelled)
        written = len(self.transport.writes)
        self.say(command(READ, command_id="a"), b"hello")
        self.assertEqual((len(self.port.asked), len(self.transport.writes)), (5, written))

    def test_nothing_is_asked_meanwhile(self) -> None:
        """Its lines wait, and what they cost waits with them; it is dropped when it has not read for 30 s."""
        self.line.pauseProducing()
        self.say(command(READ, command_id="a"), b"hello")
        self.assertEqual((self.port.asked, self.transport.writes), ([], []))
        self.assertEqual(self.transport.producerState, "paused")
        for _ in range(30):
            self.clock.advance(1)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(1)
        self.assertTrue(self.transport.aborted)
        self.leave(self.line)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reading_on_forgives(self) -> None:
        for _ in range(90):
            self.line.pauseProducing()
            self.port.script.append(REPLY)
            self.say(command(READ, command_id="a"))
            self.assertEqual(self.transport.writes, [])
            self.clock.advance(20)
            self.line.resumeProducing()
            self.assertEqual(len(self.transport.writes), 1)
            self.transport.writes.clear()
        self.assertFalse(self.transport.aborted)

    def test_dropped_by_its_last_answer_is_not_closed_too(self) -> None:
        self.say(command(READ, command_id="a" * 200))
        self.line.readConnectionLost()
        self.line.pauseProducing()
        self.asked().end(REPLY)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_registered_with_its_transport(self) -> None:
        self.assertIs(self.transport.producer, self.line)
        self.assertTrue(self.transport.streaming)


class DrainTests(FrontCase):
    """The service stops."""

    def test_no_client(self) -> None:
        self.leave(self.line)
        self.successResultOf(self.listener.factory.drain())

    def test_idle_client_is_closed(self) -> None:
        drained = self.listener.factory.drain()
        self.assertTrue(self.transport.disconnecting)
        self.assertNoResult(drained)
        self.leave(self.line)
        self.successResultOf(drained)

    def test_pending_is_answered_first_and_new_lines_refused(self) -> None:
        self.say(command(READ, command_id="a"))
        drained = self.listener.factory.drain()
        self.say(b"", command(READ, command_id="b"), b"help")
        self.assertEqual([one[:17] for one in self.transport.writes], [b"b:ERROR:stopping ", b":ERROR:stopping t"])
        self.assertFalse(self.transport.disconnecting)
        self.asked().end(REPLY)
        self.assertEqual(self.transport.writes[-1][:3], b"a:0")
        self.assertTrue(self.transport.disconnecting)
        self.leave(self.line)
        self.successResultOf(drained)

    def test_half_closed_client_is_waited_for(self) -> None:
        self.say(command(READ, command_id="a"))
        self.line.readConnectionLost()
        self.listener.factory.drain()
        self.assertFalse(self.transport.disconnecting)
        self.asked().end(REPLY)
        self.assertTrue(self.transport.disconnecting)

    def test_newcomer_is_told(self) -> None:
        drained = self.listener.factory.drain()
        line, transport = self.listener.connect()
        self.assertTrue(transport.writes[0].startswith(b":ERROR:stopping "))
        self.assertTrue(transport.disconnecting)
        self.leave(self.line)
        self.leave(line)
        self.successResultOf(drained)

    def test_twice(self) -> None:
        first, second = self.listener.factory.drain(), self.listener.factory.drain()
        self.leave(self.line)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_client_that_does_not_read_is_cut(self) -> None:
        self.listener.factory.drain()
        self.clock.advance(LINGER)
        self.assertTrue(self.transport.aborted)


class OptionsTests(SynchronousTestCase):
    """The settings of a listener."""

    def test_from_a_file_and_from_a_command_line(self) -> None:
        self.assertEqual(structure({"dialect": "v1", "timeout": 3}, LineOptions).timeout, 3.0)
        made = structure_text({"port": "boiler", "hex": "spaced", "max_connections": "7"}, LineOptions)
        self.assertEqual((made.port, made.hex, made.max_connections), ("boiler", "spaced", 7))
        self.assertEqual(made.max_buffered, 262144)


class Collecting(Protocol):
    """A client that keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure) -> None:
        self.ended.callback(self.data)


class TcpTests(TestCase):
    """What only a real connection shows."""

    async def listen(self, **options: object) -> None:
        self.port = MemoryPort()
        self.served: Deferred[LineProtocol] = Deferred()
        factory = LineFactory(LineOptions(**options), memory_context(MemoryPorts(self.port), reactor, stamp=STAMP))
        build = factory.buildProtocol

        def and_tell(addr: object) -> LineProtocol:
            line = build(None)
            reactor.callLater(0, self.served.callback, line)
            return line

        factory.buildProtocol = and_tell  # type: ignore[method-assign,assignment]
        self.factory = factory
        self.endpoint = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.endpoint.stopListening)

    async def connect(self) -> Collecting:
        return await ClientCreator(reactor, Collecting).connectTCP("127.0.0.1", self.endpoint.getHost().port)

    async def test_half_close_over_tcp(self) -> None:
        await self.listen()
        client = await self.connect()
        self.port.request = lambda *_, **__: answer  # type: ignore[method-assign]
        answer: Deferred[bytes] = Deferred()
        client.transport.write(command(READ, command_id="a") + b"\n")
        client.transport.loseWriteConnection()
        line = await self.served
        while line.state.value != "finishing":
            await self.turn()
        answer.callback(REPLY[1:-2])
        self.assertEqual(await client.ended, b"a:" + REPLY.hex().upper().encode() + b":1732467890.1234\n")

    async def test_no_delay_and_keepalive(self) -> None:
        await self.listen()
        client = await self.connect()
        line = await self.served
        self.assertTrue(line.transport.getTcpNoDelay())
        self.assertTrue(line.transport.getTcpKeepAlive())
        handle = line.transport.getHandle()
        self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 60)
        await self.factory.drain()
        self.assertEqual(await client.ended, b"")

    async def test_client_that_never_reads_is_dropped(self) -> None:
        await self.listen(max_buffered=1000)
        self.factory.stalled_after = 0.5
        client = await self.connect()
        client.transport.pauseProducing()
        line = await self.served
        line.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        lost: Deferred[None] = Deferred()
        self.patch(self.factory, "forget", lambda _: lost.callback(None))
        while line.state.value == "talking":
            client.transport.write(b"hello\n" * 500)
            await self.turn()
        await lost
        client.transport.abortConnection()
        await client.ended

    async def turn(self) -> None:
        """Lets the reactor do what is ready."""
        turned: Deferred[None] = Deferred()
        reactor.callLater(0, turned.callback, None)
        await turned


