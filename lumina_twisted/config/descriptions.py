"""Collects the profiles and devices of all files, and gives units the serial settings of their devices. Floor 5."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs
from attrs import frozen

from lumina_twisted.bus.settings import UnitSettings
from lumina_twisted.devices.describe.description import Device, Profile
from lumina_twisted.devices.describe.document import read_devices, read_profiles, shipped_profiles
from lumina_twisted.devices.describe.settings import LINE_KEYS
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.schema import UnitId

TABLES: Final = ("profiles", "devices")
"""The tables of a file that describe devices."""


@frozen
class Located:
    """Devices and profiles.

    :param profiles: those of the files, and each shipped profile whose name no file uses.
    :param wheres: the path of each device's table, by the device's name.
    """

    profiles: Mapping[str, Profile]
    devices: Mapping[str, Device]
    wheres: Mapping[str, str]


class Descriptions:
    """Collects the tables of several files. A device in one file may use a profile from another."""

    def __init__(self) -> None:
        self._tables: dict[str, list[tuple[str, Any]]] = {key: [] for key in TABLES}

    def __bool__(self) -> bool:
        """Whether there is any device."""
        return any(table for _, table in self._tables["devices"])

    def add(self, data: Mapping[str, Any], before: str = "") -> None:
        """Adds the tables of one file.

        :param before: the prefix of all paths in faults of this file.
        """
        for key in TABLES:
            if key in data:
                self._tables[key].append((f"{before}{key}", data[key]))

    def read(self, ports: Iterable[str], faults: list[str]) -> Located:
        """Reads all tables.

        :param ports: the names of all ports.
        :param faults: takes a sentence for each fault.
        """
        ports = list(ports)
        profiles: dict[str, Profile] = {}
        devices: dict[str, Device] = {}
        for where, table in self._single("profiles", {}, faults):
            profiles |= read_profiles(table, where, faults)
        known = ChainMap(profiles, shipped_profiles())  # type: ignore[arg-type]
        wheres: dict[str, str] = {}
        for where, table in self._single("devices", wheres, faults):
            devices |= read_devices(table, where, known, ports, faults)
        return Located(known, devices, wheres)

    def _single(self, key: str, wheres: dict[str, str], faults: list[str]) -> Iterator[tuple[str, Any]]:
        """Each file's table, without the names that an earlier file has.

        :param wheres: takes the path of each name.
        """
        for where, table in self._tables[key]:
            if isinstance(table, Mapping):
                faults += [
                    f"{where}.{name}: {wheres[name]} has this name too; give one of them another name"
                    for name in table if name in wheres
                ]
                single = {name: one for name, one in table.items() if name not in wheres}
                wheres.update((name, f"{where}.{name}") for name in single)
                yield where, single
            else:
                yield where, table


def with_lines_of_devices(
    ports: Mapping[str, PortSettings], devices: Mapping[str, Device]
) -> dict[str, PortSettings]:
    """The ports, with the serial settings of the devices given to their units. The caller has checked the devices."""
    made = dict(ports)
    for device in devices.values():
        if device.line and device.port in made:
            made[device.port] = _with_unit(made[device.port], device)
    return made


def with_unit_lines(
    ports: Mapping[str, PortSettings], located: Located, faults: list[str]
) -> dict[str, PortSettings]:
    """The same as :func:`with_lines_of_devices`, but checks the devices first.

    :param faults: takes a sentence for each setting that contradicts another device, or the port's own table.
    """
    given = {
        (name, unit, key): (getattr(settings, key), f"ports.{name}.units.{unit}")
        for name, port in ports.items() for unit, settings in port.units.items() for key in LINE_KEYS
        if getattr(settings, key) is not None
    }
    for name, device in located.devices.items():
        where = located.wheres[name]
        for key, value in device.line.items():
            there, other = given.setdefault((device.port, UnitId(device.unit), key), (value, where))
            if there != value:
                faults.append(
                    f"{where}.{key}: {value!r} here, and {there!r} in {other}, for unit {device.unit} of port"
                    f" {device.port}; a unit has one"
                )
        if device.line and device.port in ports:
            faults += _new_faults(ports[device.port], device, where)
    return with_lines_of_devices(ports, located.devices)


def _with_unit(port: PortSettings, device: Device) -> PortSettings:
    unit = UnitId(device.unit)
    own = attrs.evolve(port.units.get(unit, UnitSettings()), **device.line)
    return attrs.evolve(port, units={**port.units, unit: own})


def _new_faults(port: PortSettings, device: Device, where: str) -> list[str]:
    """The faults that the serial settings of a device cause at its port."""
    own = dict(port.faults())
    unit = f"units.{device.unit}."
    return [
        f"{where}.{key.removeprefix(unit)}: {sentence}" for key, sentence in _with_unit(port, device).faults()
        if key not in own and key.startswith(unit)
    ]
