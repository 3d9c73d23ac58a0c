"""``lumina stats``, floor 5."""

from __future__ import annotations

import argparse
import asyncio
import re
from typing import Any, Final

from lumina_twisted.cli.arguments import add_asking
from lumina_twisted.cli.connection import ask_word
from lumina_twisted.cli.output import Output
from lumina_twisted.cli.parser import bounded
from lumina_twisted.client.aio import LuminaModbusClient

EXAMPLES: Final = """\
  lumina stats
  lumina stats --watch 10 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.commands`."""
    parser.add_argument(
        "--watch", type=bounded(0.1, 86400, "pause", float), metavar="SECONDS",
        help="tell it again after so long, for ever",
    )
    add_asking(parser, modbus=False)


async def ask(options: Any, client: LuminaModbusClient, output: Output) -> None:
    """A line for the listener and one for each port; what was never counted is left out."""
    while True:
        for line in await ask_word(client, "stats", options.timeout):
            name, counts = parsed(line)
            output.result(line, name=name, **counts)
        if not options.watch:
            return
        await asyncio.sleep(options.watch)


def parsed(line: str) -> tuple[str, dict[str, int]]:
    """Whom a line is about, and what was counted there."""
    name, _, told = line.partition("  ")
    counts = re.findall(r"([a-z ]+) (\d+)(?:, |$)", told)
    return name, {what.strip().replace(" ", "_"): int(count) for what, count in counts}
