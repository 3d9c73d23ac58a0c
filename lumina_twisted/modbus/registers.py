"""Typed values in registers, both ways, floor 0.

A register is a 16-bit word, sent high byte first (Modbus Application Protocol V1.1b3, section 4.2). How a longer value
is laid over several is each maker's choice: ``word_order`` "big" puts the high word first, ``byte_order`` "little"
swaps the bytes within each word, so that all four usual orders (ABCD, CDAB, BADC, DCBA) can be said.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final, Literal

from lumina_twisted.errors import RequestError

Kind = Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"]
WordOrder = Literal["big", "little"]
ByteOrder = Literal["big", "little"]
Encoding = Literal["ascii", "utf-8", "latin-1"]

_LAYOUTS: Final[dict[str, struct.Struct]] = {
    "u16": struct.Struct(">H"), "i16": struct.Struct(">h"), "u32": struct.Struct(">I"), "i32": struct.Struct(">i"),
    "u64": struct.Struct(">Q"), "i64": struct.Struct(">q"), "f32": struct.Struct(">f"), "f64": struct.Struct(">d"),
}
KINDS: Final = tuple(_LAYOUTS)
"""Unsigned and signed whole numbers, and IEEE 754 numbers, by their bits."""


def registers_of(kind: str) -> int:
    """How many registers a value of that kind takes.

    :raises RequestError: if there is no such kind.
    """
    return _layout(kind).size // 2


def encode(value: float, kind: str, word_order: WordOrder = "big", byte_order: ByteOrder = "big") -> tuple[int, ...]:
    """The registers that hold ``value``.

    :raises RequestError: if it does not fit, with a sentence that says how.
    """
    layout = _layout(kind)
    _check(value, kind)
    try:
        packed = layout.pack(value if kind[0] == "f" else int(value))
    except (struct.error, OverflowError):
        raise RequestError(f"{value!r} is too large for {kind}") from None
    return _ordered(struct.unpack(f">{layout.size // 2}H", packed), word_order, byte_order)


def decode(
    values: Sequence[int], kind: str, word_order: WordOrder = "big", byte_order: ByteOrder = "big"
) -> int | float:
    """The value that these registers hold.

    :raises RequestError: if they are not as many as the kind takes.
    """
    layout = _layout(kind)
    if 2 * len(values) != layout.size:
        raise RequestError(f"{kind} takes {layout.size // 2} registers, not {len(values)}")
    words = _ordered(tuple(values), word_order, byte_order)
    (value,) = layout.unpack(struct.pack(f">{len(words)}H", *words))
    return value  # type: ignore[no-any-return]


def encode_text(
    text: str, length: int, encoding: Encoding = "ascii", byte_order: ByteOrder = "big"
) -> tuple[int, ...]:
    """The ``length`` registers that hold ``text``, two bytes each, filled up with NUL.

    :raises RequestError: if it is too long, or has characters that the encoding has not.
    """
    try:
        packed = text.encode(encoding)
    except UnicodeEncodeError as error:
        raise RequestError(f"{text[error.start]!r} cannot be written in {encoding}") from None
    if len(packed) > 2 * length:
        raise RequestError(f"{text!r} has {len(packed)} bytes, {length} registers hold {2 * length}")
    return _ordered(struct.unpack(f">{length}H", packed.ljust(2 * length, b"\0")), "big", byte_order)


def decode_text(values: Sequence[int], encoding: Encoding = "ascii", byte_order: ByteOrder = "big") -> str:
    """The text that these registers hold, up to its first NUL and without blanks at its end; what is no character of
    the encoding becomes U+FFFD."""
    words = _ordered(tuple(values), "big", byte_order)
    packed = struct.pack(f">{len(words)}H", *words)
    return packed.partition(b"\0")[0].decode(encoding, "replace").rstrip()


def _layout(kind: str) -> struct.Struct:
    if kind not in _LAYOUTS:
        raise RequestError(f"there is no type {kind!r}; those that exist: {', '.join(KINDS)}")
    return _LAYOUTS[kind]


def _check(value: float, kind: str) -> None:
    if kind[0] == "f":
        return
    if not math.isfinite(value) or value != int(value):
        raise RequestError(f"{value!r} is no whole number, as {kind} needs; f32 and f64 hold fractions")
    bits = int(kind[1:])
    lowest, highest = (0, (1 << bits) - 1) if kind[0] == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)
    if not lowest <= value <= highest:
        wider = next((one for one in _INTEGERS if _holds(one, value)), "")
        hint = f"; {wider} would hold it" if wider else ""
        raise RequestError(f"{int(value)} does not fit into {kind}, which holds {lowest} to {highest}{hint}")


_INTEGERS = ("i16", "u32", "i32", "u64", "i64")


def _holds(kind: str, value: float) -> bool:
    bits = int(kind[1:])
    return 0 <= value < 1 << bits if kind[0] == "u" else -(1 << bits - 1) <= value < 1 << bits - 1


def _ordered(words: tuple[int, ...], word_order: WordOrder, byte_order: ByteOrder) -> tuple[int, ...]:
    if word_order == "little":
        words = words[::-1]
    return words if byte_order == "big" else tuple((word & 0xFF) << 8 | word >> 8 for word in words)
