"""One transaction at a time: what was sent, what is heard, and whether it is the reply. Floor 1.

The rules of a reply (1, 2 and 4 of the core) are applied here; whose turn it is, and what becomes of a request that
got no reply, is the bus's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lumina_twisted.bus.counters import Counters
from lumina_twisted.bus.ear import Ear
from lumina_twisted.bus.echo import Echo, probe_shape
from lumina_twisted.bus.events import Frame, Request
from lumina_twisted.bus.health import Health
from lumina_twisted.bus.owed import Debt, OwedReplies
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.transaction import TABLE, Attempt, Signal, State
from lumina_twisted.errors import GatewayTargetDeviceFailedToRespond
from lumina_twisted.modbus.rtu import Decoded


class Answered(NamedTuple):
    """A frame that is the reply to ``request``; ``is_late`` if its response timeout was over."""

    request: Request
    frame: bytes
    is_late: bool


class Unanswered(NamedTuple):
    """A request whose response timeout is over, and what it is owed."""

    request: Request
    debt: Debt


class Wire:
    """The transaction that runs, and all that was learned from those before.

    :param health: told of each frame that a unit sends.
    :param over_stream: whether replies come over a stream, which delays and never loses.
    :param numbered: whether each reply says whose it is.
    """

    def __init__(
        self, settings: BusSettings, pace: Pace, counters: Counters, health: Health, over_stream: bool = False,
        numbered: bool = False,
    ) -> None:
        self.attempt: Attempt | None = None
        self.echo = Echo(settings.echo)
        self.quiet_from = 0.0  # the end of the last byte on the wire
        self._pace = pace
        self._counters = counters
        self._health = health
        self._serial = settings.serial  # of the last frame
        self._owed = OwedReplies(over_stream, numbered)
        self._ear = Ear()
        self._state = State.IDLE
        self._last_frame = b""
        self._number = 0  # frames that have left

    # -- what is sent --------------------------------------------------------------------------------------------

    def ready_at(self, request: Request) -> float:
        """When a request may go, but for the silence before it: to wait for that is part of its turn, or those that
        need less of it would always be first."""
        if not self._owed.debts:
            return request.not_before
        ready = max(request.not_before, self._owed.blocks_until(request))
        if self.echo.needs_probe(request):
            ready = max(ready, self._owed.lapse_of(probe_shape(request)))
        return ready

    def needs_renewal(self, request: Request) -> bool:
        """Whether ``request`` may go over a new connection only: on this one its reply could be another's."""
        return bool(self._owed.debts) and self._owed.is_open(request)

    def send(self, request: Request, now: float) -> Frame:
        """Begins a transaction.

        :return: the frame, which leaves now.
        """
        if self._owed.debts:
            self._owed.purge(now, request)
        self._ear.clear()
        sent_until = now + self._pace.wire_time(request)
        expires = sent_until + self._pace.response_timeout(request)
        self._number += 1
        self.attempt = Attempt(request, now, sent_until, expires, self.echo.known, self._ear.junk, self._number)
        self._signal(Signal.BROADCAST_SENT if request.is_broadcast else Signal.REQUEST_SENT)
        request.attempts += 1
        request.remark = ""
        self._counters.frames += 1
        self._pace.left_with(request.serial)
        self.quiet_from = sent_until
        self._last_frame, self._serial = request.frame, request.serial
        self._health.sent(request)
        self._wait_for_frames()
        return Frame(request.frame, request.serial)

    def is_on_wire(self, request: Request) -> bool:
        """Whether the transaction that runs is this request's."""
        return self.attempt is not None and self.attempt.request is request

    # -- what is heard -------------------------------------------------------------------------------------------

    @property
    def silence_at(self) -> float:
        """When silence, if it lasts until then, may end what has been heard."""
        return self._ear.silence_at

    def receive(self, data: bytes, now: float) -> Iterator[Answered]:
        """Takes bytes off the wire; the answers that they complete."""
        attempt = self.attempt
        self.quiet_from = now if attempt is None else max(now, attempt.sent_until)
        yield from self._answers(self._ear.receive(data, now), now)
        self._ear.note_silence(self.attempt, now, self._pace.t3_5)

    def end_of_burst(self, now: float) -> Iterator[Answered]:
        """The wire has been silent for T3.5; the answers that this completes."""
        yield from self._answers(self._ear.end_of_burst(), now)

    def _answers(self, frames: Iterable[Decoded], now: float) -> Iterator[Answered]:
        for found in frames:
            answered = self._on_frame(found, now)
            if answered is not None:
                yield answered

    def _on_frame(self, found: Decoded, now: float) -> Answered | None:
        attempt = self.attempt
        if attempt is not None and found.pattern is not None:
            if found.pattern is attempt.request.pattern:
                return self._on_reply(attempt, found.frame, now)
            if found.pattern is attempt.echo_pattern:
                self._on_echo(attempt)
                self._wait_for_frames()
                return None
        debt = None if found.pattern is None else self._owed.by_pattern(found.pattern)
        if debt is not None:
            return self._on_late(debt, found.frame, now)
        self._on_foreign(found.frame, now)
        return None

    def _on_reply(self, attempt: Attempt, frame: bytes, now: float) -> Answered | None:
        """A frame that has the form of the reply, rules 1, 2 and 4. Exceptions look alike whatever was asked: while
        another reply of this unit and function is owed, nobody can tell whose one is."""
        request = attempt.request
        self._signal(Signal.FRAME_RECEIVED)
        if request.pattern.is_exception(frame) and self._owed.to_others(request, now):
            self._signal(Signal.FRAME_REFUSED)
            self._counters.late += 1
            self._health.heard(request.unit, request.serial, now)
            return None
        if not self._is_proof(attempt, frame):
            self._signal(Signal.FRAME_REFUSED)
            return None
        self._signal(Signal.REPLY_ACCEPTED)
        self._note_health(attempt, frame, now)
        self._pace.replied(request, attempt.sent_until, now, len(frame))
        self._close()
        # what answers a second attempt may be the reply to the first, before the second has left whole
        self.quiet_from = now if request.attempts < 2 else max(now, attempt.sent_until)
        self._owed.in_time(request.unit)
        if self._owed.debts:
            self._owed.extend(attempt, self._window(request))
            self._owed.heard(request, attempt.number)
        self._wait_for_frames()
        return Answered(request, frame, is_late=False)

    def _note_health(self, attempt: Attempt, frame: bytes, now: float) -> None:
        """Another gateway may answer for its unit, that it does not."""
        request = attempt.request
        is_from_gateway = frame[2] == GatewayTargetDeviceFailedToRespond.code and request.pattern.is_exception(frame)
        if is_from_gateway:
            self._health.in_vain(request, now - attempt.began, now)
        else:
            self._health.heard(request.unit, request.serial, now)

    def _is_proof(self, attempt: Attempt, frame: bytes) -> bool:
        """Whether an echoing port leaves no doubt that this is more than an echo."""
        request = attempt.request
        if attempt.lacks_echo and not request.pattern.is_exception(frame):
            if frame == request.frame:
                self._on_echo(attempt)
                return False
            if request.pattern.can_equal_request or not self.echo.is_learned:
                self._counters.foreign += 1
                return False
        if request.pattern.echo is not None and not attempt.echoed and self._ear.junk == attempt.junk:
            self.echo.learn(False)
        return True

    def _on_echo(self, attempt: Attempt) -> None:
        self._counters.echoes += 1
        if attempt.echo and self._ear.junk > attempt.junk:
            self._counters.collisions += 1
        attempt.echoed = attempt.echo = True
        if attempt.echo_pattern is not None:
            self.echo.learn(True)

    def _on_late(self, debt: Debt, frame: bytes, now: float) -> Answered | None:
        if debt.awaits_echo and frame == debt.owner.frame:
            debt.awaits_echo = False  # the first copy is the echo; only a second one is the reply
            self._counters.echoes += 1
            return None
        self._health.heard(debt.owner.unit, debt.owner.serial, now)
        if debt.owner.pattern.is_exception(frame) and self._owed.to_others(debt.owner, now):
            self._counters.late += 1  # of several that are owed: nobody can tell whose it is
            return None
        self._counters.late += 1
        if now > debt.lapses and not debt.is_open:
            debt.owner.left_at = None  # it may be the reply to what was asked since
        self._owed.heard(debt.owner, debt.first)
        self._owed.settle(debt, now)
        self._wait_for_frames()
        return None if self.is_on_wire(debt.owner) else Answered(debt.owner, frame, is_late=True)

    def _on_foreign(self, frame: bytes, now: float) -> None:
        self._counters.foreign += 1
        if frame == self._last_frame:
            self.echo.doubt()
        else:
            self._health.heard(frame[0], self._serial, now)

    # -- how a transaction ends without a reply ------------------------------------------------------------------

    def turnaround_over(self) -> None:
        """The devices have carried the broadcast out."""
        self._signal(Signal.TURNAROUND_OVER)
        self._close()

    def response_timeout(self, attempt: Attempt, now: float) -> Unanswered:
        """No reply came in time."""
        self._signal(Signal.RESPONSE_TIMEOUT)
        debt = self._note_owed(attempt)
        debt.is_damaged = bool(attempt.request.remark) or self._was_damaged(attempt, now)
        if debt.is_damaged:
            self._health.nothing_learned()
        else:
            self._health.in_vain(attempt.request, now - attempt.began, now)
            self._pace.in_vain(attempt.request)
        heard = self._ear.junk + self._ear.unread > attempt.junk
        self._close()
        self._wait_for_frames()
        if attempt.request.probe_for is not None and self.echo.known is None and not heard:
            self.echo.learn(False)  # neither an echo nor anything else: nothing echoes
        self._signal(Signal.ERROR_PROCESSED)
        return Unanswered(attempt.request, debt)

    def opened(self, now: float, quiet_from: float) -> None:
        """The port is open; whatever was heard before means nothing."""
        self._ear.clear()
        self._owed.renewed(now)
        self._wait_for_frames()
        self.quiet_from = quiet_from

    def lost(self) -> Request | None:
        """The port is gone.

        :return: the request that was on the wire.
        """
        self._signal(Signal.PORT_LOST)
        self._health.nothing_learned()
        self.echo.reset()  # the adapter that comes back may be another
        self._ear.clear()
        attempt, self.attempt = self.attempt, None
        if attempt is None:
            return None
        if not attempt.request.is_broadcast:
            self._note_owed(attempt)  # its reply may still come when the port is back
        return attempt.request

    def refused(self, now: float) -> Request | None:
        """The frame could not be sent.

        :return: the request that it was sent for.
        """
        attempt, self.attempt = self.attempt, None
        if attempt is None:
            return None
        self._signal(Signal.SEND_FAILED)
        self._health.nothing_learned()
        self._wait_for_frames()
        attempt.request.attempts -= 1
        self._counters.frames -= 1
        self.quiet_from = min(self.quiet_from, now)
        return attempt.request.probe_for or attempt.request

    def _was_damaged(self, attempt: Attempt, now: float) -> bool:
        """Whether the reply seems to have come, in a state that proves nothing. On a port that may echo, an echo that
        was hit looks the same."""
        pattern = attempt.request.pattern
        if self._ear.was_damaged(pattern):
            self._counters.crc_errors += 1
        may_be_echo = attempt.echo is not False and not attempt.echoed
        return not may_be_echo and self._ear.came_to_nothing(pattern, now)

    def _note_owed(self, attempt: Attempt) -> Debt:
        request = attempt.request
        debt = self._owed.add(request, attempt.expires, self._window(request), attempt.number)
        debt.awaits_echo = attempt.lacks_echo and request.pattern.can_equal_request
        return debt

    def _window(self, request: Request) -> float:
        return self._owed.window(
            request.unit, self._pace.longest_timeout(request), self._pace.reply_time(request)
        )

    def _close(self) -> None:
        """The transaction is over; an echo that never came whole was hit by something."""
        attempt, self.attempt = self.attempt, None
        assert attempt is not None, "a transaction runs"
        heard = self._ear.junk + self._ear.unread > attempt.junk
        if attempt.echo and not attempt.echoed and heard:
            self._counters.collisions += 1
        self._counters.junk_bytes = self._ear.junk

    def _wait_for_frames(self) -> None:
        owed = tuple(debt.pattern for debt in self._owed) if self._owed.debts else ()
        attempt = self.attempt
        self._ear.wait_for(owed if attempt is None else attempt.patterns + owed)

    def _signal(self, signal: Signal) -> None:
        self._state = TABLE[self._state, signal]
