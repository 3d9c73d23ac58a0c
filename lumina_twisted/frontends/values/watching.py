"""Who watches which value, floor 4. However many watch a value, a listener gets each change once, and it
is written once for all who speak the same format."""

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
    """One change, as the line of whoever watches."""

    __slots__ = ("_change", "_json", "_text", "_value_text")

    def __init__(self, value: NamedReading, value_text: Callable[[str, Value], str]) -> None:
        self._change = Change(value)
        self._value_text = value_text
        self._text = b""
        self._json = b""

    def line(self, form: Format, tag: str) -> bytes:
        """Its newline included."""
        if form == "json":
            self._json = self._json or json_body(self._change)
            return tag_json(self._json, tag)
        self._text = self._text or text_body(self._change, self._value_text)
        return tag_text(self._text, tag)


class Watcher(Protocol):
    """Who gets changes."""

    def changed(self, name: str, change: ChangeLine) -> None:
        """A value it watches is another now."""


class Watchers:
    """The watchers of one listener's values."""

    def __init__(self, commands: ValueCommands) -> None:
        self._commands = commands
        self._by_name: dict[str, dict[Watcher, None]] = {}
        self._ends: dict[str, Callable[[], None]] = {}
        self.changes = 0

    def __len__(self) -> int:
        """How many values they watch in all, each counted for each of them."""
        return sum(map(len, self._by_name.values()))

    def add(self, watcher: Watcher, names: Iterable[str]) -> None:
        """Calls ``watcher`` with each change of these from now on.

        :raises UnknownName: if there is none of such a name.
        """
        for name in names:
            if name not in self._ends:
                self._ends[name] = self._commands.known().watch(self._changed, [name])
                self._by_name[name] = {}
            self._by_name[name][watcher] = None

    def remove(self, watcher: Watcher, names: Iterable[str]) -> None:
        """Calls it with no more changes of these."""
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
            if watcher in watchers:  # else it has left meanwhile
                watcher.changed(name, change)


MOST_AT_ONCE: Final = 16_384
"""Bytes of changes that are written at once to a client that was slow. Each that it has taken shows that it reads."""


class Watched:
    """The values that a client watches, each with its tag.

    :param watchers: of its listener.
    :param most: values that it may watch.
    """

    def __init__(self, watchers: Watchers, most: int) -> None:
        self._watchers = watchers
        self._most = most
        self._tags: dict[str, str] = {}
        self.waiting: dict[str, ChangeLine] = {}
        """Changes that wait, by name."""

    def __len__(self) -> int:
        """How many they are."""
        return len(self._tags)

    def check(self, names: Iterable[str]) -> None:
        """Whether it may watch these too.

        :raises Overloaded: if it may not.
        """
        if len(self._tags.keys() | names) > self._most:
            raise Overloaded(
                f"a client may watch {self._most} values; give patterns that match fewer, or unwatch some"
            )

    def add(self, client: Watcher, names: Iterable[str], tag: str) -> None:
        """Sends changes of these to ``client`` under ``tag``, whatever their tag was."""
        self._watchers.add(client, names)
        self._tags.update(dict.fromkeys(names, tag))

    def remove(self, client: Watcher, patterns: Iterable[str]) -> None:
        """Sends no more changes of these, waiting ones included."""
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
        """A change waits, in the place of an older one of the same value."""
        self.waiting[name] = change

    def next_bytes(self, form: Format) -> bytes:
        """The next of those that wait."""
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
