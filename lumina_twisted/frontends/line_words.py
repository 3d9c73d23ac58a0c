"""What a person who types at a line listener is told.

Every line begins with ``# ``, which no id does, so that no client's parser takes it for a reply; what is told of
ports has no colon either. A line that is only ``#`` ends an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from lumina_twisted.frontends.line_figures import figures_told
from lumina_twisted.ports.interfaces import Ports

MOST_FIGURES: Final = 100_000
"""Bytes of figures in an answer; of more ports only the counts are told."""
HELP: Final = (
    "A command is one line, and gets one line as its answer",
    "  id:device type:port:baudrate:hex:response length[:timeout[:key=value]]",
    "  a1:meter:boiler:9600:010300000001840A:7:5",
    "id              any ASCII text; the answer begins with it",
    "device type     any text; it is not looked at",
    "port            name or path of a port, see ports; empty for this listener's own",
    "hex             the whole RTU frame with its CRC, low byte first",
    "response length bytes of the reply's frame, 0 if not known",
    "timeout         seconds that you wait, 0.05 to 60; the answer comes at 0.9 of it at the latest",
    "key=value       parity=N|E|O|M|S, bytesize=7|8, stopbits=1|2, retries=0 to 100",
    "                priority=high|normal|low, what goes first",
    "                max_age=SECONDS, 0 to 3600: how old a value may be that answers a read",
    "Words           help, ports, stats; stats json, for programs",
)


def ports_told(ports: Ports) -> list[str]:
    """The ports, each with its settings and state."""
    told = []
    for port in ports:
        one = port.describe()
        offline = f", offline units {' '.join(map(str, one.offline))}" if one.offline else ""
        told.append(_plain(f"{one.name}  {one.path}  {one.serial}  {one.state}{offline}  {one.waiting} waiting"))
    return told or ["no port is configured"]


def stats_told(ports: Ports, listener: Mapping[str, int], others: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What this listener, the others and each port have counted; what was never seen is left out.

    After the counts of a port come its figures, each line with its name and a word.
    """
    told = ["listener  " + _counts(listener)]
    told += [_plain(f"{name}  ") + _counts(counts) for name, counts in others.items()]
    room = MOST_FIGURES
    for port in ports:
        one = port.describe()
        told.append(_plain(f"{port.name}  ") + _counts(attrs.asdict(one.counters)))
        figures = [_plain(line) for line in figures_told(port.name, one.report())]
        room -= sum(map(len, figures))
        told += figures if room > 0 else []
    return told


def commented(lines: Iterable[str]) -> bytes:
    """Lines as no client takes them for a reply."""
    told = [b"# %b\n" % " ".join(line.splitlines()).encode("ascii", "replace") for line in lines]
    return b"".join(told) + b"#\n"


def _plain(text: str) -> str:
    """Without colons: one in a path becomes ``%3A``, for such a port is asked by its name."""
    return text.replace(":", "%3A")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items() if count) or "nothing yet"
