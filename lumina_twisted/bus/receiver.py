"""Turns the bytes that a bus receives into messages, awaited or not; tells how an attempt failed. Floor 1."""

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

LONGEST_PAUSE_IN_FRAME: Final = 0.05
"""Seconds, longer than an adapter pauses inside a frame: a reply that stopped this long ago does not go on."""
PAUSE_AFTER_DAMAGED: Final = 0.02
"""Seconds without a byte after a complete frame with a wrong CRC, after which no other frame is expected."""


class Receiver:
    """The receiving side of a bus.

    :param framing: finds the frames.
    :param awaited: returns the patterns of the frames that the bus waits for.
    """

    def __init__(self, framing: Framing, awaited: Callable[[], tuple[Pattern, ...]]) -> None:
        self._framing = framing
        self._awaited = awaited
        self.patterns: tuple[Pattern, ...] | None = None
        """The patterns of the awaited frames; None if they may have changed."""
        self.received_at = -math.inf
        """When the last bytes were received."""
        self.is_clean = False
        """Whether nothing was received since the last request left, except complete replies with no other bytes."""
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
        """The connection is new, or was lost."""
        self.is_clean = False
        self._framing.reset()

    def receive(self, data: bytes, now: float) -> Iterator[Decoded | Rejected]:
        """Takes bytes off the wire. Yields each frame that they complete by itself: the caller may change the awaited
        patterns after each."""
        self.is_clean = False
        self._framing.receive(data)
        self.received_at = now
        while found := self._framing.next_frame(self._patterns()):
            yield found

    def end_of_burst(self) -> Iterator[Decoded]:
        """The bus has been silent for T3.5. Yields the frames that this silence completes."""
        while found := self._framing.end_of_burst(self._patterns()):
            yield found

    def _patterns(self) -> tuple[Pattern, ...]:
        if self.patterns is None:
            self.patterns = self._awaited()
        return self.patterns

    def may_end_by_silence(self, attempt: Attempt) -> bool:
        """Whether only silence can end what was received: its length is unknown, or junk precedes it."""
        length = attempt.request.pattern.length
        return length == UNKNOWN or len(self._framing) >= length + OVERHEAD

    def was_damaged(self, pattern: ReplyPattern) -> bool:
        """Whether the complete frame was received, with a wrong CRC."""
        return pattern in self._framing.damaged

    def begun(self, pattern: ReplyPattern) -> bool:
        """Whether the frame began."""
        return self._framing.begun(pattern)

    def came_to_nothing(self, pattern: ReplyPattern, now: float) -> bool:
        """Whether the frame began, and no more bytes of it are expected."""
        if self.was_damaged(pattern):
            return now >= self.received_at + PAUSE_AFTER_DAMAGED
        return now >= self.received_at + LONGEST_PAUSE_IN_FRAME and self.begun(pattern)

    def has_nothing_to_come(self, attempt: Attempt, now: float) -> bool:
        """Whether the reply began, and no more bytes of it are expected. Always False while an echo may come, because a
        damaged echo looks the same."""
        return not attempt.may_be_echo and self.came_to_nothing(attempt.request.pattern, now)

    def anything_since(self, attempt: Attempt) -> bool:
        """Whether bytes that form no message came since the attempt began."""
        return self._framing.junk + len(self._framing) > attempt.junk

    def how_it_failed(self, attempt: Attempt, now: float) -> Fault:
        """The kind of failure of an attempt."""
        pattern = attempt.request.pattern
        if self.was_damaged(pattern):
            return Fault.WRONG_CRC
        if not attempt.may_be_echo and self.begun(pattern):  # a frame that is still being received is late, not cut
            return Fault.CUT if self.came_to_nothing(pattern, now) else Fault.NO_REPLY
        return Fault.UNREADABLE if self.anything_since(attempt) else Fault.NO_REPLY
