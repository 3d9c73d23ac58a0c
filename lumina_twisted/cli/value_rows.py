"""Values in columns, for people, floor 5."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from lumina_twisted.cli.output import Output
from lumina_twisted.client.aio import PointDescription, ValueReading
from lumina_twisted.client.value_watches import value_text

NOTHING: Final = "-"
MOST_WORDS: Final = 40
"""Characters of the words that a value can be, of which a list shows no more."""
WIDE: Final = 20
"""Characters of a value that make room for themselves; a longer one, such as ten names of bits, stands out alone."""


class Columns(NamedTuple):
    """How one thing is written in columns.

    :param right: which of them, from 0, stands at its right edge, as numbers do.
    """

    cells: Callable[[Any], Sequence[str]]
    right: int


class Rows:
    """Lines whose columns stand below each other; they grow, where lines come one by one."""

    def __init__(self, output: Output, columns: Columns) -> None:
        self._output = output
        self._columns = columns
        self._widths: list[int] = []

    def measure(self, things: Iterable[Any]) -> None:
        """Makes room for some that come later."""
        for one in things:
            self._widen([self._width(at, cell) for at, cell in enumerate(self._columns.cells(one))])

    def show(self, rows: Sequence[tuple[Any, dict[str, Any]]]) -> None:
        """A line for each, of the thing itself or of its data."""
        self.measure(one for one, _ in rows)
        for one, data in rows:
            self._output.result("  ".join(self._padded(self._columns.cells(one))).rstrip(), **data)

    def _width(self, at: int, cell: str) -> int:
        return len(cell) if at != self._columns.right or len(cell) <= WIDE else 1

    def _widen(self, widths: Sequence[int]) -> None:
        before = self._widths or [0] * len(widths)
        self._widths = [max(pair) for pair in zip(before, widths, strict=True)]

    def _padded(self, cells: Sequence[str]) -> Iterator[str]:
        for at, (cell, width) in enumerate(zip(cells, self._widths, strict=True)):
            if width:  # a column that has something
                yield cell.rjust(width) if at == self._columns.right else cell.ljust(width)


def value_and_unit(one: ValueReading) -> str:
    """The value of a reading, with its unit of measure."""
    return f"{_value(one)} {printable(one.unit_of_measure)}".rstrip()


def settings(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """What is configured, as keys with dots and values as ``KEY=VALUE`` takes them."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from settings(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", json.dumps(value, ensure_ascii=False)


def _reading(one: ValueReading) -> tuple[str, ...]:
    return one.name, *_known(one), _time(one), printable(one.why)


def _change(one: ValueReading) -> tuple[str, ...]:
    return _time(one), *_known(one), printable(one.why)


def _known(one: ValueReading) -> tuple[str, ...]:
    return _value(one), printable(one.unit_of_measure), one.quality.value


def _point(one: PointDescription) -> tuple[str, ...]:
    access = "rw" if one.writable else "r"
    return one.name, one.type, access, printable(one.unit_of_measure), _range(one), printable(one.summary)


def _value(one: ValueReading) -> str:
    return NOTHING if one.value is None else printable(value_text(one.value))


def _range(one: PointDescription) -> str:
    """What the value can be."""
    if one.words:
        words = printable(", ".join(one.words))
        return words if len(words) <= MOST_WORDS else f"{words[: MOST_WORDS - 1]}…"
    if one.low is None and one.high is None:
        return ""
    low, high = (NOTHING if limit is None else f"{limit:.15g}" for limit in (one.low, one.high))
    return f"{low} to {high}"


def _time(one: ValueReading) -> str:
    """When it was read, by the clock of this place."""
    if one.time is None:
        return NOTHING
    try:
        return datetime.datetime.fromtimestamp(one.time).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):  # no calendar has it
        return NOTHING


def printable(text: str) -> str:
    """A device's text may have what a terminal would obey."""
    return text if text.isprintable() else json.dumps(text).replace("\x7f", "\\u007f")


READING: Final = Columns(_reading, 1)
HISTORY: Final = Columns(_change, 1)
LIST: Final = Columns(_point, -1)
