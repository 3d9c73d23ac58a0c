"""Descriptions of devices, floor 3: their points by name, each in one of the four tables of the Modbus data model."""

from __future__ import annotations

import struct
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, TypeVar

from attrs import Factory, field, frozen

from lumina_twisted.devices.describe.settings import DEFAULT_POLL, ProfileSettings
from lumina_twisted.errors import UnknownName
from lumina_twisted.modbus.access import Table
from lumina_twisted.modbus.functions import MAX_READ_BITS, MAX_READ_REGISTERS, READS_OF
from lumina_twisted.modbus.values.codec import ValueCodec
from lumina_twisted.text import close_to

BIT_TABLES: Final = ("coil", "discrete")
WRITABLE_TABLES: Final = ("coil", "holding")
MOST_COMPARED: Final = 200
"""The most names that a wrong name is compared with. Each comparison takes 10 us, a line may have hundreds of wrong
names, and a plant 10,000 names."""
T = TypeVar("T")


def read_request(table: Table, address: int, quantity: int) -> bytes:
    """The PDU of the request that reads these entries."""
    return struct.pack(">BHH", READS_OF[table].code, address, quantity)


@frozen(kw_only=True)
class Point:
    """One value of a device. For the meaning of each field see
    :class:`~lumina_twisted.devices.describe.settings.PointSettings`.

    :param address: the address of its first entry, from 0.
    :param poll: seconds between two reads; 0 if it is read only when a client asks for it.
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
        """Whether the entries of its table are bits."""
        return self.table in BIT_TABLES

    @property
    def end(self) -> int:
        """The address behind its last entry."""
        return self.address + self.codec.width


@frozen(kw_only=True, slots=False)
class Profile(ProfileSettings):
    """A kind of device.

    :param given: the table it was read from.
    """

    name: str
    points: Mapping[str, Point]
    given: Mapping[str, Any] = field(default=Factory(dict))


@frozen(kw_only=True)
class Device:
    """A device at a port and a unit identifier. Its fields are the keys of
    :class:`~lumina_twisted.devices.describe.settings.DeviceSettings`; where the device gives no value, its profile's
    value applies.

    :param points: by name: those of its profile, with the overrides of the device, and its own.
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
    most: int = MAX_READ_REGISTERS
    configurable: bool = False
    line: Mapping[str, Any] = field(default=Factory(dict))
    given: Mapping[str, Any] = field(default=Factory(dict))

    def most_entries(self, table: Table) -> int:
        """The most entries of a table that one request may read."""
        return min(16 * self.most, MAX_READ_BITS) if table in BIT_TABLES else self.most


# -- finding values and devices by name -------------------------------------------------------------------------------


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """The names that match. Brackets have no special meaning in a pattern, for no name has any."""
    if pattern == "*":
        return list(names)
    escaped = pattern.replace("[", "[[]")
    return [name for name in names if fnmatchcase(name, escaped)]


def found(name: str, known: Mapping[str, T], what: str) -> T:
    """The object with that name.

    :param what: the kind of object, for the error message.
    :raises UnknownName: with the nearest known name.
    """
    try:
        return known[name]
    except KeyError:
        raise UnknownName(f"there is no {what} {name!r}; {_meant(name, known)}") from None


def _meant(name: str, known: Iterable[str]) -> str:
    every = list(known)
    if "*" in name or "?" in name:
        return "this takes one name, and no pattern; list tells all names"
    if inside := [one for one in every if one.startswith(f"{name}.")]:
        return f"it is a device, and its values are {_few(inside, 2)} ({name}.*)"
    near = close_to(name, _likely(name.lower(), every), 0.5)
    near = near or next((one for one in every if name and name in one), "")
    if near:
        return f"did you mean {near!r}?"
    if not every:
        return "there is none at all"
    return f"there are {_few(every, 5)}"


def _few(names: list[str], most: int) -> str:
    return ", ".join(names[:most]) + (" and more" if len(names) > most else "")


def _likely(name: str, every: Sequence[str]) -> Sequence[str]:
    """The candidates for the intended name: those of the device, or of the device with the most similar name."""
    device, dot, point = name.partition(".")
    if len(every) <= MOST_COMPARED or not dot:
        return _neighbours(name, every)
    devices = dict.fromkeys(one.partition(".")[0] for one in every)
    if device not in devices:
        device = close_to(device, _neighbours(device, list(devices)), 0.5) or device
    its_own = [one for one in every if one.startswith(f"{device}.")]
    return _neighbours(f"{device}.{point}", its_own or every)


def _neighbours(name: str, names: Sequence[str]) -> Sequence[str]:
    """If there are too many names: those next to ``name`` in alphabetical order."""
    if len(names) <= MOST_COMPARED:
        return names
    ordered = sorted(names)
    at = bisect(ordered, name)
    return ordered[max(0, at - MOST_COMPARED // 2) : at + MOST_COMPARED // 2]
