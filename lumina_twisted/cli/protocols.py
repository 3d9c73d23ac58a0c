"""``lumina protocols``, floor 5."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any, Final

from lumina_twisted.cli.arguments import EXIT_OK, UsageError, add_json
from lumina_twisted.cli.output import Output
from lumina_twisted.text import nearest

EXAMPLES: Final = """\
  lumina protocols                                 all that are installed
  lumina protocols modbus-tcp                      one, with its options
"""
_WIDTH: Final = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    parser.add_argument("protocol", metavar="PROTOCOL", nargs="*", help="only these (all)")
    add_json(parser)


def run(options: Any, output: Output) -> int:
    """Prints a paragraph for each protocol: what it is, where it listens, and its options.

    :raises UsageError: if there is no protocol of that name.
    """
    from lumina_twisted.config.listeners import front_ends

    known = front_ends()
    for name in options.protocol:
        if name not in known:
            raise UsageError(f"there is no protocol {name!r}; {nearest(name, list(known))}")
    for name in options.protocol or known:
        _show(name, known[name], output)
    return EXIT_OK


def _show(name: str, front_end: Any, output: Output) -> None:
    from lumina_twisted.config.reference import options_told

    described = options_told(front_end.options)
    endpoint = getattr(front_end, "endpoint", "")
    lines = [f"{name}: {front_end.summary}", *([f"  --listen {name}={endpoint}"] if endpoint else [])]
    for one in described:
        unit = f" [{one['unit']}]" if one["unit"] else ""
        lines += [f"  {one['name']} = {one['default']}{unit}", *_wrapped(one["meaning"])]
    output.result(
        "\n".join(lines), protocol=name, summary=front_end.summary, endpoint=endpoint, options=described
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="      ", subsequent_indent="      ", break_on_hyphens=False)
