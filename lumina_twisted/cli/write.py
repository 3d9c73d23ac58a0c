"""``lumina write``, floor 5."""

from __future__ import annotations

import argparse
from typing import Any, Final

from lumina_twisted.cli.arguments import UsageError, add_request_options
from lumina_twisted.cli.output import Output
from lumina_twisted.cli.read import say_more
from lumina_twisted.cli.registers import add_place, add_terms, check, check_range, encoded, states, unit_of
from lumina_twisted.client.aio import LuminaModbusClient, ModbusTcpClient, Unit
from lumina_twisted.errors import OutcomeUnknown
from lumina_twisted.modbus.functions import MAX_WRITE_BITS, MAX_WRITE_REGISTERS

EXAMPLES: Final = """\
  lumina write demo1 2 coil 3 on
  lumina write demo1 2 holding 10 1500
  lumina write demo1 2 holding 20 21.5 -3 --type f32 --word-order little
  lumina write demo1 2 holding 30 "boiler 1" --type string --length 8
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    add_place(parser)
    parser.add_argument("values", metavar="VALUE", nargs="+", help="on or off for coils; numbers, or a text")
    parser.add_argument("--multiple", action="store_true", help="use function 15 or 16 for a single one too")
    add_terms(parser)
    add_request_options(parser)


async def ask(options: Any, client: LuminaModbusClient | ModbusTcpClient, output: Output) -> None:
    """Writes the values with one request, and prints that the device confirmed it."""
    table = options.table
    if not table.is_writable:
        other = "coil" if table.is_bits else "holding"
        raise UsageError(f"the table {table.name} can be read only; write `{other}` if you mean that one")
    check(options)
    values = states(options.values) if table.is_bits else encoded(options.values, options)
    most = MAX_WRITE_BITS if table.is_bits else MAX_WRITE_REGISTERS
    if len(values) > most:
        raise UsageError(f"{len(values)} are more than one request can write; give {most} at most")
    check_range(options.address, len(values), "give fewer values, or a lower address")
    try:
        await _write(unit_of(client, options), options, values)
    except OutcomeUnknown as error:
        raise say_more(error, ". Read it back before you write it again") from None
    last = options.address + len(values) - 1
    where = f"{table.name} {options.address}" + (f" to {last}" if len(values) > 1 else "")
    is_proven = options.unit != 0 or isinstance(client, ModbusTcpClient)  # with Modbus TCP, the gateway answers for 0
    done = "confirmed" if is_proven else "sent to all units, which do not answer"
    output.result(
        f"{where}: {done}", port=options.port, unit=options.unit, table=table.name, address=options.address,
        written=len(values), confirmed=is_proven,
    )


async def _write(unit: Unit, options: Any, values: list[Any]) -> None:
    single = len(values) == 1 and not options.multiple
    if options.table.is_bits:
        await (unit.write_single_coil(options.address, values[0]) if single
               else unit.write_multiple_coils(options.address, values))
    else:
        await (unit.write_single_register(options.address, values[0]) if single
               else unit.write_multiple_registers(options.address, values))
