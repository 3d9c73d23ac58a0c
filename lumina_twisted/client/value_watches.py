"""Who watches which values, floor 3: what of the server's changes each is told, and what must be asked anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import evolve

from lumina_twisted.client.value_reading import ValueReading
from lumina_twisted.valueproto.command import Watch as WatchCommand
from lumina_twisted.valueproto.reading import Quality

_NAMES_A_LINE: Final = 3000
"""Bytes of the names that stand in one line, of 4096 at most."""


class Watch:
    """One watch.

    :param asked: what is said to begin it.
    :param observer: who is told; only the client's faces look at it.
    """

    __slots__ = ("asked", "is_on", "known", "observer")

    def __init__(self, asked: WatchCommand, observer: object) -> None:
        self.asked = asked
        self.observer = observer
        self.is_on = False  # on the connection that there is
        self.known: dict[str, ValueReading] = {}  # what was told last, by name


Told = list[tuple[Watch, ValueReading]]
"""Who is to be told what, in this order."""


class Watches:
    """All watches of one client. A change is told by its name, whichever line began it, and never twice."""

    def __init__(self) -> None:
        self._all: dict[Watch, None] = {}  # in the order in which they were added
        self._by_name: dict[str, dict[Watch, None]] = {}
        self._unwatched: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, watch: object) -> bool:
        return watch in self._all

    def add(self, watch: Watch) -> None:
        """One that is to begin."""
        self._all[watch] = None

    def remove(self, watch: Watch) -> None:
        """Ends one, if it has not ended."""
        if self._all.pop(watch, watch) is None:
            self._forget(watch)

    def began(self, watch: Watch, readings: Iterable[ValueReading]) -> Told:
        """It is on, and this is known of its names."""
        self._forget(watch)
        watch.known, watch.is_on = {one.name: one for one in readings}, True
        for name in watch.known:
            self._by_name.setdefault(name, {})[watch] = None
        return [(watch, reading) for reading in watch.known.values()]

    def changed(self, reading: ValueReading) -> Told:
        """One name has changed."""
        watching = self._by_name.get(reading.name)
        if not watching:
            self._unwatched[reading.name] = None  # of a watch whose caller had gone before it began
        return [told for watch in watching or () for told in self._new(watch, reading)]

    def disconnected(self, why: str) -> Told:
        """None is on any more."""
        self._unwatched.clear()
        on = [watch for watch in self._all if watch.is_on]
        for watch in on:
            watch.is_on = False
        return [told for watch in on for told in self.stale(watch, why)]

    def stale(self, watch: Watch, why: str) -> Told:
        """What is known of its names cannot be relied on."""
        old = list(watch.known.values())
        return [told for one in old for told in self._new(watch, evolve(one, quality=Quality.STALE, why=why))]

    def lost(self) -> list[Watch]:
        """Those that were on, and are not."""
        return [watch for watch in self._all if watch.known and not watch.is_on]

    def take_unwatched(self) -> Iterator[tuple[str, ...]]:
        """The names that the server needs not tell any more, so many at a time as a line holds; once each."""
        names = [name for name in self._unwatched if not self._by_name.get(name)]
        self._unwatched.clear()
        line: list[str] = []
        for name in names:
            if line and sum(map(_length, line)) + _length(name) > _NAMES_A_LINE:
                yield tuple(line)
                line = []
            line.append(name)
        if line:
            yield tuple(line)

    def _new(self, watch: Watch, reading: ValueReading) -> Told:
        if watch.known.get(reading.name) == reading:
            return []
        watch.known[reading.name] = reading
        return [(watch, reading)]

    def _forget(self, watch: Watch) -> None:
        for name in watch.known:
            watching = self._by_name.get(name, {})
            if watching.pop(watch, watch) is None and not watching:
                self._unwatched[name] = None
                del self._by_name[name]


def _length(name: str) -> int:
    """With its quotation marks and the blank before it."""
    return len(name.encode("utf-8", "replace")) + 3
