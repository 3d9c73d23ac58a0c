"""What is kept of the requests to one unit, and of those of one client. Floor 1."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final
from weakref import ref

from lumina_twisted.access.caller import caller_of
from lumina_twisted.errors import NegativeAcknowledge, ServerDeviceBusy
from lumina_twisted.statistics.histogram import Histogram, add_to_both

OK: Final = "ok"
CANCELLED: Final = "cancelled"
NORMAL: Final = 0
"""What was heard after a frame of ours: a normal reply, if no exception, whose code it is then."""
NOTHING: Final = -1
"""No reply came in time."""
BROADCAST_SENT: Final = -2
"""None was due."""
MOST_CLIENTS: Final = 64
"""Clients of a port that are kept apart. Their connections come and go: one more, and the one that has asked nothing
for longest is forgotten."""


class Tally:
    """Requests by how they ended, and their times.

    ``errors`` are counted by their tokens; ``queue`` is how long they waited, ``bus`` how long the wire was
    theirs, in all attempts. One that followed another's read has no bus time. ``wire`` is the seconds that transactions
    took, also those whose callers were gone.
    """

    __slots__ = ("bus", "errors", "ok", "queue", "shared", "wire")

    def __init__(self) -> None:
        self.ok = 0
        self.errors: dict[str, int] = {}
        self.shared = 0
        self.queue = Histogram()
        self.bus = Histogram()
        self.wire = 0.0

    @property
    def ended(self) -> dict[str, int]:
        """Requests by the word of how they ended, ``ok`` or the token of an error."""
        return {OK: self.ok, **self.errors} if self.ok else dict(self.errors)


def record(one: Tally, other: Tally, outcome: str, queue: float | None, bus: float | None) -> None:
    """A request ended: in its unit's tally and its client's. None where it did not wait, or had no bus time."""
    if outcome == OK:
        one.ok += 1
        other.ok += 1
    else:
        one.errors[outcome] = one.errors.get(outcome, 0) + 1
        other.errors[outcome] = other.errors.get(outcome, 0) + 1
    if queue is not None:
        add_to_both(one.queue, other.queue, queue)
    if bus is not None:
        add_to_both(one.bus, other.bus, bus)


class UnitTally(Tally):
    """Those to one unit, and the frames that were exchanged with it."""

    __slots__ = ("busy", "exceptions", "lost", "nak", "no_response", "replies", "sent")

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.replies = 0
        self.exceptions = 0
        self.nak = 0
        self.busy = 0
        self.no_response = 0
        self.lost = 0.0  # seconds of the wire that attempts without a reply in time took

    def heard(self, code: int) -> None:
        """A reply came from it, with this exception code or :data:`NORMAL`."""
        self.replies += 1
        if code != NORMAL:
            self.exceptions += 1
            if code == ServerDeviceBusy.code:
                self.busy += 1
            elif code == NegativeAcknowledge.code:
                self.nak += 1


class ClientTally(Tally):
    """Those of one client."""

    __slots__ = ("is_kept", "last", "name")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.last = 0.0
        self.is_kept = False  # others are forgotten before it


class Clients:
    """The tallies of the clients that were seen last. A client that is gone stays in the table by its name; the table
    does not keep it alive.

    :param most: how many.
    """

    def __init__(self, most: int = MOST_CLIENTS) -> None:
        self.forgotten = 0
        self._most = most
        self._tallies: dict[Hashable, ClientTally] = {}

    def __iter__(self) -> Iterator[ClientTally]:
        return iter(self._tallies.values())

    def __len__(self) -> int:
        return len(self._tallies)

    def of(self, client: Hashable, now: float) -> ClientTally:
        """A client's, which is its newest use."""
        try:
            key: Hashable = ref(client)
        except TypeError:  # a text or a number
            key = client
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= self._most:
                self._forget_one()
            tally = self._tallies[key] = ClientTally(caller_of(client).name)
        tally.last = now
        return tally

    def _forget_one(self) -> None:
        tallies = self._tallies
        del tallies[min(tallies, key=lambda key: (tallies[key].is_kept, tallies[key].last))]
        self.forgotten += 1
