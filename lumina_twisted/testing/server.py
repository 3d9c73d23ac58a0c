"""The real line front-end in memory, and real clients of it, floor 4."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from lumina_twisted.client import LuminaModbusClient
from lumina_twisted.frontends.line import LineFactory, LineOptions
from lumina_twisted.testing.listener import memory_context
from lumina_twisted.testing.ports import MemoryPort, MemoryPorts


class MemoryServer:
    """The real line front-end over ports in memory, and clients that are connected to it without a socket.

    :param ports: what it serves; one :class:`MemoryPort` if none is given.
    :param options: those of a line listener, as ``max_connections=2``.
    """

    def __init__(self, *ports: MemoryPort, **options: Any) -> None:
        self.clock = Clock()
        self.ports = MemoryPorts(*(ports or (MemoryPort(),)))
        self.factory = LineFactory(LineOptions(**options), memory_context(self.ports, self.clock))
        self.refuses = False
        """Whether it is away: who connects is refused."""
        self._connections: list[_Pipe] = []

    def client(self, **options: Any) -> LuminaModbusClient:
        """A client of it; it connects when it is first used. Its time is ``clock``."""
        return LuminaModbusClient(
            endpoint=_MemoryEndpoint(self), reactor=self.clock, now=self.clock.seconds, **options
        )

    def lose_connections(self) -> None:
        """All of them end at once, as when the server is killed."""
        connections, self._connections = self._connections, []
        for one in connections:
            one.lose()

    def _connect(self, factory: IProtocolFactory) -> Any:
        pipe = _Pipe(factory.buildProtocol(_ADDRESS), self.factory.buildProtocol(_ADDRESS), self.clock)
        self._connections.append(pipe)
        pipe.open()
        return pipe.client


_ADDRESS = IPv4Address("TCP", "127.0.0.1", 8888)


@implementer(IStreamClientEndpoint)
class _MemoryEndpoint:
    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        if self._server.refuses:
            return fail(ConnectionRefusedError())
        return succeed(self._server._connect(factory))


class _Pipe:
    """Both ends of one connection. What one end writes the other gets, in order and one after the other."""

    def __init__(self, client: Any, server: Any, clock: Clock) -> None:
        self.client = client
        self.server = server
        self._bytes: deque[tuple[Any, bytes]] = deque()
        self._clock = clock
        self._is_delivering = True  # until both ends are there
        self._is_open = True

    def open(self) -> None:
        """Connects both ends."""
        self.server.makeConnection(_Transport(self, self.client))
        self.client.makeConnection(_Transport(self, self.server))
        self._deliver()

    def write(self, to: Any, data: bytes) -> None:
        """Delivers ``data``, after what is being delivered."""
        self._bytes.append((to, data))
        if not self._is_delivering:
            self._deliver()

    def close(self) -> None:
        """Ends it when what was written has been delivered, and whoever closed it has returned."""
        self._clock.callLater(0, self.lose)

    def lose(self) -> None:
        """Ends it now."""
        if self._is_open:
            self._is_open = False
            for end in (self.server, self.client):
                end.connectionLost(Failure(ConnectionDone()))

    def _deliver(self) -> None:
        self._is_delivering = True
        while self._bytes and self._is_open:
            end, data = self._bytes.popleft()
            end.dataReceived(data)
        self._is_delivering = False


class _Transport:
    """One end's side of a pipe."""

    def __init__(self, pipe: _Pipe, peer: Any) -> None:
        self._pipe = pipe
        self._peer = peer
        self.disconnecting = False

    def write(self, data: bytes) -> None:
        if not self.disconnecting:
            self._pipe.write(self._peer, data)

    def loseConnection(self) -> None:
        self.disconnecting = True
        self._pipe.close()

    abortConnection = loseConnection

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Nothing waits in memory."""

    def unregisterProducer(self) -> None:
        """See :meth:`registerProducer`."""

    def pauseProducing(self) -> None:
        """See :meth:`registerProducer`."""

    def getPeer(self) -> IPv4Address:
        return _ADDRESS
