"""A small simulated plant for trying Lumina, floor 5, and hints about what to type. On two buses it has three devices
that shipped profiles describe, and three devices without a description."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from lumina_twisted.config.simulation import settings_from_data
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.simulator.simulation import Simulation

BAUDRATES: Final = {"demo1": 19200, "demo2": 9600}

DEVICES: Final[dict[str, dict[str, Any]]] = {
    "greenhouse": {"port": "demo1", "unit": 3, "profile": "sht20", "poll": 1, "summary": "between the tomatoes"},
    "relays": {"port": "demo1", "unit": 2, "profile": "relay8", "summary": "lamps, fans and valves"},
    "pump": {
        "port": "demo2", "unit": 3, "profile": "atv12", "timeout": 0.1, "summary": "a drive at the end of a bad cable",
    },
}
"""The demo's devices, in the form of the ``devices`` tables of a configuration."""

_THERMOMETER: Final = {
    "identity": {"product_code": "thermometer"},
    "input_registers": {
        "0": {"kind": "wave", "low": 200, "high": 230, "period": 120},
        "1": {"kind": "wave", "low": 420, "high": 540, "period": 300},
    },
}
_RELAYS: Final = {
    "profile": "relay8", "identity": {"vendor_name": "Lumina", "product_code": "relay board"},
    "coils": {"size": 1000}, "discrete_inputs": {"size": 1000}, "input_registers": {"size": 1000},
    "holding_registers": {"0": 8, "forbidden": [{"first": 1000, "last": 0x3FFF}, {"first": 0x4001, "last": 0x7FFF}]},
}
"""Its tables have more entries than the profile needs, so that a user's experiments get replies."""
_GREENHOUSE: Final = {"profile": "sht20", "holding_registers": {"0x0101": 3}}
_ENERGY_METER: Final = {
    "identity": {"product_code": "energy meter"},
    "input_registers": {
        "0": {"kind": "counter", "type": "u32", "rate": 2.5, "start": 1_000_000, "reset_by": 0},
    },
}
_BAD_CABLE: Final = {"profile": "atv12", "faults": [{"kind": "silence", "rate": 0.25}]}
_BUSES: Final = {
    "demo1": {
        "baudrate": BAUDRATES["demo1"], "units": {"1": _THERMOMETER, "2": _RELAYS, "3": _GREENHOUSE},
    },
    "demo2": {"baudrate": BAUDRATES["demo2"], "units": {"1": _ENERGY_METER, "2": {}, "3": _BAD_CABLE}},
}


class DemoService(Simulation):
    """The buses behind the ports ``demo1`` and ``demo2``.

    demo1, 19200 baud: unit 1 a thermometer (input registers: 0 temperature in 0.1 degC, 1 humidity in 0.1 %), unit 2
    ``relays`` (coils 0-7; holding register 0: how many there are), unit 3 ``greenhouse``. demo2, 9600 baud: unit 1 an
    energy meter (input registers 0-1: Wh, high word first; a write to holding register 0 resets them), unit 2
    identifies itself by function 43/14, unit 3 is ``pump``, which often does not reply.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(settings_from_data({"buses": _BUSES}), reactor, time.monotonic)
        self.ports = {
            name: PortSettings(path=bus.path, baudrate=BAUDRATES[name]) for name, bus in self.buses.items()
        }


_FRAMES: Final = (
    ("the temperature of a thermometer, in tenths of a degree", "demo1", 1, "0400000001", 7, ""),
    ("how many relays the board has: 0008", "demo1", 2, "0300000001", 7, "03020008"),
    ("relay 4 on: the reply repeats the request", "demo1", 2, "050003ff00", 8, "050003ff00"),
    ("the energy counter, in Wh", "demo2", 1, "0400000002", 9, ""),
)
"""For each request: what it reads or writes, its port, unit and PDU, the length of the reply's frame, and the PDU of a
fixed reply."""

Address = tuple[str, int]


def hints(lines: Address = ("127.0.0.1", 8888), values: Address | None = None, modbus: bool = False) -> str:
    """Commands for the user to type in another terminal.

    :param lines: the address of the line listener.
    :param values: the address of the listener for values, if there is one.
    :param modbus: whether the demo's own Modbus TCP listener exists.
    """
    return "\n".join(_hints(lines, values, modbus))


def _hints(lines: Address, values: Address | None, modbus: bool) -> Iterator[str]:
    yield "a small plant is simulated. In another terminal, type (lumina is in .venv/bin after `make run`)"
    if values is not None:
        for typed in ("list", "read greenhouse.*", "write relays.relay_3 on"):
            yield f"  {_typed(typed, values)}"
        yield f"  lumina values watch 'greenhouse.*' 'pump.*'{_server(values, 5000)}"
        yield "or by registers, which need no description:"
    for typed in ("read demo1 1 input 0", "write demo1 2 coil 3 on", "scan demo1 --units 1-5"):
        yield f"  lumina {typed}{_server(lines, 8888)}"
    yield "or text lines, which anything can send; what comes back is 1:REPLY:TIME, the reply's frame in"
    yield "hexadecimal digits (of a read: unit, function, number of bytes, the values, CRC)"
    for meaning, port, unit, pdu, length, reply in _FRAMES:
        yield f"  # {meaning}"
        yield f"  {_typed(command(port, unit, pdu, length), lines)}"
        if reply:
            yield f"  # 1:{_frame(unit, reply)}:TIME"
    if modbus:
        yield "or Modbus TCP at 127.0.0.1:1502: units 1 to 3 are demo1's, 101 to 103 are demo2's"
    yield "  # words for people"
    yield f"  {_typed('help', lines, 'ports', 'stats')}"


def command(port: str, unit: int, pdu: str, length: int) -> str:
    """A line of the text protocol that sends a request to a demo device."""
    return f"1:demo:{port}:{BAUDRATES[port]}:{_frame(unit, pdu)}:{length}"


def _typed(first: str, where: Address, *more: str) -> str:
    text = "\\n".join((first, *more, ""))
    return f"printf '{text}' | nc -q1 {where[0]} {where[1]}"


def _server(where: Address, usual: int) -> str:
    host, tcp_port = where
    if where == ("127.0.0.1", usual):
        return ""
    return f" --server [{host}]:{tcp_port}" if ":" in host else f" --server {host}:{tcp_port}"


def _frame(unit: int, pdu: str) -> str:
    return encode_adu(unit, bytes.fromhex(pdu)).hex().upper()
