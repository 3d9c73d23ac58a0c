"""Measures the figures: ``make bench``, or ``python -m benchmarks.run [PART …] [--seconds N] [--quick]``.

A whole run without a failure is published: the tables and the plots are made of it. The figures of a quick run, or
of some parts, are printed.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from benchmarks.attempt import gaps
from benchmarks.build import CannotMeasure
from benchmarks.crowd import measure_crowd
from benchmarks.dead import measure_dead
from benchmarks.faults import measure_faults
from benchmarks.length import QUICK, Figures, Length, say
from benchmarks.overhead import measure_overhead
from benchmarks.ports import measure_ports
from benchmarks.report import publish
from benchmarks.results import FOLDER, Results, new_results
from benchmarks.sharing import measure_sharing
from benchmarks.startup import measure_startup
from benchmarks.tables import section
from benchmarks.values import measure_values
from benchmarks.wire import measure_wire
from benchmarks.writes import measure_writes

Part = Callable[[Length], Figures]

PARTS: dict[str, Part] = {
    "wire": measure_wire, "ports": measure_ports, "sharing": measure_sharing, "dead": measure_dead,
    "writes": measure_writes, "faults": measure_faults, "overhead": measure_overhead, "crowd": measure_crowd,
    "startup": measure_startup, "values": measure_values,
}
"""In the order of a run."""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line: ``parts``, ``length``, ``add_to``. Ends the program with status 2 where it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measures the figures.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure ({', '.join(PARTS)}); else all")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="the same, before or after others")
    parser.add_argument("--seconds", type=_seconds, metavar="N", help="of each load (5); all takes 110 times that")
    parser.add_argument("--quick", action="store_true", help="2 seconds each, to see whether all works")
    parser.add_argument("--add-to", type=pathlib.Path, metavar="FILE", help="a results file that lacks these parts")
    found = parser.parse_args(words)
    found.parts += found.only
    for name in found.parts:
        if name not in PARTS:
            parser.error(f"there is no part {name!r}; there are {', '.join(PARTS)}")
    if (found.seconds is not None) + found.quick + (found.add_to is not None) > 1:
        parser.error("give one of --quick, --seconds and --add-to; the last measures as long as its file says")
    found.parts = [name for name in PARTS if name in found.parts or not found.parts]
    found.length = QUICK if found.quick else Length(seconds=found.seconds) if found.seconds else Length()
    return found


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no time to measure for; give 1 to 3600 seconds")
    return seconds


def measure(parts: Mapping[str, Part], length: Length, results: Results, path: pathlib.Path) -> None:
    """Runs the parts one after another and writes the results after each; one that fails does not stop the others."""
    for name, part in parts.items():
        say(f"{name} …")
        started = time.monotonic()
        results.measured.pop(name, None)
        results.failed.pop(name, None)
        try:
            results.measured[name] = part(length)
            say(f"{name}: {time.monotonic() - started:.0f} s")
        except Exception as why:
            kind = "" if isinstance(why, CannotMeasure) else f"{type(why).__name__}: "
            results.failed[name] = f"{kind}{why}"
            say(f"{name} failed: {results.failed[name]}")
        results.save(path)


def complete(results: Results) -> bool:
    """Whether all parts were measured, and each of their points, for long enough to be worth something."""
    seconds = results.about["length"]["seconds"]
    return set(results.measured) == set(PARTS) and not any(gaps(results.measured)) and seconds > QUICK.seconds


def main(words: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 where a part failed, 130 after Ctrl-C."""
    wanted = parse(sys.argv[1:] if words is None else words)
    if wanted.add_to:
        results, path = Results.load(wanted.add_to), wanted.add_to
    else:
        results = new_results(wanted.length)
        path = pathlib.Path(os.path.relpath(FOLDER / time.strftime("%Y-%m-%d-%H%M%S.json")))
    length = Length(**results.about["length"])
    try:
        measure({name: PARTS[name] for name in wanted.parts}, length, results, path)
    except KeyboardInterrupt:
        say(f"stopped; what was measured until then is in {path}" if path.exists() else "stopped; nothing is measured")
        return 130
    say(f"results are in {path}")
    if complete(results):
        publish(results)
    else:
        print(section(results))
        say(f"printed only; `python -m benchmarks.report {path}` makes the page of figures of them")
    return 1 if results.failed or any(gaps(results.measured)) else 0


if __name__ == "__main__":
    sys.exit(main())
