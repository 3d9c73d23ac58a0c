"""The arguments for the place and the encoding of a value, floor 5: port, unit, table, address and type."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from typing import Any, Final

from attrs import frozen

from lumina_twisted.cli.arguments import UsageError, bounded, chosen, whole
from lumina_twisted.client.aio import LuminaModbusClient, ModbusTcpClient, Unit
from lumina_twisted.modbus.functions import MAX_READ_BITS, MAX_READ_REGISTERS
from lumina_twisted.modbus.registers import KINDS, decode, decode_text, encode, encode_text, registers_of
from lumina_twisted.priority import MAX_AGE, PRIORITIES
from lumina_twisted.text import ON_OFF, nearest, shortest_f32

LAST_ADDRESS: Final = 65535
TYPES: Final = (*KINDS, "string", "hex", "bits")
"""The forms in which registers can be shown. Only numbers and strings can be written."""
_TERMS: Final = ("baudrate", "parity", "stopbits", "retries", "priority", "max_age")
"""The options of one request that Modbus TCP cannot carry."""
_REGISTER: Final = re.compile(r"(?P<table>[0134])((?<!0)[xX])?(?P<number>(?!0+$)\d{4,5})")
"""A number of the data model, such as 400001 or 4x0001. 0x10000 is not one; it is an address that is too large."""


@frozen
class Table:
    """One table of a device.

    :param digit: the first digit of its register numbers in the data model.
    :param method: the name of the client's method that reads it.
    """

    name: str
    digit: str
    method: str
    is_bits: bool
    is_writable: bool

    @property
    def limit(self) -> int:
        """The most entries of one read."""
        return MAX_READ_BITS if self.is_bits else MAX_READ_REGISTERS


TABLES: Final = (
    Table("coil", "0", "read_coils", True, True), Table("discrete", "1", "read_discrete_inputs", True, False),
    Table("holding", "4", "read_holding_registers", False, True),
    Table("input", "3", "read_input_registers", False, False),
)
_TABLE_NAMES: Final = tuple(one.name for one in TABLES)
_TABLE_OF: Final = {one.name: one for one in TABLES} | {
    long.removesuffix(end): one for one in TABLES for long in (one.method[5:].replace("_", "-"),) for end in ("", "s")
}


def table(text: str) -> Table:
    """The table of that name, such as ``holding``, ``holding-register`` or ``holding-registers``.

    :raises UsageError: if there is no such table.
    """
    found = _TABLE_OF.get(text.lower())
    if found is None:
        near = nearest(text, _TABLE_NAMES)
        all_of_them = "" if _TABLE_NAMES[-1] in near else f" (tables are {', '.join(_TABLE_NAMES)})"
        raise UsageError(f"there is no table {text!r}; {near}{all_of_them}")
    return found


def _is_table(text: str) -> bool:
    return text.lower() in _TABLE_OF


def address(text: str) -> int:
    """A 0-based address.

    :raises UsageError: for a data model number such as 400001, which is no address.
    """
    try:
        value = whole(text)
    except ValueError:
        value = -1
    if 0 <= value <= LAST_ADDRESS:
        return value
    if match := _REGISTER.fullmatch(text):
        name = next(one.name for one in TABLES if one.digit == match["table"])
        raise UsageError(
            f"{text} is a register number; write `{name} {int(match['number']) - 1}`, addresses begin at 0"
        )
    raise UsageError(f"{text!r} is no address; give a number from 0 to {LAST_ADDRESS}, as 16 or 0x10")


def add_terms(parser: argparse.ArgumentParser, reads: bool = False) -> None:
    """The options of one request: serial settings, retries, priority, and the maximum age of a value.

    :param reads: whether the command reads, and so can accept an older value.
    """
    group = parser.add_argument_group("serial settings, if they differ from the port's own")
    group.add_argument("--baudrate", type=bounded(1, 10_000_000, "baud rate"), metavar="BAUD")
    group.add_argument("--parity", **chosen(tuple("NEOMS"), "parity", str.upper), metavar="N|E|O|M|S")
    group.add_argument("--stopbits", **chosen((1, 2), "number of stop bits", int), metavar="1|2")
    group.add_argument(
        "--retries", type=bounded(0, 100, "number of retries"), metavar="N",
        help="how often to ask again; for a write, anything but 0 allows that it is carried out more than once",
    )
    group = parser.add_argument_group("turns, if they differ from the listener's own")
    priority = chosen(PRIORITIES, "priority", str.lower)
    group.add_argument("--priority", **priority, metavar="high|normal|low", help="what goes first on a busy bus")
    if reads:
        group.add_argument(
            "--max-age", type=bounded(0, MAX_AGE, "age", float), metavar="SECONDS",
            help="how old a value may be that answers this; 0: it is read anew",
        )


def add_port(parser: argparse.ArgumentParser, names_port: Callable[[list[str]], bool]) -> None:
    """Adds the argument PORT.

    :param names_port: whether positional arguments begin with a port although the server speaks Modbus TCP.
    """
    parser.set_defaults(names_port=names_port)
    parser.add_argument(
        "port", metavar="PORT",
        help="name or path of a port; `lumina ports` tells which there are; left out with --url modbus://…",
    )


def add_place(parser: argparse.ArgumentParser) -> None:
    """Adds port, unit, table and address, and the options for the encoding of values in registers."""
    add_port(parser, _names_port)
    parser.add_argument("unit", metavar="UNIT", type=_unit, help="unit identifier, 1 to 247")
    parser.add_argument("table", metavar="TABLE", type=table, help="coil, discrete, holding or input")
    parser.add_argument("address", metavar="ADDRESS", type=address, help="address, from 0, decimal or as 0x10")
    group = parser.add_argument_group("values in registers")
    group.add_argument("--type", choices=TYPES, metavar="TYPE", help=f"{', '.join(TYPES)} (u16)")
    orders = chosen(("big", "little"), "order")
    group.add_argument("--word-order", **orders, metavar="big|little", help="which word is first (big)")
    group.add_argument("--byte-order", **orders, metavar="big|little", help="which byte of a word (big)")
    group.add_argument("--length", type=bounded(1, 125, "length"), metavar="N", help="registers of a string")
    encodings = chosen(("ascii", "utf-8", "latin-1"), "encoding")
    group.add_argument("--encoding", **encodings, metavar="NAME",
                       help="of a string: ascii, utf-8, latin-1 (ascii)")


def _names_port(positional: list[str]) -> bool:
    """Whether the arguments are PORT UNIT TABLE, and not UNIT TABLE."""
    if any(map(_is_table, positional[1:2])):
        return False
    return any(map(_is_table, positional[2:3])) or not positional[0].isdecimal()


def _unit(text: str) -> int:
    if text in _TABLE_NAMES:
        raise UsageError(f"PORT or UNIT is missing before {text!r}; write PORT UNIT TABLE ADDRESS, as demo1 1 input 0")
    unit: int = bounded(0, 255, "unit")(text)
    return unit


def check(options: Any) -> None:
    """Sets the defaults of missing options.

    :raises UsageError: if options contradict each other.
    """
    if options.table.is_bits:
        why = f"a {options.table.name} is on or off"
        _refuse(options, why, "type", "word_order", "byte_order", "length", "encoding")
    options.type = options.type or "u16"
    if options.length and options.type != "string":
        raise UsageError(f"--length is for strings; write --type string, or --count for more than one {options.type}")
    if options.type == "string":
        _refuse(options, "a string begins with its first register", "word_order")
    else:
        _refuse(options, f"{options.type} is a number", "encoding")
    options.word_order = options.word_order or "big"
    options.byte_order = options.byte_order or "big"
    options.encoding = options.encoding or "ascii"


def _refuse(options: Any, why: str, *keys: str) -> None:
    for key in keys:
        if getattr(options, key):
            raise UsageError(f"{why} and has no {key.replace('_', ' ')}; leave out {_option(key)}")


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def check_range(start: int, entries: int, remedy: str) -> None:
    """Checks that a range does not go beyond the last address.

    :raises UsageError: if it does.
    """
    if start + entries > LAST_ADDRESS + 1:
        raise UsageError(f"{entries} entries from {start} on go beyond address {LAST_ADDRESS}; {remedy}")


def check_port(options: Any) -> None:
    """Refuses an empty PORT, for example from an unset shell variable. A server would use its first port.

    :raises UsageError: if PORT is empty.
    """
    if not options.port:
        raise UsageError("PORT is empty; `lumina ports` tells which there are")


def check_modbus(options: Any) -> None:
    """Refuses terms that Modbus TCP cannot carry.

    :raises UsageError: if there are any.
    """
    for key in _TERMS:
        if getattr(options, key, None) is not None:
            raise UsageError(
                f"a request over Modbus TCP has no {_option(key)}; leave it out, the gateway has its own"
            )


def terms_of(options: Any) -> dict[str, Any]:
    """The terms of a request that the options give."""
    return {"timeout": options.timeout, **{key: getattr(options, key, None) for key in _TERMS}}


def unit_of(client: LuminaModbusClient | ModbusTcpClient, options: Any) -> Unit:
    """The unit that the options name.

    :raises UsageError: if the options have terms that Modbus TCP cannot carry.
    """
    if isinstance(client, ModbusTcpClient):
        check_modbus(options)
        return client.unit(options.unit, options.timeout)
    check_port(options)
    return client.port(options.port, **terms_of(options)).unit(options.unit)


def width(options: Any) -> int:
    """The number of registers of one value."""
    if options.type == "string":
        return int(options.length)
    return 1 if options.type in {"hex", "bits"} else registers_of(options.type)


def decoded(words: tuple[int, ...], options: Any) -> Any:
    """The value in registers, in the form that ``--type`` names."""
    if options.type == "string":
        return decode_text(words, options.encoding, options.byte_order)
    if options.type == "hex":
        return f"{words[0]:04X}"
    if options.type == "bits":
        return f"{words[0]:016b}"
    value = decode(words, options.type, options.word_order, options.byte_order)
    return shortest_f32(value) if options.type == "f32" else value


def encoded(texts: list[str], options: Any) -> list[int]:
    """The registers that hold the typed values.

    :raises UsageError: if a text is no value of the type.
    :raises RequestError: if a value does not fit.
    """
    if options.type == "string":
        text = " ".join(texts)
        if not text and not options.length:
            raise UsageError("an empty string takes no register; write --length REGISTERS to fill so many with NUL")
        length = options.length or (len(text.encode(options.encoding, "replace")) + 1) // 2
        return list(encode_text(text, length, options.encoding, options.byte_order))
    if options.type == "bits":
        raise UsageError("bits can be read only; write the register as a number, as 0x0005")
    kind = "u16" if options.type == "hex" else options.type
    values = (_number(text, options.type) for text in texts)
    return [word for value in values for word in encode(value, kind, options.word_order, options.byte_order)]


def _number(text: str, kind: str) -> float:
    if kind == "hex":
        if not re.fullmatch(r"(0x)?[0-9a-f]{1,4}", text, re.IGNORECASE):
            raise UsageError(f"{text!r} is no register in hex; write up to four digits, as 1F or 0x1F")
        return int(text, 16)
    try:
        value = _fraction(text) if kind[0] == "f" else whole(text)
    except ValueError:
        hint = "; for fractions write --type f32" if "." in text else ""
        raise UsageError(f"{text!r} is no {kind}{hint}") from None
    if math.isinf(value) and "inf" not in text.lower():
        raise UsageError(f"{text} is too large for {kind}")
    return value


def _fraction(text: str) -> float:
    if "_" in text or not text.isascii():
        raise ValueError(text)  # Python's float() would accept 1_0 as 10
    return float(text)


def states(texts: list[str]) -> list[bool]:
    """The typed states of coils.

    :raises UsageError: if a text is no state.
    """
    for text in texts:
        if text.lower() not in ON_OFF:
            raise UsageError(f"{text!r} is no state of a coil; write on or off")
    return [ON_OFF[text.lower()] for text in texts]
