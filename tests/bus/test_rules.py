"""What may be asked: rules from text, what a request touches, and CommandValidator in both worlds."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access.rules import Rules, parse_rule
from lumina_twisted.errors import FrameError, RequestError
from lumina_twisted.framing.crc import append_crc
from lumina_twisted.helpers import CommandValidator
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.access import TABLES, Access
from lumina_twisted.modbus.functions import accesses
from tests.strategies import QUICK, REQUESTS

READ = bytes.fromhex("0300000002")
READS = (
    "0100000001", "0200000001", "0300000001", "0400000001", "07", "0B", "0C", "11", "14070600010000 0001", "180000",
    "2B0E0100",
)
WRITES = (
    "050000FF00", "0600000001", "080000A537", "0F000000010101", "10000000010200FF", "1509060001000000010007",
    "160000 0000 0001", "17 0000 0001 0000 0001 02 0001", "2B0D00", "41", "6600",
)
"""Every public function, and two that are not."""


class Touched(SynchronousTestCase):
    """What a request PDU does."""

    def assert_touches(self, text: str, *expected: Access) -> None:
        self.assertEqual(accesses(bytes.fromhex(text)), expected, text)

    def test_tables(self) -> None:
        for code, table in zip("1243", ("coil", "discrete", "input", "holding"), strict=True):
            self.assert_touches(f"0{code}00100003", Access(False, table, 16, 19))  # type: ignore[arg-type]
        self.assert_touches("050007FF00", Access(True, "coil", 7, 8, (1,)))
        self.assert_touches("0500070000", Access(True, "coil", 7, 8, (0,)))
        self.assert_touches("0600070102", Access(True, "holding", 7, 8, (258,)))
        self.assert_touches("0F0008000A02 0503", Access(True, "coil", 8, 18, (1, 0, 1, 0, 0, 0, 0, 0, 1, 1)))
        self.assert_touches("100008000204 0102FFFF", Access(True, "holding", 8, 10, (258, 65535)))

    def test_both_halves_of_function_23(self) -> None:
        self.assert_touches(
            "17 0001 0002 0010 0001 02 0007", Access(True, "holding", 16, 17, (7,)), Access(False, "holding", 1, 3)
        )

    def test_what_nobody_knows_beforehand(self) -> None:
        self.assert_touches("160005 00FF 0001", Access(True, "holding", 5, 6))
        self.assert_touches("160005 0000 0009", Access(True, "holding", 5, 6, (9,)))
        self.assert_touches("0500075500", Access(True, "coil", 7, 8))

    def test_a_queue_is_as_long_as_it_may_be(self) -> None:
        self.assert_touches("180064", Access(False, "holding", 100, 132))
        self.assert_touches("18FFFF", Access(False, "holding", 65535, 65536))

    def test_all_else_is_in_no_table(self) -> None:
        for text in ("07", "0B", "0C", "11", "2B0E0100", "14070600010000 0001"):
            self.assert_touches(text, Access(False, None))
        for text in ("080001FF00", "2B0D", "41", "6601", "1509060001000000010007"):
            self.assert_touches(text, Access(True, None))

    def test_what_contradicts_itself(self) -> None:
        """One device would go by the one number, another by the other."""
        for text in (
            "03000000", "0300000000", "03FFFF0002", "100000000102000700", "100000000204 0001", "100000000104 00010002",
            "0F0000000902 01", "0F000000010201FF", "17 0000 0001 0000 0002 02 0007", "17 0000 0000 0000 0001 02 0007",
            "0F00000000 00", "08",
        ):
            self.assertRaises(FrameError, accesses, bytes.fromhex(text))


def spoken(rule: str) -> str:
    """Why it is none."""
    try:
        parse_rule(rule)
    except RequestError as error:
        return str(error)
    return ""


class FromText(SynchronousTestCase):
    """Rules as they are written."""

    def test_right_ones(self) -> None:
        for text in (
            "read *", "read * holding", "READ 1 Holding 0-99", "write 2 coil 0-7,16", "write * holding 100-199 0-500",
            "write * * 5", "write * coil * 1", "any 1-20", "any 0,247-255 input 7", "function 43 *",
            "function 1-4,43 2", "write * holding * 0,65535",
        ):
            self.assertEqual(spoken(text), "", text)

    def test_numbers(self) -> None:
        rule = parse_rule("write 7,1-2 holding 8,0-3,4-5 9-9")
        self.assertEqual((rule.units, rule.addresses, rule.values), ({1, 2, 7}, ((0, 6), (8, 9)), ((9, 10),)))

    def test_wrong_ones_say_what_to_write(self) -> None:
        for text, fault in {
            "": "it begins with one of read, write, any, function; write for example 'read * holding 0-99'",
            "allow * holding": "it begins with one of read, write, any, function",
            "read": "the units are missing, * for all",
            "read holding 0-9": "'holding' is no unit, which is a number from 0 to 255, or two of them as 0-255",
            "read 256": "'256' is no unit",
            "read 9-1": "'9-1' ends before it begins",
            "read * coils": "there is no table 'coils', but coil, discrete, holding, input and * for all",
            "read * holding 65536": "'65536' is no address, which is a number from 0 to 65535",
            "read * holding -5": "'-5' is no address",
            "read * holding 5-": "'5-' is no address",
            "read * holding 1,,2": "'' is no address",
            "read * holding ²": "'²' is no address",
            "read * holding 0-9 0-5": "'0-5' is one word too many, only a write has values",
            "any * holding 0-9 0-5": "'0-5' is one word too many, only a write has values",
            "write * holding 0-9 0-5 x": "'x' is one word too many; write for example 'write 2 coil 0-7,16'",
            "write * holding 0-9 70000": "'70000' is no value",
            "write * coil 0 2": "'2' is no value, which is a number from 0 to 1",
            "write * input 5": "nobody can write input registers",
            "write * discrete": "nobody can write discrete inputs",
            "function *": "after function come its codes and the units, and nothing else; write for example"
            " 'function 43 *'",
            "function 300 *": "'300' is no function code, which is a number from 0 to 255",
        }.items():
            self.assertTrue(spoken(text).startswith(f"{text!r} is no rule: {fault}"), spoken(text))
        self.assertIn("None is no rule", spoken(None))  # type: ignore[arg-type]


class Judged(SynchronousTestCase):
    """What passes."""

    def passes(self, allow: str, text: str, unit: int = 2) -> bool:
        """Of what ``;`` parts the rules."""
        return not Rules(filter(None, allow.split("; "))).fault(unit, bytes.fromhex(text))

    def denied(self, deny: str, text: str, unit: int = 2) -> bool:
        return bool(Rules((), deny.split("; ")).fault(unit, bytes.fromhex(text)))

    def test_no_rule(self) -> None:
        for text in (*READS, *WRITES, "0300000000"):
            self.assertTrue(self.passes("", text))

    def test_every_function_is_a_read_or_a_write(self) -> None:
        for text in READS:
            self.assertTrue(self.passes("read *", text), text)
            self.assertFalse(self.denied("write *", text), text)
        for text in WRITES:
            self.assertFalse(self.passes("read *", text), text)
            self.assertTrue(self.denied("write *", text), text)
            self.assertTrue(self.passes("any *", text), text)
            self.assertTrue(self.passes("read *; write *", text), text)

    def test_by_function(self) -> None:
        for text in (*READS, *WRITES):
            code = int(text[:2], 16)
            self.assertTrue(self.passes(f"function {code} 2", text), text)
            self.assertTrue(self.denied(f"function {code} 2", text), text)
            self.assertFalse(self.passes(f"function {code} 3", text), text)
            self.assertFalse(self.denied(f"function {code + 1} 2", text), text)

    def test_tables_are_four(self) -> None:
        for table in TABLES:
            passed = [text for text in READS[:4] if self.passes(f"read * {table}", text)]
            self.assertEqual(len(passed), 1)
            self.assertFalse(self.passes(f"any * {table}", "2B0E0100"))
        self.assertFalse(self.passes("read * * 0-65535", "2B0E0100"))
        self.assertTrue(self.passes("read * * *", "2B0E0100"))

    def test_all_of_it_must_be_allowed(self) -> None:
        self.assertTrue(self.passes("read * holding 0-99", "0300600004"))
        self.assertFalse(self.passes("read * holding 0-99", "0300600005"))
        self.assertTrue(self.passes("read * holding 0-98; read * holding 99-200", "0300600005"))
        self.assertFalse(self.passes("read * holding 0-98,100-110", "0300600005"))
        self.assertFalse(self.passes("read * holding 97-200", "0300600005"))

    def test_denied_if_any_of_it_is(self) -> None:
        self.assertTrue(self.denied("read * holding 100", "0300600005"))
        self.assertFalse(self.denied("read * holding 101", "0300600005"))
        self.assertFalse(self.denied("read 3 holding 100", "0300600005"))

    def test_deny_wins(self) -> None:
        rules = Rules(["any *"], ["write 2 holding 5"])
        self.assertEqual(rules.fault(2, bytes.fromhex("0600060001")), "")
        self.assertEqual(
            rules.fault(2, bytes.fromhex("10000400020400010002")),
            "setting holding register 5 of unit 2 to 2 is denied by the rule 'write 2 holding 5'",
        )

    def test_function_23_is_both(self) -> None:
        both = "17 0001 0002 0010 0001 02 0007"
        for half in ("read * holding 1-2", "write * holding 16"):
            self.assertFalse(self.passes(half, both))
            self.assertTrue(self.denied(half, both))
        self.assertTrue(self.passes("read * holding 1-2; write * holding 16", both))

    def test_values(self) -> None:
        rule = "write * holding 0-9 0-500"
        self.assertTrue(self.passes(rule, "06000001F4"))
        self.assertFalse(self.passes(rule, "06000001F5"))
        self.assertFalse(self.passes(rule, "10000000020401F401F5"))
        self.assertTrue(self.passes(f"{rule}; write * holding 1 501", "10000000020401F401F5"))
        self.assertFalse(self.passes(f"{rule}; write * holding 0 501", "10000000020401F401F5"))
        self.assertTrue(self.denied("write * holding 0-9 501-65535", "10000000020401F401F5"))
        self.assertFalse(self.denied("write * holding 0-9 502-65535", "10000000020401F401F5"))
        self.assertTrue(self.passes("write * coil * 0", "0F0000000A020000"))
        self.assertFalse(self.passes("write * coil * 0", "0F0000000A020002"))

    def test_a_value_that_nobody_knows_is_none_that_is_allowed(self) -> None:
        mask = "160000 FFFE 0001"
        self.assertFalse(self.passes("write * holding 0 0-65535", mask))
        self.assertTrue(self.passes("write * holding 0", mask))
        self.assertTrue(self.denied("write * holding 0 7", mask))
        self.assertTrue(self.denied("write * coil 7 1", "0500075500"))

    def test_broadcast_reaches_every_unit(self) -> None:
        self.assertTrue(self.denied("write 5 coil 0", "050000FF00", unit=0))
        self.assertFalse(self.denied("write 5 coil 1", "050000FF00", unit=0))
        self.assertFalse(self.passes("write 1-255", "050000FF00", unit=0))
        self.assertTrue(self.passes("write 0", "050000FF00", unit=0))
        self.assertTrue(self.passes("write *", "050000FF00", unit=0))

    def test_what_contradicts_itself_passes_no_rule(self) -> None:
        for rules in (Rules(["any *"]), Rules((), ["write 9"])):
            self.assertIn("byte count 4, which is not that", rules.fault(1, bytes.fromhex("100000000104 00010002")))

    def test_sentences(self) -> None:
        rules = Rules(["read * holding 0-9"], ["function 43 *", "write 5"])
        for unit, text, sentence in (
            (2, "0300000014", "reading holding register 10 of unit 2 is in none of the rules that allow something"),
            (2, "0400000001", "reading input register 0 of unit 2 is in none of the rules that allow something"),
            (3, "11", "function 17 to unit 3 is in none of the rules that allow something"),
            (3, "2B0E0100", "function 43 to unit 3 is denied by the rule 'function 43 *'"),
            (0, "050003FF00", "setting coil 3 of every unit to 1 is denied by the rule 'write 5'"),
            (5, "1600030F0F0000", "setting holding register 3 of unit 5 is denied by the rule 'write 5'"),
        ):
            self.assertEqual(rules.fault(unit, bytes.fromhex(text)), sentence)

    def test_what_is_remembered_is_bounded(self) -> None:
        rules = Rules(["read 1 holding 5"])
        for _ in range(2):
            for address in range(3000):
                fault = rules.fault(1, bytes((3, address >> 8, address & 255, 0, 1)))
                self.assertEqual(fault == "", address == 5)
        rules.fault(1, bytes.fromhex("0600050007"))
        told = rules._judge_again.cache_info()
        self.assertEqual((told.misses, told.currsize), (6000, told.maxsize), "reads alone, and not all of them")


PART = st.tuples(st.integers(0, 9), st.integers(0, 4)).map(lambda drawn: range(drawn[0], sum(drawn) + 1))
DRAWN = st.tuples(
    st.sampled_from(["read", "write", "any"]), PART, st.sampled_from(["holding", "coil", "*"]), PART,
    st.none() | PART.map(lambda drawn: range(drawn[0] // 9, 2)),
)


def as_text(word: str, units: range, table: str, addresses: range, values: range | None) -> str:
    """A drawn rule as it is written."""
    text = f"{word} {units[0]}-{units[-1]} {table} {addresses[0]}-{addresses[-1]}"
    return f"{text} {values[0]}-{values[-1]}" if values and word == "write" else text


class Oracle(SynchronousTestCase):
    """The same, entry by entry and rule by rule, from the decoded request."""

    def entries(self, request: pdu.Request) -> set[tuple[bool, str, int, int | None]]:
        match request:
            case pdu.ReadHoldingRegistersRequest():
                return {(False, "holding", request.address + at, None) for at in range(request.quantity)}
            case pdu.ReadCoilsRequest():
                return {(False, "coil", request.address + at, None) for at in range(request.quantity)}
            case pdu.WriteMultipleCoilsRequest():
                return {(True, "coil", request.address + at, int(one)) for at, one in enumerate(request.values)}
            case pdu.WriteMultipleRegistersRequest():
                return {(True, "holding", request.address + at, one) for at, one in enumerate(request.values)}
        raise AssertionError(request)

    def covers(self, rule: Any, unit: int, entry: tuple[bool, str, int, int | None]) -> bool:
        word, units, table, addresses, values = rule
        writes, of, at, value = entry
        fits = word == "any" or (word == "write") == writes
        held = values is None or word != "write" or value in values
        return fits and unit in units and table in ("*", of) and at in addresses and held

    @QUICK
    @given(
        st.integers(1, 9), st.integers(0, 9), st.lists(st.integers(0, 1), min_size=1, max_size=6), st.integers(0, 3),
        st.lists(DRAWN, max_size=4), st.lists(DRAWN, max_size=2),
    )
    def test_any(self, unit: int, first: int, values: list[int], kind: int, allow: Any, deny: Any) -> None:
        request: pdu.Request = (
            pdu.ReadHoldingRegistersRequest(first, len(values)), pdu.ReadCoilsRequest(first, len(values)),
            pdu.WriteMultipleCoilsRequest(first, values), pdu.WriteMultipleRegistersRequest(first, values),
        )[kind]
        rules = Rules([as_text(*one) for one in allow], [as_text(*one) for one in deny])
        entries = self.entries(request)
        allowed = not allow or all(any(self.covers(rule, unit, one) for rule in allow) for one in entries)
        denied = any(self.covers(rule, unit, one) for rule in deny for one in entries)
        self.assertEqual(rules.fault(unit, request.encode()) == "", allowed and not denied)

    @QUICK
    @given(REQUESTS)
    def test_whatever_is_well_formed_is_judged(self, request: pdu.Request) -> None:
        encoded = request.encode()
        try:
            accesses(encoded)
        except FrameError:
            self.assertGreater(request.address + 1968, 65535)  # type: ignore[attr-defined]
        else:
            self.assertEqual(Rules(["any *"]).fault(1, encoded), "")
            self.assertNotEqual(Rules(["any 2"]).fault(1, encoded), "")
            self.assertNotEqual(Rules((), ["any 1"]).fault(1, encoded), "")


class Face(SynchronousTestCase):
    """CommandValidator."""

    def setUp(self) -> None:
        self.validator = CommandValidator()

    def test_as_the_mission_prints_it(self) -> None:
        """But for its imports."""
        command_data = {"name": "x", "port": "/dev/ttyAMA2", "command": bytes.fromhex("010300000002"), "baudrate": 9600}

        async def program() -> Any:
            validator = CommandValidator()
            is_valid = await validator.validate_command(command_data)
            return is_valid  # noqa: RET504 - as it is printed

        self.assertIs(self.successResultOf(Deferred.fromCoroutine(program())), True)
        self.assertIs(asyncio.run(program()), True)

    def test_with_and_without_a_crc(self) -> None:
        body = b"\x01" + READ
        for command in (body, append_crc(body), bytearray(body), body.hex(), append_crc(body).hex(" "), b"\x01\x07"):
            self.assertIsNone(self.validator.fault(command))

    def test_malformed(self) -> None:
        for command, fault in (
            (b"", "a unit and a function code at least, not 0 bytes"), (b"\x01", "not 1 bytes"),
            (None, "bytes or hexadecimal digits"), (7, "bytes or hexadecimal digits"), ("0103zz", "hexadecimal digits"),
            ({"port": "boiler"}, "hexadecimal digits"),
            (b"\x01" + READ + b"\0\0", "wrong CRC 0000, the right one of the bytes before it is C40B; it may be"),
            (b"\x01" + READ[:-1], "a request of function 3 does not have"), (b"\x01\x03" + bytes(300), "bytes, not"),
            (b"\x01" + bytes.fromhex("0300000000"), "quantity 0 is not from 1 to 125"),
            (b"\x01\x83", "131 is not from"),
        ):
            self.assertIn(fault, self.validator.fault(command) or "", command)
            self.assertIs(self.successResultOf(self.validator.validate_command(command)), False)

    def test_patterns(self) -> None:
        self.validator.register_pattern("read * holding 0-99")
        self.validator.register_pattern("write 7", port="/dev/ttyUSB?")
        self.validator.register_pattern("any 3", port="boiler", deny=True)
        write = {"command": bytes.fromhex("070600010005")}
        self.assertIsNone(self.validator.fault(b"\x01" + READ))
        self.assertIsNone(self.validator.fault({**write, "port": "/dev/ttyUSB1"}))
        self.assertIsNone(self.validator.fault(write["command"], "/dev/ttyUSB1"))
        self.assertEqual(
            self.validator.fault({**write, "port": "boiler"}),
            "not on boiler, setting holding register 1 of unit 7 to 5 is in none of the rules that allow something",
        )
        self.assertIsNone(self.validator.fault(b"\x03" + READ, "pv"))
        self.assertEqual(
            self.validator.fault(b"\x03" + READ, "boiler"),
            "not on boiler, reading holding register 0 of unit 3 is denied by the rule 'any 3'",
        )
        self.validator.register_pattern("any 3", deny=True)
        self.assertIsNotNone(self.validator.fault(b"\x03" + READ, "pv"))

    def test_no_pattern(self) -> None:
        self.assertRaises(RequestError, self.validator.register_pattern, "read everything")
        self.assertIsNone(self.validator.fault(b"\x01" + READ))
