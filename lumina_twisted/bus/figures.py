"""The statistics of one bus: when each request came, left and ended, and how long it used the wire. Floor 1.

The statistics distinguish two times. The *queue time* lasts from a request's arrival until its first frame leaves, or
the frame of the read that it follows. The *bus time* is how long a request used the wire: from each of its frames until
the reply, the end of the response timeout or the end of the turnaround delay. A request that followed another read has
no bus time.

Every request passes through this code. So the code only appends a record, and sums up 64 records at a time, or when
somebody asks. Code that runs 64 times in a row costs a third of the same code run once for each request. Up to 64
finished clients stay referenced until then.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final

from lumina_twisted.access.caller import Caller
from lumina_twisted.bus.pending import Finished, Kind, Outcome, Pending
from lumina_twisted.modbus.functions import EXCEPTION_FLAG
from lumina_twisted.statistics.counters import Counters, Fault, Faults
from lumina_twisted.statistics.monitor import BATCH, PerformanceMonitor
from lumina_twisted.statistics.queue import QueueAnalytics
from lumina_twisted.statistics.report import Report, queue_report, report_of
from lumina_twisted.statistics.tally import BROADCAST_SENT, CANCELLED, NORMAL, NOTHING

WAITING: Final = -1.0
"""Stands in place of the queue time while a request waits."""


class BusFigures:
    """The figures of one bus. Learns from transactions; see :class:`lumina_twisted.bus.pending.Learner`.

    :param name: the name of the port, in the monitor and the analytics.
    :param counters: the counters that the bus itself increments.
    :param monitor: keeps the figures; a new one if none is given.
    :param analytics: also reports the figures of the queue, if given.
    :param faults: the faults on the wire by unit; the bus counts them.
    """

    def __init__(
        self, name: str, counters: Counters, monitor: PerformanceMonitor | None = None,
        analytics: QueueAnalytics | None = None, faults: Faults | None = None,
    ) -> None:
        self.now = -inf
        """The time of the last call of the bus."""
        self.called_before = -inf
        """The value of ``now`` before the last call that received bytes or handled the timer."""
        self.counters = counters
        self.faults = faults or Faults()
        self.port = (monitor or PerformanceMonitor()).port(name)
        self.waiting = 0
        """The number of requests whose first frame has not left."""
        self._live: Pending | None = None
        self._began = 0.0
        self._used_from = 0.0  # the same, less the silence that the frame had to wait for
        self._ended_at = inf  # when the last transaction ended; inf: unknown
        if analytics is not None:
            analytics.add_queue(name, self._queue_report)

    # -- requests --------------------------------------------------------------------------------------------------

    def queued(self, request: Pending) -> None:
        """A request was accepted and waits."""
        request.waited = WAITING
        self.waiting = waiting = self.waiting + 1
        if waiting > self.port.highest:
            self.port.highest = waiting
            self.port.usage.since = min(self.now, self.port.usage.since)

    def ended(self, request: Pending, outcome: str) -> None:
        """A request ended, with a reply or an error.

        :param outcome: ``ok``, ``cancelled``, or the token of the error.
        """
        now, ended, waited, held = self.now, self.port.ended, request.waited, request.held
        if self._live is request:  # a broadcast that has left, or a request that expired on the wire
            held = now - self._began + (held or 0.0)
        if waited == WAITING:
            self.waiting -= 1
            self.port.unserved += 1
            waited = request.waited = now - request.arrived
        ended.append((request.unit, request.pdu, request.caller, outcome, waited, held, now - request.arrived, now))
        if len(ended) >= BATCH:
            self.port.settle()

    def cancelled(self, request: Pending, now: float) -> None:
        """The caller cancelled the request."""
        self.now = now
        self.ended(request, CANCELLED)

    # -- transactions ----------------------------------------------------------------------------------------------

    def began(self, request: Pending, silent_from: float, sent_until: float) -> None:
        """A frame leaves now. The silence that the frame had to wait for counts as part of the transaction."""
        self._live = request
        self._began = self._used_from = now = self.now
        if silent_from > self._ended_at:
            self._used_from -= silent_from - self._ended_at
        if request.waited == WAITING:
            self.waiting -= 1
            request.waited = now - request.arrived
        if request.followers:
            self._followers_go(request)

    def finished(self, transaction: Finished) -> None:
        """A transaction has ended, or its reply came late."""
        request, outcome, reply, _, _, now = transaction
        self.now = now
        if outcome is Outcome.NOT_SENT:
            self._live = None
            return
        heard = NOTHING if outcome is Outcome.NO_REPLY else BROADCAST_SENT  # other outcomes are no fault of the unit
        if reply:
            heard = NORMAL
            if reply[0] >= EXCEPTION_FLAG and request.kind is not Kind.CANARY:
                heard = reply[1]
                self.faults.note(request.unit, Fault.EXCEPTION)
            if outcome is Outcome.LATE_REPLY:
                self.port.unit(request.unit).heard(heard)
                return
            if request.heard:
                self.faults.note(request.unit, Fault.HEALED)
        self._live = None
        self._ended_at = now
        owner = request.ahead_of or request
        held = now - self._began
        owner.held = held if owner.held is None else owner.held + held
        self.port.used.append((self._used_from, now, owner.unit, owner.caller, heard))

    def interrupted(self) -> None:
        """The port was lost: the state of the wire is unknown from now on."""
        self._ended_at = inf

    def _followers_go(self, primary: Pending) -> None:
        self.port.served += len(primary.followers) - (primary.kind is Kind.BLOCK)
        for follower in primary.followers:
            if follower.waited == WAITING:
                self.waiting -= 1
                follower.waited = self.now - follower.arrived

    # -- what comes of it ------------------------------------------------------------------------------------------

    def report(self, now: float) -> Report:
        """The report on the port."""
        return report_of(self.port, self.counters, self.faults, now, self._time_of_live(now), self.waiting)

    def meter(self, caller: Caller) -> None:
        """Keeps the tally of this caller, however many other callers come."""
        self.port.clients.of(caller, self.now).is_kept = True

    def used_by(self, caller: Caller, now: float) -> float:
        """Seconds that transactions for this caller have taken, including the silence before each."""
        self.port.settle()
        is_its_own = self._live is not None and self._live.caller is caller
        return self.port.clients.of(caller, now).wire + (self._time_of_live(now) if is_its_own else 0.0)

    def _time_of_live(self, now: float) -> float:
        """Seconds that the running transaction has taken so far; 0 if none runs."""
        return 0.0 if self._live is None else max(0.0, now - self._used_from)

    def _queue_report(self) -> dict[str, Any]:
        return queue_report(self.port, self.now, self.waiting)
