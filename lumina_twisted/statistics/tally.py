"""The figures of the requests to one unit, and of those of one client. Floor 1."""

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
"""What was received after a frame of ours: this for a normal reply, the code for an exception."""
NOTHING: Final = -1
"""No reply was received in time."""
BROADCAST_SENT: Final = -2
"""No reply was due."""
MOST_CLIENTS: Final = 64
"""Clients of a port with a tally of their own. Connections come and go: one more client evicts the one whose last
request is oldest."""


class Tally:
    """Requests by how they ended, and their times.

    ``errors`` counts the failures by their tokens. ``queue`` holds the queue times, ``bus`` the bus times over all
    attempts. A request that followed another read has no bus time. ``wire`` is the seconds that transactions took,
    including those whose callers were gone.
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
        """The number of requests by outcome: ``ok``, or the token of an error."""
        return {OK: self.ok, **self.errors} if self.ok else dict(self.errors)


def record(one: Tally, other: Tally, outcome: str, queue: float | None, bus: float | None) -> None:
    """Counts a request that ended in the tallies of its unit and its client.

    :param queue: its queue time; None if it did not wait.
    :param bus: its bus time; None if it had none.
    """
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
    """The requests to one unit, and the frames that were exchanged with it."""

    __slots__ = ("busy", "exceptions", "lost", "nak", "no_response", "replies", "sent")

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.replies = 0
        self.exceptions = 0
        self.nak = 0
        self.busy = 0
        self.no_response = 0
        self.lost = 0.0  # seconds on the wire of attempts without a reply in time

    def heard(self, code: int) -> None:
        """Counts a reply from the unit, with this exception code or :data:`NORMAL`."""
        self.replies += 1
        if code != NORMAL:
            self.exceptions += 1
            if code == ServerDeviceBusy.code:
                self.busy += 1
            elif code == NegativeAcknowledge.code:
                self.nak += 1


class ClientTally(Tally):
    """The requests of one client."""

    __slots__ = ("is_kept", "last", "name")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.last = 0.0
        self.is_kept = False  # if set, the tallies of other clients are evicted first


class Clients:
    """The tallies of the clients that were seen last. The table keeps the name of a client that is gone, but does not
    keep the client alive.

    :param most: how many clients the table holds.
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
        """The tally of a client; ``now`` becomes the time of its last use."""
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
