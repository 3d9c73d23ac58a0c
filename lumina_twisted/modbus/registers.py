"""Typed values in registers, encoding and decoding. Floor 0.

A register is a 16-bit word, sent high byte first (Modbus Application Protocol V1.1b3, section 4.2). Each maker
chooses how a longer value lies in several registers: ``word_order`` "big" puts the high word first, and ``byte_order``
"little" swaps the bytes within each word. These two describe all four usual orders (ABCD, CDAB, BADC, DCBA).
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Sequence
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
_MAX_F32: Final = (2 - 2**-23) * 2.0**127
KINDS: Final = tuple(_LAYOUTS)
"""Unsigned and signed integers (u, i) and IEEE 754 numbers (f), each with its number of bits."""


def registers_of(kind: str) -> int:
    """How many registers a value of that kind takes.

    :raises RequestError: if there is no such kind.
    """
    return _layout(kind).size // 2


def encode(value: float, kind: str, word_order: WordOrder = "big", byte_order: ByteOrder = "big") -> tuple[int, ...]:
    """The registers that hold ``value``.

    :raises RequestError: if the value does not fit, with a sentence that says why.
    """
    _layout(kind)
    _check(value, kind)
    try:
        return writer(kind, word_order, byte_order)(value if kind[0] == "f" else int(value))
    except (struct.error, OverflowError):
        raise RequestError(f"{value!r} is too large for {kind}") from None


def decode(
    values: Sequence[int], kind: str, word_order: WordOrder = "big", byte_order: ByteOrder = "big"
) -> int | float:
    """The value that these registers hold.

    :raises RequestError: if the number of registers is not that of the kind.
    """
    return reader(kind, word_order, byte_order)(values)


def reader(
    kind: str, word_order: WordOrder = "big", byte_order: ByteOrder = "big"
) -> Callable[[Sequence[int]], int | float]:
    """:func:`decode` for one kind and order; faster where many values are read.

    :raises RequestError: if there is no such kind.
    """
    pack, layout = _steps(kind, word_order, byte_order)

    def read(values: Sequence[int]) -> int | float:
        try:
            return layout.unpack(pack(*values))[0]  # type: ignore[no-any-return]
        except struct.error:
            raise no_registers(kind, registers_of(kind), values) from None

    return read


def writer(
    kind: str, word_order: WordOrder = "big", byte_order: ByteOrder = "big"
) -> Callable[[int | float], tuple[int, ...]]:
    """:func:`encode` for one kind and order, without checks: what does not fit raises OverflowError or struct.error.

    :raises RequestError: if there is no such kind.
    """
    _, layout = _steps(kind, word_order, byte_order)
    unpack = registers_layout(registers_of(kind), word_order, byte_order).unpack
    return lambda number: unpack(layout.pack(number))


def limits(kind: str) -> tuple[int, int] | tuple[float, float]:
    """The lowest and the highest number that a kind holds.

    :raises RequestError: if there is no such kind.
    """
    bits = 8 * _layout(kind).size
    if kind[0] == "f":
        most = sys.float_info.max if bits == 64 else _MAX_F32
        return -most, most
    return (0, (1 << bits) - 1) if kind[0] == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)


def registers_layout(count: int, word_order: WordOrder, byte_order: ByteOrder) -> struct.Struct:
    """The layout that turns registers into the bytes of one number: the highest byte first if ``word_order`` is "big",
    else the lowest byte first. If words and bytes have the same order, the bytes within a word are not swapped."""
    return struct.Struct(f"{'>' if word_order == byte_order else '<'}{count}H")


def no_registers(what: str, count: int, values: Sequence[int]) -> RequestError:
    """The error for too few or too many registers for ``what``, or for values that are no registers."""
    if len(values) != count:
        return RequestError(f"{what} takes {count} registers, not {len(values)}")
    return RequestError(f"a register is a whole number from 0 to 65535; these are {list(values)}")


def encode_text(
    text: str, length: int, encoding: Encoding = "ascii", byte_order: ByteOrder = "big"
) -> tuple[int, ...]:
    """The ``length`` registers that hold ``text``, two bytes each, filled up with NUL.

    :raises RequestError: if the text is too long, or has a character that is not in the encoding.
    """
    try:
        packed = text.encode(encoding)
    except UnicodeEncodeError as error:
        raise RequestError(f"{text[error.start]!r} cannot be written in {encoding}") from None
    if len(packed) > 2 * length:
        raise RequestError(f"{text!r} has {len(packed)} bytes, {length} registers hold {2 * length}")
    return registers_layout(length, "big", byte_order).unpack(packed.ljust(2 * length, b"\0"))


def decode_text(values: Sequence[int], encoding: Encoding = "ascii", byte_order: ByteOrder = "big") -> str:
    """The text in these registers, up to the first NUL and without blanks at its end. Bytes that are no character of
    the encoding become U+FFFD."""
    packed = registers_layout(len(values), "big", byte_order).pack(*values)
    return packed.partition(b"\0")[0].decode(encoding, "replace").rstrip()


def _steps(
    kind: str, word_order: WordOrder, byte_order: ByteOrder
) -> tuple[Callable[..., bytes], struct.Struct]:
    """The two steps of decoding: from registers to bytes, and from bytes to the number."""
    pack = registers_layout(registers_of(kind), word_order, byte_order).pack
    layout = _layout(kind)
    return pack, layout if word_order == "big" else struct.Struct(f"<{layout.format[1:]}")


def _layout(kind: str) -> struct.Struct:
    if kind not in _LAYOUTS:
        raise RequestError(f"there is no type {kind!r}; those that exist: {', '.join(KINDS)}")
    return _LAYOUTS[kind]


def _check(value: float, kind: str) -> None:
    if kind[0] == "f":
        return
    if not math.isfinite(value) or value != int(value):
        raise RequestError(f"{value!r} is no whole number, as {kind} needs; f32 and f64 hold fractions")
    lowest, highest = limits(kind)
    if not lowest <= value <= highest:
        wider = next((one for one in _INTEGERS if _holds(one, value)), "")
        hint = f"; {wider} would hold it" if wider else ""
        raise RequestError(f"{int(value)} does not fit into {kind}, which holds {lowest} to {highest}{hint}")


_INTEGERS = ("i16", "u32", "i32", "u64", "i64")


def _holds(kind: str, value: float) -> bool:
    lowest, highest = limits(kind)
    return lowest <= value <= highest
