"""Writes to the same entries of a unit take turns, floor 3.

Whoever writes and reads back must find his own value there, and whoever writes one bit of a register must not put back
what another has just changed. So a write to a point waits for those before it that touch one of its entries, whoever
asked for them; writes to other entries do not wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError, inlineCallbacks
from twisted.python.failure import Failure

from lumina_twisted.devices.description import Point
from lumina_twisted.errors import Expired, QueueFull

MOST_WAITING: Final = 1000
"""Writes of one unit that may wait or be under way: some 30 clients that each ask for as many as they may."""


class _Turn:
    """One write: the entries it touches, and the Deferred of whoever waits until it may begin."""

    __slots__ = ("_end", "_first", "_table", "after", "before", "may_begin")

    def __init__(self, point: Point) -> None:
        self._table, self._first, self._end = point.table, point.address, point.end
        self.may_begin: Deferred[None] = Deferred()
        self.before = 0
        """How many it waits for."""
        self.after: list[_Turn] = []
        """Those that wait for it."""

    def meets(self, other: _Turn) -> bool:
        """Whether both touch one entry."""
        return self._table == other._table and self._first < other._end and other._first < self._end


class Turns:
    """The writes of all units, in the order in which they came.

    :param clock: for delayed calls.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._turns: dict[Hashable, dict[_Turn, None]] = {}
        self._ready: deque[_Turn] = deque()
        self._is_advancing = False

    @inlineCallbacks
    def run(self, place: Hashable, point: Point, timeout: float, work: Callable[[], Deferred[Any]]) -> Any:
        """Does the work when its turn has come.

        :param place: the port and the unit.
        :param timeout: seconds that its caller waits for that.
        :return: a Deferred that ends as the work does. It fails with :class:`~lumina_twisted.errors.Expired` if the
            turn did not come in time, with :class:`~lumina_twisted.errors.QueueFull` if too many wait. Cancelling it
            gives the turn away, or cancels the work.
        """
        turn = self._queue(place, point)
        try:
            self._advance()
            yield self._when_it_may(turn, timeout)
            return (yield work())
        finally:
            self._leave(place, turn)

    def _when_it_may(self, turn: _Turn, timeout: float) -> Deferred[None]:
        return turn.may_begin.addTimeout(timeout, self._clock).addErrback(_too_late)

    def _queue(self, place: Hashable, point: Point) -> _Turn:
        turn, turns = _Turn(point), self._turns.setdefault(place, {})
        if len(turns) >= MOST_WAITING:
            raise QueueFull(f"not sent, {len(turns)} writes wait for this unit already; try again later")
        for other in turns:
            if other.meets(turn):
                other.after.append(turn)
                turn.before += 1
        turns[turn] = None
        if not turn.before:
            self._ready.append(turn)
        return turn

    def _leave(self, place: Hashable, turn: _Turn) -> None:
        turns = self._turns[place]
        del turns[turn]
        if not turns:
            del self._turns[place]
        for other in turn.after:
            other.before -= 1
            if not other.before and other in turns:
                self._ready.append(other)
        self._advance()

    def _advance(self) -> None:
        """Lets those begin that wait for nobody. One that begins may end before that returns, and hundreds may end at
        once: so it is this loop that goes on, and not one within the other."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._ready:
                turn = self._ready.popleft()
                if not turn.may_begin.called:  # else its caller has left, or its time was over
                    turn.may_begin.callback(None)
        finally:
            self._is_advancing = False


def _too_late(failure: Failure) -> None:
    failure.trap(TimeoutError)
    raise Expired("not sent, the writes before it to the same place took too long")
