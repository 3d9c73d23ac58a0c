"""What the raw results come to: the few figures that the tables and the plot both show."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from attrs import frozen

from benchmarks.length import Figures


@frozen
class Spread:
    """Repeated measurements of one thing."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of at least one."""
        listed = list(values)
        return cls(min(listed), statistics.median(listed), max(listed))

    def told(self, form: str = ",.0f", factor: float = 1.0) -> str:
        """As ``median (least to most)``."""
        least, median, most = (format(one * factor, form) for one in (self.least, self.median, self.most))
        return f"{median} ({least} to {most})"


def rates(overhead: Figures, who: str) -> Spread:
    """Commands a second of ``lumina``, of ``modbus_tcp`` through it, or of its ``peer``, over the rounds."""
    return Spread.of(one[who]["rps"] for one in overhead["rounds"])


def cpu(overhead: Figures, who: str) -> Spread:
    """Microseconds of processor time for each, over the rounds."""
    return Spread.of(one[who]["cpu_us"] for one in overhead["rounds"])


def ratios(overhead: Figures, what: str) -> Spread:
    """Lumina over its ``peer`` in the same round and protocol, for ``rps`` or ``cpu_us``."""
    return Spread.of(one["modbus_tcp"][what] / one["peer"][what] for one in overhead["rounds"])


def utilisation(wire: Figures, who: str = "lumina") -> dict[str, float]:
    """Share of the wire's time that Lumina uses, by baudrate; in lines, or over ``modbus_tcp``.

    Its peer has none to compare: it does not wait for T3.5, so that its share, above 1, is of another wire.
    """
    return {baudrate: found[who]["bus"]["utilisation"] for baudrate, found in wire.items()}


def cores(load: Figures) -> float:
    """Processor time that the gateway took in a load, over the time that it lasted."""
    return float(load["cpu_us"] * load["ok"] / 1e6 / load["bus"]["elapsed"])
