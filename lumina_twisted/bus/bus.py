"""The bus: one port's requests, taken in turn, put on the wire one at a time, and each ended exactly once. Floor 1.

Sans-IO. Whoever owns the port calls :meth:`Bus.submit`, :meth:`Bus.cancel`, :meth:`Bus.receive_data` and
:meth:`Bus.handle_timer` with the present time, and after each call takes what came of it: frames for the wire
(:meth:`Bus.next_frame`, to be written at once), events (:meth:`Bus.next_event`), and the time of the next call that
is due (:meth:`Bus.get_timer`). Times are seconds of any clock that never goes back.

Which module holds which rule: `transaction` the states, `queue` the turns, `owed` the late replies, `echo` the echo,
`retry` the retries, `pace` the times, `ear` what is heard, `outcomes` how requests end, `modbus.reply` what a reply
must look like. This one joins them.

A bus outlives its port: what it learned of its units stays when an adapter is replugged.
"""

from __future__ import annotations

import math
from collections import deque

from lumina_twisted.bus import failures
from lumina_twisted.bus.counters import Counters
from lumina_twisted.bus.ear import Ear
from lumina_twisted.bus.echo import Echo, probe_for, probe_shape
from lumina_twisted.bus.events import Event, Frame, Request
from lumina_twisted.bus.outcomes import Outcomes
from lumina_twisted.bus.owed import Debt, OwedReplies
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.bus.retry import Backoff, allowed_retries
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.transaction import TABLE, Attempt, Signal, State
from lumina_twisted.errors import ModbusError, QueueFull
from lumina_twisted.modbus.rtu import Decoded


class Bus:
    """One transaction at a time for everybody behind one port.

    :param settings: how it takes turns, waits and retries.
    :param name: what its sentences call it.
    """

    def __init__(self, settings: BusSettings, name: str = "the port") -> None:
        self.counters = Counters()
        self._name = name
        self._settings = settings
        self._pace = Pace(settings)
        self._queue = RequestQueue(settings.queue, settings.queue_per_client)
        self._backoff = Backoff(settings.backoff, settings.backoff_factor)
        self._echo = Echo(settings.echo)
        self._owed = OwedReplies()
        self._ear = Ear()
        self._outcomes = Outcomes(self.counters)
        self._state = State.IDLE
        self._attempt: Attempt | None = None
        self._last_frame = b""
        self._closed: str | None = "it has not been opened yet"
        self._stopping = False
        self._quiet_from = 0.0  # the end of the last byte on the wire
        self._wake = math.inf  # when a waiting request may be able to go
        self._earliest_end = math.inf  # no request ends before
        self._frames: deque[Frame] = deque()

    # -- what a port's owner calls -------------------------------------------------------------------------------

    def submit(self, request: Request, now: float) -> None:
        """Takes a request; exactly one event will end it, unless it is cancelled."""
        self.counters.requests += 1
        if error := self._refusal(request):
            self._outcomes.failed(request, error)
            return
        try:
            self._queue.put(request)
        except QueueFull as full:
            self._outcomes.failed(request, full)
            return
        self._earliest_end = min(self._earliest_end, request.ends_at)
        self._advance(now)

    def cancel(self, request: Request, now: float) -> None:
        """Its caller is gone: no event will come. A waiting request is removed; one on the wire is waited out."""
        if request.done:
            return
        request.done = True
        self.counters.cancelled += 1
        if not self._is_on_wire(request):
            self._queue.remove(request)
            self._advance(now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Takes bytes off the wire."""
        attempt = self._attempt
        self._quiet_from = now if attempt is None else max(now, attempt.sent_until)
        for found in self._ear.receive(data, now):
            self._on_frame(found, now)
        self._ear.note_silence(self._attempt, now, self._pace.t3_5)
        self._advance(now)

    def handle_timer(self, now: float) -> None:
        """Does what is due by now."""
        if now >= self._ear.silence_at:
            self._end_of_burst(now)
        if now >= self._earliest_end:
            self._end_overdue(now)
        attempt = self._attempt
        if attempt is not None and attempt.request.is_broadcast and now >= attempt.sent_until:
            self._outcomes.broadcast(attempt.request)  # all there is to know; the bus keeps still longer
        if attempt is not None and now >= attempt.expires:
            self._on_expired(attempt, now)
        self._advance(now)

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` is due, or None if nothing is waited for."""
        when = min(self._earliest_end, self._ear.silence_at)
        when = min(when, self._wake if self._attempt is None else self._attempt.next_step)
        return None if when == math.inf else when

    def next_frame(self) -> Frame | None:
        """The next frame for the wire, which leaves now, or None."""
        return self._frames.popleft() if self._frames else None

    def next_event(self) -> Event | None:
        """The next event, or None."""
        return self._outcomes.next()

    def port_opened(self, now: float) -> None:
        """Bytes can be sent and heard from now on."""
        self._closed = None
        self._ear.clear()
        self._await(None)
        self._quiet_from = now + self._settings.connect_delay
        self._advance(now)

    def port_lost(self, now: float, why: str = "it was lost") -> None:
        """No more bytes; every request ends with an error that says why, and so do those to come."""
        self._closed = why
        self._state = TABLE[self._state, Signal.PORT_LOST]
        self._echo.reset()
        self._frames.clear()
        self._ear.clear()
        attempt, self._attempt = self._attempt, None
        if attempt is not None and not attempt.request.is_broadcast:
            self._note_owed(attempt)  # its reply may still come when the port is back
            self._outcomes.failed(attempt.request, failures.port_lost(attempt.request, self._name, why))
        for request in list(self._queue):
            self._queue.remove(request)
            self._outcomes.failed(request, failures.port_lost(request, self._name, why))
        self._wake = self._earliest_end = math.inf

    def frame_refused(self, error: ModbusError, now: float) -> None:
        """The frame just taken could not be sent: its request ends with ``error``, the next one's turn comes."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        self._state = TABLE[self._state, Signal.SEND_FAILED]
        self._outcomes.failed(attempt.request, error)
        self._advance(now)

    def stop(self, now: float) -> None:
        """Starts nothing new: what waits ends as stopping; what is on the wire ends as it would."""
        self._stopping = True
        for request in list(self._queue):
            self._queue.remove(request)
            self._outcomes.failed(request, failures.stopping(request))
        self._advance(now)

    @property
    def is_busy(self) -> bool:
        """Whether a frame of ours is on the wire or waits for its reply."""
        return self._attempt is not None

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._queue)

    @property
    def echoes(self) -> bool | None:
        """Whether the port hears what it sends; None while that is not known."""
        return self._echo.known

    # -- whose turn it is ----------------------------------------------------------------------------------------

    def _refusal(self, request: Request) -> ModbusError | None:
        if self._stopping:
            return failures.stopping(request)
        if request.is_broadcast and request.is_read:
            return failures.broadcast_read(request)
        if self._closed is not None:
            return failures.port_closed(request, self._name, self._closed)
        return None

    def _ready_at(self, request: Request) -> float:
        """When a request may go, but for the silence before it: to wait for that is part of its turn, or those that
        need less of it would always be first."""
        ready = request.not_before
        if not len(self._owed):
            return ready
        if self._echo.needs_probe(request):
            ready = max(ready, self._owed.lapse_of(probe_shape(request)))
        return max(ready, self._owed.blocks_until(request))

    def _advance(self, now: float) -> None:
        """Puts the next request on the wire if the bus is idle, and notes when it could be if it cannot yet."""
        self._wake = math.inf
        if self._attempt is not None or not len(self._queue):
            return
        silent = self._quiet_from + self._pace.shortest_gap
        if silent > now:
            self._wake = silent
            return
        request, self._wake = self._queue.first(now, self._ready_at)
        while request is not None:
            silent = self._quiet_from + self._pace.gap(request)
            if max(now, silent) + self._pace.least_time(request) <= request.deadline:
                self._go_or_wait(request, silent, now)
                return
            self._queue.remove(request)
            self._outcomes.failed(request, failures.expired(request, self._name))
            request, self._wake = self._queue.first(now, self._ready_at)

    def _go_or_wait(self, request: Request, silent: float, now: float) -> None:
        if silent > now:
            self._wake = silent
        else:
            self._queue.take(request)
            self._send(request, now)

    def _send(self, request: Request, now: float) -> None:
        is_probe = self._echo.needs_probe(request)
        if is_probe:
            self._queue.put_back(request)
            request = probe_for(request)
        if len(self._owed):
            self._owed.purge(now, request)
        self._ear.clear()
        sent_until = now + self._pace.wire_time(request)
        expires = sent_until + self._pace.response_timeout(request)
        attempt = Attempt(request, sent_until, expires, self._echo.known, self._ear.junk, is_probe)
        request.attempts += 1
        self.counters.frames += 1
        self._state = TABLE[self._state, Signal.BROADCAST_SENT if request.is_broadcast else Signal.REQUEST_SENT]
        self._attempt = attempt
        self._quiet_from = sent_until
        self._pace.left_with(request.serial)
        self._last_frame = request.frame
        self._await(attempt)
        self._frames.append(Frame(request.frame, request.serial))

    def _await(self, attempt: Attempt | None) -> None:
        owed = tuple(debt.pattern for debt in self._owed) if len(self._owed) else ()
        listens = attempt is not None and not attempt.request.is_broadcast
        self._ear.wait_for(attempt.patterns + owed if attempt is not None and listens else owed)

    # -- what is heard -------------------------------------------------------------------------------------------

    def _end_of_burst(self, now: float) -> None:
        for found in self._ear.end_of_burst():
            self._on_frame(found, now)

    def _on_frame(self, found: Decoded, now: float) -> None:
        attempt = self._attempt
        if attempt is not None and found.pattern is not None:
            if found.pattern is attempt.request.pattern:
                self._on_reply(attempt, found.frame, now)
                return
            if found.pattern is attempt.request.pattern.echo:
                self._on_echo(attempt)
                return
        debt = None if found.pattern is None else self._owed.by_pattern(found.pattern)
        if debt is not None:
            self._on_late(debt, found.frame, now)
        else:
            self._on_foreign(found.frame)

    def _on_echo(self, attempt: Attempt) -> None:
        self.counters.echoes += 1
        if attempt.echo and self._ear.junk > attempt.junk:
            self.counters.collisions += 1
        attempt.echoed = attempt.echo = True
        if attempt.request.pattern.echo is not None:
            self._echo.learn(True)

    def _on_reply(self, attempt: Attempt, frame: bytes, now: float) -> None:
        self._state = TABLE[self._state, Signal.FRAME_RECEIVED]
        if self._is_reply(attempt, frame, now):
            self._state = TABLE[self._state, Signal.REPLY_ACCEPTED]
            self._close_attempt(attempt)
            self._quiet_from = now
            self._owed.in_time(attempt.request.unit)
            if len(self._owed):
                self._owed.extend(attempt, self._window(attempt.request))
            self._await(None)
            self._outcomes.answered(attempt.request, frame)
        else:
            self._state = TABLE[self._state, Signal.FRAME_REFUSED]

    def _is_reply(self, attempt: Attempt, frame: bytes, now: float) -> bool:
        """Rules 1, 2 and 4, for a frame that has the form of the reply."""
        request = attempt.request
        if request.pattern.is_exception(frame):
            debt = self._owed.of_function(request, now)
            if debt is not None:
                self._on_late(debt, frame, now)
            return debt is None
        if attempt.lacks_echo:
            if frame == request.frame:
                self._on_echo(attempt)
                return False
            if request.pattern.can_equal_request or not self._echo.is_learned:
                self.counters.foreign += 1
                return False
        if request.pattern.echo is not None and not attempt.echoed and self._ear.junk == attempt.junk:
            self._echo.learn(False)
        return True

    def _on_late(self, debt: Debt, frame: bytes, now: float) -> None:
        if debt.awaits_echo and frame == debt.owner.frame:
            debt.awaits_echo = False  # the first copy is the echo; only a second one is the reply
            self.counters.echoes += 1
            return
        self.counters.late += 1
        self._owed.settle(debt, now)
        self._await(self._attempt)
        if not debt.owner.done and not self._is_on_wire(debt.owner):
            self._queue.remove(debt.owner)
            self._outcomes.answered(debt.owner, frame)

    def _on_foreign(self, frame: bytes) -> None:
        self.counters.foreign += 1
        if frame == self._last_frame:
            self._echo.doubt()

    # -- how requests end ----------------------------------------------------------------------------------------

    def _on_expired(self, attempt: Attempt, now: float) -> None:
        if attempt.request.is_broadcast:
            self._state = TABLE[self._state, Signal.TURNAROUND_OVER]
            self._close_attempt(attempt)
            return
        self._end_of_burst(now)
        if self._attempt is attempt:
            self._on_response_timeout(attempt, now)

    def _on_response_timeout(self, attempt: Attempt, now: float) -> None:
        self._state = TABLE[self._state, Signal.RESPONSE_TIMEOUT]
        request = attempt.request
        debt = None if self._was_damaged(attempt, now) else self._note_owed(attempt)
        self._close_attempt(attempt)
        self._await(None)
        if attempt.is_probe and self._echo.known is None:
            self._echo.learn(False)
        if not request.done:
            self._retry_or_end(request, debt, now)
        self._state = TABLE[self._state, Signal.ERROR_PROCESSED]

    def _was_damaged(self, attempt: Attempt, now: float) -> bool:
        """Whether the reply did come, in a state that proves nothing: then no other is owed."""
        pattern = attempt.request.pattern
        if self._ear.was_damaged(pattern):
            self.counters.crc_errors += 1
        return not attempt.lacks_echo and self._ear.came_to_nothing(pattern, now)

    def _note_owed(self, attempt: Attempt) -> Debt:
        request = attempt.request
        debt = self._owed.add(request, attempt.expires, self._window(request))
        debt.awaits_echo = attempt.lacks_echo and request.pattern.can_equal_request
        return debt

    def _window(self, request: Request) -> float:
        return self._owed.window(
            request.unit, self._pace.response_timeout(request), self._pace.reply_time(request)
        )

    def _retry_or_end(self, request: Request, debt: Debt | None, now: float) -> None:
        """Asks again if that is allowed; else waits for the late reply as long as one is reckoned with."""
        if self._stopping:
            self._outcomes.failed(request, failures.no_reply(request, self._name))
        elif request.attempts <= allowed_retries(request, self._settings):
            self.counters.retries += 1
            request.not_before = self._retry_at(request, debt, now)
            self._queue.put_back(request)
        elif debt is None:
            self._outcomes.failed(request, failures.no_reply(request, self._name))
        else:
            request.not_before = math.inf
            request.ends_at = min(request.deadline, debt.lapses)
            self._earliest_end = min(self._earliest_end, request.ends_at)
            self._queue.put_back(request)

    def _retry_at(self, request: Request, debt: Debt | None, now: float) -> float:
        """After the late window, if the caller can wait for that: a second request inside it costs the bus a
        transaction when the first reply is only late, and leaves in doubt which of the two a reply answers."""
        pause = self._backoff.delay(request.attempts)
        if debt is not None and debt.lapses + pause + self._pace.least_time(request) < request.deadline:
            return debt.lapses + pause
        return now + pause

    def _end_overdue(self, now: float) -> None:
        pending = [*self._queue]
        if self._attempt is not None and not self._attempt.request.is_broadcast:
            pending.append(self._attempt.request)
        self._earliest_end = math.inf
        for request in pending:
            if request.done:
                continue
            if request.ends_at > now:
                self._earliest_end = min(self._earliest_end, request.ends_at)
                continue
            if not self._is_on_wire(request):
                self._queue.remove(request)
            self._outcomes.failed(request, failures.expired(request, self._name))

    def _close_attempt(self, attempt: Attempt) -> None:
        """The transaction is over; an echo that never came whole was hit by something."""
        heard = self._ear.junk + self._ear.unread > attempt.junk
        if attempt.echo and not attempt.echoed and heard:
            self.counters.collisions += 1
        self.counters.junk_bytes = self._ear.junk
        self._attempt = None

    def _is_on_wire(self, request: Request) -> bool:
        return self._attempt is not None and self._attempt.request is request
