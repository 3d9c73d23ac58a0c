"""What a device has, floor 3: points by name, in one of the four tables of the Modbus data model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from attrs import Factory, field, frozen

from lumina_twisted.modbus.access import Table
from lumina_twisted.modbus.registers import ByteOrder, WordOrder
from lumina_twisted.modbus.values.codec import ValueCodec

BIT_TABLES: Final = ("coil", "discrete")
WRITABLE_TABLES: Final = ("coil", "holding")
MOST_REGISTERS: Final = 125
MOST_BITS: Final = 2000
"""What one reply holds (Modbus Application Protocol V1.1b3, sections 6.1 to 6.4)."""
DEFAULT_POLL: Final = 1.0


@frozen(kw_only=True)
class Point:
    """One value of a device.

    :param address: of its first entry, from 0.
    :param unit_of_measure: as people write it, such as ``°C``.
    :param write: by the function that sets one entry, by the one that sets several, or whichever fits.
    :param read_back: whether it is read after a write, to see whether the device took the value.
    :param tolerance: by how much what it holds then may differ, in the unit of its value.
    :param poll: seconds between two reads; 0 for only when it is asked for.
    :param dead_band: a change by no more than this is none.
    :param simulate: how it moves in a simulation, in its own unit of measure: a value of a simulated table.
    """

    name: str
    table: Table
    address: int
    codec: ValueCodec = ValueCodec()
    unit_of_measure: str = ""
    writable: bool = False
    write: Literal["auto", "single", "multiple"] = "auto"
    read_back: bool = False
    tolerance: float = 0.0
    poll: float = DEFAULT_POLL
    dead_band: float = 0.0
    summary: str = ""
    simulate: Any = None

    @property
    def is_bit(self) -> bool:
        """Whether its table has bits."""
        return self.table in BIT_TABLES

    @property
    def end(self) -> int:
        """The address behind its last entry."""
        return self.address + self.codec.width


@frozen(kw_only=True)
class Profile:
    """A kind of device.

    :param source: where its register map is published.
    :param hole: entries that nobody described and that may be read along between two points.
    :param most: registers that the device gives in one reply; of bits 16 times as many.
    :param word_order: of those points that say no other; so ``byte_order`` and ``poll``.
    :param given: the table it was read from.
    """

    name: str
    points: Mapping[str, Point]
    summary: str = ""
    source: str = ""
    maker: str = ""
    model: str = ""
    hole: int = 0
    most: int = MOST_REGISTERS
    word_order: WordOrder = "big"
    byte_order: ByteOrder = "big"
    poll: float = DEFAULT_POLL
    given: Mapping[str, Any] = field(default=Factory(dict))


@frozen(kw_only=True)
class Device:
    """A thing at a port and a unit identifier.

    :param port: the port's name.
    :param points: by name, its profile's with what it overrides.
    :param configurable: whether its file lets clients change everything of it.
    :param line: line settings of its unit that differ from the port's, as ``[ports.NAME.units.N]`` has them.
    :param given: the table it was read from.
    """

    name: str
    port: str
    unit: int
    points: Mapping[str, Point]
    profile: str = ""
    summary: str = ""
    hole: int = 0
    most: int = MOST_REGISTERS
    configurable: bool = False
    line: Mapping[str, Any] = field(default=Factory(dict))
    given: Mapping[str, Any] = field(default=Factory(dict))

    def most_entries(self, table: Table) -> int:
        """How many entries of a table may be read at a time."""
        return min(16 * self.most, MOST_BITS) if table in BIT_TABLES else self.most
