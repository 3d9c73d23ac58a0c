"""Who goes together: puts the rules of sharing and merging to work on the queue. Floor 1.

:mod:`lumina_twisted.bus.sharing` knows who rides with whom, :mod:`lumina_twisted.bus.merging` what a block may be, the
queue who waits, the wire what runs. Here a read joins another, a block is made up, and the order of each client's own
requests to a unit is kept while some of them ride with others'.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from lumina_twisted.bus.events import Request
from lumina_twisted.bus.merging import Merging
from lumina_twisted.bus.pace import Pace
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.sharing import Sharing
from lumina_twisted.bus.wire import Wire
from lumina_twisted.statistics.counters import Counters


class Joining:
    """What joins what on one bus."""

    def __init__(
        self, settings: BusSettings, pace: Pace, queue: RequestQueue[Request], sharing: Sharing, wire: Wire,
        counters: Counters,
    ) -> None:
        self.merging = Merging(settings, pace)
        self._settings = settings
        self._queue = queue
        self._sharing = sharing
        self._wire = wire
        self._counters = counters

    # -- reads that ride with others

    def rides(self, request: Request) -> bool:
        """Lets a read ride with another's, if it may."""
        leader = self._sharing.leader_for(request)
        if leader is None or self._queue.waits(request.client, request.unit) or self._is_live_for(request):
            return False
        self._sharing.join(request, leader)
        self._lift(leader, request.lane)
        return True

    def queued(self, request: Request) -> None:
        """A request waits for a turn of its own: others may ride with it, and what its client asked that unit before,
        and rides with another's, is as urgent."""
        self._sharing.offer(request)
        if self._sharing.riders:
            for leader in list(self._sharing.leaders_of(request.client, request.unit)):
                self._lift(leader, request.lane)

    def take_back(self, alone: list[Request], now: float) -> None:
        """Reads that rode with others wait for themselves, ahead of what their clients asked later and in its order. Of
        each client only the oldest may ride again: the others would overtake it."""
        oldest: dict[tuple[Hashable, int], Request] = {}
        for request in sorted(alone, key=lambda one: one.number):
            oldest.setdefault((request.client, request.unit), request)
        younger = [one for one in alone if one is not oldest[one.client, one.unit]]
        for request in sorted(younger, key=lambda one: -one.number):  # each goes to the head
            self._put_back(request, now)
        for request in oldest.values():
            if not self.rides(request):
                self._put_back(request, now)

    def _put_back(self, request: Request, now: float) -> None:
        self._queue.put_back(request, now)
        self.queued(request)

    def is_behind_its_own(self, request: Request) -> bool:
        """Whether something that its client asked that unit before has not ended."""
        client, unit = request.client, request.unit
        return self._queue.waits(client, unit) or self._is_live_for(request) or self._sharing.is_riding(client, unit)

    def first(self, now: float) -> tuple[Request | None, float]:
        """The request whose turn it is, or None and when to ask again."""
        return self._queue.first(now, self.ready_at if self._sharing.riders else self._wire.doubts.ready_at)

    def ready_at(self, request: Request) -> float:
        """When it may go, but for the silence before it. What its client asked that unit before, and rides with
        another's, comes first."""
        riding = not request.is_block and self._sharing.is_riding(request.client, request.unit)
        return math.inf if riding else self._wire.doubts.ready_at(request)

    def _lift(self, leader: Request, lane: int) -> None:
        """Who rides with it, or waits for who does, goes first: it too may wait for what rides with another."""
        if leader.is_waiting:
            self._queue.lift(leader, lane)
        else:
            leader.lane = min(leader.lane, lane)  # if it is asked again
        for other in list(self._sharing.leaders_of(leader.client, leader.unit)):
            if other is not leader and lane < other.lane:
                self._lift(other, lane)

    def _is_live_for(self, request: Request) -> bool:
        """Whether something of the same client's is on the wire to the same unit."""
        attempt = self._wire.attempt
        return attempt is not None and (attempt.request.client, attempt.request.unit) == (request.client, request.unit)

    # -- blocks

    def block_of(self, leader: Request, now: float) -> Request | None:
        """Neighbouring reads that wait go in one with the one whose turn it is, which has left the queue."""
        if self._settings.merge_hole_for(leader.unit) is None:
            return None
        waiting = self._sharing.waiting(leader.unit, leader.pdu[0])
        block = self.merging.block_for(leader, waiting, self._may_join, now)
        if block is None or self._wire.doubts.ready_at(block) > now or self._wire.doubts.needs_canary(block):
            return None  # another reply could be taken for the block's
        self._counters.blocks += 1
        for member in block.members:
            if member.is_waiting:
                self._queue.remove(member)
            self._sharing.board(block, member)
        return block

    def left(self, leader: Request) -> None:
        """Somebody rides with it no more: nobody wants what has no caller, and nobody to ride with it."""
        if leader.riders:
            return
        leader.done = leader.done or leader.is_block
        if leader.done and leader.is_waiting:
            self._queue.remove(leader)

    def _may_join(self, request: Request, members: list[Request]) -> bool:
        """Whether a read may go now, as far as what its client asked before is concerned."""
        riding = self._sharing.is_riding(request.client, request.unit)
        return not riding and self._queue.is_next_of_its_own(request, members)
