"""A request on a simulated bus and what comes of it, floor 2. Pure: devices, faults and times in, bytes and times out.

:class:`Units` are the devices of a bus: they hear every request, and the one that is meant answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from attrs import Factory, define

from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.framing.timing import t3_5, wire_time
from lumina_twisted.modbus.functions import BROADCAST
from lumina_twisted.modbus.pdu import ExceptionReply
from lumina_twisted.simulator.device import SimulatedDevice

if TYPE_CHECKING:
    from lumina_twisted.simulator.faults import Faults

DEAF: Final = "deaf"
"""The fault of what is sent to a device that does not hear, for it is busy."""


@define
class Exchange:
    """One request, and what faults make of it and of its reply.

    :param request: its frame.
    :param quiet: seconds of silence on the bus before it.
    :param is_understood: whether the device hears and carries out what is asked.
    :param is_answered: whether its reply reaches the wire.
    :param exception: the code with which it refuses; 0: it does not.
    :param unit: the unit identifier that its reply bears.
    :param is_echoed: whether the request's own bytes come back first.
    :param intended: the frame that the device meant to send, and ``reply`` what is left of it.
    :param junk_before: bytes right before it, and ``junk_after`` right behind.
    :param delay: seconds that the reply comes later than it would.
    :param is_deaf: whether the device hears nothing during that delay.
    :param begins: seconds from the request's end to the reply; not given: the silence and the device's time.
    :param copies: how often the reply comes.
    :param copy_after: seconds from one copy's end to the next, beyond T3.5.
    :param faults: the kinds of those that have befallen it.
    """

    request: bytes
    quiet: float
    is_understood: bool = True
    is_answered: bool = True
    exception: int = 0
    unit: int = 0
    is_echoed: bool = False
    intended: bytes = b""
    reply: bytes = b""
    junk_before: bytes = b""
    junk_after: bytes = b""
    delay: float = 0.0
    is_deaf: bool = False
    begins: float | None = None
    copies: int = 1
    copy_after: float = 0.0
    faults: list[str] = Factory(list)

    def ready(self, speed: int, device_time: float, wait: float = 0.0) -> float:
        """Seconds from the request's end until the device answers, or would if it did.

        :param speed: of the wire in baud; 0: it takes no time.
        :param wait: seconds until it takes the request up, for it has another one to answer first.
        """
        usual = wait + (t3_5(speed) if speed else 0.0) + device_time
        return self.delay + (usual if self.begins is None else max(self.begins, wait))

    def sent(self, speed: int, device_time: float, wait: float = 0.0) -> list[tuple[float, bytes]]:
        """What the device puts on the wire, each with the seconds from the request's end to its first byte; see
        :meth:`ready`.
        """
        if not (self.is_answered and self.reply):
            return []
        first = self.ready(speed, device_time, wait)
        data = self.junk_before + self.reply + self.junk_after
        each = self.copy_after + (t3_5(speed) + wire_time(speed, len(data)) if speed else 0.0)
        return [(first + number * each, data) for number in range(self.copies)]


class Units:
    """The devices of a bus.

    :param devices: by unit identifier.
    :param device_time: seconds from the silence after a request to the answer's first byte.
    :param own_times: the same for single units.
    :param faults: what goes wrong; none: nothing.
    """

    def __init__(
        self, devices: Mapping[int, SimulatedDevice], *, device_time: float = 0.001,
        own_times: Mapping[int, float] | None = None, faults: Faults | None = None,
    ) -> None:
        self._devices = devices
        self._device_time = device_time
        self._own_times = own_times or {}
        self._faults = faults
        self._deaf_until: dict[int, float] = {}

    def device_time(self, unit: int) -> float:
        """How long this unit takes."""
        return self._own_times.get(unit, self._device_time)

    def exchange(self, frame: bytes, quiet: float, now: float) -> Exchange | None:
        """Carries a request out, or nothing for a unit that is not there; the reply to a broadcast is empty.

        :param frame: the request's, with a good CRC.
        :param quiet: seconds of silence on the bus before it.
        :param now: seconds on the clock by which values move.
        """
        unit = frame[0]
        if unit != BROADCAST and unit not in self._devices:
            return None
        exchange = Exchange(frame, quiet, unit=unit)
        if self._is_deaf(unit, now):
            exchange.is_understood = exchange.is_answered = False
            exchange.faults.append(DEAF)
            return exchange
        befallen = self._faults.draw(exchange) if self._faults is not None else []
        for fault, random in befallen:
            fault.on_request(exchange, random)
        if exchange.is_deaf:
            self._deaf_until[unit] = now + exchange.delay
        if unit == BROADCAST:
            self._obey(exchange, now)
            return exchange
        self._answer(exchange, self._devices[unit], now)
        for fault, random in befallen:
            fault.on_reply(exchange, random)
        return exchange

    def _obey(self, exchange: Exchange, now: float) -> None:
        if exchange.is_understood:
            for unit, device in self._devices.items():
                if not self._is_deaf(unit, now):
                    device.answer(exchange.request[1:-2], now, is_broadcast=True)

    def _is_deaf(self, unit: int, now: float) -> bool:
        return now < self._deaf_until.get(unit, now)

    def _answer(self, exchange: Exchange, device: SimulatedDevice, now: float) -> None:
        pdu = exchange.request[1:-2]
        reply = device.answer(pdu, now) if exchange.is_understood else b""
        if exchange.exception:
            reply = ExceptionReply(pdu[0] & 0x7F, exchange.exception).encode()
        if reply:
            exchange.intended = exchange.reply = encode_adu(exchange.unit, reply)
