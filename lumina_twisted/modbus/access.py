"""What a request accesses: the entries that it reads and writes, and their tables, floor 0 (Modbus Application Protocol
V1.1b3, sections 4.3 and 6).

Access rules use this to decide whether a request may pass, so it must find everything that a device may do. Therefore a
request that contradicts itself is refused: if the byte count of a write does not fit its quantity, one device follows
the count and another the quantity.

:data:`lumina_twisted.modbus.functions.FUNCTIONS` says which of these functions handles which function code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple, get_args

from lumina_twisted.errors import FrameError

Table = Literal["coil", "discrete", "holding", "input"]
TABLES: Final[tuple[Table, ...]] = get_args(Table)
ADDRESSES: Final = 65536
"""Entries of a table."""
_FIFO: Final = 32
"""The most entries that a read of a FIFO queue returns: its count and up to 31 registers (APP section 6.18)."""


class Access(NamedTuple):
    """One read or write that a request makes.

    :param writes: whether the access may change the device.
    :param table: the table; None if the access is to none of the four. Then it counts as one entry with address 0.
    :param first: the first address; ``end`` is the one after the last.
    :param values: the value that each entry gets; None for a read, and if the values are unknown.
    """

    writes: bool
    table: Table | None
    first: int = 0
    end: int = 1
    values: tuple[int, ...] | None = None


AccessesOf = Callable[[bytes], Iterator[Access]]
"""Returns the accesses of a whole request PDU of one function."""


def reads(table: Table) -> AccessesOf:
    """A read of a range of one table."""

    def of(pdu: bytes) -> Iterator[Access]:
        yield Access(False, table, *_range(pdu))

    return of


def write_coil(pdu: bytes) -> Iterator[Access]:
    """Function 5."""
    first, value = word(pdu, 1), word(pdu, 3)
    yield Access(True, "coil", first, first + 1, (value >> 15,) if value in (0xFF00, 0) else None)


def write_register(pdu: bytes) -> Iterator[Access]:
    """Function 6."""
    first = word(pdu, 1)
    yield Access(True, "holding", first, first + 1, (word(pdu, 3),))


def write_coils(pdu: bytes) -> Iterator[Access]:
    """Function 15."""
    first, end = _range(pdu)
    _expect_bytes(pdu, 5, (end - first + 7) // 8)
    yield Access(True, "coil", first, end, tuple(pdu[6 + at // 8] >> at % 8 & 1 for at in range(end - first)))


def write_registers(pdu: bytes, at: int = 1) -> Iterator[Access]:
    """Function 16.

    :param at: where the range begins.
    """
    first, end = _range(pdu, at)
    _expect_bytes(pdu, at + 4, 2 * (end - first))
    values = tuple(word(pdu, place) for place in range(at + 5, len(pdu), 2))
    yield Access(True, "holding", first, end, values)


def mask_register(pdu: bytes) -> Iterator[Access]:
    """Function 22. The new value depends on the old one, unless the AND mask is 0."""
    first = word(pdu, 1)
    yield Access(True, "holding", first, first + 1, None if word(pdu, 3) else (word(pdu, 5),))


def read_write_registers(pdu: bytes) -> Iterator[Access]:
    """Function 23."""
    yield from write_registers(pdu, 5)
    yield Access(False, "holding", *_range(pdu))


def read_fifo(pdu: bytes) -> Iterator[Access]:
    """Function 24."""
    first = word(pdu, 1)
    yield Access(False, "holding", first, min(first + _FIFO, ADDRESSES))


def word(pdu: bytes | bytearray, at: int) -> int:
    """The 16-bit word at index ``at`` of a PDU, high byte first."""
    return pdu[at] << 8 | pdu[at + 1]


def _range(pdu: bytes, at: int = 1) -> tuple[int, int]:
    first = word(pdu, at)
    return first, first + word(pdu, at + 2)


def _expect_bytes(pdu: bytes, at: int, count: int) -> None:
    if pdu[at] != count:
        raise FrameError(
            f"a request of function {pdu[0]} has the byte count {pdu[at]}, which is not that of its quantity",
            function_code=pdu[0], frame=pdu,
        )
