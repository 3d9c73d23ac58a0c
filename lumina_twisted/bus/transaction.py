"""One transaction on a bus: a request's frame on the wire, and what has been received since. Floor 1.

The client state diagram of Modbus over Serial Line V1.02, section 2.4.1, is followed with two rules that are stricter,
for on a real bus foreign frames and junk are common:

* a frame that is not the reply is dropped and the response timeout goes on (the diagram gives up on a bad frame);
* sending and waiting are one state: the response timeout counts from the end of our last byte on the wire.

A transaction without a reply leaves a :class:`LateReply`; see :mod:`lumina_twisted.bus.late_replies`.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.modbus.functions import UNKNOWN
from lumina_twisted.modbus.reply import EXCEPTION_PDU, Pattern, ReplyPattern, Shape, WholeMessage


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


_MOST_NUMBERS: Final = 32
"""Attempts of one request, or canaries of one shape, whose numbers are kept."""


class LateReply:
    """What one request is still to be answered, by the device's order: ``numbers`` of its attempts, oldest first."""

    __slots__ = (
        "awaits_echo", "expired_at", "held", "held_took", "is_damaged", "is_misanswered", "lapses", "more", "numbers",
        "request",
    )

    def __init__(self, request: Pending, expired_at: float) -> None:
        self.request = request
        self.numbers: list[int] = []
        self.more = 0  # so many others, which count as the oldest: what they prove is never too much
        self.expired_at = self.lapses = expired_at
        self.is_damaged = False  # the reply seems to have come, in a state that proves nothing
        self.is_misanswered = False  # something else came, which may have been an earlier reply's copy
        self.awaits_echo = False  # not even the echo came yet, so the first copy that comes is the echo
        self.held: bytes | None = None  # a reply that came too soon; it counts if nothing else comes
        self.held_took = 0.0  # seconds

    @property
    def pattern(self) -> ReplyPattern:
        """What the late reply looks like."""
        return self.request.pattern

    @property
    def key(self) -> Shape:
        """Its shape; another master's may be in doubt beside one of ours of the same shape."""
        shape = self.request.pattern.shape
        return key_of_other(shape) if self.request.kind is Kind.OTHER_MASTER else shape

    @property
    def teaches(self) -> bool:
        """Whether it says something of the unit that it comes late, or not at all."""
        return self.held is None and self.request.kind is not Kind.CANARY and self.request.kind is not Kind.OTHER_MASTER

    def add(self, number: int) -> None:
        """One more attempt was not answered."""
        self.numbers.append(number)
        if len(self.numbers) > _MOST_NUMBERS:
            del self.numbers[1]
            self.more += 1

    def take(self) -> int:
        """One reply came: that to the oldest attempt, for all that anybody knows; its number."""
        if not self.more:
            return self.numbers.pop(0)
        self.more -= 1
        return self.numbers[0]

    def forget_before(self, number: int) -> None:
        """Attempts before this one are not answered any more."""
        if self.more and self.numbers[0] < number and (len(self.numbers) == 1 or self.numbers[1] >= number):
            self.numbers[0] = number  # some of those that count as the oldest may be younger
            return
        if self.numbers[0] < number:
            self.more = 0
        self.numbers = [one for one in self.numbers if one >= number]

    def fits(self, pdu: bytes) -> bool:
        """Whether a PDU has the form of this reply."""
        if self.request.kind is Kind.OTHER_MASTER:  # several of another master's share this, whatever they asked for
            length = self.pattern.shape.length
            return len(pdu) in (length, EXCEPTION_PDU) or not length
        return self.pattern.fits(pdu)


def key_of_other(shape: Shape) -> Shape:
    """The key of another master's."""
    return shape._replace(data=b"other master's" + shape.data)
