"""The parser of the command line, floor 5: argparse, whose errors are sentences here that say what to write instead."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable
from typing import Any, NoReturn

from attrs import define

EXIT_OK = 0
EXIT_REFUSED = 1
"""The device or the bus said no, or there is no server."""
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class UsageError(Exception):
    """The command line cannot be understood; the sentence says what to write instead."""


class Parser(argparse.ArgumentParser):
    """Raises :class:`UsageError` instead of leaving, and knows what was nearly right."""

    def __init__(self, prog: str | None = None, *, examples: str = "", **kwargs: Any) -> None:
        kwargs["epilog"] = f"examples:\n{examples.rstrip()}" if examples else None
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """What argparse found wrong, in our words."""
        where = self.prog
        if match := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            choices = match[2].replace("'", "").split(", ")
            raise UsageError(f"there is no {match[1]!r}; {nearest(match[1], choices)}; see `{where} --help`")
        if match := re.search(r"unrecognized arguments: (.*)", message):
            raise UsageError(f"{match[1]!r} {self._why_unrecognized(match[1].split()[0])}; see `{where} --help`")
        if match := re.search(r"the following arguments are required: (.*)", message):
            places = " ".join(str(one.metavar) for one in self._actions if not one.option_strings)
            raise UsageError(f"{match[1]} is missing; write `{where} {places}`")
        raise UsageError(f"{message.removeprefix('argument ')}; see `{where} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """A command says itself what it does not know; argparse would leave that to the whole line's parser."""
        found, rest = super().parse_known_args(args, namespace)
        if rest and " " in self.prog:
            self.error("unrecognized arguments: " + " ".join(rest))
        return found, rest

    def _why_unrecognized(self, word: str) -> str:
        options = [one for action in self._actions for one in action.option_strings]
        if word.startswith("-"):
            return f"is no option here; {nearest(word.partition('=')[0], options)}"
        return "is more than this command takes"


def nearest(word: str, known: list[str]) -> str:
    """What was probably meant, or all that could have been."""
    near = difflib.get_close_matches(word.lower(), known, 1, 0.6)
    return f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(known)


def checked(check: Callable[[str], Any], what: str) -> Callable[[str], Any]:
    """A type for an argument, whose refusal is the sentence ``what``."""

    def convert(text: str) -> Any:
        try:
            return check(text)
        except ValueError:
            raise UsageError(f"{text!r} is {what}") from None

    return convert


def bounded(lowest: float, highest: float, what: str, kind: Callable[[str], Any] = int) -> Callable[[str], Any]:
    """A number within limits, both included."""

    def convert(text: str) -> Any:
        value = kind(text)
        if not lowest <= value <= highest:
            raise ValueError
        return value

    return checked(convert, f"no {what}; give a number from {lowest:g} to {highest:g}")


def whole(text: str) -> int:
    """A decimal number, or a hexadecimal one that begins with 0x."""
    return int(text, 16) if text.lower().startswith(("0x", "-0x")) else int(text)


def address(text: str) -> int:
    """A 0-based address.

    :raises UsageError: for a data model number such as 40001, which is not one.
    """
    try:
        value = whole(text)
    except ValueError:
        raise UsageError(f"{text!r} is no address; give a number from 0, as 16 or 0x10") from None
    if not 0 <= value <= 65535 or (re.fullmatch(r"[1-4]\d{5}", text)):
        if match := re.fullmatch(r"([0134])(\d{4,5})", text):
            table = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}[match[1]]
            raise UsageError(f"{text} is a register number; write `{table} {int(match[2]) - 1}`, addresses begin at 0")
        raise UsageError(f"{text} is no address; they go from 0 to 65535")
    return value


@define
class Server:
    """Where the server is."""

    host: str
    port: int


def server(text: str) -> Server:
    """``HOST``, ``HOST:PORT``, ``[IPV6]:PORT`` or the path of a Unix socket.

    :raises UsageError: if it is none.
    """
    if text.startswith("/"):
        return Server(text, 0)
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?", text)
    if match is None or not 0 < int(match[3] or 8888) < 65536:
        raise UsageError(f"{text!r} is no server; write HOST, HOST:PORT as 127.0.0.1:8888, or a socket's path")
    return Server(match[1] or match[2], int(match[3] or 8888))


def add_connection(parser: argparse.ArgumentParser) -> None:
    """The options of every command that asks a server."""
    group = parser.add_argument_group("server")
    group.add_argument("--server", metavar="HOST[:PORT]", help="where Lumina runs (LUMINA_SERVER, or 127.0.0.1:8888)")
    group.add_argument(
        "--timeout", type=bounded(0.05, 60, "time to wait", float), default=5.0, metavar="SECONDS",
        help="how long to wait for each answer (5)",
    )
    group.add_argument("--json", action="store_true", help="results and errors as JSON")


def add_serial(parser: argparse.ArgumentParser) -> None:
    """What a request may ask for otherwise than configured."""
    group = parser.add_argument_group("serial settings, if they differ from the port's own")
    group.add_argument("--baudrate", type=bounded(1, 10_000_000, "baud rate"), metavar="BAUD")
    group.add_argument("--parity", type=str.upper, choices=("N", "E", "O", "M", "S"), metavar="N|E|O|M|S")
    group.add_argument("--stopbits", type=int, choices=(1, 2), metavar="1|2")
    group.add_argument(
        "--retries", type=bounded(0, 100, "number of retries"), metavar="N",
        help="how often to ask again; for a write, anything but 0 allows that it is carried out twice",
    )
