"""Who is next: the requests that wait for a port, served client by client.

* Clients take turns, one request a turn. A client whose turn it was goes to the end of the ring when the next turn
  begins, so whoever comes in the meantime is before it: a burst of a thousand delays another client's single read by
  one transaction.
* The requests of one client to one unit keep their order. One that cannot go yet (its shape is owed a reply, its
  retry waits) lets the same client's requests to other units pass. A broadcast is to every unit: nothing passes it.
* Both bounds refuse: a full queue holds no promise worth making.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from itertools import chain

from lumina_twisted.bus.events import Request
from lumina_twisted.errors import QueueFull
from lumina_twisted.modbus.codes import BROADCAST


class RequestQueue:
    """The waiting requests of one port.

    :param limit: how many may wait in all.
    :param limit_per_client: how many of one client.
    """

    def __init__(self, limit: int, limit_per_client: int) -> None:
        self._limit = limit
        self._limit_per_client = limit_per_client
        self._by_client: dict[Hashable, deque[Request]] = {}
        self._ring: dict[Hashable, None] = {}
        self._served: Hashable | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Request]:
        for requests in self._by_client.values():
            yield from requests

    def put(self, request: Request) -> None:
        """Adds a request at the end of its client's.

        :raises QueueFull: if the port's or the client's bound is reached.
        """
        mine = self._by_client.get(request.client)
        if self._size >= self._limit:
            raise _full(request, f"{self._size} requests wait for this port already", "queue")
        if mine is not None and len(mine) >= self._limit_per_client:
            raise _full(request, f"{len(mine)} requests of this client wait for this port already", "queue_per_client")
        self._add(request).append(request)

    def waits(self, client: Hashable, unit: int) -> bool:
        """Whether a request of that client's to that unit waits here; a broadcast is to every unit."""
        return any(one.unit in (unit, BROADCAST) for one in self._by_client.get(client, ()))

    def put_back(self, request: Request) -> None:
        """Adds a request that was taken before, ahead of its client's others; no bound refuses it."""
        self._add(request).appendleft(request)

    def remove(self, request: Request) -> None:
        """Takes a waiting request out of the queue.

        :raises ValueError: if it does not wait here.
        """
        mine = self._by_client.get(request.client, deque())
        mine.remove(request)
        self._size -= 1
        if not mine:
            self._forget(request.client)

    def first(self, now: float, ready_at: Callable[[Request], float]) -> tuple[Request | None, float]:
        """The request whose turn it is, which stays in the queue, or None and when to ask again.

        :param ready_at: the time from which a request may go.
        """
        again = math.inf
        last = () if self._served is None else (self._served,)
        for client in chain(self._ring, last):
            request, later = self._first_of(self._by_client[client], now, ready_at)
            if request is not None:
                return request, now
            again = min(again, later)
        return None, again

    def take(self, request: Request) -> None:
        """Removes the request whose turn it is; its client's next turn comes after everybody else's."""
        self._rejoin()
        mine = self._by_client[request.client]
        mine.remove(request)
        self._size -= 1
        self._ring.pop(request.client, None)
        self._served = request.client

    def pass_turn(self, request: Request) -> None:
        """Uses up the turn of the request's client, and leaves the request where it is."""
        self._rejoin()
        self._ring.pop(request.client, None)
        self._served = request.client

    @staticmethod
    def _first_of(
        requests: deque[Request], now: float, ready_at: Callable[[Request], float]
    ) -> tuple[Request | None, float]:
        again = math.inf
        passed: set[int] = set()
        for request in requests:
            unit = request.unit
            if unit == BROADCAST and passed:
                break
            if unit in passed:
                continue
            when = ready_at(request)
            if when <= now:
                return request, now
            again = min(again, when)
            if unit == BROADCAST:
                break
            passed.add(unit)
        return None, again

    def _add(self, request: Request) -> deque[Request]:
        self._size += 1
        client = request.client
        mine = self._by_client.get(client)
        if mine is None:
            mine = self._by_client[client] = deque()
        if client != self._served:
            self._ring.setdefault(client)
        return mine

    def _rejoin(self) -> None:
        client, self._served = self._served, None
        if client is None:
            return
        if self._by_client[client]:
            self._ring.setdefault(client)
        else:
            del self._by_client[client]

    def _forget(self, client: Hashable) -> None:
        self._ring.pop(client, None)
        if client != self._served:
            del self._by_client[client]


def _full(request: Request, why: str, bound: str) -> QueueFull:
    return QueueFull(f"{why}; ask less often, or raise the port's {bound}", unit=request.unit)
