"""Whether a request can be served in time, and what each turn cost. Floor 1.

What will be too late is refused when it comes, and what became too late is not sent: a reply for which nobody waits any
more has cost the others a turn.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from lumina_twisted.bus.estimates import Estimates
from lumina_twisted.bus.events import Request
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.queue import Lane, RequestQueue
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.sharing import Sharing
from lumina_twisted.bus.transaction import Attempt

OWN_SHARE: Final = 0.01
"""Of what a client waits for an answer, what its waiting requests may take of the bus before it shall wait with the
next: a hundred clients that do the same are still answered in time. One request may always wait behind the one on the
wire, so that the wire is never idle."""
LATE: Final = 0.5
"""Of what a client waits for an answer: if its next request would wait longer for its turn, behind its own, it shall
wait with it. The rest is for what others ask meanwhile."""


class Admission:
    """Knows what runs on one bus, what waits for it, and how long that takes."""

    def __init__(self, settings: BusSettings, pace: Pace, queue: RequestQueue[Request], sharing: Sharing) -> None:
        self._settings = settings
        self._pace = pace
        self._queue = queue
        self._sharing = sharing
        self._estimates = Estimates(pace)
        self.running: Attempt | None = None
        """The transaction that is not paid for yet."""

    def wait_in_vain(self, request: Request, now: float) -> float:
        """Notes what a new request will cost.

        :return: seconds until its turn, if that will be too late for it; else 0. Who is alone is never too late: the
            unit may be faster today.
        """
        request.cost = cost = self._estimates.cost(request, now)
        wait = self._wait_of(request, now)
        needed = max(cost, self._estimates.answer_time(request, now))
        if self._settings.merges and self._will_be_merged(request):
            request.cost = self._pace.data_time(request)
        return wait if now + wait + needed > request.deadline else 0.0

    def is_full_for(self, client: Hashable, timeout: float, now: float) -> bool:
        """Whether a client has asked enough: its next request would be refused or come too late, only for what it has
        asked already. Never of a client with nothing here: what it asks is judged by itself.

        :param timeout: seconds that the caller of the next one would wait.
        """
        if is_full := self._is_full_for(client, timeout, now):
            self._queue.held(client, now)
        return is_full

    def _is_full_for(self, client: Hashable, timeout: float, now: float) -> bool:
        own, cost = self._queue.of(client)
        if not own:
            return self._runs_too_long(client, timeout, now)
        usual = cost / own
        if self._queue.is_full_for(client) or cost + usual > OWN_SHARE * timeout:
            return True
        return self._wait(client, Lane.NORMAL, usual, now, now + timeout * LATE) > timeout * LATE

    def _runs_too_long(self, client: Hashable, timeout: float, now: float) -> bool:
        """Whether what is on the wire is that client's, and a second one like it would not be answered in time."""
        running = self.running
        if running is None or running.request.client != client:
            return False
        return self._left(now) + running.request.cost > timeout

    def cost_of(self, request: Request, now: float) -> float:
        """Seconds for which a request would probably hold the bus, with the silence before it: as those of its shape
        did a moment ago; the least that it can take if there were none."""
        return self._estimates.cost(request, now)

    def _will_be_merged(self, request: Request) -> bool:
        """Whether it will probably be one block with a read that waits."""
        merges = self._settings.merge_hole_for(request.unit) is not None
        return merges and request.is_read and self._sharing.has_waiting(request.unit, request.pdu[0])

    def time_for(self, request: Request, needs_probe: bool, now: float) -> float:
        """Seconds that a request needs at least; where others wait, as long as it will probably take."""
        if len(self._queue) > 1:
            return self._estimates.answer_time(request, now)
        return self._pace.least_time(request, needs_probe)

    def answered(self, request: Request, now: float) -> None:
        """The transaction that runs was answered in time."""
        if self.running is not None:
            self._estimates.answered(request, now - self.running.began, now)

    def over(self, now: float) -> None:
        """It is over, and its client's turn is paid."""
        running, self.running = self.running, None
        if running is not None:
            request = running.request
            cost = now - running.began + self._pace.gap(request)
            self._estimates.learn(request, cost, now)
            self._queue.charge(request.client, cost, now)

    def came_to_nothing(self) -> None:
        """It could not be sent, or the port was lost: that says nothing of what it costs."""
        self.running = None

    def _wait_of(self, request: Request, now: float) -> float:
        """Seconds until it will probably have its turn; reckoned closely only if it matters."""
        return self._wait(request.client, request.lane, request.cost, now, request.deadline)

    def _wait(self, client: Hashable, lane: int, cost: float, now: float, until: float) -> float:
        left = self._left(now)
        ahead = left + self._queue.cost
        if now + ahead + cost <= until:
            return ahead
        return left + self._queue.ahead_of(client, lane, cost)

    def _left(self, now: float) -> float:
        """Seconds for which what is on the wire will probably go on."""
        running = self.running
        return 0.0 if running is None else max(0.0, running.began + running.request.cost - now)
