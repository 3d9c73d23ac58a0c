"""The queue of one port: requests wait here, and their clients take turns. Floor 1.

* There are three lanes. Requests in a higher lane go first. If a lane has had no turn for :data:`AGEING`, the requests
  that have waited that long in it rise to the next lane, so that no request starves.
* Within a lane clients take turns, one request a turn. A client goes to the end of the ring when the turn after its own
  begins. So a client that comes in the meantime is ahead of it: a burst of a thousand requests delays another client's
  single read by one transaction.
* Single requests go before pipelined ones. A program that polls sends a request and waits for its answer; a program
  that pipelines always has another request ready. In a common ring, a polling program would wait for a whole round of
  the pipelining ones: 40 of them at 9600 baud take two seconds. So a request is *single* if no other request of its
  client waits or is on the wire, and no front-end holds one back. Single requests take turns of their own, in order of
  arrival. At least every second turn belongs to the ring of the others, so that the ring never starves. If more clients
  wait with single requests than stand in the ring, they get several turns in a row: as many as there are such clients
  for each client of the ring. Then every client has an equal share.
* Turns are paid in bus time (deficit round robin, Shreedhar and Varghese 1995, in the form that charges afterwards). A
  request to a dead unit, or for a long block, may cost many times the usual. Then its client is passed over as many
  times. A client that is alone pays nothing. All debts are forgiven when nobody waits; a client's debt is forgiven when
  it has asked nothing for :data:`AGEING`.
* The requests of one client to one unit keep their order; a request in a high lane lifts those before it. If a request
  cannot go yet (a reply of its shape may still come, or its retry waits), the same client's requests to other units may
  pass it. A broadcast goes to every unit, so nothing passes it.
* Both bounds refuse requests: a full queue cannot make a promise that is worth much. But a client that has no request
  in a full queue may put one into it, so that clients which fill the queue do not shut out the others.
  :meth:`RequestQueue.is_full_for` tells a front-end beforehand, which then stops reading from that client.
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
"""The usual cost of a turn is that of the cheapest of the last turns, this many to twice as many."""
HELD_FOR: Final = 10.0
"""Seconds for which a client counts as pipelining after a front-end last held back one of its requests. A front-end
looks again whenever a request ends, which takes a round."""
_MOST_HELD: Final = 4096


class Lane(IntEnum):
    """The lanes; the lowest number goes first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class Waiting(Protocol):
    """An item of the queue: a request, as far as turns are concerned. Only the queue writes ``lane`` once it is put in.
    ``cost`` is the probable cost of its turn, and ``arrived`` the time when it came, both in seconds."""

    @property
    def caller(self) -> Hashable:
        """The client that the request belongs to."""
        ...

    unit: int
    lane: int
    cost: float
    arrived: float


Item = TypeVar("Item", bound=Waiting)


class _Client(Generic[Item]):
    """The waiting requests of one client, and its place in the ring."""

    __slots__ = ("balance", "cost", "is_single", "key", "lane", "lanes", "requests", "served_at")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.requests: deque[Item] = deque()
        self.lanes = [0, 0, 0]  # how many requests wait in each lane
        self.lane: int | None = None  # the lane in whose ring it stands
        self.is_single = False  # it has one request, and has not had its turn yet
        self.balance = 0.0  # 0 or less: a debt, the seconds of bus time that it had beyond its turns
        self.cost = 0.0  # of all its waiting requests
        self.served_at = -math.inf


class Cheapest:
    """The minimum of the last numbers, :data:`_TURNS` to twice as many; 0 before the first number."""

    __slots__ = ("_before", "_count", "_lately", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._lately = self._before = math.inf
        self._count = 0

    def note(self, number: float) -> float:
        """Adds a number, and returns the new minimum."""
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
        """Clients of which a front-end holds back a request, with the time when it last did; the oldest first."""
        self.in_a_row = 0
        """How many turns in a row single requests had while other clients stood in the ring."""

    def held(self, caller: Hashable, now: float) -> None:
        """A front-end holds back a request of that client."""
        self.holding.pop(caller, None)
        self.holding[caller] = now
        self._forget(now)

    def is_single(self, caller: Hashable, now: float) -> bool:
        """Whether a request is single. The caller knows that no other of its client waits or is on the wire."""
        self._forget(now)
        return caller not in self.holding

    def go_first(self, single: int, others: int) -> bool:
        """Whether the next turn belongs to a single request.

        :param single: how many clients with single requests wait in a lane.
        :param others: how many clients stand in its ring.
        """
        return self.in_a_row < max(1, single // others) if others else True

    def note_turn(self, before_others: bool) -> None:
        """A turn begins. ``before_others``: it is that of a single request while other clients stand in the ring."""
        self.in_a_row = self.in_a_row + 1 if before_others else 0

    def _forget(self, now: float) -> None:
        while self.holding:
            client = next(iter(self.holding))
            if now - self.holding[client] < HELD_FOR and len(self.holding) <= _MOST_HELD:
                return
            del self.holding[client]


class RequestQueue(Generic[Item]):
    """The requests that wait for one port.

    :param limit: how many may wait in all.
    :param limit_per_client: how many of one client may wait.
    :param extra: how many more than ``limit`` may wait, each the only one of its client.
    :param singles_first: whether single requests go before the ring.
    """

    def __init__(self, limit: int, limit_per_client: int, extra: int = 0, singles_first: bool = False) -> None:
        self._limit = limit
        self._limit_per_client = limit_per_client
        self._most = limit + extra
        self._clients: dict[Hashable, _Client[Item]] = {}
        self._rings: tuple[dict[Hashable, _Client[Item]], ...] = ({}, {}, {})
        self._single: tuple[dict[Hashable, _Client[Item]], ...] = ({}, {}, {})  # by lane too; they stand in no ring
        self._singles_first = singles_first
        self._precedence = Precedence()
        self._is_turn_over = False  # the turn of the client that was served last
        self._served: _Client[Item] | None = None
        self._passed_over: list[_Client[Item]] = []
        self._in_lane = [0, 0, 0]
        self._has_debtors = False
        self._usual = [Cheapest(), Cheapest(), Cheapest()]  # the usual cost of a turn in each lane
        self._served_lane: int = Lane.NORMAL
        self._starves_at = [math.inf, math.inf, math.inf]
        self._now = 0.0
        self._level: int = Lane.LOW  # the lane whose turn it is
        self.size = 0
        """How many requests wait. It is the same as ``len()``, for code that looks at it for each request."""
        self.cost = 0.0
        """Seconds that all waiting requests will probably take."""

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Item]:
        for client in self._clients.values():
            yield from client.requests

    # -- in and out

    def put(self, request: Item, now: float = 0.0) -> None:
        """Adds a request behind the others of its client.

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
            # mostly no front-end holds anything back, and no look-up is necessary
            mine.is_single = is_alone and (
                not self._precedence.holding or self._precedence.is_single(request.caller, now)
            )
            if now > mine.served_at + AGEING:
                mine.balance = 0.0  # its last turn is long ago
        elif mine.is_single:
            self._join_ring(mine)
        mine.requests.append(request)
        self._entered(mine, request, now)

    def put_back(self, request: Item, now: float = 0.0) -> None:
        """Puts a request that was taken back, ahead of the others of its client. No bound refuses it."""
        mine = self._clients.setdefault(request.caller, _Client(request.caller))
        mine.requests.appendleft(request)
        self._entered(mine, request, now)

    def of(self, caller: Hashable) -> tuple[int, float]:
        """How many requests of that client wait here, and how many seconds of bus time they will probably take."""
        mine = self._clients.get(caller)
        return (0, 0.0) if mine is None else (len(mine.requests), mine.cost)

    def held(self, caller: Hashable, now: float) -> None:
        """A front-end holds back a request of that client, so the client pipelines."""
        self._precedence.held(caller, now)
        mine = self._clients.get(caller)
        if mine is not None and mine.is_single:
            self._join_ring(mine)

    def is_full_for(self, caller: Hashable) -> bool:
        """Whether the queue would refuse that client's next request because of those that it has here already."""
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
        """Moves a waiting request to ``lane``, if that is higher than its own."""
        if lane < request.lane:
            mine = self._clients[request.caller]
            for counts in (mine.lanes, self._in_lane):
                counts[request.lane] -= 1
                counts[lane] += 1
            request.lane = lane
            if self._in_lane[lane] == 1:
                self._starves_at[lane] = self._now + AGEING
            self._place(mine)

    # -- turns

    def is_next_of_its_own(self, request: Item, but_for: Container[Item]) -> bool:
        """Whether no earlier request of its client to its unit, or to all units, waits, except ``but_for``."""
        for one in self._clients[request.caller].requests:
            if one is request:
                return True
            if one.unit in (request.unit, BROADCAST) and one not in but_for:
                return False
        return False

    def waits(self, caller: Hashable, unit: int) -> bool:
        """Whether a request of that client to that unit waits here. A broadcast goes to every unit."""
        mine = self._clients.get(caller)
        return mine is not None and any(one.unit in (unit, BROADCAST) for one in mine.requests)

    def first(self, now: float, ready_at: Callable[[Item], float]) -> tuple[Item | None, float]:
        """The request whose turn it is, which stays in the queue; or None, and the time to ask again.

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
        """Removes the request whose turn it is. Its client's next turn comes after those of all other clients."""
        mine = self._begin_turn(request)
        if request.lane <= self._level:  # otherwise a higher one lifted it, and this is no turn of its lane
            self._starves_at[request.lane] = self._now + AGEING
        mine.is_single = False
        self._left(mine, request)

    def pass_through(self, request: Item, now: float) -> None:
        """Gives a new request its turn while nothing waits here. The effect is that of put, first and take."""
        mine, served = self._clients.get(request.caller), self._served
        if mine is None:
            mine = self._clients[request.caller] = _Client(request.caller)
        if now > mine.served_at + AGEING or mine.balance <= (-self._usual[request.lane].value or -math.inf):
            mine.balance = 0.0  # its last turn is long ago, or there is no client that it could let pass
        self._served, self._served_lane = mine, request.lane
        if served is not None and served is not mine:
            self._place(served)
        self._precedence.in_a_row = 0
        self._is_turn_over = mine.is_single = False
        self._now = now
        self._starves_at[request.lane] = now + AGEING

    def pass_turn(self, request: Item) -> None:
        """Uses up the turn of the request's client, and leaves the request in the queue. A client with a single request
        still goes before clients that pipeline: the bus sends a request of its own first, which is not the client's
        doing."""
        self._begin_turn(request)

    def charge(self, caller: Hashable, cost: float, now: float) -> None:
        """Charges that client for the last turn, which was its own.

        :param cost: seconds for which nobody else could use the bus.
        """
        usual = self._usual[self._served_lane].note(cost)
        self._is_turn_over = True
        mine = self._clients.get(caller)
        if mine is not None:
            mine.served_at = now
            balance = mine.balance + usual - cost
            if not self.size and mine is self._served:
                balance = 0.0  # a client that is alone pays nothing
            if balance < 0.0:
                self._has_debtors = True
                mine.balance = balance
            else:
                mine.balance = 0.0
        if not self.size and (self._has_debtors or len(self._clients) > 1):
            self._forgive()

    def ahead_of(self, caller: Hashable, lane: int, cost: float) -> float:
        """Seconds of bus time that will probably pass before a new request of that client has its turn.

        :param cost: the probable cost of that request, in seconds.
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
        """The first request in a lane. A client in debt lets the others go first."""
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
        """The clients that may have a request in a lane, in the order of their turns."""
        single, rings = self._single[: level + 1], self._rings[: level + 1]
        if any(rings) and any(single) and not self._precedence.go_first(sum(map(len, single)), sum(map(len, rings))):
            single, rings = rings, single
        clients = chain.from_iterable(map(dict.values, (*single, *rings)))
        served = self._served
        return clients if served is None or not served.requests else chain(clients, (served,))

    def _begin_turn(self, request: Item) -> _Client[Item]:
        """Begins the turn of the request's client, and returns the client. The turn before it is over."""
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
        """Clients that were passed over have paid for a turn. If one of them has the turn, its debt is taken off
        all of theirs."""
        passed, self._passed_over = self._passed_over, []
        relief = -mine.balance if mine in passed else self._usual[lane].value
        for client in passed:
            client.balance = min(0.0, client.balance + relief)
            if client is not mine and client.lane is not None:
                ring = self._ring_of(client, client.lane)
                ring[client.key] = ring.pop(client.key)

    def _age(self, lane: int, now: float) -> None:
        """A lane starves: the requests that have waited for :data:`AGEING` in it rise."""
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
            return  # while its turn lasts, it stands in no ring
        if mine.lane is None:  # it has no other request here
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
        """Puts a client into the ring of its best lane. While its turn lasts, it stands in no ring."""
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
        """A client with a single request has more to send, so it moves into the ring."""
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
        """Cancels all debts: nobody waits, so nobody had to wait for a client in debt."""
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
