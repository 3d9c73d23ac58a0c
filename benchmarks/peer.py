"""A gateway written on pymodbus, a peer to measure beside."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from benchmarks.build import HERE, CannotMeasure
from benchmarks.process import free_port, wait_for
from benchmarks.rig import Busim, counted


class Peer:
    """That gateway, running; it speaks Modbus TCP at ``tcp_port``.

    :raises CannotMeasure: it does not serve.
    """

    def __init__(self, path: str, baudrate: int, timeout: float = 1.0) -> None:
        self.tcp_port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "pymodbus_gateway.py"), path, str(baudrate), str(timeout), str(self.tcp_port)],
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(self.tcp_port, self._process)
        except CannotMeasure as why:
            self.stop()
            raise CannotMeasure(f"the gateway on pymodbus: {why}; is pymodbus installed?") from why

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()


def load_peer(busim: tuple[str, ...], baudrate: int, *load: str) -> dict[str, Any]:
    """A load through it; the figures are those of `rig.load_lines`."""
    bus = Busim(*busim)
    try:
        gateway = Peer(bus.path, baudrate)
        try:
            return counted(bus, gateway.pid, "--target", f"127.0.0.1:{gateway.tcp_port}@0", *load)
        except CannotMeasure as why:
            raise CannotMeasure(f"the gateway on pymodbus: {why}") from why
        finally:
            gateway.stop()
    finally:
        bus.stop()
