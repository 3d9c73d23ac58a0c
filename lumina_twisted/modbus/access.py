"""What a request touches: which entries of which table it reads and writes, floor 0 (Modbus Application Protocol
V1.1b3, sections 4.3 and 6).

Whoever decides by this whether a request may pass must not be told less than a device may do. So what contradicts
itself is refused here: of a write whose byte count is not that of its quantity, one device takes the one and another
the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple, get_args

from lumina_twisted.errors import FrameError
from lumina_twisted.modbus.codes import is_read
from lumina_twisted.modbus.lengths import UNKNOWN, request_length

Table = Literal["coil", "discrete", "holding", "input"]
TABLES: Final[tuple[Table, ...]] = get_args(Table)
ADDRESSES: Final = 65536
"""Entries of a table."""
_FIFO: Final = 32
"""What a read of a FIFO queue may give: its count, and up to 31 registers behind it (APP section 6.18)."""


class Access(NamedTuple):
    """One thing that a request does.

    :param writes: whether it may change the device.
    :param table: of which table; None for what is in none of the four. Then it counts as one entry, with the address 0.
    :param first: the first address, and ``end`` the one behind the last.
    :param values: what each entry becomes; None if that cannot be told, and for a read.
    """

    writes: bool
    table: Table | None
    first: int = 0
    end: int = 1
    values: tuple[int, ...] | None = None


def accesses(pdu: bytes) -> tuple[Access, ...]:
    """All that a request PDU does; two things for function 23, one for any other.

    :raises FrameError: if its length, its byte count and its quantities contradict each other, or if it leaves its
        table.
    """
    code = pdu[0]
    if request_length(pdu) not in (UNKNOWN, len(pdu)):
        raise FrameError(f"a request of function {code} does not have {len(pdu)} bytes", function_code=code, frame=pdu)
    of_tables = _OF_TABLES.get(code)
    if of_tables is None:
        return (Access(not is_read(pdu), None),)
    found = tuple(of_tables(pdu))
    for one in found:
        if not one.first < one.end <= ADDRESSES:
            raise FrameError(
                f"function {code} with {one.end - one.first} entries from address {one.first} on is outside of every"
                " table", function_code=code, frame=pdu,
            )
    return found


def _word(pdu: bytes, at: int) -> int:
    return pdu[at] << 8 | pdu[at + 1]


def _range(pdu: bytes, at: int = 1) -> tuple[int, int]:
    first = _word(pdu, at)
    return first, first + _word(pdu, at + 2)


def _reads(table: Table) -> Callable[[bytes], Iterator[Access]]:
    def of(pdu: bytes) -> Iterator[Access]:
        yield Access(False, table, *_range(pdu))

    return of


def _write_coil(pdu: bytes) -> Iterator[Access]:
    first, value = _word(pdu, 1), _word(pdu, 3)
    yield Access(True, "coil", first, first + 1, (value >> 15,) if value in (0xFF00, 0) else None)


def _write_register(pdu: bytes) -> Iterator[Access]:
    first = _word(pdu, 1)
    yield Access(True, "holding", first, first + 1, (_word(pdu, 3),))


def _write_coils(pdu: bytes) -> Iterator[Access]:
    first, end = _range(pdu)
    _expect_bytes(pdu, 5, (end - first + 7) // 8)
    yield Access(True, "coil", first, end, tuple(pdu[6 + at // 8] >> at % 8 & 1 for at in range(end - first)))


def _write_registers(pdu: bytes, at: int = 1) -> Iterator[Access]:
    first, end = _range(pdu, at)
    _expect_bytes(pdu, at + 4, 2 * (end - first))
    values = tuple(_word(pdu, place) for place in range(at + 5, len(pdu), 2))
    yield Access(True, "holding", first, end, values)


def _mask_register(pdu: bytes) -> Iterator[Access]:
    """What it becomes depends on what it was, unless the mask lets nothing of that through."""
    first = _word(pdu, 1)
    yield Access(True, "holding", first, first + 1, None if _word(pdu, 3) else (_word(pdu, 5),))


def _read_write_registers(pdu: bytes) -> Iterator[Access]:
    yield from _write_registers(pdu, 5)
    yield Access(False, "holding", *_range(pdu))


def _read_fifo(pdu: bytes) -> Iterator[Access]:
    first = _word(pdu, 1)
    yield Access(False, "holding", first, min(first + _FIFO, ADDRESSES))


def _expect_bytes(pdu: bytes, at: int, count: int) -> None:
    if pdu[at] != count:
        raise FrameError(
            f"a request of function {pdu[0]} has the byte count {pdu[at]}, which is not that of its quantity",
            function_code=pdu[0], frame=pdu,
        )


_OF_TABLES: Final[dict[int, Callable[[bytes], Iterator[Access]]]] = {
    1: _reads("coil"), 2: _reads("discrete"), 3: _reads("holding"), 4: _reads("input"), 5: _write_coil,
    6: _write_register, 15: _write_coils, 16: _write_registers, 22: _mask_register, 23: _read_write_registers,
    24: _read_fifo,
}
"""The functions whose entries are in one of the four tables."""
