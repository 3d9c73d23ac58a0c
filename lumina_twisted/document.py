"""Reading a document whose tables have names, numbers or kinds of their own, floor 0.

:func:`lumina_twisted.schema.structure` reads a table whose keys are known. A :class:`DocumentReader` reads what is
around such tables, goes on after a fault, and so collects all faults of a document, each with its key's path.
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
"""A number that stands as a key."""


class DocumentReader:
    """Reads on after a fault; what it then returns nobody uses.

    :param faults: takes the faults, as ``path: sentence``.
    """

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults

    def structured(self, data: Any, cls: type[T], where: str, apart: Iterable[str] = ()) -> T | None:
        """``data`` as an instance of a settings class, without the keys that are read apart; None after a fault."""
        apart = set(apart)
        rest = {key: value for key, value in data.items() if key not in apart} if isinstance(data, Mapping) else data
        try:
            return structure(rest, cls, where)
        except ConfigError as error:
            self.faults.extend(error.faults)
            return None

    def tables(self, data: Mapping[str, Any], key: str, where: str) -> Iterator[tuple[str, Any]]:
        """What stands in ``data`` as tables below one key."""
        path = f"{where}.{key}" if where else key
        tables = data.get(key, {})
        if not isinstance(tables, Mapping):
            self.faults.append(f"{path}: expected tables, got {tables!r}")
            return
        yield from tables.items()

    def number(
        self, key: str, where: str, what: str, lowest: int, highest: int, taken: Container[int]
    ) -> int | None:
        """The number that a key is; None after a fault.

        :param what: it is, with its article.
        :param taken: those that stand there already.
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
        """A table whose ``kind`` says which class it is of; None after a fault.

        :param default: the kind that need not be said; empty if there is none.
        :param what: they are kinds of.
        :param apart: keys that are read apart.
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
    """What a table and those within it hold, with a dot for each; an empty one within it holds itself."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{outer}{key}.")
        else:
            yield f"{outer}{key}", value
