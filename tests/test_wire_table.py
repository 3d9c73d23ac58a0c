"""The table of the line protocol's two original clients, row by row, against both dialects of our front-end.

Sections are those of the protocol's description: 2 what the clients send, 3 what they accept (which holds the doubles
in ``original_clients`` to it), 4 unusual input and what the original servers did with it, 5 the rules of one server
for both. Rows about the bus alone have their tests with the bus; here they show what a line asks of a port and how
the port's outcome reaches each client.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import (
    Cancelled,
    Expired,
    IllegalDataAddress,
    NotSent,
    OutcomeUnknown,
    PortClosed,
    QueueFull,
    RequestError,
    ResponseTimeout,
    Stopping,
)
from lumina_twisted.framing.crc import append_crc
from lumina_twisted.testing import Asked, MemoryPort
from tests.line_listener import STAMP, Listener, command, read_registers, registers
from tests.original_clients import FirstClient, SecondClient, Told

ID = "ttyUSB0_thc_010300000001_20241124170450_aB"
ID38 = "3_thermo_010300000001_20241124170450_aB"[:38]
READ = read_registers(1)
REPLY = registers(1)
V1 = REPLY.hex()


class WireCase(SynchronousTestCase):
    """A listener in either dialect, and the two clients."""

    def listen(self, *outcomes: bytes | Exception, **options: object) -> Listener:
        self.listener = Listener(**options)
        self.port: MemoryPort = self.listener.port
        self.port.script += outcomes
        return self.listener

    def answer(self, line: bytes, *outcomes: bytes | Exception, **options: object) -> bytes:
        """The one write that answers a line."""
        [answer] = self.listen(*outcomes, **options).say(line)
        return answer

    def asked(self) -> Asked:
        return self.port.asked[-1]

    def first(self, answer: bytes, command_id: str = ID, length: int = 7) -> FirstClient:
        client = FirstClient()
        client.sent(command_id, length)
        client.receive(answer)
        return client

    def second(self, answer: bytes, command_id: str = ID) -> SecondClient:
        client = SecondClient()
        client.sent(command_id)
        client.receive(answer)
        return client

    def both_v1(self, line: bytes, outcome: bytes | Exception, length: int = 7) -> tuple[FirstClient, SecondClient]:
        answer = self.answer(line, outcome, dialect="v1")
        return self.first(answer, length=length), self.second(answer)


class Section2RequestTests(WireCase):
    """Requests as the two clients send them."""

    def test_first_clients_line(self) -> None:
        """Timeout always there, an int by default; its length of 20 is a mere default."""
        self.answer(command(READ, 20, ":5", ID), REPLY)
        self.assertEqual((self.asked().timeout, self.asked().response_length), (4.5, 20))

    def test_second_clients_synchronous_line(self) -> None:
        """It asks for two bytes too many, and sends 1.0."""
        answer = self.answer(command(READ, 9, ":1.0", ID), REPLY)
        self.assertEqual((self.asked().timeout, self.asked().response_length), (0.9, 9))
        self.assertEqual(self.second(answer).told[ID], Told("success", REPLY, STAMP))

    def test_second_clients_low_level_line(self) -> None:
        """Six fields, and a length of 0."""
        answer = self.answer(command(READ, 0, "", ID), REPLY)
        self.assertEqual((self.asked().timeout, self.asked().response_length), (4.5, 0))
        self.assertEqual(self.second(answer).told[ID], Told("success", REPLY, STAMP))

    def test_id_is_echoed_as_it_came(self) -> None:
        self.assertTrue(self.answer(command(READ, 7, ":5", ID), REPLY).startswith(ID.encode() + b":"))

    def test_device_type_is_free_text(self) -> None:
        for kind in (b"read_Boiler 1", b"MODBUS_WRITE_MULTI", b"", b"=\xc3\xa4;,"):
            line = command(READ, 7, ":5", ID).replace(b":thc:", b":" + kind + b":")
            self.assertEqual(self.second(self.answer(line, REPLY)).told[ID].status, "success")

    def test_port_is_compared_as_text(self) -> None:
        self.assertIn(b":ERROR:invalid ", self.answer(command(READ, port="/dev/../dev/ttyUSB0")))

    def test_crc_low_byte_first(self) -> None:
        self.assertIn(b"840a:", command(READ, 7, ":5", ID))
        self.answer(command(READ, 7, ":5", ID), REPLY)
        self.assertEqual(self.asked().pdu, READ[1:])

    def test_repeated_ids_are_each_answered(self) -> None:
        self.listen(REPLY, REPLY, REPLY)
        self.assertEqual(len(self.listener.say(*[command(READ, 7, ":5", ID)] * 3)), 3)

    def test_crc_appended_twice(self) -> None:
        """The README examples of the originals: they could never work, now they are told why."""
        self.assertIn(b"its CRC twice", self.answer(command(append_crc(READ), 7, ":5", ID)))


class Section3AcceptanceTests(WireCase):
    """What each client makes of a line: first of any, which holds our doubles to the table, then of ours."""

    def check(
        self, rest: str, *, response: str | None = None, error: str | None = None,
        told: tuple[str, bytes | None] | None = None, stamp: float = 1.0,
    ) -> None:
        """What the first client gets (neither: the line is lost on it), and what the second (None: likewise)."""
        line = f"{ID}{rest}\n".encode()
        first, second = self.first(line), self.second(line)
        self.assertEqual((first.responses.get(ID), first.errors.get(ID)), (response, error), line)
        self.assertEqual(second.told.get(ID), told and Told(*told, stamp), line)

    def test_without_timestamp(self) -> None:
        self.check(f":{V1}", response=V1, told=("success", REPLY))

    def test_spaces(self) -> None:
        self.check(f":{REPLY.hex(' ')}", response=REPLY.hex(" "), told=("success", REPLY))

    def test_timestamp(self) -> None:
        self.check(f":{V1}:1732467890.1234", told=("success", REPLY), stamp=STAMP)
        self.assertEqual(self.first(f"{ID}:{V1}:1.0\n".encode()).unreadable, 1)

    def test_case(self) -> None:
        self.check(f":{V1.upper()}", response=V1.upper(), told=("success", REPLY))

    def test_int_timestamp(self) -> None:
        self.check(f":{V1}:17", told=("success", REPLY), stamp=17.0)

    def test_no_number_at_the_end(self) -> None:
        self.check(f":{V1}:soon")

    def test_other_length(self) -> None:
        self.check(":0103", error="Response length mismatch", told=("success", b"\1\3"))

    def test_no_data(self) -> None:
        self.check(":", response="", told=("success", None))
        self.check("", response="")

    def test_the_two_words(self) -> None:
        for word in ("TIMEOUT", "MISMATCH"):
            self.check(f":{word}", error=word, told=("invalid_response", None))

    def test_other_words(self) -> None:
        self.check(":ERROR", told=("unknown_error", None))
        self.check(":QUEUE_FULL", told=("invalid_response", None))

    def test_reason_without_timestamp(self) -> None:
        self.check(":ERROR:reason")

    def test_reason(self) -> None:
        self.check(":ERROR:reason x:2.5", told=("reason x", None), stamp=2.5)
        self.check(":ERROR:a: b:2.5", told=("a", None), stamp=2.5)

    def test_carriage_return(self) -> None:
        self.check(f":{V1}\r", response=V1, told=("success", REPLY))

    def test_unknown_id(self) -> None:
        line = b"nobody:0103\n"
        self.assertEqual((self.first(line).unmatched, self.second(line).ignored), (["nobody:0103"],) * 2)

    def test_line_in_two_segments(self) -> None:
        line = f"{ID}:{V1}\n".encode()
        first, second = self.first(line[:30]), self.second(line[:30])
        first.receive(line[30:])
        second.receive(line[30:])
        self.assertIn(ID, first.responses)
        self.assertEqual(second.told, {})
        second.receive(line)
        self.assertEqual(second.told, {}, "the next line is lost too")

    def test_longer_than_256(self) -> None:
        long, line = f"{ID}:{'00' * 120}\n".encode(), f"{ID}:{V1}\n".encode()
        self.assertIn(ID, self.first(long, length=120).responses)
        second = self.second(long)
        second.receive(line)
        self.assertNotEqual(second.told[ID].status, "success", "the next line went to the same buffer")

    def test_several_in_a_segment(self) -> None:
        lines = f"nobody_1:00\n{ID}:{V1}\n".encode()
        self.assertIn(ID, self.first(lines).responses)
        self.assertIn(ID, self.second(lines).told)

    def test_not_utf8(self) -> None:
        self.assertEqual(self.first(b"\xff:00\n").unreadable, 1)
        self.assertEqual(self.second(b"\xff:00\n").reconnects, 1)

    # -- and of ours

    def test_compact_hex_reaches_the_second_client_up_to_46_registers(self) -> None:
        self.check_reach("compact", 46)

    def test_spaced_hex_reaches_it_up_to_30(self) -> None:
        self.check_reach("spaced", 30)

    def check_reach(self, style: str, most: int) -> None:
        for count in (1, most, 60):
            reply = registers(count)
            line = command(read_registers(count), 0, "", ID38)
            second = self.second(self.answer(line, reply, hex=style), ID38)
            self.assertEqual(ID38 in second.told, count <= most, count)

    def test_v1_reaches_it_too(self) -> None:
        answer = self.answer(command(read_registers(46), 0, "", ID38), registers(46), dialect="v1")
        self.assertEqual(self.second(answer, ID38).told[ID38], Told("success", registers(46), 1.0))

    def test_every_error_fits_what_the_second_client_reads(self) -> None:
        for error in (ResponseTimeout("x " * 500), RequestError("a: b\n" * 99)):
            answer = self.answer(command(READ, 7, ":1", ID), error)
            self.assertLessEqual(len(answer), 256)
            self.assertEqual(self.second(answer).told[ID].status.split()[0], error.token)

    def test_answers_before_the_client_gives_up(self) -> None:
        for asked, given in ((":1.0", 0.9), (":0.01", 0.045), (":300", 54.0)):
            self.answer(command(READ, 7, asked, ID), REPLY)
            self.assertAlmostEqual(self.asked().timeout, given)

    def test_ping(self) -> None:
        self.assertEqual(self.answer(b"FF:F0:AA:AF"), b"FF:F0:AA:AF\n")

    def test_words_for_people_are_no_replies(self) -> None:
        for word in (b"help", b"ports", b"stats"):
            told = self.answer(word)
            for client in (self.first(told), self.second(told)):
                self.assertIn(ID, client.waiting)
                client.receive(f"{ID}:{V1}\n".encode())
                self.assertNotIn(ID, client.waiting, "the next reply is read as ever")


class Section4UnusualInputTests(WireCase):
    """Where an original server was silent, late, or closed the connection."""

    def invalid(self, line: bytes, command_id: bytes = ID.encode()) -> bytes:
        """One error line in v2, one MISMATCH in v1, nothing asked of the port, the connection as before."""
        answer = self.answer(line)
        self.assertTrue(answer.startswith(command_id + b":ERROR:invalid "), answer)
        self.assertTrue(answer.endswith(b":1732467890.123400\n"), answer)
        self.assertEqual(self.port.asked, [])
        self.port.script.append(REPLY)
        self.assertEqual(len(self.listener.say(line, command(READ))), 2)
        self.assertEqual(self.answer(line, dialect="v1"), command_id + b":MISMATCH\n")
        return answer

    def with_field(self, at: int, text: bytes) -> bytes:
        fields = command(READ, 7, ":1.0", ID).split(b":")
        fields[at] = text
        return b":".join(fields)

    def test_six_fields(self) -> None:
        self.answer(command(READ, 7, "", ID), REPLY)
        self.assertEqual(self.asked().timeout, 0.9 * 5.0)

    def test_fewer_fields(self) -> None:
        for count in range(2, 6):
            self.invalid(b":".join(command(READ, 7, "", ID).split(b":")[:count]))

    def test_a_word(self) -> None:
        self.invalid(b"hello", b"")

    def test_empty_line(self) -> None:
        self.assertEqual(self.listen().say(b"", b" \r"), [])

    def test_extra_fields(self) -> None:
        self.assertIn(b":0103", self.answer(command(READ, 7, ":1.0:more::x", ID), REPLY))

    def test_blanks_around_and_carriage_return(self) -> None:
        line = command(READ, 7, ":1.0", ID).replace(b":", b" : ") + b" \r"
        self.assertEqual(self.second(self.answer(line, REPLY)).told[ID].status, "success")

    def test_blanks_inside_the_hex(self) -> None:
        self.answer(self.with_field(4, b"01 03 00 00 00 01 84 0a"), REPLY)
        self.assertEqual(self.asked().pdu, READ[1:])

    def test_two_lines_in_one_segment(self) -> None:
        answers = self.listen(REPLY, REPLY).say(command(READ, command_id="a"), command(READ, command_id="b"))
        self.assertEqual([one[:2] for one in answers], [b"a:", b"b:"])

    def test_line_in_two_segments(self) -> None:
        self.listen(REPLY)
        protocol, transport = self.listener.connect()
        line = command(READ) + b"\n"
        protocol.dataReceived(line[:20])
        protocol.dataReceived(line[20:])
        self.assertEqual(len(transport.writes), 1)

    def test_no_final_newline(self) -> None:
        protocol, transport = self.listen().connect()
        protocol.dataReceived(command(READ))
        protocol.readConnectionLost()
        self.assertEqual((transport.writes, self.port.asked), ([], []))

    def test_id_with_a_colon(self) -> None:
        self.invalid(b"a:" + command(READ, 7, ":1.0", "b"), b"a")

    def test_empty_id(self) -> None:
        self.assertEqual(self.answer(command(READ, command_id=""), REPLY)[:3], b":01")

    def test_bad_hex_baudrate_and_length(self) -> None:
        for at, text in (
            (4, b"01030"), (4, b"xyz"), (4, b""), (4, b"01"), (3, b"fast"), (3, b"0"), (3, b"-9600"), (5, b"long"),
        ):
            self.invalid(self.with_field(at, text))

    def test_timeouts(self) -> None:
        for text in (b"soon", b"0", b"-1", b"nan", b"inf", b"-inf", b""):
            self.invalid(self.with_field(6, text))
        self.answer(self.with_field(6, b"1e308"), REPLY)
        self.assertEqual(self.asked().timeout, 54.0)

    def test_unknown_port(self) -> None:
        self.assertIn(b"configured are boiler (/dev/ttyUSB0)", self.invalid(self.with_field(2, b"/dev/nope")))

    def test_unusual_speed_is_the_commands_own(self) -> None:
        answers = self.listen(REPLY, REPLY).say(command(READ, baudrate=12345), command(READ))
        self.assertEqual(len(answers), 2)
        first, second = self.port.asked
        self.assertEqual(first.serial.baudrate if first.serial else 0, 12345)
        self.assertIsNone(second.serial)

    def test_response_length_is_a_hint(self) -> None:
        for length, hint in ((9, 9), (5, 5), (0, 0), (-1, 0), (10**9, 10**9)):
            answer = self.answer(command(READ, length, ":1.0", ID), REPLY)
            self.assertEqual(self.asked().response_length, hint)
            self.assertEqual(self.second(answer).told[ID].data, REPLY)

    def test_exception_reply(self) -> None:
        answer = self.answer(command(READ, 7, ":1.0", ID), IllegalDataAddress())
        self.assertEqual(self.second(answer).told[ID].status, "exception 2 illegal data address")
        first, second = self.both_v1(command(READ, 7, ":1.0", ID), IllegalDataAddress())
        self.assertEqual((first.errors[ID], second.told[ID].status), ("MISMATCH", "invalid_response"))

    def test_absent_unit(self) -> None:
        error = ResponseTimeout("unit 1 did not answer")
        answer = self.answer(command(READ, 7, ":1.0", ID), error)
        self.assertEqual(self.second(answer).told[ID], Told("timeout unit 1 did not answer", None, round(STAMP, 6)))
        self.assertEqual(self.asked().timeout, 0.9)
        first, second = self.both_v1(command(READ, 7, ":1.0", ID), error)
        self.assertEqual((first.errors[ID], second.told[ID].status), ("TIMEOUT", "invalid_response"))

    def test_broadcast(self) -> None:
        line = command(b"\0\6\0\1\0\2", 8, ":1.0", ID)
        self.assertEqual(self.second(self.answer(line, b"")).told[ID], Told("success", None, STAMP))
        self.assertEqual(self.asked().unit, 0)
        first, second = self.both_v1(line, b"", 8)
        self.assertEqual((first.responses[ID], second.told[ID]), ("", Told("success", None, 1.0)))

    def test_wrong_or_missing_crc(self) -> None:
        self.assertIn(b"840A", self.invalid(self.with_field(4, b"010300000001840b")))
        self.assertIn(b"840A", self.invalid(self.with_field(4, b"010300000001")))

    def test_the_usual_functions_and_15(self) -> None:
        for body in (
            "010100000008", "010200000008", "010300000001", "010400000001", "01050001ff00", "010600010002",
            "010f0000000801ff", "01100000000102000a",
        ):
            frame = bytes.fromhex(body)
            reply = append_crc(frame[:6])
            answer = self.answer(command(frame, 0, ":1.0", ID), reply)
            self.assertEqual(self.asked().pdu, frame[1:])
            self.assertEqual(self.second(answer).told[ID].data, reply)

    def test_not_utf8(self) -> None:
        self.invalid(b"\xe9" + command(READ), b"")
        line = command(READ, 7, ":1.0", ID).replace(b":thc:", b":\xe9:")
        self.assertEqual(self.second(self.answer(line, REPLY)).told[ID].status, "success")

    def test_id_of_70000_bytes(self) -> None:
        self.over_long(b"x" * 70_000 + b"\n")

    def test_no_newline(self) -> None:
        self.over_long(*[b"x" * 1000] * 100)

    def over_long(self, *segments: bytes) -> None:
        protocol, transport = self.listen().connect()
        for segment in segments:
            protocol.dataReceived(segment)
        [answer] = transport.writes
        self.assertTrue(answer.startswith(b":ERROR:invalid "), answer)
        self.assertTrue(transport.disconnecting)

    def test_client_that_never_reads(self) -> None:
        """Nothing more is asked for it; it is dropped when too much waits for it, or for too long."""
        greedy, full = self.listen(max_buffered=1000).connect()
        greedy.dataReceived((command(READ) + b"\n") * 4)
        greedy.pauseProducing()
        greedy.dataReceived((command(READ) + b"\n") * 4)
        self.assertEqual(len(self.port.asked), 4)
        for asked in self.port.asked:
            asked.end(registers(100))
        self.assertTrue(full.aborted)
        self.assertEqual(len(self.port.asked), 4)
        self.port.script[:] = [REPLY]
        self.assertEqual(len(self.listener.say(command(READ))), 1)

    def test_queue_full(self) -> None:
        line = command(READ, 7, ":1.0", ID)
        answer = self.answer(line, QueueFull("1000 requests wait"))
        self.assertEqual(self.second(answer).told[ID].status.split()[0], "queue_full")
        self.assertEqual(self.both_v1(line, QueueFull("x"))[0].errors[ID], "TIMEOUT")

    def test_order_is_the_ports(self) -> None:
        protocol, transport = self.listen().connect()
        protocol.dataReceived(command(READ, command_id="a") + b"\n" + command(READ, command_id="b") + b"\n")
        for asked in reversed(self.port.asked):
            asked.end(REPLY)
        self.assertEqual([one[:1] for one in transport.writes], [b"b", b"a"])


class Section5Tests(WireCase):
    """One server for both, by its numbered rules; what the sections above showed already is not shown again."""

    def test_1_length_0_and_prompt_exceptions(self) -> None:
        answer = self.answer(command(READ, 0, "", ID), IllegalDataAddress())
        self.assertEqual(self.second(answer).told[ID].status, "exception 2 illegal data address")

    def test_2_clamped(self) -> None:
        for text, seconds in ((":0.001", 0.05), (":3600", 60)):
            self.answer(command(READ, 7, text, ID), REPLY)
            self.assertAlmostEqual(self.asked().timeout, 0.9 * seconds)

    def test_3_v2_lines(self) -> None:
        self.assertEqual(
            self.answer(command(READ, 7, ":1", "a"), REPLY), f"a:{V1.upper()}:1732467890.1234\n".encode()
        )
        self.assertEqual(
            self.answer(command(READ, 7, ":1", "a"), ResponseTimeout("x")), b"a:ERROR:timeout x:1732467890.123400\n"
        )
        self.assertEqual(self.answer(command(READ, 7, ":1", "a"), b""), b"a::1732467890.1234\n")

    def test_3_reasons_begin_with_their_token(self) -> None:
        for error in (
            ResponseTimeout("x"), Expired("x"), QueueFull("x"), PortClosed("x"), OutcomeUnknown("x"), NotSent("x"),
            Cancelled("x"), Stopping("x"), RequestError("x"),
        ):
            status = self.second(self.answer(command(READ, 7, ":1", ID), error)).told[ID].status
            self.assertEqual(status, f"{error.token} x")

    def test_3_v1_both_clients_in_turn(self) -> None:
        first, second = self.both_v1(command(READ, 7, ":5", ID), REPLY)
        self.assertEqual(first.responses[ID], V1)
        self.assertEqual(second.told[ID], Told("success", REPLY, 1.0))

    def test_3_v1_client_on_v2_gets_none_of_its_reads(self) -> None:
        first = self.first(self.answer(command(READ, 7, ":5", ID), REPLY))
        self.assertEqual((first.responses, first.errors, first.unreadable), ({}, {}, 1))

    def test_4_ping_turns_one_connection(self) -> None:
        self.listen(REPLY, REPLY)
        _, turned = self.listener.say(b"FF:F0:AA:AF", command(READ, 7, ":5", ID))
        [other] = self.listener.say(command(READ, 7, ":5", ID))
        self.assertEqual(self.first(turned).responses[ID], V1)
        self.assertEqual(self.second(other).told[ID].stamp, STAMP)

    def test_5_one_write_a_line(self) -> None:
        self.listen(*[REPLY] * 10)
        for written in self.listener.say(*[command(READ)] * 10):
            self.assertEqual((written.count(b"\n"), written[-1:]), (1, b"\n"))

    def test_6_never_another_word_in_v1(self) -> None:
        for line in (b"word", b"a:b", b"\xff:1", command(READ), command(READ, port="nope"), b"x" * 5000):
            answer = self.answer(line, ResponseTimeout("x"), dialect="v1")
            self.assertIn(answer.rpartition(b":")[2], {b"TIMEOUT\n", b"MISMATCH\n"})

    def test_6_each_request_exactly_one_line(self) -> None:
        lines = [command(READ), b"word", command(READ, port="nope"), b"a:b:c", command(READ, timeout=":nan"), b""]
        self.assertEqual(len(self.listen(REPLY).say(*lines)), 5)

    def test_7_wrong_crc_is_refused_at_once(self) -> None:
        self.answer(command(READ, 7, ":5", ID).replace(b"840a", b"840b"))
        self.assertEqual(self.port.asked, [])

    def test_8_port_with_a_colon_by_its_name(self) -> None:
        listener = Listener(MemoryPort("boiler", "/dev/serial/by-path/pci-0000:00:1d.0"))
        listener.port.script.append(REPLY)
        [answer] = listener.say(command(READ, port="boiler"))
        self.assertNotIn(b"ERROR", answer)

    def test_9_speed_goes_with_the_frame(self) -> None:
        self.answer(command(READ, baudrate=4800), REPLY)
        self.assertEqual(self.asked().serial.baudrate if self.asked().serial else None, 4800)
