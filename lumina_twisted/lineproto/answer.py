"""An answer line, floor 0: how the one answer to a command is written, and how a client reads it.

An answer has one of two dialects. ``v2`` is what clients since 2025-01 read: ``id:HEX:seconds.4f`` and
``id:ERROR:reason:seconds.6f``. ``v1`` is for those before: ``id:hex``, and the words ``TIMEOUT`` and ``MISMATCH``
instead of reasons, for any other word is lost on them.

Both readers take a colon for the next field; one of them reads 256 bytes at a time and loses a line that is longer.
Hence no colon in a reason, no error longer than that, and no blanks in the hex unless asked for.
"""

from __future__ import annotations

from binascii import hexlify
from typing import Final, Literal, NamedTuple

from lumina_twisted.errors import LineError, LuminaError, ModbusException

Dialect = Literal["v1", "v2"]
HexStyle = Literal["compact", "spaced"]

MAX_ERROR_LINE: Final = 256
"""Bytes of the longest error line, its newline included: what a v2 client reads at once."""

_PROVEN: Final = frozenset({"exception", "invalid", "not_allowed"})
"""The reasons that v1 calls MISMATCH: the device said no, the line was wrong, or a rule forbids it. After any other
nothing is proven."""


class Answer(NamedTuple):
    """The answer to one command.

    :param frame: the reply's whole RTU frame; empty for a broadcast that was sent, and with a reason.
    :param stamp: seconds since 1970, by the server's clock.
    :param reason: why there is no reply, its stable token first; empty if there is one.
    """

    command_id: bytes
    frame: bytes
    stamp: float
    reason: str = ""


def parse_answer(line: bytes) -> Answer:
    """The answer that a line of dialect v2 says.

    :param line: without its newline.
    :raises LineError: if it is none, with the id it begins with.
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
    """The answer line of a command that got its reply.

    :param frame: the reply's whole RTU frame; empty for a broadcast that was sent.
    :param stamp: seconds since 1970; v1 does not tell it.
    """
    if dialect == "v1":
        return b"%b:%b\n" % (command_id, hexlify(frame))
    text = hexlify(frame, " ") if hex_style == "spaced" and frame else hexlify(frame)
    return b"%b:%b:%.4f\n" % (command_id, text.upper(), stamp)


def format_error(command_id: bytes, reason: str, stamp: float, dialect: Dialect = "v2") -> bytes:
    """The answer line of a command that got none.

    :param reason: one stable token, then free text; what no client could read in it is replaced, and what is too
        long cut.
    :param stamp: seconds since 1970; v1 does not tell it.
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
    """Why a command failed: the error's stable token, then its sentence; ``exception N name`` for a device's own."""
    if isinstance(error, ModbusException):
        return f"exception {error.code} {error.title}"
    return f"{error.token} {error}"
