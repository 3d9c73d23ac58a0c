"""``lumina read``, ``write`` and ``send``, floor 5."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from lumina_twisted.cli.output import Output
from lumina_twisted.cli.parser import UsageError, add_connection, add_serial, address, bounded
from lumina_twisted.cli.tables import TYPES, decoded, encoded, states, table, width
from lumina_twisted.client.aio import LuminaModbusClient, Unit
from lumina_twisted.errors import IllegalDataAddress, OutcomeUnknown
from lumina_twisted.modbus.crc import crc_ok
from lumina_twisted.modbus.pdu_write import MAX_WRITE_BITS, MAX_WRITE_REGISTERS

READ_EXAMPLES = """\
  lumina read demo1 1 input 0                      one register of unit 1
  lumina read demo2 1 input 0 --type u32           two registers as one number
  lumina read demo1 2 coil 0 --count 8
  lumina read demo1 1 input 0 --watch 5            again and again
"""
WRITE_EXAMPLES = """\
  lumina write demo1 2 coil 3 on
  lumina write demo1 2 holding 10 1500
  lumina write demo1 2 holding 20 21.5 -3 --type f32 --word-order little
"""
SEND_EXAMPLES = """\
  lumina send demo1 020300000001                   unit, function, data; the CRC is added
"""


def add_place(parser: argparse.ArgumentParser, *, registers: bool = True) -> None:
    """Port, unit, table and address, and how registers are read."""
    parser.add_argument("port", metavar="PORT", help="name or path of a port; `lumina ports` tells which there are")
    parser.add_argument("unit", metavar="UNIT", type=bounded(0, 255, "unit"), help="unit identifier, 1 to 247")
    parser.add_argument("table", metavar="TABLE", type=table, help="coil, discrete, holding or input")
    parser.add_argument("address", metavar="ADDRESS", type=address, help="address, from 0, decimal or as 0x10")
    group = parser.add_argument_group("values in registers")
    group.add_argument("--type", choices=TYPES, default="u16", metavar="TYPE", help=f"{', '.join(TYPES)} (u16)")
    group.add_argument("--word-order", choices=("big", "little"), default="big", help="which word comes first (big)")
    group.add_argument("--byte-order", choices=("big", "little"), default="big", help="which byte of a word (big)")
    group.add_argument("--length", type=bounded(1, 125, "length"), metavar="N", help="registers of a string")
    group.add_argument("--encoding", choices=("ascii", "utf-8", "latin-1"), default="ascii", help="of a string (ascii)")


def add_read(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``read``."""
    add_place(parser)
    parser.add_argument("--count", type=bounded(1, 65536, "count"), default=1, metavar="N", help="how many values (1)")
    parser.add_argument(
        "--watch", type=bounded(0.01, 86400, "pause", float), metavar="SECONDS",
        help="read again after so long, for ever",
    )
    add_serial(parser)
    add_connection(parser)


def add_write(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``write``."""
    add_place(parser)
    parser.add_argument("values", metavar="VALUE", nargs="+", help="on or off for coils; numbers, or a text")
    parser.add_argument("--multiple", action="store_true", help="use function 15 or 16 for a single one too")
    add_serial(parser)
    add_connection(parser)


def add_send(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``send``."""
    parser.add_argument("port", metavar="PORT", help="name or path of a port")
    parser.add_argument("hex", metavar="HEX", nargs="+", help="unit, function and data, with or without the CRC")
    parser.add_argument(
        "--response-length", type=bounded(0, 256, "length"), default=0, metavar="BYTES",
        help="bytes of the reply's frame; only functions outside the specification need it",
    )
    add_serial(parser)
    add_connection(parser)


def unit_of(client: LuminaModbusClient, options: Any) -> Unit:
    """The unit that the options name."""
    return client.port(options.port, **serial_of(options)).unit(options.unit)


def serial_of(options: Any) -> dict[str, Any]:
    """The settings that the options give."""
    return {
        "baudrate": options.baudrate, "parity": options.parity, "stopbits": options.stopbits,
        "retries": options.retries, "timeout": options.timeout,
    }


async def read(options: Any, client: LuminaModbusClient, output: Output) -> None:
    """Prints the values, an address and a value a line."""
    if options.type == "string" and not options.length:
        raise UsageError("how long is the string? write --length REGISTERS, two characters each")
    while True:
        await _read_once(options, client, output)
        if not options.watch:
            return
        await asyncio.sleep(options.watch)


async def _read_once(options: Any, client: LuminaModbusClient, output: Output) -> None:
    step = 1 if options.table.is_bits else width(options)
    try:
        entries = await read_range(unit_of(client, options), options.table, options.address, step * options.count, step)
    except IllegalDataAddress as error:
        raise IllegalDataAddress(f"{error}{_hint(options)}") from None
    for at in range(0, len(entries), step):
        here = options.address + at
        value = bool(entries[at]) if options.table.is_bits else decoded(entries[at : at + step], options)
        text = ("on" if value else "off") if options.table.is_bits else value
        output.result(
            f"{here} {text}", port=options.port, unit=options.unit, table=options.table.name, address=here, value=value
        )


def _hint(options: Any) -> str:
    """Many manuals count registers from 40001 or 30001."""
    first = {"holding": 40001, "input": 30001, "discrete": 10001}.get(options.table.name, 65536)
    if not first <= options.address < first + 9999:
        return ""
    return f". If the manual says register {options.address}, its address is {options.address - first}"


async def read_range(unit: Unit, which: Any, start: int, entries: int, step: int = 1) -> tuple[Any, ...]:
    """A range of any length, in as many requests as it takes; no value is put together from two of them."""
    if start + entries > 65536:
        raise UsageError(f"{entries} entries from {start} on go beyond address 65535; give a smaller --count")
    found: list[Any] = []
    most = which.limit - which.limit % step
    while len(found) < entries:
        quantity = min(most, entries - len(found))
        found += await getattr(unit, which.read)(start + len(found), quantity)
    return tuple(found)


async def write(options: Any, client: LuminaModbusClient, output: Output) -> None:
    """Writes the values with one request, and says so when the device has confirmed it."""
    if not options.table.is_writable:
        other = "coil" if options.table.is_bits else "holding"
        raise UsageError(f"the table {options.table.name} can be read only; write `{other}` if you mean that one")
    values = states(options.values) if options.table.is_bits else encoded(options.values, options)
    most = MAX_WRITE_BITS if options.table.is_bits else MAX_WRITE_REGISTERS
    if len(values) > most:
        raise UsageError(f"{len(values)} are more than one request can write; give {most} at most")
    try:
        await _write(unit_of(client, options), options, values)
    except OutcomeUnknown as error:
        raise OutcomeUnknown(f"{error}. Read it back before you write it again") from None
    noun = options.table.name if len(options.values) == 1 else f"{options.table.name} …"
    done = "sent to all units, which do not answer" if options.unit == 0 else "confirmed"
    output.result(
        f"{noun} {options.address}: {done}", port=options.port, unit=options.unit, table=options.table.name,
        address=options.address, written=len(values), confirmed=options.unit != 0,
    )


async def _write(unit: Unit, options: Any, values: list[Any]) -> None:
    single = len(values) == 1 and not options.multiple
    if options.table.is_bits:
        await (unit.write_single_coil(options.address, values[0]) if single
               else unit.write_multiple_coils(options.address, values))
    else:
        await (unit.write_single_register(options.address, values[0]) if single
               else unit.write_multiple_registers(options.address, values))


async def send(options: Any, client: LuminaModbusClient, output: Output) -> None:
    """Sends a frame as it is, and prints the reply's."""
    text = "".join(options.hex)
    try:
        frame = bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is not hexadecimal digits, two a byte, as 020300000001") from None
    if len(frame) > 3 and crc_ok(frame):
        frame = frame[:-2]
    reply = await client.send_command(
        "lumina send", options.port, frame, response_length=options.response_length, **serial_of(options)
    )
    output.result(reply.frame.hex().upper() or "sent to all units, which do not answer",
                  port=options.port, reply=reply.frame.hex().upper(), time=reply.stamp)
