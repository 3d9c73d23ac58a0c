"""Cases that are proven: each a simulated bus with its faults, a port of the daemon, and clients that check answers.

Several cases run at once: each has a busim and clients of its own, all share one daemon, and a second one for those
that go through a chain of two.
"""

from __future__ import annotations

import pathlib
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from attrs import frozen

from benchmarks.build import BIN, CannotMeasure
from benchmarks.rig import Busim, Lumina, free_port, parsed

SERIAL: Final = "serial"
SOCKET: Final = "rtu+tcp"
CHAIN: Final = "chain"
RTU_CHAIN: Final = "rtu-chain"
TRANSPORTS: Final = (SERIAL, SOCKET, CHAIN, RTU_CHAIN)
"""How a port reaches its bus; a chain is a serial port of another daemon, asked by Modbus TCP or by RTU over TCP."""

Site = tuple[str, str, str, str]
"""Of a daemon: a port's path and its options; the protocol of its listener and the options of that."""

MODBUS_TCP: Final = "modbus-tcp"
BAD: Final = ("wrong", "wrong_warm", "false", "twice")
"""What mbcheck counts that must not be."""
PATIENCE: Final = 60.0
"""Seconds beyond its own time that a load may take to end."""


@frozen(kw_only=True)
class Case:
    """One bus and its load.

    :param bus: busim's options.
    :param transport: one of ``TRANSPORTS``.
    :param port: options of the daemon's port, each with a colon before it.
    :param listener: options of its Modbus TCP listener, each with a comma before it.
    :param second: options of the other daemon's port in a chain.
    :param load: mbcheck's options, but for where it asks.
    """

    bus: tuple[str, ...]
    transport: str = SERIAL
    port: str = ""
    listener: str = ",timeout=5"
    second: str = ""
    load: tuple[str, ...]


def prove(cases: Sequence[Case], *, tree: pathlib.Path | None = None) -> list[dict[str, Any]]:
    """Runs cases at once: what mbcheck counted of each, with busim's counts under ``bus``.

    :param tree: the checkout whose daemon it is; not given: the installed one.
    :raises CannotMeasure: a program does not start, or ends without its figures; or the daemon told of a fault of its
        own.
    """
    with ExitStack() as ends:
        folder = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory()))
        sites = [_Site(case, folder / f"state{number}", ends) for number, case in enumerate(cases)]
        targets = daemon_on([site.first() for site in sites], tree, ends)
        far = [number for number, site in enumerate(sites) if site.case.transport in (CHAIN, RTU_CHAIN)]
        second = daemon_on([sites[number].second(targets[number]) for number in far], tree, ends)
        for number, target in zip(far, second, strict=True):
            targets[number] = target
        loads = [site.load(target) for site, target in zip(sites, targets, strict=True)]
        return [site.figures(load) for site, load in zip(sites, loads, strict=True)]


class _Site:
    """A case, its bus and the memory of its devices."""

    def __init__(self, case: Case, state: pathlib.Path, ends: ExitStack) -> None:
        self.case = case
        self._state = state
        tcp_port = free_port()
        self._bus = Busim(*case.bus, "--state", str(state), "--tcp", str(tcp_port))
        ends.callback(self._bus.stop)
        self.path = f"rtu+tcp:127.0.0.1:{tcp_port}" if case.transport == SOCKET else self._bus.path

    def first(self) -> Site:
        """Its port, on the daemon that has it."""
        protocol = "rtu-tcp" if self.case.transport == RTU_CHAIN else MODBUS_TCP
        return self.path, self.case.port, protocol, self.case.listener

    def second(self, tcp_port: int) -> Site:
        """The one of a daemon that asks the first."""
        scheme = "rtu+tcp" if self.case.transport == RTU_CHAIN else "modbus+tcp"
        return f"{scheme}:127.0.0.1:{tcp_port}", self.case.second, MODBUS_TCP, self.case.listener

    def load(self, tcp_port: int) -> subprocess.Popen[str]:
        """Its clients, at work."""
        return started(tcp_port, self._state, self.case.load)

    def figures(self, load: subprocess.Popen[str]) -> dict[str, Any]:
        """What they counted, once they have ended."""
        seconds = float(self.case.load[self.case.load.index("--seconds") + 1])
        return {**figures_of(load, seconds), "bus": self._bus.report()}


def started(tcp_port: int, state: pathlib.Path, load: Sequence[str]) -> subprocess.Popen[str]:
    """mbcheck at work on a Modbus TCP port, with the memory of its devices."""
    return subprocess.Popen(
        [str(BIN / "mbcheck"), "--target", f"127.0.0.1:{tcp_port}", "--state", str(state), *load],
        stdout=subprocess.PIPE, text=True,
    )


def figures_of(load: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    """What it counted, once it has ended, which is due in so many seconds.

    :raises CannotMeasure: it ended without its figures, or not in time.
    """
    try:
        printed, _ = load.communicate(timeout=seconds + PATIENCE)
    except subprocess.TimeoutExpired:
        load.kill()
        printed, _ = load.communicate()
    return parsed(printed, "mbcheck")


def daemon_on(ports: Sequence[Site], tree: pathlib.Path | None, ends: ExitStack) -> list[int]:
    """A daemon with these: the TCP ports of their listeners, in this order."""
    if not ports:
        return []
    names = ["bus", *(f"bus{number}" for number in range(1, len(ports)))]
    numbers = [free_port() for _ in ports]
    more: list[str] = []
    for name, number, (path, options, protocol, listener) in zip(names, numbers, ports, strict=True):
        if name != names[0]:
            more += ["--port", f"{name}={path}{options}"]
        more += ["--listen", f"{protocol}{listener},port={name}=tcp:{number}:interface=127.0.0.1"]
    daemon = Lumina(*ports[0][:2], listener=",port=bus", more=tuple(more), tree=tree)
    ends.callback(_stop, daemon)
    return numbers


def _stop(daemon: Lumina) -> None:
    status, printed = daemon.stop()
    if status or "Traceback" in printed:
        said = printed[printed.find("Traceback"):] if "Traceback" in printed else printed
        raise CannotMeasure(f"the daemon ended with status {status}: {said.strip()[-2000:]}")


def is_bad(figures: dict[str, Any]) -> bool:
    """Whether it holds a wrong value, a false confirmation or a write that was carried out twice."""
    return any(figures[key] for key in BAD)


def total(many: Sequence[dict[str, Any]], key: str) -> int:
    """One count of several cases."""
    return sum(int(one[key]) for one in many)
