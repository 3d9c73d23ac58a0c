"""The mission's ``ConnectionPool`` (M15), floor 4. It opens ports inside your program, with the server's code, so that
you need no server.

In an asyncio program it needs no running reactor; see :mod:`lumina_twisted.awaiting`. Several connections share one
port as the clients of a server do: their requests take turns.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import attrs
from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.awaiting import in_asyncio_task, in_callers_world, reactor_here, running_loop
from lumina_twisted.client.unit_methods import GivesAwaitables, UnitMethods
from lumina_twisted.errors import ConfigError, LuminaError, PortClosed, RequestError
from lumina_twisted.framing.rtu import OVERHEAD, encode_adu
from lumina_twisted.modbus.calls import Call
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.pool import PortPool
from lumina_twisted.ports.service import PortService
from lumina_twisted.ports.settings import PortSettings, parted, same_place
from lumina_twisted.priority import Priority
from lumina_twisted.schema import Between, structure

__all__ = ["Connection", "ConnectionPool", "PooledUnit"]

T = TypeVar("T")

DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a caller waits for a connection, and for a reply, unless it gives a timeout."""
IDLE_CLOSE: Final = 60.0
"""Seconds after which a port without a connection is closed."""
_Most = Annotated[int, Between(1, 10_000)]


class Connection:
    """A connection to an open port. It counts as a client of its own when requests take turns. If the serial device is
    lost, requests fail at once until the device is back.

    Use it as ``async with await pool.get_connection(…) as connection``, or :meth:`close` it.

    :param port: the port, which stays open for this connection.
    :param serial: the serial settings of all requests.
    :param let_go: gives the port back to the pool.
    """

    def __init__(self, port: PortService, serial: SerialSettings, let_go: Callable[[], None]) -> None:
        self._port = port
        self.serial = serial
        self._let_go = let_go
        self.caller = Caller(repr(self))
        self._is_closed = False
        self._pending = 0
        self._waiting_for_end: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return f"<Connection to {self.name} at {self.serial}>"

    @property
    def name(self) -> str:
        """The path of its port."""
        return self._port.name

    @property
    def baudrate(self) -> int:
        """The baud rate of all requests."""
        return self.serial.baudrate

    @property
    def is_open(self) -> bool:
        """Whether the serial device is open, and the connection was not closed."""
        return self._port.is_open and not self._is_closed

    def unit(self, unit: int, **how: Any) -> PooledUnit:
        """The device with that unit identifier; 0 is the broadcast address, for writes.

        :param how: ``timeout``, ``retries``, ``priority`` and ``max_age``, as :meth:`request` has them.
        """
        return PooledUnit(self, unit, how)

    def request(self, unit: int, pdu: bytes, **how: Any) -> Any:
        """Sends a request to a unit.

        :param pdu: function code and data.
        :param how: ``timeout`` (seconds that the caller waits, 5), ``retries``, ``response_length``, ``priority`` and
            ``max_age``, as :class:`lumina_twisted.access.caller.Terms` has them. ``response_length`` counts the whole
            frame.
        :return: an awaitable that gives the reply's whole RTU frame, which is empty after a broadcast, or fails as
            :meth:`lumina_twisted.ports.interfaces.Port.request` does.
        """
        return in_callers_world(self.ask(unit, pdu, lambda reply: encode_adu(unit, reply) if reply else b"", **how))

    def ask(
        self, unit: int, pdu: bytes, result: Callable[[bytes], T | Deferred[T]], *,
        timeout: float = DEFAULT_TIMEOUT, retries: int | None = None, response_length: int = 0,
        priority: Priority | None = None, max_age: float | None = None,
    ) -> Deferred[T]:
        """Like :meth:`request`, but always returns a Deferred.

        :param result: makes the result from the reply's PDU, which is empty after a broadcast. :meth:`close` waits
            until this function has run.
        """
        if self._is_closed:
            return fail(PortClosed(f"the connection to {self.name} was given back; get another one from the pool"))
        self._pending += 1
        terms = Terms(timeout, self.serial, retries, max(0, response_length - OVERHEAD), priority, max_age)
        return self._port.request(self.caller, unit, pdu, terms).addCallback(result).addBoth(self._ended)

    def close(self) -> Any:
        """Gives the connection back when its open requests have ended. New requests fail at once.

        :return: an awaitable that gives None when the connection is given back, and does not fail.
        """
        if self._is_closed and not self._pending:
            return in_callers_world(succeed(None))
        self._is_closed = True
        done: Deferred[None] = Deferred()
        self._waiting_for_end.append(done)
        self._give_back_if_done()
        return in_callers_world(done)

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _ended(self, result: Any) -> Any:
        self._pending -= 1
        if self._is_closed:
            self._give_back_if_done()
        return result

    def _give_back_if_done(self) -> None:
        if self._pending:
            return
        waiting, self._waiting_for_end = self._waiting_for_end, []
        if waiting:
            self._let_go()
        for done in waiting:
            done.callback(None)


@frozen
class PooledUnit(UnitMethods, GivesAwaitables):
    """One unit behind a connection. Each method returns an awaitable, which gives the values, or fails as
    :meth:`Connection.request` does."""

    connection: Connection
    unit: int
    how: dict[str, Any]

    def _run(self, make: Callable[[], Call[T]]) -> Any:
        try:
            call = make()
        except LuminaError:
            return in_callers_world(fail())
        return in_callers_world(self._ask(call))

    def _ask(self, call: Call[T]) -> Deferred[T]:
        def result(reply: bytes) -> Any:
            got = call.result(reply)
            return self._ask(got) if isinstance(got, Call) else got

        return self.connection.ask(self.unit, call.request.encode(), result, **self.how)


class ConnectionPool:
    """Open ports, with a limit to their number.

    A port stays open while it has a connection, and for ``idle_close`` seconds after that, unless another port needs
    its place earlier. Use the pool as ``async with ConnectionPool() as pool``, or :meth:`close` it.

    :param max_connections: how many ports may be open at a time.
    :param idle_close: seconds after which a port without a connection is closed.
    :param reactor: if it is not given, the global reactor, or in an asyncio program one on its loop.
    :param now: a clock that never goes back, in seconds.
    :param settings: for every port, as ``timeout=0.2`` or ``retries=0``: the keys of ``[ports.NAME]``, except ``path``.
    :raises ConfigError: if a setting is invalid.
    """

    def __init__(
        self, max_connections: int = 10, *, idle_close: float = IDLE_CLOSE, reactor: Any = None,
        now: Callable[[], float] = time.monotonic, **settings: Any,
    ) -> None:
        most: Any = max_connections
        self.max_connections: int = structure(most, _Most, "max_connections")
        self._settings = structure(
            {**settings, "idle_close": idle_close, "open": "request", "path": "/dev/null"}, PortSettings
        )
        self._reactor = reactor
        self._now = now
        self._ports: PortPool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._by_path: dict[str, PortService] = {}
        self._waiting: deque[tuple[PortService, Deferred[None]]] = deque()
        self._is_closed = False

    def get_connection(
        self, port: str, baudrate: int | None = None, *, timeout: float = DEFAULT_TIMEOUT, **serial: Any
    ) -> Any:
        """Gives a connection to a port, and opens the port if it is not open. If the limit is reached, the caller waits
        until all connections to another port are closed.

        :param port: path of a serial device, or a place as ``rtu+tcp:192.168.1.5:4001``.
        :param baudrate: baud rate of the requests of this connection; if it is not given, the pool's, or 9600.
        :param timeout: seconds that the caller waits.
        :param serial: ``parity``, ``bytesize`` and ``stopbits``; if they are not given, the pool's, or 8N1.
        :return: an awaitable that gives a :class:`Connection`, or fails with
            :class:`~lumina_twisted.errors.PortClosed` (the port cannot be opened, no place became free in time, or the
            pool is closed), :class:`~lumina_twisted.errors.ConfigError` (a setting is invalid) or
            :class:`~lumina_twisted.errors.RequestError` (``port`` is no port). In an asyncio task it is a coroutine,
            which begins when it is awaited. If it is cancelled, it leaves no connection behind.
        """
        begin = partial(self._connect, port, baudrate, timeout, serial)
        return _connection_in_task(begin) if in_asyncio_task() else Deferred.fromCoroutine(begin())

    def close(self) -> Any:
        """Closes all ports, after the requests that are on the wire have ended.

        :return: an awaitable that gives None, or fails with :class:`~lumina_twisted.errors.RequestError` if the caller
            runs in another event loop than the pool's.
        """
        try:
            self._check_loop()
        except RequestError as error:
            return in_callers_world(fail(error))
        self._is_closed = True
        waiting, self._waiting = list(self._waiting), deque()
        for _, turn in waiting:
            turn.errback(PortClosed("the pool was closed meanwhile"))
        stopped = succeed(None) if self._ports is None or not self._ports.running else self._ports.stopService()
        return in_callers_world(stopped.addCallback(lambda _: None))

    async def __aenter__(self) -> ConnectionPool:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _connect(
        self, path: str, baudrate: int | None, timeout: float, serial: dict[str, Any]
    ) -> Connection:
        ends = self._now() + timeout
        speed = {} if baudrate is None else {"baudrate": baudrate}
        port, settings = self._port(path, {**serial, **speed})
        let_go = await self._held(port, timeout)
        try:
            too_late = PortClosed(f"{path} is not open, it was not within {timeout:g} s")
            await self._in_time(port.open(), max(ends - self._now(), 0.0), lambda: too_late)
        except BaseException:
            let_go()
            if not port.is_held:
                port.close_device()  # else the port would try to open it again and again
            raise
        return Connection(port, settings, let_go)

    # -- ports ---------------------------------------------------------------------------------------------------

    def _port(self, path: str, serial: dict[str, Any]) -> tuple[PortService, SerialSettings]:
        """The port of a path, and the serial settings of the requests."""
        if self._is_closed:
            raise PortClosed("the pool is closed; make a new one")
        self._check_loop()
        own = {one.name: getattr(self._settings, one.name) for one in attrs.fields(SerialSettings)}
        settings = structure({**own, **serial}, SerialSettings)
        path, place = _place(path)
        port = self._known(path, place)
        if port is None:
            made = attrs.evolve(self._settings, path=path, **attrs.asdict(settings))
            if faults := [f"{key}: {sentence}" for key, sentence in made.faults()]:
                raise ConfigError(faults)
            port = self._by_path[path] = self._pool().add(path, made)
        return port, settings

    def _known(self, path: str, place: str) -> PortService | None:
        """The port of that path, or the port of another path to the same device. The places are compared each time,
        for a link may lead elsewhere after the device was plugged in again."""
        there = (one for one in self._by_path.values() if (same_place(one.path) or one.path) == place)
        return self._by_path.get(path) or next(there, None)

    def _check_loop(self) -> None:
        if self._ports is not None and self._loop is not running_loop():
            raise RequestError("the pool belongs to another event loop; make one for each, and close it there")

    def _pool(self) -> PortPool:
        if self._ports is None:
            self._loop = running_loop()
            self._reactor = reactor_here() if self._reactor is None else self._reactor
            self._ports = PortPool({}, self._reactor, self._now, self.max_connections)
            self._ports.startService()
        return self._ports

    # -- connections ---------------------------------------------------------------------------------------------

    async def _held(self, port: PortService, timeout: float) -> Callable[[], None]:
        """Waits for a place, and keeps the port open for a connection; returns the function that gives it back."""
        if not self._has_place_for(port):
            turn: Deferred[None] = Deferred(lambda _: self._waiting.remove(entry))
            entry = (port, turn)
            self._waiting.append(entry)
            await self._in_time(turn, timeout, lambda: PortClosed(
                f"no connection to {port.path} within {timeout:g} s, for all {self.max_connections} are in use"
                f" ({self._in_use()}); close one, or raise max_connections"
            ))
        return partial(self._let_go, port.hold())

    def _has_place_for(self, port: PortService) -> bool:
        return port.is_held or sum(one.is_held for one in self._by_path.values()) < self.max_connections

    def _in_use(self) -> str:
        return ", ".join(one.path for one in self._by_path.values() if one.is_held)

    def _let_go(self, let_go: Callable[[], None]) -> None:
        """Gives a port back, and serves the waiting callers, the longest wait first."""
        let_go()
        for entry in list(self._waiting):
            if entry in self._waiting and self._has_place_for(entry[0]):
                self._waiting.remove(entry)
                entry[1].callback(None)  # that caller holds the port before this call returns

    def _in_time(self, done: Deferred[None], timeout: float, too_late: Callable[[], LuminaError]) -> Deferred[None]:
        def give_up(_: object, seconds: float) -> Any:
            raise too_late()

        return done.addTimeout(timeout, self._reactor, give_up)


async def _connection_in_task(begin: Callable[[], Any]) -> Connection:
    """Makes a connection, and closes it if the task is cancelled just after it was made."""
    connected: asyncio.Future[Connection] = Deferred.fromCoroutine(begin()).asFuture(asyncio.get_running_loop())
    try:
        return await connected
    except asyncio.CancelledError:
        if connected.done() and not connected.cancelled() and connected.exception() is None:
            connected.result().close()
        raise


def _place(text: str) -> tuple[str, str]:
    """The path that a text names, and a key that is the same for all paths to one bus.

    :raises RequestError: if the text is no path.
    """
    if not isinstance(text, str) or not text or "\0" in text:
        raise RequestError(f"a port is the path of a serial device, as /dev/ttyUSB0, not {text!r}")
    path, words = parted(text)
    if words:
        raise RequestError(f"{words[0]!r} cannot stand in a path; give it to get_connection or to the pool")
    try:
        return path, same_place(path) or path
    except ValueError as error:
        raise RequestError(str(error)) from None
