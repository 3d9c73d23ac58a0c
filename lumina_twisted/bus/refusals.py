"""Refusals that are not told at once. Floor 1.

A client that asks again as soon as it is refused would burn a processor on a port, or a unit, that is not there. So
such a refusal is told no sooner than :data:`PATIENCE` after its request came; later, up to ten times, if hundreds of
clients do so at once; and never after its deadline.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import Final

from lumina_twisted.bus.events import Request
from lumina_twisted.errors import ModbusError

PATIENCE: Final = 0.02
"""Seconds."""
MOST_PATIENCE: Final = 10 * PATIENCE
"""The same, when very many are refused."""
_FEW: Final = 50
"""Refusals that may wait before each of them waits longer."""


class Refusals:
    """What will be refused in a moment, oldest first.

    :param limit: how many may wait to be told; one more is told at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[tuple[float, int, Request, ModbusError]] = []  # a heap
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def due(self) -> float:
        """When the oldest is to be told."""
        return self._waiting[0][0] if self._waiting else math.inf

    def put(self, request: Request, error: ModbusError, now: float) -> bool:
        """Takes a request that is refused, unless it came long ago, or too many wait.

        :return: whether it was taken; if not, it is to be told now.
        """
        waiting = len(self._waiting)
        patience = min(MOST_PATIENCE, PATIENCE * max(1.0, waiting / _FEW))
        due = min(request.deadline, request.arrived + patience)
        if now >= due or waiting >= self._limit:
            return False
        self._number += 1
        heapq.heappush(self._waiting, (due, self._number, request, error))
        return True

    def take_due(self, now: float) -> Iterator[tuple[Request, ModbusError]]:
        """Those to be told by now; they are taken out."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, request, error = heapq.heappop(self._waiting)
            yield request, error

    def take_all(self) -> Iterator[tuple[Request, ModbusError]]:
        """Every one of them, at once."""
        return self.take_due(math.inf)
