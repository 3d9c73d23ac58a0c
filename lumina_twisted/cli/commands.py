"""The commands, floor 5. Each is a module of its name, imported when it runs: on a small machine an import takes its
time. It has

* ``EXAMPLES``, shown below its help,
* ``add_arguments(parser)``,
* ``run(options, output) -> int``, the exit status; or ``ask(options, client, output)``, a coroutine that gives one, or
  None for 0, if it needs a server.
"""

from __future__ import annotations

import importlib
from typing import Any, Final, NamedTuple

from lumina_twisted.cli.parser import Parser, UsageError
from lumina_twisted.text import nearest


class Command(NamedTuple):
    """One command."""

    name: str
    summary: str

    def load(self) -> Any:
        """Its module."""
        return importlib.import_module(f"lumina_twisted.cli.{self.name.replace('-', '_')}")

    def parser(self, module: Any, out: Any = None) -> Parser:
        """What understands its words."""
        parser = Parser(f"lumina {self.name}", description=f"{self.summary}.", examples=module.EXAMPLES, out=out)
        module.add_arguments(parser)
        return parser


COMMANDS: Final = {
    one.name: one
    for one in (
        Command("read", "Reads values from a device"),
        Command("write", "Writes values to a device"),
        Command("send", "Sends a frame in hexadecimal digits, and shows the reply"),
        Command("values", "Lists, reads, writes and watches values by name"),
        Command("scan", "Finds out which units answer"),
        Command("ports", "Tells the server's ports and their state"),
        Command("stats", "Tells what the server has counted"),
        Command("console", "Talks to the server, or to any that answers lines, until `bye`"),
        Command("run", "Runs the service in the foreground"),
        Command("check-config", "Says all that is wrong with a configuration"),
        Command("protocols", "Tells which protocols a listener can speak, and their options"),
        Command("simulate", "Runs simulated buses with the devices, values and faults of a file, until Ctrl-C"),
        Command("completion", "Prints a script that completes commands in a shell"),
    )
}


def command(name: str) -> Command:
    """The command of that name.

    :raises UsageError: if there is none.
    """
    if name not in COMMANDS:
        raise UsageError(f"there is no command {name!r}; {nearest(name, list(COMMANDS))}; see `lumina --help`")
    return COMMANDS[name]
