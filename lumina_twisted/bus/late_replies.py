"""Replies that may still come: rule 2 of the core, "only evidence ends a doubt, never time alone". Floor 1.

RTU has no transaction number. When an attempt gets no reply in time, its *shape* (unit, function, length) is in doubt:
a reply of that shape may still come, and would look like the reply to the next request of that shape. So no other
request of that shape goes on the wire until something proves that the device will not answer the attempt any more. A
device answers in order, so there are two proofs:

* the late reply itself;
* the reply to a *later* request to the same unit whose shape cannot be confused with that of the attempt. A client's
  request can be this proof. If none waits, the bus sends a request of its own, see :mod:`lumina_twisted.bus.canary`.

All attempts of one request share their replies. The first reply answers the request, whichever attempt it belongs to.
It counts as the reply to the oldest attempt, so that it never proves too much.

The bus learns for each unit when to look for the proof. If the unit's missing replies are lost, the bus looks at once,
because nothing will come. If they are late, it waits a moment, because the late reply itself is the cheapest proof.

With ``canary = "off"`` there may be no later request, so time has to end a doubt. The doubt then lasts for the *late
window*: as long again as the response timeout and the reply's time on the wire, longer for a unit that was late, 5 s at
most. A reply that comes after the window goes to the wrong request.

A bus with numbered replies (Modbus TCP) has no doubts: a reply with an old number never gets here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.bus.transaction import LateReply, key_of_other
from lumina_twisted.modbus.functions import EXCEPTION_FLAG
from lumina_twisted.modbus.reply import ReplyPattern, Shape

LONGEST_WINDOW: Final = 5.0
GROWTH: Final = 1.5
"""Factor from the longest lateness seen to the learned lateness."""
SHRINKING: Final = 0.98
"""Factor by which each reply in time reduces the learned lateness."""
MARGIN: Final = 0.05
"""Seconds that a device, a driver and a busy machine may add."""
SHORTEST_WINDOW: Final = 0.01
"""Seconds. A learned lateness that has shrunk below this is forgotten."""
_WEIGHT: Final = 0.5
"""Weight of the latest missing reply in the mean that says whether a unit's missing replies are late or lost."""
_TENDS: Final = 0.4
"""If a unit's mean is above this, its missing replies are expected to come late."""
_MOST_OF_A_UNIT: Final = 1024
"""Most shapes in doubt that are kept for one unit. A real unit hardly has more."""
_SEARCHED: Final = 8
"""How many late replies of the unit asked last, and of other units, are searched for behind noise too."""


class _Unit:
    """The doubts of one unit, and what was learned of its missing replies."""

    __slots__ = ("canary_at", "lateness", "of", "tends_to_be_late")

    def __init__(self) -> None:
        self.of: dict[Shape, LateReply] = {}
        self.lateness = 0.0  # seconds, with room for growth
        self.tends_to_be_late = 0.0  # 0: missing replies are lost, 1: they come late
        self.canary_at = 0.0  # when the next canary may go


class LateReplies:
    """All late replies of one bus.

    :param proves: for each unit, whether evidence ends its doubts; otherwise time does.
    :param is_numbered: whether replies carry the number of their request.
    """

    def __init__(self, proves: tuple[bool, ...], is_numbered: bool = False) -> None:
        self._proves = proves
        self._is_numbered = is_numbered
        self.units: dict[int, _Unit] = {}
        """The units of which at least one reply was missing, by number."""
        self.count = 0
        """Shapes in doubt."""
        self.lost: list[LateReply] = []
        """Late replies that will not come any more, until the bus takes them from here."""

    def __iter__(self) -> Iterator[LateReply]:
        for unit in self.units.values():
            yield from unit.of.values()

    # -- doubts begin and end ------------------------------------------------------------------------------------

    def add(self, request: Pending, number: int, expired_at: float, window: float) -> LateReply:
        """Notes that an attempt of ``request``, number ``number`` of the bus, got no reply by ``expired_at``."""
        unit = self._unit(request.unit)
        late = unit.of.get(request.pattern.shape)
        # A canary that found no free shape never replaces a doubt: its reply counts as the late reply of that doubt.
        if late is None or (late.request is not request and request.kind is not Kind.CANARY):
            late = self._keep(unit, LateReply(request, expired_at))
        late.add(number)
        late.lapses = max(late.lapses, expired_at + window)
        return late

    def sending(self, request: Pending, now: float) -> None:
        """A request goes on the wire, which ends some doubts of its unit. If replies are numbered, the connection drops
        replies to earlier requests of the same function from now on. If time ends doubts, those that lapsed long ago
        are forgotten."""
        unit = self.units.get(request.unit)
        if unit is None:
            return
        for shape, late in list(unit.of.items()):
            of_its_function = self._is_numbered and shape.function_code == request.pattern.shape.function_code
            lapsed = not self._proves[request.unit] and not self._is_numbered and (
                late.lapses + LONGEST_WINDOW < now or (late.request is request and late.lapses <= now)
            )
            if of_its_function or lapsed:
                self._drop(unit, shape)

    def other_asked(self, request: Pending, number: int, now: float) -> None:
        """Another master sent a request: its reply is in doubt, too.

        :param request: the other master's request.
        :param number: one more than the number of our last attempt.
        """
        unit = self._unit(request.unit)
        late = unit.of.get(key_of_other(request.pattern.shape)) or self._keep(unit, LateReply(request, now))
        late.add(number)

    def late_reply_came(self, late: LateReply, now: float) -> None:
        """A late reply came. It counts as the reply to the oldest attempt."""
        unit = self._unit(late.request.unit)
        lateness = max(0.0, now - late.expired_at)
        if late.teaches:
            unit.lateness = min(LONGEST_WINDOW, max(unit.lateness, GROWTH * lateness))
            unit.tends_to_be_late += (1.0 - unit.tends_to_be_late) * _WEIGHT
        number = late.take()
        if not late.numbers:
            self._drop(unit, late.key)
        # Another master's request proves nothing: it may have been on the wire before ours that left meanwhile.
        if late.request.kind is not Kind.OTHER_MASTER:
            self._proven(unit, number)

    def replied_in_time(self, request: Pending, number: int, expires: float, window: float) -> None:
        """Attempt ``number`` of a request was answered in time. If other attempts of the request were not answered,
        nobody can tell which attempt this reply answers."""
        unit = self.units.get(request.unit)
        if unit is None:
            return
        own = unit.of.get(request.pattern.shape)
        if own is not None and own.request is request:
            own.add(number)
            own.lapses = max(own.lapses, expires + window)
            number = own.take()
            own.held = None
        unit.canary_at = 0.0
        self._proven(unit, number, 0 if self._proves[request.unit] else request.pdu[0])

    def ambiguous_reply_came(self, late: LateReply) -> None:
        """A frame came that belongs to the oldest attempt of ``late`` or to a later one. Either way the oldest attempt
        gets no other reply. Without this rule, a unit that answers everything by exceptions, which look alike, would
        stay in doubt for ever."""
        unit, number = self._unit(late.request.unit), late.numbers[0]
        if late.held is None:
            late.take()
            if not late.numbers:
                self.lost.append(self._drop(unit, late.key))
        self._proven(unit, number)

    def reply_in_time_from(self, unit_id: int) -> None:
        """A reply of a unit came in time."""
        unit = self.units.get(unit_id)
        if unit is None or not unit.lateness:
            return
        unit.lateness *= SHRINKING
        if unit.lateness < SHORTEST_WINDOW:
            unit.lateness = 0.0

    def forget(self) -> None:
        """The connection is new and its replies are numbered, so no doubt of the old connection counts. The bus has
        already ended the requests that waited for late replies, so none of them needs a notification."""
        for unit in self.units.values():
            for shape in list(unit.of):
                self._drop(unit, shape)

    # -- which request may go ------------------------------------------------------------------------------------

    def doubt(self, request: Pending) -> LateReply | None:
        """The late reply that looks like the reply to ``request``; None if there is none."""
        unit = self.units.get(request.unit)
        return None if unit is None else self._doubt_of(unit, request.pattern.shape, request)

    def doubt_of_shape(self, shape: Shape) -> LateReply | None:
        """The same for a request that does not exist yet."""
        unit = self.units.get(shape.unit)
        return None if unit is None else self._doubt_of(unit, shape, None)

    def has_own(self, request: Pending) -> bool:
        """Whether an earlier attempt of ``request`` may still be answered."""
        return bool(self.count) and self._own(request) is not None

    def has_of_its_function(self, request: Pending) -> bool:
        """Whether anything may still come of ``request``'s unit and function."""
        code = request.pattern.shape.function_code
        return any(shape.function_code == code for shape in self.in_doubt(request.unit))

    def needs_proof(self, request: Pending) -> bool:
        """Whether ``request`` waits for a proof. There are two cases. Its reply came too soon, and may be another's.
        Or another request of its function got a wrong reply: until it is proven that this one gets no other reply, an
        exception to ``request`` could belong to it."""
        own = self._own(request)
        if own is not None and own.held is not None:
            return True
        code = request.pattern.shape.function_code
        return any(
            late.is_misanswered and late.request is not request and shape.function_code == code
            for shape, late in self.in_doubt(request.unit).items()
        )

    def ready_at(self, late: LateReply) -> float:
        """The time from which a request that ``late`` holds back may have a turn. The bus uses that turn to look for
        the proof or, if time ends doubts, to send the request."""
        unit = self.units[late.request.unit]
        if not self._proves[late.request.unit]:
            return late.lapses
        return max(unit.canary_at, self.look_at(late))

    def look_at(self, late: LateReply) -> float:
        """When to look for a proof, or to repeat the request: at once if the unit's missing replies are lost, and after
        a moment if they come late."""
        if not self._proves[late.request.unit]:
            return late.expired_at if late.is_damaged else late.lapses
        unit = self.units[late.request.unit]
        waits = unit.tends_to_be_late > _TENDS and not late.is_damaged and late.held is None
        return late.expired_at + unit.lateness if waits else late.expired_at

    def pause(self, unit_id: int, until: float) -> None:
        """A canary was not answered. The next one may go at ``until``."""
        unit = self._unit(unit_id)
        unit.canary_at = until
        for late in unit.of.values():
            late.is_misanswered = False  # requests that can do without this proof wait no longer for it

    def in_doubt(self, unit_id: int) -> dict[Shape, LateReply]:
        """The doubts of a unit, by shape; the caller does not change them."""
        unit = self.units.get(unit_id)
        return {} if unit is None else unit.of

    def window(self, unit_id: int, response_timeout: float, reply_time: float) -> float:
        """For how many seconds after its response timeout a late reply is expected."""
        unit = self.units.get(unit_id)
        late = max(response_timeout, 0.0 if unit is None else unit.lateness)
        return min(LONGEST_WINDOW, late + reply_time + MARGIN)

    # -- whose frame it is ---------------------------------------------------------------------------------------

    def fitting(self, unit_id: int, pdu: bytes) -> list[LateReply]:
        """The late replies that a PDU of a unit could be, oldest first. An exception could answer any request of its
        function."""
        unit = self.units.get(unit_id)
        if unit is None or not unit.of:
            return []
        code = pdu[0] & ~EXCEPTION_FLAG
        fitting = [late for shape, late in unit.of.items() if shape.function_code == code and late.fits(pdu)]
        return fitting if len(fitting) < 2 else sorted(fitting, key=lambda late: late.numbers[0])

    def patterns(self, unit_id: int | None) -> list[ReplyPattern]:
        """The patterns that are worth a search behind noise too: the latest ones of the unit that was asked last, and
        some of other units."""
        found: list[ReplyPattern] = []
        asked = self.units.get(unit_id) if unit_id is not None else None
        if asked is not None:
            found.extend(late.pattern for late in list(asked.of.values())[-_SEARCHED:])
        for unit in reversed(self.units.values()):
            if len(found) >= 2 * _SEARCHED:
                break
            if unit is not asked and unit.of:
                found.append(next(reversed(unit.of.values())).pattern)
        return found

    # -- within --------------------------------------------------------------------------------------------------

    def _unit(self, unit_id: int) -> _Unit:
        unit = self.units.get(unit_id)
        if unit is None:
            unit = self.units[unit_id] = _Unit()
        return unit

    def _own(self, request: Pending) -> LateReply | None:
        unit = self.units.get(request.unit)
        own = None if unit is None else unit.of.get(request.pattern.shape)
        return own if own is not None and own.request is request else None

    def _doubt_of(self, unit: _Unit, shape: Shape, request: Pending | None) -> LateReply | None:
        if self._is_numbered:
            return None
        late = unit.of.get(shape)
        if late is None or late.request is request:
            return unit.of.get(key_of_other(shape))
        return late

    def _keep(self, unit: _Unit, late: LateReply) -> LateReply:
        shape = late.key
        if shape in unit.of or len(unit.of) >= _MOST_OF_A_UNIT:
            self._drop(unit, shape if shape in unit.of else next(iter(unit.of)))
        unit.of[shape] = late
        self.count += 1
        if self.units[late.request.unit] is unit:  # keeps the latest unit last
            self.units[late.request.unit] = self.units.pop(late.request.unit)
        return late

    def _drop(self, unit: _Unit, shape: Shape) -> LateReply:
        self.count -= 1
        return unit.of.pop(shape)

    def _proven(self, unit: _Unit, number: int, but_for: int = 0) -> None:
        """Attempts before attempt ``number`` get no reply any more.

        :param but_for: the function whose doubts stay. If time ends doubts, a request may go although the reply to it
            could be that to another request of its function. 0 if there is no such function.
        """
        for shape, late in list(unit.of.items()):
            if late.numbers[0] >= number or shape.function_code == but_for:
                continue
            late.forget_before(number)
            if not late.numbers:
                self.lost.append(self._drop(unit, shape))
                if late.teaches and not late.is_damaged:
                    unit.tends_to_be_late -= unit.tends_to_be_late * _WEIGHT
