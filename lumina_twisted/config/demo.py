"""A small simulated plant to try Lumina on, floor 5: three devices that shipped profiles describe, and three that are
not described, on two buses."""

from __future__ import annotations

import time
from typing import Any, Final

from lumina_twisted.config.simulation import settings_from_data
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
"""As the ``devices`` tables of a configuration have them."""

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
"""With room for what people try."""
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
    identifies itself by function 43/14, unit 3 is ``pump``, which often does not answer.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(settings_from_data({"buses": _BUSES}), reactor, time.monotonic)
        self.ports = {
            name: PortSettings(path=bus.path, baudrate=BAUDRATES[name]) for name, bus in self.buses.items()
        }
