"""The protocols that a listener can speak, floor 5: whatever front-ends are installed, ours and those of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import attrs
from twisted.plugin import getPlugins

from lumina_twisted.frontends.plugin import IFrontEnd

DEFAULT_PROTOCOL: Final = "line"


@lru_cache(maxsize=1)
def front_ends() -> Mapping[str, IFrontEnd]:
    """The installed ones by name, ours first; of two with one name the first found is taken."""
    found: dict[str, IFrontEnd] = {}
    for one in sorted(getPlugins(IFrontEnd), key=_ours_first):
        found.setdefault(one.name, one)
    return found


@lru_cache(maxsize=256)
def listener_class(name: str) -> type[Any]:
    """The settings class of a whole ``[[listen]]`` table: what every listener has, and the protocol's own options."""
    front_end = front_ends()[name]
    common = {
        "protocol": attrs.field(default=name, type=str, metadata=_doc("what it speaks")),
        "endpoint": attrs.field(type=str, metadata=_doc(f"where it listens, as {front_end.endpoint}")),
    }
    made = f"{front_end.options.__name__}Listener"
    return attrs.make_class(made, common, bases=(front_end.options,), frozen=True, kw_only=True, slots=False)


def faults_of(listener: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with a listener though each of its keys can be: pairs of a key and a sentence."""
    tell = getattr(listener, "faults", None)
    if tell is not None:
        yield from tell()
    if fault := front_ends()[listener.protocol].fault(listener.endpoint):
        yield "endpoint", fault


def named_ports(listener: Any) -> Iterator[tuple[str, str]]:
    """The ports that a listener names, each with its key."""
    tell = getattr(listener, "named_ports", None)
    if tell is not None:
        yield from tell()
    elif port := getattr(listener, "port", ""):
        yield "port", port


def unit_0_routes(listener: Any) -> Iterator[tuple[str, str]]:
    """The ports to whose unit 0 a listener leads, each with its key."""
    tell = getattr(listener, "unit_0_routes", None)
    if tell is not None:
        yield from tell()


def _ours_first(front_end: IFrontEnd) -> tuple[bool, str]:
    return not type(front_end).__module__.startswith("lumina_twisted."), front_end.name


def _doc(text: str) -> dict[str, str]:
    return {"doc": text, "unit": ""}
