"""The Modbus TCP frame: MBAP header and PDU (Modbus Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3), and
a strict decoder for a stream of frames. Floor 0. :mod:`lumina_twisted.framing.numbered` finds the replies of devices.

Unlike in RTU, each request has a number, its transaction identifier, and the reply repeats it. So a late reply differs
from the awaited one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from lumina_twisted.errors import FrameError, RequestError
from lumina_twisted.modbus.functions import MAX_PDU

MODBUS_TCP_PORT: Final = 502
HEADER: Final = 7
"""Bytes of the MBAP header: transaction identifier, protocol identifier, length, unit."""
MAX_MBAP_ADU: Final = HEADER + MAX_PDU
LONGEST: Final = 1 + MAX_PDU
"""What the length field counts: the unit and the PDU."""


MBAP: Final = struct.Struct(">HHHB")
"""The header."""


class Adu(NamedTuple):
    """One frame.

    :param transaction_id: the number that the requester chose, 0 to 65535.
    :param unit: unit identifier, 0 to 255.
    """

    transaction_id: int
    unit: int
    pdu: bytes


def encode_adu(transaction_id: int, unit: int, pdu: bytes) -> bytes:
    """The frame of a PDU.

    :raises RequestError: if the unit is not from 0 to 255, or the PDU is empty or longer than 253 bytes.
    """
    if not 0 <= unit <= 255:
        raise RequestError(f"unit {unit} is not from 0 to 255", unit=unit)
    if not 0 < len(pdu) <= MAX_PDU:
        raise RequestError(f"a PDU has 1 to {MAX_PDU} bytes, not {len(pdu)}", unit=unit)
    return MBAP.pack(transaction_id, 0, len(pdu) + 1, unit) + pdu


class MbapDecoder:
    """Splits a stream into frames. After an error the rest of the stream is unusable."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        """The bytes received so far that no returned frame contains."""

    def __len__(self) -> int:
        return len(self.buffer)

    def receive(self, data: bytes) -> Iterator[Adu]:
        """Takes bytes, and yields the frames that they complete.

        :raises FrameError: at a header that cannot be one, with a sentence that says why.
        """
        self.feed(data)
        while (adu := self.next_adu()) is not None:
            yield adu

    def whole(self, data: bytes) -> Adu | None:
        """The frame, if these bytes are exactly one frame and the buffer is empty. That is so for almost every request,
        which then needs no buffer. Otherwise None, and the bytes are not taken."""
        is_frame = HEADER < len(data) <= MAX_MBAP_ADU and data[2:5] == b"\0\0\0" and data[5] == len(data) - HEADER + 1
        if is_frame and not self.buffer:
            return Adu(data[0] << 8 | data[1], data[6], data[HEADER:])
        return None

    def feed(self, data: bytes) -> None:
        """Takes bytes, for :meth:`next_adu`."""
        self.buffer += data

    def next_adu(self) -> Adu | None:
        """The next whole frame; None if no whole frame has come.

        :raises FrameError: at a header that cannot be one, with a sentence that says why.
        """
        buffer = self.buffer
        if len(buffer) < HEADER - 1:
            return None
        length = buffer[4] << 8 | buffer[5]
        if buffer[2] or buffer[3] or not 2 <= length <= LONGEST:
            raise _impossible(buffer, length)
        size = HEADER - 1 + length
        if len(buffer) < size:
            return None
        adu = Adu(buffer[0] << 8 | buffer[1], buffer[6], bytes(buffer[HEADER:size]))
        del buffer[:size]
        return adu


def _impossible(buffer: bytearray, length: int) -> FrameError:
    """What is wrong with a header whose length field says ``length``."""
    protocol_id = buffer[2] << 8 | buffer[3]
    if protocol_id:
        return FrameError(f"its protocol identifier is {protocol_id}, Modbus has 0", frame=bytes(buffer[:HEADER]))
    return FrameError(
        f"its length field says {length}, a frame of Modbus TCP has 2 to {LONGEST}", frame=bytes(buffer[:HEADER])
    )
