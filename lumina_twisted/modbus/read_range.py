"""Plain reads: the PDUs of functions 1 to 4, which ask for a range of one table and do nothing else. Floor 0."""

from __future__ import annotations

from typing import Final

from lumina_twisted.modbus.functions import READS_OF

BITS: Final = frozenset(int(row.code) for row in READS_OF.values() if row.is_bits)
"""Functions that read bits; the others read registers."""
PLAIN_READS: Final = frozenset(int(row.code) for row in READS_OF.values())
"""The functions of all plain reads. A PDU of them is whole if it has :data:`LENGTH` bytes."""
LENGTH: Final = 5
"""Bytes of a plain read's PDU."""


def span(pdu: bytes) -> tuple[int, int]:
    """The first entry of a plain read, and the one after the last."""
    first = pdu[1] << 8 | pdu[2]
    return first, first + (pdu[3] << 8 | pdu[4])


def covers(whole: bytes, part: bytes) -> bool:
    """Whether the plain read ``whole`` includes all entries of ``part``, which has the same unit and function."""
    if whole == part:
        return True
    (first, end), (inner, inner_end) = span(whole), span(part)
    return first <= inner < inner_end <= end


def cut(reply: bytes, whole: bytes, part: bytes) -> bytes:
    """Cuts the reply to a part of a read out of the normal reply to the whole read.

    :param reply: the PDU that answers ``whole``.
    :return: the PDU that answers ``part``.
    """
    if whole == part:
        return reply
    (first, _), (inner, inner_end) = span(whole), span(part)
    data, skipped, wanted = reply[2:], inner - first, inner_end - inner
    if reply[0] in BITS:
        bits = int.from_bytes(data, "little") >> skipped & (1 << wanted) - 1
        data = bits.to_bytes((wanted + 7) // 8, "little")
    else:
        data = data[2 * skipped : 2 * (skipped + wanted)]
    return bytes((reply[0], len(data))) + data
