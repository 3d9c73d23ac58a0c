"""What the wire tells of the devices, whoever asked: for those who keep the state of a plant. Floor 1.

Each normal reply that came off the wire is told once, with the frame that was sent: also a late one, that to a request
whose caller is gone, and that to a block or a read for several, which is told as one. Exceptions say nothing of a
state, and old values have been told. A write is told when it is proven. One that may have been carried out is told as a
doubt: when its response timeout ends, when the port is lost, when a broadcast has left, and after an exception that
does not exclude it.

How old is what a reply tells? A device cannot have looked before the last byte of the question had left, and what
answers a retry may be the reply to the first attempt. So a read counts from the end of its first frame. A write that
was sent once and is proven in time counts from its proof. Any other proof says that the write was carried out after its
first frame, and no more: what was read meanwhile may be from before it, so a doubt follows.

Nobody can tell whose reply it is that comes after its late window, for others of its shape may have been asked by then:
it is not told. Nor is what left before anybody watched.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from lumina_twisted.bus.events import Request, Sample
from lumina_twisted.errors import Acknowledge, GatewayTargetDeviceFailedToRespond, ServerDeviceFailure

_MAY_BE_DONE: Final = frozenset(
    {ServerDeviceFailure.code, Acknowledge.code, GatewayTargetDeviceFailedToRespond.code}
)
"""Exceptions to a write that it may have been carried out in spite of: it failed in the middle, it takes long, or a
gateway got no reply."""


class Samples:
    """The samples of one bus, until somebody takes them."""

    def __init__(self) -> None:
        self.is_watched = False
        """Whether anybody wants them; until then nobody need call what is here."""
        self.told: deque[Sample] = deque()
        """Those not yet taken, the oldest first."""

    def watch(self, wanted: bool) -> None:
        """Whether anybody wants them from now on."""
        self.is_watched = wanted
        if not wanted:
            self.told.clear()

    def sent(self, request: Request, sent_until: float) -> None:
        """A frame of it leaves, the last byte at ``sent_until``."""
        if request.attempts == 1:
            request.left_at = sent_until

    def answered(self, request: Request, reply: bytes, is_late: bool, now: float) -> None:
        """A reply to it came."""
        if request.left_at is None:
            return
        if request.pattern.is_exception(reply):
            if reply[1] in _MAY_BE_DONE:
                self.in_doubt(request, now)
            return
        is_of_now = not request.is_read and not is_late and request.attempts == 1
        since = now if is_of_now else min(request.left_at, now)  # a socket may be faster than the wire is reckoned
        self.told.append(Sample(request.unit, request.pdu, reply, since, request.is_read))
        if not is_of_now:
            self.in_doubt(request, now)

    def in_doubt(self, request: Request | None, now: float) -> None:
        """It was sent: a write may have been carried out by now, and nobody knows when."""
        if self.is_watched and request is not None and request.left_at is not None and not request.is_read:
            self.told.append(Sample(request.unit, request.pdu, b"", now, is_read=False, is_proven=False))

    def broadcast(self, request: Request) -> None:
        """A broadcast has left; nobody ever says whether it was heard."""
        if request.left_at is not None:
            self.in_doubt(request, request.left_at)
            request.left_at = None  # that is told once
