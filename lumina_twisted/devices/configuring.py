"""What clients configure of devices while the service runs, floor 3: the mission's ``DeviceConfigManager`` (M19).

A configuration is checked by the schema of its device's type, then applied, then kept; it counts when all three have
succeeded, and if one fails all is as it was. See
:mod:`lumina_twisted.awaiting` for who awaits what.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lumina_twisted.awaiting import awaitable, in_callers_world
from lumina_twisted.devices.config_schema import Check, checker
from lumina_twisted.devices.database import Configuration
from lumina_twisted.devices.turnstile import Turnstile
from lumina_twisted.document import nearest
from lumina_twisted.errors import ConfigError

Apply = Callable[[str, str, Any], Awaitable[object] | object]
"""Brings a configuration into effect: it is given the device, its type, and an instance of the type's settings class,
or a dict with all defaults; or None where nothing is configured any more. Whatever it raises refuses the configuration.
"""


class KeepsConfigurations(Protocol):
    """What :class:`lumina_twisted.devices.store.StateStore` does for configurations."""

    def save_configuration(self, device: str, type_: str, config: Mapping[str, Any]) -> Deferred[None]:
        """Fires with None when it is on the disk; fails with ConfigError if it cannot be."""
        ...

    def remove_configuration(self, device: str) -> Deferred[None]:
        """Fires with None when that is on the disk; fails likewise."""
        ...


@frozen
class _Configured:
    """A device's configuration: as it was given, and what that means."""

    given: Configuration
    checked: Any


@define(eq=False)
class DeviceConfigManager:
    """The configurations of devices, checked by type.

    :param apply: brings one into effect; none: it is only known here.
    :param store: keeps them across a restart; none: they are in memory only.
    """

    apply: Apply | None = field(default=None, kw_only=True)
    store: KeepsConfigurations | None = field(default=None, kw_only=True)
    _types: dict[str, Check] = field(factory=dict, init=False)
    _configured: dict[str, _Configured] = field(factory=dict, init=False)
    _turn: Turnstile = field(factory=Turnstile, init=False)
    """One at a time: what is applied last is kept last."""
    _log = Logger()

    def register_device_config(self, device_type: str, schema: Any) -> None:
        """Says what may be configured of a type of devices, from now on.

        :param schema: a settings class, or a table of keys as :mod:`lumina_twisted.devices.config_schema` has them.
        :raises ConfigError: if it is none, with one ``path: sentence`` for each wrong key.
        """
        self._types[device_type] = checker(schema, device_type)

    def set_device_config(self, device: str, device_type: str, config: Mapping[str, Any]) -> Any:
        """Configures a device.

        :param config: plain data, as a file has it.
        :return: something to await: it gives None when the configuration is in effect and, with a store, on the disk.
            It fails with :class:`~lumina_twisted.errors.ConfigError`, which has one ``path: sentence`` for each wrong,
            unknown or missing key, for a type that is not registered, or for a disk that does not take it; or with
            whatever ``apply`` failed with. Then all is as it was; also if it is cancelled while it is being kept.
        """
        return in_callers_world(self._set(device, device_type, config))

    def remove_device_config(self, device: str) -> Any:
        """Ends what is configured for a device, if anything is.

        :return: something to await; it ends as that of :meth:`set_device_config`.
        """
        return in_callers_world(self._remove(device))

    def get_device_config(self, device: str) -> Any:
        """What is configured for a device, as ``apply`` was given it; None if nothing is."""
        configured = self._configured.get(device)
        return None if configured is None else configured.checked

    def given_device_config(self, device: str) -> Configuration | None:
        """The same as it was given, with its type."""
        configured = self._configured.get(device)
        return None if configured is None else configured.given

    def restore(self, configurations: Mapping[str, Configuration]) -> Any:
        """Brings into effect what was configured before a restart. The log says which was not, and why: those stay in
        the store.

        :param configurations: by device.
        :return: something to await: it gives None when each was tried.
        """
        return in_callers_world(self._restore(configurations))

    # -- inside ---------------------------------------------------------------------------------------------------

    def _checked(self, device: str, device_type: str, config: Any) -> _Configured:
        check = self._types.get(device_type)
        if check is None:
            near = nearest(device_type, self._types)
            raise ConfigError([f"{device}: there is no device type {device_type!r}; {near}"])
        checked = check(config, device)
        try:
            given = json.loads(json.dumps(config))  # it is its caller's, who may change it
        except (TypeError, ValueError) as error:
            raise ConfigError([f"{device}: expected plain data, as a file has it: {error}"]) from None
        return _Configured(Configuration(device_type, given), checked)

    async def _set(self, device: str, device_type: str, config: Any) -> None:
        new = self._checked(device, device_type, config)
        await awaitable(self._turn.acquire())
        try:
            await self._change(device, device_type, new)
            self._configured[device] = new
        finally:
            self._turn.release()

    async def _remove(self, device: str) -> None:
        await awaitable(self._turn.acquire())
        try:
            if device in self._configured:
                await self._change(device, self._configured[device].given.type, None)
                del self._configured[device]
        finally:
            self._turn.release()

    async def _restore(self, configurations: Mapping[str, Configuration]) -> None:
        await awaitable(self._turn.acquire())
        try:
            for device, was in configurations.items():
                if device in self._configured:
                    continue  # by somebody who was faster, and knows better
                try:
                    old = self._checked(device, was.type, was.config)
                    await self._apply(device, was.type, old.checked)
                except Exception as error:
                    why = "; ".join(error.faults) if isinstance(error, ConfigError) else str(error)
                    self._log.error(
                        "What was configured for {device} before the restart is not in effect: {why}",
                        device=device, why=why,
                    )
                else:
                    self._configured[device] = old
        finally:
            self._turn.release()

    async def _apply(self, device: str, device_type: str, checked: Any) -> None:
        if self.apply is not None:
            result = self.apply(device, device_type, checked)
            if isinstance(result, Awaitable):
                await awaitable(result)

    async def _change(self, device: str, device_type: str, new: _Configured | None) -> None:
        """Applies and keeps a configuration; applies what was before if it cannot be kept."""
        await self._apply(device, device_type, new and new.checked)
        try:
            await self._keep(device, new)
        except BaseException as error:
            await self._take_back(device, device_type, is_refused=isinstance(error, ConfigError))
            raise

    async def _keep(self, device: str, configured: _Configured | None) -> None:
        if self.store is None:
            return
        if configured is None:
            await awaitable(self.store.remove_configuration(device))
        else:
            given = configured.given
            await awaitable(self.store.save_configuration(device, given.type, given.config))

    async def _take_back(self, device: str, device_type: str, is_refused: bool) -> None:
        """Applies what was before.

        :param is_refused: by the store. If not, its caller has left, and the new one may be on the disk by now.
        """
        old = self._configured.get(device)
        try:
            await self._apply(device, old.given.type if old else device_type, old and old.checked)
            if not is_refused:
                await self._keep(device, old)
        except Exception:
            self._log.failure("What was configured for {device} cannot be brought back", device=device)
