"""The devices of a simulated bus, floor 2: their replies to requests, and when each may send. Pure.

Every device receives every request; the addressed device replies. Times are arguments, in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.modbus.functions import BROADCAST, EXCEPTION_FLAG
from lumina_twisted.modbus.pdu import ExceptionReply
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.simulator.faults import Exchange, Faults

DEAF: Final = "deaf"
"""The fault name of a request that is lost because its device is busy."""


class Units:
    """The devices of a bus.

    :param devices: by unit identifier.
    :param device_time: seconds from the silence after a request to the reply's first byte.
    :param own_times: the same for units that differ.
    :param faults: the faults of the bus; None: no faults.
    """

    def __init__(
        self, devices: Mapping[int, SimulatedDevice], *, device_time: float = 0.001,
        own_times: Mapping[int, float] | None = None, faults: Faults | None = None,
    ) -> None:
        self._devices = devices
        self._device_time = device_time
        self._own_times = own_times or {}
        self._faults = faults or Faults()
        self._deaf_until: dict[int, float] = {}

    def device_time(self, unit: int) -> float:
        """Seconds from the silence after a request to the reply's first byte."""
        return self._own_times.get(unit, self._device_time)

    def exchange(self, unit: int, pdu: bytes, quiet: float, now: float) -> Exchange | None:
        """Carries a request out; None if there is no such unit. A broadcast has no reply.

        :param quiet: seconds of silence on the bus before it.
        :param now: seconds on the clock that moves the values.
        """
        if unit != BROADCAST and unit not in self._devices:
            return None
        exchange = Exchange(unit, pdu, quiet)
        if self._is_deaf(unit, now):
            exchange.is_understood = exchange.is_answered = False
            exchange.faults.append(DEAF)
            return exchange
        drawn = self._faults.draw(exchange)
        for fault, random in drawn:
            fault.on_request(exchange, random)
        if exchange.is_deaf:
            self._deaf_until[unit] = now + exchange.delay
        if unit == BROADCAST:
            self._obey(exchange, now)
            return exchange
        self._answer(exchange, now)
        for fault, random in drawn:
            fault.on_reply(exchange, random)
        return exchange

    def _is_deaf(self, unit: int, now: float) -> bool:
        return now < self._deaf_until.get(unit, now)

    def _obey(self, exchange: Exchange, now: float) -> None:
        for unit, device in self._devices.items():
            if exchange.is_understood and not self._is_deaf(unit, now):
                device.answer(exchange.pdu, now, is_broadcast=True)

    def _answer(self, exchange: Exchange, now: float) -> None:
        if exchange.is_understood:
            exchange.reply_pdu = self._devices[exchange.unit].answer(exchange.pdu, now)
        if exchange.exception:
            exchange.reply_pdu = ExceptionReply(exchange.pdu[0] & ~EXCEPTION_FLAG, exchange.exception).encode()
        if exchange.reply_pdu:
            exchange.reply = encode_adu(exchange.reply_unit, exchange.reply_pdu)


class Turns:
    """When each unit is free, and when the wire is in use. A device replies in order: it starts on a request when its
    previous reply is sent. Only one device sends at a time: a frame that is due while another device sends begins
    after it.
    """

    def __init__(self) -> None:
        self._free: dict[int, float] = {}
        self._taken: list[tuple[float, float]] = []

    def wait(self, unit: int, now: float) -> float:
        """Seconds until this unit starts on a request that comes now."""
        return max(0.0, self._free.get(unit, now) - now)

    def occupy(self, unit: int, until: float) -> None:
        """Keeps the unit from starting on a request before ``until``."""
        self._free[unit] = max(until, self._free.get(unit, until))

    def reserve(self, start: float, seconds: float, now: float) -> float:
        """Reserves the wire for ``seconds``, from ``start`` or the first free time after it; returns the begin."""
        self._taken = sorted(one for one in self._taken if one[1] > now)
        for begin, end in self._taken:
            if start + seconds <= begin:
                break
            start = max(start, end)
        if seconds:
            self._taken.append((start, start + seconds))
        return start
