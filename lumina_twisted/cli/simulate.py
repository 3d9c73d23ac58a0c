"""``lumina simulate``: buses from a TOML file, until Ctrl-C, floor 5."""

from __future__ import annotations

import sys
import time

from lumina_twisted.cli.parser import EXIT_OK, EXIT_REFUSED
from lumina_twisted.config import early, signals
from lumina_twisted.config.simulation import settings_from_toml
from lumina_twisted.errors import LuminaError
from lumina_twisted.simulator.simulation import Simulation


def simulate(path: str, *, is_verbose: bool = False) -> int:
    """Runs the simulation that the file describes; its exit status.

    :param is_verbose: whether all that comes over the wires is printed.
    :raises ConfigError: with all faults of the file.
    """
    early.take_over()
    from twisted.internet import reactor

    settings = settings_from_toml(path)
    simulation = Simulation(settings, reactor, time.monotonic, on_wire=print if is_verbose else None)
    try:
        simulation.startService()
    except LuminaError as error:
        print(f"lumina: {error}", file=sys.stderr)
        return EXIT_REFUSED
    print("\n".join(simulation.summary()), flush=True)
    reactor.addSystemEventTrigger("after", "shutdown", simulation.stopService)  # type: ignore[attr-defined]
    signals.take_over(reactor)
    reactor.callWhenRunning(signals.take_over, reactor)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
    return EXIT_OK
