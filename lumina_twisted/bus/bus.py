"""The bus takes one port's requests in turn, puts them on the wire one at a time, and ends each exactly once. Floor 1.

The bus is sans-IO. The owner of the port calls :meth:`Bus.submit`, :meth:`Bus.cancel`, :meth:`Bus.receive_data` and
:meth:`Bus.handle_timer` with the present time. After each call the owner takes the results: frames for the wire
(:meth:`Bus.next_frame`, to be written at once), events (:meth:`Bus.next_event`), and the time of the next call that
is due (:meth:`Bus.get_timer`). Times are seconds of any clock that never goes back.

Each rule has its module: `pending` the states of a request; `queue` the turns; `wire` and `transaction` the running
transaction; `admission` requests that would be too late; `coalescing` and `merging` reads that share a transaction;
`reply_cache` answers from old values; `health` dead units; `late_replies` the replies that may still come; `canary` the
proof that they do not; `surplus` replies that come twice; `echo` the echo; `retry` the retries; `pace` the times;
`endings` how requests end; `failures` the error texts; `samples` the observed states of devices; `figures` the
statistics. This module joins them. Each module that learns from transactions gets one record per transaction; see
:class:`lumina_twisted.bus.pending.Learner`.

A bus outlives its port: when an adapter is replugged, the bus still knows what it learned about its units.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum, auto
from operator import attrgetter
from typing import Final

from lumina_twisted.access.caller import Caller
from lumina_twisted.bus import failures
from lumina_twisted.bus.admission import COST_NOBODY, Admission
from lumina_twisted.bus.coalescing import Coalescing
from lumina_twisted.bus.echo import probe_for
from lumina_twisted.bus.endings import Endings
from lumina_twisted.bus.events import Event, Events, Findings, Frame, RenewalWanted, Request, Sample
from lumina_twisted.bus.figures import BusFigures
from lumina_twisted.bus.health import Health
from lumina_twisted.bus.merging import Block
from lumina_twisted.bus.noise import NoiseWatch
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.pending import QUEUED, Finished, Kind, Learner, Outcome, Pending, State
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.bus.reply_cache import ReplyCache
from lumina_twisted.bus.retry import Retries
from lumina_twisted.bus.samples import Samples
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.transaction import Answered, Attempt
from lumina_twisted.bus.wire import Wire
from lumina_twisted.errors import ModbusError, QueueFull
from lumina_twisted.framing import Framing
from lumina_twisted.framing.rtu import RtuFraming
from lumina_twisted.modbus.functions import BROADCAST, EXCEPTION_FLAG
from lumina_twisted.statistics.counters import Counters, Faults
from lumina_twisted.statistics.monitor import PerformanceMonitor
from lumina_twisted.statistics.queue import QueueAnalytics

DEAF: Final = 8
"""Attempts in a row without a received byte after which a socket is reconnected. This often revives a converter that
has stalled for good."""
_NOT_BEFORE: Final[Callable[[Pending], float]] = attrgetter("not_before")


class Renewal(IntEnum):
    """The progress of a connection's renewal.

    WANTED: the connection should be replaced; for example because it may deliver a late reply at any time. UNDER_WAY:
    the old connection was cut, or ended by itself, or there was none yet.
    """

    NONE = auto()
    WANTED = auto()
    UNDER_WAY = auto()


class Bus:
    """Runs one transaction at a time for all callers of one port.

    :param settings: how the bus takes turns, waits and retries.
    :param name: the name of the bus in texts.
    :param framing: how requests and replies are encoded; RTU on a serial line if none is given.
    :param renews_after_silence: whether a request without a reply needs a new connection. On the old connection its
        late reply could be taken for the reply to the next request.
    :param monitor: keeps the figures of the bus; one of its own if none is given.
    :param analytics: also reports the figures of the queue, if given.
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
        self.replies_heard = 0
        """The number of replies received so far, in time or late."""
        self._name = name
        self._settings = settings
        self._is_numbered = framing.is_numbered
        self._over_stream = not framing.has_wire_time and not framing.is_numbered
        self._renews_after_silence = renews_after_silence
        self.frames: deque[Frame] = deque()
        """The frames that :meth:`next_frame` returns. An owner may check after each call whether there are any."""
        self.events: Events = deque()
        """The events that :meth:`next_event` returns, likewise."""
        self._pace = Pace(settings)
        self.health = Health(settings, self.events)
        self._wire = Wire(
            settings, self._pace, self.counters, self.health, Findings(self.events), self.faults, framing
        )
        self._queue: RequestQueue[Pending] = RequestQueue(
            settings.queue, settings.queue_per_client, extra=settings.queue, singles_first=True
        )
        self._coalescing = Coalescing(settings, self._pace, self._queue, self._wire, self.counters)
        self._reply_cache = ReplyCache()
        self._samples: Samples | None = None  # set while somebody watches
        self._admission = Admission(settings, self._pace, self._queue, self._coalescing, self._wire)
        self._learners: list[Learner] = [self.figures]
        self._endings = Endings(
            name, settings.queue, self.figures, self._queue, self._coalescing, self.health, self._reply_cache,
            self.events,
        )
        self._retries = Retries(
            name, settings, self._pace, self._queue, self._wire, self._endings, self.counters, self.faults
        )
        self._closed: str | None = "it has not been opened yet"
        self._renewal = Renewal.NONE
        self._unheard = 0  # attempts in a row without a received byte
        self._running: Attempt | None = None  # until the learners have its record
        self._unpaid: Finished | None = None  # a transaction that has ended and whose turn is not yet charged
        self._broadcast_unit = BROADCAST if settings.is_broadcast(BROADCAST) else None
        self._answers_from_old = settings.answers_from_old
        self._wake = math.inf  # when a waiting request may be able to go

    # -- what a port's owner calls -------------------------------------------------------------------------------

    def submit(self, request: Request, now: float) -> Pending:
        """Takes a request. Exactly one event ends it, unless it is cancelled.

        :return: the handle for :meth:`cancel`.
        """
        self.figures.now = now
        self.counters.requests = number = self.counters.requests + 1
        pending = Pending(request, is_broadcast=request.unit == self._broadcast_unit)
        pending.arrived, pending.number = now, number
        max_age = request.max_age
        if max_age is None:  # the usual case; mostly no age is configured either
            max_age = self._settings.for_unit(request.unit).max_age if self._answers_from_old else 0.0
        takes_all = self._closed is None and not self._endings.is_stopping and not pending.is_broadcast
        if not takes_all and (error := self._refusal(pending)):
            self._endings.refused(pending, error, now)
        elif not max_age or not self._is_answered_by_cache(pending, max_age, now):
            self._admit(pending, now)
        return pending

    def _admit(self, pending: Pending, now: float) -> None:
        """Sends a request at once, queues it, or lets it follow a waiting read; refuses it if there is no room or time
        for it."""
        if self.health.silent and self.health.refuses(pending, now):
            self._endings.refused(pending, failures.unit_offline(pending, self._name), now)
            return
        if not pending.is_read and self._settings.writes_first and pending.lane:
            pending.lane -= 1
        if not pending.is_read or self._coalescing.writes:
            self._coalescing.arrived(pending)
        if not self._queue.size or not self._coalescing.follow(pending):
            if wait := self._admission.wait_if_too_late(pending, now):
                error = failures.overloaded(pending, self._name, wait, self.noise.cause(now))
                self._endings.refused(pending, error, now)
                return
            if not self._queue.size and self._goes_at_once(pending, now):
                return
            if not self._is_queued(pending, now):
                return
        self.figures.queued(pending)
        if pending.ends_at < self._endings.earliest:
            self._endings.earliest = pending.ends_at
        if self._wire.attempt is None or self._unpaid is not None:
            self._advance(now)  # else the request waits until the running transaction ends

    def _is_answered_by_cache(self, pending: Pending, max_age: float, now: float) -> bool:
        """Answers a read from the reply cache, if a value there is recent enough for its caller. Does not do so while
        an earlier request of the same caller to that unit has not ended."""
        if not pending.is_read:
            return False
        if not self._reply_cache.is_used:
            self._reply_cache.is_used = True
            self._learners.append(self._reply_cache)
        pdu = self._reply_cache.answer(pending, max_age, now)
        if pdu is None or self._coalescing.is_behind_its_own(pending):
            return False
        self._endings.from_cache(pending, pdu)
        return True

    def _is_queued(self, pending: Pending, now: float) -> bool:
        try:
            self._queue.put(pending, now)
        except QueueFull as full:
            self._endings.ended(pending, full)
            return False
        pending.step(State.WAITING)
        self._coalescing.queued(pending)
        return True

    def cancel(self, pending: Pending, now: float) -> None:
        """The caller of a request is gone: no event follows. A waiting request is removed. For a request on the wire,
        the bus waits until the transaction ends."""
        if pending.done:
            return
        before = pending.state
        pending.step(State.ABANDONED if before is State.ON_WIRE else State.DONE)
        self.counters.cancelled += 1
        self.figures.cancelled(pending, now)
        if before is State.FOLLOWING:
            if (primary := self._coalescing.leave(pending)) is not None:
                self._coalescing.left(primary)
        elif before in QUEUED:
            self._queue.remove(pending)
            self._endings.ask_alone(self._coalescing.release(pending), now)
            self._advance(now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Takes bytes off the wire.

        :raises FrameError: if the byte stream is unusable and the connection must be cut; with a sentence that says
            why.
        """
        self.figures.called_before, self.figures.now = self.figures.now, now
        self._unheard = 0
        self._take_answers(self._wire.receive(data, now), now)
        if (attempt := self._wire.attempt) is not None and attempt.is_spoiled:
            self._end_of_wait(attempt, now)
        self._advance(now)

    def handle_timer(self, now: float) -> None:
        """Does what is due by now."""
        self.figures.called_before, self.figures.now = self.figures.now, now
        if now >= self._endings.refusals.due:
            self._endings.refusals_due(now)
        if now >= self._wire.silence_at:
            self._take_answers(self._wire.end_of_burst(now), now)
        if now >= self._endings.earliest:
            attempt = self._wire.attempt
            self._endings.overdue(None if attempt is None else attempt.request, now)
        if (attempt := self._wire.attempt) is not None:
            self._look_at(attempt, now)
        self._advance(now)

    def get_timer(self) -> float | None:
        """The time at which :meth:`handle_timer` is due; None if nothing is due."""
        attempt, silence_at = self._wire.attempt, self._wire.silence_at
        when = self._wake if attempt is None else attempt.next_step
        if self._endings.earliest < when:
            when = self._endings.earliest
        if silence_at < when:
            when = silence_at
        if self._endings.refusals.due < when:
            when = self._endings.refusals.due
        return None if when == math.inf else when

    def next_frame(self) -> Frame | None:
        """The next frame for the wire, which the owner sends now, or None."""
        return self.frames.popleft() if self.frames else None

    def next_event(self) -> Event | None:
        """The next event, or None."""
        return self.events.popleft() if self.events else None

    def watch_samples(self, wanted: bool) -> None:
        """Turns samples on or off. While they are off, they cost no work."""
        if wanted and self._samples is None:
            self._samples = Samples(self.events)
            self._learners.insert(0, self._samples)
        elif not wanted and self._samples is not None:
            self._learners.remove(self._samples)
            self._samples = None
            kept = [event for event in self.events if type(event) is not Sample]
            self.events.clear()
            self.events.extend(kept)

    def port_opened(self, now: float) -> None:
        """The port can send and receive bytes from now on."""
        self.figures.now = now
        self._closed, self._renewal = None, Renewal.NONE
        self._wire.opened(now, now + self._settings.connect_delay)
        self._advance(now)

    def port_opening(self) -> None:
        """The owner begins to open the port. Requests wait for the result, within their deadlines. The owner then calls
        :meth:`port_opened` or :meth:`port_lost`."""
        self._closed, self._renewal = None, Renewal.UNDER_WAY

    def connection_lost(self, now: float, why: str) -> None:
        """The connection ended, and the owner makes a new one; see :meth:`port_opening`. A read that was on the wire is
        sent again on the new connection, if its retries allow that. A write ends with an unknown outcome, unless it may
        be sent again."""
        if self._renewal is Renewal.WANTED:
            self.port_lost(now)
            return
        self._renewal = Renewal.UNDER_WAY
        live = self._interrupted(now)
        self._wake = math.inf
        if self._is_numbered:  # late replies end with their connection
            for pending in [one for one in self._queue if one.state is State.AWAITING_LATE_REPLY]:
                self._endings.failed_in_queue(pending, failures.no_reply(pending, self._name), now)
        if live is not None:
            self._retries.after_loss(live, why, now)
        self._advance(now)

    def _interrupted(self, now: float) -> Pending | None:
        """Ends the transaction on the wire without a reply.

        :return: the request that was on the wire, if any.
        """
        self.figures.now = now
        self.frames.clear()
        live = self._wire.lost()
        self._finish(Outcome.PORT_LOST, now)
        self._reply_cache.forget()
        self.figures.interrupted()
        return live

    def port_lost(self, now: float, why: str = "it was lost") -> None:
        """The port is lost. Every request ends with an error that says why, and so does every later one. The exception
        is the loss that is part of a wanted renewal: it ends no request."""
        if self._renewal is Renewal.WANTED:
            self._renewal = Renewal.UNDER_WAY
            return
        self._closed, self._renewal = why, Renewal.NONE
        if live := self._interrupted(now):
            self._endings.failed(live, failures.port_lost(live, self._name, why), now)
        self._endings.all_in_queue(lambda one: failures.port_lost(one, self._name, why), now)
        self._wake = self._endings.earliest = math.inf

    def frame_refused(self, why: str, now: float) -> None:
        """The owner could not send the frame that it took last, for the reason ``why``. The request of that frame ends,
        and the next request gets its turn."""
        self.figures.now = now
        if pending := self._wire.refused(now):
            self._finish(Outcome.NOT_SENT, now)
            if pending.state in QUEUED:  # the frame was the bus's own, ahead of that request
                self._queue.remove(pending)
            unsent = pending.is_read or not pending.attempts
            self._endings.failed(
                pending, failures.not_sent(pending, why) if unsent else failures.no_reply(pending, self._name), now
            )
        self._advance(now)

    def stop(self, now: float) -> None:
        """Starts no more transactions. Waiting requests end as stopping; the request on the wire ends as usual."""
        self.figures.now = now
        self._endings.is_stopping = True
        self._endings.refusals_due(math.inf)
        self._endings.all_in_queue(failures.stopping, now)
        self._advance(now)

    @property
    def renewal(self) -> Renewal:
        """Whether the owner should cut the connection and make a new one. Requests wait meanwhile. If the new
        connection fails, the owner calls :meth:`port_lost` again."""
        return self._renewal

    @property
    def is_busy(self) -> bool:
        """Whether a transaction runs: a frame of ours is on the wire, or its reply is awaited."""
        return self._wire.attempt is not None

    def is_full_for(self, caller: Caller, timeout: float, now: float) -> bool:
        """Whether a caller should hold back its next request until one of its requests here ends; see
        :meth:`lumina_twisted.ports.interfaces.Port.is_full_for`."""
        return self._admission.is_full_for(caller, timeout, now)

    def cost_of(self, request: Request, now: float) -> float:
        """Seconds for which a request would probably hold the bus; see
        :meth:`lumina_twisted.ports.interfaces.Port.cost_of`."""
        return self._admission.cost_of(Pending(request), now)

    @property
    def waiting(self) -> int:
        """The number of requests that wait for their turn."""
        return len(self._queue)

    @property
    def echoes(self) -> bool | None:
        """Whether the port receives what it sends; None while that is unknown."""
        return self._wire.echo.known

    # -- whose turn it is ----------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Puts the next request on the wire if the wire is free. If the request cannot go yet, notes when it could."""
        if (unpaid := self._unpaid) is not None:
            self._unpaid = None
            self._admission.pay(unpaid, now)
        if self._wire.attempt is not None:
            return
        self._wake = math.inf
        doubts = self._wire.doubts
        while self._queue.size and self._renewal is Renewal.NONE:
            ready_at = _NOT_BEFORE  # enough unless a read follows another, or a reply may still come
            if self._coalescing.primary_of:
                ready_at = self._coalescing.ready_at
            elif doubts.late.count or doubts.surplus.convicted:
                ready_at = doubts.ready_at
            pending, self._wake = self._queue.first(now, ready_at)
            if pending is None or self._go_or_wait(pending, now):
                return
            self._wake = math.inf

    def _go_or_wait(self, pending: Pending, now: float) -> bool:
        """Sends the request whose turn it is, or waits for the silence before it.

        :return: False if it does neither, because the unit is offline or the request has too little time left.
        """
        wire = self._wire
        if self.health.silent and self.health.refuses(pending, now):
            self._endings.remove_for_offline_unit(pending, now)
            return False
        needs_canary = False
        if wire.doubts.late.count or wire.doubts.surplus.unproven:
            needs_canary = wire.doubts.needs_canary(pending)
        if needs_canary and (other := self._instead_of_a_canary(pending, now)) is not None:
            pending, needs_canary = other, False
        silent_from = wire.quiet_from + self._pace.gap(pending)
        needs_probe = wire.echo.known is None and wire.echo.needs_probe(pending)
        start = silent_from if silent_from > now else now
        if start + self._admission.time_for(pending, needs_canary or needs_probe, now) > pending.deadline:
            self._no_time_for(pending, now)
            return False
        if silent_from > now:
            self._wake = silent_from
            return True
        if needs_canary:
            self._queue.pass_turn(pending)
            self._begin(wire.doubts.canary_for(pending), silent_from, now)
        elif needs_probe:
            pending.is_probed = True
            self._queue.pass_turn(pending)
            self._begin(probe_for(pending), silent_from, now)
        else:
            self._queue.take(pending)
            if self._settings.merges and (block := self._coalescing.block_of(pending, now)) is not None:
                pending = block
                self._endings.earliest = min(self._endings.earliest, block.ends_at)
            self._begin(pending, silent_from, now)
        return True

    def _goes_at_once(self, pending: Pending, now: float) -> bool:
        """Sends a new request at once, if no other request waits, the wire is free and nothing blocks it. On a bus that
        is not busy, most requests take this shortcut. It skips the queue's turns, coalescing and merging, as there is
        no other request. If anything has to be checked, such as a late reply in doubt, the request takes the normal way
        through the queue, with the same result."""
        wire = self._wire
        if wire.attempt is not None or self._unpaid is not None or self._renewal is not Renewal.NONE:
            return False
        doubts = wire.doubts
        if doubts.late.count or doubts.surplus.convicted or doubts.surplus.needs_proof(pending):
            return False
        silent_from = wire.quiet_from + self._pace.gap(pending)
        if silent_from > now or now + pending.least_time > pending.deadline:
            return False
        if wire.echo.known is None and wire.echo.needs_probe(pending):
            return False
        self._queue.pass_through(pending, now)
        self.figures.queued(pending)
        if pending.ends_at < self._endings.earliest:
            self._endings.earliest = pending.ends_at
        self._begin(pending, silent_from, now)
        return True

    def _begin(self, pending: Pending, silent_from: float, now: float) -> None:
        """Begins the transaction of a request: its frame leaves."""
        has_caller = pending.state is not State.ABANDONED_RETRY and pending.ahead_of is None
        pending.step(State.ON_WIRE if has_caller else State.ABANDONED)
        self.frames.append(self._wire.send(pending, now))
        self._running = attempt = self._wire.attempt
        assert attempt is not None, "it has begun"
        for learner in self._learners:
            learner.began(pending, silent_from, attempt.sent_until)

    def _no_time_for(self, pending: Pending, now: float) -> None:
        """The request cannot be answered before its deadline if it is sent now. If it was sent before, it keeps waiting
        for the late reply to that; else it ends."""
        if pending.attempts:
            pending.not_before = math.inf
        else:
            self._endings.failed_in_queue(pending, failures.expired(pending, self._name), now)

    def _instead_of_a_canary(self, pending: Pending, now: float) -> Pending | None:
        """A caller's waiting request to the same unit that can go now and needs no canary: its reply proves as much."""
        return next((
            one for one in self._queue
            if one.unit == pending.unit and one.serial == pending.serial
            and self._coalescing.ready_at(one) <= now and not self._wire.doubts.needs_canary(one)
            and not self._wire.echo.needs_probe(one) and self._queue.is_next_of_its_own(one, ())
        ), None)

    def _refusal(self, pending: Pending) -> ModbusError | None:
        if self._endings.is_stopping:
            return failures.stopping(pending)
        if pending.is_broadcast and pending.is_read:
            return failures.broadcast_read(pending)
        if self._closed is not None:
            return failures.port_closed(pending, self._name, self._closed)
        return None

    # -- how transactions end ------------------------------------------------------------------------------------

    def _finish(self, outcome: Outcome, now: float, reply: bytes = b"") -> None:
        """The running transaction is over. Each learner gets the record of it."""
        attempt, self._running = self._running, None
        if attempt is not None:
            transaction = Finished(attempt.request, outcome, reply, attempt.began, attempt.sent_until, now)
            if outcome not in COST_NOBODY:
                self._unpaid = transaction
            for learner in self._learners:
                learner.finished(transaction)

    def _take_answers(self, answers: Iterable[Answered], now: float) -> None:
        for pending, pdu, is_late in answers:
            self.replies_heard += 1
            if is_late:
                if pending.state in QUEUED:
                    self._queue.remove(pending)
                transaction = Finished(pending, Outcome.LATE_REPLY, pdu, now, now, now)
                for learner in self._learners:
                    learner.finished(transaction)
            else:
                self._finish(Outcome.REPLY, now, pdu)
            is_exception = pdu[0] >= EXCEPTION_FLAG
            if is_exception:
                if not is_late and self._retries.if_busy(pending, pdu[1], now):
                    continue
                if isinstance(pending, Block):
                    self._coalescing.merging.refused(pending, pdu[1], now)
            self._endings.answered(pending, pdu, now, is_exception)
        if self._wire.hopeless:  # it is proven that no reply comes, and they have no retries left
            hopeless, self._wire.hopeless = self._wire.hopeless, []
            for pending in hopeless:
                self._endings.failed_in_queue(pending, failures.no_reply(pending, self._name), now)

    def _look_at(self, attempt: Attempt, now: float) -> None:
        """Does what is due by time for the running transaction."""
        pending = attempt.request
        if pending.is_broadcast:
            if now >= attempt.sent_until:
                if self._samples is not None:
                    self._samples.broadcast(pending)
                self._endings.broadcast(pending)  # nothing more can be learned; the bus stays silent for longer
            if now >= attempt.expires:
                self._wire.turnaround_over()
                self._finish(Outcome.BROADCAST, now)
                pending.step(State.DONE)
            return
        is_over = now >= attempt.expires
        if is_over or (self._wire.is_spoiled(attempt, now) and self._retries.may_be_sent_again(pending)):
            self._take_answers(self._wire.end_of_burst(now), now)
            if self._wire.attempt is attempt:
                self._end_of_wait(attempt, now)

    def _end_of_wait(self, attempt: Attempt, now: float) -> None:
        """The wait for the reply is over, and no reply was accepted."""
        if (held := self._wire.end_of_hold(attempt)) is not None:
            self._take_answers((held,), now)
            return
        unanswered = self._wire.response_timeout(attempt, now)
        pending = unanswered.request
        if attempt.held is not None:  # the held reply counts if a canary proves that nothing else comes
            self._finish(Outcome.HELD, now)
            if pending.done:  # without a caller, no canary is sent for it; its followers are sent by themselves
                self._endings.failed(pending, failures.no_reply(pending, self._name), now)
            else:
                pending.step(State.RETRY_LATER)
                self._queue.put_back(pending, now)
            return
        is_offline = not unanswered.is_damaged and self.health.is_offline(pending)
        self._finish(Outcome.NO_REPLY, now)
        self._note_unheard()
        if pending.kind is Kind.CANARY:
            self._retries.canary_failed(pending, now)
        if pending.done:
            self._endings.failed(pending, failures.no_reply(pending, self._name), now)
        else:
            self._retries.after_no_reply(unanswered, now, is_offline)
        if is_offline:
            self._endings.unit_offline(pending.unit, now)

    def _note_unheard(self) -> None:
        self._unheard += 1
        is_deaf = self._over_stream and self._unheard % DEAF == 0
        if (self._renews_after_silence or is_deaf) and self._renewal is Renewal.NONE:
            self._renewal = Renewal.WANTED
            self.counters.renewals += 1
            self.events.append(RenewalWanted(self._unheard))
