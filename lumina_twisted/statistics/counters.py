"""The counters of a bus, plain integers: how requests end, and the faults on the wire by unit and kind. Floor 1.

The counters of a port say how requests *end*. If every tenth reply on a bus is damaged, retries still end all requests
well; only the throughput and the margin of the bus are gone. So the bus also counts each failed attempt, by its unit
and the kind of its failure. None of that code runs while no attempt fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Final, Literal

from attrs import define


@define
class Counters:
    """Counts the requests by how they ended, and the received messages that are nobody's reply."""

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
        """Counts a reply that does not reach the bus, because its number shows that it is not the awaited one."""
        if kind == "late":
            self.late += 1
        else:
            self.foreign += 1


MOST_UNITS: Final = 256
"""A unit number is one byte; faults of any other number are not counted."""


class Fault(IntEnum):
    """One kind of fault.

    The first four kinds say how an attempt failed; each failed attempt counts as exactly one of them. The kinds from
    there up to :data:`OTHER_MASTER` say what else was received. The last two say what followed the attempts.

    The wire (``bus/wire.py``, ``bus/unexpected.py``) notes what it receives, ``bus/retry.py`` what is repeated.
    ``stats`` shows every kind by its name. Add a new kind before :data:`RETRIED`.
    """

    NO_REPLY = 0
    """Nothing was received within the response timeout."""
    WRONG_CRC = 1
    """The complete reply was received, with a wrong CRC."""
    CUT = 2
    """The beginning of the reply was received, and not its rest."""
    UNREADABLE = 3
    """Bytes were received, but none that match the beginning of the reply."""
    EXCEPTION = 4
    """The device refused the request with an exception."""
    JUNK = 5
    """Bytes that belong to no frame, before or after a good reply."""
    LATE = 6
    """A reply after the end of its response timeout."""
    DOUBLED = 7
    """A second copy of a reply."""
    FOREIGN = 8
    """A valid frame from a unit that no request of ours asked for it."""
    OTHER_MASTER = 9
    """A request that is not ours."""
    RETRIED = 10
    """A frame was sent again."""
    HEALED = 11
    """A request got its reply from a frame that was sent again."""


NAMES: Final = tuple(kind.name.lower() for kind in Fault)
"""What each kind is called in figures, in the order of :class:`Fault`."""
DAMAGED: Final = (Fault.WRONG_CRC, Fault.CUT, Fault.UNREADABLE)
"""Bytes were received, so a device is there, but they are no usable reply."""
FAILED: Final = (Fault.NO_REPLY, *DAMAGED)
"""The kinds of attempts without a usable reply."""
HEARD: Final[Mapping[Fault, str]] = {
    Fault.WRONG_CRC: "with a wrong CRC", Fault.CUT: "cut short", Fault.UNREADABLE: "unreadable",
}
"""How error texts say that a reply was damaged."""


class UnitFaults:
    """The counts of one unit, by :class:`Fault`."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * len(Fault)

    def of(self, kinds: Iterable[Fault]) -> int:
        """The sum over some kinds."""
        return sum(self.counts[kind] for kind in kinds)

    def as_dict(self) -> dict[str, int]:
        """The counts by name, including zeros, so that a program always finds every kind."""
        return dict(zip(NAMES, self.counts, strict=True))


class Faults:
    """The counts of one bus."""

    def __init__(self) -> None:
        self.units: dict[int, UnitFaults] = {}
        self.on_failed: Callable[[int], None] | None = None
        """If set, called with the unit before a failed attempt is counted."""

    def note(self, unit: int, kind: Fault, count: int = 1) -> None:
        """Counts a fault of a request to ``unit``, or of what the unit sent."""
        if self.on_failed is not None and kind <= Fault.UNREADABLE:
            self.on_failed(unit)
        found = self.units.get(unit)
        if found is None:
            if not 0 <= unit < MOST_UNITS:
                return
            found = self.units[unit] = UnitFaults()
        found.counts[kind] += count

    def of(self, unit: int) -> UnitFaults:
        """The counts of a unit; zeros if it had no fault."""
        return self.units.get(unit) or UnitFaults()

    def total(self) -> dict[str, int]:
        """All units together, by name."""
        return dict(zip(NAMES, map(sum, zip(*(one.counts for one in self.units.values()), strict=True)), strict=True)) \
            if self.units else UnitFaults().as_dict()


def failures_text(counts: Mapping[Fault, int]) -> str:
    """The failed attempts by kind, as text: ``2 with a wrong CRC, 1 cut short, 1 without any reply``."""
    texts = {**HEARD, Fault.NO_REPLY: "without any reply"}
    return ", ".join(f"{counts[kind]} {text}" for kind, text in texts.items() if counts.get(kind))


def damage_in(sentence: str) -> Fault | None:
    """How a reply was damaged, from the error text of a request that was sent once; None if the text names no damage.

    A client sees only an error's token and its text. A damaged reply and a missing reply have the same token,
    ``timeout``, because programs react to both in the same way. So only the text tells the two apart.
    """
    for kind, word in HEARD.items():
        if f"came {word}" in sentence:
            return kind
    return None
