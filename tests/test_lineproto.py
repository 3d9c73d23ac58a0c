"""The grammar of the lines: what is a command, what is not and why, and how answers are written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import (
    Cancelled,
    Expired,
    IllegalDataAddress,
    LineError,
    LuminaError,
    NotSent,
    OutcomeUnknown,
    PortClosed,
    PortLost,
    QueueFull,
    RequestError,
    ResponseTimeout,
    Stopping,
    exception_from_code,
)
from lumina_twisted.framing.crc import append_crc, crc_ok
from lumina_twisted.lineproto import (
    MAX_ERROR_LINE,
    Command,
    command_id_of,
    format_command,
    format_error,
    format_reply,
    parse_command,
    reason_of,
)

READ = append_crc(bytes.fromhex("010300000001"))
LINE = b"usb0_thc_010300000001_20241124170450_aB:thc:/dev/ttyUSB0:9600:010300000001840a:7:1.5"
STAMP = 1732467890.1234


def with_fields(**changed: bytes) -> bytes:
    """The usual line with some fields changed."""
    names = ("id", "kind", "port", "baudrate", "hex", "length", "timeout")
    fields = dict(zip(names, LINE.split(b":"), strict=True)) | changed
    return b":".join(fields.values())


class CommandTests(SynchronousTestCase):
    """Lines that are commands."""

    def test_usual(self) -> None:
        self.assertEqual(
            parse_command(LINE),
            Command(b"usb0_thc_010300000001_20241124170450_aB", "/dev/ttyUSB0", 9600, READ, 7, 1.5),
        )

    def test_six_fields(self) -> None:
        self.assertIsNone(parse_command(LINE.rpartition(b":")[0]).timeout)

    def test_blanks_and_carriage_return(self) -> None:
        blank = b" a : thc : /dev/ttyUSB0 : 9600 : 01 03 00 00 00 01 84 0A : 7 : 1.5 \r"
        self.assertEqual(parse_command(blank), parse_command(with_fields(id=b"a")))

    def test_any_case_of_hex(self) -> None:
        self.assertEqual(parse_command(with_fields(hex=b"010300000001840A")).frame, READ)

    def test_device_type_is_free(self) -> None:
        self.assertEqual(parse_command(with_fields(kind=b"\xff=\x00\xe9")).frame, READ)

    def test_empty_id_and_port(self) -> None:
        command = parse_command(with_fields(id=b"", port=b" "))
        self.assertEqual((command.command_id, command.port), (b"", ""))

    def test_unknown_response_length(self) -> None:
        for length in (b"0", b"-3"):
            self.assertEqual(parse_command(with_fields(length=length)).response_length, 0)

    def test_timeout_is_clamped(self) -> None:
        for text, seconds in ((b"0.001", 0.05), (b"0.05", 0.05), (b"5", 5.0), (b"60", 60.0), (b"1e308", 60.0)):
            self.assertEqual(parse_command(with_fields(timeout=text)).timeout, seconds)

    def test_overrides(self) -> None:
        command = parse_command(LINE + b":parity=e : BYTESIZE = 7:stopbits=2:retries=100")
        self.assertEqual((command.parity, command.bytesize, command.stopbits, command.retries), ("E", 7, 2, 100))

    def test_turns(self) -> None:
        command = parse_command(LINE + b":priority=HIGH: max_age = 2.5")
        self.assertEqual((command.priority, command.max_age), ("high", 2.5))
        for text, seconds in ((b"0", 0.0), (b"3600", 3600.0), (b"1e2", 100.0), (b".5", 0.5)):
            self.assertEqual(parse_command(LINE + b":max_age=" + text).max_age, seconds)

    def test_as_a_client_writes_it(self) -> None:
        for priority, max_age in ((None, None), ("low", 0), ("high", 1e-05), ("normal", 3600)):
            command = parse_command(LINE)._replace(priority=priority, max_age=max_age)
            self.assertEqual(parse_command(format_command(command, "thc").rstrip(b"\n")), command)

    def test_none_overridden(self) -> None:
        command = parse_command(LINE + b":extra::0")
        self.assertEqual(command, parse_command(LINE))

    def test_functions_of_all_kinds(self) -> None:
        for body in ("01 0f 0000 000a 02 ff03", "01 10 0000 0001 02 0001", "00 06 0001 0002", "01 41 aabbcc", "ff 11"):
            frame = append_crc(bytes.fromhex(body))
            self.assertEqual(parse_command(with_fields(hex=frame.hex().encode())).frame, frame)


class RefusedTests(SynchronousTestCase):
    """Lines that are no command, and the sentences about them."""

    def refused(self, line: bytes, *words: str) -> LineError:
        error = self.assertRaises(LineError, parse_command, line)
        for word in words:
            self.assertIn(word, str(error))
        self.assertEqual(error.token, "invalid")
        written = format_error(error.command_id[:38], reason_of(error), STAMP)
        self.assertNotIn(b"...:", written, "the sentence does not fit into what a v2 client reads")
        return error

    def test_too_few_fields(self) -> None:
        error = self.refused(b" usb0_a : b:c:9600:0103", "5 fields", "baudrate, hex, response length")
        self.assertEqual(error.command_id, b"usb0_a")

    def test_a_word_has_no_id(self) -> None:
        self.assertEqual(self.refused(b"hello", "help").command_id, b"")

    def test_id_that_is_not_ascii(self) -> None:
        self.assertEqual(self.refused(with_fields(id=b"\xe9"), "ASCII").command_id, b"")

    def test_numbers(self) -> None:
        for name, text, words in (
            ("baudrate", b"fast", ("baudrate 'fast'", "whole number")), ("baudrate", b"9600.0", ("whole number",)),
            ("baudrate", b"0", ("10000000",)), ("baudrate", b"-9600", ("'-9600'",)), ("baudrate", b"10000001", ()),
            ("baudrate", b"9" * 5000, ("'999999999999999999999...'",)),
            ("hex", b"0103z", ("'0103z'", "hex")), ("hex", b"010", ("hex",)), ("hex", b"\xff", ("hex",)),
            ("length", b"", ("response length",)), ("length", b"7.0", ("'7.0'", "whole number")),
            ("timeout", b"soon", ("timeout 'soon'", "seconds")), ("timeout", b"", ("timeout",)),
            ("timeout", b"nan", ("nan", "0.05 to 60")), ("timeout", b"inf", ("inf",)), ("timeout", b"-inf", ("-inf",)),
            ("timeout", b"0", ("0.05 to 60",)), ("timeout", b"-1", ("-1",)), ("timeout", b"parity=E", ("'parity=E'",)),
        ):
            with self.subTest(name=name, text=text):
                error = self.refused(with_fields(**{name: text}), *words)
                self.assertEqual(error.command_id, b"usb0_thc_010300000001_20241124170450_aB")

    def test_wrong_crc_tells_the_right_one(self) -> None:
        self.refused(with_fields(hex=b"0103000000010A84"), "wrong CRC 0A84", "is 840A")

    def test_missing_crc_tells_it(self) -> None:
        self.refused(with_fields(hex=b"010300000001"), "missing", "append 840A")

    def test_crc_twice(self) -> None:
        self.refused(with_fields(hex=append_crc(READ).hex().encode()), "twice")

    def test_length_against_the_function(self) -> None:
        self.refused(with_fields(hex=append_crc(b"\1\3\0\0").hex().encode()), "function 3", "6 bytes")

    def test_no_frame(self) -> None:
        for text in (b"", b"01", b"0103", b"00" * 300):
            self.refused(with_fields(hex=text))

    def test_unknown_key(self) -> None:
        self.refused(LINE + b":speed=9", "'speed=9'", "parity, bytesize, stopbits, retries, priority, max_age")
        self.refused(LINE + b":parity\xff=E", "unknown key")

    def test_wrong_value_of_a_key(self) -> None:
        for field, allowed in (
            (b"parity=X", "N, E, O, M, S"), (b"bytesize=9", "7, 8"), (b"stopbits=1.5", "1, 2"),
            (b"retries=101", "0 to 100"), (b"retries=-1", "0 to 100"), (b"parity=", "N, E"),
            (b"priority=urgent", "one of high, normal, low"), (b"priority=0", "high"), (b"priority=", "high"),
            (b"max_age=-1", "seconds from 0 to 3600"), (b"max_age=3600.1", "3600"), (b"max_age=nan", "3600"),
            (b"max_age=1_0", "3600"), (b"max_age=", "3600"), (b"max_age=soon", "3600"),
        ):
            self.refused(LINE + b":" + field, field.decode(), allowed)

    def test_command_id_of(self) -> None:
        for line, expected in ((b" a : b", b"a"), (b"word", b""), (b"\xff:b", b""), (b"", b"")):
            self.assertEqual(command_id_of(line), expected)


class AnyBytesTests(SynchronousTestCase):
    """No line whatever does anything else."""

    def check(self, line: bytes) -> None:
        try:
            command = parse_command(line)
        except LineError as error:
            written = format_error(error.command_id, reason_of(error), STAMP)
            self.assertTrue(written.startswith(error.command_id + b":ERROR:invalid "))
        else:
            self.assertTrue(crc_ok(command.frame) and 4 <= len(command.frame) <= 256)
            self.assertTrue(command.timeout is None or 0.05 <= command.timeout <= 60)
            self.assertGreater(command.baudrate, 0)
            self.assertTrue(command.command_id.isascii())

    @given(st.binary(max_size=200))
    def test_any_bytes(self, line: bytes) -> None:
        self.check(line)

    @given(st.lists(st.binary(max_size=20) | st.sampled_from((*LINE.split(b":"), b"parity=E", b"1e9")), max_size=10))
    def test_any_fields(self, fields: list[bytes]) -> None:
        self.check(b":".join(fields))

    @given(st.integers(0, len(LINE) - 1), st.binary(max_size=2))
    def test_one_place_changed(self, at: int, bytes_there: bytes) -> None:
        self.check(LINE[:at] + bytes_there + LINE[at + 1:])

    @given(
        st.binary(min_size=2, max_size=60).filter(lambda body: body[1] > 100), st.integers(1, 10_000_000),
        st.floats(0.05, 60), st.integers(0, 300),
    )
    def test_what_was_written_is_read(self, body: bytes, baudrate: int, timeout: float, length: int) -> None:
        frame = append_crc(body)
        line = f"x_1:any:p:{baudrate}:{frame.hex()}:{length}:{timeout!r}".encode()
        self.assertEqual(parse_command(line), Command(b"x_1", "p", baudrate, frame, length, timeout))


class ReplyTests(SynchronousTestCase):
    """Answers with data."""

    def test_v2(self) -> None:
        self.assertEqual(format_reply(b"a", b"\x01\xab", STAMP), b"a:01AB:1732467890.1234\n")
        self.assertEqual(format_reply(b"a", b"\x01\xab", STAMP, "v2", "spaced"), b"a:01 AB:1732467890.1234\n")

    def test_v1(self) -> None:
        for style in ("compact", "spaced"):
            self.assertEqual(format_reply(b"a", b"\x01\xab", STAMP, "v1", style), b"a:01ab\n")

    def test_broadcast(self) -> None:
        self.assertEqual(format_reply(b"a", b"", STAMP), b"a::1732467890.1234\n")
        self.assertEqual(format_reply(b"a", b"", STAMP, "v2", "spaced"), b"a::1732467890.1234\n")
        self.assertEqual(format_reply(b"a", b"", STAMP, "v1"), b"a:\n")


class ErrorTests(SynchronousTestCase):
    """Answers without."""

    def test_v2(self) -> None:
        self.assertEqual(
            format_error(b"a", reason_of(ResponseTimeout("unit 1 did not answer")), STAMP),
            b"a:ERROR:timeout unit 1 did not answer:1732467890.123400\n",
        )

    def test_exception(self) -> None:
        self.assertEqual(reason_of(IllegalDataAddress()), "exception 2 illegal data address")
        self.assertEqual(reason_of(exception_from_code(0x77)), "exception 119 exception")

    def test_what_a_client_could_not_read(self) -> None:
        line = format_error(b"a", "invalid a:b\r\n\u00e4", STAMP)
        self.assertEqual(line, b"a:ERROR:invalid a b ?:1732467890.123400\n")

    def test_length_is_bounded(self) -> None:
        for length in (1, 38, 200, 215, 220, 225, 300):
            line = format_error(b"i" * length, "outcome_unknown " + "word " * 100, STAMP)
            self.assertIn(b":ERROR:outcome_unknown", line)
            self.assertEqual(line.count(b":"), 3)
            self.assertLessEqual(len(line), max(MAX_ERROR_LINE, length + 41))

    def test_just_fits(self) -> None:
        reason = "timeout " + "x" * (MAX_ERROR_LINE - len(b"a:ERROR:timeout :1732467890.123400\n"))
        self.assertEqual(len(format_error(b"a", reason, STAMP)), MAX_ERROR_LINE)
        self.assertNotIn(b"...", format_error(b"a", reason, STAMP))
        self.assertEqual(len(format_error(b"a", reason + "x", STAMP)), MAX_ERROR_LINE)

    def test_v1_knows_two_words(self) -> None:
        for kind in (
            ResponseTimeout, Expired, QueueFull, PortClosed, PortLost, OutcomeUnknown, NotSent, Cancelled, Stopping,
            LuminaError,
        ):
            self.assertEqual(format_error(b"a", reason_of(kind("text")), STAMP, "v1"), b"a:TIMEOUT\n", kind)
        for error in (IllegalDataAddress(), RequestError("text"), LineError("text")):
            self.assertEqual(format_error(b"a", reason_of(error), STAMP, "v1"), b"a:MISMATCH\n", error)

    @given(st.binary(max_size=60).filter(bytes.isascii), st.text(max_size=400))
    def test_any_reason_is_one_line(self, command_id: bytes, text: str) -> None:
        line = format_error(command_id, f"timeout {text}", STAMP)
        rest = line[len(command_id):]
        self.assertTrue(rest.startswith(b":ERROR:timeout") and rest.endswith(b":1732467890.123400\n"))
        self.assertEqual((rest.count(b":"), rest.count(b"\n"), rest.isascii()), (3, 1, True))
        self.assertLessEqual(len(line), MAX_ERROR_LINE)
