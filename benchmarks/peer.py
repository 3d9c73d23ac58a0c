"""A load through a gateway written on pymodbus, a peer to measure beside."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from benchmarks.build import HERE, CannotMeasure
from benchmarks.process import free_port, wait_for
from benchmarks.rig import Busim, counted


def load_peer(busim: tuple[str, ...], baudrate: int, *load: str) -> dict[str, Any]:
    """A load over Modbus TCP, which is what that gateway speaks; the figures are those of `rig.load_lines`."""
    bus, tcp_port = Busim(*busim), free_port()
    gateway = subprocess.Popen(
        [sys.executable, str(HERE / "pymodbus_gateway.py"), bus.path, str(baudrate), "1", str(tcp_port)],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(tcp_port, gateway)
        return counted(bus, gateway.pid, "--target", f"127.0.0.1:{tcp_port}@0", *load)
    except CannotMeasure as why:
        raise CannotMeasure(f"the gateway on pymodbus: {why}; is pymodbus installed?") from why
    finally:
        gateway.kill()
        gateway.wait()
        bus.stop()
