"""The devices as a service, floor 3: what was known before a restart, then the polling; at the stop, what is known is
kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lumina_twisted.devices.describe.description import Device, Profile
from lumina_twisted.devices.describe.settings import ValuesSettings, take_over
from lumina_twisted.devices.observe.state import DeviceStates
from lumina_twisted.devices.plant import Plant
from lumina_twisted.devices.store.database import Kept
from lumina_twisted.devices.store.lock import DatabaseLock
from lumina_twisted.devices.store.state_store import StateStore, StoreSettings
from lumina_twisted.ports.interfaces import Ports

_log: Final = Logger(namespace="lumina.values")

MARK_EVERY: Final = 1.0
"""Seconds between two searches for readings that have become stale."""


class PlantService(Service):
    """All devices of a configuration. ``plant`` are their values, as front-ends see them.

    :param reactor: for delayed calls and the database's thread.
    :param now: a clock that never goes back; ``stamp`` is the time of day; both in seconds.
    """

    def __init__(
        self, devices: Mapping[str, Device], profiles: Mapping[str, Profile], settings: ValuesSettings, ports: Ports,
        reactor: Any, now: Callable[[], float], stamp: Callable[[], float],
    ) -> None:
        self.store = _store(settings, reactor, now)
        self._lock = DatabaseLock(settings.database)
        self.state = DeviceStates(history=settings.history, keep=None if self.store is None else self.store.add)
        self.plant = Plant(
            devices.values(), ports, self.state, settings, reactor, now, stamp, profiles=profiles, store=self.store
        )
        self._marking = LoopingCall(self.plant.mark_stale)
        self._marking.clock = reactor
        self._started: Deferred[None] = succeed(None)

    def claim(self) -> str:
        """Makes sure that no other service uses the database; waits some seconds for one that is about to stop.

        :return: nothing, or a sentence that says which one does.
        """
        return self._lock.take()

    def startService(self) -> None:
        """Reads what was known and changed before, and begins to ask."""
        super().startService()
        self._started = Deferred.fromCoroutine(self._start())

    def stopService(self) -> Deferred[None]:
        """Asks for nothing more, and keeps what is known.

        :return: a Deferred that fires with None when it is kept; it does not fail.
        """
        super().stopService()
        self.plant.changes.stop()
        self.plant.stop()
        if self._marking.running:
            self._marking.stop()
        return Deferred.fromCoroutine(self._stop(self._started))

    async def _start(self) -> None:
        try:
            async with self.plant.changes.turn:
                await self._load()
        except Exception:
            self._log_failure()
        if self.store is not None and not self.store.trouble:
            path = os.path.abspath(self.store.settings.path)
            _log.info("values and changes of devices are kept in {path}", path=path)
        self.plant.changes.log_changed()
        if self.running:
            self.plant.start()
            self._marking.start(MARK_EVERY, now=False)

    async def _load(self) -> None:
        """What was changed first: the last values are those of devices that were described so."""
        kept = Kept() if self.store is None else await self.store.start()
        try:
            await self.plant.changes.restore(kept.configurations)
        finally:
            self.state.restore(kept.readings, kept.changes)

    async def _stop(self, started: Deferred[None]) -> None:
        await started
        try:
            if self.store is not None:
                await self.store.stop(self.state.readings())
        except Exception:
            self._log_failure()
        self._lock.release()

    def _log_failure(self) -> None:
        _log.failure("the devices did not start or stop cleanly")


def _store(settings: ValuesSettings, reactor: Any, now: Callable[[], float]) -> StateStore | None:
    if not settings.database:
        return None
    kept = take_over(StoreSettings, settings, path=settings.database)
    return StateStore(kept, reactor, now=now)
