"""The protocols of listeners, floor 5: the installed front-ends, Lumina's and those of other packages; the options of
each in ``[[listen]]``; and the reasons why listening on an endpoint fails."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import attrs
from twisted.internet.error import CannotListenError
from twisted.plugin import getPlugins

from lumina_twisted.errors import LuminaError
from lumina_twisted.frontends.endpoints import Place
from lumina_twisted.frontends.plugin import IFrontEnd, listens

DEFAULT_PROTOCOL: Final = "line"
_ANOTHER: Final = "give another endpoint, with --listen or in the configuration"
_NO_SUCH_INTERFACE: Final = f"no interface of this machine has that address; {_ANOTHER}"
_REMEDIES: Final = {
    errno.EADDRINUSE: f"another program listens there, perhaps another Lumina; stop it, or {_ANOTHER}",
    errno.EACCES: f"this user may not; TCP ports below 1024 are kept from ordinary users; {_ANOTHER}",
    errno.EADDRNOTAVAIL: _NO_SUCH_INTERFACE,
    errno.ENOENT: f"there is no such folder; make it, or {_ANOTHER}",
}


@lru_cache(maxsize=1)
def front_ends() -> Mapping[str, IFrontEnd]:
    """The installed front-ends by name, Lumina's first. If two have the same name, the first one found is used."""
    found: dict[str, IFrontEnd] = {}
    for one in sorted(getPlugins(IFrontEnd), key=_ours_first):
        found.setdefault(one.name, one)
    return found


def _ours_first(front_end: IFrontEnd) -> tuple[bool, str]:
    return not type(front_end).__module__.startswith("lumina_twisted."), front_end.name


@lru_cache(maxsize=256)
def listener_class(name: str) -> type[Any]:
    """The settings class of a whole ``[[listen]]`` table: the common keys, and the protocol's own options."""
    front_end: Any = front_ends()[name]
    common = {"protocol": attrs.field(default=name, type=str, metadata=_doc("what it speaks"))}
    if listens(front_end):
        common["endpoint"] = attrs.field(type=str, metadata=_doc(f"where it listens, as {front_end.endpoint}"))
    name = f"{front_end.options.__name__}Listener"
    made: Any = attrs.make_class(name, common, bases=(front_end.options,), frozen=True, kw_only=True, slots=False)
    if not listens(front_end):
        made.endpoint = ""
    listener: type[Any] = made
    return listener


def _doc(text: str) -> dict[str, str]:
    return {"doc": text, "unit": ""}


def faults_of(listener: Any) -> Iterator[tuple[str, str]]:
    """Faults in the combination of a listener's keys: pairs of a key and a sentence."""
    yield from _pairs(listener, "faults")
    front_end: Any = front_ends()[listener.protocol]
    if listens(front_end) and (fault := front_end.fault(listener.endpoint)):
        yield "endpoint", fault


def place_of(listener: Any) -> Place | None:
    """Where a listener without faults listens; None if that is unknown, or if the listener is a publisher."""
    front_end: Any = front_ends()[listener.protocol]
    return front_end.place(listener.endpoint) if listens(front_end) else None


def label(listener: Any) -> str:
    """The listener's name in ``stats``: its protocol and its endpoint, if it has one."""
    return f"{listener.protocol} {listener.endpoint}".rstrip()


def named_ports(listener: Any) -> Iterator[tuple[str, str]]:
    """The ports that a listener names, each with its key."""
    if hasattr(listener, "named_ports"):
        yield from listener.named_ports()
    elif port := getattr(listener, "port", ""):
        yield "port", port


def unit_0_routes(listener: Any) -> Iterator[tuple[str, str]]:
    """The ports whose unit 0 this listener reaches, each with its key."""
    return _pairs(listener, "unit_0_routes")


def _pairs(listener: Any, method: str) -> Iterator[tuple[str, str]]:
    """The result of a method that the protocol's options may have."""
    yield from getattr(listener, method, tuple)()


def why_not_listening(endpoint: str, error: BaseException | None) -> str:
    """A sentence for an error that listening on ``endpoint`` raised; it says what the operator can do."""
    if isinstance(error, LuminaError) or not endpoint:
        return str(error)
    if isinstance(error, CannotListenError):
        error = error.socketError
    if isinstance(error, socket.gaierror):  # it has error numbers of its own, which os.strerror() does not know
        return f"cannot listen on {endpoint} ({error.strerror}): {_NO_SUCH_INTERFACE}"
    number = getattr(error, "errno", None)
    why = str(error) if number is None else os.strerror(number)
    return f"cannot listen on {endpoint} ({why}): {_REMEDIES.get(number or 0, _ANOTHER)}"
