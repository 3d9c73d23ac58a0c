"""Which client watches which value, floor 4. However many clients watch a value, a listener gets each change once, and
encodes it once for all clients of the same format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Final, Protocol

from lumina_twisted.errors import Overloaded
from lumina_twisted.frontends.values.commands import ValueCommands, is_pattern
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.answer import Change, NamedReading, json_body, tag_json
from lumina_twisted.valueproto.command import Format
from lumina_twisted.valueproto.reading import Reading
from lumina_twisted.valueproto.text_lines import tag_text, text_body


class ChangeLine:
    """One change, as a line for each client that watches."""

    __slots__ = ("_change", "_json", "_text", "_value_text")

    def __init__(self, value: NamedReading, value_text: Callable[[str, Value], str]) -> None:
        self._change = Change(value)
        self._value_text = value_text
        self._text = b""
        self._json = b""

    def line(self, form: Format, tag: str) -> bytes:
        """The line of the change, its newline included."""
        if form == "json":
            self._json = self._json or json_body(self._change)
            return tag_json(self._json, tag)
        self._text = self._text or text_body(self._change, self._value_text)
        return tag_text(self._text, tag)


class Watcher(Protocol):
    """A client that gets changes."""

    def changed(self, name: str, change: ChangeLine) -> None:
        """A value that it watches has changed."""


class Watchers:
    """The watchers of one listener's values."""

    def __init__(self, commands: ValueCommands) -> None:
        self._commands = commands
        self._by_name: dict[str, dict[Watcher, None]] = {}
        self._ends: dict[str, Callable[[], None]] = {}
        self.changes = 0

    def __len__(self) -> int:
        """How many values they watch in total; a value counts once for each watcher."""
        return sum(map(len, self._by_name.values()))

    def add(self, watcher: Watcher, names: Iterable[str]) -> None:
        """Calls ``watcher`` with each change of these values from now on.

        :raises UnknownName: if one of these values does not exist.
        """
        for name in names:
            if name not in self._ends:
                self._ends[name] = self._commands.known().watch(self._changed, [name])
                self._by_name[name] = {}
            self._by_name[name][watcher] = None

    def remove(self, watcher: Watcher, names: Iterable[str]) -> None:
        """Stops calling ``watcher`` with changes of these values."""
        for name in names:
            watchers = self._by_name.get(name, {})
            watchers.pop(watcher, None)
            if not watchers and name in self._ends:
                del self._by_name[name]
                self._ends.pop(name)()

    def _changed(self, name: str, reading: Reading) -> None:
        self.changes += 1
        change = ChangeLine(NamedReading(name, reading, self._commands.unit_of_measure(name)), self._commands.text)
        watchers = self._by_name.get(name, {})
        for watcher in tuple(watchers):
            if watcher in watchers:  # else it has left while this loop ran
                watcher.changed(name, change)


MOST_AT_ONCE: Final = 16_384
"""Bytes of changes that are written at once to a client that was slow. Each such piece that the client has taken shows
that it reads."""


class Watched:
    """The values that a client watches, each with its tag.

    :param watchers: the watchers of its listener.
    :param most: the limit of values that the client may watch.
    """

    def __init__(self, watchers: Watchers, most: int) -> None:
        self._watchers = watchers
        self._most = most
        self._tags: dict[str, str] = {}
        self.waiting: dict[str, ChangeLine] = {}
        """Changes that wait, by name."""

    def __len__(self) -> int:
        """How many values the client watches."""
        return len(self._tags)

    def check(self, names: Iterable[str]) -> None:
        """Checks whether the client may watch these values, too.

        :raises Overloaded: if that would be too many.
        """
        if len(self._tags.keys() | names) > self._most:
            raise Overloaded(
                f"a client may watch {self._most} values; give patterns that match fewer, or unwatch some"
            )

    def add(self, client: Watcher, names: Iterable[str], tag: str) -> None:
        """Sends changes of these values to ``client`` with ``tag``, which replaces an earlier tag."""
        self._watchers.add(client, names)
        self._tags.update(dict.fromkeys(names, tag))

    def remove(self, client: Watcher, patterns: Iterable[str]) -> None:
        """Sends no more changes of these values; changes that wait are not sent either."""
        exact = set(patterns)
        wild = [one.replace("[", "[[]") for one in exact if is_pattern(one)]
        names = [name for name in self._tags if name in exact or any(fnmatchcase(name, one) for one in wild)]
        self._watchers.remove(client, names)
        for name in names:
            del self._tags[name]
            self.waiting.pop(name, None)

    def line(self, name: str, change: ChangeLine, form: Format) -> bytes:
        """The line of a change."""
        return change.line(form, self._tags[name])

    def keep(self, name: str, change: ChangeLine) -> None:
        """Keeps a change until the client reads; it replaces an older change of the same value."""
        self.waiting[name] = change

    def next_bytes(self, form: Format) -> bytes:
        """Removes the next waiting changes, and returns their lines: about :data:`MOST_AT_ONCE` bytes at most."""
        taken: dict[str, bytes] = {}
        size = 0
        for name, change in self.waiting.items():
            line = taken[name] = self.line(name, change, form)
            size += len(line)
            if size >= MOST_AT_ONCE:
                break
        for name in taken:
            del self.waiting[name]
        return b"".join(taken.values())
