"""From the start of the daemon's process to its first answer, beside a Python that does nothing."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

from benchmarks.length import Figures, Length, say
from benchmarks.rig import Busim, CannotMeasure, Lumina
from lumina_twisted.framing.rtu import encode_adu

COMMAND = f"first:bench:bus:115200:{encode_adu(1, bytes.fromhex('0300000001')).hex()}:7\n".encode()


def measure_startup(length: Length) -> Figures:
    """Seconds: ``lumina`` from exec to the answer to a first read, and ``python``, ``python -c pass``; in turns."""
    found: Figures = {"lumina": [], "python": []}
    bus = Busim("--baud", "0")
    try:
        for _ in range(length.starts):
            found["lumina"].append(first_answer(bus.path))
            found["python"].append(nothing())
    finally:
        bus.stop()
    say(f"  first answer after {min(found['lumina']):.2f} to {max(found['lumina']):.2f} s,"
        f" `python -c pass` takes {min(found['python']):.3f} s")
    return found


def first_answer(path: str, patience: float = 10.0) -> float:
    """Seconds until a daemon that is started now has answered a read.

    :raises CannotMeasure: the answers were errors for ``patience`` seconds.
    """
    started = time.perf_counter()
    daemon = Lumina(path, ":baudrate=115200:frame_gap=0")
    try:
        with socket.create_connection(("127.0.0.1", daemon.tcp_port), patience) as client, client.makefile() as lines:
            while True:
                client.sendall(COMMAND)
                answer = lines.readline()
                taken = time.perf_counter() - started
                if answer.startswith("first:01"):
                    return taken
                if not answer or taken > patience:
                    raise CannotMeasure(f"a daemon just started answered {answer.strip() or 'nothing'}")
                time.sleep(0.002)  # the port is not open yet
    finally:
        daemon.stop()


def nothing() -> float:
    """Seconds of ``python -c pass``."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - started
