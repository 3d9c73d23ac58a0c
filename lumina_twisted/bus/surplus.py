"""Surplus replies: replies that come although no request is open, or sooner than possible. They come from a device, or
a converter, that answers a request twice. Floor 1.

A surplus reply looks like the reply to the next request of its shape. It would shift a steady stream of such requests
by one for ever. Three rules prevent that:

* **Too soon.** A reply cannot be complete before our frame and its own bytes have had their time on the wire. A reply
  is also suspicious if it takes less than 0.7 of the least time that replies of its shape took lately. The bus holds
  such a reply. If another reply comes, that one counts. If a canary proves that no other reply comes, the held reply
  counts.
* **Convicted.** A unit is convicted of doubling by a reply that comes while none is due, if the reply has the shape
  that the unit was asked for last, or equals one of its last replies. From then on a *look-out* follows each of its
  replies, including late replies and replies to canaries. The look-out lasts one and a half times as long as copies of
  the unit have taken, plus a margin. Until its end, or until the copy comes, no request goes out that the copy could
  answer. A look-out also follows a reply that is proven not to come any more. The reply may have been sent and damaged
  on its way, and its copy may still come undamaged. A unit that sends no copy in :data:`CLEAN` replies is acquitted;
  after each further conviction, more such replies are needed.
* **Proof.** A stream of one shape does not show by itself that it is not shifted. So a canary goes ahead after
  :data:`STREAM` answers without a reply of another shape. It goes less often if it would take more than a hundredth of
  the unit's time.

The least time is learned. So the rules also hold for a virtual port without wire time, whose replies are faster than
the baud rate allows from the beginning.
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
"""Answers of one shape in a row after which a proof is due that the stream is not shifted."""
LONGEST_STREAM: Final = 3200
"""The same, for a unit that answers no canary."""
CLEAN: Final = 250
"""Replies without a copy after which a unit no longer counts as doubling. With each further conviction the number is
four times as high, up to :data:`MOST_CLEAN`."""
MOST_CLEAN: Final = 16_000
_ENOUGH: Final = 4
"""Replies of a shape that are needed before its least time is used."""
_LATELY: Final = 256
"""The least time covers the last 256 to 512 replies."""
_SOON: Final = 0.7
"""A reply that takes less than this share of the least time is too soon."""
_POSSIBLE: Final = 0.9
"""A share of the time that the bytes take on the wire: a clock, or a baud rate, may be off by some per cent."""
_LONGER: Final = 1.5
"""The length of a look-out, as a multiple of the longest time that a copy took."""
_SHORTEST: Final = 0.005
"""The least time of a copy, in seconds, from which a look-out is computed."""
_MARGIN: Final = 0.02
"""Seconds that are added to a look-out: a USB adapter may keep bytes for so long."""
_RECENT: Final = 8
"""How many of a unit's last replies are kept to recognise their copies."""
LONGEST_LOOKOUT: Final = 2.0
"""Seconds; a message that comes later is no copy."""
_MOST_KEPT: Final = 2048
"""How many pairs of shape and length have a least time."""


class _Least:
    """The least time of the last replies of one shape and length."""

    __slots__ = ("_before", "_count", "_lately", "count", "value")

    def __init__(self) -> None:
        self.value = self._lately = self._before = math.inf
        self.count = self._count = 0

    def note(self, time: float) -> None:
        """A reply took ``time`` seconds."""
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
    """The last answer of one unit, the length of its stream of one shape, and its copies."""

    __slots__ = (
        "at", "bytes", "clean", "delay", "limit", "missing", "pattern", "recent", "shape", "streak", "watched",
    )

    def __init__(self, pattern: ReplyPattern) -> None:
        self.pattern = pattern
        self.shape = pattern.shape
        self.at = -math.inf
        self.streak = 0
        self.bytes = 0  # the bytes of that streak, requests and replies
        self.limit = STREAM
        self.delay = 0.0  # seconds that its copies take; 0 for a unit that does not double
        self.clean = 0  # replies since the last copy
        self.watched = CLEAN // 4  # as many replies without a copy acquit the unit
        self.recent: deque[tuple[bytes, float]] = deque(maxlen=_RECENT)  # replies without a copy yet, and their times
        self.missing: list[tuple[ReplyPattern, float]] = []  # replies that never came, and when that was proven

    def until(self, at: float) -> float:
        """The time until which the copy of a reply that came at ``at`` may come."""
        return at + _LONGER * self.delay + _MARGIN


class Surplus:
    """Recognises the surplus replies of one bus.

    :param has_wire_time: whether bytes take time on the wire, by the baud rate.
    """

    def __init__(self, has_wire_time: bool) -> None:
        self._has_wire_time = has_wire_time
        self._least: dict[tuple[Shape, int], _Least] = {}
        self._units: list[_Unit | None] = [None] * 256
        self.convicted = 0
        """The number of units that count as doubling."""
        self.unproven: set[int] = set()
        """Units whose stream of one shape needs a proof."""

    # -- too soon ------------------------------------------------------------------------------------------------

    def is_too_soon(self, request: Pending, length: int, took: float) -> bool:
        """Whether a reply probably belongs to an earlier request, because it came too soon. If later it turns out to be
        the right one, call :meth:`was_not`.

        :param length: bytes of the reply's PDU.
        :param took: seconds from the first byte of the request to the last byte of the reply.
        """
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
        """A held reply was the right one: its time counts for the least time."""
        self._add(request.pattern.shape, length).note(took)

    def hold(self, request: Pending, length: int) -> float:
        """Seconds, from the first byte of a request, within which the true reply usually comes if the held one is
        surplus."""
        least = self._least.get((request.pattern.shape, length))
        return 0.02 if least is None else max(0.02, 4 * least.value)

    # -- answers and copies --------------------------------------------------------------------------------------

    def answered(self, request: Pending, pdu: bytes, now: float) -> None:
        """The reply ``pdu`` answered a request in time."""
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
                return  # a surplus reply would have the shape of the answer before it
        unit.pattern, unit.shape, unit.at = request.pattern, shape, now

    def came_late(self, unit_id: int, pdu: bytes, now: float) -> None:
        """A late reply came; a copy of it may follow."""
        unit = self._units[unit_id]
        if unit is not None:
            unit.recent.append((pdu, now))

    def went_missing(self, request: Pending, now: float) -> None:
        """It is proven that the reply to a request does not come any more. If its unit doubles, the reply may have been
        sent and damaged on its way. Then only its copy comes, whose content is unknown."""
        unit = self._units[request.unit]
        if unit is not None and unit.delay:
            unit.missing = [one for one in unit.missing if now <= unit.until(one[1])]
            unit.missing.append((request.pattern, now))

    def needs_proof(self, request: Pending) -> bool:
        """Whether ``request`` would continue a stream of one shape that needs a proof first."""
        unit = self._units[request.unit] if request.unit in self.unproven else None
        return unit is not None and unit.shape == request.pattern.shape

    def proof_failed(self, unit_id: int) -> None:
        """The canary that went ahead was not answered. The next one follows after twice as many answers."""
        unit = self._units[unit_id]
        if unit is not None and unit.streak >= unit.limit:
            self.unproven.discard(unit_id)
            unit.streak = unit.bytes = 0
            unit.limit = min(LONGEST_STREAM, 2 * unit.limit)

    def blocked_until(self, request: Pending) -> float:
        """The time until which a copy may come that could be taken for the reply to ``request``; 0 if none may come."""
        unit = self._units[request.unit]
        if unit is None or not unit.delay:
            return 0.0
        fits, code = request.pattern.fits_in_length, request.pattern.shape.function_code
        until = max((unit.until(at) for pdu, at in unit.recent if fits(pdu)), default=0.0)
        missing = (unit.until(at) for pattern, at in unit.missing if pattern.shape.function_code == code)
        return max((until, *missing))

    def is_copy(self, unit_id: int, pdu: bytes, now: float) -> bool:
        """Whether a message is the expected copy of one of a unit's last replies."""
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
        """Whether a message with the form of a reply equals a copy whose look-out is over. It may be that copy, or the
        next reply with the same values. The copy is no longer expected."""
        unit = self._units[unit_id]
        if unit is None or not unit.delay or not unit.recent:
            return False
        last, at = unit.recent[-1]
        if last != pdu or now <= unit.until(at):
            return False
        unit.recent.pop()
        return True

    def convicts(self, unit_id: int, pdu: bytes, now: float) -> bool:
        """Whether a message that answers no request shows that its unit doubles. If so, the unit is convicted."""
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
        """Whether a message that came in place of a reply may be a copy of an earlier one. If the unit doubles, a
        stream of one shape may be shifted, so the copy need not equal the last reply."""
        unit = self._units[unit_id]
        if unit is None or pdu[0] & ~EXCEPTION_FLAG == FunctionCode.DIAGNOSTICS or now - unit.at > LONGEST_LOOKOUT:
            return False
        is_last = bool(unit.recent) and unit.recent[-1][0] == pdu
        return is_last or (unit.delay > 0 and unit.pattern.fits_in_length(pdu))

    def _is_of(self, unit: _Unit, reply: tuple[bytes, float], now: float) -> bool:
        """The copy of ``reply`` came.

        :return: always True.
        """
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
