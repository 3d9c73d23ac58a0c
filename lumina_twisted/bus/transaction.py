"""One transaction on a bus: the client state diagram of Modbus over Serial Line V1.02, section 2.4.1, as a table.

Two rules are stricter than the diagram, for on a real bus foreign frames and junk are common:

* a frame that is not the reply is dropped and the response timeout goes on (the diagram gives up on a bad frame);
* sending and waiting are one state: the response timeout counts from the end of our last byte on the wire.

Processing takes no time here: those two states are left in the call that entered them. (The enumerations are of
integers because those are looked up faster.)
"""

from __future__ import annotations

import math
from enum import IntEnum, auto
from typing import Final

from lumina_twisted.bus.pending import Pending
from lumina_twisted.modbus.functions import UNKNOWN
from lumina_twisted.modbus.reply import Pattern, WholeMessage


class State(IntEnum):
    """Where a bus is."""

    IDLE = auto()
    WAITING_FOR_REPLY = auto()
    WAITING_TURNAROUND_DELAY = auto()
    PROCESSING_REPLY = auto()
    PROCESSING_ERROR = auto()


class Signal(IntEnum):
    """What can happen to it."""

    REQUEST_SENT = auto()
    BROADCAST_SENT = auto()
    FRAME_RECEIVED = auto()
    REPLY_ACCEPTED = auto()
    FRAME_REFUSED = auto()
    RESPONSE_TIMEOUT = auto()
    TURNAROUND_OVER = auto()
    ERROR_PROCESSED = auto()
    SEND_FAILED = auto()
    PORT_LOST = auto()


TABLE: Final[dict[tuple[State, Signal], State]] = {
    (State.IDLE, Signal.REQUEST_SENT): State.WAITING_FOR_REPLY,
    (State.IDLE, Signal.BROADCAST_SENT): State.WAITING_TURNAROUND_DELAY,
    (State.WAITING_FOR_REPLY, Signal.FRAME_RECEIVED): State.PROCESSING_REPLY,
    (State.WAITING_FOR_REPLY, Signal.RESPONSE_TIMEOUT): State.PROCESSING_ERROR,
    (State.WAITING_TURNAROUND_DELAY, Signal.TURNAROUND_OVER): State.IDLE,
    (State.PROCESSING_REPLY, Signal.REPLY_ACCEPTED): State.IDLE,
    (State.PROCESSING_REPLY, Signal.FRAME_REFUSED): State.WAITING_FOR_REPLY,
    (State.PROCESSING_ERROR, Signal.ERROR_PROCESSED): State.IDLE,
    (State.WAITING_FOR_REPLY, Signal.SEND_FAILED): State.IDLE,
    (State.WAITING_TURNAROUND_DELAY, Signal.SEND_FAILED): State.IDLE,
    (State.IDLE, Signal.PORT_LOST): State.IDLE,
    (State.WAITING_FOR_REPLY, Signal.PORT_LOST): State.IDLE,
    (State.WAITING_TURNAROUND_DELAY, Signal.PORT_LOST): State.IDLE,
}


class Attempt:
    """A request's frame on the wire, and what has been heard since.

    :param began: when its first byte left.
    :param sent_until: when its last byte leaves the wire.
    :param expires: when the bus stops waiting for its reply, or its turnaround delay ends.
    :param echo: whether the port echoes; None while nobody knows.
    :param junk: what the decoder had counted as junk before.
    :param number: how many frames had left before.
    """

    __slots__ = (
        "began", "echo", "echo_pattern", "echoed", "expires", "held", "held_took", "is_spoiled", "junk", "look_at",
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
        self.echo_pattern = request.pattern.echo
        if request.is_broadcast or (self.lacks_echo and request.pattern.length == UNKNOWN):
            self.echo_pattern = WholeMessage(request.unit, request.pdu)

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
    def lacks_echo(self) -> bool:
        """Whether a reply proves nothing yet, for the echo has not come: a write on a port that echoes; and anything
        whose reply may equal it, unless it is known that the port does not echo."""
        if self.echoed:
            return False
        request = self.request
        if request.pattern.can_equal_request:
            return self.echo is not False
        return bool(self.echo) and not request.is_read
