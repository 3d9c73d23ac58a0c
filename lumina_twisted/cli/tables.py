"""The four tables and the types of values as words of the command line, floor 5."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from attrs import frozen

from lumina_twisted.cli.parser import UsageError, whole
from lumina_twisted.modbus.functions import MAX_READ_BITS, MAX_READ_REGISTERS
from lumina_twisted.modbus.registers import KINDS, decode, decode_text, encode, encode_text, registers_of
from lumina_twisted.text import ON_OFF, nearest, shortest_f32


@frozen
class Table:
    """One table of a device.

    :param read: name of the client's method that reads it.
    :param limit: entries of one read at most.
    """

    name: str
    read: str
    is_bits: bool
    is_writable: bool

    @property
    def limit(self) -> int:
        """Entries of one read at most."""
        return MAX_READ_BITS if self.is_bits else MAX_READ_REGISTERS


TABLES: Final = (
    Table("coil", "read_coils", True, True), Table("discrete", "read_discrete_inputs", True, False),
    Table("holding", "read_holding_registers", False, True), Table("input", "read_input_registers", False, False),
)
_WORDS: Final = {
    word: table
    for table, words in zip(
        TABLES,
        (
            ("coil", "coils"), ("discrete", "discrete-input", "discrete-inputs"),
            ("holding", "holding-register", "holding-registers"), ("input", "input-register", "input-registers"),
        ),
        strict=True,
    )
    for word in words
}
TYPES: Final = (*KINDS, "string", "hex", "bits")
"""How registers can be shown; only the numbers and the string can be written."""


def table(text: str) -> Table:
    """The table of that name.

    :raises UsageError: if there is none.
    """
    found = _WORDS.get(text.lower())
    if found is None:
        names = [one.name for one in TABLES]
        near = nearest(text, names)
        all_of_them = "" if names[-1] in near else f" (tables are {', '.join(names)})"
        raise UsageError(f"there is no table {text!r}; {near}{all_of_them}")
    return found


def is_table(text: str) -> bool:
    """Whether there is a table of that name."""
    return text.lower() in _WORDS


def decoded(words: tuple[int, ...], options: Any) -> Any:
    """Registers as the value that ``--type`` asks for."""
    if options.type == "string":
        return decode_text(words, options.encoding, options.byte_order)
    if options.type == "hex":
        return f"{words[0]:04X}"
    if options.type == "bits":
        return f"{words[0]:016b}"
    value = decode(words, options.type, options.word_order, options.byte_order)
    return shortest_f32(value) if options.type == "f32" else value


def width(options: Any) -> int:
    """Registers of one value."""
    if options.type == "string":
        return int(options.length)
    return 1 if options.type in {"hex", "bits"} else registers_of(options.type)


def encoded(texts: list[str], options: Any) -> list[int]:
    """The registers that hold the values typed.

    :raises UsageError: if one is no value of the type.
    :raises RequestError: if one does not fit.
    """
    if options.type == "string":
        text = " ".join(texts)
        if not text and not options.length:
            raise UsageError("an empty string takes no register; write --length REGISTERS to fill so many with NUL")
        length = options.length or (len(text.encode(options.encoding, "replace")) + 1) // 2
        return list(encode_text(text, length, options.encoding, options.byte_order))
    if options.type == "bits":
        raise UsageError("bits can be read only; write the register as a number, as 0x0005")
    words: list[int] = []
    for text in texts:
        kind = "u16" if options.type == "hex" else options.type
        words += encode(_number(text, options.type), kind, options.word_order, options.byte_order)
    return words


def _number(text: str, kind: str) -> float:
    if kind == "hex":
        return _hexadecimal(text)
    try:
        value = _fraction(text) if kind[0] == "f" else whole(text)
    except ValueError:
        hint = "; for fractions write --type f32" if "." in text else ""
        raise UsageError(f"{text!r} is no {kind}{hint}") from None
    if math.isinf(value) and "inf" not in text.lower():
        raise UsageError(f"{text} is too large for {kind}")
    return value


def _hexadecimal(text: str) -> int:
    if not re.fullmatch(r"(0x)?[0-9a-f]{1,4}", text, re.IGNORECASE):
        raise UsageError(f"{text!r} is no register in hex; write up to four digits, as 1F or 0x1F")
    return int(text, 16)


def _fraction(text: str) -> float:
    if "_" in text or not text.isascii():
        raise ValueError(text)  # Python would take 1_0 for 10
    return float(text)


def states(texts: list[str]) -> list[bool]:
    """The states typed for coils.

    :raises UsageError: if one is none.
    """
    for text in texts:
        if text.lower() not in ON_OFF:
            raise UsageError(f"{text!r} is no state of a coil; write on or off")
    return [ON_OFF[text.lower()] for text in texts]
