"""What a healthy unit keeps beside one that misbehaves: on the same bus, and on another port of the same daemon.

``python -m benchmarks.neighbour [--tree DIR]``. Unit 1 misbehaves and two clients ask it all the time; two others ask
unit 2, and two the unit of another port. ``same`` and ``other`` say how many of theirs are answered with a value.
Status 1: a wrong value or a false confirmation, also of unit 1.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
from contextlib import ExitStack
from typing import Any, Final

from benchmarks.build import CannotMeasure
from benchmarks.length import say
from benchmarks.proof import MODBUS_TCP, SERIAL, SOCKET, daemon_on, figures_of, is_bad, started, total
from benchmarks.rig import Busim, free_port

FAULTS: Final[dict[str, tuple[str, ...]]] = {
    "nothing": (),
    "busy for 1.2 s": ("--busy-every", "40", "--busy-ms", "1200"),
    "busy for 1.2 s, deaf": ("--busy-every", "40", "--busy-ms", "1200", "--deaf"),
    "busy for 15 s, deaf": ("--busy-every", "40", "--busy-ms", "15000", "--deaf"),
    "busy for 5 s, function 8 silent": ("--busy-every", "40", "--busy-ms", "5000", "--mute-diag"),
    "every reply twice": ("--dup-every", "1"),
    "every reply twice, 20 ms later": ("--dup-every", "1", "--dup-us", "20000"),
    "every 7th twice, 5 ms later": ("--dup-every", "7", "--dup-us", "5000"),
    "every 7th lost": ("--drop-every", "7"),
    "every 7th late by 0.6 s": ("--late-every", "7", "--late-ms", "600"),
    "every 7th damaged": ("--crc-every", "7"),
    "another master at every 7th": ("--master-every", "7"),
    "never an answer": ("--drop-every", "1"),
}
"""What is the matter with unit 1."""
LOAD: Final = ("--conns", "2", "--functions", "3,4,1", "--pause-ms", "20")
SICK: Final = ("--conns", "2", "--functions", "3,16", "--pause-ms", "2")


def measured(faults: tuple[str, ...], transport: str, seconds: float, tree: pathlib.Path | None) -> dict[str, Any]:
    """The figures of the clients of ``sick``, the ``same`` bus and the ``other`` port."""
    with ExitStack() as ends:
        folder = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory()))
        paths = []
        for name, options in (("one", ("--fault-unit", "1", *faults)), ("two", ())):
            number = free_port()
            bus = Busim("--baud", "115200", "--turnaround-us", "1000", *options, "--tcp", str(number), "--state",
                        str(folder / name))
            ends.callback(bus.stop)
            paths.append(f"rtu+tcp:127.0.0.1:{number}" if transport == SOCKET else bus.path)
        one, two = daemon_on([(path, ":baudrate=115200", MODBUS_TCP, ",timeout=5") for path in paths], tree, ends)
        clients = {
            "sick": (one, "one", (*SICK, "--units", "1-1")), "same": (one, "one", (*LOAD, "--units", "2-2")),
            "other": (two, "two", (*LOAD, "--units", "2-2")),
        }
        loads = {
            who: started(port, folder / state, (*load, "--seconds", str(seconds)))
            for who, (port, state, load) in clients.items()
        }
        return {who: figures_of(load, seconds) for who, load in loads.items()}


def kept(figures: dict[str, Any]) -> float:
    """Which part of what was asked was answered with a value."""
    done = figures["answers"] + figures["failed"] + figures["refused"] + figures["silent"] + figures["closed"]
    return float(figures["answers"] / done) if done else 0.0


def line(name: str, got: dict[str, Any]) -> str:
    """One of the table."""
    wrong, false = (total(list(got.values()), key) for key in ("wrong", "false"))
    return (
        f"{name:43}{kept(got['sick']):8.1%}{kept(got['same']):8.1%}{got['same']['rps']:10.1f}{kept(got['other']):8.1%}"
        f"{got['other']['rps']:10.1f}{wrong:7}{false:7}"
    )


def main() -> int:
    """Parses, measures, tells."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbour", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load (6)")
    parser.add_argument("--tree", type=pathlib.Path, help="the checkout whose daemon is tried; else the installed one")
    words = parser.parse_args()
    bad = False
    print(f"{'unit 1':43}{'sick':>8}{'same':>8}{'a second':>10}{'other':>8}{'a second':>10}{'wrong':>7}{'false':>7}")
    try:
        for name, faults in FAULTS.items():
            for transport in (SERIAL, SOCKET):
                got = measured(faults, transport, words.seconds, words.tree)
                bad = bad or any(map(is_bad, got.values()))
                print(line(f"{name}, {transport}", got), flush=True)
    except CannotMeasure as why:
        say(f"cannot measure: {why}")
        return 2
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
