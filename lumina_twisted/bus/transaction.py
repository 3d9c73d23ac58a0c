"""One transaction on a bus: a request's frame on the wire, and what has been received since. Floor 1.

A transaction follows the client state diagram of Modbus over Serial Line V1.02, section 2.4.1. Two rules are stricter,
because foreign frames and junk are common on a real bus:

* A frame that is not the reply is dropped, and the response timeout goes on. (The diagram gives up on a bad frame.)
* Sending and waiting are one state. The response timeout counts from the end of our last byte on the wire.

A transaction without a reply leaves a :class:`LateReply`; see :mod:`lumina_twisted.bus.late_replies`.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.modbus.functions import UNKNOWN
from lumina_twisted.modbus.reply import EXCEPTION_PDU, Pattern, ReplyPattern, Shape, WholeMessage


class Answered(NamedTuple):
    """The PDU of the reply to ``request``; ``is_late`` if the reply came after its transaction had ended."""

    request: Pending
    pdu: bytes
    is_late: bool


class Unanswered(NamedTuple):
    """A transaction that ended without a reply.

    :param late: the reply that may still come; None if the message that came instead was the device's only answer.
    :param is_damaged: whether something came that proves nothing, such as a damaged reply: it is pointless to wait for
        more.
    """

    request: Pending
    late: LateReply | None
    is_damaged: bool


class Attempt:
    """A request's frame on the wire, and what has been received since.

    :param began: when the first byte of the frame left.
    :param sent_until: when its last byte leaves the wire.
    :param expires: when the bus stops waiting for the reply, or the turnaround delay of a broadcast ends.
    :param echo: whether the port echoes; None while that is unknown.
    :param junk: the number of received bytes before this attempt that belonged to no frame.
    :param number: the number of the frame; later frames have higher numbers.
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
        self.is_spoiled = False  # a reply with its number came, and proves nothing
        self.held: bytes | None = None  # a reply that came too soon
        self.held_took = 0.0  # seconds
        self.look_at = math.inf  # when to check whether more comes after a damaged reply
        self.misfit: bytes | None = None  # a PDU of its unit and function that does not have the form of its reply
        self.misfit_at = 0.0  # when that PDU came
        self._echo: Pattern | None = None
        if request.is_broadcast or (echo is not False and request.pattern.length == UNKNOWN):
            self._echo = WholeMessage(request.unit, request.pdu)

    @property
    def echo_pattern(self) -> Pattern | None:
        """The pattern of the echo; None if the echo could be the reply."""
        return self.request.pattern.echo if self._echo is None else self._echo

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The frames that this attempt waits for.

        If only silence ends the reply, the attempt first waits for the echo alone. Otherwise echo and reply would be
        taken for one frame.
        """
        reply, echo = self.request.pattern, self.echo_pattern
        if echo is None:
            return (reply,)
        if self.request.is_broadcast:
            return (echo,)
        return (echo,) if reply.length == UNKNOWN and self.lacks_echo else (reply, echo)

    @property
    def next_step(self) -> float:
        """The next time at which the bus has to check the attempt."""
        is_unsent_broadcast = self.request.is_broadcast and not self.request.done
        return self.sent_until if is_unsent_broadcast else min(self.expires, self.look_at)

    @property
    def may_be_echo(self) -> bool:
        """Whether the received bytes may be the echo of our own frame."""
        return self.echo is not False and not self.echoed

    @property
    def lacks_echo(self) -> bool:
        """Whether a reply proves nothing yet, because the echo has not come. This holds for a write on a port that
        echoes. It also holds for any request whose reply may equal it, unless the port is known not to echo."""
        if self.echoed:
            return False
        request = self.request
        if request.pattern.can_equal_request:
            return self.echo is not False
        return bool(self.echo) and not request.is_read


_MOST_NUMBERS: Final = 32
"""How many numbers are kept for the attempts of one request, or the canaries of one shape."""


class LateReply:
    """The replies to one request that may still come, in the order of the device: the ``numbers`` of its unanswered
    attempts, oldest first."""

    __slots__ = (
        "awaits_echo", "expired_at", "held", "held_took", "is_damaged", "is_misanswered", "lapses", "more", "numbers",
        "request",
    )

    def __init__(self, request: Pending, expired_at: float) -> None:
        self.request = request
        self.numbers: list[int] = []
        self.more = 0  # further attempts, which count as the oldest, so that their replies never prove too much
        self.expired_at = self.lapses = expired_at
        self.is_damaged = False  # something came that was perhaps the reply, and proves nothing
        self.is_misanswered = False  # another message came, which may have been a copy of an earlier reply
        self.awaits_echo = False  # the echo has not come either, so the first copy that comes is the echo
        self.held: bytes | None = None  # a reply that came too soon; it counts if nothing else comes
        self.held_took = 0.0  # seconds

    @property
    def pattern(self) -> ReplyPattern:
        """The pattern of the late reply."""
        return self.request.pattern

    @property
    def key(self) -> Shape:
        """The shape of the reply, marked if it is another master's. So it can be in doubt at the same time as one of
        ours with the same shape."""
        shape = self.request.pattern.shape
        return key_of_other(shape) if self.request.kind is Kind.OTHER_MASTER else shape

    @property
    def teaches(self) -> bool:
        """Whether the bus can learn about the unit from it when it comes late or does not come."""
        return self.held is None and self.request.kind is not Kind.CANARY and self.request.kind is not Kind.OTHER_MASTER

    def add(self, number: int) -> None:
        """Adds one more unanswered attempt."""
        self.numbers.append(number)
        if len(self.numbers) > _MOST_NUMBERS:
            del self.numbers[1]
            self.more += 1

    def take(self) -> int:
        """A reply came, which counts as the reply to the oldest attempt.

        :return: the number of that attempt.
        """
        if not self.more:
            return self.numbers.pop(0)
        self.more -= 1
        return self.numbers[0]

    def forget_before(self, number: int) -> None:
        """No attempt before this number is answered any more."""
        if self.more and self.numbers[0] < number and (len(self.numbers) == 1 or self.numbers[1] >= number):
            self.numbers[0] = number  # some attempts that count as the oldest may be younger
            return
        if self.numbers[0] < number:
            self.more = 0
        self.numbers = [one for one in self.numbers if one >= number]

    def fits(self, pdu: bytes) -> bool:
        """Whether a PDU has the form of this reply."""
        if self.request.kind is Kind.OTHER_MASTER:  # one object stands for several requests, whatever they ask for
            length = self.pattern.shape.length
            return len(pdu) in (length, EXCEPTION_PDU) or not length
        return self.pattern.fits(pdu)


def key_of_other(shape: Shape) -> Shape:
    """The key of a reply to another master."""
    return shape._replace(data=b"other master's" + shape.data)
