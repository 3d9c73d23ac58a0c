"""The base of all stream front-ends, floor 4: a listener with its clients, and its options.
:mod:`lumina_twisted.frontends.connection` describes a client's connection and its states.
"""

from __future__ import annotations

from typing import Annotated, Any

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from lumina_twisted.frontends.connection import DRAINING, FINISHING, GONE, LINGER, TALKING, Connection, OpenRequests
from lumina_twisted.frontends.pacing import STALLED_AFTER, Pacer
from lumina_twisted.frontends.plugin import Context
from lumina_twisted.priority import DEFAULT, MAX_AGE, Priority
from lumina_twisted.schema import Between, setting

__all__ = [
    "DRAINING", "FINISHING", "GONE", "LINGER", "TALKING", "Connection", "Listener", "ListenerOptions", "OpenRequests",
    "TurnOptions",
]


@frozen(kw_only=True, slots=False)
class ListenerOptions:
    """The limits for the clients of a stream listener."""

    max_connections: Annotated[int, Between(1, 100_000)] = setting(
        2000, "clients connected at a time; one more gets an error and is closed"
    )
    max_buffered: Annotated[int, Between(0, 1_000_000_000)] = setting(
        262144, "answers that may wait for a client that does not read, before it is dropped", unit="bytes"
    )
    idle_timeout: Annotated[float, Between(0, 1_000_000)] = setting(
        0.0, "a client that has sent nothing for so long is closed, unless it waits for an answer; 0: never", unit="s"
    )


@frozen(kw_only=True, slots=False)
class TurnOptions:
    """The lane in which the requests of a listener's clients wait, and the highest age of a value that answers them."""

    priority: Priority = setting(DEFAULT, "in which lane its clients' requests wait: high, normal, low")
    max_age: Annotated[float, Between(0, MAX_AGE)] | None = setting(
        None, "how old a value may be that answers a read of its clients; not given: what the unit or the port says",
        unit="s",
    )


class Listener(Factory):
    """A listener and its clients. A subclass sets ``protocol`` to a subclass of :class:`Connection`."""

    noisy = False

    def __init__(self, options: ListenerOptions, context: Context) -> None:
        self.options: Any = options
        self.ports = context.ports
        """The ports for protocols of other distributions; Lumina's own protocols use :attr:`buses`."""
        self.buses = context.buses
        self.name = context.name
        self.log = context.log
        self.stamp = context.stamp
        self.others = context.others
        self.clock: IReactorTime = context.reactor
        self.now = context.now
        self.pacer = Pacer(context.reactor, context.now)
        self.stalled_after = STALLED_AFTER
        self.errors = 0
        self._clients: set[Connection] = set()
        self._stopping = False
        self._drained: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        made: Any = self.protocol
        return made(self)

    def admit(self, client: Connection) -> str | None:
        """Admits a client and returns None; or returns the reason for a refusal, which begins with a token."""
        if self._stopping:
            return "stopping the service is stopping"
        if len(self._clients) >= self.options.max_connections:
            return f"overloaded {len(self._clients)} clients are connected, and no more may be; try again later"
        self._clients.add(client)
        return None

    def forget(self, client: Connection) -> None:
        """A client's connection has ended."""
        self._clients.discard(client)
        if not self._clients:
            waiting, self._drained = self._drained, []
            for deferred in waiting:
                deferred.callback(None)

    def counts(self) -> dict[str, int]:
        """The figures of this listener for ``stats``."""
        return {"clients": len(self._clients)}

    def drain(self) -> Deferred[None]:
        """Sends no more requests to any port, and closes each client when its last answer is written.

        Every port must be stopping: requests that wait at a port end only when the port stops.

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
