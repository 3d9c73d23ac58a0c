"""The methods of the clients for values, floor 3; the same for Twisted and for asyncio. Each method makes a command,
and converts the answer to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from attrs import evolve

from lumina_twisted.client.base import Client, Unsubscribe
from lumina_twisted.client.command import DEFAULT_TIMEOUT as COMMANDS_TIMEOUT
from lumina_twisted.client.command import check_timeout
from lumina_twisted.client.unit_methods import GivesAwaitables, Operation, delegate, operation
from lumina_twisted.client.url import VALUES_PORT, check_place
from lumina_twisted.client.value_session import Changed, ValueRequest
from lumina_twisted.client.value_watches import ValueReading, Watch, value_text
from lumina_twisted.errors import LineError, RequestError, ServerError
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto import command
from lumina_twisted.valueproto.answer import Answer, Configured, Described, Past, Points, Readings, Written
from lumina_twisted.valueproto.command import MAX_COUNT, Command, format_command
from lumina_twisted.valueproto.reading import PointDescription

T = TypeVar("T")
A = TypeVar("A", bound=Answer)
ValueObserver = Callable[[ValueReading], object]

DEFAULT_TIMEOUT: Final = 6.0
"""Seconds that a request may take, unless its caller gives a timeout. A listener waits one second less for a device,
unless configured otherwise, so that it has the time to report what went wrong."""


class ValuesClient(Client):
    """A client that reads and writes values by name. A face adds ``_run``, which submits an operation."""

    hint = "does Lumina listen for values there?"

    @operation
    def list(self, pattern: str = "*") -> Operation[tuple[PointDescription, ...]]:
        """The points whose names match a pattern: ``*`` stands for any characters and ``?`` for one."""
        return self._ask(command.List(_text(pattern)), lambda answer: _is(Points, answer).names)

    @operation
    def describe(self, name: str) -> Operation[PointDescription]:
        """The description of a point."""
        return self._ask(command.Describe(_one(name)), lambda answer: _is(Described, answer).point)

    @operation
    def read(
        self, *names: str, fresh: bool = False, timeout: float | None = None
    ) -> Operation[tuple[ValueReading, ...]]:
        """Reads several points, by names or patterns.

        :param fresh: whether the server reads the devices now; if not, it returns the last values that it knows.
        :return: the readings, in the order of the names. If a device gave no value, the reading has a bad quality and
            an ``error``. If no device gave a value, this fails with the first of these errors.
        """
        return self._ask(command.Read(_names(names), ask=fresh), _readings, timeout)

    @operation
    def read_one(self, name: str, fresh: bool = False, timeout: float | None = None) -> Operation[ValueReading]:
        """Reads one point; see :meth:`DeviceHandle.read`."""
        return self._ask(command.Read((_one(name),), ask=fresh), lambda answer: _readings(answer)[0], timeout)

    @operation
    def write(self, name: str, value: Value, timeout: float | None = None) -> Operation[ValueReading]:
        """Sets one point; see :meth:`DeviceHandle.write`."""
        return self._ask(command.Write(_one(name), value_text(value)), _written, timeout)

    @operation
    def watch(self, observer: ValueObserver, *names: str) -> Operation[Unsubscribe]:
        """Calls ``observer`` with the last known value of these points, and with each change from then on.

        When the connection is lost, ``observer`` gets each value as stale, with the reason. After the next connection,
        it gets the values that have changed meanwhile. An exception of ``observer`` is logged.

        :param names: names or patterns.
        :return: a function that ends the watch. ``observer`` has got the known values before this returns. If the
            request fails, nothing is watched.
        """
        watch = Watch(command.Watch(_names(names)), observer)
        return self._ask(watch.asked, lambda _: partial(self._unwatch, watch), watch=watch)

    @operation
    def history(self, name: str, count: int | None = None) -> Operation[tuple[ValueReading, ...]]:
        """The last changes of a point, the oldest first.

        :param count: the most changes to return; all that are kept if it is not given.
        """
        if count is not None and (not isinstance(count, int) or not 0 < count <= MAX_COUNT):
            raise RequestError(f"{count!r} is no count of changes; give a whole number from 1 to {MAX_COUNT}")
        return self._ask(
            command.History(_one(name), count), lambda answer: tuple(map(ValueReading.of, _is(Past, answer).history))
        )

    @operation
    def config(self, device: str) -> Operation[Mapping[str, Any]]:
        """The configuration of a device, in the form of the tables of a file."""
        return self._configure(device, {})

    @operation
    def configure(self, device: str, changes: Mapping[str, Any]) -> Operation[Mapping[str, Any]]:
        """Changes the configuration of a device, from now on and after a restart of the server.

        :param changes: by key, as in a file; a key may have dots, as ``points.pressure.poll``.
        :return: the new configuration. If this fails with :class:`~lumina_twisted.errors.ConfigError`, its ``faults``
            say what is wrong at which key, and nothing has changed.
        """
        return self._configure(device, changes)

    # -- requests ----------------------------------------------------------------------------------------------------

    def _configure(self, device: str, changes: Mapping[str, Any]) -> Operation[Mapping[str, Any]]:
        return self._ask(command.Config(_one(device), dict(changes)), lambda answer: _is(Configured, answer).config)

    def _ask(
        self, asked: Command, result: Callable[[Answer], T], timeout: float | None = None, watch: Watch | None = None
    ) -> Operation[T]:
        """Makes a request that can be submitted.

        :raises RequestError: if it does not fit into a line.
        """
        try:
            format_command(evolve(asked, tag="f" * 8))
        except LineError as error:
            raise RequestError(str(error)) from None
        wait = self.timeout if timeout is None else check_timeout(timeout)
        return Operation(ValueRequest(asked, self._now() + wait, watch=watch), result)

    def _unwatch(self, watch: Watch) -> None:
        if not self._closed:  # else the watch has ended with the client
            self._session.unwatch(watch, self._now())
            self._pump()

    def _deliver(self, event: Any) -> None:
        if isinstance(event, Changed):
            self._call(event.watch.observer, event.reading, "an observer of values failed")
        else:
            super()._deliver(event)


class _SomeClient(ValuesClient, GivesAwaitables):
    """A client of either face, only for the type checker."""


class DeviceMethods:
    """One device of a server; its points are named without the device.

    :param client: sends the requests.
    :param name: its name, as the server's configuration has it.
    """

    __slots__ = ()
    client: Any
    name: str

    @delegate
    def read(self, point: str, fresh: bool = False, timeout: float | None = None) -> Awaitable[ValueReading]:
        """Reads one point.

        :param fresh: whether the server reads the device now; this fails if the device gives no value. If not, the
            result is the last value that the server knows, with its quality, its time, and the reason if the quality is
            not good.
        """
        return self._client.read_one(self._of(point), fresh, timeout)

    @delegate
    def write(self, point: str, value: Value, timeout: float | None = None) -> Awaitable[ValueReading]:
        """Sets one point.

        :param value: of the point's type, or a text as a person types it.
        :return: the new reading, after the device has confirmed the write. If the value should be read back and could
            not be, ``not_read_back`` says why. Besides the failures of every request, this fails with
            :class:`~lumina_twisted.errors.NotWritable` or :class:`~lumina_twisted.errors.NotTaken` (the device
            confirmed the write, but holds another value).
        """
        return self._client.write(self._of(point), value, timeout)

    @delegate
    def read_all(self, fresh: bool = False, timeout: float | None = None) -> Awaitable[tuple[ValueReading, ...]]:
        """Reads all points of the device; see :meth:`LuminaValuesClient.read`."""
        return self._client.read(self._of("*"), fresh=fresh, timeout=timeout)

    @delegate
    def watch(self, observer: ValueObserver, *points: str) -> Awaitable[Unsubscribe]:
        """Calls ``observer`` with changes of some points, or of all; see :meth:`LuminaValuesClient.watch`."""
        return self._client.watch(observer, *map(self._of, points or ("*",)))

    @delegate
    def history(self, point: str, count: int | None = None) -> Awaitable[tuple[ValueReading, ...]]:
        """The last changes of a point, at most ``count``, the oldest first."""
        return self._client.history(self._of(point), count)

    @delegate
    def config(self) -> Awaitable[Mapping[str, Any]]:
        """The configuration of the device, in the form of the tables of a file."""
        return self._client.config(self.name)

    @delegate
    def configure(self, changes: Mapping[str, Any] | None = None, /, **keys: Any) -> Awaitable[Mapping[str, Any]]:
        """Changes the configuration of the device. Keys without dots may be keywords; a key with dots needs the
        mapping. See :meth:`LuminaValuesClient.configure`."""
        return self._client.configure(self.name, {**(changes or {}), **keys})

    @property
    def _client(self) -> _SomeClient:
        client: _SomeClient = self.client
        return client

    def _of(self, point: str) -> str:
        return f"{self.name}.{point}"


def _readings(answer: Answer) -> tuple[ValueReading, ...]:
    """The reading of each point, with a bad quality if the device gave no value.

    :raises LuminaError: if a name is wrong, or if no device gave a value.
    """
    readings = tuple(map(ValueReading.of, _is(Readings, answer).values))
    faults = [one.error for one in readings if one.error is not None]
    for fault in faults:
        if isinstance(fault, RequestError) or len(faults) == len(readings):
            raise fault
    if not readings:
        raise ServerError("the server sent no value")
    return readings


def _written(answer: Answer) -> ValueReading:
    written = _is(Written, answer)
    return evolve(ValueReading.of(written.value), not_read_back=written.not_read_back)


def _is(kind: type[A], answer: Answer) -> A:
    if not isinstance(answer, kind):
        raise ServerError(f"the server's answer is to another question: {answer}")
    return answer


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise RequestError("no name is given; write one, or a pattern such as boiler.*")
    return tuple(map(_text, names))


def _one(name: str) -> str:
    if any(sign in _text(name) for sign in "*?"):
        raise RequestError(f"{name!r} is a pattern, and this is for one name; client.read() and client.watch() take it")
    return name


def _text(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise RequestError(f"a name is a text such as boiler.pressure, not {name!r}")
    return name


def values_place(host: str, port: int | str) -> tuple[str, int]:
    """Where a Lumina server listens for values.

    :param host: the host where the server takes commands; the path of a Unix socket stands for this machine.
    :param port: a TCP port of that host, or the path of a Unix socket.
    :raises RequestError: if no server can be there.
    """
    if isinstance(port, str):
        place = port, VALUES_PORT
        if not port.startswith("/"):
            raise RequestError(f"values_port is a TCP port or the path of a Unix socket, not {port!r}")
    else:
        place = "127.0.0.1" if host.startswith("/") else host, port
    check_place(*place)
    return place


def values_timeout(timeout: float) -> float:
    """Seconds that a request for values may take, for a client whose commands may take ``timeout``."""
    return DEFAULT_TIMEOUT if timeout == COMMANDS_TIMEOUT else timeout
