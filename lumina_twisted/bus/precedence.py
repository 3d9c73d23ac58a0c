"""Single requests go before pipelined ones. Floor 1.

A program that polls sends a request and waits for its answer. A program that pipelines always has another one ready.
In one ring the first would wait for a whole round of the second kind: 40 of them at 9600 baud take two seconds. So a
request is *single* if nothing else of its client waits or is on the wire, and nothing of it is held back by a front.
Single requests take turns of their own, in the order in which they came:

* at least every second turn belongs to the ring of the others, so that it never starves;
* where more clients with single requests wait than stand in the ring, they get as many turns in a row as there are of
  them for each client of the ring: then every client has its equal share.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

HELD_FOR: Final = 10.0
"""Seconds for which a client counts as one that pipelines after its front last held something back. A front looks again
whenever a request ends, which takes a round."""
_MOST_KEPT: Final = 4096


class Precedence:
    """Which requests of one bus are single, and whether the next turn is theirs."""

    __slots__ = ("_held", "_in_a_row")

    def __init__(self) -> None:
        self._held: dict[Hashable, float] = {}  # the oldest first
        self._in_a_row = 0

    def held(self, client: Hashable, now: float) -> None:
        """A front holds back a request of that client's."""
        self._held.pop(client, None)
        self._held[client] = now
        self._forget(now)

    def is_single(self, client: Hashable, now: float) -> bool:
        """Whether a request is the only one of its client, where nothing else of it waits or is on the wire."""
        self._forget(now)
        return client not in self._held

    def go_first(self, single: int, others: int) -> bool:
        """Whether the next turn is a single request's.

        :param single: clients with single requests that wait in a lane.
        :param others: clients in its ring.
        """
        return self._in_a_row < max(1, single // others) if others else True

    def note_turn(self, before_others: bool) -> None:
        """A turn begins, of a single request while others stand in the ring or not."""
        self._in_a_row = self._in_a_row + 1 if before_others else 0

    def _forget(self, now: float) -> None:
        while self._held:
            client = next(iter(self._held))
            if now - self._held[client] < HELD_FOR and len(self._held) <= _MOST_KEPT:
                return
            del self._held[client]
