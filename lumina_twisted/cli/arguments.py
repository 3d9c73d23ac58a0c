"""The arguments of the command line, floor 5: a parser whose errors say what to write instead, argument types, shared
options, and exit statuses.

argparse takes a value such as ``-1e5`` for an option, and rejects positional arguments on both sides of an option. So
the parser first sorts the arguments: options with their values, then all positional arguments.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, NoReturn

from lumina_twisted.errors import ConfigError, RequestError
from lumina_twisted.text import nearest

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
"""The device or the bus refused, or there is no server."""
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

DEFAULT_TIMEOUT: Final = 5.0
"""Seconds."""
LUMINA: Final = "lumina"
MODBUS: Final = "modbus"
DEFAULT_SERVER: Final = "127.0.0.1:8888"
DEFAULT_PLACE: Final = f"LUMINA_SERVER, or {DEFAULT_SERVER}"

DASHES: Final = "--"
"""No argument after it is an option."""
_SERVER_OPTIONS: Final = ("--server", "--url")
_WHOLE: Final = re.compile(r"[+-]?(0x[0-9a-f]+|[0-9]+)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"-(\.?\d|inf|nan)", re.IGNORECASE)


class UsageError(Exception):
    """The command line is wrong; the message says what to write instead."""


def status_of(error: Exception) -> int:
    """The exit status for a failure: 2 if the same command would fail again, else 1."""
    return EXIT_USAGE if isinstance(error, (UsageError, ConfigError, RequestError)) else EXIT_REFUSED


class Parser(argparse.ArgumentParser):
    """Raises :class:`UsageError` instead of exiting, and suggests what the user probably meant.

    :param examples: shown below the help, each line indented.
    :param out: the stream for the help; None: standard output.
    """

    def __init__(self, prog: str, *, examples: str = "", out: Any = None, **kwargs: Any) -> None:
        kwargs["epilog"] = f"examples:\n{examples.rstrip()}" if examples else None
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, allow_abbrev=False, **kwargs)
        self.out = out

    def print_help(self, file: Any = None) -> None:
        """Prints the help to the stream for results; argparse's own method hides a failed write."""
        print(self.format_help(), end="", file=file or self.out or sys.stdout, flush=True)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """See :meth:`argparse.ArgumentParser.parse_known_args`."""
        return super().parse_known_args(self._sorted(sys.argv[1:] if args is None else args, namespace), namespace)

    def error(self, message: str) -> NoReturn:
        """Raises argparse's error with a message in Lumina's words."""
        if match := re.search(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", message):
            choices = match[2].replace("'", "").split(", ")
            sentence = f"there is no {match[1]!r}; {nearest(match[1], choices)}"
        elif match := re.search(r"unrecognized arguments: (.*)", message):
            sentence = f"{match[1].removeprefix('-- ')!r} is more than this command takes"
        elif match := re.search(r"the following arguments are required: (.*)", message):
            positional = " ".join(str(one.metavar) for one in self._actions if not one.option_strings)
            are = "are" if "," in match[1] else "is"
            raise UsageError(f"{match[1]} {are} missing; write `{self.prog} {positional}`")
        else:
            sentence = message.removeprefix("argument ")
        raise UsageError(f"{sentence}; see `{self.prog} --help`")

    def split_at_command(self, args: Sequence[str]) -> tuple[list[str], list[str]]:
        """The options at the beginning with their values, and the remaining arguments."""
        coming = deque(args)
        options: list[str] = []
        while coming and is_option(coming[0]):
            options.append(self._with_value(coming.popleft(), coming))
        return options, list(coming)

    def _sorted(self, args: Iterable[str], namespace: Any = None) -> list[str]:
        options: list[str] = []
        positional: list[str] = []
        coming = deque(args)
        while coming:
            arg = coming.popleft()
            if arg == DASHES:
                positional += coming
                break
            if is_option(arg):
                options.append(self._with_value(arg, coming))
            else:
                positional.append(arg)
        where = _named_server(options, namespace)
        if self.get_default("takes_modbus") and where.strip().lower().startswith("modbus://"):
            positional = self._without_port(positional)
        return [*options, DASHES, *positional] if positional else options

    def _without_port(self, positional: list[str]) -> list[str]:
        """For Modbus TCP, which has no ports: adds an empty PORT for argparse if the command has that argument."""
        names_port = self.get_default("names_port")
        if names_port is None:
            return positional
        if positional and names_port(positional):
            raise UsageError(
                f"Modbus TCP knows no ports; leave {positional[0]!r} out, the unit says which device it is"
            )
        return ["", *positional]

    def _with_value(self, arg: str, coming: deque[str]) -> str:
        """An option and its value as one argument; a separate value is taken from ``coming``."""
        name, equals, _ = arg.partition("=")
        action = self._option_string_actions.get(name)
        if action is None:
            near = nearest(name, [one for one in self._option_string_actions if one.startswith("--")])
            # A text that the user wants to write may look like an option.
            takes_values = any(one.dest == "values" for one in self._actions)
            hint = f"; if it is a value, write `{DASHES} {arg}` at the end" if takes_values else ""
            raise UsageError(f"{name!r} is no option here; {near}; see `{self.prog} --help`{hint}")
        if action.nargs == 0:
            if equals:
                raise UsageError(f"{name} takes no value; write `{name}`")
            return arg
        if equals or (action.nargs == "?" and (not coming or is_option(coming[0]) or coming[0] == DASHES)):
            return arg
        value = coming.popleft() if coming else None
        if value is None or (is_option(value) and value.partition("=")[0] in self._option_string_actions):
            raise UsageError(f"{name} needs a value; write `{name} {action.metavar}`")
        return f"{name}={value}"


def _named_server(options: Iterable[str], before: Any) -> str:
    """The server, as the user typed it.

    :param before: the options before the command.
    :raises UsageError: if two options name it.
    """
    named = {name: one for name in _SERVER_OPTIONS if (one := getattr(before, name[2:], None)) is not None}
    named.update((name, value) for name, _, value in (one.partition("=") for one in options) if name in _SERVER_OPTIONS)
    if len(named) > 1:
        raise UsageError(f"{' and '.join(_SERVER_OPTIONS)} both say where the server is; write one of them")
    return next(iter(named.values()), os.environ.get("LUMINA_SERVER", ""))


def is_option(arg: str) -> bool:
    """Whether an argument is an option and not a negative number."""
    return len(arg) > 1 and arg.startswith("-") and not _NUMBER.match(arg)


def checked(check: Callable[[str], Any], what: str) -> Callable[[str], Any]:
    """An argument type that refuses a wrong value with the sentence ``what``."""

    def convert(text: str) -> Any:
        try:
            return check(text)
        except ValueError:
            raise UsageError(f"{text!r} is {what}") from None

    return convert


def whole(text: str) -> int:
    """A decimal integer, or a hexadecimal one that begins with 0x. Python's ``int()`` would accept 1_0 as 10.

    :raises ValueError: if the text is none.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(text)
    return int(text, 16 if "x" in text.lower() else 10)


def decimal(text: str) -> int:
    """An integer in decimal digits.

    :raises ValueError: if the text is none.
    """
    if "x" in text.lower():
        raise ValueError(text)
    return whole(text)


def bounded(lowest: float, highest: float, what: str, kind: Callable[[str], Any] = decimal) -> Callable[[str], Any]:
    """An argument type for a number from ``lowest`` to ``highest``, both included."""

    def convert(text: str) -> Any:
        value = kind(text)
        if not lowest <= value <= highest:
            raise ValueError
        return value

    return checked(convert, f"no {what}; give a number from {lowest:.15g} to {highest:.15g}")


def chosen(choices: Sequence[Any], what: str, kind: Callable[[str], Any] = str) -> dict[str, Any]:
    """argparse's keywords for an argument that is one of ``choices``."""

    def convert(text: str) -> Any:
        value = kind(text)
        if value not in choices:
            raise ValueError
        return value

    *most, last = map(str, choices)
    return {"type": checked(convert, f"no {what}; write {', '.join(most)} or {last}"), "choices": choices}


class ServerAddress(NamedTuple):
    """Where a server is; a host that begins with ``/`` is the path of its Unix socket.

    :param scheme: its protocol: ``lumina`` for the line protocol, or ``modbus`` for Modbus TCP.
    """

    host: str
    port: int
    scheme: str = LUMINA

    @property
    def is_modbus(self) -> bool:
        """Whether it is a Modbus TCP device or gateway, which has no ports."""
        return self.scheme == MODBUS

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if host.startswith("/") else f"{host}:{self.port}"


def server_address(text: str, port: int = 8888) -> ServerAddress:
    """``HOST``, ``HOST:PORT``, ``[IPV6]:PORT``, the path of a Unix socket, or a URL.

    :param port: the TCP port if the text has none.
    :raises UsageError: if the text is no such address.
    """
    if "://" in text:
        return url_address(text, port)
    if text.startswith("/"):
        return ServerAddress(text, 0)
    match = re.fullmatch(r"(?:\[([\w:.%]+)\]|([^:\s]+))(?::(\d{1,5}))?", text)
    if match is None or not 0 < int(match[3] or port) < 65536:
        raise UsageError(
            f"{text!r} is no server; write HOST, HOST:PORT as 127.0.0.1:{port} or [::1]:{port}, or a socket's path"
        )
    return ServerAddress(match[1] or match[2], int(match[3] or port))


def url_address(text: str, port: int = 8888) -> ServerAddress:
    """``lumina://HOST[:8888]`` or ``modbus://HOST[:502]``.

    :param port: the TCP port of ``lumina://`` if the text has none.
    :raises UsageError: if the text is no such URL.
    """
    from lumina_twisted.client.url import parse_url  # late, because `--help` does not need the client

    try:
        scheme, host, port = parse_url(text, port)
    except RequestError as error:
        raise UsageError(str(error)) from None
    return ServerAddress(host, port, scheme)


def add_request_options(
    parser: argparse.ArgumentParser, timeout: float = DEFAULT_TIMEOUT, modbus: bool = True,
    place: str = DEFAULT_PLACE, port: int = 8888,
) -> None:
    """The options of every command that sends requests to a server.

    :param modbus: see :func:`add_server_options`; likewise ``place`` and ``port``.
    """
    group = add_server_options(parser, modbus, place, port)
    group.add_argument(
        "--timeout", type=bounded(0.05, 60, "time to wait", float), default=timeout, metavar="SECONDS",
        help=f"how long to wait for each answer ({timeout:g})",
    )
    add_json(group)


def add_server_options(
    parser: argparse.ArgumentParser, modbus: bool, place: str = DEFAULT_PLACE, port: int = 8888
) -> Any:
    """The options that say where the server is.

    :param modbus: whether the server may speak Modbus TCP.
    :param place: the default server, as the help describes it.
    :param port: the default TCP port.
    :return: the group of the options.
    """

    def url(text: str) -> str:
        """Refuses a wrong URL before argparse checks the other arguments, which have no PORT after modbus://."""
        url_address(text, port)
        return text

    parser.set_defaults(takes_modbus=modbus)
    group = parser.add_argument_group("server")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--server", metavar="HOST[:PORT]", help=f"where Lumina runs ({place})")
    where.add_argument(
        "--url", metavar="URL", type=url,
        help="lumina://HOST[:8888]; or modbus://HOST[:502] for Modbus TCP, and then without PORT" if modbus
        else f"the same as lumina://HOST[:{port}]",
    )
    return group


def add_json(parser: argparse._ActionsContainer) -> None:
    """Adds ``--json``, which every command with results has."""
    parser.add_argument("--json", action="store_true", help="results and errors as JSON, an object a line")
