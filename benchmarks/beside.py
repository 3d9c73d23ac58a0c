"""Answers a second of this daemon beside an older one, in turns in one run, so that both meet the same weather.

``python -m benchmarks.beside --base DIR [--rounds N] [--seconds S]``: DIR is the other checkout. Each line of the table
is one bus: the median of both, the median of the rounds' ratios, and the least that is wanted. Status 1: a wrong value.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from attrs import frozen

from benchmarks.build import CannotMeasure
from benchmarks.length import say
from benchmarks.rig import bus_and_daemon, counted

SIX: Final = ("--conns", "6", "--count", "10", "--units", "1-1", "--timeout", "3")
TEN: Final = ("--conns", "10", "--count", "10", "--timeout", "3")


@frozen(kw_only=True)
class Bus:
    """One line of the table.

    :param options: busim's, but for the speed.
    :param wanted: the least ratio.
    :param figure: what is compared; ``per_cpu_second`` are the requests for a second of the daemon's processor time.
    :param is_modbus_tcp: whether it is asked over Modbus TCP, and not in lines.
    """

    name: str
    baud: int
    wanted: float
    options: tuple[str, ...] = ()
    port: str = ":timeout=0.1"
    load: tuple[str, ...] = SIX
    figure: str = "rps"
    is_modbus_tcp: bool = False


def _spoilt(name: str, wanted: tuple[float, float], *options: str) -> list[Bus]:
    return [
        Bus(name=f"one in 7 {name}", baud=baud, wanted=least, options=options)
        for baud, least in zip((9600, 115200), wanted, strict=True)
    ]


BUSES: Final[tuple[Bus, ...]] = (
    *_spoilt("lost", (1.25, 1.6), "--drop-every", "7"),
    *_spoilt("damaged", (1.25, 1.6), "--crc-every", "7"),
    *_spoilt("cut", (1.25, 1.6), "--trunc-every", "7"),
    *_spoilt("late by 110 ms", (0.97, 0.97), "--late-every", "7", "--late-ms", "110"),
    *_spoilt("late by 200 ms", (0.97, 0.97), "--late-every", "7", "--late-ms", "200"),
    *(Bus(name="clean", baud=baud, wanted=0.99, port="", load=TEN) for baud in (9600, 19200, 115200)),
    *(
        Bus(name="clean, utilisation", baud=baud, wanted=0.99, port="", load=TEN, figure="utilisation")
        for baud in (9600, 19200, 115200)
    ),
    Bus(name="clean, no wire time", baud=0, wanted=0.99, port=":frame_gap=0", load=TEN),
    Bus(
        name="processor, Modbus TCP", baud=0, wanted=1.11, port=":baudrate=115200:frame_gap=0", load=TEN,
        figure="per_cpu_second", is_modbus_tcp=True,
    ),
)


def compared(bus: Bus, base: pathlib.Path, tree: pathlib.Path | None, rounds: int, seconds: float) -> dict[str, Any]:
    """Both figures, their ratio, and the wrong values of each: ``base``, ``now``, ``ratio``, ``wrong``, ``errors``."""
    speed = f":baudrate={bus.baud}" if bus.baud else ""
    turnaround = "1000" if bus.baud else "0"
    rows: dict[str, list[dict[str, Any]]] = {"base": [], "now": []}
    with ExitStack() as ends:
        sides = {}
        for who, where in (("base", base), ("now", tree)):
            made = bus_and_daemon(
                ("--baud", str(bus.baud), "--turnaround-us", turnaround, *bus.options), speed + bus.port, tree=where
            )
            sides[who] = ends.enter_context(made)
        for number in range(rounds):
            for who, (simulated, daemon) in sorted(sides.items(), reverse=bool(number % 2)):  # each is first as often
                target = ("--target", f"127.0.0.1:{daemon.modbus_port}@0") if bus.is_modbus_tcp else (
                    "--line", f"127.0.0.1:{daemon.tcp_port}", "--serial", "bus@0", "--baud", str(bus.baud or 9600)
                )
                counts = counted(simulated, daemon.pid, *target, *bus.load, "--seconds", str(seconds))
                rows[who].append({**counts, "per_cpu_second": 1e6 / counts["cpu_us"]})
    return judged(bus, rows)


def judged(bus: Bus, rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What the rounds say."""
    figures = {
        who: [one["bus"][bus.figure] if bus.figure in one["bus"] else one[bus.figure] for one in many]
        for who, many in rows.items()
    }
    ratios = [now / was for was, now in zip(figures["base"], figures["now"], strict=True)]
    found: dict[str, Any] = {who: statistics.median(many) for who, many in figures.items()}
    found["ratio"] = statistics.median(ratios)
    for key in ("wrong", "errors"):
        found[key] = {who: sum(one[key] for one in many) for who, many in rows.items()}
    found["early"] = sum(one["bus"]["early"] for one in rows["now"])
    return found


def line(bus: Bus, found: dict[str, Any]) -> str:
    """One of the table."""
    verdict = "" if found["ratio"] >= bus.wanted else "  SHORT"
    return (
        f"{bus.name:24}{bus.baud:7}{found['base']:10.3f}{found['now']:10.3f}{found['ratio']:8.3f}{bus.wanted:7.2f}"
        f"{found['wrong']['base']:8}{found['wrong']['now']:6}{found['errors']['base']:8}{found['errors']['now']:6}"
        f"{found['early']:6}{verdict}"
    )


def run(buses: Sequence[Bus], words: argparse.Namespace) -> int:
    """Measures and prints; the number of wrong values that this daemon gave."""
    wrong = 0
    print(f"{'':24}{'baud':>7}{'base':>10}{'now':>10}{'ratio':>8}{'least':>7}{'wrong':>8}{'now':>6}{'errors':>8}{'now':>6}"
          f"{'early':>6}")
    for bus in buses:
        found = compared(bus, words.base, words.tree, words.rounds, words.seconds)
        wrong += found["wrong"]["now"]
        print(line(bus, found), flush=True)
    return wrong


def main() -> int:
    """Parses, measures, tells."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="WORD", help="only buses whose names begin so, as 'clean'")
    parser.add_argument("--base", type=pathlib.Path, required=True, metavar="DIR", help="the checkout to compare with")
    parser.add_argument("--tree", type=pathlib.Path, metavar="DIR", help="this one's; not given: what is installed")
    parser.add_argument("--rounds", type=int, default=5, help="of each bus (5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load (5)")
    words = parser.parse_args()
    chosen = [bus for bus in BUSES if not words.names or bus.name.startswith(tuple(words.names))]
    if not chosen:
        parser.error(f"no bus begins so; there are {', '.join(dict.fromkeys(bus.name for bus in BUSES))}")
    try:
        return 1 if run(chosen, words) else 0
    except CannotMeasure as why:
        say(f"cannot measure: {why}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
