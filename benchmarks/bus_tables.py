"""Tables of what one bus gives to many: sharing, dead units, writes, ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.attempt import found, gaps
from benchmarks.length import Figures
from benchmarks.summary import cores

WAYS = {
    "merged": "Lumina, `merge = true`", "shared": "Lumina", "unshared": "Lumina, `share = false`",
    "peer": "a gateway on pymodbus",
}
"""Of sharing, in the order of the columns."""
BLOCKS = {"same": "read the same {registers} registers", "neighbours": "read a register each, side by side"}
NOTHING = "-"


def sharing(measured: Figures) -> Iterator[str]:
    """A table for each kind of blocks, and what could not be measured."""
    for blocks, words in BLOCKS.items():
        kind = measured[blocks]
        yield from crowds(words.format(**kind), kind["alone"], kind["clients"])
        yield ""
    yield from reasons(measured)


def crowds(words: str, alone: float, by_clients: Figures) -> Iterator[str]:
    """Rows by clients, a column for each way that was measured; what Lumina did wrong is of all its ways."""
    ways = [way for way in WAYS if any(way in row for row in by_clients.values())]
    heads = " | ".join(WAYS[way] for way in ways)
    yield (
        f"| reads a second at 9600 baud (times the {alone:.1f} of the wire unshared); all {words} | {heads}"
        " | Lumina's least wire utilisation | wrong values | early frames |"
    )
    yield "|---|---|---|---|" + "---|" * len(ways)
    for clients, row in by_clients.items():
        rates = [cell(row.get(way), partial(rate, alone)) for way in ways]
        ours = [one for way, one in row.items() if way != "peer" and found(one)]
        least = f"{min(one['bus']['utilisation'] for one in ours):.3f}" if ours else NOTHING
        wrong, early = sum(one["wrong"] for one in ours), sum(one["bus"]["early"] for one in ours)
        yield f"| {counted(clients)} | {' | '.join(rates)} | {least} | {wrong} | {early} |"


def rate(alone: float, one: Figures) -> str:
    """Reads a second, and how many times what the wire carries if each is a transaction of its own."""
    return f"{one['rps']:,.0f} ({one['rps'] / alone:.2f})"


def dead(measured: Figures) -> Iterator[str]:
    """A row for each number of clients that ask a dead unit."""
    yield (
        "| four clients of a live unit, 9600 baud, response timeout 0.3 s | reads a second | of those alone | p50, ms"
        " | p99, ms | longest, ms | share of a core | answers a second to the clients of the dead unit |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    rows = {"Lumina": measured["unit"]["lumina"], "a gateway on pymodbus": measured["unit"]["peer"]}
    for name, by_clients in rows.items():
        yield from beside(name, "a dead unit", by_clients)
    yield from beside("Lumina, two ports", "a port whose device is gone", measured["port"])
    yield ""
    yield from reasons(measured)


def beside(name: str, what: str, by_clients: Figures) -> Iterator[str]:
    """The rows of one gateway. The first is what the others are compared with."""
    alone = by_clients.get("0", {})
    for clients, one in by_clients.items():
        told = "alone" if clients == "0" else f"beside {counted(clients)} of {what}"
        if not found(one):
            yield f"| {name}, {told} |" + f" {NOTHING} |" * 7
            continue
        ratio = f"{one['rps'] / alone['rps']:.2f}" if alone and found(alone) else NOTHING
        times = " | ".join(f"{one[key]:.0f}" for key in ("p50_ms", "p99_ms", "max_ms"))
        refused = f"{answers(one['dead']):.1f}" if "dead" in one else NOTHING
        yield f"| {name}, {told} | {one['rps']:.1f} | {ratio} | {times} | {cores(one):.3f} | {refused} |"


def writes(measured: Figures) -> Iterator[str]:
    """One row."""
    yield (
        f"| a write beside 50 clients that poll at 9600 baud; a poll takes {measured['transaction_ms']:.0f} ms, a write"
        f" {measured['write_ms']:.0f} ms | p50, ms | p99, ms | longest, ms | writes |"
    )
    yield "|---|---|---|---|---|"
    one = measured["lumina"]
    if found(one):
        times = " | ".join(f"{one[key]:,.0f}" for key in ("p50_ms", "p99_ms", "max_ms"))
        yield f"| until it is answered | {times} | {one['count']} |"
    yield ""
    yield from reasons(measured)


def ports(measured: Figures) -> Iterator[str]:
    """A row for each number of ports."""
    yield (
        "| ports of 115200 baud in one process, 4 connections each | least wire utilisation | mean | cores used"
        " | commands a second | wrong values | early frames |"
    )
    yield "|---|---|---|---|---|---|---|"
    for number, one in measured.items():
        if found(one):
            shares = f"{one['least']:.3f} | {one['mean']:.3f} | {one['cores']:.2f} | {one['rps']:,.0f}"
            yield f"| {number} | {shares} | {one['wrong']} | {one['early']} |"
        else:
            yield f"| {number} |" + f" {NOTHING} |" * 6
    yield ""
    yield from reasons(measured)


def counted(clients: str) -> str:
    """One client, 3 clients."""
    return "1 client" if clients == "1" else f"{clients} clients"


def answers(asked: Figures) -> float:
    """Answers a second of any kind, in the background."""
    return float((asked["ok"] + asked["exceptions"] + asked["errors"]) / asked["seconds"])


def cell(one: Figures | None, told: Callable[[Figures], str]) -> str:
    """What ``told`` makes of figures, or a dash where there are none."""
    return NOTHING if one is None or not found(one) else told(one)


def reasons(measured: Figures) -> Iterator[str]:
    """Why cells are empty."""
    for why in gaps(measured):
        yield f"Not measured: {why}"
        yield ""
