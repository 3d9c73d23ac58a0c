"""What a wire carries at best: the time of one transaction, by the rule with which busim counts utilisation."""

from __future__ import annotations

from lumina_twisted.framing.rtu import t3_5, wire_time

DEVICE = 0.001
"""Seconds that busim's devices take to answer in all parts; ``TURNAROUND`` is its option for that."""
TURNAROUND = ("--turnaround-us", str(int(DEVICE * 1e6)))
REQUEST, READ, WRITE = 8, 5, 8
"""Bytes of a read's request and of its reply without registers; of a single register's write, twice."""


def transaction(baudrate: int, length: int) -> float:
    """Seconds of request, T3.5, device, reply and T3.5, for so many bytes of both frames."""
    return wire_time(baudrate, length) + 2 * t3_5(baudrate) + DEVICE


def read(baudrate: int, registers: int) -> float:
    """Seconds of a read of so many registers."""
    return transaction(baudrate, REQUEST + READ + 2 * registers)


def write(baudrate: int) -> float:
    """Seconds of a write of one register."""
    return transaction(baudrate, 2 * WRITE)
