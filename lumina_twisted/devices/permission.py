"""What clients may configure of a device, floor 3.

The file of a device protects it: which registers can be written, and to what. A client that could change where a point
lies, what its number means or how far it may go could write anything. So clients change only what no access depends on,
unless the file says ``configurable = true`` of the device. What takes a change back is always allowed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from lumina_twisted.devices.description import Device
from lumina_twisted.devices.settings import DeviceSettings, PointSettings
from lumina_twisted.document import flat

OF_A_DEVICE: Final = ("summary", "poll")
OF_A_POINT: Final = ("summary", "poll", "dead_band", "unit_of_measure")
"""What every client may change that may configure at all."""
_DEVICE_KEYS: Final = frozenset(one.name for one in attrs.fields(DeviceSettings))
_POINT_KEYS: Final = frozenset(one.name for one in attrs.fields(PointSettings))
MOST_KEYS: Final = 200
MOST_BYTES: Final = 16_384
"""What is kept of a device at most, in JSON: each is a key that its file could say as well."""


def faults(device: Device, changes: Mapping[str, Any]) -> Iterator[str]:
    """What a client may not change, each with its path and what to do.

    :param device: as its file describes it.
    :param changes: tables within tables; None takes a change back.
    """
    if device.configurable:
        return
    for key, value in flat(changes):
        if value is not None and _is_known(key) and not _is_free(key):
            yield (
                f"devices.{device.name}.{key}: only its file may say this, for what clients may write depends on it;"
                f" `configurable = true` in [devices.{device.name}] would let them. Without that they change"
                f" {_listed(OF_A_DEVICE)}, and of its points {_listed(OF_A_POINT)}"
            )


def split(device: Device, kept: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What of a kept configuration may be in effect, and the keys of the rest."""
    refused = [] if device.configurable else [key for key, value in flat(kept) if value != {} and not _is_free(key)]
    return _without(kept, set(refused)), refused


def fault_of_size(device: str, before: Mapping[str, Any], merged: Mapping[str, Any]) -> str:
    """Why so much cannot be kept; empty if it can, or if it was more before."""
    keys, size = sum(1 for _ in flat(merged)), _size(merged)
    if (keys <= MOST_KEYS and size <= MOST_BYTES) or size < _size(before):
        return ""
    return (
        f"devices.{device}: with this {keys} keys in {size} bytes would be kept for it, and {MOST_KEYS} keys in"
        f" {MOST_BYTES} bytes are the most; take some back, as KEY=null, or write them into its file"
    )


def _size(config: Mapping[str, Any]) -> int:
    return len(json.dumps(config))


def _is_known(key: str) -> bool:
    """Whether there is such a key at all; of another, whoever reads it says which is near, and refuses it too."""
    outer, *inner = key.split(".")
    if outer != "points":
        return outer in _DEVICE_KEYS
    return len(inner) > 1 and inner[1] in _POINT_KEYS


def _is_free(key: str) -> bool:
    """Whether no access depends on it."""
    outer, *inner = key.split(".")
    if outer != "points":
        return not inner and outer in OF_A_DEVICE
    return len(inner) == 2 and inner[1] in OF_A_POINT


def _listed(keys: tuple[str, ...]) -> str:
    return f"{', '.join(keys[:-1])} and {keys[-1]}"


def _without(table: Mapping[str, Any], keys: set[str], outer: str = "") -> dict[str, Any]:
    """A copy without these keys, and without the tables of which nothing is left by that."""
    made: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{outer}{key}"
        if path in keys:
            continue
        left = _without(value, keys, f"{path}.") if isinstance(value, Mapping) else value
        if left != {} or value == {}:
            made[key] = left
    return made
