"""PDUs: decoding gives what was encoded; what breaks a limit, and what is no PDU, raises an error that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import FrameError, RequestError
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.functions import MAX_PDU, FunctionCode
from lumina_twisted.modbus.pdu import FileRecord, RecordReference, decode_reply, decode_request
from tests.golden import GOLDEN
from tests.strategies import QUICK, REPLIES, REQUESTS


class RoundTripTests(SynchronousTestCase):
    """decode(encode(x)) == x, and no PDU is too long."""

    @QUICK
    @given(REQUESTS)
    def test_requests(self, request: pdu.Request) -> None:
        encoded = request.encode()
        self.assertLessEqual(len(encoded), MAX_PDU)
        self.assertEqual(decode_request(encoded), request)

    @QUICK
    @given(REPLIES)
    def test_replies(self, reply: pdu.Reply) -> None:
        encoded = reply.encode()
        self.assertLessEqual(len(encoded), MAX_PDU)
        self.assertEqual(decode_reply(encoded), reply)

    def test_the_longest(self) -> None:
        for request, length in (
            (pdu.WriteMultipleCoilsRequest(0, [1] * 1968), 252),
            (pdu.WriteMultipleRegistersRequest(0, [1] * 123), 252),
            (pdu.ReadWriteMultipleRegistersRequest(0, 125, 0, [1] * 121), 252),
            (pdu.DiagnosticsRequest(0, bytes(250)), 253),
            (pdu.ReadFileRecordRequest([RecordReference(1, 0, 1)] * 35), 247),
            (pdu.WriteFileRecordRequest([FileRecord(1, 0, [1] * 122)]), 253),
        ):
            self.assertEqual(len(request.encode()), length)
            self.assertEqual(decode_request(request.encode()), request)

    def test_every_public_function_has_its_classes(self) -> None:
        self.assertEqual(set(pdu.REQUESTS), set(FunctionCode))
        self.assertEqual(set(pdu.REPLIES), set(FunctionCode))
        for code in FunctionCode:
            self.assertEqual(pdu.REQUESTS[code].function_code, code)
            self.assertEqual(pdu.REPLIES[code].function_code, code)


class MadeTests(SynchronousTestCase):
    """What making one allows."""

    def test_frozen(self) -> None:
        request = pdu.ReadCoilsRequest(1, 2)
        with self.assertRaises(AttributeError):
            request.address = 3  # type: ignore[misc]

    def test_bits_of_a_reply_are_whole_bytes(self) -> None:
        for count in (1, 7, 8):
            self.assertEqual(len(pdu.ReadCoilsReply([1] * count).values), 8)
        reply = pdu.ReadDiscreteInputsReply([1] * 9)
        self.assertEqual(reply.encode(), b"\x02\x02\xff\x01")

    def test_lists_will_do(self) -> None:
        self.assertEqual(pdu.WriteMultipleRegistersRequest(1, [2]), pdu.WriteMultipleRegistersRequest(1, (2,)))
        self.assertEqual(hash(pdu.ReadFileRecordReply([[1]])), hash(pdu.ReadFileRecordReply(((1,),))))

    def test_limits(self) -> None:
        for make in (
            lambda: pdu.ReadCoilsRequest(0, 0), lambda: pdu.ReadCoilsRequest(0, 2001),
            lambda: pdu.ReadDiscreteInputsRequest(0, 2001), lambda: pdu.ReadDiscreteInputsRequest(-1, 1),
            lambda: pdu.ReadHoldingRegistersRequest(0, 126), lambda: pdu.ReadHoldingRegistersRequest(65536, 1),
            lambda: pdu.ReadInputRegistersRequest(0, 0), lambda: pdu.ReadInputRegistersRequest(0, 126),
            lambda: pdu.ReadInputRegistersRequest(0.5, 1),  # type: ignore[arg-type]
            lambda: pdu.WriteSingleCoilRequest(65536, True), lambda: pdu.WriteSingleRegisterRequest(0, 65536),
            lambda: pdu.WriteSingleRegisterRequest(0, -1),
            lambda: pdu.WriteMultipleCoilsRequest(0, ()), lambda: pdu.WriteMultipleCoilsRequest(0, [0] * 1969),
            lambda: pdu.WriteMultipleRegistersRequest(0, ()), lambda: pdu.WriteMultipleRegistersRequest(0, [0] * 124),
            lambda: pdu.WriteMultipleRegistersRequest(0, [65536]), lambda: pdu.WriteMultipleCoilsReply(0, 1969),
            lambda: pdu.WriteMultipleRegistersReply(0, 0), lambda: pdu.DiagnosticsRequest(0, b""),
            lambda: pdu.DiagnosticsRequest(0, b"abc"), lambda: pdu.DiagnosticsRequest(1, b"abcd"),
            lambda: pdu.DiagnosticsRequest(0, 2),  # type: ignore[arg-type]
            lambda: pdu.GetCommEventLogReply(0, 0, 0, bytes(65)), lambda: pdu.ReportServerIdReply(bytes(252)),
            lambda: pdu.MaskWriteRegisterRequest(0, 65536, 0),
            lambda: pdu.ReadWriteMultipleRegistersRequest(0, 126, 0, [0]),
            lambda: pdu.ReadWriteMultipleRegistersRequest(0, 1, 0, [0] * 122),
            lambda: pdu.ReadFIFOQueueReply([0] * 32), lambda: pdu.ReadDeviceIdentificationRequest(5, 0),
            lambda: pdu.ReadDeviceIdentificationReply(1, 1, False, 0, [(0, bytes(200)), (1, bytes(60))]),
            lambda: pdu.ReadDeviceIdentificationReply(1, 1, False, 0, [(256, b"")]),
            lambda: pdu.RawRequest(128, b""), lambda: pdu.RawRequest(0, b""), lambda: pdu.RawReply(65, bytes(253)),
            lambda: pdu.ExceptionReply(128, 1),
        ):
            self.assertRaises(RequestError, make)

    def test_limits_of_files(self) -> None:
        for make in (
            lambda: pdu.ReadFileRecordRequest(()), lambda: pdu.ReadFileRecordRequest([RecordReference(1, 0, 1)] * 36),
            lambda: pdu.ReadFileRecordRequest([RecordReference(1, 0, 122)]),
            lambda: pdu.ReadFileRecordRequest([RecordReference(1, 0, 70)] * 2),
            lambda: pdu.ReadFileRecordRequest([RecordReference(0, 0, 1)]),
            lambda: pdu.ReadFileRecordRequest([RecordReference(1, 10000, 1)]),
            lambda: pdu.ReadFileRecordReply(()), lambda: pdu.ReadFileRecordReply([()]),
            lambda: pdu.ReadFileRecordReply([[65536]]), lambda: pdu.WriteFileRecordRequest(()),
            lambda: pdu.WriteFileRecordRequest([FileRecord(1, 0, [0] * 123)]),
            lambda: pdu.WriteFileRecordRequest([FileRecord(1, 0, [-1])]),
            lambda: pdu.ReadFileRecordRequest([RecordReference(1.5, 0, 1)]),  # type: ignore[arg-type]
            lambda: pdu.ReadFileRecordRequest([RecordReference(1, 0, 1.5)]),  # type: ignore[arg-type]
            lambda: pdu.WriteFileRecordRequest([FileRecord(1, "0", [1])]),  # type: ignore[arg-type]
        ):
            self.assertRaises(RequestError, make)

    def test_files_at_their_limits(self) -> None:
        """The byte count of a reply to FC 20 is 245 at most: that is 121 registers, or 60 twice."""
        for lengths, allowed in (([121], True), ([122], False), ([60, 60], True), ([60, 61], False)):
            references = [RecordReference(0xFFFF, 9999, length) for length in lengths]
            records = [[0xFFFF] * length for length in lengths]
            for cls, value in ((pdu.ReadFileRecordRequest, references), (pdu.ReadFileRecordReply, records)):
                if allowed:
                    cls(value)
                else:
                    self.assertRaises(RequestError, cls, value)
        self.assertRaises(RequestError, pdu.ReadFileRecordRequest, [RecordReference(0x10000, 0, 1)])
        self.assertRaises(RequestError, pdu.ReadFileRecordRequest, [RecordReference(1, 0, 0)])

    def test_limits_of_objects(self) -> None:
        for one in ((-1, b"a"), (256, b"a"), (0.5, b"a"), (0, "a"), (0, bytes(246))):
            self.assertRaises(RequestError, pdu.ReadDeviceIdentificationReply, 1, 1, False, 0, [one])
        self.assertRaises(RequestError, pdu.ReadDeviceIdentificationReply, 1, 1, False, 0, [(0, bytes(245))])
        self.assertRaises(RequestError, pdu.ReadDeviceIdentificationReply, 1, 256, False, 0, [])
        longest = pdu.ReadDeviceIdentificationReply(4, 255, True, 255, [(255, bytes(244))])
        self.assertEqual(len(longest.encode()), MAX_PDU)
        self.assertEqual(decode_reply(longest.encode()), longest)
        self.assertEqual(decode_reply(bytes.fromhex("2b 0e 01 01 00 00 00")).encode()[-1], 0)
        made = pdu.ReadDeviceIdentificationReply(1, 1, False, 0, [[0, b"a"]])
        self.assertEqual(decode_reply(made.encode()), made)

    def test_refusals_are_sentences(self) -> None:
        error = self.assertRaises(RequestError, pdu.ReadHoldingRegistersRequest, 0, 126)
        self.assertEqual(str(error), "ReadHoldingRegistersRequest: quantity 126 is not from 1 to 125")
        self.assertEqual(error.function_code, 3)


class DecodeTests(SynchronousTestCase):
    """Bytes that are no PDU, or one that breaks the limits."""

    def refused(self, decode: Callable[[bytes], Any], kind: type[Exception], *texts: str) -> None:
        for text in texts:
            with self.subTest(text):
                self.assertRaises(kind, decode, bytes.fromhex(text))

    def test_no_request(self) -> None:
        self.refused(
            decode_request, FrameError, "", "01", "03 0000 00", "03 0000 0001 00", "05 0000 ff", "07 00", "08 0000",
            "08 0000 00", "08 0001 0000 0000", "0b 00", "0f 0000 0009 01 00", "0f 0000 0001 02 00", "0f 0000",
            "10 0000 0002 02 0000", "10 0000 0001 02 00", "14", "14 06 06 0001 0000 00", "15 08 06 0001 0000 0001 00",
            "16 0000 0000", "17 0000 0001 0000 0001", "17 0000 0001 0000 0001 03 0000 00", "18 00", "2b", "2b 0e 01",
        )
        self.refused(decode_request, FrameError, "41" + "00" * 253)

    def test_no_reply(self) -> None:
        self.refused(
            decode_reply, FrameError, "", "01", "01 02 00", "03 03 0000 00", "03 02 00", "05 0000", "07", "0b 0000",
            "0c 05 0000 0000 00", "0c 08 0000 0000 0000 00", "11 02 00", "14 04 05 06 0000", "14 04 02 06 0000",
            "14 01 00", "18 0004 0002 0000", "18 0004 0001 0000 00", "2b", "2b 0e 01 01 00 00", "81", "81 02 00",
            "2b 0e 01 01 00 00 01 00 05 61", "2b 0e 01 01 00 00 01 00 01 61 62", "2b 0e 01 01 00 00 02 00 01 61",
        )

    def test_values_beyond_the_limits(self) -> None:
        self.refused(
            decode_request, RequestError, "01 0000 0000", "01 0000 07d1", "03 0000 0000", "03 0000 007e",
            "05 0000 0001", "05 0000 ffff", "0f 0000 0000 00", "10 0000 0000 00", "14 00", "14 07 05 0001 0000 0001",
            "14 07 06 0000 0000 0001", "17 0000 0000 0000 0001 02 0000", "17 0000 007e 0000 0001 02 0000",
            "2b 0e 00 00", "2b 0e 05 00", "00", "83",
        )
        self.refused(
            decode_reply, RequestError, "03 00", "01 00", "05 0000 0100", "0f 0000 0000", "10 0000 007c", "14 00",
            "14 04 03 07 0000", "00",
        )

    def test_errors_carry_what_they_are_about(self) -> None:
        error = self.assertRaises(FrameError, decode_request, b"\x03\x00")
        self.assertEqual((error.function_code, error.frame), (3, b"\x03\x00"))

    def test_the_rest_is_raw(self) -> None:
        self.assertEqual(decode_request(b"\x41ab"), pdu.RawRequest(0x41, b"ab"))
        self.assertEqual(decode_reply(b"\x41ab"), pdu.RawReply(0x41, b"ab"))
        self.assertEqual(decode_request(b"\x2b\x0dab"), pdu.RawRequest(43, b"\x0dab"))

    def test_exception(self) -> None:
        self.assertEqual(decode_reply(b"\x83\x02"), pdu.ExceptionReply(3, 2))

    def test_bits_beyond_the_quantity_do_not_count(self) -> None:
        self.assertEqual(
            decode_request(bytes.fromhex("0f 0000 0001 01 ff")), pdu.WriteMultipleCoilsRequest(0, [True])
        )

    def check(self, decode: Callable[[bytes], pdu.Request | pdu.Reply], data: bytes) -> None:
        try:
            made = decode(data)
        except (FrameError, RequestError):
            return
        self.assertEqual(decode(made.encode()), made)
        self.assertEqual(len(made.encode()), len(data))

    @QUICK
    @given(st.binary(max_size=300))
    def test_any_bytes(self, data: bytes) -> None:
        for decode in (decode_request, decode_reply):
            self.check(decode, data)

    @QUICK
    @given(
        st.sampled_from([one.request_pdu for one in GOLDEN] + [one.reply_pdu for one in GOLDEN]),
        st.integers(0, 60), st.binary(max_size=3), st.integers(0, 3),
    )
    def test_one_place_changed(self, data: bytes, at: int, put: bytes, cut: int) -> None:
        for decode in (decode_request, decode_reply):
            self.check(decode, data[:at] + put + data[at + cut :])
