"""Which points lie on one another though they are not meant to, floor 3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lumina_twisted.devices.description import Point


def overlaps(points: Iterable[Point]) -> Iterator[tuple[Point, Point]]:
    """Pairs of points that share bits: one of each that is described later, and one before it. Single bits may be
    points beside one that names the bits of the whole register."""
    numbered = list(enumerate(points))
    by_place = sorted(numbered, key=lambda one: (one[1].table, one[1].address))
    met: list[tuple[int, Point]] = []
    told: set[int] = set()
    for number, point in by_place:
        met = [(at, one) for at, one in met if one.table == point.table and one.end > point.address]
        for at, one in met:
            (_, first), (late, second) = sorted([(at, one), (number, point)], key=lambda pair: pair[0])
            if late not in told and _share_bits(one, point):
                told.add(late)
                yield second, first
        met.append((number, point))


def _share_bits(one: Point, other: Point) -> bool:
    """Of two that share an entry."""
    bits = [point.codec.bit for point in (one, other)]
    if None not in bits:
        return bits[0] == bits[1]
    named = [point.codec.type == "bits" for point in (one, other)]
    return bits == [None, None] or not any(named)
