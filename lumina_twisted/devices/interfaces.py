"""The interface between devices and front-ends, floor 3: all that a front-end sees of the devices."""

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
"""Takes the name of a point and its current reading."""


class Values(Protocol):
    """The values of all devices, by name.

    For an unknown name, a method raises :class:`~lumina_twisted.errors.UnknownName`, whose message has the nearest
    known name. A method that returns a Deferred does not raise: its Deferred fails with that error.
    """

    def names(self, pattern: str = "*") -> list[str]:
        """The names that match a pattern, in the order of their description.

        :param pattern: ``*`` stands for any characters, ``?`` for one.
        """
        ...

    def describe(self, name: str) -> PointDescription:
        """The description of a point."""
        ...

    def text(self, name: str, value: Value | None) -> str:
        """A value of a point as a person reads it and as :meth:`write` accepts it; ``-`` for None."""
        ...

    def reading(self, name: str) -> Reading:
        """The last reading of a point, and its quality now."""
        ...

    def read(self, caller: Caller, name: str, timeout: float) -> Deferred[Reading]:
        """Reads a point from the device now.

        :param caller: the owner of the request.
        :param timeout: seconds that the caller waits.
        :return: a Deferred that fires with the reading, or fails as
            :meth:`lumina_twisted.ports.interfaces.Port.request` says.
        """
        ...

    def write(self, caller: Caller, name: str, value: Value, timeout: float) -> Deferred[Confirmed]:
        """Writes a point. Writes that touch the same entries take turns, so that each reads back its own value.

        :param value: a text is parsed as a person types it.
        :return: a Deferred that fires when the device has confirmed the write. If the description demands a read-back,
            it fires after that; if the value could not be read back, the result has the reason. It fails as
            :meth:`lumina_twisted.ports.interfaces.Port.request` says of a write, with
            :class:`~lumina_twisted.errors.NotWritable`, :class:`~lumina_twisted.errors.RequestError` (the value does
            not fit) or :class:`~lumina_twisted.errors.NotTaken` (the device confirmed it, and holds another value).
        """
        ...

    def watch(self, observer: Observer, names: Iterable[str]) -> Callable[[], None]:
        """Calls ``observer`` for each change of these points from now on. A change is one of the value by more than the
        dead band, one of the quality, or one of the reason why the quality is not good.

        :return: a function that ends the watch.
        """
        ...

    def history(self, name: str) -> Sequence[Reading]:
        """The last changes of a point, the oldest first."""
        ...

    def devices(self) -> list[str]:
        """The names of all devices."""
        ...

    def config(self, device: str) -> Mapping[str, Any]:
        """The configuration of a device, in the form of the tables of a file."""
        ...

    def configure(self, device: str, changes: Mapping[str, Any], caller: Caller = LUMINA) -> Deferred[None]:
        """Changes the configuration of a device, from now on and after a restart.

        :param changes: by key; dots lead into inner tables, as ``points.flow.poll``. The keys that access depends on
            can be changed only if the file of the device says ``configurable = true``.
        :param caller: who makes the change, for the log.
        :return: a Deferred that fires with None when the change is in effect and saved. If it fails with
            :class:`~lumina_twisted.errors.ConfigError`, nothing has changed.
        """
        ...
