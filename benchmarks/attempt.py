"""One point of a part that cannot be measured loses only itself: the reason stands in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.build import CannotMeasure
from benchmarks.length import Figures, say

FAILED = "failed"


def attempted(what: str, measure: Callable[[], Figures]) -> Figures:
    """The figures of ``measure``, or under ``failed`` a sentence that says why there are none."""
    try:
        return measure()
    except (CannotMeasure, OSError) as why:
        say(f"  {what} failed: {why}")
        return {FAILED: f"{what}: {why}"}


def found(figures: Figures) -> bool:
    """Whether these are figures, and no reason why there are none."""
    return FAILED not in figures


def gaps(figures: Figures) -> Iterator[str]:
    """The reasons that stand in a part's figures, however deep."""
    for name, value in figures.items():
        if name == FAILED and isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from gaps(value)
        elif isinstance(value, list):
            for one in value:
                if isinstance(one, dict):
                    yield from gaps(one)
