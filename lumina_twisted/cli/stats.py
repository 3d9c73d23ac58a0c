"""``lumina stats``, floor 5."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from typing import Any, Final

from lumina_twisted.cli.arguments import EXIT_OK, add_request_options, bounded
from lumina_twisted.cli.connection import text_command
from lumina_twisted.cli.output import Output
from lumina_twisted.client.aio import LuminaModbusClient
from lumina_twisted.errors import NotConnected
from lumina_twisted.statistics.counters import FAILED

EXAMPLES: Final = """\
  lumina stats
  lumina stats --watch                          requests a second and use of the wire, every 2 s, until Ctrl-C
  lumina stats --watch 10 --json
"""
COMMAND: Final = "stats json"
PAUSE: Final = 2.0
"""The default number of seconds between two outputs."""
_CLEAR: Final = "\x1b[H\x1b[2J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    pause = bounded(0.1, 86400, "pause", float)
    parser.add_argument(
        "--watch", type=pause, nargs="?", const=PAUSE, metavar="SECONDS",
        help=f"tell what happened since, again after so long ({PAUSE:g}), until Ctrl-C",
    )
    parser.add_argument("--interval", type=pause, metavar="SECONDS", help="the same pause; it watches too")
    add_request_options(parser, modbus=False)


async def ask(options: Any, client: LuminaModbusClient, output: Output) -> int:
    """Prints the server's statistics, for people or as JSON; with a pause, repeatedly."""
    pause = options.interval or options.watch
    if not pause and not output.as_json:
        for line in await text_command(client, "stats", options.timeout):
            output.line(line)
        return EXIT_OK
    await _check(client, options.timeout)
    try:
        await _look(client, options.timeout, pause, output)
    except asyncio.CancelledError:
        if not pause:
            raise
    return EXIT_OK


async def _check(client: LuminaModbusClient, timeout: float) -> None:
    """Checks that the server knows the text command; another server would read it as a line with a frame."""
    if not any(COMMAND in line for line in await text_command(client, "help", timeout)):
        raise NotConnected(
            "the server is older and does not tell its figures as JSON; write `lumina stats` without --json and --watch"
        )


async def _look(client: LuminaModbusClient, timeout: float, pause: float | None, output: Output) -> None:
    before: dict[str, Any] = {}
    while True:
        rows = [json.loads(line) for line in await text_command(client, COMMAND, timeout)]
        ports = {row["name"]: row for row in rows if row["what"] == "port"}
        if output.as_json:
            for row in rows:
                output.result("", **row)
        else:
            clear = _CLEAR if output.out.isatty() else ""
            output.line("\n".join(_changes(row, before.get(name)) for name, row in ports.items()), clear)
        if not pause:
            return
        before = ports
        await asyncio.sleep(pause)


def _changes(row: Any, before: Any) -> str:
    """A port in one line: the figures since the previous output, or at first since the port exists."""
    seconds, used, requests = row["seconds"], row["utilisation"]["seconds"], row["requests"]
    if before is not None and before["seconds"] <= seconds:  # otherwise the server was restarted
        seconds -= before["seconds"]
        used -= before["utilisation"]["seconds"]
        requests -= before["requests"]
    rate, share = (requests / seconds, min(used / seconds, 1.0)) if seconds > 0 else (0.0, 0.0)
    return (
        f"{row['name']}  {rate:.1f} requests/s, wire {share:.0%} used, {row['waiting']['now']} waiting;"
        f" in all {row['requests']} requests, {row['failure_rate']:.1%} failed{_damage(row)},"
        f" p99 queue {row['queue']['p99'] * 1000:.3g} ms, bus {row['bus']['p99'] * 1000:.3g} ms"
    )


def _damage(row: Any) -> str:
    """Failed attempts and those that retries healed, which a failure rate of 0.0 % alone would hide. Older servers do
    not count them."""
    faults = row.get("faults", {})
    failed = sum(faults.get(kind.name.lower(), 0) for kind in FAILED)
    if not failed:
        return ""
    return f" ({failed} of {faults['attempts']} attempts failed, retries healed {faults['healed']})"


def parsed(line: str) -> tuple[str, dict[str, int]]:
    """The name at the beginning of a line, and the counts after it."""
    name, _, rest = line.partition("  ")
    counts = re.findall(r"([a-z ]+) (\d+)(?:, |$)", rest)
    return name, {what.strip().replace(" ", "_"): int(count) for what, count in counts}
