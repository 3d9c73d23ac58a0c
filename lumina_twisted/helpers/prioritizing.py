"""Commands that wait for somebody to take them, floor 2: the mission's ``CommandPrioritizer`` (M12) over the queue that
ports have.

It is awaitable in both worlds, as :mod:`lumina_twisted.helpers.retrying` is. A task of asyncio's may be cancelled
after it was told that there is something for it; so there a command leaves the queue in the
very step in which its taker goes on.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Hashable
from itertools import count
from typing import Any, Final

from attrs import define
from twisted.internet.defer import Deferred, fail, succeed

from lumina_twisted.awaiting import in_asyncio_task, in_callers_world
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.errors import LuminaError, QueueFull
from lumina_twisted.priority import Priority, lane_of

_COST: Final = 1.0
"""Of each turn, for nobody here knows what a command will take; not 0, for the queue keeps whoever had a free turn."""


@define(eq=False)
class _Command:
    """What the queue takes. A port keeps the order of what goes to one unit; here nobody knows what a command is for,
    so each has a ``unit`` of its own, and only lanes, ages and turns count."""

    data: Any
    client: Hashable
    unit: int
    lane: int
    arrived: float
    cost: float = 0.0
    is_waiting: bool = False


class CommandPrioritizer:
    """Commands in three lanes: what waits in a higher one is taken first, what waits long rises to the next, and within
    a lane clients take turns; see :mod:`lumina_twisted.bus.queue`.

    :param limit: how many may wait.
    :param limit_per_client: how many of one client; as many as in all if it is not given.
    :param now: a clock that never goes back, in seconds.
    :raises ValueError: if a limit is less than 1.
    """

    def __init__(
        self, limit: int = 1000, limit_per_client: int | None = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        limit_per_client = limit if limit_per_client is None else limit_per_client
        if limit < 1 or limit_per_client < 1:
            raise ValueError("limit and limit_per_client are 1 or more")
        self._queue: RequestQueue[_Command] = RequestQueue(limit, limit_per_client)
        self._now = now
        self._units = count(1)  # 0 would be a broadcast
        self._takers: deque[Deferred[Any] | asyncio.Future[None]] = deque()
        self._promised = 0
        """Tasks that were told that there is a command for them, and have not taken it yet."""

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    def enqueue_command(self, priority: Priority, data: Any, client: Hashable = None) -> Any:
        """Puts a command into the queue, at once.

        :param data: whatever :meth:`get_next_command` is to give.
        :param client: whose command it is, where several are to have their turns.
        :return: something to await: it gives None, or fails with :class:`~lumina_twisted.errors.RequestError` (there is
            no such priority) or :class:`~lumina_twisted.errors.QueueFull`; then the command does not wait.
        """
        try:
            now = self._now()
            command = _Command(data, client, next(self._units), lane_of(priority), now)
            self._queue.put(command, now)
        except QueueFull:
            waiting = f"{len(self._queue)} commands wait already"
            return _ended(QueueFull(f"{waiting}; take some, or raise limit or limit_per_client"))
        except LuminaError as error:
            return _ended(error)
        self._tell_takers()
        return _ended()

    def get_next_command(self) -> Any:
        """Takes the command whose turn it is.

        :return: something to await: it gives the command's data as soon as there is one; who came first is given the
            first. Cancelling it takes nothing. In a task of asyncio's it is a coroutine, which begins when it is
            awaited.
        """
        if in_asyncio_task():
            return self._next_in_task()
        if self._has_spare:
            return succeed(self._take())
        taker: Deferred[Any] = Deferred(self._takers.remove)
        self._takers.append(taker)
        return taker

    @property
    def _has_spare(self) -> bool:
        return len(self._queue) > self._promised

    def _take(self) -> Any:
        now = self._now()
        command, _ = self._queue.first(now, lambda _: -math.inf)
        assert command is not None, "there is one"
        self._queue.take(command)
        self._queue.charge(command.client, _COST, now)
        return command.data

    def _tell_takers(self) -> None:
        while self._takers and self._has_spare:
            taker = self._takers.popleft()
            if isinstance(taker, Deferred):
                taker.callback(self._take())
            elif not taker.done():  # else it was cancelled a moment ago
                self._promised += 1
                taker.set_result(None)

    async def _next_in_task(self) -> Any:
        if not self._has_spare:
            taker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            try:
                await taker
            except BaseException:
                self._withdraw(taker)
                raise
            self._promised -= 1
        return self._take()

    def _withdraw(self, taker: asyncio.Future[None]) -> None:
        """Its task was cancelled; if it had been told of a command, that is the next one's."""
        if taker in self._takers:
            self._takers.remove(taker)
        elif not taker.cancelled():
            self._promised -= 1
            self._tell_takers()


def _ended(error: LuminaError | None = None) -> Any:
    """What ends at once, in the world of the caller."""
    return in_callers_world(succeed(None) if error is None else fail(error))
