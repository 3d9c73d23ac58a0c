"""Any front-end over streams, before ports in memory, floor 4: for whoever writes a protocol."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger
from twisted.python.failure import Failure

from lumina_twisted.devices.interfaces import Values
from lumina_twisted.frontends.context import Context
from lumina_twisted.frontends.listener import Listener
from lumina_twisted.frontends.plugin import StreamFrontEnd
from lumina_twisted.ports.interfaces import Ports
from lumina_twisted.testing.ports import MemoryPort, MemoryPorts


def memory_context(
    ports: Ports, clock: Any, name: str = "line", stamp: float = 1732467890.1234, values: Values | None = None
) -> Context:
    """What a front-end is given, where time passes when ``clock.advance`` says so."""
    return Context(
        buses=ports, reactor=clock, now=clock.seconds, stamp=lambda: stamp, log=Logger(f"lumina.{name}"),
        values=values, name=name,
    )


class MemoryListener:
    """A listener of a front-end, without a socket.

    :param front_end: an instance of the plugin's class.
    :param ports: what it may ask; one :class:`MemoryPort` if none is given.
    :param values: those it may ask for, such as :class:`~lumina_twisted.testing.values.MemoryValues`.
    :param options: those of the front-end, as ``readonly=True``.
    """

    def __init__(
        self, front_end: StreamFrontEnd, *ports: MemoryPort, values: Values | None = None, **options: Any
    ) -> None:
        self.clock = Clock()
        self.ports = MemoryPorts(*(ports or (MemoryPort(),)))
        context = memory_context(self.ports, self.clock, front_end.name, values=values)
        self.factory: Any = front_end.build(front_end.options(**options), context)

    def connect(self) -> MemoryConnection:
        """A client."""
        return MemoryConnection(self.factory.buildProtocol(None))

    def drain(self) -> Deferred[None]:
        """What the service does when it stops."""
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
        """Sends bytes, and gives those that came back at once."""
        self.protocol.dataReceived(data)
        return self.received()

    def received(self) -> bytes:
        """What came since it was last looked at; turns of the reactor that need no time are over."""
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
        """Whether it did so without waiting until all was written."""
        return self._transport.aborted

    def leave(self) -> None:
        """The client goes."""
        self.protocol.connectionLost(Failure(ConnectionDone()))
