"""How much of the reactor's time the clients of one listener get, floor 4.

What a client sends is cut into requests, and each request costs time: an ordinary one 40 microseconds, a read of a
hundred values a tenth of a millisecond. A client that sends many at once must not hold up the others, nor the bus.

* A client whose requests come one at a time is served in the turn that reads them.
* What one client sends beyond :data:`SLICE` waits, and what waits is taken one request from each client in turn, for
  :data:`SLICE` in each turn of the reactor. While anything waits, all that comes goes to the end.
* What is served at once is bounded too, for hundreds of clients may send at the same time: by half of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

SLICE: Final = 0.002
"""Seconds for one client, or for all that wait, before the reactor looks after its other work."""
MOST_AT_ONCE: Final = 64
"""Requests of a slice, for a clock that stands still."""
_WINDOW: Final = 5 * SLICE
"""Seconds over which the time is counted that is spent in the turns that read."""


class Paced(Protocol):
    """A client with requests."""

    def step(self) -> bool:
        """Takes its next request, if there is one and it may be asked now; whether there may be another."""
        ...


class Pacer:
    """Serves the clients of one listener.

    :param clock: for delayed calls.
    :param now: a clock that never goes back, in seconds.
    """

    def __init__(self, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._clock = clock
        self._now = now
        self._waiting: dict[Any, None] = {}  # in their order
        self._call: IDelayedCall | None = None
        self._window = 0.0  # when it began
        self._spent = 0.0  # in it

    def __len__(self) -> int:
        """How many clients wait for their turn."""
        return len(self._waiting)

    def serve(self, client: Paced) -> None:
        """Takes a client's requests, at once if there is time."""
        began = self._now()
        if began - self._window > _WINDOW:
            self._window, self._spent = began, 0.0
        if self._waiting or self._spent > _WINDOW / 2:
            self.enqueue(client)
            return
        for _ in range(MOST_AT_ONCE):
            more = client.step()
            if not more or self._now() - began > SLICE:
                break
        self._spent += self._now() - began
        if more:
            self.enqueue(client)

    def enqueue(self, client: Paced) -> None:
        """Takes a client's requests in turn with the others, in a later turn of the reactor."""
        self._waiting[client] = None
        if self._call is None:
            self._call = self._clock.callLater(0, self._run)

    def forget(self, client: Paced) -> None:
        """Nothing of that client is to be taken any more."""
        self._waiting.pop(client, None)
        if not self._waiting and self._call is not None:
            self._call.cancel()
            self._call = None

    def _run(self) -> None:
        self._call = None
        until = self._now() + SLICE
        try:
            for _ in range(MOST_AT_ONCE):
                if not self._waiting or self._now() > until:
                    break
                self._step()
        finally:
            if self._waiting and self._call is None:
                self._call = self._clock.callLater(0, self._run)

    def _step(self) -> None:
        """One request of the client whose turn it is."""
        client = next(iter(self._waiting))
        del self._waiting[client]
        if client.step():
            self._waiting[client] = None
