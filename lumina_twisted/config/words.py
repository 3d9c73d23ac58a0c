"""Ports and listeners as words of the command line, floor 5."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import attrs

from lumina_twisted.config.configuration import Draft
from lumina_twisted.config.table import table_of
from lumina_twisted.ports.address import is_place, is_unknown_place, parted
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
    place = rest if is_named else text
    path, words = _path_and_words(place)
    if not is_named:
        name = _name_of(path)
    where = f"--port {name or repr(text)}"
    if _COMMA.search(place):
        right = _COMMA.sub(r":\1=", place)
        draft.faults.append(f"{where}: settings of a port are parted by colons; write {right!r}")
        return
    if not path or not name:
        draft.faults.append(f"{where}: expected [NAME=]PATH[:key=value…], got {text!r}")
        return
    draft.add_port(name, table_of(words, where, draft.faults, path=path), where, structure_text)


def _name_of(path: str) -> str:
    """``ttyUSB0`` of a device, ``192.168.1.5_4001`` of a socket."""
    scheme, _, rest = path.partition(":")
    return (rest if is_place(scheme) else path.rpartition("/")[2]).replace(":", "_")


def _path_and_words(text: str) -> tuple[str, list[str]]:
    if is_place(text.partition(":")[0]) or is_unknown_place(text):
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
    data = table_of(words, where, draft.faults, protocol=parts["protocol"], endpoint=parts["endpoint"])
    draft.add_listener(data, where, structure_text)


def add_limit_words(draft: Draft, texts: Sequence[str]) -> None:
    """Adds ``KEY=VALUE`` words to the limits."""
    if texts:
        draft.add_limits(table_of(list(texts), "--limit", draft.faults), "--limit", structure_text)


def add_values_words(draft: Draft, texts: Sequence[str]) -> None:
    """Adds ``KEY=VALUE`` words to the settings of values."""
    if texts:
        draft.add_values(table_of(list(texts), "--values", draft.faults), "--values", structure_text)


def add_log_words(draft: Draft, texts: Sequence[str]) -> None:
    """Adds ``KEY=VALUE`` words to the log's settings; ``levels.port.boiler=debug`` is the level of a part."""
    if texts:
        draft.add_log(table_of(list(texts), "--log", draft.faults), "--log", structure_text)
