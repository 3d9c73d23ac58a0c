"""What can be wrong with the description of a value, floor 0: each a key and a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import fields_dict

from lumina_twisted.modbus.registers import KINDS
from lumina_twisted.modbus.values.bits import NOTHING_SET
from lumina_twisted.modbus.values.number import Number, typed_number
from lumina_twisted.modbus.values.value import Words, nearest
from lumina_twisted.text import brief

if TYPE_CHECKING:
    from lumina_twisted.modbus.values.codec import ValueCodec

Fault = tuple[str, str]
MOST_REGISTERS: Final = 125
"""What one reply holds (Modbus Application Protocol V1.1b3, sections 6.3 and 6.4)."""
_WHOLE: Final = tuple(kind for kind in KINDS if kind[0] != "f")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "type": ("bool", *KINDS, "string", "bits"),
    "word_order": ("big", "little"), "byte_order": ("big", "little"), "encoding": ("ascii", "utf-8", "latin-1"),
}
_ONLY_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "length": ("string", "bits"), "encoding": ("string",), "bit": ("bool",), "bits": ("bits",),
    "enum": (*_WHOLE, "bool"), "scale": KINDS, "offset": KINDS, "low": KINDS, "high": KINDS,
}


def faults_of(codec: ValueCodec) -> Iterator[Fault]:
    """All of them; nothing more once a word is wrong that the others depend on."""
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
    if _belongs(codec, "length") and codec.length is not None and not 1 <= codec.length <= MOST_REGISTERS:
        yield "length", f"expected 1 to {MOST_REGISTERS} registers, got {codec.length}"
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
    """What people type must be told apart."""
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
