"""A configuration file, floor 5: TOML with tables of ports, listeners, devices and more."""

from __future__ import annotations

import os
import pathlib
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lumina_twisted.config.configuration import Draft
from lumina_twisted.errors import ConfigError
from lumina_twisted.schema import structure
from lumina_twisted.text import close_to

_DEEPEST: Final = 16
"""Tables within tables; ours are four deep."""
_KEYS: Final = ("ports", "listen", "limits", "log", "values", "devices", "profiles")
_TABLES: Final = (
    "a file has tables [ports.NAME], [[listen]], [devices.NAME], [profiles.NAME], [values], [limits] and [log]"
)


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the file holds.

    :raises ConfigError: with the faults that keep it from being read.
    """
    try:
        data = tomllib.loads(pathlib.Path(path).read_bytes().decode("utf-8-sig"))  # Windows puts a mark before it
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


def add_document(draft: Draft, data: Mapping[str, Any]) -> None:
    """Adds what a file holds to ``draft``, faults included."""
    for key in data:
        if key not in _KEYS:
            draft.faults.append(f"{key}: unknown key; {_meant(key)}")
    _add_ports(draft, data.get("ports", {}))
    _add_listeners(draft, data.get("listen", []))
    if "limits" in data:
        draft.add_limits(data["limits"], "limits", structure)
    if "log" in data:
        draft.add_log(data["log"], "log", structure)
    if "values" in data:
        draft.add_values(data["values"], "values", structure)
    draft.descriptions.add(data)


def _meant(key: str) -> str:
    if key == "buses":
        return "this is a simulation, which `lumina simulate` plays"
    near = close_to(key, _KEYS)
    return f"did you mean {near!r}? {_TABLES}" if near else _TABLES


def _unusable(data: dict[str, Any]) -> Iterator[str]:
    """What TOML allows and no setting of ours can be; such values could not even be shown to a person."""
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


def _add_ports(draft: Draft, ports: Any) -> None:
    if not isinstance(ports, Mapping):
        draft.faults.append(f"ports: expected tables [ports.NAME], got {ports!r}")
        return
    for name, table in ports.items():
        draft.add_port(name, table, f"ports.{name}", structure)


def _add_listeners(draft: Draft, listeners: Any) -> None:
    if not isinstance(listeners, list):
        draft.faults.append("listen: expected tables [[listen]], with two brackets, for there may be several")
        return
    for index, table in enumerate(listeners):
        draft.add_listener(table, f"listen[{index}]", structure)
