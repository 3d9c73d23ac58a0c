"""A point as a client of the value lines knows it, floor 3."""

from __future__ import annotations

from typing import Self

from attrs import field, frozen

from lumina_twisted.errors import LuminaError, RequestError, error_from_reason
from lumina_twisted.modbus.values.bits import NOTHING_SET
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.text import on_off
from lumina_twisted.valueproto.answer import NamedFault, NamedReading
from lumina_twisted.valueproto.reading import Quality


@frozen
class ValueReading:
    """One point as it is known.

    :param name: DEVICE.POINT.
    :param value: what the device said last; None if it never said anything, or a number that has no end.
    :param unit_of_measure: as people write it, such as ``°C``; empty if it has none.
    :param time: when the device was asked for that, in seconds since 1970; None if there is no value.
    :param why: a sentence that says why the quality is not good; empty if it is.
    :param error: where the device was asked just now and gave no value: that failure.
    :param not_read_back: after a write that the device confirmed: why it could not be looked whether it holds the
        value, where its description wants that; empty otherwise.
    """

    name: str
    value: Value | None
    unit_of_measure: str
    quality: Quality
    time: float | None
    why: str = ""
    error: LuminaError | None = field(default=None, eq=False, repr=False)
    not_read_back: str = field(default="", kw_only=True)

    @property
    def is_good(self) -> bool:
        """Whether it can be relied on."""
        return self.quality is Quality.GOOD

    @classmethod
    def of(cls, one: NamedReading | NamedFault) -> Self:
        """What a server says of it."""
        if isinstance(one, NamedFault):
            error = error_from_reason(f"{one.error} {one.message}", is_read=True)
            return cls(one.name, None, "", Quality.BAD, None, one.message, error)
        known = one.reading
        return cls(one.name, known.value, one.unit_of_measure, known.quality, known.time, known.why)


def value_text(value: Value) -> str:
    """A value as a person types it, and a server understands it: ``on``, ``65.5``, ``eco``, ``a,b``.

    :raises RequestError: if it is none.
    """
    if isinstance(value, bool):
        return on_off(value)
    if isinstance(value, tuple | list) and all(isinstance(name, str) for name in value):
        return ",".join(value) or NOTHING_SET
    if isinstance(value, int | float | str):
        return str(value)
    raise RequestError(f"{value!r} is no value; give a number, a text, True or False, or a tuple of the bits' names")
