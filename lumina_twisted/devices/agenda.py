"""Which block a poller reads next, floor 3.

A heap by time; an entry whose task has been given another time since does not count any more, and is dropped when it
comes up, or when there are many.
"""

from __future__ import annotations

import heapq
from collections.abc import Container
from itertools import count
from typing import Final

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from lumina_twisted.devices.description import Device, TableName
from lumina_twisted.devices.plan import Block

_FEW: Final = 64
"""Entries of the heap that are not worth a look for those that do not count any more."""


@define(eq=False)
class Task:
    """A block and when it is due.

    :param first_pause: seconds between its first read and its second, if not its interval.
    :param begin: when it was asked for, how much of the bus the poller had used, and how many replies were heard.
    """

    device: Device
    block: Block
    due: float
    request: bytes
    cost: float = 0.01
    first_pause: float = 0.0
    is_under_way: bool = False
    is_over: bool = False
    version: int = 0
    asked: Deferred[bytes] | None = None
    patience: IDelayedCall | None = None
    begin: tuple[float, int] = (0.0, 0)

    def overlaps(self, table: TableName, address: int, quantity: int) -> bool:
        """Whether some of these entries are of its block."""
        block = self.block
        return block.table == table and block.address < address + quantity and address < block.address + block.quantity

    def lies_in(self, table: TableName, address: int, quantity: int) -> bool:
        """Whether its block is among these entries."""
        block = self.block
        end = block.address + block.quantity
        return block.table == table and address <= block.address and end <= address + quantity


_Entry = tuple[float, int, int, Task]
"""When, what tells two of that time apart, the version, and which."""


class Agenda:
    """The tasks of one port."""

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._sweep_at = _FEW
        self._numbers = count()

    def __len__(self) -> int:
        """Entries, those that do not count included."""
        return len(self._heap)

    def schedule(self, task: Task, due: float) -> None:
        """It is due then, and not when it was before. Where it comes later, to set its ``due`` will do."""
        task.due = due
        task.version += 1
        heapq.heappush(self._heap, (due, next(self._numbers), task.version, task))
        if len(self._heap) > self._sweep_at:
            self._sweep()

    def first(self, now: float, busy_units: Container[int]) -> Task | None:
        """What is due first, or was; of that whose time has come, only what is of none of these units. None if there
        is nothing else."""
        heap = self._heap
        aside: list[_Entry] = []
        found = None
        while heap and found is None:
            due, _, version, task = entry = heap[0]
            if version != task.version or task.is_over or task.is_under_way:
                heapq.heappop(heap)
            elif due < task.due:  # it was heard meanwhile
                heapq.heapreplace(heap, (task.due, *entry[1:]))
            elif due <= now and task.device.unit in busy_units:
                aside.append(heapq.heappop(heap))
            else:
                found = task
        for entry in aside:
            heapq.heappush(heap, entry)
        return found

    def _sweep(self) -> None:
        """Drops what does not count; else each write to what is read once a day is remembered for a day."""
        self._heap = [one for one in self._heap if one[2] == one[3].version and not one[3].is_over]
        heapq.heapify(self._heap)
        self._sweep_at = 2 * len(self._heap) + _FEW
