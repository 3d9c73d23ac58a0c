"""The line front-end, floor 4: a listener of the text protocol and all its clients."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from lumina_twisted.errors import RequestError
from lumina_twisted.frontends.line_client import LineProtocol
from lumina_twisted.frontends.line_options import LineOptions
from lumina_twisted.ports.interfaces import Port, Ports

__all__ = ["LineFactory", "LineOptions", "LineProtocol"]


class LineFactory(Factory):
    """A line listener and its clients.

    :param ports: what its commands may name.
    :param clock: cuts connections that will not close.
    :param stamp: the time of day, in seconds since 1970.
    """

    noisy = False

    def __init__(self, options: LineOptions, ports: Ports, clock: IReactorTime, stamp: Callable[[], float]) -> None:
        self.options = options
        self.ports = ports
        self.clock = clock
        self.stamp = stamp
        self.lines = 0
        self.errors = 0
        self._clients: set[LineProtocol] = set()
        self._stopping = False
        self._drained: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> LineProtocol:  # type: ignore[override]
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        return LineProtocol(self)

    def find(self, text: str) -> Port:
        """The port that a command means.

        :raises RequestError: with a sentence that says which there are.
        """
        if text or (text := self.options.port):
            return self.ports.find(text)
        for port in self.ports:
            return port
        raise RequestError("no port is configured")

    def admit(self, client: LineProtocol) -> str | None:
        """Takes a client in, or says why not, token first."""
        if self._stopping:
            return "stopping the service is stopping"
        if len(self._clients) >= self.options.max_connections:
            return f"overloaded {len(self._clients)} clients are connected, and no more may be; try again later"
        self._clients.add(client)
        return None

    def forget(self, client: LineProtocol) -> None:
        """A client's connection has ended."""
        self._clients.discard(client)
        if not self._clients:
            waiting, self._drained = self._drained, []
            for deferred in waiting:
                deferred.callback(None)

    def counts(self) -> dict[str, int]:
        """What ``stats`` tells about this listener."""
        return {"clients": len(self._clients), "lines": self.lines, "errors": self.errors}

    def drain(self) -> Deferred[None]:
        """Asks nothing more of any port; each client is closed when the last of its answers is written.

        Every port must be stopping, for what waits there ends only with it.

        :return: a Deferred that fires with None when no connection is left; it does not fail.
        """
        self._stopping = True
        if not self._clients:
            return succeed(None)
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        for client in list(self._clients):
            client.drain()
        return drained
