"""A point is read from its device, or written to it, floor 3."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError, inlineCallbacks

from lumina_twisted.devices.description import Point
from lumina_twisted.devices.turnstile import Turnstile
from lumina_twisted.errors import Expired, NotTaken, NotWritable
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.value_codec import Value
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
    return values


class Turns:
    """Of those who write bits of a unit's registers: each reads and writes before the next does, else the second would
    put back what the first has changed.

    :param clock: for delayed calls.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._locks: dict[Hashable, Turnstile] = {}

    @inlineCallbacks
    def run(self, place: Hashable, timeout: float, work: Callable[[], Deferred[None]]) -> Any:
        """Does the work when its turn has come.

        :return: a Deferred that ends as the work does, or fails with :class:`~lumina_twisted.errors.Expired` if it did
            not come within so many seconds.
        """
        lock = self._locks.setdefault(place, Turnstile())
        try:
            yield lock.acquire().addTimeout(timeout, self._clock)
        except TimeoutError:
            raise Expired("not sent, the bits that others write there took too long") from None
        try:
            yield work()
        finally:
            lock.release()
            if lock.is_empty:
                self._locks.pop(place, None)


@inlineCallbacks
def write_point(
    port: Port, client: Hashable, unit: int, point: Point, name: str, value: Value, until: float,
    now: Callable[[], float],
) -> Any:
    """Writes a value, and looks whether the device took it where the description wants that.

    A bit of a register, or a set of bits some of which have no name, is written with the others as they are: the
    register is read before. Those who write so have their :class:`Turns`. The write of somebody else between the two is
    lost; nothing in Modbus but function 22 avoids that, and few devices have it.

    :param name: of the point, for sentences.
    :param until: when its caller waits no longer.
    :return: a Deferred that fires with None; it fails as
        :meth:`lumina_twisted.ports.interfaces.Port.request` says, with
        :class:`~lumina_twisted.errors.NotWritable`, :class:`~lumina_twisted.errors.RequestError` or
        :class:`~lumina_twisted.errors.NotTaken`.
    """
    if not point.writable:
        raise NotWritable(f"{name} cannot be written; its description has no `writable = true`", unit=unit)
    codec = point.codec
    if isinstance(value, str) and codec.type != "string":
        value = codec.parse(value)
    current = None
    if codec.needs_current:
        codec.encode(value, [0] * codec.width)  # a value that does not fit costs the bus nothing
        current = yield read_point(port, client, unit, point, max(0.0, until - now()))
    entries = codec.encode(value, current)
    request = _writing(point, entries).encode()
    yield port.request(client, unit, request, timeout=max(0.0, until - now()))
    if point.read_back:
        held = yield read_point(port, client, unit, point, max(0.0, until - now()))
        if (taken := codec.decode(held)) != (wanted := codec.decode(entries)):
            raise NotTaken(
                f"{name} was written and confirmed, and the device holds {codec.format(taken)} instead of"
                f" {codec.format(wanted)}", unit=unit,
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
