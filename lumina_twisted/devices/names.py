"""Names of values and devices, floor 3: finding them, and what was probably meant."""

from __future__ import annotations

import difflib
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from lumina_twisted.errors import UnknownName

T = TypeVar("T")
MOST_COMPARED: Final = 200
"""Names that a wrong one is compared with, each for 10 us: a line may have hundreds of wrong names, and of 10,000 names
there are plants."""


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
    near = difflib.get_close_matches(name.lower(), _likely(name.lower(), every), 1, 0.5)
    near = near or [one for one in every if name and name in one][:1]
    if near:
        return f"did you mean {near[0]!r}?"
    if not every:
        return "there is none at all"
    return f"there are {_few(every, 5)}"


def _few(names: list[str], most: int) -> str:
    return ", ".join(names[:most]) + (" and more" if len(names) > most else "")


def _likely(name: str, every: Sequence[str]) -> Sequence[str]:
    """The names that may be meant: those of the device, or of the one that has nearly that name."""
    device, dot, point = name.partition(".")
    if len(every) <= MOST_COMPARED or not dot:
        return _neighbours(name, every)
    devices = dict.fromkeys(one.partition(".")[0] for one in every)
    if device not in devices:
        near = difflib.get_close_matches(device, _neighbours(device, list(devices)), 1, 0.5)
        device = near[0] if near else device
    its_own = [one for one in every if one.startswith(f"{device}.")]
    return _neighbours(f"{device}.{point}", its_own or every)


def _neighbours(name: str, names: Sequence[str]) -> Sequence[str]:
    """Those that begin most like it, if there are too many."""
    if len(names) <= MOST_COMPARED:
        return names
    ordered = sorted(names)
    at = bisect(ordered, name)
    return ordered[max(0, at - MOST_COMPARED // 2) : at + MOST_COMPARED // 2]
