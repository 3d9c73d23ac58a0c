"""Modbus TCP frames as real devices send them: numbers the requests, and assigns each reply to its request. Floor 0.

* Each request carries a number (transaction identifier), and its reply repeats it. :class:`Numbers` issues the numbers
  for the life of a port, not of a connection: a gateway may keep a reply and deliver it on the next connection.
* The length field of a header is often wrong. If it disagrees with the function code and byte count of the reply to a
  known request, these decide: an exception has two bytes, whatever the header says.
* After a wrong header, nobody knows where the next frame begins. The same holds if a frame is unfinished when the next
  request leaves. Then :class:`MbapFraming` searches for the header of the reply to the newest request, and for nothing
  else.
* A bad frame whose end is known costs only its own request. Only a header that tells no end ends the stream.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from lumina_twisted.errors import FrameError
from lumina_twisted.framing import Decoded, Rejected
from lumina_twisted.framing.mbap import HEADER, LONGEST, encode_adu
from lumina_twisted.modbus.functions import EXCEPTION_FLAG, MAX_PDU, UNKNOWN, FunctionCode, reply_length
from lumina_twisted.modbus.reply import Pattern, ReplyPattern, reply_pattern

_IDS: Final = 1 << 16
STEP: Final = 3
"""Distance between consecutive numbers. Some devices answer with the number plus one, or with its two bytes swapped.
With this distance, such an answer never has the number of the next request."""
MOST_UNANSWERED: Final = 1024
"""How many unanswered numbers are not issued again. If there are more, the oldest may be issued again."""
_KNOWN: Final = 64
"""Requests of one connection whose late replies are recognised."""
_PREFIX: Final = 4
_EXCEPTION_PDU: Final = 2


class Numbers:
    """Issues the transaction identifiers of one port in order, from a random one on. 0 is never issued, because devices
    that do not repeat the number send 0.

    :param first: the number before the first one; random if it is not given.
    """

    def __init__(self, first: int | None = None) -> None:
        self._last = secrets.randbelow(_IDS) if first is None else first
        self._unanswered: dict[int, None] = {}

    def next(self) -> int:
        """A number that no unanswered request has."""
        number = self._last
        while not number or number == self._last or number in self._unanswered:
            number = (number + STEP) % _IDS
        self._last = number
        if len(self._unanswered) >= MOST_UNANSWERED:
            del self._unanswered[next(iter(self._unanswered))]
        self._unanswered[number] = None
        return number

    def is_unanswered(self, number: int) -> bool:
        """Whether a reply with this number may still come."""
        return number in self._unanswered

    def answered(self, number: int) -> None:
        """The reply with this number came. No other reply with it is expected."""
        self._unanswered.pop(number, None)


class _Asked:
    """A request that left over this connection."""

    __slots__ = ("is_answered", "is_open", "number", "pdu", "unit")

    def __init__(self, number: int, unit: int, pdu: bytes) -> None:
        self.number = number
        self.unit = unit
        self.pdu = pdu
        self.is_open = True  # its reply counts
        self.is_answered = False

    def fits(self, code: int) -> bool:
        """Whether a reply with this function code answers it."""
        return code & ~EXCEPTION_FLAG == self.pdu[0]

    def reply_size(self, buffer: bytearray, said: int) -> int | None:
        """Length of the reply's PDU, which follows the header in ``buffer``; None while more bytes are needed.

        :param said: the length according to the header. It counts if the function tells no length, or a length that
            does not fit the request.
        """
        if buffer[HEADER] & EXCEPTION_FLAG:
            return _EXCEPTION_PDU
        expected = self.pattern.length
        counted = expected if buffer[HEADER] == FunctionCode.DIAGNOSTICS else reply_length(buffer, HEADER)
        if counted == UNKNOWN:
            return said
        if not counted:
            return None
        return said if counted > MAX_PDU or 0 < expected != counted else counted

    @property
    def pattern(self) -> ReplyPattern:
        """What its reply looks like."""
        return reply_pattern(self.unit, self.pdu)


class MbapFraming:
    """The Modbus TCP frames of one port. The object lasts as long as the port, through all of its connections.

    :param numbers: the transaction identifiers.
    :param takes_zero: whether a reply with the number 0 answers the only request under way.
    """

    is_numbered = True
    has_wire_time = False
    junk = 0
    damaged: tuple[Pattern, ...] = ()

    def __init__(self, numbers: Numbers | None = None, takes_zero: bool = False) -> None:
        self._numbers = numbers or Numbers()
        self._takes_zero = takes_zero
        self.on_odd: Callable[[str], None] = lambda what: None
        """Called if a reply is irregular but used all the same, with the irregularity as a part of a sentence."""
        self.reset()

    def reset(self) -> None:
        """See :class:`lumina_twisted.framing.Framing`."""
        self._buffer = bytearray()
        self._asked: dict[int, _Asked] = {}
        self._open: dict[tuple[int, int], _Asked] = {}
        self._newest: _Asked | None = None
        self._unanswered = 0
        self._is_looked_through = True  # no whole frame is left in the buffer
        self._in_doubt = False  # whether nobody knows where the next frame begins

    def __len__(self) -> int:
        return 0  # an incomplete frame proves nothing

    def clear(self) -> None:
        """See :class:`lumina_twisted.framing.Framing`. Does nothing: the number tells which request a reply answers."""

    def take_whole(self, data: bytes, pattern: ReplyPattern) -> bytes | None:
        """See :class:`lumina_twisted.framing.Framing`. Always None: the number of each reply must be checked."""
        return None

    def begun(self, pattern: Pattern) -> bool:
        """See :class:`lumina_twisted.framing.Framing`."""
        return False

    def end_of_burst(self, patterns: tuple[Pattern, ...]) -> Decoded | None:
        """See :class:`lumina_twisted.framing.Framing`. Always None: silence ends no frame here."""
        return None

    def encode(self, unit: int, pdu: bytes) -> bytes:
        """Encodes a request that leaves now.

        A reply to an earlier request of the same unit and function no longer counts, because the two replies could be
        confused. A frame that is unfinished now belongs to a request whose time is over.
        """
        self._in_doubt = self._in_doubt or bool(self._buffer and self._is_looked_through)
        asked = _Asked(self._numbers.next(), unit, pdu)
        if before := self._open.get((unit, pdu[0])):
            before.is_open = False
        self._open[unit, pdu[0]] = self._asked[asked.number] = self._newest = asked
        if len(self._asked) > _KNOWN:
            self._forget(self._asked.pop(next(iter(self._asked))))
        self._unanswered += 1
        return encode_adu(asked.number, unit, pdu)

    def receive(self, data: bytes) -> None:
        """See :class:`lumina_twisted.framing.Framing`."""
        if self._buffer and self._begins_anew(data):
            self._buffer.clear()
        self._buffer += data
        self._is_looked_through = False

    def next_frame(self, patterns: tuple[Pattern, ...]) -> Decoded | Rejected | None:
        """See :class:`lumina_twisted.framing.Framing`."""
        found = None
        if len(self._buffer) >= HEADER - 1 and (not self._in_doubt or self._seek()):
            found = self._next(patterns)
        if found is None:
            self._is_looked_through = True
        return found

    def _begins_anew(self, data: bytes) -> bool:
        """Whether a segment begins with a frame of its own, so that the unfinished frame before it stays unfinished.
        Joined, the two would give a value that no device sent."""
        if len(data) >= HEADER - 1 and not data[2] | data[3] | data[4]:
            number = data[0] << 8 | data[1]
            if number in self._asked or self._numbers.is_unanswered(number):
                return True
        due = HEADER - 1 + (self._buffer[4] << 8 | self._buffer[5]) if len(self._buffer) >= HEADER - 1 else 0
        return len(self._buffer) + len(data) != due and _are_frames(data)

    def _next(self, patterns: tuple[Pattern, ...]) -> Decoded | Rejected | None:
        """The frame that begins the buffer, or None until more bytes come."""
        buffer = self._buffer
        protocol, length = buffer[2] << 8 | buffer[3], buffer[4] << 8 | buffer[5]
        if protocol:
            return self._other_protocol(protocol, patterns)
        number = buffer[0] << 8 | buffer[1]
        asked = self._asked_as(number)
        has_code = len(buffer) > HEADER
        if asked is not None and has_code and asked.fits(buffer[HEADER]):
            return self._reply(asked, length, patterns)
        if asked is not None and length > 1 and not has_code:
            return None
        return self._odd(number, asked, length)

    def _other_protocol(self, protocol: int, patterns: tuple[Pattern, ...]) -> Decoded | Rejected | None:
        """The header is not one of Modbus TCP. The stream ends, unless the reply to the newest request follows."""
        self._in_doubt = prefix_stands = self._buffer.find(self._prefix, 1) > 0 and bool(self._prefix)
        if not prefix_stands:
            raise FrameError(f"its protocol identifier is {protocol}, Modbus has 0", frame=bytes(self._buffer[:HEADER]))
        return self._next(patterns) if self._seek() else None

    @property
    def _prefix(self) -> bytes:
        """The first bytes of the reply to the newest request; empty if no reply is due."""
        newest = self._newest
        return b"" if newest is None or not newest.is_open else encode_adu(newest.number, 0, b"\0")[:_PREFIX]

    def _asked_as(self, number: int) -> _Asked | None:
        """The request that a reply with this number answers; None if no known request has the number."""
        newest = self._newest
        if not number and self._takes_zero and newest is not None and newest.is_open and self._unanswered == 1:
            return newest
        return self._asked.get(number)

    def _reply(self, asked: _Asked, length: int, patterns: tuple[Pattern, ...]) -> Decoded | Rejected | None:
        """Takes a frame that has the function of a known request; the function tells where the frame ends."""
        buffer = self._buffer
        size = asked.reply_size(buffer, length - 1)
        if size is not None and size < 1:
            return self._odd(asked.number, asked, length)
        if size is not None and size > MAX_PDU:
            raise FrameError(_wrong_length(length), frame=bytes(buffer[:HEADER]))
        if size is None or len(buffer) < HEADER + size:
            return None
        pdu = self._take(HEADER + size)[HEADER:]
        self._in_doubt = length != size + 1
        if not asked.is_open:
            return Rejected("late", "")
        if not self._in_doubt and any(buffer[2:5]):  # no header follows: this frame has a part of another
            self._in_doubt = True
            return self._spoiled(asked, "its reply is cut short by another frame")
        if not asked.pattern.fits(pdu):
            self._in_doubt = True
            return self._spoiled(asked, f"its reply has another form than what was asked, {pdu[:8].hex(' ')}")
        self._answered(asked)
        if self._in_doubt:
            self.on_odd(f"its length field says {length} where the reply has {size + 1}")
        unit = asked.unit  # many devices repeat it wrongly; the number says whose reply it is
        pattern = next((one for one in patterns if one.unit == unit and one.fits(pdu)), None)
        return Decoded(unit, pdu, HEADER + size, pattern)

    def _odd(self, number: int, asked: _Asked | None, length: int) -> Rejected | None:
        """Takes a frame of which only the end is of use."""
        buffer = self._buffer
        if length > LONGEST:
            raise FrameError(_wrong_length(length), frame=bytes(buffer[:HEADER]))
        if len(buffer) < HEADER - 1 + length:
            return None
        taken = self._take(HEADER - 1 + length)
        self._in_doubt = length < 2
        if asked is None or not asked.is_open:
            return Rejected("late", "" if asked else self._unasked(number))
        if length < 2:
            return self._spoiled(asked, "its reply is a header and nothing else")
        return self._spoiled(asked, f"its reply is one of function {taken[HEADER]}")

    def _spoiled(self, asked: _Asked, what: str) -> Rejected:
        self._answered(asked)
        return Rejected("spoiled", what) if asked is self._newest else Rejected("foreign", "")

    def _unasked(self, number: int) -> str:
        """Describes a reply whose number no known request has."""
        newest = self._newest
        if newest is None or not newest.is_open:
            return ""
        came = f"a reply with transaction identifier {number} came where {newest.number} was asked"
        if number == newest.number >> 8 | (newest.number & 255) << 8:
            return f"{came}, its two bytes are swapped"
        return f"{came}; zero_ids = true takes it" if not number and not self._takes_zero else came

    def _answered(self, asked: _Asked) -> None:
        self._forget(asked)
        self._unanswered -= not asked.is_answered
        asked.is_answered, asked.is_open = True, False
        self._numbers.answered(asked.number)

    def _forget(self, asked: _Asked) -> None:
        key = asked.unit, asked.pdu[0]
        if self._open.get(key) is asked:
            del self._open[key]

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _seek(self) -> bool:
        """Moves on to the start of the reply to the newest request, and drops the bytes before it.

        :return: whether its header is there.
        """
        buffer, prefix, start = self._buffer, self._prefix, 0
        while prefix and (at := buffer.find(prefix, start)) >= 0:
            stands = self._begins_at(at)
            if stands is not False:
                del buffer[:at]
                return stands is True
            start = at + 1
        del buffer[: max(0, len(buffer) - HEADER)]
        return False

    def _begins_at(self, at: int) -> bool | None:
        """Whether the reply to the newest request begins at ``at``; None while more bytes are needed."""
        buffer = self._buffer
        assert self._newest is not None, "its number was found"
        if len(buffer) < at + HEADER:
            return None
        if not buffer[at + 4] and buffer[at + 5] < 2 and len(buffer) == at + HEADER:
            return True
        return None if len(buffer) == at + HEADER else self._newest.fits(buffer[at + HEADER])


def _are_frames(data: bytes) -> bool:
    """Whether a segment consists of whole frames only, according to their headers."""
    at = 0
    while at + HEADER < len(data) and not data[at + 2] | data[at + 3] | data[at + 4] and data[at + 5] > 1:
        at += HEADER - 1 + data[at + 5]
    return at == len(data)


def _wrong_length(length: int) -> str:
    return f"its length field says {length}, a frame of Modbus TCP has 2 to {LONGEST}"
