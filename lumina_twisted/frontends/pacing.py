"""How much of the reactor's time the clients of one listener get, floor 4.

What a client sends is cut into requests, and each request costs time: an ordinary one 40 microseconds, a read of a
hundred values a tenth of a millisecond. A client that sends many at once must not hold up the others, nor the bus.

* A client whose requests come one at a time is served in the turn that reads them.
* What one client sends beyond :data:`SLICE` waits, and what waits is taken one request from each client in turn, for
  :data:`SLICE` in each turn of the reactor. While anything waits, all that comes goes to the end.
* What is served at once is bounded too, for hundreds of clients may send at the same time: by half of the time.

:class:`Holding` and :class:`Stall` look after clients of which nothing is read, and after those that do not read. The
reactor notices a loss only when it reads or writes. So while a client is held, :class:`Holding` looks whether its
connection still exists, and whether it takes the answers that wait for it.
"""

from __future__ import annotations

import select
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


LOOK_EVERY: Final = 1.0
"""Seconds between two looks."""
STALLED_AFTER: Final = 30.0
"""Seconds after which a client is dropped that has more to ask and does not take its answers."""


class Holding:
    """Looks after one client. One delayed call serves many short holds.

    :param client: a :class:`lumina_twisted.frontends.connection.Connection`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._call: IDelayedCall | None = None
        self._full_since: float | None = None

    def begin(self) -> None:
        """Nothing is read of it from now on."""
        if self._call is None:
            self._call = self._client.listener.clock.callLater(LOOK_EVERY, self._look)

    def moved(self) -> None:
        """It has taken all that was written."""
        self._full_since = None

    def stop(self) -> None:
        """It is gone."""
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
    """Whether a connection was reset or broke, which its transport has not noticed. One whose client has only ended its
    own side, as ``printf … | nc`` does, is not lost."""
    descriptor = getattr(transport, "fileno", lambda: -1)()
    if descriptor < 0:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # errors are reported all the same
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


SOON: Final = 0.001
"""Seconds that are not waited for any more; a rest of rounding is none."""


class Stall:
    """Looks whether what was written to a client is taken in time. One delayed call serves many fillings, most of
    which are over within a millisecond.

    :param listener: whose client it is.
    :param limit: seconds that the transport's buffer may stay full.
    :param given_up: called when it was full for so long.
    """

    def __init__(self, listener: Any, limit: float, given_up: Callable[[], None]) -> None:
        self._listener = listener
        self._limit = limit
        self._given_up = given_up
        self._since: float | None = None
        self._call: IDelayedCall | None = None

    def begin(self) -> None:
        """The buffer is full."""
        self._since = self._listener.now()
        if self._call is None:
            self._call = self._listener.clock.callLater(self._limit, self._look)

    def end(self) -> None:
        """All of it was taken."""
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
