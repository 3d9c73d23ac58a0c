"""The reading of a point, the description of a point, and the text of a time. Floor 0."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import Final

from attrs import frozen

from lumina_twisted.modbus.values.codec import Value


class Quality(StrEnum):
    """How reliable a reading is."""

    GOOD = "good"
    STALE = "stale"
    """The reading is older than its interval allows, or the point was never read."""
    BAD = "bad"
    """The device was asked and gave no value."""


@frozen
class Reading:
    """The current state of one point.

    :param value: the last value from the device; None if there never was one.
    :param time: when the device was asked for that value, in seconds since 1970; None without a value.
    :param why: a sentence that says why the quality is not good; empty if it is.
    """

    value: Value | None
    quality: Quality
    time: float | None
    why: str = ""


@frozen
class Confirmed:
    """A write that the device has confirmed.

    :param reading: the reading of the point after the write.
    :param not_read_back: a sentence that says why the value could not be read back, if its description asks for that;
        otherwise empty. The write itself is confirmed in any case.
    """

    reading: Reading
    not_read_back: str = ""


@frozen(kw_only=True)
class PointDescription:
    """The description of a point.

    :param name: DEVICE.POINT.
    :param words: the words that its value can be, or the names of its bits; empty if it has none.
    :param device: the device of the point, at ``unit`` of ``port``.
    """

    name: str
    type: str
    unit_of_measure: str = ""
    writable: bool = False
    summary: str = ""
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()
    device: str = ""
    port: str = ""
    unit: int = 0


_DAY: Final = 86_400
_YEARS: Final = range(1, 10_000)
"""The years that ISO 8601 writes with four digits."""


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as text in ISO 8601, in UTC: ``2026-11-21T11:33:56.120Z``. It is ``-`` if the year does not
    fit into four digits."""
    try:
        whole, milliseconds = divmod(round(seconds * 1000), 1000)
    except (ValueError, OverflowError):  # nan, or infinity
        return "-"
    head = _head(whole)
    return f"{head}.{milliseconds:03d}Z" if head else "-"


@lru_cache(maxsize=256)
def _head(whole: int) -> str:
    """The text without the fraction. It is cached, because many readings have the same second."""
    days, rest = divmod(whole, _DAY)
    year, month, day = _date(days)
    if year not in _YEARS:
        return ""
    return f"{year:04d}-{month:02d}-{day:02d}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


def _date(days: int) -> tuple[int, int, int]:
    """The date of a day, counted from 1970-01-01, in the Gregorian calendar.

    Years begin in March here, so that the leap day is the last of its year; from March on, every five months have 153
    days.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)  # days since 0000-03-01; days of 400 years
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    march_month = (5 * day_of_year + 2) // 153
    month = march_month + 3 if march_month < 10 else march_month - 9
    return era * 400 + year + (month <= 2), month, day_of_year - (153 * march_month + 2) // 5 + 1
