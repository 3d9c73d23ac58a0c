"""The seam between values and those who ask for them, floor 3: all that a front-end sees of the devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from lumina_twisted.access.caller import Caller
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.reading import Confirmed, PointDescription, Reading

__all__ = ["LUMINA", "Confirmed", "Observer", "PointDescription", "Values"]

LUMINA: Final = Caller("Lumina")
"""The caller that changes a configuration, if no other is given."""
Observer = Callable[[str, Reading], object]
"""Takes the name of a point and what is known of it now."""


class Values(Protocol):
    """The values of all devices, by name.

    For a name that there is not, a method raises :class:`~lumina_twisted.errors.UnknownName`, with the nearest name
    there is; if it returns a Deferred, that fails so.
    """

    def names(self, pattern: str = "*") -> list[str]:
        """Those that match, ``*`` for any characters and ``?`` for one, in the order of their description."""
        ...

    def describe(self, name: str) -> PointDescription:
        """What a point is."""
        ...

    def text(self, name: str, value: Value | None) -> str:
        """A value of a point as a person reads it, and :meth:`write` takes it; ``-`` for None."""
        ...

    def reading(self, name: str) -> Reading:
        """What is known of it."""
        ...

    def read(self, caller: Caller, name: str, timeout: float) -> Deferred[Reading]:
        """Asks the device.

        :param caller: whose request it is.
        :param timeout: seconds that the caller waits.
        :return: a Deferred that fires with the reading, or fails as
            :meth:`lumina_twisted.ports.interfaces.Port.request` says.
        """
        ...

    def write(self, caller: Caller, name: str, value: Value, timeout: float) -> Deferred[Confirmed]:
        """Sets a point. Writes that touch the same entries take turns, so that each is judged by its own read.

        :param value: a text is understood as a person types it.
        :return: a Deferred that fires when the device has confirmed the write, and holds the value where the
            description wants it read back; if it could not be read back, with the reason. It fails as
            :meth:`lumina_twisted.ports.interfaces.Port.request` says of a write, with
            :class:`~lumina_twisted.errors.NotWritable`, :class:`~lumina_twisted.errors.RequestError` (the value does
            not fit) or :class:`~lumina_twisted.errors.NotTaken` (the device confirmed it, and holds another value).
        """
        ...

    def watch(self, observer: Observer, names: Iterable[str]) -> Callable[[], None]:
        """Has ``observer`` called for each change of these points from now on: of a value by more than its dead band,
        of a quality, or of the reason why that is not good.

        :return: ends that.
        """
        ...

    def history(self, name: str) -> Sequence[Reading]:
        """Its last changes, the oldest first."""
        ...

    def devices(self) -> list[str]:
        """Their names."""
        ...

    def config(self, device: str) -> Mapping[str, Any]:
        """What is configured for it, as the tables of a file have it."""
        ...

    def configure(self, device: str, changes: Mapping[str, Any], caller: Caller = LUMINA) -> Deferred[None]:
        """Changes what is configured for it, from now on and after a restart.

        :param changes: a key with dots is one of a table within, as ``points.flow.poll``. What access depends on can be
            changed only of a device whose file says ``configurable = true``.
        :param caller: whose change it is, for the log.
        :return: a Deferred that fires with None when that is in effect and saved. It fails with
            :class:`~lumina_twisted.errors.ConfigError`, and then everything is as it was.
        """
        ...
