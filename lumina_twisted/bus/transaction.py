"""One transaction on a bus: a request's frame on the wire, and what has been received since. Floor 1.

The client state diagram of Modbus over Serial Line V1.02, section 2.4.1, is followed with two rules that are stricter,
for on a real bus foreign frames and junk are common:

* a frame that is not the reply is dropped and the response timeout goes on (the diagram gives up on a bad frame);
* sending and waiting are one state: the response timeout counts from the end of our last byte on the wire.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from lumina_twisted.bus.late_reply import LateReply
from lumina_twisted.bus.pending import Pending
from lumina_twisted.modbus.functions import UNKNOWN
from lumina_twisted.modbus.reply import Pattern, WholeMessage


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


class Attempt:
    """A request's frame on the wire, and what has been received since.

    :param began: when its first byte left.
    :param sent_until: when its last byte leaves the wire.
    :param expires: when the bus stops waiting for its reply, or its turnaround delay ends.
    :param echo: whether the port echoes; None while nobody knows.
    :param junk: bytes that belonged to no frame before.
    :param number: how many frames had left before.
    """

    __slots__ = (
        "_echo", "began", "echo", "echoed", "expires", "held", "held_took", "is_spoiled", "junk", "look_at",
        "misfit", "misfit_at", "number", "request", "sent_until",
    )

    def __init__(
        self, request: Pending, began: float, sent_until: float, expires: float, echo: bool | None, junk: int,
        number: int = 0,
    ) -> None:
        self.request = request
        self.began = began
        self.sent_until = sent_until
        self.expires = expires
        self.echo = echo
        self.junk = junk
        self.number = number
        self.echoed = False
        self.is_spoiled = False  # its numbered reply came, and proves nothing
        self.held: bytes | None = None  # a reply that came too soon
        self.held_took = 0.0  # seconds
        self.look_at = math.inf  # when to look whether a reply that came damaged is all that comes
        self.misfit: bytes | None = None  # a PDU of its unit and function that has another length than its reply
        self.misfit_at = 0.0  # when that came
        self._echo: Pattern | None = None
        if request.is_broadcast or (echo is not False and request.pattern.length == UNKNOWN):
            self._echo = WholeMessage(request.unit, request.pdu)

    @property
    def echo_pattern(self) -> Pattern | None:
        """The pattern of the echo; None if that could be the reply."""
        return self.request.pattern.echo if self._echo is None else self._echo

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The frames that this attempt waits for.

        Where only silence ends the reply, the echo is waited for alone, or both would be taken for one frame.
        """
        reply, echo = self.request.pattern, self.echo_pattern
        if echo is None:
            return (reply,)
        if self.request.is_broadcast:
            return (echo,)
        return (echo,) if reply.length == UNKNOWN and self.lacks_echo else (reply, echo)

    @property
    def next_step(self) -> float:
        """When time alone does something with it."""
        is_unsent_broadcast = self.request.is_broadcast and not self.request.done
        return self.sent_until if is_unsent_broadcast else min(self.expires, self.look_at)

    @property
    def may_be_echo(self) -> bool:
        """Whether what is received may be the echo of our own frame."""
        return self.echo is not False and not self.echoed

    @property
    def lacks_echo(self) -> bool:
        """Whether a reply proves nothing yet, for the echo has not come: a write on a port that echoes; and anything
        whose reply may equal it, unless it is known that the port does not echo."""
        if self.echoed:
            return False
        request = self.request
        if request.pattern.can_equal_request:
            return self.echo is not False
        return bool(self.echo) and not request.is_read
