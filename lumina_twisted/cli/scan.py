"""``lumina scan``: which units answer, and with which settings, floor 5.

It is polite to a bus in use: one request at a time, no retries, and between two of them a pause as long as the last
one took, so that half of the bus at most is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import sys
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

from attrs import frozen

from lumina_twisted.cli.output import Output
from lumina_twisted.cli.parser import UsageError, add_connection, checked
from lumina_twisted.client.aio import LuminaModbusClient, Unit
from lumina_twisted.errors import ModbusException, NotConnected, PortClosed, RequestError, ResponseTimeout
from lumina_twisted.modbus import pdu

EXAMPLES = """\
  lumina scan demo1                                 units 1 to 247, with the port's own settings
  lumina scan demo1 --units 1-10,17
  lumina scan /dev/ttyUSB0 --units 1-5 --baudrates 9600,19200,38400 --parities N,E
"""


@frozen
class Settings:
    """One way to ask; None for the port's own."""

    baudrate: int | None
    parity: str | None

    def __str__(self) -> str:
        return " ".join(str(one) for one in (self.baudrate, self.parity) if one) or "the port's settings"


def units(text: str) -> tuple[int, ...]:
    """Units of a list such as ``1-10,17``.

    :raises ValueError: if it is none.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part.strip())
        if match is None:
            raise ValueError
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= 255:
            raise ValueError
        found.update(dict.fromkeys(range(first, last + 1)))
    return tuple(found)


def _numbers(text: str) -> tuple[int, ...]:
    values = tuple(int(one) for one in text.split(","))
    if not all(0 < one <= 10_000_000 for one in values):
        raise ValueError
    return values


def _parities(text: str) -> tuple[str, ...]:
    values = tuple(one.strip().upper() for one in text.split(","))
    if not set(values) <= set("NEOMS"):
        raise ValueError
    return values


def add_scan(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``scan``."""
    parser.add_argument("port", metavar="PORT", help="name or path of a port")
    parser.add_argument(
        "--units", type=checked(units, "no list of units; write as 1-10,17, from 1 to 255"),
        default=tuple(range(1, 248)), metavar="LIST", help="which to ask (1-247)",
    )
    parser.add_argument(
        "--baudrates", type=checked(_numbers, "no list of baud rates; write as 9600,19200"), default=(None,),
        metavar="LIST", help="speeds to try (the port's own)",
    )
    parser.add_argument(
        "--parities", type=checked(_parities, "no list of parities; write as N,E,O"), default=(None,), metavar="LIST",
        help="parities to try (the port's own)",
    )
    parser.add_argument(
        "--function", type=int, choices=(1, 2, 3, 4, 7, 17, 43), default=3, metavar="CODE",
        help="what to ask: 1 to 4 read one entry, 7, 17, 43 (3); an exception counts as an answer",
    )
    add_connection(parser)
    parser.set_defaults(timeout=None)
    for action in parser._actions:
        if action.dest == "timeout":
            action.help = "how long each unit has to answer (what the port's settings say)"


_QUESTIONS: dict[int, pdu.Request] = {
    1: pdu.ReadCoilsRequest(0, 1), 2: pdu.ReadDiscreteInputsRequest(0, 1), 3: pdu.ReadHoldingRegistersRequest(0, 1),
    4: pdu.ReadInputRegistersRequest(0, 1), 7: pdu.ReadExceptionStatusRequest(), 17: pdu.ReportServerIdRequest(),
    43: pdu.ReadDeviceIdentificationRequest(1, 0),
}


async def scan(options: Any, client: LuminaModbusClient, output: Output) -> int:
    """Prints each unit that answers as it is found; 1 if none does."""
    ways = [Settings(*one) for one in product(options.baudrates, options.parities)]
    found = 0
    with progress(len(ways) * len(options.units), output) as step:
        try:
            for way, number in product(ways, options.units):
                found += await _ask(client, options, way, number, output)
                step(f"{options.port}, {way}, unit {number}")
        except asyncio.CancelledError:
            output.note(f"interrupted at unit {number}; {_told(found)} so far")
            raise
    nobody = f"no unit answered on {options.port}; are baud rate, parity and wiring right?"
    output.note(_told(found) if found else nobody)
    return 0 if found else 1


def _told(found: int) -> str:
    return f"{found} unit{'' if found == 1 else 's'} found"


async def _ask(client: LuminaModbusClient, options: Any, way: Settings, number: int, output: Output) -> int:
    patience = options.timeout or 10.0
    unit = client.port(options.port, baudrate=way.baudrate, parity=way.parity, timeout=patience, retries=0).unit(number)
    began = time.monotonic()
    try:
        said = f"exception {refused.code}" if (refused := await _refusal(unit, options.function)) else "answers"
    except ResponseTimeout:
        await asyncio.sleep(min(time.monotonic() - began, 1.0))
        return 0
    identity = await _identity(unit)
    told = f"unit {number}: {said}" + (f", {way}" if way.baudrate or way.parity else "") + (
        f", {identity}" if identity else ""
    )
    output.result(told, port=options.port, unit=number, baudrate=way.baudrate, parity=way.parity, answer=said,
                  identity=identity)
    await asyncio.sleep(min(time.monotonic() - began, 1.0))
    return 1


async def _refusal(unit: Unit, function: int) -> ModbusException | None:
    try:
        await unit.request(_QUESTIONS[function])
    except ModbusException as refused:
        return refused
    except PortClosed as closed:
        raise PortClosed(str(closed)) from None
    except RequestError as wrong:
        if "no port" in str(wrong):
            raise UsageError(f"{wrong}; `lumina ports` tells which there are") from None
        raise
    return None


async def _identity(unit: Unit) -> str:
    """What the device says of itself, if it can."""
    try:
        objects = await unit.read_device_identification()
    except NotConnected:
        raise
    except Exception:
        return ""
    return " ".join(objects[one].decode("utf-8", "replace") for one in sorted(objects)[:3])


@contextlib.contextmanager
def progress(total: int, output: Output) -> Iterator[Any]:
    """A bar on a terminal, if rich is installed; nothing otherwise."""
    if output.as_json or not sys.stderr.isatty():
        yield lambda text: None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield lambda text: print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
        print("\r\x1b[K", end="", file=sys.stderr)
        return
    with Progress(console=Console(stderr=True), auto_refresh=False, transient=True) as bar:
        task = bar.add_task("scanning", total=total)

        def step(text: str) -> None:
            bar.update(task, advance=1, description=text)
            bar.refresh()

        yield step


