"""Whether a request can be served in time, and what each turn cost. Floor 1.

What will be too late is refused when it comes, and what became too late is not sent: a reply for which nobody waits any
more has cost the others a turn.

What a request will probably cost in bus time is learned for each shape. An estimate that is wrong costs a place in the
queue, and nobody an answer that came. What was learned long ago counts no more, or a unit that was slow once would
never be found to be quick again.
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
"""Of what a client waits for an answer, what its waiting requests may take of the bus before it shall wait with the
next: a hundred clients that do the same are still answered in time. One request may always wait behind the one on the
wire, so that the wire is never idle."""
LATE: Final = 0.5
"""Of what a client waits for an answer: if its next request would wait longer for its turn, behind its own, it shall
wait with it. The rest is for what others ask meanwhile."""
FRESH: Final = 3.0
"""Seconds for which what was learned counts, after it was learned last."""
_WEIGHT: Final = 0.2
"""Of the latest transaction."""
_MARGIN: Final = 0.005
"""Seconds by which a reply may be later than the mean."""
_MOST_KEPT: Final = 4096
"""Shapes that are remembered; a client that asks for all of them must not fill the memory."""
COST_NOBODY: Final = frozenset({Outcome.LATE_REPLY, Outcome.PORT_LOST, Outcome.NOT_SENT})
"""Outcomes that say nothing of what a transaction costs."""


class Admission:
    """Knows how long what runs on one bus, and what waits for it, will take. What is known of a request's shape is
    looked up once, and kept with the request."""

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
        """Notes what a new request will cost.

        :return: seconds until its turn, if that will be too late for it; else 0. Who is alone is never too late: the
            unit may be faster today.
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
        if now + wait + cost > request.deadline:  # reckoned closely only if it matters
            wait = left + self._queue.ahead_of(request.caller, request.lane, cost)
        if self._settings.merges and self._will_be_merged(request):
            request.cost = self._pace.data_time(request)
        return wait if now + wait + max(cost, answer) > request.deadline else 0.0

    def time_for(self, request: Pending, needs_probe: bool, now: float) -> float:
        """Seconds that a request needs at least; where others wait, as long as it will probably take."""
        known = request.estimate or self._find(request)
        if self._queue.size > 1:
            is_fresh = now <= known.answered_at + FRESH
            return max(request.least_time, known.answered + _MARGIN) if is_fresh else request.least_time
        return self._pace.least_time(request, needs_probe) if needs_probe else request.least_time

    def cost_of(self, request: Pending, now: float) -> float:
        """Seconds for which a request would probably hold the bus, with the silence before it: as those of its shape
        did a moment ago; the least that it can take if there were none."""
        known = self._find(request)
        return known.cost if now <= known.cost_at + FRESH else request.least_time + self._pace.gap(request)

    def is_full_for(self, caller: Caller, timeout: float, now: float) -> bool:
        """Whether a caller has asked enough: its next request would be refused or come too late, only for what it has
        asked already. Never of a caller with nothing here: what it asks is judged by itself.

        :param timeout: seconds that it would wait for the next one.
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
        """Whether what is on the wire is that caller's, and a second one like it would not be answered in time."""
        running = self._wire.attempt
        if running is None or running.request.caller is not caller:
            return False
        return self._left(now) + running.request.cost > timeout

    def _will_be_merged(self, request: Pending) -> bool:
        """Whether it will probably be one block with a read that waits."""
        merges = self._settings.for_unit(request.unit).merge
        return merges and request.is_read and self._coalescing.has_waiting(request.unit, request.pdu[0])

    def _wait(self, caller: Caller, lane: int, cost: float, now: float, until: float) -> float:
        """Seconds until a request will probably have its turn; reckoned closely only if it matters."""
        left = self._left(now)
        ahead = left + self._queue.cost
        if now + ahead + cost <= until:
            return ahead
        return left + self._queue.ahead_of(caller, lane, cost)

    def _left(self, now: float) -> float:
        """Seconds for which what is on the wire will probably go on."""
        running = self._wire.attempt
        return 0.0 if running is None else max(0.0, running.began + running.request.cost - now)

    def _find(self, request: Pending) -> Estimate:
        """What is known of its shape, and what is learned from now on; the request keeps it."""
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
        """Charges the turn of a transaction that has ended to its client, and learns from it."""
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
