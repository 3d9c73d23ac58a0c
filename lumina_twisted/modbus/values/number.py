"""Numbers in registers, with words and scale. Floor 0.

A scaled value is computed as in decimal arithmetic: 3 * 0.1 is 0.3. So scale and offset are kept as whole numbers
over one common denominator, and Python divides whole numbers exactly to the nearest float.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.registers import ByteOrder, WordOrder, limits, reader, writer
from lumina_twisted.modbus.values.value import Layout, Value, Words, nearest
from lumina_twisted.text import brief, shortest_f32

_TOLERANCE: Final = Fraction(1, 10**6)
"""How far a value may be from a step, as a part of the step, because sums of floats are inexact."""
_MOST_PLACES: Final = 12
_KEEPS: Final = {"f32": 1e-6, "f64": 1e-15}
"""The relative difference up to which two numbers count as equal: six and fifteen digits, which each kind keeps for
certain (ISO C, FLT_DIG and DBL_DIG)."""
_TYPED: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf)", re.ASCII | re.IGNORECASE)
_TYPED_HEX: Final = re.compile(r"0x[0-9a-f]{1,16}", re.ASCII | re.IGNORECASE)


class Number(Layout):
    """A number in one, two or four registers.

    :param scale: ``value = number * scale + offset``.
    :param words: words for numbers in the register.
    :param low: the lowest value that may be written.
    """

    def __init__(
        self, kind: str, word_order: WordOrder, byte_order: ByteOrder, *, scale: float = 1.0, offset: float = 0.0,
        words: Words, low: float | None = None, high: float | None = None,
    ) -> None:
        self._kind = kind
        self._read = reader(kind, word_order, byte_order)
        self._write = writer(kind, word_order, byte_order)
        self._is_whole = kind[0] != "f"
        self._scale = None if (scale, offset) == (1, 0) else Scale(scale, offset)
        self._words = words
        self._word_of = words.by_number
        self._low, self._high = low, high
        self._name = _name(kind, scale, offset)

    def ends(self) -> tuple[float, float]:
        """The lowest and the highest value that the registers hold."""
        first, last = map(self._meant, limits(self._kind))
        return min(first, last), max(first, last)

    # -- from the registers and back ---------------------------------------------------------------------------------

    def decode(self, entries: Sequence[int]) -> Value:
        number = self._read(entries)
        if self._word_of and number in self._word_of:
            return self._word_of[number]  # type: ignore[index]
        if self._scale is None:
            return number
        return self._meant(number)

    def encode(self, value: object, current: Sequence[int] | None = None) -> tuple[int, ...]:
        if isinstance(value, str) and self._words:
            return self._write(self._words.number(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RequestError(f"{brief(value)} is no number, as {self._name} needs")
        number = exact(value)
        self._check_range(value)
        return self._write(self._whole(value, number)) if self._is_whole else self._fraction(value, number)

    def agrees(self, held: Sequence[int], written: Sequence[int], tolerance: float) -> bool:
        there, wanted = self._read(held), self._read(written)
        if there == wanted:
            return True
        if self._is_whole:
            step = self._scale.step if self._scale else 1
            return abs(there - wanted) * step <= Fraction(str(tolerance))
        keeps = _KEEPS[self._kind]
        if math.isclose(there, wanted, rel_tol=keeps):
            return True
        meant, asked = self._meant(there), self._meant(wanted)
        return tolerance > 0 and abs(meant - asked) <= tolerance + keeps * max(abs(asked), tolerance)

    def _meant(self, number: float) -> float:
        if self._scale is None:
            return number
        return self._scale.value(number) if isinstance(number, int) else self._scale.value_of_float(number)

    def _check_range(self, value: float) -> None:
        """Refuses a value that exceeds the limits by more than the inexactness of floats."""
        dust = float(_TOLERANCE * (self._scale.step if self._scale else 1)) if self._is_whole else 0.0
        low, high = self._low, self._high
        if (low is None or value >= low - dust) and (high is None or value <= high + dust):
            return
        if low is not None and high is not None:
            raise RequestError(f"{brief(value)} is not from {brief(low)} to {brief(high)}, as it must be to be written")
        if low is not None:
            raise RequestError(f"{brief(value)} is below {brief(low)}, the lowest that may be written")
        raise RequestError(f"{brief(value)} is above {brief(high)}, the highest that may be written")

    def _whole(self, value: float, wanted: Fraction) -> int:
        """The number in the register that means ``value``, within the precision of floats of its size."""
        number = self._scale.number(wanted) if self._scale else wanted
        lowest, highest = map(int, limits(self._kind))
        below = number.numerator // number.denominator
        steps = sorted((below, below + 1), key=lambda step: abs(step - number))
        for step in (min(max(one, lowest), highest) for one in steps):
            if abs(step - number) <= _TOLERANCE or self._meant(step) == value:
                return step
        if not lowest <= number <= highest:
            raise self._too_large(value)
        one, other = sorted((self._meant(below), self._meant(below + 1)))
        raise RequestError(
            f"{brief(value)} lies between two steps of {self._name}: {brief(one)} and {brief(other)} can be written"
        )

    def _fraction(self, value: float, wanted: Fraction) -> tuple[int, ...]:
        try:
            return self._write(float(self._scale.number(wanted) if self._scale else value))
        except OverflowError:
            raise self._too_large(value) from None

    def _too_large(self, value: float) -> RequestError:
        lowest, highest = self.ends()
        return RequestError(f"{brief(value)} does not fit: {self._name} holds {brief(lowest)} to {brief(highest)}")

    # -- for people --------------------------------------------------------------------------------------------------

    def parse(self, text: str) -> Value:
        text = text.strip()
        known = self._words.find(text)
        if known is not None:
            return self._words.by_number[known]
        number = typed_number(text)
        if number is None:
            raise RequestError(self._why_none(text))
        return number

    def _why_none(self, text: str) -> str:
        if self._words:
            return f"there is no {text!r} here; {nearest(text, self._words.by_number.values())}; a number will do too"
        point = text.replace(",", ".")
        if typed_number(point) is not None:
            return f"{text!r} is no number; the decimal point is a dot: {point}"
        return f"{text!r} is no number; write one like 21.5, without a unit of measure"

    def format(self, value: Value) -> str:
        if not isinstance(value, float):
            return str(value)
        if self._is_whole and self._scale is not None and self._scale.places <= _MOST_PLACES:
            fixed = f"{value:.{self._scale.places}f}"
            return fixed if float(fixed) == value else brief(value)
        return brief(shortest_f32(value)) if self._kind == "f32" and self._scale is None else brief(value)


def typed_number(text: str) -> int | float | None:
    """The number that a person typed; None if the text is no number."""
    try:
        if _TYPED_HEX.fullmatch(text):
            return int(text, 16)
        if not _TYPED.fullmatch(text):
            return None
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:  # thousands of digits
        return None


def _name(kind: str, scale: float, offset: float) -> str:
    parts = [f"scale {brief(float(scale))}"] if scale != 1 else []
    parts += [f"offset {brief(float(offset))}"] if offset else []
    return f"{kind} with {' and '.join(parts)}" if parts else kind


class Scale:
    """``value = number * scale + offset``. Scale and offset are finite, and the scale is not 0."""

    def __init__(self, scale: float, offset: float) -> None:
        by, plus = Fraction(str(scale)), Fraction(str(offset))
        self._parts = math.lcm(by.denominator, plus.denominator)
        self._times = int(by * self._parts)
        self._plus = int(plus * self._parts)
        self.step = abs(by)
        self.places = max(_places(scale), _places(offset))
        self._rough = (float(scale), float(offset))

    def value(self, number: int) -> float:
        """The value of a whole number in the register."""
        return (number * self._times + self._plus) / self._parts

    def value_of_float(self, number: float) -> float:
        """The value of a number with a fraction, within the precision of floats."""
        try:
            value = (number * self._times + self._plus) / self._parts
        except OverflowError:
            value = math.inf
        if math.isfinite(value):
            return value
        scale, offset = self._rough
        return number * scale + offset

    def number(self, value: Fraction) -> Fraction:
        """The exact number in the register that means ``value``."""
        return (value * self._parts - self._plus) / self._times


def exact(value: float) -> Fraction:
    """The exact value of a number.

    :raises RequestError: if it is not finite.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(f"{value!r} is no number that a register can be set to")
    return Fraction(value)


def _places(number: float) -> int:
    """How many decimal places a number has when it is written."""
    exponent = Decimal(str(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
