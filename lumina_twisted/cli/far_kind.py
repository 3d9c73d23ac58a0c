"""What the far end of the console is, floor 5: a Lumina server, a listener for values, or anything else."""

from __future__ import annotations

from enum import Enum
from typing import Final

from lumina_twisted.cli.arguments import Server
from lumina_twisted.cli.connection import ask_word
from lumina_twisted.cli.ports import parsed
from lumina_twisted.client.aio import LuminaModbusClient, LuminaValuesClient
from lumina_twisted.errors import LuminaError
from lumina_twisted.valueproto.command import WORDS

COMMANDS: Final = "id:device type:port"
VALUES: Final = "read! NAME"
"""What the help of each has, and no other's."""


class Kind(Enum):
    """What it is."""

    COMMANDS = "a line listener of Lumina's"
    VALUES = "a listener for values"
    OTHER = "any server"


async def kind_of(client: LuminaModbusClient, timeout: float) -> Kind:
    """What it is, by its own help; it is asked over a connection of its own."""
    try:
        told = await ask_word(client, "help", timeout)
    except LuminaError:
        return Kind.OTHER
    if any(COMMANDS in line for line in told):
        return Kind.COMMANDS
    return Kind.VALUES if any(VALUES in line for line in told) else Kind.OTHER


async def words_of(kind: Kind, where: Server, client: LuminaModbusClient, timeout: float) -> list[str]:
    """What can be typed there, besides the console's own words."""
    try:
        if kind is Kind.COMMANDS:
            ports = [parsed(line) for line in await ask_word(client, "ports", timeout)]
            return [one.name for one in ports if one]
        return await _names(where, timeout) if kind is Kind.VALUES else []
    except LuminaError:
        return []


async def _names(where: Server, timeout: float) -> list[str]:
    """The words of a listener for values, and the names of these."""
    client = LuminaValuesClient(where.host, where.port, timeout=timeout)
    try:
        points = await client.list()
    finally:
        await client.close()
    return [*WORDS, *dict.fromkeys(one.device for one in points if one.device), *(one.name for one in points)]
