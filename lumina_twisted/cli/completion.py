"""``lumina completion``, floor 5."""

from __future__ import annotations

import argparse
from typing import Any, Final

from lumina_twisted.cli.arguments import EXIT_OK, EXIT_REFUSED, Parser, chosen
from lumina_twisted.cli.main import COMMANDS
from lumina_twisted.cli.output import Output

FILES: Final = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
"""Makes shtab complete file names."""
SHELLS: Final = ("bash", "zsh", "tcsh")
EXAMPLES: Final = """\
  lumina completion bash > ~/.local/share/bash-completion/completions/lumina
  lumina completion zsh > ~/.zfunc/_lumina         with ~/.zfunc in $fpath
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    parser.add_argument("shell", metavar="SHELL", **chosen(SHELLS, "shell known here"), help=", ".join(SHELLS))


def run(options: Any, output: Output) -> int:
    """Prints the completion script."""
    try:
        import shtab
    except ImportError:
        output.error(Exception("completion needs shtab; `pip install 'lumina_twisted[cli]'` installs it"))
        return EXIT_REFUSED
    output.result(shtab.complete(whole_parser(), options.shell))
    return EXIT_OK


def whole_parser() -> argparse.ArgumentParser:
    """One parser with all commands, as shtab needs it."""
    parser = argparse.ArgumentParser("lumina")
    commands = parser.add_subparsers(dest="command", parser_class=Parser)
    for one in COMMANDS.values():
        own = commands.add_parser(one.name, prog=f"lumina {one.name}", help=one.summary)
        one.load().add_arguments(own)
        for action in own._actions:
            if action.dest == "table":
                action.choices = ("coil", "discrete", "holding", "input")
            elif action.dest == "file":
                action.complete = FILES  # type: ignore[attr-defined]
    return parser
