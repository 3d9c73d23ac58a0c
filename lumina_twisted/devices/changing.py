"""What is changed of devices while the service runs, floor 3: on top of what the files say, and kept across a restart.

What is kept are the changes alone. So a file that is edited later counts, but for the keys that were changed here; None
takes a change back. What clients may change at all, :mod:`lumina_twisted.devices.permission` says.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

import attrs
from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from lumina_twisted.devices import permission
from lumina_twisted.devices.configuring import DeviceConfigManager, KeepsConfigurations
from lumina_twisted.devices.database import Configuration
from lumina_twisted.devices.description import Device, Profile
from lumina_twisted.devices.document import plain, read_device
from lumina_twisted.devices.names import found
from lumina_twisted.devices.settings import LINE_KEYS, Hole, Most, Poll
from lumina_twisted.devices.turnstile import Turnstile
from lumina_twisted.document import flat
from lumina_twisted.errors import ConfigError, LuminaError, Stopping
from lumina_twisted.modbus.registers import ByteOrder, WordOrder
from lumina_twisted.schema import Between, setting
from lumina_twisted.statistics.tally import name_of

_log: Final = Logger(namespace="lumina.values")

NO_PROFILE: Final = "device"
"""The type of a device that has no profile."""


@frozen(kw_only=True, slots=False)
class DeviceChanges:
    """What of a device may be changed while it is used; what is not given stays as its file says."""

    port: str | None = setting(None, "the name of the port behind which it is")
    unit: Annotated[int, Between(1, 255)] | None = setting(None, "its unit identifier there")
    profile: str | None = setting(None, "what kind of device it is")
    summary: str | None = setting(None, "what it is")
    word_order: WordOrder | None = setting(None, "in the place of its profile's")
    byte_order: ByteOrder | None = setting(None, "in the place of its profile's")
    poll: Poll | None = setting(None, "in the place of its profile's", unit="s")
    hole: Hole | None = setting(None, "in the place of its profile's", unit="entries")
    most: Most | None = setting(None, "in the place of its profile's", unit="registers")
    points: Any = setting(None, "keys of its points, by name")


class Changes:
    """The changes of all devices. ``configs`` is the mission's ``DeviceConfigManager`` with a type for each profile.

    :param devices: as the files describe them.
    :param replace: brings a device as it is now described into effect.
    :param store: keeps the changes; None for nobody.
    """

    def __init__(
        self, devices: Iterable[Device], profiles: Mapping[str, Profile], ports: Iterable[str],
        replace: Callable[[Device], None], store: KeepsConfigurations | None,
    ) -> None:
        self._described = {one.name: one for one in devices}
        self._profiles = profiles
        self._ports = list(ports)
        self._replace = replace
        self._now = dict(self._described)
        self._is_stopping = False
        self.turn = Turnstile()
        """Who changes anything holds it: each change is added to those before it, and to what was kept."""
        self.configs = DeviceConfigManager(apply=self._apply, store=store)
        for name in (NO_PROFILE, *profiles):
            self.configs.register_device_config(name, DeviceChanges)

    def config(self, device: str) -> dict[str, Any]:
        """What is configured for a device now, changes included.

        :raises UnknownName: with the nearest name there is.
        """
        return plain(found(device, self._now, "device"))

    def change(self, device: str, changes: Mapping[str, Any], client: Hashable = "Lumina") -> Deferred[None]:
        """Changes more; see :meth:`lumina_twisted.devices.interfaces.Values.configure`.

        :param changes: a key may have dots, as ``points.temperature.scale``.
        """
        try:
            described = found(device, self._described, "device")
            nested = _nested(changes)
            if faults := [*_only_in_a_file(device, nested), *permission.faults(described, nested)]:
                raise ConfigError(faults)
        except LuminaError:
            return fail()
        type_ = described.profile or NO_PROFILE
        ended: Deferred[None] = self.turn.run(self._add, device, type_, nested, name_of(client))
        return ended

    def stop(self) -> None:
        """Changes nothing any more; what is being kept is kept."""
        self._is_stopping = True

    def permitted(self, kept: Mapping[str, Configuration]) -> dict[str, Configuration]:
        """What of kept configurations may be in effect. The log says of the rest that the file counts."""
        made = dict(kept)
        for device, one in kept.items():
            if device not in self._described:
                continue  # whoever brings it into effect says so
            allowed, refused = permission.split(self._described[device], one.config)
            if refused:
                made[device] = Configuration(one.type, allowed)
                _log.warn(
                    "{device}: what clients configured of {keys} is not in effect, and its file counts, which does not"
                    " say `configurable = true`; write that there, or take it back, as `config {device} {first}=null`",
                    device=device, keys=", ".join(refused), first=refused[0],
                )
        return made

    def _add(self, device: str, type_: str, nested: Mapping[str, Any], client: str) -> Deferred[None]:
        if self._is_stopping:
            raise Stopping("the service is stopping")
        given = self.configs.given_device_config(device)
        before = {} if given is None else dict(given.config)
        merged = _without_none(merge(before, nested))
        if fault := permission.fault_of_size(device, before, merged):
            raise ConfigError([fault])
        told = ", ".join(_told(nested, plain(self._now[device])))
        ended: Deferred[None] = (
            self.configs.set_device_config(device, type_, merged) if merged
            else self.configs.remove_device_config(device)
        )
        return ended.addCallback(lambda _: _log.info(
            "{device} is configured anew by {client}: {told}", device=device, client=client, told=told
        ))

    def tell(self) -> None:
        """Says in the log which devices are not as their files say: who edits one must know."""
        for device in self._described:
            given = self.configs.given_device_config(device)
            if given is not None and (keys := ", ".join(key for key, _ in flat(given.config))):
                _log.info(
                    "{device} is as it was configured while Lumina ran, whatever its file says of {keys}",
                    device=device, keys=keys,
                )

    def _apply(self, device: str, _: str, changes: DeviceChanges | None) -> None:
        described = found(device, self._described, "device")
        given = {} if changes is None else {
            key: value for key, value in attrs.asdict(changes).items() if value is not None
        }
        faults: list[str] = []
        path = f"devices.{device}"
        made = read_device(device, merge(plain(described), given), self._profiles, faults, path, self._ports)
        if made is None:
            raise ConfigError(faults)
        self._replace(made)
        self._now[device] = made


def _only_in_a_file(device: str, nested: Mapping[str, Any]) -> Iterator[str]:
    for key in nested:
        if key in LINE_KEYS:
            yield f"devices.{device}.{key}: line settings are read when the service starts; write it into the file"
        elif key == "configurable":
            yield f"devices.{device}.{key}: only its file says this; write it there"


def _told(changes: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    """Each change, with what was said in its place, if anything was."""
    said = dict(flat(before))
    for key, value in flat(changes):
        was = f" (was {_json(said[key])})" if key in said else ""
        yield f"{key}={_json(value)}{was}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables as one, ``above`` where both say something; a copy."""
    made = dict(copy.deepcopy(dict(below)))
    for key, value in above.items():
        inner = made.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, Mapping)
        made[key] = merge(inner, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return made


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None, and without the tables of which nothing is left by that."""
    made = {}
    for key, value in table.items():
        left = _without_none(value) if isinstance(value, Mapping) else value
        if left is not None and (left != {} or value == {}):
            made[key] = left
    return made


def _nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """With a table for each dot."""
    made: dict[str, Any] = {}
    for key, value in changes.items():
        *outer, last = key.split(".")
        table = made
        for step in outer:
            inner = table.setdefault(step, {})
            if not isinstance(inner, dict):
                raise ConfigError([f"{key}: {step} is no table, for it is given a value of its own too"])
            table = inner
        if last in table:
            raise ConfigError([f"{key}: it is changed twice; write it once"])
        table[last] = copy.deepcopy(value)
    return made
