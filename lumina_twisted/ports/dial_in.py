"""A bus behind a listening socket, floor 2: the converter dials in."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lumina_twisted.errors import PortError
from lumina_twisted.ports.settings import SocketAddress, peer_of
from lumina_twisted.ports.tcp import BusSocket, Link

COMES_AGAIN: Final = 2.0
"""Seconds in which a converter may dial in again after its connection ended; then the waiting requests fail."""
_log: Final = Logger(namespace="lumina.port")
_REMEDIES: Final = {
    errno.EADDRINUSE: "another program listens there, or a listener of ours; stop it, or take another TCP port",
    errno.EACCES: "take a TCP port from 1024 up, or let Lumina have this one (CAP_NET_BIND_SERVICE)",
}


@implementer(IStreamClientEndpoint)
class DialInEndpoint(Factory):
    """Listens for a converter. The newest connection is the bus: a converter that connects again no longer knows its
    previous connection.

    :param tell: called with a sentence that says why there is no bus.
    """

    noisy = False

    def __init__(self, reactor: Any, link: Link, tell: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._link = link
        self._address = link.address
        self._tell = tell
        self._listening: Any = None
        self._wanted: tuple[IProtocolFactory, Deferred[IProtocol]] | None = None
        self._current: BusSocket | None = None
        self._next: _Newcomer | None = None
        self._was_there = False
        self._patience: IDelayedCall | None = None

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Waits for the next connection, or takes one that has arrived already.

        :return: a Deferred that fires with the factory's protocol, whose transport has ``send_frame``; or fails with
            :class:`~lumina_twisted.errors.PortError` if nobody can listen there.
        """
        if self._listening is None:
            try:
                self._listening = self._reactor.listenTCP(self._address.tcp_port, self, interface=self._address.host)
            except CannotListenError as error:
                return fail(PortError(_why_no_listening(self._address, error.socketError)))
        if self._next is not None:
            newcomer, self._next = self._next, None
            return succeed(self._hand_over(newcomer, factory))
        if self._was_there:
            self._patience = self._reactor.callLater(COMES_AGAIN, self._tell_nobody)
        else:
            self._tell_nobody()
        waiting: Deferred[IProtocol] = Deferred(self._cancelled)
        self._wanted = factory, waiting
        return waiting

    def close(self) -> Deferred[None]:
        """Stops listening.

        :return: a Deferred that fires with None when that is done.
        """
        listening, self._listening = self._listening, None
        self._was_there = False
        if self._next is not None:
            self._next.transport.abortConnection()
        return succeed(None) if listening is None else maybeDeferred(listening.stopListening)

    def buildProtocol(self, addr: IAddress | None) -> _Newcomer:  # type: ignore[override]
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        return _Newcomer(self)

    def arrived(self, newcomer: _Newcomer) -> None:
        """A connection has arrived."""
        self._log_peer(newcomer)
        if self._wanted is not None:
            (factory, waiting), self._wanted = self._wanted, None
            self._tell_no_more()
            waiting.callback(self._hand_over(newcomer, factory))
            return
        if self._next is not None:
            self._next.transport.abortConnection()
        self._next = newcomer
        if self._current is not None:
            self._current.cut("a newer connection took its place")

    def left(self, newcomer: _Newcomer) -> None:
        """A connection ended before it became the bus."""
        if self._next is newcomer:
            self._next = None

    def _log_peer(self, newcomer: _Newcomer) -> None:
        peer, place = peer_of(newcomer.transport), str(self._address)
        replaces = self._current is not None or self._next is not None
        then = " and takes the place of the one before" if replaces else ""
        fold = "dialled in", place, peer.rpartition(":")[0], replaces
        _log.info("{peer} dialled in on {place}{then}", peer=peer, place=place, then=then, fold=fold)

    def _hand_over(self, newcomer: _Newcomer, factory: IProtocolFactory) -> IProtocol:
        bus: Any = factory.buildProtocol(newcomer.transport.getPeer())
        self._was_there = True
        self._current = self._link.socket(bus, self._ended)
        newcomer.become(self._current)
        made: IProtocol = bus
        return made

    def _ended(self, it: BusSocket) -> None:
        if self._current is it:
            self._current = None

    def _cancelled(self, _: object) -> None:
        self._wanted = None
        self._tell_no_more()

    def _tell_nobody(self) -> None:
        self._was_there, self._patience = False, None
        self._tell(f"nobody has dialled in on {self._address} yet; the converter is to connect to this machine")

    def _tell_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _why_no_listening(address: SocketAddress, error: OSError) -> str:
    remedy = _REMEDIES.get(error.errno or 0, f"is {address.host or 'this'} an address of this machine?")
    return f"cannot listen on {address} ({error.strerror or error}); {remedy}"


class _Newcomer(Protocol):
    """A connection that is not the bus yet."""

    transport: Any

    def __init__(self, endpoint: DialInEndpoint) -> None:
        self._endpoint = endpoint
        self._it: BusSocket | None = None

    def become(self, it: BusSocket) -> None:
        """Makes this connection the bus."""
        self._it = it
        it.makeConnection(self.transport)

    def connectionMade(self) -> None:
        """The connection is there."""
        self._endpoint.arrived(self)

    def dataReceived(self, data: bytes) -> None:
        """Passes bytes to the bus. Bytes that arrive before this connection is the bus are dropped. They are no reply,
        but for example the converter's introduction."""
        if self._it is not None:
            self._it.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has ended."""
        if self._it is not None:
            self._it.connectionLost(reason)
        else:
            self._endpoint.left(self)
