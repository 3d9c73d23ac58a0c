"""Whether a request can be served in time, and the cost of each turn. Floor 1.

The bus refuses a request on arrival if it will be too late, and does not send a request that has become too late. A
reply for which nobody waits any more would cost the other clients a turn.

The bus learns for each shape how much bus time a request will probably cost. A wrong estimate can cost a request its
place in the queue; it never discards a reply that was received. Old estimates expire. Otherwise the bus would never
find out that a unit which was slow once is fast again.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.access.caller import Caller
from lumina_twisted.bus.coalescing import Coalescing
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.pending import Estimate, Finished, Outcome, Pending
from lumina_twisted.bus.queue import Lane, RequestQueue
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.wire import Wire
from lumina_twisted.modbus.reply import Shape

OWN_SHARE: Final = 0.01
"""A share of a client's timeout. If the client's waiting requests would take more bus time than this, the client
should hold back its next request. So a hundred clients that do the same still get their answers in time. One request
may always wait behind the one on the wire, so that the wire is never idle."""
LATE: Final = 0.5
"""A share of a client's timeout. If the client's next request would wait longer than this for its turn, the client
should hold it back. The rest of the timeout is left for requests that other clients send meanwhile."""
FRESH: Final = 3.0
"""Seconds for which an estimate is valid after its last update."""
_WEIGHT: Final = 0.2
"""The weight of the latest transaction in an estimate."""
_MARGIN: Final = 0.005
"""Seconds by which a reply may be later than the mean."""
_MOST_KEPT: Final = 4096
"""The number of shapes with an estimate; a client that asks for every shape must not fill the memory."""
COST_NOBODY: Final = frozenset({Outcome.LATE_REPLY, Outcome.PORT_LOST, Outcome.NOT_SENT})
"""Outcomes that tell nothing about the cost of a transaction."""


class Admission:
    """Estimates how long the running transaction and the waiting requests of one bus will take. The estimate of a
    request's shape is looked up once and kept with the request."""

    def __init__(
        self, settings: BusSettings, pace: Pace, queue: RequestQueue[Pending], coalescing: Coalescing, wire: Wire
    ) -> None:
        self._settings = settings
        self._pace = pace
        self._queue = queue
        self._coalescing = coalescing
        self._wire = wire
        self._known: dict[Shape, Estimate] = {}

    # -- what comes ----------------------------------------------------------------------------------------------

    def wait_if_too_late(self, request: Pending, now: float) -> float:
        """Notes the estimated cost of a new request.

        :return: seconds until its turn, if that will be too late for the request; else 0. A request with nothing ahead
            of it is never too late: the unit may be faster than its estimate.
        """
        known = request.estimate or self._find(request)
        cost = known.cost if now <= known.cost_at + FRESH else request.least_time + self._pace.gap(request)
        request.cost = cost
        running, left = self._wire.attempt, 0.0
        if running is not None:
            left = max(0.0, running.began + running.request.cost - now)
        wait = left + self._queue.cost
        answer = request.least_time
        if now <= known.answered_at + FRESH:
            answer = max(answer, known.answered + _MARGIN)
        if now + wait + cost > request.deadline:  # only then is the exact wait worth its computation
            wait = left + self._queue.ahead_of(request.caller, request.lane, cost)
        if self._settings.merges and self._will_be_merged(request):
            request.cost = self._pace.data_time(request)
        return wait if now + wait + max(cost, answer) > request.deadline else 0.0

    def time_for(self, request: Pending, needs_probe: bool, now: float) -> float:
        """The least time in seconds that a request needs; if other requests wait, the time that it will probably
        take."""
        known = request.estimate or self._find(request)
        if self._queue.size > 1:
            is_fresh = now <= known.answered_at + FRESH
            return max(request.least_time, known.answered + _MARGIN) if is_fresh else request.least_time
        return self._pace.least_time(request, needs_probe) if needs_probe else request.least_time

    def cost_of(self, request: Pending, now: float) -> float:
        """Seconds for which a request would probably hold the bus, including the silence before it. The value is the
        recent cost of its shape; if none is known, the least that the request can take."""
        known = self._find(request)
        return known.cost if now <= known.cost_at + FRESH else request.least_time + self._pace.gap(request)

    def is_full_for(self, caller: Caller, timeout: float, now: float) -> bool:
        """Whether a caller should hold back its next request, because its own earlier requests would make that one
        refused or late. Always False for a caller that has no request here.

        :param timeout: seconds for which the caller would wait for the reply to its next request.
        """
        if is_full := self._is_full_for(caller, timeout, now):
            self._queue.held(caller, now)
        return is_full

    def _is_full_for(self, caller: Caller, timeout: float, now: float) -> bool:
        own, cost = self._queue.of(caller)
        if not own:
            return self._runs_too_long(caller, timeout, now)
        usual = cost / own
        if self._queue.is_full_for(caller) or cost + usual > OWN_SHARE * timeout:
            return True
        return self._wait(caller, Lane.NORMAL, usual, now, now + timeout * LATE) > timeout * LATE

    def _runs_too_long(self, caller: Caller, timeout: float, now: float) -> bool:
        """Whether the request on the wire is that caller's, and a second one like it would not be answered in time."""
        running = self._wire.attempt
        if running is None or running.request.caller is not caller:
            return False
        return self._left(now) + running.request.cost > timeout

    def _will_be_merged(self, request: Pending) -> bool:
        """Whether the request will probably be merged into one block with a read that waits."""
        merges = self._settings.for_unit(request.unit).merge
        return merges and request.is_read and self._coalescing.has_waiting(request.unit, request.pdu[0])

    def _wait(self, caller: Caller, lane: int, cost: float, now: float, until: float) -> float:
        """Seconds until a request will probably have its turn; computed exactly only if the estimate is too late."""
        left = self._left(now)
        ahead = left + self._queue.cost
        if now + ahead + cost <= until:
            return ahead
        return left + self._queue.ahead_of(caller, lane, cost)

    def _left(self, now: float) -> float:
        """Seconds until the running transaction will probably end."""
        running = self._wire.attempt
        return 0.0 if running is None else max(0.0, running.began + running.request.cost - now)

    def _find(self, request: Pending) -> Estimate:
        """The estimate of the request's shape, which later transactions update; the request keeps a reference."""
        shape = request.pattern.shape
        known = self._known.get(shape)
        if known is None:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            known = self._known[shape] = Estimate()
        request.estimate, request.least_time = known, self._pace.least_time(request)
        return known

    # -- what was --------------------------------------------------------------------------------------------------

    def pay(self, transaction: Finished, now: float) -> None:
        """Charges the turn of a transaction that has ended to its caller, and updates the estimate of its shape."""
        request, outcome, _, began, _, ended = transaction
        known = request.estimate or self._find(request)
        cost = now - began + self._pace.gap(request)
        is_stale = now > known.cost_at + FRESH
        known.cost = cost if is_stale else known.cost + (cost - known.cost) * _WEIGHT
        known.cost_at = now
        if outcome is Outcome.REPLY:
            took, is_stale = ended - began, ended > known.answered_at + FRESH
            known.answered = took if is_stale else known.answered + (took - known.answered) * _WEIGHT
            known.answered_at = ended
        self._queue.charge(request.caller, cost, now)
