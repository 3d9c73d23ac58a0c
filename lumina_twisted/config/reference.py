"""The commented configuration file, floor 5: every key with its meaning, default and unit, told by the settings
classes themselves. ``python -m lumina_twisted.config.reference`` prints what ``etc/lumina.toml`` holds."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any, Final

import attrs

from lumina_twisted.bus.settings import UnitSettings
from lumina_twisted.config.compose import DEFAULT_FILE
from lumina_twisted.config.protocols import DEFAULT_PROTOCOL, front_ends, listener_class
from lumina_twisted.log.settings import LogSettings
from lumina_twisted.ports.settings import Limits, PortSettings

_WIDTH: Final = 110
OTHERS: Final = ("modbus-tcp", "rtu-tcp", "rtu-pty", "rtu-serial", "echo")
"""Our protocols beside the first, in the order of the file; those that others add are told by `lumina protocols`."""
_EXAMPLES: Final[dict[str, Any]] = {
    "PortSettings.path": "/dev/ttyUSB0", "default_unit": 1, "max_age": 2.0,
    "PortSettings.frame_gap": 0.004, "UnitSettings.timeout": 1.5, "UnitSettings.frame_gap": 0.01,
    "UnitSettings.retries": 0, "UnitSettings.baudrate": 4800, "UnitSettings.bytesize": 8, "UnitSettings.parity": "E",
    "UnitSettings.stopbits": 1, "UnitSettings.share": False, "UnitSettings.offline_after": 0,
    "UnitSettings.merge": True, "UnitSettings.merge_hole": 4,
}
"""What a file shows where there is no default."""

_LEVELS: Final = (
    "# other levels by part; debug for a port logs its frames",
    "#[log.levels]",
    '#"port.bus1" = "debug"\n',
)
_HEAD: Final = f"""\
# Settings of Lumina, read from {DEFAULT_FILE} or from `twistd -n lumina --config FILE`.
# `twistd -n lumina --check --config FILE` tells all faults of a file at once.
# A line that begins with `#` and a key holds the default; take the `#` away to change it.
"""


def reference() -> str:
    """The whole file: a minimal configuration that works, and every other key commented out."""
    parts = [_HEAD, _title("A port: a serial device and the bus behind it. Further ports are further [ports.NAME]")]
    parts += ["[ports.bus1]\n", *_keys(PortSettings, skip=("units",))]
    parts += [_title("What differs for one unit of a port, here unit 17. Take the `#` of the table's name away too")]
    parts += ["#[ports.bus1.units.17]\n", *_keys(UnitSettings)]
    parts += [_title("A listener: what programs connect to. Further listeners are further [[listen]]")]
    parts += ["[[listen]]\n", *_keys(listener_class(DEFAULT_PROTOCOL))]
    for name in OTHERS:
        parts += [_title(f"A listener of the protocol {name}: {front_ends()[name].summary}")]
        parts += ["#[[listen]]\n", *map(_commented, _keys(listener_class(name)))]
    parts += [_title("What all ports together may hold. Take the `#` of the table's name away too")]
    parts += ["#[limits]\n", *_keys(Limits)]
    parts += [_title("What is logged, and where to. Take the `#` of the table's name away too")]
    parts += ["#[log]\n", *_keys(LogSettings, skip=("levels",)), *_LEVELS]
    return "\n".join(parts)


def options_told(cls: type[Any]) -> list[dict[str, str]]:
    """The keys of a settings class: name, default as TOML has it, unit, meaning."""
    return [
        {
            "name": one.name, "default": "" if _default(one) is None else _toml(_default(one)),
            "unit": one.metadata.get("unit", ""), "meaning": one.metadata.get("doc", ""),
        }
        for one in attrs.fields(attrs.resolve_types(cls))
    ]


def _title(text: str) -> str:
    return f"\n# -- {text}.\n"


def _keys(cls: type[Any], skip: tuple[str, ...] = ()) -> Iterator[str]:
    for one in sorted(attrs.fields(attrs.resolve_types(cls)), key=_rank):
        if one.name not in skip:
            yield "\n".join(_key(cls, one)) + "\n"


def _rank(one: attrs.Attribute[Any]) -> int:
    """What a table cannot do without comes first."""
    return 0 if one.name == "protocol" else 1 if one.default is attrs.NOTHING else 2


def _key(cls: type[Any], one: attrs.Attribute[Any]) -> Iterator[str]:
    unit = one.metadata["unit"]
    yield from textwrap.wrap(
        one.metadata["doc"] + (f" [{unit}]" if unit else ""), _WIDTH, initial_indent="# ", subsequent_indent="# ",
        break_on_hyphens=False, break_long_words=False,
    )
    is_required = one.default is attrs.NOTHING
    if is_required or one.default is None:
        value = _example(cls, one)
        yield f"{one.name} = {_toml(value)}" if is_required else f"#{one.name} = {_toml(value)}  # default: not given"
    else:
        yield f"#{one.name} = {_toml(_default(one))}"


def _example(cls: type[Any], one: attrs.Attribute[Any]) -> Any:
    if one.name == "endpoint":
        return front_ends()[attrs.fields(cls).protocol.default].endpoint
    return _EXAMPLES.get(one.name) or _EXAMPLES[f"{cls.__name__}.{one.name}"]


def _default(one: attrs.Attribute[Any]) -> Any:
    default: Any = one.default
    if default is attrs.NOTHING:
        return None
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def _commented(paragraph: str) -> str:
    """With the keys that have no default commented out too."""
    return "\n".join(line if line.startswith("#") or not line else "#" + line for line in paragraph.split("\n"))


def _toml(value: Any) -> str:
    """As TOML writes it, which for our values is as JSON does."""
    return json.dumps(value)


if __name__ == "__main__":
    print(reference(), end="")
