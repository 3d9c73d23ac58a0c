"""The errors with which a request ends without a normal reply, each with the text that its caller gets.

This module decides one thing for all of them, rule 3 of the core: a write that was sent ends as *outcome unknown*,
whatever went wrong; the error of a write that was not sent says so.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.bus.pending import Pending
from lumina_twisted.errors import (
    Expired,
    GatewayTargetDeviceFailedToRespond,
    ModbusError,
    ModbusException,
    NotSent,
    OutcomeUnknown,
    Overloaded,
    PortClosed,
    PortLost,
    RequestError,
    ResponseTimeout,
    ServerDeviceFailure,
    Stopping,
    UnitOffline,
    exception_from_code,
)
from lumina_twisted.modbus.functions import EXCEPTION_FLAG
from lumina_twisted.statistics.counters import HEARD, Counters

LAST_OF_THE_REQUEST: Final = ServerDeviceFailure.code
"""Exceptions up to this code concern the request, or may concern it. Higher codes concern the device or a gateway."""
REMEDY: Final = (
    "check the wiring, its termination and bias, the speed and parity, and that no two units share an address"
)
"""The advice against damaged replies."""


def _unknown(request: Pending, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"function {request.pdu[0]} was sent to unit {request.unit} and {why};"
        " the device may or may not have carried it out",
        unit=request.unit, function_code=request.pdu[0], frame=request.pdu,
    )


def _ended(kind: type[ModbusError], request: Pending, sentence: str) -> ModbusError:
    return kind(sentence, unit=request.unit, function_code=request.pdu[0], frame=request.pdu)


def no_reply(request: Pending, port: str) -> ModbusError:
    """The request was sent, and no proven reply came in time; perhaps only damaged replies, or that the device is
    busy."""
    if request.busy:
        return exception(request, request.busy, port)
    times = "once" if request.attempts == 1 else f"{request.attempts} times"
    if request.remark:
        return _useless_reply(request, port, times)
    damaged = _damaged(request)
    if damaged and not request.is_read:
        return _unknown(request, f"its reply came {damaged} (sent {times})")
    if not request.is_read:
        return _unknown(request, f"no reply came (sent {times})")
    if damaged:
        return _ended(
            ResponseTimeout, request,
            f"the reply of unit {request.unit} on {port} to function {request.pdu[0]} came {damaged}, asked {times};"
            f" {REMEDY}",
        )
    return _ended(
        ResponseTimeout, request,
        f"unit {request.unit} on {port} did not answer function {request.pdu[0]}, asked {times};"
        " check its address, its settings and the wiring",
    )


def _damaged(request: Pending) -> str:
    """How the replies were damaged, if any came; with several failed attempts, the count of each kind."""
    kinds = [kind for kind in HEARD if kind in request.heard]
    if len(request.heard) == 1:
        return "".join(HEARD[kind] for kind in kinds)
    return ", ".join(f"{HEARD[kind]} {request.heard.count(kind)} times".replace(" 1 times", " once") for kind in kinds)


def _useless_reply(request: Pending, port: str, times: str) -> ModbusError:
    """A message came that is not the reply; it may explain why no reply came."""
    if not request.is_read:
        return _unknown(request, f"no usable reply came (sent {times}): {request.remark}")
    return _ended(
        ResponseTimeout, request,
        f"unit {request.unit} on {port} gave no usable reply to function {request.pdu[0]}, asked {times}:"
        f" {request.remark}",
    )


def expired(request: Pending, port: str) -> ModbusError:
    """The bus had no time for the request before its deadline."""
    if request.attempts:
        return no_reply(request, port)
    if request.canaries:
        return silent(request, port)
    return _ended(Expired, request, f"not sent, {port} had no time for it before its deadline")


def overloaded(request: Pending, port: str, wait: float, cause: str = "") -> ModbusError:
    """The requests that already wait will take longer than the caller waits.

    :param cause: why the bus is slow, if the reason is not the number of requests.
    """
    return _ended(
        Overloaded, request,
        f"not sent, what waits for {port} already takes {wait:.1f} s, which is too long for it;"
        f" {cause or 'ask less often, or wait longer'}",
    )


def port_closed(request: Pending, port: str, why: str) -> ModbusError:
    """The port was not open when the request came."""
    return _ended(PortClosed, request, f"{port} is not open, {why}")


def not_sent(request: Pending, why: str) -> ModbusError:
    """The frame of the request could not be sent."""
    return _ended(NotSent, request, why)


def unit_offline(request: Pending, port: str) -> ModbusError:
    """The request was not sent, because its unit answers no request."""
    return _ended(
        UnitOffline, request,
        f"not sent, unit {request.unit} on {port} does not answer; it is tried again every few seconds; check"
        " its power, its address, its settings and the wiring",
    )


def silent(request: Pending, port: str) -> ModbusError:
    """The request was not sent, because its unit answers neither earlier requests nor canaries."""
    return _ended(
        ResponseTimeout if request.is_read else UnitOffline, request,
        f"not sent, unit {request.unit} on {port} does not answer, neither what it was asked before nor whether it is"
        " there; check its power, its address, its settings and the wiring",
    )


def port_lost(request: Pending, port: str, why: str) -> ModbusError:
    """The port was lost while the request waited."""
    if not request.attempts:
        return port_closed(request, port, why)
    if not request.is_read:
        return _unknown(request, f"{port} was lost before its reply came")
    return _ended(PortLost, request, f"{port} was lost before the reply came, {why}")


def stopping(request: Pending) -> ModbusError:
    """The service is stopping, and starts nothing new."""
    if request.attempts and not request.is_read:
        return _unknown(request, "the service stopped before its reply came")
    return _ended(Stopping, request, "the service is stopping")


def broadcast_read(request: Pending) -> ModbusError:
    """A read of unit 0 is refused, because no device answers a broadcast."""
    return _ended(RequestError, request, "a broadcast (unit 0) cannot read, nobody answers it")


def exception(request: Pending, code: int, port: str) -> ModbusError:
    """The device, or a gateway before it, answered with the exception ``code``. A gateway's exception that it got no
    reply does not prove that a write was not carried out."""
    if code == GatewayTargetDeviceFailedToRespond.code and not request.is_read:
        return _unknown(request, f"a gateway behind {port} got no reply (exception 11)")
    function = request.pdu[0]
    pdu = bytes((function | EXCEPTION_FLAG, code))
    return exception_from_code(code, unit=request.unit, function_code=function, frame=pdu)


def count(counters: Counters, error: ModbusError) -> None:
    """Counts how a request ended."""
    if isinstance(error, ModbusException):
        counters.exceptions += 1
    elif isinstance(error, OutcomeUnknown):
        counters.unknown_outcomes += 1
    elif isinstance(error, NotSent | RequestError):
        counters.not_sent += 1
    elif isinstance(error, PortLost):
        counters.lost += 1
    else:
        counters.timeouts += 1
