"""What the reply to one request looks like: rule 1 of the core, "a reply is accepted only if it is the reply".
Floor 0.

A pattern checks units and PDUs. Where the framing does not mark the end of a reply (RTU), the decoder asks the pattern
for the length of the reply that begins at a given byte; see :class:`Pattern`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from lumina_twisted.modbus.functions import (
    EXCEPTION_FLAG,
    FUNCTIONS,
    MAX_PDU,
    UNKNOWN,
    Buffer,
    Function,
    FunctionCode,
    function_of,
    reply_length,
)

NO_MATCH: Final = -1
AT_SILENCE: Final = 1 << 16
"""The length of a reply that only silence ends; greater than that of any frame."""
EXCEPTION_PDU: Final = 2
"""Bytes in the PDU of an exception."""
_LIKELY: Final = 61
"""Assumed bytes of a reply PDU of unknown length, for the computation of times."""
_MOST_HINTED: Final = MAX_PDU


class Shape(NamedTuple):
    """What distinguishes replies whose values are unknown. ``length`` is that of the PDU, 0 if it varies; ``data`` is
    what a reply to function 8 returns."""

    unit: int
    function_code: int
    length: int
    data: bytes = b""


class Pattern(Protocol):
    """The form of an awaited message."""

    unit: int
    hint: int
    """The guessed bytes of its PDU, if only silence ends the message; else 0."""

    def measure(self, buffer: Buffer, start: int) -> int:
        """The length of unit and PDU of the message at ``start``; :data:`NO_MATCH` if it is not this message, 0 while
        more bytes are needed, and :data:`AT_SILENCE` if only silence ends it."""
        ...

    def fits(self, pdu: bytes) -> bool:
        """Whether a whole PDU of this unit has this form."""
        ...


class WholeMessage:
    """The pattern of one exact message, such as the echo of a request."""

    __slots__ = ("_pdu", "_whole", "hint", "unit")

    def __init__(self, unit: int, pdu: bytes) -> None:
        self.unit = unit
        self._pdu = pdu
        self._whole = bytes((unit,)) + pdu
        self.hint = 0

    def measure(self, buffer: Buffer, start: int) -> int:
        """See :class:`Pattern`."""
        whole = self._whole
        return len(whole) if whole.startswith(buffer[start : start + len(whole)]) else NO_MATCH

    def fits(self, pdu: bytes) -> bool:
        """See :class:`Pattern`."""
        return pdu == self._pdu


def expected_reply(pdu: bytes, function: Function | None) -> tuple[int, bytes | None]:
    """The normal reply, as far as a whole request PDU determines it: its length, and its first bytes.

    :param function: the row of the request; see :func:`lumina_twisted.modbus.functions.function_of`.
    :return: the length and the first bytes. The length is 0 if it depends on the reply's own bytes, and
        :data:`UNKNOWN` if nothing determines it. For a quantity that no reply can hold, only an exception can be the
        answer: the length is 2 and the bytes are None.
    """
    if function is None:
        return UNKNOWN, pdu[:1]
    if function.byte_count is not None:
        if function.entry_bits:  # a plain read, the most frequent request: no call is needed
            count = (function.entry_bits * (pdu[3] << 8 | pdu[4]) + 7) // 8
        else:
            count = function.byte_count(pdu)
        return (2 + count, b"%c%c" % (pdu[0], count)) if count <= 255 else (2, None)
    head = pdu[: function.repeats]
    if function.is_as_long:
        returns_data = pdu[0] == FunctionCode.DIAGNOSTICS and not any(pdu[1:3])  # sub-function 0
        return len(pdu), pdu if returns_data else head
    return (function.reply if isinstance(function.reply, int) else 0), head


class ReplyPattern:
    """The pattern of the reply to a request: its first bytes and its length.

    ``head`` is the unit and the beginning of the normal reply's PDU, as far as the request determines it: the function
    code, then the byte count of a read, or the echoed address, value and quantity of a write. It is None if no normal
    reply fits into a frame. ``length`` is that of the normal reply's PDU: 0 if only the reply's own bytes determine it,
    UNKNOWN if nothing does. ``expected_length`` is the longest likely length, for the computation of times. ``is_read``
    says whether the request changes nothing on the device.

    :param hint: the length of the reply's PDU that the caller guesses; used for unknown functions only.
    """

    __slots__ = (
        "_echo", "_exception_code", "_pdu", "can_equal_request", "expected_length", "head", "hint", "is_read", "length",
        "shape", "unit",
    )

    def __init__(self, unit: int, pdu: bytes, hint: int = 0) -> None:
        self.unit = unit
        self.hint = hint
        self._exception_code = pdu[0] | EXCEPTION_FLAG
        self._pdu = pdu
        function = FUNCTIONS.get(pdu[0]) or function_of(pdu)
        self.is_read = function is not None and function.is_read
        length, head = expected_reply(pdu, function)
        self.length = length
        self.expected_length = length if length > 0 else hint if 0 < hint <= _MOST_HINTED else _LIKELY
        self.head = None if head is None else b"%c%b" % (unit, head)
        returned = head[1:] if pdu[0] == FunctionCode.DIAGNOSTICS and head is not None else b""
        self.shape = Shape(unit, pdu[0], length if length > 0 else 0, returned)
        self.can_equal_request = length == UNKNOWN or (
            length == len(pdu) and head is not None and pdu.startswith(head)
        )
        self._echo: WholeMessage | None = None

    @property
    def echo(self) -> WholeMessage | None:
        """The pattern of the request itself, which an echoing adapter returns; None if the echo could be the reply. It
        is made at the first use, because few requests need it."""
        if self._echo is None and not self.can_equal_request:
            self._echo = WholeMessage(self.unit, self._pdu)
        return self._echo

    def measure(self, buffer: Buffer, start: int) -> int:
        """See :class:`Pattern`."""
        head = self.head
        if head is not None:
            seen = buffer[start : start + len(head)]
            if seen == head:
                return self.length + 1 if self.length > 0 else self._length_in(buffer, start)
            if len(seen) < len(head) and head.startswith(seen):
                return 0
        if buffer[start] != self.unit:
            return NO_MATCH
        if len(buffer) == start + 1:
            return 0
        return 1 + EXCEPTION_PDU if buffer[start + 1] == self._exception_code else NO_MATCH

    def fits(self, pdu: bytes) -> bool:
        """Whether a whole PDU of its unit has the form of the reply."""
        if self.head is not None and pdu.startswith(self.head[1:]):
            length = self.length or reply_length(pdu)
            return length in (len(pdu), UNKNOWN)
        return len(pdu) == EXCEPTION_PDU and pdu[0] == self._exception_code

    def fits_in_length(self, pdu: bytes) -> bool:
        """Whether a PDU has the form of the reply, and its length was known before, or guessed right."""
        if self.length == UNKNOWN and len(pdu) != self.hint and pdu[0] != self._exception_code:
            return False
        return self.fits(pdu)

    def is_exception(self, pdu: bytes) -> bool:
        """Whether a PDU that this pattern found is an exception reply."""
        return pdu[0] == self._exception_code

    def _length_in(self, buffer: Buffer, start: int) -> int:
        if self.length == UNKNOWN:
            return AT_SILENCE
        length = reply_length(buffer, start + 1)
        if length > MAX_PDU:
            return NO_MATCH
        return length + 1 if length else 0


reply_pattern = lru_cache(maxsize=4096)(ReplyPattern)
"""The pattern of the reply to a PDU. Programs repeat the same requests, so the patterns are cached."""
