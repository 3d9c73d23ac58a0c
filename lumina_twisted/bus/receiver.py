"""What is received on a bus: bytes in, messages that somebody waits for or that are foreign out; and what became of a
reply that did not come whole. Floor 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from lumina_twisted.bus.transaction import Attempt
from lumina_twisted.framing import Decoded, Framing, Rejected
from lumina_twisted.framing.rtu import OVERHEAD
from lumina_twisted.modbus.functions import UNKNOWN
from lumina_twisted.modbus.reply import Pattern, ReplyPattern
from lumina_twisted.statistics.counters import Fault

LONGEST_PAUSE: Final = 0.05
"""Longer than an adapter pauses inside a frame: a reply that stopped this long ago does not go on."""

PAUSE_AFTER_ALL: Final = 0.02
"""The same after a frame that came whole, and damaged."""


class Receiver:
    """What a bus receives.

    :param framing: finds the frames.
    :param awaited: tells for which of them the bus waits.
    """

    def __init__(self, framing: Framing, awaited: Callable[[], tuple[Pattern, ...]]) -> None:
        self._framing = framing
        self._awaited = awaited
        self.patterns: tuple[Pattern, ...] | None = None
        """What is waited for; None if that may have changed."""
        self.received_at = -math.inf
        """When the last bytes came."""
        self.is_clean = False
        """Whether nothing has come since the last request left, but for replies that came whole and alone."""
        self._known_junk = 0

    def clear(self) -> bool:
        """A request leaves: nothing that was received so far can belong to its reply.

        :return: whether bytes came since the last call that belong to no frame.
        """
        self.is_clean = True
        self._framing.clear()
        before, self._known_junk = self._known_junk, self._framing.junk
        return before != self._known_junk

    def reset(self) -> None:
        """The connection is a new one, or there is none."""
        self.is_clean = False
        self._framing.reset()

    def receive(self, data: bytes, now: float) -> Iterator[Decoded | Rejected]:
        """Takes bytes off the wire; the frames they complete, one by one, for each may change what is waited for."""
        self.is_clean = False
        self._framing.receive(data)
        self.received_at = now
        while found := self._framing.next_frame(self._patterns()):
            yield found

    def end_of_burst(self) -> Iterator[Decoded]:
        """The bus has been silent for T3.5; the frames that this completes."""
        while found := self._framing.end_of_burst(self._patterns()):
            yield found

    def _patterns(self) -> tuple[Pattern, ...]:
        if self.patterns is None:
            self.patterns = self._awaited()
        return self.patterns

    def may_end_by_silence(self, attempt: Attempt) -> bool:
        """Whether silence, not length, may end what was received: a reply of unknown length, or one that junk hides."""
        length = attempt.request.pattern.length
        return length == UNKNOWN or len(self._framing) >= length + OVERHEAD

    def was_damaged(self, pattern: ReplyPattern) -> bool:
        """Whether the frame came whole, with a wrong CRC."""
        return pattern in self._framing.damaged

    def begun(self, pattern: ReplyPattern) -> bool:
        """Whether the frame began."""
        return self._framing.begun(pattern)

    def came_to_nothing(self, pattern: ReplyPattern, now: float) -> bool:
        """Whether the frame began, and will not be completed any more."""
        if self.was_damaged(pattern):
            return now >= self.received_at + PAUSE_AFTER_ALL
        return now >= self.received_at + LONGEST_PAUSE and self.begun(pattern)

    def has_nothing_to_come(self, attempt: Attempt, now: float) -> bool:
        """Whether the reply began and will not be completed any more. On a port that may echo, an echo that was hit
        looks the same."""
        return not attempt.may_be_echo and self.came_to_nothing(attempt.request.pattern, now)

    def anything_since(self, attempt: Attempt) -> bool:
        """Whether anything was received since the attempt began that is no message."""
        return self._framing.junk + len(self._framing) > attempt.junk

    def how_it_failed(self, attempt: Attempt, now: float) -> Fault:
        """In which way an attempt failed."""
        pattern = attempt.request.pattern
        if self.was_damaged(pattern):
            return Fault.WRONG_CRC
        if not attempt.may_be_echo and self.begun(pattern):  # one that still goes on is only late
            return Fault.CUT if self.came_to_nothing(pattern, now) else Fault.NO_REPLY
        return Fault.UNREADABLE if self.anything_since(attempt) else Fault.NO_REPLY
