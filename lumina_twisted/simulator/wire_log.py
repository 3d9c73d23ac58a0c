"""The traffic on simulated buses, floor 2: events, and a log file that never blocks the reactor for long."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import attrs
from attrs import frozen
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from lumina_twisted.errors import ConfigError, FrameError, RequestError, exception_from_code
from lumina_twisted.files import FILE_MODE
from lumina_twisted.modbus.functions import FunctionCode
from lumina_twisted.modbus.pdu import ExceptionReply, decode_reply, decode_request
from lumina_twisted.modbus.pdu.layout import PDU

FLUSH_AFTER: Final = 0.2
"""The usual delay from an event to its line in the file, in seconds."""
LINES_AT_ONCE: Final = 1000
"""The most lines written in one iteration of the reactor: some 100 kB."""
NEXT_AFTER: Final = 0.005
"""Seconds until the next write, if more lines wait."""

_log = Logger()


@frozen
class OnWire:
    """An event on a simulated bus.

    :param stamp: the time of its last byte, in seconds since 1970.
    :param bus: the bus's name.
    :param to_devices: whether the gateway sent the bytes; if not, they come from the devices or are an echo.
    :param data: the bytes; empty for a reply that is not sent.
    :param what: a description in words.
    :param faults: the kinds of the faults that were applied.
    """

    stamp: float
    bus: str
    to_devices: bool
    data: bytes
    what: str
    faults: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A tab-separated line: time, bus, ``>`` to or ``<`` from the devices, bytes, description, faults."""
        stamp = datetime.fromtimestamp(self.stamp, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        direction = ">" if self.to_devices else "<"
        return "\t".join((stamp, self.bus, direction, self.data.hex(" "), self.what, ", ".join(self.faults)))


Listener = Callable[[OnWire], None]
"""Is called with each event on the wire. It must not block."""


# -- texts ---------------------------------------------------------------------------------------------------------


def request_text(unit: int, pdu: bytes) -> str:
    """A request in words."""
    return f"unit {unit}: {_text(decode_request, pdu)}"


def reply_text(unit: int, pdu: bytes) -> str:
    """A reply in words."""
    return f"unit {unit}: {_text(decode_reply, pdu)}"


def _text(decode: Callable[[bytes], PDU], data: bytes) -> str:
    try:
        pdu: Any = decode(data)
    except (FrameError, RequestError) as error:
        return f"wrong: {error}"
    if isinstance(pdu, ExceptionReply):
        return str(exception_from_code(pdu.exception_code))
    values = [(one.name, getattr(pdu, one.name)) for one in attrs.fields(type(pdu)) if one.name != "function_code"]
    return ", ".join([_name(pdu.function_code), *(f"{name.replace('_', ' ')} {_value(one)}" for name, one in values)])


def _name(code: int) -> str:
    try:
        return FunctionCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"function {code}"


def _value(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex(" ")
    if isinstance(value, tuple):
        return " ".join(str(int(one)) if isinstance(one, int) else str(one) for one in value)
    return str(value)


# -- the file ------------------------------------------------------------------------------------------------------


class WireLog:
    """A file with a line for each event. The log writes many lines together, a little later. Lines that cannot be
    written wait in memory; beyond a bound, the log drops and counts them.

    :param reactor: for delayed calls.
    :param path: the path of the file, or of a pipe that another program reads.
    :param size: bytes after which the file is renamed to ``path`` with ``.1``, and a new file begins; 0: never.
    :param waiting: the most lines that may wait in memory.
    :raises ConfigError: if the file cannot be opened.
    """

    def __init__(self, reactor: Any, path: str, *, size: int = 0, waiting: int = 10_000) -> None:
        self.dropped = 0
        self._reactor = reactor
        self._path = path
        self._size = size
        self._most = waiting
        self._waiting: deque[OnWire] = deque()
        self._unwritten = b""
        self._call: IDelayedCall | None = None
        self._reported = 0
        self._is_failing = False
        self._fd = -1
        try:
            self._open()
        except OSError as error:
            raise ConfigError([f"log.path: {path} cannot be written ({error.strerror})"]) from None

    def __call__(self, event: OnWire) -> None:
        """Adds a line for the event."""
        if len(self._waiting) >= self._most:
            self.dropped += 1
            return
        self._waiting.append(event)
        if self._call is None:
            self._call = self._reactor.callLater(FLUSH_AFTER, self._flush)

    def close(self) -> None:
        """Writes as many of the remaining lines as possible, and closes the file."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        while self._has_more and self._write():
            pass
        self._close()

    @property
    def _has_more(self) -> bool:
        return bool(self._waiting or self._unwritten)

    def _flush(self) -> None:
        self._call = None
        moved = self._write()
        if self._has_more:
            self._call = self._reactor.callLater(NEXT_AFTER if moved else FLUSH_AFTER, self._flush)

    def _write(self) -> bool:
        """Writes one piece; returns whether any of it was written."""
        if not self._unwritten:
            self._unwritten = self._lines()
        try:
            if self._fd < 0:
                self._open()
            written = os.write(self._fd, self._unwritten)
        except BlockingIOError:
            return False  # the pipe is full
        except OSError as error:
            self._failed(error)
            return False
        self._unwritten = self._unwritten[written:]
        self._is_failing = False
        if not self._unwritten:
            self._turn_over()
        return True

    def _lines(self) -> bytes:
        lines = [str(self._waiting.popleft()) for _ in range(min(LINES_AT_ONCE, len(self._waiting)))]
        if self.dropped != self._reported:
            lost, self._reported = self.dropped - self._reported, self.dropped
            lines.append(f"# {lost} lines were dropped: they could not be written in time")
        return "".join(f"{line}\n" for line in lines).encode()

    def _failed(self, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            _log.error(
                "{path} cannot be written ({cause}); lines wait in memory, up to {most}", path=self._path,
                cause=error.strerror, most=self._most,
            )

    def _open(self) -> None:
        """Opens the file without blocking, even if it is a pipe."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        self._fd = os.open(self._path, flags, FILE_MODE)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _turn_over(self) -> None:
        state = os.fstat(self._fd)
        if self._size and stat.S_ISREG(state.st_mode) and state.st_size >= self._size:
            self._close()
            with contextlib.suppress(OSError):  # if it fails, the log goes on in the same file
                os.replace(self._path, f"{self._path}.1")
