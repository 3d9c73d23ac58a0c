"""What one bus records: when each request came, left and ended, and how long the wire was whose. Floor 1.

The bus says what happens, in one line each; everything else is here. Two times are kept apart. *Queue time* is from a
request's arrival until its first frame leaves, or that of the read which it rides with. *Bus time* is how long the
wire was its own: from each of its frames until the reply, the end of its response timeout or of the turnaround delay.
A request that rode with another's has none.

All of this is on the way of every request. So what happened is only noted there, and summed up 64 requests at a time,
or when somebody asks: code that runs in a row costs a third of the same code run once in between. So long
the last clients may live that nobody else knows any more.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import inf
from typing import Any, Final

from lumina_twisted.bus.events import Event, Reply, Request
from lumina_twisted.modbus.functions import EXCEPTION_FLAG
from lumina_twisted.statistics.counters import Counters, Faults
from lumina_twisted.statistics.monitor import BATCH, PerformanceMonitor
from lumina_twisted.statistics.queue import QueueAnalytics
from lumina_twisted.statistics.report import Report, queue_report, report_of
from lumina_twisted.statistics.tally import BROADCAST_SENT, CANCELLED, NORMAL, NOTHING, OK

WAITING: Final = -1.0
"""Instead of the time that a request has waited."""


class BusFigures:
    """The figures of one bus.

    :param name: of its port, in the monitor and the analytics.
    :param counters: what the bus counts itself.
    :param monitor: which keeps them; one of its own if none is given.
    :param analytics: which tells those of its queue too.
    :param faults: what went wrong on the wire, by unit; the bus counts it.
    """

    def __init__(
        self, name: str, counters: Counters, monitor: PerformanceMonitor | None = None,
        analytics: QueueAnalytics | None = None, faults: Faults | None = None,
    ) -> None:
        self.now = -inf
        """The time of the bus's last call."""
        self.counters = counters
        self.faults = faults or Faults()
        self.port = (monitor or PerformanceMonitor()).port(name)
        self.waiting = 0
        """Requests whose first frame has not left."""
        self._live: Request | None = None
        self._began = 0.0
        self._used_from = 0.0  # the same, and the silence that it had to wait for
        self._ended_at = inf  # the last transaction; inf: nothing is known of the wire before
        if analytics is not None:
            analytics.add_queue(name, self._queue_report)

    # -- what the bus says -----------------------------------------------------------------------------------------

    def queued(self, request: Request) -> None:
        """A request came, was not refused, and waits."""
        request.waited = WAITING
        self.waiting = waiting = self.waiting + 1
        if waiting > self.port.highest:
            self.port.highest = waiting
            self.port.usage.since = min(self.now, self.port.usage.since)

    def sent(self, request: Request, silent: float) -> None:
        """A frame leaves now. It could have left from ``silent`` on but for its turn: the silence before that is part
        of what the transaction takes."""
        self._live = request
        self._began = self._used_from = now = self.now
        if silent > self._ended_at:
            self._used_from -= silent - self._ended_at
        if request.waited == WAITING:
            self.waiting -= 1
            request.waited = now - request.arrived
        if request.riders:
            self._riders_go(request)

    def answered(self, request: Request, pdu: bytes, is_late: bool, now: float) -> None:
        """A reply to ``request`` came."""
        code = NORMAL if pdu[0] < EXCEPTION_FLAG or request.is_canary else pdu[1]
        if not is_late:
            self._over(now, code)
        else:
            self.now = now
            self.port.unit(request.unit).heard(code)

    def over(self, now: float) -> None:
        """The transaction that ran has ended without a reply, and none was due: a broadcast."""
        self._over(now, BROADCAST_SENT)

    def _over(self, now: float, heard: int) -> None:
        """The wire was its owner's as long as it took."""
        live, self._live = self._live, None
        assert live is not None, "a transaction ran"
        self.now = self._ended_at = now
        if live.probe_for is not None:
            live = live.probe_for
        held = now - self._began
        live.held = held if live.held is None else live.held + held
        self.port.used.append((self._used_from, now, live.unit, live.client, heard))

    def unanswered(self, now: float) -> None:
        """It has ended, and the reply that was due did not come."""
        self._over(now, NOTHING)

    def interrupted(self, now: float) -> None:
        """The port was lost; a transaction that ran came to nothing."""
        self.now = now
        if self._live is not None:
            self._over(now, BROADCAST_SENT)  # nobody's fault either
        self._ended_at = inf

    def refused(self) -> None:
        """The frame that was to leave could not: there was no transaction."""
        self._live = None

    def ended(self, event: Event) -> None:
        """A request has got its answer, or the reason why there is none."""
        request = event.request
        if type(event) is not Reply or self._live is request:
            self._record(request, OK if isinstance(event, Reply) else event.error.token)
            return
        ended, now = self.port.ended, self.now
        ended.append((
            request.unit, request.pdu, request.client, OK, request.waited, request.held, now - request.arrived, now
        ))
        if len(ended) >= BATCH:
            self.port.settle()

    def cancelled(self, request: Request, now: float) -> None:
        """Its caller took it back."""
        self.now = now
        self._record(request, CANCELLED)

    def report(self, now: float) -> Report:
        """All of it."""
        return report_of(self.port, self.counters, self.faults, now, self._running(now), self.waiting)

    def meter(self, client: Hashable) -> None:
        """Keeps what this client used, however many others come."""
        self.port.clients.of(client, self.now).is_kept = True

    def used_by(self, client: Hashable, now: float) -> float:
        """Seconds that transactions for this client have taken, with the silence before each."""
        self.port.settle()
        is_its_own = self._live is not None and self._live.client == client
        return self.port.clients.of(client, now).wire + (self._running(now) if is_its_own else 0.0)

    def _running(self, now: float) -> float:
        """Seconds that the transaction which runs has taken."""
        return 0.0 if self._live is None else max(0.0, now - self._used_from)

    # -- what comes of it ------------------------------------------------------------------------------------------

    def _riders_go(self, leader: Request) -> None:
        self.port.served += len(leader.riders) - leader.is_block
        for rider in leader.riders:
            if rider.waited == WAITING:
                self.waiting -= 1
                rider.waited = self.now - rider.arrived

    def _record(self, request: Request, outcome: str) -> None:
        now, port, held, waited = self.now, self.port, request.held, request.waited
        if self._live is request:  # a broadcast that has left, or one that expired on the wire
            held = now - self._began + (held or 0.0)
        if waited == WAITING:
            self.waiting -= 1
            port.unserved += 1
            waited = request.waited = now - request.arrived
        port.ended.append((
            request.unit, request.pdu, request.client, outcome, waited, held, now - request.arrived, now
        ))
        if len(port.ended) >= BATCH:
            port.settle()

    def _queue_report(self) -> dict[str, Any]:
        return queue_report(self.port, self.now, self.waiting)
