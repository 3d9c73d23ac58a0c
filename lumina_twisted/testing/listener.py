"""Front-ends over ports in memory, floor 4. Authors of protocols send a client's bytes to any front-end; authors of
programs use the line front-end with its real clients."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lumina_twisted.client import LuminaModbusClient
from lumina_twisted.devices.interfaces import Values
from lumina_twisted.frontends.line.client import LineFactory, LineOptions
from lumina_twisted.frontends.listener import Listener
from lumina_twisted.frontends.plugin import Context, StreamFrontEnd
from lumina_twisted.ports.interfaces import Ports
from lumina_twisted.testing.ports import MemoryPort, MemoryPorts


def memory_context(
    ports: Ports, clock: Any, name: str = "line", stamp: float = 1732467890.1234, values: Values | None = None
) -> Context:
    """The context of a front-end whose time passes only when a test calls ``clock.advance``."""
    return Context(
        buses=ports, reactor=clock, now=clock.seconds, stamp=lambda: stamp, log=Logger(f"lumina.{name}"),
        values=values, name=name,
    )


class MemoryListener:
    """A listener of a front-end, without a socket.

    :param front_end: an instance of the plugin's class.
    :param ports: its ports; one :class:`MemoryPort` if none is given.
    :param values: its values, such as :class:`~lumina_twisted.testing.values.MemoryValues`.
    :param options: options of the front-end, such as ``readonly=True``.
    """

    def __init__(
        self, front_end: StreamFrontEnd, *ports: MemoryPort, values: Values | None = None, **options: Any
    ) -> None:
        self.clock = Clock()
        self.ports = MemoryPorts(*(ports or (MemoryPort(),)))
        context = memory_context(self.ports, self.clock, front_end.name, values=values)
        self.factory: Any = front_end.build(front_end.options(**options), context)

    def connect(self) -> MemoryConnection:
        """Connects a client."""
        return MemoryConnection(self.factory.buildProtocol(None))

    def drain(self) -> Deferred[None]:
        """Drains the listener, as the service does when it stops."""
        drained: Deferred[None] = self.factory.drain()
        return drained


class _Transport(StringTransport):  # type: ignore[misc]
    aborted = False

    def abortConnection(self) -> None:
        """See :class:`twisted.internet.interfaces.ITCPTransport`."""
        self.aborted = True
        self.loseConnection()


class MemoryConnection:
    """A client's side of a connection.

    :param protocol: the server's side.
    """

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self._transport = _Transport()
        protocol.makeConnection(self._transport)

    def send(self, data: bytes) -> bytes:
        """Sends bytes, and returns the bytes that came back at once."""
        self.protocol.dataReceived(data)
        return self.received()

    def received(self) -> bytes:
        """The bytes that came since the last call. It first runs the reactor turns that need no time."""
        listener = getattr(self.protocol, "listener", None)
        while isinstance(listener, Listener) and len(listener.pacer):
            listener.clock.advance(0)  # type: ignore[attr-defined]
        data: bytes = self._transport.value()
        self._transport.clear()
        return data

    @property
    def is_closed(self) -> bool:
        """Whether the front-end has ended the connection."""
        return bool(self._transport.disconnecting)

    @property
    def was_cut(self) -> bool:
        """Whether it aborted the connection, without waiting until all bytes were written."""
        return self._transport.aborted

    def leave(self) -> None:
        """The client leaves."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


class MemoryServer:
    """The real line front-end over ports in memory, and clients that are connected to it without a socket.

    :param ports: its ports; one :class:`MemoryPort` if none is given.
    :param options: options of a line listener, such as ``max_connections=2``.
    """

    def __init__(self, *ports: MemoryPort, **options: Any) -> None:
        self.clock = Clock()
        self.ports = MemoryPorts(*(ports or (MemoryPort(),)))
        self.factory = LineFactory(LineOptions(**options), memory_context(self.ports, self.clock))
        self.refuses = False
        """Whether the server is away: it refuses connections."""
        self._connections: list[_Pipe] = []

    def client(self, **options: Any) -> LuminaModbusClient:
        """A client of this server. It connects when it is first used, and uses ``clock``."""
        return LuminaModbusClient(
            endpoint=_MemoryEndpoint(self), reactor=self.clock, now=self.clock.seconds, **options
        )

    def lose_connections(self) -> None:
        """Ends all connections at once, as when the server is killed."""
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
    """Both ends of one connection. Each end receives what the other writes, in order and one piece at a time."""

    def __init__(self, client: Any, server: Any, clock: Clock) -> None:
        self.client = client
        self.server = server
        self._bytes: deque[tuple[Any, bytes]] = deque()
        self._clock = clock
        self._is_delivering = True  # until both ends are connected
        self._is_open = True

    def open(self) -> None:
        """Connects both ends."""
        self.server.makeConnection(_PipeTransport(self, self.client))
        self.client.makeConnection(_PipeTransport(self, self.server))
        self._deliver()

    def write(self, to: Any, data: bytes) -> None:
        """Delivers ``data``, after the pieces that are being delivered."""
        self._bytes.append((to, data))
        if not self._is_delivering:
            self._deliver()

    def close(self) -> None:
        """Ends the connection after all written bytes are delivered, and after the caller has returned."""
        self._clock.callLater(0, self.lose)

    def lose(self) -> None:
        """Ends the connection now."""
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


class _PipeTransport:
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
        """Does nothing: the pipe has no buffer that fills."""

    def unregisterProducer(self) -> None:
        """See :meth:`registerProducer`."""

    def pauseProducing(self) -> None:
        """See :meth:`registerProducer`."""

    def getPeer(self) -> IPv4Address:
        return _ADDRESS
