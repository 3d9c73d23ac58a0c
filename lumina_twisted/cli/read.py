"""``lumina read``, floor 5."""

from __future__ import annotations

import argparse
import asyncio
import math
import time
from typing import Any, Final

from lumina_twisted.cli.arguments import UsageError, add_request_options, bounded
from lumina_twisted.cli.output import Output
from lumina_twisted.cli.registers import (
    add_place,
    add_terms,
    check,
    check_range,
    decoded,
    unit_of,
    width,
)
from lumina_twisted.client.aio import LuminaModbusClient, ModbusTcpClient
from lumina_twisted.errors import IllegalDataAddress, ModbusError, ModbusException, RequestError
from lumina_twisted.text import on_off, shown

EXAMPLES: Final = """\
  lumina read demo1 1 input 0                      one register of unit 1
  lumina read demo2 1 input 0 --type u32           two registers as one number
  lumina read demo1 2 coil 0 --count 8
  lumina read demo1 1 input 0 --watch 5            again and again, until Ctrl-C
  lumina read --url modbus://10.0.0.5 1 input 0    over Modbus TCP, which has no ports
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    add_place(parser)
    parser.add_argument("--count", type=bounded(1, 65536, "count"), default=1, metavar="N", help="how many values (1)")
    parser.add_argument(
        "--watch", type=bounded(0.01, 86400, "pause", float), metavar="SECONDS",
        help="read again after so long, for ever",
    )
    add_terms(parser, reads=True)
    add_request_options(parser)


async def ask(options: Any, client: LuminaModbusClient | ModbusTcpClient, output: Output) -> None:
    """Prints the values: on each line an address and its value. With ``--watch``, it prints a failure and goes on."""
    check(options)
    if options.type == "string" and not options.length:
        raise UsageError("how long is the string? write --length REGISTERS, two characters each")
    if options.unit == 0 and isinstance(client, LuminaModbusClient):
        raise UsageError("unit 0 is all units at once, of which none answers; give a unit from 1 to 247")
    if not options.watch:
        await _read(options, client, output)
        return
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            await _read(options, client, output)
        except RequestError:
            raise
        except ModbusError as error:
            output.error(error)
        await asyncio.sleep(max(0.0, began + options.watch - clock()))


async def _read(options: Any, client: LuminaModbusClient | ModbusTcpClient, output: Output) -> None:
    """Reads a range of any length, with several requests if necessary. Each value comes from a single request."""
    table, first = options.table, options.address
    step = 1 if table.is_bits else width(options)
    end = first + step * options.count
    check_range(first, end - first, "give a smaller --count")
    read = getattr(unit_of(client, options), table.method)
    most = table.limit - table.limit % step
    for start in range(first, end, most):
        quantity = min(most, end - start)
        try:
            entries = await read(start, quantity)
        except ModbusException as error:
            where = f", asked for {start} to {start + quantity - 1}" if end - first > most else ""
            hint = _hint(options) if isinstance(error, IllegalDataAddress) else ""
            raise say_more(error, f"{where}{hint}") from None
        for at in range(0, quantity, step):
            _show(options, start + at, entries[at : at + step], output)


def say_more(error: ModbusError, more: str) -> ModbusError:
    """The same error, with ``more`` appended to its message."""
    error.args = (f"{error}{more}",)
    return error


def _hint(options: Any) -> str:
    """A hint for an address from a manual; many manuals count registers from 40001 or 30001."""
    first = {"holding": 40001, "input": 30001, "discrete": 10001}.get(options.table.name, 65536)
    if not first <= options.address < first + 9999:
        return ""
    return f". If the manual says register {options.address}, its address is {options.address - first}"


def _show(options: Any, here: int, entries: tuple[Any, ...], output: Output) -> None:
    value: Any = bool(entries[0]) if options.table.is_bits else decoded(entries, options)
    text = on_off(value) if options.table.is_bits else shown(str(value))
    if isinstance(value, float) and not math.isfinite(value):
        value = None  # JSON has no infinity and no NaN
    when = {"time": round(time.time(), 3)} if options.watch else {}
    output.result(
        f"{here} {text}", port=options.port, unit=options.unit, table=options.table.name, address=here, value=value,
        **when,
    )
