"""From the number in a register to the value it means, and back, floor 0.

``value = number * scale + offset``, computed as with pencil and paper: 3 * 0.1 is 0.3. For that both factors are whole
numbers over one common denominator, and Python divides whole numbers exactly to the nearest float.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

from lumina_twisted.errors import RequestError


class Scale:
    """A scale and an offset, both finite, the scale not 0."""

    def __init__(self, scale: float, offset: float) -> None:
        by, plus = Fraction(str(scale)), Fraction(str(offset))
        self._parts = math.lcm(by.denominator, plus.denominator)
        self._times = int(by * self._parts)
        self._plus = int(plus * self._parts)
        self.step = abs(by)
        self.places = max(_places(scale), _places(offset))
        self._rough = (float(scale), float(offset))

    def value(self, number: int) -> float:
        """What a whole number means."""
        return (number * self._times + self._plus) / self._parts

    def value_of_float(self, number: float) -> float:
        """What a number with a fraction means, as exactly as floats are."""
        try:
            value = (number * self._times + self._plus) / self._parts
        except OverflowError:
            value = math.inf
        if math.isfinite(value):
            return value
        scale, offset = self._rough
        return number * scale + offset

    def number(self, value: Fraction) -> Fraction:
        """The number that means a value, exactly."""
        return (value * self._parts - self._plus) / self._times


def exact(value: float) -> Fraction:
    """A number as it is.

    :raises RequestError: if it is not finite.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(f"{value!r} is no number that a register can be set to")
    return Fraction(value)


def _places(number: float) -> int:
    """How many decimals it is written with."""
    exponent = Decimal(str(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
