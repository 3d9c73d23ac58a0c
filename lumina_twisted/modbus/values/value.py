"""The type of a value, the base class of the layouts of values in entries, and texts in registers. Floor 0."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.registers import ByteOrder, Encoding, decode_text, encode_text, no_registers
from lumina_twisted.text import brief, did_you_mean

Value = bool | int | float | str | tuple[str, ...]
"""A bool for a coil or a single bit; a number; a text, or the word of a number; the names of the bits that are set."""

_MOST_NAMED: Final = 12


class Layout:
    """How values lie in entries. The methods are those of
    :class:`~lumina_twisted.modbus.values.codec.ValueCodec`, which describes them in full."""

    needs_current = False

    def decode(self, entries: Sequence[int]) -> Value:
        """The value that the entries hold."""
        raise NotImplementedError

    def encode(self, value: object, current: Sequence[int] | None) -> tuple[int, ...]:
        """The entries that hold the value."""
        raise NotImplementedError

    def agrees(self, held: Sequence[int], written: Sequence[int], tolerance: float) -> bool:
        """Whether a device that holds the entries ``held`` has taken the entries ``written``."""
        return self.decode(held) == self.decode(written)

    def parse(self, text: str) -> Value:
        """The value in a text that a person typed."""
        raise NotImplementedError

    def format(self, value: Value) -> str:
        """The value as a person reads it."""
        return str(value)


class Words:
    """Words that stand for numbers, both ways; upper and lower case do not matter.

    :param by_number: the words by number; no two may be the same.
    """

    def __init__(self, by_number: Mapping[int, str]) -> None:
        self.by_number = dict(by_number)
        self._numbers = {word.casefold(): number for number, word in by_number.items()}

    def __bool__(self) -> bool:
        return bool(self.by_number)

    def find(self, text: str) -> int | None:
        """The number of a word, in any case; None if there is no such word."""
        return self._numbers.get(text.strip().casefold())

    def number(self, text: str) -> int:
        """The number of a word, in any case.

        :raises RequestError: if there is no such word; its text names the nearest word.
        """
        number = self.find(text)
        if number is None:
            raise RequestError(f"there is no {text!r} here; {nearest(text, self.by_number.values())}")
        return number


def nearest(text: str, known: Iterable[str]) -> str:
    """The end of an error text about an unknown word: the nearest known word, or the first known words."""
    words = list(known)
    more = ", …" if len(words) > _MOST_NAMED else ""
    return did_you_mean(text, words, f"known are {', '.join(words[:_MOST_NAMED])}{more}")


class Text(Layout):
    """A text, two bytes a register. Two texts agree however they are padded.

    :param length: the number of registers.
    """

    def __init__(self, length: int, encoding: Encoding, byte_order: ByteOrder) -> None:
        self._length = length
        self._encoding = encoding
        self._byte_order = byte_order

    def decode(self, entries: Sequence[int]) -> Value:
        try:
            if len(entries) == self._length:
                return decode_text(entries, self._encoding, self._byte_order)
        except struct.error:
            pass
        raise no_registers("this text", self._length, entries)

    def encode(self, value: object, current: Sequence[int] | None) -> tuple[int, ...]:
        if not isinstance(value, str):
            raise RequestError(f"{brief(value)} is no text")
        if "\0" in value:
            raise RequestError("a NUL ends the text in a register, so it cannot stand within")
        return encode_text(value, self._length, self._encoding, self._byte_order)

    def parse(self, text: str) -> Value:
        return text
