"""One late reply: what a request is still to be answered. Floor 1. See :mod:`lumina_twisted.bus.late_replies`."""

from __future__ import annotations

from typing import Final

from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.modbus.reply import EXCEPTION_PDU, ReplyPattern, Shape

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
        return key_of_other(shape) if self.request.kind is Kind.FOREIGN else shape

    @property
    def teaches(self) -> bool:
        """Whether it says something of the unit that it comes late, or not at all."""
        return self.held is None and self.request.kind is not Kind.CANARY and self.request.kind is not Kind.FOREIGN

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
        if self.request.kind is Kind.FOREIGN:  # several of another master's share this, whatever they asked for
            length = self.pattern.shape.length
            return len(pdu) in (length, EXCEPTION_PDU) or not length
        return self.pattern.fits(pdu)


def key_of_other(shape: Shape) -> Shape:
    """The key of another master's."""
    return shape._replace(data=b"other master's" + shape.data)
