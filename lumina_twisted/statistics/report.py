"""The figures of a bus as plain dicts, lists, numbers and texts, ready for JSON. Floor 1.

Times are seconds, shares are from 0 to 1.
"""

from __future__ import annotations

from typing import Any

from lumina_twisted.statistics.counters import Counters, Faults, UnitFaults
from lumina_twisted.statistics.histogram import Histogram
from lumina_twisted.statistics.monitor import PortFigures
from lumina_twisted.statistics.tally import ClientTally, Tally, UnitTally

Report = dict[str, Any]


def report_of(
    port: PortFigures, counters: Counters, faults: Faults, now: float, running: float, waiting: int
) -> Report:
    """The report on one port.

    :param faults: the faults on the wire.
    :param running: seconds that the running transaction has taken so far.
    :param waiting: the number of requests that wait.
    """
    port.settle()
    units = port.units.values()
    waits = Histogram.sum_of(unit.queue for unit in units)
    return {
        "seconds": max(0.0, now - port.usage.since),
        "utilisation": _utilisation(port, now, running),
        "transactions": port.transactions,
        "requests_per_transaction": port.served / port.transactions if port.transactions else 0.0,
        "ended": _ended(units),
        "failure_rate": port.failure_rate,
        "slowest": port.slowest.hex(" ") if isinstance(port.slowest, bytes) else port.slowest,
        "time": port.times.summary().as_dict(),
        "queue": waits.summary().as_dict(),
        "bus": Histogram.sum_of(unit.bus for unit in units).summary().as_dict(),
        "waiting": {"now": waiting, "highest": port.highest, "mean": _mean_size(port, waits, now)},
        "faults": {"attempts": port.transactions, "lost_seconds": sum(one.lost for one in units), **faults.total()},
        "diagnostics": _diagnostics(port, counters),
        "units": _units(port, faults),
        "clients": [_client(one, port) for one in sorted(port.clients, key=lambda one: -one.last)],
        "clients_forgotten": port.clients.forgotten,
    }


def queue_report(port: PortFigures, now: float, waiting: int) -> Report:
    """The report on a port's queue, in the form of :meth:`lumina_twisted.statistics.queue.QueueFigures.report`.
    The processing time is the bus time: a read that follows another has none."""
    port.settle()
    units = port.units.values()
    waits = Histogram.sum_of(unit.queue for unit in units)
    return {
        "size": waiting,
        "highest": port.highest,
        "mean_size": _mean_size(port, waits, now),
        "enqueued": waits.count + waiting,
        "unserved": port.unserved,
        "errors": sum(one.no_response + one.exceptions for one in units),
        "wait": waits.summary().as_dict(),
        "processing": Histogram.sum_of(unit.bus for unit in units).summary().as_dict(),
    }


def _mean_size(port: PortFigures, waits: Histogram, now: float) -> float:
    """The mean number of waiting requests: the sum of all waits, divided by the observed time (Little's law)."""
    seconds = now - port.usage.since
    return waits.total / seconds if seconds > 0 else 0.0


def _utilisation(port: PortFigures, now: float, running: float) -> Report:
    """The utilisation since the first use of the port; a running transaction counts as if it ended now."""
    whole, minute = port.usage.share(now, running), port.usage.share_of_last_minute(now, running)
    return {"last_minute": minute, "overall": whole, "seconds": port.usage.total + running}


def _ended(tallies: Any) -> dict[str, int]:
    whole: dict[str, int] = {}
    for tally in tallies:
        for outcome, count in tally.ended.items():
            whole[outcome] = whole.get(outcome, 0) + count
    return whole


def _diagnostics(port: PortFigures, counters: Counters) -> Report:
    """The counters of Modbus over Serial Line V1.02, appendix A, and Application Protocol V1.1b3, 6.8 (function 08,
    sub-functions 0B to 12 hex), as far as a client can know them. The adapter does not report lost characters."""
    units = port.units.values()
    return {
        "bus_message": counters.frames + sum(one.replies for one in units) + counters.foreign,
        "bus_communication_error": counters.crc_errors,
        "bus_exception_error": sum(one.exceptions for one in units),
        "server_message": sum(one.sent for one in units),
        "server_no_response": sum(one.no_response for one in units),
        "server_nak": sum(one.nak for one in units),
        "server_busy": sum(one.busy for one in units),
        "bus_character_overrun": None,
    }


def _units(port: PortFigures, faults: Faults) -> list[Report]:
    """The reports on all units, including those that were never asked but have faults."""
    numbers = sorted({*port.units, *faults.units})
    return [_unit(number, port.unit(number), faults.of(number), port) for number in numbers]


def _unit(number: int, tally: UnitTally, faults: UnitFaults, port: PortFigures) -> Report:
    return {
        "unit": number,
        **_tally(tally, port),
        "faults": {"attempts": tally.sent, "lost_seconds": tally.lost, **faults.as_dict()},
        "diagnostics": {
            "server_message": tally.sent,
            "bus_exception_error": tally.exceptions,
            "server_no_response": tally.no_response,
            "server_nak": tally.nak,
            "server_busy": tally.busy,
        },
    }


def _client(tally: ClientTally, port: PortFigures) -> Report:
    return {"client": tally.name, **_tally(tally, port)}


def _tally(tally: Tally, port: PortFigures) -> Report:
    return {
        "ended": tally.ended,
        "shared": tally.shared,
        "wire_seconds": tally.wire,
        "wire_share": tally.wire / port.usage.total if port.usage.total else 0.0,
        "queue": tally.queue.summary().as_dict(),
        "bus": tally.bus.summary().as_dict(),
    }
