"""A point is read from its device, or written to it, floor 3."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python.failure import Failure

from lumina_twisted.devices.description import Point
from lumina_twisted.errors import Cancelled, FrameError, LuminaError, NotSent, NotTaken, NotWritable
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.ports.interfaces import Port

READS: Final[dict[str, type[Any]]] = {
    "coil": pdu.ReadCoilsRequest, "discrete": pdu.ReadDiscreteInputsRequest,
    "holding": pdu.ReadHoldingRegistersRequest, "input": pdu.ReadInputRegistersRequest,
}
"""The request that reads each table."""


def read_point(port: Port, client: Hashable, unit: int, point: Point, timeout: float) -> Deferred[Sequence[int]]:
    """The entries of a point, read anew; fails as :meth:`lumina_twisted.ports.interfaces.Port.request` says."""
    width = point.codec.width
    request = READS[point.table](point.address, width).encode()
    asked = port.request(client, unit, request, timeout=timeout, max_age=0.0)
    return asked.addCallback(partial(_values, width))


def _values(quantity: int, frame: bytes) -> Sequence[int]:
    reply: Any = pdu.decode_reply(frame[1:-2])
    values: Sequence[int] = reply.values[:quantity]
    if len(values) < quantity:
        raise FrameError(f"unit {frame[0]} gave {len(values)} of {quantity} entries", unit=frame[0], frame=frame)
    return values


def checked_value(unit: int, point: Point, name: str, value: Value) -> Value:
    """The value that is meant, where the point can be set to it: what does not fit costs the bus nothing.

    :param value: a text is understood as a person types it.
    :param name: of the point, for sentences.
    :raises NotWritable: or :class:`~lumina_twisted.errors.RequestError`.
    """
    if not point.writable:
        raise NotWritable(f"{name} cannot be written; its description has no `writable = true`", unit=unit)
    codec = point.codec
    if isinstance(value, str) and codec.type != "string":
        value = codec.parse(value)
    codec.encode(value, [0] * codec.width if codec.needs_current else None)
    return value


@inlineCallbacks
def write_point(
    port: Port, client: Hashable, unit: int, point: Point, name: str, value: Value, until: float,
    now: Callable[[], float], note: str = "",
) -> Any:
    """Writes a value, and looks whether the device took it where the description wants that.

    A bit of a register, or a set of bits some of which have no name, is written with the others as they are: the
    register is read before. The write of another program between the two is lost; nothing in Modbus but function 22
    avoids that, and few devices have it. Those who write by name have their turns for it, see
    :mod:`lumina_twisted.devices.write_turns`.

    :param name: of the point, for sentences.
    :param until: when its caller waits no longer.
    :param note: what the log of writes says of it.
    :return: a Deferred that fires when the device has confirmed the write: with nothing, or with a sentence that says
        why the value could not be read back. It fails as :meth:`lumina_twisted.ports.interfaces.Port.request` says of a
        write, with :class:`~lumina_twisted.errors.NotWritable`, :class:`~lumina_twisted.errors.RequestError` or
        :class:`~lumina_twisted.errors.NotTaken`; with :class:`~lumina_twisted.errors.NotSent`, or a subclass, if the
        register could not be read before.
    """
    codec = point.codec
    value = checked_value(unit, point, name, value)
    current = None
    if codec.needs_current:
        before = read_point(port, client, unit, point, max(0.0, until - now()))
        current = yield before.addErrback(_not_read_before, name)
    entries = codec.encode(value, current)
    yield port.request(client, unit, _writing(point, entries).encode(), timeout=max(0.0, until - now()), note=note)
    if not point.read_back:
        return ""
    try:
        held = yield read_point(port, client, unit, point, max(0.0, until - now()))
    except LuminaError as error:  # the write is confirmed all the same
        return str(error)
    if not codec.agrees(held, entries, point.tolerance):
        raise NotTaken(
            f"{name} was written and confirmed, and the device holds {codec.format(codec.decode(held))} instead of"
            f" {codec.format(codec.decode(entries))}", unit=unit,
        )
    return ""


def _not_read_before(failure: Failure, name: str) -> None:
    """Why a write was not sent: not a word of it may read as if it had been, as an exception's would."""
    error = failure.value
    if isinstance(error, Cancelled) or not isinstance(error, LuminaError):
        failure.raiseException()
    kind = type(error) if isinstance(error, NotSent) else NotSent
    raise kind(
        f"{name} was not written: it is some bits of a register, and the others, which must stay as they are, could not"
        f" be read: {error}", unit=getattr(error, "unit", None),
    )


def _writing(point: Point, entries: Sequence[int]) -> pdu.Request:
    single = len(entries) == 1 and point.write != "multiple"
    if point.table == "coil":
        if single:
            return pdu.WriteSingleCoilRequest(point.address, bool(entries[0]))
        return pdu.WriteMultipleCoilsRequest(point.address, [bool(one) for one in entries])
    if single:
        return pdu.WriteSingleRegisterRequest(point.address, entries[0])
    return pdu.WriteMultipleRegistersRequest(point.address, entries)
