"""How long a write takes on a bus that fifty clients poll. The peer cannot write."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import ExitStack
from functools import partial

from benchmarks import ideal
from benchmarks.attempt import attempted, found
from benchmarks.background import background
from benchmarks.build import CannotMeasure
from benchmarks.length import Figures, Length, say
from benchmarks.rig import Busim, Lumina

BAUDRATE, REGISTERS, POLLERS = 9600, 10, 50
POLLING = ("--conns", str(POLLERS), "--count", str(REGISTERS), "--units", "2-2", "--mode", "own", "--timeout", "20")
"""Each polls registers of its own, so that nothing is shared."""
PAUSE = 0.037
"""Seconds between two writes: not in step with anything."""


def measure_writes(length: Length) -> Figures:
    """``lumina``: the times of writes in milliseconds, ``p50_ms``, ``p99_ms``, ``max_ms``, and how many they are;
    ``transaction_ms`` and ``write_ms`` are what a poll and a write take on the wire at best."""
    one = attempted("writes", partial(measured, length))
    if found(one):
        say(f"  writes: p50 {one['p50_ms']:.0f} ms, p99 {one['p99_ms']:.0f} ms")
    best = {"transaction_ms": 1000 * ideal.read(BAUDRATE, REGISTERS), "write_ms": 1000 * ideal.write(BAUDRATE)}
    return {**best, "lumina": one}


def measured(length: Length) -> Figures:
    """Writes while it is polled."""
    with ExitStack() as ends:
        bus = Busim("--baud", str(BAUDRATE), *ideal.TURNAROUND)
        ends.callback(bus.stop)
        daemon = Lumina(bus.path, f":baudrate={BAUDRATE}", listener=",timeout=20")
        ends.callback(daemon.stop)
        warm_up, seconds = 4.0, max(4.0, 2 * length.seconds)
        target = f"127.0.0.1:{daemon.modbus_port}@0"
        with background(warm_up + seconds + 2, "--target", target, *POLLING):
            time.sleep(warm_up)
            times = sorted(write_times(daemon.modbus_port, seconds))
    count = len(times)
    return {
        "count": count, "p50_ms": 1000 * times[count // 2], "p99_ms": 1000 * times[min(count - 1, count * 99 // 100)],
        "max_ms": 1000 * times[-1],
    }


def write_times(tcp_port: int, seconds: float) -> list[float]:
    """Seconds that each write took, one after the other.

    :raises CannotMeasure: one was refused.
    """
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", tcp_port), 30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            client.sendall(struct.pack(">HHHBBHH", len(times) & 0xFFFF, 0, 6, 1, 6, 5000, len(times) & 0xFFFF))
            reply = client.recv(300)
            if len(reply) != 12 or reply[7] != 6:
                raise CannotMeasure(f"a write was answered by {reply.hex(' ') or 'the end of the connection'}")
            times.append(time.monotonic() - began)
            time.sleep(PAUSE)
    return times
