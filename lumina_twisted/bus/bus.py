"""The bus: one port's requests, taken in turn, put on the wire one at a time, and each ended exactly once. Floor 1.

Sans-IO. Whoever owns the port calls :meth:`Bus.submit`, :meth:`Bus.cancel`, :meth:`Bus.receive_data` and
:meth:`Bus.handle_timer` with the present time, and after each call takes what came of it: frames for the wire
(:meth:`Bus.next_frame`, to be written at once), events (:meth:`Bus.next_event`), and the time of the next call that
is due (:meth:`Bus.get_timer`). Times are seconds of any clock that never goes back.

Which module holds which rule: `wire` and `transaction` what runs, `queue` the turns, `admission` what comes too late,
`sharing`, `merging` and `joining` who goes together, `freshness` the old values, `health` and `refusals` the dead
units, `late_replies` and `canary` what may still come, and what proves that it does not, `surplus` what comes twice,
`echo` the echo, `retry` the retries, `pace` and `latency` the times, `ear` what is heard, `outcomes` how requests end,
`samples` what is told of the devices, `figures` what is counted, `modbus.reply` what a reply must look like. This joins
them.

A bus outlives its port: what it learned of its units stays when an adapter is replugged.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable
from enum import IntEnum, auto
from typing import Final

from lumina_twisted.bus import failures
from lumina_twisted.bus.admission import Admission
from lumina_twisted.bus.echo import probe_for
from lumina_twisted.bus.events import Event, Findings, Frame, Request
from lumina_twisted.bus.figures import BusFigures
from lumina_twisted.bus.freshness import Freshness
from lumina_twisted.bus.health import Health
from lumina_twisted.bus.joining import Joining
from lumina_twisted.bus.late_reply import LateReply
from lumina_twisted.bus.merging import Block
from lumina_twisted.bus.noise import NoiseWatch
from lumina_twisted.bus.outcomes import Outcomes
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.bus.refusals import Refusals
from lumina_twisted.bus.retry import BUSY, Backoff, allowed_busy_retries, allowed_canaries, allowed_retries
from lumina_twisted.bus.samples import Samples
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.sharing import Sharing
from lumina_twisted.bus.transaction import Answered, Attempt, Unanswered
from lumina_twisted.bus.wire import Wire
from lumina_twisted.errors import ModbusError, Overloaded, PortClosed, QueueFull, UnitOffline
from lumina_twisted.framing.base import Framing
from lumina_twisted.framing.rtu import RtuFraming
from lumina_twisted.statistics.counters import Counters, Fault, Faults
from lumina_twisted.statistics.monitor import PerformanceMonitor
from lumina_twisted.statistics.queue import QueueAnalytics

DEAF: Final = 8
"""Attempts in a row without a byte from anybody after which a socket is connected anew: a converter that stalls for
good often works again then."""
_PACED: Final = (PortClosed, UnitOffline, Overloaded)
"""Refusals after which many a client asks again at once."""


class Renewal(IntEnum):
    """Where the renewal of a connection is: wanted, for the old one may hand over a late reply at any time; or under
    way, for the old one was cut, or has ended by itself, or there was none yet."""

    NONE = auto()
    WANTED = auto()
    UNDER_WAY = auto()


class Bus:
    """One transaction at a time for everybody behind one port.

    :param settings: how it takes turns, waits and retries.
    :param name: what its sentences call it.
    :param framing: how its requests and replies are bytes; RTU on a serial line if none is given.
    :param renews_after_silence: whether a request without a reply needs a new connection, for on this one its late
        reply could be the next one's.
    :param monitor: which keeps its figures, and ``analytics`` those of its queue; its own if none are given.
    """

    def __init__(
        self, settings: BusSettings, name: str = "the port", *, framing: Framing | None = None,
        renews_after_silence: bool = False,
        monitor: PerformanceMonitor | None = None, analytics: QueueAnalytics | None = None,
    ) -> None:
        framing = RtuFraming() if framing is None else framing
        self.counters = Counters()
        self.faults = Faults()
        self.figures = BusFigures(name, self.counters, monitor, analytics, self.faults)
        self.noise = NoiseWatch(self.figures, self.faults, name)
        self.samples = Samples()
        self._name = name
        self._settings = settings
        self._pace = Pace(settings)
        self.health = Health(settings)
        self.findings = Findings()
        self._wire = Wire(
            settings, self._pace, self.counters, self.health, self.findings, self.faults, framing,
        )
        self._is_numbered = framing.is_numbered
        self._over_stream = not framing.has_wire_time and not framing.is_numbered
        self._unheard = 0  # attempts in a row during which not one byte came
        self._renews_after_silence = renews_after_silence
        self._queue: RequestQueue[Request] = RequestQueue(
            settings.queue, settings.queue_per_client, extra=settings.queue, singles_first=True
        )
        self._backoff = Backoff(settings.backoff, settings.backoff_factor)
        self._sharing = Sharing(settings)
        self._freshness = Freshness()
        self._joining = Joining(settings, self._pace, self._queue, self._sharing, self._wire, self.counters)
        self.admission = Admission(settings, self._pace, self._queue, self._sharing)
        self._outcomes = Outcomes(self.counters, name, self._sharing, self._freshness)
        self._refusals = Refusals(settings.queue)
        self._closed: str | None = "it has not been opened yet"
        self._stopping = False
        self._renewal = Renewal.NONE
        self._wake = math.inf  # when a waiting request may be able to go
        self._earliest_end = math.inf  # no request ends before
        self._frames: deque[Frame] = deque()
        self.replies_heard = 0
        """Replies that came off the wire so far, whoever waited for them."""

    # -- what a port's owner calls -------------------------------------------------------------------------------

    def submit(self, request: Request, now: float) -> None:
        """Takes a request; exactly one event will end it, unless it is cancelled."""
        self.counters.requests += 1
        self.figures.now = request.arrived = now
        request.number = self.counters.requests
        request.is_broadcast = self._settings.is_broadcast(request.unit)
        if error := self._refusal(request):
            self._refuse(request, error, now)
            return
        if (request.max_age or self._settings.answers_from_old) and self._is_fresh(request, now):
            return
        if self.health.silent and self.health.refuses(request, now):
            self._refuse(request, failures.unit_offline(request, self._name), now)
            return
        if not request.is_read and self._settings.writes_first and request.lane:
            request.lane -= 1
        self._sharing.note(request)
        if not self._joining.rides(request) and not self._is_queued(request, now):
            return
        self.figures.queued(request)
        self._earliest_end = min(self._earliest_end, request.ends_at)
        self._advance(now)

    def _is_fresh(self, request: Request, now: float) -> bool:
        """Answers a read by what its unit said a moment ago, if its caller is content with that; and not if something
        of the same client's to that unit comes before it."""
        max_age = self._settings.max_age_for(request.unit) if request.max_age is None else request.max_age
        if not max_age or not request.is_read:
            return False
        pdu = self._freshness.answer(request, max_age, now)
        if pdu is None or self._joining.is_behind_its_own(request):
            return False
        self._outcomes.fresh(request, pdu)
        return True

    def _is_queued(self, request: Request, now: float) -> bool:
        """Puts it into the queue, if there is room and time for it."""
        if wait := self.admission.wait_in_vain(request, now):
            self._refuse(request, failures.overloaded(request, self._name, wait, self.noise.cause(now)), now)
            return False
        try:
            self._queue.put(request, now)
        except QueueFull as full:
            self._outcomes.failed(request, full)
            return False
        self._joining.queued(request)
        return True

    def cancel(self, request: Request, now: float) -> None:
        """Its caller is gone: no event will come. A waiting request is removed; one on the wire is waited out."""
        if request.done:
            return
        request.done = True
        self.counters.cancelled += 1
        self.figures.cancelled(request, now)
        leader = self._sharing.leave(request)
        if leader is not None:
            self._joining.left(leader)
        elif not self._wire.is_on_wire(request) and not request.is_refused:
            self._queue.remove(request)
            self._outcomes.alone += self._sharing.release(request)
            self._advance(now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Takes bytes off the wire.

        :raises FrameError: if the connection means nothing any more, and must be cut; with a sentence that says why.
        """
        self._unheard = 0
        self._take_answers(self._wire.receive(data, now), now)
        if (attempt := self._wire.attempt) is not None and attempt.is_spoiled:
            self._end_of_wait(attempt, now)
        self._advance(now)

    def handle_timer(self, now: float) -> None:
        """Does what is due by now."""
        for request, error in self._refusals.take_due(now) if self._refusals else ():
            self._outcomes.failed(request, error)
        if now >= self._wire.silence_at:
            self._take_answers(self._wire.end_of_burst(now), now)
        if now >= self._earliest_end:
            self._end_overdue(now)
        if (attempt := self._wire.attempt) is not None:
            self._look_at(attempt, now)
        self._advance(now)

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` is due, or None if nothing is waited for."""
        attempt = self._wire.attempt
        step = self._wake if attempt is None else attempt.next_step
        when = min(self._earliest_end, self._wire.silence_at, step)
        if self._refusals:
            when = min(when, self._refusals.due)
        return None if when == math.inf else when

    def next_frame(self) -> Frame | None:
        """The next frame for the wire, which leaves now, or None."""
        return self._frames.popleft() if self._frames else None

    def next_event(self) -> Event | None:
        """The next event, or None."""
        if (event := self._outcomes.next()) is not None:
            self.figures.ended(event)
        return event

    def port_opened(self, now: float) -> None:
        """Bytes can be sent and heard from now on."""
        self._closed, self._renewal = None, Renewal.NONE
        self._wire.opened(now, now + self._settings.connect_delay)
        self._advance(now)

    def port_opening(self) -> None:
        """An attempt to open the port begins: what comes waits for its result, within its deadline. That is told by
        :meth:`port_opened` or :meth:`port_lost`."""
        self._closed, self._renewal = None, Renewal.UNDER_WAY

    def connection_lost(self, now: float, why: str) -> None:
        """The connection ended, and a new one is being made; see :meth:`port_opening`. A read that was on the wire is
        asked again there, if its retries allow that. A write ends with an unknown outcome, unless it may be sent again.
        """
        if self._renewal is Renewal.WANTED:
            self.port_lost(now)
            return
        self._renewal = Renewal.UNDER_WAY
        self._frames.clear()
        live = self._interrupted(now)
        self._wake = math.inf
        if self._is_numbered:
            self._end_given_up()
        if live is not None:
            self._ask_again_or_end(live, why, now)
        self._advance(now)

    def _interrupted(self, now: float) -> Request | None:
        """What was on the wire comes to nothing."""
        live = self._wire.lost()
        self.samples.in_doubt(live, now)
        self.admission.came_to_nothing()
        self._freshness.forget()
        self.figures.interrupted(now)
        return live

    def _end_given_up(self) -> None:
        """Late replies end with their connection: who waits for nothing else waits no longer."""
        for request in [one for one in self._queue if one.is_given_up]:
            self._queue.remove(request)
            self._outcomes.failed(request, failures.no_reply(request, self._name))

    def _ask_again_or_end(self, live: Request, why: str, now: float) -> None:
        may_go = not self._stopping and live.attempts <= allowed_retries(live, self._settings)
        if live.done:  # those who ride with it are asked for themselves
            self._outcomes.failed(live, failures.no_reply(live, self._name))
        elif may_go and live.probe_for is None:
            self.counters.retries += 1
            live.not_before = now
            self._queue.put_back(live, now)
        else:
            self._outcomes.failed(live, failures.port_lost(live, self._name, why))

    def port_lost(self, now: float, why: str = "it was lost") -> None:
        """No more bytes; every request ends with an error that says why, and so do those to come. The one loss that a
        renewal is costs nobody anything."""
        if self._renewal is Renewal.WANTED:
            self._renewal = Renewal.UNDER_WAY
            return
        self._closed, self._renewal = why, Renewal.NONE
        self._frames.clear()
        live = self._interrupted(now)
        for request in [live, *self._queue] if live else list(self._queue):
            if request is not live:
                self._queue.remove(request)
            self._outcomes.failed(request, failures.port_lost(request, self._name, why))
        self._wake = self._earliest_end = math.inf

    def frame_refused(self, why: str, now: float) -> None:
        """The frame just taken could not be sent, for the reason that ``why`` says: its request ends, the next one's
        turn comes."""
        if request := self._wire.refused(now):
            self.admission.came_to_nothing()
            self._remove(request)
            self.figures.refused()
            unsent = request.is_read or not request.attempts
            self._outcomes.failed(
                request, failures.not_sent(request, why) if unsent else failures.no_reply(request, self._name)
            )
        self._advance(now)

    def stop(self, now: float) -> None:
        """Starts nothing new: what waits ends as stopping; what is on the wire ends as it would."""
        self._stopping = True
        for request, error in self._refusals.take_all():
            self._outcomes.failed(request, error)
        for request in list(self._queue):
            self._queue.remove(request)
            self._outcomes.failed(request, failures.stopping(request))
        self._advance(now)

    @property
    def renewal(self) -> Renewal:
        """Whether the connection shall be cut and made anew. What waits meanwhile keeps waiting, unless that fails,
        which is told by a second :meth:`port_lost`."""
        return self._renewal

    @property
    def is_busy(self) -> bool:
        """Whether a frame of ours is on the wire or waits for its reply."""
        return self._wire.attempt is not None

    def is_full_for(self, client: Hashable, timeout: float, now: float) -> bool:
        """Whether a client should wait with its next request until one of those that it has here ends; see
        :meth:`lumina_twisted.ports.interfaces.Port.is_full_for`."""
        return self.admission.is_full_for(client, timeout, now)

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._queue)

    @property
    def echoes(self) -> bool | None:
        """Whether the port hears what it sends; None while that is not known."""
        return self._wire.echo.known

    # -- whose turn it is ----------------------------------------------------------------------------------------

    def _refusal(self, request: Request) -> ModbusError | None:
        if self._stopping:
            return failures.stopping(request)
        if request.is_broadcast and request.is_read:
            return failures.broadcast_read(request)
        if self._closed is not None:
            return failures.port_closed(request, self._name, self._closed)
        return None

    def _refuse(self, request: Request, error: ModbusError, now: float) -> None:
        """Ends a request, a moment later if its client would only ask again at once."""
        request.is_refused = isinstance(error, _PACED) and self._refusals.put(request, error, now)
        if not request.is_refused:
            self._outcomes.failed(request, error)

    def _refuse_offline(self, unit: int, now: float) -> None:
        """What waits for a unit that is offline now waits no longer, but for late replies."""
        for request in [one for one in self._queue if one.unit == unit]:
            if not request.is_given_up and self.health.refuses(request, now):
                self._let_go(request, now)

    def _let_go(self, request: Request, now: float) -> None:
        """It waits for a unit that is offline."""
        self._queue.remove(request)
        for one in [request, *self._sharing.release(request)]:
            if one.attempts:
                self._outcomes.failed(one, failures.no_reply(one, self._name))
            else:
                self._refuse(one, failures.unit_offline(one, self._name), now)

    def _take_back_riders(self, now: float) -> None:
        """Those whose leader came to nothing for a reason of its own are asked for themselves, unless the service
        stops."""
        alone, self._outcomes.alone = self._outcomes.alone, []
        if self._stopping:
            for request in alone:
                self._outcomes.failed(request, failures.stopping(request))
            return
        for request in alone:
            self._earliest_end = min(self._earliest_end, request.ends_at)
        self._joining.take_back(alone, now)

    def _advance(self, now: float) -> None:
        """Puts the next request on the wire if that is free, and notes when it could go if it cannot yet."""
        self.figures.now = now
        if self._outcomes.alone:
            self._take_back_riders(now)
        wire = self._wire
        if wire.attempt is not self.admission.running:
            self.admission.over(now)
        self._wake = math.inf
        if wire.attempt is not None or not len(self._queue) or self._renewal is not Renewal.NONE:
            return
        request, self._wake = self._joining.first(now)
        while request is not None:
            if self.health.silent and self.health.refuses(request, now) and not request.is_given_up:
                self._let_go(request, now)
                request, self._wake = self._joining.first(now)
                continue
            needs_canary = wire.doubts.needs_canary(request)
            if needs_canary and (other := self._instead_of_a_canary(request, now)) is not None:
                request, needs_canary = other, False
            silent = self._wire.quiet_from + self._pace.gap(request)
            needed = self.admission.time_for(request, needs_canary or wire.echo.needs_probe(request), now)
            if max(now, silent) + needed <= request.deadline:
                self._go_or_wait(request, silent, needs_canary, now)
                return
            self._no_time_for(request)
            if self._outcomes.alone:
                self._take_back_riders(now)
            request, self._wake = self._joining.first(now)

    def _no_time_for(self, request: Request) -> None:
        """It cannot be answered before its deadline; if it was sent before, that answer may still come."""
        if request.attempts:
            request.not_before = math.inf
        else:
            self._queue.remove(request)
            self._outcomes.failed(request, failures.expired(request, self._name))

    def _instead_of_a_canary(self, request: Request, now: float) -> Request | None:
        """A request of somebody's to the same unit that proves as much as a canary."""
        return next((
            one for one in self._queue
            if one.unit == request.unit and one.serial == request.serial and not one.is_given_up
            and self._joining.ready_at(one) <= now and not self._wire.doubts.needs_canary(one)
            and not self._wire.echo.needs_probe(one) and self._queue.is_next_of_its_own(one, ())
        ), None)

    def _go_or_wait(self, request: Request, silent: float, needs_canary: bool, now: float) -> None:
        if silent > now:
            self._wake = silent
            return
        if needs_canary:
            self._queue.pass_turn(request)
            request = self._wire.doubts.canary_for(request)
        elif self._wire.echo.needs_probe(request):
            request.probed = True
            self._queue.pass_turn(request)
            request = probe_for(request)
        else:
            self._queue.take(request)
            if self._settings.merges:
                request = self._joining.block_of(request, now) or request
                request.is_broadcast = self._settings.is_broadcast(request.unit)  # a block is the bus's own
                self._earliest_end = min(self._earliest_end, request.ends_at)
        if self._freshness.is_used and not request.is_canary:
            self._freshness.sent(request)
        self._frames.append(self._wire.send(request, now))
        if self.samples.is_watched and not request.is_canary:
            self.samples.sent(request, self._wire.quiet_from)
        self.admission.running = self._wire.attempt
        self.figures.sent(request, silent)

    # -- how requests end ----------------------------------------------------------------------------------------

    def _remove(self, request: Request) -> None:
        """Out of the queue, if it is there."""
        if request.is_waiting:
            self._queue.remove(request)

    def _take_answers(self, answers: Iterable[Answered], now: float) -> None:
        for request, pdu, is_late in answers:
            self.replies_heard += 1
            if is_late and not request.done:
                self._queue.remove(request)
            self.figures.answered(request, pdu, is_late, now)
            if self.samples.is_watched:
                self.samples.answered(request, pdu, is_late, now)
            running = None if is_late else self.admission.running
            if running is not None:
                self.admission.answered(request, now)
            if request.heard and not is_late:
                self.faults.note(request.unit, Fault.HEALED)
            if request.pattern.is_exception(pdu):
                if not request.is_canary:
                    self.faults.note(request.unit, Fault.EXCEPTION)
                if not is_late and self._asks_again(request, pdu[1], now):
                    continue
                if isinstance(request, Block):
                    self._joining.merging.refused(request, pdu[1], now)
            elif self._freshness.is_used and running is not None and request.attempts == 1:  # else: whose reply is it?
                self._freshness.keep(request, pdu, running.sent_until)
            self._outcomes.answered(request, pdu)
        if self._wire.hopeless:
            self._end_hopeless()

    def _asks_again(self, request: Request, code: int, now: float) -> bool:
        """Whether its exception says that the device is only busy, and there is time to ask it again."""
        if code not in BUSY or (request.done and not request.riders):
            return False
        pause = self._backoff.delay(1 + request.attempts)
        in_time = now + pause + self._pace.least_time(request) < request.deadline
        if self._stopping or not in_time or request.attempts > allowed_busy_retries(request, self._settings):
            return False
        self.counters.retries += 1
        self.faults.note(request.unit, Fault.RETRIED)
        request.busy = code
        request.not_before = now + pause
        self._queue.put_back(request, now)
        return True

    def _look_at(self, attempt: Attempt, now: float) -> None:
        """What time alone does with the transaction that runs."""
        if attempt.request.is_broadcast:
            if now >= attempt.sent_until:
                self.samples.broadcast(attempt.request)
                self._outcomes.broadcast(attempt.request)  # all there is to know; the bus keeps still longer
            if now >= attempt.expires:
                self._wire.turnaround_over()
                self.figures.over(now)
        elif now >= attempt.expires or (self._wire.is_spoiled(attempt, now) and self._may_be_asked_again(attempt)):
            self._take_answers(self._wire.end_of_burst(now), now)
            if self._wire.attempt is attempt:
                self._end_of_wait(attempt, now)

    def _may_be_asked_again(self, attempt: Attempt) -> bool:
        """Who may not is better off with what may still come until the response timeout."""
        return attempt.request.attempts <= allowed_retries(attempt.request, self._settings)

    def _end_of_wait(self, attempt: Attempt, now: float) -> None:
        """No reply was accepted in time."""
        if (held := self._wire.end_of_hold(attempt)) is not None:
            self._take_answers((held,), now)
            return
        unanswered = self._wire.response_timeout(attempt, now)
        request = unanswered.request
        if attempt.held is not None:  # it counts, if a canary proves that nothing else comes
            self.figures.over(now)
            if not request.done:
                self._queue.put_back(request, now)
            return
        is_offline = not unanswered.is_damaged and self.health.is_offline(request)
        self.figures.unanswered(now)
        self._unheard += 1
        is_deaf = self._over_stream and self._unheard % DEAF == 0
        if (self._renews_after_silence or is_deaf) and self._renewal is Renewal.NONE:
            self._renewal = Renewal.WANTED
            self.counters.renewals += 1
        if request.is_canary:
            self._canary_failed(request, now)
        else:
            self.samples.in_doubt(request, now)
        if not request.done:
            self._retry_or_end(unanswered, now, is_offline)
        elif request.riders:
            self._outcomes.failed(request, failures.no_reply(request, self._name))
        if is_offline:
            self._refuse_offline(request.unit, now)

    def _canary_failed(self, canary: Request, now: float) -> None:
        """Ends the waiting request after as many unanswered canaries as it has retries, unless the reply in doubt may
        just be late."""
        waiting = canary.probe_for
        assert waiting is not None, "a canary goes ahead of something"
        waiting.canaries += 1
        doubts = self._wire.doubts
        doubts.canary_failed(canary, now, self._backoff.delay(waiting.canaries))
        too_often = waiting.canaries > allowed_canaries(waiting, self._settings) and doubts.needs_canary(waiting)
        if too_often and waiting.is_waiting and not waiting.attempts and now >= doubts.may_be_late_until(waiting):
            self._queue.remove(waiting)
            self._outcomes.failed(waiting, failures.silent(waiting, self._name))

    def _end_hopeless(self) -> None:
        """Their replies are proven not to come, and they were asked for as often as they may be."""
        hopeless, self._wire.hopeless = self._wire.hopeless, []
        for request in hopeless:
            if request.is_waiting:
                self._queue.remove(request)
                self._outcomes.failed(request, failures.no_reply(request, self._name))

    def _retry_or_end(self, unanswered: Unanswered, now: float, is_offline: bool) -> None:
        """Asks again if that is allowed; else waits for the late reply as long as one is reckoned with."""
        request, late, is_damaged = unanswered
        if self._stopping:
            request.is_given_up = True  # those who ride with it are not asked for either
            self._outcomes.failed(request, failures.no_reply(request, self._name))
        elif not is_offline and request.attempts <= allowed_retries(request, self._settings):
            self.counters.retries += 1
            self.faults.note(request.unit, Fault.RETRIED)
            request.not_before = self._retry_at(request, late, now)
            self._queue.put_back(request, now)
        elif is_damaged or late is None:
            request.is_given_up = True
            self._outcomes.failed(request, failures.no_reply(request, self._name))
        else:
            request.is_given_up = True
            request.not_before = math.inf
            request.ends_at = min(request.deadline, late.lapses)
            request.cost = 0.0  # it takes nobody's time
            self._earliest_end = min(self._earliest_end, request.ends_at)
            self._queue.put_back(request, now)

    def _retry_at(self, request: Request, late: LateReply | None, now: float) -> float:
        """When it is worth it to ask again, if the caller can wait for that: a second request while the first reply is
        only late costs the bus a transaction, and leaves in doubt which of the two a reply answers."""
        pause = self._backoff.delay(request.attempts)
        when = now if late is None else max(now, self._wire.doubts.look_at(late))
        if when + pause + self._pace.least_time(request) < request.deadline:
            return when + pause
        return now + pause

    def _end_overdue(self, now: float) -> None:
        """Ends what is past its time, and notes when the next one is."""
        attempt = self._wire.attempt
        live = None if attempt is None or attempt.request.is_broadcast else attempt.request
        self._earliest_end = math.inf
        for request in [live, *self._queue] if live and not live.done else list(self._queue):
            if request.ends_at > now:
                self._earliest_end = min(self._earliest_end, request.ends_at)
                continue
            if live is not None and request is live:  # those who ride with it may still be answered
                self._outcomes.ended(request, failures.expired(request, self._name))
                continue
            self._queue.remove(request)
            self._outcomes.failed(request, failures.expired(request, self._name))
        self._end_overdue_riders(now)

    def _end_overdue_riders(self, now: float) -> None:
        for rider in self._sharing:
            if rider.ends_at > now:
                self._earliest_end = min(self._earliest_end, rider.ends_at)
                continue
            leader = self._sharing.leave(rider)
            rider.attempts = leader.attempts if leader else 0
            rider.busy = leader.busy if leader else 0
            self._outcomes.failed(rider, failures.expired(rider, self._name))
            if leader is not None:
                self._joining.left(leader)
