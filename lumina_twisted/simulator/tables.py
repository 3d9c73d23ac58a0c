"""A table of a simulated device, floor 2: coils or registers by address, what of them moves, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from attrs import frozen

from lumina_twisted.errors import IllegalDataAddress, exception_from_code
from lumina_twisted.simulator.waves import Counter, Motion

TABLE_SIZE: Final = 1000
"""Entries of a table unless said otherwise; addresses beyond do not exist."""


class Codec(Protocol):
    """How a value lies in one or several entries."""

    @property
    def width(self) -> int:
        """How many."""
        ...

    def encode(self, value: float) -> Sequence[int]:
        """The entries of a value."""
        ...

    def decode(self, entries: Sequence[int]) -> float:
        """The value of entries."""
        ...


class Bit:
    """A coil or a discrete input: on from a half up."""

    width = 1

    def encode(self, value: float) -> Sequence[int]:
        """See :class:`Codec`."""
        return (int(value >= 0.5),)

    def decode(self, entries: Sequence[int]) -> float:
        """See :class:`Codec`."""
        return entries[0]


@frozen(eq=False)
class Cell:
    """Entries from ``address`` on whose value the time tells."""

    address: int
    motion: Motion
    codec: Codec

    @property
    def entries(self) -> slice:
        """Where they stand in their table."""
        return slice(self.address, self.address + self.codec.width)


@frozen
class Range:
    """Addresses that are refused.

    :param exception: the code with which they are.
    """

    first: int
    last: int
    exception: int = IllegalDataAddress.code


class Table(list[int]):
    """The entries by address, as they are at rest, and what else is to be known of them.

    :param size: how many there are.
    :param cells: those that move.
    :param forbidden: addresses that can be neither read nor written.
    :param read_only: addresses that cannot be written.
    :param write_once: addresses that can be written once.
    """

    def __init__(
        self, size: int = TABLE_SIZE, *, cells: Iterable[Cell] = (), forbidden: Sequence[Range] = (),
        read_only: Sequence[Range] = (), write_once: Sequence[Range] = (),
    ) -> None:
        super().__init__([0] * size)
        self.cells = list(cells)
        self._forbidden = forbidden
        self._read_only = read_only
        self._write_once = write_once
        self._written: set[int] = set()

    def read(self, address: int, quantity: int, now: float) -> list[int]:
        """What stands there.

        :param now: seconds since the simulation began.
        :raises ModbusException: if not all of it exists and may be read.
        """
        self.check_read(address, quantity)
        for cell in self._cells_within(address, quantity):
            self[cell.entries] = cell.codec.encode(cell.motion(now))
        return self[address : address + quantity]

    def write(self, address: int, values: Sequence[int], now: float) -> None:
        """Puts ``values`` there, all or none. A counter goes on from there, anything else that moves stands still.

        :param now: seconds since the simulation began.
        :raises ModbusException: if not all of it exists and may be written.
        """
        self.check_write(address, len(values))
        self.read(address, len(values), now)
        self[address : address + len(values)] = values
        for cell in self._cells_within(address, len(values)):
            if isinstance(cell.motion, Counter):
                cell.motion.count_from(cell.codec.decode(self[cell.entries]), now)
            else:
                self.cells.remove(cell)
        if self._write_once:
            self._written.update(range(address, address + len(values)))

    def check_read(self, address: int, quantity: int) -> None:
        """Whether all of it exists and may be read.

        :raises ModbusException: if not.
        """
        if address + quantity > len(self):
            raise IllegalDataAddress
        _refuse(self._forbidden, range(address, address + quantity))

    def check_write(self, address: int, quantity: int) -> None:
        """Whether all of it exists and may be written.

        :raises ModbusException: if not.
        """
        self.check_read(address, quantity)
        addresses = range(address, address + quantity)
        _refuse(self._read_only, addresses)
        if self._write_once:
            _refuse(self._write_once, self._written.intersection(addresses))

    def _cells_within(self, address: int, quantity: int) -> list[Cell]:
        end = address + quantity
        return [cell for cell in self.cells if cell.address < end and cell.entries.stop > address]


def _refuse(ranges: Sequence[Range], addresses: Iterable[int]) -> None:
    if not ranges:
        return
    for at in addresses:
        for refused in ranges:
            if refused.first <= at <= refused.last:
                raise exception_from_code(refused.exception)
