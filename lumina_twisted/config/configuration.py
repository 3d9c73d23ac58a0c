"""A checked configuration, and the draft that becomes one, floor 5.

Sources (:mod:`lumina_twisted.config.sources`) add tables to a :class:`Draft`. The draft collects every fault with the
path of its key, so that the operator sees all of them at once. :meth:`Draft.finish` refuses, or gives a configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import attrs
from attrs import Factory, field, frozen

from lumina_twisted.config.descriptions import Descriptions, with_unit_lines
from lumina_twisted.config.listeners import (
    DEFAULT_PROTOCOL,
    faults_of,
    front_ends,
    listener_class,
    named_ports,
    place_of,
    unit_0_routes,
)
from lumina_twisted.devices.describe.description import Device, Profile
from lumina_twisted.devices.describe.settings import ValuesSettings
from lumina_twisted.document import flat
from lumina_twisted.errors import ConfigError
from lumina_twisted.frontends.endpoints import Place
from lumina_twisted.frontends.gateway import unit_0_fault
from lumina_twisted.log.observer import LogSettings
from lumina_twisted.ports.settings import Limits, PortSettings, parted, same_place
from lumina_twisted.schema import structure_text
from lumina_twisted.text import counted, did_you_mean

_NAME: Final = re.compile(r"[!-9;-~]+")
"""A port's name: printable ASCII without blanks and colons, because the line protocol splits its fields there."""

VALUES: Final = "values"
"""The protocol of named values."""

SETTINGS: Final[Mapping[str, type[Any]]] = {"limits": Limits, "log": LogSettings, "values": ValuesSettings}
"""The tables that a configuration has at most once."""

Structure = Callable[[Mapping[str, Any], type[Any], str], Any]
"""``schema.structure`` or ``schema.structure_text``."""


@frozen
class Configuration:
    """A complete configuration of the daemon.

    :param ports: settings by name; the first is the default port of a listener.
    :param listeners: instances of :func:`lumina_twisted.config.listeners.listener_class`.
    :param limits: bounds for all ports together.
    :param log: what is logged, and where to.
    :param devices: devices by name; ``ports`` also has their line settings.
    :param profiles: the profiles that a device may have, by name, including those that come with Lumina.
    :param values: how the values of all devices are read and kept.
    """

    ports: Mapping[str, PortSettings]
    listeners: tuple[Any, ...]
    limits: Limits = Limits()
    log: LogSettings = LogSettings()
    devices: Mapping[str, Device] = field(default=Factory(dict))
    profiles: Mapping[str, Profile] = field(default=Factory(dict))
    values: ValuesSettings = ValuesSettings()

    def __str__(self) -> str:
        counts = [counted(len(self.ports), "port"), counted(len(self.listeners), "listener")]
        if self.devices:
            counts.append(counted(len(self.devices), "device"))
        return ", ".join(counts) + (f"; {self.unasked}" if self.unasked else "")

    @property
    def unasked(self) -> str:
        """A warning if devices are described and no listener serves their values. This may be intended."""
        if not self.devices or any(one.protocol == VALUES for one in self.listeners):
            return ""
        return f'nobody can ask for values by name, for no [[listen]] has protocol = "{VALUES}"'


class Draft:
    """Collects ports, listeners and faults. A ``where`` is the start of a fault's path, such as ``ports.boiler``.

    :param reserved: names of ports that are added later, such as those of the demo.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self.faults: list[str] = []
        self.ports: dict[str, PortSettings] = {}
        self.listeners: list[tuple[str, Any]] = []
        self.settings: dict[str, Any] = {key: cls() for key, cls in SETTINGS.items()}
        self.descriptions = Descriptions()
        self._names = dict.fromkeys(reserved, "--demo")
        self._paths: dict[str, str] = {}
        self._devices: dict[str, tuple[str, str]] = {}

    def add_port(self, name: str, data: Any, where: str, structure: Structure) -> None:
        """Adds one port, from a ``[ports.NAME]`` table or a ``--port``. Its path may contain settings, as in
        ``serial:/dev/ttyUSB0:baudrate=19200``."""
        if not _NAME.fullmatch(name):
            self.faults.append(f"{where}: a port's name has neither colons nor blanks nor letters beyond ASCII")
        if name in self._names:
            self.faults.append(f"{where}: {self._names[name]} is named {name!r} too; give one of them another name")
        else:
            self._names[name] = where
        in_path: dict[str, Any] = {}
        if isinstance(data, Mapping) and isinstance(data.get("path"), str):
            data, in_path = self._split_path(data, where)
            self._add_path(data["path"], where)
        settings = self._structured(data, PortSettings, where, structure)
        if settings is not None:
            settings = attrs.evolve(settings, **in_path)
            self.faults += [f"{where}.{key}: {sentence}" for key, sentence in settings.faults()]
            self.ports[name] = settings

    def add_listener(self, data: Any, where: str, structure: Structure) -> None:
        """Adds one listener, from a ``[[listen]]`` table or a ``--listen``."""
        protocol = data.get("protocol", DEFAULT_PROTOCOL) if isinstance(data, Mapping) else DEFAULT_PROTOCOL
        if not isinstance(protocol, str) or protocol not in front_ends():
            known = ", ".join(front_ends())
            self.faults.append(f"{where}.protocol: there is no protocol {protocol!r}; those that exist: {known}")
            return
        settings = self._structured(data, listener_class(protocol), where, structure)
        if settings is not None:
            self.listeners.append((where, settings))

    def add_settings(self, key: str, data: Any, where: str, structure: Structure) -> None:
        """Adds one of the tables :data:`SETTINGS`, or ``KEY=VALUE`` arguments for it. For each key, a later value
        replaces an earlier one."""
        if key == "log" and isinstance(data, Mapping) and isinstance(data.get("levels"), Mapping):
            # TOML reads `port.boiler = "debug"`, with no quotes around the key, as a table in a table
            data = {**data, "levels": {key: level for key, level in flat(data["levels"]) if level != {}}}
        made = self._structured(data, SETTINGS[key], where, structure)
        if made is not None:
            given = {name: getattr(made, name) for name in data}
            if "levels" in given:
                given["levels"] = {**self.settings["log"].levels, **made.levels}
            self.settings[key] = attrs.evolve(self.settings[key], **given)

    def finish(self) -> Configuration:
        """The checked configuration.

        :raises ConfigError: with all faults found.
        """
        if not self._names and not self.faults:
            self.faults.append('ports: no port is configured; add a table [ports.NAME] with path = "/dev/…"')
        self._check_listeners()
        self._check_limits()
        described = self.descriptions.read(self._names, self.faults)
        ports = with_unit_lines(self.ports, described, self.faults)
        if self.faults:
            raise ConfigError(self.faults)
        return Configuration(
            ports, tuple(one for _, one in self.listeners), devices=described.devices, profiles=described.profiles,
            **self.settings,
        )

    def _structured(self, data: Any, cls: type[Any], where: str, structure: Structure) -> Any:
        try:
            return structure(data, cls, where)
        except ConfigError as error:
            self.faults.extend(error.faults)
            return None

    def _split_path(self, data: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """The table with the bare path, and the settings that followed the path."""
        bare, texts = parted(data["path"])
        table = table_of(texts, f"{where}.path", self.faults, path=bare)
        keys = table.keys() - {"path"}
        self.faults += [f"{where}.{key}: this key is given twice" for key in sorted(keys) if key in data]
        typed = self._structured(table, PortSettings, f"{where}.path", structure_text) if keys else None
        return {**data, "path": bare}, {} if typed is None else {key: getattr(typed, key) for key in keys}

    def _add_path(self, path: str, where: str) -> None:
        """Records the path even if the port has other faults, so that a listener that names it is not reported too."""
        if not path or "\0" in path:
            self.faults.append(f"{where}.path: expected the path of a serial device, as /dev/ttyUSB0, got {path!r}")
            return
        try:
            device = same_place(path)
        except ValueError:
            return  # the settings report this fault
        self._paths.setdefault(path, where)
        if not device:
            return
        first, first_path = self._devices.setdefault(device, (where, path))
        if first != where or first_path != path:
            same = path if path == first_path else f"{first_path}, the same device as {path},"
            self.faults.append(f"{where}.path: {first} is {same} too; a device belongs to one port")

    def _check_listeners(self) -> None:
        taken = list(self._dial_ins())
        for where, one in self.listeners:
            faults = [f"{where}.{key}: {sentence}" for key, sentence in faults_of(one)]
            place = None if faults else place_of(one)
            if place is not None:
                faults += (f"{where}.endpoint: {sentence}" for sentence in self._place_faults(place, taken))
                taken.append((place, where, one.endpoint))
            self.faults += faults
            for key, port in named_ports(one):
                if not self._exists(port):
                    self.faults.append(f"{where}.{key}: there is no port {port!r}; {self._nearest_port(port)}")
            self.faults += [
                f"{where}.{key}: {unit_0_fault(port)}" for key, port in unit_0_routes(one)
                if self._exists(port) and not self._has_unit_0(port)
            ]

    def _place_faults(self, place: Place, taken: Iterable[tuple[Place, str, str]]) -> Iterator[str]:
        """The reasons why a listener cannot listen at this place."""
        if owner := self._devices.get(place.name):
            port = owner[0].removeprefix("--port ").removeprefix("ports.")
            yield f"{place.name} is the device of port {port}; a master needs a wire of its own"
        there = (f"{who} listens on {at} too" for other, who, at in taken if other.meets(place))
        yield from islice(there, 1)

    def _exists(self, port: str) -> bool:
        return port in self._names or port in self._paths

    def _has_unit_0(self, port: str) -> bool:
        return any(one.unit_0 == "device" for name, one in self.ports.items() if port in (name, one.path))

    def _dial_ins(self) -> Iterator[tuple[Place, str, str]]:
        """The places where ports listen for converters."""
        for name, port in self.ports.items():
            try:
                address = port.socket
            except ValueError:
                continue  # the settings report this fault
            if address is not None and address.listens:
                yield Place(str(address.tcp_port), address.host or "0.0.0.0"), self._names[name], port.path

    def _check_limits(self) -> None:
        at_start = sum(1 for port in self.ports.values() if port.open == "start")
        most = self.settings["limits"].open_ports
        if at_start > most:
            self.faults.append(
                f"limits.open_ports: {at_start} ports are opened at the start, which is more than"
                f' {most}; raise it, or give some of them open = "request"'
            )

    def _nearest_port(self, text: str) -> str:
        exist = f"those that exist: {', '.join(self._names) or 'none'}"
        return did_you_mean(text, [*self._names, *self._paths], exist)


def table_of(texts: Iterable[str], where: str, faults: list[str], **first: str) -> dict[str, Any]:
    """A table that holds ``first`` and then the ``key=value`` arguments; a key with dots makes a nested table.

    :param where: the start of the path of each fault that is added to ``faults``.
    """
    table: dict[str, Any] = dict(first)
    for text in texts:
        key, found, value = text.partition("=")
        if not found or not all(key.split(".")):
            faults.append(f"{where}: expected key=value, got {text!r}; a colon in a path is written \\:")
        elif not _put(table, key.split("."), value):
            faults.append(f"{where}.{key}: this key is given twice")
    return table


def _put(table: dict[str, Any], keys: list[str], value: str) -> bool:
    *parents, last = keys
    for key in parents:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            return False
    if last in table:
        return False
    table[last] = value
    return True
