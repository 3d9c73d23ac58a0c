"""The RTU frame: unit, PDU, CRC (Modbus over Serial Line V1.02, section 2.5.1), the times of its characters (section
2.5.1.1), and a decoder that finds frames in a stream of bytes which may begin, continue or end with junk. Floor 0.

Times are in seconds. A character counts 11 bits, as the specification does, also where 8N1 puts 10 on the wire.

The decoder knows two things about the stream. *Patterns* are frames somebody waits for: they are found at any offset,
so that junk in front of a reply costs nothing. An unawaited frame counts only if it is complete and begins a burst of
bytes: the bytes of a long frame may contain a valid short one by chance.

While a match is incomplete, later matches wait. If its CRC turns out to be wrong, the search goes on one byte later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final

from lumina_twisted.errors import FrameError, RequestError
from lumina_twisted.framing import Decoded
from lumina_twisted.framing.crc import append_crc, crc16
from lumina_twisted.modbus.functions import (
    MAX_PDU,
    UNKNOWN,
    Buffer,
    reply_length,
    request_length,
)
from lumina_twisted.modbus.reply import AT_SILENCE, NO_MATCH, Pattern, ReplyPattern

MAX_RTU_ADU: Final = 256
"""Bytes of the longest RTU frame: unit, PDU, CRC (Modbus over Serial Line V1.02, section 2.5.1)."""
MIN_RTU_ADU: Final = 4
"""Bytes of the shortest RTU frame: unit, function code, CRC."""
EXCEPTION_RTU_ADU: Final = 5
"""Bytes of an exception reply's RTU frame: unit, function code + 0x80, exception code, CRC."""
_CRC: Final = 2
"""Bytes of a CRC."""
OVERHEAD: Final = 3
"""Bytes that RTU adds to a PDU: unit and CRC."""
BITS_PER_CHARACTER: Final = 11
FAST_BAUDRATE: Final = 19200
"""Above this rate (not at it) T1.5 and T3.5 are fixed."""
FIXED_T1_5: Final = 0.000750
FIXED_T3_5: Final = 0.001750
RESPONSE_MARGIN: Final = 0.020
"""Seconds that the response timeout adds to the time of the characters."""


def encode_adu(unit: int, pdu: bytes) -> bytes:
    """The RTU frame of a PDU.

    :raises RequestError: if the unit is no byte, or the PDU empty or longer than 253 bytes.
    """
    check_adu(unit, pdu)
    return append_crc(bytes((unit,)) + pdu)


def check_adu(unit: int, pdu: bytes) -> None:
    """Refuses what cannot be framed.

    :raises RequestError: if the unit is no byte, or the PDU empty or longer than 253 bytes.
    """
    if not 0 <= unit <= 255:
        raise RequestError(f"unit {unit} is not from 0 to 255", unit=unit)
    if not 0 < len(pdu) <= MAX_PDU:
        raise RequestError(f"a PDU has 1 to {MAX_PDU} bytes, not {len(pdu)}", unit=unit)


def decode_adu(frame: bytes) -> tuple[int, bytes]:
    """Unit and PDU of an RTU frame.

    :raises FrameError: if it is too short, too long, or its CRC is wrong.
    """
    if not MIN_RTU_ADU <= len(frame) <= MAX_RTU_ADU:
        raise FrameError(f"an RTU frame has {MIN_RTU_ADU} to {MAX_RTU_ADU} bytes, not {len(frame)}", frame=frame)
    if crc16(frame) != 0:
        raise FrameError("wrong CRC", unit=frame[0], function_code=frame[1], frame=frame)
    return frame[0], frame[1:-2]


def check_request_frame(frame: bytes) -> None:
    """Refuses what is no request: a wrong CRC, or a length that its function code contradicts.

    :raises FrameError: with a sentence for the person who wrote the frame.
    """
    decode_adu(frame)
    length = request_length(frame, 1)
    if length not in (UNKNOWN, len(frame) - OVERHEAD):
        code = frame[1]
        raise FrameError(
            f"a request of function {code} does not have {len(frame)} bytes", function_code=code, frame=frame
        )


def character_time(baudrate: int, bits: int = BITS_PER_CHARACTER) -> float:
    """Time of one character."""
    return bits / baudrate


def wire_time(baudrate: int, length: int, bits: int = BITS_PER_CHARACTER) -> float:
    """Time of ``length`` bytes sent without a pause."""
    return length * bits / baudrate


def t1_5(baudrate: int, bits: int = BITS_PER_CHARACTER) -> float:
    """The longest pause inside a frame."""
    return FIXED_T1_5 if baudrate > FAST_BAUDRATE else 1.5 * bits / baudrate


def t3_5(baudrate: int, bits: int = BITS_PER_CHARACTER) -> float:
    """The shortest silence between frames."""
    return FIXED_T3_5 if baudrate > FAST_BAUDRATE else 3.5 * bits / baudrate


def shortest_response_timeout(baudrate: int, expected_length: int, bits: int = BITS_PER_CHARACTER) -> float:
    """The mission's formula: 1.5 x character time x expected length + 20 ms, from the end of the request."""
    return 1.5 * bits / baudrate * expected_length + RESPONSE_MARGIN


_PIECES: Final = 16
"""How many of the latest received pieces the decoder remembers: another master's request may begin with one of them."""


class Decoder:
    """Finds frames in a stream. ``junk`` counts the bytes that belonged to no frame.

    Callers pass the same tuple object of patterns while they wait for the same frames. Then no byte is searched twice,
    and noise costs little.

    :param unawaited_length: gives the length of a frame that no pattern fits, as
        :func:`lumina_twisted.modbus.functions.reply_length` does.
    :param request_length_of: likewise, tried where the first one finds no frame.
    """

    def __init__(
        self, unawaited_length: Callable[[Buffer, int], int] = reply_length,
        request_length_of: Callable[[Buffer, int], int] | None = None,
    ) -> None:
        self._buffer = bytearray()
        self._unawaited_length = unawaited_length
        self._request_length_of = request_length_of
        self._burst = True  # whether the buffer begins where a burst of bytes began
        self._pieces: list[int] = []  # where the latest pieces of it begin
        self._patterns: tuple[Pattern, ...] = ()
        self._looked_at = 0  # no match begins before this offset
        self._open_at: int | None = None  # start of the first frame without a known end; None if there is none
        self.junk = 0
        self.damaged: tuple[Pattern, ...] = ()
        """The patterns whose frame came whole with a wrong CRC; one frame may fit several."""

    def __len__(self) -> int:
        return len(self._buffer)

    def receive(self, data: bytes) -> None:
        """Takes bytes off the wire."""
        if self._request_length_of is not None and self._buffer:
            self._pieces.append(len(self._buffer))
            del self._pieces[:-_PIECES]
        self._buffer += data

    def take_whole(self, data: bytes, pattern: ReplyPattern) -> bytes | None:
        """See :class:`lumina_twisted.framing.Framing`."""
        head, length = pattern.head, pattern.length
        if (
            self._buffer or length <= 0 or len(data) != length + OVERHEAD or head is None or not data.startswith(head)
            or crc16(data)
        ):
            return None
        return data[1:-_CRC]

    def clear(self) -> int:
        """Drops the rest of the buffer, counts it as junk, and returns its length."""
        left = len(self._buffer)
        self.junk += left
        self._buffer.clear()
        self._pieces.clear()
        self._burst = True
        self._look_again()
        self.damaged = ()
        return left

    def next_frame(self, patterns: tuple[Pattern, ...]) -> Decoded | None:
        """The next frame in the stream; None until more bytes come."""
        if patterns is not self._patterns:
            self._patterns = patterns
            self._look_again()
        if not self._buffer:
            return None
        found = self._scan(patterns, hold=True)
        if found is None and len(self._buffer) > 2 * MAX_RTU_ADU:
            self._drop(len(self._buffer) - MAX_RTU_ADU)
        return found

    def end_of_burst(self, patterns: tuple[Pattern, ...]) -> Decoded | None:
        """Called when the bus has been silent for T3.5. A frame of unknown length ends here if its CRC is good. An
        incomplete match no longer holds back later matches. The rest of the buffer stays, because USB adapters pause
        inside frames; :meth:`clear` drops it."""
        self._look_again()
        if found := self._scan(patterns, hold=False):
            return found
        buffer = self._buffer
        for start in range(max(0, len(buffer) - MAX_RTU_ADU), len(buffer) - MIN_RTU_ADU + 1):
            for pattern in (*patterns, None) if start == 0 else patterns:
                if self._ends_at_silence(pattern, start) and crc16(bytes(buffer[start:])) == 0:
                    return self._take(start, len(buffer) - start, pattern)
        return None

    def _scan(self, patterns: tuple[Pattern, ...], hold: bool) -> Decoded | None:
        buffer = self._buffer
        for start in self._starts():
            if start in self._pieces and (found := self._unawaited_at(start, self._request_length_of)):
                return found
            for pattern in patterns:
                length = pattern.measure(buffer, start)
                if length == NO_MATCH:
                    continue
                if length == AT_SILENCE:
                    if pattern.hint and self._is_whole(start, pattern.hint + OVERHEAD):
                        return self._take(start, len(buffer) - start, pattern)
                    self._open_at = start if self._open_at is None else self._open_at
                    continue
                if length:
                    length += _CRC
                if 0 < length <= len(buffer) - start:
                    if crc16(bytes(buffer[start : start + length])) == 0:
                        return self._take(start, length, pattern)
                    if length > EXCEPTION_RTU_ADU and pattern not in self.damaged:
                        self.damaged += (pattern,)
                elif hold:
                    self._looked_at = start
                    return self._unawaited() if start else None
            if start == 0 and (found := self._at_begin()):
                return found
        self._looked_at = len(buffer) if hold else 0
        return self._unawaited()

    def _starts(self) -> Iterable[int]:
        """Offsets at which a match may begin."""
        unseen = range(self._looked_at, len(self._buffer))
        if self._open_at is None or self._open_at >= self._looked_at:
            return unseen
        return chain((self._open_at,), unseen)

    def _look_again(self) -> None:
        """Forgets how far the buffer was searched."""
        self._looked_at = 0
        self._open_at = None

    def begun(self, pattern: Pattern) -> bool:
        """Whether the buffer has a whole header of ``pattern``, or had one whose frame had a wrong CRC.

        Headers of exceptions and of frames without a known length do not count: they are too short to prove anything.
        """
        buffer = self._buffer
        if pattern in self.damaged:
            return True
        return any(
            EXCEPTION_RTU_ADU - _CRC < pattern.measure(buffer, start) <= MAX_RTU_ADU for start in range(len(buffer))
        )

    def _is_whole(self, start: int, length: int) -> bool:
        """Whether the bytes from ``start`` on are exactly one valid frame of that length."""
        buffer = self._buffer
        return len(buffer) - start == length and crc16(bytes(buffer[start:])) == 0

    def _ends_at_silence(self, pattern: Pattern | None, start: int) -> bool:
        if pattern is None:
            return self._burst and self._unawaited_length(self._buffer, 1) == UNKNOWN
        return pattern.measure(self._buffer, start) == AT_SILENCE

    def _unawaited(self) -> Decoded | None:
        """A whole frame at the beginning of a burst that no pattern fits. Another master's request may also begin with
        a received piece, because noise may come before it."""
        if found := self._at_begin():
            return found
        for start in self._pieces:
            if found := self._unawaited_at(start, self._request_length_of):
                return found
        return None

    def _at_begin(self) -> Decoded | None:
        if not self._burst:
            return None
        return self._unawaited_at(0, self._unawaited_length) or self._unawaited_at(0, self._request_length_of)

    def _unawaited_at(self, start: int, tell: Callable[[Buffer, int], int] | None) -> Decoded | None:
        buffer = self._buffer
        if tell is None or len(buffer) - start < MIN_RTU_ADU:
            return None
        length = tell(buffer, start + 1) + OVERHEAD
        if MIN_RTU_ADU <= length <= len(buffer) - start and crc16(bytes(buffer[start : start + length])) == 0:
            return self._take(start, length, None)
        return None

    def _take(self, start: int, length: int, pattern: Pattern | None) -> Decoded:
        self.junk += start
        buffer = self._buffer
        unit, pdu = buffer[start], bytes(buffer[start + 1 : start + length - _CRC])
        del self._buffer[: start + length]
        if self._pieces:
            self._pieces = [one - start - length for one in self._pieces if one > start + length]
        self._burst = True
        self._look_again()
        self.damaged = ()  # the damaged frame may lie among the taken bytes
        return Decoded(unit, pdu, length, pattern)

    def _drop(self, count: int) -> None:
        """Bounds the buffer: bytes that old cannot become a frame any more."""
        self.junk += count
        del self._buffer[:count]
        self._pieces = [one - count for one in self._pieces if one > count]
        self._looked_at = max(0, self._looked_at - count)
        self._open_at = None  # after so much junk, a frame without a known end can wait for silence
        self._burst = False


class RtuFraming(Decoder):
    """The RTU frames of a bus. A frame that no pattern fits may be a reply, or another master's request.

    :param has_wire_time: whether bytes come from a serial line; otherwise they come from a socket.
    """

    is_numbered = False

    def __init__(self, has_wire_time: bool = True) -> None:
        super().__init__(request_length_of=request_length)
        self.has_wire_time = has_wire_time

    def encode(self, unit: int, pdu: bytes) -> bytes:
        """See :class:`lumina_twisted.framing.Framing`."""
        body = b"%c%b" % (unit, pdu)
        return body + crc16(body).to_bytes(2, "little")

    def reset(self) -> None:
        """See :class:`lumina_twisted.framing.Framing`."""
        self.clear()
