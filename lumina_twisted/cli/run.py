"""``lumina run``, floor 5: runs the service, so that the user need not know twistd."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from lumina_twisted.cli.arguments import EXIT_OK
from lumina_twisted.cli.output import Output

EXAMPLES: Final = """\
  lumina run --demo                                two simulated buses
  lumina run --port boiler=/dev/ttyUSB0:baudrate=19200
  lumina run --config etc/lumina.toml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds nothing: the options are those of ``twistd lumina``, which has its own parser."""
    parser.add_argument("args", metavar="OPTION", nargs="*")


def run(args: list[str], output: Output) -> int:
    """Runs the service until Ctrl-C.

    :param args: the arguments of ``twistd lumina``.
    """
    from lumina_twisted.config.process import note_signals

    if {"--help", "-h"} & set(args):
        return _show_help(output)
    note_signals()
    from twisted.scripts import twistd

    sys.argv = ["lumina run", "--nodaemon", "--pidfile=", "lumina", *args]
    twistd.run()
    return EXIT_OK


def _show_help(output: Output) -> int:
    from lumina_twisted.tap import Options

    options = Options()
    options.synopsis = "usage: lumina run [options]"
    print(f"{options}\nexamples:\n{EXAMPLES.rstrip()}", file=output.out)
    return EXIT_OK
