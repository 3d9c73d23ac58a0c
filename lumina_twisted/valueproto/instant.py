"""An instant as people and programs read it, floor 0: ISO 8601, in UTC."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_DAY: Final = 86_400
_YEARS: Final = range(1, 10_000)
"""Those that ISO 8601 writes with four digits."""


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as ``2026-11-21T11:33:56.120Z``; ``-`` where four digits do not hold the year."""
    try:
        whole, milliseconds = divmod(round(seconds * 1000), 1000)
    except (ValueError, OverflowError):  # it is no number, or has no end
        return "-"
    head = _head(whole)
    return f"{head}.{milliseconds:03d}Z" if head else "-"


@lru_cache(maxsize=256)
def _head(whole: int) -> str:
    """All but the fraction; a daemon's readings are of few seconds, each is written once."""
    days, rest = divmod(whole, _DAY)
    year, month, day = _date(days)
    if year not in _YEARS:
        return ""
    return f"{year:04d}-{month:02d}-{day:02d}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


def _date(days: int) -> tuple[int, int, int]:
    """The date of a day, counted from 1970-01-01, in the Gregorian calendar.

    Years are begun in March, so that the leap day is the last of its year; the months from March on have 153 days in
    each five.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)  # days since 0000-03-01; days of 400 years
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    march_month = (5 * day_of_year + 2) // 153
    month = march_month + 3 if march_month < 10 else march_month - 9
    return era * 400 + year + (month <= 2), month, day_of_year - (153 * march_month + 2) // 5 + 1
