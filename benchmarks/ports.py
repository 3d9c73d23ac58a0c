"""Many ports in one process: how much of each wire is used, and of the processor."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from benchmarks import ideal
from benchmarks.attempt import attempted, found
from benchmarks.build import CannotMeasure
from benchmarks.length import Figures, Length, say
from benchmarks.process import free_port
from benchmarks.rig import Busim, Lumina, mbload

BAUDRATE = 115200
PORTS = (1, 8, 16)
CONNECTIONS = 4
"""For each port."""


def measure_ports(length: Length) -> Figures:
    """By number of ports: the ``least`` and ``mean`` utilisation of a wire, the ``cores`` that the daemon took, and
    what the load counted."""
    got = {}
    for ports in PORTS:
        one = got[str(ports)] = attempted(f"{ports} ports", partial(measured, ports, length))
        if found(one):
            shares = f"least {one['least']:.3f}, mean {one['mean']:.3f}"
            say(f"  {ports} ports: {shares} of each wire, {one['cores']:.2f} cores")
    return got


def measured(ports: int, length: Length) -> Figures:
    """That many, each with a listener of its own."""
    options = f":baudrate={BAUDRATE}"
    with ExitStack() as ends:
        bus = Busim("--baud", str(BAUDRATE), *ideal.TURNAROUND, ports=ports)
        ends.callback(bus.stop)
        tcp_ports = [free_port() for _ in bus.paths]
        more: list[str] = []
        targets: list[str] = []
        for number, (path, tcp_port) in enumerate(zip(bus.paths, tcp_ports, strict=True)):
            more += ["--port", f"p{number}={path}{options}"] if number else []
            name = f"p{number}" if number else "bus"
            more += ["--listen", f"modbus-tcp,port={name}=tcp:{tcp_port}:interface=127.0.0.1"]
            targets += ["--target", f"127.0.0.1:{tcp_port}@{number}"]
        daemon = Lumina(bus.path, options, more=tuple(more))
        ends.callback(daemon.stop)
        bus.reset()
        before = daemon.cpu_seconds()
        load = mbload(*targets, "--conns", str(CONNECTIONS * ports), "--count", "10", "--seconds", str(length.seconds))
        took = daemon.cpu_seconds() - before
        wires = bus.reports()
    if not load["ok"]:
        raise CannotMeasure(f"no request was answered; mbload counted {load}")
    shares = [one["utilisation"] for one in wires]
    return {
        "least": min(shares), "mean": sum(shares) / ports, "cores": took / length.seconds, "rps": load["rps"],
        "wrong": load["wrong"], "early": sum(one["early"] for one in wires),
    }
