"""The console before a listener for values."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.cli.arguments import ServerAddress
from lumina_twisted.cli.console import Console, completer
from lumina_twisted.cli.output import Output
from lumina_twisted.cli.peer import connect
from tests.cli.case import run_main
from tests.values_listener import ValuesCase


class AListenerForValues(ValuesCase):
    """Its own words are meant there, also those that are commands of ours."""

    async def test_lines_are_sent_as_they_are(self) -> None:
        typed = "read boiler.flow\nwrite boiler.set 61\nreed x\nbye\n"
        status, out, err = await self.in_thread(self.console, typed)
        self.assertEqual((status, err), (0, ""))
        flow, set_point, wrong = out.splitlines()
        self.assertRegex(flow, r"^boiler.flow 54.5 °C good 20")
        self.assertRegex(set_point, r"^boiler.set 61.0 °C confirmed 20")
        self.assertIn("did you mean 'read'", wrong)

    async def test_help(self) -> None:
        """Its own, and how to leave; not that of the commands that are none there."""
        _, out, _ = await self.in_thread(self.console, "help\n")
        self.assertIn("bye                               leaves", out)
        self.assertIn("write NAME VALUE", out)
        self.assertNotIn("PORT UNIT TABLE ADDRESS", out)

    async def test_what_can_be_completed(self) -> None:
        """A person need not type names."""
        words = await self.in_thread(asyncio.run, self._words())
        for word in ("help", "bye", "read!", "unwatch", "boiler", "boiler.flow", "meter.power"):
            self.assertIn(word, words)
        self.assertNotIn("scan", words)

    def console(self, typed: str) -> Any:
        return run_main("console", "127.0.0.1", str(self.tcp_port), typed=typed)

    async def _words(self) -> list[str]:
        """What a console knows that a person begins with."""
        where, output = ServerAddress("127.0.0.1", self.tcp_port), Output(out=io.StringIO())
        peer = await connect(where, output.line, 5.0)
        console = Console(where, peer, output, 5.0, is_person=True)
        try:
            await console.talk(_after(console))
            return console.completions
        finally:
            peer.close()
            await console.close()


async def _after(console: Console) -> AsyncIterator[str]:
    """A person who waits until the console has found out where it is."""
    await console._find_kind()
    yield "bye"


class Completion(SynchronousTestCase):
    """What is offered for what is typed."""

    def test_names_and_fields(self) -> None:
        words = ["read", "read!", "boiler.flow", "boiler.set", "demo1"]
        for typed, offered in (
            ("re", ["read", "read!"]), ("read boiler.f", ["boiler.flow"]), ("READ BOILER.s", ["boiler.set"]),
            ("read boiler.flow boiler", ["boiler.flow", "boiler.set"]), ("a:sensor:de", ["demo1"]), ("read x", []),
            ("watch 'boiler.f", ["boiler.flow"]),
        ):
            found = completer(lambda: words).get_completions(Document(typed), CompleteEvent())
            self.assertEqual([one.text for one in found], offered, typed)
