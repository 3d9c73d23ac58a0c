"""What the reply to one request looks like: rule 1 of the core, "a reply is accepted only if it is the reply"."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from lumina_twisted.framing.crc import crc16
from lumina_twisted.framing.rtu import AT_SILENCE, NO_MATCH, OVERHEAD, WholeFrame
from lumina_twisted.modbus.functions import (
    EXCEPTION_FLAG,
    EXCEPTION_RTU_ADU,
    MAX_PDU,
    UNKNOWN,
    Buffer,
    expected_reply_length,
    reply_head,
    reply_length,
)


class Shape(NamedTuple):
    """By what replies can be told apart without knowing their values; ``length`` is 0 where it varies, ``data`` what a
    reply to function 8 returns."""

    unit: int
    function_code: int
    length: int
    data: bytes = b""


class ReplyPattern:
    """The pattern of the reply to a request frame: how its bytes begin, and how many there are.

    ``head`` is all of a normal reply that the request determines: unit, function code, then the byte count of a read,
    or the echoed address, value and quantity of a write. None if no normal reply fits into a frame. ``echo`` is the
    pattern of the request itself as an echoing adapter hands it back; None if that could be the reply.

    :param frame: the request's RTU frame, whole.
    :param hint: length of the reply's frame as its caller guesses it; used for unknown functions only.
    """

    __slots__ = ("_exception_code", "_hint", "can_equal_request", "echo", "head", "length", "shape", "unit")

    def __init__(self, frame: bytes, hint: int = 0) -> None:
        pdu = frame[1:-2]
        self.unit = frame[0]
        self._exception_code = pdu[0] | EXCEPTION_FLAG
        self._hint = hint
        length = expected_reply_length(pdu)
        head = reply_head(pdu)
        self.head = None if head is None else frame[:1] + head
        self.length = length + OVERHEAD if length > 0 else length
        returned = self.head[2:] if pdu[0] == 8 and self.head is not None else b""
        self.shape = Shape(frame[0], pdu[0], max(self.length, 0), returned)
        self.can_equal_request = length == UNKNOWN or (
            self.length == len(frame) and self.head is not None and frame.startswith(self.head)
        )
        self.echo = None if self.can_equal_request else WholeFrame(frame)

    @property
    def expected_length(self) -> int:
        """Bytes of the reply's frame for the computation of times: the longest that is likely."""
        return self.length if self.length > 0 else self._hint if 0 < self._hint <= 256 else 64

    def measure(self, buffer: Buffer, start: int) -> int:
        """See :class:`lumina_twisted.framing.rtu.Pattern`."""
        head = self.head
        if head is not None:
            seen = buffer[start : start + len(head)]
            if seen == head:
                return self.length if self.length > 0 else self._length_in(buffer, start)
            if len(seen) < len(head) and head.startswith(seen):
                return 0
        if buffer[start] != self.unit:
            return NO_MATCH
        if len(buffer) == start + 1:
            return 0
        return EXCEPTION_RTU_ADU if buffer[start + 1] == self._exception_code else NO_MATCH

    def is_exception(self, frame: bytes) -> bool:
        """Whether a frame that this pattern found is an exception reply."""
        return frame[1] == self._exception_code

    def _length_in(self, buffer: Buffer, start: int) -> int:
        if self.length == UNKNOWN:
            whole = self._hint and len(buffer) - start == self._hint and crc16(bytes(buffer[start:])) == 0
            return self._hint if whole else AT_SILENCE
        length = reply_length(buffer, start + 1)
        if length > MAX_PDU:
            return NO_MATCH
        return length + OVERHEAD if length else 0


@lru_cache(maxsize=4096)
def reply_pattern(frame: bytes, hint: int = 0) -> ReplyPattern:
    """The pattern of the reply to ``frame``; programs ask the same again and again, so it is kept."""
    return ReplyPattern(frame, hint)
