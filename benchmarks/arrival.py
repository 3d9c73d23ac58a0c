"""How long a value that changes on the bus takes to come to a watcher, who has nothing but a socket.

The device is a pseudo-terminal that a thread here answers on; its one register is read once a second.
"""

from __future__ import annotations

import os
import pathlib
import socket
import struct
import tempfile
import threading
import time
import tty
from contextlib import ExitStack

from benchmarks.length import Figures, Length
from benchmarks.rig import Lumina, free_port, wait_for
from lumina_twisted.framing.crc import append_crc

POLL = 1.0
"""Seconds between two reads."""
STEP = 0.618
"""What each pause between the arrival of a change and the next change is longer than the last one, in intervals, the
whole ones left out: so the changes come at all moments between two reads."""


class Device:
    """One holding register behind a pseudo-terminal."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self.value = 0
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while True:
            asked = b""
            while len(asked) < 8:
                asked += os.read(self._master, 8 - len(asked))
            os.write(self._master, append_crc(bytes((asked[0], asked[1], 2)) + struct.pack(">H", self.value)))


def measure_arrival(length: Length) -> Figures:
    """``count`` changes: ``p50_ms`` and ``max_ms`` from the change to the watcher; ``poll_ms``, the interval."""
    times: list[float] = []
    with ExitStack() as ends:
        device, tcp_port = Device(), free_port()
        folder = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory()))
        (folder / "plant.toml").write_text(
            '[values]\ndatabase = ""\n[devices.boiler]\nport = "bus"\nunit = 1\n[devices.boiler.points.level]\n'
            f'table = "holding"\naddress = 0\npoll = {POLL}\n'
        )
        words = ("--config", str(folder / "plant.toml"), "--listen", f"values=tcp:{tcp_port}:interface=127.0.0.1")
        daemon = Lumina(device.path, ":baudrate=115200", more=words)
        ends.callback(daemon.stop)
        wait_for(tcp_port)
        with socket.create_connection(("127.0.0.1", tcp_port), 10) as client, client.makefile("rw") as lines:
            lines.write("watch boiler.level\n")
            lines.flush()
            while " good " not in lines.readline():
                pass
            end = time.monotonic() + max(10.0, 4 * length.seconds)
            while time.monotonic() < end:
                time.sleep(POLL * (0.1 + len(times) * STEP % 1))
                began = time.monotonic()
                device.value += 1
                while f" {device.value} " not in lines.readline():
                    pass
                times.append(time.monotonic() - began)
    times.sort()
    middle, last = times[len(times) // 2], times[-1]
    return {"count": len(times), "p50_ms": 1000 * middle, "max_ms": 1000 * last, "poll_ms": 1000 * POLL}
