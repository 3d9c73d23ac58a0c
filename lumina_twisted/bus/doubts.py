"""What may still come on a bus, and so which requests may go. Floor 1.

Three modules know of replies that nobody asked for now: :mod:`~lumina_twisted.bus.late_replies` of those that are late,
:mod:`~lumina_twisted.bus.surplus` of those that come twice, and :mod:`~lumina_twisted.bus.echo` of our own frames. A
request goes on the wire when nothing of that could be taken for its reply. Where only a proof can tell,
:mod:`~lumina_twisted.bus.canary` makes the bus's own question, which goes ahead.
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
"""Kinds of canaries that are tried until one is unlike any copy that may come."""


class Doubts:
    """What may still come on one bus.

    :param echo: what is known of its echo.
    :param framing: whether replies are numbered, and whether bytes take wire time.
    """

    def __init__(self, settings: BusSettings, counters: Counters, echo: Echo, framing: Framing) -> None:
        self._counters = counters
        self._echo = echo
        self._is_numbered = is_numbered = framing.is_numbered
        self.proves = tuple(not is_numbered and settings.for_unit(unit).canary != "off" for unit in range(256))
        """By unit, whether a doubt ends by evidence; else by time."""
        self.late = LateReplies(self.proves, is_numbered)
        self.canaries = Canaries(settings)
        self.surplus = Surplus(has_wire_time=framing.has_wire_time and settings.frame_gap != 0)

    def ready_at(self, request: Pending) -> float:
        """From when on a request may have its turn, or a canary on its behalf; but for the silence before it: to wait
        for that is part of its turn, or those that need less of it would always be first."""
        ready = request.not_before
        if self.late.count:
            late = self.in_doubt(request)
            if late is not None:
                ready = max(ready, self.late.ready_at(late))
        if self.surplus.convicted:
            ready = max(ready, self.surplus.blocked_until(request))
        return ready

    def needs_canary(self, request: Pending) -> bool:
        """Whether something must be proven before ``request`` goes on the wire: that nothing comes any more which could
        be taken for its reply, that its own reply, which came too soon, was its own, or that the stream of its shape
        is not shifted."""
        is_unproven = self.surplus.needs_proof(request) or (
            self.late.count > 0 and (self.in_doubt(request) is not None or self.late.needs_proof(request))
        )
        return is_unproven and self.proves[request.unit] and not request.is_broadcast

    def canary_for(self, request: Pending) -> Pending:
        """The bus's own question that goes ahead of ``request``."""
        self._counters.canaries += 1
        in_doubt, echoes = self.late.in_doubt(request.unit), self._echo.known
        canary = self.canaries.make(request, in_doubt, echoes)
        for _ in range(_OTHER_CANARIES):
            if canary.pattern.shape != request.pattern.shape and not self.surplus.blocked_until(canary):
                break
            canary = self.canaries.make(request, in_doubt, echoes)  # what it looks like may be a surplus reply
        return canary

    def look_at(self, late: LateReply) -> float:
        """When it is time to ask again for what did not come."""
        return self.late.look_at(late)

    def may_be_late_until(self, request: Pending) -> float:
        """Until when what keeps ``request`` from the wire may well come."""
        late = self.in_doubt(request)
        return 0.0 if late is None else late.lapses

    def in_doubt(self, request: Pending) -> LateReply | None:
        """The late reply that keeps ``request`` from the wire, or the probe ahead of it."""
        late = self.late.doubt(request)
        if late is None and self._echo.needs_probe(request):
            late = self.late.doubt_of_shape(probe_shape(request))
        return late

    def can_hold(self, request: Pending) -> bool:
        """Whether a reply that came too soon may wait for a proof."""
        return not (self._is_numbered or request.kind is Kind.CANARY or self.late.has_own(request))

    def canary_failed(self, canary: Pending, now: float, pause: float) -> None:
        """A canary was not answered; the next one waits ``pause`` seconds."""
        self.late.pause(canary.unit, now + pause)
        self.surplus.proof_failed(canary.unit)
