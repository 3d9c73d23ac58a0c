"""All errors that Lumina raises on purpose, in one tree. Floor 0.

Three questions decide the class. What did the device answer (:class:`ModbusException`)? What happened to a request
that got no reply (:class:`NotSent`, :class:`ResponseTimeout`, :class:`PortLost`, :class:`OutcomeUnknown`)? What did the
caller do wrong (:class:`RequestError`, :class:`ConfigError`)?

``token`` is a stable word that a client program may compare; the message is a sentence for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from lumina_twisted.text import shown


class LuminaError(Exception):
    """The base of all errors that Lumina raises on purpose. A message may quote foreign text, and is safe to print."""

    token: ClassVar[str] = "error"

    def __init__(self, message: str = "") -> None:
        super().__init__(shown(message))


class ConfigError(LuminaError):
    """A configuration that cannot be used; ``faults`` holds one ``path: sentence`` each."""

    token = "invalid"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__()
        self.faults = tuple(map(shown, faults))
        self.args = ("\n".join(self.faults),)


class PortError(LuminaError):
    """A port could not be opened or set up; the message names the port, the cause and the remedy."""

    token = "port_closed"


class LineError(LuminaError):
    """A line of a text protocol is not valid.

    :param command_id: the id or tag of the line, by which its client finds the answer; empty if it has none.
    """

    token = "invalid"

    def __init__(self, message: str, command_id: bytes = b"") -> None:
        super().__init__(message)
        self.command_id = command_id


class ModbusError(LuminaError):
    """One request failed; the attributes identify it.

    :param unit: unit identifier of the request, if known.
    :param function_code: its function code, if known.
    :param frame: the bytes of the error, if any: a whole frame if there is one, as in a client, else the PDU.
    """

    def __init__(
        self, message: str, *, unit: int | None = None, function_code: int | None = None, frame: bytes = b""
    ) -> None:
        super().__init__(message)
        self.unit = unit
        self.function_code = function_code
        self.frame = frame


class RequestError(ModbusError):
    """The request cannot be framed, or the definition of its function forbids it."""

    token = "invalid"


class UnknownName(RequestError):
    """There is no value, or no device, of that name; the message suggests a similar name."""

    token = "unknown_name"


class NotWritable(RequestError):
    """The description of the value does not allow writing it."""

    token = "not_writable"


class FrameError(ModbusError):
    """Bytes that are no frame: they are too short, have a wrong CRC, or a length that contradicts the function code."""

    token = "frame_error"


class NotSent(ModbusError):
    """The request never reached the wire, so the device has not carried it out."""

    token = "not_sent"


class Expired(NotSent):
    """The deadline of the request left no time to send it."""

    token = "expired"


class QueueFull(NotSent):
    """The port's queue is full, or the client's share of it."""

    token = "queue_full"


class Overloaded(NotSent):
    """The server has as many clients, or the port as many requests, as it can serve in time."""

    token = "overloaded"


class NotAllowed(NotSent):
    """A rule of the port forbids the request; the message names the rule."""

    token = "not_allowed"


class NotConnected(NotSent):
    """There is no connection to the server; the message says why and what to do."""

    token = "not_connected"


class PortClosed(NotSent):
    """The port is not open; the message says why and what to do."""

    token = "port_closed"


class UnitOffline(NotSent):
    """The unit has not answered for a while. Lumina asks it again soon; until then, requests to it fail at once."""

    token = "unit_offline"


class Cancelled(ModbusError):
    """The caller cancelled the request: a read at any time, any other request before it was sent."""

    token = "cancelled"


class Stopping(NotSent):
    """The service is stopping and starts nothing new."""

    token = "stopping"


class ResponseTimeout(ModbusError):
    """The request was sent and changes nothing on the device, and no reply to it came in time."""

    token = "timeout"


class PortLost(ModbusError):
    """The port vanished while a request that changes nothing on the device waited for its reply."""

    token = "port_closed"


class OutcomeUnknown(ModbusError):
    """A write was sent, and nothing proves its outcome: the device may or may not have carried it out."""

    token = "outcome_unknown"


class NotTaken(ModbusError):
    """The device confirmed a write, but holds another value."""

    token = "not_taken"


class ModbusException(ModbusError):
    """The device answered with an exception (Modbus Application Protocol V1.1b3, section 7)."""

    token = "exception"
    code: int = 0
    title: ClassVar[str] = "exception"

    def __init__(
        self, message: str = "", *, code: int = 0, unit: int | None = None,
        function_code: int | None = None, frame: bytes = b"",
    ) -> None:
        self.code = code or type(self).code
        whose = "" if unit is None else f"unit {unit} refused function {function_code}: "
        message = message or f"{whose}exception {self.code} {self.title}"
        super().__init__(message, unit=unit, function_code=function_code, frame=frame)


class IllegalFunction(ModbusException):
    """01: the device does not support this function, or not in its present state."""

    code, title = 1, "illegal function"


class IllegalDataAddress(ModbusException):
    """02: the device has no such address, or the range leaves its table."""

    code, title = 2, "illegal data address"


class IllegalDataValue(ModbusException):
    """03: a field of the request has a value that the device does not allow."""

    code, title = 3, "illegal data value"


class ServerDeviceFailure(ModbusException):
    """04: the device failed while it carried out the request."""

    code, title = 4, "server device failure"


class Acknowledge(ModbusException):
    """05: the device has accepted the request, and still works on it."""

    code, title = 5, "acknowledge"


class ServerDeviceBusy(ModbusException):
    """06: the device is busy with a long operation; ask again later."""

    code, title = 6, "server device busy"


class NegativeAcknowledge(ModbusException):
    """07: the program function cannot be performed (Modicon PI-MBUS-300, appendix A)."""

    code, title = 7, "negative acknowledge"


class MemoryParityError(ModbusException):
    """08: extended memory failed its consistency check."""

    code, title = 8, "memory parity error"


class GatewayPathUnavailable(ModbusException):
    """0A: a gateway has no path to the unit."""

    code, title = 10, "gateway path unavailable"


class GatewayTargetDeviceFailedToRespond(ModbusException):
    """0B: a gateway got no reply from the unit."""

    code, title = 11, "gateway target device failed to respond"


class ServerError(ModbusError):
    """The server has an internal error, or gave a reason that this client does not know."""

    token = "error"


EXCEPTION_CLASSES: dict[int, type[ModbusException]] = {
    cls.code: cls
    for cls in (
        IllegalFunction, IllegalDataAddress, IllegalDataValue, ServerDeviceFailure, Acknowledge, ServerDeviceBusy,
        NegativeAcknowledge, MemoryParityError, GatewayPathUnavailable, GatewayTargetDeviceFailedToRespond,
    )
}


def exception_from_code(
    code: int, *, unit: int | None = None, function_code: int | None = None, frame: bytes = b""
) -> ModbusException:
    """The error for a device's exception code. A code that the specification does not name keeps its number."""
    return EXCEPTION_CLASSES.get(code, ModbusException)(
        code=code, unit=unit, function_code=function_code, frame=frame
    )


def error_from_reason(
    reason: str, *, unit: int | None = None, function_code: int | None = None, frame: bytes = b"", is_read: bool = False
) -> ModbusError:
    """The error for the text that a server sent: a stable token, then a sentence.

    :param is_read: whether the request leaves the device unchanged. After an unknown reason, the outcome of a write is
        unknown.
    """
    token, _, sentence = reason.partition(" ")
    code = sentence.partition(" ")[0]
    if token == "exception" and code.isdecimal() and 0 < int(code) < 256:
        return exception_from_code(int(code), unit=unit, function_code=function_code, frame=frame)
    kind = _BY_TOKEN.get(token)
    if kind is None:
        kind, sentence = ServerError if is_read else OutcomeUnknown, f"the server says {reason!r}"
    return kind(sentence or reason, unit=unit, function_code=function_code, frame=frame)


_BY_TOKEN: dict[str, type[ModbusError]] = {
    cls.token: cls
    for cls in (
        RequestError, NotSent, Expired, QueueFull, Overloaded, PortClosed, UnitOffline, Cancelled, Stopping,
        ResponseTimeout, OutcomeUnknown, UnknownName, NotWritable, NotAllowed, NotTaken,
    )
}
