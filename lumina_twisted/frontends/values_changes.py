"""Who watches which value, floor 4. However many watch a value, the values tell a listener of each change once, and it
is written once for all who speak the same format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from lumina_twisted.frontends.values_words import Words
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
    """Whom changes are told."""

    def changed(self, name: str, change: ChangeLine) -> None:
        """A value it watches is another now."""


class Watchers:
    """The watchers of one listener's values."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._by_name: dict[str, dict[Watcher, None]] = {}
        self._ends: dict[str, Callable[[], None]] = {}
        self.changes = 0

    def __len__(self) -> int:
        """How many values they watch in all, each counted for each of them."""
        return sum(map(len, self._by_name.values()))

    def add(self, watcher: Watcher, names: Iterable[str]) -> None:
        """Tells ``watcher`` of each change of these from now on.

        :raises UnknownName: if there is none of such a name.
        """
        for name in names:
            if name not in self._ends:
                self._ends[name] = self._words.known().watch(self._changed, [name])
                self._by_name[name] = {}
            self._by_name[name][watcher] = None

    def remove(self, watcher: Watcher, names: Iterable[str]) -> None:
        """Tells it no more of these."""
        for name in names:
            watchers = self._by_name.get(name, {})
            watchers.pop(watcher, None)
            if not watchers and name in self._ends:
                del self._by_name[name]
                self._ends.pop(name)()

    def _changed(self, name: str, reading: Reading) -> None:
        self.changes += 1
        change = ChangeLine(NamedReading(name, reading, self._words.unit_of_measure(name)), self._words.text)
        watchers = self._by_name.get(name, {})
        for watcher in tuple(watchers):
            if watcher in watchers:  # else it went while others were told
                watcher.changed(name, change)
