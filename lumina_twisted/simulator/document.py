"""A simulation from plain data as a TOML file holds it, floor 2. All that is wrong is told at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from lumina_twisted.document import NUMBER, DocumentReader
from lumina_twisted.errors import ConfigError
from lumina_twisted.simulator.faults import KINDS, Fault
from lumina_twisted.simulator.identity import LONGEST_OBJECT
from lumina_twisted.simulator.settings import (
    VALUE_KINDS,
    Bits,
    Constant,
    Count,
    IdentitySettings,
    SimulatedBusSettings,
    SimulatedUnitSettings,
    SimulationSettings,
    TableSettings,
    Value,
)
from lumina_twisted.simulator.values import value_fault, width_of
from lumina_twisted.text import nearest

TABLES: Final = {"coils": True, "discrete_inputs": True, "holding_registers": False, "input_registers": False}
"""The tables of a device, and whether each holds bits."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_TABLE_KEYS: Final = tuple(one.name for one in attrs.fields(TableSettings) if one.name != "values")
_INPUT_KEYS: Final = tuple(key for key in _TABLE_KEYS if key not in ("read_only", "write_once"))
_NOT_OF_BITS: Final = ("type", "word_order", "byte_order", "scale", "offset", "length", "encoding")
_MOST_BITS: Final = 64
_PLAIN: Final = SimulatedUnitSettings()


def simulation_settings(
    data: Mapping[str, Any], profiles: Mapping[str, SimulatedUnitSettings] = MappingProxyType({})
) -> SimulationSettings:
    """The simulation that ``data`` describes.

    :param profiles: devices by the names that ``profile`` of a unit can have.
    :raises ConfigError: with one fault for each wrong, unknown or missing key.
    """
    reader = _Reader(profiles)
    made = reader.simulation(data)
    if reader.faults:
        raise ConfigError(reader.faults)
    return made


class _Reader(DocumentReader):
    """Reads on after a fault; what it then returns nobody uses."""

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

    # -- buses and units -------------------------------------------------------------------------------------------

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
        """What a unit is where it says nothing itself."""
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
        """Registers by a number: files, queues."""
        made: dict[int, tuple[int, ...]] = {}
        for number, value in self.tables(data, key, where):
            path = f"{where}.{key}.{number}"
            place = self.number(number, path, what, lowest, 0xFFFF, made)
            if not (isinstance(value, list) and all(type(one) is int and 0 <= one <= 0xFFFF for one in value)):
                self.faults.append(f"{path}: expected a list of registers, 0 to 65535 each, got {value!r}")
            elif place is not None:
                made[place] = tuple(value)
        return made

    # -- faults ----------------------------------------------------------------------------------------------------

    def _faults(self, data: Mapping[str, Any], where: str) -> tuple[Fault, ...]:
        listed = data.get("faults", [])
        if not isinstance(listed, list):
            self.faults.append(f"{where}.faults: expected tables [[{where}.faults]], with two brackets, got {listed!r}")
            return ()
        made = [self.kind(one, KINDS, "", "fault", f"{where}.faults[{index}]") for index, one in enumerate(listed)]
        return tuple(one for one in made if one is not None)

    # -- tables of values --------------------------------------------------------------------------------------------

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
            value = self._value(data[key], TABLES[name], path)
            address = self.number(key, path, "an address", 0, 0xFFFF, values)
            if value is not None and address is not None:
                values[address] = value
        if "size" not in data:
            made = attrs.evolve(made, size=base.size)
        self._check_places(values, made.size, TABLES[name], where)
        kept = {at: one for at, one in _apart(base.values, values, TABLES[name]) if at < made.size}
        return attrs.evolve(made, values={**kept, **values})

    def _value(self, data: Any, is_bits: bool, where: str) -> Value | None:
        if not isinstance(data, Mapping):
            made: Value | None = Constant(value=data)
        else:
            made = self.kind(data, VALUE_KINDS, "constant", "kind of value", where, apart=("bits",))
            if isinstance(made, Bits):
                made = attrs.evolve(made, bits=self._bits(data, where))
            elif "bits" in data and made is not None:
                self.faults.append(f'{where}.bits: only kind = "bits" has them')
            unused = [key for key in _NOT_OF_BITS if is_bits and key in data]
            self.faults.extend(f"{where}.{key}: a bit has no {key}; take it away" for key in unused)
        if made is not None and (fault := value_fault(made, is_bits)):
            self.faults.append(f"{where}: {fault}")
            return None
        return made

    def _bits(self, data: Mapping[str, Any], where: str) -> dict[int, Value]:
        made: dict[int, Value] = {}
        for key, one in self.tables(data, "bits", where):
            path = f"{where}.bits.{key}"
            bit = self.number(key, path, "the number of a bit", 0, _MOST_BITS - 1, made)
            value = self._value(one, True, path)
            if bit is not None and value is not None:
                made[bit] = value
        return made

    def _check_places(self, values: Mapping[int, Value], size: int, is_bits: bool, where: str) -> None:
        """No two values share an entry, and none goes beyond the table's end."""
        end, before = 0, 0
        for address in sorted(values):
            if address < end:
                self.faults.append(f"{where}.{address}: the value at {before} takes it, up to {end - 1}")
            before, end = address, address + width_of(values[address], is_bits)
            if end > size:
                self.faults.append(f"{where}.{address}: goes beyond the table's end; raise its size, which is {size}")


def _apart(base: Mapping[int, Value], own: Mapping[int, Value], is_bits: bool) -> Iterator[tuple[int, Value]]:
    """Those values that no other lies on."""
    taken = {entry for at, one in own.items() for entry in range(at, at + width_of(one, is_bits))}
    for at, one in base.items():
        if taken.isdisjoint(range(at, at + width_of(one, is_bits))):
            yield at, one
