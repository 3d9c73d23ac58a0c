"""Answers in JSON, floor 0: one object a line, written and read.

An object has ``ok`` and a key that says what was asked, or ``error`` and ``message``; one with ``change`` answers
nothing. What a newer server says besides is passed over. JSON has no number that is none or has no end: such a value is
null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from lumina_twisted.errors import LineError
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.answer import (
    Answer,
    Change,
    Configured,
    Described,
    Figures,
    Goodbye,
    Hints,
    NamedFault,
    NamedReading,
    Past,
    Points,
    Readings,
    Refused,
    Speaking,
    Watching,
    Written,
)
from lumina_twisted.valueproto.reading import PointDescription, Quality, Reading


def tag_json(body: bytes, tag: str) -> bytes:
    """A line of :func:`json_body` with a tag; without one if that is empty."""
    return b'{"tag": %b, %b' % (_dumped(tag), body[1:]) if tag else body


def json_body(answer: Answer) -> bytes:
    """The line of ``answer`` without its tag."""
    return _dumped(_as_dict(answer)) + b"\n"


def parse_answer(line: bytes) -> Answer:
    """The answer that a line of JSON says.

    :param line: with its newline or without.
    :raises LineError: if it says none.
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
    except ValueError:  # a lone surrogate, or a number without end deep in a configuration
        return json.dumps(_finite(value)).encode()


def _finite(value: Any) -> Any:
    """JSON knows neither nan nor infinity."""
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


def _answer(said: Any) -> Answer:
    tag = _of(str, said.get("tag", ""))
    if "change" in said:
        return Change(_reading(said["change"]), tag=tag)
    if not _of(bool, said["ok"]):
        return Refused(_of(str, said["error"]), _of(str, said["message"]), tag=tag)
    for key, make in _MAKERS.items():
        if key in said:
            return attrs.evolve(make(said), tag=tag)
    raise ValueError(said)


_MAKERS: Final[dict[str, Callable[[dict[str, Any]], Answer]]] = {
    "values": lambda said: Readings(tuple(map(_reading_or_fault, _of(list, said["values"])))),
    "written": lambda said: Written(_reading(said["written"]), _of(str, said.get("not_read_back", ""))),
    "history": lambda said: Past(tuple(map(_reading, _of(list, said["history"])))),
    "names": lambda said: Points(tuple(map(_point, _of(list, said["names"])))),
    "point": lambda said: Described(_point(said["point"])),
    "config": lambda said: Configured(_of(str, said["device"]), _of(dict, said["config"])),
    "watched": lambda said: Watching(_of(int, said["watched"])),
    "format": lambda said: Speaking(_one_of(said["format"], "text", "json")),
    "stats": lambda said: Figures(_figures(said["stats"])),
    "help": lambda said: Hints(_texts(said["help"])),
    "bye": lambda _: Goodbye(),
}
"""By the key that says what was asked."""


def _reading_or_fault(said: Any) -> NamedReading | NamedFault:
    if "error" in said:
        return NamedFault(_of(str, said["name"]), _of(str, said["error"]), _of(str, said["message"]))
    return _reading(said)


def _reading(said: Any) -> NamedReading:
    reading = Reading(
        _value(said["value"]), Quality(said["quality"]), _number(said["time"]), _of(str, said.get("why", ""))
    )
    return NamedReading(_of(str, said["name"]), reading, _of(str, said.get("unit_of_measure", "")))


def _point(said: Any) -> PointDescription:
    return PointDescription(
        name=_of(str, said["name"]), type=_of(str, said["type"]), writable=_of(bool, said["writable"]),
        low=_number(said.get("low")), high=_number(said.get("high")), words=_texts(said.get("words", [])),
        unit=_of(int, said.get("unit", 0)),
        **{key: _of(str, said.get(key, "")) for key in ("unit_of_measure", "summary", "device", "port")},
    )


def _value(said: Any) -> Value | None:
    if said is None or isinstance(said, (bool, int, str)):
        return said
    return _texts(said) if isinstance(said, list) else _number(said)


def _number(said: Any) -> float | None:
    """A number with an end, as it is; JSON's own are, Python's reader takes others too."""
    if said is None or (type(said) in (int, float) and math.isfinite(said)):
        number: float | None = said
        return number
    raise ValueError(said)


def _texts(said: Any) -> tuple[str, ...]:
    return tuple(_of(str, one) for one in _of(list, said))


def _figures(said: Any) -> dict[str, dict[str, int]]:
    return {name: {key: _of(int, one) for key, one in _of(dict, counts).items()} for name, counts in said.items()}


def _one_of(said: Any, *words: Any) -> Any:
    if said not in words:
        raise ValueError(said)
    return said


def _of(kind: type[Any], said: Any) -> Any:
    if type(said) is not kind:
        raise TypeError(said)
    return said
