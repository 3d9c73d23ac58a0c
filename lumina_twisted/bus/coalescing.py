"""Reads that several clients want at the same time share one transaction. Floor 1.

A read (functions 1 to 4) *follows* a waiting read of another client, its *primary*, if the primary covers all that the
read asks for. These rules hold:

* A read never follows a primary whose frame has begun: the reply would be older than the read.
* A read never follows across a write to that unit that came between the two, nor across a broadcast write.
* Both reads have the same serial settings.
* A client's read never follows a read of the same client, because some registers are cleared by reading, and some are
  queues.
* A read does not follow while its client waits for anything else from that unit. Otherwise the order of the client's
  requests would change.
* Reads of a unit with ``share = false`` never follow.

The reply answers the primary and all its followers; each follower gets its own range of it. A range never combines two
transactions. If the primary fails for a reason of its own (its client left, or its deadline passed), the bus asks for
each follower by itself.

A client's read that follows another client's read comes before later requests of its client to the same unit. So each
client's requests to a unit keep their order. :mod:`lumina_twisted.bus.merging` makes blocks of waiting reads; the reads
in a block follow the block.
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
"""A range as (first, last + 1), and the read of it that others may follow."""


class Coalescing:
    """Keeps which read follows which on one bus.

    :param settings: tell which units' reads are shared, and how many reads may follow: as many as may wait.
    """

    def __init__(
        self, settings: BusSettings, pace: Pace, queue: RequestQueue[Pending], wire: Wire, counters: Counters
    ) -> None:
        self.merging = Merging(settings, pace)
        self.primary_of: dict[Pending, Pending] = {}
        """The followers, each with its primary. Other modules only read it."""
        self._settings = settings
        self._queue = queue
        self._wire = wire
        self._counters = counters
        self._shares_all = settings.share and not settings.units
        self._offers: dict[tuple[int, int], deque[_Offer]] = {}
        self._following: Counter[tuple[Caller, int]] = Counter()
        self.writes: Counter[int] = Counter()
        """The number of requests so far that were not reads, by unit."""

    # -- who follows whom ----------------------------------------------------------------------------------------

    def arrived(self, request: Pending) -> None:
        """A request was submitted. Counts the writes, so that no read follows another across a write."""
        if not request.is_read:
            self.writes[request.unit] += 1
        if self.writes:
            request.epoch = self.writes.get(request.unit, 0), self.writes.get(BROADCAST, 0)

    def follow(self, request: Pending) -> bool:
        """Makes a read follow another client's read, if the rules allow it.

        :return: whether it follows one now.
        """
        offers = self._offers.get((request.unit, request.pdu[0]))
        while offers and offers[0][2].state is not State.WAITING:
            offers.popleft()
        if not offers:
            return False  # the usual case: no read of that unit and function waits
        primary = self._primary_for(request, offers)
        if primary is None or self._queue.waits(request.caller, request.unit) or self._is_live_for(request):
            return False
        self._join(request, primary)
        self._lift(primary, request.lane)
        return True

    def queued(self, request: Pending) -> None:
        """A request waits for its own turn. Others may follow it. Earlier reads of its client to that unit that follow
        another read become as urgent as the request."""
        span = request.span
        if span is not None and (self._shares_all or self._settings.for_unit(request.unit).share):
            key = request.unit, request.pdu[0]
            offers = self._offers.get(key)
            if offers is None:
                offers = self._offers[key] = deque()
            while offers and offers[0][2].state is not State.WAITING:
                offers.popleft()
            if len(offers) > 2 * self._queue.size + 8:  # some in the middle no longer wait
                waiting = [one for one in offers if one[2].state is State.WAITING]
                offers.clear()
                offers.extend(waiting)
            offers.append((*span, request))
        if self.primary_of:
            for primary in self._primaries_of(request.caller, request.unit):
                self._lift(primary, request.lane)

    def leave(self, follower: Pending) -> Pending | None:
        """The read follows no primary any more.

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
        """Detaches all followers of ``primary``, and returns them in the order in which they came."""
        followers = list(primary.followers)
        for follower in followers:
            self.leave(follower)
        return followers

    def left(self, primary: Pending) -> None:
        """A follower of ``primary`` left. If ``primary`` now has neither a caller nor a follower, it is withdrawn."""
        if primary.followers or (primary.kind is not Kind.BLOCK and primary.state is not State.ABANDONED_RETRY):
            return
        if primary.state in QUEUED:
            self._queue.remove(primary)
            primary.step(State.DONE)
        elif primary.state is State.ON_WIRE:
            primary.step(State.ABANDONED)

    def ask_alone(self, requests: Iterable[Pending], now: float) -> None:
        """Gives reads that lost their primary a turn of their own: in their order, and ahead of later requests of their
        clients. Of each client's reads of a unit, only the oldest may follow again; the others would overtake it."""
        oldest: dict[tuple[Caller, int], Pending] = {}
        requests = sorted(requests, key=lambda one: one.number)
        for request in requests:
            oldest.setdefault((request.caller, request.unit), request)
        for request in reversed(requests):  # each is put at the head of the queue
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
        """The read that a request could follow, if its client has nothing else waiting for that unit.

        :param offers: reads of its unit and function that wait, or waited.
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
        """Whether an earlier request of its client to that unit has not ended."""
        caller, unit = request.caller, request.unit
        return self._queue.waits(caller, unit) or self._is_live_for(request) or self._follows(caller, unit)

    def ready_at(self, request: Pending) -> float:
        """When a request may go, without the silence before it. Earlier reads of its client to that unit that follow
        another read come first."""
        waits = request.kind is not Kind.BLOCK and self._follows(request.caller, request.unit)
        return math.inf if waits else self._wire.doubts.ready_at(request)

    def _follows(self, caller: Caller, unit: int) -> bool:
        """Whether a read of that unit by that caller follows another read; unit 0 stands for every unit."""
        if unit == BROADCAST:
            return any(one is caller for one, _ in self._following)
        return (caller, unit) in self._following

    def _primaries_of(self, caller: Caller, unit: int) -> list[Pending]:
        """The primaries of this caller's reads of that unit; a broadcast counts for every unit."""
        return [
            primary for follower, primary in self.primary_of.items()
            if follower.caller is caller and unit in (follower.unit, BROADCAST)
        ]

    def _lift(self, primary: Pending, lane: int) -> None:
        """Raises the lane of a primary, because a more urgent request follows it, or waits for one of its followers.
        The primary may itself wait for a read of its caller that follows another, so that one is raised too."""
        if primary.state in QUEUED:
            self._queue.lift(primary, lane)
        else:
            primary.lane = min(primary.lane, lane)  # for the case that it is sent again
        for other in self._primaries_of(primary.caller, primary.unit):
            if other is not primary and lane < other.lane:
                self._lift(other, lane)

    def _is_live_for(self, request: Pending) -> bool:
        """Whether a request of the same caller to the same unit is on the wire."""
        attempt = self._wire.attempt
        return attempt is not None and attempt.request.caller is request.caller and attempt.request.unit == request.unit

    # -- blocks --------------------------------------------------------------------------------------------------

    def has_waiting(self, unit: int, function_code: int) -> bool:
        """Whether a read of a unit and function waits for a turn of its own."""
        return any(read.state is State.WAITING for _, _, read in self._offers.get((unit, function_code), ()))

    def block_of(self, primary: Pending, now: float) -> Block | None:
        """Makes a block of ``primary``, whose turn it is and which has left the queue, and of the waiting reads next to
        it; None if there is none."""
        if not self._settings.for_unit(primary.unit).merge:
            return None
        offers = self._offers.get((primary.unit, primary.pdu[0]), ())
        waiting = [read for _, _, read in offers if read.state is State.WAITING and read is not primary]
        block = self.merging.block_for(primary, waiting, self._may_join, now)
        if block is None or self._wire.doubts.ready_at(block) > now or self._wire.doubts.needs_canary(block):
            return None  # a reply that may still come could be taken for the block's
        self._counters.blocks += 1
        for member in block.members:
            if member is not primary:
                self._queue.remove(member)
            for follower in self.release(member):
                self._join(follower, block)
            self._join(member, block)
        return block

    def _may_join(self, request: Pending, members: list[Pending]) -> bool:
        """Whether the earlier requests of its client allow that a read goes now."""
        follows = self._follows(request.caller, request.unit)
        return not follows and self._queue.is_next_of_its_own(request, members)
