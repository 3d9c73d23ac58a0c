"""Readings and watches on the side of the client, floor 3: which changes each observer gets, and which watches must
begin again after a connection was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Self

from attrs import evolve, field, frozen

from lumina_twisted.errors import LuminaError, RequestError, error_from_reason
from lumina_twisted.modbus.values.bits import NOTHING_SET
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.text import on_off
from lumina_twisted.valueproto.answer import NamedFault, NamedReading
from lumina_twisted.valueproto.command import Watch as WatchCommand
from lumina_twisted.valueproto.reading import Quality

_NAMES_A_LINE: Final = 3000
"""Bytes of the names that stand in one line, of 4096 at most."""


@frozen
class ValueReading:
    """The last known value of one point.

    :param name: DEVICE.POINT.
    :param value: the last value from the device; None if there never was one, or if it is an infinite number.
    :param unit_of_measure: as people write it, such as ``°C``; empty if it has none.
    :param time: when the device was read, in seconds since 1970; None if there is no value.
    :param why: a sentence that says why the quality is not good; empty if it is.
    :param error: the failure, if the device was read for this request and gave no value.
    :param not_read_back: after a confirmed write: why the value could not be read back, if the description of the point
        demands a read-back; empty otherwise.
    """

    name: str
    value: Value | None
    unit_of_measure: str
    quality: Quality
    time: float | None
    why: str = ""
    error: LuminaError | None = field(default=None, eq=False, repr=False)
    not_read_back: str = field(default="", kw_only=True)

    @property
    def is_good(self) -> bool:
        """Whether the quality is *good*."""
        return self.quality is Quality.GOOD

    @classmethod
    def of(cls, one: NamedReading | NamedFault) -> Self:
        """Makes a reading from what the server sent."""
        if isinstance(one, NamedFault):
            error = error_from_reason(f"{one.error} {one.message}", is_read=True)
            return cls(one.name, None, "", Quality.BAD, None, one.message, error)
        known = one.reading
        return cls(one.name, known.value, one.unit_of_measure, known.quality, known.time, known.why)


def value_text(value: Value) -> str:
    """A value as a person types it and as a server parses it: ``on``, ``65.5``, ``eco``, ``a,b``.

    :raises RequestError: if it is no value.
    """
    if isinstance(value, bool):
        return on_off(value)
    if isinstance(value, tuple | list) and all(isinstance(name, str) for name in value):
        return ",".join(value) or NOTHING_SET
    if isinstance(value, int | float | str):
        return str(value)
    raise RequestError(f"{value!r} is no value; give a number, a text, True or False, or a tuple of the bits' names")


class Watch:
    """One watch.

    :param asked: the command that begins it.
    :param observer: called with each reading. Only the client calls it, never the session.
    """

    __slots__ = ("asked", "is_on", "known", "observer")

    def __init__(self, asked: WatchCommand, observer: Callable[[ValueReading], object]) -> None:
        self.asked = asked
        self.observer = observer
        self.is_on = False  # whether it has begun on the present connection
        self.known: dict[str, ValueReading] = {}  # the last reading that the observer got, by name


Changes = list[tuple[Watch, ValueReading]]
"""Readings in the order of delivery, each with the watch whose observer gets it."""


class Watches:
    """All watches of one client. A change goes to every observer that watches its name, once."""

    def __init__(self) -> None:
        self._all: dict[Watch, None] = {}  # in the order in which they were added
        self._by_name: dict[str, dict[Watch, None]] = {}
        self._unwatched: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, watch: object) -> bool:
        return watch in self._all

    def add(self, watch: Watch) -> None:
        """Adds a watch that is to begin."""
        self._all[watch] = None

    def remove(self, watch: Watch) -> None:
        """Ends a watch, if it has not ended."""
        if self._all.pop(watch, watch) is None:
            self._forget(watch)

    def began(self, watch: Watch, readings: Iterable[ValueReading]) -> Changes:
        """The server has begun the watch, and sent these readings."""
        self._forget(watch)
        watch.known, watch.is_on = {one.name: one for one in readings}, True
        for name in watch.known:
            self._by_name.setdefault(name, {})[watch] = None
        return [(watch, reading) for reading in watch.known.values()]

    def changed(self, reading: ValueReading) -> Changes:
        """The server sent a change of one name."""
        watching = self._by_name.get(reading.name)
        if not watching:
            self._unwatched[reading.name] = None  # from a watch that was cancelled before it began
        return [change for watch in watching or () for change in self._new(watch, reading)]

    def disconnected(self, why: str) -> Changes:
        """The connection was lost: no watch is on any more."""
        self._unwatched.clear()
        on = [watch for watch in self._all if watch.is_on]
        for watch in on:
            watch.is_on = False
        return [change for watch in on for change in self.stale(watch, why)]

    def stale(self, watch: Watch, why: str) -> Changes:
        """The readings of a watch become stale."""
        old = list(watch.known.values())
        return [change for one in old for change in self._new(watch, evolve(one, quality=Quality.STALE, why=why))]

    def lost(self) -> list[Watch]:
        """The watches that were on before the connection was lost."""
        return [watch for watch in self._all if watch.known and not watch.is_on]

    def take_unwatched(self) -> Iterator[tuple[str, ...]]:
        """The names whose changes the server need not send any more, each once, in groups that fit into a line."""
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

    def _new(self, watch: Watch, reading: ValueReading) -> Changes:
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
    """The bytes of a name in a line, with its quotation marks and the blank before it."""
    return len(name.encode("utf-8", "replace")) + 3
