"""Commands that need a server, floor 5: the server's address, and a client that is connected while the command runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from lumina_twisted.cli.arguments import (
    DEFAULT_SERVER,
    EXIT_OK,
    ServerAddress,
    UsageError,
    server_address,
    url_address,
)
from lumina_twisted.cli.output import Output
from lumina_twisted.client.aio import AsyncioClient, LuminaModbusClient, LuminaValuesClient, ModbusTcpClient
from lumina_twisted.client.url import VALUES_PORT
from lumina_twisted.errors import NotConnected

Ask = Callable[[Any, Any, Output], Awaitable[int | None]]
"""Runs a command with its options, a connected client and an output for the results; returns the exit status."""


def run_with_client(ask: Ask, options: Any, output: Output) -> int:
    """Runs a command that sends lines, or Modbus TCP requests."""
    where = server_of(options)
    if where.is_modbus and not options.takes_modbus:
        raise UsageError(f"this asks a Lumina server, and {where} is to speak Modbus TCP; write --url lumina://HOST")
    return asyncio.run(_ask(ModbusTcpClient if where.is_modbus else LuminaModbusClient, where, ask, options, output))


def run_with_values_client(ask: Ask, options: Any, output: Output) -> int:
    """Runs a command that asks for values by name."""
    return asyncio.run(_ask(LuminaValuesClient, values_server_of(options), ask, options, output))


async def _ask(kind: Any, where: ServerAddress, ask: Ask, options: Any, output: Output) -> int:
    client = kind(where.host, where.port, timeout=options.timeout)
    try:
        await _connect(client, where, options.timeout)
        return await ask(options, client, output) or EXIT_OK
    finally:
        await client.close()


def server_of(options: Any) -> ServerAddress:
    """The server's address, from the options or the environment.

    :raises UsageError: if they give no valid address.
    """
    if (url := getattr(options, "url", None)) is not None:
        return url_address(url)
    if (given := getattr(options, "server", None)) is not None:
        return server_address(given)
    return _from_environment("LUMINA_SERVER", DEFAULT_SERVER, 8888)


def values_server_of(options: Any) -> ServerAddress:
    """The address of the listener for values. Without an option or a variable for it, its host is that of the commands.

    :raises UsageError: if they give no valid address.
    """
    if options.url is not None:
        where = url_address(options.url, VALUES_PORT)
    elif options.server is not None:
        where = server_address(options.server, VALUES_PORT)
    elif os.environ.get("LUMINA_VALUES"):
        where = _from_environment("LUMINA_VALUES", "", VALUES_PORT)
    else:
        commands = server_of(options)
        host = "127.0.0.1" if commands.host.startswith("/") else commands.host
        where = commands._replace(host=host, port=VALUES_PORT)
    if where.is_modbus:
        raise UsageError(f"a Lumina server has values by name, and {where} is to speak Modbus TCP; write --server HOST")
    return where


def _from_environment(variable: str, default: str, port: int) -> ServerAddress:
    try:
        return server_address(os.environ.get(variable) or default, port)
    except UsageError as error:
        raise UsageError(f"{variable}: {error}") from None


async def _connect(client: AsyncioClient, where: ServerAddress, timeout: float) -> None:
    """Connects the client to the server.

    :raises NotConnected: after ``timeout`` seconds, or when the server refuses the connection.
    """
    try:
        async with asyncio.timeout(timeout):
            await client.connect()
    except NotConnected as error:
        is_here = where.host in ("127.0.0.1", "localhost", "::1") or where.host.startswith("/")
        remedy = " `lumina run` or the service starts it" if is_here and not where.is_modbus else ""
        raise NotConnected(f"{error}{remedy}") from None
    except TimeoutError:
        raise NotConnected(f"no connection to {where} within {timeout:g} s; {client.hint}") from None


async def text_command(client: LuminaModbusClient, command: str, timeout: float) -> tuple[str, ...]:
    """The lines of the server's answer to a text command such as ``ports``.

    :raises NotConnected: if the connection is lost, or no answer comes within ``timeout`` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            return await client.ask(command)
    except TimeoutError:
        raise NotConnected(
            f"the server did not answer {command!r} within {timeout:g} s; is it a Lumina server?"
        ) from None
