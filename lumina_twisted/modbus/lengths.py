"""How long a PDU is, told from its first bytes, both ways (Modbus Application Protocol V1.1b3, section 6).

A frame on a serial line carries no length of its own, and a pause is a poor one (USB adapters pause for 16 ms), so
the function code decides. All functions look at ``buffer[start:]``, which begins with the function code, and return
the length of the PDU; 0 when more bytes are needed to tell; :data:`UNKNOWN` when the function code says nothing.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.modbus.codes import EXCEPTION_FLAG, MEI_DEVICE_IDENTIFICATION

UNKNOWN: Final = -1
Buffer = bytes | bytearray

_FIXED_REQUESTS: Final = {1: 5, 2: 5, 3: 5, 4: 5, 5: 5, 6: 5, 7: 1, 11: 1, 12: 1, 17: 1, 22: 7, 24: 3}
_FIXED_REPLIES: Final = {5: 5, 6: 5, 7: 2, 8: 5, 11: 5, 15: 5, 16: 5, 22: 7}
_REQUEST_COUNTS: Final = {15: 5, 16: 5, 20: 1, 21: 1, 23: 9}
"""Where a request of variable length holds the number of bytes that follow."""
_REPLY_COUNTS: Final = {1: 1, 2: 1, 3: 1, 4: 1, 12: 1, 17: 1, 20: 1, 21: 1, 23: 1}


def request_length(buffer: Buffer, start: int = 0) -> int:
    """Length of the request PDU at ``start``."""
    code = buffer[start]
    if fixed := _FIXED_REQUESTS.get(code):
        return fixed
    if code in _REQUEST_COUNTS:
        return _counted(buffer, start, _REQUEST_COUNTS[code])
    if code == 8:
        return _diagnostics_length(buffer, start)
    if code == 43:
        return _mei_request_length(buffer, start)
    return UNKNOWN


def reply_length(buffer: Buffer, start: int = 0) -> int:
    """Length of the reply PDU at ``start``; an exception is 2 bytes whatever its function code.

    FC 8 is taken for the 5 bytes of all its sub-functions but 0, whose length only its request tells.
    """
    code = buffer[start]
    if code & EXCEPTION_FLAG:
        return 2
    if fixed := _FIXED_REPLIES.get(code):
        return fixed
    if code in _REPLY_COUNTS:
        return _counted(buffer, start, _REPLY_COUNTS[code])
    if code == 24:
        return 0 if len(buffer) < start + 3 else 3 + (buffer[start + 1] << 8 | buffer[start + 2])
    if code == 43:
        return _mei_reply_length(buffer, start)
    return UNKNOWN


def is_request(pdu: bytes) -> bool:
    """Whether a whole PDU can only be a request: its length is that of one, and not that of a reply. No reply holds
    half a register, so a read of registers from address 0x0300 to 0x03FF is told from one of three bytes."""
    if request_length(pdu) != len(pdu):
        return False
    return reply_length(pdu) != len(pdu) or (pdu[0] in (3, 4) and pdu[1] % 2 == 1)


def expected_reply_length(pdu: bytes) -> int:
    """Length of the normal reply PDU to a whole request PDU; 0 when only the reply's own bytes tell it,
    :data:`UNKNOWN` when nothing does.

    A quantity that no reply can hold gives 2, the length of the exception that is its only answer.
    """
    code = pdu[0]
    if code in (1, 2, 3, 4, 20, 23):
        count = reply_byte_count(pdu)
        return 2 if count > 255 else 2 + count
    if code in (8, 21):
        return len(pdu)
    if code in (12, 17, 24) or is_device_identification(pdu):
        return 0
    return _FIXED_REPLIES.get(code, UNKNOWN)


def reply_byte_count(pdu: bytes) -> int:
    """The byte count that a reply to a read (FC 1-4, 20, 23) must carry; more than 255 if it cannot.

    What follows the last whole reference of an FC 20 is the device's to judge.
    """
    if pdu[0] == 20:
        return sum(2 + 2 * (pdu[at] << 8 | pdu[at + 1]) for at in range(7, len(pdu) - 1, 7))
    quantity = pdu[3] << 8 | pdu[4]
    return (quantity + 7) // 8 if pdu[0] in (1, 2) else 2 * quantity


def is_device_identification(pdu: bytes) -> bool:
    """Whether a PDU is FC 43 / MEI 14, the one encapsulated interface whose length can be told."""
    return pdu[0] == 43 and len(pdu) > 1 and pdu[1] == MEI_DEVICE_IDENTIFICATION


def _counted(buffer: Buffer, start: int, at: int) -> int:
    return 0 if len(buffer) <= start + at else at + 1 + buffer[start + at]


def _diagnostics_length(buffer: Buffer, start: int) -> int:
    if len(buffer) < start + 3:
        return 0
    return UNKNOWN if buffer[start + 1] == buffer[start + 2] == 0 else 5


def _mei_request_length(buffer: Buffer, start: int) -> int:
    if len(buffer) < start + 2:
        return 0
    return 4 if buffer[start + 1] == MEI_DEVICE_IDENTIFICATION else UNKNOWN


def _mei_reply_length(buffer: Buffer, start: int) -> int:
    """Walks the list of objects: id, length, value each (APP section 6.21)."""
    if len(buffer) < start + 2:
        return 0
    if buffer[start + 1] != MEI_DEVICE_IDENTIFICATION:
        return UNKNOWN
    if len(buffer) < start + 7:
        return 0
    at = start + 7
    for _ in range(buffer[start + 6]):
        if len(buffer) < at + 2:
            return 0
        at += 2 + buffer[at + 1]
    return at - start
