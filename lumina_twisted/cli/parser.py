"""The parser of the command line, floor 5: argparse, whose errors are sentences here that say what to write instead.

argparse takes a value such as ``-1e5`` for an option, and values that stand on both sides of an option for too many. So
the words are put in order before it sees them: options first, each with its value, then all that stands for itself.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NoReturn

from lumina_twisted.text import nearest

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
"""The device or the bus said no, or there is no server."""
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

DASHES: Final = "--"
"""What stands behind is no option, whatever it looks like."""
_PLACES: Final = ("--server", "--url")
_WHOLE: Final = re.compile(r"[+-]?(0x[0-9a-f]+|[0-9]+)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"-(\.?\d|inf|nan)", re.IGNORECASE)


class UsageError(Exception):
    """The command line cannot be understood; the sentence says what to write instead."""


class Parser(argparse.ArgumentParser):
    """Raises :class:`UsageError` instead of leaving, and knows what was nearly right.

    :param examples: shown below the help, each line indented.
    :param out: where the help goes; standard output if none is given.
    """

    def __init__(self, prog: str, *, examples: str = "", out: Any = None, **kwargs: Any) -> None:
        kwargs["epilog"] = f"examples:\n{examples.rstrip()}" if examples else None
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, allow_abbrev=False, **kwargs)
        self.out = out

    def print_help(self, file: Any = None) -> None:
        """Shows the help where all results go; argparse's own way would not say that it cannot."""
        print(self.format_help(), end="", file=file or self.out or sys.stdout, flush=True)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """See :meth:`argparse.ArgumentParser.parse_known_args`."""
        words = self._in_order(sys.argv[1:] if args is None else args, namespace)
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """What argparse found wrong, in our words."""
        if match := re.search(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", message):
            choices = match[2].replace("'", "").split(", ")
            raise UsageError(f"there is no {match[1]!r}; {nearest(match[1], choices)}; see `{self.prog} --help`")
        if match := re.search(r"unrecognized arguments: (.*)", message):
            words = match[1].removeprefix("-- ")
            raise UsageError(f"{words!r} is more than this command takes; see `{self.prog} --help`")
        if match := re.search(r"the following arguments are required: (.*)", message):
            places = " ".join(str(one.metavar) for one in self._actions if not one.option_strings)
            are = "are" if "," in match[1] else "is"
            raise UsageError(f"{match[1]} {are} missing; write `{self.prog} {places}`")
        raise UsageError(f"{message.removeprefix('argument ')}; see `{self.prog} --help`")

    def before_place(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """The options at the beginning with their values, and all that follows."""
        coming = deque(words)
        options: list[str] = []
        while coming:
            word = coming.popleft()
            if not is_option(word):
                return options, [word, *coming]
            options.append(self._with_value(word, coming))
        return options, []

    def _in_order(self, words: Iterable[str], namespace: Any = None) -> list[str]:
        options: list[str] = []
        places: list[str] = []
        coming = deque(words)
        while coming:
            word = coming.popleft()
            if word == DASHES:
                places += coming
                break
            if is_option(word):
                options.append(self._with_value(word, coming))
            else:
                places.append(word)
        where = _named_server(options, namespace)
        if self.get_default("takes_modbus") and where.strip().lower().startswith("modbus://"):
            places = self._without_port(places)
        return [*options, DASHES, *places] if places else options

    def _without_port(self, places: list[str]) -> list[str]:
        """Modbus TCP knows no ports; argparse is given an empty one where the command wants one."""
        names_port = self.get_default("names_port")
        if names_port is None:
            return places
        if places and names_port(places):
            raise UsageError(
                f"Modbus TCP knows no ports; leave {places[0]!r} out, the unit says which device it is"
            )
        return ["", *places]

    def _with_value(self, word: str, coming: deque[str]) -> str:
        """An option as one word, its value taken from those that come."""
        name, equals, _ = word.partition("=")
        action = self._option_string_actions.get(name)
        if action is None:
            raise UsageError(f"{name!r} is no option here; {self._options_near(name)}; see `{self.prog} --help`"
                             + self._hint_at_dashes(word))
        if action.nargs == 0:
            if equals:
                raise UsageError(f"{name} takes no value; write `{name}`")
            return word
        if equals or (action.nargs == "?" and (not coming or is_option(coming[0]) or coming[0] == DASHES)):
            return word
        value = coming.popleft() if coming else None
        if value is None or (is_option(value) and value.partition("=")[0] in self._option_string_actions):
            raise UsageError(f"{name} needs a value; write `{name} {action.metavar}`")
        return f"{name}={value}"

    def _hint_at_dashes(self, word: str) -> str:
        """A text to be written may begin as an option does."""
        takes_values = any(action.dest == "values" for action in self._actions)
        return f"; if it is a value, write `{DASHES} {word}` at the end" if takes_values else ""

    def _options_near(self, name: str) -> str:
        known = [one for one in self._option_string_actions if one.startswith("--")]
        return nearest(name, known)


def _named_server(options: Iterable[str], before: Any) -> str:
    """Where the server is, as it was typed.

    :param before: what was said before the command's word.
    :raises UsageError: if it was said in two ways.
    """
    after = {name: value for name, _, value in (one.partition("=") for one in options) if name in _PLACES}
    named = {name: one for name in _PLACES if (one := getattr(before, name[2:], None)) is not None} | after
    if len(named) > 1:
        raise UsageError(f"{' and '.join(_PLACES)} both say where the server is; write one of them")
    return next(iter(named.values()), os.environ.get("LUMINA_SERVER", ""))


def is_option(word: str) -> bool:
    """Whether it is an option, and not a value that is negative."""
    return len(word) > 1 and word.startswith("-") and not _NUMBER.match(word)


def checked(check: Callable[[str], Any], what: str) -> Callable[[str], Any]:
    """A type for an argument, whose refusal is the sentence ``what``."""

    def convert(text: str) -> Any:
        try:
            return check(text)
        except ValueError:
            raise UsageError(f"{text!r} is {what}") from None

    return convert


def decimal(text: str) -> int:
    """A whole number in decimal digits.

    :raises ValueError: if it is none.
    """
    if "x" in text.lower():
        raise ValueError(text)
    return whole(text)


def bounded(lowest: float, highest: float, what: str, kind: Callable[[str], Any] = decimal) -> Callable[[str], Any]:
    """A number within limits, both included."""

    def convert(text: str) -> Any:
        value = kind(text)
        if not lowest <= value <= highest:
            raise ValueError
        return value

    return checked(convert, f"no {what}; give a number from {lowest:.15g} to {highest:.15g}")


def chosen(words: Sequence[Any], what: str, kind: Callable[[str], Any] = str) -> dict[str, Any]:
    """The arguments for argparse of something that is one of ``words``."""

    def convert(text: str) -> Any:
        value = kind(text)
        if value not in words:
            raise ValueError
        return value

    return {"type": checked(convert, f"no {what}; write {_listed(words)}"), "choices": words}


def _listed(words: Sequence[Any]) -> str:
    *most, last = map(str, words)
    return f"{', '.join(most)} or {last}"


def whole(text: str) -> int:
    """A decimal number, or a hexadecimal one that begins with 0x. Python would take 1_0 for 10.

    :raises ValueError: if it is none.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(text)
    return int(text, 16 if "x" in text.lower() else 10)
