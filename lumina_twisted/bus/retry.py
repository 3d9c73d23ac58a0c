"""Whether a request without a reply is sent again, and when. Floor 1.

A read may be: asking twice changes nothing. A write may have been carried out, so it is sent once, unless its caller or
the configuration says otherwise. The first retry follows at once, the further ones after a pause that grows.
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
"""Exceptions by which a device says that it is working on something long."""
BUSY_RETRIES: Final = 3
"""How often a busy device is asked again where nothing is said of that, and missing replies are asked for again."""


class Retries:
    """Decides for one bus, and puts back into the queue what is sent again.

    :param port: what sentences call the bus.
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
        """Whether it has not been sent as often as its caller said, else as its class is given."""
        return request.attempts <= self._allowed(request)

    def after_no_reply(self, unanswered: Unanswered, now: float, is_offline: bool) -> None:
        """Asks again if that is allowed; else waits for the late reply as long as one is reckoned with.

        :param is_offline: whether its unit is, which is asked once.
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
            request.cost = 0.0  # it takes nobody's time
            self._endings.earliest = min(self._endings.earliest, request.ends_at)
            self._queue.put_back(request, now)

    def after_loss(self, request: Pending, why: str, now: float) -> None:
        """The connection was lost while it was on the wire, and a new one is being made.

        :param why: as the rest of a sentence.
        """
        if request.done:  # those who follow it are asked for by themselves
            self._endings.failed(request, failures.no_reply(request, self._port), now)
        elif not self._endings.is_stopping and self.may_be_sent_again(request):
            self._put_back(request, State.RETRY_LATER, now, now)
        else:
            self._endings.failed(request, failures.port_lost(request, self._port, why), now)

    def canary_failed(self, canary: Pending, now: float) -> None:
        """Ends the waiting request after as many unanswered canaries as it has retries, unless the reply in doubt may
        just be late."""
        waiting, doubts = canary.ahead_of, self._wire.doubts
        assert waiting is not None, "a canary goes ahead of something"
        waiting.canaries += 1
        doubts.canary_failed(canary, now, self._backoff.delay(waiting.canaries))
        too_often = self._is_unanswered_too_often(waiting) and doubts.needs_canary(waiting)
        if too_often and not waiting.attempts and now >= doubts.may_be_late_until(waiting):
            self._endings.failed_in_queue(waiting, failures.silent(waiting, self._port), now)

    def if_busy(self, request: Pending, code: int, now: float) -> bool:
        """Sends it again if its exception says that the device is only busy, and there is time for that.

        :return: whether it does.
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
        """When it is worth it to ask again, if the caller can wait for that: a second request while the first reply is
        only late costs the bus a transaction, and leaves in doubt which of the two a reply answers."""
        pause = self._backoff.delay(request.attempts)
        when = now if late is None else max(now, self._wire.doubts.look_at(late))
        if when + pause + self._pace.least_time(request) < request.deadline:
            return when + pause
        return now + pause

    def _allowed(self, request: Pending) -> int:
        if request.is_broadcast:
            return 0  # nobody answers it, so nothing says that it failed
        if request.request.retries is not None:
            return request.request.retries
        if request.is_read:
            return self._settings.for_unit(request.unit).retries
        return self._settings.retry_writes

    def _allowed_if_busy(self, request: Pending) -> int:
        """A read as configured, unless its caller wants it sent once; a write never, for "acknowledge" means that it is
        being carried out."""
        if not request.is_read or request.request.retries == 0:
            return 0
        if self._settings.busy_retries is not None:
            return self._settings.busy_retries
        return BUSY_RETRIES if self._settings.for_unit(request.unit).retries else 0

    def _is_unanswered_too_often(self, request: Pending) -> bool:
        """Whether as many canaries ahead of a request went unanswered as it has retries, and one more; a write has as
        many as reads are given."""
        own = request.request.retries if request.is_read else None
        return request.canaries > (self._settings.for_unit(request.unit).retries if own is None else own)
