"""How a value lies in the entries of a table, both ways, floor 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final, Literal

from attrs import Factory, field, frozen

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.registers import ByteOrder, Encoding, WordOrder, registers_of
from lumina_twisted.modbus.values.bits import Bits, Flag
from lumina_twisted.modbus.values.faults import faults_of
from lumina_twisted.modbus.values.number import Number
from lumina_twisted.modbus.values.text import Text
from lumina_twisted.modbus.values.value import Layout, Value, Words

__all__ = ["NO_VALUE", "Value", "ValueCodec", "ValueType"]

ValueType = Literal["bool", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "string", "bits"]
_ONE_ENTRY: Final = ("bool", "u16", "i16")
NO_VALUE: Final = "-"
"""What stands for a value that nobody has read yet."""


@frozen(kw_only=True)
class ValueCodec:
    """How a value lies in registers, or in a coil or a discrete input.

    One that is made wrong is made all the same, so that who reads descriptions can tell all its :meth:`faults`; it
    then neither reads nor writes.

    :param word_order: of a number, or of ``bits``; a string is in reading order.
    :param length: registers of a string, two characters each, or of ``bits``.
    :param bit: which bit of a register a ``bool`` is, 0 the lowest; None for a coil, a discrete input, or a register
        that is 0 or not.
    :param bits: names by bit, 0 the lowest of the last register.
    :param enum: words by number, as it stands in the register.
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

    @property
    def needs_current(self) -> bool:
        """Whether a write must know the registers as they are, because it changes only some of their bits."""
        return self._layout.needs_current

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it: each a key, such as ``bit`` or ``enum.3``, and a sentence."""
        return faults_of(self)

    def decode(self, entries: Sequence[int]) -> Value:
        """The value that these entries hold.

        :return: the word of a number that has one; else, of a whole type without scale and offset, an int; a float of
            any other number; True or False; a text up to its first NUL and without blanks at its end; or the names of
            the bits that are set, lowest first.
        :raises RequestError: if they are not as many as it takes, or no entries.
        """
        return self._layout.decode(entries)

    def encode(self, value: object, current: Sequence[int] | None = None) -> tuple[int, ...]:
        """The entries that hold ``value``.

        :param value: what :meth:`decode` gives; 0 and 1 will do for a ``bool``, a number for its word, any list of
            names for ``bits``.
        :param current: the registers as they are, if :attr:`needs_current`.
        :raises RequestError: if it does not fit, with a sentence that says how.
        """
        return self._layout.encode(value, current)

    def agrees(self, held: Sequence[int], written: Sequence[int], tolerance: float = 0.0) -> bool:
        """Whether a device that holds ``held`` has taken ``written``, which :meth:`encode` gave.

        They are compared as they stand in the registers. Of a whole number, its word, a bit or a text, both must be
        the same; of a bit or of named bits, only those bits count that were written. An f32 counts as the same to six
        digits and an f64 to fifteen, which is what each surely keeps: a device that computes 213 * 0.1 holds
        21.300001.

        :param tolerance: by how much a number may differ all the same, in the unit of the value.
        :raises RequestError: if they are not as many as it takes, or no entries.
        """
        return self._layout.agrees(held, written, tolerance)

    def parse(self, text: str) -> Value:
        """What a person typed: ``on``, ``65.5``, ``0x1F``, ``eco``, ``alarm,door``, ``none`` for no bit.

        :raises RequestError: if it cannot be meant. Whether it fits, only :meth:`encode` says.
        """
        return self._layout.parse(text)

    def format(self, value: Value | None) -> str:
        """A value as a person reads it, and :meth:`parse` takes it; ``-`` for None."""
        return NO_VALUE if value is None else self._layout.format(value)

    @cached_property
    def _layout(self) -> Layout:
        for key, sentence in self.faults():
            raise RequestError(f"this value cannot be read or written: {key}: {sentence}")
        if self.type == "bool":
            return Flag(self.bit, self.byte_order, Words(self.enum))
        if self.type == "bits":
            return Bits(self.width, self.word_order, self.byte_order, self.bits)
        if self.type == "string":
            return Text(self.width, self.encoding, self.byte_order)
        return Number(
            self.type, self.word_order, self.byte_order, scale=self.scale, offset=self.offset,
            words=Words(self.enum), low=self.low, high=self.high,
        )
