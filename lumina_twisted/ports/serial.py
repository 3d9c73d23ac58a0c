"""A serial device for a bus, floor 2: the endpoint that opens it, the transport, and the error texts, which say why it
cannot be opened and what to do.

The device is opened exclusively. The transport changes its settings between frames, on the one descriptor, and writes
frames straight to it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import grp
import os
import pathlib
import select
import stat
import sys
import termios
from collections.abc import Callable, Iterator
from typing import Any

import serial
from attrs import frozen
from serial.rs485 import RS485Settings
from twisted.internet import defer, error
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
)
from twisted.internet.serialport import SerialPort
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from lumina_twisted.errors import PortError
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.schema import structure_text

_READ_SIZE = 4096
_PTY_MAJORS = range(136, 144)
"""Device numbers of Unix 98 pseudo-terminals (Linux, Documentation/admin-guide/devices.txt)."""
_NOT_OF_A_PTY = {"bytesize": 8, "parity": serial.PARITY_NONE}
"""The settings that a pseudo-terminal always has, whatever a program sets."""
_TIMEOUTS = {"timeout": 0, "write_timeout": 0}


class BusTransport(SerialPort):  # type: ignore[misc]
    """The transport of one bus.

    :raises serial.SerialException: if the device cannot be opened.
    :raises OSError: likewise.
    """

    def __init__(self, protocol: IProtocol, settings: PortSettings, reactor: Any) -> None:
        self._settings = settings
        self._current = settings.serial
        self._clock = reactor
        super().__init__(
            protocol, settings.path, reactor, baudrate=settings.baudrate, bytesize=settings.bytesize,
            parity=settings.parity, stopbits=settings.stopbits, xonxoff=settings.xonxoff, rtscts=settings.rtscts,
        )

    def send_frame(self, data: bytes, settings: SerialSettings) -> None:
        """Writes a frame at once, with its own settings.

        :raises PortError: if the device does not take the settings or the bytes. Then nothing was sent.
        """
        if settings is not self._current and settings != self._current:
            self._apply(settings)
        try:
            if self._settings.rtscts or self._settings.xonxoff:
                self._drop_held_back()
            written = os.write(self._fd, data)
        except BlockingIOError:
            raise PortError(f"{self._settings.path} takes no bytes; is its flow control wired?") from None
        except (OSError, termios.error) as gone:
            why = os.strerror(gone.args[0])
            self._lose_soon(error.ConnectionLost(why))
            raise PortError(f"{self._settings.path} is gone ({why})") from gone
        if written < len(data):
            with contextlib.suppress(termios.error):
                termios.tcflush(self._fd, termios.TCOFLUSH)  # a part of a frame is useless

    def _drop_held_back(self) -> None:
        """Drops bytes that flow control held back. A frame that left now, perhaps together with others and long after
        its request has ended, would be worse than a lost one."""
        waiting = fcntl.ioctl(self._fd, termios.TIOCOUTQ, b"\0\0\0\0")
        if int.from_bytes(waiting, sys.byteorder):
            termios.tcflush(self._fd, termios.TCOFLUSH)

    def doRead(self) -> Exception | None:
        """The reactor reports that bytes have come, or that the device is gone."""
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return None
        except OSError as gone:
            return error.ConnectionLost(os.strerror(gone.errno or 0))
        if data:
            self.protocol.dataReceived(data)
        elif self._has_hung_up():
            return error.ConnectionLost("the device hung up")
        return None

    def connectionLost(self, reason: Failure) -> None:
        """The device is gone or was closed. Ends exclusive use first, so that other programs may open it again."""
        if self._settings.exclusive and self._serial.fd is not None:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._serial.fd, termios.TIOCNXCL)
        super().connectionLost(reason)

    def loseConnection(self, _connDone: Failure | None = None) -> None:
        """Closes the device without waiting: a bus has no buffered output."""
        self._lose_soon(error.ConnectionDone())

    def _serialFactory(self, path: str, **settings: Any) -> serial.Serial:  # type: ignore[override]
        """Opens the device; Twisted's constructor calls it."""
        self._fixed = _NOT_OF_A_PTY if is_pty(path) else {}
        wanted = {**settings, **self._fixed, **_TIMEOUTS}
        device = serial.Serial(path, exclusive=self._settings.exclusive or None, **wanted)
        try:
            self._set_up(device)
        except BaseException:
            device.close()
            raise
        self._fd = device.fileno()
        return device

    def _set_up(self, device: serial.Serial) -> None:
        wanted = self._settings
        if wanted.exclusive:
            fcntl.ioctl(device.fileno(), termios.TIOCEXCL)
        self._keep_lines_up(device.fileno())
        if wanted.low_latency:
            with contextlib.suppress(OSError, ValueError, NotImplementedError):
                device.set_low_latency_mode(True)  # many drivers have no such mode
        if wanted.rs485:
            device.rs485_mode = RS485Settings(
                rts_level_for_tx=wanted.rs485_rts_on_send, rts_level_for_rx=wanted.rs485_rts_after_send,
                delay_before_tx=wanted.rs485_delay_before_send / 1000,
                delay_before_rx=wanted.rs485_delay_after_send / 1000,
            )

    @staticmethod
    def _keep_lines_up(fd: int) -> None:
        """Turns HUPCL off: closing and reopening must not toggle DTR, which resets or unpowers some adapters."""
        mode = termios.tcgetattr(fd)
        mode[2] &= ~termios.HUPCL
        termios.tcsetattr(fd, termios.TCSANOW, mode)

    def _apply(self, wanted: SerialSettings) -> None:
        """Changes the device's settings. Between frames the wire is idle and the last frame is out, so nothing
        is drained here."""
        device, before = self._serial, self._current
        try:
            for name in ("baudrate", "bytesize", "parity", "stopbits"):
                if name not in self._fixed and getattr(wanted, name) != getattr(before, name):
                    setattr(device, name, getattr(wanted, name))
        except (ValueError, OSError, termios.error, OverflowError) as refused:
            self._restore(before)
            raise PortError(
                f"{self._settings.path} does not take {wanted} ({_told(refused)}); use settings that its driver has"
            ) from refused
        self._current = wanted

    def _restore(self, settings: SerialSettings) -> None:
        with contextlib.suppress(ValueError, OSError, termios.error):
            self._serial.apply_settings(
                {name: getattr(settings, name) for name in ("baudrate", "bytesize", "parity", "stopbits")} | self._fixed
            )

    def _has_hung_up(self) -> bool:
        """Whether the kernel reports a hang-up. An empty read alone proves nothing, for reads here never
        wait for a byte."""
        poll = select.poll()
        poll.register(self._serial.fileno(), select.POLLIN)
        return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))

    def _lose_soon(self, reason: Exception) -> None:
        """Ends the connection in a later reactor turn, as Twisted's transports do: the caller may not have finished."""
        self.stopReading()
        self.stopWriting()
        self._clock.callLater(0, self._lose, reason)

    def _lose(self, reason: Exception) -> None:
        if self.connected:
            self.connectionLost(Failure(reason))


def is_pty(path: str) -> bool:
    """Whether a path leads to a pseudo-terminal. It has no wire, so it has no parity and always 8 data bits. The kernel
    ignores other values. Then the C library refuses the next opening, where nothing else is left to set (glibc,
    sysdeps/unix/sysv/linux/tcsetattr.c)."""
    try:
        return os.major(os.stat(path).st_rdev) in _PTY_MAJORS
    except OSError:
        return False


def _told(refused: Exception) -> str:
    """The text of an error; termios raises a pair of a number and a text."""
    return str(refused.args[-1]) if isinstance(refused, termios.error) else str(refused)


@implementer(IAddress)
@frozen
class SerialAddress:
    """The address of a serial connection."""

    path: str


@implementer(IStreamClientEndpoint)
class SerialEndpoint:
    """Opens a serial device.

    :param settings: what to open and how.
    :param twin: returns the name of the port that has the same device under another path; empty if there is none.
    """

    def __init__(self, reactor: Any, settings: PortSettings, twin: Callable[[], str] = lambda: "") -> None:
        self._reactor = reactor
        self._settings = settings
        self._twin = twin

    def connect(self, factory: IProtocolFactory) -> defer.Deferred[IProtocol]:
        """Opens the device now.

        :return: a Deferred that has fired: with the protocol, connected to a transport that has ``send_frame``; or
            it failed with :class:`~lumina_twisted.errors.PortError`, whose sentence names the cause and the remedy.
        """
        protocol = factory.buildProtocol(SerialAddress(self._settings.path))
        if protocol is None:
            return defer.fail(PortError(f"nothing wants to talk to {self._settings.path}"))
        try:
            BusTransport(protocol, self._settings, self._reactor)
        except (OSError, ValueError, termios.error) as cause:
            return defer.fail(PortError(why_not_open(self._settings.path, cause, self._twin)))
        return defer.succeed(protocol)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class SerialEndpointParser:
    """Makes ``serial:`` a prefix of Twisted's client endpoint strings, which accept every setting of a port."""

    prefix = "serial"

    def parseStreamClient(  # type: ignore[override]
        self, reactor: Any, *args: str, **settings: str
    ) -> SerialEndpoint:
        """The endpoint for ``serial:PATH[:key=value]…``.

        :raises ConfigError: if a setting is unknown or wrong.
        """
        path = {"path": args[0]} if args else {}
        return SerialEndpoint(reactor, structure_text({**path, **settings}, PortSettings, "serial"))


_NOT_SERIAL = (errno.ENOTTY, errno.EINVAL, errno.EISDIR)
_NOTHING_BEHIND = (errno.EIO, errno.ENXIO, errno.ENODEV)


def why_not_open(path: str, error: BaseException, twin: Callable[[], str] = lambda: "") -> str:
    """The sentence for an error that opening ``path`` raised.

    :param twin: returns the name of the port that has the same device under another path; empty if there is none.
    """
    if isinstance(error, ValueError):  # pyserial raises it for a setting that the driver does not have
        return f"{path} cannot be opened with these settings ({error})"
    number = _number(error)
    if number == errno.ENOENT or not os.path.exists(path):
        if not path.startswith("/") and os.path.exists(f"/dev/{path}"):
            return f"there is no device {path} here; write /dev/{path}"
        return f"there is no device {path}; {_present()}"
    if number in (errno.EACCES, errno.EPERM) and not os.access(path, os.R_OK | os.W_OK):
        return _not_permitted(path)
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        if other := twin():
            return f"{path} is the device of port {other} too; a device belongs to one port, take one of the two away"
        return f"{path} is in use by {_holders(path)}; stop that, or set exclusive = false if both may speak"
    if number in _NOT_SERIAL:
        return _not_serial(path, number)
    if number in _NOTHING_BEHIND:
        return f"{path} has no hardware behind it ({os.strerror(number)}); {_present()}"
    return f"{path} cannot be opened ({error if number is None else os.strerror(number)})"


def why_lost(error: BaseException | None) -> str:
    """The cause in Twisted's error of a lost connection, without the text about connections."""
    told = error.args[0] if error is not None and error.args else ""
    return told if isinstance(told, str) and told else "the device hung up"


def _number(error: BaseException | None) -> int | None:
    """The errno. pyserial and termios put it in different places, some errors only in their cause or context."""
    while error is not None:
        for candidate in (getattr(error, "errno", None), *error.args[:1]):
            if isinstance(candidate, int):
                return candidate
        error = error.__cause__ or error.__context__
    return None


def _not_serial(path: str, number: int) -> str:
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return f"{path} is {'a file' if stat.S_ISREG(mode) else 'a folder'} and no serial device; {_present()}"
    return f"{path} is no serial device, or does not take these settings ({os.strerror(number)}); {_present()}"


def _present() -> str:
    kinds = ("serial/by-id/*", "ttyUSB*", "ttyACM*", "ttyAMA*")
    found = sorted(str(one) for kind in kinds for one in pathlib.Path("/dev").glob(kind))
    if not found:
        return "no serial adapter is plugged in"
    return f"plug it in, or name one of {', '.join(found[:8])}"


def _not_permitted(path: str) -> str:
    try:
        group = grp.getgrgid(os.stat(path).st_gid).gr_name
        user = getpass.getuser()
    except (KeyError, OSError):
        group = user = ""
    if group in ("", "nogroup"):  # with systemd's PrivateUsers= every group is "nogroup"
        return f"{path} may not be opened by this user; its group, and in a service DeviceAllow=, would have to let it"
    return f"{path} may not be opened by {user}; `sudo usermod -aG {group} {user}` lets it, after logging in again"


def _holders(path: str) -> str:
    found = [f"{name} (process {pid})" for pid, name in _processes_with(os.path.realpath(path))]
    return " and ".join(found) if found else "another program (run `sudo fuser -v` on it to see which)"


def _processes_with(device: str) -> Iterator[tuple[int, str]]:
    """The other processes that have ``device`` open, if this user may see them."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            held = any(os.readlink(one) == device for one in (process / "fd").iterdir())
            name = (process / "comm").read_text().strip() if held else ""
        except OSError:
            continue  # it ended, or belongs to somebody else
        if held:
            yield int(process.name), name
