"""Whether a request without a reply is sent again, and when. Floor 1.

A read may be sent again, because a second read changes nothing. A write may have been carried out, so it is sent once,
unless its caller or the configuration says otherwise. The first retry follows at once, each further one after a pause
that grows.
"""

from __future__ import annotations

import math
from typing import Final

from lumina_twisted.bus import failures
from lumina_twisted.bus.endings import Endings
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.pending import Pending, State
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.bus.settings import Backoff, BusSettings
from lumina_twisted.bus.transaction import LateReply, Unanswered
from lumina_twisted.bus.wire import Wire
from lumina_twisted.errors import Acknowledge, ServerDeviceBusy
from lumina_twisted.statistics.counters import Counters, Fault, Faults

BUSY: Final = frozenset({Acknowledge.code, ServerDeviceBusy.code})
"""Exceptions with which a device says that it is busy with a long operation."""
BUSY_RETRIES: Final = 3
"""Retries for a busy device, if ``busy_retries`` is not configured and ``retries`` is not 0."""


class Retries:
    """Decides on the retries of one bus, and puts requests that are sent again back into the queue.

    :param port: the name of the bus in error texts.
    """

    def __init__(
        self, port: str, settings: BusSettings, pace: Pace, queue: RequestQueue[Pending], wire: Wire,
        endings: Endings, counters: Counters, faults: Faults,
    ) -> None:
        self._port = port
        self._settings = settings
        self._endings = endings
        self._pace = pace
        self._queue = queue
        self._wire = wire
        self._counters = counters
        self._faults = faults
        self._backoff = Backoff(settings.backoff, settings.backoff_factor)

    def may_be_sent_again(self, request: Pending) -> bool:
        """Whether a request has retries left, by the limit of its caller, or else by the configured limit of its
        class."""
        return request.attempts <= self._allowed(request)

    def after_no_reply(self, unanswered: Unanswered, now: float, is_offline: bool) -> None:
        """Sends a request again if that is allowed. Otherwise waits for its late reply while one may be expected.

        :param is_offline: whether its unit is offline; then the request is not sent again.
        """
        request, late, is_damaged = unanswered
        if not self._endings.is_stopping and not is_offline and self.may_be_sent_again(request):
            self._put_back(request, State.RETRY_LATER, self._time_after(request, late, now), now)
            self._faults.note(request.unit, Fault.RETRIED)
        elif self._endings.is_stopping or is_damaged or late is None:
            self._endings.failed(request, failures.no_reply(request, self._port), now, for_all=True)
        else:
            request.step(State.AWAITING_LATE_REPLY)
            request.not_before = math.inf
            request.ends_at = min(request.deadline, late.lapses)
            request.cost = 0.0  # while it waits for the late reply it takes no bus time
            self._endings.earliest = min(self._endings.earliest, request.ends_at)
            self._queue.put_back(request, now)

    def after_loss(self, request: Pending, why: str, now: float) -> None:
        """The connection was lost while the request was on the wire, and the owner makes a new one.

        :param why: the reason, as the rest of a sentence.
        """
        if request.done:  # its followers are sent by themselves
            self._endings.failed(request, failures.no_reply(request, self._port), now)
        elif not self._endings.is_stopping and self.may_be_sent_again(request):
            self._put_back(request, State.RETRY_LATER, now, now)
        else:
            self._endings.failed(request, failures.port_lost(request, self._port, why), now)

    def canary_failed(self, canary: Pending, now: float) -> None:
        """A canary was not answered. Ends the waiting request if more canaries went unanswered than it has retries,
        unless the reply in doubt may still be late."""
        waiting, doubts = canary.ahead_of, self._wire.doubts
        assert waiting is not None, "a canary goes ahead of something"
        waiting.canaries += 1
        doubts.canary_failed(canary, now, self._backoff.delay(waiting.canaries))
        too_often = self._is_unanswered_too_often(waiting) and doubts.needs_canary(waiting)
        if too_often and not waiting.attempts and now >= doubts.may_be_late_until(waiting):
            self._endings.failed_in_queue(waiting, failures.silent(waiting, self._port), now)

    def if_busy(self, request: Pending, code: int, now: float) -> bool:
        """Sends a request again if its exception says that the device is busy, and there is time for that.

        :return: whether the request is sent again.
        """
        if self._endings.is_stopping or code not in BUSY or (request.done and not request.followers):
            return False
        pause = self._backoff.delay(1 + request.attempts)
        in_time = now + pause + self._pace.least_time(request) < request.deadline
        if not in_time or request.attempts > self._allowed_if_busy(request):
            return False
        request.busy = code
        state = State.ABANDONED_RETRY if request.done else State.RETRY_LATER
        self._put_back(request, state, now + pause, now)
        self._faults.note(request.unit, Fault.RETRIED)
        return True

    def _put_back(self, request: Pending, state: State, not_before: float, now: float) -> None:
        self._counters.retries += 1
        request.not_before = not_before
        request.step(state)
        self._queue.put_back(request, now)

    def _time_after(self, request: Pending, late: LateReply | None, now: float) -> float:
        """The time for the next attempt. If the deadline allows, the retry waits until it is worth sending. If the
        first reply is only late, a second request costs the bus a transaction, and leaves in doubt which of the two a
        reply answers."""
        pause = self._backoff.delay(request.attempts)
        when = now if late is None else max(now, self._wire.doubts.look_at(late))
        if when + pause + self._pace.least_time(request) < request.deadline:
            return when + pause
        return now + pause

    def _allowed(self, request: Pending) -> int:
        if request.is_broadcast:
            return 0  # no device answers it, so nothing shows that it failed
        if request.request.retries is not None:
            return request.request.retries
        if request.is_read:
            return self._settings.for_unit(request.unit).retries
        return self._settings.retry_writes

    def _allowed_if_busy(self, request: Pending) -> int:
        """How often a request may be sent again to a busy device. For a read, the configured number, or 0 if its caller
        wants it sent once. For a write 0, because the exception "acknowledge" means that the device is carrying it
        out."""
        if not request.is_read or request.request.retries == 0:
            return 0
        if self._settings.busy_retries is not None:
            return self._settings.busy_retries
        return BUSY_RETRIES if self._settings.for_unit(request.unit).retries else 0

    def _is_unanswered_too_often(self, request: Pending) -> bool:
        """Whether more canaries ahead of a request went unanswered than it has retries. For a write, the limit is the
        configured retries of reads."""
        own = request.request.retries if request.is_read else None
        return request.canaries > (self._settings.for_unit(request.unit).retries if own is None else own)
