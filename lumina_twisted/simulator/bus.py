"""A simulated bus, floor 2: devices behind a pseudo-terminal, with the timing of a real wire.

The bus is the counterpart of the gateway's codec: it takes the length of a request from the function code. A reply
comes after T3.5 and the device time, in pieces, as a UART delivers them. The program that has the terminal open sets
the speed; a device of another speed does not understand the request. Parity makes no difference: Linux removes it from
every pseudo-terminal. This module encodes and decodes the frames; devices receive and return (unit, PDU).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from zope.interface import implementer

from lumina_twisted.framing.rtu import MAX_RTU_ADU, Decoder, encode_adu, t3_5, wire_time
from lumina_twisted.modbus.functions import request_length
from lumina_twisted.ports.terminal import Terminal
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.simulator.faults import Exchange, Faults
from lumina_twisted.simulator.units import DEAF, Turns, Units
from lumina_twisted.simulator.wire_log import Listener, OnWire, reply_text, request_text

FIFO: Final = 16
"""Bytes that a usual UART delivers at a time."""

PAUSE: Final = 0.005
"""The longest pause within a frame, in seconds: a busy machine may deliver one write in two pieces."""

MASTER: Final = "master"
"""The name of another master's requests among the faults."""

Script = Callable[[bytes], list[tuple[float, bytes]]]
"""Returns the pieces of the reply to a request frame, each with the seconds from the request's end to its own end."""


@frozen
class Heard:
    """A request frame that the bus received."""

    time: float
    data: bytes
    baudrate: int


@frozen
class OtherMaster:
    """Another master on the bus, which sends ``pdu`` to ``unit`` every ``interval`` seconds."""

    unit: int
    pdu: bytes
    interval: float


@implementer(IReadDescriptor)
class SimulatedBus:
    """One bus.

    :param devices: by unit identifier.
    :param path: the path of a link to the terminal, which exists while the bus is plugged in.
    :param now: a monotonic clock; the values of devices change with it.
    :param baudrate: the speed of its devices.
    :param device_time: seconds from the silence after a request to the reply's first byte.
    :param own_times: the same for units that differ.
    :param echo: whether the adapter echoes the bytes that the gateway sends.
    :param faults: the faults of the bus; None: no faults.
    :param masters: other masters, each of which sends when the wire is free.
    :param script: replies instead of the devices, for tests.
    :param name: the name of the bus in wire events.
    :param on_wire: is called with every event on the wire.
    :param stamp: returns the time of day for these events, in seconds since 1970.
    :param is_plugged: whether the adapter is plugged in from the start; if not, :meth:`replug` plugs it in.
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
        """The last thousand requests, including those to units that do not exist."""
        self.fault_counts: Counter[str] = Counter()
        """How often each kind of fault was applied."""
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
        self._unread = bytearray()  # the bytes in the decoder, and junk before them
        self._quiet = 0.0  # the silence before these bytes
        self._calls: set[IDelayedCall] = set()
        self._wire_free = 0.0  # when the gateway's last byte leaves the wire
        self._last_byte = float("-inf")  # the same for the last byte of any sender
        if is_plugged:
            self.replug()

    def replug(self) -> None:
        """Plugs the adapter in, so that its path appears. Does nothing if it is plugged in already.

        :raises FileExistsError: if something else has that path.
        """
        if not self._terminal.is_plugged:
            self._terminal.plug()
            self._reactor.addReader(self)
            for master in self._masters:
                self._later(master.interval, self._on_master, master)

    def unplug(self) -> None:
        """Unplugs the adapter. A program that has it open sees a hang-up. Pending frames are lost."""
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
        """The current speed of the terminal in baud; 0 if it is no standard speed."""
        return self._terminal.speed

    # -- what the reactor calls ----------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor of the bus's end of the terminal."""
        return self._terminal.fileno()

    def logPrefix(self) -> str:
        """See :class:`twisted.internet.interfaces.ILoggingContext`."""
        return "simulated bus"

    def connectionLost(self, reason: object) -> None:
        """See :class:`twisted.internet.interfaces.IReadDescriptor`."""

    def doRead(self) -> None:
        """Reads the bytes that the gateway sends."""
        data = self._terminal.read()
        speed, now = self.speed, self._now()
        begun = max(now, self._wire_free)
        quiet = begun - self._last_byte
        self._wire_free = self._last_byte = begun + (wire_time(speed, len(data)) if speed else 0.0)
        self._later(self._wire_free - now, self._on_bytes, data, speed, quiet, self._wire_free)

    # -- the wire, to the devices --------------------------------------------------------------------------------

    def _on_bytes(self, data: bytes, speed: int, quiet: float, ended: float) -> None:
        """Handles bytes from the gateway, when the last of them has left the wire."""
        if self.echo:
            self._terminal.write(data)
        if not len(self._decoder):
            self._quiet = quiet
        self._decoder.receive(data)
        self._unread += data
        while found := self._decoder.next_frame(()):
            self._on_request(found.unit, found.pdu, speed)
        if self.echo:
            self._event(False, data, "echo")
        del self._unread[: -4 * MAX_RTU_ADU]  # the decoder does not keep more bytes either
        if len(self._decoder):
            self._later(max(t3_5(speed or self._baudrate), PAUSE), self._on_silence, speed, ended)

    def _on_silence(self, speed: int, since: float) -> None:
        if self._wire_free != since:
            return  # more bytes came
        while found := self._decoder.end_of_burst(()):
            self._on_request(found.unit, found.pdu, speed)
        self._decoder.clear()  # an incomplete frame must not hide the next one
        self._on_junk(len(self._unread))

    def _on_request(self, unit: int, pdu: bytes, speed: int) -> None:
        frame = encode_adu(unit, pdu)
        self._on_junk(max(0, self._unread.find(frame)))
        del self._unread[: len(frame)]
        quiet, self._quiet = self._quiet, 0.0
        self.heard.append(Heard(self._now(), frame, speed))
        del self.heard[:-1000]
        if self.script is not None:
            self._event(True, frame, request_text(unit, pdu))
            for delay, piece in self.script(frame):
                self._later(delay, self._send_scripted, piece)
        elif speed not in (0, self._baudrate):
            self._event(True, frame, f"not understood: sent at {speed} baud, not at {self._baudrate}")
        elif exchange := self._units.exchange(unit, pdu, quiet, self._now()):
            self._event(True, frame, request_text(unit, pdu))
            self._reply(exchange, frame, speed)
        else:
            self._event(True, frame, f"{request_text(unit, pdu)}; there is no such unit")

    def _on_junk(self, length: int) -> None:
        if length:
            self._event(True, bytes(self._unread[:length]), "not understood: no frame with a good CRC")
            del self._unread[:length]

    def _on_master(self, master: OtherMaster) -> None:
        """Sends the request of another master. The gateway receives the request and the reply if it uses the speed of
        the bus and has read all earlier bytes."""
        self._later(master.interval, self._on_master, master)
        speed, now = self.speed, self._now()
        if speed not in (0, self._baudrate) or self._terminal.unread:
            return
        self.fault_counts[MASTER] += 1
        text, frame = request_text(master.unit, master.pdu), encode_adu(master.unit, master.pdu)
        start = self._put(frame, max(now, self._wire_free), speed, f"another master: {text}", (MASTER,))
        self._later(start + self._time(speed, frame) - now, self._answer_master, master, frame, speed)

    def _answer_master(self, master: OtherMaster, frame: bytes, speed: int) -> None:
        quiet = t3_5(speed or self._baudrate)
        if exchange := self._units.exchange(master.unit, master.pdu, quiet, self._now()):
            self._reply(exchange, frame, speed)

    # -- the wire, from the devices ------------------------------------------------------------------------------

    def _reply(self, exchange: Exchange, request: bytes, speed: int) -> None:
        faults, unit, now = tuple(exchange.faults), exchange.unit, self._now()
        self.fault_counts.update(faults)
        if exchange.is_echoed:
            self._terminal.write(request)
            self._event(False, request, "echo", ("echo",))
        device_time, wait = self._units.device_time(unit), self._turns.wait(unit, now)
        sent = exchange.sent(speed, device_time, wait)
        if not sent and DEAF not in faults:
            self._turns.occupy(unit, now + exchange.ready(speed, device_time, wait))
        if not sent and faults:
            self._event(False, b"", "nothing is sent", faults)
        for number, (start, data) in enumerate(sent):
            text = reply_text(exchange.reply_unit, exchange.reply_pdu)
            begin = self._put(data, now + start, speed, text, faults)
            if not number:
                self._turns.occupy(unit, begin + self._time(speed, data))

    def _put(self, data: bytes, start: float, speed: int, text: str, faults: tuple[str, ...]) -> float:
        """Sends bytes at ``start``, or as soon as nobody else sends; returns when they begin."""
        now = self._now()
        begin = self._turns.reserve(max(start, now), self._time(speed, data), now)  # start may be past by now
        # report the event before the receiver of the last piece can react to it
        self._later(begin - now + self._time(speed, data), self._event, False, data, text, faults)
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
        self._event(False, piece, "by the script")

    def _event(self, to_devices: bool, data: bytes, text: str, faults: tuple[str, ...] = ()) -> None:
        if self._on_wire is not None:
            self._on_wire(OnWire(self._stamp(), self._name, to_devices, data, text, faults))

    def _later(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        def run() -> None:
            self._calls.discard(delayed)
            call(*args)

        delayed = self._reactor.callLater(seconds, run)
        self._calls.add(delayed)
