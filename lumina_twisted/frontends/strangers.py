"""Clients that speak another protocol, floor 4: this module recognises them by their first bytes. So a person finds a
sentence in the log instead of a silent connection. It also handles first lines that do not end.

Only unambiguous marks count: the CRC of an RTU frame, the zeros and the length of a Modbus TCP request, the handshake
of TLS, the method of HTTP. This also prevents a web page from making a browser send commands.

A program that does not send whole lines, such as the client stub of the original Lumina Server, sends a text and waits.
It gets a hint about the missing newline, which a person sees, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

from lumina_twisted.framing.crc import crc16
from lumina_twisted.modbus.functions import request_length
from lumina_twisted.text import quoted

LOOKED_AT: Final = 260
"""How many of the first bytes are checked: the length of the longest frame."""
_HTTP: Final = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"PRI * HTTP")
_SSH: Final = b"SSH-"
_TLS_HANDSHAKE: Final = b"\x16\x03"
_CLIENT_HELLO: Final = 1
_LEAST_RTU: Final = 4

RTU: Final = "this looks like Modbus RTU; listen with rtu-tcp for it"
MODBUS_TCP: Final = "this looks like Modbus TCP; listen with modbus-tcp for it"
TEXT: Final = "these are lines of text; listen with line or values for them"
TLS: Final = "this looks like TLS; listen at an endpoint that begins with ssl:, or connect without TLS"
HTTP: Final = "this looks like HTTP, which a browser speaks; no listener speaks it"
SSH: Final = "this looks like SSH; no listener speaks it"


def in_any(data: bytes) -> str:
    """A sentence about a client that speaks none of Lumina's protocols; empty if it may speak one of them."""
    if data.startswith(_HTTP):
        return HTTP
    if data.startswith(_SSH):
        return SSH
    is_tls = data.startswith(_TLS_HANDSHAKE) and len(data) > 5 and data[2] <= 4 and data[5] == _CLIENT_HELLO
    return TLS if is_tls else ""


def in_modbus_tcp(data: bytes) -> str:
    """A sentence about a client of a Modbus TCP listener that speaks another protocol; empty if it does not."""
    if other := in_any(data):
        return other
    if is_rtu(data):
        return RTU
    return TEXT if _is_text(data) else ""


def in_rtu(data: bytes) -> str:
    """The same for a client of an RTU listener."""
    if other := in_any(data):
        return other
    if is_modbus_tcp(data):
        return MODBUS_TCP
    return TEXT if _is_text(data) else ""


def in_lines(data: bytes) -> str:
    """The same for a client of a listener of text lines."""
    if other := in_any(data):
        return other
    if is_modbus_tcp(data):
        return MODBUS_TCP
    return RTU if is_rtu(data) else ""


def is_rtu(data: bytes) -> bool:
    """Whether the data begins with a whole RTU request: the length that its function determines, and a valid CRC."""
    if len(data) < _LEAST_RTU:
        return False
    length = 1 + request_length(data, 1) + 2
    return _LEAST_RTU <= length <= len(data) and crc16(data[:length]) == 0


def is_modbus_tcp(data: bytes) -> bool:
    """Whether the data begins with a whole Modbus TCP request whose header and function agree on its length."""
    if len(data) < 8 or data[2:5] != b"\0\0\0":
        return False
    return data[5] == 1 + request_length(data, 7) and len(data) >= 6 + data[5]


def _is_text(data: bytes) -> bool:
    """Whether the data begins with a whole line of printable characters with a letter or a digit."""
    line, newline, _ = data.partition(b"\n")
    return bool(newline) and any(chr(one).isalnum() for one in line) and line.strip().isascii() and all(
        32 <= one < 127 or one in b"\t\r" for one in line
    )


PATIENCE: Final = 3.0
"""Seconds that a client's first line may take. A client that has sent a whole line gets no hint."""


def hint(text: bytes) -> bytes:
    """The hint for a client whose first line does not end."""
    return (
        f"# a line ends with a newline, and {_shown(text)} has none yet; what is sent without one, as by the client"
        " stub of the original Lumina Server, is for a listener of the protocol `echo`\n"
    ).encode()


def fault(text: bytes) -> str:
    """The answer to a line whose end never came. It is not carried out, as it may be only a part of a line."""
    return f"the last line, {_shown(text)}, has no newline at its end, and was not carried out; send one"


def _shown(text: bytes) -> str:
    return quoted(text.decode("utf-8", "replace").strip())


class FirstLine:
    """Waits for the end of a client's first line, once the client has begun it.

    :param clock: for its delayed call.
    :param too_long: called when the line has not ended in time.
    """

    def __init__(self, clock: Any, too_long: Callable[[], None]) -> None:
        self._clock = clock
        self._too_long = too_long
        self._call: IDelayedCall | None = None
        self.is_over = False

    def begun(self) -> None:
        """A part of the line has come."""
        if self._call is None and not self.is_over:
            self._call = self._clock.callLater(PATIENCE, self._look)

    def over(self) -> None:
        """The line has ended, or never will."""
        self.is_over = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        self.is_over = True
        self._too_long()
