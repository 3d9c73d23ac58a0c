"""Reads the blocks of one port's devices, each at its interval, floor 3.

The poller sends its requests in the low lane, so that a client's read or write goes before them, and it never uses more
than its share of the bus. It spreads the blocks of one interval evenly over the interval. At most one block of a unit
is under way, and a few in all, so that a unit that does not answer delays the others little. See ``plan.py``.

Replies reach the state through the samples of the port, whichever client sent the request. So the poller does not read
a block again that a client has just read, before the interval is over. The poller itself reports only failures.

If a unit is offline, the poller requests only one block per device, which the bus uses as its probe. All other blocks
wait until the unit is back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.bus.events import HealthChange, UnitState
from lumina_twisted.devices.describe.description import Device, read_request
from lumina_twisted.devices.poll.plan import (
    LONGEST_WAIT,
    OTHERS_REPLIES,
    Block,
    Budget,
    Congestion,
    Schedule,
    Task,
    blocks_of,
)
from lumina_twisted.errors import (
    Cancelled,
    Expired,
    IllegalDataAddress,
    IllegalDataValue,
    LuminaError,
    ModbusException,
    NotAllowed,
    Overloaded,
    QueueFull,
    Stopping,
    UnitOffline,
)
from lumina_twisted.modbus.access import Table
from lumina_twisted.ports.interfaces import Port

_log: Final = Logger(namespace="lumina.poller")

UNDER_WAY: Final = 3
"""Blocks that may be under way at a time, each of a different unit."""
PATIENCE: Final = 10.0
"""Seconds that a block may take, including its wait for the bus. By then its readings are stale anyway."""
FIRST_WITHIN: Final = 2.0
"""Seconds within which every block is read for the first time, if the bus allows; afterwards the blocks spread out."""
GOLDEN: Final = 0.618034
"""Multiples of the golden ratio, modulo 1, spread any number of blocks evenly, also when more are added later."""
SHORTEST_PAUSE: Final = 0.0005
"""Shortest delay before the next turn, in seconds, so that rounding errors cause no endless loop."""
OFFLINE_PAUSE: Final = 1.0
"""Seconds between two requests to an offline unit; the bus refuses most of them at no cost."""
TOO_LATE: Final = 2.0
"""Intervals by which a block may be late before the log says so; then its points are stale, or about to be."""
LOG_EVERY: Final = 3600.0
"""Seconds until the log says so again."""
WHOLE_AGAIN: Final = 600.0
"""Seconds after which the poller retries the blocks that a device refused: many devices refuse all while they start."""
_LATE: Final = (Cancelled, Expired, Overloaded, QueueFull, Stopping)
"""Failures that the device did not cause: the known readings stay, and become stale in time."""
_TOO_MUCH_IS_POLLED: Final = (
    "it takes more of the bus than poll_share allows, or than others leave; poll less often, or see which unit does not"
    " answer"
)
_TOO_MUCH: Final = (IllegalDataAddress, IllegalDataValue, NotAllowed)
"""How a device refuses a block with an address or a size that it does not have, and how a port refuses a block with an
address that its access rules forbid."""

Fault = Callable[[Device, Block, str], None]
"""Takes a device, the block that gave no values, and why."""


class PortPoller:
    """The poller of one port. Its requests belong to its own :attr:`caller`.

    :param share: of the bus, above 0 and up to 1.
    :param clock: for delayed calls.
    :param now: the time, in seconds.
    :param failed: is called for each block that gave no values.
    """

    def __init__(
        self, port: Port, devices: Iterable[Device], share: float, clock: Any, now: Callable[[], float], failed: Fault
    ) -> None:
        self.port = port
        self._clock = clock
        self._now = now
        self._failed = failed
        self._budget = Budget(share, now())
        self._used = 0.0
        self._congestion = Congestion()
        self._schedule = Schedule()
        self._tasks: dict[str, list[Task]] = {}
        self._busy_units: set[int] = set()
        self._offline: set[int] = set()
        self._late_logged = -math.inf
        self._whole_again: dict[str, float] = {}
        """By device: when the poller retries the blocks that the device refused."""
        self._call: IDelayedCall | None = None
        self._stop_watching: Callable[[], None] | None = None
        self.caller = Caller("the poller")
        self.reads = 0
        """The number of blocks that the poller has requested."""
        self.replies = 0
        """The number of replies on the port, whichever client sent the request. The plant counts them here."""
        self._devices = list(devices)

    # -- its life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts polling."""
        self.port.meter(self.caller)
        self._used = self.port.used_by(self.caller)
        self._stop_watching = self.port.watch(self._on_health)
        self._offline = set()
        for device in self._devices:
            self.add(device)

    def stop(self) -> None:
        """Stops polling, and cancels the open requests."""
        if self._stop_watching is not None:
            self._stop_watching()
            self._stop_watching = None
        for name in list(self._tasks):
            self.remove(name)
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def add(self, device: Device) -> None:
        """Starts polling the blocks of one more device."""
        now = self._now()
        others = sum(len(tasks) for tasks in self._tasks.values())
        made = self._tasks[device.name] = []
        for block in blocks_of(device):
            others += 1
            phase = others * GOLDEN % 1.0
            task = self._task(device, block, now + phase * min(block.poll, FIRST_WITHIN))
            task.first_pause = block.poll * (1.0 if block.poll <= FIRST_WITHIN else 0.5 + phase / 2)
            made.append(task)
        if device.unit in self._offline:
            self._fail_offline(made)
        self._wake()

    def remove(self, name: str) -> None:
        """Stops polling the blocks of a device."""
        self._whole_again.pop(name, None)
        for task in self._tasks.pop(name, []):
            task.is_over = True
            if task.asked is not None:
                task.asked.cancel()

    def hurry(self, name: str, table: Table, address: int, quantity: int) -> None:
        """These entries may have changed: makes the blocks that contain some of them due now."""
        now = self._now()
        for task in self._tasks.get(name, []):
            if task.due > now and task.asked is None and task.block.meets(table, address, quantity):
                self._schedule.put(task, now)
        self._wake()

    def heard(self, name: str, table: Table, address: int, quantity: int) -> None:
        """A client has just read these entries: the blocks within them are due again one interval from now."""
        for task in self._tasks.get(name, []):
            if task.asked is None and task.block.lies_in(table, address, quantity):
                task.due = max(task.due, self._now() + task.block.poll)

    # -- turns ---------------------------------------------------------------------------------------------------------

    def _task(self, device: Device, block: Block, due: float) -> Task:
        request = read_request(block.table, block.address, block.quantity)
        task = Task(device, block, due, request, self.port.cost_of(device.unit, request))
        self._schedule.put(task, due)
        return task

    def _wake(self, wait: float = 0.0) -> None:
        """Schedules the next turn in ``wait`` seconds."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._stop_watching is not None:
            self._call = self._clock.callLater(wait, self._turn)

    def _turn(self) -> None:
        """Requests all blocks that are due, as far as the limits allow."""
        self._call = None
        now = self._now()
        wait = PATIENCE
        while len(self._busy_units) < UNDER_WAY and (task := self._schedule.first(self._busy_units)) is not None:
            pause = max(task.due - now, self._congestion.wait(now, bool(self._busy_units)))
            if pause <= 0:
                pause = self._budget.wait(task.cost, now)
            if pause > 0:
                wait = pause
                break
            self._ask(task, now)
        if self._schedule:
            self._wake(max(wait, SHORTEST_PAUSE))

    def _ask(self, task: Task, now: float) -> None:
        unit = task.device.unit
        if unit in self._offline and task is not self._tasks[task.device.name][0]:
            self._schedule.put(task, now + max(task.block.poll, OFFLINE_PAUSE))
            return
        if now > max(task.due + TOO_LATE * task.block.poll, self._late_logged + LOG_EVERY):
            self._log_late(task, now)
        self.reads += 1
        self._busy_units.add(unit)
        self._budget.begin(task.cost)
        self._congestion.begin(now)
        is_low = not self._congestion.is_there(now)
        terms = Terms(PATIENCE, priority="low" if is_low else "normal", max_age=0.0)
        task.asked = self.port.request(self.caller, unit, task.request, terms)
        if is_low and not task.asked.called:
            self._be_patient(task)
        Deferred.fromCoroutine(self._until_it_ends(task, task.asked))

    async def _until_it_ends(self, task: Task, asked: Deferred[bytes]) -> None:
        try:
            await asked
            self._is_back(task.device.unit)
        except LuminaError as error:
            self._on_error(error, task)
        except Exception:
            if not task.is_over:
                _log.failure("polling failed within Lumina")
        self._ended(task)

    def _be_patient(self, task: Task) -> None:
        task.begin = self.port.used_by(self.caller), self.replies
        task.patience = self._clock.callLater(LONGEST_WAIT, self._press, task)

    def _press(self, task: Task) -> None:
        """The task has waited long in the low lane. If the poller got no bus time meanwhile and other clients got
        replies, the bus is congested: the poller requests the block again in the normal lane. If only a slow device of
        the poller held the bus, the task waits on."""
        used, replies = task.begin
        is_served = self.port.used_by(self.caller) > used or self.replies < replies + OTHERS_REPLIES
        if is_served and not self._congestion.is_there(self._now()):
            self._be_patient(task)
            return
        task.patience = None
        assert task.asked is not None, "it has not ended"
        self._congestion.noticed(self._now())
        task.due, task.first_pause = self._now(), SHORTEST_PAUSE
        task.asked.cancel()

    def _log_late(self, task: Task, now: float) -> None:
        self._late_logged = now
        _log.warn(
            "{port}: what is read at intervals comes late, {device} by {late:.1f} s: {why}",
            port=self.port.name, device=task.device.name, late=now - task.due,
            why=self.port.describe().slow_because() or _TOO_MUCH_IS_POLLED,
        )

    def _ended(self, task: Task) -> None:
        now = self._now()
        task.asked = None
        if task.patience is not None:
            task.patience.cancel()
            task.patience = None
        self._busy_units.discard(task.device.unit)
        used, self._used = self.port.used_by(self.caller) - self._used, self.port.used_by(self.caller)
        self._budget.end(task.cost, used)
        self._congestion.end(now, used)
        if not task.is_over:
            pause, task.first_pause = task.first_pause or task.block.poll, 0.0
            if task.device.unit in self._offline:
                pause = max(pause, OFFLINE_PAUSE)
            missed = task.due + pause < now
            self._schedule.put(task, now if missed else task.due + pause)
            if now >= self._whole_again.get(task.device.name, math.inf):
                self.remove(task.device.name)
                self.add(task.device)
        self._wake()

    # -- what goes wrong -----------------------------------------------------------------------------------------------

    def _on_error(self, error: LuminaError, task: Task) -> None:
        unit = task.device.unit
        if isinstance(error, UnitOffline) and not task.is_over:
            self._is_gone(unit)
        elif isinstance(error, ModbusException):
            self._is_back(unit)
        if isinstance(error, _LATE) or task.is_over or unit in self._offline:
            return
        if isinstance(error, _TOO_MUCH) and (halves := task.block.halves()):
            self._split(task, halves, str(error))
        else:
            self._failed(task.device, task.block, str(error))

    def _split(self, task: Task, halves: tuple[Block, Block], why: str) -> None:
        """The device refuses the whole block: polls each half as a block of its own from now on."""
        block, device, now = task.block, task.device, self._now()
        _log.info(
            "{device}: {table} {first} to {last} cannot be read as one block, {why}; its halves are read apart from now"
            " on", device=device.name, table=block.table, first=block.address, last=block.end - 1, why=why,
        )
        task.is_over = True
        tasks = self._tasks[device.name]
        at = tasks.index(task)  # keep the order: an offline unit gets only the first task, of the shortest interval
        tasks[at : at + 1] = [self._task(device, half, now) for half in halves]
        self._whole_again.setdefault(device.name, now + WHOLE_AGAIN)

    def _on_health(self, change: HealthChange) -> None:
        if change.serial != self.port.serial_for(change.unit):
            return  # at other serial settings the unit does not answer, so this says nothing of it
        if change.state is UnitState.OFFLINE:
            self._is_gone(change.unit)
        else:
            self._is_back(change.unit)
            self._wake()

    def _is_gone(self, unit: int) -> None:
        if unit not in self._offline:
            self._offline.add(unit)
            self._fail_offline(self._of_unit(unit))

    def _fail_offline(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self._failed(task.device, task.block, f"unit {task.device.unit} on {self.port.name} is offline")

    def _is_back(self, unit: int) -> None:
        """The unit answered a request. If it was offline, its blocks are due now."""
        if unit in self._offline:
            self._offline.discard(unit)
            for task in self._of_unit(unit):
                if task.asked is None:
                    self._schedule.put(task, self._now())

    def _of_unit(self, unit: int) -> list[Task]:
        return [task for tasks in self._tasks.values() for task in tasks if task.device.unit == unit]
