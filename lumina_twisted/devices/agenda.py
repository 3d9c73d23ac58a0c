"""Which block a poller reads next, floor 3.

A heap by time for each unit, so that the thousand blocks of one that is busy cost nobody anything. An entry whose task
has been given another time since does not count any more, and is dropped when it comes up, or when there are many.
"""

from __future__ import annotations

import heapq
from collections.abc import Container
from itertools import count
from typing import Final

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from lumina_twisted.devices.description import Device
from lumina_twisted.devices.plan import Block
from lumina_twisted.modbus.access import Table

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

    def overlaps(self, table: Table, address: int, quantity: int) -> bool:
        """Whether some of these entries are of its block."""
        block = self.block
        return block.table == table and block.address < address + quantity and address < block.address + block.quantity

    def lies_in(self, table: Table, address: int, quantity: int) -> bool:
        """Whether its block is among these entries."""
        block = self.block
        end = block.address + block.quantity
        return block.table == table and address <= block.address and end <= address + quantity


_Entry = tuple[float, int, int, Task]
"""When, what tells two of that time apart, the version, and which."""


class Agenda:
    """The tasks of one port."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[_Entry]] = {}
        self._size = 0
        self._sweep_at = _FEW
        self._numbers = count()

    def __len__(self) -> int:
        """Entries, those that do not count included."""
        return self._size

    def schedule(self, task: Task, due: float) -> None:
        """It is due then, and not when it was before. Where it comes later, to set its ``due`` will do."""
        task.due = due
        task.version += 1
        heap = self._heaps.setdefault(task.device.unit, [])
        heapq.heappush(heap, (due, next(self._numbers), task.version, task))
        self._size += 1
        if self._size > self._sweep_at:
            self._sweep()

    def first(self, busy_units: Container[int]) -> Task | None:
        """What is due first, or was, of all but these units. None if there is nothing else."""
        first: _Entry | None = None
        for unit, heap in self._heaps.items():
            if unit not in busy_units and self._is_left(heap) and (first is None or heap[0][:2] < first[:2]):
                first = heap[0]
        return None if first is None else first[3]

    def _is_left(self, heap: list[_Entry]) -> bool:
        """Brings the first entry that counts to its top; False if there is none."""
        while heap:
            due, _, version, task = entry = heap[0]
            if version != task.version or task.is_over or task.is_under_way:
                heapq.heappop(heap)
                self._size -= 1
            elif due < task.due:  # it was heard meanwhile
                heapq.heapreplace(heap, (task.due, *entry[1:]))
            else:
                return True
        return False

    def _sweep(self) -> None:
        """Drops what does not count; else each write to what is read once a day is remembered for a day."""
        for heap in self._heaps.values():
            heap[:] = [one for one in heap if one[2] == one[3].version and not one[3].is_over]
            heapq.heapify(heap)
        self._size = sum(map(len, self._heaps.values()))
        self._sweep_at = 2 * self._size + _FEW
