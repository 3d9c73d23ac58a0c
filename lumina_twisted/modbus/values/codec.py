"""How a value lies in the entries of a table, for reads and writes, and the faults of such a description. Floor 0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal

from attrs import Factory, field, fields_dict, frozen

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.functions import MAX_READ_REGISTERS
from lumina_twisted.modbus.registers import KINDS, ByteOrder, Encoding, WordOrder, registers_of
from lumina_twisted.modbus.values.bits import NOTHING_SET, Bits, Flag
from lumina_twisted.modbus.values.number import Number, typed_number
from lumina_twisted.modbus.values.value import Layout, Text, Value, Words, nearest
from lumina_twisted.text import brief

__all__ = ["NO_VALUE", "Value", "ValueCodec", "ValueType"]

ValueType = Literal["bool", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "string", "bits"]
_ONE_ENTRY: Final = ("bool", "u16", "i16")
NO_VALUE: Final = "-"
"""The text for a value that was never read."""


@frozen(kw_only=True)
class ValueCodec:
    """How a value lies in registers, or in a coil or a discrete input.

    A codec with an invalid description can be made, so that :meth:`faults` can list everything that is wrong with it.
    Such a codec neither reads nor writes.

    :param word_order: of a number, or of ``bits``; a string is in reading order.
    :param length: the number of registers of a string, two characters each, or of ``bits``.
    :param bit: the bit of a register that a ``bool`` is, 0 for the lowest; None for a coil, a discrete input, or a
        register that is 0 or not.
    :param bits: names by bit; 0 is the lowest bit of the last register.
    :param enum: words by the number that the register holds.
    :param scale: ``value = number * scale + offset``.
    :param low: the lowest value that may be written; ``high`` is the highest.
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
        """How many entries a value takes."""
        if self.type in _ONE_ENTRY:
            return 1
        if self.type in ("string", "bits"):
            return self.length or 1
        return registers_of(self.type)

    @property
    def needs_current(self) -> bool:
        """Whether a write needs the present values of the registers, because it changes only some of their bits."""
        return self._layout.needs_current

    def faults(self) -> Iterator[tuple[str, str]]:
        """All faults of this description: pairs of a key, such as ``bit`` or ``enum.3``, and a sentence."""
        return _faults(self)

    def decode(self, entries: Sequence[int]) -> Value:
        """The value that these entries hold.

        :return: for a number: its word, if it has one; else an int for an integer type without scale and offset, and a
            float for any other type. For a ``bool``: its word, if it has one; else True or False. For a string: the
            text up to its first NUL, without blanks at its end. For ``bits``: the names of the bits that are set, the
            lowest first.
        :raises RequestError: if these are not :attr:`width` entries.
        """
        return self._layout.decode(entries)

    def encode(self, value: object, current: Sequence[int] | None = None) -> tuple[int, ...]:
        """The entries that hold ``value``.

        :param value: as :meth:`decode` returns it. Also allowed are 0 or 1 for a ``bool``, a number instead of its
            word, and any list of names for ``bits``.
        :param current: the present values of the registers, if :attr:`needs_current`.
        :raises RequestError: if the value does not fit, with a sentence that says why.
        """
        return self._layout.encode(value, current)

    def agrees(self, held: Sequence[int], written: Sequence[int], tolerance: float = 0.0) -> bool:
        """Whether a device that holds ``held`` has taken ``written``, which :meth:`encode` gave.

        Whole numbers, words, bits and texts must be the same. Of single or named bits, only the written ones are
        compared. An f32 may differ after its sixth digit and an f64 after its fifteenth, because they keep no more
        digits for certain: a device that computes 213 * 0.1 holds 21.300001.

        :param tolerance: how much more a number may differ, in the unit of the value.
        :raises RequestError: if these are not :attr:`width` entries.
        """
        return self._layout.agrees(held, written, tolerance)

    def parse(self, text: str) -> Value:
        """The value that a person typed: ``on``, ``65.5``, ``0x1F``, ``eco``, ``alarm,door``, ``none`` for no bit.

        :raises RequestError: if the text is no value. Only :meth:`encode` checks whether the value fits.
        """
        return self._layout.parse(text)

    def format(self, value: Value | None) -> str:
        """A value as a person reads it and as :meth:`parse` understands it; ``-`` for None."""
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


# -- faults: pairs of a key and a sentence ---------------------------------------------------------------------------

Fault = tuple[str, str]
_WHOLE: Final = tuple(kind for kind in KINDS if kind[0] != "f")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "type": ("bool", *KINDS, "string", "bits"),
    "word_order": ("big", "little"), "byte_order": ("big", "little"), "encoding": ("ascii", "utf-8", "latin-1"),
}
_ONLY_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "length": ("string", "bits"), "encoding": ("string",), "bit": ("bool",), "bits": ("bits",),
    "enum": (*_WHOLE, "bool"), "scale": KINDS, "offset": KINDS, "low": KINDS, "high": KINDS,
}


def _faults(codec: ValueCodec) -> Iterator[Fault]:
    """All faults. If a setting has no allowed word, only such faults: the other checks depend on the words."""
    wrong = list(_words(codec))
    if wrong:
        yield from wrong
        return
    yield from _misplaced(codec)
    yield from _sizes(codec)
    yield from _enum(codec)
    yield from _bits(codec)
    yield from _numbers(codec)


def _words(codec: ValueCodec) -> Iterator[Fault]:
    for key, known in _CHOICES.items():
        value = getattr(codec, key)
        if value not in known:
            yield key, f"there is no {value!r}; {nearest(str(value), known)}"


def _misplaced(codec: ValueCodec) -> Iterator[Fault]:
    """Keys that mean nothing for the type."""
    for key in _ONLY_FOR:
        if not _belongs(codec, key) and not _is_default(codec, key):
            yield key, f"means nothing for {codec.type}; it is for {', '.join(_ONLY_FOR[key])}"


def _belongs(codec: ValueCodec, key: str) -> bool:
    return codec.type in _ONLY_FOR[key]


def _is_default(codec: ValueCodec, key: str) -> bool:
    value, default = getattr(codec, key), fields_dict(type(codec))[key].default
    return not value if isinstance(value, Mapping) else bool(value == default)


def _sizes(codec: ValueCodec) -> Iterator[Fault]:
    if codec.type == "string" and codec.length is None:
        yield "length", "a string needs it: how many registers it takes, two characters each"
    if _belongs(codec, "length") and codec.length is not None and not 1 <= codec.length <= MAX_READ_REGISTERS:
        yield "length", f"expected 1 to {MAX_READ_REGISTERS} registers, got {codec.length}"
    if _belongs(codec, "bit") and codec.bit is not None and not 0 <= codec.bit <= 15:
        yield "bit", f"expected 0, the lowest bit of the register, to 15, got {codec.bit}"


def _enum(codec: ValueCodec) -> Iterator[Fault]:
    if not codec.enum or not _belongs(codec, "enum"):
        return
    yield from _names("enum", codec.enum)
    for number, word in codec.enum.items():
        if typed_number(word.strip()) is not None:
            yield f"enum.{number}", f"{word!r} is a number itself, and nobody could tell which is meant"
    if codec.type == "bool":
        if set(codec.enum) != {0, 1}:
            yield "enum", "a bool has two words, one for 0 and one for 1"
        return
    lowest, highest = Number(codec.type, "big", "big", words=Words({})).ends()
    for number in codec.enum:
        if not lowest <= number <= highest:
            yield f"enum.{number}", f"{codec.type} holds {lowest} to {highest}"


def _bits(codec: ValueCodec) -> Iterator[Fault]:
    if not _belongs(codec, "bits"):
        return
    yield from _names("bits", codec.bits)
    last = 16 * codec.width - 1
    for at, name in codec.bits.items():
        if not 0 <= at <= last:
            yield f"bits.{at}", f"expected 0, the lowest bit, to {last}"
        if "," in name or name.casefold() == NOTHING_SET:
            yield f"bits.{at}", f"expected a name without commas that is not {NOTHING_SET!r}, got {name!r}"
        if name.casefold() in {f"bit{other}" for other in range(last + 1) if other != at}:
            yield f"bits.{at}", f"{name!r} is what another bit is called that has no name"


def _names(key: str, names: Mapping[int, str]) -> Iterator[Fault]:
    """Faults of names. People type these names, so each must be distinct."""
    seen: dict[str, int] = {}
    for number, name in names.items():
        if not name or name != name.strip() or not name.isprintable():
            yield f"{key}.{number}", f"expected a word, without blanks at its ends, got {name!r}"
        elif name.casefold() in seen:
            yield f"{key}.{number}", f"{name!r} is the word of {seen[name.casefold()]} already"
        seen.setdefault(name.casefold(), number)


def _numbers(codec: ValueCodec) -> Iterator[Fault]:
    if not _belongs(codec, "scale"):
        return
    given: dict[str, Any] = {key: getattr(codec, key) for key in ("scale", "offset", "low", "high")}
    wrong = [key for key, value in given.items() if value is not None and not math.isfinite(value)]
    yield from ((key, f"expected a number, got {given[key]!r}") for key in wrong)
    if codec.scale == 0:
        yield "scale", "expected any number but 0: with 0 every register would mean the same"
    elif not wrong:
        yield from _range(codec)


def _range(codec: ValueCodec) -> Iterator[Fault]:
    try:
        lowest, highest = Number(
            codec.type, "big", "big", scale=codec.scale, offset=codec.offset, words=Words({})
        ).ends()
    except OverflowError:
        yield "scale", f"with {brief(float(codec.scale))}, {codec.type} means numbers that are too large for anybody"
        return
    low, high = codec.low, codec.high
    if low is not None and high is not None and low > high:
        yield "low", f"{brief(low)} is above high, {brief(high)}"
    holds = f"{codec.type} as scaled holds {brief(lowest)} to {brief(highest)}, so nothing could be written"
    if low is not None and low > highest:
        yield "low", holds
    if high is not None and high < lowest:
        yield "high", holds
