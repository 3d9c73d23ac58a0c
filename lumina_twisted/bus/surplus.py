"""Replies that come although nothing was asked, or sooner than they can: the work of a device, or a converter, that
answers a request twice. Floor 1.

A surplus reply looks like the reply to the next request of its shape, and shifts a steady stream of such requests by
one for ever. Three things keep it from that:

* **Too soon.** A reply cannot be complete before our frame and its own bytes have had their time on the wire. And one
  that takes less than 0.7 of the least time that replies of its shape took lately is suspicious. Such a reply is held:
  if another one comes, that counts; if a canary proves that no other comes, it was the reply after all.
* **Convicted.** A reply while none is due, of the shape that its unit was asked for last, or the same as one of its
  last, convicts the unit of doubling. From then on each of its replies, also a late one or that to a canary, is
  followed by a *look-out*: as long as its copies have taken, and half as long again, no request goes out that the copy
  could answer, unless the copy comes before. The same holds for a reply that never came, once that is proven: it may
  have been sent, and damaged on its way, and its copy still comes whole. A unit that sends no copy in :data:`CLEAN`
  replies is acquitted; in more, if that has happened before.
* **Proof.** A stream of one shape proves nothing of itself. After :data:`STREAM` answers without a reply of another
  shape, and not so often that it takes more than a hundredth of the unit's time, a canary goes ahead.

The least time is learned, so a virtual port without wire time, whose replies beat the baud rate from the beginning,
is no exception: its least time is what it is.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from lumina_twisted.bus.canary import LENGTH
from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.framing.rtu import OVERHEAD
from lumina_twisted.modbus.functions import EXCEPTION_FLAG, FunctionCode
from lumina_twisted.modbus.reply import ReplyPattern, Shape

STREAM: Final = 100
"""Answers of one shape in a row after which a proof is due that they are not shifted."""
LONGEST_STREAM: Final = 3200
"""The same, for a unit that answers no canary."""
CLEAN: Final = 250
"""Replies without a copy after which a unit no longer counts as one that doubles; each time that it does again, four
times as many, up to:"""
MOST_CLEAN: Final = 16_000
_ENOUGH: Final = 4
"""Replies of a shape before its least time means anything."""
_LATELY: Final = 256
"""The least time is that of the last so many replies, or twice as many."""
_SOON: Final = 0.7
"""Of the least time: what takes less is too soon."""
_POSSIBLE: Final = 0.9
"""Of the time that the bytes take on the wire: a clock, or a baud rate, may be off by some per cent."""
_LONGER: Final = 1.5
"""A look-out is so many times as long as the longest time that a copy took."""
_SHORTEST: Final = 0.005
"""Seconds that a copy takes at least, as far as a look-out is concerned."""
_MARGIN: Final = 0.02
"""Seconds that a look-out is longer than that: what a USB adapter may keep bytes for."""
_RECENT: Final = 8
"""Last replies of a unit whose copies are recognised."""
LONGEST_LOOKOUT: Final = 2.0
"""Seconds; what comes later than that is no copy."""
_MOST_KEPT: Final = 2048
"""Shapes whose least time is kept."""


class _Least:
    """The least time of the last replies of one shape and length."""

    __slots__ = ("_before", "_count", "_lately", "count", "value")

    def __init__(self) -> None:
        self.value = self._lately = self._before = math.inf
        self.count = self._count = 0

    def note(self, time: float) -> None:
        """A reply took so long."""
        self.count += 1
        self._count += 1
        if time < self._lately:
            self._lately = time
            if time < self.value:
                self.value = time
        if self._count == _LATELY:
            self.value = self._before = self._lately
            self._lately, self._count = math.inf, 0


class _Unit:
    """The last answer of one unit, and how often it was of the same shape."""

    __slots__ = (
        "at", "bytes", "clean", "delay", "limit", "missing", "pattern", "recent", "shape", "streak", "watched",
    )

    def __init__(self, pattern: ReplyPattern) -> None:
        self.pattern = pattern
        self.shape = pattern.shape
        self.at = -math.inf
        self.streak = 0
        self.bytes = 0  # of that streak, both ways
        self.limit = STREAM
        self.delay = 0.0  # how long its copies take; 0 for a unit that does not double
        self.clean = 0  # replies since the last copy
        self.watched = CLEAN // 4  # so many of them acquit it
        self.recent: deque[tuple[bytes, float]] = deque(maxlen=_RECENT)  # no copy of which has come, and when they did
        self.missing: list[tuple[ReplyPattern, float]] = []  # replies that never came, and when that was proven

    def until(self, at: float) -> float:
        """Until when the copy of a reply that came at ``at`` may come."""
        return at + _LONGER * self.delay + _MARGIN


class Surplus:
    """What one bus knows of surplus replies.

    :param has_wire_time: whether bytes take their time, by the baud rate.
    """

    def __init__(self, has_wire_time: bool) -> None:
        self._has_wire_time = has_wire_time
        self._least: dict[tuple[Shape, int], _Least] = {}
        self._units: list[_Unit | None] = [None] * 256
        self.convicted = 0
        """Units that count as doubling."""
        self.unproven: set[int] = set()
        """Units with a stream of one shape that has proven nothing for long."""

    # -- too soon ------------------------------------------------------------------------------------------------

    def is_too_soon(self, request: Pending, length: int, took: float) -> bool:
        """Whether a reply with a PDU of ``length`` bytes that ``took`` so many seconds, from the first byte of the
        question to its own last, is probably an earlier one's. If it is not it shall be noted, once that is known."""
        shape = request.pattern.shape
        least = self._least.get((shape, length))
        if least is None:
            least = self._add(shape, length)
        value = least.value
        if least.count >= _ENOUGH:
            if took < _SOON * value:
                return True
            if self._has_wire_time and took < value:
                possible = (len(request.pdu) + length + 2 * OVERHEAD) * request.serial.bits / request.serial.baudrate
                if took < _POSSIBLE * possible <= possible <= value:
                    return True
        least.note(took)
        return False

    def was_not(self, request: Pending, length: int, took: float) -> None:
        """A reply that was held was the right one: it shows how soon they may come."""
        self._add(request.pattern.shape, length).note(took)

    def hold(self, request: Pending, length: int) -> float:
        """Seconds from the first byte of a question in which the reply comes as a rule, if it is not the one held."""
        least = self._least.get((request.pattern.shape, length))
        return 0.02 if least is None else max(0.02, 4 * least.value)

    # -- answers and copies --------------------------------------------------------------------------------------

    def answered(self, request: Pending, pdu: bytes, now: float) -> None:
        """A request was answered in time, by ``pdu``."""
        unit = self._units[request.unit]
        if unit is None:
            unit = self._units[request.unit] = _Unit(request.pattern)
        unit.recent.append((pdu, now))
        if unit.delay:
            self._count_clean(unit)
        shape = request.pattern.shape
        if shape is unit.shape or shape == unit.shape:
            unit.streak += 1
            unit.bytes += len(request.pdu) + len(pdu) + 2 * OVERHEAD
            if unit.streak >= unit.limit and unit.bytes >= unit.limit * LENGTH:
                self.unproven.add(request.unit)
        else:
            unit.streak = unit.bytes = 0
            if self.unproven:
                self.unproven.discard(request.unit)
            if request.kind is Kind.CANARY:
                unit.limit = STREAM
                return  # a surplus reply would be of the shape before it
        unit.pattern, unit.shape, unit.at = request.pattern, shape, now

    def came_late(self, unit_id: int, pdu: bytes, now: float) -> None:
        """A reply came that answered nothing in time; a copy of it may follow."""
        unit = self._units[unit_id]
        if unit is not None:
            unit.recent.append((pdu, now))

    def went_missing(self, request: Pending, now: float) -> None:
        """It is proven that the reply to a request does not come any more. If its unit doubles, it may have been sent
        and damaged on its way: then its copy alone comes, whatever it says."""
        unit = self._units[request.unit]
        if unit is not None and unit.delay:
            unit.missing = [one for one in unit.missing if now <= unit.until(one[1])]
            unit.missing.append((request.pattern, now))

    def needs_proof(self, request: Pending) -> bool:
        """Whether the stream that ``request`` would go on has proven nothing for long."""
        unit = self._units[request.unit] if request.unit in self.unproven else None
        return unit is not None and unit.shape == request.pattern.shape

    def proof_failed(self, unit_id: int) -> None:
        """The canary that went ahead was not answered: the next one is tried after twice as many answers."""
        unit = self._units[unit_id]
        if unit is not None and unit.streak >= unit.limit:
            self.unproven.discard(unit_id)
            unit.streak = unit.bytes = 0
            unit.limit = min(LONGEST_STREAM, 2 * unit.limit)

    def blocked_until(self, request: Pending) -> float:
        """Until when a copy may come that ``request`` could take for its reply; 0 if none may."""
        unit = self._units[request.unit]
        if unit is None or not unit.delay:
            return 0.0
        fits, code = request.pattern.fits_in_length, request.pattern.shape.function_code
        until = max((unit.until(at) for pdu, at in unit.recent if fits(pdu)), default=0.0)
        missing = (unit.until(at) for pattern, at in unit.missing if pattern.shape.function_code == code)
        return max((until, *missing))

    def is_copy(self, unit_id: int, pdu: bytes, now: float) -> bool:
        """Whether a message is the copy that one of a unit's last replies is followed by."""
        unit = self._units[unit_id]
        if unit is None or not unit.delay:
            return False
        due = [reply for reply in unit.recent if reply[0] == pdu and now <= unit.until(reply[1])]
        if due:
            return self._is_of(unit, due[0], now)
        lost = [one for one in unit.missing if one[0].fits_in_length(pdu) and now <= unit.until(one[1])]
        if lost:
            unit.missing.remove(lost[0])
            unit.clean = 0
        return bool(lost)

    def was_awaited(self, unit_id: int, pdu: bytes, now: float) -> bool:
        """Whether a message that has the form of a reply equals the copy that was awaited until a moment ago: it may be
        that, or the next reply where the device still says the same. It is awaited no more."""
        unit = self._units[unit_id]
        if unit is None or not unit.delay or not unit.recent:
            return False
        last, at = unit.recent[-1]
        if last != pdu or now <= unit.until(at):
            return False
        unit.recent.pop()
        return True

    def convicts(self, unit_id: int, pdu: bytes, now: float) -> bool:
        """Whether a message that answers nothing shows that its unit doubles; from then on it is watched."""
        unit = self._units[unit_id]
        if unit is None or pdu[0] & ~EXCEPTION_FLAG == FunctionCode.DIAGNOSTICS:
            return False
        same = [reply for reply in unit.recent if reply[0] == pdu and now - reply[1] <= LONGEST_LOOKOUT]
        if same:
            return self._is_of(unit, same[-1], now)
        if now - unit.at > LONGEST_LOOKOUT or not unit.pattern.fits_in_length(pdu):
            return False
        self._learn(unit, now - unit.at)
        return True

    def may_be_copy(self, unit_id: int, pdu: bytes, now: float) -> bool:
        """Whether a message that came instead of a reply, and no reply after it, may be a copy of the one before. A
        unit that doubles may have shifted a stream of one shape, and the copy then need not equal the last."""
        unit = self._units[unit_id]
        if unit is None or pdu[0] & ~EXCEPTION_FLAG == FunctionCode.DIAGNOSTICS or now - unit.at > LONGEST_LOOKOUT:
            return False
        is_last = bool(unit.recent) and unit.recent[-1][0] == pdu
        return is_last or (unit.delay > 0 and unit.pattern.fits_in_length(pdu))

    def _is_of(self, unit: _Unit, reply: tuple[bytes, float], now: float) -> bool:
        """The copy of that reply came."""
        unit.recent.remove(reply)
        self._learn(unit, now - reply[1])
        return True

    def _learn(self, unit: _Unit, delay: float) -> None:
        if not unit.delay:
            self.convicted += 1
            unit.watched = min(MOST_CLEAN, 4 * unit.watched)
        unit.delay = min(LONGEST_LOOKOUT, max(unit.delay, delay, _SHORTEST))
        unit.clean = 0

    def _count_clean(self, unit: _Unit) -> None:
        unit.clean += 1
        if unit.clean > unit.watched:
            unit.delay = 0.0
            self.convicted -= 1

    def _add(self, shape: Shape, length: int) -> _Least:
        key = shape, length
        least = self._least.get(key)
        if least is None:
            if len(self._least) >= _MOST_KEPT:
                self._least.clear()
            least = self._least[key] = _Least()
        return least
