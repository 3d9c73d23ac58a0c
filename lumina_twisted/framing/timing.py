"""Times on a serial line, in seconds (Modbus over Serial Line V1.02, section 2.5.1.1).

A character counts 11 bits, as the specification does, also where 8N1 puts 10 on the wire.
"""

from __future__ import annotations

from typing import Final

BITS_PER_CHARACTER: Final = 11
FAST_BAUDRATE: Final = 19200
"""Above this rate (not at it) T1.5 and T3.5 are fixed."""
FIXED_T1_5: Final = 0.000750
FIXED_T3_5: Final = 0.001750
RESPONSE_MARGIN: Final = 0.020
"""What the mission's response timeout adds to the time of the characters."""


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
