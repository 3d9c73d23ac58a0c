"""``lumina console``: a user or a script talks to a line server, floor 5.

With a Lumina server, a line that begins with ``read``, ``write``, ``send`` or ``scan`` runs that command. The commands
use a connection of their own, because the user may type lines with any id. The console sends every other line
unchanged, and shows the server's answers. Other servers get all lines unchanged. With a listener for values, the
console completes its commands and names.
"""

from __future__ import annotations

import argparse
import asyncio
import codecs
import contextlib
import importlib.util
import os
import pathlib
import re
import shlex
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from lumina_twisted.cli.arguments import (
    DEFAULT_TIMEOUT,
    EXIT_OK,
    EXIT_REFUSED,
    ServerAddress,
    UsageError,
    add_server_options,
    bounded,
    server_address,
    status_of,
)
from lumina_twisted.cli.connection import server_of
from lumina_twisted.cli.main import command
from lumina_twisted.cli.output import Output, wants_json
from lumina_twisted.cli.peer import Kind, Peer, connect, kind_of, names_of
from lumina_twisted.cli.registers import TABLES
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
PROMPT: Final = "lumina> "
PROMPTLY: Final = 1.0
"""Seconds after which a person may type the next line, even without an answer."""
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
    """See :mod:`lumina_twisted.cli.main`."""
    parser.add_argument("host", metavar="HOST", nargs="?", help="where it runs (LUMINA_SERVER, or 127.0.0.1)")
    parser.add_argument("port", metavar="PORT", nargs="?", type=bounded(1, 65535, "TCP port"), help="its port (8888)")
    group = add_server_options(parser, modbus=False)
    group.add_argument(
        "--timeout", type=bounded(0.05, 3600, "time to wait", float), default=DEFAULT_TIMEOUT, metavar="SECONDS",
        help=f"from a pipe: how long to wait for the answer to a line ({DEFAULT_TIMEOUT:g})",
    )


def run(options: Any, output: Output) -> int:
    """Runs the console until the user leaves, or the input ends.

    :raises NotConnected: if there is no server, or if it closes the connection.
    """
    if options.host is not None and (options.server or options.url):
        raise UsageError("HOST and --server both say where the server is; write one of them")
    where = server_of(options) if options.host is None else server_address(options.host)
    if where.is_modbus:
        raise UsageError(f"the console talks in lines, and {where} is to speak Modbus TCP; use `lumina read --url`")
    if options.port:
        where = ServerAddress(where.host, options.port)
    return asyncio.run(_converse(where, options.timeout, output))


async def _converse(where: ServerAddress, timeout: float, output: Output) -> int:
    peer = await connect(where, output.line, timeout)
    is_person = output.source.isatty()
    console = Console(where, peer, output, timeout, is_person)
    try:
        status = await console.talk(_person_lines(output, console) if is_person else piped(output.source))
        if not is_person:
            await peer.finish(timeout)
        if peer.not_shown is not None:
            raise peer.not_shown
        return status
    except NotConnected:
        if peer.not_shown is not None:
            raise peer.not_shown from None
        raise
    finally:
        peer.close()
        await console.close()


def _person_lines(output: Output, console: Console) -> AsyncIterator[str]:
    output.note("connected; `help` says what can be typed, `bye` leaves")
    has_editor = output.out.isatty() and importlib.util.find_spec("prompt_toolkit") is not None
    return edited(output, lambda: console.completions) if has_editor else prompted(output.source, output)


class Console:
    """One console session.

    :param timeout: seconds to wait for an answer, unless the user is a person.
    """

    def __init__(self, where: ServerAddress, peer: Peer, output: Output, timeout: float, is_person: bool) -> None:
        self.completions = ["help", "bye"]
        """The words that the prompt completes."""
        self._where = where
        self._peer = peer
        self._output = output
        self._timeout = timeout
        self._is_person = is_person
        self._client = LuminaModbusClient(where.host, where.port)
        self._kind: asyncio.Future[Kind] | None = None

    async def talk(self, lines: AsyncIterator[str]) -> int:
        """Handles all lines.

        :return: the worst exit status of all lines; 0 for a person.
        :raises NotConnected: if the server closes the connection first.
        """
        worst = EXIT_OK
        if self._is_person:
            self._find_kind()
        while (line := await self._next(lines)) is not None:
            if line.strip().lower() in LEAVE:
                break
            if line.strip():
                worst = max(worst, await self._take(line.strip()))
        return EXIT_OK if self._is_person else worst

    async def close(self) -> None:
        """Closes the connection that the commands use."""
        if self._kind is not None:
            self._kind.cancel()
            await asyncio.gather(self._kind, return_exceptions=True)
        await self._client.close()

    async def _next(self, lines: AsyncIterator[str]) -> str | None:
        """The next line, unless the server closes the connection; None at the end of the input."""
        coming = asyncio.ensure_future(anext(lines, None))
        left = asyncio.ensure_future(self._peer.closed.wait())
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
        args = _split(line.removeprefix("lumina "))
        if _is_meant_for_us(args[0], line) and await self._find_kind() is Kind.COMMANDS:
            return await self._run(args)
        if line.lower() == "help":
            self._output.line(HELP if await self._find_kind() is Kind.COMMANDS else OTHER_HELP)
        self._peer.send(line.removeprefix(">").lstrip() if line.startswith(">") else line)
        if await self._peer.answered(PROMPTLY if self._is_person else self._timeout) or self._is_person:
            return EXIT_OK
        if self._peer.closed.is_set():
            raise _left()
        self._output.note(f"lumina: no answer to {line[:40]!r} within {self._timeout:g} s; give a longer --timeout")
        return EXIT_REFUSED

    async def _run(self, args: list[str]) -> int:
        output = Output(wants_json(args), self._output.out, self._output.err)
        try:
            if args[0] not in OURS:
                meant = nearest(args[0], [*OURS, "help", "ports", "stats", "bye"])
                raise UsageError(f"there is no command {args[0]!r} here; {meant}")
            chosen = command(args[0])
            module = chosen.load()
            parser = chosen.parser(module, output.out)
            parser.set_defaults(takes_modbus=False)  # whatever the environment variable says
            options = parser.parse_args(args[1:])
            if options.server is not None or options.url is not None:
                raise UsageError("the console asks the server that it talks to; leave out --server and --url")
            return await self._interruptible(module.ask(options, self._client, output)) or EXIT_OK
        except SystemExit:  # --help
            return EXIT_OK
        except (UsageError, LuminaError) as error:
            output.error(error)
            return status_of(error)

    async def _interruptible(self, work: Coroutine[Any, Any, int | None]) -> int | None:
        """Runs a command. For a person, Ctrl-C ends the command and not the console."""
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

    def _find_kind(self) -> asyncio.Future[Kind]:
        """The kind of the server; the console asks only once."""
        if self._kind is None:
            self._kind = asyncio.ensure_future(self._ask_kind())
        return asyncio.shield(self._kind)

    async def _ask_kind(self) -> Kind:
        kind = await kind_of(self._client, self._timeout)
        if kind is Kind.COMMANDS:
            self.completions += [*OURS, "ports", "stats", *(one.name for one in TABLES)]
        self.completions += await names_of(kind, self._where, self._client, self._timeout)
        if kind is not Kind.COMMANDS:
            await self._client.close()
        return kind


def _left() -> NotConnected:
    return NotConnected("the server has closed the connection")


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line) or [""]
    except ValueError:  # a quotation mark without its partner
        return line.split()


def _is_meant_for_us(first: str, line: str) -> bool:
    """Whether a line is, or resembles, a command of the console. All other lines go to the server unchanged."""
    if ":" in line or line.startswith(">"):
        return first in OURS
    return line.startswith("lumina ") or bool(close_to(first, OURS, 0.7))


async def piped(source: Any) -> AsyncIterator[str]:
    """The lines of a pipe, a file or a terminal, without line ends. Waiting does not block the event loop."""
    descriptor = _pollable(source)
    if descriptor is None:
        for line in source:
            yield line.rstrip("\r\n")
        return
    decode, rest = codecs.getincrementaldecoder("utf-8")("replace").decode, ""
    while data := await _read(descriptor):
        *lines, rest = (rest + decode(data)).split("\n")
        for line in lines:
            yield line.rstrip("\r")
    if rest:
        yield rest


async def prompted(source: Any, output: Output) -> AsyncIterator[str]:
    """The lines that a person types at a terminal."""
    lines = piped(source)
    while True:
        print(PROMPT, end="", file=output.out, flush=True)
        try:
            yield await anext(lines)
        except StopAsyncIteration:
            print(file=output.out)
            return


async def edited(output: Output, completions: Callable[[], list[str]]) -> AsyncIterator[str]:
    """The lines that a person types, with editing, completion and a history. Output appears above the prompt.

    :raises ImportError: without prompt_toolkit.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.patch_stdout import patch_stdout

    session: Any = PromptSession(
        PROMPT, history=_history(), completer=completer(completions), complete_while_typing=False
    )
    while True:
        own = output.out, output.err
        try:
            with patch_stdout():
                output.out, output.err = sys.stdout, sys.stderr
                line = await session.prompt_async()
        except KeyboardInterrupt:
            continue  # Ctrl-C discards the line, as in a shell
        except EOFError:
            return
        finally:
            output.out, output.err = own
        yield line


def completer(completions: Callable[[], list[str]]) -> Any:
    """A completer for commands and names. A blank or a colon ends a word, so it also completes the fields of a line.

    :raises ImportError: without prompt_toolkit.
    """
    from prompt_toolkit.completion import WordCompleter

    return WordCompleter(completions, ignore_case=True, pattern=re.compile(r"[^\s:'\"]+"))


def _history() -> Any:
    """The history file of typed lines; a history in memory if there can be no file."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    state = os.environ.get("XDG_STATE_HOME") or pathlib.Path.home() / ".local" / "state"
    path = pathlib.Path(state) / "lumina" / "history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("a"):
            return FileHistory(str(path))
    except OSError:
        return InMemoryHistory()


def _pollable(source: Any) -> int | None:
    """The descriptor of a source whose reads may block. None for a file or a test's text, which do not block."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = int(source.fileno())
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            asyncio.get_running_loop().add_reader(descriptor, int)
            asyncio.get_running_loop().remove_reader(descriptor)
            return descriptor
    return None


async def _read(descriptor: int) -> bytes:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 65536)
