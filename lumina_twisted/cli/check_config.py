"""``lumina check-config``, floor 5."""

from __future__ import annotations

import argparse
from typing import Any, Final

from lumina_twisted.cli.arguments import EXIT_OK, add_json
from lumina_twisted.cli.output import Output

EXAMPLES: Final = """\
  lumina check-config                              /etc/lumina/lumina.toml
  lumina check-config etc/lumina.toml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    parser.add_argument("file", metavar="FILE", nargs="?", help="the file (/etc/lumina/lumina.toml)")
    add_json(parser)


def run(options: Any, output: Output) -> int:
    """Prints that the configuration has no faults, or fails with all of them.

    :raises ConfigError: with every fault.
    """
    from lumina_twisted.config.compose import Given, compose, file_used

    given = Given(file=options.file or "")
    configuration = compose(given)
    file = file_used(given) or "the configuration without a file"
    output.result(f"{file} is fine: {configuration}", file=file, configuration=str(configuration))
    return EXIT_OK
