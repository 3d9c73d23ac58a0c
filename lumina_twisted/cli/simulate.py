"""``lumina simulate``: simulates buses from a TOML file until Ctrl-C, floor 5."""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

from lumina_twisted.cli.arguments import EXIT_OK
from lumina_twisted.cli.output import Output

EXAMPLES: Final = """\
  lumina simulate etc/simulation.toml
  lumina simulate etc/simulation.toml --verbose    and what comes over the wires
  lumina simulate etc/simulation.toml --check      is it right?
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    parser.add_argument("file", metavar="FILE", help="a TOML file; docs/simulator.md says what can stand there")
    parser.add_argument("--check", action="store_true", help="say all that is wrong with the file, and exit")
    parser.add_argument("--verbose", "-v", action="store_true", help="print all that comes over the wires")


def run(options: Any, output: Output) -> int:
    """Prints the paths that programs can open, and runs the simulation.

    :raises ConfigError: with all faults of the file.
    :raises PortError: if a bus cannot be made.
    """
    from lumina_twisted.config.process import note_signals

    if not options.check:
        note_signals()
    from lumina_twisted.config.simulation import settings_from_toml

    settings = settings_from_toml(options.file)
    if options.check:
        buses = ", ".join(settings.buses) or "none"
        output.result(f"{options.file} is fine: buses {buses}")
        return EXIT_OK
    return _simulate(settings, options, output)


def _simulate(settings: Any, options: Any, output: Output) -> int:
    from twisted.internet import reactor

    from lumina_twisted.config.process import handle_signals
    from lumina_twisted.simulator.simulation import Simulation

    def show(event: Any) -> None:
        output.result(str(event))

    simulation = Simulation(settings, reactor, time.monotonic, on_wire=show if options.verbose else None)
    simulation.startService()
    for line in simulation.summary():
        output.result(line)
    reactor.addSystemEventTrigger("after", "shutdown", simulation.stopService)  # type: ignore[attr-defined]
    handle_signals(reactor)
    reactor.callWhenRunning(handle_signals, reactor)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
    return EXIT_OK
