"""Samples: what the traffic of a bus shows of its devices, whichever client sent the request. The code that keeps the
state of a plant uses them. Floor 1.

Each normal reply from the wire makes one sample, together with its request. This includes a late reply, and the reply
to a request whose caller is gone. The reply to a block, or to a read for several callers, makes one sample too. An
exception says nothing of a device's state. A value from the reply cache was a sample when it was read. A write makes a
sample when it is proven. A write that may have been carried out makes a *doubt*: when its response timeout ends, when
the port is lost, when a broadcast has left, and after an exception that does not exclude the write.

How old is a sample? A device cannot have looked at its values before the last byte of the request had left, and the
reply to a retry may be the reply to the first attempt. So a read counts from the end of its first frame. A write that
was sent once and is proven in time counts from its proof. Any other proof says only that the write was carried out
after its first frame. A value that was read meanwhile may be older than the write, so a doubt follows.

A reply that comes after its late window is no sample: other requests of its shape may have left by then, so nobody can
tell which of them it answers. Nor is the reply to a request a sample if the request left before anybody watched.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.bus.events import Events, Sample
from lumina_twisted.bus.pending import Finished, Kind, Outcome, Pending
from lumina_twisted.errors import Acknowledge, GatewayTargetDeviceFailedToRespond, ServerDeviceFailure

_MAY_BE_DONE: Final = frozenset(
    {ServerDeviceFailure.code, Acknowledge.code, GatewayTargetDeviceFailedToRespond.code}
)
"""Exceptions after which a write may have been carried out all the same: it failed in the middle, it takes long, or a
gateway got no reply."""


class Samples:
    """Makes the samples of one bus. Learns from transactions; see :class:`lumina_twisted.bus.pending.Learner`.

    :param events: takes the samples.
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
        """A broadcast has left. No reply ever says whether a device received it."""
        if request.left_at is not None:
            self._in_doubt(request, request.left_at)
            request.left_at = None  # one doubt is enough

    def _answered(self, request: Pending, reply: bytes, is_late: bool, now: float) -> None:
        assert request.left_at is not None
        if request.pattern.is_exception(reply):
            if reply[1] in _MAY_BE_DONE:
                self._in_doubt(request, now)
            return
        is_of_now = not request.is_read and not is_late and request.attempts == 1
        # A socket may deliver the reply before the calculated end of the request.
        since = now if is_of_now else min(request.left_at, now)
        self._events.append(Sample(request.unit, request.pdu, reply, since, request.is_read))
        if not is_of_now:
            self._in_doubt(request, now)

    def _in_doubt(self, request: Pending, now: float) -> None:
        """The request was sent. If it is a write, it may have been carried out by now; nobody knows when."""
        if not request.is_read:
            self._events.append(Sample(request.unit, request.pdu, b"", now, is_read=False, is_proven=False))
