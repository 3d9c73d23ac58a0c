"""The client of values by name for asyncio programs, floor 3."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, ParamSpec, TypeVar

from attrs import frozen

from lumina_twisted.client import value_calls
from lumina_twisted.client.aio_connecting import ReconnectingClient, loop_time, report, settle
from lumina_twisted.client.command import check_timeout
from lumina_twisted.client.observers import Unsubscribe
from lumina_twisted.client.value_calls import CHANGES, ValueCall
from lumina_twisted.client.value_place import DEFAULT_TIMEOUT, PORT
from lumina_twisted.client.value_reading import ValueReading
from lumina_twisted.client.value_request import ValueRequest, check_line
from lumina_twisted.client.value_session import Answered, Event, Told, ValueSession
from lumina_twisted.client.value_watches import Watch
from lumina_twisted.errors import NotConnected
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.command import Command
from lumina_twisted.valueproto.point import PointDescription

P = ParamSpec("P")
T = TypeVar("T")
ValueObserver = Callable[[ValueReading], object]
_report = report("an observer of values failed")


class LuminaValuesClient(ReconnectingClient):
    """A client of a Lumina server that reads and writes values by name, for one event loop.

    What :class:`lumina_twisted.client.LuminaValuesClient` says holds here: its failures are raised, and cancelling a
    call lets it go at once.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port for values.
    :param timeout: seconds that a request may take whose caller does not say.
    """

    hint = "does Lumina listen for values there?"

    def __init__(self, host: str = "127.0.0.1", port: int = PORT, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        super().__init__(host, port, ValueSession, timeout=timeout)
        self._changes: set[_Changes] = set()

    async def close(self) -> None:
        """Ends all requests and watches that are open, and the connection; see
        :meth:`lumina_twisted.client.LuminaValuesClient.close`."""
        for one in self._changes:
            one.end()
        await super().close()

    def device(self, name: str) -> DeviceHandle:
        """One device; nothing is asked by this."""
        return DeviceHandle(self, name)

    async def list(self, pattern: str = "*") -> tuple[PointDescription, ...]:
        """What there is by these names, ``*`` for any characters and ``?`` for one."""
        return await self._ask(None, value_calls.list_points, pattern)

    async def describe(self, name: str) -> PointDescription:
        """What a point is."""
        return await self._ask(None, value_calls.describe, name)

    async def read(self, *names: str, fresh: bool = False, timeout: float | None = None) -> tuple[ValueReading, ...]:
        """Several points, by names or patterns, in their order.

        :param fresh: whether the devices are asked; else it is what the server knows. A device that gave no value has a
            reading of bad quality with its ``error``; if none gave one, the first of these is raised.
        """
        return await self._ask(timeout, value_calls.read, names, fresh)

    async def read_one(self, name: str, fresh: bool = False, timeout: float | None = None) -> ValueReading:
        """One point; see :meth:`DeviceHandle.read`."""
        return await self._ask(timeout, value_calls.read_one, name, fresh)

    async def write(self, name: str, value: Value, timeout: float | None = None) -> ValueReading:
        """Sets one point; see :meth:`DeviceHandle.write`."""
        return await self._ask(timeout, value_calls.write, name, value)

    async def watch(self, observer: ValueObserver, *names: str) -> Unsubscribe:
        """Has ``observer`` called with what is known of these points, and with each change from then on; see
        :meth:`lumina_twisted.client.LuminaValuesClient.watch`.

        :return: a function that ends this.
        """
        asked = value_calls.watch(names)
        check_line(asked)
        watch = Watch(asked, observer)
        try:
            await self._submit(asked, None, watch)
        except BaseException:  # cancelled in the turn in which it began, at the latest
            self._unwatch(watch)
            raise
        return partial(self._unwatch, watch)

    async def changes(self, *names: str) -> AsyncIterator[ValueReading]:
        """What is known of these points, and each change from then on, for ``async for``; it ends when the client is
        closed. Of what its reader does not take in time, the last reading of each name is kept.

        :param names: names or patterns.
        """
        coming = _Changes()
        self._changes.add(coming)
        try:
            unsubscribe = await self.watch(coming.put, *names)
            try:
                while (reading := await coming.next()) is not None:
                    yield reading
            finally:
                unsubscribe()
        finally:
            self._changes.discard(coming)

    async def history(self, name: str, count: int | None = None) -> tuple[ValueReading, ...]:
        """The last changes of a point, the oldest first, ``count`` at most; all that are kept if it is not given."""
        return await self._ask(None, value_calls.history, name, count)

    async def config(self, device: str) -> Mapping[str, Any]:
        """What is configured for a device, as the tables of a file have it."""
        return await self._ask(None, value_calls.config, device, {})

    async def configure(self, device: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Changes what is configured for a device; see :meth:`lumina_twisted.client.LuminaValuesClient.configure`."""
        return await self._ask(None, value_calls.config, device, changes)

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _ask(
        self, timeout: float | None, make: Callable[P, ValueCall[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        call = make(*args, **kwargs)
        check_line(call.asked)
        return call.result(await self._submit(call.asked, timeout))

    async def _submit(self, asked: Command, timeout: float | None, watch: Watch | None = None) -> Any:
        """Asks, and gives the answer."""
        self._stay_in_loop()
        if self._closed:
            raise NotConnected("this client was closed; make another one")
        wait = self.timeout if timeout is None else check_timeout(timeout)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        request = ValueRequest(asked, loop_time() + wait, future, watch)
        self._start()
        self._session.submit(request, loop_time())
        self._pump()
        try:
            return await future
        finally:
            if not request.done:
                self._session.cancel(request, loop_time())
                self._pump()

    def _unwatch(self, watch: Watch) -> None:
        if self._closed or (self._loop is not None and self._loop.is_closed()):
            return  # it ended with all others
        self._session.unwatch(watch, loop_time())
        self._pump()

    def _deliver(self, event: Event) -> None:
        if isinstance(event, Told):
            observer: Any = event.watch.observer
            try:
                observer(event.reading)
            except Exception as error:
                _report(error)
        elif isinstance(event, Answered):
            settle(event.request.caller, event.answer)
        else:
            settle(event.request.caller, event.error)


class _Changes:
    """What waits for one who reads changes."""

    def __init__(self) -> None:
        self._waiting: deque[ValueReading] = deque()
        self._most = CHANGES
        self._ended = False
        self._something = asyncio.Event()

    def put(self, reading: ValueReading) -> None:
        """One more; when there are too many, only the last of each name stays."""
        self._waiting.append(reading)
        if len(self._waiting) > self._most:
            last = {one.name: one for one in self._waiting}
            self._waiting = deque(last.values())
            self._most = max(CHANGES, 2 * len(last))
        self._something.set()

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._something.set()

    async def next(self) -> ValueReading | None:
        """The next one; None at the end."""
        while not self._waiting and not self._ended:
            self._something.clear()
            await self._something.wait()
        return None if self._ended else self._waiting.popleft()


@frozen
class DeviceHandle:
    """One device of a server's; its points by their own names. Every method raises what
    :class:`lumina_twisted.client.LuminaValuesClient` says."""

    client: LuminaValuesClient
    name: str

    async def read(self, point: str, fresh: bool = False, timeout: float | None = None) -> ValueReading:
        """One point.

        :param fresh: whether the device is asked; else it is what the server knows: value, quality, time, and why the
            quality is not good. A device that is asked and gives no value makes this raise.
        """
        return await self.client.read_one(self._of(point), fresh, timeout)

    async def write(self, point: str, value: Value, timeout: float | None = None) -> ValueReading:
        """Sets one point, and returns the new reading when the device has confirmed it.

        Where the value was to be read back and could not be, the reading's ``not_read_back`` says why.

        :param value: of the point's type, or a text as a person types it.
        :raises NotWritable: and :class:`~lumina_twisted.errors.NotTaken` (it was confirmed, and the device holds
            another value), besides the failures of every request.
        """
        return await self.client.write(self._of(point), value, timeout)

    async def read_all(self, fresh: bool = False, timeout: float | None = None) -> tuple[ValueReading, ...]:
        """All its points; see :meth:`LuminaValuesClient.read`."""
        return await self.client.read(self._of("*"), fresh=fresh, timeout=timeout)

    async def watch(self, observer: ValueObserver, *points: str) -> Unsubscribe:
        """Has ``observer`` told of changes of some points, or of all; see :meth:`LuminaValuesClient.watch`."""
        return await self.client.watch(observer, *map(self._of, points or ("*",)))

    def changes(self, *points: str) -> AsyncIterator[ValueReading]:
        """The same for ``async for``; see :meth:`LuminaValuesClient.changes`."""
        return self.client.changes(*map(self._of, points or ("*",)))

    async def history(self, point: str, count: int | None = None) -> tuple[ValueReading, ...]:
        """The last changes of a point, the oldest first, ``count`` at most."""
        return await self.client.history(self._of(point), count)

    async def config(self) -> Mapping[str, Any]:
        """What is configured for it, as the tables of a file have it."""
        return await self.client.config(self.name)

    async def configure(self, changes: Mapping[str, Any] | None = None, /, **keys: Any) -> Mapping[str, Any]:
        """Changes what is configured for it, by keyword, or by a mapping where a key has dots."""
        return await self.client.configure(self.name, {**(changes or {}), **keys})

    def _of(self, point: str) -> str:
        return f"{self.name}.{point}"
