"""Which messages may still come on a bus, and so which requests may go. Floor 1.

Three modules track messages that answer no running request: :mod:`~lumina_twisted.bus.late_replies` tracks late
replies, :mod:`~lumina_twisted.bus.surplus` replies that come twice, and :mod:`~lumina_twisted.bus.echo` the echo of our
own frames. A request goes on the wire when none of these messages could be taken for its reply. Where only a proof can
show that, :mod:`~lumina_twisted.bus.canary` makes a request of the bus's own, which goes ahead.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.bus.canary import Canaries
from lumina_twisted.bus.echo import Echo, probe_shape
from lumina_twisted.bus.late_replies import LateReplies
from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.surplus import Surplus
from lumina_twisted.bus.transaction import LateReply
from lumina_twisted.framing import Framing
from lumina_twisted.statistics.counters import Counters

_OTHER_CANARIES: Final = 6
"""How many other canaries are tried to find one whose reply differs from every copy that may come."""


class Doubts:
    """The messages that may still come on one bus.

    :param echo: the state of the port's echo.
    :param framing: tells whether replies are numbered, and whether bytes take wire time.
    """

    def __init__(self, settings: BusSettings, counters: Counters, echo: Echo, framing: Framing) -> None:
        self._counters = counters
        self._echo = echo
        self._is_numbered = is_numbered = framing.is_numbered
        self.proves = tuple(not is_numbered and settings.for_unit(unit).canary != "off" for unit in range(256))
        """By unit: True if a doubt ends by proof, False if it ends by time."""
        self.late = LateReplies(self.proves, is_numbered)
        self.canaries = Canaries(settings)
        self.surplus = Surplus(has_wire_time=framing.has_wire_time and settings.frame_gap != 0)

    def ready_at(self, request: Pending) -> float:
        """The time from which a request, or a canary on its behalf, may have its turn. The silence before its frame is
        not included: the wait for that is part of the turn. Otherwise requests that need less silence would always be
        first."""
        ready = request.not_before
        if self.late.count:
            late = self.in_doubt(request)
            if late is not None:
                ready = max(ready, self.late.ready_at(late))
        if self.surplus.convicted:
            ready = max(ready, self.surplus.blocked_until(request))
        return ready

    def needs_canary(self, request: Pending) -> bool:
        """Whether ``request`` may go on the wire only after a proof. The proof shows one of three things: no message
        comes any more that could be taken for its reply; its reply, which came too soon, is its own; or the stream of
        its shape is not shifted."""
        is_unproven = self.surplus.needs_proof(request) or (
            self.late.count > 0 and (self.in_doubt(request) is not None or self.late.needs_proof(request))
        )
        return is_unproven and self.proves[request.unit] and not request.is_broadcast

    def canary_for(self, request: Pending) -> Pending:
        """Makes the canary that goes ahead of ``request``."""
        self._counters.canaries += 1
        in_doubt, echoes = self.late.in_doubt(request.unit), self._echo.known
        canary = self.canaries.make(request, in_doubt, echoes)
        for _ in range(_OTHER_CANARIES):
            if canary.pattern.shape != request.pattern.shape and not self.surplus.blocked_until(canary):
                break
            canary = self.canaries.make(request, in_doubt, echoes)  # a surplus reply could pass for the reply to it
        return canary

    def look_at(self, late: LateReply) -> float:
        """The time at which it is worth sending the request of a late reply again."""
        return self.late.look_at(late)

    def may_be_late_until(self, request: Pending) -> float:
        """The end of the late window of the reply that keeps ``request`` from the wire; 0 if none does."""
        late = self.in_doubt(request)
        return 0.0 if late is None else late.lapses

    def in_doubt(self, request: Pending) -> LateReply | None:
        """The late reply that keeps ``request``, or the echo probe ahead of it, from the wire."""
        late = self.late.doubt(request)
        if late is None and self._echo.needs_probe(request):
            late = self.late.doubt_of_shape(probe_shape(request))
        return late

    def can_hold(self, request: Pending) -> bool:
        """Whether a reply to ``request`` that came too soon may be held until a proof."""
        return not (self._is_numbered or request.kind is Kind.CANARY or self.late.has_own(request))

    def canary_failed(self, canary: Pending, now: float, pause: float) -> None:
        """A canary was not answered; the next one waits ``pause`` seconds."""
        self.late.pause(canary.unit, now + pause)
        self.surplus.proof_failed(canary.unit)
