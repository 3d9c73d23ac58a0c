"""How much of the reactor's time the clients of one listener get, floor 4.

Each request of a client costs time: an ordinary one 40 microseconds, a read of a hundred values a tenth of a
millisecond. A client that sends many requests at once must not delay the other clients, nor the bus.

* A client that sends one request at a time is served in the reactor turn that reads the request.
* Requests of one client that do not fit into :data:`SLICE` wait. In each reactor turn, the pacer serves the clients
  that wait for :data:`SLICE`: one request from each client, round-robin. While any client waits, a client that sends
  something goes to the end of the queue.
* Hundreds of clients may send at the same time. So immediate service is bounded too: it gets half of the time.

:class:`Holding` watches clients from which the listener does not read. :class:`Stall` watches clients that do not read.
The reactor notices a lost connection only when it reads or writes. So while a client is held, :class:`Holding` checks
whether its connection still exists, and whether the client reads the answers that wait for it.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

SLICE: Final = 0.002
"""Seconds for one client, or for all clients that wait, before the reactor does other work."""
MOST_AT_ONCE: Final = 64
"""The limit of requests in one slice; it bounds a slice even if the clock stands still."""
_WINDOW: Final = 5 * SLICE
"""The length of the window, in seconds, in which the pacer sums up the time of immediate service."""


class Paced(Protocol):
    """A client that a :class:`Pacer` serves."""

    def step(self) -> bool:
        """Takes the client's next request, if there is one and it may be sent now; returns whether more may follow."""
        ...


class Pacer:
    """Serves the clients of one listener.

    :param clock: for delayed calls.
    :param now: a monotonic clock, in seconds.
    """

    def __init__(self, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._clock = clock
        self._now = now
        self._waiting: dict[Any, None] = {}  # in queue order
        self._call: IDelayedCall | None = None
        self._window = 0.0  # when the window began
        self._spent = 0.0  # seconds of immediate service in the window

    def __len__(self) -> int:
        """How many clients wait for their turn."""
        return len(self._waiting)

    def serve(self, client: Paced) -> None:
        """Takes a client's requests: now if there is time, else in a later turn."""
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
        """Puts a client into the queue: a later turn of the reactor takes its requests, round-robin with the others."""
        self._waiting[client] = None
        if self._call is None:
            self._call = self._clock.callLater(0, self._run)

    def forget(self, client: Paced) -> None:
        """Removes a client from the queue; no more of its requests are taken."""
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
        """Takes one request of the first client in the queue."""
        client = next(iter(self._waiting))
        del self._waiting[client]
        if client.step():
            self._waiting[client] = None


LOOK_EVERY: Final = 1.0
"""Seconds between two checks of a held client."""
STALLED_AFTER: Final = 30.0
"""Seconds after which a held client that does not read its answers is dropped."""


class Holding:
    """Checks one client while it is held. One delayed call serves many short holds.

    :param client: a :class:`lumina_twisted.frontends.connection.Connection`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._call: IDelayedCall | None = None
        self._full_since: float | None = None

    def begin(self) -> None:
        """The client is held: nothing is read from it from now on."""
        if self._call is None:
            self._call = self._client.listener.clock.callLater(LOOK_EVERY, self._look)

    def moved(self) -> None:
        """The client has read everything that was written."""
        self._full_since = None

    def stop(self) -> None:
        """The client is gone."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        client = self._client
        if not client.is_held:
            self._full_since = None
            return
        if is_lost(client.transport):
            client.cut()
        elif client.is_full and self._is_stalled(client.listener):
            client.drop()
        else:
            self.begin()

    def _is_stalled(self, listener: Any) -> bool:
        now = listener.now()
        if self._full_since is None:
            self._full_since = now
        return bool(now - self._full_since >= listener.stalled_after)


def is_lost(transport: Any) -> bool:
    """Whether a connection was reset or broke, even if its transport has not noticed yet. A connection whose client has
    only closed its own side, as ``printf … | nc`` does, is not lost."""
    descriptor = getattr(transport, "fileno", lambda: -1)()
    if descriptor < 0:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # poll() reports errors in any case
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


SOON: Final = 0.001
"""A remaining time up to this, in seconds, counts as over; it absorbs rounding errors."""


class Stall:
    """Checks whether a client reads what was written to it in time. One delayed call serves many periods in which the
    transport's buffer is full; most of them are over within a millisecond.

    :param listener: the client's listener.
    :param limit: seconds that the transport's buffer may stay full.
    :param given_up: called when the buffer was full for that long.
    """

    def __init__(self, listener: Any, limit: float, given_up: Callable[[], None]) -> None:
        self._listener = listener
        self._limit = limit
        self._given_up = given_up
        self._since: float | None = None
        self._call: IDelayedCall | None = None

    def begin(self) -> None:
        """The transport's buffer is full."""
        self._since = self._listener.now()
        if self._call is None:
            self._call = self._listener.clock.callLater(self._limit, self._look)

    def end(self) -> None:
        """The buffer is empty: the client has read all of it."""
        self._since = None

    def stop(self) -> None:
        """The client is gone."""
        self.end()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        if self._since is None:
            return
        left = self._since + self._limit - self._listener.now()
        if left > SOON:
            self._call = self._listener.clock.callLater(left, self._look)
        else:
            self._given_up()
