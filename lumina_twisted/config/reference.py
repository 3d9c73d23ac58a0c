"""The commented configuration file, floor 5: every key with its meaning, default and unit, from the settings classes.
``python -m lumina_twisted.config.reference`` prints the text of ``etc/lumina.toml``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Container, Iterator
from typing import Any, Final

import attrs

from lumina_twisted.bus.settings import UnitSettings
from lumina_twisted.config.compose import DEFAULT_FILE
from lumina_twisted.config.listeners import DEFAULT_PROTOCOL, front_ends, listener_class
from lumina_twisted.devices.describe.settings import DeviceSettings, PointSettings, ProfileSettings, ValuesSettings
from lumina_twisted.log.observer import LogSettings
from lumina_twisted.ports.settings import Limits, PortSettings

_WIDTH: Final = 110
OTHERS: Final = ("values", "modbus-tcp", "rtu-tcp", "rtu-pty", "rtu-serial", "echo")
"""Lumina's protocols except ``line``, in the order of the file. `lumina protocols` also lists those of others."""
_EXAMPLES: Final[dict[str, Any]] = {
    "PortSettings.path": "/dev/ttyUSB0", "default_unit": 1, "max_age": 2.0,
    "PortSettings.frame_gap": 0.004, "PortSettings.busy_retries": 3, "UnitSettings.timeout": 1.5,
    "UnitSettings.frame_gap": 0.01, "UnitSettings.merge_hole": 4,
    "UnitSettings.retries": 0, "UnitSettings.baudrate": 4800, "UnitSettings.bytesize": 8, "UnitSettings.parity": "E",
    "UnitSettings.stopbits": 1, "UnitSettings.share": False, "UnitSettings.offline_after": 0,
    "UnitSettings.canary": "read", "UnitSettings.max_age": 1.0, "UnitSettings.merge": True,
    "DeviceSettings.port": "bus1", "DeviceSettings.unit": 3, "DeviceSettings.profile": "heater",
    "DeviceSettings.word_order": "little", "DeviceSettings.byte_order": "big", "DeviceSettings.poll": 5.0,
    "DeviceSettings.hole": 2, "DeviceSettings.most": 60, "PointSettings.address": "40001",
    "PointSettings.table": "holding", "PointSettings.type": "u32", "PointSettings.word_order": "little",
    "PointSettings.byte_order": "big", "PointSettings.low": 20, "PointSettings.high": 80.5, "PointSettings.poll": 10.0,
    "PointSettings.simulate": {"kind": "wave", "low": 40, "high": 65.5, "period": 600},
    "PointSettings.length": 8, "PointSettings.bit": 3, "PointSettings.bits": {"0": "too_hot", "5": "door_open"},
    "PointSettings.enum": {"0": "off", "1": "eco", "2": "comfort"},
}
"""Examples that the file shows for keys without a default."""

_LEVELS: Final = (
    "# other levels by part; debug for a port logs its frames",
    "#[log.levels]",
    '#"port.bus1" = "debug"\n',
)
_POINTS: Final[dict[str, tuple[str, dict[str, Any], tuple[str, ...]]]] = {
    "serial_number": ("A text", {"address": "400101", "type": "string"}, ("length", "encoding")),
    "door": ("A single bit of a register", {"address": 41, "table": "holding", "type": "bool"}, ("bit",)),
    "alarms": ("A register of bits", {"address": "400043", "type": "bits"}, ("bits",)),
    "mode": ("A number whose values have names", {"address": "400044"}, ("enum",)),
}
"""Points with special keys: for each, what it is, the keys that it needs for that, and the keys that it shows."""
_HEAD: Final = f"""\
# Settings of Lumina, read from {DEFAULT_FILE} or from `twistd -n lumina --config FILE`.
# `twistd -n lumina --check --config FILE` tells all faults of a file at once.
# A line that begins with `#` and a key holds the default; take the `#` away to change it.
"""


def reference() -> str:
    """The whole file: a minimal configuration that works, and every other key commented out."""
    parts = [_HEAD, _title("A port: a serial device and the bus behind it. Further ports are further [ports.NAME]")]
    parts += ["[ports.bus1]\n", *_keys(PortSettings, skip=("units",))]
    parts += [_title("What differs for one unit of a port, here unit 17. Uncomment the name of the table, too")]
    parts += ["#[ports.bus1.units.17]\n", *_keys(UnitSettings)]
    parts += [_title("A listener: what programs connect to. Further listeners are further [[listen]]")]
    parts += ["[[listen]]\n", *_keys(listener_class(DEFAULT_PROTOCOL))]
    for name in OTHERS:
        parts += [_title(f"A listener of the protocol {name}: {front_ends()[name].summary}")]
        parts += ["#[[listen]]\n", *map(_commented, _keys(listener_class(name)))]
    parts += _devices()
    parts += [_title("What all ports together may hold. Uncomment the name of the table, too")]
    parts += ["#[limits]\n", *_keys(Limits)]
    parts += [_title("What is logged, and where to. Uncomment the name of the table, too")]
    parts += ["#[log]\n", *_keys(LogSettings, skip=("levels",)), *_LEVELS]
    return "\n".join(parts)


def _devices() -> Iterator[str]:
    """The section on devices, profiles and their points, and on how values are read and kept."""
    yield _title(
        "A device behind a port, whose points have names. Further ones are further [devices.NAME], here or in files\n#"
        " devices.d/*.toml beside this one. Uncomment its port and unit, too, and a listener of the\n#"
        " protocol values above"
    )
    yield from ("#[devices.boiler]\n", *map(_commented, _keys(DeviceSettings)))
    yield _title("A point of a device that differs from its profile's, or that its profile does not have")
    yield "#[devices.boiler.points.flow_temperature]\n#scale = 0.1\n"
    yield _title("A profile: a kind of device. Further ones are further [profiles.NAME]")
    yield from ("#[profiles.heater]\n", *_keys(ProfileSettings))
    yield _title("A point of a profile, or of a device. Further ones are further [profiles.NAME.points.POINT]")
    others = tuple(key for _, _, keys in _POINTS.values() for key in keys)
    yield "#[profiles.heater.points.flow_temperature]\n"
    yield from map(_commented, _keys(PointSettings, skip=others))
    for name, (what, needed, shown) in _POINTS.items():
        yield f"# {what}.\n\n#[profiles.heater.points.{name}]"
        yield "\n".join(f"#{key} = {_toml(value)}" for key, value in needed.items()) + "\n"
        yield from _keys(PointSettings, skip=[one.name for one in attrs.fields(PointSettings) if one.name not in shown])
    yield _title("How the values of all devices are read and kept. Uncomment the name of the table, too")
    yield from ("#[values]\n", *_keys(ValuesSettings))


def options_told(cls: type[Any]) -> list[dict[str, str]]:
    """The keys of a settings class: for each its name, its default in TOML, its unit and its meaning."""
    return [
        {
            "name": one.name, "default": "" if _default(one) is None else _toml(_default(one)),
            "unit": one.metadata.get("unit", ""), "meaning": one.metadata.get("doc", ""),
        }
        for one in attrs.fields(attrs.resolve_types(cls))
    ]


def _title(text: str) -> str:
    return f"\n# -- {text}.\n"


def _keys(cls: type[Any], skip: Container[str] = ()) -> Iterator[str]:
    for one in sorted(attrs.fields(attrs.resolve_types(cls)), key=_rank):
        if one.name not in skip:
            yield "\n".join(_key(cls, one)) + "\n"


def _rank(one: attrs.Attribute[Any]) -> int:
    """The sort rank of a key: required keys come first."""
    return 0 if one.name == "protocol" else 1 if one.default is attrs.NOTHING else 2


def _key(cls: type[Any], one: attrs.Attribute[Any]) -> Iterator[str]:
    unit = one.metadata["unit"]
    yield from textwrap.wrap(
        one.metadata["doc"] + (f" [{unit}]" if unit else ""), _WIDTH, initial_indent="# ", subsequent_indent="# ",
        break_on_hyphens=False, break_long_words=False,
    )
    is_required = one.default is attrs.NOTHING
    value = _example(cls, one)
    if is_required or _default(one) is None or (_default(one) == {} and value is not None):
        yield f"{one.name} = {_toml(value)}" if is_required else f"#{one.name} = {_toml(value)}  # default: not given"
    else:
        yield f"#{one.name} = {_toml(_default(one))}"


def _example(cls: type[Any], one: attrs.Attribute[Any]) -> Any:
    if one.name == "endpoint":
        front_end: Any = front_ends()[attrs.fields(cls).protocol.default]
        return front_end.endpoint
    keys = (one.name, f"{cls.__name__}.{one.name}", f"UnitSettings.{one.name}")
    return next((_EXAMPLES[key] for key in keys if key in _EXAMPLES), None)


def _default(one: attrs.Attribute[Any]) -> Any:
    default: Any = one.default
    if default is attrs.NOTHING:
        return None
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def _commented(paragraph: str) -> str:
    """Also comments out the keys without a default."""
    return "\n".join(line if line.startswith("#") or not line else "#" + line for line in paragraph.split("\n"))


def _toml(value: Any) -> str:
    """A value in TOML; only tables differ from JSON."""
    if isinstance(value, dict) and value:
        return f"{{ {', '.join(f'{key} = {_toml(one)}' for key, one in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    print(reference(), end="")
