"""Reading a document whose tables have names, numbers or kinds that the document chooses. Floor 0.

:func:`lumina_twisted.schema.structure` reads a table whose keys are known. A :class:`DocumentReader` reads the tables
around it. It continues after a fault, and so collects all faults of a document, each with the path of its key.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from lumina_twisted.errors import ConfigError
from lumina_twisted.schema import structure
from lumina_twisted.text import nearest

T = TypeVar("T")

NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,4}|0x[0-9a-fA-F]{1,4}")
"""The syntax of a number as a key."""


class DocumentReader:
    """Reads the tables of a document. Once there is a fault, its results must not be used.

    :param faults: the list to which each fault is added, as ``path: sentence``.
    """

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults

    def structured(self, data: Any, cls: type[T], where: str, apart: Iterable[str] = ()) -> T | None:
        """``data`` as an instance of a settings class; None after a fault.

        :param apart: keys that the caller reads itself.
        """
        apart = set(apart)
        rest = {key: value for key, value in data.items() if key not in apart} if isinstance(data, Mapping) else data
        try:
            return structure(rest, cls, where)
        except ConfigError as error:
            self.faults.extend(error.faults)
            return None

    def tables(self, data: Mapping[str, Any], key: str, where: str) -> Iterator[tuple[str, Any]]:
        """The tables in ``data[key]``, each with its own key."""
        path = f"{where}.{key}" if where else key
        tables = data.get(key, {})
        if not isinstance(tables, Mapping):
            self.faults.append(f"{path}: expected tables, got {tables!r}")
            return
        yield from tables.items()

    def number(
        self, key: str, where: str, what: str, lowest: int, highest: int, taken: Container[int]
    ) -> int | None:
        """The number that a key stands for; None after a fault.

        :param what: the meaning of the number, with its article, for the sentence.
        :param taken: the numbers of other keys.
        """
        number = int(key, 0) if NUMBER.fullmatch(key) else -1
        if not lowest <= number <= highest:
            self.faults.append(f"{where}: expected {what} from {lowest} to {highest} as the key, got {key!r}")
        elif number in taken:
            self.faults.append(f"{where}: {number} stands there already, written in another way")
        else:
            return number
        return None

    def kind(
        self, data: Any, kinds: Mapping[str, type[T]], default: str, what: str, where: str, apart: Iterable[str] = ()
    ) -> T | None:
        """A table as an instance of the class that its key ``kind`` names; None after a fault.

        :param default: the kind of a table without ``kind``; empty if each table must have it.
        :param what: the thing that has these kinds, for the sentence.
        :param apart: keys that the caller reads itself.
        """
        kind = data.get("kind", default) if isinstance(data, Mapping) else default
        if not isinstance(data, Mapping):
            self.faults.append(f"{where}: expected a table, got {data!r}")
        elif "kind" not in data and not default:
            self.faults.append(f"{where}.kind: this key is required; there are {', '.join(kinds)}")
        elif not isinstance(kind, str) or kind not in kinds:
            self.faults.append(f"{where}.kind: there is no {what} {kind!r}; {nearest(kind, kinds)}")
        else:
            return self.structured(data, kinds[kind], where, ("kind", *apart))
        return None


def flat(table: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a table and of its inner tables, with keys joined by dots. An empty inner table counts as a
    value."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{outer}{key}.")
        else:
            yield f"{outer}{key}", value
