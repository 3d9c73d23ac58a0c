"""Rule 1: a reply is accepted only if it is the reply. Every field of it, one after the other, is made wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import FrameError
from lumina_twisted.framing.crc import append_crc
from lumina_twisted.framing.rtu import EXCEPTION_RTU_ADU, Decoder, check_request_frame, encode_adu
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.functions import Buffer, FunctionCode
from lumina_twisted.modbus.reply import AT_SILENCE, NO_MATCH, ReplyPattern, Shape, WholeMessage, reply_pattern
from tests.golden import GOLDEN, UNIT, pattern_of, whole
from tests.strategies import QUICK, REQUESTS

DETERMINED = {
    1: 3, 2: 3, 3: 3, 4: 3, 5: 6, 6: 6, 7: 2, 8: 6, 11: 2, 12: 2, 15: 6, 16: 6, 17: 2, 20: 3, 21: 16, 22: 8, 23: 3,
    24: 2, 43: 4,
}
"""How many bytes of each golden reply its request determines, the unit among them."""


def asked(request: pdu.Request, hint: int = 0) -> ReplyPattern:
    """The pattern of what a request's reply looks like."""
    return pattern_of(encode_adu(UNIT, request.encode()), hint)


def measured(pattern: ReplyPattern, buffer: Buffer, start: int = 0) -> int:
    """What the pattern says of the bytes, in bytes of an RTU frame."""
    length = pattern.measure(buffer, start)
    return length + 2 if 0 < length < AT_SILENCE else length


class AcceptedTests(SynchronousTestCase):
    """Right replies, whole and begun."""

    def test_golden(self) -> None:
        for one in GOLDEN:
            pattern = pattern_of(one.request_frame)
            self.assertEqual(measured(pattern, one.reply_frame), len(one.reply_frame), one.reply)
            self.assertEqual(measured(pattern, b"junk" + one.reply_frame, 4), len(one.reply_frame), one.reply)

    def test_begun(self) -> None:
        """Too few bytes are no refusal."""
        for one in GOLDEN:
            pattern = pattern_of(one.request_frame)
            for size in range(1, len(one.reply_frame)):
                self.assertIn(measured(pattern, one.reply_frame[:size]), (0, len(one.reply_frame)), one.reply)

    def test_exceptions(self) -> None:
        for one in GOLDEN:
            pattern = pattern_of(one.request_frame)
            frame = encode_adu(UNIT, pdu.ExceptionReply(one.request_pdu[0], 2).encode())
            self.assertEqual(measured(pattern, frame), EXCEPTION_RTU_ADU)
            self.assertTrue(pattern.is_exception(frame[1:-2]))
            self.assertFalse(pattern.is_exception(one.reply_pdu))


    def test_diagnostics_return_other_data(self) -> None:
        """All sub-functions but 0: a counter is asked with zeros."""
        pattern = asked(pdu.DiagnosticsRequest(11, b"\0\0"))
        reply = encode_adu(UNIT, pdu.DiagnosticsReply(11, b"\x12\x34").encode())
        self.assertEqual(measured(pattern, reply), len(reply))
        self.assertEqual(measured(pattern, encode_adu(UNIT, bytes.fromhex("08 000c 1234"))), NO_MATCH)

    def test_begun_behind_junk(self) -> None:
        """The last byte so far is the unit, or the first two are those of an exception."""
        pattern = asked(pdu.ReadHoldingRegistersRequest(0, 1))
        self.assertEqual(measured(pattern, bytes((7, 7, UNIT)), 2), 0)
        self.assertEqual(measured(pattern, bytes((7, 7, UNIT, 0x83)), 2), EXCEPTION_RTU_ADU)
        self.assertEqual(measured(asked(pdu.RawRequest(65, b"")), bytes((7, 7, UNIT)), 2), 0)


class RefusedTests(SynchronousTestCase):
    """Each field wrong."""

    def test_every_determined_byte(self) -> None:
        for one in GOLDEN:
            pattern = pattern_of(one.request_frame)
            for at in range(DETERMINED[one.reply_pdu[0]]):
                for change in (1, 0x10, 0xFF):
                    frame = bytearray(one.reply_frame)
                    frame[at] ^= change
                    self.assertEqual(measured(pattern, frame), NO_MATCH, f"{one.reply} with byte {at} changed")

    def test_no_other_byte_is_judged(self) -> None:
        """Any values are accepted. (FC 24 and 43 have their length further on.)"""
        for one in GOLDEN:
            if one.reply_pdu[0] in (12, 17, 24, 43):
                continue
            for at in range(DETERMINED[one.reply_pdu[0]], len(one.reply_frame)):
                frame = bytearray(one.reply_frame)
                frame[at] ^= 0xFF
                self.assertEqual(measured(pattern_of(one.request_frame), frame), len(frame), one.reply)

    def test_every_other_golden_reply(self) -> None:
        for one in GOLDEN:
            for other in GOLDEN:
                if other is not one:
                    self.assertEqual(measured(pattern_of(one.request_frame), other.reply_frame), NO_MATCH)

    def test_exception_of_another_function_or_unit(self) -> None:
        pattern = asked(pdu.ReadHoldingRegistersRequest(0, 1))
        self.assertEqual(measured(pattern, encode_adu(UNIT, b"\x84\x02")), NO_MATCH)
        self.assertEqual(measured(pattern, encode_adu(UNIT + 1, b"\x83\x02")), NO_MATCH)

    def test_byte_count_is_as_asked(self) -> None:
        for quantity, count in ((1, 2), (2, 4), (125, 250)):
            pattern = asked(pdu.ReadHoldingRegistersRequest(0, quantity))
            for other in range(256):
                expected = 5 + count if other == count else NO_MATCH
                self.assertEqual(measured(pattern, bytes((UNIT, 3, other))), expected)

    def test_only_an_exception_answers_what_fits_no_frame(self) -> None:
        for text in ("03 0000 0080", "01 0000 ffff", "14 07 06 0001 0000 ffff"):
            pattern = pattern_of(encode_adu(UNIT, bytes.fromhex(text)))
            self.assertIsNone(pattern.head)
            self.assertEqual(pattern.expected_length, EXCEPTION_RTU_ADU - 3)
            self.assertEqual(measured(pattern, bytes((UNIT, pattern.shape.function_code, 0))), NO_MATCH)
            self.assertEqual(
                measured(pattern, bytes((UNIT, pattern.shape.function_code | 0x80))), EXCEPTION_RTU_ADU
            )

    @QUICK
    @given(st.binary(min_size=1, max_size=253))
    def test_every_request_that_can_be_sent_has_one(self, data: bytes) -> None:
        """No reply is longer than a frame's data can count, so no bus is held for it."""
        for code in (*FunctionCode, 65):
            frame = encode_adu(UNIT, (bytes((code, len(data) - 1)) + data[1:])[:253])
            try:
                check_request_frame(frame)
            except FrameError:
                continue
            self.assertLessEqual(pattern_of(frame).expected_length, 257)

    @QUICK
    @given(REQUESTS, st.binary(min_size=1, max_size=20))
    def test_any_bytes(self, request: pdu.Request, data: bytes) -> None:
        pattern = asked(request)
        for start in range(len(data)):
            self.assertGreaterEqual(pattern.measure(data, start), NO_MATCH)


class EqualToItsRequestTests(SynchronousTestCase):
    """Whether a frame could be an echo as well as the reply."""

    def test_by_function(self) -> None:
        for one in GOLDEN:
            pattern = pattern_of(one.request_frame)
            self.assertEqual(pattern.can_equal_request, one.request_pdu[0] in (5, 6, 8, 21, 22), one.request)
            self.assertEqual(pattern.echo is None, pattern.can_equal_request)

    def test_the_echo_is_the_request(self) -> None:
        echo = asked(pdu.ReadHoldingRegistersRequest(0, 1)).echo
        assert isinstance(echo, WholeMessage)
        frame = encode_adu(UNIT, bytes.fromhex("03 0000 0001"))
        self.assertEqual(echo.measure(frame, 0), len(frame) - 2)
        self.assertEqual(echo.measure(frame[:3] + b"\1" + frame[4:], 0), NO_MATCH)

    def test_the_odd_read(self) -> None:
        """17 to 24 coils from 0x03xx on: the address's high byte is the byte count of a reply that is as long as the
        request."""
        for address, quantity, can in (
            (0x0300, 17, True), (0x03FF, 24, True), (0x0300, 16, False), (0x0300, 25, False), (0x0200, 17, False),
            (0x0400, 24, False), (0x0003, 17, False),
        ):
            for cls in (pdu.ReadCoilsRequest, pdu.ReadDiscreteInputsRequest):
                self.assertEqual(asked(cls(address, quantity)).can_equal_request, can, (address, quantity))

    def test_registers_never_do(self) -> None:
        """A reply of three bytes of data has no whole number of registers."""
        for address in range(0, 0x10000, 0x100):
            for quantity in (1, 2, 125):
                self.assertFalse(asked(pdu.ReadHoldingRegistersRequest(address, quantity)).can_equal_request)

    def test_unknown_functions_may(self) -> None:
        self.assertTrue(asked(pdu.RawRequest(65, b"abc")).can_equal_request)

    @QUICK
    @given(REQUESTS)
    def test_it_is_what_it_says(self, request: pdu.Request) -> None:
        frame = encode_adu(UNIT, request.encode())
        pattern = pattern_of(frame)
        if measured(pattern, frame) == len(frame):
            self.assertTrue(pattern.can_equal_request or pattern.length == 0)


class UnknownFunctionTests(SynchronousTestCase):
    """Nothing tells the length but silence, or what the caller guesses."""

    def test_at_silence(self) -> None:
        frame = append_crc(bytes((UNIT, 65)) + b"abc")
        self.assertEqual(measured(asked(pdu.RawRequest(65, b"")), frame), AT_SILENCE)

    def test_the_hint_ends_it_if_the_crc_is_good(self) -> None:
        frame = append_crc(bytes((UNIT, 65)) + b"abc")
        pattern = asked(pdu.RawRequest(65, b""), hint=len(frame))
        for data in (frame, b"junk" + frame):
            decoder = Decoder()
            decoder.receive(data)
            found = decoder.next_frame((pattern,))
            self.assertEqual(found and whole(found), frame)
        for other in (frame[:-1], frame + b"\0", frame[:-1] + b"\0"):
            self.assertEqual(measured(pattern, other), AT_SILENCE)
            decoder = Decoder()
            decoder.receive(other)
            self.assertIsNone(decoder.next_frame((pattern,)))

    def test_the_hint_changes_nothing_else(self) -> None:
        for one in GOLDEN:
            self.assertEqual(measured(pattern_of(one.request_frame, 99), one.reply_frame), len(one.reply_frame))

    def test_expected_length(self) -> None:
        self.assertEqual(asked(pdu.RawRequest(65, b""), hint=9).expected_length, 6)
        for hint in (4, 256):
            self.assertEqual(asked(pdu.RawRequest(65, b""), hint).expected_length, hint - 3)
        for hint in (0, -1, 257):
            self.assertEqual(asked(pdu.RawRequest(65, b""), hint).expected_length, 61)
        self.assertEqual(asked(pdu.ReadHoldingRegistersRequest(0, 2), hint=99).expected_length, 6)


class KeptTests(SynchronousTestCase):
    """Patterns are kept, by frame and hint."""

    def test_same_frame_same_pattern(self) -> None:
        pdu = GOLDEN[0].request_pdu
        self.assertIs(reply_pattern(UNIT, pdu), reply_pattern(UNIT, pdu))
        self.assertIsNot(reply_pattern(UNIT, pdu), reply_pattern(UNIT, pdu, 7))

    def test_shapes(self) -> None:
        self.assertEqual(asked(pdu.ReadHoldingRegistersRequest(7, 2)).shape, Shape(UNIT, 3, 6))
        self.assertEqual(asked(pdu.ReadFIFOQueueRequest(7)).shape, Shape(UNIT, 24, 0))
        self.assertEqual(asked(pdu.RawRequest(65, b"")).shape, Shape(UNIT, 65, 0))
        echoed = pdu.RawRequest(8, b"\0\0\x12\x34")
        self.assertEqual(asked(echoed).shape, Shape(UNIT, 8, 5, b"\0\0\x12\x34"))
