"""What is received on a bus: bytes in, messages that somebody waits for or that are foreign out; and what became of a
reply that did not come whole. Floor 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from lumina_twisted.bus.transaction import Attempt
from lumina_twisted.framing.base import Decoded, Framing, Rejected
from lumina_twisted.framing.rtu import OVERHEAD
from lumina_twisted.modbus.functions import UNKNOWN
from lumina_twisted.modbus.reply import Pattern, ReplyPattern
from lumina_twisted.statistics.counters import Fault

LONGEST_PAUSE: Final = 0.05
"""Longer than an adapter pauses inside a frame: a reply that stopped this long ago does not go on."""

PAUSE_AFTER_ALL: Final = 0.02
"""The same after a frame that came whole, and damaged."""


class Receiver:
    """What a bus receives: its framing, the frames that are waited for, and when silence may end one of them."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._patterns: tuple[Pattern, ...] = ()
        self._received_at = -math.inf
        self.silence_at = math.inf
        self._known_junk = 0

    @property
    def junk(self) -> int:
        """Bytes so far that belonged to no frame."""
        return self._framing.junk

    @property
    def unread(self) -> int:
        """Bytes that may still become a frame."""
        return len(self._framing)

    def wait_for(self, patterns: tuple[Pattern, ...]) -> None:
        """These frames are waited for, instead of those before."""
        self._patterns = patterns

    def clear(self) -> None:
        """A request leaves: nothing that was received so far can belong to its reply."""
        self.silence_at = math.inf
        self._framing.clear()

    def reset(self) -> None:
        """The connection is a new one, or there is none."""
        self.silence_at = math.inf
        self._framing.reset()

    def receive(self, data: bytes, now: float) -> Iterator[Decoded | Rejected]:
        """Takes bytes off the wire; the frames they complete, one by one, for each may change what is waited for."""
        self._framing.receive(data)
        self._received_at = now
        while found := self._framing.next_frame(self._patterns):
            yield found

    def end_of_burst(self) -> Iterator[Decoded]:
        """The bus has been silent for T3.5; the frames that this completes."""
        self.silence_at = math.inf
        while found := self._framing.end_of_burst(self._patterns):
            yield found

    def note_silence(self, attempt: Attempt | None, now: float, t3_5: float) -> None:
        """Notes when silence, not length, may end what was received: a reply of unknown length, or one that junk
        hides."""
        self.silence_at = math.inf
        if attempt is not None and len(self._framing):
            length = attempt.request.pattern.length
            if length == UNKNOWN or len(self._framing) >= length + OVERHEAD:
                self.silence_at = now + t3_5

    def was_damaged(self, pattern: ReplyPattern) -> bool:
        """Whether the frame came whole, with a wrong CRC."""
        return pattern in self._framing.damaged

    def begun(self, pattern: ReplyPattern) -> bool:
        """Whether the frame began."""
        return self._framing.begun(pattern)

    def came_to_nothing(self, pattern: ReplyPattern, now: float) -> bool:
        """Whether the frame began, and will not be completed any more."""
        if self.was_damaged(pattern):
            return now >= self._received_at + PAUSE_AFTER_ALL
        return now >= self._received_at + LONGEST_PAUSE and self.begun(pattern)

    def has_nothing_to_come(self, attempt: Attempt, now: float) -> bool:
        """Whether the reply began and will not be completed any more. On a port that may echo, an echo that was hit
        looks the same."""
        return not attempt.may_be_echo and self.came_to_nothing(attempt.request.pattern, now)

    def anything_since(self, attempt: Attempt) -> bool:
        """Whether anything was received since the attempt began that is no message."""
        return self._framing.junk + len(self._framing) > attempt.junk

    def new_junk(self) -> bool:
        """Whether bytes came since the last call that belong to no frame."""
        before, self._known_junk = self._known_junk, self._framing.junk
        return before != self._known_junk

    def how_it_failed(self, attempt: Attempt, now: float) -> Fault:
        """In which way an attempt failed."""
        pattern = attempt.request.pattern
        if self.was_damaged(pattern):
            return Fault.WRONG_CRC
        if not attempt.may_be_echo and self.begun(pattern):  # one that still goes on is only late
            return Fault.CUT if self.came_to_nothing(pattern, now) else Fault.NO_REPLY
        return Fault.UNREADABLE if self.anything_since(attempt) else Fault.NO_REPLY
