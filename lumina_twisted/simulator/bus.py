"""A simulated bus, floor 2: devices behind a pseudo-terminal, with the time that a wire takes.

The codec of the gateway turned round: requests are told apart by the length that their function code says, and
answers come after T3.5 and the device's own time, in pieces, as a UART hands them over. The speed is the one that
whoever has the terminal open has set: a device that has another speed does not understand what comes. Parity makes no
difference: Linux takes it off every pseudo-terminal.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from zope.interface import implementer

from lumina_twisted.framing.rtu import MAX_RTU_ADU, Decoder, encode_adu
from lumina_twisted.framing.timing import t3_5, wire_time
from lumina_twisted.modbus.functions import request_length
from lumina_twisted.ports.terminal import Terminal
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.simulator.exchange import DEAF, Exchange, Units
from lumina_twisted.simulator.faults import Faults
from lumina_twisted.simulator.turns import Turns
from lumina_twisted.simulator.wire_log import Listener, OnWire, told_reply, told_request

FIFO: Final = 16
"""Bytes that a usual UART hands over at a time."""

PAUSE: Final = 0.005
"""Seconds that may lie between two pieces of a frame: a busy machine hands one write over in two."""

MASTER: Final = "master"
"""What another master's requests are called among the faults."""

Script = Callable[[bytes], list[tuple[float, bytes]]]
"""For a request frame: what comes back, each piece with the seconds from the request's end to the piece's."""


@frozen
class Heard:
    """A request frame as the bus saw it."""

    time: float
    data: bytes
    baudrate: int


@frozen
class OtherMaster:
    """Another master on the bus.

    :param request: the frame that it sends.
    :param interval: seconds from one to the next.
    """

    request: bytes
    interval: float


@implementer(IReadDescriptor)
class SimulatedBus:
    """One bus.

    :param devices: by unit identifier.
    :param path: a link of this name leads to the terminal while the bus is plugged in.
    :param now: a clock that never goes back; the values of devices move by it.
    :param baudrate: the speed of its devices.
    :param device_time: seconds from the silence after a request to the answer's first byte.
    :param own_times: the same for single units.
    :param echo: whether the adapter hands back what is sent.
    :param faults: what goes wrong; none: nothing.
    :param masters: other masters, each of which asks when the wire is free.
    :param script: answers instead of the devices, for tests.
    :param name: what ``on_wire`` calls it.
    :param on_wire: is told everything that comes over the wire.
    :param stamp: the time of day for it, in seconds since 1970.
    :param is_plugged: whether the adapter is there at once; if not, :meth:`replug` plugs it in.
    """

    def __init__(
        self, reactor: Any, devices: Mapping[int, SimulatedDevice], path: str, now: Callable[[], float], *,
        baudrate: int = 9600, device_time: float = 0.001, own_times: Mapping[int, float] | None = None,
        echo: bool = False, faults: Faults | None = None, masters: Sequence[OtherMaster] = (),
        script: Script | None = None, name: str = "bus", on_wire: Listener | None = None,
        stamp: Callable[[], float] = time.time, is_plugged: bool = True,
    ) -> None:
        self.path = path
        self.heard: list[Heard] = []
        """The last thousand requests, also to units that are not there."""
        self.fault_counts: Counter[str] = Counter()
        """How often each kind of fault has been applied."""
        self.echo = echo
        self.script = script
        self._turns = Turns()
        self._masters = masters
        self._units = Units(devices, device_time=device_time, own_times=own_times, faults=faults)
        self._terminal = Terminal(path)
        self._reactor = reactor
        self._now = now
        self._baudrate = baudrate
        self._name = name
        self._on_wire = on_wire
        self._stamp = stamp
        self._decoder = Decoder(request_length)
        self._unread = bytearray()  # what the decoder holds, and junk before it
        self._quiet = 0.0  # the silence before that
        self._calls: set[IDelayedCall] = set()
        self._wire_free = 0.0  # when the last byte of the gateway's will have left the wire
        self._last_byte = float("-inf")  # when the last byte of anybody's did
        if is_plugged:
            self.replug()

    def replug(self) -> None:
        """The adapter appears under its path; nothing happens if it is there already.

        :raises FileExistsError: if something else has that path.
        """
        if not self._terminal.is_plugged:
            self._terminal.plug()
            self._reactor.addReader(self)
            for master in self._masters:
                self._later(master.interval, self._on_master, master)

    def unplug(self) -> None:
        """It vanishes: a program that has it open sees a hang-up. What was under way is lost."""
        if not self._terminal.is_plugged:
            return
        self._reactor.removeReader(self)
        for call in self._calls:
            call.cancel()
        self._calls.clear()
        self._decoder.clear()
        self._unread.clear()
        self._terminal.unplug()

    stop = unplug

    @property
    def speed(self) -> int:
        """The speed that is set on the terminal now, in baud; 0 for one that has no standard name."""
        return self._terminal.speed

    # -- what the reactor calls ----------------------------------------------------------------------------------

    def fileno(self) -> int:
        """Our end of the terminal."""
        return self._terminal.fileno()

    def logPrefix(self) -> str:
        """See :class:`twisted.internet.interfaces.ILoggingContext`."""
        return "simulated bus"

    def connectionLost(self, reason: object) -> None:
        """See :class:`twisted.internet.interfaces.IReadDescriptor`."""

    def doRead(self) -> None:
        """The gateway sends."""
        data = self._terminal.read()
        speed, now = self.speed, self._now()
        begun = max(now, self._wire_free)
        quiet = begun - self._last_byte
        self._wire_free = self._last_byte = begun + (wire_time(speed, len(data)) if speed else 0.0)
        self._later(self._wire_free - now, self._on_bytes, data, speed, quiet, self._wire_free)

    # -- the wire, to the devices --------------------------------------------------------------------------------

    def _on_bytes(self, data: bytes, speed: int, quiet: float, ended: float) -> None:
        """The last of these bytes has left the wire."""
        if self.echo:
            self._terminal.write(data)
        if not len(self._decoder):
            self._quiet = quiet
        self._decoder.receive(data)
        self._unread += data
        while found := self._decoder.next_frame(()):
            self._on_request(encode_adu(found.unit, found.pdu), speed)
        if self.echo:
            self._tell(False, data, lambda _: "echo")
        del self._unread[: -4 * MAX_RTU_ADU]  # the decoder does not keep more either
        if len(self._decoder):
            self._later(max(t3_5(speed or self._baudrate), PAUSE), self._on_silence, speed, ended)

    def _on_silence(self, speed: int, since: float) -> None:
        if self._wire_free != since:
            return  # more has come
        while found := self._decoder.end_of_burst(()):
            self._on_request(encode_adu(found.unit, found.pdu), speed)
        self._decoder.clear()  # a frame that was broken off must not hide the next one
        self._on_junk(len(self._unread))

    def _on_request(self, frame: bytes, speed: int) -> None:
        self._on_junk(max(0, self._unread.find(frame)))
        del self._unread[: len(frame)]
        quiet, self._quiet = self._quiet, 0.0
        self.heard.append(Heard(self._now(), frame, speed))
        del self.heard[:-1000]
        if self.script is not None:
            self._tell(True, frame, told_request)
            for delay, piece in self.script(frame):
                self._later(delay, self._send_scripted, piece)
        elif speed not in (0, self._baudrate):
            self._tell(True, frame, lambda _: f"not understood: sent at {speed} baud, not at {self._baudrate}")
        else:
            self._answer(frame, speed, quiet)

    def _on_junk(self, length: int) -> None:
        if length:
            self._tell(True, bytes(self._unread[:length]), lambda _: "not understood: no frame with a good CRC")
            del self._unread[:length]

    def _answer(self, frame: bytes, speed: int, quiet: float) -> None:
        exchange = self._units.exchange(frame, quiet, self._now())
        if exchange is None:
            self._tell(True, frame, lambda data: f"{told_request(data)}; there is no such unit")
            return
        self._tell(True, frame, told_request)
        self._reply(exchange, speed)

    def _on_master(self, master: OtherMaster) -> None:
        """It asks, and is answered; the gateway hears both. Nobody hears it who has another speed or does not read."""
        self._later(master.interval, self._on_master, master)
        speed, now, frame = self.speed, self._now(), master.request
        if speed not in (0, self._baudrate) or self._terminal.unread:
            return
        self.fault_counts[MASTER] += 1
        words = f"another master: {told_request(frame)}"
        start = self._put(frame, max(now, self._wire_free), speed, lambda _: words, (MASTER,))
        self._later(start + self._time(speed, frame) - now, self._answer_other, frame, speed)

    def _answer_other(self, frame: bytes, speed: int) -> None:
        if exchange := self._units.exchange(frame, t3_5(speed or self._baudrate), self._now()):
            self._reply(exchange, speed)

    # -- the wire, from the devices ------------------------------------------------------------------------------

    def _reply(self, exchange: Exchange, speed: int) -> None:
        faults, unit, now = tuple(exchange.faults), exchange.request[0], self._now()
        self.fault_counts.update(faults)
        if exchange.is_echoed:
            self._terminal.write(exchange.request)
            self._tell(False, exchange.request, lambda _: "echo", ("echo",))
        device_time, wait = self._units.device_time(unit), self._turns.wait(unit, now)
        sent = exchange.sent(speed, device_time, wait)
        if not sent and DEAF not in faults:
            self._turns.occupy(unit, now + exchange.ready(speed, device_time, wait))
        if not sent and faults:
            self._tell(False, b"", lambda _: "nothing is sent", faults)
        for number, (start, data) in enumerate(sent):
            begin = self._put(data, now + start, speed, lambda _: told_reply(exchange.intended), faults)
            if not number:
                self._turns.occupy(unit, begin + self._time(speed, data))

    def _put(
        self, data: bytes, start: float, speed: int, told: Callable[[bytes], str], faults: tuple[str, ...]
    ) -> float:
        """Bytes that begin then, or as soon as nobody else speaks: when they do."""
        now = self._now()
        begin = self._turns.reserve(max(start, now), self._time(speed, data), now)  # a moment may have passed since
        # told before whoever hears the last piece can act on it
        self._later(begin - now + self._time(speed, data), self._tell, False, data, told, faults)
        for at in range(0, len(data), FIFO):
            piece = data[at : at + FIFO]
            self._later(begin - now + self._time(speed, data[: at + len(piece)]), self._send, piece)
        return begin

    @staticmethod
    def _time(speed: int, data: bytes) -> float:
        return wire_time(speed, len(data)) if speed else 0.0

    def _send(self, piece: bytes) -> None:
        self._last_byte = max(self._last_byte, self._now())
        self._terminal.write(piece)

    def _send_scripted(self, piece: bytes) -> None:
        self._send(piece)
        self._tell(False, piece, lambda _: "by the script")

    def _tell(
        self, to_devices: bool, data: bytes, told: Callable[[bytes], str], faults: tuple[str, ...] = ()
    ) -> None:
        if self._on_wire is not None:
            self._on_wire(OnWire(self._stamp(), self._name, to_devices, data, told(data), faults))

    def _later(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        def run() -> None:
            self._calls.discard(delayed)
            call(*args)

        delayed = self._reactor.callLater(seconds, run)
        self._calls.add(delayed)
