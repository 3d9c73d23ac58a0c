"""The line protocol, floor 0: the lines that clients send, and the one answer line for each.

A command is ``id:device_type:port:baudrate:hex:response_length[:timeout[:key=value…]]``. A line that is no command
raises an error. The error has a sentence for the person who typed the line, and the id by which a program finds its
answer.

An answer has one of two dialects. Clients since 2025-01 read ``v2``: ``id:HEX:seconds.4f`` and
``id:ERROR:reason:seconds.6f``. Older clients read ``v1``: ``id:hex``, and ``TIMEOUT`` or ``MISMATCH`` instead of a
reason, because they understand no other word. Both kinds of clients split a line at each colon. One of them reads 256
bytes at a time and loses a longer line. So a reason has no colon, an error line has 256 bytes at most, and the hex has
no blanks unless that is configured.
"""


from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final, Literal, NamedTuple

from lumina_twisted.errors import FrameError, LineError, LuminaError, ModbusException
from lumina_twisted.framing.crc import crc16, crc_bytes
from lumina_twisted.framing.rtu import OVERHEAD, check_request_frame
from lumina_twisted.modbus.functions import request_length
from lumina_twisted.modbus.settings import Parity
from lumina_twisted.priority import MAX_AGE, PRIORITIES, Priority
from lumina_twisted.text import quoted

__all__ = [
    "MAX_BAUDRATE", "MAX_ERROR_LINE", "MAX_LINE", "MAX_TIMEOUT", "MIN_TIMEOUT", "PING", "Answer", "Command", "Dialect",
    "HexStyle", "command_id_of", "format_command", "format_error", "format_reply", "parse_answer", "parse_command",
    "reason_of",
]

# -- commands --------------------------------------------------------------------------------------------------------

PING: Final = b"FF:F0:AA:AF"
"""The line that clients before 2024-10-16 send to check whether the server is alive; they expect the same line back."""

MAX_LINE: Final = 4096
"""The limit of a line, in bytes: 16 times the length of a command with the longest frame and a usual id."""

MIN_TIMEOUT: Final = 0.05
MAX_TIMEOUT: Final = 60.0
MAX_BAUDRATE: Final = 10_000_000

_FORMAT: Final = "id, device type, port, baudrate, hex, response length [, timeout [, key=value]], parted by colons"


class Command(NamedTuple):
    """One command line.

    :param command_id: the id with which its answer begins; ASCII.
    :param port: name or path of a port; empty for the listener's own.
    :param baudrate: the speed of this frame, in baud; 0 (an empty field on the line) for the speed of the port.
    :param frame: the whole RTU frame; its CRC is valid, and it has the length that its function determines.
    :param response_length: the caller's guess of the length of the reply's frame, in bytes; 0 if the line has none.
    :param timeout: seconds that the caller waits, from 0.05 to 60; None if the line does not say.
    :param parity: this and the next three fields override the configuration for this line; None for the configured
        value.
    :param priority: the lane of the request; None for the listener's.
    :param max_age: the highest age of the answer to a read, from 0 to 3600 seconds; None for the listener's.
    """

    command_id: bytes
    port: str
    baudrate: int
    frame: bytes
    response_length: int
    timeout: float | None
    parity: Parity | None = None
    bytesize: Literal[7, 8] | None = None
    stopbits: Literal[1, 2] | None = None
    retries: int | None = None
    priority: Priority | None = None
    max_age: float | None = None

    @property
    def unit(self) -> int:
        """The unit identifier of the frame."""
        return self.frame[0]

    @property
    def pdu(self) -> bytes:
        """The PDU of the frame: its function code and data."""
        return self.frame[1:-2]


def format_command(command: Command, device_type: str) -> bytes:
    """Encodes ``command`` as a line, its newline included.

    :param device_type: any text; characters that are not allowed in a field are replaced.
    """
    overrides = "".join(
        f":{key}={value}" for key in _OVERRIDES if (value := getattr(command, key)) is not None
    )
    baudrate = command.baudrate or ""
    head = f":{device_type.replace(':', ' ')}:{command.port}:{baudrate}:{command.frame.hex()}:{command.response_length}"
    timeout = "" if command.timeout is None else f":{command.timeout:.3f}{overrides}"
    return command.command_id + " ".join(f"{head}{timeout}".split()).encode("utf-8", "replace") + b"\n"


def parse_command(line: bytes) -> Command:
    """Parses the command of a line.

    :param line: without its newline; blanks around the fields and a carriage return are ignored.
    :raises LineError: if the line is no command; with a sentence, and with the line's id if it has one.
    """
    fields = line.split(b":")
    command_id = fields[0].strip()
    if len(fields) < 6 or not command_id.isascii():
        raise LineError(_why_no_command(fields), command_id_of(line))
    try:
        baudrate = int(fields[3]) if fields[3].strip() else 0
        frame = bytes.fromhex(fields[4].decode())
        response_length = int(fields[5])
        timeout = float(fields[6]) if len(fields) > 6 else None
    except ValueError:
        raise LineError(_why_no_value(fields), command_id) from None
    if not 0 < baudrate <= MAX_BAUDRATE and fields[3].strip():
        raise LineError(f"baudrate {_quoted(fields[3])} is not from 1 to {MAX_BAUDRATE}, or empty", command_id)
    if timeout is not None and not MIN_TIMEOUT <= timeout <= MAX_TIMEOUT:
        timeout = _clamped(timeout, command_id)
    try:
        check_request_frame(frame)
    except FrameError as error:
        raise LineError(_why_no_frame(frame, error), command_id) from None
    port = fields[2].strip().decode("utf-8", "replace")
    command = Command(command_id, port, baudrate, frame, max(0, response_length), timeout)
    return command._replace(**_overrides(fields[7:], command_id)) if len(fields) > 7 else command


def command_id_of(line: bytes) -> bytes:
    """The id of a line that may be no command: the text before its first colon; empty if that is no valid id."""
    command_id, colon, _ = line.partition(b":")
    command_id = command_id.strip()
    return command_id if colon and command_id.isascii() else b""


def _clamped(timeout: float, command_id: bytes) -> float:
    if not 0 < timeout < inf:  # nan fails this too
        raise LineError(f"timeout {timeout:g} is no time to wait, give seconds from 0.05 to 60", command_id)
    return min(max(timeout, MIN_TIMEOUT), MAX_TIMEOUT)


def _age(text: str) -> float:
    """Parses an age in seconds. Unlike Python's ``float``, it refuses underscores.

    :raises ValueError: if it is no number of seconds from 0 to 3600.
    """
    age = float(text)
    if "_" in text or not 0 <= age <= MAX_AGE:  # nan fails this too
        raise ValueError(text)
    return age


_OVERRIDES: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "parity": ({one: one for one in "NEOMS"}.__getitem__, "one of N, E, O, M, S"),
    "bytesize": ({"7": 7, "8": 8}.__getitem__, "one of 7, 8"),
    "stopbits": ({"1": 1, "2": 2}.__getitem__, "one of 1, 2"),
    "retries": ({str(count): count for count in range(101)}.__getitem__, "one of 0 to 100"),
    "priority": ({one.upper(): one for one in PRIORITIES}.__getitem__, f"one of {', '.join(PRIORITIES)}"),
    "max_age": (_age, f"a number of seconds from 0 to {MAX_AGE:g}"),
}
"""The keys that may follow the timeout. Each has a parser, which gets the value in capitals, and a description of its
values for a person."""


def _overrides(fields: list[bytes], command_id: bytes) -> dict[str, Any]:
    """Parses the ``key=value`` fields. It ignores a field without ``=``, as the original servers did."""
    found = {}
    for field in fields:
        key, equals, text = field.decode("ascii", "replace").partition("=")
        if not equals:
            continue
        key, text = key.strip().lower(), text.strip().upper()
        if key not in _OVERRIDES:
            raise LineError(f"unknown key {_quoted(field)}, there are {', '.join(_OVERRIDES)}", command_id)
        value_of, values = _OVERRIDES[key]
        try:
            found[key] = value_of(text)
        except (KeyError, ValueError):
            raise LineError(f"{_quoted(field)} cannot be, {key} is {values}", command_id) from None
    return found


# -- what is wrong with a line, for a person ------------------------------------------------------------------------


def _why_no_command(fields: list[bytes]) -> str:
    if not fields[0].isascii():
        return "the id has bytes that are not ASCII"
    if len(fields) == 1:
        return f"no command, send {_FORMAT}; or type help"
    return f"{len(fields)} fields are too few, send {_FORMAT}"


def _why_no_value(fields: list[bytes]) -> str:
    """Names the first field that cannot be read."""
    if fields[3].strip() and not _reads(int, fields[3]):
        return f"baudrate {_quoted(fields[3])} is no whole number"
    if not _reads(lambda text: bytes.fromhex(text.decode()), fields[4]):
        return f"{_quoted(fields[4])} is not hex, two digits a byte"
    if not _reads(int, fields[5]):
        return f"response length {_quoted(fields[5])} is no whole number, send 0 if it is not known"
    return f"timeout {_quoted(fields[6])} is no number of seconds"


def _reads(kind: Any, field: bytes) -> bool:
    try:
        kind(field)
    except ValueError:
        return False
    return True


def _why_no_frame(frame: bytes, error: FrameError) -> str:
    """Says what is wrong with a frame, for a person who computes CRCs."""
    good = crc16(frame) == 0
    if good and len(frame) > OVERHEAD + 2 and frame[-2:] == b"\0\0":  # the CRC of a whole valid frame is 0
        return "the frame has its CRC twice, leave out the last two bytes"
    if not good and len(frame) >= 2 and request_length(frame + b"\0\0", 1) == len(frame) - 1:
        return f"the CRC is missing, append {_right_crc(frame)}"
    if not good and len(frame) > OVERHEAD:
        return f"wrong CRC {_hex(frame[-2:])}, the right one of the bytes before it is {_right_crc(frame[:-2])}"
    return str(error)


def _right_crc(body: bytes) -> str:
    return _hex(crc_bytes(body))


def _hex(data: bytes) -> str:
    return data.hex().upper()


def _quoted(field: bytes) -> str:
    return quoted(field.strip().decode("ascii", "replace"), 24)


# -- answers ---------------------------------------------------------------------------------------------------------

Dialect = Literal["v1", "v2"]
HexStyle = Literal["compact", "spaced"]

MAX_ERROR_LINE: Final = 256
"""The limit of an error line, in bytes, its newline included: a v2 client reads that many at once."""

_PROVEN: Final = frozenset({"exception", "invalid", "not_allowed"})
"""The reasons that v1 calls MISMATCH: the device refused, the line was wrong, or a rule forbids it. Any other reason
proves nothing."""


class Answer(NamedTuple):
    """The answer to one command.

    :param frame: the whole RTU frame of the reply; empty if a broadcast was sent, or if there is a reason.
    :param stamp: seconds since 1970, by the server's clock.
    :param reason: why there is no reply; it begins with a stable token. Empty if there is a reply.
    """

    command_id: bytes
    frame: bytes
    stamp: float
    reason: str = ""


def parse_answer(line: bytes) -> Answer:
    """Parses an answer line of dialect v2.

    :param line: without its newline.
    :raises LineError: if the line is no answer; with the id with which the line begins.
    """
    command_id, *fields = line.strip().split(b":")
    try:
        stamp = float(fields[-1])
        if fields[0] == b"ERROR" and len(fields) > 2:
            return Answer(command_id, b"", stamp, b" ".join(fields[1:-1]).decode("ascii", "replace") or "error")
        if len(fields) == 2:
            return Answer(command_id, bytes.fromhex(fields[0].decode("ascii")), stamp)
    except (ValueError, IndexError):
        pass
    shown = line[:80].decode("ascii", "replace")
    raise LineError(f"{shown!r} is no answer; is it a Lumina server, and does it speak dialect v2?", command_id)


def format_reply(
    command_id: bytes, frame: bytes, stamp: float, dialect: Dialect = "v2", hex_style: HexStyle = "compact"
) -> bytes:
    """Encodes the answer line of a command that got its reply.

    :param frame: the reply's whole RTU frame; empty for a broadcast that was sent.
    :param stamp: seconds since 1970; v1 leaves it out.
    """
    if dialect == "v1":
        return b"%b:%b\n" % (command_id, hexlify(frame))
    text = hexlify(frame, " ") if hex_style == "spaced" and frame else hexlify(frame)
    return b"%b:%b:%.4f\n" % (command_id, text.upper(), stamp)


def format_error(command_id: bytes, reason: str, stamp: float, dialect: Dialect = "v2") -> bytes:
    """Encodes the answer line of a command that failed.

    :param reason: one stable token, then free text. Characters that clients cannot read are replaced, and a long text
        is cut.
    :param stamp: seconds since 1970; v1 leaves it out.
    """
    if dialect == "v1":
        return b"%b:%b\n" % (command_id, b"MISMATCH" if reason.partition(" ")[0] in _PROVEN else b"TIMEOUT")
    text = " ".join(reason.replace(":", " ").split()).encode("ascii", "replace")
    tail = b":%.6f\n" % stamp
    room = max(MAX_ERROR_LINE - len(command_id) - len(b":ERROR:") - len(tail), len(text.partition(b" ")[0]))
    if len(text) > room:
        text = text[:room - 3].rstrip() + b"..." if b" " in text[:room - 3] else text[:room]
    return b"%b:ERROR:%b%b" % (command_id, text, tail)


def reason_of(error: LuminaError) -> str:
    """The reason of an error line: the error's stable token, then its sentence; ``exception N name`` for a device's
    exception."""
    if isinstance(error, ModbusException):
        return f"exception {error.code} {error.title}"
    return f"{error.token} {error}"
