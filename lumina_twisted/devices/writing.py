"""A point is written to its device, floor 3, and writes to the same entries of a unit take turns.

A client that writes and reads back must find its own value there, and a client that writes one bit of a register must
not put back what another has just changed. So a write to a point waits for those before it that touch one of its
entries, whoever sent them; writes to other entries do not wait.
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
"""Writes of one unit that may wait or be under way: some 30 clients that each ask for as many as they may."""


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


@frozen
class PointWrite:
    """One write to a point.

    A bit of a register, or a set of bits some of which have no name, is written with the others as they are: the
    register is read before. The write of another program between the two is lost; nothing in Modbus but function 22
    avoids that, and few devices have it. Writes by name have their turns for it.

    :param name: of the point, for sentences.
    :param left: the seconds that its caller still waits.
    """

    port: Port
    caller: Caller
    unit: int
    point: Point
    name: str
    left: Callable[[], float]

    async def carry_out(self, value: Value, note: str) -> str:
        """Writes a value, and checks that the device took it where the description wants that. It fails as
        :meth:`lumina_twisted.ports.interfaces.Port.request` says of a write; with
        :class:`~lumina_twisted.errors.NotWritable`, :class:`~lumina_twisted.errors.RequestError` or
        :class:`~lumina_twisted.errors.NotTaken`; with :class:`~lumina_twisted.errors.NotSent`, or a subclass, if the
        register could not be read before.

        :param note: what the log of writes says of it.
        :return: a sentence that says why the confirmed value could not be read back; empty if it was, or need not be.
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
        """The entries of the point, read anew."""
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
        """The registers as they are. The error says that nothing was written; that of the read alone, such as an
        exception, could read as if something had been."""
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
    """One write: the entries it touches, and the Deferred of the caller that waits until it may begin."""

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


class WriteTurns:
    """The writes of all units, in the order in which they came.

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
        """Does the work when its turn has come. It fails with :class:`~lumina_twisted.errors.Expired` if the turn did
        not come in time, with :class:`~lumina_twisted.errors.QueueFull` if too many wait. Cancelling it gives the turn
        away, or cancels the work.

        :param place: the port and the unit.
        :param timeout: seconds that its caller waits for that.
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
        """Lets those begin that wait for nobody. One that begins may end before that returns, and hundreds may end at
        once: so this loop goes on, and not one call within the other."""
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
