"""Writes a point to its device, floor 3. Writes that touch the same entries of a unit take turns.

A client that writes a value and reads it back must find its own value. A client that writes one bit of a register must
not overwrite what another client has just changed. So a write waits for all earlier writes that touch one of its
entries, whichever client sent them. Writes to other entries do not wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.python.failure import Failure

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.devices.describe.description import Point, read_request
from lumina_twisted.errors import Cancelled, Expired, FrameError, LuminaError, NotSent, NotTaken, NotWritable, QueueFull
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.ports.interfaces import Port

MOST_WAITING: Final = 1000
"""Writes of one unit that may wait or be under way: enough for some 30 clients at their own limits."""


def checked_value(unit: int, point: Point, name: str, value: Value) -> Value:
    """Returns the value to write, if the point can take it. This check uses no bus time.

    :param value: a text is parsed as a person types it.
    :param name: of the point, for error messages.
    :raises NotWritable: if the point cannot be written.
    :raises RequestError: if the value does not fit.
    """
    if not point.writable:
        raise NotWritable(f"{name} cannot be written; its description has no `writable = true`", unit=unit)
    codec = point.codec
    if isinstance(value, str) and codec.type != "string":
        value = codec.parse(value)
    codec.encode(value, [0] * codec.width if codec.needs_current else None)
    return value


@frozen
class PointWrite:
    """One write to a point.

    A point may be one bit of a register, or a set of bits of which some have no name. Then the write first reads the
    register, and writes the other bits back unchanged. If another program writes between this read and this write, its
    write is lost. In Modbus only function 22 avoids that, and few devices have it. Writes by name take turns, so that
    they do not lose each other's changes.

    :param name: of the point, for error messages.
    :param left: returns the seconds for which the caller still waits.
    """

    port: Port
    caller: Caller
    unit: int
    point: Point
    name: str
    left: Callable[[], float]

    async def carry_out(self, value: Value, note: str) -> str:
        """Writes a value. If the description of the point demands it, reads the value back and compares.

        It fails as :meth:`lumina_twisted.ports.interfaces.Port.request` says of a write; with
        :class:`~lumina_twisted.errors.NotWritable`, :class:`~lumina_twisted.errors.RequestError` or
        :class:`~lumina_twisted.errors.NotTaken`; or with :class:`~lumina_twisted.errors.NotSent`, or a subclass, if the
        register could not be read before the write.

        :param note: the text for the log of writes.
        :return: a sentence that says why the confirmed value could not be read back; empty if it was read back, or
            need not be.
        """
        codec = self.point.codec
        value = checked_value(self.unit, self.point, self.name, value)
        entries = codec.encode(value, await self._read_before() if codec.needs_current else None)
        request = _write_request(self.point, entries).encode()
        await self.port.request(self.caller, self.unit, request, Terms(self.left(), note=note))
        if not self.point.read_back:
            return ""
        try:
            held = await self._read()
        except LuminaError as error:  # the write is confirmed all the same
            return str(error)
        if not codec.agrees(held, entries, self.point.tolerance):
            raise NotTaken(
                f"{self.name} was written and confirmed, and the device holds {codec.format(codec.decode(held))}"
                f" instead of {codec.format(codec.decode(entries))}", unit=self.unit,
            )
        return ""

    async def _read(self) -> Sequence[int]:
        """Reads the entries of the point from the device."""
        quantity = self.point.codec.width
        request = read_request(self.point.table, self.point.address, quantity)
        reply = await self.port.request(self.caller, self.unit, request, Terms(self.left(), max_age=0.0))
        read: Any = pdu.decode_reply(reply)
        values: Sequence[int] = read.values[:quantity]
        if len(values) < quantity:
            raise FrameError(
                f"unit {self.unit} gave {len(values)} of {quantity} entries", unit=self.unit, frame=reply
            )
        return values

    async def _read_before(self) -> Sequence[int]:
        """Reads the registers before the write. If the read fails, the error says that nothing was written: the bare
        error of the read, such as an exception, could look like the outcome of the write."""
        try:
            return await self._read()
        except Cancelled:
            raise
        except LuminaError as error:
            kind = type(error) if isinstance(error, NotSent) else NotSent
            raise kind(
                f"{self.name} was not written: it is some bits of a register, and the others, which must stay as they"
                f" are, could not be read: {error}", unit=getattr(error, "unit", None),
            ) from None


def _write_request(point: Point, entries: Sequence[int]) -> pdu.Request:
    single = len(entries) == 1 and point.write != "multiple"
    if point.table == "coil":
        if single:
            return pdu.WriteSingleCoilRequest(point.address, bool(entries[0]))
        return pdu.WriteMultipleCoilsRequest(point.address, [bool(one) for one in entries])
    if single:
        return pdu.WriteSingleRegisterRequest(point.address, entries[0])
    return pdu.WriteMultipleRegistersRequest(point.address, entries)


# -- turns ------------------------------------------------------------------------------------------------------------


class _Turn:
    """One write: the entries that it touches, and the Deferred that fires when it may begin."""

    __slots__ = ("_end", "_first", "_table", "after", "before", "may_begin")

    def __init__(self, point: Point) -> None:
        self._table, self._first, self._end = point.table, point.address, point.end
        self.may_begin: Deferred[None] = Deferred()
        self.before = 0
        """The number of writes that it waits for."""
        self.after: list[_Turn] = []
        """The writes that wait for it."""

    def meets(self, other: _Turn) -> bool:
        """Whether both touch the same entry."""
        return self._table == other._table and self._first < other._end and other._first < self._end


class WriteTurns:
    """Orders the writes of all units: writes that touch the same entry run in the order in which they came.

    :param clock: for delayed calls.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._turns: dict[Hashable, dict[_Turn, None]] = {}
        self._ready: deque[_Turn] = deque()
        self._is_advancing = False

    async def run(
        self, place: Hashable, point: Point, timeout: float, work: Callable[[], Awaitable[str]]
    ) -> str:
        """Runs ``work`` when the turn of this write has come.

        It fails with :class:`~lumina_twisted.errors.Expired` if the turn does not come in time, and with
        :class:`~lumina_twisted.errors.QueueFull` if too many writes wait. If the caller cancels it, the write leaves
        the queue, or the work is cancelled.

        :param place: the port and the unit.
        :param timeout: seconds that the caller waits for the turn.
        """
        turn = self._queue(place, point)
        try:
            self._advance()
            await turn.may_begin.addTimeout(timeout, self._clock).addErrback(_too_late)
            return await work()
        finally:
            self._leave(place, turn)

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
        """Starts the writes that wait for no other. A write may end before ``callback`` returns, and hundreds may end
        at once. So a nested call returns at once, and the outermost loop starts the rest: the stack does not grow."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._ready:
                turn = self._ready.popleft()
                if not turn.may_begin.called:  # else its caller cancelled, or its timeout passed
                    turn.may_begin.callback(None)
        finally:
            self._is_advancing = False


def _too_late(failure: Failure) -> None:
    failure.trap(TimeoutError)
    raise Expired("not sent, the writes before it to the same place took too long")
