"""Server endpoint strings, floor 4: this module checks them, says where they listen, and makes the endpoints."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint

BACKLOG: Final = 1024
"""Connections that the kernel keeps until they are accepted, unless the endpoint says otherwise. With Twisted's default
of 50, many of a thousand clients that connect at once have to try again, which takes them seconds."""

_COLON: Final = re.compile(r"(?<!\\):")
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "tcp": ("port", "interface", "backlog"), "tcp6": ("port", "backlog", "interface"), "ssl": ("port",),
    "tls": ("path", "port", "backlog", "interface"), "unix": ("address", "mode", "backlog"),
}
"""The known kinds of endpoints, and the meaning of their fields that have no name."""
_BARE_IPV6: Final = re.compile(
    r":interface=\[?(?P<address>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*?(?:%\w+)?)\]?(?=:[A-Za-z]+=|$)"
)
_LONGEST_UNIX_PATH: Final = 107
"""The longest path in bytes that ``struct sockaddr_un`` holds (unix(7))."""
_EXAMPLE: Final = "a Twisted server endpoint looks like tcp:8888:interface=127.0.0.1"


def make_endpoint(reactor: Any, text: str) -> IStreamServerEndpoint:
    """The endpoint that ``text`` describes, with a backlog for many clients.

    :raises Exception: any error of the parser; :func:`endpoint_fault` finds it before.
    """
    made: IStreamServerEndpoint
    if _kind(text) in _FIELDS and ":backlog=" not in text:
        try:
            made = serverFromString(reactor, f"{text}:backlog={BACKLOG}")
            return made
        except TypeError:
            pass  # the endpoint has a backlog as a field without a name
    made = serverFromString(reactor, text)
    return made


def endpoint_fault(text: str) -> str | None:
    """A sentence that says why a listener cannot use the endpoint ``text``, or None.

    Nothing is opened. What exists only after a start by systemd counts as present.
    """
    if fault := _fault_of_fields(text):
        return fault
    try:
        serverFromString(None, text)
    except OSError as error:
        return f"{error.filename or text} cannot be read ({error.strerror})"
    except ImportError as error:
        return f"{text!r} needs a package that is not here ({error})"
    except LookupError as error:
        return None if text.startswith("systemd:") else f"{text!r} cannot be used ({error}); {_EXAMPLE}"
    except Exception as error:
        return f"{text!r} is no endpoint ({_plain(error)}); {_EXAMPLE}"
    return None


def tcp_address(text: str) -> tuple[str, int] | None:
    """The address at which a client on this machine reaches a ``tcp:`` endpoint; None for any other kind."""
    if _kind(text) != "tcp":
        return None
    fields = _fields(text)
    host = fields.get("interface", "")
    return ("127.0.0.1" if host in ("", "0.0.0.0") else host), int(fields["port"])


@frozen
class Place:
    """Where an endpoint listens.

    :param name: TCP port number or path.
    :param interface: the address of the interface; ``0.0.0.0`` is every IPv4 interface, ``::`` is every interface.
    """

    name: str
    interface: str = ""

    def meets(self, other: Place) -> bool:
        """Whether two listeners at these places conflict."""
        return self.name == other.name and (self._covers(other) or other._covers(self))

    def _covers(self, other: Place) -> bool:
        if self.interface == "0.0.0.0":
            return ":" not in other.interface
        return self.interface in ("::", other.interface)


def place_of(text: str) -> Place | None:
    """The place of a valid endpoint; None if it is not known before it listens, as for ``tcp:0``."""
    kind, fields = _kind(text), _fields(text)
    if kind == "unix":
        return Place(os.path.realpath(fields["address"]))
    if kind not in _FIELDS or not (number := int(fields.get("port", "443"))):
        return None
    return Place(str(number), fields.get("interface") or ("::" if kind in ("tcp6", "tls") else "0.0.0.0"))


def _kind(text: str) -> str:
    return text.partition(":")[0]


def _fields(text: str) -> dict[str, str]:
    """The fields of an endpoint of a known kind, by name."""
    kind, *parts = _COLON.split(text)
    unnamed = iter(_FIELDS.get(kind, ()))
    found = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            name, value = next(unnamed, ""), part
        found[name] = re.sub(r"\\(.)", r"\1", value)
    return found


def _fault_of_fields(text: str) -> str | None:
    """A fault for which Lumina has a better sentence than Twisted's parsers; None if there is none."""
    kind = _kind(text)
    if kind == "stdio":
        return f"{text!r} is the terminal of whoever starts the service, which clients cannot share; {_EXAMPLE}"
    if kind not in _FIELDS:
        return None
    if kind in ("ssl", "tls") and not _has_tls():
        return f"{text!r} needs pyOpenSSL, which is not here; `pip install 'twisted[tls]'` brings it"
    if kind == "unix":
        return _fault_of_unix_path(text, _fields(text).get("address"))
    if bare := _BARE_IPV6.search(text):
        escaped = text.replace(bare[0], ":interface=" + bare["address"].replace(":", r"\:"))
        return f"the colons of an IPv6 address are escaped: write '{escaped}', with the quotes"
    number = _fields(text).get("port")
    if number is not None and not _is_tcp_port(number):
        return f"{number[:20]!r} is no TCP port from 0 to 65535 in {text[:80]!r}"
    return None


def _fault_of_unix_path(text: str, path: str | None) -> str | None:
    if path is None:
        return None  # its parser reports that
    if not path or "\0" in path:
        return f"{text!r} has no path; a Unix socket looks like unix:/run/lumina/lumina.sock"
    if len(os.fsencode(path)) > _LONGEST_UNIX_PATH:
        return f"{path!r} is longer than the {_LONGEST_UNIX_PATH} bytes that the path of a Unix socket may have"
    return None


def _has_tls() -> bool:
    try:
        importlib.import_module("OpenSSL")
    except ImportError:
        return False
    return True


def _is_tcp_port(number: str) -> bool:
    return number.isascii() and number.isdigit() and len(number) < 20 and int(number) <= 65535


def _plain(error: Exception) -> str:
    """The message of an error, without the names of the functions that raised it."""
    return re.sub(r"^[\w.]+\(\) ", "", str(error)) or type(error).__name__
