"""Neighbouring reads that wait become one block, for units with ``merge = true``. Floor 1.

A block is a request of the bus's own. The reads that it covers follow it, as in
:mod:`lumina_twisted.bus.coalescing`, and each gets its own range of the one reply. A read may join a block under these
conditions:

* It has the same unit and function, and no earlier request of its client to that unit waits.
* The block stays within the function's limit, with at most ``merge_hole`` entries between two reads that nobody asked
  for.
* The block takes less time on the wire than separate reads.
* There is time for the block before the deadline of each read.

If a device refuses a block, the block is cut in two where two reads meet, and the cut is remembered. The reads are sent
again, each on its own side of the cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from lumina_twisted.bus.events import Request
from lumina_twisted.bus.failures import LAST_OF_THE_REQUEST
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.pending import Kind, Pending, State
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.modbus.functions import FUNCTIONS
from lumina_twisted.modbus.read_range import BITS, span

OVERHEAD: Final = 20
"""Characters that a separate read costs besides its data: the request, the frame around the reply, two silences."""
LATENCY: Final = 0.02
"""Seconds for a device to begin its reply, in the check whether a block meets the deadlines."""
CUT_FOR: Final = 600.0
"""Seconds for which a cut is remembered. Then the device is tried with the whole block again, because the fault may
have been temporary."""
_MOST_CUTS: Final = 256
_ADDRESSES: Final = 65536


class Block(Pending):
    """One read in place of several."""

    __slots__ = ("members",)

    def __init__(self, primary: Pending, members: list[Pending], first: int, end: int) -> None:
        pdu = _pdu(primary.pdu[0], first, end)
        deadline = max(one.deadline for one in members)
        super().__init__(
            Request(primary.caller, primary.unit, pdu, primary.serial, deadline, lane=primary.lane), Kind.BLOCK
        )
        self.arrived = primary.arrived
        self.epoch = primary.epoch
        self.cost = primary.cost
        self.members = members


class _Span(NamedTuple):
    first: int
    end: int


class Merging:
    """The blocks of one bus.

    :param settings: tell which units' reads are merged, and which gaps between reads are allowed.
    :param pace: tells how long a block would take.
    """

    def __init__(self, settings: BusSettings, pace: Pace) -> None:
        self._settings = settings
        self._pace = pace
        self._cuts: dict[tuple[int, int, int], float] = {}  # by unit, function and address: the end of the cut

    def block_for(
        self, primary: Pending, waiting: Iterable[Pending], may_go: Callable[[Pending, list[Pending]], bool], now: float
    ) -> Block | None:
        """The block that ``primary`` is a part of, or None if it is sent alone.

        :param waiting: reads of its unit and function that wait too.
        :param may_go: tells whether the other requests of a read's client allow the read to join a list of members.
        """
        policy = self._settings.for_unit(primary.unit)
        hole = policy.merge_hole
        if not policy.merge or not _is_mergeable(primary):
            return None
        others = [one for one in waiting if one is not primary and _is_mergeable(one) and _go_together(one, primary)]
        if not others:
            return None
        members, whole = [primary], _Span(*span(primary.pdu))
        for ordered in (sorted(others, key=_first), sorted(others, key=_end, reverse=True)):
            for one in ordered:
                grown = self._grown(one, members, whole, hole, now)
                if grown is not None and not _folds(one, members) and may_go(one, members):
                    members.append(one)
                    whole = grown
        return Block(primary, members, *whole) if len(members) > 1 else None

    def refused(self, block: Block, code: int, now: float) -> None:
        """A device answered a block with an exception. The block is cut where two of its reads meet, at the place that
        is closest to the middle."""
        if code > LAST_OF_THE_REQUEST:
            return
        whole = _Span(*span(block.pdu))
        middle = (whole.first + whole.end) / 2
        starts = [_first(one) for one in block.members if _first(one) > whole.first]
        if not starts:
            return
        clean = [at for at in starts if not any(_first(one) < at < _end(one) for one in block.members)]
        cut = min(clean or starts, key=lambda at: abs(at - middle))
        if len(self._cuts) >= _MOST_CUTS:
            del self._cuts[next(iter(self._cuts))]
        self._cuts[block.unit, block.pdu[0], cut] = now + CUT_FOR

    def _grown(self, one: Pending, members: list[Pending], whole: _Span, hole: int, now: float) -> _Span | None:
        """The range of the block with one more read in it; None if that read may not join."""
        first, end = span(one.pdu)
        if first > whole.end + hole or end + hole < whole.first:
            return None
        grown = _Span(min(whole.first, first), max(whole.end, end))
        is_bits = one.pdu[0] in BITS
        if grown.end - grown.first > FUNCTIONS[one.pdu[0]].most:
            return None
        if (first > whole.end or end < whole.first) and not self._may_read(one, grown):
            return None
        more = _bytes(grown.end - grown.first, is_bits) - _bytes(whole.end - whole.first, is_bits)
        if more >= OVERHEAD + _bytes(end - first, is_bits) or self._is_cut(one, grown, now):
            return None
        length = _bytes(grown.end - grown.first, is_bits)
        hastiest = min(member.deadline for member in (one, *members))
        return grown if now + self._pace.read_time(one, length) + LATENCY <= hastiest else None

    def _may_read(self, primary: Pending, whole: _Span) -> bool:
        """Whether the access rules allow to read the whole range, including entries that nobody asked for."""
        rules = self._settings.rules
        return not rules or not rules.fault(primary.unit, _pdu(primary.pdu[0], *whole))

    def _is_cut(self, primary: Pending, whole: _Span, now: float) -> bool:
        unit, code = primary.unit, primary.pdu[0]
        return any(
            one == unit and function == code and whole.first < at < whole.end and now < until
            for (one, function, at), until in self._cuts.items()
        )


def _pdu(function: int, first: int, end: int) -> bytes:
    return bytes((function, *first.to_bytes(2, "big"), *(end - first).to_bytes(2, "big")))


def _is_mergeable(request: Pending) -> bool:
    """Whether a request is a plain read that waits for its first attempt and brings no retries of its own."""
    return (
        request.span is not None and request.state is State.WAITING
        and request.request.retries is None and _first(request) < _end(request) <= _ADDRESSES
    )


def _folds(one: Pending, members: list[Pending]) -> bool:
    """Whether a read is already a member, or overlaps a member of the same client."""
    return any(
        one is other or (one.caller == other.caller and _first(one) < _end(other) and _first(other) < _end(one))
        for other in members
    )


def _go_together(one: Pending, primary: Pending) -> bool:
    return one.serial == primary.serial and one.epoch == primary.epoch


def _first(request: Pending) -> int:
    return span(request.pdu)[0]


def _end(request: Pending) -> int:
    return span(request.pdu)[1]


def _bytes(entries: int, is_bits: bool) -> int:
    return (entries + 7) // 8 if is_bits else 2 * entries
