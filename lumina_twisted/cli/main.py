"""The command ``lumina``, floor 5.

Exit status: 0; 1 if the device or the bus said no, or there is no server; 2 if what was typed cannot be understood or
cannot be done so, and to try it again would not help; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

from lumina_twisted import __version__
from lumina_twisted.cli.arguments import add_asking
from lumina_twisted.cli.commands import COMMANDS, Command, command
from lumina_twisted.cli.output import Output, WriteFailed, wants_json
from lumina_twisted.cli.parser import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REFUSED,
    Parser,
    UsageError,
)
from lumina_twisted.cli.status import status_of
from lumina_twisted.errors import LuminaError

_EXAMPLES: Final = """\
  lumina run --demo                                the service, on simulated buses
  lumina read demo1 1 input 0                      a value
  lumina write demo1 2 coil 3 on
  lumina values read greenhouse.temperature        a value by its name
  lumina scan demo1 --units 1-10                   which units answer
  lumina console                                   type and see
"""


def main(argv: Sequence[str] | None = None, stdin: Any = None, stdout: Any = None, stderr: Any = None) -> int:
    """Runs one command.

    :param argv: its words, without the program's name.
    :param stdin: and the two after it: the process's own if they are not given.
    :return: the exit status.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    output = Output(wants_json(words), stdout, stderr, stdin)
    if hasattr(output.out, "reconfigure"):
        output.out.reconfigure(errors="replace")  # a device's text may have what a terminal has not
    try:
        status = told(words, output)
        output.out.flush()
        return status
    except BrokenPipeError:
        _silence(output.out)
        return 128 + signal.SIGPIPE
    except (WriteFailed, OSError) as error:  # flush() raises the latter
        output.complain(error if isinstance(error, WriteFailed) else WriteFailed(f"{error.strerror or error}"))
        _silence(output.out)
        return EXIT_REFUSED


def told(words: list[str], output: Output) -> int:
    """Runs one command; what goes wrong is said, and told by the exit status.

    :raises WriteFailed: if a result cannot be written.
    """
    try:
        return _run(words, output)
    except (UsageError, LuminaError) as error:
        output.error(error)
        return status_of(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as ended:  # --help
        return int(ended.code or EXIT_OK)


def _run(words: list[str], output: Output) -> int:
    parser = line_parser(output.out)
    first, rest = parser.before_place(words)
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


def _run_command(chosen: Command, words: list[str], options: Any, output: Output) -> int:
    module = chosen.load()
    parser = chosen.parser(module, output.out)
    for key in ("server", "url", "timeout", "json"):
        if hasattr(options, key) and not any(action.dest == key for action in parser._actions):
            raise UsageError(f"`{parser.prog}` has no --{key}; leave it out")
    if chosen.name == "run":
        return int(module.run(words, output))
    options = parser.parse_args(words, options)
    if hasattr(module, "run"):
        return int(module.run(options, output))
    from lumina_twisted.cli.connection import run_asking

    return run_asking(module.ask, options, output)


def line_parser(out: Any = None) -> Parser:
    """What understands the words before the command."""
    width = max(map(len, COMMANDS)) + 2
    listed = "\n".join(f"  {one.name:<{width}}{one.summary}" for one in COMMANDS.values())
    parser = Parser(
        "lumina", usage="lumina [--server HOST[:PORT]] COMMAND …", examples=_EXAMPLES, out=out,
        description="Reads and writes Modbus devices through a Lumina server, and runs one.\n\n"
        f"commands; `lumina COMMAND --help` tells more:\n{listed}",
    )
    parser.add_argument("--version", action="store_true", help="tell Lumina's version")
    add_asking(parser)
    parser._defaults.clear()  # the command's own count
    for action in parser._actions:
        if action.dest in {"server", "url", "timeout", "json"}:
            action.default = argparse.SUPPRESS
    return parser


def _silence(stream: Any) -> None:
    """The interpreter must not find out once more, when it flushes, that nobody takes what is left."""
    with contextlib.suppress(OSError, ValueError):  # it is no file, as in some tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
