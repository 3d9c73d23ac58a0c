"""How requests end: each exactly once, counted, as one event. Floor 1.

If the port or the unit of a request is not there, or the bus is overloaded, the refusal is delayed a moment. Otherwise
a client that asks again immediately after each refusal would use up a processor. Such a refusal comes no sooner than
:data:`PATIENCE` after its request. The delay is up to ten times as long if hundreds of clients are refused at once. The
refusal never comes after the deadline of its request.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Final

from lumina_twisted.bus import failures
from lumina_twisted.bus.coalescing import Coalescing
from lumina_twisted.bus.events import Events, Failure, Reply
from lumina_twisted.bus.figures import BusFigures
from lumina_twisted.bus.health import Health
from lumina_twisted.bus.pending import QUEUED, WITHOUT_CALLER, Kind, Pending, State
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.bus.reply_cache import ReplyCache
from lumina_twisted.errors import ModbusError, Overloaded, PortClosed, PortLost, Stopping, UnitOffline
from lumina_twisted.modbus.read_range import cut
from lumina_twisted.statistics.tally import OK

PATIENCE: Final = 0.02
"""Seconds."""
MOST_PATIENCE: Final = 10 * PATIENCE
"""The longest delay, in seconds, when very many requests are refused."""
_FEW: Final = 50
"""The number of waiting refusals above which the delay grows."""
_PACED: Final = (PortClosed, UnitOffline, Overloaded)
"""Refusals after which many clients ask again at once."""
_FOR_ALL: Final = (PortClosed, PortLost, Stopping)
"""Failures of a primary that are also failures of all its followers."""


class Refusals:
    """The delayed refusals, in the order in which they are due.

    :param limit: how many refusals may wait; beyond that a request is refused at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[tuple[float, int, Pending, ModbusError]] = []  # a heap
        self.due = math.inf
        """When the first refusal is due."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, request: Pending, error: ModbusError, now: float) -> bool:
        """Delays a refusal, unless its error needs no delay, the request came long ago, or too many refusals wait.

        :return: whether it was taken; if not, the caller refuses the request now.
        """
        if not isinstance(error, _PACED):
            return False
        waiting = len(self._waiting)
        patience = min(MOST_PATIENCE, PATIENCE * max(1.0, waiting / _FEW))
        due = min(request.deadline, request.arrived + patience)
        if now >= due or waiting >= self._limit:
            return False
        heapq.heappush(self._waiting, (due, request.number, request, error))
        self.due = self._waiting[0][0]
        return True

    def take_due(self, now: float) -> Iterator[tuple[Pending, ModbusError]]:
        """Removes and yields the refusals that are due by now."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, request, error = heapq.heappop(self._waiting)
            self.due = self._waiting[0][0] if self._waiting else math.inf
            yield request, error


class Endings:
    """Ends the requests of one bus. If a primary fails for a reason of its own, its followers are sent by themselves,
    unless the service stops.

    :param port: the name of the bus in error texts.
    :param limit: how many refusals may wait.
    :param events: receives the endings.
    """

    def __init__(
        self, port: str, limit: int, figures: BusFigures, queue: RequestQueue[Pending], coalescing: Coalescing,
        health: Health, reply_cache: ReplyCache, events: Events,
    ) -> None:
        self._port = port
        self._figures = figures
        self._counters = figures.counters
        self._queue = queue
        self._coalescing = coalescing
        self._health = health
        self._reply_cache = reply_cache
        self._events = events
        self.refusals = Refusals(limit)
        self.is_stopping = False
        """Whether the bus starts nothing new."""
        self.earliest = math.inf
        """No request is overdue before this time."""

    # -- one request ---------------------------------------------------------------------------------------------

    def answered(self, request: Pending, pdu: bytes, now: float, is_exception: bool) -> None:
        """The device replied, normally or with an exception."""
        if request.followers:
            self._answer_followers(request, pdu, now, is_exception)
        if request.state in WITHOUT_CALLER or request.kind is Kind.BLOCK:
            self._over(request)
        elif is_exception:
            self.ended(request, failures.exception(request, pdu[1], self._port))
        else:
            self._counters.replies += 1
            self._end(request, Reply(request.request, pdu), OK, State.DONE)

    def from_cache(self, request: Pending, pdu: bytes) -> None:
        """A reply from the cache answers the request."""
        self._counters.fresh += 1
        self._replied(request, pdu)

    def broadcast(self, request: Pending) -> None:
        """A broadcast has left, and ends successfully, because no reply follows. The bus waits until the devices have
        carried it out."""
        if not request.done:
            self._counters.broadcasts += 1
            self._end(request, Reply(request.request, b""), OK, State.ABANDONED)

    def failed(self, request: Pending, error: ModbusError, now: float, *, for_all: bool = False) -> None:
        """The request ends without a normal reply.

        :param for_all: whether its followers fail as well.
        """
        followers = self._coalescing.release(request) if request.followers else ()
        # A failure of the port or the device is one for all. The primary's deadline is not that of its followers.
        for_all = for_all or request.state is State.AWAITING_LATE_REPLY or isinstance(error, _FOR_ALL)
        for follower in followers if for_all else ():
            self.ended(follower, copy(error))
        self.ended(request, error)
        if not for_all:
            self.ask_alone(followers, now)

    def failed_in_queue(self, request: Pending, error: ModbusError, now: float) -> None:
        """As :meth:`failed`, for a request in the queue. Does nothing if the end of another request has already ended
        this one."""
        if request.state in QUEUED:
            self._queue.remove(request)
            self.failed(request, error, now)

    def refused(self, request: Pending, error: ModbusError, now: float) -> None:
        """Refuses a request, with a delay if its client would otherwise ask again at once."""
        if self.refusals.put(request, error, now):
            request.step(State.REFUSED)
        else:
            self.ended(request, error)

    def ended(self, request: Pending, error: ModbusError, state: State = State.DONE) -> None:
        """Ends a request with an error; its followers still wait.

        :param state: ABANDONED if its transaction goes on.
        """
        if request.state in WITHOUT_CALLER or request.kind is Kind.BLOCK:
            self._over(request, state)
            return
        failures.count(self._counters, error)
        self._end(request, Failure(request.request, error), error.token, state)

    def ask_alone(self, requests: Sequence[Pending], now: float) -> None:
        """Sends the former followers of a failed primary by themselves, or ends them if the service stops."""
        if self.is_stopping:
            for request in requests:
                self.ended(request, failures.stopping(request))
        elif requests:
            for request in requests:
                self.earliest = min(self.earliest, request.ends_at)
            self._coalescing.ask_alone(requests, now)

    # -- many ----------------------------------------------------------------------------------------------------

    def all_in_queue(self, error_of: Callable[[Pending], ModbusError], now: float) -> None:
        """Ends every request in the queue."""
        for request in list(self._queue):
            self.failed_in_queue(request, error_of(request), now)

    def refusals_due(self, now: float) -> None:
        """Ends the requests whose delayed refusals are due."""
        for request, error in self.refusals.take_due(now):
            self.ended(request, error)

    def unit_offline(self, unit: int, now: float) -> None:
        """A unit went offline: ends the requests that wait for it, except those that await a late reply."""
        for request in [one for one in self._queue if one.unit == unit]:
            if request.state is not State.AWAITING_LATE_REPLY and self._health.refuses(request, now):
                self.remove_for_offline_unit(request, now)

    def remove_for_offline_unit(self, request: Pending, now: float) -> None:
        """Removes a request from the queue, and ends it and its followers, because its unit is offline."""
        self._queue.remove(request)
        for one in [request, *self._coalescing.release(request)]:
            if one.attempts:
                self.ended(one, failures.no_reply(one, self._port))
            else:
                self.refused(one, failures.unit_offline(one, self._port), now)

    def overdue(self, live: Pending | None, now: float) -> None:
        """Ends what is past its time, and notes when the next one is.

        :param live: what is on the wire; those that follow it may still be answered.
        """
        self.earliest = math.inf
        if live is not None and not live.is_broadcast and not live.done and not self._ends_later(live, now):
            self.ended(live, failures.expired(live, self._port), State.ABANDONED)
        alone: list[Pending] = []
        for request in list(self._queue):
            if not self._ends_later(request, now):
                self._queue.remove(request)
                if request.state is not State.AWAITING_LATE_REPLY:
                    alone += self._coalescing.release(request)
                self.failed(request, failures.expired(request, self._port), now)
        for follower in list(self._coalescing.primary_of):
            if not self._ends_later(follower, now):
                self._end_follower(follower)
        self.ask_alone(alone, now)

    def _ends_later(self, request: Pending, now: float) -> bool:
        if request.ends_at <= now:
            return False
        self.earliest = min(self.earliest, request.ends_at)
        return True

    def _end_follower(self, follower: Pending) -> None:
        """Ends an overdue follower in the same way as its primary would end."""
        primary = self._coalescing.leave(follower)
        assert primary is not None, "it followed one"
        follower.attempts, follower.busy = primary.attempts, primary.busy
        self.ended(follower, failures.expired(follower, self._port))
        self._coalescing.left(primary)

    # -- within --------------------------------------------------------------------------------------------------

    def _replied(self, request: Pending, pdu: bytes) -> None:
        self._counters.replies += 1
        self._end(request, Reply(request.request, pdu), OK, State.DONE)

    def _answer_followers(self, primary: Pending, pdu: bytes, now: float, is_exception: bool) -> None:
        """Answers the followers of a primary. An exception may concern a part of the primary's range that a follower
        did not ask for; then the follower is sent by itself."""
        alone: list[Pending] = []
        for follower in self._coalescing.release(primary):
            if not is_exception:
                self._counters.shared += 1
                self._replied(follower, cut(pdu, primary.pdu, follower.pdu))
            elif follower.pdu == primary.pdu or pdu[1] > failures.LAST_OF_THE_REQUEST:
                self.ended(follower, failures.exception(follower, pdu[1], self._port))
            else:
                alone.append(follower)
        self.ask_alone(alone, now)

    def _end(self, request: Pending, event: Reply | Failure, outcome: str, state: State) -> None:
        request.step(state)
        self._figures.ended(request, outcome)
        if self._reply_cache.is_used and not request.is_read:
            self._reply_cache.written(request.unit)
        self._events.append(event)

    @staticmethod
    def _over(request: Pending, state: State = State.DONE) -> None:
        """Ends a request that has no caller, without an event."""
        if request.state is not State.DONE and request.state is not state:
            request.step(state)
