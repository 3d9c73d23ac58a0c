"""Changes that clients make to the configuration of devices while the service runs, floor 3.

They apply on top of the files, and survive a restart. Only the changed keys are kept. So a later edit of the file
applies, except for the keys that a client has changed. The value None takes a change back.

The file of a device protects the device: it says which registers can be written, and to what. A client that could
change the address, the meaning or the limits of a point could write anything. So clients may change only keys that no
access depends on, unless the file says ``configurable = true`` for the device. Taking a change back is always allowed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from lumina_twisted.access.caller import Caller, caller_of
from lumina_twisted.devices.configuring import Configurations, KeepsConfigurations
from lumina_twisted.devices.describe.description import Device, Profile, found
from lumina_twisted.devices.describe.document import plain, read_device
from lumina_twisted.devices.describe.settings import ONLY_IN_A_FILE, DeviceChanges, DeviceSettings, PointSettings
from lumina_twisted.devices.interfaces import LUMINA
from lumina_twisted.devices.store.database import Configuration
from lumina_twisted.document import flat
from lumina_twisted.errors import ConfigError, LuminaError, Stopping
from lumina_twisted.schema import structure
from lumina_twisted.text import nearest

_log: Final = Logger(namespace="lumina.values")

NO_PROFILE: Final = "device"
"""The type of a device that has no profile."""
OF_A_DEVICE: Final = ("summary", "poll")
OF_A_POINT: Final = ("summary", "poll", "dead_band", "unit_of_measure")
"""The keys of a point that every client with the right to configure may change."""
MOST_KEYS: Final = 200
MOST_BYTES: Final = 16_384
"""The most that is kept for one device, as JSON: each change is a key that its file could say as well."""
_DEVICE_KEYS: Final = frozenset(attrs.fields_dict(DeviceSettings))
_POINT_KEYS: Final = frozenset(attrs.fields_dict(PointSettings))


class Changes:
    """The changes of all devices.

    :param devices: as the files describe them.
    :param replace: puts the new description of a device into effect.
    :param store: keeps the changes across a restart; None: they are in memory only.
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
        self._configurations = Configurations(self._check, self._apply, store)
        self.turn = self._configurations.turn
        """The semaphore for one change at a time: each adds to the changes before it, and to those from the store."""

    def config(self, device: str) -> dict[str, Any]:
        """The current configuration of a device, changes included.

        :raises UnknownName: with the nearest name there is.
        """
        return plain(found(device, self._now, "device"))

    def change(self, device: str, changes: Mapping[str, Any], caller: Caller = LUMINA) -> Deferred[None]:
        """Makes further changes; see :meth:`lumina_twisted.devices.interfaces.Values.configure`.

        :param changes: a key may have dots, as ``points.temperature.scale``.
        """
        try:
            described = found(device, self._described, "device")
            nested = _nested(changes)
            only_in_a_file = [
                f"devices.{device}.{key}: {ONLY_IN_A_FILE[key]}" for key in nested if key in ONLY_IN_A_FILE
            ]
            if refused := [*only_in_a_file, *faults(described, nested)]:
                raise ConfigError(refused)
        except LuminaError:
            return fail()
        added = self._add(device, described.profile or NO_PROFILE, nested, caller_of(caller).name)
        return Deferred.fromCoroutine(added)

    async def restore(self, kept: Mapping[str, Configuration]) -> None:
        """Puts the kept changes into effect. The caller holds :attr:`turn`."""
        await self._configurations.restore(self._permitted(kept))

    def log_changed(self) -> None:
        """Logs which devices differ from their files, for the person who edits a file must know it."""
        for device in self._described:
            configured = self._configurations.find(device)
            if configured and (keys := ", ".join(key for key, _ in flat(configured.given.config))):
                _log.info(
                    "{device} is as it was configured while Lumina ran, whatever its file says of {keys}",
                    device=device, keys=keys,
                )

    def stop(self) -> None:
        """Refuses further changes; a change that is being saved is still saved."""
        self._is_stopping = True

    def _permitted(self, kept: Mapping[str, Configuration]) -> dict[str, Configuration]:
        """The kept changes that may take effect. For the others the file applies, and the log says so."""
        made = dict(kept)
        for device, one in kept.items():
            if device not in self._described:
                continue  # restoring it fails, and the log says so
            allowed, refused = split(self._described[device], one.config)
            if refused:
                made[device] = Configuration(one.type, allowed)
                _log.warn(
                    "{device}: what clients configured of {keys} is not in effect, and its file counts, which does not"
                    " say `configurable = true`; write that there, or take it back, as `config {device} {first}=null`",
                    device=device, keys=", ".join(refused), first=refused[0],
                )
        return made

    async def _add(self, device: str, type_: str, nested: Mapping[str, Any], client: str) -> None:
        async with self.turn:
            if self._is_stopping:
                raise Stopping("the service is stopping")
            configured = self._configurations.find(device)
            before = configured.given.config if configured else {}
            merged = _pruned(merge(before, nested), lambda _, value: value is None)
            if fault := fault_of_size(device, before, merged):
                raise ConfigError([fault])
            changes = ", ".join(_shown(nested, plain(self._now[device])))
            if merged:
                await self._configurations.set(device, type_, merged)
            else:
                await self._configurations.remove(device)
        _log.info("{device} is configured anew by {client}: {changes}", device=device, client=client, changes=changes)

    def _check(self, device: str, type_: str, config: Any) -> dict[str, Any]:
        types = (NO_PROFILE, *self._profiles)
        if type_ not in types:
            raise ConfigError([f"{device}: there is no device type {type_!r}; {nearest(type_, types)}"])
        made = attrs.asdict(structure(config, DeviceChanges, device))
        return {key: value for key, value in made.items() if value is not None}

    def _apply(self, device: str, _: str, changes: Mapping[str, Any] | None) -> None:
        described = found(device, self._described, "device")
        wrong: list[str] = []
        table = merge(plain(described), changes or {})
        made = read_device(device, table, self._profiles, wrong, f"devices.{device}", self._ports)
        if made is None:
            raise ConfigError(wrong)
        self._replace(made)
        self._now[device] = made


# -- what clients may change ------------------------------------------------------------------------------------------


def faults(device: Device, changes: Mapping[str, Any]) -> Iterator[str]:
    """The changes that a client may not make: for each, a sentence with its path and what to do.

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
    """The part of a kept configuration that may take effect, and the keys of the rest."""
    refused = [] if device.configurable else [key for key, value in flat(kept) if value != {} and not _is_free(key)]
    return _pruned(kept, lambda path, _: path in refused), refused


def fault_of_size(device: str, before: Mapping[str, Any], merged: Mapping[str, Any]) -> str:
    """Why the changes are too many to keep; empty if they are not, or if they were more before."""
    keys, size = sum(1 for _ in flat(merged)), len(json.dumps(merged))
    if (keys <= MOST_KEYS and size <= MOST_BYTES) or size < len(json.dumps(before)):
        return ""
    return (
        f"devices.{device}: with this {keys} keys in {size} bytes would be kept for it, and {MOST_KEYS} keys in"
        f" {MOST_BYTES} bytes are the most; take some back, as KEY=null, or write them into its file"
    )


def _is_known(key: str) -> bool:
    """Whether the key exists. The check refuses an unknown key, and its error names a similar one."""
    outer, *inner = key.split(".")
    return outer in _DEVICE_KEYS if outer != "points" else len(inner) > 1 and inner[1] in _POINT_KEYS


def _is_free(key: str) -> bool:
    """Whether no access depends on the key."""
    outer, *inner = key.split(".")
    return not inner and outer in OF_A_DEVICE if outer != "points" else len(inner) == 2 and inner[1] in OF_A_POINT


def _listed(keys: tuple[str, ...]) -> str:
    return f"{', '.join(keys[:-1])} and {keys[-1]}"


# -- tables within tables ---------------------------------------------------------------------------------------------


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """A merged copy of both tables; where both have a key, the value of ``above`` wins."""
    made = copy.deepcopy(dict(below))
    for key, value in above.items():
        inner = made.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, Mapping)
        made[key] = merge(inner, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return made


def _pruned(table: Mapping[str, Any], is_gone: Callable[[str, Any], bool], outer: str = "") -> dict[str, Any]:
    """A copy without the values for which ``is_gone`` is true, and without the tables that this leaves empty.

    :param is_gone: takes the path of a value, with a dot for each table, and the value.
    """
    made: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{outer}{key}"
        if not is_gone(path, value):
            left = _pruned(value, is_gone, f"{path}.") if isinstance(value, Mapping) else value
            if left != {} or value == {}:
                made[key] = left
    return made


def _nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as nested tables: each dot in a key starts an inner table."""
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


def _shown(changes: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    """Each change as text, with the previous value if there was one."""
    old = dict(flat(before))
    for key, value in flat(changes):
        was = f" (was {json.dumps(old[key], ensure_ascii=False)})" if key in old else ""
        yield f"{key}={json.dumps(value, ensure_ascii=False)}{was}"
