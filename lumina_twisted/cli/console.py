"""``lumina console``: a person, or a script, talks to a line server, floor 5.

On a Lumina server, lines that begin with ``read``, ``write``, ``send`` or ``scan`` are those commands; they have a
connection of their own, for the ids of lines that a person types may be any. Every other line is sent as it is, and
what comes back is shown. Other servers get all lines as they are; words and names of a listener for values are
completed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import shlex
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final

from lumina_twisted.cli.arguments import DEFAULT_TIMEOUT, Server, add_where, server
from lumina_twisted.cli.commands import command
from lumina_twisted.cli.connection import server_of
from lumina_twisted.cli.far_end import FarEnd, reach
from lumina_twisted.cli.far_kind import Kind, kind_of, words_of
from lumina_twisted.cli.output import Output, wants_json
from lumina_twisted.cli.parser import EXIT_OK, EXIT_REFUSED, UsageError, bounded
from lumina_twisted.cli.status import status_of
from lumina_twisted.cli.tables import TABLES
from lumina_twisted.cli.typed import edited, piped, prompted
from lumina_twisted.client.aio import LuminaModbusClient
from lumina_twisted.errors import LuminaError, NotConnected
from lumina_twisted.text import close_to, nearest

EXAMPLES: Final = """\
  lumina console
  lumina console 192.168.1.7 8888
  lumina console localhost 5000                    values by name; or any server that answers lines
  echo ports | lumina console
"""
OURS: Final = ("read", "write", "send", "scan")
LEAVE: Final = frozenset({"bye", "quit", "exit"})
PROMPTLY: Final = 1.0
"""Seconds after which a person may type on, whether an answer has come or not."""
HELP: Final = """\
read PORT UNIT TABLE ADDRESS      and write, send, scan: as `lumina read` and so on; `read --help`
ports, stats                      what the server says of itself
bye                               leaves, as Ctrl-D does
> line                            sends it as it is, whatever its first word
Every other line is sent as it is. The server's own help:"""
OTHER_HELP: Final = """\
bye                               leaves, as Ctrl-D does
Every other line is sent as it is. The server's own help:"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.commands`."""
    parser.add_argument("host", metavar="HOST", nargs="?", help="where it runs (LUMINA_SERVER, or 127.0.0.1)")
    parser.add_argument("port", metavar="PORT", nargs="?", type=bounded(1, 65535, "TCP port"), help="its port (8888)")
    group = add_where(parser, modbus=False)
    group.add_argument(
        "--timeout", type=bounded(0.05, 3600, "time to wait", float), default=DEFAULT_TIMEOUT, metavar="SECONDS",
        help=f"from a pipe: how long to wait for the answer to a line ({DEFAULT_TIMEOUT:g})",
    )


def run(options: Any, output: Output) -> int:
    """Talks until it is left, or the input ends.

    :raises NotConnected: if there is no server, or no more.
    """
    if options.host is not None and (options.server or options.url):
        raise UsageError("HOST and --server both say where the server is; write one of them")
    where = server_of(options) if options.host is None else server(options.host)
    if where.is_modbus:
        raise UsageError(f"the console talks in lines, and {where} is to speak Modbus TCP; use `lumina read --url`")
    if options.port:
        where = Server(where.host, options.port)
    return asyncio.run(_converse(where, options.timeout, output))


async def _converse(where: Server, timeout: float, output: Output) -> int:
    far = await reach(where, output.line, timeout)
    is_person = output.source.isatty()
    console = Console(where, far, output, timeout, is_person)
    try:
        status = await console.talk(_lines(output, console) if is_person else piped(output.source))
        if not is_person:
            await far.finish(timeout)
        if far.not_shown is not None:
            raise far.not_shown
        return status
    except NotConnected:
        if far.not_shown is not None:
            raise far.not_shown from None
        raise
    finally:
        far.close()
        await console.close()


def _lines(output: Output, console: Console) -> AsyncIterator[str]:
    output.note("connected; `help` says what can be typed, `bye` leaves")
    has_editor = output.out.isatty() and importlib.util.find_spec("prompt_toolkit") is not None
    return edited(output, lambda: console.words) if has_editor else prompted(output.source, output)


class Console:
    """One conversation.

    :param timeout: seconds that an answer is waited for, unless a person waits.
    """

    def __init__(self, where: Server, far: FarEnd, output: Output, timeout: float, is_person: bool) -> None:
        self.words = ["help", "bye"]
        """What can be completed."""
        self._where = where
        self._far = far
        self._output = output
        self._timeout = timeout
        self._is_person = is_person
        self._client = LuminaModbusClient(where.host, where.port)
        self._kind: asyncio.Future[Kind] | None = None

    async def talk(self, lines: AsyncIterator[str]) -> int:
        """Takes all lines.

        :return: the worst exit status of all of them.
        :raises NotConnected: if the server leaves first.
        """
        worst = EXIT_OK
        if self._is_person:
            self._look()
        while (line := await self._next(lines)) is not None:
            if line.strip().lower() in LEAVE:
                break
            if line.strip():
                worst = max(worst, await self._take(line.strip()))
        return EXIT_OK if self._is_person else worst

    async def close(self) -> None:
        """Leaves the connection of the commands."""
        if self._kind is not None:
            self._kind.cancel()
            await asyncio.gather(self._kind, return_exceptions=True)
        await self._client.close()

    async def _next(self, lines: AsyncIterator[str]) -> str | None:
        """The next line, unless the server leaves."""
        coming = asyncio.ensure_future(anext(lines, None))
        left = asyncio.ensure_future(self._far.closed.wait())
        try:
            await asyncio.wait({coming, left}, return_when=asyncio.FIRST_COMPLETED)
            if coming.done() and (coming.result() is None or not left.done()):
                return coming.result()
        finally:
            for one in (coming, left):
                one.cancel()
            await asyncio.gather(coming, left, return_exceptions=True)
        raise _left()

    async def _take(self, line: str) -> int:
        words = _split(line.removeprefix("lumina "))
        if _is_meant_for_us(words[0], line) and await self._look() is Kind.COMMANDS:
            return await self._run(words)
        if line.lower() == "help":
            self._output.line(HELP if await self._look() is Kind.COMMANDS else OTHER_HELP)
        self._far.say(line.removeprefix(">").lstrip() if line.startswith(">") else line)
        if await self._far.answered(PROMPTLY if self._is_person else self._timeout) or self._is_person:
            return EXIT_OK
        if self._far.closed.is_set():
            raise _left()
        self._output.note(f"lumina: no answer to {line[:40]!r} within {self._timeout:g} s; give a longer --timeout")
        return EXIT_REFUSED

    async def _run(self, words: list[str]) -> int:
        output = Output(wants_json(words), self._output.out, self._output.err)
        try:
            if words[0] not in OURS:
                meant = nearest(words[0], [*OURS, "help", "ports", "stats", "bye"])
                raise UsageError(f"there is no command {words[0]!r} here; {meant}")
            chosen = command(words[0])
            module = chosen.load()
            parser = chosen.parser(module, output.out)
            parser.set_defaults(takes_modbus=False)  # whatever the variable says
            options = parser.parse_args(words[1:])
            if options.server is not None or options.url is not None:
                raise UsageError("the console asks the server that it talks to; leave out --server and --url")
            return await self._interruptible(module.ask(options, self._client, output)) or EXIT_OK
        except SystemExit:  # --help
            return EXIT_OK
        except (UsageError, LuminaError) as error:
            output.error(error)
            return status_of(error)

    async def _interruptible(self, work: Coroutine[Any, Any, int | None]) -> int | None:
        """Ctrl-C ends it, and not the console, if a person is there."""
        if not self._is_person:
            return await work
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        loop.add_signal_handler(signal.SIGINT, task.cancel)
        try:
            await asyncio.wait({task})
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return task.result()
        return EXIT_OK

    def _look(self) -> asyncio.Future[Kind]:
        """What the far end is; it is asked once."""
        if self._kind is None:
            self._kind = asyncio.ensure_future(self._find_out())
        return asyncio.shield(self._kind)

    async def _find_out(self) -> Kind:
        kind = await kind_of(self._client, self._timeout)
        if kind is Kind.COMMANDS:
            self.words += [*OURS, "ports", "stats", *(one.name for one in TABLES)]
        self.words += await words_of(kind, self._where, self._client, self._timeout)
        if kind is not Kind.COMMANDS:
            await self._client.close()
        return kind


def _left() -> NotConnected:
    return NotConnected("the server has closed the connection")


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line) or [""]
    except ValueError:  # a quotation that does not end
        return line.split()


def _is_meant_for_us(word: str, line: str) -> bool:
    """One of our commands, or nearly one; other servers get what is none as it is."""
    if ":" in line or line.startswith(">"):
        return word in OURS
    return line.startswith("lumina ") or bool(close_to(word, OURS, 0.7))
