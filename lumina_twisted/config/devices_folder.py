"""The folder ``devices.d`` beside a configuration file, floor 5: a file a device, or a kind of device, or a plant."""

from __future__ import annotations

import os
import pathlib
from typing import Final

from lumina_twisted.config.configuration import Draft
from lumina_twisted.config.descriptions import TABLES
from lumina_twisted.config.toml_file import read_toml
from lumina_twisted.errors import ConfigError
from lumina_twisted.text import close_to

FOLDER: Final = "devices.d"
_SUFFIX: Final = ".toml"


def add_devices_folder(draft: Draft, file: str | os.PathLike[str]) -> None:
    """Adds the profiles and devices of ``devices.d/*.toml`` beside ``file`` to ``draft``, faults included, in the order
    of the files' names. Without such a folder there are none."""
    folder = pathlib.Path(file).parent / FOLDER
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX) and not name.startswith("."))
    except FileNotFoundError:
        return
    except OSError as error:
        draft.faults.append(f"{folder}: cannot be read ({error.strerror}); it should be a folder of *.toml files")
        return
    for name in names:
        _add_file(draft, folder / name)


def _add_file(draft: Draft, path: pathlib.Path) -> None:
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
