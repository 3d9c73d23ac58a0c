"""What one client watches, floor 4, and the changes that wait for it: of each value the last one."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from lumina_twisted.errors import Overloaded
from lumina_twisted.frontends.values_changes import ChangeLine, Watcher, Watchers
from lumina_twisted.frontends.values_words import is_pattern
from lumina_twisted.valueproto.command import Format

MOUTHFUL: Final = 16_384
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
        self._untold: dict[str, ChangeLine] = {}

    def __len__(self) -> int:
        """How many they are."""
        return len(self._tags)

    @property
    def has_untold(self) -> bool:
        """Whether changes wait."""
        return bool(self._untold)

    def check(self, names: Iterable[str]) -> None:
        """Whether it may watch these too.

        :raises Overloaded: if it may not.
        """
        if len(self._tags.keys() | names) > self._most:
            raise Overloaded(
                f"a client may watch {self._most} values; give patterns that match fewer, or unwatch some"
            )

    def add(self, client: Watcher, names: Iterable[str], tag: str) -> None:
        """Has ``client`` told of these, under ``tag``, whatever their tag was."""
        self._watchers.add(client, names)
        self._tags.update(dict.fromkeys(names, tag))

    def remove(self, client: Watcher, patterns: Iterable[str]) -> None:
        """Has it told of these no more, nor of what waits."""
        exact = set(patterns)
        wild = [one.replace("[", "[[]") for one in exact if is_pattern(one)]
        names = [name for name in self._tags if name in exact or any(fnmatchcase(name, one) for one in wild)]
        self._watchers.remove(client, names)
        for name in names:
            del self._tags[name]
            self._untold.pop(name, None)

    def line(self, name: str, change: ChangeLine, form: Format) -> bytes:
        """A change as it is told."""
        return change.line(form, self._tags[name])

    def keep(self, name: str, change: ChangeLine) -> None:
        """A change waits, in the place of an older one of the same value."""
        self._untold[name] = change

    def mouthful(self, form: Format) -> bytes:
        """The next of those that wait."""
        taken: dict[str, bytes] = {}
        size = 0
        for name, change in self._untold.items():
            line = taken[name] = self.line(name, change, form)
            size += len(line)
            if size >= MOUTHFUL:
                break
        for name in taken:
            del self._untold[name]
        return b"".join(taken.values())
