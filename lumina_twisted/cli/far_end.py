"""The far end of the console: a server that answers lines, or chunks without a newline, floor 5."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
from collections.abc import Callable
from typing import Any, Final

from lumina_twisted.cli.arguments import Server
from lumina_twisted.cli.output import WriteFailed
from lumina_twisted.errors import NotConnected

QUIET: Final = 0.3
"""Seconds without a byte after which an answer without an end counts as whole."""
COMMENT: Final = "#"
"""Begins the lines that Lumina answers to a word; one that has nothing else ends them."""
WORDS: Final = frozenset({"help", "ports", "stats", "stats json"})


class FarEnd(asyncio.Protocol):
    """One connection.

    :param show: is told what comes, line by line.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self.closed = asyncio.Event()
        self.not_shown: Exception | None = None
        """Why nothing more can be shown."""
        self._show = show
        self._whole = asyncio.Event()
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._heard = False
        self._word_asked = False
        self._quiet: asyncio.TimerHandle | None = None
        self._transport: Any = None

    def say(self, line: str) -> None:
        """Sends a line."""
        self._word_asked = line.strip().lower() in WORDS
        self._heard = False
        self._whole.clear()
        self._transport.write(line.encode("utf-8", "replace") + b"\n")

    async def answered(self, patience: float) -> bool:
        """Waits until the answer to what was said last is whole, for ``patience`` seconds; whether it came."""
        try:
            async with asyncio.timeout(patience):
                await self._whole.wait()
        except TimeoutError:
            return False
        return self._heard

    async def finish(self, patience: float) -> None:
        """Says that nothing more will come, and waits until the server has said all, for ``patience`` seconds."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.closed.wait()

    def close(self) -> None:
        """Leaves."""
        self._flush()
        self._transport.abort()

    # -- what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        self._heard = True
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
        if self._word_asked and line.startswith(COMMENT):
            if line.rstrip() == COMMENT:
                return
            line = line.removeprefix(COMMENT).removeprefix(" ")
        try:
            self._show(line)
        except (OSError, WriteFailed) as error:
            self.not_shown = self.not_shown or error
            self.closed.set()


async def reach(where: Server, show: Callable[[str], None], timeout: float) -> FarEnd:
    """A connection.

    :raises NotConnected: if there is none within ``timeout`` seconds.
    """
    loop, far = asyncio.get_running_loop(), FarEnd(show)
    try:
        async with asyncio.timeout(timeout):
            if where.host.startswith("/"):
                await loop.create_unix_connection(lambda: far, where.host)
            else:
                await loop.create_connection(lambda: far, where.host, where.port)
    except TimeoutError:
        raise NotConnected(f"no connection to {where} within {timeout:g} s; is it running there?") from None
    except (OSError, ValueError) as error:  # the latter for a name that cannot be looked up
        raise NotConnected(f"no connection to {where} ({_why(error)}); is it running there?") from None
    return far


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None) or 0
    return os.strerror(number) if number > 0 else str(error)
