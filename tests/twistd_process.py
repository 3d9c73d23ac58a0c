"""A real ``twistd`` process for the tests, and a bus whose device is the test itself."""

from __future__ import annotations

import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile
import tty
from types import TracebackType

ROOT = pathlib.Path(__file__).parent.parent
TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; sys.exit(run())"
PATIENCE = 60.0
"""Seconds until a test gives up; only a process that hangs needs them."""


def twistd_command(*options: str, before: str = "") -> list[str]:
    """The words that start it in the foreground.

    :param before: Python that the process runs first, to spoil something on purpose.
    """
    return [sys.executable, "-c", f"{before}\n{TWISTD}", "-n", "--pidfile=", "lumina", *options]


def environment() -> dict[str, str]:
    """With this tree first, wherever the process is started."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def run_twistd(*options: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Runs it until it ends by itself."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            twistd_command(*options, before=before), env=environment(), cwd=folder, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )


def free_tcp_port() -> int:
    """One that nobody uses at present."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Twistd:
    """``twistd -n lumina``, listening for lines, in a folder of its own.

    :param before: Python that the process runs first.
    :param more: variables of its environment.
    """

    def __init__(self, *options: str, before: str = "", **more: str) -> None:
        self.tcp_port = free_tcp_port()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self._folder = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._folder.name)
        listen = ("--listen", f"line=tcp:{self.tcp_port}:interface=127.0.0.1")
        self.process = subprocess.Popen(
            twistd_command(*options, *listen, before=before), env={**environment(), **more}, cwd=self.folder,
            stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )
        self.printed = ""

    def __enter__(self) -> Twistd:
        self.wait_for(f"line on tcp:{self.tcp_port}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()
        self._errors.close()
        self._folder.cleanup()

    def wait_for(self, text: str) -> None:
        """Until a line of its log holds ``text``."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            if text in line:
                return
        raise AssertionError(f"it ended without printing {text!r}: {self.printed} {self.errors()}")

    def errors(self) -> str:
        """What it has written to stderr."""
        self._errors.seek(0)
        return self._errors.read()

    def connect(self) -> Client:
        """One more client."""
        return Client(self.tcp_port)

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, when it has ended."""
        assert self.process.stdout is not None
        self.printed += self.process.stdout.read()  # not communicate(), which passes over what is in this buffer
        return self.process.wait(PATIENCE)


class Client:
    """A client of the line listener that waits."""

    def __init__(self, tcp_port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", tcp_port), PATIENCE)
        self._file = self._socket.makefile("rb")

    def write(self, *lines: bytes) -> None:
        """Sends lines."""
        self._socket.sendall(b"".join(line + b"\n" for line in lines))

    def read(self) -> bytes:
        """The next line, or nothing if the connection has been closed."""
        return self._file.readline()

    def close(self) -> None:
        """Leaves."""
        self._file.close()
        self._socket.close()


class TestDevice:
    """The far end of a pty: what the daemon sends is read here, and what the test writes is heard there."""

    __test__ = False

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)

    def read(self, count: int) -> bytes:
        """The next bytes on the wire."""
        data = b""
        while len(data) < count:
            if not select.select([self._master], [], [], PATIENCE)[0]:
                raise AssertionError(f"only {data.hex(' ')} came")
            data += os.read(self._master, count - len(data))
        return data

    def write(self, data: bytes) -> None:
        """A reply."""
        os.write(self._master, data)

    def close(self) -> None:
        """Vanishes."""
        os.close(self._master)
        os.close(self._slave)
