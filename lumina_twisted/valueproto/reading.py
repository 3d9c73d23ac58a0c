"""A point as it is known, floor 0."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from lumina_twisted.modbus.values.codec import Value


class Quality(StrEnum):
    """How far a reading can be relied on."""

    GOOD = "good"
    STALE = "stale"
    """It is older than its interval allows, or was never read."""
    BAD = "bad"
    """The device was asked and gave no value."""


@frozen
class Reading:
    """One point as it is known.

    :param value: what the device said last; None if it never said anything.
    :param time: when it was asked for that, in seconds since 1970; None without a value.
    :param why: a sentence that says why the quality is not good; empty if it is.
    """

    value: Value | None
    quality: Quality
    time: float | None
    why: str = ""


@frozen
class Confirmed:
    """A write that the device has confirmed.

    :param reading: the point as it is known since.
    :param not_read_back: where the description wants the value read back, a sentence that says why it could not be;
        empty if it was, or if nobody wants that. The write itself is confirmed all the same.
    """

    reading: Reading
    not_read_back: str = ""
