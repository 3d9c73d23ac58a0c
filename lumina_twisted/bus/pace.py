"""The times of one bus: silences, characters, response timeouts (rules 6 and 7 of the core).

The configured times depend only on the settings and on a request's own serial settings, so they are computed once and
cached.

For units with ``timeout = "auto"``, the bus learns the timeout from the latency of each unit. The estimate is that of
TCP's retransmission timer (RFC 6298, section 2): the smoothed latency plus four times its deviation. The time of the
reply's characters is added. Only replies to first attempts update the estimate (Karn's rule). The timeout doubles with
each unanswered attempt, until a reply comes.

A short timeout frees the bus sooner for other requests. It does not shorten the late window: a reply that may still
come blocks its own shape as long as with the longest of these timeouts. A unit that usually takes 30 ms may take half a
second today.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.framing.rtu import OVERHEAD, shortest_response_timeout, t3_5, wire_time
from lumina_twisted.modbus.reply import EXCEPTION_PDU

_KEPT: Final = 4096
"""How many combinations are cached; a client that invents baud rates must not fill the memory."""
_PROBE_LENGTH: Final = 15
"""Bytes of the echo probe and its reply together."""
_BEFORE_DATA: Final = 2
"""Bytes before the data in the PDU of a reply to a read."""
_READ_AROUND: Final = 13
"""Bytes of a read and its reply together, without the data."""
LONGEST: Final = 1.0
"""Seconds: the longest learned timeout. The late window of such a unit uses it in place of a configured timeout."""
UNKNOWN: Final = 0.5
"""Seconds to wait for a unit whose latency is not yet known: the default of a port's ``timeout``."""
_SHORTEST: Final = 0.01
_ENOUGH: Final = 8
"""Replies that are needed before the estimate is used."""
_MOST_DOUBLINGS: Final = 7


class _Unit:
    """The latency estimate of one unit."""

    __slots__ = ("deviation", "mean", "replies", "unanswered")

    def __init__(self) -> None:
        self.mean = 0.0
        self.deviation = 0.0
        self.replies = 0
        self.unanswered = 0


class Latencies:
    """The learned latencies of the units on one bus."""

    def __init__(self) -> None:
        self._units: dict[int, _Unit] = {}

    def timeout(self, unit: int) -> float:
        """Seconds to wait for the beginning of a reply."""
        known = self._units.get(unit)
        if known is None:
            return UNKNOWN
        base = UNKNOWN if known.replies < _ENOUGH else max(_SHORTEST, known.mean + 4 * known.deviation)
        doubled: float = base * 2**known.unanswered
        return min(LONGEST, doubled)

    def replied(self, unit: int, latency: float, is_first_attempt: bool) -> None:
        """The unit replied.

        :param latency: seconds from the end of the request to the beginning of the reply.
        """
        known = self._units.setdefault(unit, _Unit())
        known.unanswered = 0
        if not is_first_attempt:
            return
        latency = max(0.0, latency)
        known.replies += 1
        if known.replies == 1:
            known.mean, known.deviation = latency, latency / 2
        else:
            known.deviation += (abs(latency - known.mean) - known.deviation) / 4
            known.mean += (latency - known.mean) / 8

    def unanswered(self, unit: int) -> None:
        """No reply came in time."""
        known = self._units.setdefault(unit, _Unit())
        known.unanswered = min(known.unanswered + 1, _MOST_DOUBLINGS)


class Pace:
    """The times of one bus, in seconds."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._bits = settings.bits_per_character
        self._baudrate = settings.baudrate  # of the last frame
        self._gaps: dict[tuple[int, int, int], float] = {}
        self._timeouts: dict[tuple[int, int, int], float] = {}
        self.t3_5 = t3_5(self._baudrate, self._bits)
        timeouts = [settings.timeout, *(one.timeout for one in settings.units.values())]
        self.learns = self._is_auto if "auto" in timeouts else None
        """A function that tells whether the timeout of a unit is learned; None if no unit's timeout is learned."""
        self._latencies = Latencies()

    def leaves(self, request: Pending) -> tuple[float, float]:
        """The frame of a request leaves.

        :return: how long the frame is on the wire, and how long the bus waits after that; see :meth:`response_timeout`.
        """
        baudrate = request.serial.baudrate
        if baudrate != self._baudrate:
            self._baudrate = baudrate
            self.t3_5 = t3_5(baudrate, self._bits)
        timeout = None
        if self.learns is None:  # the usual case: one lookup is enough
            timeout = self._timeouts.get((request.unit, request.pattern.expected_length, baudrate))
        if timeout is None:
            timeout = self.response_timeout(request)
        return (len(request.pdu) + OVERHEAD) * self._bits / baudrate, timeout

    def gap(self, request: Pending) -> float:
        """The silence before a request's frame. If the speed changes, the T3.5 of the slower speed holds."""
        key = request.unit, request.serial.baudrate, self._baudrate
        gap = self._gaps.get(key)
        return self._gap(key) if gap is None else gap

    def reply_time(self, request: Pending) -> float:
        """How long the reply is on the wire, including the silence that a device keeps before it."""
        baudrate, length = request.serial.baudrate, request.pattern.expected_length + OVERHEAD
        return wire_time(baudrate, length, self._bits) + t3_5(baudrate, self._bits)

    def least_time(self, request: Pending, probe: bool = False) -> float:
        """The shortest time in which a request can be sent and answered.

        :param probe: whether to add the time of an echo probe ahead of the request.
        """
        length = len(request.pdu) + OVERHEAD + (_PROBE_LENGTH if probe else 0)
        if not request.is_broadcast:
            length += max(request.pattern.length, EXCEPTION_PDU) + OVERHEAD
        return length * self._bits / request.serial.baudrate

    def read_time(self, request: Pending, data: int) -> float:
        """The shortest time in which a read of ``data`` bytes can be sent and answered, at the speed of ``request``."""
        return (_READ_AROUND + data) * self._bits / request.serial.baudrate

    def data_time(self, request: Pending) -> float:
        """How long the data in the reply to a request is on the wire."""
        return max(0, request.pattern.length - _BEFORE_DATA) * self._bits / request.serial.baudrate

    def response_timeout(self, request: Pending) -> float:
        """How long the bus waits after the request's last byte: for a reply, or for a broadcast to be carried out."""
        key = request.unit, request.pattern.expected_length, request.serial.baudrate
        if self.learns is None or not self.learns(request.unit):
            timeout = self._timeouts.get(key)
            return self._timeout(key) if timeout is None else timeout
        return self._latencies.timeout(request.unit) + self._shortest(key)

    def longest_timeout(self, request: Pending) -> float:
        """The longest response timeout that the request can have: the configured one, or :data:`LONGEST` if the timeout
        is learned."""
        learns = self.learns is not None and self.learns(request.unit)
        return LONGEST if learns else self.response_timeout(request)

    def replied(self, request: Pending, sent_until: float, now: float, length: int) -> None:
        """A reply with a PDU of ``length`` bytes was received in time."""
        if self.learns is not None and self.learns(request.unit):
            latency = now - sent_until - (length + OVERHEAD) * self._bits / request.serial.baudrate
            self._latencies.replied(request.unit, latency, request.attempts < 2)

    def unanswered(self, request: Pending) -> None:
        """No reply came in time."""
        if self.learns is not None and self.learns(request.unit):
            self._latencies.unanswered(request.unit)

    def _is_auto(self, unit: int) -> bool:
        return not self._settings.is_broadcast(unit) and self._settings.for_unit(unit).timeout == "auto"

    def _shortest(self, key: tuple[int, int, int]) -> float:
        _, length, baudrate = key
        return shortest_response_timeout(baudrate, length + OVERHEAD, self._bits)

    def _timeout(self, key: tuple[int, int, int]) -> float:
        unit, _, _ = key
        if self._settings.is_broadcast(unit):
            timeout = self._settings.turnaround
        else:
            configured = self._settings.for_unit(unit).timeout
            timeout = max(UNKNOWN if configured == "auto" else configured, self._shortest(key))
        if len(self._timeouts) >= _KEPT:
            self._timeouts.clear()
        self._timeouts[key] = timeout
        return timeout

    def _gap(self, key: tuple[int, int, int]) -> float:
        unit, baudrate, before = key
        gap = self._settings.for_unit(unit).frame_gap
        if gap is None:
            gap = t3_5(min(baudrate, before), self._bits)
        if len(self._gaps) >= _KEPT:
            self._gaps.clear()
        self._gaps[key] = gap
        return gap
