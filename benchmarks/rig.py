"""What the benchmarks and the interoperability tests run: a simulated bus in C, a load in C, the real daemon.

`busim` plays an RS-485 bus with real wire time and counts what a gateway does wrong; `mbload` asks through the
gateway and checks each value. Both are built with gcc at first use.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.build import BIN, HERE, CannotMeasure, build
from benchmarks.process import cpu_seconds, free_port, memory, wait_for

__all__ = [
    "BIN", "HERE", "ROOT", "Busim", "CannotMeasure", "Lumina", "build", "bus_and_daemon", "counted", "free_port",
    "load_lines", "load_modbus_tcp", "mbload", "wait_for",
]

ROOT = HERE.parent


class Busim:
    """A running busim; ``paths`` are the devices of its ports, ``path`` is the first."""

    def __init__(self, *options: str, ports: int = 1) -> None:
        build()
        self._folder = tempfile.TemporaryDirectory()
        self.paths = [f"{self._folder.name}/tty{number}" for number in range(ports)]
        self.path = self.paths[0]
        self._process = subprocess.Popen(
            [str(BIN / "busim"), "--prefix", f"{self._folder.name}/tty", "--ports", str(ports), *options],
            stdout=subprocess.PIPE, text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            self.stop()
            raise CannotMeasure(f"busim {' '.join(options)} did not start; it says why above")

    def reset(self) -> None:
        """Counts from zero."""
        self._process.send_signal(signal.SIGUSR1)

    def report(self) -> dict[str, Any]:
        """What it counted since, on its first port."""
        return self.reports()[0]

    def reports(self) -> list[dict[str, Any]]:
        """What it counted since, on each port."""
        self._process.send_signal(signal.SIGUSR2)
        assert self._process.stdout is not None
        found = [parsed(self._process.stdout.readline(), "busim") for _ in self.paths]
        for counts in found:
            del counts["port"]  # a temporary path, which means nothing later
        return found

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()


class Lumina:
    """A running daemon with one port named ``bus``, a line listener and one of Modbus TCP, in a folder of its own.

    :param listener: options of its Modbus TCP listener, each with a comma before it.
    :param before: words of a command that starts it.
    :param more: more words of its own command line.
    :param tree: the checkout whose code it runs; not given: what is installed.
    :raises CannotMeasure: it does not serve; the sentence ends with what it said last.
    """

    def __init__(
        self, path: str, port_options: str = "", *, listener: str = "", before: tuple[str, ...] = (),
        more: tuple[str, ...] = (), tree: pathlib.Path | None = None,
    ) -> None:
        self.tcp_port = free_port()
        self.modbus_port = free_port()
        self._folder = tempfile.TemporaryDirectory()
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in stop
        twistd = pathlib.Path(sys.executable).parent / "twistd"
        self._process = subprocess.Popen(
            [*before, str(twistd), "-n", "--pidfile=", "lumina", "--port", f"bus={path}{port_options}",
             "--listen", f"line=tcp:{self.tcp_port}:interface=127.0.0.1",
             "--listen", f"modbus-tcp{listener}=tcp:{self.modbus_port}:interface=127.0.0.1", *more],
            stdout=self._log, stderr=subprocess.STDOUT, cwd=self._folder.name,
            env=None if tree is None else {**os.environ, "PYTHONPATH": str(tree.resolve())},
        )
        try:
            wait_for(self.tcp_port, self._process)
            wait_for(self.modbus_port, self._process)
        except CannotMeasure as why:
            said = self.stop()[1].strip().splitlines() or ["it said nothing"]
            raise CannotMeasure(f"the daemon does not serve: {why}: {said[-1]}") from why

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Processor time it has used so far."""
        return cpu_seconds(self.pid)

    def memory(self) -> int:
        """Bytes it has in memory."""
        return memory(self.pid)

    def stop(self) -> tuple[int, str]:
        """Ends it with SIGTERM: its exit status, which is -9 where it did not end in 30 s, and what it printed."""
        self._process.terminate()
        try:
            status = self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._log.seek(0)
        printed = self._log.read()
        self._log.close()
        self._folder.cleanup()
        return status, printed


def parsed(text: str, program: str) -> dict[str, Any]:
    """The one line of JSON that a program prints.

    :raises CannotMeasure: it printed something else, or nothing.
    """
    try:
        counts: dict[str, Any] = json.loads(text)
    except ValueError as why:
        raise CannotMeasure(f"{program} ended without its figures; run it by hand to see why") from why
    return counts


def mbload(*options: str) -> dict[str, Any]:
    """Runs a load and returns what it counted."""
    build()
    done = subprocess.run([str(BIN / "mbload"), *options], stdout=subprocess.PIPE, text=True, check=False)
    return parsed(done.stdout, f"mbload {' '.join(options)}")


@contextmanager
def bus_and_daemon(
    busim: tuple[str, ...], port_options: str, listener: str = "", tree: pathlib.Path | None = None
) -> Iterator[tuple[Busim, Lumina]]:
    """A simulated bus and a daemon on it, with such options of its Modbus TCP listener, and the code of ``tree``."""
    bus = Busim(*busim)
    try:
        daemon = Lumina(bus.path, port_options, listener=listener, tree=tree)
        try:
            yield bus, daemon
        finally:
            daemon.stop()
    finally:
        bus.stop()


def counted(bus: Busim, pid: int, *load: str) -> dict[str, Any]:
    """A load through the gateway ``pid``: mbload's figures, busim's under ``bus``, and the gateway's own ``cpu_us``.

    The latter is processor time for each request that was answered, in microseconds.

    :raises CannotMeasure: no request was answered at all.
    """
    bus.reset()
    before = cpu_seconds(pid)
    counts = mbload(*load)
    counts["bus"] = bus.report()
    if not counts["ok"]:
        raise CannotMeasure(f"no request was answered; mbload counted {counts}")
    counts["cpu_us"] = (cpu_seconds(pid) - before) / counts["ok"] * 1e6
    return counts


def load_lines(busim: tuple[str, ...], port_options: str, baudrate: int, *load: str) -> dict[str, Any]:
    """A load over the line protocol through a daemon of its own, as in `counted`."""
    with bus_and_daemon(busim, port_options) as (bus, daemon):
        return counted(
            bus, daemon.pid, "--line", f"127.0.0.1:{daemon.tcp_port}", "--serial", "bus@0", "--baud", str(baudrate),
            *load,
        )


def load_modbus_tcp(
    busim: tuple[str, ...], port_options: str, *load: str, listener: str = ""
) -> dict[str, Any]:
    """The same over Modbus TCP, with such options of its listener."""
    with bus_and_daemon(busim, port_options, listener) as (bus, daemon):
        return counted(bus, daemon.pid, "--target", f"127.0.0.1:{daemon.modbus_port}@0", *load)
