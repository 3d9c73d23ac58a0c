"""How a value lies in the entries of a table, both ways, floor 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from attrs import Factory, field, frozen

from lumina_twisted.modbus.registers import ByteOrder, Encoding, WordOrder, registers_of

Value = bool | int | float | str | tuple[str, ...]
"""A coil or a single bit; a number; a text or the word of a number; the names of the bits that are set."""
ValueType = Literal["bool", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "string", "bits"]
_ONE_ENTRY: Final = ("bool", "u16", "i16")


@frozen(kw_only=True)
class ValueCodec:
    """How a value lies in registers, or in a coil or a discrete input.

    :param length: registers of a string, two characters each, or of ``bits``.
    :param bit: which bit of a register a ``bool`` is, 0 the lowest; None for a coil or a discrete input.
    :param bits: names by bit, 0 the lowest of the last register.
    :param enum: words by number.
    :param scale: ``value = number * scale + offset``.
    :param low: the lowest value that may be written, and ``high`` the highest.
    """

    type: ValueType = "u16"
    word_order: WordOrder = "big"
    byte_order: ByteOrder = "big"
    length: int | None = None
    encoding: Encoding = "ascii"
    bit: int | None = None
    bits: Mapping[int, str] = field(default=Factory(dict))
    enum: Mapping[int, str] = field(default=Factory(dict))
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None

    @property
    def width(self) -> int:
        """How many entries it takes."""
        if self.type in _ONE_ENTRY:
            return 1
        if self.type in ("string", "bits"):
            return self.length or 1
        return registers_of(self.type)
