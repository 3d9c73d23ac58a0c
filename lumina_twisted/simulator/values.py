"""Settings of values as what a table holds: entries that stay, or a motion and how it lies in entries; floor 2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from attrs import frozen

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus import registers
from lumina_twisted.modbus.registers import ByteOrder, Kind, WordOrder
from lumina_twisted.simulator.settings import Bits, Constant, Count, Ramp, RandomWalk, Value, Wave
from lumina_twisted.simulator.tables import Bit, Codec
from lumina_twisted.simulator.waves import Counter, Motion, Walk, ramp, together, wave


@frozen
class Number:
    """A number in registers. What is beyond a whole type begins again at its other end, as counters do.

    :param scale: ``value = number * scale + offset``.
    """

    kind: Kind
    word_order: WordOrder
    byte_order: ByteOrder
    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether it has no fraction."""
        return self.kind[0] != "f"

    @property
    def width(self) -> int:
        """How many registers."""
        return registers.registers_of(self.kind)

    @property
    def is_scaled(self) -> bool:
        """Whether the registers hold another number than is meant."""
        return (self.scale, self.offset) != (1, 0)

    def number(self, value: float) -> float:
        """What the registers hold for a value."""
        number = (value - self.offset) / self.scale if self.is_scaled else value
        return round(number) if self.is_whole and self.is_scaled and math.isfinite(number) else number

    def encode(self, value: float) -> Sequence[int]:
        """See :class:`~lumina_twisted.simulator.tables.Codec`."""
        if not self.is_whole:
            return registers.encode(self.number(value), self.kind, self.word_order, self.byte_order)
        bits = 16 * self.width
        number = round(self.number(value)) % (1 << bits)
        if self.kind[0] == "i" and number >> (bits - 1):
            number -= 1 << bits
        return registers.encode(number, self.kind, self.word_order, self.byte_order)

    def decode(self, entries: Sequence[int]) -> float:
        """See :class:`~lumina_twisted.simulator.tables.Codec`."""
        number = registers.decode(entries, self.kind, self.word_order, self.byte_order)
        return number * self.scale + self.offset if self.is_scaled else number


def codec_of(value: Value, is_bits: bool) -> Codec:
    """How its numbers lie in the table."""
    return Bit() if is_bits else _number(value)


def _number(value: Value) -> Number:
    return Number(value.type, value.word_order, value.byte_order, value.scale, value.offset)


def motion_of(value: Value, random: Random) -> Motion:
    """How a value moves that is no constant.

    :param random: what a random walk is drawn with.
    """
    if isinstance(value, Ramp):
        return ramp(value.start, value.end, value.seconds)
    if isinstance(value, Wave):
        return wave(value.shape, value.low, value.high, value.period, value.phase)
    if isinstance(value, Count):
        number = _number(value)
        return Counter(value.rate, value.start, is_whole=number.is_whole and not number.is_scaled)
    if isinstance(value, Bits):
        return together({bit: _bit_motion(one, Random(random.random())) for bit, one in value.bits.items()})
    assert isinstance(value, RandomWalk), "a constant does not move"
    return Walk(_start(value), value.step, value.low, value.high, value.every, random)


def _bit_motion(value: Value, random: Random) -> Motion:
    if not isinstance(value, Constant):
        return motion_of(value, random)
    (entry,) = entries_of(value, is_bits=True)
    return lambda now: entry


def _start(value: RandomWalk) -> float:
    return (value.low + value.high) / 2 if value.start is None else value.start


def entries_of(value: Constant, is_bits: bool) -> list[int]:
    """The entries of a constant.

    :raises RequestError: with a sentence, if it is none.
    """
    if is_bits:
        return [_bit(one) for one in _listed(value.value)]
    if isinstance(value.value, str):
        return _text(value.value, value)
    if value.length is not None:
        raise RequestError(f"length is that of a text, and {value.value!r} is none")
    return [entry for one in _listed(value.value) for entry in _entries(one, value)]


def _listed(value: Any) -> list[Any]:
    if value == []:
        raise RequestError("an empty list holds no value")
    return value if isinstance(value, list) else [value]


def _bit(value: Any) -> int:
    if value not in (0, 1) or isinstance(value, float):
        raise RequestError(f"expected true or false, 1 or 0, or a list of them, got {value!r}")
    return int(value)


def _entries(number: Any, value: Constant) -> Sequence[int]:
    if type(number) not in (int, float):
        raise RequestError(f"expected a number, a text or a list of numbers, got {number!r}")
    return registers.encode(_number(value).number(number), value.type, value.word_order, value.byte_order)


def _text(text: str, value: Constant) -> list[int]:
    if not text and value.length is None:
        raise RequestError("an empty text holds no value; length says how many registers it takes")
    length = value.length or (len(text.encode(value.encoding, "replace")) + 1) // 2
    return list(registers.encode_text(text, length, value.encoding, value.byte_order))


def width_of(value: Value, is_bits: bool) -> int:
    """How many entries it takes."""
    return len(entries_of(value, is_bits)) if isinstance(value, Constant) else codec_of(value, is_bits).width


def value_fault(value: Value, is_bits: bool) -> str:
    """What is wrong with it, or nothing."""
    try:
        if value.scale == 0:
            raise RequestError("scale is 0, and nothing can be divided by that")
        if isinstance(value, Constant):
            entries_of(value, is_bits)
        else:
            _check_bounds(value, is_bits)
    except RequestError as error:
        return str(error)
    return ""


def _check_bounds(value: Value, is_bits: bool) -> None:
    if is_bits and isinstance(value, Count):
        raise RequestError('a bit cannot count; kind = "wave" with shape = "square" makes it come and go')
    if isinstance(value, Bits):
        _check_bits(value, is_bits)
    if isinstance(value, (Wave, RandomWalk)) and value.low > value.high:
        raise RequestError(f"low is {value.low:g}, which is more than high, {value.high:g}")
    if isinstance(value, RandomWalk) and not value.low <= _start(value) <= value.high:
        raise RequestError(f"start is {_start(value):g}, which is not from low, {value.low:g}, to high, {value.high:g}")
    ends = [getattr(value, key) for key in ("start", "end", "low", "high") if getattr(value, key, None) is not None]
    for end in () if is_bits else ends:
        _check_end(_number(value), end)


def _check_bits(value: Bits, is_bits: bool) -> None:
    if is_bits:
        raise RequestError("a bit has no bits of its own")
    if value.type[0] != "u" or _number(value).is_scaled:
        raise RequestError("bits are those of u16, u32 or u64, without scale and offset")
    if value.bits and max(value.bits) >= 16 * _number(value).width:
        raise RequestError(f"{value.type} has no bit {max(value.bits)}; write a longer type")
    for bit, one in value.bits.items():
        if isinstance(one, Constant) and len(entries_of(one, is_bits=True)) != 1:
            raise RequestError(f"bit {bit} is one value, and there are several")


def _check_end(number: Number, end: float) -> None:
    """
    :raises RequestError: if the registers cannot hold this end of a motion.
    """
    held = number.number(end)
    try:
        registers.encode(round(held) if number.is_whole else held, number.kind)
    except RequestError as error:
        meant = f"{end:g} is {held:g} in the registers: " if number.is_scaled else ""
        raise RequestError(f"{meant}{error}") from None
