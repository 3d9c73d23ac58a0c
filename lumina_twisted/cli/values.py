"""``lumina values``: values by name, floor 5."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
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
from lumina_twisted.document import flat
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
NOTHING: Final = "-"
MANY: Final = 1_000_000
MOST_WORDS: Final = 40
"""The most characters of an enumeration's words that a list shows."""
WIDE: Final = 20
"""The longest value that widens its column. A longer one, such as ten names of bits, overflows its column."""
PLACE: Final = f"LUMINA_VALUES, or port {VALUES_PORT} of the host in LUMINA_SERVER, or of 127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    parser.add_argument(
        "operation", metavar="WORD", type=checked(_operation, f"no word here; write one of {', '.join(OPERATIONS)}"),
        choices=tuple(OPERATIONS), help=", ".join(OPERATIONS),
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
    """Runs one operation."""
    operation, values = OPERATIONS[options.operation], options.values
    if not operation.fewest <= len(values) <= operation.most:
        what = "there is too little" if len(values) < operation.fewest else "there is too much"
        raise UsageError(f"{what} behind {options.operation!r}; write `lumina values {operation.usage}`")
    for option in ("fresh", "count"):
        if getattr(options, option) and option != operation.option:
            raise UsageError(f"`lumina values {options.operation}` has no --{option}; leave it out")
    return run_with_values_client(operation.ask, options, output)


async def _list(options: Any, client: LuminaValuesClient, output: Output) -> None:
    points = await client.list(*options.values)
    Columns(output, _point_cells).show([(one, attrs.asdict(one)) for one in points])


async def _read(options: Any, client: LuminaValuesClient, output: Output) -> int:
    """Sends a separate request for each name, so that one failure does not affect the other names."""
    requests = (client.read(name, fresh=options.fresh) for name in options.values)
    answers = await asyncio.gather(*requests, return_exceptions=True)
    readings = [one for answer in answers if not isinstance(answer, BaseException) for one in answer]
    Columns(output, _reading_cells, 1).show([(one, _data(one)) for one in readings])
    has_all = all(one.value is not None and one.quality is not Quality.BAD for one in readings)
    status = EXIT_OK if has_all else EXIT_REFUSED
    for failure in (one for one in answers if isinstance(one, BaseException)):
        if not isinstance(failure, LuminaError):
            raise failure
        output.error(failure)
        status = max(status, status_of(failure))
    return status


async def _write(options: Any, client: LuminaValuesClient, output: Output) -> None:
    name, value = options.values
    now = await client.write(name, value)
    more = f", not read back, because {printable(now.not_read_back)}" if now.not_read_back else ""
    data = {"not_read_back": now.not_read_back} if now.not_read_back else {}
    text = f"{_value(now)} {printable(now.unit_of_measure)}".rstrip()
    output.result(f"{name} {text}: confirmed{more}", **_data(now), **data)


async def _watch(options: Any, client: LuminaValuesClient, output: Output) -> None:
    columns = Columns(output, _reading_cells, 1)
    columns.widen(await client.read(*options.values))
    async for one in client.changes(*options.values):
        columns.show([(one, _data(one))])


async def _history(options: Any, client: LuminaValuesClient, output: Output) -> None:
    changes = await client.history(options.values[0], options.count)
    Columns(output, _change_cells, 1).show([(one, _data(one)) for one in changes])


async def _config(options: Any, client: LuminaValuesClient, output: Output) -> None:
    device, *texts = options.values
    try:
        changes = changes_of(texts)
    except ValueError as error:
        raise UsageError(str(error)) from None
    config = await (client.configure(device, changes) if changes else client.config(device))
    text = "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in flat(config))
    output.result(text, device=device, config=config)


class Operation(NamedTuple):
    """One operation of the command.

    :param fewest: the minimum number of values; ``most`` is the maximum.
    :param option: its only option, if it has one.
    """

    fewest: int
    most: int
    usage: str
    ask: Callable[[Any, LuminaValuesClient, Output], Awaitable[int | None]]
    option: str = ""


OPERATIONS: Final = {
    "list": Operation(0, 1, "list [PATTERN]", _list),
    "read": Operation(1, MANY, "read NAME… [--fresh]", _read, "fresh"),
    "write": Operation(2, 2, "write NAME VALUE", _write),
    "watch": Operation(1, MANY, "watch NAME…", _watch),
    "history": Operation(1, 1, "history NAME [--count N]", _history, "count"),
    "config": Operation(1, MANY, "config DEVICE [KEY=VALUE…]", _config),
}


def _operation(text: str) -> str:
    if text not in OPERATIONS:
        raise UsageError(f"there is no {text!r} here; {nearest(text, tuple(OPERATIONS))}; see `lumina values --help`")
    return text


class Columns:
    """Prints lines in columns. A column grows when a later line needs more room.

    :param cells: returns the texts of a line's columns.
    :param right: the column that is aligned right, as numbers are; -1: none.
    """

    def __init__(self, output: Output, cells: Callable[[Any], Sequence[str]], right: int = -1) -> None:
        self._output = output
        self._cells = cells
        self._right = right
        self._widths: list[int] = []

    def widen(self, things: Iterable[Any]) -> None:
        """Makes room for items that are printed later."""
        for one in things:
            cells = self._cells(one)
            widths = [len(cell) if at != self._right or len(cell) <= WIDE else 1 for at, cell in enumerate(cells)]
            self._widths = [*map(max, self._widths or widths, widths)]

    def show(self, rows: Sequence[tuple[Any, dict[str, Any]]]) -> None:
        """Prints a line for each item, or its data."""
        self.widen(one for one, _ in rows)
        for one, data in rows:
            self._output.result("  ".join(self._padded(self._cells(one))).rstrip(), **data)

    def _padded(self, cells: Sequence[str]) -> Iterator[str]:
        for at, (cell, width) in enumerate(zip(cells, self._widths, strict=True)):
            if width:  # an empty column takes no room
                yield cell.rjust(width) if at == self._right else cell.ljust(width)


def _reading_cells(one: ValueReading) -> tuple[str, ...]:
    return one.name, *_value_cells(one), _time(one), printable(one.why)


def _change_cells(one: ValueReading) -> tuple[str, ...]:
    return _time(one), *_value_cells(one), printable(one.why)


def _value_cells(one: ValueReading) -> tuple[str, ...]:
    return _value(one), printable(one.unit_of_measure), one.quality.value


def _point_cells(one: PointDescription) -> tuple[str, ...]:
    access = "rw" if one.writable else "r"
    return one.name, one.type, access, printable(one.unit_of_measure), _range(one), printable(one.summary)


def _data(one: ValueReading) -> dict[str, Any]:
    return {
        "name": one.name, "value": one.value, "unit_of_measure": one.unit_of_measure, "quality": one.quality.value,
        "time": one.time, "why": one.why,
    }


def _value(one: ValueReading) -> str:
    return NOTHING if one.value is None else printable(value_text(one.value))


def _range(one: PointDescription) -> str:
    """The possible values, as text."""
    if one.words:
        words = printable(", ".join(one.words))
        return words if len(words) <= MOST_WORDS else f"{words[: MOST_WORDS - 1]}…"
    if one.low is None and one.high is None:
        return ""
    low, high = (NOTHING if limit is None else f"{limit:.15g}" for limit in (one.low, one.high))
    return f"{low} to {high}"


def _time(one: ValueReading) -> str:
    """The time of the reading, in local time."""
    if one.time is None:
        return NOTHING
    try:
        return datetime.datetime.fromtimestamp(one.time).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):  # no calendar has this time
        return NOTHING


def printable(text: str) -> str:
    """A device's text without control characters, which a terminal would obey."""
    return text if text.isprintable() else json.dumps(text).replace("\x7f", "\\u007f")
