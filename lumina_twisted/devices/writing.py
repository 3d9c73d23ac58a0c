"""A point is read from its device, or written to it, floor 3."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError, inlineCallbacks
from twisted.python.failure import Failure

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.devices.describe.description import Point
from lumina_twisted.errors import Cancelled, Expired, FrameError, LuminaError, NotSent, NotTaken, NotWritable, QueueFull
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.ports.interfaces import Port

READS: Final[dict[str, type[Any]]] = {
    "coil": pdu.ReadCoilsRequest, "discrete": pdu.ReadDiscreteInputsRequest,
    "holding": pdu.ReadHoldingRegistersRequest, "input": pdu.ReadInputRegistersRequest,
}
"""The request that reads each table."""


def read_point(port: Port, caller: Caller, unit: int, point: Point, timeout: float) -> Deferred[Sequence[int]]:
    """The entries of a point, read anew; fails as :meth:`lumina_twisted.ports.interfaces.Port.request` says."""
    width = point.codec.width
    request = READS[point.table](point.address, width).encode()
    asked = port.request(caller, unit, request, Terms(timeout, max_age=0.0))
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
    port: Port, caller: Caller, unit: int, point: Point, name: str, value: Value, until: float,
    now: Callable[[], float], note: str = "",
) -> Any:
    """Writes a value, and looks whether the device took it where the description wants that.

    A bit of a register, or a set of bits some of which have no name, is written with the others as they are: the
    register is read before. The write of another program between the two is lost; nothing in Modbus but function 22
    avoids that, and few devices have it. Those who write by name have their turns for it, see
    :mod:`lumina_twisted.devices.writing`.

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
        before = read_point(port, caller, unit, point, max(0.0, until - now()))
        current = yield before.addErrback(_not_read_before, name)
    entries = codec.encode(value, current)
    terms = Terms(max(0.0, until - now()), note=note)
    yield port.request(caller, unit, _writing(point, entries).encode(), terms)
    if not point.read_back:
        return ""
    try:
        held = yield read_point(port, caller, unit, point, max(0.0, until - now()))
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


MOST_WAITING: Final = 1000
"""Writes of one unit that may wait or be under way: some 30 clients that each ask for as many as they may."""


class _Turn:
    """One write: the entries it touches, and the Deferred of whoever waits until it may begin."""

    __slots__ = ("_end", "_first", "_table", "after", "before", "may_begin")

    def __init__(self, point: Point) -> None:
        self._table, self._first, self._end = point.table, point.address, point.end
        self.may_begin: Deferred[None] = Deferred()
        self.before = 0
        """How many it waits for."""
        self.after: list[_Turn] = []
        """Those that wait for it."""

    def meets(self, other: _Turn) -> bool:
        """Whether both touch one entry."""
        return self._table == other._table and self._first < other._end and other._first < self._end


class Turns:
    """The writes of all units, in the order in which they came.

    :param clock: for delayed calls.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._turns: dict[Hashable, dict[_Turn, None]] = {}
        self._ready: deque[_Turn] = deque()
        self._is_advancing = False

    @inlineCallbacks
    def run(self, place: Hashable, point: Point, timeout: float, work: Callable[[], Deferred[Any]]) -> Any:
        """Does the work when its turn has come.

        :param place: the port and the unit.
        :param timeout: seconds that its caller waits for that.
        :return: a Deferred that ends as the work does. It fails with :class:`~lumina_twisted.errors.Expired` if the
            turn did not come in time, with :class:`~lumina_twisted.errors.QueueFull` if too many wait. Cancelling it
            gives the turn away, or cancels the work.
        """
        turn = self._queue(place, point)
        try:
            self._advance()
            yield self._when_it_may(turn, timeout)
            return (yield work())
        finally:
            self._leave(place, turn)

    def _when_it_may(self, turn: _Turn, timeout: float) -> Deferred[None]:
        return turn.may_begin.addTimeout(timeout, self._clock).addErrback(_too_late)

    def _queue(self, place: Hashable, point: Point) -> _Turn:
        turn, turns = _Turn(point), self._turns.setdefault(place, {})
        if len(turns) >= MOST_WAITING:
            raise QueueFull(f"not sent, {len(turns)} writes wait for this unit already; try again later")
        for other in turns:
            if other.meets(turn):
                other.after.append(turn)
                turn.before += 1
        turns[turn] = None
        if not turn.before:
            self._ready.append(turn)
        return turn

    def _leave(self, place: Hashable, turn: _Turn) -> None:
        turns = self._turns[place]
        del turns[turn]
        if not turns:
            del self._turns[place]
        for other in turn.after:
            other.before -= 1
            if not other.before and other in turns:
                self._ready.append(other)
        self._advance()

    def _advance(self) -> None:
        """Lets those begin that wait for nobody. One that begins may end before that returns, and hundreds may end at
        once: so it is this loop that goes on, and not one within the other."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._ready:
                turn = self._ready.popleft()
                if not turn.may_begin.called:  # else its caller has left, or its time was over
                    turn.may_begin.callback(None)
        finally:
            self._is_advancing = False


def _too_late(failure: Failure) -> None:
    failure.trap(TimeoutError)
    raise Expired("not sent, the writes before it to the same place took too long")
