"""The seam between values and who asks for them, floor 3: all that a front-end sees of the devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from lumina_twisted.access.caller import Caller
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.reading import Confirmed, PointDescription, Reading

__all__ = ["LUMINA", "Confirmed", "Observer", "PointDescription", "Values"]

LUMINA: Final = Caller("Lumina")
"""Who changes a configuration, if nobody says who does."""
Observer = Callable[[str, Reading], object]
"""Told the name of a point and what is known of it now."""


class Values(Protocol):
    """The values of all devices, by name."""

    def names(self, pattern: str = "*") -> list[str]:
        """Those that match, ``*`` for any characters and ``?`` for one, in the order of their description."""
        ...

    def describe(self, name: str) -> PointDescription:
        """What a point is.

        :raises UnknownName: with the nearest name there is.
        """
        ...

    def text(self, name: str, value: Value | None) -> str:
        """A value of a point as a person reads it, and :meth:`write` takes it; ``-`` for None.

        :raises UnknownName: with the nearest name there is.
        """
        ...

    def reading(self, name: str) -> Reading:
        """What is known of it.

        :raises UnknownName: with the nearest name there is.
        """
        ...

    def read(self, caller: Caller, name: str, timeout: float) -> Deferred[Reading]:
        """Asks the device.

        :param caller: whose request it is.
        :param timeout: seconds that the caller waits.
        :return: a Deferred that fires with the reading, or fails as
            :meth:`lumina_twisted.ports.interfaces.Port.request` says, or with
            :class:`~lumina_twisted.errors.UnknownName`.
        """
        ...

    def write(self, caller: Caller, name: str, value: Value, timeout: float) -> Deferred[Confirmed]:
        """Sets a point.

        :param value: a text is understood as a person types it.
        :return: a Deferred that fires when the device has confirmed it, and holds it where the description wants it
            read back; or with why that could not be looked at. Writes that touch the same entries take turns, so that
            each is judged by its own read. It fails as :meth:`lumina_twisted.ports.interfaces.Port.request` says of a
            write, with :class:`~lumina_twisted.errors.UnknownName`, :class:`~lumina_twisted.errors.NotWritable`,
            :class:`~lumina_twisted.errors.RequestError` (the value does not fit) or
            :class:`~lumina_twisted.errors.NotTaken` (it was confirmed, and the device holds another value).
        """
        ...

    def watch(self, observer: Observer, names: Iterable[str]) -> Callable[[], None]:
        """Has ``observer`` told of each change of these points from now on: of a value by more than its dead band, of
        a quality, or of why that is not good.

        :return: ends that.
        :raises UnknownName: with the nearest name there is.
        """
        ...

    def history(self, name: str) -> Sequence[Reading]:
        """Its last changes, the oldest first.

        :raises UnknownName: with the nearest name there is.
        """
        ...

    def devices(self) -> list[str]:
        """Their names."""
        ...

    def config(self, device: str) -> Mapping[str, Any]:
        """What is configured for it, as the tables of a file have it.

        :raises UnknownName: with the nearest name there is.
        """
        ...

    def configure(self, device: str, changes: Mapping[str, Any], caller: Caller = LUMINA) -> Deferred[None]:
        """Changes what is configured for it, from now on and after a restart.

        :param changes: a key with dots is one of a table within, as ``points.flow.poll``. What access depends on can be
            changed only of a device whose file says ``configurable = true``.
        :param caller: whose change it is, for the log.
        :return: a Deferred that fires with None when that is in effect and saved; it fails with
            :class:`~lumina_twisted.errors.UnknownName` or :class:`~lumina_twisted.errors.ConfigError`, and then all is
            as it was.
        """
        ...
