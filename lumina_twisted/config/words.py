"""Ports and listeners as words of the command line, floor 5."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import attrs

from lumina_twisted.config.configuration import Draft
from lumina_twisted.ports.address import is_scheme, parted
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.schema import structure_text

_COLON: Final = re.compile(r"(?<!\\):")
_COMMA: Final = re.compile(rf",({'|'.join(one.name for one in attrs.fields(PortSettings))})=")
_LISTEN_FORM: Final = "PROTOCOL[,option=value…]=ENDPOINT, as line=tcp:8888:interface=127.0.0.1"
_LISTEN: Final = re.compile(r"(?P<protocol>[^,=]+)(?P<options>(?:,[^,=]+=[^,=]*)*)=(?P<endpoint>.+)")


def add_port_word(draft: Draft, text: str) -> None:
    r"""Adds ``[NAME=]PATH[:key=value…]``; a colon in PATH is written ``\:``, but for that of ``rtu+tcp:HOST:PORT``.

    Without a NAME the last component of PATH is the name, its colons as ``_``. A key may have dots, as
    ``units.3.timeout``.
    """
    name, found, rest = text.partition("=")
    is_named = found and "/" not in name and ":" not in name
    path, words = _path_and_words(rest if is_named else text)
    if not is_named:
        name = _name_of(path)
    where = f"--port {name or repr(text)}"
    if slip := _COMMA.search(path):
        right = path.replace(slip[0], f":{slip[1]}=")
        draft.faults.append(f"{where}: settings of a port are parted by colons; write {right!r}")
        return
    if not path or not name:
        draft.faults.append(f"{where}: expected [NAME=]PATH[:key=value…], got {text!r}")
        return
    draft.add_port(name, _table(draft, words, where, path=path), where, structure_text)


def _name_of(path: str) -> str:
    """``ttyUSB0`` of a device, ``192.168.1.5_4001`` of a socket."""
    scheme, _, rest = path.partition(":")
    return (rest if is_scheme(scheme) else path.rpartition("/")[2]).replace(":", "_")


def _path_and_words(text: str) -> tuple[str, list[str]]:
    if is_scheme(text.partition(":")[0]):
        path, words = parted(text)
    else:
        path, *words = (one.replace("\\:", ":") for one in _COLON.split(text))
    return path, words


def add_listen_word(draft: Draft, text: str) -> None:
    """Adds ``PROTOCOL[,option=value…]=ENDPOINT``."""
    where = f"--listen {text!r}"
    if not (parts := _LISTEN.fullmatch(text)):
        draft.faults.append(f"{where}: expected {_LISTEN_FORM}")
        return
    words = parts["options"].split(",")[1:]
    data = _table(draft, words, where, protocol=parts["protocol"], endpoint=parts["endpoint"])
    draft.add_listener(data, where, structure_text)


def add_limit_words(draft: Draft, texts: Sequence[str]) -> None:
    """Adds ``KEY=VALUE`` words to the limits."""
    if texts:
        draft.add_limits(_table(draft, list(texts), "--limit"), "--limit", structure_text)


def add_log_words(draft: Draft, texts: Sequence[str]) -> None:
    """Adds ``KEY=VALUE`` words to the log's settings; ``levels.port.boiler=debug`` is the level of a part."""
    if texts:
        draft.add_log(_table(draft, list(texts), "--log"), "--log", structure_text)


def _table(draft: Draft, words: list[str], where: str, **first: str) -> dict[str, Any]:
    """``key=value`` words added to a table that begins with ``first``; a key with dots makes a table within it."""
    table: dict[str, Any] = dict(first)
    for word in words:
        key, found, value = word.partition("=")
        if not found or not all(key.split(".")):
            draft.faults.append(f"{where}: expected key=value, got {word!r}; a colon in a path is written \\:")
        elif not _put(table, key.split("."), value):
            draft.faults.append(f"{where}.{key}: this key is given twice")
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
