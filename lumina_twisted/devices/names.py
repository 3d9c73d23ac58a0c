"""Names of values and devices, floor 3: finding them, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from lumina_twisted.errors import UnknownName

T = TypeVar("T")


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """Those that match; brackets mean nothing special, for no name has any."""
    if pattern == "*":
        return list(names)
    escaped = pattern.replace("[", "[[]")
    return [name for name in names if fnmatchcase(name, escaped)]


def found(name: str, known: Mapping[str, T], what: str) -> T:
    """What has that name.

    :param what: what it is, in the sentence.
    :raises UnknownName: with the nearest name there is.
    """
    try:
        return known[name]
    except KeyError:
        raise UnknownName(f"there is no {what} {name!r}; {_meant(name, known)}") from None


def _meant(name: str, known: Iterable[str]) -> str:
    every = list(known)
    if "*" in name or "?" in name:
        return "this takes one name, and no pattern; list tells all names"
    if inside := [one for one in every if one.startswith(f"{name}.")]:
        return f"it is a device, and its values are {_few(inside, 2)} ({name}.*)"
    near = difflib.get_close_matches(name.lower(), every, 1, 0.5) or [one for one in every if name and name in one][:1]
    if near:
        return f"did you mean {near[0]!r}?"
    if not every:
        return "there is none at all"
    return f"there are {_few(every, 5)}"


def _few(names: list[str], most: int) -> str:
    return ", ".join(names[:most]) + (" and more" if len(names) > most else "")
