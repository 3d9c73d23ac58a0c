"""Devices that are busy, or deaf while they are busy: whether a client ever gets a wrong value or a false confirmation.

``python -m benchmarks.evidence [--cells N] [--only KEY=VALUE,… …] [--tree DIR]`` draws cells of the whole matrix
below, the same ones in every run with the same ``--seed``, and runs several of them at once. It prints the counts by
each value of the matrix and each bad cell, and ends with status 1 where there is one.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks.build import CannotMeasure
from benchmarks.length import say
from benchmarks.proof import BAD, RTU_CHAIN, TRANSPORTS, Case, is_bad, prove, total

MATRIX: Final[Mapping[str, tuple[str, ...]]] = {
    "busy": ("0.8", "1.2", "2", "5", "15"),
    "hearing": ("hears", "deaf"),
    "clients": ("1", "2", "3", "10"),
    "functions": ("1", "2", "3", "4", "5", "6", "16", "3+16", "3+4+6", "1+2+3+4+5+6+16"),
    "baud": ("9600", "115200", "0"),
    "transport": TRANSPORTS,
    "timeout": ("0.5", "auto"),
    "wait": ("5", "30"),
    "canary": ("default",),
    "diagnostics": ("known", "refused", "silent"),
}
"""Seconds that a device is busy; whether it hears meanwhile; who asks what; the wire (0: it takes no time); the port's
options; how long a client waits; and how the device takes function 8."""

EVERY: Final = "40"
"""At which requests the device is busy."""
DIAGNOSTICS: Final[Mapping[str, tuple[str, ...]]] = {
    "known": (), "refused": ("--no-diag",), "silent": ("--mute-diag",),
}

Cell = Mapping[str, str]


def cells(chosen: Mapping[str, Sequence[str]], count: int, seed: int) -> list[Cell]:
    """So many of the matrix, drawn; all of them if there are fewer."""
    every = [dict(zip(MATRIX, values, strict=True)) for values in itertools.product(*({**MATRIX, **chosen}).values())]
    return random.Random(seed).sample(every, min(count, len(every)))


def case(cell: Cell, seconds: float, every: str = EVERY) -> Case:
    """What a cell means to busim, the daemon and mbcheck."""
    deaf = ("--deaf",) if cell["hearing"] == "deaf" else ()
    timeout = f":timeout={cell['timeout']}" if cell["timeout"] != "0.5" else ""
    canary = f":canary={cell['canary']}" if cell["canary"] != "default" else ""
    second = timeout + canary if cell["transport"] == RTU_CHAIN else timeout  # the numbers of Modbus TCP need none
    wire = ":frame_gap=0" if cell["baud"] == "0" else f":baudrate={cell['baud']}"
    return Case(
        bus=("--baud", cell["baud"], "--turnaround-us", "1000", "--busy-every", every, "--busy-ms",
             str(round(1000 * float(cell["busy"]))), *deaf, *DIAGNOSTICS[cell["diagnostics"]]),
        transport=cell["transport"], port=wire + timeout + canary, second=second, listener=f",timeout={cell['wait']}",
        load=("--conns", cell["clients"], "--functions", cell["functions"].replace("+", ","), "--seconds", str(seconds),
              "--pause-ms", "2"),
    )


def run(
    drawn: Sequence[Cell], seconds: float, at_once: int, tree: pathlib.Path | None
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Each cell with its figures."""
    for start in range(0, len(drawn), at_once):
        batch = drawn[start : start + at_once]
        got = prove([case(cell, seconds) for cell in batch], tree=tree)
        say(f"  {start + len(batch)} of {len(drawn)} cells: {total(got, 'answers')} answers,"
            f" {', '.join(f'{total(got, key)} {key}' for key in BAD)}")
        yield from zip(batch, got, strict=True)


def table(found: Sequence[tuple[Cell, dict[str, Any]]]) -> list[str]:
    """By each value of the matrix: cells, bad cells, answers, and what must not be."""
    columns = ("answers", "reads", "confirmed", *BAD, "failed")
    lines = [f"{'':30}{'cells':>7}{'bad':>7}" + "".join(f"{name:>11}" for name in columns)]
    for key in ("all", *MATRIX):
        for value in dict.fromkeys(cell.get(key, "") for cell, _ in found):
            got = [figures for cell, figures in found if cell.get(key, "") == value]
            counts = "".join(f"{total(got, name):11}" for name in columns)
            lines.append(f"{f'{key} {value}':30}{len(got):7}{sum(map(is_bad, got)):7}{counts}")
    return lines


def chosen_values(words: Sequence[str], refuse: Any) -> dict[str, tuple[str, ...]]:
    """``KEY=VALUE,…`` of the command line."""
    chosen = {}
    for word in words:
        key, _, values = word.partition("=")
        if key not in MATRIX or not values:
            refuse(f"--only {word}: write KEY=VALUE,…, where KEY is one of {', '.join(MATRIX)}")
        chosen[key] = tuple(values.split(","))
    return chosen


def main() -> int:
    """Draws, runs, tells."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--cells", type=int, default=240, help="how many are drawn (240)")
    parser.add_argument("--only", action="append", default=[], metavar="KEY=VALUE,…", help="these values of the matrix")
    parser.add_argument("--seconds", type=float, default=45.0, help="of each cell (45)")
    parser.add_argument("--at-once", type=int, default=24, help="cells that run at the same time (24)")
    parser.add_argument("--seed", type=int, default=13, help="what is drawn (13)")
    parser.add_argument("--tree", type=pathlib.Path, help="the checkout whose daemon is tried; else the installed one")
    words = parser.parse_args()
    drawn = cells(chosen_values(words.only, parser.error), words.cells, words.seed)
    began = time.monotonic()
    try:
        found = list(run(drawn, words.seconds, words.at_once, words.tree))
    except CannotMeasure as why:
        print(f"cannot measure: {why}", file=sys.stderr)
        return 2
    print("\n".join(table(found)))
    for cell, figures in found:
        if is_bad(figures):
            print("bad:", " ".join(f"{key}={value}" for key, value in cell.items()),
                  " ".join(f"{key}={figures[key]}" for key in ("answers", *BAD)))
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if any(is_bad(figures) for _, figures in found) else 0


if __name__ == "__main__":
    sys.exit(main())
