"""Whether a request can be served in time, and what each turn cost. Floor 1.

What will be too late is refused when it comes, and what became too late is not sent: a reply for which nobody waits any
more has cost the others a turn.
"""

from __future__ import annotations

from lumina_twisted.bus.estimates import Estimates
from lumina_twisted.bus.events import Request
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.sharing import Sharing
from lumina_twisted.bus.transaction import Attempt


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

    def cost_of(self, request: Request, now: float) -> float:
        """Seconds for which a request would probably hold the bus, with the silence before it: as those of its shape
        did a moment ago; the least that it can take if there were none."""
        return self._estimates.cost(request, now)

    def _will_be_merged(self, request: Request) -> bool:
        """Whether it will probably be one block with a read that waits."""
        merges = self._settings.merge_hole_for(request.unit) is not None
        return merges and request.is_read and self._sharing.has_waiting(request.unit, request.frame[1])

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
        running = self.running
        left = 0.0 if running is None else max(0.0, running.began + running.request.cost - now)
        ahead = left + self._queue.cost
        if now + ahead + request.cost <= request.deadline:
            return ahead
        return left + self._queue.ahead_of(request.client, request.lane, request.cost)
