"""Where the console's lines come from, floor 5: a person with or without an editor, or a pipe."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import pathlib
import re
import stat
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from lumina_twisted.cli.output import Output

PROMPT: Final = "lumina> "


async def piped(source: Any) -> AsyncIterator[str]:
    """The lines of a pipe, a file or a terminal, without their ends; the connection goes on meanwhile."""
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
    """The lines of a person at a terminal."""
    lines = piped(source)
    while True:
        print(PROMPT, end="", file=output.out, flush=True)
        try:
            yield await anext(lines)
        except StopAsyncIteration:
            print(file=output.out)
            return


async def edited(output: Output, words: Callable[[], list[str]]) -> AsyncIterator[str]:
    """The lines of a person, with editing, completion and a history. What comes meanwhile is shown above the prompt.

    :raises ImportError: without prompt_toolkit.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.patch_stdout import patch_stdout

    session: Any = PromptSession(
        PROMPT, history=_history(), completer=completer(words), complete_while_typing=False
    )
    while True:
        own = output.out, output.err
        try:
            with patch_stdout():
                output.out, output.err = sys.stdout, sys.stderr
                line = await session.prompt_async()
        except KeyboardInterrupt:
            continue  # it takes the line back, as in a shell
        except EOFError:
            return
        finally:
            output.out, output.err = own
        yield line


def completer(words: Callable[[], list[str]]) -> Any:
    """Completes words and names, each up to a blank or a colon: fields of a line are words too.

    :raises ImportError: without prompt_toolkit.
    """
    from prompt_toolkit.completion import WordCompleter

    return WordCompleter(words, ignore_case=True, pattern=re.compile(r"[^\s:'\"]+"))


def _history() -> Any:
    """What was typed before; nothing of it if that cannot be kept."""
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
    """The descriptor of what may keep us waiting; a file does not, nor does a test's text."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = int(source.fileno())
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            asyncio.get_running_loop().add_reader(descriptor, int)
            asyncio.get_running_loop().remove_reader(descriptor)
            return descriptor
    return None


async def _read(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def on_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, on_ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 65536)
