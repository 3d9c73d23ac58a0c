"""``lumina values``: values by name, floor 5."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import attrs

from lumina_twisted.cli.arguments import (
    EXIT_OK,
    EXIT_REFUSED,
    UsageError,
    add_request_options,
    bounded,
    checked,
    status_of,
)
from lumina_twisted.cli.connection import run_with_values_client
from lumina_twisted.cli.output import Output
from lumina_twisted.client.aio import LuminaValuesClient, PointDescription, Quality, ValueReading
from lumina_twisted.client.url import VALUES_PORT
from lumina_twisted.client.value_methods import DEFAULT_TIMEOUT
from lumina_twisted.client.value_watches import value_text
from lumina_twisted.errors import LuminaError
from lumina_twisted.text import nearest
from lumina_twisted.valueproto.command import changes_of

EXAMPLES: Final = """\
  lumina values list                               all there are; or 'boiler.*'
  lumina values read boiler.flow_temperature       what the server knows of it
  lumina values read 'boiler.*' --fresh            the device is asked
  lumina values write boiler.set_point 65.5
  lumina values watch 'boiler.*' meter.power       each change, until Ctrl-C
  lumina values history meter.power --count 10
  lumina values config boiler                      what is configured for it
  lumina values config boiler poll=0.5             changes that, from now on
"""
PLACE: Final = f"LUMINA_VALUES, or port {VALUES_PORT} of the host in LUMINA_SERVER, or of 127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    parser.add_argument(
        "word", metavar="WORD", type=checked(_word, f"no word here; write one of {', '.join(WORDS)}"),
        choices=tuple(WORDS), help=", ".join(WORDS),
    )
    parser.add_argument(
        "values", metavar="NAME", nargs="*", default=[],
        help="DEVICE.POINT, also with * and ?; for write, the VALUE behind it; for config, a device and KEY=VALUE",
    )
    parser.add_argument("--fresh", action="store_true", help="read: the devices are asked")
    parser.add_argument(
        "--count", type=bounded(1, 1_000_000, "count"), metavar="N",
        help="history: how many changes (all that are kept)",
    )
    add_request_options(parser, DEFAULT_TIMEOUT, modbus=False, place=PLACE, port=VALUES_PORT)


def run(options: Any, output: Output) -> int:
    """Does what the word says."""
    word, values = WORDS[options.word], options.values
    if not word.fewest <= len(values) <= word.most:
        what = "there is too little" if len(values) < word.fewest else "there is too much"
        raise UsageError(f"{what} behind {options.word!r}; write `lumina values {word.usage}`")
    for option in ("fresh", "count"):
        if getattr(options, option) and option != word.option:
            raise UsageError(f"`lumina values {options.word}` has no --{option}; leave it out")
    return run_with_values_client(word.ask, options, output)


async def _list(options: Any, client: LuminaValuesClient, output: Output) -> int:
    points = await client.list(*options.values)
    Rows(output, LIST).show([(one, attrs.asdict(one)) for one in points])
    return EXIT_OK


async def _read(options: Any, client: LuminaValuesClient, output: Output) -> int:
    """Each name is a question of its own, so that one that fails takes none with it."""
    asked = (client.read(name, fresh=options.fresh) for name in options.values)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    readings = [one for answer in answers if not isinstance(answer, BaseException) for one in answer]
    Rows(output, READING).show([(one, _told(one)) for one in readings])
    status = EXIT_OK if all(map(_has_value, readings)) else EXIT_REFUSED
    for failure in (one for one in answers if isinstance(one, BaseException)):
        if not isinstance(failure, LuminaError):
            raise failure
        output.error(failure)
        status = max(status, status_of(failure))
    return status


async def _write(options: Any, client: LuminaValuesClient, output: Output) -> int:
    name, value = options.values
    now = await client.write(name, value)
    more = f", not read back, because {printable(now.not_read_back)}" if now.not_read_back else ""
    data = {"not_read_back": now.not_read_back} if now.not_read_back else {}
    output.result(f"{name} {value_and_unit(now)}: confirmed{more}", **_told(now), **data)
    return EXIT_OK


async def _watch(options: Any, client: LuminaValuesClient, output: Output) -> int:
    rows = Rows(output, READING)
    rows.measure(await client.read(*options.values))
    async for one in client.changes(*options.values):
        rows.show([(one, _told(one))])
    return EXIT_OK


async def _history(options: Any, client: LuminaValuesClient, output: Output) -> int:
    changes = await client.history(options.values[0], options.count)
    Rows(output, HISTORY).show([(one, _told(one)) for one in changes])
    return EXIT_OK


async def _config(options: Any, client: LuminaValuesClient, output: Output) -> int:
    device, *changes = options.values
    made = _changes(changes)
    config = await (client.configure(device, made) if made else client.config(device))
    text = "\n".join(f"{key}={value}" for key, value in settings(config))
    output.result(text, device=device, config=config)
    return EXIT_OK


class _Word(NamedTuple):
    fewest: int
    most: int
    usage: str
    ask: Callable[[Any, LuminaValuesClient, Output], Awaitable[int]]
    option: str = ""


MANY: Final = 1_000_000
WORDS: Final = {
    "list": _Word(0, 1, "list [PATTERN]", _list),
    "read": _Word(1, MANY, "read NAME… [--fresh]", _read, "fresh"),
    "write": _Word(2, 2, "write NAME VALUE", _write),
    "watch": _Word(1, MANY, "watch NAME…", _watch),
    "history": _Word(1, 1, "history NAME [--count N]", _history, "count"),
    "config": _Word(1, MANY, "config DEVICE [KEY=VALUE…]", _config),
}


def _word(text: str) -> str:
    if text not in WORDS:
        raise UsageError(f"there is no {text!r} here; {nearest(text, tuple(WORDS))}; see `lumina values --help`")
    return text


def _changes(texts: Sequence[str]) -> dict[str, Any]:
    """Each KEY=VALUE, the value as JSON or as it is."""
    try:
        return changes_of(texts)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _told(one: ValueReading) -> dict[str, Any]:
    return {
        "name": one.name, "value": one.value, "unit_of_measure": one.unit_of_measure, "quality": one.quality.value,
        "time": one.time, "why": one.why,
    }


def _has_value(one: ValueReading) -> bool:
    return one.value is not None and one.quality is not Quality.BAD


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
