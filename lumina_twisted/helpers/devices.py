"""States and configurations of devices for programs, floor 4: ``DeviceStateManager`` (M16) and ``DeviceConfigManager``
(M19). Both use the same code as the service.

The schema of a type of devices is a settings class, or a table by key. The value of each key is one of these:

* a type: ``int``, ``float``, ``str``, ``bool``, ``list[int]``, or its name as a text;
* an inner table of the same kind;
* a rule: a table with ``type`` or ``choices``, and optionally ``required``, ``default``, ``low``, ``high`` and ``doc``.

A key is required unless its rule has a default, or its ``required`` is false. Values are checked like those of a
configuration file (:mod:`lumina_twisted.schema`): nothing is converted or ignored, and the error lists all faults.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, Literal, get_args, get_origin

import attrs
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail, succeed

from lumina_twisted.awaiting import in_callers_world
from lumina_twisted.devices.configuring import Apply, Configurations, KeepsConfigurations
from lumina_twisted.devices.state import DeviceStates
from lumina_twisted.devices.store.database import Configuration
from lumina_twisted.errors import ConfigError, RequestError
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.schema import Between, setting, structure
from lumina_twisted.text import nearest
from lumina_twisted.valueproto.reading import Quality, Reading

Check = Callable[[Any, str], Any]
"""Takes data and its path; returns the checked result, or raises ConfigError with all faults."""

_PLAIN: Final = (bool, int, float, str)
_TYPES: Final[Mapping[str, Any]] = {
    "bool": bool, "boolean": bool, "int": int, "integer": int, "float": float, "number": float, "str": str,
    "string": str, "text": str,
}
_ABSENT: Final = object()


# -- states -----------------------------------------------------------------------------------------------------------


@define(eq=False)
class DeviceStateManager(DeviceStates):
    """The last reading of every point, its changes, and the observers that get them.

    :param stamp: gives the time, in seconds since 1970, for values that come without one.
    """

    stamp: Callable[[], float] = field(default=time.time, kw_only=True)

    def update_state(self, device: str, new_state: Mapping[str, Any]) -> Any:
        """Takes the values of some or all points of a device, at once.

        :param new_state: by point: true or false, a number, a text, a list of texts, None if there is no value, or a
            :class:`~lumina_twisted.valueproto.reading.Reading`. A plain value gets the quality *good* and the present
            time.
        :return: something to await: it gives None. If a value is none of these, it fails with
            :class:`~lumina_twisted.errors.RequestError`, and the state has not changed.
        """
        done: Deferred[None] = succeed(None)
        try:
            if not isinstance(new_state, Mapping):
                raise RequestError(f"the state of {device}: expected a dict of values by point, got {new_state!r}")
            now = self.stamp()
            self.update(
                device, {name: _reading(f"{device}.{name}", value, now) for name, value in new_state.items()}
            )
        except RequestError as error:
            done = fail(error)
        return in_callers_world(done)

    def get_state(self, device: str) -> dict[str, Value | None]:
        """The last value of each point of a device; :meth:`state` gives its time and its quality too."""
        return {name: reading.value for name, reading in self.state(device).items()}

    def get_state_history(self, device: str) -> list[tuple[str, Reading]]:
        """The last changes of all points of a device, each with the name of the point, in the order of time. The
        changes of one point stay in the order in which they came."""
        changes: list[tuple[float, str, Reading]] = []
        for name in self.state(device):
            latest = 0.0
            for reading in self.history(device, name):
                latest = max(latest, reading.time or 0.0)
                changes.append((latest, name, reading))
        changes.sort(key=lambda change: change[0])
        return [(name, reading) for _, name, reading in changes]


def _reading(name: str, value: Any, now: float) -> Reading:
    if isinstance(value, Reading):
        return value
    if value is None:
        return Reading(None, Quality.STALE, None, "no value is known")
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        value = tuple(value)
    elif not isinstance(value, bool | int | float | str):
        raise RequestError(
            f"{name}: expected true or false, a number, a text or a list of texts, got {value!r}; give each of its"
            " parts a name of its own"
        )
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        raise RequestError(f"{name}: a whole number has 64 bits at most")  # a longer one spoils what is saved with it
    return Reading(value, Quality.GOOD, now)


# -- configurations ---------------------------------------------------------------------------------------------------


class DeviceConfigManager:
    """The configurations of devices, checked by type.

    :param apply: puts a configuration into effect. It takes the device, its type, and the configuration: an instance of
        the settings class, or a dict with all defaults; None if nothing is configured any more. Any exception that it
        raises refuses the configuration. Without ``apply``, configurations are only stored.
    :param store: keeps configurations across a restart; without it they are in memory only.
    """

    def __init__(self, *, apply: Apply | None = None, store: KeepsConfigurations | None = None) -> None:
        self._configurations = Configurations(self._check, apply, store)
        self._types: dict[str, Check] = {}

    def register_device_config(self, device_type: str, schema: Any) -> None:
        """Sets the schema of a type of devices, from now on.

        :param schema: a settings class, or a table of keys; see the docstring of this module.
        :raises ConfigError: if the schema is invalid, with one ``path: sentence`` for each wrong key.
        """
        self._types[device_type] = _checker(schema, device_type)

    def set_device_config(self, device: str, device_type: str, config: Mapping[str, Any]) -> Any:
        """Configures a device.

        :param config: plain data, in the form of a file.
        :return: something to await: it gives None when the configuration is in effect and, with a store, on the disk.
            It fails with the error of ``apply``, or with :class:`~lumina_twisted.errors.ConfigError`, which has one
            ``path: sentence`` for each wrong, unknown or missing key, for a type that is not registered, or for a
            configuration that cannot be saved. Then the previous configuration is in effect again; also if the call is
            cancelled while the configuration is being saved.
        """
        return in_callers_world(self._in_turn(self._configurations.set, device, device_type, config))

    def remove_device_config(self, device: str) -> Any:
        """Removes the configuration of a device, if there is one.

        :return: something to await, with the same results and failures as :meth:`set_device_config`.
        """
        return in_callers_world(self._in_turn(self._configurations.remove, device))

    def get_device_config(self, device: str) -> Any:
        """The configuration of a device, as passed to ``apply``; None if there is none."""
        configured = self._configurations.find(device)
        return None if configured is None else configured.checked

    def given_device_config(self, device: str) -> Configuration | None:
        """The configuration of a device as it was given, with its type; None if there is none."""
        configured = self._configurations.find(device)
        return None if configured is None else configured.given

    def restore(self, configurations: Mapping[str, Configuration]) -> Any:
        """Puts the configurations from before a restart into effect. If a configuration is refused, the log says why,
        and the configuration stays in the store.

        :param configurations: by device.
        :return: something to await: it gives None when every configuration was tried.
        """
        return in_callers_world(self._in_turn(self._configurations.restore, configurations))

    async def _in_turn(self, change: Callable[..., Awaitable[None]], *args: Any) -> None:
        async with self._configurations.turn:
            await change(*args)

    def _check(self, device: str, device_type: str, config: Any) -> Any:
        if (check := self._types.get(device_type)) is None:
            near = nearest(device_type, self._types)
            raise ConfigError([f"{device}: there is no device type {device_type!r}; {near}"])
        return check(config, device)


# -- schemas ----------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class _RuleSettings:
    """The keys of a rule besides its type, its choices and its default."""

    required: bool | None = setting(None, "whether it must be given")
    low: float | None = setting(None, "the lowest number")
    high: float | None = setting(None, "the highest number")
    doc: str = setting("", "what it means")


@frozen
class _Rule:
    """A key of a schema: the check of its value, and its default."""

    check: Check
    is_required: bool = True
    default: Any = _ABSENT
    doc: str = ""


def _checker(schema: Any, path: str) -> Check:
    """Makes the function that checks configurations against ``schema``.

    :param path: begins the path of every fault of the schema.
    :raises ConfigError: if the schema is invalid, with one fault for each wrong key.
    """
    if isinstance(schema, type) and attrs.has(schema):
        return partial(_check_settings, schema)
    if not isinstance(schema, Mapping):
        raise ConfigError([f"{path}: expected a settings class or a table of keys, got {schema!r}"])
    rules: dict[str, _Rule] = {}
    faults: list[str] = []
    for key, given in schema.items():
        try:
            rules[key] = _rule(given, f"{path}.{key}")
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return partial(_check_table, rules)


def _rule(given: Any, path: str) -> _Rule:
    if not isinstance(given, Mapping):
        return _Rule(_typed(given, path))
    if "type" not in given and "choices" not in given:
        return _Rule(_checker(given, path), default={})  # an inner table without required keys may be left out
    rest = {key: value for key, value in given.items() if key not in ("type", "choices", "default")}
    rule = structure(rest, _RuleSettings, path)
    check = _chosen(given["choices"], path) if "choices" in given else _typed(given["type"], f"{path}.type")
    if rule.low is not None or rule.high is not None:
        if "choices" in given or _TYPES.get(given["type"], given["type"]) not in (int, float):
            raise ConfigError([f"{path}: low and high are for the types int and float"])
        bounds = Between(-math.inf if rule.low is None else rule.low, math.inf if rule.high is None else rule.high)
        check = partial(_check_bounds, check, bounds)
    if "default" in given:
        check(given["default"], f"{path}.default")
    return _Rule(check, rule.required is not False, given.get("default", _ABSENT), rule.doc)


def _chosen(choices: Any, path: str) -> Check:
    if not isinstance(choices, list | tuple) or not choices or not all(isinstance(one, _PLAIN) for one in choices):
        raise ConfigError([f"{path}.choices: expected a list of texts or numbers, got {choices!r}"])
    return partial(_check_value, Literal[tuple(choices)])


def _typed(kind: Any, path: str) -> Check:
    """Makes the check for a type, the name of a type, a settings class, or a generic form from ``typing``."""
    kind = _TYPES.get(kind, kind) if isinstance(kind, str) else kind
    if get_origin(kind) is list:
        kind = tuple[get_args(kind)[0], ...]  # type: ignore[misc] # settings classes use this form for a list
    if kind in _PLAIN or get_origin(kind) is not None:
        return partial(_check_value, kind)
    if isinstance(kind, type) and attrs.has(kind):
        return partial(_check_settings, kind)
    raise ConfigError([f"{path}: expected a type ({', '.join(_TYPES)}, or list[int]) or a table of keys, got {kind!r}"])


def _check_value(kind: Any, data: Any, path: str) -> Any:
    return structure(data, kind, path)


def _check_bounds(check: Check, bounds: Between, data: Any, path: str) -> Any:
    made = check(data, path)
    if bounds.check(made) is None:
        return made
    if math.isinf(bounds.lowest):
        raise ConfigError([f"{path}: expected {bounds.highest:.15g} or less, got {data!r}"])
    if math.isinf(bounds.highest):
        raise ConfigError([f"{path}: expected {bounds.lowest:.15g} or more, got {data!r}"])
    raise ConfigError([f"{path}: {bounds.check(data)}"])


def _check_settings(cls: type, data: Any, path: str) -> Any:
    made: Any = structure(data, cls, path)
    more = made.faults() if hasattr(made, "faults") else ()
    if faults := [f"{path}.{key}: {sentence}" for key, sentence in more]:
        raise ConfigError(faults)
    return made


def _check_table(rules: Mapping[str, _Rule], data: Any, path: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ConfigError([f"{path}: expected a table, got {data!r}"])
    faults = [f"{path}.{key}: unknown key; {nearest(key, rules)}" for key in data if key not in rules]
    made: dict[str, Any] = {}
    for key, rule in rules.items():
        value = data.get(key, rule.default)
        if value is not _ABSENT:
            try:
                made[key] = rule.check(value, f"{path}.{key}")
            except ConfigError as error:
                faults += error.faults
        elif rule.is_required:
            faults.append(f"{path}.{key}: this key is required" + (f": {rule.doc}" if rule.doc else ""))
    if faults:
        raise ConfigError(faults)
    return made
