"""``lumina ports``, floor 5."""

from __future__ import annotations

import argparse
import re
from typing import Any, Final, NamedTuple

from lumina_twisted.cli.arguments import add_request_options
from lumina_twisted.cli.connection import text_command
from lumina_twisted.cli.output import Output
from lumina_twisted.client.aio import LuminaModbusClient

EXAMPLES: Final = """\
  lumina ports
  lumina ports --json --server 192.168.1.7
"""


class Port(NamedTuple):
    """A port, as the server describes it."""

    name: str
    path: str
    serial: str
    state: str
    waiting: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    add_request_options(parser, modbus=False)


async def ask(options: Any, client: LuminaModbusClient, output: Output) -> None:
    """Prints a line for each port: name, path, settings, state, and the number of waiting requests."""
    for line in await text_command(client, "ports", options.timeout):
        port = parsed(line)
        output.result(line, **(port._asdict() if port else {}))


def parsed(line: str) -> Port | None:
    """The port that a line describes, or None for another line."""
    match = re.fullmatch(r"(\S+)  (\S+)  (.+?)  (.+?)  (\d+) waiting", line)
    if match is None:
        return None
    name, path, serial, state, waiting = match.groups()
    return Port(name, path.replace("%3A", ":"), serial, state, int(waiting))
