"""Values of bits: a coil, one bit of a register, and the named bits of registers. Floor 0."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.registers import ByteOrder, WordOrder, no_registers, registers_layout
from lumina_twisted.modbus.values.value import Layout, Value, Words, nearest
from lumina_twisted.text import ON_OFF, brief, on_off

NOTHING_SET: Final = "none"
"""The text for a value in which no bit is set."""


class Flag(Layout):
    """A coil, a discrete input, a register that is 0 or not, or one bit of a register.

    :param bit: the number of the bit; None for the whole entry.
    :param words: words for both 0 and 1, or no words.
    """

    def __init__(self, bit: int | None, byte_order: ByteOrder, words: Words) -> None:
        at = bit if bit is None or byte_order == "big" else bit ^ 8
        self._mask = 0xFFFF if at is None else 1 << at
        self.needs_current = bit is not None
        self._words = words

    def decode(self, entries: Sequence[int]) -> Value:
        try:
            (entry,) = entries
            is_on = entry & self._mask != 0
        except (ValueError, TypeError):
            raise no_registers("a bool", 1, entries) from None
        return self._words.by_number[is_on] if self._words else is_on

    def encode(self, value: object, current: Sequence[int] | None) -> tuple[int, ...]:
        is_on = self._wanted(value)
        if not self.needs_current:
            return (int(is_on),)
        (entry,) = _checked(current, 1, "one bit")
        return (entry | self._mask if is_on else entry & ~self._mask,)

    def _wanted(self, value: object) -> bool:
        if isinstance(value, str) and self._words:
            return bool(self._words.number(value))
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        raise RequestError(f"{brief(value)} is neither true nor false")

    def parse(self, text: str) -> Value:
        known = self._words.find(text)
        is_on = ON_OFF.get(text.strip().casefold()) if known is None else bool(known)
        if is_on is not None:
            return self._words.by_number[is_on] if self._words else is_on
        if self._words:
            raise RequestError(f"there is no {text!r} here; {nearest(text, self._words.by_number.values())}")
        raise RequestError(f"{text!r} is neither on nor off")

    def format(self, value: Value) -> str:
        return on_off(value) if isinstance(value, bool) else str(value)


class Bits(Layout):
    """The bits of registers by name, the lowest first. A bit without a name belongs to the device: a write keeps it
    unchanged. If no bit has a name, a write may set all bits.

    :param count: the number of registers.
    """

    def __init__(self, count: int, word_order: WordOrder, byte_order: ByteOrder, names: Mapping[int, str]) -> None:
        self._count = count
        self._registers = registers_layout(count, word_order, byte_order)
        self._order = word_order
        width = 16 * count
        self._pairs = tuple((1 << at, names.get(at, f"bit{at}")) for at in range(width))
        self._masks = {name.casefold(): mask for mask, name in self._pairs}
        everything = (1 << width) - 1
        self._kept = everything - sum(1 << at for at in names) if names else 0
        self.needs_current = self._kept != 0
        self._known = tuple(names.values()) or tuple(name for _, name in self._pairs)

    def decode(self, entries: Sequence[int]) -> Value:
        number = self._number(entries)
        return tuple([name for mask, name in self._pairs if number & mask]) if number else ()

    def encode(self, value: object, current: Sequence[int] | None) -> tuple[int, ...]:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise RequestError(f"{brief(value)} is no list of names of bits")
        number = sum({self._mask(name) for name in value})
        if self._kept:
            number |= self._number(_checked(current, self._count, "some of the bits")) & self._kept
        return self._registers.unpack(number.to_bytes(2 * self._count, self._order))

    def agrees(self, held: Sequence[int], written: Sequence[int], tolerance: float) -> bool:
        # The device may change the kept bits itself.
        return not (self._number(held) ^ self._number(written)) & ~self._kept

    def parse(self, text: str) -> Value:
        names = [] if text.strip().casefold() in ("", NOTHING_SET) else text.split(",")
        number = sum({self._mask(name.strip()) for name in names})
        return tuple(name for mask, name in self._pairs if number & mask)

    def format(self, value: Value) -> str:
        return ",".join(value) or NOTHING_SET if isinstance(value, tuple) else str(value)

    def _number(self, entries: Sequence[int]) -> int:
        try:
            return int.from_bytes(self._registers.pack(*entries), self._order)
        except struct.error:
            raise no_registers("bits", self._count, entries) from None

    def _mask(self, name: object) -> int:
        mask = self._masks.get(name.casefold()) if isinstance(name, str) else None
        if mask is None:
            raise RequestError(f"there is no bit {brief(name)} here; {nearest(str(name), self._known)}")
        return mask


def _checked(current: Sequence[int] | None, count: int, what: str) -> Sequence[int]:
    """Checks and returns the current registers; a write changes only ``what`` in them."""
    if current is None:
        plural = "register as it is" if count == 1 else "registers as they are"
        raise RequestError(f"to write {what}, the {plural} must be known")
    if len(current) != count or not all(isinstance(one, int) and 0 <= one <= 0xFFFF for one in current):
        raise no_registers("it", count, current)
    return current
