"""A client of one server that connects again whenever it must, for Deferreds, floor 3. What is said over the connection
is its conversation's business; what came of it, a subclass's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.python.failure import Failure
from zope.interface import implementer, provider

from lumina_twisted.client.backoff import wait_before_attempt
from lumina_twisted.client.command import check_timeout
from lumina_twisted.client.conversation import Conversation, Pump
from lumina_twisted.client.url import check_place
from lumina_twisted.errors import NotConnected


class ReconnectingClient(Pump):
    """A client of one server. It connects when it is told to or first used, and again whenever the connection is lost,
    until it is closed.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port.
    :param conversation: what is said to it, and understood; it is given the server's name for sentences.
    :param timeout: seconds that a request may take whose caller does not say.
    :param endpoint: where to connect instead.
    :param reactor: for the connection and its times; the program's own if it is not given.
    :param now: a clock that never goes back, in seconds.
    :raises RequestError: if the server cannot be there, or the timeout cannot be.
    """

    hint = "is it on, and its port right?"
    """What to look at if there is no connection."""

    def __init__(
        self, host: str, port: int, conversation: Callable[[str], Conversation], *, timeout: float,
        endpoint: IStreamClientEndpoint | None, reactor: Any, now: Callable[[], float],
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        check_place(host, port)
        self.timeout = check_timeout(timeout)
        self._reactor = reactor
        self._now = now
        self._server = host if host.startswith("/") else f"{host}:{port}"
        self._session: Any = conversation(self._server)
        self._transport: Any = None
        self._timer: IDelayedCall | None = None
        self._closed = False
        self._first: list[Deferred[None]] = []
        where = endpoint or _endpoint(host, port, reactor)
        told = _Reporting(where, self._on_refused)
        self._service = _Connection(told, _OneProtocol(self), wait_before_attempt, reactor)

    # -- the connection --------------------------------------------------------------------------------------------

    def connect(self) -> Deferred[None]:
        """Connects, and goes on trying for as long as it takes.

        :return: a Deferred that fires with None when there is a connection, or fails with
            :class:`~lumina_twisted.errors.NotConnected` when the next attempt has failed, or the client is closed.
            Requests may be made in any case; they wait for a connection until their own timeout.
        """
        if self._closed:
            return fail(NotConnected("this client was closed; make another one"))
        if self._transport is not None:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._first_cancelled)
        self._first.append(waiting)
        self._start()
        return waiting

    def close(self) -> Deferred[None]:
        """Ends all requests that are open (:class:`~lumina_twisted.errors.Cancelled`, or
        :class:`~lumina_twisted.errors.OutcomeUnknown` for a write that may have been sent) and the connection.

        :return: a Deferred that fires with None when the connection has ended; it does not fail.
        """
        self._closed = True
        self._session.close(self._now())
        self._pump()
        self._end_first(NotConnected("the client was closed"))
        if not self._service.running:
            return succeed(None)
        return maybeDeferred(self._service.stopService).addBoth(lambda _: None)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._transport is not None

    # -- what the connection tells -----------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._service.running:
            self._service.startService()

    def _on_connected(self, transport: Any) -> None:
        self._transport = transport
        self._session.connected(self._now())
        self._pump()
        for deferred in self._still_waiting():
            deferred.callback(None)

    def _on_data(self, data: bytes) -> None:
        self._session.receive_data(data, self._now())
        self._pump()

    def _on_lost(self, why: str) -> None:
        self._transport = None
        self._session.connection_lost(why, self._now())
        self._pump()

    def _on_refused(self, why: str) -> None:
        """An attempt to connect has failed."""
        self._session.connection_lost(why, self._now())
        self._pump()
        self._end_first(NotConnected(f"no connection to {self._server} ({why}); {self.hint}"))

    def _end_first(self, error: NotConnected) -> None:
        for deferred in self._still_waiting():
            deferred.errback(error)

    def _first_cancelled(self, deferred: Deferred[None]) -> None:
        if deferred in self._first:  # else another one's callback takes it back, see _still_waiting
            self._first.remove(deferred)

    def _still_waiting(self) -> Iterator[Deferred[None]]:
        """Who waits for a connection, each before it is told; by then another's callback may have taken it back."""
        waiting, self._first = self._first, []
        return (deferred for deferred in waiting if not deferred.called)

    # -- the pump ------------------------------------------------------------------------------------------------------

    def _abort(self, transport: Any) -> None:
        transport.abortConnection()

    def _set_timer(self) -> None:
        wanted = self._session.get_timer()
        if wanted is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        delay = max(0.0, wanted - self._now())
        if self._timer is None:
            self._timer = self._reactor.callLater(delay, self._on_timer)
        elif self._timer.getTime() > self._reactor.seconds() + delay + _COARSE:
            self._timer.reset(delay)

    def _on_timer(self) -> None:
        self._timer = None
        self._session.handle_timer(self._now())
        self._pump()


_COARSE = 0.01
"""Seconds that a deadline may be noticed late: the timer is not moved for less."""


def _endpoint(host: str, port: int, reactor: Any) -> IStreamClientEndpoint:
    if host.startswith("/"):
        return UNIXClientEndpoint(reactor, host)
    return HostnameEndpoint(reactor, host, port)


class _LineStream(Protocol):
    """One connection."""

    def __init__(self, client: ReconnectingClient) -> None:
        self._client = client

    def connectionMade(self) -> None:
        """No delay for short lines."""
        assert self.transport is not None
        set_no_delay = getattr(self.transport, "setTcpNoDelay", None)
        if set_no_delay is not None:
            set_no_delay(True)
        self._client._on_connected(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Answers."""
        if self._client._transport is self.transport:
            self._client._on_data(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It ended."""
        if self._client._transport is self.transport:
            self._client._on_lost(_sentence(reason))


def _sentence(reason: Failure) -> str:
    return reason.getErrorMessage().rstrip(".") or type(reason.value).__name__


class _OneProtocol(Factory):
    noisy = False

    def __init__(self, client: ReconnectingClient) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> _LineStream:  # type: ignore[override]
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        return _LineStream(self._client)


@provider(ILogObserver)
def _nobody(event: LogEvent) -> None:
    """Observes nothing."""


class _Connection(ClientService):
    """ClientService logs each attempt; a program hears of them by what its requests end with."""

    _log = Logger(namespace="lumina.client", observer=_nobody)


@implementer(IStreamClientEndpoint)
class _Reporting:
    """An endpoint that tells why it failed to connect."""

    def __init__(self, endpoint: IStreamClientEndpoint, report: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._report = report

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connects, and passes the failure on after it has been told."""
        return self._endpoint.connect(factory).addErrback(self._tell)

    def _tell(self, failure: Failure) -> Failure:
        self._report(_sentence(failure))
        return failure
