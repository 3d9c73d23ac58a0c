"""``lumina ports``, ``stats``, ``run``, ``check-config`` and ``simulate``, floor 5."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

from lumina_twisted.cli.output import Output
from lumina_twisted.client.aio import LuminaModbusClient


async def ports(options: Any, client: LuminaModbusClient, output: Output) -> None:
    """The server's ports, their settings and their state."""
    for line in await client.ask("ports"):
        name, path, serial, state, waiting = [*re.split(r"  +", line), *[""] * 5][:5]
        output.result(line, name=name, path=path.replace("%3A", ":"), serial=serial, state=state,
                      waiting=int(waiting.split()[0] or 0) if waiting else 0)


async def stats(options: Any, client: LuminaModbusClient, output: Output) -> None:
    """What the server has counted."""
    while True:
        for line in await client.ask("stats"):
            name, _, counted = line.partition("  ")
            counts = re.findall(r"([a-z ]+?) (\d+)(?:, |$)", counted)
            output.result(line, name=name, **{key.strip().replace(" ", "_"): int(value) for key, value in counts})
        if not options.watch:
            return
        await asyncio.sleep(options.watch)


def run(words: list[str]) -> int:
    """The service in the foreground; ``words`` are those of ``twistd lumina``."""
    from lumina_twisted.config import early

    early.take_over()
    from twisted.scripts import twistd

    sys.argv = ["lumina run", "--nodaemon", "--pidfile=", "lumina", *words]
    twistd.run()
    return 0

