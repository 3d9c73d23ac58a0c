"""Connections to buses for a program of its own, floor 4: the mission's ``ConnectionPool`` (M15) over the server's pool
of ports.

It needs no running reactor where asyncio runs; see :mod:`lumina_twisted.awaiting`.
Two connections to one port share it, as the clients of a server do: its bus takes turns.
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

from lumina_twisted.awaiting import in_asyncio_task, in_callers_world, reactor_here, running_loop
from lumina_twisted.client.methods import GivesAwaitables, UnitMethods
from lumina_twisted.errors import ConfigError, LuminaError, PortClosed, RequestError
from lumina_twisted.framing.rtu import decode_adu
from lumina_twisted.modbus.calls import Call
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.address import parted, same_place
from lumina_twisted.ports.pool import PortPool
from lumina_twisted.ports.service import PortService
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.priority import Priority
from lumina_twisted.schema import Between, structure

__all__ = ["Connection", "ConnectionPool", "PooledUnit"]

T = TypeVar("T")

DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a caller waits for a connection, and for a reply, unless he gives a timeout."""
IDLE_CLOSE: Final = 60.0
"""Seconds after which a port is closed to which nobody has a connection."""
_Most = Annotated[int, Between(1, 10_000)]


class Connection:
    """A port that is open, and somebody's own turn at its bus. If the device goes, what is asked fails at once, until
    it is back.

    Use it as ``async with await pool.get_connection(…) as connection``, or :meth:`close` it.

    :param port: which is held.
    :param serial: the settings of what is asked.
    :param let_go: ends that the port is held.
    """

    def __init__(self, port: PortService, serial: SerialSettings, let_go: Callable[[], None]) -> None:
        self._port = port
        self.serial = serial
        self._let_go = let_go
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
        """At which it asks."""
        return self.serial.baudrate

    @property
    def is_open(self) -> bool:
        """Whether its device is open, and it was not given back."""
        return self._port.is_open and not self._is_closed

    def unit(self, unit: int, **how: Any) -> PooledUnit:
        """The device with that unit identifier; 0 is every device at once, for writes.

        :param how: ``timeout``, ``retries``, ``priority`` and ``max_age``, as :meth:`request` has them.
        """
        return PooledUnit(self, unit, how)

    def request(self, unit: int, pdu: bytes, **how: Any) -> Any:
        """Asks a unit something.

        :param pdu: function code and data.
        :param how: ``timeout`` (seconds that the caller waits, 5), ``retries``, ``response_length``, ``priority`` and
            ``max_age``, as :meth:`lumina_twisted.ports.interfaces.Port.request` has them.
        :return: something to await: it gives the reply's whole RTU frame, or fails, as that.
        """
        return in_callers_world(self.ask(unit, pdu, **how))

    def ask(
        self, unit: int, pdu: bytes, *, timeout: float = DEFAULT_TIMEOUT, retries: int | None = None,
        response_length: int = 0, priority: Priority | None = None, max_age: float | None = None,
    ) -> Deferred[bytes]:
        """As :meth:`request`; a Deferred wherever it is called."""
        if self._is_closed:
            return fail(PortClosed(f"the connection to {self.name} was given back; get another one from the pool"))
        self._pending += 1
        asked = self._port.request(
            self, unit, pdu, timeout=timeout, serial=self.serial, retries=retries, response_length=response_length,
            priority=priority, max_age=max_age,
        )
        return asked.addBoth(self._ended)

    def close(self) -> Any:
        """Gives it back. What it was asked before ends first; nothing more may be asked.

        :return: something to await: it gives None when it is given back, and does not fail.
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
    """One unit behind a connection. Its methods have the parameters of :mod:`lumina_twisted.modbus.calls`; each returns
    something to await, which gives the values or fails as :meth:`Connection.request`. What breaks the specification's
    limits fails with :class:`~lumina_twisted.errors.RequestError`, and is not sent."""

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
        def result(frame: bytes) -> Any:
            got = call.result(decode_adu(frame)[1] if frame else b"")
            return self._ask(got) if isinstance(got, Call) else got

        return self.connection.ask(self.unit, call.request.encode(), **self.how).addCallback(result)


class ConnectionPool:
    """Open ports, as many as are allowed.

    A port is open while somebody has a connection to it, and a while longer: then it is closed, or as soon as another
    one needs its place. Use it as ``async with ConnectionPool() as pool``, or :meth:`close` it.

    :param max_connections: how many ports may be open at a time.
    :param idle_close: seconds after which a port is closed to which nobody has a connection.
    :param reactor: that of the program if it is not given; where asyncio runs, one on its loop.
    :param now: a clock that never goes back, in seconds.
    :param settings: of every port, as ``timeout=0.2`` or ``retries=0``: the keys of ``[ports.NAME]``, but for ``path``.
    :raises ConfigError: if a setting cannot be.
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
        """A connection to a port, which is opened if it is not. Where as many ports are in use as may be, it waits
        until the connections to one of them are closed.

        :param port: path of a serial device, or a place as ``rtu+tcp:192.168.1.5:4001``.
        :param baudrate: speed of what this connection asks; 9600, or the pool's, if it is not given.
        :param timeout: seconds that the caller waits.
        :param serial: ``parity``, ``bytesize`` and ``stopbits``, if not 8N1 or what the pool has.
        :return: something to await: it gives a :class:`Connection`, or fails with
            :class:`~lumina_twisted.errors.PortClosed` (the port cannot be opened, none became free in time, or the pool
            is closed), :class:`~lumina_twisted.errors.ConfigError` (a setting cannot be) or
            :class:`~lumina_twisted.errors.RequestError` (that is no port). In a task of asyncio's it is a coroutine,
            which begins when it is awaited. Cancelling it takes none.
        """
        begin = partial(self._connect, port, baudrate, timeout, serial)
        return _connection_in_task(begin) if in_asyncio_task() else Deferred.fromCoroutine(begin())

    def close(self) -> Any:
        """Closes all ports, and waits for what is on the wire.

        :return: something to await: it gives None, or fails with :class:`~lumina_twisted.errors.RequestError` (another
            event loop runs here than the pool's own, which alone can close them).
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
                port.close_device()  # else it would be tried again and again
            raise
        return Connection(port, settings, let_go)

    # -- its ports

    def _port(self, path: str, serial: dict[str, Any]) -> tuple[PortService, SerialSettings]:
        """The port of that path, and the settings of what this caller asks."""
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
        """The port of that path, or of another that leads there. Where a link leads may be elsewhere when the device
        was plugged in anew."""
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

    # -- who has one

    async def _held(self, port: PortService, timeout: float) -> Callable[[], None]:
        """Keeps the port for one more; returns what lets it go."""
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
        """Who waited longest is the next."""
        let_go()
        for entry in list(self._waiting):
            if entry in self._waiting and self._has_place_for(entry[0]):
                self._waiting.remove(entry)
                entry[1].callback(None)  # it holds the port before this returns

    def _in_time(self, done: Deferred[None], timeout: float, too_late: Callable[[], LuminaError]) -> Deferred[None]:
        def give_up(_: object, seconds: float) -> Any:
            raise too_late()

        return done.addTimeout(timeout, self._reactor, give_up)


async def _connection_in_task(begin: Callable[[], Any]) -> Connection:
    """A task may be cancelled after its connection was made and before it has it; then that goes back."""
    connected: asyncio.Future[Connection] = Deferred.fromCoroutine(begin()).asFuture(asyncio.get_running_loop())
    try:
        return await connected
    except asyncio.CancelledError:
        if connected.done() and not connected.cancelled() and connected.exception() is None:
            connected.result().close()
        raise


def _place(text: str) -> tuple[str, str]:
    """The path that a text says, and what that has in common with every other path of one bus.

    :raises RequestError: if it is the path of nothing.
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
