"""One transaction at a time: what was sent, what is heard, and whether it is the reply. Floor 1.

The rules of a reply (1, 2 and 4 of the core) are applied here; whose turn it is, and what becomes of a request that
got no reply, is the bus's business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from lumina_twisted.access.caller import Caller
from lumina_twisted.bus.canary import Canaries
from lumina_twisted.bus.ear import LONGEST_PAUSE, PAUSE_AFTER_ALL, Ear
from lumina_twisted.bus.echo import Echo, probe_shape
from lumina_twisted.bus.events import Finding, Findings, Frame, Request
from lumina_twisted.bus.health import Health
from lumina_twisted.bus.late_replies import LateReplies, LateReply
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.bus.pending import State as PendingState
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.surplus import Surplus
from lumina_twisted.bus.transaction import TABLE, Attempt, Signal, State
from lumina_twisted.errors import GatewayTargetDeviceFailedToRespond
from lumina_twisted.framing.base import Decoded, Framing, Rejected
from lumina_twisted.framing.rtu import OVERHEAD
from lumina_twisted.modbus.functions import BROADCAST, EXCEPTION_FLAG, is_request
from lumina_twisted.statistics.counters import Counters, Fault, Faults

_OTHER_CANARIES: Final = 6
"""Kinds of canaries that are tried until one is unlike any copy that may come."""


NOBODY: Final = Caller("another master")


class Answered(NamedTuple):
    """The PDU that is the reply to ``request``; ``is_late`` if its response timeout was over."""

    request: Pending
    pdu: bytes
    is_late: bool


class Unanswered(NamedTuple):
    """A transaction that ended without a reply.

    :param late: the reply that may still come; None if what came instead ends the matter.
    :param is_damaged: whether something came, in a state that proves nothing: there is no point in waiting for more.
    """

    request: Pending
    late: LateReply | None
    is_damaged: bool


class Wire:
    """The transaction that runs, and all that was learned from those before.

    :param health: hears of each frame that a unit sends.
    :param findings: takes what is found out about the devices of the bus.
    :param faults: counts what goes wrong, by unit and kind.
    :param framing: makes frames of requests, and finds replies in what is received.
    """

    def __init__(
        self, settings: BusSettings, pace: Pace, counters: Counters, health: Health, findings: Findings,
        faults: Faults, framing: Framing,
    ) -> None:
        self.attempt: Attempt | None = None
        self.echo = Echo(settings.echo)
        self.quiet_from = 0.0  # the end of the last byte on the wire
        self._leaves_until = 0.0  # that of our last frame, unless its reply came sooner than reckoned
        self.hopeless: list[Pending] = []
        """Requests that wait for a late reply of which it is known now that it will not come."""
        self._pace = pace
        self._counters = counters
        self._health = health
        self._findings = findings
        self._faults = faults
        self._serial = settings.serial  # of the last frame
        self._framing = framing
        self._is_numbered = is_numbered = framing.is_numbered
        self._proves = tuple(not is_numbered and settings.canary_for(unit) != "off" for unit in range(256))
        self._late = LateReplies(self._proves, is_numbered)
        self._canaries = Canaries(settings)
        self._surplus = Surplus(has_wire_time=framing.has_wire_time and settings.frame_gap != 0)
        self._ear = Ear(framing)
        self._state = State.IDLE
        self._last_sent = 0, b""  # unit and PDU
        self._echo_is_due = False  # of the last frame, whose transaction is over
        self._number = 0  # of the last frame that left
        self._junk = 0  # bytes of it that are accounted for
        self._was_answered = False  # the last frame

    # -- what is sent --------------------------------------------------------------------------------------------

    def ready_at(self, request: Pending) -> float:
        """From when on a request may have its turn, or a canary on its behalf; but for the silence before it: to wait
        for that is part of its turn, or those that need less of it would always be first."""
        ready = request.not_before
        if self._late.count:
            late = self._in_doubt(request)
            if late is not None:
                ready = max(ready, self._late.ready_at(late))
        if self._surplus.convicted:
            ready = max(ready, self._surplus.blocked_until(request))
        return ready

    def needs_canary(self, request: Pending) -> bool:
        """Whether something must be proven before ``request`` goes on the wire: that nothing comes any more which could
        be taken for its reply, that its own reply, which came too soon, was its own, or that the stream of its shape
        is not shifted."""
        is_unproven = self._surplus.needs_proof(request) or (
            self._late.count > 0 and (self._in_doubt(request) is not None or self._late.needs_proof(request))
        )
        return is_unproven and self._proves[request.unit] and not request.is_broadcast

    def canary_for(self, request: Pending) -> Pending:
        """The bus's own question that goes ahead of ``request``."""
        self._counters.canaries += 1
        in_doubt, echoes = self._late.in_doubt(request.unit), self.echo.known
        canary = self._canaries.make(request, in_doubt, echoes)
        for _ in range(_OTHER_CANARIES):
            if canary.pattern.shape != request.pattern.shape and not self._surplus.blocked_until(canary):
                break
            canary = self._canaries.make(request, in_doubt, echoes)  # what it looks like may be a surplus reply
        return canary

    def look_at(self, late: LateReply) -> float:
        """When it is time to ask again for what did not come."""
        return self._late.look_at(late)

    def may_be_late_until(self, request: Pending) -> float:
        """Until when what keeps ``request`` from the wire may well come."""
        late = self._in_doubt(request)
        return 0.0 if late is None else late.lapses

    def _in_doubt(self, request: Pending) -> LateReply | None:
        late = self._late.doubt(request)
        if late is None and self.echo.needs_probe(request):
            late = self._late.doubt_of_shape(probe_shape(request))
        return late

    def send(self, request: Pending, now: float) -> Frame:
        """Begins a transaction.

        :return: the frame, which leaves now.
        """
        if self._late.count:
            self._late.sending(request, now)
        self._ear.clear()
        if self._ear.junk != self._junk:
            self._note_junk()
        sent_until = now + self._pace.wire_time(request)
        expires = sent_until + self._pace.response_timeout(request)
        self._number += 2  # between two, another master may ask
        self.attempt = Attempt(request, now, sent_until, expires, self.echo.known, self._ear.junk, self._number)
        self._signal(Signal.BROADCAST_SENT if request.is_broadcast else Signal.REQUEST_SENT)
        request.attempts += 1
        request.remark = ""
        self._counters.frames += 1
        self._pace.left_with(request.serial)
        self.quiet_from = self._leaves_until = sent_until
        self._last_sent, self._serial = (request.unit, request.pdu), request.serial
        self._health.sent(request)
        self._wait_for_frames()
        return Frame(self._framing.encode(request.unit, request.pdu), request.serial)

    def is_on_wire(self, request: Pending) -> bool:
        """Whether the transaction that runs is this request's."""
        return self.attempt is not None and self.attempt.request is request

    # -- what is heard -------------------------------------------------------------------------------------------

    @property
    def silence_at(self) -> float:
        """When silence, if it lasts until then, may end what has been heard."""
        return self._ear.silence_at

    def receive(self, data: bytes, now: float) -> Iterator[Answered]:
        """Takes bytes off the wire; the answers that they complete."""
        self.quiet_from = max(now, self._leaves_until)
        yield from self._answers(self._ear.receive(data, now), now)
        if self._ear.unread and self.attempt is not None:
            self._ear.note_silence(self.attempt, now, self._pace.t3_5)
            came_whole = self._ear.was_damaged(self.attempt.request.pattern)
            self.attempt.look_at = now + (PAUSE_AFTER_ALL if came_whole else LONGEST_PAUSE)
        else:
            self._ear.silence_at = math.inf

    def is_spoiled(self, attempt: Attempt, now: float) -> bool:
        """Whether the reply came, damaged, and nothing has come for so long that nothing more will: to wait for the
        response timeout would be in vain. What comes all the same is a late reply."""
        if now < attempt.look_at:
            return False
        attempt.look_at = math.inf
        may_be_echo = attempt.echo is not False and not attempt.echoed
        return not may_be_echo and self._ear.came_to_nothing(attempt.request.pattern, now)

    def end_of_burst(self, now: float) -> Iterator[Answered]:
        """The wire has been silent for T3.5; the answers that this completes."""
        yield from self._answers(self._ear.end_of_burst(), now)

    def _answers(self, frames: Iterable[Decoded | Rejected], now: float) -> Iterator[Answered]:
        for found in frames:
            if isinstance(found, Rejected):
                self._on_rejected(found)
                continue
            answered = self._on_frame(found, now)
            if answered is not None:
                yield answered
            if self._late.lost:
                yield from self._without_reply()

    def _on_rejected(self, reply: Rejected) -> None:
        """A reply came whose number says that it is not the one waited for, or that proves nothing. What came may
        explain why nothing else does."""
        attempt = self.attempt
        is_spoiled = reply.kind == "spoiled"
        self._counters.drop("late" if reply.kind == "late" else "foreign")
        if attempt is not None and reply.what and not (is_spoiled and attempt.request.is_broadcast):
            attempt.request.remark = reply.what
            attempt.is_spoiled = attempt.is_spoiled or is_spoiled

    def _on_frame(self, found: Decoded, now: float) -> Answered | None:
        attempt = self.attempt
        if attempt is not None and found.pattern is not None and found.pattern is attempt.echo_pattern:
            self._on_own_frame(attempt, now)
            self._wait_for_frames()
            return None
        is_reply = attempt is not None and found.pattern is attempt.request.pattern
        if self._late.count or self._surplus.convicted:
            return self._on_doubtful(attempt if is_reply else None, found.unit, found.pdu, now)
        if is_reply and attempt is not None:
            return self._on_reply(attempt, found.pdu, now)
        self._on_foreign(found.unit, found.pdu, now)
        return None

    def _on_doubtful(self, attempt: Attempt | None, unit: int, pdu: bytes, now: float) -> Answered | None:
        """A frame while other replies may come, or copies of some. One that could answer several requests is discarded;
        it still proves that nothing older than the oldest of them will come.

        :param attempt: the one that runs, if the frame has the form of its reply.
        """
        if attempt is not None and self._can_hold(attempt.request) and self._surplus.was_awaited(unit, pdu, now):
            self._signal(Signal.FRAME_RECEIVED)
            self._signal(Signal.FRAME_REFUSED)
            self._hold(attempt, pdu, now)
            return None
        if self._surplus.is_copy(unit, pdu, now):
            self._doubled(unit)
            return None
        late = self._late.fitting(unit, pdu)
        if late:
            self._surplus.came_late(unit, pdu, now)
        if attempt is not None:
            ends = -math.inf if self._proves[unit] else now  # time ends a doubt only where nothing can be proven
            others = [one for one in late if one.request is not attempt.request and one.lapses > ends]
            if not others:
                return self._on_reply(attempt, pdu, now)
            if attempt.request.kind is Kind.CANARY and all(one.request.kind is Kind.CANARY for one in others):
                return self._on_reply(attempt, pdu, now, instead_of=others[0])
        elif late and (len(late) == 1 or all(one.request.kind is Kind.CANARY for one in late)):
            return self._on_late(late[0], pdu, now)
        if not late:
            self._on_foreign(unit, pdu, now)
            return None
        if attempt is not None:
            self._signal(Signal.FRAME_RECEIVED)
            self._signal(Signal.FRAME_REFUSED)
        self._counters.late += 1
        self._faults.note(unit, Fault.LATE)
        self._health.heard(unit, late[0].request.serial, now)
        if not any(one.request.kind is Kind.FOREIGN for one in late):  # whose place in the device's order nobody knows
            self._late.seen(late[0])
        return None

    def _on_reply(
        self, attempt: Attempt, pdu: bytes, now: float, instead_of: LateReply | None = None
    ) -> Answered | None:
        """A frame that has the form of the reply, and of no other that may come: rules 1 and 4.

        :param instead_of: an older canary, whose reply it may be: then this one's may still come.
        """
        request = attempt.request
        self._signal(Signal.FRAME_RECEIVED)
        if not self._is_proof(attempt, pdu) or self._is_held(attempt, pdu, now):
            self._signal(Signal.FRAME_REFUSED)
            return None
        self._signal(Signal.REPLY_ACCEPTED)
        if attempt.misfit is not None:
            self._on_surplus(request.unit, attempt.misfit, attempt.misfit_at)
        self._was_answered = True
        self._note_health(attempt, pdu, now)
        self._pace.replied(request, attempt.sent_until, now, len(pdu))
        self._close()
        # what answers a second attempt may be the reply to the first, before the second has left whole
        if request.attempts < 2 and instead_of is None:
            self._leaves_until = now
        self.quiet_from = max(now, self._leaves_until)
        if not self._is_numbered:
            self._surplus.answered(request, pdu, now)
        if request.kind is Kind.CANARY:
            self._canaries.answered(request, pdu)
        self._late.in_time(request.unit)
        if instead_of is not None:
            self._note_late(attempt)
            self._late.came(instead_of, now)
        elif self._late.count:
            self._late.answered(request, attempt.number, attempt.expires, self._window(request))
        self._wait_for_frames()
        return Answered(request, pdu, is_late=False)

    def _is_held(self, attempt: Attempt, pdu: bytes, now: float) -> bool:
        """Whether a reply came too soon to be accepted without a proof. A second one in the same transaction shows that
        the first was surplus."""
        request = attempt.request
        if not self._can_hold(request):
            return False
        if attempt.held is not None:
            self._doubled(request.unit)
            self._surplus.convicts(request.unit, attempt.held, now)
            attempt.held = None
            return False
        if not self._surplus.is_too_soon(request, len(pdu), now - attempt.began):
            return False
        self._hold(attempt, pdu, now)
        return True

    def _can_hold(self, request: Pending) -> bool:
        return not (self._is_numbered or request.kind is Kind.CANARY or self._late.has_own(request))

    def _hold(self, attempt: Attempt, pdu: bytes, now: float) -> None:
        """Keeps a reply that may be an earlier one's, until another one comes or a proof that none does."""
        request, took = attempt.request, now - attempt.began
        self._health.heard(request.unit, request.serial, now)
        attempt.held, attempt.held_took = pdu, took
        ends = max(now, attempt.began + self._surplus.hold(request, len(pdu)))
        attempt.expires = min(attempt.expires, ends)

    def _note_health(self, attempt: Attempt, pdu: bytes, now: float) -> None:
        """Another gateway may answer for its unit, that it does not."""
        request = attempt.request
        is_from_gateway = request.pattern.is_exception(pdu) and pdu[1] == GatewayTargetDeviceFailedToRespond.code
        if is_from_gateway:
            self._health.unanswered(request, now - attempt.began, now)
        else:
            self._health.heard(request.unit, request.serial, now)

    def _is_proof(self, attempt: Attempt, pdu: bytes) -> bool:
        """Whether an echoing port leaves no doubt that this is more than an echo."""
        request = attempt.request
        if attempt.lacks_echo and not request.pattern.is_exception(pdu):
            if pdu == request.pdu:
                self._on_echo(attempt)
                return False
            if request.pattern.can_equal_request or not self.echo.is_learned:
                self._counters.foreign += 1
                return False
        is_only_reply = request.attempts == 1  # one to an earlier attempt may come before the echo
        if request.pattern.echo and is_only_reply and not attempt.echoed and self._ear.junk == attempt.junk:
            self.echo.learn(False)
        return True

    def _on_own_frame(self, attempt: Attempt, now: float) -> None:
        """The frame that is on the wire is heard: an echo; or, where none is expected any more, another master asks the
        same, or the port has begun to echo."""
        if attempt.echo is not False and not attempt.echoed:
            self._on_echo(attempt)
            return
        attempt.echoed = True
        self.echo.doubt()
        self._on_other_master(attempt.request.unit, attempt.request.pdu, now, is_certain=False)

    def _on_echo(self, attempt: Attempt) -> None:
        self._counters.echoes += 1
        if attempt.echo and self._ear.junk > attempt.junk:
            self._counters.collisions += 1
        attempt.echoed = attempt.echo = True
        if attempt.echo_pattern is not None:
            self.echo.learn(True)

    def _on_late(self, late: LateReply, pdu: bytes, now: float) -> Answered | None:
        """The reply to a request whose response timeout is over; or to another master's."""
        request = late.request
        if late.awaits_echo and pdu == request.pdu:
            late.awaits_echo = False  # the first copy is the echo; only a second one is the reply
            self._counters.echoes += 1
            return None
        self._health.heard(request.unit, request.serial, now)
        if late.held is not None:
            self._doubled(request.unit)  # what was held is not the reply, but this
            self._surplus.convicts(request.unit, late.held, now)
        elif request.kind is not Kind.FOREIGN:
            self._counters.late += 1
            self._faults.note(request.unit, Fault.LATE)
        if request.kind is Kind.CANARY:
            self._canaries.answered(request, pdu)
        lapsed = now > late.lapses and not self._proves[request.unit]
        if lapsed and not self._is_numbered:
            request.left_at = None  # it may be the reply to what was asked since
        self._late.came(late, now)
        self._wait_for_frames()
        if request.kind is Kind.FOREIGN or request.kind is Kind.CANARY or self.is_on_wire(request):
            return None
        return Answered(request, pdu, is_late=True)

    def _on_foreign(self, unit: int, pdu: bytes, now: float) -> None:
        """A whole frame that answers nothing: an echo, another master's request, a surplus reply, one of a wrong
        length, or a stranger's."""
        is_own = (unit, pdu) == self._last_sent
        is_echo, self._echo_is_due = is_own and self._echo_is_due, self._echo_is_due and not is_own
        if is_own:
            self.echo.doubt()
        if not is_echo and not self._is_numbered and is_request(pdu):
            self._on_other_master(unit, pdu, now, is_certain=not is_own)
            return
        if is_own:
            self._counters.foreign += 1
            return
        self._health.heard(unit, self._serial, now)
        attempt = self.attempt
        if attempt is not None and (attempt.request.unit, attempt.request.pdu[0]) == (
            unit, pdu[0] & ~EXCEPTION_FLAG
        ):
            if attempt.misfit is not None:
                self._on_surplus(unit, attempt.misfit, attempt.misfit_at)
            attempt.misfit, attempt.misfit_at = pdu, now
            length = len(pdu) + OVERHEAD
            attempt.request.remark = f"a frame of {length} bytes came, which does not answer what was asked"
        else:
            self._on_surplus(unit, pdu, now)

    def _on_surplus(self, unit: int, pdu: bytes, now: float) -> None:
        """A frame that answers nothing: a copy of its unit's last reply, or a stranger's. One that came instead of a
        reply is judged when it is known whether the reply comes, too."""
        if not self._is_numbered and self._surplus.convicts(unit, pdu, now):
            self._doubled(unit)
            return
        self._counters.foreign += 1
        self._faults.note(unit, Fault.FOREIGN)

    def _on_other_master(self, unit: int, pdu: bytes, now: float, *, is_certain: bool) -> None:
        """Somebody else asks on this wire: what has the form of the reply to that is not ours.

        :param is_certain: whether it cannot be an echo.
        """
        if is_certain:
            self._counters.other_master += 1
            self._faults.note(unit, Fault.OTHER_MASTER)
            self._findings.add(Finding(unit, "other_master"))
        else:
            self._counters.foreign += 1
        if unit != BROADCAST:  # nobody answers that
            asked = Pending(Request(NOBODY, unit, pdu, self._serial, now), Kind.FOREIGN)
            self._late.other_asked(asked, self._number + 1, now)
            self._wait_for_frames()

    def _doubled(self, unit: int) -> None:
        self._counters.doubled += 1
        self._faults.note(unit, Fault.DOUBLED)
        self._findings.add(Finding(unit, "doubled"))

    def _without_reply(self) -> Iterator[Answered]:
        """What is proven not to come any more: a reply that was held is the one, then; who waits for another waits in
        vain."""
        lost, self._late.lost = self._late.lost, []
        for late in lost:
            request = late.request
            if request.kind is Kind.CANARY:
                self._canaries.lost(request)
            elif late.held is not None:
                self._surplus.was_not(request, len(late.held), late.held_took)
                yield Answered(request, late.held, is_late=True)
            elif request.state is PendingState.AWAITING_LATE_REPLY:
                self.hopeless.append(request)
        self._wait_for_frames()

    # -- how a transaction ends without a reply ------------------------------------------------------------------

    def turnaround_over(self) -> None:
        """The devices have carried the broadcast out."""
        self._signal(Signal.TURNAROUND_OVER)
        self._close()

    def response_timeout(self, attempt: Attempt, now: float) -> Unanswered:
        """No reply came in time."""
        self._signal(Signal.RESPONSE_TIMEOUT)
        request = attempt.request
        attempt.expires = min(attempt.expires, now)
        if attempt.held is None:
            self._note_failed(attempt, now)
        is_damaged = bool(request.remark) or self._was_damaged(attempt, now)
        late = None if self._is_misanswered(attempt) else self._note_late(attempt)
        if late is not None:
            late.is_damaged = is_damaged
            late.is_misanswered = attempt.misfit is not None
        if is_damaged or attempt.held is not None:
            self._health.nothing_learned()
        else:
            self._health.unanswered(request, now - attempt.began, now)
            self._pace.unanswered(request)
        heard = self._ear.junk + self._ear.unread > attempt.junk
        self._close()
        self._wait_for_frames()
        if request.ahead_of is not None and self.echo.known is None and not heard and self._framing.has_wire_time:
            self.echo.learn(False)  # neither an echo nor anything else: nothing echoes, where nothing delays an echo
        self._signal(Signal.ERROR_PROCESSED)
        return Unanswered(request, late, is_damaged)

    def _is_misanswered(self, attempt: Attempt) -> bool:
        """Whether what came instead of the reply is the device's answer, so that none is to come any more: it cannot be
        an earlier request's reply, or a copy of one."""
        if attempt.misfit is None:
            return False
        self._counters.foreign += 1
        self._faults.note(attempt.request.unit, Fault.FOREIGN)
        request = attempt.request
        return not (
            self._late.has_of_its_function(request)
            or (not self._is_numbered and self._surplus.may_be_copy(request.unit, attempt.misfit, attempt.misfit_at))
        )

    def end_of_hold(self, attempt: Attempt) -> Answered | None:
        """Where nothing can be proven, a reply that came too soon counts if no other has come."""
        held, request = attempt.held, attempt.request
        if held is None or self._proves[request.unit]:
            return None
        self._signal(Signal.FRAME_RECEIVED)
        self._signal(Signal.REPLY_ACCEPTED)
        self._surplus.was_not(request, len(held), attempt.held_took)
        self._close()
        self._wait_for_frames()
        return Answered(request, held, is_late=False)

    def canary_failed(self, canary: Pending, now: float, pause: float) -> None:
        """A canary was not answered; the next one waits ``pause`` seconds."""
        self._late.pause(canary.unit, now + pause)
        self._surplus.proof_failed(canary.unit)

    def opened(self, now: float, quiet_from: float) -> None:
        """The port is open; whatever was heard before means nothing."""
        self._ear.reset()
        if self._is_numbered:
            self._late.forget()
        self._wait_for_frames()
        self.quiet_from = self._leaves_until = quiet_from

    def lost(self) -> Pending | None:
        """The port is gone.

        :return: the request that was on the wire.
        """
        self._signal(Signal.PORT_LOST)
        self._health.nothing_learned()
        self.echo.reset()  # the adapter that comes back may be another
        self._ear.reset()
        self._echo_is_due = False
        attempt, self.attempt = self.attempt, None
        if attempt is None:
            return None
        if not attempt.request.is_broadcast:
            self._note_late(attempt)  # its reply may still come when the port is back
        return attempt.request

    def refused(self, now: float) -> Pending | None:
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
        self.quiet_from = self._leaves_until = min(self.quiet_from, now)
        return attempt.request.ahead_of or attempt.request

    def _note_failed(self, attempt: Attempt, now: float) -> None:
        """Counts how the attempt failed, once for its unit and once for the sentence of its request."""
        kind = self._how_it_failed(attempt, now)
        self._was_answered = False
        attempt.request.heard += (kind,)
        self._faults.note(attempt.request.unit, kind)

    def _how_it_failed(self, attempt: Attempt, now: float) -> Fault:
        pattern = attempt.request.pattern
        if self._ear.was_damaged(pattern):
            return Fault.WRONG_CRC
        may_be_echo = attempt.echo is not False and not attempt.echoed
        if not may_be_echo and self._ear.begun(pattern):  # one that still goes on is only late
            return Fault.CUT if self._ear.came_to_nothing(pattern, now) else Fault.NO_REPLY
        heard = self._ear.junk + self._ear.unread > attempt.junk
        return Fault.UNREADABLE if heard else Fault.NO_REPLY

    def _note_junk(self) -> None:
        """Counts what was received before and after the last reply and belongs to no frame. Where there was no reply,
        those bytes are how it failed, and are counted as that."""
        if self._ear.junk != self._junk:
            self._junk = self._ear.junk
            if self._was_answered:
                self._faults.note(self._last_sent[0], Fault.JUNK)

    def _was_damaged(self, attempt: Attempt, now: float) -> bool:
        """Whether the reply seems to have come, in a state that proves nothing. On a port that may echo, an echo that
        was hit looks the same."""
        pattern = attempt.request.pattern
        if self._ear.was_damaged(pattern):
            self._counters.crc_errors += 1
        may_be_echo = attempt.echo is not False and not attempt.echoed
        return not may_be_echo and self._ear.came_to_nothing(pattern, now)

    def _note_late(self, attempt: Attempt) -> LateReply:
        request = attempt.request
        late = self._late.add(request, attempt.number, attempt.expires, self._window(request))
        late.awaits_echo = attempt.lacks_echo and request.pattern.can_equal_request
        if attempt.held is not None:
            late.held, late.held_took = attempt.held, attempt.held_took
        return late

    def _window(self, request: Pending) -> float:
        return self._late.window(
            request.unit, self._pace.longest_timeout(request), self._pace.reply_time(request)
        )

    def _close(self) -> None:
        """The transaction is over; an echo that never came whole was hit by something."""
        attempt, self.attempt = self.attempt, None
        assert attempt is not None, "a transaction runs"
        heard = self._ear.junk + self._ear.unread > attempt.junk
        if attempt.echo and not attempt.echoed and heard:
            self._counters.collisions += 1
        self._echo_is_due = attempt.echo is not False and not attempt.echoed
        self._counters.junk_bytes = self._ear.junk

    def _wait_for_frames(self) -> None:
        attempt = self.attempt
        if not self._late.count:
            self._ear.wait_for(() if attempt is None else attempt.patterns)
            return
        late = tuple(self._late.patterns(None if attempt is None else attempt.request.unit))
        self._ear.wait_for(late if attempt is None else attempt.patterns + late)

    def _signal(self, signal: Signal) -> None:
        self._state = TABLE[self._state, signal]
