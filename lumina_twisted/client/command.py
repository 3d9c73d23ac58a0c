"""A command of a client's, from the call to its one end, floor 3; without Twisted and without a clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, frozen

from lumina_twisted.errors import LuminaError, RequestError
from lumina_twisted.framing.rtu import check_request_frame, encode_adu
from lumina_twisted.lineproto import MAX_BAUDRATE, MAX_TIMEOUT, MIN_TIMEOUT, Command
from lumina_twisted.modbus.functions import is_read
from lumina_twisted.modbus.settings import Parity
from lumina_twisted.priority import MAX_AGE, PRIORITIES, Priority

DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a caller waits who does not say."""
MAX_NAME: Final = 1000
"""Characters of the longest name, and of the longest path of a port: both stand in a line, of 4096 bytes at most."""


@frozen(kw_only=True)
class CommandSettings:
    """How a command is sent; None where the server's configuration decides.

    :param timeout: seconds that its caller waits, connecting included.
    :param retries: how often the bus may send it again; for a write any number but 0 means that the device may carry
        it out more than once.
    :param priority: ``high``, ``normal`` or ``low``: what goes first when several wait for the bus.
    :param max_age: seconds, from 0 to 3600, that a value may be old that answers a read; 0 for one that is read anew.
    """

    baudrate: int | None = None
    parity: Parity | None = None
    bytesize: int | None = None
    stopbits: int | None = None
    timeout: float | None = None
    retries: int | None = None
    priority: Priority | None = None
    max_age: float | None = None

    def __attrs_post_init__(self) -> None:
        for key, allowed in _ALLOWED.items():
            if (value := getattr(self, key)) is not None and not _is_one_of(value, allowed):
                raise RequestError(f"{key} is {_told(allowed)}, not {value!r}")
        if self.timeout is not None:
            check_timeout(self.timeout)
        if self.max_age is not None:
            _check_age(self.max_age)

    def with_timeout(self, default: float) -> CommandSettings:
        """These, with a timeout in any case."""
        return self if self.timeout is not None else evolve(self, timeout=default)


_ALLOWED: Final[Mapping[str, Any]] = {
    "baudrate": range(1, MAX_BAUDRATE + 1), "parity": ("N", "E", "O", "M", "S"), "bytesize": (7, 8),
    "stopbits": (1, 2), "retries": range(101), "priority": PRIORITIES,
}


def _is_one_of(value: Any, allowed: Any) -> bool:
    """True and 9600.0 are equal to numbers that are allowed, and mean nothing on a line."""
    return isinstance(value, type(allowed[0])) and not isinstance(value, bool) and value in allowed


def check_timeout(timeout: float) -> float:
    """Refuses a time that nobody can wait.

    :raises RequestError: if so.
    """
    if not isinstance(timeout, int | float) or not MIN_TIMEOUT <= timeout <= MAX_TIMEOUT:
        raise RequestError(f"timeout is {MIN_TIMEOUT} to {MAX_TIMEOUT:g} seconds, not {timeout!r}")
    return timeout


def _check_age(age: Any) -> None:
    """Refuses an age that no line can say; True is equal to 1, and means nothing."""
    if not isinstance(age, int | float) or isinstance(age, bool) or not 0 <= age <= MAX_AGE:
        raise RequestError(f"max_age is 0 to {MAX_AGE:g} seconds, not {age!r}")


def _told(allowed: Any) -> str:
    return f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else "one of " + ", ".join(map(str, allowed))


class PendingCommand:
    """One command.

    :param name: what its caller calls it.
    :param port: name or path of a port, as the server's configuration has it.
    :param frame: the whole RTU frame.
    :param deadline: when its caller stops waiting, on the session's clock.
    :param caller: whatever waits for it; the session does not look at it.
    """

    __slots__ = (
        "attempt", "caller", "command_id", "deadline", "done", "frame", "is_read", "name", "number", "port",
        "response_length", "sent_at", "settings",
    )

    def __init__(
        self, name: str, port: str, frame: bytes, settings: CommandSettings, deadline: float, caller: Any,
        response_length: int = 0,
    ) -> None:
        self.name = name
        self.port = port
        self.frame = frame
        self.settings = settings
        self.deadline = deadline
        self.caller = caller
        self.response_length = response_length
        self.is_read = is_read(frame[1:3])
        self.number = 0  # in the order of the calls
        self.attempt = 0  # how often it was written to a connection
        self.command_id = b""  # of the attempt that runs
        self.sent_at: float | None = None  # of the attempt that runs
        self.done = False

    def line(self, now: float) -> Command:
        """What is sent for it; the server has the time that is left."""
        one = self.settings
        return Command(
            self.command_id, self.port, one.baudrate or 0, self.frame, self.response_length,
            max(self.deadline - now, MIN_TIMEOUT), one.parity, one.bytesize, one.stopbits, one.retries,  # type: ignore[arg-type]
            one.priority, one.max_age,
        )


@frozen
class CommandReply:
    """The answer to a command.

    :param command_id: the client's own name of the command, as it stood on the wire.
    :param name: what its caller called it.
    :param frame: the reply's whole RTU frame, CRC included; empty for a broadcast that was sent.
    :param stamp: seconds since 1970 by the server's clock; 0 where none is told, as in Modbus TCP.
    """

    command_id: str
    name: str
    port: str
    frame: bytes
    stamp: float

    @property
    def pdu(self) -> bytes:
        """Function code and data."""
        return self.frame[1:-2]


@frozen
class CommandFailure:
    """A command that ended without a reply; ``error`` says why, and for a write whether it was sent."""

    command_id: str
    name: str
    port: str
    error: LuminaError


def request_frame(command: bytes | str, unit: int | None = None) -> bytes:
    """The RTU frame of a request.

    :param command: unit and PDU without the CRC, as bytes or as hexadecimal digits; or the PDU alone, with ``unit``.
    :raises RequestError: if it is none, or has its CRC already.
    """
    body = _octets(command)
    if unit is not None:
        if not hasattr(unit, "__index__"):
            raise RequestError(f"a unit is a number from 0 to 255, not {unit!r}")
        return encode_adu(unit, body)
    if len(body) < 2:
        raise RequestError(f"a command has a unit and a function code at least, not {len(body)} bytes")
    frame = encode_adu(body[0], body[1:])
    if _is_frame(body) and not _is_frame(frame):
        raise RequestError("the command has its CRC already; leave it out, the client appends it", frame=body)
    return frame


def _octets(command: bytes | str) -> bytes:
    try:
        if isinstance(command, str):
            return bytes.fromhex(command)
        if not isinstance(command, int):  # of which bytes() would make so many zeros
            return bytes(command)
    except (TypeError, ValueError):
        pass
    raise RequestError(f"a command is bytes or hexadecimal digits, two a byte, not {str(command)[:40]!r}")


def _is_frame(frame: bytes) -> bool:
    try:
        check_request_frame(frame)
    except LuminaError:
        return False
    return True


def check_name(text: str, what: str) -> str:
    """Refuses what cannot stand in a field of a line.

    :raises RequestError: if so.
    """
    if not isinstance(text, str):
        raise RequestError(f"{what} is a text, not {text!r}")
    if len(text) > MAX_NAME:
        raise RequestError(f"{what} {text[:40]!r}... has {len(text)} characters, {MAX_NAME} are the most")
    if ":" in text or not text.isprintable() or text != text.strip():
        raise RequestError(f"{what} {text!r} cannot stand in a line: no colons, control characters or outer blanks")
    return text
