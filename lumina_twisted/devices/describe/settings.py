"""Settings of profiles, points and devices, and of how their values are read and kept, floor 3. Times are seconds."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar

import attrs
from attrs import Factory, field, frozen

from lumina_twisted.bus.settings import UnitWireSettings
from lumina_twisted.modbus.access import Table
from lumina_twisted.modbus.functions import MAX_READ_REGISTERS
from lumina_twisted.modbus.registers import ByteOrder, Encoding, WordOrder
from lumina_twisted.modbus.values.codec import ValueType
from lumina_twisted.schema import Between, required, setting

T = TypeVar("T")
DEFAULT_POLL: Final = 1.0
SHORTEST_POLL: Final = 0.05
"""A bus at 9600 baud gives some twenty replies a second, for all clients together."""

Poll = Annotated[float, Between(0, 86400)]
Amount = Annotated[float, Between(-1e20, 1e20)]
Hole = Annotated[int, Between(0, 124)]
Most = Annotated[int, Between(1, MAX_READ_REGISTERS)]
SaveEvery = Annotated[float, Between(0.05, 3600)]
History = Annotated[int, Between(1, 100_000)]
HistoryRows = Annotated[int, Between(0, 10_000_000)]
LINE_KEYS: Final = tuple(one.name for one in attrs.fields(UnitWireSettings))
"""The line settings of its port that a device may override for its unit."""
ONLY_IN_A_FILE: Final = {
    **dict.fromkeys(LINE_KEYS, "line settings are read when the service starts; write it into the file"),
    "configurable": "only its file says this; write it there",
}
"""The keys of a device that no client can change, each with a sentence that says why."""


def same(cls: type, key: str) -> Any:
    """A field with the default, the unit and the text of a field of another settings class."""
    one: Any = attrs.fields_dict(cls)[key]
    return field(default=one.default, metadata=one.metadata)


def take_over(cls: type[T], settings: Any, **others: Any) -> T:
    """An instance of ``cls``, made from ``others``, and from ``settings`` for all other keys that both have."""
    keys = _shared(cls, type(settings))  # type: ignore[arg-type]
    return cls(**{key: getattr(settings, key) for key in keys if key not in others}, **others)


@cache
def _shared(cls: type, other: type) -> tuple[str, ...]:
    theirs = attrs.fields_dict(other)
    return tuple(key for key in attrs.fields_dict(cls) if key in theirs)


def _words(doc: str) -> Any:
    """A field that holds texts by number."""
    return field(default=Factory(dict), metadata={"doc": doc, "unit": ""})


@frozen(kw_only=True, slots=False)
class PointSettings:
    """A value of a device: where it lies, what it means, and how it is read and written."""

    address: Any = required(
        'where it begins: a number counts from 0, as on the wire; a text is the data model\'s number, as "40001",'
        ' "400001" or "4x0001", and says the table too'
    )
    table: Table | None = setting(
        None, "where it lies: holding, input, coil or discrete; needed where the address is a number"
    )
    type: ValueType | None = setting(
        None, "bool, u16, i16, u32, i32, u64, i64, f32, f64, string or bits; not given: bool for a coil or a discrete"
        " input, else u16",
    )
    word_order: WordOrder | None = setting(
        None, "which register of a long number comes first: big, the high one, or little; not given: its profile's"
    )
    byte_order: ByteOrder | None = setting(
        None, "which byte of a register comes first: big, as the specification says, or little; not given: its"
        " profile's",
    )
    length: Annotated[int, Between(1, MAX_READ_REGISTERS)] | None = setting(
        None, "how many registers a string takes, two characters each, or bits", unit="registers"
    )
    encoding: Encoding = setting("ascii", "of a string: ascii, utf-8 or latin-1")
    bit: Annotated[int, Between(0, 15)] | None = setting(
        None, "which bit of a register a bool is, 0 is the lowest"
    )
    bits: dict[str, str] = _words("the names of the bits of the type bits, by number, 0 is the lowest")
    enum: dict[str, str] = _words("the words of a whole number that has such, by number")
    scale: Amount = setting(1.0, "what the number in the registers is multiplied by to get the value")
    offset: Amount = setting(0.0, "what is then added")
    unit_of_measure: str = setting("", "of the value, as people write it")
    low: Amount | None = setting(None, "the lowest value that may be written")
    high: Amount | None = setting(None, "the highest value that may be written")
    writable: bool = setting(False, "whether it can be written")
    write: Literal["auto", "single", "multiple"] = setting(
        "auto", "by the function that sets one entry, by the one that sets several, or auto: whichever fits"
    )
    read_back: bool = setting(False, "read it after a write, to see whether the device took the value")
    tolerance: Annotated[float, Between(0, 1e20)] = setting(
        0.0, "with read_back: by how much the number that the device holds may differ from what was written, for one"
        " that rounds to steps of its own; an f32 need only be the same to six digits, an f64 to fifteen",
    )
    poll: Poll | None = setting(
        None, "between two reads; 0: only when somebody asks; not given: its device's or its profile's", unit="s"
    )
    dead_band: Annotated[float, Between(0, 1e20)] = setting(0.0, "a change by no more than this is none")
    summary: str = setting("", "what it is")
    simulate: Any = setting(
        None, "how it moves in a simulation, in its own unit of measure: a value, or a table as in docs/simulator.md"
    )


@frozen(kw_only=True, slots=False)
class ProfileSettings:
    """A kind of device."""

    summary: str = setting("", "what it is")
    source: str = setting("", "where its register map is published: document, version, page")
    maker: str = setting("", "who makes it")
    model: str = setting("", "what it is called there")
    word_order: WordOrder = setting("big", "that of its points which say no other")
    byte_order: ByteOrder = setting("big", "that of its points which say no other")
    poll: Poll = setting(
        DEFAULT_POLL, "between two reads of a point that says no other; 0: only when somebody asks", unit="s"
    )
    hole: Hole = setting(
        0, "entries that nobody described and that may be read along between two points", unit="entries"
    )
    most: Most = setting(
        MAX_READ_REGISTERS, "what it gives in one reply; of bits 16 times as many, 2000 at most", unit="registers"
    )


@frozen(kw_only=True, slots=False)
class DeviceSettings(UnitWireSettings):
    """A device: where it is, what it is, and in what it differs from others of its kind."""

    port: str = required("the name of the port behind which it is")
    unit: Annotated[int, Between(1, 255)] = required("its unit identifier there")
    profile: str | None = setting(None, "what kind of device it is; not given: all its points stand here")
    summary: str = setting("", "what it is")
    word_order: WordOrder | None = setting(None, "in the place of its profile's")
    byte_order: ByteOrder | None = setting(None, "in the place of its profile's")
    poll: Poll | None = setting(None, "in the place of its profile's", unit="s")
    hole: Hole | None = setting(None, "in the place of its profile's", unit="entries")
    most: Most | None = setting(None, "in the place of its profile's", unit="registers")
    configurable: bool = setting(
        False, "whether clients that may configure may change everything of it: where it is, its points, what may be"
        " written. Else only how often it is read and how it is described",
    )


def _changeable() -> Any:
    """The keys of :class:`DeviceSettings` that clients may change, none of them required."""
    of_devices: Any = attrs.fields_dict(attrs.resolve_types(DeviceSettings))
    keys: dict[str, Any] = {
        name: field(default=None, type=one.type | None, metadata=one.metadata)
        for name, one in of_devices.items() if name not in ONLY_IN_A_FILE
    }
    keys["points"] = field(default=None, metadata={"doc": "keys of its points, by name", "unit": ""})
    return attrs.make_class("DeviceChanges", keys, frozen=True, kw_only=True)


DeviceChanges: Final = _changeable()
"""The keys of a device that clients may change while it is in use. A key that is not given keeps its file's value."""


@frozen(kw_only=True, slots=False)
class ValuesSettings:
    """How the values of all devices are read and kept."""

    poll_share: Annotated[float, Between(0, 1)] = setting(
        0.5, "which part of a bus's time reading at intervals may take; 0: nothing is read unless somebody asks"
    )
    stale_after: Annotated[float, Between(1, 1000)] = setting(
        3.0, "how many of its intervals after it was read a value is stale", unit="intervals"
    )
    database: str = setting(
        "state/lumina.db", "where the last values, their history and changed settings are kept; empty: nowhere"
    )
    save_every: SaveEvery = setting(
        1.0, "what has changed is saved so often; what is younger is lost when the machine fails", unit="s"
    )
    history: History = setting(
        100, "changes of a point that are kept in memory", unit="changes"
    )
    history_rows: HistoryRows = setting(
        100_000, "changes of all points that are kept in the database, some 100 bytes each", unit="changes"
    )
