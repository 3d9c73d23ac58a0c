"""How requests go, port by port (the mission's row M13). Floor 1.

A bus records into the :class:`PortFigures` that its monitor keeps for it; whoever has a port of another kind records
with :meth:`PerformanceMonitor.record_command_execution`. All of it is bounded: 256 units, 64 clients, histograms of a
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
"""Ports that are kept apart; one more, and the one that was recorded longest ago is forgotten."""
BATCH: Final = 64
"""Requests that are summed up at a time; that takes a tenth of a millisecond."""


class PortFigures:
    """What is known of one port's requests; :meth:`settle` before reading.

    A bus only notes what happened, and that is summed up later. ``used``: from when to when the wire was used for which
    unit and client, and what was heard, an exception's code or what :mod:`~lumina_twisted.statistics.tally` names.
    ``ended``: unit, PDU, client and outcome of a request, then seconds: how long it waited (None if it was
    refused at once), how long the wire was its own (None if it followed another's), from its arrival to its end; and
    the time of that.
    """

    def __init__(self) -> None:
        self.count = 0
        """Requests that ended, but for those that were taken back."""
        self.failed = 0
        """Of these, the ones that got no normal reply."""
        self.times = Histogram()
        """From a request's arrival to its end, if it was not refused at once."""
        self.slowest: object = None
        """What names the request that took longest."""
        self.transactions = 0
        self.served = 0
        """Requests that transactions were for; more than there are transactions where reads are shared."""
        self.highest = 0
        """The most requests that waited at a time."""
        self.unserved = 0
        """Those that waited and did not get their turn."""
        self.units: dict[int, UnitTally] = {}
        self.clients = Clients()
        self.usage = Usage()
        self.used: list[tuple[float, float, int, Hashable, int]] = []
        self.ended: list[tuple[int, bytes, Hashable, str, float | None, float | None, float, float]] = []

    def settle(self) -> None:
        """Sums up what was noted."""
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
        """A request ended; ``seconds`` is how long it took, None if it was refused at once."""
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

    :param most_ports: how many are kept apart.
    """

    def __init__(self, most_ports: int = MOST_PORTS) -> None:
        self._most_ports = most_ports
        self._ports: dict[str, PortFigures] = {}

    def port(self, name: str) -> PortFigures:
        """A port's figures, which are kept from now on."""
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
        """A command ended.

        :param command_id: its name; the report has that of the slowest.
        :param execution_time: seconds from its arrival to its end.
        :param outcome: ``ok``, ``cancelled``, or a word for what went wrong.
        :param unit: and the four after it: for the tables of units and clients. Times are in seconds.
        :param now: the time of any clock, which says what client was seen longest ago.
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
