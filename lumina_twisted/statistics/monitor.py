"""The performance of requests, by port (the mission's row M13). Floor 1.

A bus records into the :class:`PortFigures` that its monitor keeps for it. The owner of another kind of port records
with :meth:`PerformanceMonitor.record_command_execution`. All tables are bounded: 256 units, 64 clients, histograms of a
fixed size.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import inf
from typing import Any, Final

from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.statistics.histogram import Histogram, Usage, add_to_both
from lumina_twisted.statistics.tally import (
    BROADCAST_SENT,
    CANCELLED,
    NORMAL,
    NOTHING,
    OK,
    Clients,
    ClientTally,
    Tally,
    UnitTally,
    record,
)

MOST_PORTS: Final = 1000
"""Ports with figures of their own. One more port evicts the port that was recorded longest ago."""
BATCH: Final = 64
"""Requests that are summed up at a time, which takes a tenth of a millisecond."""


class PortFigures:
    """The figures of one port's requests. Call :meth:`settle` before you read them.

    A bus only appends records to two lists, and :meth:`settle` sums them up later:

    * ``used``, one record per transaction: its start, its end, the unit, the client, and what was received: the code of
      an exception, or a constant of :mod:`~lumina_twisted.statistics.tally`.
    * ``ended``, one record per request: the unit, the PDU, the client and the outcome; then, in seconds, its queue time
      (None if it was refused at once), its bus time (None if it followed another read), the time from its arrival to
      its end, and the time of its end.
    """

    def __init__(self) -> None:
        self.count = 0
        """Requests that ended, except cancelled ones."""
        self.failed = 0
        """Those of ``count`` that got no normal reply."""
        self.times = Histogram()
        """The times from a request's arrival to its end, without requests that were refused at once."""
        self.slowest: object = None
        """The name, or the frame, of the request that took longest."""
        self.transactions = 0
        self.served = 0
        """Requests that transactions served; more than ``transactions`` where reads are shared."""
        self.highest = 0
        """The highest number of requests that waited at the same time."""
        self.unserved = 0
        """Requests that waited and ended without a turn."""
        self.units: dict[int, UnitTally] = {}
        self.clients = Clients()
        self.usage = Usage()
        self.used: list[tuple[float, float, int, Hashable, int]] = []
        self.ended: list[tuple[int, bytes, Hashable, str, float | None, float | None, float, float]] = []

    def settle(self) -> None:
        """Sums up the records."""
        clients: dict[Hashable, ClientTally] = {}
        if self.used:
            self._settle_used(clients)
        if self.ended:
            self._settle_ended(clients)

    def _settle_used(self, clients: dict[Hashable, ClientTally]) -> None:
        used, self.used = self.used, []
        self.transactions += len(used)
        self.served += len(used)
        units, add = self.units, self.usage.add
        for start, end, number, client, heard in used:
            unit = units.get(number) or self.unit(number)
            by_client = clients.get(client)
            if by_client is None:
                by_client = clients[client] = self.clients.of(client, end)
            seconds = end - start
            unit.sent += 1
            unit.wire += seconds
            by_client.wire += seconds
            if heard == NORMAL:
                unit.replies += 1
            elif heard == NOTHING:
                unit.no_response += 1
                unit.lost += seconds
            elif heard != BROADCAST_SENT:
                unit.heard(heard)
            add(start, end)

    def _settle_ended(self, clients: dict[Hashable, ClientTally]) -> None:
        ended, self.ended = self.ended, []
        units, times = self.units, self.times
        for number, pdu, client, outcome, waited, held, took, now in ended:
            unit = units.get(number) or self.unit(number)
            by_client = clients.get(client)
            if by_client is None:
                by_client = clients[client] = self.clients.of(client, now)
            if outcome == OK and waited is not None:
                unit.ok += 1
                by_client.ok += 1
                self.count += 1
                add_to_both(unit.queue, by_client.queue, waited)
                if held is None:
                    unit.shared += 1
                    by_client.shared += 1
                else:
                    add_to_both(unit.bus, by_client.bus, held)
                if took > times.longest:
                    self.slowest = encode_adu(number, pdu)
                times.add(took)
            else:
                record(unit, by_client, outcome, waited, held)
                self.record(encode_adu(number, pdu), outcome, None if waited is None else took)

    def record(self, name: object, outcome: str, seconds: float | None) -> None:
        """Counts a request that ended after ``seconds``, or None if it was refused at once."""
        if outcome == CANCELLED:
            return
        self.count += 1
        if outcome != OK:
            self.failed += 1
        if seconds is not None:
            if seconds > self.times.longest:
                self.slowest = name
            self.times.add(seconds)

    def unit(self, unit: int) -> UnitTally:
        """A unit's tally."""
        tally = self.units.get(unit)
        if tally is None:
            tally = self.units[unit] = UnitTally()
        return tally

    @property
    def failure_rate(self) -> float:
        """The share of all requests that got no normal reply, from 0 to 1."""
        return self.failed / self.count if self.count else 0.0


class PerformanceMonitor:
    """The figures of several ports.

    :param most_ports: how many ports have figures of their own.
    """

    def __init__(self, most_ports: int = MOST_PORTS) -> None:
        self._most_ports = most_ports
        self._ports: dict[str, PortFigures] = {}

    def port(self, name: str) -> PortFigures:
        """The figures of a port; the monitor keeps them from now on."""
        figures = self._ports.pop(name, None)
        if figures is None:
            while len(self._ports) >= self._most_ports:
                del self._ports[next(iter(self._ports))]
            figures = PortFigures()
        self._ports[name] = figures  # at the end: the first is the one recorded longest ago
        return figures

    def record_command_execution(
        self, port: str, command_id: object, execution_time: float, *, outcome: str = OK, unit: int | None = None,
        client: Hashable = None, queue_time: float | None = None, bus_time: float | None = None, now: float = 0.0,
    ) -> None:
        """Records a command that ended.

        :param command_id: its name; the report shows that of the slowest command.
        :param execution_time: seconds from its arrival to its end.
        :param outcome: ``ok``, ``cancelled``, or a word for what went wrong.
        :param unit: like ``client``, ``queue_time``, ``bus_time`` and ``now``, for the tables of units and clients.
            Times are in seconds.
        :param now: the time of any clock; it tells which client was seen longest ago.
        :raises ValueError: if a time is not a number of seconds, or negative.
        """
        for seconds in (execution_time, queue_time, bus_time):
            if seconds is not None and not 0 <= seconds < inf:
                raise ValueError(f"a time is {seconds} seconds; it is a number from 0 on")
        figures = self.port(port)
        figures.record(command_id, outcome, execution_time)
        by_unit = Tally() if unit is None else figures.unit(unit)
        by_client = Tally() if client is None else figures.clients.of(client, now)
        record(by_unit, by_client, outcome, queue_time, bus_time)

    def get_port_performance_report(self) -> dict[str, dict[str, Any]]:
        """By port: ``count``, ``failure_rate`` from 0 to 1, ``mean``, ``min``, ``max``, ``p50`` and ``p99`` in seconds,
        and ``slowest``, the name of the command that took longest."""
        return {name: _report(figures) for name, figures in self._ports.items()}


def _report(figures: PortFigures) -> dict[str, Any]:
    figures.settle()
    times = {**figures.times.summary().as_dict(), "count": figures.count}
    return {**times, "failure_rate": figures.failure_rate, "slowest": figures.slowest}
