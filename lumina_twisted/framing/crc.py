"""CRC-16/MODBUS (Modbus over Serial Line V1.02, section 2.5.1.2 and appendix B): polynomial 0xA001 reflected,
start value 0xFFFF, low byte first on the wire.

fastcrc computes it where a wheel of fastcrc exists; elsewhere a table of 256 entries does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


def _table() -> tuple[int, ...]:
    entries = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        entries.append(crc)
    return tuple(entries)


_TABLE: Final = _table()


def crc16_by_table(data: bytes) -> int:
    """CRC-16/MODBUS in plain Python: the fallback, and the reference for the tests."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


crc16: Callable[[bytes], int]
"""CRC-16/MODBUS of some bytes, as a number."""

try:
    from fastcrc.crc16 import modbus
except ImportError:  # no wheel for this platform (armv6, riscv64)
    crc16 = crc16_by_table
else:
    crc16 = modbus


def crc_bytes(data: bytes, *, low_byte_first: bool = True) -> bytes:
    """The two CRC bytes of ``data`` in wire order, or the other way round when ``low_byte_first`` is false."""
    return crc16(data).to_bytes(2, "little" if low_byte_first else "big")


def append_crc(data: bytes, *, low_byte_first: bool = True) -> bytes:
    """``data`` followed by its CRC."""
    return data + crc_bytes(data, low_byte_first=low_byte_first)


def without_crc(frame: bytes) -> bytes:
    """``frame`` without its two CRC bytes, whether they are right or wrong."""
    return frame[:-2]


def crc_ok(frame: bytes, *, low_byte_first: bool = True) -> bool:
    """Whether the last two bytes of ``frame`` are the CRC of those before them."""
    if low_byte_first:
        return crc16(frame) == 0 and len(frame) > 2  # the residue of a frame with its CRC is 0
    return len(frame) > 2 and crc_bytes(frame[:-2], low_byte_first=False) == frame[-2:]
