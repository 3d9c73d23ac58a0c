"""How requests end: each exactly once, counted, as one event."""

from __future__ import annotations

from collections import deque

from lumina_twisted.bus import failures
from lumina_twisted.bus.counters import Counters
from lumina_twisted.bus.events import Event, Failure, Reply, Request
from lumina_twisted.errors import ModbusError


class Outcomes:
    """The events of a bus, until somebody takes them."""

    def __init__(self, counters: Counters, port: str) -> None:
        self._counters = counters
        self._port = port
        self._events: deque[Event] = deque()

    def next(self) -> Event | None:
        """The oldest event not yet taken, or None."""
        return self._events.popleft() if self._events else None

    def answered(self, request: Request, frame: bytes) -> None:
        """The device replied, normally or with an exception; nobody is told if nobody waits any more."""
        if request.done:
            return
        if request.pattern.is_exception(frame):
            self.failed(request, failures.exception(request, frame, self._port))
            return
        self._counters.replies += 1
        self._end(Reply(request, frame))

    def broadcast(self, request: Request) -> None:
        """A broadcast has left; that is all there is to know of it."""
        if not request.done:
            self._counters.broadcasts += 1
            self._end(Reply(request, b""))

    def failed(self, request: Request, error: ModbusError) -> None:
        """There is no normal reply, and there will be none."""
        if not request.done:
            failures.count(self._counters, error)
            self._end(Failure(request, error))

    def _end(self, event: Event) -> None:
        event.request.done = True
        self._events.append(event)
