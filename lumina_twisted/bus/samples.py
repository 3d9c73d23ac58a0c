"""What the wire says of the devices, whoever asked: for those who keep the state of a plant. Floor 1.

Each normal reply that came off the wire is one sample, with what was sent: also a late reply, that to a request whose
caller is gone, and that to a block or a read for several, which is one sample. Exceptions say nothing of a state, and
old values have been samples before. A write is a sample when it is proven. One that may have been carried out is a
*doubt*: when its response timeout ends, when the port is lost, when a broadcast has left, and after an exception that
does not exclude it.

How old is what a reply says? A device cannot have looked before the last byte of the question had left, and what
answers a retry may be the reply to the first attempt. So a read counts from the end of its first frame. A write that
was sent once and is proven in time counts from its proof. Any other proof says that the write was carried out after its
first frame, and no more: what was read meanwhile may be from before it, so a doubt follows.

Nobody can tell whose reply it is that comes after its late window, for others of its shape may have been asked by then:
it is no sample. Nor is what left before anybody watched.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.bus.events import Events, Sample
from lumina_twisted.bus.pending import Finished, Kind, Outcome, Pending
from lumina_twisted.errors import Acknowledge, GatewayTargetDeviceFailedToRespond, ServerDeviceFailure

_MAY_BE_DONE: Final = frozenset(
    {ServerDeviceFailure.code, Acknowledge.code, GatewayTargetDeviceFailedToRespond.code}
)
"""Exceptions to a write that it may have been carried out in spite of: it failed in the middle, it takes long, or a
gateway got no reply."""


class Samples:
    """Makes the samples of one bus. Learns from transactions; see :class:`lumina_twisted.bus.pending.Learner`.

    :param events: where they go.
    """

    def __init__(self, events: Events) -> None:
        self._events = events

    def began(self, request: Pending, silent_from: float, sent_until: float) -> None:
        """A frame leaves."""
        if request.attempts == 1 and request.kind is not Kind.CANARY:
            request.left_at = sent_until

    def finished(self, transaction: Finished) -> None:
        """Makes the sample of a transaction, or of a late reply."""
        request, outcome = transaction.request, transaction.outcome
        if request.left_at is None:
            return
        if outcome is Outcome.REPLY or outcome is Outcome.LATE_REPLY:
            self._answered(request, transaction.reply, outcome is Outcome.LATE_REPLY, transaction.ended)
        elif outcome is Outcome.NO_REPLY or outcome is Outcome.PORT_LOST:
            self._in_doubt(request, transaction.ended)

    def broadcast(self, request: Pending) -> None:
        """A broadcast has left; nobody ever says whether it was heard."""
        if request.left_at is not None:
            self._in_doubt(request, request.left_at)
            request.left_at = None  # that is one doubt

    def _answered(self, request: Pending, reply: bytes, is_late: bool, now: float) -> None:
        assert request.left_at is not None
        if request.pattern.is_exception(reply):
            if reply[1] in _MAY_BE_DONE:
                self._in_doubt(request, now)
            return
        is_of_now = not request.is_read and not is_late and request.attempts == 1
        since = now if is_of_now else min(request.left_at, now)  # a socket may be faster than the wire is reckoned
        self._events.append(Sample(request.unit, request.pdu, reply, since, request.is_read))
        if not is_of_now:
            self._in_doubt(request, now)

    def _in_doubt(self, request: Pending, now: float) -> None:
        """It was sent: a write may have been carried out by now, and nobody knows when."""
        if not request.is_read:
            self._events.append(Sample(request.unit, request.pdu, b"", now, is_read=False, is_proven=False))
