"""The first plot: an SVG that is small and can be read on light and on dark pages."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks.results import Results
from benchmarks.summary import Spread, cpu, rates, utilisation

INK, OURS, THEIRS = "#1f2328", "#2f81f7", "#9198a1"
DARK_INK = "#e6edf3"
NAMES = {"lumina": "Lumina, lines", "modbus_tcp": "Lumina,\nModbus TCP", "peer": "a gateway\non pymodbus"}
COLOURS = {"lumina": OURS, "modbus_tcp": OURS, "peer": THEIRS}
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "lumina", "font.sans-serif": ["DejaVu Sans", "Helvetica", "sans-serif"],
    "text.color": INK, "axes.labelcolor": INK, "ytick.color": INK, "font.size": 9,
}
"""Text stays text, and the same figures make the same file."""


def svg(results: Results) -> str:
    """The whole file."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 2.6), layout=ConstrainedLayoutEngine(wspace=0.06))
        left, right = figure.subplots(1, 2, width_ratios=(1, 1))
        share_of_the_wire(left, results.measured.get("wire", {}))
        without_wire(right, results.measured.get("overhead", {}))
        for axes in (left, right):
            bare(axes)
        return written(figure)


def written(figure: Figure) -> str:
    """A figure as the text of its file."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return adapted(file.getvalue())


def share_of_the_wire(axes: Any, found: dict[str, Any]) -> None:
    """A bar for each speed, before a pale one that is the whole wire."""
    axes.set_title("Share of the wire's time that is used")
    shares = utilisation(found)
    places = list(reversed(range(len(shares))))
    axes.barh(places, 1, 0.6, color=THEIRS, alpha=0.35)
    axes.barh(places, list(shares.values()), 0.6, color=OURS)
    for place, share in zip(places, shares.values(), strict=True):
        axes.text(1.02, place, f"{share:.3f}", va="center")
    axes.set_yticks(places, [f"{baudrate} baud" for baudrate in shares])
    axes.set_xlim(0, 1.15)


def without_wire(axes: Any, found: dict[str, Any]) -> None:
    """The median rate of each, a whisker from least to most, and in words also the processor time."""
    axes.set_title("Commands a second, no wire time")
    names = list(NAMES) if found else []
    for place, who in zip((2, 1, 0), names, strict=False):
        rate, each = rates(found, who), cpu(found, who)
        axes.barh(place, rate.median, 0.5, color=COLOURS[who], xerr=whisker(rate), ecolor=INK, capsize=2)
        told = f"{rate.median:,.0f} a second, {each.median:,.0f} µs of processor time each"
        axes.text(0, place - 0.44, told, va="center")
    axes.set_yticks([2, 1, 0][: len(names)], [NAMES[who] for who in names])
    axes.set_ylim(-0.7, 2.4)


def whisker(spread: Spread) -> Sequence[Sequence[float]]:
    """How far least and most are from the median."""
    return [[spread.median - spread.least], [spread.most - spread.median]]


def bare(axes: Any) -> None:
    """No frame and no numbers along the bottom; the bars are labelled."""
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def adapted(file: str) -> str:
    """With a rule for dark pages, and no blanks at the ends of lines."""
    rules = " ".join(f'[style*="{what}: {INK}"] {{ {what}: {DARK_INK} !important }}' for what in ("fill", "stroke"))
    style = f"<style>@media (prefers-color-scheme: dark) {{ {rules} }}</style>\n "
    lines = file.replace("<defs>", f"{style}<defs>", 1).splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"
