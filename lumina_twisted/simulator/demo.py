"""Two simulated buses to try Lumina on, floor 2, and what to type."""

from __future__ import annotations

import time
from typing import Any, Final

from lumina_twisted.modbus.rtu import encode_adu
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.simulator.document import simulation_settings
from lumina_twisted.simulator.simulation import Simulation

BAUDRATES: Final = {"demo1": 19200, "demo2": 9600}

_THERMOMETER: Final = {
    "identity": {"product_code": "thermometer"},
    "input_registers": {
        "0": {"kind": "wave", "low": 200, "high": 230, "period": 120},
        "1": {"kind": "wave", "low": 420, "high": 540, "period": 300},
    },
}
_RELAY_BOARD: Final = {"identity": {"product_code": "relay board"}, "holding_registers": {"0": 8}}
_ENERGY_METER: Final = {
    "identity": {"product_code": "energy meter"},
    "input_registers": {
        "0": {"kind": "counter", "type": "u32", "rate": 2.5, "start": 1_000_000, "reset_by": 0},
    },
}
_BUSES: Final = {
    "demo1": {"baudrate": BAUDRATES["demo1"], "units": {"1": _THERMOMETER, "2": _RELAY_BOARD}},
    "demo2": {"baudrate": BAUDRATES["demo2"], "units": {"1": _ENERGY_METER, "2": {}}},
}

_COMMANDS: Final = (
    "lumina read demo1 1 input 0", "lumina write demo1 2 coil 3 on", "lumina scan demo1 --units 1-5",
)
_HINTS: Final = (
    ("the temperature, in tenths of a degree", "demo1", 1, "0400000001", 7, ""),
    ("how many relays the board has: 0008", "demo1", 2, "0300000001", 7, "03020008"),
    ("relay 3 on: the reply repeats the request", "demo1", 2, "050003ff00", 8, "050003ff00"),
    ("the state of the eight relays, a bit each", "demo1", 2, "0100000008", 6, ""),
    ("the energy counter, in Wh", "demo2", 1, "0400000002", 9, ""),
)
"""What each asks, its port, unit, request PDU, the length of the reply's frame, and the reply's PDU if it is fixed."""


class DemoService(Simulation):
    """The buses behind the ports ``demo1`` and ``demo2``.

    demo1, 19200 baud: unit 1 a thermometer (input registers: 0 temperature in 0.1 degC, 1 humidity in 0.1 %),
    unit 2 a relay board (coils 0-7; holding register 0: how many there are). demo2, 9600 baud: unit 1 an energy meter
    (input registers 0-1: Wh, high word first; a write to holding register 0 resets them), unit 2 identifies itself
    by function 43/14.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(simulation_settings({"buses": _BUSES}), reactor, time.monotonic)
        self.ports = {
            name: PortSettings(path=bus.path, baudrate=BAUDRATES[name]) for name, bus in self.buses.items()
        }

    def hints(self, host: str = "127.0.0.1", tcp_port: int = 8888, modbus: bool = False) -> str:
        """What to type in another terminal.

        :param modbus: whether the demo's own listener of Modbus TCP is there.
        """
        server = f"[{host}]:{tcp_port}" if ":" in host else f"{host}:{tcp_port}"
        where = "" if server == "127.0.0.1:8888" else f" --server {server}"
        lines = ["two simulated buses are ready. In another terminal, type (lumina is in .venv/bin after `make run`)",
                 *(f"  {one}{where}" for one in _COMMANDS),
                 "or text lines, which anything can send; what comes back is 1:REPLY:TIME, the reply's frame in",
                 "hexadecimal digits (of a read: unit, function, number of bytes, the values, CRC)"]
        typed = f"\\n' | nc -q1 {host} {tcp_port}"
        for meaning, port, unit, pdu, length, reply in _HINTS:
            lines += [f"  # {meaning}", f"  printf '{command(port, unit, pdu, length)}{typed}"]
            if reply:
                lines.append(f"  # 1:{_frame(unit, reply)}:TIME")
        if modbus:
            lines.append("or Modbus TCP at 127.0.0.1:1502: units 1 and 2 are demo1's, 101 and 102 are demo2's")
        return "\n".join([*lines, "  # words for people", f"  printf 'help\\nports\\nstats{typed}"])


def command(port: str, unit: int, pdu: str, length: int) -> str:
    """A line of the text protocol that asks a demo device something."""
    return f"1:demo:{port}:{BAUDRATES[port]}:{_frame(unit, pdu)}:{length}"


def _frame(unit: int, pdu: str) -> str:
    return encode_adu(unit, bytes.fromhex(pdu)).hex().upper()
