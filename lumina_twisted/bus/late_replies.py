"""Replies that may still come: rule 2 of the core, "only evidence ends a doubt, never time alone". Floor 1.

RTU has no transaction number. An attempt that got no reply in time leaves its *shape* (unit, function, length) in
doubt: a reply of that shape may still come, and would look like the reply to the next request of that shape. So no
other request of that shape goes on the wire until something proves that the device has nothing more to say for the
attempt. A device answers in order, so there are two proofs:

* the late reply itself;
* the reply to a *later* request of the same unit, of a shape that cannot be confused with it. A client's own request
  is such a proof; where none waits the bus asks itself, see :mod:`lumina_twisted.bus.canary`.

Several attempts of one request share their replies: the first reply answers it, whichever attempt it belongs to, and
counts as that of the oldest, so that what it proves is never too much.

When to look for the proof is learned per unit: where replies are lost, at once, for nothing will come; where they are
late, after a moment, for then the late reply itself is the cheapest proof.

With ``canary = "off"`` there may be no later request, and time must do: a doubt then lasts for the *late window*, as
long again as the response timeout and the reply's time on the wire, more for a unit that was late, 5 s at most. What
comes even later is handed to the wrong request.

A bus with numbered replies (Modbus TCP) has no doubts: whatever carries an old number never gets here.
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
"""A window is this much longer than the longest lateness seen."""
SHRINKING: Final = 0.98
"""By which each reply in time multiplies what was learned."""
MARGIN: Final = 0.05
"""What a device, a driver and a busy machine may add, in seconds."""
SHORTEST_WINDOW: Final = 0.01
"""What was learned is forgotten when it has shrunk to so many seconds."""
_WEIGHT: Final = 0.5
"""Of the latest missing reply, in whether a unit's are late or lost."""
_TENDS: Final = 0.4
"""A unit whose mean is above this is taken for one whose missing replies come late."""
_MOST_OF_A_UNIT: Final = 1024
"""Shapes in doubt that are kept for one unit; there are hardly more."""
_SEARCHED: Final = 8
"""Late replies of one unit, and of others, that are searched for behind noise too."""


class _Unit:
    """What is in doubt of one unit, and how it usually is with its missing replies."""

    __slots__ = ("canary_at", "lateness", "of", "tends_to_be_late")

    def __init__(self) -> None:
        self.of: dict[Shape, LateReply] = {}
        self.lateness = 0.0  # seconds, with room for growth
        self.tends_to_be_late = 0.0  # 0: missing replies are lost, 1: they come late
        self.canary_at = 0.0  # when the next canary may go


class LateReplies:
    """All late replies of one bus.

    :param proves: whether doubts of a unit end by evidence; without it, by time.
    :param is_numbered: whether replies carry the number of their request.
    """

    def __init__(self, proves: tuple[bool, ...], is_numbered: bool = False) -> None:
        self._proves = proves
        self._is_numbered = is_numbered
        self.units: dict[int, _Unit] = {}
        """By number, those that a reply was ever missing from."""
        self.count = 0
        """Shapes in doubt."""
        self.lost: list[LateReply] = []
        """Those that will not come any more, for who takes them."""

    def __iter__(self) -> Iterator[LateReply]:
        for unit in self.units.values():
            yield from unit.of.values()

    # -- what comes and goes -------------------------------------------------------------------------------------

    def add(self, request: Pending, number: int, expired_at: float, window: float) -> LateReply:
        """Notes that attempt ``number`` of the bus, one of ``request``'s, got no reply by ``expired_at``."""
        unit = self._unit(request.unit)
        late = unit.of.get(request.pattern.shape)
        # A canary that found no free shape never takes the place of a doubt: its reply counts as that one's.
        if late is None or (late.request is not request and request.kind is not Kind.CANARY):
            late = self._keep(unit, LateReply(request, expired_at))
        late.add(number)
        late.lapses = max(late.lapses, expired_at + window)
        return late

    def sending(self, request: Pending, now: float) -> None:
        """A request goes on the wire. Where replies are numbered, the connection drops what comes for another of its
        function from now on; where time ends a doubt, what has lapsed long ago is forgotten."""
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
        """Another master asked: the reply to that is in doubt, too.

        :param request: what it asked.
        :param number: one more than that of our last attempt.
        """
        unit = self._unit(request.unit)
        late = unit.of.get(key_of_other(request.pattern.shape)) or self._keep(unit, LateReply(request, now))
        late.add(number)

    def late_reply_came(self, late: LateReply, now: float) -> None:
        """A late reply came: it counts as that to its oldest attempt."""
        unit = self._unit(late.request.unit)
        lateness = max(0.0, now - late.expired_at)
        if late.teaches:
            unit.lateness = min(LONGEST_WINDOW, max(unit.lateness, GROWTH * lateness))
            unit.tends_to_be_late += (1.0 - unit.tends_to_be_late) * _WEIGHT
        number = late.take()
        if not late.numbers:
            self._drop(unit, late.key)
        if late.request.kind is not Kind.OTHER_MASTER:  # it may have been on the wire before ours that left meanwhile
            self._proven(unit, number)

    def replied_in_time(self, request: Pending, number: int, expires: float, window: float) -> None:
        """Attempt ``number`` of a request was answered in time; if others of its attempts were not, nobody can tell
        which was."""
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
        """A frame came that belongs to the oldest attempt of ``late`` or to a later one. Either way that attempt is not
        answered any more, so a unit that answers everything by exceptions, which look alike, is not in doubt for ever.
        """
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
        """The connection is a new one, and its replies are numbered: nothing of the old one counts. The bus has ended
        what waited for late replies, so nobody is left to tell."""
        for unit in self.units.values():
            for shape in list(unit.of):
                self._drop(unit, shape)

    # -- what may go ---------------------------------------------------------------------------------------------

    def doubt(self, request: Pending) -> LateReply | None:
        """What ``request`` would have to be told apart from, and could not be."""
        unit = self.units.get(request.unit)
        return None if unit is None else self._doubt_of(unit, request.pattern.shape, request)

    def doubt_of_shape(self, shape: Shape) -> LateReply | None:
        """The same, of a request that is yet to be made."""
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
        """Whether ``request`` waits for what proves that its own reply, which came too soon, is not another's; or that
        another request of its function was answered, though wrongly, so that an exception is its own."""
        own = self._own(request)
        if own is not None and own.held is not None:
            return True
        code = request.pattern.shape.function_code
        return any(
            late.is_misanswered and late.request is not request and shape.function_code == code
            for shape, late in self.in_doubt(request.unit).items()
        )

    def ready_at(self, late: LateReply) -> float:
        """From when on a request that ``late`` keeps from the wire may have a turn: to look for the proof, or where
        time ends a doubt, to go."""
        unit = self.units[late.request.unit]
        if not self._proves[late.request.unit]:
            return late.lapses
        return max(unit.canary_at, self.look_at(late))

    def look_at(self, late: LateReply) -> float:
        """When it is time to look for a proof, or to ask again: at once if missing replies of that unit are lost, and
        after a moment if they come late."""
        if not self._proves[late.request.unit]:
            return late.expired_at if late.is_damaged else late.lapses
        unit = self.units[late.request.unit]
        waits = unit.tends_to_be_late > _TENDS and not late.is_damaged and late.held is None
        return late.expired_at + unit.lateness if waits else late.expired_at

    def pause(self, unit_id: int, until: float) -> None:
        """A canary was not answered; the next one may go ``until`` then."""
        unit = self._unit(unit_id)
        unit.canary_at = until
        for late in unit.of.values():
            late.is_misanswered = False  # who can go without this proof waits no longer for it

    def in_doubt(self, unit_id: int) -> dict[Shape, LateReply]:
        """What is in doubt of a unit, by shape; for looking at."""
        unit = self.units.get(unit_id)
        return {} if unit is None else unit.of

    def window(self, unit_id: int, response_timeout: float, reply_time: float) -> float:
        """How long after its response timeout a late reply is waited for, in seconds."""
        unit = self.units.get(unit_id)
        late = max(response_timeout, 0.0 if unit is None else unit.lateness)
        return min(LONGEST_WINDOW, late + reply_time + MARGIN)

    # -- whose frame it is ---------------------------------------------------------------------------------------

    def fitting(self, unit_id: int, pdu: bytes) -> list[LateReply]:
        """The late replies that a PDU of a unit could be, oldest first. An exception could be that to any request of
        its function."""
        unit = self.units.get(unit_id)
        if unit is None or not unit.of:
            return []
        code = pdu[0] & ~EXCEPTION_FLAG
        fitting = [late for shape, late in unit.of.items() if shape.function_code == code and late.fits(pdu)]
        return fitting if len(fitting) < 2 else sorted(fitting, key=lambda late: late.numbers[0])

    def patterns(self, unit_id: int | None) -> list[ReplyPattern]:
        """Those that are worth a search behind noise too: the latest of the unit that was asked last, and some of
        others."""
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
        if self.units[late.request.unit] is unit:  # the latest last
            self.units[late.request.unit] = self.units.pop(late.request.unit)
        return late

    def _drop(self, unit: _Unit, shape: Shape) -> LateReply:
        self.count -= 1
        return unit.of.pop(shape)

    def _proven(self, unit: _Unit, number: int, but_for: int = 0) -> None:
        """What was asked before attempt ``number`` is not answered any more; but for what has this function, where time
        lets a request go whose reply could be another's."""
        for shape, late in list(unit.of.items()):
            if late.numbers[0] >= number or shape.function_code == but_for:
                continue
            late.forget_before(number)
            if not late.numbers:
                self.lost.append(self._drop(unit, shape))
                if late.teaches and not late.is_damaged:
                    unit.tends_to_be_late -= unit.tends_to_be_late * _WEIGHT
