"""``lumina send``, floor 5."""

from __future__ import annotations

import argparse
import re
from typing import Any, Final

from lumina_twisted.cli.arguments import UsageError, add_request_options, bounded
from lumina_twisted.cli.output import Output
from lumina_twisted.cli.registers import add_port, add_terms, check_modbus, check_port, terms_of
from lumina_twisted.client.aio import CommandReply, CommandSettings, LuminaModbusClient, ModbusTcpClient
from lumina_twisted.client.command import request_frame
from lumina_twisted.errors import FrameError
from lumina_twisted.framing.crc import append_crc, crc_bytes, crc_ok, without_crc
from lumina_twisted.framing.rtu import check_request_frame
from lumina_twisted.modbus.functions import request_length

EXAMPLES: Final = """\
  lumina send demo1 020300000001                   unit, function, data; the CRC is added
  lumina send demo1 02 03 00 00 00 01 84 39        or is there
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    add_port(parser, _names_port)
    parser.add_argument("hex", metavar="HEX", nargs="+", help="unit, function and data, with or without the CRC")
    parser.add_argument(
        "--response-length", type=bounded(0, 256, "length"), default=0, metavar="BYTES",
        help="bytes of the reply's frame; only functions outside the specification need it",
    )
    add_terms(parser)
    add_request_options(parser)


def _names_port(positional: list[str]) -> bool:
    return len(positional) > 1 and re.fullmatch(r"(0x)?[0-9a-f ]*", positional[0], re.IGNORECASE) is None


async def ask(options: Any, client: LuminaModbusClient | ModbusTcpClient, output: Output) -> None:
    """Sends a frame unchanged, and prints the frame of the reply."""
    body = body_of("".join(options.hex))
    reply = await _sent(client, options, body)
    output.result(
        reply.frame.hex().upper() or "sent to all units, which do not answer", port=options.port,
        reply=reply.frame.hex().upper(), time=reply.stamp,
    )


async def _sent(client: LuminaModbusClient | ModbusTcpClient, options: Any, body: bytes) -> CommandReply:
    length = options.response_length
    if isinstance(client, ModbusTcpClient):
        check_modbus(options)
        how = CommandSettings(timeout=options.timeout)
        return await client.request(request_frame(body), "", how, name="lumina send", response_length=length)
    check_port(options)
    return await client.send_command("lumina send", options.port, body, response_length=length, **terms_of(options))


def body_of(text: str) -> bytes:
    """The unit and PDU of a request, without the CRC that the text may have.

    :raises UsageError: if the text is no request.
    """
    try:
        typed = bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is not hexadecimal digits, two a byte, as 020300000001") from None
    if len(typed) < 2:
        raise UsageError(f"{text!r} is no request; write unit, function and data, as 020300000001")
    body = without_crc(typed) if len(typed) > 3 and crc_ok(typed) else typed
    try:
        check_request_frame(append_crc(body))
    except FrameError as error:
        raise UsageError(_why_not(body, error)) from None
    return body


def _why_not(body: bytes, error: FrameError) -> str:
    if len(body) > 255:
        return str(error)
    length = request_length(body + b"\0\0", 1)
    if length == len(body) - 3:
        right = crc_bytes(without_crc(body)).hex().upper()
        return f"wrong CRC {body[-2:].hex().upper()}, the right one is {right}; leave it out, and it is added"
    asked = f"{length + 1} bytes" if length > 0 else "more bytes"
    return f"a request of function {body[1]} has {asked} with its unit and without its CRC, not {len(body)}"
