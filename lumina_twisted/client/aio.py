"""The clients for asyncio programs, floor 3. They have the names of :mod:`lumina_twisted.client`, and return
awaitables. They need no reactor: they drive the same sessions over connections of asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Self, TypeVar

from attrs import frozen

from lumina_twisted.client.base import Client, wait_before_attempt
from lumina_twisted.client.command import DEFAULT_TIMEOUT, CommandFailure, CommandReply, CommandSettings, check_name
from lumina_twisted.client.command_methods import ClientUnit, CommandClient, LineClient, TcpClient
from lumina_twisted.client.command_sessions import TRANSACTIONS, LineSession, ModbusTcpSession, check_word, no_answer
from lumina_twisted.client.session import Session
from lumina_twisted.client.unit_methods import GivesCoroutines, Operation
from lumina_twisted.client.url import VALUES_PORT, parse_url
from lumina_twisted.client.value_methods import DEFAULT_TIMEOUT as VALUES_TIMEOUT
from lumina_twisted.client.value_methods import DeviceMethods, ValuesClient, values_place, values_timeout
from lumina_twisted.client.value_session import ValueSession
from lumina_twisted.client.value_watches import ValueReading, Watch
from lumina_twisted.errors import RequestError
from lumina_twisted.framing.mbap import MODBUS_TCP_PORT
from lumina_twisted.valueproto.reading import PointDescription, Quality

__all__ = [
    "CommandFailure", "CommandReply", "CommandSettings", "DeviceHandle", "LuminaModbusClient", "LuminaValuesClient",
    "ModbusTcpClient", "PointDescription", "PortHandle", "Quality", "Unit", "ValueReading", "client_from_url",
]

T = TypeVar("T")
CHANGES: Final = 1000
"""The most changes that wait for a reader. If there are more, only the last change of each name stays."""


class AsyncioClient(Client, GivesCoroutines):
    """A client of one server, for one event loop. It connects at its first use. It reconnects whenever the connection
    is lost, until it is closed. ``async with`` connects and closes it."""

    def __init__(self, host: str, port: int, session: Callable[[str], Session[Any]], *, timeout: float) -> None:
        super().__init__(host, port, session, timeout)
        self._host = host
        self._tcp_port = port
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # the loop in which it is used
        self._lost = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connects. The client goes on trying until it is connected.

        :raises NotConnected: when the next attempt has failed, or the client is closed. Requests are possible without a
            connection: they wait for one until their own timeout.
        :raises RequestError: if the client was first used in another event loop.
        """
        self._stay_in_loop()
        self._check_open()
        if self._transport is not None:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connecting.append(waiting)
        self._start()
        await waiting

    async def close(self) -> None:
        """Ends all requests that are open (:class:`~lumina_twisted.errors.Cancelled`, or
        :class:`~lumina_twisted.errors.OutcomeUnknown` for a write that may have been sent) and the connection."""
        if self._loop is not None and self._loop.is_closed():
            self._closed = True  # its connection and timer ended with the loop
            return
        self._stay_in_loop()
        self._on_closed()
        if self._transport is not None:
            self._transport.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, make: Callable[[], Operation[T]]) -> T:
        """Submits an operation, and returns its result. If the caller cancels, this ends at once."""
        self._stay_in_loop()
        step: Any = make()
        while isinstance(step, Operation):
            step = step.result(await self._answer(step.request))
        result: T = step
        return result

    async def _answer(self, request: Any) -> Any:
        self._check_open()
        request.caller = asyncio.get_running_loop().create_future()
        self._start()
        self._session.submit(request, self._now())
        self._pump()
        try:
            return await request.caller
        except BaseException:
            self._session.abandon(request, self._now())
            self._pump()
            raise

    # -- the connection --------------------------------------------------------------------------------------------

    def _stay_in_loop(self) -> None:
        """Refuses another event loop: a future of one loop cannot be ended in another."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RequestError("this client belongs to another event loop; make one in each, as each asyncio.run() is")

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._stay_connected())

    async def _stay_connected(self) -> None:
        failed = 0
        while True:
            self._lost.clear()
            try:
                await self._open()
            except (OSError, ValueError) as error:  # ValueError: the name cannot be looked up
                self._on_refused(_sentence(error))
            else:
                failed = 0
                await self._lost.wait()
            await asyncio.sleep(wait_before_attempt(failed))
            failed += 1

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        if self._host.startswith("/"):
            await loop.create_unix_connection(lambda: _Stream(self), self._host)
        else:
            await loop.create_connection(lambda: _Stream(self), self._host, self._tcp_port)

    # -- see Client --------------------------------------------------------------------------------------------------

    def _on_lost(self, why: str) -> None:
        self._lost.set()
        super()._on_lost(why)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _settle(self, caller: Any, outcome: Any) -> None:
        if caller.done():
            return
        if isinstance(outcome, Exception):
            caller.set_exception(outcome)
        else:
            caller.set_result(outcome)

    def _report(self, sentence: str, error: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": sentence, "exception": error})

    def _abort(self, transport: Any) -> None:
        transport.abort()

    def _set_timer(self, deadline: float | None) -> None:
        timer = self._timer
        if timer is not None and (self._closed if deadline is None else timer.when() > deadline):
            timer.cancel()
            self._timer = timer = None
        if deadline is not None and timer is None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        super()._on_timer()


class _Stream(asyncio.Protocol):
    """One connection."""

    def __init__(self, client: AsyncioClient) -> None:
        self._client = client
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._client._on_connected(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._client._transport is self._transport:
            self._client._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._client._transport is self._transport:
            self._client._on_lost(_sentence(exc) if exc else "the server closed it")


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's own text shows a tuple
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@frozen
class Unit(ClientUnit, GivesCoroutines):
    """One unit behind a port.

    Every method returns the values, or raises the errors of :meth:`LuminaModbusClient.send_command`. A request that
    exceeds the limits of the specification raises :class:`~lumina_twisted.errors.RequestError` and is not sent.
    """

    port: PortHandle
    unit: int


@frozen
class PortHandle:
    """One port of a server, and the settings of the requests through this handle."""

    client: CommandClient
    name: str
    settings: CommandSettings

    def unit(self, unit: int) -> Unit:
        """The device with that unit identifier; 0 is the broadcast address, for writes."""
        return Unit(self, unit)


@frozen
class DeviceHandle(DeviceMethods, GivesCoroutines):
    """One device of a server. Its points are named without the device. Every method raises the errors that
    :class:`lumina_twisted.client.LuminaValuesClient` lists."""

    client: LuminaValuesClient
    name: str

    def changes(self, *points: str) -> AsyncIterator[ValueReading]:
        """The changes of some points, or of all, for ``async for``; see :meth:`LuminaValuesClient.changes`."""
        return self.client.changes(*map(self._of, points or ("*",)))


class LuminaModbusClient(LineClient, AsyncioClient):
    """A client of a Lumina server, for one event loop.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port.
    :param timeout: seconds that a command may take, unless its caller gives a timeout.
    :param values_port: the server's listener for values, which :meth:`device` uses: a TCP port of the same host, or the
        path of a Unix socket.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 8888, *, timeout: float = DEFAULT_TIMEOUT,
        values_port: int | str = VALUES_PORT,
    ) -> None:
        super().__init__(host, port, LineSession, timeout=timeout)
        self._values_place = values_place(host, values_port)
        self._values: LuminaValuesClient | None = None

    async def close(self) -> None:
        """Ends all commands that are open (:class:`~lumina_twisted.errors.Cancelled`, or
        :class:`~lumina_twisted.errors.OutcomeUnknown` for a write that may have been sent) and the connections."""
        if self._values is not None:
            await self._values.close()
        await super().close()

    def device(self, name: str) -> DeviceHandle:
        """One device, whose points have names; see :meth:`lumina_twisted.client.LuminaModbusClient.device`."""
        if self._values is None:
            self._values = LuminaValuesClient(*self._values_place, timeout=values_timeout(self.timeout))
        return self._values.device(name)

    def port(self, name: str = "", **settings: Any) -> PortHandle:
        """One port of the server; see :meth:`lumina_twisted.client.LuminaModbusClient.port`."""
        return PortHandle(self, check_name(name, "the port"), CommandSettings(**settings))

    def unit(self, unit: int, **settings: Any) -> Unit:
        """A unit on the server's first port; see :meth:`port`."""
        return self.port("", **settings).unit(unit)

    async def ask(self, word: str) -> tuple[str, ...]:
        """The lines that the server answers to a text command: ``help``, ``ports`` or ``stats``.

        :raises NotConnected: if there is no connection, or it is lost, or no answer comes within the client's timeout.
        :raises RequestError: if ``word`` is no text command.
        """
        check_word(word)
        try:
            async with asyncio.timeout(self.timeout):
                await self.connect()
                answer: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
                self._session.ask(word, answer)
                self._pump()
                return await answer
        except TimeoutError:
            raise no_answer(self._server, word, self.timeout) from None


class ModbusTcpClient(TcpClient, AsyncioClient):
    """A client of a device or a gateway that speaks Modbus TCP, for one event loop; see
    :class:`lumina_twisted.client.ModbusTcpClient`."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = MODBUS_TCP_PORT, *, transactions: int = TRANSACTIONS,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        super().__init__(host, port, lambda server: ModbusTcpSession(server, transactions), timeout=timeout)

    def unit(self, unit: int, timeout: float | None = None) -> Unit:
        """The device with that unit identifier; see :meth:`lumina_twisted.client.ModbusTcpClient.unit`."""
        return PortHandle(self, "", CommandSettings(timeout=timeout)).unit(unit)


class LuminaValuesClient(ValuesClient, AsyncioClient):
    """A client of a Lumina server that reads and writes values by name, for one event loop.

    The class :class:`lumina_twisted.client.LuminaValuesClient` lists the failures; here, the methods raise them. A call
    that is cancelled ends at once.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port for values.
    :param timeout: seconds that a request may take, unless its caller gives a timeout.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = VALUES_PORT, *, timeout: float = VALUES_TIMEOUT
    ) -> None:
        super().__init__(host, port, ValueSession, timeout=timeout)
        self._changes: set[_Changes] = set()

    async def close(self) -> None:
        """Ends all requests and watches that are open, and the connection; see
        :meth:`lumina_twisted.client.LuminaValuesClient.close`."""
        for one in self._changes:
            one.end()
        await super().close()

    def device(self, name: str) -> DeviceHandle:
        """One device. This sends nothing."""
        return DeviceHandle(self, name)

    async def changes(self, *names: str) -> AsyncIterator[ValueReading]:
        """Yields the last known value of these points, and then each change, for ``async for``. It ends when the client
        is closed. If the reader is slow, at least the last reading of each name is kept.

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

    def _unwatch(self, watch: Watch) -> None:
        if self._loop is not None and not self._loop.is_closed():  # else its watches ended with the loop
            super()._unwatch(watch)


class _Changes:
    """The changes that wait for one reader."""

    def __init__(self) -> None:
        self._waiting: deque[ValueReading] = deque()
        self._most = CHANGES
        self._ended = False
        self._something = asyncio.Event()

    def put(self, reading: ValueReading) -> None:
        """Adds a change. If there are too many, only the last change of each name stays."""
        self._waiting.append(reading)
        if len(self._waiting) > self._most:
            last = {one.name: one for one in self._waiting}
            self._waiting = deque(last.values())
            self._most = max(CHANGES, 2 * len(last))
        self._something.set()

    def end(self) -> None:
        """Ends the iteration: no change follows."""
        self._ended = True
        self._something.set()

    async def next(self) -> ValueReading | None:
        """The next change; None at the end."""
        while not self._waiting and not self._ended:
            self._something.clear()
            await self._something.wait()
        return None if self._ended else self._waiting.popleft()


def client_from_url(url: str, **options: Any) -> LuminaModbusClient | ModbusTcpClient:
    """The client for ``lumina://HOST[:8888]`` or ``modbus://HOST[:502]``.

    :param options: those of the client's class.
    :raises RequestError: if the URL has neither of these forms.
    """
    where = parse_url(url)
    kind: Any = ModbusTcpClient if where.scheme == "modbus" else LuminaModbusClient
    made: LuminaModbusClient | ModbusTcpClient = kind(where.host, where.port, **options)
    return made
