"""What is heard on a bus: bytes in, frames that somebody waits for or that are foreign out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from lumina_twisted.bus.transaction import Attempt
from lumina_twisted.framing.base import Decoded, Framing, Rejected
from lumina_twisted.framing.rtu import OVERHEAD
from lumina_twisted.modbus.functions import UNKNOWN
from lumina_twisted.modbus.reply import Pattern, ReplyPattern

LONGEST_PAUSE: Final = 0.05
"""Longer than an adapter pauses inside a frame: a reply that stopped this long ago does not go on."""

PAUSE_AFTER_ALL: Final = 0.02
"""The same after a frame that came whole, and damaged."""


class Ear:
    """What a bus receives: its framing, the frames that are waited for, and when silence may end one of them."""

    def __init__(self, framing: Framing) -> None:
        self._decoder = framing
        self._patterns: tuple[Pattern, ...] = ()
        self._heard_at = -math.inf
        self.silence_at = math.inf

    @property
    def junk(self) -> int:
        """Bytes so far that belonged to no frame."""
        return self._decoder.junk

    @property
    def unread(self) -> int:
        """Bytes that may still become a frame."""
        return len(self._decoder)

    def wait_for(self, patterns: tuple[Pattern, ...]) -> None:
        """These frames are waited for, instead of those before."""
        self._patterns = patterns

    def clear(self) -> None:
        """A request leaves: nothing that was heard so far can belong to its reply."""
        self.silence_at = math.inf
        self._decoder.clear()

    def reset(self) -> None:
        """The connection is a new one, or there is none."""
        self.silence_at = math.inf
        self._decoder.reset()

    def receive(self, data: bytes, now: float) -> Iterator[Decoded | Rejected]:
        """Takes bytes off the wire; the frames they complete, one by one, for each may change what is waited for."""
        self._decoder.receive(data)
        self._heard_at = now
        while found := self._decoder.next_frame(self._patterns):
            yield found

    def end_of_burst(self) -> Iterator[Decoded]:
        """The bus has been silent for T3.5; the frames that this completes."""
        self.silence_at = math.inf
        while found := self._decoder.end_of_burst(self._patterns):
            yield found

    def note_silence(self, attempt: Attempt | None, now: float, t3_5: float) -> None:
        """Notes when silence, not length, may end what has been heard: a reply of unknown length, or one that junk
        hides."""
        self.silence_at = math.inf
        if attempt is not None and len(self._decoder):
            length = attempt.request.pattern.length
            if length == UNKNOWN or len(self._decoder) >= length + OVERHEAD:
                self.silence_at = now + t3_5

    def was_damaged(self, pattern: ReplyPattern) -> bool:
        """Whether the frame came whole, with a wrong CRC."""
        return pattern in self._decoder.damaged

    def begun(self, pattern: ReplyPattern) -> bool:
        """Whether the frame began."""
        return self._decoder.begun(pattern)

    def came_to_nothing(self, pattern: ReplyPattern, now: float) -> bool:
        """Whether the frame began, and will not be completed any more."""
        if self.was_damaged(pattern):
            return now >= self._heard_at + PAUSE_AFTER_ALL
        return now >= self._heard_at + LONGEST_PAUSE and self.begun(pattern)
