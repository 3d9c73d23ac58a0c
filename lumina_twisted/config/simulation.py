"""Reads a simulation from a TOML file, floor 5: the simulator's own tables, and units with the points of a profile."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from lumina_twisted.config.sources import read_toml
from lumina_twisted.devices.describe.description import Point, Profile
from lumina_twisted.devices.describe.document import read_profiles, shipped_profiles
from lumina_twisted.errors import ConfigError, RequestError
from lumina_twisted.modbus.access import Table
from lumina_twisted.simulator.diagnostics import LONGEST_OBJECT
from lumina_twisted.simulator.settings import (
    IdentitySettings,
    SimulatedUnitSettings,
    SimulationSettings,
    TableSettings,
    simulation_settings,
)
from lumina_twisted.simulator.values import Bits, Constant, Value, constant_of, point_value


def settings_from_toml(path: str | os.PathLike[str]) -> SimulationSettings:
    """The simulation that the file describes.

    :raises ConfigError: with all its faults.
    """
    return settings_from_data(read_toml(path))


def settings_from_data(data: Mapping[str, Any]) -> SimulationSettings:
    """The simulation that plain data describes, such as the data of a file. This function reads ``profiles``;
    :func:`~lumina_twisted.simulator.settings.simulation_settings` reads the rest.

    :raises ConfigError: with all its faults.
    """
    faults: list[str] = []
    own = read_profiles(data.get("profiles", {}), "profiles", faults)
    profiles = SimulatedProfiles(ChainMap(own, shipped_profiles()))  # type: ignore[arg-type]
    rest = {key: one for key, one in data.items() if key != "profiles"}
    try:
        made = simulation_settings(rest, profiles)
    except ConfigError as error:
        raise ConfigError([*faults, *error.faults]) from None
    if faults:
        raise ConfigError(faults)
    return made


_TABLES: Final[Mapping[Table, str]] = {
    "coil": "coils", "discrete": "discrete_inputs", "holding": "holding_registers", "input": "input_registers",
}
"""The simulator's name for each table."""
_USUAL: Final[Mapping[str, float]] = {
    "°C": 21.0, "°F": 70.0, "K": 294.0, "%": 50.0, "V": 230.0, "A": 2.0, "W": 460.0, "kW": 0.46, "VA": 480.0,
    "Hz": 50.0, "kWh": 1234.5, "Wh": 1_234_500.0, "bar": 1.5, "hPa": 1013.0, "rpm": 1450.0, "1/min": 1450.0,
    "s": 10.0, "ppm": 600.0,
}
"""Plausible values, by unit of measure."""
_NAMELESS: Final = IdentitySettings()


class SimulatedProfiles(Mapping[str, SimulatedUnitSettings]):
    """The settings of a simulated unit for each profile, by the profile's name; each is made on access."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._profiles = profiles

    def __getitem__(self, name: str) -> SimulatedUnitSettings:
        profile = self._profiles[name]
        return simulated_unit(profile.points.values(), identity_of(profile))

    def __contains__(self, name: object) -> bool:
        return name in self._profiles

    def __iter__(self) -> Iterator[str]:
        return iter(self._profiles)

    def __len__(self) -> int:
        return len(self._profiles)


def simulated_unit(points: Iterable[Point], identity: IdentitySettings = _NAMELESS) -> SimulatedUnitSettings:
    """A unit that has only these points. Each point has the value of its ``simulate``, or else a plausible value."""
    by_table: dict[Table, list[Point]] = {name: [] for name in _TABLES}
    for point in points:
        by_table[point.table].append(point)
    tables: dict[str, Any] = {_TABLES[name]: _table(of_table) for name, of_table in by_table.items()}
    return SimulatedUnitSettings(identity=identity, **tables)


def identity_of(profile: Profile) -> IdentitySettings:
    """The identity of a device of this profile."""
    texts = {
        "vendor_name": profile.maker, "product_code": profile.model or profile.name, "product_name": profile.summary
    }
    return IdentitySettings(**{key: _cut(text) for key, text in texts.items() if text})


def _cut(text: str) -> str:
    return text.encode()[:LONGEST_OBJECT].decode(errors="ignore")


def _table(points: Iterable[Point]) -> TableSettings:
    whole: dict[int, Value] = {}
    single: dict[int, dict[int, Value]] = {}
    size = 0
    for point in points:
        size = max(size, point.end)
        value = _value(point)
        if point.codec.bit is None:
            whole[point.address] = value
        else:
            # In a register with swapped bytes, the lower byte is the upper one.
            place = point.codec.bit if point.codec.byte_order == "big" else point.codec.bit ^ 8
            single.setdefault(point.address, {})[place] = value
    return TableSettings(size=size, values=_with_single_bits(whole, single))


def _with_single_bits(
    whole: Mapping[int, Value], single: Mapping[int, Mapping[int, Value]]
) -> dict[int, Value]:
    """Adds the values of single bits to the registers. A register's other bits come from its constant in ``whole``."""
    made: dict[int, Value] = {}
    for address, value in whole.items():
        entries = value.value if isinstance(value, Constant) else [0]
        if any(address + at in single for at in range(len(entries))):
            made |= {address + at: Constant(value=entry) for at, entry in enumerate(entries)}
        else:
            made[address] = value
    for address, bits in single.items():
        under = made.get(address)
        word = under.value if isinstance(under, Constant) else 0
        rest: dict[int, Value] = {bit: Constant(value=True) for bit in range(16) if word >> bit & 1}
        made[address] = Bits(bits={**rest, **bits})
    return made


def _value(point: Point) -> Value:
    if point.simulate is None:
        return _usual(point)
    faults: list[str] = []
    made = point_value(point.simulate, point.codec, point.name, faults)
    assert made is not None, faults  # the check of the description found no faults
    return made


def _usual(point: Point) -> Value:
    """A plausible constant value."""
    for guess in _guesses(point):
        try:
            return constant_of(guess, point.codec)
        except RequestError:
            continue  # the next candidate may fit
    return Constant(value=[0] * point.codec.width)


def _guesses(point: Point) -> Iterator[Any]:
    codec = point.codec
    if codec.type == "bits":
        yield []
    elif codec.type == "string":
        yield point.name[: 2 * codec.width]
    elif codec.type == "bool":
        yield False
    elif codec.enum:
        yield codec.enum[min(codec.enum)]
    else:
        yield from _numbers(point)


def _numbers(point: Point) -> Iterator[float]:
    codec, usual = point.codec, _USUAL.get(point.unit_of_measure)
    low, high = codec.low, codec.high
    if usual is not None and (low is None or low <= usual) and (high is None or usual <= high):
        yield usual
    if low is not None and high is not None:
        yield (low + high) / 2
    yield from (end for end in (low, high) if end is not None)
