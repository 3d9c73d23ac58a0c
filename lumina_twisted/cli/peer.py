"""The console's peer, floor 5: a server, its kind, and its answers, which are lines or chunks without a newline."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from lumina_twisted.cli.arguments import ServerAddress
from lumina_twisted.cli.connection import text_command
from lumina_twisted.cli.output import WriteFailed
from lumina_twisted.cli.ports import parsed
from lumina_twisted.client.aio import LuminaModbusClient, LuminaValuesClient
from lumina_twisted.errors import LuminaError, NotConnected
from lumina_twisted.valueproto.command import WORDS

QUIET: Final = 0.3
"""Seconds of silence after which an answer without an end mark counts as complete."""
COMMENT: Final = "#"
"""The start of each line of Lumina's answer to a text command. A line with nothing else ends the answer."""
TEXT_COMMANDS: Final = frozenset({"help", "ports", "stats", "stats json"})
HELP_OF_COMMANDS: Final = "id:device type:port"
"""Only the help of a line listener contains it, and only that of a listener for values ``HELP_OF_VALUES``."""
HELP_OF_VALUES: Final = "read! NAME"


class Peer(asyncio.Protocol):
    """One connection to a server.

    :param show: is called with each received line.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self.closed = asyncio.Event()
        self.not_shown: Exception | None = None
        """The reason why the peer can show nothing more."""
        self._show = show
        self._whole = asyncio.Event()
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._answered = False
        self._is_text_command = False
        self._quiet: asyncio.TimerHandle | None = None
        self._transport: Any = None

    def send(self, line: str) -> None:
        """Sends a line."""
        self._is_text_command = line.strip().lower() in TEXT_COMMANDS
        self._answered = False
        self._whole.clear()
        self._transport.write(line.encode("utf-8", "replace") + b"\n")

    async def answered(self, patience: float) -> bool:
        """Waits up to ``patience`` seconds for the whole answer to the last line; returns whether one came."""
        try:
            async with asyncio.timeout(patience):
                await self._whole.wait()
        except TimeoutError:
            return False
        return self._answered

    async def finish(self, patience: float) -> None:
        """Sends EOF, and waits up to ``patience`` seconds for the server to send the rest and close."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.closed.wait()

    def close(self) -> None:
        """Closes the connection at once."""
        self._flush()
        self._transport.abort()

    # -- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        self._answered = True
        *lines, self._rest = (self._rest + self._decode(data)).split("\n")
        for line in lines:
            self._show_line(line.removesuffix("\r"))
        if self._quiet is not None:
            self._quiet.cancel()
        if not self._rest and lines and (not lines[-1].startswith(COMMENT) or lines[-1].rstrip() == COMMENT):
            self._whole.set()
        else:
            self._quiet = asyncio.get_running_loop().call_later(QUIET, self._flush)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._flush()
        self.closed.set()

    def _flush(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        rest, self._rest = self._rest, ""
        if rest:
            self._show_line(rest)
        self._whole.set()

    def _show_line(self, line: str) -> None:
        if self._is_text_command and line.startswith(COMMENT):
            if line.rstrip() == COMMENT:
                return
            line = line.removeprefix(COMMENT).removeprefix(" ")
        try:
            self._show(line)
        except (OSError, WriteFailed) as error:
            self.not_shown = self.not_shown or error
            self.closed.set()


async def connect(where: ServerAddress, show: Callable[[str], None], timeout: float) -> Peer:
    """Connects to a server.

    :raises NotConnected: if there is no connection within ``timeout`` seconds.
    """
    loop, peer = asyncio.get_running_loop(), Peer(show)
    try:
        async with asyncio.timeout(timeout):
            if where.host.startswith("/"):
                await loop.create_unix_connection(lambda: peer, where.host)
            else:
                await loop.create_connection(lambda: peer, where.host, where.port)
    except TimeoutError:
        raise NotConnected(f"no connection to {where} within {timeout:g} s; is it running there?") from None
    except (OSError, ValueError) as error:  # ValueError for a host name that cannot be looked up
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else str(error)
        raise NotConnected(f"no connection to {where} ({why}); is it running there?") from None
    return peer


class Kind(Enum):
    """The kind of a server."""

    COMMANDS = "a line listener of Lumina's"
    VALUES = "a listener for values"
    OTHER = "any server"


async def kind_of(client: LuminaModbusClient, timeout: float) -> Kind:
    """The kind of a server, from its help text. The client reads it over a separate connection."""
    try:
        help_text = "\n".join(await text_command(client, "help", timeout))
    except LuminaError:
        return Kind.OTHER
    if HELP_OF_COMMANDS in help_text:
        return Kind.COMMANDS
    return Kind.VALUES if HELP_OF_VALUES in help_text else Kind.OTHER


async def names_of(kind: Kind, where: ServerAddress, client: LuminaModbusClient, timeout: float) -> list[str]:
    """The words that the console completes for this server, besides its own commands."""
    try:
        if kind is Kind.COMMANDS:
            ports = [parsed(line) for line in await text_command(client, "ports", timeout)]
            return [one.name for one in ports if one]
        return await _value_names(where, timeout) if kind is Kind.VALUES else []
    except LuminaError:
        return []


async def _value_names(where: ServerAddress, timeout: float) -> list[str]:
    """The commands of a listener for values, and the names of its devices and values."""
    client = LuminaValuesClient(where.host, where.port, timeout=timeout)
    try:
        points = await client.list()
    finally:
        await client.close()
    return [*WORDS, *dict.fromkeys(one.device for one in points if one.device), *(one.name for one in points)]
