"""Configurations of devices that change while the service runs, floor 3: checked, then applied, then kept.

A new configuration counts when all three steps have succeeded. If a step fails, the previous configuration stays in
effect. Programs use this module through :class:`lumina_twisted.helpers.DeviceConfigManager`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lumina_twisted.awaiting import Semaphore, awaitable
from lumina_twisted.devices.store.database import Configuration
from lumina_twisted.errors import ConfigError

Check = Callable[[str, str, Any], Any]
"""Takes a device, its type and plain data; returns the checked configuration, or raises ConfigError with all faults."""
Apply = Callable[[str, str, Any], Awaitable[object] | object]
"""Puts a configuration into effect. Takes a device, its type, and the result of the check; None for the result means
that nothing is configured any more. Any exception that it raises refuses the configuration."""


class KeepsConfigurations(Protocol):
    """The methods of :class:`lumina_twisted.devices.store.StateStore` that keep configurations."""

    def save_configuration(self, device: str, type_: str, config: Mapping[str, Any]) -> Deferred[None]:
        """Fires with None when the configuration is on the disk; fails with ConfigError if it cannot be saved."""
        ...

    def remove_configuration(self, device: str) -> Deferred[None]:
        """Fires with None when the removal is on the disk; fails with ConfigError if it cannot be saved."""
        ...


@frozen
class Configured:
    """A device's configuration: as given, and as the result of the check."""

    given: Configuration
    checked: Any


@define(eq=False)
class Configurations:
    """The configurations of all devices. A caller holds ``turn`` while it changes one, so that the configuration that
    is applied last is also saved last.

    The coroutines run in an asyncio task as well as in Twisted. They fail with
    :class:`~lumina_twisted.errors.ConfigError` (the check refuses the configuration, or the store cannot save it), or
    with the error of ``apply``. Then the previous configuration is in effect again; also if they are cancelled while
    the configuration is being saved.

    :param apply: puts a configuration into effect; None: configurations are only stored.
    :param store: keeps configurations across a restart; None: they are in memory only.
    """

    check: Check
    apply: Apply | None = None
    store: KeepsConfigurations | None = None
    turn: Semaphore = field(factory=Semaphore, init=False)
    _configured: dict[str, Configured] = field(factory=dict, init=False)
    _log = Logger()

    def find(self, device: str) -> Configured | None:
        """The configuration of a device; None if there is none."""
        return self._configured.get(device)

    async def set(self, device: str, type_: str, config: Any) -> None:
        """Configures a device.

        :param config: plain data, in the form of a file.
        """
        new = self._checked(device, type_, config)
        await self._change(device, type_, new)
        self._configured[device] = new

    async def remove(self, device: str) -> None:
        """Removes the configuration of a device, if there is one."""
        if device in self._configured:
            await self._change(device, self._configured[device].given.type, None)
            del self._configured[device]

    async def restore(self, configurations: Mapping[str, Configuration]) -> None:
        """Puts the configurations from before a restart into effect, by device. It never fails. If a configuration is
        refused, the log says why, and the configuration stays in the store."""
        for device, was in configurations.items():
            if device in self._configured:
                continue  # a client was faster, and its configuration is newer
            try:
                old = self._checked(device, was.type, was.config)
                await self._apply(device, was.type, old)
            except Exception as error:
                self._log.error(
                    "What was configured for {device} before the restart is not in effect: {why}",
                    device=device, why="; ".join(error.faults) if isinstance(error, ConfigError) else str(error),
                )
            else:
                self._configured[device] = old

    def _checked(self, device: str, type_: str, config: Any) -> Configured:
        checked = self.check(device, type_, config)
        try:
            given = json.loads(json.dumps(config))  # a copy: the caller may change its own object
        except (TypeError, ValueError) as error:
            raise ConfigError([f"{device}: expected plain data, as a file has it: {error}"]) from None
        return Configured(Configuration(type_, given), checked)

    async def _change(self, device: str, type_: str, new: Configured | None) -> None:
        """Applies and saves a configuration. If it cannot be saved, applies the previous one again."""
        await self._apply(device, type_, new)
        try:
            await self._keep(device, new)
        except BaseException as error:
            await self._take_back(device, type_, is_refused=isinstance(error, ConfigError))
            raise

    async def _apply(self, device: str, type_: str, configured: Configured | None) -> None:
        if self.apply is not None:
            result = self.apply(device, type_, configured and configured.checked)
            if isinstance(result, Awaitable):
                await awaitable(result)

    async def _keep(self, device: str, configured: Configured | None) -> None:
        if self.store is None:
            return
        if configured is None:
            await awaitable(self.store.remove_configuration(device))
        else:
            given = configured.given
            await awaitable(self.store.save_configuration(device, given.type, given.config))

    async def _take_back(self, device: str, type_: str, is_refused: bool) -> None:
        """Applies the previous configuration again.

        :param is_refused: whether the store refused the new one. If not, the caller cancelled, and the new one may be
            on the disk already: then the previous one is saved again too.
        """
        old = self._configured.get(device)
        try:
            await self._apply(device, old.given.type if old else type_, old)
            if not is_refused:
                await self._keep(device, old)
        except Exception:
            self._log.failure("What was configured for {device} cannot be brought back", device=device)
