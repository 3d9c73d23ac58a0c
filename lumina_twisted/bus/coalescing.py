"""Reads that several clients want at the same time are one transaction. Floor 1.

A read (functions 1 to 4) *follows* one of another client that waits, its *primary*, if that asks for all that it asks
for:

* not once the primary's frame began: what the device answers is then older than the question;
* never across a write to that unit that came between the two, nor across a broadcast write;
* only with the same serial settings;
* never one client's with its own, for there are registers that are cleared by reading, and queues; and not while its
  client waits for anything else from that unit, for the order of its requests would change;
* not with a unit that has ``share = false``.

A reply answers all that follow, each with its own range of it. A range is never put together from two transactions. If
the primary comes to nothing for a reason of its own, its client left or its deadline passed, its followers are asked
for by themselves.

What a client asked a unit before, and follows another's read, comes before what it asks that unit later. So the order
of each client's requests to a unit stays. :mod:`lumina_twisted.bus.merging` makes blocks of reads that wait; those too
follow the block.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable

from lumina_twisted.access.caller import Caller
from lumina_twisted.bus.merging import Block, Merging
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.pending import QUEUED, Kind, Pending, State
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.wire import Wire
from lumina_twisted.modbus.functions import BROADCAST
from lumina_twisted.statistics.counters import Counters

_Offer = tuple[int, int, Pending]
"""A read that others may follow, after the first entry of its range and the one behind the last."""


class Coalescing:
    """Who follows whom on one bus.

    :param settings: which units' reads are shared, and how many may follow: no more than may wait.
    """

    def __init__(
        self, settings: BusSettings, pace: Pace, queue: RequestQueue[Pending], wire: Wire, counters: Counters
    ) -> None:
        self.merging = Merging(settings, pace)
        self.primary_of: dict[Pending, Pending] = {}
        """All that follow, each with its primary; for looking at."""
        self._settings = settings
        self._queue = queue
        self._wire = wire
        self._counters = counters
        self._shares_all = settings.share and not settings.units
        self._offers: dict[tuple[int, int], deque[_Offer]] = {}
        self._following: Counter[tuple[Caller, int]] = Counter()
        self.writes: Counter[int] = Counter()
        """Requests so far that were no reads, by unit."""

    # -- who follows whom ----------------------------------------------------------------------------------------

    def arrived(self, request: Pending) -> None:
        """Something was submitted: a read may be followed, across a write nobody follows."""
        if not request.is_read:
            self.writes[request.unit] += 1
        if self.writes:
            request.epoch = self.writes.get(request.unit, 0), self.writes.get(BROADCAST, 0)

    def follow(self, request: Pending) -> bool:
        """Whether a read follows another's from now on, if it may."""
        offers = self._offers.get((request.unit, request.pdu[0]))
        while offers and offers[0][2].state is not State.WAITING:
            offers.popleft()
        if not offers:
            return False  # as on most buses: nobody asks that unit anything of the kind
        primary = self._primary_for(request, offers)
        if primary is None or self._queue.waits(request.caller, request.unit) or self._is_live_for(request):
            return False
        self._join(request, primary)
        self._lift(primary, request.lane)
        return True

    def queued(self, request: Pending) -> None:
        """A request waits for its own turn: others may follow it, and what its client asked that unit before, and
        follows another's read, is as urgent."""
        span = request.span
        if span is not None and (self._shares_all or self._settings.for_unit(request.unit).share):
            key = request.unit, request.pdu[0]
            offers = self._offers.get(key)
            if offers is None:
                offers = self._offers[key] = deque()
            while offers and offers[0][2].state is not State.WAITING:
                offers.popleft()
            if len(offers) > 2 * self._queue.size + 8:  # some in the middle are over
                waiting = [one for one in offers if one[2].state is State.WAITING]
                offers.clear()
                offers.extend(waiting)
            offers.append((*span, request))
        if self.primary_of:
            for primary in self._primaries_of(request.caller, request.unit):
                self._lift(primary, request.lane)

    def leave(self, follower: Pending) -> Pending | None:
        """It follows nobody any more.

        :return: its primary, if it had one.
        """
        primary = self.primary_of.pop(follower, None)
        if primary is not None:
            primary.followers.remove(follower)
            key = follower.caller, follower.unit
            self._following[key] -= 1
            if not self._following[key]:
                del self._following[key]
        return primary

    def release(self, primary: Pending) -> list[Pending]:
        """All that follow ``primary``, in the order in which they came; they follow no more."""
        followers = list(primary.followers)
        for follower in followers:
            self.leave(follower)
        return followers

    def left(self, primary: Pending) -> None:
        """Somebody follows it no more: a read is taken back that has no caller, and nobody to follow it."""
        if primary.followers or (primary.kind is not Kind.BLOCK and primary.state is not State.ABANDONED_RETRY):
            return
        if primary.state in QUEUED:
            self._queue.remove(primary)
            primary.step(State.DONE)
        elif primary.state is State.ON_WIRE:
            primary.step(State.ABANDONED)

    def ask_alone(self, requests: Iterable[Pending], now: float) -> None:
        """Reads that followed others wait for themselves, ahead of what their clients asked later and in its order. Of
        each client only the oldest may follow again: the others would overtake it."""
        oldest: dict[tuple[Caller, int], Pending] = {}
        requests = sorted(requests, key=lambda one: one.number)
        for request in requests:
            oldest.setdefault((request.caller, request.unit), request)
        for request in reversed(requests):  # each goes to the head
            if request is not oldest[request.caller, request.unit]:
                self._put_back(request, now)
        for request in oldest.values():
            if not self.follow(request):
                self._put_back(request, now)

    def _put_back(self, request: Pending, now: float) -> None:
        request.step(State.WAITING)
        self._queue.put_back(request, now)
        self.queued(request)

    def _join(self, follower: Pending, primary: Pending) -> None:
        follower.step(State.FOLLOWING)
        self.primary_of[follower] = primary
        self._following[follower.caller, follower.unit] += 1
        primary.followers.append(follower)

    def _primary_for(self, request: Pending, offers: Iterable[_Offer]) -> Pending | None:
        """Whom a read could follow, if nothing of its own client waits for that unit.

        :param offers: reads of its unit and function that wait, or did.
        """
        if request.span is None or len(self.primary_of) >= self._settings.queue:
            return None
        if not self._shares_all and not self._settings.for_unit(request.unit).share:
            return None
        if self._following and (request.caller, request.unit) in self._following:
            return None
        pdu, (start, stop) = request.pdu, request.span
        for first, end, read in offers:
            if not (first <= start < stop <= end or read.pdu == pdu) or read.state is not State.WAITING:
                continue
            if read.epoch == request.epoch and read.serial == request.serial:
                return read
        return None

    # -- the order of a client's requests ------------------------------------------------------------------------

    def is_behind_its_own(self, request: Pending) -> bool:
        """Whether something that its client asked that unit before has not ended."""
        caller, unit = request.caller, request.unit
        return self._queue.waits(caller, unit) or self._is_live_for(request) or self._follows(caller, unit)

    def ready_at(self, request: Pending) -> float:
        """When it may go, but for the silence before it. What its client asked that unit before, and follows another's
        read, comes first."""
        waits = request.kind is not Kind.BLOCK and self._follows(request.caller, request.unit)
        return math.inf if waits else self._wire.doubts.ready_at(request)

    def _follows(self, caller: Caller, unit: int) -> bool:
        """Whether a read of that caller's to that unit follows another's; a broadcast is to every unit."""
        if unit == BROADCAST:
            return any(one is caller for one, _ in self._following)
        return (caller, unit) in self._following

    def _primaries_of(self, caller: Caller, unit: int) -> list[Pending]:
        """Those that this caller's reads of that unit follow; a broadcast is to every unit."""
        return [
            primary for follower, primary in self.primary_of.items()
            if follower.caller is caller and unit in (follower.unit, BROADCAST)
        ]

    def _lift(self, primary: Pending, lane: int) -> None:
        """What follows it, or waits for what does, goes first: it too may wait for what follows another."""
        if primary.state in QUEUED:
            self._queue.lift(primary, lane)
        else:
            primary.lane = min(primary.lane, lane)  # if it is asked again
        for other in self._primaries_of(primary.caller, primary.unit):
            if other is not primary and lane < other.lane:
                self._lift(other, lane)

    def _is_live_for(self, request: Pending) -> bool:
        """Whether something of the same caller's is on the wire to the same unit."""
        attempt = self._wire.attempt
        return attempt is not None and attempt.request.caller is request.caller and attempt.request.unit == request.unit

    # -- blocks --------------------------------------------------------------------------------------------------

    def has_waiting(self, unit: int, function_code: int) -> bool:
        """Whether a read of a unit and function waits for a turn of its own."""
        return any(read.state is State.WAITING for _, _, read in self._offers.get((unit, function_code), ()))

    def block_of(self, primary: Pending, now: float) -> Block | None:
        """The block of neighbouring reads that wait and the one whose turn it is, which has left the queue."""
        if not self._settings.for_unit(primary.unit).merge:
            return None
        offers = self._offers.get((primary.unit, primary.pdu[0]), ())
        waiting = [read for _, _, read in offers if read.state is State.WAITING and read is not primary]
        block = self.merging.block_for(primary, waiting, self._may_join, now)
        if block is None or self._wire.doubts.ready_at(block) > now or self._wire.doubts.needs_canary(block):
            return None  # another reply could be taken for the block's
        self._counters.blocks += 1
        for member in block.members:
            if member is not primary:
                self._queue.remove(member)
            for follower in self.release(member):
                self._join(follower, block)
            self._join(member, block)
        return block

    def _may_join(self, request: Pending, members: list[Pending]) -> bool:
        """Whether a read may go now, as far as what its client asked before is concerned."""
        follows = self._follows(request.caller, request.unit)
        return not follows and self._queue.is_next_of_its_own(request, members)
