"""Commands, their settings and their replies on the side of the client, floor 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

from attrs import frozen

from lumina_twisted.client.session import OpenRequest
from lumina_twisted.errors import LuminaError, RequestError
from lumina_twisted.framing.rtu import check_adu, check_request_frame, decode_adu, encode_adu
from lumina_twisted.lineproto import MAX_BAUDRATE, MAX_TIMEOUT, MIN_TIMEOUT, Command
from lumina_twisted.modbus.functions import is_read
from lumina_twisted.modbus.settings import Parity
from lumina_twisted.priority import MAX_AGE, PRIORITIES, Priority

DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a request may take unless its caller gives a timeout."""
MAX_NAME: Final = 1000
"""Most characters in a name, and in the path of a port: both must fit into a line of at most 4096 bytes."""


@frozen(kw_only=True)
class CommandSettings:
    """How a command is sent. Where a setting is None, the server's configuration decides.

    :param timeout: seconds that the caller waits, including the time to connect.
    :param retries: how often the bus may send the request again. With any number but 0, the device may carry out a
        write more than once.
    :param priority: ``high``, ``normal`` or ``low``: decides which request goes first when several wait for the bus.
    :param max_age: seconds, from 0 to 3600: the greatest age of a value that may answer a read; 0 always reads the
        device.
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
                raise RequestError(f"{key} is {_listed(allowed)}, not {value!r}")
        if self.timeout is not None:
            check_timeout(self.timeout)
        if self.max_age is not None:
            _check_age(self.max_age)


_ALLOWED: Final[Mapping[str, Any]] = {
    "baudrate": range(1, MAX_BAUDRATE + 1), "parity": ("N", "E", "O", "M", "S"), "bytesize": (7, 8),
    "stopbits": (1, 2), "retries": range(101), "priority": PRIORITIES,
}


def _is_one_of(value: Any, allowed: Any) -> bool:
    """Whether a value is allowed. True and 9600.0 are not allowed, although they equal allowed numbers."""
    return isinstance(value, type(allowed[0])) and not isinstance(value, bool) and value in allowed


def check_timeout(timeout: float) -> float:
    """Refuses a timeout that is out of range.

    :raises RequestError: if it is.
    """
    if not isinstance(timeout, int | float) or not MIN_TIMEOUT <= timeout <= MAX_TIMEOUT:
        raise RequestError(f"timeout is {MIN_TIMEOUT} to {MAX_TIMEOUT:g} seconds, not {timeout!r}")
    return timeout


def _check_age(age: Any) -> None:
    """Refuses an age that is out of range, and True, which is equal to 1."""
    if not isinstance(age, int | float) or isinstance(age, bool) or not 0 <= age <= MAX_AGE:
        raise RequestError(f"max_age is 0 to {MAX_AGE:g} seconds, not {age!r}")


def _listed(allowed: Any) -> str:
    return f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else "one of " + ", ".join(map(str, allowed))


class PendingCommand(OpenRequest):
    """One command.

    :param name: the name that its caller gives it.
    :param port: name or path of a port, as the server's configuration has it.
    :param response_length: the caller's guess of the length of the reply's RTU frame, in bytes; 0 if it gives none.
    """

    __slots__ = ("name", "pdu", "response_length", "settings", "unit")

    def __init__(
        self, name: str, port: str, unit: int, pdu: bytes, settings: CommandSettings, deadline: float,
        response_length: int = 0,
    ) -> None:
        super().__init__(deadline, is_read(pdu), lane=port)
        self.name = name
        self.unit = unit
        self.pdu = pdu
        self.settings = settings
        self.response_length = response_length

    @property
    def frame(self) -> bytes:
        """The request's whole RTU frame."""
        return encode_adu(self.unit, self.pdu)

    @property
    def command_id(self) -> str:
        """The identifier of the current attempt on the wire, as text."""
        one = self.attempt_id
        return f"{one:x}" if isinstance(one, int) else (one or b"").decode()

    def error(self, kind: type[LuminaError], sentence: str) -> LuminaError:
        """Makes the error of this command, with its unit, function code and frame."""
        made: Any = kind
        failure: LuminaError = made(sentence, unit=self.unit, function_code=self.pdu[0], frame=self.frame)
        return failure

    def line(self, now: float) -> Command:
        """The command for a line. Its timeout is the time that is left until the deadline."""
        one = self.settings
        return Command(
            self.attempt_id, self.lane, one.baudrate or 0, self.frame, self.response_length,
            max(self.deadline - now, MIN_TIMEOUT), one.parity, one.bytesize, one.stopbits, one.retries,  # type: ignore[arg-type]
            one.priority, one.max_age,
        )


class Reply(NamedTuple):
    """The reply to a command, as the session received it.

    :param pdu: empty for a broadcast that was sent.
    :param stamp: seconds since 1970 by the server's clock; 0 if the server gives no time.
    """

    pdu: bytes
    stamp: float


@frozen
class CommandReply:
    """The answer to a command.

    :param command_id: the client's identifier of the command on the wire.
    :param name: the name that its caller gave it.
    :param frame: the reply's whole RTU frame, CRC included; empty for a broadcast that was sent.
    :param stamp: seconds since 1970 by the server's clock; 0 if the protocol has no time stamp, as in Modbus TCP.
    """

    command_id: str
    name: str
    port: str
    frame: bytes
    stamp: float

    @property
    def pdu(self) -> bytes:
        """Function code and data; empty for a broadcast."""
        return decode_adu(self.frame)[1] if self.frame else b""

    @classmethod
    def of(cls, command: PendingCommand, reply: Reply) -> Self:
        """Makes the answer for the caller."""
        frame = encode_adu(command.unit, reply.pdu) if reply.pdu else b""
        return cls(command.command_id, command.name, command.lane, frame, reply.stamp)


@frozen
class CommandFailure:
    """A command that ended without a reply; ``error`` says why, and for a write whether it was sent."""

    command_id: str
    name: str
    port: str
    error: LuminaError


def parse_request(command: bytes | str) -> tuple[int, bytes]:
    """Unit and PDU of a request.

    :param command: unit and PDU without the CRC, as bytes or as hexadecimal digits.
    :raises RequestError: if it is no request, or already has its CRC.
    """
    body = _octets(command)
    if len(body) < 2:
        raise RequestError(f"a command has a unit and a function code at least, not {len(body)} bytes")
    unit, pdu = body[0], body[1:]
    if _is_frame(body) and not _is_frame(encode_adu(unit, pdu)):
        raise RequestError("the command has its CRC already; leave it out, the client appends it", frame=body)
    return unit, pdu


def request_frame(command: bytes | str) -> bytes:
    """The RTU frame of a request; see :func:`parse_request`."""
    return encode_adu(*parse_request(command))


def check_request(unit: int, pdu: bytes) -> None:
    """Checks that a unit and a PDU can be a request.

    :raises RequestError: if they cannot.
    """
    if not hasattr(unit, "__index__"):
        raise RequestError(f"a unit is a number from 0 to 255, not {unit!r}")
    check_adu(unit, pdu)


def _octets(command: bytes | str) -> bytes:
    try:
        if isinstance(command, str):
            return bytes.fromhex(command)
        if not isinstance(command, int):  # bytes(5) would give five zeros
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
    """Checks that a text can stand in a field of a line.

    :raises RequestError: if it cannot.
    """
    if not isinstance(text, str):
        raise RequestError(f"{what} is a text, not {text!r}")
    if len(text) > MAX_NAME:
        raise RequestError(f"{what} {text[:40]!r}... has {len(text)} characters, {MAX_NAME} are the most")
    if ":" in text or not text.isprintable() or text != text.strip():
        raise RequestError(f"{what} {text!r} cannot stand in a line: no colons, control characters or outer blanks")
    return text
