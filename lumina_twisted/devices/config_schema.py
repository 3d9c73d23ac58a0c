"""What may be configured of a type of devices, floor 3: a settings class, or a plain table of keys.

A key of a plain table stands for a type (``int``, ``float``, ``str``, ``bool``, ``list[int]``, or its name as a text),
for a table of the same kind, or for a rule: a table with ``type`` or ``choices``, and ``required``, ``default``,
``low``, ``high`` and ``doc`` if there is more to say. A key is required unless its rule has a default or says no.

Values are judged as those of a configuration file are (:mod:`lumina_twisted.schema`): nothing is coerced or ignored,
and all faults are told at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal, get_args, get_origin

import attrs
from attrs import frozen

from lumina_twisted.document import nearest
from lumina_twisted.errors import ConfigError
from lumina_twisted.schema import Between, setting, structure

Check = Callable[[Any, str], Any]
"""Takes data and its path; gives what it means, or raises ConfigError with all its faults."""

_PLAIN: Final = (bool, int, float, str)
_WORDS: Final[Mapping[str, Any]] = {
    "bool": bool, "boolean": bool, "int": int, "integer": int, "float": float, "number": float, "str": str,
    "string": str, "text": str,
}
_APART: Final = ("type", "choices", "default")
_ABSENT: Final = object()


@frozen(kw_only=True)
class _RuleSettings:
    """What a rule may say beside its type, its choices and its default."""

    required: bool | None = setting(None, "whether it must be given")
    low: float | None = setting(None, "the lowest number")
    high: float | None = setting(None, "the highest number")
    doc: str = setting("", "what it means")


@frozen
class _Rule:
    """A key: how its value is checked, and what counts as given if it is not."""

    check: Check
    is_required: bool = True
    default: Any = _ABSENT
    doc: str = ""


def checker(schema: Any, path: str) -> Check:
    """What checks configurations by ``schema``.

    :param path: begins the path of every fault of the schema.
    :raises ConfigError: if it is no schema, with one fault for each wrong key.
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


# -- configurations ---------------------------------------------------------------------------------------------------


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


def _check_value(kind: Any, data: Any, path: str) -> Any:
    return structure(data, kind, path)


# -- schemas ----------------------------------------------------------------------------------------------------------


def _rule(given: Any, path: str) -> _Rule:
    if not isinstance(given, Mapping):
        return _Rule(_typed(given, path))
    if "type" in given or "choices" in given:
        return _full_rule(given, path)
    return _Rule(checker(given, path), default={})  # a table of which nothing is required need not be there


def _full_rule(given: Mapping[str, Any], path: str) -> _Rule:
    said = structure({key: value for key, value in given.items() if key not in _APART}, _RuleSettings, path)
    check = _chosen(given["choices"], path) if "choices" in given else _typed(given["type"], f"{path}.type")
    if said.low is not None or said.high is not None:
        if "choices" in given or _WORDS.get(given["type"], given["type"]) not in (int, float):
            raise ConfigError([f"{path}: low and high are for the types int and float"])
        check = partial(_check_bounds, check, Between(_or(said.low, -math.inf), _or(said.high, math.inf)))
    if "default" in given:
        check(given["default"], f"{path}.default")
    return _Rule(check, said.required is not False, given.get("default", _ABSENT), said.doc)


def _chosen(choices: Any, path: str) -> Check:
    if not isinstance(choices, list | tuple) or not choices or not all(isinstance(one, _PLAIN) for one in choices):
        raise ConfigError([f"{path}.choices: expected a list of texts or numbers, got {choices!r}"])
    return partial(_check_value, Literal[tuple(choices)])


def _typed(kind: Any, path: str) -> Check:
    """A type, its name, a settings class, or a form of those that ``typing`` has."""
    kind = _WORDS.get(kind, kind) if isinstance(kind, str) else kind
    if get_origin(kind) is list:
        kind = tuple[get_args(kind)[0], ...]  # type: ignore[misc] # what the settings classes have for a list
    if kind in _PLAIN or get_origin(kind) is not None:
        return partial(_check_value, kind)
    if isinstance(kind, type) and attrs.has(kind):
        return checker(kind, path)
    raise ConfigError([f"{path}: expected a type ({', '.join(_WORDS)}, or list[int]) or a table of keys, got {kind!r}"])


def _or(number: float | None, otherwise: float) -> float:
    return otherwise if number is None else number


def _check_bounds(check: Check, bounds: Between, data: Any, path: str) -> Any:
    made = check(data, path)
    if bounds.check(made) is None:
        return made
    if math.isinf(bounds.lowest):
        raise ConfigError([f"{path}: expected {bounds.highest:.15g} or less, got {data!r}"])
    if math.isinf(bounds.highest):
        raise ConfigError([f"{path}: expected {bounds.lowest:.15g} or more, got {data!r}"])
    raise ConfigError([f"{path}: {bounds.check(data)}"])
