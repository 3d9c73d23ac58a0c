"""What Linux tells of a running process, and TCP ports on this machine."""

from __future__ import annotations

import os
import pathlib
import resource
import socket
import subprocess
import time

from benchmarks.build import CannotMeasure


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, in user and kernel mode."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Bytes that a process has in memory."""
    pages = pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def open_files(pid: int) -> int:
    """Descriptors that a process holds."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def free_port() -> int:
    """A TCP port that nobody uses at present."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(tcp_port: int, process: subprocess.Popen[bytes] | None = None, seconds: float = 20.0) -> None:
    """Until something listens there.

    :param process: whoever is to listen; it is not waited for once it has ended.
    :raises CannotMeasure: nobody does, ``seconds`` later or when the process has ended.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", tcp_port), 1).close()
            return
        except OSError as why:
            if process is not None and process.poll() is not None:
                raise CannotMeasure(f"it ended with status {process.returncode} before it listened") from why
            if time.monotonic() > end:
                raise CannotMeasure(f"it does not listen on TCP port {tcp_port} after {seconds:.0f} s") from why
            time.sleep(0.005)
