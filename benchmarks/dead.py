"""What a live unit keeps of its bus beside clients that ask a dead one all the time, and beside a port that is gone."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial

from benchmarks import ideal
from benchmarks.attempt import attempted, found
from benchmarks.background import background
from benchmarks.length import Figures, Length, say
from benchmarks.peer import Peer
from benchmarks.rig import Busim, Lumina, counted

BAUDRATE, TIMEOUT = 9600, 0.3
LIVE = ("--conns", "4", "--count", "10", "--units", "1-1")
"""Four clients, each of which reads ten registers of its own as soon as it is answered."""
DEAD = ("--count", "10", "--units", "99-99")
"""Nobody has this unit."""
CLIENTS = (0, 1, 3)
BUS = ("--baud", str(BAUDRATE), *ideal.TURNAROUND)
OPTIONS = f":baudrate={BAUDRATE}:timeout={TIMEOUT}"


def measure_dead(length: Length) -> Figures:
    """``unit``: through ``lumina`` and ``peer``, by clients of a dead unit, what the live one's clients got, and under
    ``dead`` what these got. ``port``: the same by clients of a dead port, through Lumina."""
    unit: Figures = {who: {} for who in ("lumina", "peer")}
    port: Figures = {}
    for clients in CLIENTS:
        for who, measure in (("lumina", beside_unit), ("peer", beside_unit_of_the_peer)):
            what = f"{clients} clients of a dead unit, {who}"
            unit[who][str(clients)] = told(what, partial(measure, clients, length))
    for clients in (0, CLIENTS[-1]):
        port[str(clients)] = told(f"{clients} clients of a dead port", partial(beside_port, clients, length))
    return {"unit": unit, "port": port}


def told(what: str, measure: partial[Figures]) -> Figures:
    """A point, with a word on how it went."""
    got = attempted(what, measure)
    if found(got):
        say(f"  {what}: {got['rps']:.1f} reads a second of the live one, p99 {got['p99_ms']:.0f} ms")
    return got


def beside_unit(clients: int, length: Length) -> Figures:
    """Through a daemon of its own."""
    with ExitStack() as ends:
        bus = Busim(*BUS)
        ends.callback(bus.stop)
        daemon = Lumina(bus.path, OPTIONS, listener=",timeout=5")
        ends.callback(daemon.stop)
        target = ("--target", f"127.0.0.1:{daemon.modbus_port}@0")
        return beside(bus, daemon.pid, clients, length, (*target, *LIVE), (*target, *DEAD))


def beside_unit_of_the_peer(clients: int, length: Length) -> Figures:
    """Through the gateway on pymodbus."""
    with ExitStack() as ends:
        bus = Busim(*BUS)
        ends.callback(bus.stop)
        gateway = Peer(bus.path, BAUDRATE, TIMEOUT)
        ends.callback(gateway.stop)
        target = ("--target", f"127.0.0.1:{gateway.tcp_port}@0")
        return beside(bus, gateway.pid, clients, length, (*target, *LIVE), (*target, *DEAD))


def beside_port(clients: int, length: Length) -> Figures:
    """In lines: a second port, ``gone``, whose device is pulled out when the daemon has opened it."""
    with ExitStack() as ends:
        bus, gone = Busim(*BUS), Busim(*BUS)
        ends.callback(bus.stop)
        with ExitStack() as plugged:
            plugged.callback(gone.stop)
            daemon = Lumina(bus.path, OPTIONS, more=("--port", f"gone={gone.path}{OPTIONS}"))
            ends.callback(daemon.stop)
        live, dead = (
            ("--line", f"127.0.0.1:{daemon.tcp_port}", "--serial", f"{name}@0", "--baud", str(BAUDRATE))
            for name in ("bus", "gone")
        )
        return beside(bus, daemon.pid, clients, length, (*live, *LIVE), (*dead, *DEAD))


def beside(
    bus: Busim, pid: int, clients: int, length: Length, live: tuple[str, ...], dead: tuple[str, ...]
) -> Figures:
    """The live load, when the clients of the dead have been at it for a while: until it is known to be dead."""
    load = (*live, "--seconds", str(length.seconds))
    if not clients:
        return counted(bus, pid, *load)
    warm_up = min(10.0, 2 * length.seconds)
    with background(warm_up + length.seconds + 1, *dead, "--conns", str(clients)) as asking:
        time.sleep(warm_up)
        got = counted(bus, pid, *load)
        return {**got, "dead": asking.figures()}
