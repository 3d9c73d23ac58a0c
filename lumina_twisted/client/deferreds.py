"""The clients for Twisted programs, floor 3: every method returns a Deferred."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from lumina_twisted.client.base import Client, wait_before_attempt
from lumina_twisted.client.command import DEFAULT_TIMEOUT, CommandSettings, check_name
from lumina_twisted.client.command_methods import ClientUnit, CommandClient, LineClient, TcpClient
from lumina_twisted.client.command_sessions import TRANSACTIONS, LineSession, ModbusTcpSession, check_word, no_answer
from lumina_twisted.client.session import Session
from lumina_twisted.client.unit_methods import GivesDeferreds, Operation
from lumina_twisted.client.url import VALUES_PORT, parse_url
from lumina_twisted.client.value_methods import DEFAULT_TIMEOUT as VALUES_TIMEOUT
from lumina_twisted.client.value_methods import DeviceMethods, ValuesClient, values_place, values_timeout
from lumina_twisted.client.value_session import ValueSession
from lumina_twisted.errors import LuminaError
from lumina_twisted.framing.mbap import MODBUS_TCP_PORT
from lumina_twisted.reconnecting import Reconnecting, sentence_of

T = TypeVar("T")

_COARSE = 0.01
"""Seconds by which a deadline may be noticed too late: the timer is not moved for a smaller difference."""
_log = Logger(namespace="lumina.client")


class DeferredClient(Client, GivesDeferreds):
    """A client of one server, for Deferreds. It connects at its first use. It reconnects whenever the connection is
    lost, until it is closed.

    :param endpoint: where to connect, instead of ``host`` and ``port``.
    :param reactor: for connections and timers; the global reactor if it is not given.
    :param now: a clock that never goes back, in seconds.
    """

    def __init__(
        self, host: str, port: int, session: Callable[[str], Session[Any]], *, timeout: float,
        endpoint: IStreamClientEndpoint | None, reactor: Any, now: Callable[[], float],
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        super().__init__(host, port, session, timeout)
        self._reactor = reactor
        self._clock = now
        self._timer: IDelayedCall | None = None
        where = endpoint or _endpoint(host, port, reactor)
        factory = Factory.forProtocol(partial(_Stream, self))
        factory.noisy = False
        self._service = Reconnecting(where, factory, wait_before_attempt, self._on_refused, reactor)

    def connect(self) -> Deferred[None]:
        """Connects. The client goes on trying until it is connected.

        :return: a Deferred that fires with None when there is a connection, or fails with
            :class:`~lumina_twisted.errors.NotConnected` when the next attempt has failed, or the client is closed.
            Requests are possible without a connection: they wait for one until their own timeout.
        """
        try:
            self._check_open()
        except LuminaError:
            return fail()
        if self._transport is not None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._connecting.append(waiting)
        self._start()
        return waiting

    def close(self) -> Deferred[None]:
        """Ends all requests that are open (:class:`~lumina_twisted.errors.Cancelled`, or
        :class:`~lumina_twisted.errors.OutcomeUnknown` for a write that may have been sent) and the connection.

        :return: a Deferred that fires with None when the connection has ended; it does not fail.
        """
        self._on_closed()
        if not self._service.running:
            return succeed(None)
        return maybeDeferred(self._service.stopService).addBoth(lambda _: None)

    def _start(self) -> None:
        if not self._service.running:
            self._service.startService()

    def _run(self, make: Callable[[], Operation[T]]) -> Deferred[T]:
        """Submits an operation. The Deferred fires with its result."""
        try:
            one = make()
            self._check_open()
        except LuminaError:
            return fail()
        request = one.request
        deferred: Deferred[Any] = Deferred(partial(self._cancelled, request))
        request.caller = deferred
        self._start()
        self._session.submit(request, self._now())
        self._pump()
        return deferred.addCallback(self._result, one)

    def _result(self, answer: Any, one: Operation[T]) -> Any:
        got = one.result(answer)
        return self._run(lambda: got) if isinstance(got, Operation) else got

    def _cancelled(self, request: Any, deferred: Deferred[Any]) -> None:
        if (event := self._session.take_event(request)) is not None:  # it has ended, but its event is not delivered yet
            self._deliver(event)
        else:
            deferred.errback(self._session.cancel(request, self._now()))
        self._pump()

    # -- see Client --------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._clock()

    def _settle(self, caller: Any, outcome: Any) -> None:
        if caller.called:
            return
        if isinstance(outcome, Exception):
            caller.errback(outcome)
        else:
            caller.callback(outcome)

    def _report(self, sentence: str, error: Exception) -> None:
        _log.failure(sentence)

    def _abort(self, transport: Any) -> None:
        transport.abortConnection()

    def _set_timer(self, deadline: float | None) -> None:
        if deadline is None:
            if self._closed and self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        delay = max(0.0, deadline - self._now())
        if self._timer is None:
            self._timer = self._reactor.callLater(delay, self._on_timer)
        elif self._timer.getTime() > self._reactor.seconds() + delay + _COARSE:
            self._timer.reset(delay)

    def _on_timer(self) -> None:
        self._timer = None
        super()._on_timer()


def _endpoint(host: str, port: int, reactor: Any) -> IStreamClientEndpoint:
    if host.startswith("/"):
        return UNIXClientEndpoint(reactor, host)
    return HostnameEndpoint(reactor, host, port)


class _Stream(Protocol):
    """One connection."""

    def __init__(self, client: DeferredClient) -> None:
        self._client = client

    def connectionMade(self) -> None:
        """Turns off the delay of TCP for short lines."""
        assert self.transport is not None
        set_no_delay = getattr(self.transport, "setTcpNoDelay", None)
        if set_no_delay is not None:
            set_no_delay(True)
        self._client._on_connected(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Bytes came from the server."""
        if self._client._transport is self.transport:
            self._client._on_data(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection ended."""
        if self._client._transport is self.transport:
            self._client._on_lost(sentence_of(reason))


@frozen
class Unit(ClientUnit, GivesDeferreds):
    """One unit behind a port.

    Every method returns a Deferred that fires with the values, or fails as that of
    :meth:`LuminaModbusClient.send_command` does. A request that exceeds the limits of the specification fails with
    :class:`~lumina_twisted.errors.RequestError` and is not sent.
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
class DeviceHandle(DeviceMethods, GivesDeferreds):
    """One device of a server. Its points are named without the device. Every Deferred fires or fails as
    :class:`LuminaValuesClient` says."""

    client: LuminaValuesClient
    name: str


class LuminaModbusClient(LineClient, DeferredClient):
    """A client of a Lumina server.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port.
    :param timeout: seconds that a command may take, unless its caller gives a timeout.
    :param values_port: the server's listener for values, which :meth:`device` uses: a TCP port of the same host, or the
        path of a Unix socket.
    :param endpoint: where to connect, instead of ``host`` and ``port``.
    :param values_endpoint: where to connect for values, instead of ``values_port``.
    :param reactor: for connections and timers; the global reactor if it is not given.
    :param now: a clock that never goes back, in seconds.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 8888, *, timeout: float = DEFAULT_TIMEOUT,
        values_port: int | str = VALUES_PORT, endpoint: IStreamClientEndpoint | None = None,
        values_endpoint: IStreamClientEndpoint | None = None, reactor: Any = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host, port, LineSession, timeout=timeout, endpoint=endpoint, reactor=reactor, now=now)
        self._values_place = values_place(host, values_port)
        self._values_endpoint = values_endpoint
        self._values: LuminaValuesClient | None = None

    def close(self) -> Deferred[None]:
        """Ends all commands that are open (:class:`~lumina_twisted.errors.Cancelled`, or
        :class:`~lumina_twisted.errors.OutcomeUnknown` for a write that may have been sent) and the connections.

        :return: a Deferred that fires with None when the connections have ended; it does not fail.
        """
        values = succeed(None) if self._values is None else self._values.close()
        commands = super().close()
        return values.addCallback(lambda _: commands)

    def device(self, name: str) -> DeviceHandle:
        """One device, whose points have names: ``client.device("boiler").read("flow_temperature")``. Values use a
        separate connection, to the server's listener for values. The client makes it at the first use."""
        if self._values is None:
            self._values = LuminaValuesClient(
                *self._values_place, timeout=values_timeout(self.timeout), endpoint=self._values_endpoint,
                reactor=self._reactor, now=self._clock,
            )
        return self._values.device(name)

    def port(self, name: str = "", **settings: Any) -> PortHandle:
        """One port of the server.

        :param name: name or path, as the server's configuration has it; empty for the server's first port.
        :param settings: for the requests through this handle, as :class:`CommandSettings` has them.
        :raises RequestError: if the name or a setting is invalid.
        """
        return PortHandle(self, check_name(name, "the port"), CommandSettings(**settings))

    def unit(self, unit: int, **settings: Any) -> Unit:
        """A unit on the server's first port; see :meth:`port`."""
        return self.port("", **settings).unit(unit)

    def ask(self, word: str) -> Deferred[tuple[str, ...]]:
        """Sends a text command: ``help``, ``ports`` or ``stats``.

        :return: a Deferred that fires with the lines of its answer, or fails with
            :class:`~lumina_twisted.errors.NotConnected`, also if no answer comes within the client's timeout, or with
            :class:`~lumina_twisted.errors.RequestError` if ``word`` is no text command.
        """
        try:
            check_word(word)
        except LuminaError:
            return fail()

        def send(_: object) -> Deferred[tuple[str, ...]]:
            answer: Deferred[tuple[str, ...]] = Deferred()
            self._session.ask(word, answer)
            self._pump()
            return answer

        def too_late(_: object, seconds: float) -> Failure:
            return Failure(no_answer(self._server, word, seconds))

        return self.connect().addCallback(send).addTimeout(self.timeout, self._reactor, too_late)


class ModbusTcpClient(TcpClient, DeferredClient):
    """A client of a device or a gateway that speaks Modbus TCP. Its units have the same functions as those of a Lumina
    server's ports.

    :param host: name or address.
    :param port: its TCP port.
    :param transactions: requests that may be with the server at a time; some devices lose all but one.
    :param timeout: seconds that a request may take, unless its caller gives a timeout.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = MODBUS_TCP_PORT, *, transactions: int = TRANSACTIONS,
        timeout: float = DEFAULT_TIMEOUT, endpoint: IStreamClientEndpoint | None = None, reactor: Any = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            host, port, lambda server: ModbusTcpSession(server, transactions), timeout=timeout, endpoint=endpoint,
            reactor=reactor, now=now,
        )

    def unit(self, unit: int, timeout: float | None = None) -> Unit:
        """The device with that unit identifier. For a server without units behind it, use 255 or 1.

        :param timeout: seconds that a request through this handle may take.
        :raises RequestError: if the timeout is invalid.
        """
        return PortHandle(self, "", CommandSettings(timeout=timeout)).unit(unit)


class LuminaValuesClient(ValuesClient, DeferredClient):
    """A client of a Lumina server that reads and writes values by name.

    Every Deferred ends within the timeout. It fires with the result of its method, or fails with
    :class:`~lumina_twisted.errors.UnknownName` (the message has a similar name),
    :class:`~lumina_twisted.errors.RequestError` (another mistake of the caller),
    :class:`~lumina_twisted.errors.ModbusException` (the device refused),
    :class:`~lumina_twisted.errors.ResponseTimeout` (a read without an answer),
    :class:`~lumina_twisted.errors.NotSent` or one of its subclasses (nothing was sent to the device),
    :class:`~lumina_twisted.errors.OutcomeUnknown` (a write, or a change of a configuration, that may have been carried
    out) or :class:`~lumina_twisted.errors.ServerError`. If it is cancelled, it fails at once, with
    :class:`~lumina_twisted.errors.Cancelled` or as *outcome unknown*.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port for values.
    :param timeout: seconds that a request may take, unless its caller gives a timeout.
    :param endpoint: where to connect, instead of ``host`` and ``port``.
    :param reactor: for connections and timers; the global reactor if it is not given.
    :param now: a clock that never goes back, in seconds.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = VALUES_PORT, *, timeout: float = VALUES_TIMEOUT,
        endpoint: IStreamClientEndpoint | None = None, reactor: Any = None, now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host, port, ValueSession, timeout=timeout, endpoint=endpoint, reactor=reactor, now=now)

    def device(self, name: str) -> DeviceHandle:
        """One device. This sends nothing."""
        return DeviceHandle(self, name)


def client_from_url(url: str, **options: Any) -> LuminaModbusClient | ModbusTcpClient:
    """The client for ``lumina://HOST[:8888]`` or ``modbus://HOST[:502]``.

    :param options: those of the client's class.
    :raises RequestError: if the URL has neither of these forms.
    """
    where = parse_url(url)
    kind: Any = ModbusTcpClient if where.scheme == "modbus" else LuminaModbusClient
    made: LuminaModbusClient | ModbusTcpClient = kind(where.host, where.port, **options)
    return made
