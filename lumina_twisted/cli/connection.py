"""A command that needs a server: it is connected, asked and left, floor 5."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from lumina_twisted.cli.arguments import DEFAULT_SERVER, Server, from_url, server
from lumina_twisted.cli.output import Output
from lumina_twisted.cli.parser import EXIT_OK, UsageError
from lumina_twisted.client.aio import AsyncioClient, LuminaModbusClient, LuminaValuesClient, ModbusTcpClient
from lumina_twisted.client.url import VALUES_PORT
from lumina_twisted.errors import NotConnected

AskValues = Callable[[Any, LuminaValuesClient, Output], Awaitable[int]]
Ask = Callable[[Any, Any, Output], Awaitable[int | None]]


def run_asking(ask: Ask, options: Any, output: Output) -> int:
    """Runs such a command."""
    where = server_of(options)
    if where.is_modbus and not options.takes_modbus:
        raise UsageError(f"this asks a Lumina server, and {where} is to speak Modbus TCP; write --url lumina://HOST")

    async def whole() -> int:
        kind: Any = ModbusTcpClient if where.is_modbus else LuminaModbusClient
        client = kind(where.host, where.port, timeout=options.timeout)
        try:
            await connect(client, where, options.timeout)
            return await ask(options, client, output) or EXIT_OK
        finally:
            await client.close()

    return asyncio.run(whole())


def run_asking_values(ask: AskValues, options: Any, output: Output) -> int:
    """Runs a command that asks for values by name."""
    where = values_server_of(options)

    async def whole() -> int:
        client = LuminaValuesClient(where.host, where.port, timeout=options.timeout)
        try:
            await connect(client, where, options.timeout)
            return await ask(options, client, output)
        finally:
            await client.close()

    return asyncio.run(whole())


def values_server_of(options: Any) -> Server:
    """Where the server listens for values, as the options or the environment say.

    Who has only said where commands are sent means the same machine.

    :raises UsageError: if that is no place.
    """
    if options.url is not None:
        where = from_url(options.url, VALUES_PORT)
    elif options.server is not None:
        where = server(options.server, VALUES_PORT)
    elif named := os.environ.get("LUMINA_VALUES"):
        try:
            where = server(named, VALUES_PORT)
        except UsageError as error:
            raise UsageError(f"LUMINA_VALUES: {error}") from None
    else:
        commands = server_of(options)
        host = "127.0.0.1" if commands.host.startswith("/") else commands.host
        where = commands._replace(host=host, port=VALUES_PORT)
    if where.is_modbus:
        raise UsageError(f"a Lumina server has values by name, and {where} is to speak Modbus TCP; write --server HOST")
    return where


def server_of(options: Any) -> Server:
    """Where the server is that the options or the environment name.

    :raises UsageError: if that is no place.
    """
    if (url := getattr(options, "url", None)) is not None:
        return from_url(url)
    if (given := getattr(options, "server", None)) is not None:
        return server(given)
    try:
        return server(os.environ.get("LUMINA_SERVER") or DEFAULT_SERVER)
    except UsageError as error:
        raise UsageError(f"LUMINA_SERVER: {error}") from None


async def connect(client: AsyncioClient, where: Server, timeout: float) -> None:
    """Connects, or gives up.

    :raises NotConnected: after ``timeout`` seconds, or when it is refused.
    """
    try:
        async with asyncio.timeout(timeout):
            await client.connect()
    except NotConnected as error:
        raise NotConnected(f"{error}{_remedy(where)}") from None
    except TimeoutError:
        raise NotConnected(f"no connection to {where} within {timeout:g} s; {client.hint}") from None


def _remedy(where: Server) -> str:
    """What starts it, if it is to run on this machine."""
    is_here = where.host in ("127.0.0.1", "localhost", "::1") or where.host.startswith("/")
    return " `lumina run` or the service starts it" if is_here and not where.is_modbus else ""


async def ask_word(client: LuminaModbusClient, word: str, timeout: float) -> tuple[str, ...]:
    """What the server answers to a word.

    :raises NotConnected: if the connection is lost, or no answer comes within ``timeout`` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            return await client.ask(word)
    except TimeoutError:
        raise NotConnected(f"the server did not answer {word!r} within {timeout:g} s; is it a Lumina server?") from None
