"""Memory of a thousand clients, of whom fifty talk, under a soft limit of 1,024 open files."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack

from benchmarks.length import Figures, Length, say
from benchmarks.process import open_files
from benchmarks.rig import BIN, Busim, CannotMeasure, Lumina, mbload

LIMITED = ("bash", "-c", 'ulimit -Sn 1024; exec "$@"', "bash")
"""Starts a command with as many open files as a login shell allows; the daemon must raise that itself."""
SILENT, TALKING = 950, 50


def measure_crowd(length: Length) -> Figures:
    """``base`` and ``full``, bytes of the daemon before and after they came, and what those who talk got."""
    with ExitStack() as ends:
        bus = Busim("--baud", "0")
        ends.callback(bus.stop)
        daemon = Lumina(bus.path, ":baudrate=115200:frame_gap=0", before=LIMITED)
        ends.callback(daemon.stop)
        options = ("--line", f"127.0.0.1:{daemon.tcp_port}", "--serial", "bus@0", "--baud", "115200", "--count", "10")
        base = daemon.memory()
        silent = subprocess.Popen(
            [str(BIN / "mbload"), *options, "--conns", str(SILENT), "--poll-ms", "3600000", "--seconds", "3600"],
            stdout=subprocess.DEVNULL,
        )
        ends.callback(silent.wait)
        ends.callback(silent.terminate)
        wait_for_clients(daemon, SILENT)
        talked = mbload(*options, "--conns", str(TALKING), "--seconds", str(length.seconds / 2))
        full = daemon.memory()
    clients = SILENT + TALKING
    say(f"  {clients} clients: {(full - base) / clients / 1024:.1f} KiB each over {base / 2**20:.0f} MiB;"
        f" {talked['wrong']} wrong values, {talked['errors']} errors, {talked['rps']:.0f} commands a second")
    return {"clients": clients, "base": base, "full": full, "talked": talked}


def wait_for_clients(daemon: Lumina, files: int, seconds: float = 20.0) -> None:
    """Until the daemon holds that many descriptors.

    :raises CannotMeasure: it does not, ``seconds`` later.
    """
    end = time.monotonic() + seconds
    while (held := open_files(daemon.pid)) < files:
        if time.monotonic() > end:
            raise CannotMeasure(f"the daemon holds {held} open files, {files} were to come; is `ulimit -Hn` lower?")
        time.sleep(0.05)
