"""What one bus records: when each request came, left and ended, and how long the wire was whose. Floor 1.

The bus says what happens, in one line each; everything else is here. Two times are kept apart. *Queue time* is from a
request's arrival until its first frame leaves, or that of the read which it rides with. *Bus time* is how long the
wire was its own: from each of its frames until the reply, the end of its response timeout or of the turnaround delay.
A request that rode with another's has none.

All of this is on the way of every request. Hence nothing is looked up twice, and nothing summed up that can be found
when somebody asks.
"""

from __future__ import annotations

from math import inf
from typing import Any

from lumina_twisted.bus.analytics import QueueAnalytics
from lumina_twisted.bus.counters import Counters
from lumina_twisted.bus.events import Event, Reply, Request
from lumina_twisted.bus.monitor import PerformanceMonitor
from lumina_twisted.bus.report import Report, queue_told, report_of
from lumina_twisted.bus.tally import CANCELLED, OK, record
from lumina_twisted.errors import NegativeAcknowledge, ServerDeviceBusy
from lumina_twisted.modbus.codes import EXCEPTION_FLAG


class BusFigures:
    """The figures of one bus.

    :param name: of its port, in the monitor and the analytics.
    :param counters: what the bus counts itself.
    :param monitor: which keeps them; one of its own if none is given.
    :param analytics: which tells those of its queue too.
    """

    def __init__(
        self, name: str, counters: Counters, monitor: PerformanceMonitor | None = None,
        analytics: QueueAnalytics | None = None,
    ) -> None:
        self.now = -inf
        """The time of the bus's last call."""
        self.counters = counters
        self.port = (monitor or PerformanceMonitor()).port(name)
        self.waiting = 0
        """Requests whose first frame has not left."""
        self._live: Request | None = None
        self._began = 0.0
        self._used_from = 0.0  # the same, and the silence that it had to wait for
        self._ended_at = inf  # the last transaction; inf: nothing is known of the wire before
        if analytics is not None:
            analytics.add_queue(name, self._queue_told)

    # -- what the bus says -----------------------------------------------------------------------------------------

    def queued(self, request: Request) -> None:
        """A request came, was not refused, and waits."""
        port = self.port
        request.tally = port.clients.of(request.client, self.now)
        self.waiting += 1
        if self.waiting > port.highest:
            port.highest = self.waiting
            if self.now < port.usage.since:
                port.usage.since = self.now

    def sent(self, request: Request, silent: float) -> None:
        """A frame leaves now. It could have left from ``silent`` on but for its turn: the silence before that is part
        of what the transaction takes."""
        self._live = request
        self._began = self._used_from = now = self.now
        if silent > self._ended_at:
            self._used_from -= silent - self._ended_at
        if request.probe_for is None:
            self.port.served += 1
            if request.waited is None:
                self.waiting -= 1
                request.waited = now - request.arrived
            if request.riders:
                self._riders_go(request)

    def answered(self, request: Request, frame: bytes, is_late: bool, now: float) -> None:
        """A frame came that is a reply to ``request``."""
        if is_late:
            self.now = now
        else:
            self.over(now)
        unit = self.port.unit(request.unit)
        unit.replies += 1
        if frame[1] & EXCEPTION_FLAG:
            unit.exceptions += 1
            if frame[2] == ServerDeviceBusy.code:
                unit.busy += 1
            elif frame[2] == NegativeAcknowledge.code:
                unit.nak += 1

    def over(self, now: float) -> None:
        """The transaction that ran has ended: the wire was its owner's as long as it took."""
        self.now = self._ended_at = now
        live, self._live = self._live, None
        assert live is not None, "a transaction ran"
        request = live.probe_for or live
        port = self.port
        port.transactions += 1
        unit = port.units.get(request.unit) or port.unit(request.unit)
        unit.sent += 1
        took = now - self._used_from
        unit.wire += took
        if request.tally is not None:
            request.tally.wire += took
        request.held = now - self._began + (request.held or 0.0)
        usage = port.usage
        usage.total += took
        if now >= usage.due:
            usage.mark(self._used_from, now)

    def unanswered(self, now: float) -> None:
        """It has ended, without a reply."""
        assert self._live is not None, "a transaction ran"
        self.port.unit(self._live.unit).no_response += 1
        self.over(now)

    def interrupted(self, now: float) -> None:
        """The port was lost; a transaction that ran came to nothing."""
        self.now = now
        if self._live is not None:
            self.over(now)
        self._ended_at = inf

    def refused(self) -> None:
        """The frame that was to leave could not: there was no transaction."""
        if self._live is not None and self._live.probe_for is None:
            self.port.served -= 1 + len(self._live.riders)
        self._live = None

    def ended(self, event: Event) -> None:
        """A request has got its answer, or the reason why there is none."""
        request = event.request
        is_reply = isinstance(event, Reply)
        self._record(request, OK if is_reply else event.error.token)  # type: ignore[union-attr]
        if is_reply and request.held is None and not request.is_broadcast and request.tally is not None:
            self.port.unit(request.unit).shared += 1
            request.tally.shared += 1

    def cancelled(self, request: Request, now: float) -> None:
        """Its caller took it back."""
        self.now = now
        self._record(request, CANCELLED)

    def report(self, now: float) -> Report:
        """All of it."""
        running = 0.0 if self._live is None else max(0.0, now - self._used_from)
        return report_of(self.port, self.counters, now, running, self.waiting)

    # -- what comes of it ------------------------------------------------------------------------------------------

    def _riders_go(self, leader: Request) -> None:
        self.port.served += len(leader.riders)
        for rider in leader.riders:
            if rider.waited is None:
                self.waiting -= 1
                rider.waited = self.now - rider.arrived

    def _record(self, request: Request, outcome: str) -> None:
        now, port, held = self.now, self.port, request.held
        if self._live is request:  # a broadcast that has left, or one that expired on the wire
            held = now - self._began + (held or 0.0)
        unit = port.units.get(request.unit) or port.unit(request.unit)
        if request.tally is None:  # refused at once
            record(unit, port.clients.of(request.client, now), outcome, None, None)
            port.record(request.frame, outcome, None)
            return
        if request.waited is None:
            self.waiting -= 1
            port.unserved += 1
            request.waited = now - request.arrived
        elif outcome != OK and outcome != CANCELLED:
            port.failed_on_bus += 1
        record(unit, request.tally, outcome, request.waited, held)
        port.record(request.frame, outcome, now - request.arrived)

    def _queue_told(self) -> dict[str, Any]:
        return queue_told(self.port, self.now, self.waiting)
