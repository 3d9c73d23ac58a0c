"""``lumina console``: a person, or a script, talks to a line server, floor 5 (S4).

What begins with ``read``, ``write``, ``send`` or ``scan`` and has arguments as on the command line is that command;
every other line is sent as it is, and what comes back is shown. It works with any server that answers
lines, or chunks without a newline.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import shlex
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from lumina_twisted.cli.output import Output, sentence
from lumina_twisted.cli.parser import EXIT_OK, EXIT_REFUSED, Server

COMMANDS: Final = ("read", "write", "send", "scan")
WORDS: Final = (*COMMANDS, "ports", "stats", "help", "bye")
LEAVE: Final = frozenset({"bye", "quit", "exit"})
QUIET: Final = 0.3
"""Seconds without a byte after which an answer that has no newline counts as whole."""
PATIENCE: Final = 65.0
"""Seconds that an answer is waited for; a command's own timeout is 60 at most."""
HELP: Final = """\
read PORT UNIT TABLE ADDRESS      and write, send, scan: as `lumina read` and so on
ports, stats                      what the server says of itself
bye                               leaves
Every other line is sent to the server as it is. Its own help:"""

Run = Callable[[list[str]], Awaitable[int]]


class Conversation:
    """One connection to a line server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = ""

    async def say(self, line: str) -> None:
        """Sends one line."""
        self._writer.write(line.encode() + b"\n")
        await self._writer.drain()

    async def hear(self) -> list[str]:
        """The answer: a line; all of them if it is a comment, which ends with a line ``#``; or a chunk without a
        newline, when no more comes.

        :raises ConnectionError: if the server has closed the connection.
        """
        lines: list[str] = []
        patience = PATIENCE
        while True:
            try:
                chunk = await asyncio.wait_for(self._reader.read(4096), patience)
            except TimeoutError:
                return self._whole(lines)
            if not chunk:
                if lines or self._rest:
                    return self._whole(lines)
                raise ConnectionError("the server has closed the connection")
            *whole, self._rest = (self._rest + chunk.decode("utf-8", "replace")).split("\n")
            lines += whole
            if lines and lines[-1] == "#":
                return [line.removeprefix("# ") for line in lines[:-1]]
            if lines and not lines[0].startswith("#") and not self._rest:
                return lines
            patience = QUIET

    def _whole(self, lines: list[str]) -> list[str]:
        lines, self._rest = [*lines, *([self._rest] if self._rest else [])], ""
        return lines

    async def close(self) -> None:
        """Leaves."""
        self._writer.close()


async def converse(server: Server, run: Run, output: Output, source: Any) -> int:
    """Talks until it is left, or the input ends.

    :param run: runs a command of ours.
    :param source: standard input.
    """
    try:
        opening = (
            asyncio.open_unix_connection(server.host) if server.host.startswith("/")
            else asyncio.open_connection(server.host, server.port)
        )
        conversation = Conversation(*await opening)
    except OSError as error:
        where = server.host if server.host.startswith("/") else f"{server.host}:{server.port}"
        why = error.strerror or error
        print(f"lumina: no connection to {where} ({why}); is it running there?", file=output.err)
        return EXIT_REFUSED
    lines = _typed() if source is sys.stdin and source.isatty() else _piped(source)
    try:
        async for line in lines:
            if line.strip().lower() in LEAVE:
                break
            if line.strip():
                await _one(line.strip(), conversation, run, output)
    except ConnectionError as error:
        print(f"lumina: {error}", file=output.err)
        return EXIT_REFUSED
    finally:
        await conversation.close()
    return EXIT_OK


async def _one(line: str, conversation: Conversation, run: Run, output: Output) -> None:
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    if words and words[0] in COMMANDS and len(words) > 1:
        await run(words)
        return
    if line.lower() == "help":
        print(HELP, file=output.out)
    await conversation.say(line)
    for answer in await conversation.hear():
        print(answer, file=output.out, flush=True)


async def _piped(source: Any) -> Any:
    """Lines of a pipe or a file, read without holding up the connection."""
    while line := await asyncio.to_thread(source.readline):
        yield line.rstrip("\n")


async def _typed() -> Any:
    """Lines of a person, with editing and a history where prompt_toolkit is installed."""
    print("connected; `help` says what can be typed, `bye` leaves", file=sys.stderr)
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.history import FileHistory
    except ImportError:
        while True:
            print("lumina> ", end="", flush=True)
            line = await asyncio.to_thread(sys.stdin.readline)
            if not line:
                return
            yield line.rstrip("\n")
    session: Any = PromptSession(
        "lumina> ", history=FileHistory(_history()), completer=WordCompleter(list(WORDS), ignore_case=True),
        complete_while_typing=False,
    )
    while True:
        try:
            yield await session.prompt_async()
        except KeyboardInterrupt:
            continue  # it takes the line back, as in a shell
        except EOFError:
            return


def _history() -> str:
    state = os.environ.get("XDG_STATE_HOME") or str(pathlib.Path.home() / ".local" / "state")
    folder = pathlib.Path(state) / "lumina"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"lumina: no history is kept, {folder} cannot be made ({sentence(error)})", file=sys.stderr)
        return os.devnull
    return str(folder / "history")
