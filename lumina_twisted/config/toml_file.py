"""A configuration file, floor 5: TOML with ``[ports.NAME]`` and ``[[listen]]`` tables."""

from __future__ import annotations

import os
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

from lumina_twisted.config.configuration import Draft
from lumina_twisted.errors import ConfigError
from lumina_twisted.schema import structure


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the file holds.

    :raises ConfigError: with the one fault that keeps it from being read.
    """
    try:
        return tomllib.loads(pathlib.Path(path).read_bytes().decode())
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is not UTF-8, as TOML must be"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: this is not TOML: {error}"]) from None


def add_document(draft: Draft, data: Mapping[str, Any]) -> None:
    """Adds what a file holds to ``draft``, faults included."""
    for key in data:
        if key not in ("ports", "listen"):
            draft.faults.append(f"{key}: unknown key; a file has tables [ports.NAME] and [[listen]]")
    _add_ports(draft, data.get("ports", {}))
    _add_listeners(draft, data.get("listen", []))


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
