"""A simulated bus, floor 2: devices behind a pseudo-terminal, with the time that a wire takes.

The codec of the gateway turned round: requests are told apart by the length that their function code says, and
answers come after T3.5 and the device's own time, in pieces, as a UART hands them over. The speed is the one that
whoever has the terminal open has set: a device that has another speed does not understand what comes. Parity makes no
difference: Linux takes it off every pseudo-terminal.
"""

from __future__ import annotations

import contextlib
import os
import termios
import tty
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from zope.interface import implementer

from lumina_twisted.modbus.codes import BROADCAST
from lumina_twisted.modbus.lengths import request_length
from lumina_twisted.modbus.rtu import Decoder, encode_adu
from lumina_twisted.modbus.timing import t3_5, wire_time
from lumina_twisted.simulator.device import SimulatedDevice

FIFO: Final = 16
"""Bytes that a usual UART hands over at a time."""

PAUSE: Final = 0.005
"""Seconds that may lie between two pieces of a frame: a busy machine hands one write over in two."""

Script = Callable[[bytes], list[tuple[float, bytes]]]
"""For a request frame: what comes back, each piece with the seconds from the request's end to the piece's."""

_NAMES: Final = [name for name in dir(termios) if name[0] == "B" and name[1:].isdigit()]
_SPEEDS: Final = {getattr(termios, name): int(name[1:]) for name in _NAMES}
"""What each of the terminal's speed constants means, in baud."""


@frozen
class Heard:
    """A request frame as the bus saw it."""

    time: float
    data: bytes
    baudrate: int


@implementer(IReadDescriptor)
class SimulatedBus:
    """One bus.

    :param devices: by unit identifier.
    :param path: a link of this name leads to the terminal while the bus is plugged in.
    :param baudrate: the speed of its devices.
    :param device_time: seconds from the silence after a request to the answer's first byte.
    :param echo: whether the adapter hands back what is sent.
    :param script: answers instead of the devices, for tests.
    """

    def __init__(
        self, reactor: Any, devices: Mapping[int, SimulatedDevice], path: str, now: Callable[[], float], *,
        baudrate: int = 9600, device_time: float = 0.001, echo: bool = False, script: Script | None = None,
    ) -> None:
        self.path = path
        self.heard: list[Heard] = []
        self.echo = echo
        self.script = script
        self._devices = devices
        self._reactor = reactor
        self._now = now
        self._baudrate = baudrate
        self._device_time = device_time
        self._decoder = Decoder(request_length)
        self._calls: set[IDelayedCall] = set()
        self._master = self._slave = -1
        self._wire_free = 0.0  # when the last byte of the gateway's will have left the wire
        self.replug()

    def replug(self) -> None:
        """The adapter appears under its path; nothing happens if it is there already.

        :raises FileExistsError: if something else has that path.
        """
        if self._master >= 0:
            return
        self._master, self._slave = os.openpty()  # both held: that nobody has it open is no hang-up to us
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        try:
            os.symlink(os.ttyname(self._slave), self.path)
        except OSError:
            self._close()
            raise
        self._reactor.addReader(self)

    def unplug(self) -> None:
        """It vanishes: a program that has it open sees a hang-up. What was under way is lost."""
        if self._master < 0:
            return
        self._reactor.removeReader(self)
        for call in self._calls:
            call.cancel()
        self._calls.clear()
        self._decoder.clear()
        with contextlib.suppress(FileNotFoundError):  # somebody has tidied its folder up
            os.unlink(self.path)
        self._close()

    def _close(self) -> None:
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    stop = unplug

    @property
    def speed(self) -> int:
        """The speed that is set on the terminal now, in baud; 0 for one that has no standard name."""
        return _SPEEDS.get(termios.tcgetattr(self._master)[5], 0)

    # -- what the reactor calls ----------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The master side."""
        return self._master

    def logPrefix(self) -> str:
        """See :class:`twisted.internet.interfaces.ILoggingContext`."""
        return "simulated bus"

    def connectionLost(self, reason: object) -> None:
        """See :class:`twisted.internet.interfaces.IReadDescriptor`."""

    def doRead(self) -> None:
        """The gateway sends."""
        data = os.read(self._master, 4096)
        speed, now = self.speed, self._now()
        self._wire_free = max(now, self._wire_free) + (wire_time(speed, len(data)) if speed else 0.0)
        self._later(self._wire_free - now, self._on_bytes, data, speed, self._wire_free)

    # -- the wire ------------------------------------------------------------------------------------------------

    def _on_bytes(self, data: bytes, speed: int, ended: float) -> None:
        """The last of these bytes has left the wire."""
        if self.echo:
            self._write(data)
        self._decoder.receive(data)
        while found := self._decoder.next_frame(()):
            self._on_request(found.frame, speed)
        if len(self._decoder):
            self._later(max(t3_5(speed or self._baudrate), PAUSE), self._on_silence, speed, ended)

    def _on_silence(self, speed: int, since: float) -> None:
        if self._wire_free != since:
            return  # more has come
        while found := self._decoder.end_of_burst(()):
            self._on_request(found.frame, speed)
        self._decoder.clear()  # a frame that was broken off must not hide the next one

    def _on_request(self, frame: bytes, speed: int) -> None:
        self.heard.append(Heard(self._now(), frame, speed))
        del self.heard[:-1000]
        if self.script is not None:
            for delay, piece in self.script(frame):
                self._later(delay, self._write, piece)
        elif speed in (0, self._baudrate):
            self._answer(frame, speed)

    def _answer(self, frame: bytes, speed: int) -> None:
        unit, pdu = frame[0], frame[1:-2]
        if unit == BROADCAST:
            for device in self._devices.values():
                device.answer(pdu, self._now(), is_broadcast=True)
        elif unit in self._devices:
            reply = encode_adu(unit, self._devices[unit].answer(pdu, self._now()))
            start = self._device_time + (t3_5(speed) if speed else 0.0)
            for at in range(0, len(reply), FIFO):
                piece = reply[at : at + FIFO]
                end = start + (wire_time(speed, at + len(piece)) if speed else 0.0)
                self._later(end, self._write, piece)

    def _write(self, piece: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody reads: a wire does not wait either
            os.write(self._master, piece)

    def _later(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        def run() -> None:
            self._calls.discard(delayed)
            call(*args)

        delayed = self._reactor.callLater(seconds, run)
        self._calls.add(delayed)
