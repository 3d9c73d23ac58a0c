"""What all commands are told alike, floor 5: where the server is, how long to wait for it, and how to answer."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from lumina_twisted.cli.parser import UsageError, bounded

DEFAULT_TIMEOUT: Final = 5.0
"""Seconds."""
LUMINA: Final = "lumina"
MODBUS: Final = "modbus"
DEFAULT_SERVER: Final = "127.0.0.1:8888"
DEFAULT_PLACE: Final = f"LUMINA_SERVER, or {DEFAULT_SERVER}"


class Server(NamedTuple):
    """Where the server is; a host that begins with ``/`` is the path of its Unix socket.

    :param scheme: what it speaks: ``lumina``, lines; or ``modbus``, Modbus TCP.
    """

    host: str
    port: int
    scheme: str = LUMINA

    @property
    def is_modbus(self) -> bool:
        """Whether it is a device or a gateway, which knows no ports."""
        return self.scheme == MODBUS

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if host.startswith("/") else f"{host}:{self.port}"


def server(text: str, port: int = 8888) -> Server:
    """``HOST``, ``HOST:PORT``, ``[IPV6]:PORT``, the path of a Unix socket, or a URL.

    :param port: where none is written.
    :raises UsageError: if it is none.
    """
    if "://" in text:
        return from_url(text, port)
    if text.startswith("/"):
        return Server(text, 0)
    match = re.fullmatch(r"(?:\[([\w:.%]+)\]|([^:\s]+))(?::(\d{1,5}))?", text)
    if match is None or not 0 < int(match[3] or port) < 65536:
        raise UsageError(
            f"{text!r} is no server; write HOST, HOST:PORT as 127.0.0.1:{port} or [::1]:{port}, or a socket's path"
        )
    return Server(match[1] or match[2], int(match[3] or port))


def from_url(text: str, port: int = 8888) -> Server:
    """``lumina://HOST[:8888]`` or ``modbus://HOST[:502]``.

    :param port: of ``lumina://`` where none is written.
    :raises UsageError: if it is none.
    """
    from lumina_twisted.client.url import parse_url  # help shall not wait for it
    from lumina_twisted.errors import RequestError

    try:
        scheme, host, port = parse_url(text, port)
    except RequestError as error:
        raise UsageError(str(error)) from None
    return Server(host, port, scheme)


def _url(port: int) -> Callable[[str], str]:
    """Refuses what is none before anything else is understood: with modbus:// there is a word less."""

    def convert(text: str) -> str:
        from_url(text, port)
        return text

    return convert


def add_asking(
    parser: argparse.ArgumentParser, timeout: float = DEFAULT_TIMEOUT, modbus: bool = True,
    place: str = DEFAULT_PLACE, port: int = 8888,
) -> None:
    """The options of every command that asks a server.

    :param modbus: whether it can ask over Modbus TCP too.
    :param place: see :func:`add_where`, and ``port``.
    """
    group = add_where(parser, modbus, place, port)
    group.add_argument(
        "--timeout", type=bounded(0.05, 60, "time to wait", float), default=timeout, metavar="SECONDS",
        help=f"how long to wait for each answer ({timeout:g})",
    )
    add_json(group)


def add_where(parser: argparse.ArgumentParser, modbus: bool, place: str = DEFAULT_PLACE, port: int = 8888) -> Any:
    """The options that say where the server is.

    :param modbus: whether it may speak Modbus TCP.
    :param place: where it is if nothing is said, as the help tells it; at ``port``, unless another is written.
    :return: the group that they stand in.
    """
    parser.set_defaults(takes_modbus=modbus)
    group = parser.add_argument_group("server")
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--server", metavar="HOST[:PORT]", help=f"where Lumina runs ({place})"
    )
    where.add_argument(
        "--url", metavar="URL", type=_url(port),
        help="lumina://HOST[:8888]; or modbus://HOST[:502] for Modbus TCP, and then without PORT" if modbus
        else f"the same as lumina://HOST[:{port}]",
    )
    return group


def add_json(parser: argparse._ActionsContainer) -> None:
    """The option of every command that has results."""
    parser.add_argument("--json", action="store_true", help="results and errors as JSON, an object a line")
