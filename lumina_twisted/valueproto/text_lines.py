"""Answers as text, for people and for programs that read lines by their fields. Floor 0.

A reading is a line ``NAME VALUE UNIT QUALITY TIME [WHY]``: five fields without blanks, then a sentence. A field that is
empty or has blanks is in quotation marks, as in JSON. ``-`` means no value, no unit of measure or no time.
Any other line begins with ``# `` or with ``error``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.text import counted, shown
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
from lumina_twisted.valueproto.command import quote, text_of
from lumina_twisted.valueproto.reading import PointDescription, iso_time

ValueText = Callable[[str, Value], str]
"""Makes the text of a value for people, from the name of its point and the value."""
NOTHING: Final = "-"
_FIELD: Final = re.compile(r"(?!-$)[^\s\"\x00-\x1f\x7f-\x9f][^\s\x00-\x1f\x7f-\x9f]*")
_BREAK: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BREAKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def tag_text(body: bytes, tag: str) -> bytes:
    """Adds a tag to the lines of :func:`text_body`; an empty tag adds nothing."""
    if not tag:
        return body
    mark = f"@{tag} ".encode()
    return mark + body[:-1].replace(b"\n", b"\n" + mark) + b"\n"


def text_body(answer: Answer, value_text: ValueText) -> bytes:
    """Encodes ``answer`` as lines of text, without its tag."""
    return "\n".join((*_lines(answer, value_text), "")).encode("utf-8", "replace")


def _lines(answer: Answer, value_text: ValueText) -> Iterable[str]:
    match answer:
        case Change(value):
            return [_reading(value, value_text)]
        case Readings(values):
            return _readings(values, value_text)
        case Written(value, not_read_back):
            return [_written(value, not_read_back, value_text)]
        case Past(values):
            return [*(_reading(one, value_text) for one in values), f"# {counted(len(values), 'change')}"]
        case Points(names):
            return [*map(_point, names), f"# {counted(len(names), 'value')}"]
        case Described(point):
            return _described(point)
        case Configured(device, config):
            return [*_settings(device, config), "#"]
        case Refused(error, message):
            return _error(error, message)
        case Hints(lines):
            return [*(f"# {shown(_BREAK.sub(' ', line))}" for line in lines), "#"]
        case Figures(stats):
            return [*(f"# {_one_line(name)}  {_counts(counts)}" for name, counts in stats.items()), "#"]
        case Watching(watched):
            return [f"# {watched} watched"]
        case Speaking(name):
            return [f"# format {name}"]
        case Goodbye():
            return ["bye"]
        case _:
            raise TypeError(answer)


# -- lines of values ------------------------------------------------------------------------------------------------


def _readings(values: Iterable[NamedReading | NamedFault], value_text: ValueText) -> list[str]:
    lines: list[str] = []
    for one in values:
        if isinstance(one, NamedReading):
            lines.append(_reading(one, value_text))
        else:
            lines += _error(one.error, one.message if one.name in one.message else f"{one.name}: {one.message}")
    return lines or ["# 0 values"]


def _reading(one: NamedReading, value_text: ValueText) -> str:
    reading = one.reading
    line = f"{_value(one, value_text)} {reading.quality} {_time(reading.time)}"
    return f"{line} {_one_line(reading.why)}" if reading.why else line


def _written(one: NamedReading, not_read_back: str, value_text: ValueText) -> str:
    line = f"{_value(one, value_text)} confirmed {_time(one.reading.time)}"
    return f"{line} not_read_back {_one_line(not_read_back)}" if not_read_back else line


def _value(one: NamedReading, value_text: ValueText) -> str:
    value = one.reading.value
    text = NOTHING if value is None else _field(value_text(one.name, value))
    return f"{one.name} {text} {_field(one.unit_of_measure) if one.unit_of_measure else NOTHING}"


def _time(seconds: float | None) -> str:
    return NOTHING if seconds is None else iso_time(seconds)


def _field(text: str) -> str:
    """A text as one field. It gets quotation marks if it would be several fields, no field, or a field with another
    meaning."""
    if _FIELD.fullmatch(text) and (text.isascii() or text == shown(text)):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isprintable() else json.dumps(text).replace("\x7f", "\\u007f")


# -- other lines ----------------------------------------------------------------------------------------------------


def _error(error: str, message: str) -> list[str]:
    """The line of an error; a configuration with several faults gives one line for each."""
    return [f"error {error} {_one_line(line)}" for line in message.split("\n") if line] or [f"error {error}"]


def _point(one: PointDescription) -> str:
    unit = _field(one.unit_of_measure) if one.unit_of_measure else NOTHING
    return f"{one.name} {one.type} {unit} {'rw' if one.writable else 'r'} {_one_line(one.summary)}".rstrip()


def _described(one: PointDescription) -> Iterator[str]:
    yield _point(one)
    for what, limit in (("lowest", one.low), ("highest", one.high)):
        if limit is not None:
            yield f"# {what}  {limit:.15g}"
    if one.words:
        yield f"# words  {_one_line(', '.join(one.words))}"
    yield f"# device  {one.device}, unit {one.unit} of {_one_line(one.port)}"
    yield "#"


def _settings(device: str, config: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Each setting, in the syntax that ``config`` accepts."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _settings(device, value, f"{path}{key}.")
        else:
            yield f"{device} {path}{key}={quote(_one_line(text_of(value)))}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_one_line(name).replace('_', ' ')} {count}" for name, count in counts.items()) or "nothing yet"


def _one_line(text: str) -> str:
    return shown(_BREAKS.sub(" ", text).strip())
