"""Settings of a simulation, floor 2, and the code that makes them from plain data, such as that of a TOML file.

All times are seconds. A document's faults are collected and raised together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import attrs
from attrs import field, frozen

from lumina_twisted.bus.settings import Seconds
from lumina_twisted.document import NUMBER
from lumina_twisted.errors import ConfigError
from lumina_twisted.modbus.settings import Baudrate
from lumina_twisted.schema import Between, required, setting
from lumina_twisted.simulator.device import TABLE_SIZE, Range
from lumina_twisted.simulator.diagnostics import LONGEST_OBJECT
from lumina_twisted.simulator.faults import KINDS, Fault
from lumina_twisted.simulator.values import Address, Count, Value, ValueReader, tables
from lumina_twisted.text import nearest

TableName = Literal["coils", "discrete_inputs", "holding_registers", "input_registers"]
TABLES: Final = {"coils": True, "discrete_inputs": True, "holding_registers": False, "input_registers": False}
"""The tables of a device, and whether each holds bits."""


@frozen(kw_only=True, slots=False)
class TableSettings:
    """One of the four tables of a device."""

    size: Annotated[int, Between(0, 0x10000)] = setting(
        TABLE_SIZE, "how many entries it has; addresses beyond do not exist: exception 2", unit="entries"
    )
    forbidden: tuple[Range, ...] = setting((), "addresses that can be neither read nor written")
    read_only: tuple[Range, ...] = setting((), "addresses that cannot be written")
    write_once: tuple[Range, ...] = setting((), "addresses that can be written once, each")
    values: Mapping[int, Value] = tables("what stands there, by address")


@frozen(kw_only=True, slots=False)
class IdentitySettings:
    """The identification that a device returns by functions 17 and 43/14. Empty texts are left out."""

    vendor_name: str = setting("Lumina", "object 0")
    product_code: str = setting("simulated device", "object 1, and the server id")
    revision: str = setting("1.0", "object 2")
    vendor_url: str = setting("", "object 3")
    product_name: str = setting("", "object 4")
    model_name: str = setting("", "object 5")
    user_application_name: str = setting("", "object 6")


@frozen(kw_only=True, slots=False)
class SimulatedUnitSettings:
    """One device."""

    profile: str = setting(
        "", "what kind of device it is, one of Lumina's profiles or of this file's: it has that one's points, and what"
        " else is said here replaces them",
    )
    device_time: Seconds | None = setting(
        None, "from the silence after a request to the answer's first byte; not given: that of its bus", unit="s"
    )
    frame_gap: Seconds | None = setting(
        None, "the silence it needs before a request; not given: that of its bus", unit="s",
    )
    identity: IdentitySettings = field(
        default=IdentitySettings(), metadata={"doc": "what it says of itself", "unit": ""}
    )
    coils: TableSettings = setting(TableSettings(), "bits that can be read and written")
    discrete_inputs: TableSettings = setting(TableSettings(), "bits that can be read")
    holding_registers: TableSettings = setting(TableSettings(), "registers that can be read and written")
    input_registers: TableSettings = setting(TableSettings(), "registers that can be read")
    files: Mapping[int, tuple[int, ...]] = tables("the records of each file, by its number; functions 20 and 21")
    fifo_queues: Mapping[int, tuple[int, ...]] = tables("the registers of each queue, by its address; function 24")
    faults: tuple[Fault, ...] = setting((), "what goes wrong with this device")


@frozen(kw_only=True, slots=False)
class OtherMasterSettings:
    """Another master on the bus, which sends reads of its own."""

    unit: Annotated[int, Between(1, 255)] = required("the unit it asks")
    table: TableName = setting(
        "holding_registers", "what it reads: coils, discrete_inputs, holding_registers or input_registers"
    )
    address: Address = setting(0, "the first address it reads")
    count: Annotated[int, Between(1, 125)] = setting(1, "how many entries it reads", unit="entries")
    interval: Annotated[float, Between(0.01, 1e6)] = setting(1.0, "from one request to the next", unit="s")


@frozen(kw_only=True, slots=False)
class SimulatedBusSettings:
    """One bus, its adapter and its devices."""

    link: str = setting(
        "", "the path under which the bus can be opened, as a serial device; not given: one in a folder of its own"
    )
    baudrate: Baudrate = setting(9600, "the speed of its devices; at another one they do not understand", unit="baud")
    device_time: Seconds = setting(
        0.001, "from the silence after a request to the answer's first byte", unit="s"
    )
    frame_gap: Seconds = setting(
        0.0, "the silence its devices need before a request; one that comes sooner they do not understand", unit="s"
    )
    echo: bool = setting(False, "whether its adapter hands back what is sent")
    units: Mapping[int, SimulatedUnitSettings] = tables("its devices, by unit identifier, 1 to 255")
    faults: tuple[Fault, ...] = setting((), "what goes wrong with all of them")
    masters: tuple[OtherMasterSettings, ...] = setting((), "other masters on its wire, which ask by themselves")


@frozen(kw_only=True, slots=False)
class WireLogSettings:
    """The file that records all traffic on the wires."""

    path: str = setting("", "the file; not given: none")
    size: Annotated[int, Between(0, 10**15)] = setting(
        50_000_000, "when it has grown to this, it becomes PATH.1 and another is begun; 0: never", unit="bytes"
    )
    waiting: Annotated[int, Between(1, 1_000_000)] = setting(
        10_000, "lines that may wait in memory until they are written; what is more is dropped and counted",
        unit="lines",
    )


@frozen(kw_only=True, slots=False)
class SimulationSettings:
    """A whole simulation."""

    seed: Annotated[int, Between(0, 2**63 - 1)] = setting(
        0, "what faults and random walks are drawn from: the same number, the same faults for the same requests"
    )
    log: WireLogSettings = setting(WireLogSettings(), "what came over the wires")
    buses: Mapping[str, SimulatedBusSettings] = tables("the buses, by name")


# -- from a document -----------------------------------------------------------------------------------------------

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_TABLE_KEYS: Final = tuple(one.name for one in attrs.fields(TableSettings) if one.name != "values")
_INPUT_KEYS: Final = tuple(key for key in _TABLE_KEYS if key not in ("read_only", "write_once"))
_PLAIN: Final = SimulatedUnitSettings()


def simulation_settings(
    data: Mapping[str, Any], profiles: Mapping[str, SimulatedUnitSettings] = MappingProxyType({})
) -> SimulationSettings:
    """The simulation that ``data`` describes.

    :param profiles: the devices that a unit's ``profile`` can name.
    :raises ConfigError: with one fault for each wrong, unknown or missing key.
    """
    reader = _Reader(profiles)
    made = reader.simulation(data)
    if reader.faults:
        raise ConfigError(reader.faults)
    return made


class _Reader(ValueReader):
    """Reads a simulation, and continues after a fault."""

    def __init__(self, profiles: Mapping[str, SimulatedUnitSettings]) -> None:
        super().__init__([])
        self._profiles = profiles

    def simulation(self, data: Mapping[str, Any]) -> SimulationSettings:
        made = self.structured(data, SimulationSettings, "", ("buses",)) or SimulationSettings()
        tables = self.tables(data, "buses", "")
        buses = {name: self._bus(name, table, f"buses.{name}") for name, table in tables}
        if not buses and not self.faults:
            self.faults.append("buses: there is no bus; add a table [buses.NAME]")
        self._check_links(buses)
        return attrs.evolve(made, buses=buses)

    def _bus(self, name: str, data: Any, where: str) -> SimulatedBusSettings:
        if not _NAME.fullmatch(name):
            self.faults.append(f"{where}: the name of a bus has letters, digits, '_', '.' and '-' only")
        made = self.structured(data, SimulatedBusSettings, where, ("units", "faults")) or SimulatedBusSettings()
        if not isinstance(data, Mapping):
            return made
        units: dict[int, SimulatedUnitSettings] = {}
        for key, table in self.tables(data, "units", where):
            number = self.number(key, f"{where}.units.{key}", "a unit identifier", 1, 255, units)
            unit = self._unit(table, f"{where}.units.{key}")
            if number is not None:
                units[number] = unit
        return attrs.evolve(made, units=units, faults=self._faults(data, where))

    def _check_links(self, buses: Mapping[str, SimulatedBusSettings]) -> None:
        taken: dict[str, str] = {}
        for name, bus in buses.items():
            if "\0" in bus.link:
                self.faults.append(f"buses.{name}.link: expected a path, got {bus.link!r}")
            elif bus.link:
                first = taken.setdefault(os.path.abspath(bus.link), name)
                if first != name:
                    self.faults.append(f"buses.{name}.link: buses.{first} has the link {bus.link} too")

    def _unit(self, data: Any, where: str) -> SimulatedUnitSettings:
        apart = (*TABLES, "files", "fifo_queues", "faults")
        made = self.structured(data, SimulatedUnitSettings, where, apart)
        if not isinstance(data, Mapping):
            return _PLAIN
        said = () if made is None else data.get("identity", ())
        made = made or _PLAIN
        base = self._profile(made.profile, where)
        identity = attrs.evolve(base.identity, **{key: getattr(made.identity, key) for key in said})
        self._check_identity(identity, f"{where}.identity")
        tables: dict[str, Any] = {
            name: self._table(data.get(name, {}), name, f"{where}.{name}", getattr(base, name)) for name in TABLES
        }
        made = attrs.evolve(
            made, identity=identity, faults=self._faults(data, where),
            files=self._lists(data, "files", where, "a file number", 1),
            fifo_queues=self._lists(data, "fifo_queues", where, "an address", 0), **tables,
        )
        self._check_resets(made, where)
        return made

    def _profile(self, name: str, where: str) -> SimulatedUnitSettings:
        """The defaults of a unit, from its profile."""
        if name and name not in self._profiles:
            self.faults.append(f"{where}.profile: there is no profile {name!r}; {nearest(name, self._profiles)}")
        return self._profiles.get(name, _PLAIN)

    def _check_resets(self, unit: SimulatedUnitSettings, where: str) -> None:
        size = unit.holding_registers.size
        for name in ("holding_registers", "input_registers"):
            for address, value in getattr(unit, name).values.items():
                if isinstance(value, Count) and value.reset_by is not None and value.reset_by >= size:
                    path, wanted = f"{where}.{name}.{address}.reset_by", value.reset_by
                    self.faults.append(f"{path}: there is no holding register {wanted}; their table's size is {size}")

    def _check_identity(self, identity: IdentitySettings, where: str) -> None:
        for key, text in attrs.asdict(identity).items():
            if len(text.encode()) > LONGEST_OBJECT:
                self.faults.append(f"{where}.{key}: longer than {LONGEST_OBJECT} bytes, which no reply can hold")

    def _lists(
        self, data: Mapping[str, Any], key: str, where: str, what: str, lowest: int
    ) -> dict[int, tuple[int, ...]]:
        """Lists of registers by number, for files and queues."""
        made: dict[int, tuple[int, ...]] = {}
        for number, value in self.tables(data, key, where):
            path = f"{where}.{key}.{number}"
            place = self.number(number, path, what, lowest, 0xFFFF, made)
            if not (isinstance(value, list) and all(type(one) is int and 0 <= one <= 0xFFFF for one in value)):
                self.faults.append(f"{path}: expected a list of registers, 0 to 65535 each, got {value!r}")
            elif place is not None:
                made[place] = tuple(value)
        return made

    def _faults(self, data: Mapping[str, Any], where: str) -> tuple[Fault, ...]:
        listed = data.get("faults", [])
        if not isinstance(listed, list):
            self.faults.append(f"{where}.faults: expected tables [[{where}.faults]], with two brackets, got {listed!r}")
            return ()
        made = [self.kind(one, KINDS, "", "fault", f"{where}.faults[{index}]") for index, one in enumerate(listed)]
        return tuple(one for one in made if one is not None)

    def _table(self, data: Any, name: str, where: str, base: TableSettings) -> TableSettings:
        keys = _INPUT_KEYS if name.endswith(("inputs", "input_registers")) else _TABLE_KEYS
        if not isinstance(data, Mapping):
            self.faults.append(f"{where}: expected a table, got {data!r}")
            return TableSettings()
        addresses = [key for key in data if key not in keys]
        made = self.structured(data, TableSettings, where, addresses) or TableSettings()
        values: dict[int, Value] = {}
        for key in addresses:
            path = f"{where}.{key}"
            if not NUMBER.fullmatch(key):
                self.faults.append(f"{path}: expected an address, as 17 or 0x11, or one of {', '.join(keys)}")
                continue
            value = self.value(data[key], TABLES[name], path)
            address = self.number(key, path, "an address", 0, 0xFFFF, values)
            if value is not None and address is not None:
                values[address] = value
        if "size" not in data:
            made = attrs.evolve(made, size=base.size)
        self._check_places(values, made.size, TABLES[name], where)
        taken = _entries(values, TABLES[name])
        kept = {
            at: one for at, one in base.values.items()
            if at < made.size and taken.isdisjoint(_entries({at: one}, TABLES[name]))
        }
        return attrs.evolve(made, values={**kept, **values})

    def _check_places(self, values: Mapping[int, Value], size: int, is_bits: bool, where: str) -> None:
        """Checks that no two values share an entry, and that no value goes beyond the table's end."""
        end, before = 0, 0
        for address in sorted(values):
            if address < end:
                self.faults.append(f"{where}.{address}: the value at {before} takes it, up to {end - 1}")
            before, end = address, address + values[address].size(is_bits)
            if end > size:
                self.faults.append(f"{where}.{address}: goes beyond the table's end; raise its size, which is {size}")


def _entries(values: Mapping[int, Value], is_bits: bool) -> set[int]:
    """The addresses of the entries that the values take."""
    return {entry for at, one in values.items() for entry in range(at, at + one.size(is_bits))}
