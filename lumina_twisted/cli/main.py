"""The command ``lumina``, floor 5: its commands, and how one of them runs.

Each command is a module of the same name. It is imported when it runs, because imports are slow on a small machine.
A command module has

* ``EXAMPLES``, shown below its help,
* ``add_arguments(parser)``,
* ``run(options, output) -> int``, the exit status; or, if it needs a server, ``ask(options, client, output)``, a
  coroutine that returns the exit status, or None for 0.

Exit status: 0 for success; 1 if the device or the bus refused, or there is no server; 2 if the command line is wrong or
the request is impossible, so that another try would fail too; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from lumina_twisted import __version__
from lumina_twisted.cli.arguments import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REFUSED,
    Parser,
    UsageError,
    add_request_options,
    status_of,
)
from lumina_twisted.cli.output import Output, WriteFailed, wants_json
from lumina_twisted.errors import LuminaError
from lumina_twisted.text import nearest

_EXAMPLES: Final = """\
  lumina run --demo                                the service, on simulated buses
  lumina read demo1 1 input 0                      a value
  lumina write demo1 2 coil 3 on
  lumina values read greenhouse.temperature        a value by its name
  lumina scan demo1 --units 1-10                   which units answer
  lumina console                                   type and see
"""


class Command(NamedTuple):
    """One command."""

    name: str
    summary: str

    def load(self) -> Any:
        """Its module."""
        return importlib.import_module(f"lumina_twisted.cli.{self.name.replace('-', '_')}")

    def parser(self, module: Any, out: Any = None) -> Parser:
        """The parser of its arguments."""
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


def main(argv: Sequence[str] | None = None, stdin: Any = None, stdout: Any = None, stderr: Any = None) -> int:
    """Runs one command.

    :param argv: its arguments, without the program's name.
    :param stdin: None: that of the process; likewise ``stdout`` and ``stderr``.
    :return: the exit status.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    output = Output(wants_json(args), stdout, stderr, stdin)
    if hasattr(output.out, "reconfigure"):
        output.out.reconfigure(errors="replace")  # a device's text may have characters that the terminal cannot show
    try:
        status = _run_reporting(args, output)
        output.out.flush()
        return status
    except BrokenPipeError:
        _silence(output.out)
        return 128 + signal.SIGPIPE
    except (WriteFailed, OSError) as error:  # flush() raises the latter
        output.complain(error if isinstance(error, WriteFailed) else WriteFailed(f"{error.strerror or error}"))
        _silence(output.out)
        return EXIT_REFUSED


def _run_reporting(args: list[str], output: Output) -> int:
    """Runs one command, and prints its failure."""
    try:
        return _run(args, output)
    except (UsageError, LuminaError) as error:
        output.error(error)
        return status_of(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as ended:  # --help
        return int(ended.code or EXIT_OK)


def _run(args: list[str], output: Output) -> int:
    parser = _first_parser(output.out)
    first, rest = parser.split_at_command(args)
    options = parser.parse_args(first)
    if options.version:
        output.result(f"Lumina {__version__}", version=__version__)
        return EXIT_OK
    if rest[:1] == ["help"]:
        rest = [*rest[1:2], "--help"]
    if rest == ["--help"]:
        parser.print_help()
        return EXIT_OK
    if not rest:
        raise UsageError("say what to do, as `lumina read demo1 1 input 0`; `lumina --help` tells all commands")
    return _run_command(command(rest[0]), rest[1:], options, output)


def _run_command(chosen: Command, args: list[str], options: Any, output: Output) -> int:
    module = chosen.load()
    parser = chosen.parser(module, output.out)
    for key in ("server", "url", "timeout", "json"):
        if hasattr(options, key) and not any(action.dest == key for action in parser._actions):
            raise UsageError(f"`{parser.prog}` has no --{key}; leave it out")
    if chosen.name == "run":  # twistd parses its options
        return int(module.run(args, output))
    options = parser.parse_args(args, options)
    if hasattr(module, "run"):
        return int(module.run(options, output))
    from lumina_twisted.cli.connection import run_with_client

    return run_with_client(module.ask, options, output)


def _first_parser(out: Any = None) -> Parser:
    """The parser for the options before the command."""
    width = max(map(len, COMMANDS)) + 2
    listed = "\n".join(f"  {one.name:<{width}}{one.summary}" for one in COMMANDS.values())
    parser = Parser(
        "lumina", usage="lumina [--server HOST[:PORT]] COMMAND …", examples=_EXAMPLES, out=out,
        description="Reads and writes Modbus devices through a Lumina server, and runs one.\n\n"
        f"commands; `lumina COMMAND --help` tells more:\n{listed}",
    )
    parser.add_argument("--version", action="store_true", help="tell Lumina's version")
    add_request_options(parser)
    parser._defaults.clear()  # the command has defaults of its own
    for action in parser._actions:
        if action.dest in {"server", "url", "timeout", "json"}:
            action.default = argparse.SUPPRESS
    return parser


def _silence(stream: Any) -> None:
    """Keeps the interpreter from failing again when it flushes the rest of the output."""
    with contextlib.suppress(OSError, ValueError):  # the stream is no file, as in some tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
