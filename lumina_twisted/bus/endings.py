"""How requests end: each exactly once, counted, as one event. Floor 1.

What is refused because its port, or its unit, is not there ends a moment later. A client that asks again as soon as it
is refused would burn a processor otherwise. Such a refusal comes no sooner than :data:`PATIENCE` after its request;
later, up to ten times, if hundreds of clients do so at once; and never after its deadline.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Final

from lumina_twisted.bus import failures
from lumina_twisted.bus.coalescing import Coalescing
from lumina_twisted.bus.events import Events, Failure, Reply
from lumina_twisted.bus.figures import BusFigures
from lumina_twisted.bus.pending import WITHOUT_CALLER, Kind, Pending, State
from lumina_twisted.bus.reply_cache import ReplyCache
from lumina_twisted.errors import ModbusError, Overloaded, PortClosed, PortLost, Stopping, UnitOffline
from lumina_twisted.modbus.read_range import cut
from lumina_twisted.statistics.tally import OK

PATIENCE: Final = 0.02
"""Seconds."""
MOST_PATIENCE: Final = 10 * PATIENCE
"""The same, when very many are refused."""
_FEW: Final = 50
"""Refusals that may wait before each of them waits longer."""
_PACED: Final = (PortClosed, UnitOffline, Overloaded)
"""Refusals after which many a client asks again at once."""
_FOR_ALL: Final = (PortClosed, PortLost, Stopping)
"""Failures that are those of all who follow, too."""


class Refusals:
    """What will be refused in a moment, oldest first.

    :param limit: how many may wait for it; one more is refused at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[tuple[float, int, Pending, ModbusError]] = []  # a heap

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def due(self) -> float:
        """When the oldest is due."""
        return self._waiting[0][0] if self._waiting else math.inf

    def put(self, request: Pending, error: ModbusError, now: float) -> bool:
        """Takes a request that is refused, unless its error needs no patience, it came long ago, or too many wait.

        :return: whether it was taken; if not, it is to be refused now.
        """
        if not isinstance(error, _PACED):
            return False
        waiting = len(self._waiting)
        patience = min(MOST_PATIENCE, PATIENCE * max(1.0, waiting / _FEW))
        due = min(request.deadline, request.arrived + patience)
        if now >= due or waiting >= self._limit:
            return False
        heapq.heappush(self._waiting, (due, request.number, request, error))
        return True

    def take_due(self, now: float) -> Iterator[tuple[Pending, ModbusError]]:
        """Those that are due by now; they are taken out."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, request, error = heapq.heappop(self._waiting)
            yield request, error


class Endings:
    """Ends the requests of one bus. Each method returns the reads that followed one which came to nothing for a reason
    of its own: those have to be asked for by themselves.

    :param port: what sentences call the bus.
    :param events: where the endings go.
    """

    def __init__(
        self, port: str, figures: BusFigures, coalescing: Coalescing, reply_cache: ReplyCache, events: Events
    ) -> None:
        self._port = port
        self._figures = figures
        self._counters = figures.counters
        self._coalescing = coalescing
        self._reply_cache = reply_cache
        self._events = events

    def answered(self, request: Pending, pdu: bytes) -> Sequence[Pending]:
        """The device replied, normally or with an exception."""
        alone = self._answer_followers(request, pdu) if request.followers else ()
        if request.state in WITHOUT_CALLER or request.kind is Kind.BLOCK:
            self._over(request)
        elif request.pattern.is_exception(pdu):
            self.ended(request, failures.exception(request, pdu[1], self._port))
        else:
            self._replied(request, pdu)
        return alone

    def from_cache(self, request: Pending, pdu: bytes) -> None:
        """It is answered by a reply of a moment ago."""
        self._counters.fresh += 1
        self._replied(request, pdu)

    def broadcast(self, request: Pending) -> None:
        """A broadcast has left, which is all there is to know of it; the bus waits until devices carried it out."""
        if not request.done:
            self._counters.broadcasts += 1
            self._end(request, Reply(request.request, b""), OK, State.ABANDONED)

    def failed(self, request: Pending, error: ModbusError, *, for_all: bool = False) -> Sequence[Pending]:
        """There is no normal reply, and there will be none.

        :param for_all: whether those that follow it fail as well.
        """
        alone = self._fail_followers(request, error, for_all) if request.followers else ()
        self.ended(request, error)
        return alone

    def ended(self, request: Pending, error: ModbusError, state: State = State.DONE) -> None:
        """Its caller waits no longer; who follows it does.

        :param state: ABANDONED if its transaction goes on.
        """
        if request.state in WITHOUT_CALLER or request.kind is Kind.BLOCK:
            self._over(request, state)
            return
        failures.count(self._counters, error)
        self._end(request, Failure(request.request, error), error.token, state)

    def _replied(self, request: Pending, pdu: bytes) -> None:
        self._counters.replies += 1
        self._end(request, Reply(request.request, pdu), OK, State.DONE)

    def _answer_followers(self, primary: Pending, pdu: bytes) -> list[Pending]:
        """An exception may be about what the primary asked for beyond a follower's range: then that is asked alone."""
        alone: list[Pending] = []
        is_exception = primary.pattern.is_exception(pdu)
        for follower in self._coalescing.release(primary):
            if not is_exception:
                self._counters.shared += 1
                self._replied(follower, cut(pdu, primary.pdu, follower.pdu))
            elif follower.pdu == primary.pdu or pdu[1] > failures.LAST_OF_THE_REQUEST:
                self.ended(follower, failures.exception(follower, pdu[1], self._port))
            else:
                alone.append(follower)
        return alone

    def _fail_followers(self, primary: Pending, error: ModbusError, for_all: bool) -> list[Pending]:
        """What failed by the port or the device fails for all; the primary's own deadline is not the followers'."""
        followers = self._coalescing.release(primary)
        if not (for_all or primary.state is State.AWAITING_LATE_REPLY or isinstance(error, _FOR_ALL)):
            return followers
        for follower in followers:
            self.ended(follower, copy(error))
        return []

    def _end(self, request: Pending, event: Reply | Failure, outcome: str, state: State) -> None:
        request.step(state)
        self._figures.ended(request, outcome)
        if self._reply_cache.is_used and not request.is_read:
            self._reply_cache.written(request.unit)
        self._events.append(event)

    @staticmethod
    def _over(request: Pending, state: State = State.DONE) -> None:
        """It has no caller."""
        if request.state is not State.DONE and request.state is not state:
            request.step(state)
