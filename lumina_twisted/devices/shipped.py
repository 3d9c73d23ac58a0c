"""The profiles that come with Lumina, floor 3: ``profiles/NAME.toml`` beside this file, each with its one profile."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from lumina_twisted.devices.description import Profile
from lumina_twisted.devices.document import read_profiles
from lumina_twisted.errors import ConfigError

_SUFFIX = ".toml"
_FOLDER = files("lumina_twisted.devices").joinpath("profiles")


@cache
def shipped_profiles() -> Mapping[str, Profile]:
    """By name; each is read when it is first asked for."""
    return _Shipped()


class _Shipped(Mapping[str, Profile]):
    """Knows the names from the folder, and a profile from its file."""

    def __init__(self) -> None:
        found = _FOLDER.iterdir() if _FOLDER.is_dir() else ()
        self._names = sorted(one.name.removesuffix(_SUFFIX) for one in found if one.name.endswith(_SUFFIX))
        self._read: dict[str, Profile] = {}

    def __getitem__(self, name: str) -> Profile:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            self._read[name] = _read(name)
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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
