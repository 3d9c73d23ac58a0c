"""Typed values in registers."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.registers import KINDS, decode, decode_text, encode, encode_text, registers_of
from tests.strategies import QUICK

ORDERS = st.sampled_from(["big", "little"])


class Numbers(SynchronousTestCase):
    """All kinds, in all four orders."""

    def test_known_values(self) -> None:
        for value, kind, words in (
            (65535, "u16", (0xFFFF,)), (-2, "i16", (0xFFFE,)), (0x12345678, "u32", (0x1234, 0x5678)),
            (-1, "i32", (0xFFFF, 0xFFFF)), (1, "u64", (0, 0, 0, 1)), (-1, "i64", (0xFFFF,) * 4),
            (1.5, "f32", (0x3FC0, 0)), (-2.5, "f64", (0xC004, 0, 0, 0)),
        ):
            self.assertEqual(encode(value, kind), words, kind)
            self.assertEqual(decode(words, kind), value, kind)
            self.assertEqual(registers_of(kind), len(words), kind)

    def test_the_four_orders(self) -> None:
        for word, byte, words in (
            ("big", "big", (0x0A0B, 0x0C0D)), ("little", "big", (0x0C0D, 0x0A0B)),
            ("big", "little", (0x0B0A, 0x0D0C)), ("little", "little", (0x0D0C, 0x0B0A)),
        ):
            self.assertEqual(encode(0x0A0B0C0D, "u32", word, byte), words)  # type: ignore[arg-type]
            self.assertEqual(decode(words, "u32", word, byte), 0x0A0B0C0D)  # type: ignore[arg-type]

    @QUICK
    @given(st.sampled_from([one for one in KINDS if one[0] != "f"]), ORDERS, ORDERS, st.data())
    def test_whole_numbers_come_back(self, kind: str, word: str, byte: str, data: st.DataObject) -> None:
        bits = int(kind[1:])
        low = 0 if kind[0] == "u" else -(1 << bits - 1)
        value = data.draw(st.integers(low, low + (1 << bits) - 1))
        self.assertEqual(decode(encode(value, kind, word, byte), kind, word, byte), value)  # type: ignore[arg-type]

    @QUICK
    @given(st.floats(width=32, allow_nan=False), ORDERS, ORDERS)
    def test_fractions_come_back(self, value: float, word: str, byte: str) -> None:
        for kind in ("f32", "f64"):
            self.assertEqual(decode(encode(value, kind, word, byte), kind, word, byte), value)  # type: ignore[arg-type]

    def test_what_does_not_fit(self) -> None:
        for value, kind, words in (
            (65536, "u16", "0 to 65535"), (-1, "u32", "0 to 4294967295"), (40000, "i16", "-32768 to 32767"),
            (1.5, "u16", "f32 and f64"), (math.nan, "i32", "no whole number"), (1e39, "f32", "too large"),
            (1, "u17", "those that exist"),
        ):
            self.assertIn(words, str(self.assertRaises(RequestError, encode, value, kind)))
        self.assertIn("2 registers, not 1", str(self.assertRaises(RequestError, decode, (1,), "f32")))


class Texts(SynchronousTestCase):
    """Two characters a register."""

    def test_both_ways(self) -> None:
        self.assertEqual(encode_text("SDM", 3), (0x5344, 0x4D00, 0))
        self.assertEqual(encode_text("SDM", 2, byte_order="little"), (0x4453, 0x004D))
        self.assertEqual(decode_text((0x5344, 0x4D00, 0x4141)), "SDM")
        self.assertEqual(decode_text((0x4453, 0x204D), byte_order="little"), "SDM")
        self.assertEqual(decode_text(encode_text("Öl", 2, "utf-8"), "utf-8"), "Öl")

    def test_what_does_not_fit(self) -> None:
        self.assertIn("2 registers hold 4", str(self.assertRaises(RequestError, encode_text, "12345", 2)))
        self.assertIn("'Ö' cannot", str(self.assertRaises(RequestError, encode_text, "Öl", 2)))
