"""The plot of what sharing gives: reads a second over clients, both logarithmic."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks.attempt import found
from benchmarks.length import Figures
from benchmarks.plot import INK, OURS, STYLE, THEIRS, written

LINES = {
    "merged": ("Lumina, merged", OURS, "-"), "shared": ("Lumina", OURS, "-"),
    "unshared": ("Lumina, unshared", OURS, ":"), "peer": ("a gateway on pymodbus", THEIRS, "-"),
}
"""By way: what a line is called, its colour and its dashes."""
TITLES = {"same": "All read the same registers", "neighbours": "Each reads a register beside the next one's"}
NEAR = 1.35
"""Two lines whose ends are nearer than this factor would have their names on top of each other."""


def sharing_svg(measured: Figures) -> str:
    """The whole file."""
    with mpl.rc_context({**STYLE, "xtick.color": INK}):
        figure = Figure(figsize=(8.6, 3.0), layout=ConstrainedLayoutEngine(wspace=0.06))
        plots = figure.subplots(1, 2, sharey=True)
        for axes, (blocks, title) in zip(plots, TITLES.items(), strict=True):
            axes.set_title(title)
            crowd(axes, measured[blocks]["clients"])
        plots[0].set_ylabel("reads a second, 9600 baud")
        return written(figure)


def crowd(axes: Any, by_clients: Figures) -> None:
    """A line for each way that was measured, with its name and its last figure at its end."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends: list[tuple[float, str]] = []
    for way, (name, colour, dashes) in LINES.items():
        points = [(int(clients), row[way]["rps"]) for clients, row in by_clients.items() if drawn(row, way)]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=dashes, marker="o", markersize=3)
            ends.append((points[-1][1], f"{name}: {points[-1][1]:,.0f}"))
    last = max(map(int, by_clients))
    for height, text in spread(ends):
        axes.text(last * 1.15, height, text, va="center")
    bare(axes, [int(clients) for clients in by_clients])


def drawn(row: Figures, way: str) -> bool:
    """Whether there is such a point, above what a logarithm can show."""
    return way in row and found(row[way]) and row[way]["rps"] > 0


def spread(ends: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """The names from the highest line to the lowest, far enough from each other to be read."""
    placed: list[tuple[float, str]] = []
    for height, text in sorted(ends, reverse=True):
        above = placed[-1][0] if placed else float("inf")
        placed.append((min(height, above / NEAR), text))
    return placed


def bare(axes: Any, clients: list[int]) -> None:
    """Without a frame; the numbers of clients that were measured along the bottom."""
    axes.set_xticks(clients, [f"{clients[0]} client", *map(str, clients[1:])])
    axes.minorticks_off()
    axes.set_xlim(0.8, max(clients) * 14)
    axes.set_yticks([10, 100, 1000], ["10", "100", "1,000"])
    axes.grid(axis="y", color=THEIRS, alpha=0.3, linewidth=0.5)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
