"""Where a configuration comes from, floor 5: TOML files, and arguments of the command line.

A file has tables of ports, listeners, devices and more. The folder ``devices.d`` beside it has more files, each with a
device, a kind of device, or a plant. The command line has ``--port``, ``--listen`` and ``KEY=VALUE`` arguments.
Each source adds its contents to a :class:`~lumina_twisted.config.configuration.Draft`, including its faults.
"""

from __future__ import annotations

import os
import pathlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from lumina_twisted.config.configuration import SETTINGS, Draft, table_of
from lumina_twisted.config.descriptions import TABLES
from lumina_twisted.errors import ConfigError
from lumina_twisted.ports.settings import PortSettings, is_place, is_unknown_place, parted
from lumina_twisted.schema import structure, structure_text
from lumina_twisted.text import close_to

FOLDER: Final = "devices.d"
_DEEPEST: Final = 16
"""The deepest nesting of tables that is accepted; Lumina's own tables are four deep."""
_KEYS: Final = ("ports", "listen", *SETTINGS, *TABLES)
_KNOWN_TABLES: Final = (
    "a file has tables [ports.NAME], [[listen]], [devices.NAME], [profiles.NAME], [values], [limits] and [log]"
)
_COLON: Final = re.compile(r"(?<!\\):")
_COMMA: Final = re.compile(rf",({'|'.join(one.name for one in attrs.fields(PortSettings))})=")
_LISTEN_FORM: Final = "PROTOCOL[,option=value…]=ENDPOINT, as line=tcp:8888:interface=127.0.0.1"
_LISTEN: Final = re.compile(r"(?P<protocol>[^,=]+)(?P<options>(?:,[^,=]+=[^,=]*)*)=(?P<endpoint>.+)")


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The contents of a TOML file.

    :raises ConfigError: if the file cannot be read; it has the faults.
    """
    try:
        data = tomllib.loads(pathlib.Path(path).read_bytes().decode("utf-8-sig"))  # Windows adds a byte order mark
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is not UTF-8, as TOML must be"]) from None
    except tomllib.TOMLDecodeError as error:
        hint = "; a text stands in quotes" if "Invalid value" in str(error) else ""
        raise ConfigError([f"{path}: this is not TOML: {error}{hint}"]) from None
    except (RecursionError, ValueError):
        raise ConfigError([f"{path}: a number is too long, or values are nested too deep"]) from None
    if faults := list(_unusable(data)):
        raise ConfigError(faults)
    return data


def _unusable(data: dict[str, Any]) -> Iterator[str]:
    """Faults for values that TOML allows, but that no setting can have and that cannot be printed."""
    found: list[tuple[tuple[str, ...], Any]] = [((), data)]
    while found:
        path, value = found.pop()
        if isinstance(value, (dict, list)) and len(path) > _DEEPEST:
            yield f"{'.'.join(path[:4])}…: nested more than {_DEEPEST} deep"
        elif isinstance(value, dict):
            found.extend(((*path, key), inner) for key, inner in value.items())
        elif isinstance(value, list):
            found.extend(((*path, str(index)), inner) for index, inner in enumerate(value))
        elif isinstance(value, int) and abs(value) >= 2**63:
            yield f"{'.'.join(path)}: a number of more than 64 bits"


def add_document(draft: Draft, data: Mapping[str, Any]) -> None:
    """Adds the contents of a file."""
    draft.faults += [f"{key}: unknown key; {_meant(key)}" for key in data if key not in _KEYS]
    ports, listeners = data.get("ports", {}), data.get("listen", [])
    if isinstance(ports, Mapping):
        for name, table in ports.items():
            draft.add_port(name, table, f"ports.{name}", structure)
    else:
        draft.faults.append(f"ports: expected tables [ports.NAME], got {ports!r}")
    if isinstance(listeners, list):
        for index, table in enumerate(listeners):
            draft.add_listener(table, f"listen[{index}]", structure)
    else:
        draft.faults.append("listen: expected tables [[listen]], with two brackets, for there may be several")
    for key in SETTINGS:
        if key in data:
            draft.add_settings(key, data[key], key, structure)
    draft.descriptions.add(data)


def _meant(key: str) -> str:
    if key == "buses":
        return "this is a simulation, which `lumina simulate` plays"
    near = close_to(key, _KEYS)
    return f"did you mean {near!r}? {_KNOWN_TABLES}" if near else _KNOWN_TABLES


def add_devices_folder(draft: Draft, file: str | os.PathLike[str]) -> None:
    """Adds the profiles and devices of ``devices.d/*.toml`` beside ``file``, in the order of the files' names. The
    folder may be absent."""
    folder = pathlib.Path(file).parent / FOLDER
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".toml") and not name.startswith("."))
    except FileNotFoundError:
        return
    except OSError as error:
        draft.faults.append(f"{folder}: cannot be read ({error.strerror}); it should be a folder of *.toml files")
        return
    for name in names:
        _add_devices_file(draft, folder / name)


def _add_devices_file(draft: Draft, path: pathlib.Path) -> None:
    shown = f"{FOLDER}/{path.name}"
    try:
        data = read_toml(path)
    except ConfigError as error:
        draft.faults += [f"{shown}: {one.removeprefix(f'{path}: ')}" for one in error.faults]
        return
    for key in data:
        if key not in TABLES:
            near = close_to(key, TABLES)
            meant = f"did you mean {near!r}? A" if near else "a"
            draft.faults.append(f"{shown}: {key}: unknown key; {meant} file in {FOLDER} has profiles and devices only")
    draft.descriptions.add(data, f"{shown}: ")


def add_port_argument(draft: Draft, text: str) -> None:
    r"""Adds ``[NAME=]PATH[:key=value…]``. In PATH, a colon is written ``\:``; ``rtu+tcp:HOST:PORT`` and similar paths
    need no backslash. Without NAME, the last component of PATH is the name. A key may have dots, as in
    ``units.3.timeout``.
    """
    name, found, rest = text.partition("=")
    is_named = found and "/" not in name and ":" not in name
    place = rest if is_named else text
    path, settings = _path_and_settings(place)
    if not is_named:
        name = _name_of(path)
    where = f"--port {name or repr(text)}"
    if _COMMA.search(place):
        right = _COMMA.sub(r":\1=", place)
        draft.faults.append(f"{where}: settings of a port are parted by colons; write {right!r}")
    elif not path or not name:
        draft.faults.append(f"{where}: expected [NAME=]PATH[:key=value…], got {text!r}")
    else:
        draft.add_port(name, table_of(settings, where, draft.faults, path=path), where, structure_text)


def _name_of(path: str) -> str:
    """The name of a port without one, such as ``ttyUSB0`` for a device, ``192.168.1.5_4001`` for a socket."""
    scheme, _, rest = path.partition(":")
    return (rest if is_place(scheme) else path.rpartition("/")[2]).replace(":", "_")


def _path_and_settings(text: str) -> tuple[str, list[str]]:
    if is_place(text.partition(":")[0]) or is_unknown_place(text):
        return parted(text)
    path, *settings = (one.replace("\\:", ":") for one in _COLON.split(text))
    return path, settings


def add_listen_argument(draft: Draft, text: str) -> None:
    """Adds ``PROTOCOL[,option=value…]=ENDPOINT``."""
    where = f"--listen {text!r}"
    if not (parts := _LISTEN.fullmatch(text)):
        draft.faults.append(f"{where}: expected {_LISTEN_FORM}")
        return
    options = parts["options"].split(",")[1:]
    data = table_of(options, where, draft.faults, protocol=parts["protocol"], endpoint=parts["endpoint"])
    draft.add_listener(data, where, structure_text)


def add_setting_arguments(draft: Draft, key: str, option: str, texts: Sequence[str]) -> None:
    """Adds ``KEY=VALUE`` arguments to one of the tables :data:`~lumina_twisted.config.configuration.SETTINGS`."""
    if texts:
        draft.add_settings(key, table_of(texts, option, draft.faults), option, structure_text)
