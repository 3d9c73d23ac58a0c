"""CRC-16/MODBUS: the library against the table, the specification's value, and the byte order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.framing.crc import append_crc, crc16, crc16_by_table, crc_bytes, crc_ok
from tests.strategies import QUICK


class CRCTests(SynchronousTestCase):
    """The sum."""

    def test_golden(self) -> None:
        for data, expected in (
            (b"", 0xFFFF),
            (b"123456789", 0x4B37),  # the check value of the catalogue of CRCs
            (b"\x02\x07", 0x1241),  # Modbus over Serial Line V1.02, appendix B
            (bytes.fromhex("010300000001"), 0x0A84),
        ):
            for compute in (crc16, crc16_by_table):
                self.assertEqual(compute(data), expected)

    @QUICK
    @given(st.binary(max_size=300))
    def test_library_and_table_agree(self, data: bytes) -> None:
        self.assertEqual(crc16(data), crc16_by_table(data))

    def test_every_single_byte(self) -> None:
        for byte in range(256):
            self.assertEqual(crc16(bytes((byte,))), crc16_by_table(bytes((byte,))))


class ByteOrderTests(SynchronousTestCase):
    """Low byte first, unless asked."""

    def test_low_byte_first(self) -> None:
        self.assertEqual(append_crc(b"\x02\x07"), b"\x02\x07\x41\x12")

    def test_high_byte_first(self) -> None:
        self.assertEqual(append_crc(b"\x02\x07", low_byte_first=False), b"\x02\x07\x12\x41")
        self.assertEqual(crc_bytes(b"\x02\x07", low_byte_first=False), b"\x12\x41")

    @QUICK
    @given(st.binary(min_size=1, max_size=254), st.booleans())
    def test_what_is_appended_is_right(self, data: bytes, low_byte_first: bool) -> None:
        self.assertTrue(crc_ok(append_crc(data, low_byte_first=low_byte_first), low_byte_first=low_byte_first))

    def test_the_other_order_is_wrong(self) -> None:
        for low_byte_first in (True, False):
            frame = append_crc(b"\x02\x07", low_byte_first=low_byte_first)
            self.assertFalse(crc_ok(frame, low_byte_first=not low_byte_first))

    def test_every_bit_counts(self) -> None:
        frame = append_crc(bytes.fromhex("010300000001"))
        for bit in range(8 * len(frame)):
            changed = bytearray(frame)
            changed[bit // 8] ^= 1 << bit % 8
            self.assertFalse(crc_ok(bytes(changed)))
            self.assertFalse(crc_ok(bytes(changed), low_byte_first=False))

    def test_too_short(self) -> None:
        for data in (b"", b"\xff", b"\xff\xff"):
            self.assertFalse(crc_ok(data))
            self.assertFalse(crc_ok(data, low_byte_first=False))
