"""How requests end: each exactly once, counted, as one event."""

from __future__ import annotations

from collections import deque
from copy import copy
from typing import Final

from lumina_twisted.bus import failures
from lumina_twisted.bus.events import Event, Failure, Reply, Request
from lumina_twisted.bus.freshness import Freshness
from lumina_twisted.bus.sharing import Sharing, cut
from lumina_twisted.errors import ModbusError, PortClosed, PortLost, ServerDeviceFailure, Stopping
from lumina_twisted.statistics.counters import Counters

LAST_OF_THE_REQUEST: Final = ServerDeviceFailure.code
"""Exceptions up to here are about what was asked, or may be; later ones are of the device, or of a gateway."""
_FOR_ALL = (PortClosed, PortLost, Stopping)


class Outcomes:
    """The events of a bus, until somebody takes them."""

    def __init__(self, counters: Counters, port: str, sharing: Sharing, freshness: Freshness) -> None:
        self._counters = counters
        self._port = port
        self._sharing = sharing
        self._freshness = freshness
        self.alone: list[Request] = []
        """Requests that rode with others, and must be asked for themselves now."""
        self._events: deque[Event] = deque()

    def next(self) -> Event | None:
        """The oldest event not yet taken, or None."""
        return self._events.popleft() if self._events else None

    def answered(self, request: Request, pdu: bytes) -> None:
        """The device replied, normally or with an exception; nobody is told if nobody waits any more."""
        if request.riders:
            self._answer_riders(request, pdu)
        if request.done or self._was_block(request):
            return
        if request.pattern.is_exception(pdu):
            self.failed(request, failures.exception(request, pdu[1], self._port))
            return
        self._counters.replies += 1
        self._end(Reply(request, pdu))

    def fresh(self, request: Request, pdu: bytes) -> None:
        """It is answered by a reply of a moment ago."""
        self._counters.replies += 1
        self._counters.fresh += 1
        self._end(Reply(request, pdu))

    def broadcast(self, request: Request) -> None:
        """A broadcast has left; that is all there is to know of it."""
        if not request.done:
            self._counters.broadcasts += 1
            self._end(Reply(request, b""))

    def failed(self, request: Request, error: ModbusError) -> None:
        """There is no normal reply, and there will be none; for those who ride with it neither."""
        if request.riders:
            self._fail_riders(request, error)
        self.ended(request, error)

    def ended(self, request: Request, error: ModbusError) -> None:
        """Its caller waits no longer; who rides with it does."""
        if not request.done and not self._was_block(request):
            failures.count(self._counters, error)
            self._end(Failure(request, error))

    @staticmethod
    def _was_block(request: Request) -> bool:
        """A block has no caller; all who wanted it have been told."""
        if request.is_block:
            request.done = True
        return request.is_block

    def _answer_riders(self, leader: Request, pdu: bytes) -> None:
        """An exception may be about what the leader asked for beyond a rider's range: then that is asked for itself."""
        is_exception = leader.pattern.is_exception(pdu)
        for rider in self._sharing.release(leader):
            if not is_exception:
                self._counters.replies += 1
                self._counters.shared += 1
                self._end(Reply(rider, cut(pdu, leader.pdu, rider.pdu)))
            elif rider.pdu == leader.pdu or pdu[1] > LAST_OF_THE_REQUEST:
                self.failed(rider, failures.exception(rider, pdu[1], self._port))
            else:
                self.alone.append(rider)

    def _fail_riders(self, leader: Request, error: ModbusError) -> None:
        """What failed by the port or the device fails for all; the leader's own deadline is not the riders'."""
        for rider in self._sharing.release(leader):
            if leader.is_given_up or isinstance(error, _FOR_ALL):
                self.failed(rider, copy(error))
            else:
                self.alone.append(rider)

    def _end(self, event: Event) -> None:
        event.request.done = True
        if self._freshness.is_used and not event.request.is_read:
            self._freshness.written(event.request)
        self._events.append(event)
