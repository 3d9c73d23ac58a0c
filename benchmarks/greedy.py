"""Clients that pipeline hundreds of requests, and one that asks ten times a second: ``python -m benchmarks.greedy``.

For each protocol, speed and number of greedy clients a table tells how the honest one was served, what of the wire was
used beside one greedy client alone, and what the daemon took of a core. A poll is left out where the answer to the one
before takes longer than the 100 ms between them. The exit status is 1 where a figure misses what ``docs/guarantees.md``
promises.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from attrs import frozen

from benchmarks import ideal
from benchmarks.background import background
from benchmarks.length import Figures, say
from benchmarks.rig import Lumina, bus_and_daemon, mbload

DEPTH = 300
"""Requests that a greedy client has sent and not got answers for."""
HEAD = ("protocol", "baud", "greedy", "honest answered", "left out", "p50 ms", "p99 ms", "max ms", "limit ms", "wire",
        "of alone", "core", "greedy: ok", "errors", "wrong", "early")


@frozen
class Case:
    """One row of the table."""

    protocol: str
    baudrate: int
    greedy: int

    def load(self, daemon: Lumina) -> tuple[str, ...]:
        """Where mbload asks."""
        if self.protocol == "line":
            where = ("--line", f"127.0.0.1:{daemon.tcp_port}", "--serial", "bus@0", "--baud", str(self.baudrate))
            return (*where, "--count", "10")
        return ("--target", f"127.0.0.1:{daemon.modbus_port}@0", "--count", "10")


def measured(case: Case, seconds: float) -> Figures:
    """What the honest client, the greedy ones, the wire and the processor did."""
    options = ("--baud", str(case.baudrate), *ideal.TURNAROUND)
    with bus_and_daemon(options, f":baudrate={case.baudrate}") as (bus, daemon):
        load = case.load(daemon)
        greedy = (*load, "--conns", str(case.greedy), "--depth", str(DEPTH), "--stride", "16")
        with background(seconds + 2, *greedy) as crowd:
            mbload(*load, "--conns", "1", "--seconds", "1", "--poll-ms", "100", "--units", "10-10")  # all have begun
            bus.reset()
            before = daemon.cpu_seconds()
            honest = mbload(*load, "--conns", "1", "--seconds", str(seconds), "--poll-ms", "100", "--units", "10-10")
            took = daemon.cpu_seconds() - before
            wire = bus.report()
            others = crowd.figures()
    return {"honest": honest, "greedy": others, "wire": wire, "cores": took / seconds}


def alone(case: Case, seconds: float) -> tuple[float, float]:
    """What one greedy client uses of the wire, and what a transaction takes, in seconds."""
    options = ("--baud", str(case.baudrate), *ideal.TURNAROUND)
    with bus_and_daemon(options, f":baudrate={case.baudrate}") as (bus, daemon):
        load = (*case.load(daemon), "--conns", "1", "--depth", str(DEPTH))
        mbload(*load, "--seconds", "0.5")
        bus.reset()
        mbload(*load, "--seconds", str(seconds))
        wire = bus.report()
    return wire["utilisation"], wire["elapsed"] / max(1, wire["answered"])


def row(case: Case, found: Figures, used: float, transaction: float) -> tuple[list[str], bool]:
    """The row of a case, and whether it holds what is promised."""
    honest, greedy, wire = found["honest"], found["greedy"], found["wire"]
    due = honest["due"] - honest["pending"]
    left_out = due - honest["ok"] - honest["exceptions"] - honest["errors"]
    limit = (3 * transaction + 0.05) * 1e3
    share = wire["utilisation"] / used
    good = (
        honest["ok"] + left_out == due > 0 and honest["p99_ms"] <= limit and share >= 0.9
        and (not left_out or honest["max_ms"] <= limit)  # else it waited for something that did not come
        and not honest["wrong"] and not greedy["wrong"]
    )
    return [
        case.protocol, str(case.baudrate), str(case.greedy), f"{honest['ok']} of {due}", str(left_out),
        *(f"{honest[key]:.1f}" for key in ("p50_ms", "p99_ms", "max_ms")), f"{limit:.1f}",
        f"{wire['utilisation']:.3f}", f"{share:.3f}", f"{found['cores']:.2f}", str(greedy["ok"]),
        str(greedy["errors"] + greedy["exceptions"]), str(greedy["wrong"] + honest["wrong"]), str(wire["early"]),
    ], good


def main(words: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 where a figure misses its promise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.greedy", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each row (10)")
    parser.add_argument("--greedy", type=int, nargs="+", default=[12, 40], help="how many greedy clients (12 40)")
    parser.add_argument("--baud", type=int, nargs="+", default=[115200, 9600], help="at which speeds (115200 9600)")
    parser.add_argument("--protocol", nargs="+", default=["line", "modbus-tcp"], choices=["line", "modbus-tcp"])
    wanted = parser.parse_args(words)
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    holds = True
    for protocol in wanted.protocol:
        for baudrate in wanted.baud:
            used, transaction = alone(Case(protocol, baudrate, 1), min(3.0, wanted.seconds))
            say(f"  {protocol} at {baudrate} baud, one greedy client alone: {used:.3f} of the wire")
            for number in wanted.greedy:
                case = Case(protocol, baudrate, number)
                cells, good = row(case, measured(case, wanted.seconds), used, transaction)
                holds = holds and good
                print("| " + " | ".join(cells) + " |", flush=True)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
