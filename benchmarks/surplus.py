"""Replies that nobody asked for: one in a run, or a device that answers every request, or every Kth, twice.

``python -m benchmarks.surplus [once|always] [--tree DIR]``. The clients ask for one shape only, as fast as they are
answered, which hides a shifted stream best. It prints wrong values after the surplus reply, or in the first hundred
answers (``early``) and in all after them, and ends with status 1 where there is one.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

from benchmarks.build import CannotMeasure
from benchmarks.length import say
from benchmarks.proof import SERIAL, SOCKET, Case, is_bad, prove, total

AT: Final = "100"
"""The reply that comes twice, where one does."""
WARM: Final = "100"
"""Answers by which a unit that answers twice shall be known."""
READS: Final = {"9600": "2000", "115200": "10000", "0": "10000"}
"""How many are asked for where a unit answers twice, by speed."""
AT_ONCE: Final = 8


@frozen(kw_only=True)
class Named:
    """A case and what it is called."""

    name: str
    case: Case


def _case(
    transport: str, baud: str, device_us: int, dup: tuple[str, ...], clients: int, load: tuple[str, ...]
) -> Case:
    port = f":baudrate={baud}" if baud != "0" else "" if transport == SOCKET else ":frame_gap=0"
    return Case(
        bus=("--baud", baud, "--turnaround-us", str(device_us), *dup), transport=transport, port=port,
        load=("--conns", str(clients), "--functions", "3", "--count", "2", *load),
    )


def _copy_at(microseconds: float) -> tuple[str, ...]:
    return ("--dup-at", AT, "--dup-us", str(round(microseconds)))


def once(seconds: float) -> list[Named]:
    """One surplus reply in a run."""
    load = ("--seconds", str(seconds))
    sockets = [
        Named(
            name=f"once, rtu+tcp, {clients} clients, device {device_us / 1000:g} ms, copy {part:g} of it later",
            case=_case(SOCKET, "0", device_us, _copy_at(device_us * part), clients, load),
        )
        for clients in (1, 4, 10) for device_us in (500, 2000, 5000) for part in (0, 0.5, 1.1)
    ]
    wires = [
        Named(
            name=f"once, serial, {baud} baud, {clients} clients, copy after {copy_ms} ms",
            case=_case(SERIAL, baud, 1000, _copy_at(1000 * copy_ms), clients, load),
        )
        for baud in ("9600", "115200") for clients in (1, 4) for copy_ms in (0, 1, 5, 20)
    ]
    return sockets + wires


def always(seconds: float) -> list[Named]:
    """Every reply, every seventh, every fiftieth."""
    found = []
    for every in (1, 7, 50):
        for transport, baud in ((SERIAL, "9600"), (SERIAL, "115200"), (SOCKET, "0")):
            for copy_ms in (0, 5):
                dup = ("--dup-every", str(every), "--dup-us", str(1000 * copy_ms))
                load = ("--seconds", str(seconds), "--replies", READS[baud], "--warm", WARM)
                name = f"every {every}, {transport}, {baud} baud, copy after {copy_ms} ms"
                found.append(Named(name=name, case=_case(transport, baud, 1000, dup, 4, load)))
    return found


def run(cases: Sequence[Named], tree: pathlib.Path | None) -> list[dict[str, Any]]:
    """Their figures, each printed as it is known."""
    found: list[dict[str, Any]] = []
    print(f"{'':64}{'answers':>9}{'copies':>8}{'early':>7}{'wrong':>7}{'failed':>8}{'a second':>10}")
    for start in range(0, len(cases), AT_ONCE):
        batch = cases[start : start + AT_ONCE]
        for one, got in zip(batch, prove([one.case for one in batch], tree=tree), strict=True):
            print(f"{one.name:64}{got['answers']:9}{got['bus']['doubled']:8}{got['wrong_warm']:7}{got['wrong']:7}"
                  f"{got['failed']:8}{got['rps']:10.1f}", flush=True)
            found.append(got)
    return found


def main() -> int:
    """Parses, runs, tells."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.surplus", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=("once", "always"), help="what to try; else both")
    parser.add_argument("--seconds", type=float, help="of each case (once 10, always 90 at most)")
    parser.add_argument("--tree", type=pathlib.Path, help="the checkout whose daemon is tried; else the installed one")
    words = parser.parse_args()
    cases = [] if words.parts == ["always"] else once(words.seconds or 10.0)
    cases += [] if words.parts == ["once"] else always(words.seconds or 90.0)
    try:
        found = run(cases, words.tree)
    except CannotMeasure as why:
        say(f"cannot measure: {why}")
        return 2
    print(f"{total(found, 'answers')} answers, {total(found, 'wrong') + total(found, 'wrong_warm')} wrong")
    return 1 if any(map(is_bad, found)) else 0


if __name__ == "__main__":
    sys.exit(main())
