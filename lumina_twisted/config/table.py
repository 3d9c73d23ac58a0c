"""``key=value`` words as the table that they stand for, floor 5."""

from __future__ import annotations

from typing import Any


def table_of(words: list[str], where: str, faults: list[str], **first: str) -> dict[str, Any]:
    """``key=value`` words added to a table that begins with ``first``; a key with dots makes a table within it.

    :param where: begins the path of what is added to ``faults``.
    """
    table: dict[str, Any] = dict(first)
    for word in words:
        key, found, value = word.partition("=")
        if not found or not all(key.split(".")):
            faults.append(f"{where}: expected key=value, got {word!r}; a colon in a path is written \\:")
        elif not _put(table, key.split("."), value):
            faults.append(f"{where}.{key}: this key is given twice")
    return table


def _put(table: dict[str, Any], keys: list[str], value: str) -> bool:
    *parents, last = keys
    for key in parents:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            return False
    if last in table:
        return False
    table[last] = value
    return True
