"""Values in registers and bits, both ways, with pymodbus's conversion as an independent oracle."""

from __future__ import annotations

import math
import pickle
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.registers import KINDS, limits, registers_of, writer
from lumina_twisted.modbus.values.codec import Value, ValueCodec
from tests.strategies import QUICK, WORDS

FEW = settings(QUICK, max_examples=60)
WHOLE = tuple(kind for kind in KINDS if kind[0] != "f")
ORDERS = ("big", "little")
ORACLE = {
    "u16": "UINT16", "i16": "INT16", "u32": "UINT32", "i32": "INT32", "u64": "UINT64", "i64": "INT64",
    "f32": "FLOAT32", "f64": "FLOAT64",
}
DATATYPE = ModbusClientMixin.DATATYPE
VALUES = st.one_of(
    st.integers(), st.integers(-70000, 70000), st.floats(), st.floats(-1e5, 1e5), st.text(max_size=8),
    st.sampled_from([None, True, b"ab", ["a", "bit3"], ["a", 5], 10**5000, 2**64 - 1, -2**63, {}, 1j]),
)
CODECS = [
    {"type": kind, **more} for kind in KINDS for more in ({}, {"scale": 0.1}, {"low": -3, "high": 9.5, "scale": 0.5})
] + [
    {"type": "bool"}, {"type": "bool", "bit": 3}, {"type": "string", "length": 2}, {"enum": {1: "a"}},
    {"type": "bits", "bits": {1: "a"}}, {"type": "bits"},
]


def codec(**keys: Any) -> ValueCodec:
    """A codec."""
    return ValueCodec(**keys)


def swapped(words: list[int]) -> list[int]:
    """The bytes within each word the other way round."""
    return [(word & 0xFF) << 8 | word >> 8 for word in words]


class Oracle(SynchronousTestCase):
    """What pymodbus makes of the same registers."""

    def test_every_type_and_order(self) -> None:
        for kind, name in ORACLE.items():
            for word_order in ORDERS:
                self.compare(kind, DATATYPE[name], word_order)

    def compare(self, kind: str, datatype: Any, word_order: Any) -> None:
        count = registers_of(kind)
        one = codec(type=kind, word_order=word_order)
        other = codec(type=kind, word_order=word_order, byte_order="little")

        @FEW
        @given(st.lists(WORDS, min_size=count, max_size=count))
        def same(registers: list[int]) -> None:
            value = ModbusClientMixin.convert_from_registers(registers, datatype, word_order)
            if value != value:
                self.assertTrue(math.isnan(one.decode(registers)), registers)  # type: ignore[arg-type]
                return
            self.assertEqual(one.decode(registers), value)
            self.assertEqual(type(one.decode(registers)), type(value))
            self.assertEqual(other.decode(swapped(registers)), value)
            if math.isfinite(value):  # type: ignore[arg-type]
                back = ModbusClientMixin.convert_to_registers(value, datatype, word_order)
                self.assertEqual(list(one.encode(value)), back)
                self.assertEqual(list(other.encode(value)), swapped(back))

        same()

    @FEW
    @given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2000), max_size=8), st.sampled_from(["utf-8"]))
    def test_texts(self, text: str, encoding: Any) -> None:
        registers = ModbusClientMixin.convert_to_registers(text, DATATYPE.STRING, string_encoding=encoding)
        one = codec(type="string", length=max(1, len(registers)), encoding=encoding)
        assume(text == text.rstrip())
        self.assertEqual(list(one.encode(text)), registers or [0])
        self.assertEqual(one.decode(registers or [0]), text)

    @FEW
    @given(st.integers(1, 4), st.data(), st.sampled_from(ORDERS))
    def test_bits(self, count: int, data: st.DataObject, word_order: Any) -> None:
        """They are those of one whole number."""
        registers = data.draw(st.lists(WORDS, min_size=count, max_size=count))
        shifted = [0] * (4 - count) + registers if word_order == "big" else registers + [0] * (4 - count)
        number = ModbusClientMixin.convert_from_registers(shifted, DATATYPE.UINT64, word_order)
        one = codec(type="bits", length=count, word_order=word_order)
        expected = tuple(f"bit{at}" for at in range(64) if number >> at & 1)  # type: ignore[operator]
        self.assertEqual(one.decode(registers), expected)
        self.assertEqual(list(one.encode(expected)), registers)


SCALES = st.sampled_from([1, 0.1, 0.01, 0.001, 0.5, 2, 10, -0.1, 0.03, 1e-6, 3, 0.0001])
OFFSETS = st.sampled_from([0, -40, 273.15, 0.5, 1000])


class Back(SynchronousTestCase):
    """What was written is read again."""

    @QUICK
    @given(st.sampled_from(WHOLE), SCALES, OFFSETS, st.data())
    def test_whole_numbers_with_scale(self, kind: str, scale: float, offset: float, data: st.DataObject) -> None:
        lowest, highest = map(int, limits(kind))
        number = data.draw(st.integers(lowest, highest) | st.sampled_from([lowest, highest]))
        one = codec(type=kind, scale=scale, offset=offset)
        value = one.decode(codec(type=kind).encode(number))
        self.assertEqual(one.decode(one.encode(value)), value)
        self.assertEqual(one.decode(one.encode(one.parse(one.format(value)))), value)
        self.assertIs(type(value), int if (scale, offset) == (1, 0) else float)
        if abs(number) < 2**40:
            self.assertEqual(one.encode(value), codec(type=kind).encode(number))

    @FEW
    @given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(ORDERS))
    def test_fractions(self, value: float, order: Any) -> None:
        for kind in ("f32", "f64"):
            one = codec(type=kind, word_order=order)
            self.assertEqual(one.decode(one.encode(value)), value)
            self.assertEqual(one.decode(one.encode(one.parse(one.format(value)))), value)

    @FEW
    @given(st.floats(-1e30, 1e30), SCALES, OFFSETS)
    def test_fractions_with_scale(self, value: float, scale: float, offset: float) -> None:
        one = codec(type="f64", scale=scale, offset=offset)
        back = one.decode(one.encode(value))
        self.assertTrue(math.isclose(back, value, rel_tol=1e-15, abs_tol=1e-12), back)  # type: ignore[arg-type]

    @FEW
    @given(st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=6).map(str.rstrip))
    def test_texts(self, text: str) -> None:
        one = codec(type="string", length=3, encoding="latin-1", byte_order="little")
        self.assertEqual(one.decode(one.encode(text)), text)
        self.assertEqual(one.parse(one.format(text)), text)

    @FEW
    @given(WORDS, WORDS)
    def test_named_bits(self, number: int, current: int) -> None:
        """Those without a name stay."""
        one = codec(type="bits", bits={0: "alarm", 3: "door open", 15: "run"})
        value = one.decode([number])
        self.assertEqual(one.parse(one.format(value)), value)
        (written,) = one.encode(value, [current & 0x7FF6])
        self.assertEqual(written, number | current & 0x7FF6)
        self.assertEqual(one.decode(one.encode(value, [0])), value)

    @FEW
    @given(st.integers(0, 15), WORDS, st.booleans(), st.sampled_from(ORDERS))
    def test_one_bit(self, bit: int, current: int, value: bool, order: Any) -> None:
        one = codec(type="bool", bit=bit, byte_order=order)
        (written,) = one.encode(value, [current])
        self.assertIs(one.decode([written]), value)
        self.assertIn((written ^ current).bit_count(), (0, 1))
        whole = codec(type="bits", byte_order=order).decode([written])
        self.assertEqual(f"bit{bit}" in whole, value)  # type: ignore[operator]


class InDecimal(SynchronousTestCase):
    """Scale and offset are what they are on paper."""

    def test_as_on_paper(self) -> None:
        for number, scale, offset, value in (
            (3, 0.1, 0, 0.3), (7, 0.7, 0, 4.9), (2155, 0.1, -40, 175.5), (3, 0.1, 0.1, 0.4), (65535, 0.001, 0, 65.535),
            (12, 10, 0, 120.0), (1, 1e-5, 273.15, 273.15001), (5, -0.1, 0, -0.5),
        ):
            one = codec(scale=scale, offset=offset)
            self.assertEqual(one.decode([number]), value)
            self.assertEqual(one.encode(value), (number,))

    def test_fractions(self) -> None:
        one = codec(type="f32", scale=0.1)
        self.assertEqual(one.decode(codec(type="f32").encode(3.0)), 0.3)
        huge = codec(type="f64", scale=1.5)
        self.assertEqual(huge.decode(codec(type="f64").encode(1e308)), 1.5e308)
        huge = codec(type="f64", scale=1.5, offset=1e307)
        self.assertEqual(huge.decode(codec(type="f64").encode(1e308)), 1.6e308)

    def test_no_number(self) -> None:
        for kind in ("f32", "f64"):
            one = codec(type=kind, scale=0.1)
            nan = writer(kind)(math.nan)
            self.assertTrue(math.isnan(one.decode(nan)))  # type: ignore[arg-type]
            self.assertEqual(one.format(one.decode(nan)), "nan")

    def test_the_dust_of_floats_is_nothing(self) -> None:
        one = codec(scale=0.1, low=0.3, high=0.3)
        self.assertEqual(one.encode(0.1 + 0.2), (3,))
        self.assertEqual(one.encode(0.3 + 0.9e-7), (3,))
        self.assertEqual(codec(type="u64", scale=0.1).encode((2**64 - 1) / 10), (0xFFFF,) * 4)


class Refused(SynchronousTestCase):
    """What does not fit, and how it does not."""

    def refused(self, value: object, words: str, current: Any = None, **keys: Any) -> None:
        error = self.assertRaises(RequestError, codec(**keys).encode, value, current)
        self.assertIn(words, str(error), (value, keys))

    def test_numbers(self) -> None:
        tenth = {"scale": 0.1, "offset": -40}
        self.refused(70000, "70000 does not fit: u16 holds 0 to 65535")
        self.refused(-1, "u16 holds 0 to 65535")
        self.refused(40000, "i16 holds -32768 to 32767", type="i16")
        self.refused(2**64, "u64 holds 0 to 18446744073709551615", type="u64")
        self.refused(6600.0, "6600 does not fit: u16 with scale 0.1 and offset -40 holds -40 to 6513.5", **tenth)
        self.refused(1, "u16 with scale -1 holds -65535 to 0", scale=-1)
        self.refused(1e39, "1e+39 does not fit: f32 holds -3.4028234663852886e+38 to 3.40", type="f32")
        self.refused(10**400, "f64 holds", type="f64")
        self.refused(1e40, "f32 with scale 10 holds", type="f32", scale=10)

    def test_steps(self) -> None:
        self.refused(21.53, "between two steps of u16 with scale 0.1: 21.5 and 21.6 can be written", scale=0.1)
        self.refused(-0.25, "-0.3 and -0.2", scale=-0.1)
        self.refused(1.5, "between two steps of u16: 1 and 2")
        self.refused(0.30001, "0.3 and 0.4", scale=0.1)
        self.refused(3 + 1.5e-6, "3 and 4")

    def test_range(self) -> None:
        self.refused(95, "95 is not from 5 to 90", low=5, high=90)
        self.refused(4, "4 is below 5, the lowest", low=5)
        self.refused(90.1, "90.1 is above 90, the highest", high=90, scale=0.1)
        self.refused(90.1, "90.1 is above 90, the highest", high=90, type="f32")

    def test_no_numbers(self) -> None:
        for value in (math.nan, math.inf, -math.inf):
            for kind in ("u16", "f32", "f64"):
                self.refused(value, "is no number that a register can be set to", type=kind)
        self.refused(True, "True is no number, as u16 needs")
        self.refused("7", "'7' is no number, as u16 needs")
        self.refused(None, "None is no number, as f32 needs", type="f32")
        self.refused(10**5000, "a number of that many digits does not fit")

    def test_words(self) -> None:
        self.refused("ecoo", "there is no 'ecoo' here; did you mean 'eco'?", enum={0: "off", 1: "eco"})
        self.refused("x", "known are off, eco", enum={0: "off", 1: "eco"})
        self.refused("opn", "did you mean 'open'?", type="bool", enum={0: "shut", 1: "open"})
        self.refused(("alarn",), "there is no bit 'alarn' here; did you mean 'alarm'?", type="bits", bits={0: "alarm"})
        self.refused("alarm", "no list of names", type="bits", bits={0: "alarm"})
        self.refused((3,), "there is no bit 3 here", type="bits", bits={0: "alarm"})
        self.refused("x", "known are w0, w1, w2", enum={number: f"w{number}" for number in range(50)})

    def test_texts(self) -> None:
        self.refused("12345", "2 registers hold 4", type="string", length=2)
        self.refused("Öl", "'Ö' cannot be written in ascii", type="string", length=2)
        self.refused("a\0b", "a NUL ends the text", type="string", length=2)
        self.refused(5, "5 is no text", type="string", length=2)

    def test_bools(self) -> None:
        for value in (2, 1.0, "on", None):
            self.refused(value, "neither true nor false", type="bool")

    def test_what_is_there_must_be_known(self) -> None:
        self.refused(True, "to write one bit, the register as it is must be known", type="bool", bit=3)
        self.refused((), "registers as they are must be known", type="bits", length=2, bits={0: "alarm"})
        self.refused(True, "it takes 1 registers, not 2", [1, 2], type="bool", bit=3)
        self.refused((), "0 to 65535", [70000], type="bits", bits={0: "alarm"})
        self.refused((), "0 to 65535", ["7"], type="bits", bits={0: "alarm"})
        self.assertEqual(codec(type="bool", bit=0).encode(False, [65535]), (65534,))

    def test_entries(self) -> None:
        for keys in ({"type": "u32"}, {"type": "string", "length": 2}, {"type": "bits", "length": 2}):
            for entries, words in (((1,), "2 registers, not 1"), ((1, 70000), "0 to 65535"), ((1, "x"), "0 to 65535")):
                error = self.assertRaises(RequestError, codec(**keys).decode, entries)
                self.assertIn(words, str(error))
        self.assertIn("1 registers, not 2", str(self.assertRaises(RequestError, codec(type="bool").decode, (1, 0))))
        self.assertRaises(RequestError, codec(type="bool").decode, ("x",))

    @QUICK
    @given(VALUES, st.sampled_from(CODECS))
    @example(10**400, {"type": "f64"})
    def test_nothing_but_a_request_error(self, value: Any, keys: dict[str, Any]) -> None:
        one = codec(**keys)
        try:
            entries = one.encode(value, [7])
        except RequestError as error:
            self.assertLess(len(str(error)), 600)
        else:
            if one.type[0] != "f" or one.scale == 1:
                self.assertEqual(one.encode(one.decode(entries), [7]), entries)
            if one.low is not None:
                self.assertTrue(-3.000001 <= one.decode(entries) <= 9.500001)  # type: ignore[operator]


class Typed(SynchronousTestCase):
    """What a person types, and reads."""

    def test_typed(self) -> None:
        enum = {"enum": {0: "off", 1: "Eco mode"}}
        shut = {"type": "bool", "enum": {0: "shut", 1: "open"}}
        bits = {"type": "bits", "bits": {0: "alarm", 3: "Door open"}}
        cases: list[tuple[dict[str, Any], str, Value]] = [
            ({}, "65", 65), ({}, " -7 ", -7), ({}, "0x1F", 31), ({}, "6.55e2", 655.0), ({"scale": 0.1}, "21.5", 21.5),
            (enum, "eco MODE", "Eco mode"), (enum, "5", 5), (shut, "OPEN", "open"), (shut, "off", "shut"),
            ({"type": "bool"}, "on", True), ({"type": "bool"}, "No", False), ({"type": "bool"}, "1", True),
            (bits, "door open, ALARM", ("alarm", "Door open")), (bits, "bit7", ("bit7",)), (bits, "none", ()),
            (bits, "", ()), ({"type": "string", "length": 2}, " a ", " a "),
        ]
        for keys, text, value in cases:
            got = codec(**keys).parse(text)
            self.assertEqual((got, type(got)), (value, type(value)), text)

    def test_typed_wrong(self) -> None:
        enum, bits = {"enum": {0: "off", 1: "eco"}}, {"type": "bits", "bits": {0: "alarm"}}
        cases: list[tuple[dict[str, Any], str, str]] = [
            ({}, "21,5", "the decimal point is a dot: 21.5"), ({}, "21.5 °C", "without a unit"),
            ({}, "1_000", "no number"), ({}, "٣", "no number"), ({}, "", "no number"), ({}, "9" * 5000, "no number"),
            (enum, "ec", "mean 'eco'?"),
            (enum, "?", "known are off, eco; a number will do too"), ({"type": "bool"}, "onn", "neither on nor off"),
            (bits, "alarm,dor", "no bit 'dor'"), ({"type": "bool", "enum": {0: "no", 1: "full"}}, "ful", "'full'"),
        ]
        for keys, text, words in cases:
            self.assertIn(words, str(self.assertRaises(RequestError, codec(**keys).parse, text)), text)

    def test_read(self) -> None:
        cases: list[tuple[dict[str, Any], Value | None, str]] = [
            ({}, 5, "5"), ({"scale": 0.1}, 20.0, "20.0"), ({"scale": 0.01, "offset": -40}, -39.5, "-39.50"),
            ({"scale": 10}, 120.0, "120"), ({"scale": 1e-15}, 1e-15, "1e-15"), ({"type": "f64"}, 1e6, "1000000"),
            ({"type": "bool"}, True, "on"), ({"type": "bool"}, False, "off"), ({"enum": {0: "off"}}, "off", "off"),
            ({"type": "bits"}, (), "none"), ({"type": "bits"}, ("a", "b"), "a,b"), ({}, None, "-"),
            ({"scale": 0.1}, 20.04, "20.04"), ({"type": "f32"}, 1e300, "1e+300"), ({"type": "f32"}, math.inf, "inf"),
        ]
        for keys, value, text in cases:
            self.assertEqual(codec(**keys).format(value), text)

    def test_32_bits_are_told_in_as_few_digits_as_they_have(self) -> None:
        one = codec(type="f32")
        for value, text in ((23.4, "23.4"), (1000000.0, "1000000"), (1234567.0, "1234567"), (16777215.0, "16777215"),
                            (230.1, "230.1"), (0.1, "0.1"), (1e-10, "1e-10")):
            self.assertEqual(one.format(one.decode(one.encode(value))), text)


class Faults(SynchronousTestCase):
    """A codec that is made wrong says so."""

    def faults(self, **keys: Any) -> dict[str, str]:
        one = codec(**keys)
        found = dict(one.faults())
        if found:
            self.assertIn(next(iter(found)), str(self.assertRaises(RequestError, one.decode, [0])))
        else:
            one.format(None)
            self.assertIn(one.needs_current, (True, False))
        return found

    def test_each(self) -> None:
        cases: list[tuple[dict[str, Any], str, str]] = [
            ({"type": "u17"}, "type", "there is no 'u17'; did you mean 'u16'?"),
            ({"word_order": "litle"}, "word_order", "'little'"), ({"byte_order": 1}, "byte_order", "big, little"),
            ({"type": "string", "length": 1, "encoding": "utf8"}, "encoding", "'utf-8'"),
            ({"type": "bool", "bit": 16}, "bit", "to 15, got 16"), ({"bit": 3}, "bit", "means nothing for u16"),
            ({"length": 2}, "length", "it is for string, bits"), ({"type": "string"}, "length", "a string needs it"),
            ({"type": "bits", "length": 0}, "length", "1 to 125"), ({"bits": {0: "a"}}, "bits", "for bits"),
            ({"encoding": "latin-1"}, "encoding", "for string"),
            ({"type": "f32", "enum": {0: "a"}}, "enum", "means nothing for f32"),
            ({"type": "bool", "scale": 2}, "scale", "means nothing for bool"),
            ({"scale": 0}, "scale", "any number but 0"),
            ({"scale": math.nan}, "scale", "expected a number"), ({"offset": math.inf}, "offset", "expected a number"),
            ({"low": 5, "high": 4}, "low", "5 is above high, 4"), ({"low": 70000}, "low", "0 to 65535"),
            ({"high": -1}, "high", "nothing could be written"), ({"low": math.nan}, "low", "expected a number"),
            ({"type": "string", "length": 1, "low": 3}, "low", "means nothing for string"),
            ({"type": "u64", "scale": 1e308}, "scale", "too large for anybody"),
            ({"enum": {65536: "a"}}, "enum.65536", "0 to 65535"),
            ({"enum": {0: "a", 1: "A"}}, "enum.1", "of 0 already"), ({"enum": {0: " a"}}, "enum.0", "without blanks"),
            ({"enum": {0: ""}}, "enum.0", "expected a word"),
            ({"enum": {0: "12"}}, "enum.0", "a number itself"),
            ({"type": "bool", "enum": {1: "a"}}, "enum", "two words"),
            ({"type": "bits", "bits": {16: "a"}}, "bits.16", "to 15"),
            ({"type": "bits", "bits": {1: "a,b"}}, "bits.1", "without commas"),
            ({"type": "bits", "bits": {1: "None"}}, "bits.1", "'none'"),
            ({"type": "bits", "bits": {1: "bit2"}}, "bits.1", "another bit"),
        ]
        for keys, key, words in cases:
            found = self.faults(**keys)
            self.assertEqual(list(found), [key], keys)
            self.assertIn(words, found[key], keys)

    def test_all_at_once(self) -> None:
        found = self.faults(length=3, bit=2, scale=0, low=2, high=1, enum={-1: "a", 2: "3"})
        self.assertEqual(list(found), ["length", "bit", "enum.2", "enum.-1", "scale"])

    def test_none(self) -> None:
        for keys in (
            {}, {"type": "bits", "length": 2, "bits": {31: "a", 3: "bit3"}}, {"type": "bool", "bit": 15},
            {"type": "bool", "enum": {0: "shut", 1: "open"}}, {"scale": -0.1, "low": -5, "high": -1},
            {"type": "string", "length": 125},
            {"type": "f32", "scale": 2, "low": 0}, {"enum": {65535: "broken"}, "scale": 0.1},
            {"type": "string", "length": 4, "encoding": "utf-8", "word_order": "little"},
        ):
            self.assertEqual(self.faults(**keys), {}, keys)  # type: ignore[arg-type]

    def test_a_word_beside_a_scale(self) -> None:
        one = codec(enum={65535: "broken"}, scale=0.1)
        self.assertEqual((one.decode([65535]), one.decode([215])), ("broken", 21.5))
        self.assertEqual((one.encode("Broken"), one.encode(21.5)), ((65535,), (215,)))

    def test_widths(self) -> None:
        widths = [codec(type=kind).width for kind in ("bool", "u16", "i16", "u32", "f32", "i64", "f64", "bits")]
        self.assertEqual(widths, [1, 1, 1, 2, 2, 4, 4, 1])
        self.assertEqual(codec(type="string", length=7).width, 7)

    def test_who_needs_the_registers_as_they_are(self) -> None:
        self.assertEqual(
            [one.needs_current for one in (
                codec(), codec(type="bool"), codec(type="bool", bit=0), codec(type="bits"),
                codec(type="bits", bits={0: "a"}), codec(type="bits", bits={at: f"a{at}" for at in range(16)}),
            )], [False, False, True, False, True, False],
        )

    def test_equal_and_pickled(self) -> None:
        """What it has made for itself is no part of it."""
        one = codec(scale=0.1)
        one.decode([1])
        self.assertEqual(one, codec(scale=0.1))
        self.assertEqual(pickle.loads(pickle.dumps(one)).decode([3]), 0.3)
