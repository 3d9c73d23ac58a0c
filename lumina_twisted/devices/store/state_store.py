"""States and configurations that outlive the process, floor 3, in a SQLite file.

Changes wait in memory, and a separate thread writes them in batches: one transaction every ``save_every`` seconds, or
as soon as ``batch_rows`` changes wait. So no reading waits for the disk. A process that is killed loses the changes
since its last batch: those of ``save_every`` seconds and one transaction. The docstring of ``database.py`` says what a
power cut loses.

If the file cannot be written, nothing else is affected. The number of waiting changes is bounded. Beyond it, the store
drops and counts the oldest changes. It logs this once an hour, and tries again until it succeeds.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Annotated, Any, Final

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

import lumina_twisted.devices.store.database as database
from lumina_twisted.awaiting import Semaphore, in_callers_world, reactor_here
from lumina_twisted.devices.describe.settings import History, HistoryRows, SaveEvery, ValuesSettings, same
from lumina_twisted.devices.store.database import Change, Database, Kept
from lumina_twisted.errors import ConfigError
from lumina_twisted.schema import Between, required, setting
from lumina_twisted.valueproto.reading import Reading

_log: Final = Logger(namespace="lumina.values")
RETRY: Final = 10.0
"""Seconds until the store tries again to write the file: a full disk is rarely freed faster."""
LOG_EVERY: Final = 3600.0
WAITING_BATCHES: Final = 10
"""Batches that may wait: they cover a disk that is slow for some seconds at 2,000 changes a second, in some 5 MB."""


@frozen(kw_only=True)
class StoreSettings:
    """Where states are kept, and how many of them."""

    path: str = required("the SQLite file; its folder is made if there is none")
    save_every: SaveEvery = same(ValuesSettings, "save_every")
    batch_rows: Annotated[int, Between(1, 100_000)] = setting(2000, "changes that are written at a time, at most")
    history_rows: HistoryRows = same(ValuesSettings, "history_rows")
    history: History = same(ValuesSettings, "history")


@define(eq=False)
class StateStore:
    """Keeps changes of states, and configurations.

    A method that returns something to await returns an asyncio future in an asyncio task, and a Deferred anywhere else.

    :param reactor: if it is not given, :meth:`start` takes the global reactor, or in an asyncio program one on the
        running loop. The other methods must then be called in that loop too.
    :param now: a clock that never goes back, in seconds.
    """

    settings: StoreSettings
    reactor: Any = None
    now: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    dropped: int = field(default=0, init=False)
    """The number of changes that were dropped, for too many waited for the disk."""
    trouble: str = field(default="", init=False)
    """Why the file cannot be used at the moment; empty if it can."""
    _database: Database | None = field(default=None, init=False)
    _waiting: deque[Change] = field(init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _writing: Semaphore = field(factory=Semaphore, init=False)
    _on_the_way: int = field(default=0, init=False)
    """The number of changes in the batch that is being written."""
    _is_logged: bool = field(default=False, init=False)
    """Whether the log says that there is trouble."""
    _logged_at: dict[str, float] = field(factory=dict, init=False)
    """When each kind of trouble was logged last."""

    def __attrs_post_init__(self) -> None:
        self._waiting = deque(maxlen=WAITING_BATCHES * self.settings.batch_rows)

    # -- its life -------------------------------------------------------------------------------------------------

    def start(self) -> Any:
        """Opens the file, checks it, and loads its contents. A damaged file is set aside, and the log says so.

        :return: something to await: it gives a :class:`~lumina_twisted.devices.store.database.Kept`. It never fails: if
            the file cannot be opened, the result is empty, the log says why, and the store tries again.
        """
        if self.reactor is None:
            self.reactor = reactor_here()
        self._database = Database(self.settings.path, self.reactor)
        self._database.start()
        return in_callers_world(Deferred.fromCoroutine(self._load()))

    def stop(self, last: Iterable[Change] = ()) -> Any:
        """Writes all waiting changes, and closes the file.

        :param last: the last readings of all points, so that the saved time of each is the time of its last read;
            without them it is the time of its last change.
        :return: something to await: it gives None when the file is closed, even if the writes failed.
        """
        return in_callers_world(Deferred.fromCoroutine(self._stop(list(last))))

    def flush(self) -> Any:
        """Writes all waiting changes now.

        :return: something to await: it gives whether all of them are written.
        """
        return in_callers_world(Deferred.fromCoroutine(self._flush()))

    # -- what is kept ---------------------------------------------------------------------------------------------

    def add(self, device: str, point: str, reading: Reading) -> None:
        """Adds a change to the next batch."""
        waiting = self._waiting
        if len(waiting) == waiting.maxlen:
            self._count_dropped(1)
        waiting.append((device, point, reading))
        if self._timer is None:
            if not self._on_the_way:
                self._schedule()
        elif len(waiting) == self.settings.batch_rows and not self.trouble:
            self._timer.reset(0)

    def save_configuration(self, device: str, type_: str, config: Mapping[str, Any]) -> Deferred[None]:
        """Saves the configuration of a device.

        :param config: plain data that JSON can hold.
        :return: a Deferred that fires with None when the configuration is on the disk, or fails with
            :class:`~lumina_twisted.errors.ConfigError` if it cannot be saved.
        """
        return Deferred.fromCoroutine(self._configure(device, (type_, json.dumps(config))))

    def remove_configuration(self, device: str) -> Deferred[None]:
        """Removes the configuration of a device. The Deferred fires or fails as that of :meth:`save_configuration`."""
        return Deferred.fromCoroutine(self._configure(device, None))

    @property
    def waiting(self) -> int:
        """The number of changes that are not in the file yet. They are lost if the process is killed now."""
        return len(self._waiting) + self._on_the_way

    # -- in the reactor's thread ----------------------------------------------------------------------------------

    async def _run(self, work: Callable[..., Any], *args: Any) -> str:
        """Runs one transaction in the database's thread.

        :return: why it failed, if the failure may be temporary; empty if it succeeded.
        """
        assert self._database is not None, "it is started"
        try:
            await self._database.runInteraction(work, *args)
        except Exception as error:
            if not self._database.suspect(error):
                raise
            return f"{self.settings.path} cannot be used: {error}; look at its disk, and at who may write there"
        finally:
            while self._database.messages:
                _log.error("{sentence}", sentence=self._database.messages.popleft())
        return ""

    async def _load(self) -> Kept:
        loaded: list[Kept] = []
        self._judge(await self._run(lambda cursor: loaded.append(database.load(cursor, self.settings.history))))
        self._schedule()
        kept = loaded[0] if loaded else Kept()
        if kept.unreadable:
            _log.error(
                "{path} is damaged: {n} rows cannot be read, and are left out, such as {first}",
                path=self.settings.path, n=len(kept.unreadable), first=kept.unreadable[0],
            )
        return kept

    async def _configure(self, device: str, configuration: tuple[str, str] | None) -> None:
        async with self._writing:  # closing the file waits for this
            if self._database is None:
                raise ConfigError([f"{device}: cannot be kept, for {self.settings.path} is not open"])
            if trouble := await self._run(database.configure, device, configuration):
                self._judge(trouble)
                raise ConfigError([f"{device}: cannot be kept: {trouble}"])

    def _schedule(self) -> None:
        """Schedules the next batch: at once if it is full, else after the usual delay."""
        if self._timer is None and self._database is not None and self._waiting:
            is_full = len(self._waiting) >= self.settings.batch_rows
            seconds = RETRY if self.trouble else 0 if is_full else self.settings.save_every
            self._timer = self.reactor.callLater(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        Deferred.fromCoroutine(self._write()).addErrback(
            lambda failure: _log.failure("Changes of states could not be written, and are not kept", failure)
        )

    async def _write(self) -> bool:
        """Writes one batch. If that fails, its changes wait again.

        :return: whether the batch is written.
        """
        await self._writing.acquire()
        try:
            return self._database is not None and await self._write_batch()
        finally:
            self._on_the_way = 0
            self._writing.release()
            self._schedule()

    async def _write_batch(self) -> bool:
        waiting = self._waiting
        batch = [waiting.popleft() for _ in range(min(self.settings.batch_rows, len(waiting)))]
        self._on_the_way = len(batch)
        trouble = await self._run(database.write, batch, self.settings.history_rows) if batch else self.trouble
        if trouble and batch:
            self._count_dropped(max(0, self.waiting - (waiting.maxlen or 0)))
            self._waiting = deque(chain(batch, waiting), waiting.maxlen)  # drops the oldest if there are too many
        self._judge(trouble)
        return not trouble

    async def _flush(self) -> bool:
        while self.waiting:
            if not await self._write():
                return False
        return True

    async def _stop(self, last: list[Change]) -> None:
        try:
            await self._flush()
        except Exception:
            _log.failure("Changes of states could not be written, and are not kept")
        async with self._writing:
            await self._close(last)

    async def _close(self, last: list[Change]) -> None:
        if self._database is None:
            return
        try:
            self._judge(await self._run(database.finish, last) or await self._run(database.checkpoint))
        except Exception:
            _log.failure("The last states could not be written")
        if self._waiting:
            _log.error("{n} changes of states are not kept", n=len(self._waiting))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        closing, self._database = self._database, None
        closing.close()

    # -- what is logged -------------------------------------------------------------------------------------------

    def _count_dropped(self, number: int) -> None:
        self.dropped += number
        if number and self._is_due("dropped"):
            _log.error(
                "{path} is too slow: more than {n} changes of states wait for it, and the oldest are not kept",
                path=self.settings.path, n=self._waiting.maxlen,
            )

    def _judge(self, trouble: str) -> None:
        """Logs trouble at most once an hour, and its end if the trouble was logged."""
        if trouble and self._is_due("trouble"):
            self._is_logged = True
            _log.error("{trouble}. States are known in memory only until then", trouble=trouble)
        elif self._is_logged and not trouble:
            self._is_logged = False
            _log.info(
                "{path} is written again; {n} changes of states were not kept", path=self.settings.path, n=self.dropped
            )
        self.trouble = trouble

    def _is_due(self, what: str) -> bool:
        """Whether ``what`` may be logged: it was not logged within the last hour. The caller then logs it."""
        now = self.now()
        if now - self._logged_at.get(what, -math.inf) < LOG_EVERY:
            return False
        self._logged_at[what] = now
        return True
