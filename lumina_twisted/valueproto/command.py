"""The commands of a client of the value lines, and their lines: ``[@TAG ]WORD [ARGUMENTS]``. Floor 0.

A line is UTF-8; the only control characters in it are tabs. Words may be in upper or lower case. Arguments are split as
in a shell, so a text with blanks stands in quotes. A line that is no command raises an error. The error has a sentence
for the person who typed the line, and the tag by which a program finds its answer.
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
    """One command; if ``tag`` is not empty, each line of the answer begins with it."""

    tag: str = field(default="", kw_only=True)


@frozen
class List(Command):
    """Lists the values whose names match ``pattern``."""

    pattern: str = "*"


@frozen
class Read(Command):
    """Gets the readings of some points; ``names`` may be patterns. With ``ask``, the devices are asked now."""

    names: tuple[str, ...]
    ask: bool = field(default=False, kw_only=True)


@frozen
class Write(Command):
    """Writes a point; ``value`` is text as a person types it."""

    name: str
    value: str


@frozen
class Watch(Command):
    """The client gets each change from now on. ``names`` may be patterns."""

    names: tuple[str, ...]


@frozen
class Unwatch(Command):
    """The client gets no more changes of these points; without ``names``, it gets no more changes at all."""

    names: tuple[str, ...] = ()


@frozen
class History(Command):
    """Gets the last changes of a point: at most ``count``, or all stored changes if it is None."""

    name: str
    count: int | None = None


@frozen
class Describe(Command):
    """Gets the description of a point."""

    name: str


@frozen
class Config(Command):
    """Makes ``changes`` to the configuration of a device, then gets it. The keys have dots, as in a file.

    The value of a change is its text parsed as JSON, or the text itself if it is no JSON.
    """

    device: str
    changes: Mapping[str, Any] = field(default=Factory(dict))


@frozen
class Speak(Command):
    """Sets the format of answers, from the answer to this line on."""

    format: Format


@frozen
class Stats(Command):
    """Gets the figures of the listener."""


@frozen
class Help(Command):
    """Gets a list of the lines that a client may send."""


@frozen
class Bye(Command):
    """The client leaves after the last answer."""


MAX_LINE: Final = 4096
"""The limit of a line, in bytes: two hundred names of usual length."""
MAX_TAG: Final = 32
"""The limit of a tag, in characters: the length of a UUID without its dashes."""
MAX_COUNT: Final = 1_000_000
MOST_TABLES: Final = 8
"""The limit for nested tables and lists in a change of a configuration. A configuration itself nests three: points, a
point, its words."""

_TAG: Final = re.compile(rb"@([!-~]{1,%d})(?![^ \t\r])" % MAX_TAG)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_NOT_IN_A_LINE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
_SHELL: Final = re.compile(r"['\"\\]")
_PLAIN: Final = re.compile(r"[^ \t'\"\\]+")


def parse_command(line: bytes) -> Command | None:
    """Parses the command of a line; None for an empty line.

    :param line: without its newline; a carriage return at its end is ignored.
    :raises LineError: if the line is no command; with a sentence that says what is wrong and what to write, and with
        the line's tag.
    """
    tag = tag_of(line) if b"@" in line else ""
    try:
        text = _text_of(line, tag)
        if not text and not tag:
            return None
        # A line with changes is not cached: the code that gets the changes may modify them.
        made = _command(text) if "=" in text else _usual_command(text)
    except ValueError as error:
        raise LineError(str(error), tag.encode()) from None
    return evolve(made, tag=tag) if tag else made


def tag_of(line: bytes) -> str:
    """The tag of a line, even if the rest of the line is wrong; empty if it has no valid tag."""
    found = _TAG.match(line.lstrip(b" \t"))
    return found[1].decode("ascii") if found else ""


def format_command(command: Command) -> bytes:
    """Encodes ``command`` as a line, its newline included.

    :raises LineError: if that is not possible: a text has a control character, or the line would be too long.
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
    """``text`` as one argument, in quotes if it needs them."""
    return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "'\"'\"'") + "'"


# -- from a line to a command ---------------------------------------------------------------------------------------


def _text_of(line: bytes, tag: str) -> str:
    """The text of the line after its tag; ``tag`` is empty if the line has none."""
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
    """Splits a line into the word and its arguments."""
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
"""The same with a cache, because clients repeat the same lines."""


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
    """Parses changes from texts ``KEY=VALUE``.

    :raises ValueError: if one of them is no change; the message is a sentence for a person.
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
    """How deep tables and lists are nested. It stops counting at one more than the limit."""
    level, depth = [value], 0
    while depth <= MOST_TABLES and (level := [one for one in level if isinstance(one, dict | list) and one]):
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _from_text(text: str) -> Any:
    """The text parsed as JSON; the text itself if it is no JSON, or if a line cannot carry its value."""
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
"""For each word: the minimum and the maximum of arguments, the syntax of the line, and the callable that makes the
command."""
WORDS: Final = {word: usage for word, (_, _, usage, _) in _WORDS.items()}
"""The syntax of each word's line."""


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
