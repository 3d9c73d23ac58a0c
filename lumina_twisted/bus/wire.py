"""The wire runs one transaction at a time, and decides whether a received frame is the reply. Floor 1.

This module applies the rules of a reply (1, 2 and 4 of the core). The bus decides whose turn it is, and what happens to
a request without a reply. :mod:`~lumina_twisted.bus.receiver` finds the messages in the received bytes.
:mod:`~lumina_twisted.bus.doubts` tracks the messages that may still come. :mod:`~lumina_twisted.bus.unexpected` judges
messages that answer no request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from lumina_twisted.bus.doubts import Doubts
from lumina_twisted.bus.echo import Echo
from lumina_twisted.bus.events import Findings, Frame
from lumina_twisted.bus.health import Health
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.pending import Kind, Pending, State
from lumina_twisted.bus.receiver import LONGEST_PAUSE_IN_FRAME, PAUSE_AFTER_DAMAGED, Receiver
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.transaction import Answered, Attempt, LateReply, Unanswered
from lumina_twisted.bus.unexpected import Unexpected
from lumina_twisted.errors import GatewayTargetDeviceFailedToRespond
from lumina_twisted.framing import Decoded, Framing, Rejected
from lumina_twisted.modbus.functions import EXCEPTION_FLAG
from lumina_twisted.modbus.reply import Pattern
from lumina_twisted.statistics.counters import Counters, Fault, Faults


class Wire:
    """The running transaction, and the state that earlier transactions left.

    :param health: is informed of each frame that a unit sends.
    :param findings: takes the findings about the devices of the bus.
    :param faults: counts the faults, by unit and kind.
    :param framing: encodes requests, and finds replies in the received bytes.
    """

    def __init__(
        self, settings: BusSettings, pace: Pace, counters: Counters, health: Health, findings: Findings,
        faults: Faults, framing: Framing,
    ) -> None:
        self.attempt: Attempt | None = None
        self.echo = Echo(settings.echo, counters)
        self.doubts = self._doubts = Doubts(settings, counters, self.echo, framing)
        """The messages that may still come, and so which requests may go."""
        self.quiet_from = 0.0  # the end of the last byte on the wire
        self._leaves_until = 0.0  # the end of our last frame, or its reply if that came before the computed end
        self.silence_at = math.inf
        """The time at which silence, if it lasts until then, may complete a received frame."""
        self.hopeless: list[Pending] = []
        """Requests that wait for a late reply that is now proven not to come."""
        self._pace = pace
        self._counters = counters
        self._health = health
        self._faults = faults
        self._framing = framing
        self._is_numbered = framing.is_numbered
        self._late = self._doubts.late
        self._surplus = self._doubts.surplus
        self._receiver = Receiver(framing, self._awaited)
        self._unexpected = Unexpected(
            self._doubts, self.echo, counters, health, findings, faults, settings.serial, framing.is_numbered
        )
        self._number = 0  # of the last frame that left
        self._last_unit = 0  # the unit of that frame
        self._was_answered = False  # whether that frame was answered

    # -- what is sent --------------------------------------------------------------------------------------------

    def send(self, request: Pending, now: float) -> Frame:
        """Begins a transaction.

        :return: the frame, which leaves now.
        """
        assert self.attempt is None, "one transaction at a time"
        if self._late.count:
            self._late.sending(request, now)
        if not self._receiver.is_clean:
            self.silence_at = math.inf
            has_junk = self._receiver.clear()
            if has_junk and self._was_answered:  # else the failure of the last attempt is already counted
                self._faults.note(self._last_unit, Fault.JUNK)
        takes, timeout = self._pace.leaves(request)
        sent_until = now + takes
        number = self._number = self._number + 2  # the number in between is for another master's request
        self.attempt = Attempt(
            request, now, sent_until, sent_until + timeout, self.echo.known, self._framing.junk, number
        )
        request.attempts += 1
        request.remark = ""
        self._counters.frames += 1
        self.quiet_from = self._leaves_until = sent_until
        self._last_unit = request.unit
        self._unexpected.last, self._unexpected.number = request, number
        if self._health.silent:
            self._health.sent(request)
        self._receiver.patterns = None
        return Frame(self._framing.encode(request.unit, request.pdu), request.serial)

    def is_on_wire(self, request: Pending) -> bool:
        """Whether the running transaction is for this request."""
        return self.attempt is not None and self.attempt.request is request

    # -- what is received ----------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> Iterable[Answered]:
        """Takes bytes off the wire, and returns the answers that they complete."""
        leaves_until = self._leaves_until
        self.quiet_from = now if now > leaves_until else leaves_until
        attempt = self.attempt
        if attempt is None or self._late.count or self._surplus.convicted or attempt.request.is_broadcast:
            return self._receive(data, now)
        # Nearly always the bytes are exactly the complete reply. Then no search is needed.
        pdu = self._framing.take_whole(data, attempt.request.pattern)
        if pdu is None:
            return self._receive(data, now)
        self._receiver.received_at = now
        answered = self._on_reply(attempt, pdu, now)
        return () if answered is None else (answered,)

    def _receive(self, data: bytes, now: float) -> Iterator[Answered]:
        yield from self._answers(self._receiver.receive(data, now), now)
        self.silence_at = math.inf
        if len(self._framing) and self.attempt is not None:
            if self._receiver.may_end_by_silence(self.attempt):
                self.silence_at = now + self._pace.t3_5
            if not self.attempt.request.is_broadcast:  # no reply is due, so no reply can come damaged
                came_whole = self._receiver.was_damaged(self.attempt.request.pattern)
                self.attempt.look_at = now + (PAUSE_AFTER_DAMAGED if came_whole else LONGEST_PAUSE_IN_FRAME)

    def is_spoiled(self, attempt: Attempt, now: float) -> bool:
        """Whether the reply came damaged, and the wire has been silent for so long that no more bytes are expected.
        Then it is pointless to wait until the response timeout. A reply that comes nevertheless is a late reply."""
        if now < attempt.look_at:
            return False
        attempt.look_at = math.inf
        return self._receiver.has_nothing_to_come(attempt, now)

    def end_of_burst(self, now: float) -> Iterator[Answered]:
        """The wire has been silent for T3.5. Yields the answers that this silence completes."""
        self.silence_at = math.inf
        yield from self._answers(self._receiver.end_of_burst(), now)

    def _answers(self, frames: Iterable[Decoded | Rejected], now: float) -> Iterator[Answered]:
        for found in frames:
            if isinstance(found, Rejected):
                self._on_rejected(found)
                continue
            answered = self._on_frame(found, now)
            if answered is not None:
                yield answered
            if self._late.lost:
                yield from self._without_reply(now)

    def _on_rejected(self, reply: Rejected) -> None:
        """A reply came that is not the awaited one, by its number, or that proves nothing. Its content may explain why
        no other reply comes."""
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
        self._on_unexpected(found.unit, found.pdu, now)
        return None

    def _on_unexpected(self, unit: int, pdu: bytes, now: float) -> None:
        self._unexpected.message(self.attempt, unit, pdu, now)
        if self._late.count:
            self._wait_for_frames()  # the message may have been another master's request

    def _on_doubtful(self, attempt: Attempt | None, unit: int, pdu: bytes, now: float) -> Answered | None:
        """Takes a frame while late replies, or copies of replies, may come. A frame that could answer several requests
        is discarded. It still proves that no reply comes that is older than the oldest of them.

        :param attempt: the running attempt, if the frame has the form of its reply.
        """
        if attempt is not None and self._doubts.can_hold(attempt.request) and self._surplus.was_awaited(unit, pdu, now):
            self._hold(attempt, pdu, now)
            return None
        if self._surplus.is_copy(unit, pdu, now):
            self._unexpected.doubled(unit)
            return None
        late = self._late.fitting(unit, pdu)
        if late:
            self._surplus.came_late(unit, pdu, now)
        if attempt is not None:
            ends = -math.inf if self._doubts.proves[unit] else now  # a doubt ends by time only if no proof is possible
            others = [one for one in late if one.request is not attempt.request and one.lapses > ends]
            if not others:
                return self._on_reply(attempt, pdu, now)
            if attempt.request.kind is Kind.CANARY and all(one.request.kind is Kind.CANARY for one in others):
                return self._on_reply(attempt, pdu, now, instead_of=others[0])
        elif late and (len(late) == 1 or all(one.request.kind is Kind.CANARY for one in late)):
            return self._on_late(late[0], pdu, now)
        if not late:
            self._on_unexpected(unit, pdu, now)
            return None
        self._counters.late += 1
        self._faults.note(unit, Fault.LATE)
        self._health.heard(unit, late[0].request.serial, now)
        # The place of another master's request in the order of the device is unknown.
        if not any(one.request.kind is Kind.OTHER_MASTER for one in late):
            self._late.ambiguous_reply_came(late[0])
        return None

    def _on_reply(
        self, attempt: Attempt, pdu: bytes, now: float, instead_of: LateReply | None = None
    ) -> Answered | None:
        """Takes a frame that has the form of the reply, and of no other reply that may come: rules 1 and 4.

        :param instead_of: the late reply of an older canary, if the frame may be that; then the reply to the running
            canary may still come.
        """
        request = attempt.request
        is_without_echo = attempt.echo is False and self.echo.known is False  # already known, nothing to learn
        if not is_without_echo and not self.echo.excludes_echo(attempt, pdu, self._framing.junk):
            return None
        can_hold = not self._late.count or not self._late.has_own(request)
        if can_hold and not self._is_numbered and request.kind is not Kind.CANARY and (
            attempt.held is not None or self._surplus.is_too_soon(request, len(pdu), now - attempt.began)
        ) and self._is_held(attempt, pdu, now):
            return None
        if attempt.misfit is not None:
            self._unexpected.surplus(request.unit, attempt.misfit, attempt.misfit_at)
        self._was_answered = True
        if self._health.silent or pdu[0] & EXCEPTION_FLAG:
            self._note_health(attempt, pdu, now)
        else:
            self._health.heard_at[request.unit] = now
        if self._pace.learns is not None:
            self._pace.replied(request, attempt.sent_until, now, len(pdu))
        self._close()
        # In a second attempt, the frame may be the reply to the first, and our second frame may still be leaving.
        if request.attempts < 2 and instead_of is None:
            self.quiet_from = self._leaves_until = now
        else:
            self.quiet_from = max(now, self._leaves_until)
        if not self._is_numbered:
            self._surplus.answered(request, pdu, now)
        if request.kind is Kind.CANARY:
            self._doubts.canaries.answered(request, pdu)
        if self._late.units:
            self._late.reply_in_time_from(request.unit)
        if instead_of is not None:
            self._note_late(attempt)
            self._late.late_reply_came(instead_of, now)
        elif self._late.count:
            self._late.replied_in_time(request, attempt.number, attempt.expires, self._window(request))
        self._receiver.patterns = None
        return Answered(request, pdu, is_late=False)

    def _is_held(self, attempt: Attempt, pdu: bytes, now: float) -> bool:
        """Holds a reply that came too soon. A second reply in the same transaction shows that the first was surplus;
        the second is then not held.

        :return: whether the reply is held.
        """
        request = attempt.request
        if attempt.held is not None:
            self._unexpected.doubled(request.unit)
            self._surplus.convicts(request.unit, attempt.held, now)
            attempt.held = None
            return False
        self._hold(attempt, pdu, now)
        return True

    def _hold(self, attempt: Attempt, pdu: bytes, now: float) -> None:
        """Holds a reply that may belong to an earlier request, until another reply comes, or a proof that none does."""
        request, took = attempt.request, now - attempt.began
        self._health.heard(request.unit, request.serial, now)
        attempt.held, attempt.held_took = pdu, took
        ends = max(now, attempt.began + self._surplus.hold(request, len(pdu)))
        attempt.expires = min(attempt.expires, ends)

    def _note_health(self, attempt: Attempt, pdu: bytes, now: float) -> None:
        """Updates the unit's health. An exception may come from a gateway, which says that the unit does not answer."""
        request = attempt.request
        is_from_gateway = request.pattern.is_exception(pdu) and pdu[1] == GatewayTargetDeviceFailedToRespond.code
        if is_from_gateway:
            self._health.unanswered(request, now - attempt.began, now)
        else:
            self._health.heard(request.unit, request.serial, now)

    def _on_own_frame(self, attempt: Attempt, now: float) -> None:
        """Our own frame is received. It is an echo. If no echo is expected any more, another master sends the same
        request, or the port has begun to echo."""
        if attempt.may_be_echo:
            self.echo.came(attempt, self._framing.junk)
            return
        attempt.echoed = True
        self.echo.doubt()
        request = attempt.request
        self._unexpected.other_master(request.unit, request.pdu, now, is_certain=False)
        self._wait_for_frames()

    def _on_late(self, late: LateReply, pdu: bytes, now: float) -> Answered | None:
        """Takes a late reply, or a reply to another master."""
        request = late.request
        if late.awaits_echo and pdu == request.pdu:
            late.awaits_echo = False  # the first copy is the echo; only a second one is the reply
            self._counters.echoes += 1
            return None
        self._health.heard(request.unit, request.serial, now)
        if late.held is not None:
            self._unexpected.doubled(request.unit)  # this is the reply, and the held one was surplus
            self._surplus.convicts(request.unit, late.held, now)
        elif request.kind is not Kind.OTHER_MASTER:
            self._counters.late += 1
            self._faults.note(request.unit, Fault.LATE)
        if request.kind is Kind.CANARY:
            self._doubts.canaries.answered(request, pdu)
        lapsed = now > late.lapses and not self._doubts.proves[request.unit]
        if lapsed and not self._is_numbered:
            request.left_at = None  # it may be the reply to a later request
        self._late.late_reply_came(late, now)
        self._wait_for_frames()
        if request.kind is Kind.OTHER_MASTER or request.kind is Kind.CANARY or self.is_on_wire(request):
            return None
        return Answered(request, pdu, is_late=True)

    def _without_reply(self, now: float) -> Iterator[Answered]:
        """Handles replies that are proven not to come any more. If one was held, the held reply counts. Otherwise a
        request that waits for its late reply becomes hopeless."""
        lost, self._late.lost = self._late.lost, []
        for late in lost:
            request = late.request
            self._surplus.went_missing(request, now)
            if request.kind is Kind.CANARY:
                self._doubts.canaries.lost(request)
            elif late.held is not None:
                self._surplus.was_not(request, len(late.held), late.held_took)
                yield Answered(request, late.held, is_late=True)
            elif request.state is State.AWAITING_LATE_REPLY:
                self.hopeless.append(request)
        self._wait_for_frames()

    # -- how a transaction ends without a reply ------------------------------------------------------------------

    def turnaround_over(self) -> None:
        """The devices have carried the broadcast out."""
        self._close()

    def response_timeout(self, attempt: Attempt, now: float) -> Unanswered:
        """No reply came in time."""
        request = attempt.request
        attempt.expires = min(attempt.expires, now)
        if attempt.held is None:
            self._note_failed(attempt, now)
        if self._receiver.was_damaged(request.pattern):
            self._counters.crc_errors += 1
        is_damaged = bool(request.remark) or self._receiver.has_nothing_to_come(attempt, now)
        late = None if self._is_misanswered(attempt) else self._note_late(attempt)
        if late is not None:
            late.is_damaged = is_damaged
            late.is_misanswered = attempt.misfit is not None
        if is_damaged or attempt.held is not None:
            self._health.nothing_learned()
        else:
            self._health.unanswered(request, now - attempt.began, now)
            self._pace.unanswered(request)
        was_silent = not self._receiver.anything_since(attempt)
        self._close()
        self._wait_for_frames()
        if request.ahead_of is not None and self.echo.known is None and was_silent and self._framing.has_wire_time:
            self.echo.learn(False)  # no byte came, not even an echo, and on a serial line nothing delays an echo
        return Unanswered(request, late, is_damaged)

    def _is_misanswered(self, attempt: Attempt) -> bool:
        """Whether the message that came in place of the reply is the device's answer, so that no reply comes any more.
        That holds if it cannot be the reply to an earlier request, or a copy of one."""
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
        """The held reply, which counts if no other has come and no proof is possible; else None."""
        held, request = attempt.held, attempt.request
        if held is None or self._doubts.proves[request.unit]:
            return None
        self._surplus.was_not(request, len(held), attempt.held_took)
        self._close()
        self._wait_for_frames()
        return Answered(request, held, is_late=False)

    def opened(self, now: float, quiet_from: float) -> None:
        """The port is open. Bytes that were received before are discarded."""
        self.silence_at = math.inf
        self._receiver.reset()
        if self._is_numbered:
            self._late.forget()
        self._wait_for_frames()
        self.quiet_from = self._leaves_until = quiet_from

    def lost(self) -> Pending | None:
        """The port is gone.

        :return: the request that was on the wire.
        """
        self._health.nothing_learned()
        self.echo.reset()  # the adapter that comes back may be another
        self.silence_at = math.inf
        self._receiver.reset()
        self._unexpected.echo_is_due = False
        attempt, self.attempt = self.attempt, None
        if attempt is None:
            return None
        if not attempt.request.is_broadcast:
            self._note_late(attempt)  # its reply may still come when the port is back
        return attempt.request

    def refused(self, now: float) -> Pending | None:
        """The frame could not be sent.

        :return: the request that the frame was sent for.
        """
        attempt, self.attempt = self.attempt, None
        if attempt is None:
            return None
        self._health.nothing_learned()
        self._wait_for_frames()
        attempt.request.attempts -= 1
        self._counters.frames -= 1
        self.quiet_from = self._leaves_until = min(self.quiet_from, now)
        return attempt.request.ahead_of or attempt.request

    def _note_failed(self, attempt: Attempt, now: float) -> None:
        """Notes how the attempt failed, for the counts of its unit and for the error text of its request."""
        kind = self._receiver.how_it_failed(attempt, now)
        self._was_answered = False
        attempt.request.heard += (kind,)
        self._faults.note(attempt.request.unit, kind)

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
        """The transaction is over. If an echo was due and came damaged, it counts as a collision."""
        attempt, self.attempt = self.attempt, None
        assert attempt is not None, "a transaction runs"
        if attempt.echo and not attempt.echoed and self._receiver.anything_since(attempt):
            self._counters.collisions += 1
        self._unexpected.echo_is_due = attempt.echo is not False and not attempt.echoed
        self._counters.junk_bytes = self._framing.junk

    def _wait_for_frames(self) -> None:
        """The awaited frames have changed. The patterns are computed again when bytes have to be searched."""
        self._receiver.patterns = None

    def _awaited(self) -> tuple[Pattern, ...]:
        attempt = self.attempt
        if not self._late.count:
            return () if attempt is None else attempt.patterns
        late = tuple(self._late.patterns(None if attempt is None else attempt.request.unit))
        return late if attempt is None else attempt.patterns + late
