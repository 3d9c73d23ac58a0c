"""What a client of the value lines may ask, and the lines that say it: ``[@TAG ]WORD [ARGUMENTS]``. Floor 0.

A line is UTF-8 without control characters but tabs. Words are taken in any case; arguments are split as a shell does,
so that a text with blanks stands in quotes. A line that is no command raises an error with a sentence for the person
who typed it, and with the tag by which a program finds its answer.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, get_args

from attrs import Factory, evolve, field, frozen

from lumina_twisted.errors import LineError
from lumina_twisted.text import did_you_mean, quoted

Format = Literal["text", "json"]


@frozen
class Command:
    """One line; if ``tag`` is not empty, each line of the answer begins with it."""

    tag: str = field(default="", kw_only=True)


@frozen
class List(Command):
    """Which values there are."""

    pattern: str = "*"


@frozen
class Read(Command):
    """What is known of some points; ``names`` may be patterns. ``ask``: the devices are asked for it now."""

    names: tuple[str, ...]
    ask: bool = field(default=False, kw_only=True)


@frozen
class Write(Command):
    """Sets a point; ``value`` is as a person types it."""

    name: str
    value: str


@frozen
class Watch(Command):
    """The client gets each change from now on. ``names`` may be patterns."""

    names: tuple[str, ...]


@frozen
class Unwatch(Command):
    """The client gets no more changes of these points; of none at all if there are no ``names``."""

    names: tuple[str, ...] = ()


@frozen
class History(Command):
    """The last changes of a point, ``count`` at most; None for all that are stored."""

    name: str
    count: int | None = None


@frozen
class Describe(Command):
    """What a point is."""

    name: str


@frozen
class Config(Command):
    """The configuration of a device, after ``changes`` to it: by keys with dots, as a file has them.

    The value of a change is its text read as JSON, or the text itself if it is no JSON.
    """

    device: str
    changes: Mapping[str, Any] = field(default=Factory(dict))


@frozen
class Speak(Command):
    """How answers are written from now on, beginning with that to this line."""

    format: Format


@frozen
class Stats(Command):
    """The figures of the listener."""


@frozen
class Help(Command):
    """Which lines a client may send."""


@frozen
class Bye(Command):
    """The client leaves after the last answer."""


MAX_LINE: Final = 4096
"""Bytes of the longest line: two hundred names of usual length."""
MAX_TAG: Final = 32
"""Characters of the longest tag: a UUID without its dashes."""
MAX_COUNT: Final = 1_000_000
MOST_TABLES: Final = 8
"""How deep tables and lists may be nested in a change of a configuration, which nests three: points, a point, its
words."""

_TAG: Final = re.compile(rb"@([!-~]{1,%d})(?![^ \t\r])" % MAX_TAG)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_NOT_IN_A_LINE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
_SHELL: Final = re.compile(r"['\"\\]")
_PLAIN: Final = re.compile(r"[^ \t'\"\\]+")


def parse_command(line: bytes) -> Command | None:
    """The command that a line says; None for an empty line.

    :param line: without its newline; a carriage return at its end is ignored.
    :raises LineError: with a sentence that says what is wrong and what to write, and with the line's tag.
    """
    tag = tag_of(line) if b"@" in line else ""
    try:
        text = _text_of(line, tag)
        if not text and not tag:
            return None
        # A change is not kept: whoever gets it may alter it.
        made = _command(text) if "=" in text else _usual_command(text)
    except ValueError as error:
        raise LineError(str(error), tag.encode()) from None
    return evolve(made, tag=tag) if tag else made


def tag_of(line: bytes) -> str:
    """The tag of a line, even if the rest of the line is wrong; empty if it has no valid tag."""
    found = _TAG.match(line.lstrip(b" \t"))
    return found[1].decode("ascii") if found else ""


def format_command(command: Command) -> bytes:
    """The line that says ``command``, its newline included.

    :raises LineError: if no line can say it: a text has a control character, or the line would be too long.
    """
    word, *arguments = _words_of(command)
    text = " ".join((*([f"@{command.tag}"] if command.tag else ()), word, *map(quote, arguments)))
    if found := _NOT_IN_A_LINE.search(text):
        raise LineError(f"no line can hold the character {found[0]!r}")
    line = text.encode()
    if tag_of(line) != command.tag:
        raise LineError(_NO_TAG)
    if len(line) > MAX_LINE:
        raise LineError(f"the line is longer than {MAX_LINE} bytes; ask in several", command.tag.encode())
    return line + b"\n"


def quote(text: str) -> str:
    """``text`` as one argument."""
    return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "'\"'\"'") + "'"


# -- from a line to a command ---------------------------------------------------------------------------------------


def _text_of(line: bytes, tag: str) -> str:
    """What follows the tag, with which the line begins if it has one."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of the line is not UTF-8; send UTF-8") from None
    text = text.removesuffix("\r").strip(" \t")
    if found := _CONTROL.search(text):
        raise ValueError(f"the line has the control character {found[0]!r}; leave it out")
    if tag:
        text = text[len(tag) + 1 :]
    elif text.startswith("@"):
        raise ValueError(_NO_TAG)
    return text


def _split(text: str) -> list[str]:
    """The word and its arguments."""
    if not _SHELL.search(text):
        return list(filter(None, text.replace("\t", " ").split(" ")))
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(_SPLIT_FAULTS[str(error)]) from None


_NO_TAG: Final = f"a tag is 1 to {MAX_TAG} ASCII characters without blanks behind the @, as in @7 read boiler.pressure"
_SPLIT_FAULTS: Final = {
    "No closing quotation": "a quotation mark is not closed; write it twice, or \\' for the character itself",
    "No escaped character": "nothing follows the last backslash; write \\\\ for the character itself",
}


def _command(text: str) -> Command:
    word, *arguments = _split(text) or ("",)
    known = _WORDS.get(word.lower())
    if known is None:
        raise ValueError(_unknown(word))
    fewest, most, usage, make = known
    if len(arguments) < fewest:
        raise ValueError(f"{quoted(word)} needs more: {usage}")
    if most is not None and len(arguments) > most:
        extra = quoted(arguments[most])
        raise ValueError(f"{extra} is too much for {usage}; what has blanks stands in quotation marks")
    if "" in arguments[:1]:
        raise ValueError(f"a name is empty in {usage}; write one")
    return make(*arguments)


_usual_command: Final = lru_cache(maxsize=256)(_command)
"""The same; clients send the same lines again and again."""


def _unknown(word: str) -> str:
    if not word:
        return f"there is no word; words are {', '.join(_WORDS)}"
    hint = did_you_mean(word, _WORDS, f"words are {', '.join(_WORDS)}")
    return f"there is no word {quoted(word)}; {hint}"


def _read(*names: str) -> Read:
    return Read(_names(names))


def _ask(*names: str) -> Read:
    return Read(_names(names), ask=True)


def _watch(*names: str) -> Watch:
    return Watch(_names(names))


def _unwatch(*names: str) -> Unwatch:
    return Unwatch(_names(names))


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    if "" in names:
        raise ValueError("a name is empty; leave it out, or write *.* for all values")
    return names


def _history(name: str, count: str = "") -> History:
    if not count:
        return History(name)
    if not (count.isascii() and count.isdecimal() and len(count) < 8 and 0 < int(count) <= MAX_COUNT):
        raise ValueError(f"{quoted(count)} is no count of changes; write a whole number from 1 to {MAX_COUNT}")
    return History(name, int(count))


def _config(device: str, *changes: str) -> Config:
    return Config(device, changes_of(changes))


def changes_of(texts: Iterable[str]) -> dict[str, Any]:
    """The changes that several ``KEY=VALUE`` say.

    :raises ValueError: with a sentence, if one of them is no change.
    """
    made = {}
    for text in texts:
        key, equals, value_text = text.partition("=")
        if not key or not equals:
            raise ValueError(f"{quoted(text)} is no change; write KEY=VALUE, as poll=2.5")
        if key in made:
            raise ValueError(f"{quoted(key)} is there twice; write it once")
        value = made[key] = _from_text(value_text)
        if key.count(".") + _depth(value) > MOST_TABLES:
            raise ValueError(f"{quoted(text)} has more than {MOST_TABLES} tables in each other; leave some out")
    return made


def _depth(value: Any) -> int:
    """How deep tables and lists are nested; at most one more than is allowed."""
    level, depth = [value], 0
    while depth <= MOST_TABLES and (level := [one for one in level if isinstance(one, dict | list) and one]):
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _from_text(text: str) -> Any:
    """The text read as JSON; the text itself if it is no JSON, or holds what no line can say."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return text
    return value


def text_of(value: Any) -> str:
    """The text that stands for a value in ``KEY=VALUE``."""
    if isinstance(value, str) and _from_text(value) == value:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _CONTROL.search(text) else text


def _speak(name: str) -> Speak:
    for one in get_args(Format):
        if name.lower() == one:
            return Speak(one)
    raise ValueError(f"there is no format {quoted(name)}; write format text or format json")


_WORDS: Final[Mapping[str, tuple[int, int | None, str, Callable[..., Command]]]] = {
    "list": (0, 1, "list [PATTERN]", List),
    "read": (1, None, "read NAME…", _read),
    "read!": (1, None, "read! NAME…", _ask),
    "write": (2, 2, "write NAME VALUE", Write),
    "watch": (1, None, "watch NAME…", _watch),
    "unwatch": (0, None, "unwatch [NAME…]", _unwatch),
    "history": (1, 2, "history NAME [COUNT]", _history),
    "describe": (1, 1, "describe NAME", Describe),
    "config": (1, None, "config DEVICE [KEY=VALUE…]", _config),
    "format": (1, 1, "format text|json", _speak),
    "stats": (0, 0, "stats", Stats),
    "help": (0, 0, "help", Help),
    "bye": (0, 0, "bye", Bye),
}
"""By word: the fewest and the most arguments, how the line is written, and what makes the command."""
WORDS: Final = {word: usage for word, (_, _, usage, _) in _WORDS.items()}
"""How each word's line is written."""


# -- from a command to a line ---------------------------------------------------------------------------------------


def _words_of(command: Command) -> tuple[str, ...]:
    """The word of a command and its arguments."""
    match command:
        case List(pattern):
            return ("list", *((pattern,) if pattern != "*" else ()))
        case Read(names):
            return ("read!" if command.ask else "read", *names)
        case Write(name, value):
            return "write", name, value
        case Watch(names):
            return "watch", *names
        case Unwatch(names):
            return "unwatch", *names
        case History(name, count):
            return ("history", name, *(() if count is None else (str(count),)))
        case Describe(name):
            return "describe", name
        case Config(device, changes):
            return "config", device, *(f"{key}={text_of(value)}" for key, value in changes.items())
        case Speak(name):
            return "format", name
        case _:
            return (type(command).__name__.lower(),)
