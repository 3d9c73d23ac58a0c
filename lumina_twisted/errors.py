"""The one exception tree, floor 0.

Three questions decide the class: what did the device say (:class:`ModbusException`), what became of a
request that got no reply (:class:`NotSent`, :class:`ResponseTimeout`, :class:`PortLost`, :class:`OutcomeUnknown`),
and what did the caller get wrong (:class:`RequestError`, :class:`ConfigError`).

``token`` is the stable word a client program may compare; the message is a sentence for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from lumina_twisted.text import shown


class LuminaError(Exception):
    """Every error that Lumina raises on purpose. Its message quotes what others gave, and is fit to be printed."""

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
    """A line of the text protocol that is no command.

    ``command_id`` is what of the line names it, so that the answer reaches its caller; empty if nothing does.
    """

    token = "invalid"

    def __init__(self, message: str, command_id: bytes = b"") -> None:
        super().__init__(message)
        self.command_id = command_id


class ModbusError(LuminaError):
    """Something went wrong with one request; the attributes say with which.

    :param unit: unit identifier of the request, if known.
    :param function_code: its function code, if known.
    :param frame: the bytes concerned, if any.
    """

    def __init__(
        self, message: str, *, unit: int | None = None, function_code: int | None = None, frame: bytes = b""
    ) -> None:
        super().__init__(message)
        self.unit = unit
        self.function_code = function_code
        self.frame = frame


class RequestError(ModbusError):
    """The caller asked for what cannot be framed, or what the function's own definition forbids."""

    token = "invalid"


class UnknownName(RequestError):
    """There is no value, or no device, of that name; the message says which name is near."""

    token = "unknown_name"


class NotWritable(RequestError):
    """Its description does not allow that the value is written."""

    token = "not_writable"


class FrameError(ModbusError):
    """Bytes that are no frame: too short, a wrong CRC, or a length that the function code contradicts."""

    token = "frame_error"


class NotSent(ModbusError):
    """The request never reached the wire: whatever it asked for has not been done."""

    token = "not_sent"


class Expired(NotSent):
    """Its deadline left no time to put it on the wire."""

    token = "expired"


class QueueFull(NotSent):
    """The port's queue, or the client's share of it, holds no more."""

    token = "queue_full"


class Overloaded(NotSent):
    """The server serves as many clients, or the port as many requests, as it can in time."""

    token = "overloaded"


class NotAllowed(NotSent):
    """A rule of the port's forbids it; the message names the rule."""

    token = "not_allowed"


class NotConnected(NotSent):
    """There is no connection to the server; the message says why and what to do."""

    token = "not_connected"


class PortClosed(NotSent):
    """The port is not open; the message says why and what to do."""

    token = "port_closed"


class UnitOffline(NotSent):
    """The unit has not answered for a while; it is asked again soon, and until then nobody waits for it."""

    token = "unit_offline"


class Cancelled(ModbusError):
    """Its caller took it back: before it was sent, or a read at any time."""

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
    """A write was sent and there is no proof of it: the device may or may not have carried it out."""

    token = "outcome_unknown"


class NotTaken(ModbusError):
    """A write was confirmed, and the device holds another value."""

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
        told = f"exception {self.code} {self.title}"
        who = "" if unit is None else f"unit {unit} refused function {function_code}: "
        super().__init__(message or who + told, unit=unit, function_code=function_code, frame=frame)


class IllegalFunction(ModbusException):
    """01: the device does not know this function, or not now."""

    code, title = 1, "illegal function"


class IllegalDataAddress(ModbusException):
    """02: the device has no such address, or the range leaves its table."""

    code, title = 2, "illegal data address"


class IllegalDataValue(ModbusException):
    """03: a field of the request holds what the device does not allow."""

    code, title = 3, "illegal data value"


class ServerDeviceFailure(ModbusException):
    """04: the device failed while it carried the request out."""

    code, title = 4, "server device failure"


class Acknowledge(ModbusException):
    """05: accepted, and still being worked on."""

    code, title = 5, "acknowledge"


class ServerDeviceBusy(ModbusException):
    """06: busy with something long; ask again later."""

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
    """The server failed in a way of its own, or gave a reason that this client does not know."""

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
    """The exception for a device's exception code; a code the spec does not name keeps its number."""
    return EXCEPTION_CLASSES.get(code, ModbusException)(
        code=code, unit=unit, function_code=function_code, frame=frame
    )


def error_from_reason(
    reason: str, *, unit: int | None = None, function_code: int | None = None, frame: bytes = b"", is_read: bool = False
) -> ModbusError:
    """The error that a server told as text: a stable token, then a sentence.

    :param is_read: whether the request leaves the device as it was. After a reason that nobody knows a write's outcome
        is unknown.
    """
    token, _, sentence = reason.partition(" ")
    about = {"unit": unit, "function_code": function_code, "frame": frame}
    if token == "exception":
        code = sentence.partition(" ")[0]
        if code.isdecimal() and 0 < int(code) < 256:
            return exception_from_code(int(code), unit=unit, function_code=function_code, frame=frame)
    known = _BY_TOKEN.get(token)
    if known is not None:
        return known(sentence or reason, **about)  # type: ignore[arg-type]
    kind = ServerError if is_read else OutcomeUnknown
    return kind(f"the server says {reason!r}", **about)  # type: ignore[arg-type]


_BY_TOKEN: dict[str, type[ModbusError]] = {
    cls.token: cls
    for cls in (
        RequestError, NotSent, Expired, QueueFull, Overloaded, PortClosed, UnitOffline, Cancelled, Stopping,
        ResponseTimeout, OutcomeUnknown, UnknownName, NotWritable, NotAllowed, NotTaken,
    )
}
