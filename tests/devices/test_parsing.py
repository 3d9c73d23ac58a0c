"""ResponseParser: replies read by patterns, and what cannot be."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.client import CommandReply
from lumina_twisted.errors import (
    ConfigError,
    FrameError,
    IllegalDataAddress,
    LuminaError,
    ModbusException,
    RequestError,
    UnknownName,
)
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.helpers import ResponseParser
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.registers import KINDS, encode, registers_of
from lumina_twisted.modbus.values.codec import ValueCodec
from tests.strategies import QUICK, REPLIES, WORDS

FEW = settings(QUICK, max_examples=60)
METER = [("voltage", "f32"), ("power", "i32", 4), ("mode", "u16", 2)]
METER_REGISTERS = (*encode(230.5, "f32"), *encode(-1200, "i32"), 3)
METER_VALUES = {"voltage": 230.5, "power": -1200, "mode": 3}


def read_reply(*registers: int) -> bytes:
    """The PDU of a reply to FC 3."""
    return pdu.ReadHoldingRegistersReply(registers).encode()


def reply(frame: bytes) -> CommandReply:
    """As a client gives it."""
    return CommandReply("1", "read", "/dev/ttyAMA2", frame, 0.0)


class Case(SynchronousTestCase):
    """A parser."""

    def setUp(self) -> None:
        self.parser = ResponseParser()

    def parsed(self, pattern: Any, response: Any, **how: Any) -> dict[str, Any]:
        self.parser.register_response_pattern("it", pattern)
        return self.parser.parse_response("it", response, **how)

    def refused(
        self, pattern: Any, response: Any, words: str, kind: type[LuminaError] = RequestError, **how: Any
    ) -> None:
        self.parser.register_response_pattern("it", pattern)
        error = self.assertRaises(kind, self.parser.parse_response, "it", response, **how)
        self.assertIn(words, str(error))


class Mission(SynchronousTestCase):
    """The calls as the mission prints them (M18)."""

    def test_as_printed(self) -> None:
        pattern_definition = [("flow", "u16", 2), ("temperature", "i16", 2)]
        response_bytes = encode_adu(1, read_reply(17, 0xFFFE))

        parser = ResponseParser()
        parser.register_response_pattern("read_holding", pattern_definition)
        parsed_data = parser.parse_response("read_holding", response_bytes)

        self.assertEqual(parsed_data, {"flow": 17, "temperature": -2})

    def test_within_an_asyncio_program(self) -> None:
        async def main() -> dict[str, Any]:
            parser = ResponseParser()
            parser.register_response_pattern("read_holding", {"flow": {"scale": 0.1}})
            return parser.parse_response("read_holding", reply(encode_adu(1, read_reply(17))))

        self.assertEqual(asyncio.run(main()), {"flow": 1.7})


class WhatIsGiven(Case):
    """Frame, PDU and data are told apart by their lengths."""

    def test_each_form(self) -> None:
        reply_pdu = read_reply(*METER_REGISTERS)
        frame = encode_adu(7, reply_pdu)
        for response in (frame, bytearray(frame), memoryview(frame), reply(frame), reply_pdu, reply_pdu[2:]):
            self.assertEqual(self.parsed(METER, response), METER_VALUES)
        for response, form in ((frame, "frame"), (reply_pdu, "pdu"), (reply_pdu[2:], "data")):
            self.assertEqual(self.parsed(METER, response, form=form), METER_VALUES)

    def test_other_functions(self) -> None:
        words = [("one", "u16"), ("two", "u16")]
        two = {"one": 5, "two": 9}
        for made in (
            pdu.ReadInputRegistersReply((5, 9)), pdu.ReadWriteMultipleRegistersReply((5, 9)),
            pdu.ReadFIFOQueueReply((5, 9)), pdu.WriteSingleRegisterReply(5, 9), pdu.WriteMultipleRegistersReply(5, 9),
        ):
            for response in (encode_adu(1, made.encode()), made.encode()):
                self.assertEqual(self.parsed(words, response), two, made)
        named = pdu.ReportServerIdReply(b"\x11\xffSDM")
        self.assertEqual(
            self.parsed([("id", "u8"), ("runs", "u8"), ("name", "bytes", 3)], encode_adu(1, named.encode())),
            {"id": 17, "runs": 255, "name": b"SDM"},
        )
        for one in (
            pdu.ReadExceptionStatusReply(200), pdu.ReadCoilsReply([True] * 8), pdu.ReadDiscreteInputsReply([True]),
        ):
            data = one.data_bytes()[-1:]
            self.assertEqual(self.parsed([("states", "u8")], encode_adu(1, one.encode())), {"states": data[0]}, one)
            self.assertEqual(self.parsed([("states", "u8")], one.encode()), {"states": data[0]}, one)
        asked = pdu.DiagnosticsReply(0, b"abcd")
        self.assertEqual(self.parsed([("back", "bytes", 6)], encode_adu(1, asked.encode())), {"back": b"\0\0abcd"})
        own = pdu.RawReply(65, b"\x00\x05\x00\x09")
        self.assertEqual(self.parsed(words, encode_adu(1, own.encode())), two)
        self.assertEqual(self.parsed(words, own.encode(), form="pdu"), two)
        self.refused(words, own.encode(), "5 bytes are no reply with 4 bytes of data")

    def test_exceptions(self) -> None:
        refusal = pdu.ExceptionReply(3, 2).encode()
        frame = encode_adu(7, refusal)
        for response in (frame, reply(frame), refusal):
            self.refused(METER, response, "2 illegal data address", IllegalDataAddress)
        error = self.assertRaises(ModbusException, self.parser.parse_response, "it", frame)
        self.assertEqual((error.unit, error.function_code), (7, 3))
        self.refused([("one", "u16")], refusal, "", ModbusException, form="pdu")
        self.refused([("five", "bytes", 5)], frame, "", ModbusException, form="frame")

    def test_nothing_is_guessed(self) -> None:
        refusal = pdu.ExceptionReply(3, 2).encode()
        self.refused([("one", "u16")], refusal, "83 02 can be 2 bytes of data, and an exception as well")
        self.refused([("five", "bytes", 5)], encode_adu(7, refusal), 'and a whole frame as well')
        write = encode_adu(7, pdu.WriteSingleCoilReply(1, True).encode())
        self.refused([("eight", "bytes", 8)], write, "a whole frame")
        self.refused([("two", "u32")], read_reply(9), "the PDU of a read as well: give the whole frame")
        other = encode_adu(7, read_reply(9, 8))
        self.refused([("long", "bytes", 9)], other, "07 03 04 00 09 00 08 4d … can be 9 bytes")
        self.assertEqual(self.parsed([("two", "u32")], read_reply(9), form="data"), {"two": 0x03020009})
        self.assertEqual(self.parsed([("one", "u16")], refusal, form="data"), {"one": 0x8302})
        self.assertEqual(self.parsed([("one", "i16")], b"\xff\xfe"), {"one": -2})

    def test_wrong_lengths(self) -> None:
        lengths = "that is 10 for the data alone, 12 for the PDU of a read, 15 for its frame"
        for response in (b"", b"\x01", bytes(9), bytes(11), bytes(13), read_reply(1, 2), bytes(300)):
            self.refused(METER, response, f"it: {len(response)} bytes are no reply with 10 bytes of data: {lengths}")
        frame = encode_adu(7, read_reply(1, 2))
        self.refused(METER, frame, "it: the reply of function 3 has 4 bytes of data, not 10")
        self.refused(METER, reply(frame), "it: the reply of function 3 has 4 bytes of data, not 10")

    def test_wrong_crc(self) -> None:
        frame = bytearray(encode_adu(7, read_reply(*METER_REGISTERS)))
        frame[5] ^= 1
        for response in (frame, reply(bytes(frame))):
            self.refused(METER, response, "it: wrong CRC", FrameError)

    def test_no_response(self) -> None:
        self.refused(METER, "0102", "is bytes, or a reply that has a frame, not str")
        self.refused(METER, None, "not NoneType")
        self.refused(METER, reply(b""), "broadcast")
        self.refused(METER, b"", "form is one of auto, frame", form="hex")

    def test_unknown_pattern(self) -> None:
        self.parser.register_response_pattern("read_holding", METER)
        error = self.assertRaises(UnknownName, self.parser.parse_response, "read_holdin", b"")
        self.assertEqual(str(error), "there is no response pattern 'read_holdin'; did you mean 'read_holding'?")

    @FEW
    @given(REPLIES, st.integers(1, 12))
    def test_whatever_comes(self, made: pdu.Reply, size: int) -> None:
        """Each form of a reply gives the same, or is refused."""
        self.parser.register_response_pattern("it", [("all", "bytes", size)])
        found = []
        for response, form in ((encode_adu(9, made.encode()), "auto"), (made.encode(), "pdu")):
            try:
                found.append(self.parser.parse_response("it", response, form=form))  # type: ignore[arg-type]
            except (ModbusException, RequestError) as error:
                found.append({type(error).__name__: b""})
        self.assertEqual(found[0], found[1])


class Fields(Case):
    """Types, what else they are called, and how many bytes they take."""

    def test_every_number(self) -> None:
        for kind in KINDS:
            registers = encode(5, kind)
            self.assertEqual(self.parsed([("one", kind)], read_reply(*registers)), {"one": 5}, kind)
            self.assertEqual(self.parsed([("one", kind, 2 * registers_of(kind))], read_reply(*registers)), {"one": 5})

    def test_other_names(self) -> None:
        for word, length, data, value in (
            ("uint16", 2, b"\xff\xff", 65535), ("INT16", 2, b"\xff\xff", -1), ("float32", 4, b"\x3f\xc0\0\0", 1.5),
            ("int", 1, b"\xff", -1), ("int", 4, b"\xff" * 4, -1), ("uint", 8, b"\xff" * 8, 2**64 - 1),
            ("float", 4, b"\x3f\xc0\0\0", 1.5), (float, 8, b"\x3f\xf8" + bytes(6), 1.5), (int, 2, b"\xff\xff", -1),
            (str, 4, b"AB\0\0", "AB"), ("text", 4, b"AB  ", "AB"), (bytes, 3, b"\0\1\2", b"\0\1\2"),
            (bool, 1, b"\2", True), ("byte", 1, b"\xff", 255), ("int8", 1, b"\x80", -128), ("raw", 1, b"x", b"x"),
            ("double", 8, bytes(8), 0.0),
            ("bits", 2, b"\x80\x01", ("bit0", "bit15")), ("bool", 2, b"\0\0", False),
            ("bits", 4, b"\0\1\0\0", ("bit16",)),
        ):
            self.assertEqual(self.parsed([("one", word, length)], data, form="data"), {"one": value}, (word, length))

    def test_coils(self) -> None:
        """They fill bytes from the lowest bit on, and a byte is whole when something else follows."""
        coils = [(f"k{number}", "bool") for number in range(10)]
        states = [number % 3 == 0 for number in range(10)]
        response = encode_adu(1, pdu.ReadCoilsReply(states).encode())
        self.assertEqual(self.parsed(coils, response), {f"k{number}": state for number, state in enumerate(states)})
        mixed = [("a", "bool"), ("b", {"type": "bool", "enum": {0: "shut", 1: "open"}}), ("n", "u8"), ("c", "coil")]
        self.assertEqual(self.parsed(mixed, b"\x02\x09\x01"), {"a": False, "b": "open", "n": 9, "c": True})

    def test_codecs_and_their_keys(self) -> None:
        keys = {
            "temperature": {"type": "i16", "scale": 0.1}, "mode": {"enum": {0: "off", 1: "eco"}},
            "total": ValueCodec(type="u32", word_order="little"), "serial": {"type": "string", "length": 2},
            "alarms": {"type": "bits", "bits": {0: "hot"}}, "running": {"type": "bool", "bit": 8}, "plain": "u16",
            "small": {"type": "i8", "scale": 0.5}, "long": ("bytes", 1), "default": {},
        }
        data = bytes.fromhex("ffd8 0001 0002 0001 4142 4300 0003 0100 0007 fe 55 0009")
        values = {
            "temperature": -4.0, "mode": "eco", "total": 65538, "serial": "ABC", "alarms": ("hot", "bit1"),
            "running": True, "plain": 7, "small": -1.0, "long": b"U", "default": 9,
        }
        self.assertEqual(self.parsed(keys, data), values)
        self.assertEqual(self.parsed(list(keys.items()), data), values)
        self.assertEqual(self.parsed([("v", ValueCodec(type="u32"), 4)], bytes(4)), {"v": 0})

    def test_passed_over(self) -> None:
        pattern = [("a", "u8"), (None, "bytes", 3), ("b", "u8"), (None, "u8")]
        self.assertEqual(self.parsed(pattern, b"\1...\2."), {"a": 1, "b": 2})

    def test_replaced(self) -> None:
        self.parsed(METER, bytes(10))
        self.assertEqual(self.parsed([("a", "u8")], b"\1"), {"a": 1})


class WrongPatterns(SynchronousTestCase):
    """Each wrong field with its path and a sentence, all at once."""

    def faults(self, pattern: Any) -> tuple[str, ...]:
        error = self.assertRaises(ConfigError, ResponseParser().register_response_pattern, "it", pattern)
        faults: tuple[str, ...] = error.faults
        return faults

    def test_each(self) -> None:
        cases: list[tuple[Any, str, str]] = [
            ([("a", "u17")], "it.a", "there is no type 'u17'; did you mean 'u16'?"),
            ([("a", 5)], "it.a", "there is no type 5; known are bool, u8"),
            ([("a", "u16", 4)], "it.a", "u16 takes 2 bytes, not 4; u32 takes 4"),
            ([("a", "f32", 8)], "it.a", "f64 takes 8"), ([("a", "u16", 3)], "it.a", "u16 takes 2 bytes, not 3"),
            ([("a", "u8", 2)], "it.a", "u8 takes 1 byte, not 2"),
            ([("a", "int")], "it.a", "1, 2, 4, 8 bytes, not None"),
            ([("a", "float", 2)], "it.a", "4, 8 bytes, not 2"), ([("a", "string")], "it.a", "a string needs a length"),
            ([("a", "string", 5)], "it.a", "type bytes can"), ([("a", "bytes")], "it.a", "bytes need a length"),
            ([("a", "bool", 4)], "it.a", "bits are more"), ([("a", "bits", 3)], "it.a", "type bytes can"),
            ([("a", "u16", 0)], "it.a", "1 to 252 bytes, not 0"), ([("a", "u16", True)], "it.a", "not True"),
            ([("a", "u16", "2")], "it.a", "not '2'"), ([("a", ValueCodec(type="bool"), 1)], "it.a", "one bit"),
            ([("a", ValueCodec(type="u32"), 2)], "it.a", "u32 takes 4 bytes, not 2; u16 takes 2"),
            ([("a", ValueCodec(bit=3))], "it.a.bit", "means nothing for u16"),
            ([("a", {"type": "u16", "scal": 3})], "it.a", "did you mean 'scale'?"),
            ([("a", {"scale": 0})], "it.a.scale", "any number but 0"),
            ({"a": {"scale": "1"}}, "it.a.scale", "a number"),
            ({"a": {"type": "bytes"}}, "it.a", "bytes have no keys"),
            ({"a": {"type": "u8", "bit": 3}}, "it.a.bit", "u16"),
            ({"a": {"type": "u8", "enum": {256: "x"}}}, "it.a.enum.256", "u8 holds 0 to 255"),
            ({"a": {"type": "i8", "enum": {128: "x"}}}, "it.a.enum.128", "i8 holds -128 to 127"),
            ({"a": {"type": "u8", "low": 300}}, "it.a.low", "300 is above high, 255"),
            ([("a", "u8"), ("a", "u8")], "it.a", "of that name already"), ([(5, "u8")], "it.5", "a name is a text"),
            (["a"], "it[0]", "expected (name, type) or (name, type, bytes), got 'a'"),
            ([("a",)], "it[0]", "got ('a',)"),
            ([("", "u8")], "it[0]", "expected (name, type)"), ([(None, "u9")], "it[0]", "no type 'u9'"),
            ("u16", "it", "expected a list of (name, type, bytes), or a mapping, got 'u16'"), (7, "it", "got 7"),
            ([], "it", "1 to 252 bytes of data, these fields have 0"),
            ([(f"f{number}", "f64") for number in range(32)], "it", "have 256"),
        ]
        for pattern, path, words in cases:
            (fault,) = self.faults(pattern)
            self.assertTrue(fault.startswith(path), fault)
            self.assertIn(words, fault)

    def test_all_at_once(self) -> None:
        faults = self.faults([("a", "u17"), ("b", "u16"), "c", ("d", {"scale": 0, "low": 3, "high": 1, "bit": 1})])
        self.assertEqual([fault.partition(": ")[0] for fault in faults], ["it.a", "it[2]", "it.d.bit", "it.d.scale"])


class Written(Case):
    """The registers that hold the values of a pattern."""

    def made(self, pattern: Any, values: Any, current: Any = None) -> tuple[int, ...]:
        self.parser.register_response_pattern("it", pattern)
        return self.parser.make_registers("it", values, current)

    def test_all_fields(self) -> None:
        self.assertEqual(self.made(METER, METER_VALUES), METER_REGISTERS)
        pattern = [("a", "u8"), ("b", "i8"), ("c", "bytes", 2), (None, "u16"), ("d", "bool", 2), ("e", {"scale": 0.1})]
        values = {"a": 255, "b": -128, "c": b"xy", "d": True, "e": 21.5}
        registers = self.made(pattern, values)
        self.assertEqual(registers, (0xFF80, 0x7879, 0, 1, 215))
        self.assertEqual(self.parser.parse_response("it", read_reply(*registers)), values)

    def test_some_fields(self) -> None:
        self.assertEqual(self.made(METER, {"mode": 9}, METER_REGISTERS), (*METER_REGISTERS[:4], 9))
        bits = [("run", {"type": "bool", "bit": 0}), ("alarms", {"type": "bits", "bits": {1: "hot"}})]
        self.assertEqual(self.made(bits, {"run": True, "alarms": ()}, (0x8000, 0x8002)), (0x8001, 0x8000))
        coils = [("a", "bool"), ("b", "bool"), ("c", "u8")]
        self.assertEqual(self.made(coils, {"a": True}, (0xF60F,)), (0xF70F,))
        self.assertEqual(self.made(coils, {"a": True, "b": True, "c": 2}), (0x0302,))

    def test_refused(self) -> None:
        cases: list[tuple[Any, Any, Any, str]] = [
            (METER, {"mode": 1}, None, "it: voltage, power must have a value too"),
            (METER, {"mod": 1}, METER_REGISTERS, "it has no field 'mod'; did you mean 'mode'?"),
            (METER, {"mode": 70000}, METER_REGISTERS, "mode: 70000 does not fit: u16 holds 0 to 65535"),
            (METER, {"mode": 1}, (1, 2), "it has 5 registers, current has 2"),
            (METER, {"mode": 1}, (1, 2, 3, 4, 70000), "0 to 65535"),
            (METER, {"mode": 1}, (1, 2, 3, 4, "x"), "0 to 65535"),
            ([("a", "u8")], {"a": 1}, None, "1 bytes are no whole number of registers"),
            ([("a", "i8"), ("b", "u8")], {"a": 200, "b": 0}, None, "a: 200 is not from -128 to 127"),
            ([("a", "bytes", 2)], {"a": b"x"}, None, "a: b'x' is not bytes, 2 of them"),
            ([("a", "bytes", 2)], {"a": "xy"}, None, "a: 'xy' is not bytes"),
            ([("a", {"type": "bool", "bit": 3})], {"a": True}, None, "a: to write one bit, the register as it is"),
        ]
        for pattern, values, current, words in cases:
            self.assertIn(words, str(self.assertRaises(RequestError, self.made, pattern, values, current)))
        self.assertRaises(UnknownName, self.parser.make_registers, "other", {})

    @FEW
    @given(st.lists(st.sampled_from([*KINDS, "bits", "u8", "i8"]), min_size=1, max_size=6), st.data())
    def test_back(self, kinds: list[str], data: st.DataObject) -> None:
        """What was read is written as it was."""
        self.parser.register_response_pattern("it", [(f"f{number}", kind) for number, kind in enumerate(kinds)]
                                              + [(None, "u8")] * (sum(kind in ("u8", "i8") for kind in kinds) % 2))
        size = self.parser._pattern("it").size // 2
        registers = tuple(data.draw(st.lists(WORDS, min_size=size, max_size=size)))
        values = self.parser.parse_response("it", read_reply(*registers))
        finite = {name: value for name, value in values.items() if value == value and abs(_size(value)) < float("inf")}
        self.assertEqual(self.parser.make_registers("it", finite, registers), registers)


def _size(value: Any) -> float:
    return value if isinstance(value, float) else 0.0
