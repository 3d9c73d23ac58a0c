"""The strict settings converter: plain data in, frozen settings classes out. Floor 0.

It coerces nothing and ignores nothing. It refuses an unknown or wrong key with the key's path and a sentence, and
collects all faults of one document. :func:`structure` takes what a TOML file holds; :func:`structure_text` takes the
same keys with values typed on a command line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin

import cattrs
from attrs import NOTHING, field, fields, frozen
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from lumina_twisted.errors import ConfigError
from lumina_twisted.text import ON_OFF, did_you_mean

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]
"""A structure hook of cattrs: it gets the plain value and the type, and returns the structured value."""
UnitId = NewType("UnitId", int)
"""A unit identifier, 0 to 255, as a key of a table."""


@frozen
class Between:
    """The limits of a number, both included, as in ``Annotated[int, Between(0, 60)]``."""

    lowest: float
    highest: float

    def check(self, value: Any) -> str | None:
        """A sentence that says what is wrong with ``value``; None if nothing is."""
        if self.lowest <= value <= self.highest:
            return None
        return f"expected {self.lowest:.15g} to {self.highest:.15g}, got {value!r}"


def setting(default: T, doc: str, *, unit: str = "") -> T:
    """A field of a settings class with its default, its description, and the unit of its value."""
    made: T = field(default=default, metadata={"doc": doc, "unit": unit})
    return made


def required(doc: str, *, unit: str = "") -> Any:
    """A field of a settings class that has no default."""
    return field(metadata={"doc": doc, "unit": unit})


def structure(data: Mapping[str, Any], cls: type[T], path: str = "") -> T:
    """``data`` as an instance of the settings class ``cls``.

    :param path: the path of ``data`` in its document; the path of each fault begins with it.
    :raises ConfigError: with one fault for each wrong, unknown or missing key.
    """
    return _structure(_STRICT, data, cls, path)


def structure_text(data: Mapping[str, str], cls: type[T], path: str = "") -> T:
    """Like :func:`structure`, for values that are still text.

    :raises ConfigError: as :func:`structure` does.
    """
    return _structure(_TEXTUAL, data, cls, path)


def _structure(converter: cattrs.Converter, data: Mapping[str, Any], cls: type[T], path: str) -> T:
    try:
        return converter.structure(data, cls)
    except Exception as error:
        raise ConfigError(list(_faults(error, path))) from None


# -- faults: the converter's tree of exceptions as `path: sentence` ------------------------------------------------


def _faults(error: BaseException, path: str) -> Iterator[str]:
    if isinstance(error, (ClassValidationError, IterableValidationError)):
        noted, rest = error.group_exceptions()
        for inner, note in noted:
            step = getattr(note, "name", None) or getattr(note, "index", "")
            yield from _faults(inner, _join(path, step))
        for inner in rest:
            yield from _faults(inner, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        for key in sorted(error.extra_fields):
            yield f"{_join(path, key)}: unknown key; {_nearest(key, [one.name for one in fields(error.cl)])}"
    elif isinstance(error, KeyError):
        yield f"{path}: this key is required"
    else:
        yield f"{path or 'settings'}: {error.args[0] if error.args else error}"


def _join(path: str, step: object) -> str:
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else str(step)


def _nearest(key: str, known: list[str]) -> str:
    longer = next((one for one in known if one.startswith(f"{key.lower()}_")), "")
    return did_you_mean(key, known, f"did you mean {longer!r}?" if longer else f"known keys are {', '.join(known)}")


# -- values: strict ones, and the same from text ------------------------------------------------------------------


def _strict_int(value: Any, _: object) -> int:
    if type(value) is not int:
        raise TypeError(f"expected a whole number, got {value!r}{_unquoted(value, _WHOLE)}")
    return value


def _strict_float(value: Any, _: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError(f"expected a number, got {value!r}{_unquoted(value, _NUMBER)}")
    return float(value)


def _strict_str(value: Any, _: object) -> str:
    if type(value) is not str:
        raise TypeError(f"expected a text in quotes, got {value!r}")
    return value


def _strict_bool(value: Any, _: object) -> bool:
    if type(value) is not bool:
        raise TypeError(f"expected true or false, got {value!r}{_unquoted(value, _TRUTH)}")
    return value


def _unquoted(value: Any, fits: re.Pattern[str]) -> str:
    """A hint for a text that is a valid value except for its quotes."""
    return f"; take the quotes away: {value}" if isinstance(value, str) and fits.fullmatch(value) else ""


_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?")
_TRUTH = re.compile(r"true|false")

_UNIT_IDS = frozenset(map(str, range(256)))
"""The unit identifiers without leading zeros, so that no two keys mean the same unit."""


def _unit_id(value: Any, _: object) -> UnitId:
    if not (isinstance(value, str) and value in _UNIT_IDS):
        raise TypeError(f"expected a unit identifier from 0 to 255 as the key, got {value!r}")
    return UnitId(int(value))


def _number(value: str) -> str:
    """Checks the text of a number, and returns it. Python's parsers also accept blanks, underscores and the digits
    of all scripts."""
    if not value.isascii() or "_" in value or value != value.strip():
        raise ValueError
    return value


def _text_int(value: str, _: object) -> int:
    try:
        return int(_number(value))
    except ValueError:
        raise TypeError(f"expected a whole number, got {value!r}") from None


def _text_float(value: str, _: object) -> float:
    try:
        return _strict_float(float(_number(value)), _)
    except ValueError:
        raise TypeError(f"expected a number, got {value!r}") from None


def _text_bool(value: str, _: object) -> bool:
    if value.lower() not in ON_OFF:
        raise TypeError(f"expected true or false, got {value!r}")
    return ON_OFF[value.lower()]


# -- kinds of fields -------------------------------------------------------------------------------------------------


def _of(origin: Any) -> Callable[[Any], bool]:
    """A predicate for types that are a ``Literal``, a ``tuple``, ... of something."""
    return lambda kind: get_origin(kind) is origin


_is_literal = _of(Literal)


def _literal(value: Any, kind: Any) -> Any:
    if any(value == one and type(value) is type(one) for one in get_args(kind)):
        return value
    raise ValueError(f"expected one of {', '.join(map(repr, get_args(kind)))}, got {value!r}")


def _text_literal(value: str, kind: Any) -> Any:
    for one in get_args(kind):
        if value == str(one):
            return one
    raise ValueError(f"expected one of {', '.join(map(str, get_args(kind)))}, got {value!r}")


def _is_bounded(kind: Any) -> bool:
    return get_origin(kind) is Annotated and any(isinstance(mark, Between) for mark in kind.__metadata__)


def _bounded(converter: cattrs.Converter) -> Hook:
    def hook(value: Any, kind: Any) -> Any:
        base, *marks = get_args(kind)
        made = converter.structure(value, base)
        for mark in marks:
            if isinstance(mark, Between) and (fault := mark.check(made)):
                raise ValueError(fault)
        return made

    return hook


def _is_choice(kind: Any) -> bool:
    """Whether a type is ``X | Literal["word"]``, with or without ``| None``."""
    is_union = isinstance(kind, UnionType) or get_origin(kind) is Union
    return is_union and any(_is_literal(one) for one in get_args(kind))


def _choice(converter: cattrs.Converter) -> Hook:
    """Makes the hook for such a type: it accepts one of the words, or a value of the other type."""

    def hook(value: Any, kind: Any) -> Any:
        words = [word for one in get_args(kind) if _is_literal(one) for word in get_args(one)]
        if isinstance(value, str) and value in words:
            return value
        others = [one for one in get_args(kind) if not _is_literal(one) and one is not type(None)]
        if not others:
            return converter.structure(value, next(one for one in get_args(kind) if _is_literal(one)))
        try:
            return converter.structure(value, others[0])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{error}; {' or '.join(map(repr, words))} is possible too") from None

    return hook


def _list(converter: cattrs.Converter) -> Hook:
    """Makes the hook for ``tuple[X, ...]``; the path of each fault has the index of the item."""

    def hook(value: Any, kind: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError(f"expected a list in brackets, got {value!r}")
        as_list: Any = list[get_args(kind)[0]]  # type: ignore[misc]
        return tuple(converter.structure(value, as_list))

    return hook


def _text_list(converter: cattrs.Converter) -> Hook:
    """The same for a text whose items are separated by commas."""
    strict = _list(converter)
    return lambda value, kind: strict(value.split(",") if value else [], kind)


def _table(make: Callable[[Any], Hook]) -> Callable[[Any], Hook]:
    """A hook factory that refuses a value that is no table, before the converter looks up its keys.

    :param make: makes the hook for a type whose values are tables.
    """

    def factory(kind: Any) -> Hook:
        inner = make(kind)

        def hook(value: Any, kind: Any) -> Any:
            if not isinstance(value, Mapping):
                raise TypeError(f"expected a table, got {value!r}")
            return inner(value, kind)

        return hook

    return factory


def _converter(
    plain: Mapping[type, Hook], literal: Hook, listed: Callable[[cattrs.Converter], Hook]
) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, hook in plain.items():
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook(UnitId, _unit_id)
    converter.register_structure_hook_func(_is_literal, literal)
    converter.register_structure_hook_func(_is_bounded, _bounded(converter))
    converter.register_structure_hook_func(_is_choice, _choice(converter))
    converter.register_structure_hook_func(_of(tuple), listed(converter))
    converter.register_structure_hook_factory(
        _of(dict), _table(lambda kind: cattrs.gen.mapping_structure_factory(kind, converter))
    )
    converter.register_structure_hook_factory(
        lambda kind: hasattr(kind, "__attrs_attrs__"),
        _table(lambda kind: cattrs.gen.make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)),
    )
    return converter


_STRICT = _converter({int: _strict_int, float: _strict_float, str: _strict_str, bool: _strict_bool}, _literal, _list)
_TEXTUAL = _converter({int: _text_int, float: _text_float, bool: _text_bool}, _text_literal, _text_list)


def is_required(attribute: Any) -> bool:
    """Whether a settings field (one of ``attrs.fields``) has no default."""
    return attribute.default is NOTHING
