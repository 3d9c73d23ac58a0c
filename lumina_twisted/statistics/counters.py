"""What a bus counts, as plain integers: how requests end, and what goes wrong on the wire by unit and kind. Floor 1.

The counters of a port say how requests *end*. A bus on which every tenth reply is damaged ends all of them well, for it
asks again; only its throughput and its margin are gone. So each attempt that fails is counted too, with its unit and
the kind of its failure. Nothing of that runs while all is well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Final, Literal

from attrs import define


@define
class Counters:
    """Every request that ended, by how; and everything heard that was nobody's reply."""

    requests: int = 0
    replies: int = 0
    shared: int = 0
    fresh: int = 0
    blocks: int = 0
    exceptions: int = 0
    broadcasts: int = 0
    timeouts: int = 0
    lost: int = 0
    unknown_outcomes: int = 0
    not_sent: int = 0
    cancelled: int = 0
    retries: int = 0
    late: int = 0
    foreign: int = 0
    crc_errors: int = 0
    echoes: int = 0
    collisions: int = 0
    junk_bytes: int = 0
    frames: int = 0
    renewals: int = 0
    canaries: int = 0
    doubled: int = 0
    other_master: int = 0

    def drop(self, kind: Literal["late", "foreign"]) -> None:
        """Counts a reply that the bus does not hear, for its number says that it is not the one waited for."""
        if kind == "late":
            self.late += 1
        else:
            self.foreign += 1


MOST_UNITS: Final = 256
"""A unit is one byte; what claims to be another is not counted."""


class Fault(IntEnum):
    """One kind of fault.

    The first four say how an attempt failed, and each failed attempt is exactly one of them. Those up to
    :data:`OTHER_MASTER` say what else was received, the last two what became of the attempts. A new kind stands before
    :data:`RETRIED`.
    """

    NO_REPLY = 0
    """Nothing was received within the response timeout."""
    WRONG_CRC = 1
    """The reply came whole, with a wrong CRC."""
    CUT = 2
    """The reply began, and did not go on."""
    UNREADABLE = 3
    """Bytes were received, but none that begin as the reply does."""
    EXCEPTION = 4
    """The device refused the request, by an exception of its own."""
    JUNK = 5
    """Bytes that belong to no frame, before or after a good reply."""
    LATE = 6
    """A reply after the end of its response timeout."""
    DOUBLED = 7
    """A second copy of a reply."""
    FOREIGN = 8
    """A good frame of a unit that was not asked for it."""
    OTHER_MASTER = 9
    """A request that is not ours."""
    RETRIED = 10
    """A frame was sent again."""
    HEALED = 11
    """A request got its reply from a frame that was sent again."""


NAMES: Final = tuple(kind.name.lower() for kind in Fault)
"""What each kind is called in figures, in the order of :class:`Fault`."""
DAMAGED: Final = (Fault.WRONG_CRC, Fault.CUT, Fault.UNREADABLE)
"""Something came, so somebody is there; it was of no use."""
FAILED: Final = (Fault.NO_REPLY, *DAMAGED)
"""An attempt without a usable reply."""
HEARD: Final[Mapping[Fault, str]] = {
    Fault.WRONG_CRC: "with a wrong CRC", Fault.CUT: "cut short", Fault.UNREADABLE: "unreadable",
}
"""How sentences say that a reply was damaged."""


class UnitFaults:
    """The counts of one unit, by :class:`Fault`."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * len(Fault)

    def of(self, kinds: Iterable[Fault]) -> int:
        """The sum over some kinds."""
        return sum(self.counts[kind] for kind in kinds)

    def as_dict(self) -> dict[str, int]:
        """By name; all of them, so that a program need not ask which there are."""
        return dict(zip(NAMES, self.counts, strict=True))


class Faults:
    """The counts of one bus."""

    def __init__(self) -> None:
        self.units: dict[int, UnitFaults] = {}
        self.on_failed: Callable[[int], None] | None = None
        """Called with the unit before an attempt that failed is counted, if somebody wants to know."""

    def note(self, unit: int, kind: Fault, count: int = 1) -> None:
        """Something went wrong with a request to ``unit``, or with what it sent."""
        if self.on_failed is not None and kind <= Fault.UNREADABLE:
            self.on_failed(unit)
        found = self.units.get(unit)
        if found is None:
            if not 0 <= unit < MOST_UNITS:
                return
            found = self.units[unit] = UnitFaults()
        found.counts[kind] += count

    def of(self, unit: int) -> UnitFaults:
        """The counts of a unit; zeros if there is nothing to count."""
        return self.units.get(unit) or UnitFaults()

    def total(self) -> dict[str, int]:
        """All units together, by name."""
        return dict(zip(NAMES, map(sum, zip(*(one.counts for one in self.units.values()), strict=True)), strict=True)) \
            if self.units else UnitFaults().as_dict()


def failures_text(counts: Mapping[Fault, int]) -> str:
    """Failed attempts by kind: ``2 with a wrong CRC, 1 cut short, 1 without any reply``."""
    texts = {**HEARD, Fault.NO_REPLY: "without any reply"}
    return ", ".join(f"{counts[kind]} {text}" for kind, text in texts.items() if counts.get(kind))


def damage_in(sentence: str) -> Fault | None:
    """How a reply was damaged, by the sentence of the error of a request that was sent once; None if nothing came.

    A client sees an error's token and its sentence only. The token of a damaged reply is that of a missing one,
    ``timeout``, for programs act on it alike; so the sentence is where the two differ.
    """
    for kind, word in HEARD.items():
        if f"came {word}" in sentence:
            return kind
    return None
