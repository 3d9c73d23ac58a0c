"""The page of figures, as Markdown, made of a run's results alone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from benchmarks.bus_tables import dead, ports, sharing, writes
from benchmarks.length import Figures
from benchmarks.results import Results
from benchmarks.summary import Spread, cpu, rates, ratios, utilisation
from benchmarks.value_tables import values

FIGURE = "docs/figures/bench.svg"
SHARING_FIGURE = "docs/figures/sharing.svg"
PAGE = "benchmarks.md"


def section(results: Results) -> str:
    """Everything between the page's two markers. A part that failed says why in its table's place."""
    shown = {
        "wire": wire, "ports": ports, "sharing": shared, "dead": dead, "writes": writes, "faults": faults,
        "overhead": overhead, "crowd": crowd, "startup": startup, "values": values,
    }
    blocks = [introduction(results.about), f"![{caption(results)}]({FIGURE.removeprefix('docs/')})"]
    for name, table in shown.items():
        if name in results.measured:
            blocks.append("\n".join(table(results.measured[name])).strip())
        elif name in results.failed:
            blocks.append(f"`{name}` was not measured: {results.failed[name]}")
    return "\n\n".join(blocks) + "\n"


def introduction(about: Figures) -> str:
    """When, where and with what."""
    machine, versions = about["machine"], about["versions"]
    kind = "a virtual machine" if machine["virtual"] else "a machine"
    shared = " Others may use its processor meanwhile: compare figures of one run only." if machine["virtual"] else ""
    told = (
        f"Made by `make bench` on {about['date'].split()[0]}, {about['length']['seconds']:.0f} s a load, on {kind} with"
        f" {machine['cores']} cores ({machine['processor']}), Python {versions['python']}, Twisted"
        f" {versions['twisted']}.{shared} [What is measured, and how]({PAGE})."
    )
    return textwrap.fill(told, 120, break_long_words=False, break_on_hyphens=False)


def caption(results: Results) -> str:
    """The plot in words."""
    told = []
    if "wire" in results.measured:
        shares = utilisation(results.measured["wire"]).items()
        told.append(f"Of the wire's time {', '.join(f'{share:.3f} at {baudrate}' for baudrate, share in shares)} baud")
    if "overhead" in results.measured:
        ratio = ratios(results.measured["overhead"], "rps").median
        told.append(f"over Modbus TCP {ratio:.2f} times the commands a second of a gateway on pymodbus")
    return "; ".join(told) or "no figures"


def wire(found: Figures) -> Iterator[str]:
    """Utilisation at each speed, and how much of it is before T3.5."""
    yield (
        "| 10 connections, 10 registers, 1 ms device time | wire utilisation, lines | Modbus TCP | early frames"
        " | collisions | wrong values | early frames of a gateway on pymodbus |"
    )
    yield "|---|---|---|---|---|---|---|"
    for baudrate, each in found.items():
        mine = each["lumina"], each["modbus_tcp"]
        shares = " | ".join(f"{one['bus']['utilisation']:.3f}" for one in mine)
        keys = ("early", "answered", "collision")
        early, answered, collisions = (sum(one["bus"][key] for one in mine) for key in keys)
        theirs = f"{each['peer']['bus']['early']:,} of {each['peer']['bus']['answered']:,}"
        wrong = sum(one["wrong"] for one in mine)
        yield f"| {baudrate} baud | {shares} | {early:,} of {answered:,} | {collisions} | {wrong} | {theirs} |"


def shared(found: Figures) -> Iterator[str]:
    """What sharing gives, as a plot and as tables."""
    yield f"![{sharing_caption(found)}]({SHARING_FIGURE.removeprefix('docs/')})"
    yield ""
    yield from sharing(found)


def sharing_caption(found: Figures) -> str:
    """That plot in words: the largest crowd's figures."""
    same = found["same"]
    clients, row = list(same["clients"].items())[-1]
    rates_of = {"shared": "through Lumina", "unshared": "unshared", "peer": "through a gateway on pymodbus"}
    told = (f"{row[way]['rps']:,.0f} {words}" for way, words in rates_of.items() if "rps" in row.get(way, {}))
    return f"Reads a second of {clients} clients that read the same registers at 9600 baud: {', '.join(told)}"


def faults(found: Figures) -> Iterator[str]:
    """What clients get of spoilt replies: at all speeds together, and how fast at each."""
    speeds = list(next(iter(found.values())))
    rates_at = " | ".join(f"a second at {baudrate}" for baudrate in speeds)
    yield f"| every seventh reply is | wrong values | commands that failed | {rates_at} |"
    yield "|---|---|---|" + "---|" * len(speeds)
    for name, by_speed in found.items():
        runs = [by_speed[baudrate] for baudrate in speeds]
        asked = sum(run["ok"] + run["errors"] + run["exceptions"] for run in runs)
        failed = sum(run["errors"] + run["exceptions"] for run in runs)
        each = " | ".join(f"{run['rps']:,.1f}" for run in runs)
        yield f"| {name} | {sum(run['wrong'] for run in runs)} | {failed} of {asked:,} | {each} |"


def overhead(found: Figures) -> Iterator[str]:
    """Beside the peer; median and spread over the rounds."""
    rounds = len(found["rounds"])
    yield (
        f"| no wire time, 10 connections, median of {rounds} rounds | Lumina, lines | Lumina, Modbus TCP"
        " | the same, `share = false` | a gateway on pymodbus, Modbus TCP | ratio over Modbus TCP |"
    )
    yield "|---|---|---|---|---|---|"
    for name, of, key in (("commands a second", rates, "rps"), ("processor time a command, µs", cpu, "cpu_us")):
        each = " | ".join(of(found, who).told() for who in ("lumina", "modbus_tcp", "unshared", "peer"))
        yield f"| {name} | {each} | {ratios(found, key).told('.2f')} |"


def crowd(found: Figures) -> Iterator[str]:
    """Memory."""
    each = (found["full"] - found["base"]) / found["clients"]
    talked = found["talked"]
    yield f"| {found['clients']:,} clients, of whom fifty talk, soft limit of 1,024 open files | |"
    yield "|---|---|"
    yield f"| memory without a client | {found['base'] / 2**20:.0f} MiB |"
    yield f"| for each client | {each / 1024:.1f} KiB |"
    troubles = ", ".join(str(talked[name]) for name in ("errors", "closed", "wrong"))
    yield f"| commands that failed, connections closed, wrong values | {troubles} |"


def startup(found: Figures) -> Iterator[str]:
    """Start times."""
    yield f"| {len(found['lumina'])} starts, median (least to most) | ms |"
    yield "|---|---|"
    yield f"| from the start of the process to its first answer | {Spread.of(found['lumina']).told('.0f', 1000)} |"
    yield f"| `python -c pass` beside it | {Spread.of(found['python']).told('.0f', 1000)} |"
