"""The table of values by name."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.attempt import found
from benchmarks.bus_tables import NOTHING, reasons
from benchmarks.length import Figures

WHO = {"poller": "the poller alone", "clients": "a client of each port alone", "both": "both"}


def values(measured: Figures) -> Iterator[str]:
    """A row for each crowd, and how long a change takes."""
    yield (
        f"| {measured['points']:,} points of {measured['devices']} devices on {measured['ports']} ports of 115200 baud,"
        " read once a second | oldest value, s | the poller's share of a wire | p50 of a client's read, ms | p99, ms"
        " | cores used | memory, MiB |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, words in WHO.items():
        one = measured[name]
        if not found(one):
            yield f"| {words} |" + f" {NOTHING} |" * 6
            continue
        oldest = f"{one['oldest']:.2f}" if "oldest" in one else NOTHING
        share = f"{one['share']:.3f}" if name != "clients" else NOTHING
        times = " | ".join(f"{one[key]:.1f}" if key in one else NOTHING for key in ("p50_ms", "p99_ms"))
        yield f"| {words} | {oldest} | {share} | {times} | {one['cores']:.2f} | {one['memory'] / 2**20:.0f} |"
    yield ""
    arrival = measured["arrival"]
    if found(arrival):
        yield (
            f"A client's read takes {measured['transaction_ms']:.1f} ms on the wire at best. A value that is read each"
            f" {arrival['poll_ms']:.0f} ms, and changes on the bus, reaches a watcher {arrival['p50_ms']:.0f} ms"
            f" later, {arrival['max_ms']:.0f} ms at most ({arrival['count']} changes)."
        )
        yield ""
    yield from reasons(measured)
