"""Two simulated buses to try Lumina on, floor 2, and what to type."""

from __future__ import annotations

import shutil
import tempfile
import time
from typing import Any, Final

from twisted.application.service import Service

from lumina_twisted.modbus.rtu import encode_adu
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.simulator.bus import SimulatedBus
from lumina_twisted.simulator.device import Counter, SimulatedDevice, drifting

BAUDRATES: Final = {"demo1": 19200, "demo2": 9600}

_HINTS: Final = (
    ("the temperature, in tenths of a degree", "demo1", 1, "0400000001", 7, ""),
    ("how many relays the board has: 0008", "demo1", 2, "0300000001", 7, "03020008"),
    ("relay 3 on: the reply repeats the request", "demo1", 2, "050003ff00", 8, "050003ff00"),
    ("the state of the eight relays, a bit each", "demo1", 2, "0100000008", 6, ""),
    ("the energy counter, in Wh", "demo2", 1, "0400000002", 9, ""),
)
"""What each asks, its port, unit, request PDU, the length of the reply's frame, and the reply's PDU if it is fixed."""


class DemoService(Service):
    """The buses behind the ports ``demo1`` and ``demo2``.

    demo1, 19200 baud: unit 1 a thermometer (input registers: 0 temperature in 0.1 degC, 1 humidity in 0.1 %),
    unit 2 a relay board (coils 0-7; holding register 0: how many there are). demo2, 9600 baud: unit 1 an energy meter
    (input registers 0-1: Wh, high word first; a write to holding register 0 resets them), unit 2 identifies itself
    by function 43/14.
    """

    def __init__(self, reactor: Any) -> None:
        self._folder = tempfile.mkdtemp(prefix="lumina-demo-")
        devices = {"demo1": {1: _thermometer(), 2: _relay_board()}, "demo2": {1: _energy_meter(), 2: SimulatedDevice()}}
        self._buses = [
            SimulatedBus(reactor, devices[name], f"{self._folder}/{name}", time.monotonic, baudrate=baudrate)
            for name, baudrate in BAUDRATES.items()
        ]
        self.ports = {
            name: PortSettings(path=f"{self._folder}/{name}", baudrate=baudrate) for name, baudrate in BAUDRATES.items()
        }

    def hints(self, host: str = "127.0.0.1", tcp_port: int = 8888) -> str:
        """What to type in another terminal."""
        lines = ["two simulated buses are ready; what comes back is 1:REPLY:TIME, the reply's frame in hexadecimal",
                 "digits (of a read: unit, function, number of bytes, the values, CRC). In another terminal, type"]
        typed = f"\\n' | nc -q1 {host} {tcp_port}"
        for meaning, port, unit, pdu, length, reply in _HINTS:
            lines += [f"  # {meaning}", f"  printf '{command(port, unit, pdu, length)}{typed}"]
            if reply:
                lines.append(f"  # 1:{_frame(unit, reply)}:TIME")
        return "\n".join([*lines, "  # words for people", f"  printf 'help\\nports\\nstats{typed}"])

    def stopService(self) -> None:
        """Nothing of it is left."""
        super().stopService()
        for bus in self._buses:
            bus.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def command(port: str, unit: int, pdu: str, length: int) -> str:
    """A line of the text protocol that asks a demo device something."""
    return f"1:demo:{port}:{BAUDRATES[port]}:{_frame(unit, pdu)}:{length}"


def _frame(unit: int, pdu: str) -> str:
    return encode_adu(unit, bytes.fromhex(pdu)).hex().upper()


def _thermometer() -> SimulatedDevice:
    device = SimulatedDevice(("Lumina", "thermometer", "1.0"))
    device.moving = {0: drifting(215, 15, 120), 1: drifting(480, 60, 300)}
    return device


def _relay_board() -> SimulatedDevice:
    device = SimulatedDevice(("Lumina", "relay board", "1.0"))
    device.holding_registers[0] = 8
    return device


def _energy_meter() -> SimulatedDevice:
    device, counter = SimulatedDevice(("Lumina", "energy meter", "1.0")), Counter(2.5, 1_000_000)
    device.moving = {0: counter.high, 1: counter.low}
    device.on_write = {0: counter.reset}
    return device
