"""Which of our functions run for one request, from the client's bytes to its answer.

``python -m benchmarks.calls [--tree DIR] [--list]`` starts a real daemon on a simulated bus without wire time, has each
call of a Python function recorded, and asks twenty times, one request after the other: a register over Modbus TCP, and
``read!`` of one value over the value lines. It prints the median request of each: modules passed, calls, and how often
the file changes from one call to the next. ``--list`` prints the calls themselves; DIR is another checkout.
"""

from __future__ import annotations

import argparse
import atexit
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from attrs import frozen

from benchmarks.process import free_port, wait_for
from benchmarks.rig import ROOT, Busim

REQUESTS: Final = 20
PAUSE: Final = 0.05
"""Seconds between two requests, in which what is left over of one comes to its end."""
_DEVICE: Final = """
[devices.meter]
port = "bus"
unit = 1

[devices.meter.points.level]
address = 40
table = "holding"
poll = 0
"""


@frozen
class Trace:
    """The calls of one request, each as ``file:function``."""

    calls: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """The file of each call."""
        return [one.partition(":")[0] for one in self.calls]

    @property
    def modules(self) -> int:
        """Files that are passed."""
        return len(set(self.files))

    @property
    def changes(self) -> int:
        """How often a call is in another file than the one before."""
        return sum(one != other for one, other in zip(self.files, self.files[1:], strict=False))


def record(path: str) -> None:
    """Has each call of a function of ours recorded from now on, and written to a file at the end of the process."""
    calls: list[tuple[float, Any]] = []
    ours = f"{os.sep}lumina_twisted{os.sep}"

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and ours in frame.f_code.co_filename:
            calls.append((time.monotonic(), frame.f_code))

    def write() -> None:
        sys.setprofile(None)
        lines = (f"{when!r} {code.co_filename.partition(ours)[2]}:{code.co_qualname}\n" for when, code in calls)
        pathlib.Path(path).write_text("".join(lines))

    atexit.register(write)
    sys.setprofile(profile)


@frozen
class Question:
    """A request, and the daemon that it is asked of.

    :param protocol: the listener's.
    :param devices: what the daemon's configuration describes.
    :param ask: the bytes of the request with this number.
    :param is_answer: whether these bytes are the whole answer.
    """

    name: str
    protocol: str
    devices: str
    ask: Callable[[int], bytes]
    is_answer: Callable[[bytes], bool]


QUESTIONS: Final = (
    Question(
        "a read over Modbus TCP", "modbus-tcp", "",
        lambda number: struct.pack(">HHHBBHH", number, 0, 6, 1, 3, number, 1), lambda answer: len(answer) >= 11,
    ),
    Question(
        "read! of one value", "values", _DEVICE, lambda number: b"read! meter.level\n",
        lambda answer: answer.endswith(b"\n"),
    ),
)


def traces_of(question: Question, tree: pathlib.Path) -> list[Trace]:
    """Asks a daemon of its own, with the code of ``tree``."""
    bus, port = Busim("--baud", "0", "--turnaround-us", "0"), free_port()
    with tempfile.TemporaryDirectory() as folder:
        configuration, record_path = pathlib.Path(folder, "lumina.toml"), pathlib.Path(folder, "calls")
        configuration.write_text(
            f'[ports.bus]\npath = "{bus.path}"\nframe_gap = 0\n[[listen]]\nprotocol = "{question.protocol}"\n'
            f'endpoint = "tcp:{port}:interface=127.0.0.1"\n' + question.devices
        )
        start = (
            f"import runpy, sys; runpy.run_path({__file__!r})['record']({str(record_path)!r});"
            " from twisted.scripts.twistd import run;"
            f" sys.argv = ['twistd', '-n', '--pidfile=', 'lumina', '--config', {str(configuration)!r}]; run()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", start], cwd=folder, stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(tree.resolve())},
        )
        try:
            wait_for(port, process)
            spans = windows(port, question)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            bus.stop()
        recorded = [line.split(" ", 1) for line in record_path.read_text().splitlines()]
    return [Trace(tuple(call for when, call in recorded if begin <= float(when) <= end)) for begin, end in spans]


def windows(port: int, question: Question) -> list[tuple[float, float]]:
    """Asks one request after the other: from when to when each was under way."""
    found = []
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(REQUESTS):
            began, answer = time.monotonic(), b""
            client.sendall(question.ask(number))
            while not question.is_answer(answer):
                answer += client.recv(4096)
            found.append((began, time.monotonic() + PAUSE / 2))  # what follows the answer is its work too
            time.sleep(PAUSE)
    return found


def main() -> int:
    """Prints a line for each kind of request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=pathlib.Path, default=ROOT)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    for question in QUESTIONS:
        found = sorted(traces_of(question, options.tree), key=lambda one: len(one.calls))
        median = found[len(found) // 2]
        print(
            f"{question.name}: {median.modules} modules, {len(median.calls)} calls, {median.changes} changes of file"
        )
        if options.list:
            print("".join(f"    {call}\n" for call in median.calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
