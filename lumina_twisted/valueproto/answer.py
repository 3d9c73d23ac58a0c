"""The answers that a client of the value lines gets, and their JSON, encoded and parsed. Floor 0.

An answer in JSON is one object a line. It has ``ok`` and a key that names the kind of the answer, or ``error`` and
``message``. An object with ``change`` answers no line. The parser ignores keys that a newer server adds. JSON has
neither nan nor infinity: such a value is null. :mod:`~lumina_twisted.valueproto.text_lines` writes answers as text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from attrs import field, frozen

from lumina_twisted.errors import LineError, LuminaError, ModbusException
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.command import Format
from lumina_twisted.valueproto.reading import PointDescription, Quality, Reading


@frozen
class NamedReading:
    """The reading of a point, with its name."""

    name: str
    reading: Reading
    unit_of_measure: str = ""


@frozen
class NamedFault:
    """The reason why there is no reading of a point: a token and a sentence."""

    name: str
    error: str
    message: str


@frozen
class Answer:
    """The answer to a line, or a change; ``tag`` is that of the line, or of the ``watch`` that asked for changes."""

    tag: str = field(default="", kw_only=True)


@frozen
class Readings(Answer):
    """The answer to ``read``, ``read!`` and ``watch``."""

    values: tuple[NamedReading | NamedFault, ...]


@frozen
class Change(Answer):
    """A watched point has changed; it answers no line."""

    value: NamedReading


@frozen
class Written(Answer):
    """The answer to ``write``: the device has confirmed it.

    :param not_read_back: as in :class:`~lumina_twisted.valueproto.reading.Confirmed`.
    """

    value: NamedReading
    not_read_back: str = ""


@frozen
class Past(Answer):
    """The answer to ``history``, the oldest reading first."""

    history: tuple[NamedReading, ...]


@frozen
class Points(Answer):
    """The answer to ``list``."""

    names: tuple[PointDescription, ...]


@frozen
class Described(Answer):
    """The answer to ``describe``."""

    point: PointDescription


@frozen
class Configured(Answer):
    """The answer to ``config``: the configuration of a device, in tables as a file has them."""

    device: str
    config: Mapping[str, Any]


@frozen
class Watching(Answer):
    """The answer to ``unwatch``: how many points are still watched."""

    watched: int


@frozen
class Speaking(Answer):
    """The answer to ``format``: how answers are written from now on."""

    format: Format


@frozen
class Figures(Answer):
    """The answer to ``stats``: counts by name."""

    stats: Mapping[str, Mapping[str, int]]


@frozen
class Hints(Answer):
    """The answer to ``help``: lines for a person."""

    help: tuple[str, ...]


@frozen
class Goodbye(Answer):
    """The answer to ``bye``, which is the last one."""


@frozen
class Refused(Answer):
    """The line failed: a token that a program may compare, and a sentence for a person."""

    error: str
    message: str


def refused(error: LuminaError, tag: str = "") -> Refused:
    """The answer to a line that failed."""
    return Refused(*reason_of(error), tag=tag)


def reason_of(error: LuminaError) -> tuple[str, str]:
    """The token and the sentence of an error. :func:`lumina_twisted.errors.error_from_reason` parses them if a
    blank joins them."""
    if isinstance(error, ModbusException):
        whom = "" if error.unit is None else f", says unit {error.unit} of function {error.function_code}"
        return error.token, f"{error.code} {error.title}{whom}"
    return error.token, str(error)


# -- in JSON ---------------------------------------------------------------------------------------------------------


def tag_json(body: bytes, tag: str) -> bytes:
    """Adds a tag to a line of :func:`json_body`; an empty tag adds nothing."""
    return b'{"tag": %b, %b' % (_dumped(tag), body[1:]) if tag else body


def json_body(answer: Answer) -> bytes:
    """Encodes ``answer`` as a line of JSON, without its tag."""
    return _dumped(_as_dict(answer)) + b"\n"


def parse_answer(line: bytes) -> Answer:
    """Parses an answer line of JSON.

    :param line: with its newline or without.
    :raises LineError: if the line is no answer.
    """
    try:
        return _answer(json.loads(line, parse_constant=_no_number))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        shown = line[:80].decode("utf-8", "replace")
        raise LineError(f"{shown!r} is no answer in JSON; is it a `values` listener of Lumina's?") from None


def _no_number(name: str) -> float:
    raise ValueError(name)


def _dumped(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # a lone surrogate, or nan or infinity deep in a configuration
        return json.dumps(_finite(value)).encode()


def _finite(value: Any) -> Any:
    """The same data with None for nan and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value


def _as_dict(answer: Answer) -> dict[str, Any]:
    match answer:
        case Change(value):
            return {"change": _value_as_dict(value)}
        case Readings(values):
            return {"ok": True, "values": [_value_as_dict(one) for one in values]}
        case Written(value, not_read_back):
            more = {"not_read_back": not_read_back} if not_read_back else {}
            return {"ok": True, "written": _value_as_dict(value), **more}
        case Past(values):
            return {"ok": True, "history": [_value_as_dict(one) for one in values]}
        case Points(names):
            return {"ok": True, "names": [attrs.asdict(one) for one in names]}
        case Described(point):
            return {"ok": True, "point": attrs.asdict(point)}
        case Refused(error, message):
            return {"ok": False, "error": error, "message": message}
        case Goodbye():
            return {"ok": True, "bye": True}
        case _:
            fields = attrs.asdict(answer, recurse=False, filter=lambda one, _: one.name != "tag")
            return {"ok": True, **fields}


def _value_as_dict(one: NamedReading | NamedFault) -> dict[str, Any]:
    if isinstance(one, NamedFault):
        return {"name": one.name, "error": one.error, "message": one.message}
    reading = one.reading
    return {
        "name": one.name, "value": _finite(reading.value), "unit_of_measure": one.unit_of_measure,
        "quality": reading.quality, "time": _finite(reading.time), "why": reading.why,
    }


def _answer(data: Any) -> Answer:
    tag = _of(str, data.get("tag", ""))
    if "change" in data:
        return Change(_reading(data["change"]), tag=tag)
    if not _of(bool, data["ok"]):
        return Refused(_of(str, data["error"]), _of(str, data["message"]), tag=tag)
    for key, make in _MAKERS.items():
        if key in data:
            return attrs.evolve(make(data), tag=tag)
    raise ValueError(data)


_MAKERS: Final[dict[str, Callable[[dict[str, Any]], Answer]]] = {
    "values": lambda data: Readings(tuple(map(_reading_or_fault, _of(list, data["values"])))),
    "written": lambda data: Written(_reading(data["written"]), _of(str, data.get("not_read_back", ""))),
    "history": lambda data: Past(tuple(map(_reading, _of(list, data["history"])))),
    "names": lambda data: Points(tuple(map(_point, _of(list, data["names"])))),
    "point": lambda data: Described(_point(data["point"])),
    "config": lambda data: Configured(_of(str, data["device"]), _of(dict, data["config"])),
    "watched": lambda data: Watching(_of(int, data["watched"])),
    "format": lambda data: Speaking(_one_of(data["format"], "text", "json")),
    "stats": lambda data: Figures(_figures(data["stats"])),
    "help": lambda data: Hints(_texts(data["help"])),
    "bye": lambda _: Goodbye(),
}
"""The parsers of answers, by the key that names the kind of the answer."""


def _reading_or_fault(data: Any) -> NamedReading | NamedFault:
    if "error" in data:
        return NamedFault(_of(str, data["name"]), _of(str, data["error"]), _of(str, data["message"]))
    return _reading(data)


def _reading(data: Any) -> NamedReading:
    reading = Reading(
        _value(data["value"]), Quality(data["quality"]), _number(data["time"]), _of(str, data.get("why", ""))
    )
    return NamedReading(_of(str, data["name"]), reading, _of(str, data.get("unit_of_measure", "")))


def _point(data: Any) -> PointDescription:
    return PointDescription(
        name=_of(str, data["name"]), type=_of(str, data["type"]), writable=_of(bool, data["writable"]),
        low=_number(data.get("low")), high=_number(data.get("high")), words=_texts(data.get("words", [])),
        unit=_of(int, data.get("unit", 0)),
        **{key: _of(str, data.get(key, "")) for key in ("unit_of_measure", "summary", "device", "port")},
    )


def _value(data: Any) -> Value | None:
    if data is None or isinstance(data, (bool, int, str)):
        return data
    return _texts(data) if isinstance(data, list) else _number(data)


def _number(data: Any) -> float | None:
    """Checks that a number is finite, or None. JSON has only finite numbers, but Python's parser accepts others."""
    if data is None or (type(data) in (int, float) and math.isfinite(data)):
        number: float | None = data
        return number
    raise ValueError(data)


def _texts(data: Any) -> tuple[str, ...]:
    return tuple(_of(str, one) for one in _of(list, data))


def _figures(data: Any) -> dict[str, dict[str, int]]:
    return {name: {key: _of(int, one) for key, one in _of(dict, counts).items()} for name, counts in data.items()}


def _one_of(data: Any, *words: Any) -> Any:
    if data not in words:
        raise ValueError(data)
    return data


def _of(kind: type[Any], data: Any) -> Any:
    if type(data) is not kind:
        raise TypeError(data)
    return data
