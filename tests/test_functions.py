"""The table of function codes: its rows, and the lengths of PDUs by their first bytes."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.modbus import functions, pdu
from lumina_twisted.modbus.access import Access
from lumina_twisted.modbus.functions import (
    ENCAPSULATED,
    FUNCTIONS,
    READS_OF,
    UNKNOWN,
    Function,
    FunctionCode,
    accesses,
    function_of,
    is_read,
    reply_length,
    request_length,
)
from lumina_twisted.modbus.reply import expected_reply
from tests.golden import EXCEPTION_PDU, GOLDEN
from tests.strategies import QUICK, REPLIES, REQUESTS

NEEDED_BY_REQUESTS = {8: 3, 15: 6, 16: 6, 20: 2, 21: 2, 23: 10, 43: 2}
"""Bytes of a request that determine its length; 1 for all others."""
NEEDED_BY_REPLIES = {1: 2, 2: 2, 3: 2, 4: 2, 12: 2, 17: 2, 20: 2, 21: 2, 23: 2, 24: 3}


def expected_length(pdu: bytes) -> int:
    """Length of the reply, as far as the request tells it."""
    return expected_reply(pdu, function_of(pdu))[0]


class RequestLengthTests(SynchronousTestCase):
    """Requests."""

    def test_golden(self) -> None:
        for one in GOLDEN:
            expected = UNKNOWN if one.request_pdu[0] == 8 else len(one.request_pdu)
            self.assertEqual(request_length(one.request_pdu), expected, one.request)

    def test_not_before_it_can_be_told(self) -> None:
        for one in GOLDEN:
            needed = NEEDED_BY_REQUESTS.get(one.request_pdu[0], 1)
            for size in range(1, needed):
                self.assertEqual(request_length(one.request_pdu[:size]), 0, one.request)
            self.assertEqual(request_length(one.request_pdu[:needed]), request_length(one.request_pdu), one.request)

    def test_inside_a_buffer(self) -> None:
        for one in GOLDEN:
            self.assertEqual(request_length(b"\1\2\3" + one.request_pdu, 3), request_length(one.request_pdu))

    def test_diagnostics(self) -> None:
        """Only the sub-function that returns any data has no length of its own."""
        self.assertEqual(request_length(b"\x08\x00\x0a"), 5)
        self.assertEqual(request_length(b"\x08\x01\x00"), 5)

    def test_unknown(self) -> None:
        for data in (b"\x41", b"\x00", b"\x2b\x0d", b"\x83"):
            self.assertEqual(request_length(data), UNKNOWN)

    @QUICK
    @given(REQUESTS)
    def test_every_request(self, request: pdu.Request) -> None:
        encoded = request.encode()
        self.assertIn(request_length(encoded), (len(encoded), UNKNOWN))
        if encoded[0] in pdu.REQUESTS and encoded[0] not in (8, 43):
            self.assertEqual(request_length(encoded), len(encoded))


class ReplyLengthTests(SynchronousTestCase):
    """Replies."""

    def test_golden(self) -> None:
        for one in GOLDEN:
            self.assertEqual(reply_length(one.reply_pdu), len(one.reply_pdu), one.reply)

    def test_not_before_it_can_be_told(self) -> None:
        for one in GOLDEN:
            code = one.reply_pdu[0]
            # The list of objects is walked: the byte before the text of the last one is its length.
            needed = len(one.reply_pdu) - len("V2.11") if code == 43 else NEEDED_BY_REPLIES.get(code, 1)
            for size in range(1, needed):
                self.assertEqual(reply_length(one.reply_pdu[:size]), 0, one.reply)
            self.assertEqual(reply_length(one.reply_pdu[:needed]), len(one.reply_pdu), one.reply)

    def test_exceptions_whatever_the_function(self) -> None:
        self.assertEqual(reply_length(EXCEPTION_PDU), 2)
        for code in range(0x80, 0x100):
            self.assertEqual(reply_length(bytes((code,))), 2)

    def test_unknown(self) -> None:
        for data in (b"\x41", b"\x00", b"\x2b\x0d"):
            self.assertEqual(reply_length(data), UNKNOWN)

    @QUICK
    @given(REPLIES)
    def test_every_reply(self, reply: pdu.Reply) -> None:
        encoded = reply.encode()
        if encoded[0] == 8:
            self.assertEqual(reply_length(encoded), 5)
        elif isinstance(reply, pdu.RawReply):
            self.assertEqual(reply_length(encoded), UNKNOWN)
        else:
            self.assertEqual(reply_length(encoded), len(encoded))

    @QUICK
    @given(st.binary(min_size=1, max_size=300), st.integers(0, 10))
    def test_any_bytes(self, data: bytes, start: int) -> None:
        """A length, or 0, or UNKNOWN; nothing is raised."""
        for length_of in (request_length, reply_length):
            self.assertGreaterEqual(length_of(bytes(start) + data, start), UNKNOWN)


class ExpectedReplyLengthTests(SynchronousTestCase):
    """What a request tells of its reply."""

    def test_golden(self) -> None:
        for one in GOLDEN:
            expected = 0 if one.request_pdu[0] in (12, 17, 24, 43) else len(one.reply_pdu)
            self.assertEqual(expected_length(one.request_pdu), expected, one.request)

    def test_bits_are_rounded_up(self) -> None:
        for quantity, length in ((1, 3), (8, 3), (9, 4), (2000, 252)):
            self.assertEqual(expected_length(pdu.ReadCoilsRequest(0, quantity).encode()), length)

    def test_no_reply_holds_so_much(self) -> None:
        """An exception is its only answer."""
        for text in (
            "03 0000 0080", "04 0000 ffff", "01 0000 07f9", "17 0000 0080 0000 0001 02 0000",
            "14 07 06 0001 0000 007f", "14 07 06 0001 0000 ffff", "14 0e 06 0001 0000 0040 06 0001 0000 003f",
        ):
            self.assertEqual(expected_length(bytes.fromhex(text)), 2)

    def test_the_longest(self) -> None:
        for text, length in (
            ("03 0000 007f", 256), ("01 0000 07f8", 257), ("17 0000 007f 0000 0001 02 0000", 256),
            ("14 07 06 0001 0000 007e", 256), ("14 0e 06 0001 0000 003f 06 0001 0000 003e", 256),
        ):
            self.assertEqual(expected_length(bytes.fromhex(text)), length, text)

    def test_references_that_are_cut_off(self) -> None:
        """The device may refuse them; the gateway passes them."""
        whole = bytes.fromhex("06 0001 0000 0002")
        for size in range(8):
            data = bytes((20, 7 + size)) + whole + whole[:size]
            self.assertEqual(expected_length(data), 8 if size < 7 else 14, size)
            self.assertEqual(expected_length(bytes((20, size)) + whole[:size]), 2 if size < 7 else 8, size)

    def test_unknown(self) -> None:
        for data in (b"\x41", b"\x2b\x0d", b"\x2b"):
            self.assertEqual(expected_length(data), UNKNOWN)


class TableTests(SynchronousTestCase):
    """What the rows say, and that each function has one."""

    def having(self, is_so: Callable[[Function], object]) -> set[int]:
        """The codes of the rows of which it is so."""
        return {row.code for row in (*FUNCTIONS.values(), *ENCAPSULATED.values()) if is_so(row)}

    def test_every_public_function_has_a_row(self) -> None:
        self.assertEqual(self.having(bool), set(FunctionCode))

    def test_what_may_be_asked_twice(self) -> None:
        self.assertEqual(self.having(lambda row: row.is_read), {1, 2, 3, 4, 7, 11, 12, 17, 20, 24, 43})
        self.assertFalse(any(map(is_read, (b"\x2b", b"\x2b\x0d", b"\x08\0", b"\x41", b"\x83"))))

    def test_ranges(self) -> None:
        self.assertEqual(self.having(lambda row: row.range_of), {1, 2, 3, 4})
        self.assertEqual(self.having(lambda row: row.is_bits), {1, 2})
        self.assertEqual({table: int(row.code) for table, row in READS_OF.items()},
                         {"coil": 1, "discrete": 2, "holding": 3, "input": 4})

    def test_byte_counts(self) -> None:
        self.assertEqual(self.having(lambda row: row.has_byte_count), {1, 2, 3, 4, 12, 17, 20, 21, 23})
        self.assertEqual(self.having(lambda row: row.returns_entries), {1, 2, 3, 4, 23})

    def test_replies_that_are_the_beginning_of_their_request(self) -> None:
        self.assertEqual({row.code: row.echo_length for row in FUNCTIONS.values() if row.echo_length},
                         {5: 5, 6: 5, 15: 5, 16: 5, 22: 7})

    def test_a_row_is_all_that_a_new_function_needs(self) -> None:
        """FC 43 with another MEI type, its reply echoing the first two bytes of the data."""
        row = Function(FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT, UNKNOWN, UNKNOWN, is_read=True, repeats=2)
        self.patch(functions, "ENCAPSULATED", {**ENCAPSULATED, 13: row})
        request = bytes.fromhex("2b 0d 01 02")
        self.assertTrue(is_read(request))
        self.assertEqual(expected_reply(request, function_of(request)), (UNKNOWN, b"\x2b\x0d"))
        for length in (request_length, reply_length):
            self.assertEqual(length(request), UNKNOWN)
        self.assertEqual(accesses(request), (Access(False, None),))
