"""The Deferred-returning client of values by name, floor 3."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ParamSpec, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from lumina_twisted.client import value_calls
from lumina_twisted.client.command import check_timeout
from lumina_twisted.client.connecting import ReconnectingClient
from lumina_twisted.client.observers import Unsubscribe
from lumina_twisted.client.value_calls import ValueCall
from lumina_twisted.client.value_place import DEFAULT_TIMEOUT, PORT
from lumina_twisted.client.value_reading import ValueReading
from lumina_twisted.client.value_request import ValueRequest, check_line
from lumina_twisted.client.value_session import Answered, Event, Told, ValueSession
from lumina_twisted.client.value_watches import Watch
from lumina_twisted.errors import LuminaError, NotConnected
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.command import Command
from lumina_twisted.valueproto.point import PointDescription

P = ParamSpec("P")
T = TypeVar("T")
ValueObserver = Callable[[ValueReading], object]
_log = Logger(namespace="lumina.client")


class LuminaValuesClient(ReconnectingClient):
    """A client of a Lumina server that reads and writes values by name.

    Every Deferred fires once, within the timeout: with what its method says, or it fails with
    :class:`~lumina_twisted.errors.UnknownName` (the message says which name is near),
    :class:`~lumina_twisted.errors.RequestError` (another fault of the caller's),
    :class:`~lumina_twisted.errors.ModbusException` (the device said no),
    :class:`~lumina_twisted.errors.ResponseTimeout` (nothing changed, and nothing came),
    :class:`~lumina_twisted.errors.NotSent` or one of its subclasses (the device has not been asked),
    :class:`~lumina_twisted.errors.OutcomeUnknown` (a write, or a change of a configuration, that may have been carried
    out) or :class:`~lumina_twisted.errors.ServerError`. Cancelling it lets the caller go at once, with
    :class:`~lumina_twisted.errors.Cancelled` or as *outcome unknown*.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port for values.
    :param timeout: seconds that a request may take whose caller does not say.
    :param endpoint: where to connect instead.
    :param reactor: for the connection and its times; the program's own if it is not given.
    :param now: a clock that never goes back, in seconds.
    """

    hint = "does Lumina listen for values there?"

    def __init__(
        self, host: str = "127.0.0.1", port: int = PORT, *, timeout: float = DEFAULT_TIMEOUT,
        endpoint: IStreamClientEndpoint | None = None, reactor: Any = None, now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host, port, ValueSession, timeout=timeout, endpoint=endpoint, reactor=reactor, now=now)

    def device(self, name: str) -> DeviceHandle:
        """One device; nothing is asked by this."""
        return DeviceHandle(self, name)

    def list(self, pattern: str = "*") -> Deferred[tuple[PointDescription, ...]]:
        """What there is by these names, ``*`` for any characters and ``?`` for one."""
        return self._ask(None, value_calls.list_points, pattern)

    def describe(self, name: str) -> Deferred[PointDescription]:
        """What a point is."""
        return self._ask(None, value_calls.describe, name)

    def read(
        self, *names: str, fresh: bool = False, timeout: float | None = None
    ) -> Deferred[tuple[ValueReading, ...]]:
        """Several points, by names or patterns.

        :param fresh: whether the devices are asked; else it is what the server knows.
        :return: a Deferred of the readings, in the order of the names. A device that gave no value has a reading of bad
            quality with its ``error``; if none gave one, the Deferred fails with the first of these.
        """
        return self._ask(timeout, value_calls.read, names, fresh)

    def read_one(self, name: str, fresh: bool = False, timeout: float | None = None) -> Deferred[ValueReading]:
        """One point; see :meth:`DeviceHandle.read`."""
        return self._ask(timeout, value_calls.read_one, name, fresh)

    def write(self, name: str, value: Value, timeout: float | None = None) -> Deferred[ValueReading]:
        """Sets one point; see :meth:`DeviceHandle.write`."""
        return self._ask(timeout, value_calls.write, name, value)

    def watch(self, observer: ValueObserver, *names: str) -> Deferred[Unsubscribe]:
        """Has ``observer`` called with what is known of these points, and with each change from then on.

        It is told while a connection is lost, too: then that the values are stale, and why; and after the next one,
        what changed meanwhile. What it raises is logged.

        :param names: names or patterns.
        :return: a Deferred that fires with a function that ends this, when all has been told that is known; or it
            fails, and then nothing is watched.
        """
        try:
            asked = value_calls.watch(names)
            check_line(asked)
            watch = Watch(asked, observer)
            return self._submit(asked, None, watch).addCallback(lambda _: partial(self._unwatch, watch))
        except LuminaError:
            return fail()

    def history(self, name: str, count: int | None = None) -> Deferred[tuple[ValueReading, ...]]:
        """The last changes of a point, the oldest first.

        :param count: how many at most; all that are kept if it is not given.
        """
        return self._ask(None, value_calls.history, name, count)

    def config(self, device: str) -> Deferred[Mapping[str, Any]]:
        """What is configured for a device, as the tables of a file have it."""
        return self._ask(None, value_calls.config, device, {})

    def configure(self, device: str, changes: Mapping[str, Any]) -> Deferred[Mapping[str, Any]]:
        """Changes what is configured for a device, from now on and after a restart of the server.

        :param changes: by key, as a file has it, with dots as in ``points.pressure.poll``.
        :return: a Deferred of the new configuration; it fails with :class:`~lumina_twisted.errors.ConfigError`, whose
            ``faults`` say what is wrong at which key, and then nothing has changed.
        """
        return self._ask(None, value_calls.config, device, changes)

    # -- requests ----------------------------------------------------------------------------------------------------

    def _ask(
        self, timeout: float | None, make: Callable[P, ValueCall[T]], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        try:
            call = make(*args, **kwargs)
            check_line(call.asked)
            return self._submit(call.asked, timeout).addCallback(call.result)
        except LuminaError:
            return fail()

    def _submit(self, asked: Command, timeout: float | None, watch: Watch | None = None) -> Deferred[Any]:
        """Asks; the Deferred is the answer's."""
        if self._closed:
            return fail(NotConnected("this client was closed; make another one"))
        now = self._now()
        wait = self.timeout if timeout is None else check_timeout(timeout)
        request = ValueRequest(asked, now + wait, None, watch)
        deferred: Deferred[Any] = Deferred(partial(self._cancelled, request))
        request.caller = deferred
        self._start()
        self._session.submit(request, now)
        self._pump()
        return deferred

    def _cancelled(self, request: ValueRequest, deferred: Deferred[Any]) -> None:
        if (event := self._session.take_event(request)) is not None:  # it came with the one whose callback cancels this
            self._deliver(event)
        else:
            deferred.errback(self._session.cancel(request, self._now()))
        self._pump()

    def _unwatch(self, watch: Watch) -> None:
        self._session.unwatch(watch, self._now())
        self._pump()

    def _deliver(self, event: Event) -> None:
        if isinstance(event, Told):
            observer: Any = event.watch.observer
            try:
                observer(event.reading)
            except Exception:
                _log.failure("an observer of values failed")
        elif isinstance(event, Answered):
            event.request.caller.callback(event.answer)
        else:
            event.request.caller.errback(event.error)


@frozen
class DeviceHandle:
    """One device of a server's; its points by their own names. Every Deferred fires or fails as
    :class:`LuminaValuesClient` says."""

    client: LuminaValuesClient
    name: str

    def read(self, point: str, fresh: bool = False, timeout: float | None = None) -> Deferred[ValueReading]:
        """One point.

        :param fresh: whether the device is asked; else it is what the server knows: value, quality, time, and why the
            quality is not good. A device that is asked and gives no value makes the Deferred fail.
        """
        return self.client.read_one(self._of(point), fresh, timeout)

    def write(self, point: str, value: Value, timeout: float | None = None) -> Deferred[ValueReading]:
        """Sets one point.

        :param value: of the point's type, or a text as a person types it.
        :return: a Deferred that fires with the new reading when the device has confirmed it. Where the value was to be
            read back and could not be, its ``not_read_back`` says why. Besides the failures of every request there are
            :class:`~lumina_twisted.errors.NotWritable` and :class:`~lumina_twisted.errors.NotTaken` (it was confirmed,
            and the device holds another value).
        """
        return self.client.write(self._of(point), value, timeout)

    def read_all(self, fresh: bool = False, timeout: float | None = None) -> Deferred[tuple[ValueReading, ...]]:
        """All its points; see :meth:`LuminaValuesClient.read`."""
        return self.client.read(self._of("*"), fresh=fresh, timeout=timeout)

    def watch(self, observer: ValueObserver, *points: str) -> Deferred[Unsubscribe]:
        """Has ``observer`` told of changes of some points, or of all; see :meth:`LuminaValuesClient.watch`."""
        return self.client.watch(observer, *map(self._of, points or ("*",)))

    def history(self, point: str, count: int | None = None) -> Deferred[tuple[ValueReading, ...]]:
        """The last changes of a point, the oldest first, ``count`` at most."""
        return self.client.history(self._of(point), count)

    def config(self) -> Deferred[Mapping[str, Any]]:
        """What is configured for it, as the tables of a file have it."""
        return self.client.config(self.name)

    def configure(self, changes: Mapping[str, Any] | None = None, /, **keys: Any) -> Deferred[Mapping[str, Any]]:
        """Changes what is configured for it, by keyword, or by a mapping where a key has dots; see
        :meth:`LuminaValuesClient.configure`."""
        return self.client.configure(self.name, {**(changes or {}), **keys})

    def _of(self, point: str) -> str:
        return f"{self.name}.{point}"
