"""What the benchmarks and the interoperability tests run: a simulated bus in C, a load in C, the real daemon.

`busim` plays an RS-485 bus with real wire time and counts what a gateway does wrong; `mbload` asks through the
gateway and checks each value. Both are built with gcc at first use.
"""

from __future__ import annotations

import json
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HERE = pathlib.Path(__file__).parent
BIN = HERE / "bin"
ROOT = HERE.parent


def build() -> None:
    """Compiles busim and mbload where that has not been done."""
    BIN.mkdir(exist_ok=True)
    for name, libraries in (("busim", ["-pthread", "-lutil"]), ("mbload", [])):
        source, target = HERE / f"{name}.c", BIN / name
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-o", str(target), str(source), *libraries], check=True)


def free_port() -> int:
    """A TCP port that nobody uses at present."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Busim:
    """A running busim with one port; ``path`` is its device."""

    def __init__(self, *options: str) -> None:
        build()
        self._folder = tempfile.TemporaryDirectory()
        self.path = f"{self._folder.name}/tty0"
        self._process = subprocess.Popen(
            [str(BIN / "busim"), "--prefix", f"{self._folder.name}/tty", *options], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == "ready"

    def reset(self) -> None:
        """Counts from zero."""
        self._process.send_signal(signal.SIGUSR1)

    def report(self) -> dict[str, Any]:
        """What it counted since."""
        self._process.send_signal(signal.SIGUSR2)
        assert self._process.stdout is not None
        counted: dict[str, Any] = json.loads(self._process.stdout.readline())
        return counted

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()


class Lumina:
    """A running daemon with one port named ``bus`` and a line listener."""

    def __init__(self, path: str, port_options: str = "", *, before: tuple[str, ...] = ()) -> None:
        self.tcp_port = free_port()
        twistd = pathlib.Path(sys.executable).parent / "twistd"
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in stop
        self._process = subprocess.Popen(
            [*before, str(twistd), "-n", "--pidfile=", "lumina", "--port", f"bus={path}{port_options}",
             "--listen", f"line=tcp:{self.tcp_port}:interface=127.0.0.1"],
            stdout=self._log, stderr=subprocess.STDOUT, cwd=tempfile.gettempdir(),
        )
        wait_for(self.tcp_port)

    def cpu_seconds(self) -> float:
        """Processor time it has used so far."""
        fields = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def memory(self) -> int:
        """Bytes it has in memory."""
        pages = pathlib.Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def stop(self) -> tuple[int, str]:
        """Ends it with SIGTERM: its exit status, and what it printed."""
        self._process.terminate()
        status = self._process.wait(30)
        self._log.seek(0)
        printed = self._log.read()
        self._log.close()
        return status, printed


def wait_for(tcp_port: int, seconds: float = 20.0) -> None:
    """Until something listens there."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", tcp_port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def mbload(*options: str) -> dict[str, Any]:
    """Runs a load and returns what it counted."""
    build()
    done = subprocess.run([str(BIN / "mbload"), *options], stdout=subprocess.PIPE, text=True, check=False)
    counted: dict[str, Any] = json.loads(done.stdout)
    return counted


@contextmanager
def bus_and_daemon(busim: tuple[str, ...], port_options: str) -> Iterator[tuple[Busim, Lumina]]:
    """A simulated bus and a daemon on it."""
    bus = Busim(*busim)
    try:
        daemon = Lumina(bus.path, port_options)
        try:
            yield bus, daemon
        finally:
            daemon.stop()
    finally:
        bus.stop()


def load_lines(busim: tuple[str, ...], port_options: str, baudrate: int, *load: str) -> dict[str, Any]:
    """A load over the line protocol: mbload's figures, and busim's under ``bus``."""
    with bus_and_daemon(busim, port_options) as (bus, daemon):
        bus.reset()
        before = daemon.cpu_seconds()
        counted = mbload("--line", f"127.0.0.1:{daemon.tcp_port}", "--serial", "bus@0", "--baud", str(baudrate), *load)
        counted["bus"] = bus.report()
        counted["cpu_us"] = (daemon.cpu_seconds() - before) / max(counted["ok"], 1) * 1e6
    return counted
