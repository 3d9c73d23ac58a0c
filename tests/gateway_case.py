"""A listener of a front-end that speaks Modbus itself, with ports in memory and clients without a socket."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.config.protocols import front_ends, listener_class
from lumina_twisted.frontends.plugin import Context
from lumina_twisted.testing import MemoryPort, MemoryPorts

__all__ = ["GatewayCase", "Wire"]


class Wire(StringTransport):
    """What a connection is given. Whoever holds it reads and empties it with :meth:`take`."""

    aborted = False

    def take(self) -> bytes:
        """What was written since the last time."""
        written: bytes = self.value()
        self.clear()
        return written

    def abortConnection(self) -> None:
        """See :class:`twisted.internet.interfaces.ITCPTransport`."""
        self.aborted = True
        self.loseConnection()


class GatewayCase(SynchronousTestCase):
    """Ports ``boiler`` and ``pv`` in memory, and a listener before them."""

    protocol = "modbus-tcp"
    endpoint = "tcp:0:interface=127.0.0.1"

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.start()

    def tearDown(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])

    def context(self) -> Context:
        """What the front-end is given."""
        return Context(
            ports=MemoryPorts(self.boiler, self.pv), reactor=self.clock, now=self.clock.seconds, stamp=lambda: 0.0,
            log=Logger(f"lumina.{self.protocol}"),
        )

    def start(self, *, devices: Any = None, **options: Any) -> None:
        """A new listener."""
        self.clock = Clock()
        self.boiler = MemoryPort("boiler", "/dev/ttyUSB0", devices)
        self.pv = MemoryPort("pv", "/dev/ttyUSB1")
        settings = listener_class(self.protocol)(endpoint=self.endpoint, **options)
        self.service: Any = front_ends()[self.protocol].make(settings, self.context())

    def connect(self) -> tuple[Any, Wire]:
        """A client of a stream listener."""
        protocol, wire = self.service.factory.buildProtocol(None), Wire()
        protocol.makeConnection(wire)
        return protocol, wire

    def logged(self) -> str:
        """All that was logged, as a person reads it."""
        return "\n".join(str(event["log_format"]).format(**event) for event in self.events if event.get("log_format"))


