"""Who is next: what waits for a port, served client by client. Floor 1.

* Three lanes. What waits in a higher one goes first. If a lane has had no turn for :data:`AGEING`, what has waited so
  long in it rises to the next, so that nothing starves.
* Within a lane clients take turns, one request a turn. A client whose turn it was goes to the end of the ring when the
  next turn begins, so whoever comes in the meantime is before it: a burst of a thousand delays another client's single
  read by one transaction.
* Single requests go before pipelined ones. A program that polls sends a request and waits for its answer; one that
  pipelines always has another one ready. In one ring the first would wait for a whole round of the second kind: 40 of
  them at 9600 baud take two seconds. So a request is *single* if nothing else of its client waits or is on the wire,
  and nothing of it is held back by a front. Single requests take turns of their own, in the order in which they came.
  At least every second turn belongs to the ring of the others, so that it never starves. Where more clients with
  single requests wait than stand in the ring, they get as many turns in a row as there are of them for each client of
  the ring: then every client has its equal share.
* Turns are paid in bus time (deficit round robin, Shreedhar and Varghese 1995, in the form that charges afterwards): a
  client whose request cost many times the usual, for it asked a dead unit or for a long block, is passed over as often.
  Whoever is alone pays nothing; when nobody waits, or who asked nothing for :data:`AGEING`, that is forgiven.
* The requests of one client to one unit keep their order; one in a high lane lifts those before it. One that cannot
  go yet (a reply of its shape may still come, its retry waits) lets the same client's requests to other units pass. A
  broadcast is to every unit: nothing passes it.
* Both bounds refuse: a full queue holds no promise worth making. But a client that has nothing in a full queue may put
  one request into it: those who fill it shall not shut out the others. :meth:`RequestQueue.is_full_for` tells a front
  beforehand, which then reads no more of that client.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Container, Hashable, Iterator
from enum import IntEnum
from itertools import chain
from typing import Final, Generic, Protocol, TypeVar

from lumina_twisted.errors import QueueFull
from lumina_twisted.modbus.functions import BROADCAST

AGEING: Final = 2.5
"""Seconds without a turn after which a lane starves."""
_TURNS: Final = 64
"""The usual cost of a turn is that of the cheapest of the last so many, or twice as many."""
HELD_FOR: Final = 10.0
"""Seconds for which a client counts as one that pipelines after its front last held something back. A front looks again
whenever a request ends, which takes a round."""
_MOST_HELD: Final = 4096


class Lane(IntEnum):
    """What goes first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class Waiting(Protocol):
    """What the queue takes: a request, as far as turns are concerned. ``lane`` is the queue's to write
    once it is put in; ``cost`` is what its turn will probably cost, ``arrived`` when it came, in seconds."""

    @property
    def caller(self) -> Hashable:
        """Whose it is."""
        ...

    unit: int
    lane: int
    cost: float
    arrived: float


Item = TypeVar("Item", bound=Waiting)


class _Client(Generic[Item]):
    """One client's."""

    __slots__ = ("balance", "cost", "is_single", "key", "lane", "lanes", "requests", "served_at")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.requests: deque[Item] = deque()
        self.lanes = [0, 0, 0]  # how many requests in each
        self.lane: int | None = None  # in whose ring it is
        self.is_single = False  # it has one request, and has not had its turn yet
        self.balance = 0.0  # never above 0: seconds of bus time that it had beyond its turns
        self.cost = 0.0  # of all that waits
        self.served_at = -math.inf


class Cheapest:
    """The least of the last numbers, :data:`_TURNS` to twice as many; 0 before the first."""

    __slots__ = ("_before", "_count", "_lately", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._lately = self._before = math.inf
        self._count = 0

    def note(self, number: float) -> float:
        """Takes one more into account; the least then."""
        if number < self._lately:
            self._lately = number
        self._count += 1
        self.value = self._lately if self._lately < self._before else self._before
        if self._count == _TURNS:
            self._before, self._lately, self._count = self._lately, math.inf, 0
        return self.value


class Precedence:
    """Which requests of one bus are single, and whether the next turn is theirs."""

    __slots__ = ("holding", "in_a_row")

    def __init__(self) -> None:
        self.holding: dict[Hashable, float] = {}
        """Clients whose front holds back something of theirs, and when it last did; the oldest first."""
        self.in_a_row = 0
        """Turns that single requests had one after the other while others stood in the ring."""

    def held(self, caller: Hashable, now: float) -> None:
        """A front holds back a request of that client's."""
        self.holding.pop(caller, None)
        self.holding[caller] = now
        self._forget(now)

    def is_single(self, caller: Hashable, now: float) -> bool:
        """Whether a request is the only one of its client, where nothing else of it waits or is on the wire."""
        self._forget(now)
        return caller not in self.holding

    def go_first(self, single: int, others: int) -> bool:
        """Whether the next turn is a single request's.

        :param single: clients with single requests that wait in a lane.
        :param others: clients in its ring.
        """
        return self.in_a_row < max(1, single // others) if others else True

    def note_turn(self, before_others: bool) -> None:
        """A turn begins, of a single request while others stand in the ring or not."""
        self.in_a_row = self.in_a_row + 1 if before_others else 0

    def _forget(self, now: float) -> None:
        while self.holding:
            client = next(iter(self.holding))
            if now - self.holding[client] < HELD_FOR and len(self.holding) <= _MOST_HELD:
                return
            del self.holding[client]


class RequestQueue(Generic[Item]):
    """What waits for one port.

    :param limit: how many may wait in all.
    :param limit_per_client: how many of one client.
    :param extra: how many more may wait in all, each of a client that has no other here.
    :param singles_first: whether single requests go before the ring.
    """

    def __init__(self, limit: int, limit_per_client: int, extra: int = 0, singles_first: bool = False) -> None:
        self._limit = limit
        self._limit_per_client = limit_per_client
        self._most = limit + extra
        self._clients: dict[Hashable, _Client[Item]] = {}
        self._rings: tuple[dict[Hashable, _Client[Item]], ...] = ({}, {}, {})
        self._single: tuple[dict[Hashable, _Client[Item]], ...] = ({}, {}, {})  # by lane too, and in no ring
        self._singles_first = singles_first
        self._precedence = Precedence()
        self._is_turn_over = False  # that of the client which was served last
        self._served: _Client[Item] | None = None
        self._passed_over: list[_Client[Item]] = []
        self._in_lane = [0, 0, 0]
        self._has_debtors = False
        self._usual = [Cheapest(), Cheapest(), Cheapest()]  # what a turn in each lane costs, as a rule
        self._served_lane: int = Lane.NORMAL
        self._starves_at = [math.inf, math.inf, math.inf]
        self._now = 0.0
        self._level: int = Lane.LOW  # the lane whose turn it is
        self.size = 0
        """How many requests wait; the same as the length, for those who look at each request."""
        self.cost = 0.0
        """Seconds that all that waits will probably take."""

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Item]:
        for client in self._clients.values():
            yield from client.requests

    # -- in and out

    def put(self, request: Item, now: float = 0.0) -> None:
        """Adds a request at the end of its client's.

        :raises QueueFull: if the port's or the client's bound is reached.
        """
        mine = self._clients.get(request.caller)
        own = 0 if mine is None else len(mine.requests)
        if self.size >= (self._limit if own else self._most):
            raise _full(request, f"{self.size} requests wait for this port already", "queue")
        if own >= self._limit_per_client:
            raise _full(request, f"{own} requests of this client wait for this port already", "queue_per_client")
        if mine is None:
            mine = self._clients[request.caller] = _Client(request.caller)
        if not own:
            is_alone = self._singles_first and (self._is_turn_over or mine is not self._served)
            # mostly nothing is held back by any front, and there is nothing to look up
            mine.is_single = is_alone and (
                not self._precedence.holding or self._precedence.is_single(request.caller, now)
            )
            if now > mine.served_at + AGEING:
                mine.balance = 0.0  # what it had is long ago
        elif mine.is_single:
            self._join_ring(mine)
        mine.requests.append(request)
        self._entered(mine, request, now)

    def put_back(self, request: Item, now: float = 0.0) -> None:
        """Adds a request that was taken before, ahead of its client's others; no bound refuses it."""
        mine = self._clients.setdefault(request.caller, _Client(request.caller))
        mine.requests.appendleft(request)
        self._entered(mine, request, now)

    def of(self, caller: Hashable) -> tuple[int, float]:
        """How many requests of that client wait here, and how many seconds of bus time they will probably take."""
        mine = self._clients.get(caller)
        return (0, 0.0) if mine is None else (len(mine.requests), mine.cost)

    def held(self, caller: Hashable, now: float) -> None:
        """A front holds back a request of that client's, which therefore pipelines."""
        self._precedence.held(caller, now)
        mine = self._clients.get(caller)
        if mine is not None and mine.is_single:
            self._join_ring(mine)

    def is_full_for(self, caller: Hashable) -> bool:
        """Whether that client's next request would be refused, for what it has here already."""
        own, _ = self.of(caller)
        return own > 0 and (own >= self._limit_per_client or self.size >= self._limit)

    def remove(self, request: Item) -> None:
        """Takes a waiting request out of the queue.

        :raises ValueError: if it does not wait here.
        """
        mine = self._clients.get(request.caller)
        if mine is None or request not in mine.requests:
            raise ValueError("it does not wait here")
        self._left(mine, request)
        self._place(mine)

    def lift(self, request: Item, lane: int) -> None:
        """A waiting request goes in this lane from now on, if that is higher than its own."""
        if lane < request.lane:
            mine = self._clients[request.caller]
            for counts in (mine.lanes, self._in_lane):
                counts[request.lane] -= 1
                counts[lane] += 1
            request.lane = lane
            if self._in_lane[lane] == 1:
                self._starves_at[lane] = self._now + AGEING
            self._place(mine)

    # -- whose turn it is

    def is_next_of_its_own(self, request: Item, but_for: Container[Item]) -> bool:
        """Whether its client wants nothing of that unit before it, but for these."""
        for one in self._clients[request.caller].requests:
            if one is request:
                return True
            if one.unit in (request.unit, BROADCAST) and one not in but_for:
                return False
        return False

    def waits(self, caller: Hashable, unit: int) -> bool:
        """Whether a request of that client's to that unit waits here; a broadcast is to every unit."""
        mine = self._clients.get(caller)
        return mine is not None and any(one.unit in (unit, BROADCAST) for one in mine.requests)

    def first(self, now: float, ready_at: Callable[[Item], float]) -> tuple[Item | None, float]:
        """The request whose turn it is, which stays in the queue, or None and when to ask again.

        :param ready_at: the time from which a request may go.
        """
        self._now = now
        _, normal_starves_at, low_starves_at = self._starves_at
        if now >= normal_starves_at:
            self._age(Lane.NORMAL, now)
        if now >= low_starves_at:
            self._age(Lane.LOW, now)
        again = math.inf
        for level, waiting in enumerate(self._in_lane):
            if not waiting:
                continue
            request, later = self._first_in(level, now, ready_at)
            if request is not None:
                self._level = level
                return request, now
            again = min(again, later)
        return None, again

    def take(self, request: Item) -> None:
        """Removes the request whose turn it is; its client's next turn comes after everybody else's."""
        mine = self._begin_turn(request)
        if request.lane <= self._level:  # one that a higher one lifted is no turn of its lane
            self._starves_at[request.lane] = self._now + AGEING
        mine.is_single = False
        self._left(mine, request)

    def pass_through(self, request: Item, now: float) -> None:
        """The turn of a new request while nothing waits here: as if it was put in, was the first, and was taken."""
        mine, served = self._clients.get(request.caller), self._served
        if mine is None:
            mine = self._clients[request.caller] = _Client(request.caller)
        if now > mine.served_at + AGEING or mine.balance <= (-self._usual[request.lane].value or -math.inf):
            mine.balance = 0.0  # what it had is long ago, or there is nobody whom it could let go before
        self._served, self._served_lane = mine, request.lane
        if served is not None and served is not mine:
            self._place(served)
        self._precedence.in_a_row = 0
        self._is_turn_over = mine.is_single = False
        self._now = now
        self._starves_at[request.lane] = now + AGEING

    def pass_turn(self, request: Item) -> None:
        """Uses up the turn of the request's client, and leaves the request where it is. A client with a single request
        still goes before those that pipeline: what the bus asks of its own ahead of the request is not the client's
        doing."""
        self._begin_turn(request)

    def charge(self, caller: Hashable, cost: float, now: float) -> None:
        """Says what the last turn cost, which was that client's.

        :param cost: seconds that nobody else could use the bus.
        """
        usual = self._usual[self._served_lane].note(cost)
        self._is_turn_over = True
        mine = self._clients.get(caller)
        if mine is not None:
            mine.served_at = now
            balance = mine.balance + usual - cost
            if not self.size and mine is self._served:
                balance = 0.0  # who is alone pays nothing
            if balance < 0.0:
                self._has_debtors = True
                mine.balance = balance
            else:
                mine.balance = 0.0
        if not self.size and (self._has_debtors or len(self._clients) > 1):
            self._forgive()

    def ahead_of(self, caller: Hashable, lane: int, cost: float) -> float:
        """Seconds of bus time that probably go by before a new request of that client has its turn.

        :param cost: of that request.
        """
        mine = self._clients.get(caller)
        own = mine.cost if mine is not None else 0.0
        ahead = own
        for level in range(lane + 1):
            ahead += sum(
                one.cost if level < lane else min(one.cost, own + cost)
                for ring in (self._rings[level], self._single[level]) for one in ring.values() if one is not mine
            )
        return ahead

    # -- within

    def _first_in(
        self, level: int, now: float, ready_at: Callable[[Item], float]
    ) -> tuple[Item | None, float]:
        """The first in a lane. Who has had more than its turns lets the others go before."""
        again = math.inf
        in_debt: list[_Client[Item]] = []
        request: Item | None
        best: Item | None = None
        most_debt = -self._usual[level].value or -math.inf
        for client in self._clients_in(level):
            requests = client.requests
            if len(requests) == 1 and requests[0].lane <= level:
                request = requests[0]
                later = ready_at(request)
                if later > now:
                    request = None
            else:
                request, later = _first_of(client, level, now, ready_at)
            if request is None:
                again = min(again, later)
            elif client.balance > most_debt:
                self._passed_over = in_debt
                return request, now
            else:
                if not in_debt or client.balance > max(one.balance for one in in_debt):
                    best = request
                in_debt.append(client)
        self._passed_over = in_debt
        return (None, again) if best is None else (best, now)

    def _clients_in(self, level: int) -> Iterator[_Client[Item]]:
        """Those who may have something in a lane, in turn."""
        single, rings = self._single[: level + 1], self._rings[: level + 1]
        if any(rings) and any(single) and not self._precedence.go_first(sum(map(len, single)), sum(map(len, rings))):
            single, rings = rings, single
        clients = chain.from_iterable(map(dict.values, (*single, *rings)))
        served = self._served
        return clients if served is None or not served.requests else chain(clients, (served,))

    def _begin_turn(self, request: Item) -> _Client[Item]:
        """Whose turn begins; that of the client which was served last is over."""
        mine, served = self._clients[request.caller], self._served
        if served is not mine:
            self._served = None
            if served is not None:
                self._place(served)
        if self._passed_over:
            self._settle(mine, request.lane)
        if mine.lane is not None:
            self._leave_ring(mine)
        before_others = mine.is_single and any(self._rings)
        if before_others or self._precedence.in_a_row:
            self._precedence.note_turn(before_others)
        self._served, self._served_lane = mine, request.lane
        self._is_turn_over = False
        return mine

    def _settle(self, mine: _Client[Item], lane: int) -> None:
        """Those who were passed over have paid for a turn; all that are in debt, if one of them has the turn."""
        passed, self._passed_over = self._passed_over, []
        relief = -mine.balance if mine in passed else self._usual[lane].value
        for client in passed:
            client.balance = min(0.0, client.balance + relief)
            if client is not mine and client.lane is not None:
                ring = self._ring_of(client, client.lane)
                ring[client.key] = ring.pop(client.key)

    def _age(self, lane: int, now: float) -> None:
        """A lane starves: those who have waited so long in it rise."""
        self._starves_at[lane] = now + AGEING if self._in_lane[lane] else math.inf
        for request in list(self) if self._in_lane[lane] else ():
            if request.lane == lane and request.arrived + AGEING <= now:
                self.lift(request, lane - 1)

    def _entered(self, mine: _Client[Item], request: Item, now: float) -> None:
        lane = request.lane
        self.size += 1
        self.cost += request.cost
        mine.cost += request.cost
        mine.lanes[lane] += 1
        self._in_lane[lane] += 1
        if self._in_lane[lane] == 1:
            self._starves_at[lane] = now + AGEING
        if mine is self._served:
            return  # in no ring while its turn lasts
        if mine.lane is None:  # it has nothing else here
            mine.lane = lane
            (self._single if mine.is_single else self._rings)[lane][mine.key] = mine
        elif lane < mine.lane:
            self._place(mine)

    def _left(self, mine: _Client[Item], request: Item) -> None:
        if mine.requests[0] is request:
            mine.requests.popleft()
        else:
            mine.requests.remove(request)
        mine.lanes[request.lane] -= 1
        self._in_lane[request.lane] -= 1
        mine.cost = mine.cost - request.cost if mine.requests else 0.0  # no rest of rounding
        self.size -= 1
        self.cost = self.cost - request.cost if self.size else 0.0

    def _place(self, mine: _Client[Item]) -> None:
        """Into the ring of its best lane; to none while its turn lasts."""
        if mine is self._served:
            return
        lanes = mine.lanes
        best = 0 if lanes[0] else 1 if lanes[1] else 2 if lanes[2] else None
        if mine.lane == best and best is not None:
            return
        if mine.lane is not None:
            self._leave_ring(mine)
        if best is not None:
            mine.lane = best
            self._ring_of(mine, best)[mine.key] = mine
        elif mine.balance > -self._usual[Lane.NORMAL].value or not self.size or len(self._clients) > 2 * self._limit:
            del self._clients[mine.key]

    def _join_ring(self, mine: _Client[Item]) -> None:
        """A client with a single request wants more."""
        if mine.lane is not None:
            self._leave_ring(mine)
        mine.is_single = False
        self._place(mine)

    def _leave_ring(self, mine: _Client[Item]) -> None:
        assert mine.lane is not None, "it stands in one"
        del (self._single if mine.is_single else self._rings)[mine.lane][mine.key]
        mine.lane = None

    def _ring_of(self, client: _Client[Item], lane: int) -> dict[Hashable, _Client[Item]]:
        return (self._single if client.is_single else self._rings)[lane]

    def _forgive(self) -> None:
        """Nobody waits: what anybody had beyond its turns cost nobody anything."""
        self._has_debtors = False
        self._clients = {} if self._served is None else {self._served.key: self._served}
        if self._served is not None:
            self._served.balance = 0.0


def _first_of(
    client: _Client[Item], level: int, now: float, ready_at: Callable[[Item], float]
) -> tuple[Item | None, float]:
    """A client's first request that may go, of those in this lane or a higher one and those that they lift."""
    requests = client.requests
    lanes = client.lanes
    lifted = None
    if (level < 2 and lanes[2]) or (level < 1 and lanes[1]):
        lifted = {one.unit for one in requests if one.lane <= level}
        lifted = None if BROADCAST in lifted else lifted
    again = math.inf
    passed: set[int] = set()
    for request in requests:
        unit = request.unit
        if unit == BROADCAST and passed:
            break
        if unit in passed:
            continue
        when = ready_at(request) if lifted is None or unit in lifted else math.inf
        if when <= now:
            return request, now
        again = min(again, when)
        if unit == BROADCAST:
            break
        passed.add(unit)
    return None, again


def _full(request: Waiting, why: str, bound: str) -> QueueFull:
    return QueueFull(f"{why}; ask less often, or raise the port's {bound}", unit=request.unit)
