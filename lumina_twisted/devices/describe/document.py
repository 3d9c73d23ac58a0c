"""Reads profiles and devices from plain data, as a TOML file holds it, floor 3. It also has the profiles that come with
Lumina.

Reading goes on after a fault, so that the error lists all faults at once.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from attrs import evolve

from lumina_twisted.devices.describe.description import Device, Point, Profile
from lumina_twisted.devices.describe.points import PointReader
from lumina_twisted.devices.describe.settings import LINE_KEYS, DeviceSettings, ProfileSettings, take_over
from lumina_twisted.errors import ConfigError
from lumina_twisted.text import nearest

_OVERRIDES: Final = ("word_order", "byte_order", "poll", "hole", "most")
"""The keys of a profile that a device may override."""
_OF_POINTS: Final = ("word_order", "byte_order", "poll")
"""Those of them that affect its points."""
_NO_PROFILE: Final = Profile(name="", points={})


def read_profiles(data: Any, where: str, faults: list[str]) -> dict[str, Profile]:
    """The profiles that ``data`` describes, also those with faults, as far as they can be read.

    :param data: tables by name.
    :param where: begins the path of every fault.
    :param faults: takes what is wrong.
    """
    reader = _Reader(faults)
    return {name: reader.profile(name, table, f"{where}.{name}") for name, table in _named(data, where, faults)}


def read_devices(
    data: Any, where: str, profiles: Mapping[str, Profile], ports: Iterable[str], faults: list[str]
) -> dict[str, Device]:
    """The devices that ``data`` describes without a fault.

    :param data: tables by name.
    :param where: begins the path of every fault.
    :param profiles: the profiles that devices may name.
    :param ports: the names of the ports.
    :param faults: takes what is wrong.
    """
    ports = list(ports)
    made = {
        name: read_device(name, table, profiles, faults, f"{where}.{name}", ports)
        for name, table in _named(data, where, faults)
    }
    return {name: device for name, device in made.items() if device is not None}


def read_device(
    name: str, data: Any, profiles: Mapping[str, Profile], faults: list[str], where: str,
    ports: Iterable[str] | None = None,
) -> Device | None:
    """The device that ``data`` describes; None after a fault.

    :param data: a table, in the form of a file and of :func:`plain`.
    :param where: the path of that table.
    :param ports: the names of the ports; None if the port is not to be checked.
    """
    before = len(faults)
    device = _Reader(faults).device(name, data, profiles, where, ports)
    return device if len(faults) == before else None


def plain(device: Device) -> dict[str, Any]:
    """A copy of the table of a device, in the form of a file."""
    if device.given:
        return copy.deepcopy(dict(device.given))
    shown = {key: getattr(device, key) for key in ("port", "unit", "profile", "summary", "configurable")}
    return {**{key: value for key, value in shown.items() if value}, **device.line}


def _named(data: Any, where: str, faults: list[str]) -> Iterator[tuple[str, Any]]:
    if isinstance(data, Mapping):
        return iter(data.items())
    faults.append(f"{where}: expected tables [{_key(where)}.NAME], got {data!r}")
    return iter(())


def _key(where: str) -> str:
    """The key of a path that may begin with a file."""
    return where.rpartition(": ")[2]


class _Reader(PointReader):
    """Reads profiles and devices. It goes on after a fault, and collects the faults."""

    def profile(self, name: str, data: Any, where: str) -> Profile:
        self.check_name(name, where, "a profile")
        stray = self._stray_points(data, where)
        made = self.structured(data, ProfileSettings, where, ("points", *stray)) or ProfileSettings()
        if not isinstance(data, Mapping):
            return Profile(name=name, points={})
        self.check_poll(made.poll, where)
        given = dict(self.tables(data, "points", where))
        if not given and not stray and isinstance(data.get("points", {}), Mapping):
            self.faults.append(f"{where}.points: there is no point; add a table [{_key(where)}.points.NAME]")
        points: dict[str, Point] = {}
        for one, table in given.items():
            self._put(points, one, table, made, where)
        self._check_points(points, made.most, points, where)
        return take_over(Profile, made, name=name, points=points, given={**data, "points": given})

    def _stray_points(self, data: Any, where: str) -> list[str]:
        """The tables beside ``points``. Each is a fault: its author meant it as a point."""
        if not isinstance(data, Mapping):
            return []
        stray = [key for key, value in data.items() if key != "points" and isinstance(value, Mapping)]
        self.faults += [f"{where}.{key}: a point stands in [{_key(where)}.points.{key}]" for key in stray]
        return stray

    def device(
        self, name: str, data: Any, profiles: Mapping[str, Profile], where: str, ports: Iterable[str] | None
    ) -> Device | None:
        self.check_name(name, where, "a device")
        made = self.structured(data, DeviceSettings, where, ("points", *self._stray_points(data, where)))
        if not isinstance(data, Mapping):
            return None
        profile = self._profile(data, profiles, where)
        made = made or DeviceSettings(port="", unit=1)
        self.check_poll(made.poll, where)
        port = data.get("port")
        if isinstance(port, str) and ports is not None and port not in (ports := list(ports)):
            self.faults.append(f"{where}.port: there is no port {port!r}; {nearest(port, ports)}")
        if profile is None:
            return None
        said = {key: getattr(made, key) for key in _OVERRIDES if getattr(made, key) is not None}
        kind = evolve(profile, **said)
        return take_over(
            Device, made, name=name, points=self._points(data, kind, profile, where), profile=profile.name,
            hole=kind.hole, most=kind.most, given=data,
            line={key: getattr(made, key) for key in LINE_KEYS if getattr(made, key) is not None},
        )

    def _profile(self, data: Mapping[str, Any], profiles: Mapping[str, Profile], where: str) -> Profile | None:
        """The profile that a device names; one without points if it names none; None after a fault."""
        name = data.get("profile", "")
        if not isinstance(name, str):
            return None  # already reported as a fault of the settings
        if name and name not in profiles:
            self.faults.append(f"{where}.profile: there is no profile {name!r}; {nearest(name, profiles)}")
            return None
        if not name and not data.get("points"):
            self.faults.append(
                f'{where}: it has neither a profile nor points; add profile = "…", or a table'
                f" [{_key(where)}.points.NAME]"
            )
        return profiles[name] if name else _NO_PROFILE

    def _points(
        self, data: Mapping[str, Any], kind: Profile, profile: Profile, where: str
    ) -> Mapping[str, Point]:
        """The points of the profile, with the overrides of the device, and the device's own points.

        :param kind: the profile with the overrides of the device.
        """
        own = dict(self.tables(data, "points", where))
        is_as_profile = all(getattr(kind, key) == getattr(profile, key) for key in _OF_POINTS)
        if not own and is_as_profile and kind.most >= profile.most:
            return profile.points  # all devices of a kind share their points
        points = dict(profile.points)
        for name in points if not is_as_profile else ():
            self._put(points, name, profile.given["points"][name], kind, where)
        for name, table in own.items():
            if (merged := self._merged(name, table, profile, where)) is not None:
                self._put(points, name, merged, kind, where)
        if own or kind.most < profile.most:
            self._check_points(points, kind.most, own if kind.most >= profile.most else points, where)
        return points

    def _put(self, points: dict[str, Point], name: str, data: Any, defaults: ProfileSettings, where: str) -> None:
        point = self.point(name, data, defaults, f"{where}.points.{name}")
        if point is not None:
            points[name] = point

    def _merged(self, name: str, table: Any, profile: Profile, where: str) -> Any:
        """The table of a point: that of the profile, with the keys of the device on top; None after a fault."""
        theirs = profile.given.get("points", {})
        if not isinstance(table, Mapping) or name not in theirs:
            if isinstance(table, Mapping) and theirs and "address" not in table:
                self.faults.append(
                    f"{where}.points.{name}: the profile {profile.name} has no such point, and one of its own needs an"
                    f" address; {nearest(name, theirs)}"
                )
                return None
            return table
        if name not in profile.points:
            return None  # a fault of the profile already
        base = {**theirs[name], "table": profile.points[name].table}
        if "table" in table or isinstance(table.get("address"), str):
            del base["table"]
        return {**base, **table}

    def _check_points(self, points: Mapping[str, Point], most: int, own: Container[str], where: str) -> None:
        """What they are to each other and to their device.

        :param own: the points whose faults are this table's.
        """
        for name, point in points.items():
            if not point.is_bit and point.codec.width > most and name in own:
                self.faults.append(
                    f"{where}.points.{name}: takes {point.codec.width} registers, and the device gives {most} in one"
                    " reply, as most says; it could never be read"
                )
        for point, first in _overlaps(points.values()):
            path = f"{where}.points.{point.name if point.name in own else first.name}.address"
            other = first if point.name in own else point
            if point.name in own or first.name in own:
                self.faults.append(f"{path}: {_shared(point, other)}")


def _shared(point: Point, other: Point) -> str:
    if point.is_bit:
        return f"it is {other.address}, as that of the point {other.name!r}; each has one of its own"
    if point.codec.bit is not None and other.codec.bit is not None:
        return f"bit {point.codec.bit} of it is the point {other.name!r} already"
    return (
        f"the point {other.name!r} takes {_range(other)}; only single bits, and the type bits, may share a register"
    )


def _range(point: Point) -> str:
    last = point.end - 1
    return f"register {last}" if last == point.address else f"registers {point.address} to {last}"



def _overlaps(points: Iterable[Point]) -> Iterator[tuple[Point, Point]]:
    """Pairs of points that share bits: the one that is described later, and an earlier one. Points for single bits may
    share a register with a point that names the bits of the whole register."""
    by_place = sorted(enumerate(points), key=lambda one: (one[1].table, one[1].address))
    met: list[tuple[int, Point]] = []
    found: set[int] = set()
    for number, point in by_place:
        met = [(at, one) for at, one in met if one.table == point.table and one.end > point.address]
        for at, one in met:
            (_, first), (late, second) = sorted([(at, one), (number, point)], key=lambda pair: pair[0])
            if late not in found and _share_bits(one, point):
                found.add(late)
                yield second, first
        met.append((number, point))


def _share_bits(one: Point, other: Point) -> bool:
    """Whether two points that share an entry also share bits that they must not share."""
    bits = [point.codec.bit for point in (one, other)]
    if None not in bits:
        return bits[0] == bits[1]
    named = [point.codec.type == "bits" for point in (one, other)]
    return bits == [None, None] or not any(named)


# -- the profiles that come with Lumina -------------------------------------------------------------------------------

_SUFFIX: Final = ".toml"
_FOLDER: Final = files("lumina_twisted.devices").joinpath("profiles")
"""The folder with one file for each profile, ``NAME.toml``."""


@cache
def shipped_profiles() -> Mapping[str, Profile]:
    """The profiles by name. Each file is read at its first use."""
    return _Shipped()


class _Shipped(Mapping[str, Profile]):
    def __init__(self) -> None:
        names = [one.name for one in _FOLDER.iterdir()] if _FOLDER.is_dir() else []
        self._read: dict[str, Profile | None] = {
            one.removesuffix(_SUFFIX): None for one in sorted(names) if one.endswith(_SUFFIX)
        }

    def __getitem__(self, name: str) -> Profile:
        profile = self._read[name]
        if profile is None:
            profile = self._read[name] = _read(name)
        return profile

    def __contains__(self, name: object) -> bool:
        return name in self._read

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


def _read(name: str) -> Profile:
    """
    :raises ConfigError: with the faults of a file that should have none.
    """
    where, faults = f"{name}{_SUFFIX}: profiles", list[str]()
    data = tomllib.loads(_FOLDER.joinpath(name + _SUFFIX).read_text(encoding="utf-8"))
    made = read_profiles(data.get("profiles", {}), where, faults)
    if faults or list(made) != [name]:
        raise ConfigError(faults or [f"{where}: expected one, {name}, got {', '.join(made) or 'none'}"])
    return made[name]
