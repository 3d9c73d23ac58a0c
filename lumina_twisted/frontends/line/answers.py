"""Answers of a line listener to commands of people, floor 4: the help, the ports, and the figures of each port, as
text for a person or as JSON for a program.

Every line begins with ``# ``. No id begins like that, so no client's parser takes such a line for a reply; the list of
ports has no colon either. A line that is only ``#`` ends an answer. JSON is one object a line, because a client may
limit the length of its lines: one object for each listener, each port, each unit and each client of a port. What does
not fit into one answer is left off, clients first; the last object then says how many objects were left off.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from lumina_twisted.ports.interfaces import Ports
from lumina_twisted.statistics.counters import NAMES

MOST_FIGURES: Final = 100_000
"""The limit of figures in an answer, in bytes; of further ports, the answer shows only the counts."""
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


def port_lines(ports: Ports) -> list[str]:
    """The ports, each with its settings and state."""
    lines = []
    for port in ports:
        one = port.describe()
        offline = f", offline units {' '.join(map(str, one.offline))}" if one.offline else ""
        lines.append(_plain(f"{one.name}  {one.path}  {one.serial}  {one.state}{offline}  {one.waiting} waiting"))
    return lines or ["no port is configured"]


def stats_lines(ports: Ports, listener: Mapping[str, int], others: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The counts of this listener, of the others and of each port; counts of 0 are left out.

    After the counts of a port come its figures. Each of these lines begins with the port's name and a label.
    """
    lines = ["listener  " + _counts(listener)]
    lines += [_plain(f"{name}  ") + _counts(counts) for name, counts in others.items()]
    room = MOST_FIGURES
    for port in ports:
        one = port.describe()
        lines.append(_plain(f"{port.name}  ") + _counts(attrs.asdict(one.counters)))
        figures = [_plain(line) for line in figure_lines(port.name, one.report())]
        room -= sum(map(len, figures))
        lines += figures if room > 0 else []
    return lines


def commented(lines: Iterable[str]) -> bytes:
    """Lines with the mark ``#``, so that no client takes them for a reply."""
    written = [b"# %b\n" % " ".join(line.splitlines()).encode("ascii", "replace") for line in lines]
    return b"".join(written) + b"#\n"


def _plain(text: str) -> str:
    """A text without colons: each becomes ``%3A``. A port with a colon in its path is addressed by its name."""
    return text.replace(":", "%3A")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items() if count) or "nothing yet"


MOST_BYTES: Final = 200_000
"""The limit of one answer, in bytes. It is below the default of ``max_buffered``, 262,144 bytes: a client that does not
read holds no more than that."""
MOST_SHOWN: Final = 8
"""The limit of units, and of clients, that the text for a person shows for each port."""
_LABELS: Final = {
    **{name: name.replace("_", " ") for name in NAMES if name not in ("retried", "healed")}, "wrong_crc": "wrong CRC",
    "exception": "refused", "foreign": "not asked for",
}
"""The label of each kind of fault, for a person."""
Row = dict[str, Any]


def figure_lines(name: str, report: Row) -> list[str]:
    """A port's figures, as lines that each begin with its name and a label; none before its first transaction."""
    if not report["transactions"] and not report["ended"]:
        return []
    used, waiting = report["utilisation"], report["waiting"]
    lines = [
        f"{name} wire  used {_percent(used['last_minute'])} of the last minute, {_percent(used['overall'])} in all,"
        f" {report['transactions']} transactions, {report['requests_per_transaction']:.2f} requests each",
        f"{name} waiting  now {waiting['now']}, highest {waiting['highest']}, mean {waiting['mean']:.2f}",
        f"{name} queue time  {_times(report['queue'])}",
        f"{name} bus time  {_times(report['bus'])}",
    ]
    lines += _faults(name, report)
    return lines + _greatest(name, "unit", report["units"]) + _greatest(name, "client", report["clients"])


def _faults(name: str, report: Row) -> list[str]:
    """The faults of each unit that has any, the unit with most faults first."""
    rows = [row for row in report["units"] if any(row["faults"][kind] for kind in NAMES)]
    rows.sort(key=lambda row: -sum(row["faults"][kind] for kind in NAMES))
    lines = [f"{name} faults  unit {row['unit']}  {faults_of(row['faults'])}" for row in rows[:MOST_SHOWN]]
    if (more := len(rows) - MOST_SHOWN) > 0:
        lines.append(f"{name} faults  {more} units more; stats json tells of all")
    return lines


def faults_of(counts: Mapping[str, int]) -> str:
    """The faults of one unit, or of all units, as text."""
    kinds = ", ".join(f"{counts[kind]} {_LABELS[kind]}" for kind in NAMES if counts[kind] and kind in _LABELS)
    retries = f"; {counts['retried']} retries healed {counts['healed']}" if counts["retried"] else ""
    return f"{kinds or 'none'} in {counts['attempts']} attempts{retries}"


def _greatest(name: str, what: str, rows: list[Row]) -> list[str]:
    """The units, or clients, that used the wire most."""
    rows = sorted(rows, key=lambda row: -float(row["wire_share"]))
    lines = [f"{name} {what} {row[what]}  {_tally(row)}" for row in rows[:MOST_SHOWN]]
    if (more := len(rows) - MOST_SHOWN) > 0:
        lines.append(f"{name} {what}s  {more} more, which used the wire less; stats json tells of all")
    return lines


def json_rows(
    ports: Ports, listener: Mapping[str, int], others: Mapping[str, Mapping[str, int]], most: int
) -> list[str]:
    """All figures as JSON, one object a line.

    :param most: the limit of the answer, in bytes.
    """
    lines: list[str] = []
    size, left_off, most = 0, 0, min(most, MOST_BYTES)
    for row in _rows(ports, listener, others):
        line = json.dumps(_rounded(row), separators=(",", ":"))
        size += len(line) + 3
        if size <= most - 100:
            lines.append(line)
        else:
            left_off += 1
    return [*lines, json.dumps({"what": "left_off", "rows": left_off})] if left_off else lines


def _rows(ports: Ports, listener: Mapping[str, int], others: Mapping[str, Mapping[str, int]]) -> Iterator[Row]:
    for name, counts in {"listener": listener, **others}.items():
        yield {"what": "listener", "name": name, **counts}
    parts: dict[str, list[Row]] = {"unit": [], "client": []}
    for port in ports:
        one = port.describe()
        report = one.report()
        for what, rows in parts.items():
            rows += [{"what": what, "port": one.name, **row} for row in report.pop(f"{what}s")]
        place = {"path": one.path, "serial": one.serial, "state": one.state, "waiting_now": one.waiting}
        yield {"what": "port", "name": one.name, **place, **attrs.asdict(one.counters), **report}
    yield from parts["unit"]
    yield from parts["client"]


def _rounded(value: Any) -> Any:
    """Rounds all numbers to microseconds: that is enough, and makes them half as long."""
    if isinstance(value, float):
        return round(value, 6)
    return {key: _rounded(one) for key, one in value.items()} if isinstance(value, dict) else value


def _tally(one: Row) -> str:
    ended = ", ".join(f"{outcome.replace('_', ' ')} {count}" for outcome, count in one["ended"].items())
    shared = f", {one['shared']} shared" if one["shared"] else ""
    return (
        f"{ended or 'nothing ended yet'}{shared}; wire {_percent(one['wire_share'])};"
        f" queue {_short_times(one['queue'])}; bus {_short_times(one['bus'])}"
    )


def _times(one: Row) -> str:
    if not one["count"]:
        return "none"
    return ", ".join(f"{which} {_duration(one[which])}" for which in ("mean", "p50", "p99", "max"))


def _short_times(one: Row) -> str:
    """The mean, and the 99th percentile; below a hundred samples the maximum instead, as a percentile needs more."""
    if not one["count"]:
        return "none"
    return ", ".join(f"{which} {_duration(one[which])}" for which in ("mean", "p99" if one["count"] >= 100 else "max"))


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
