"""A listener of a front-end that speaks Modbus itself, with ports in memory and clients without a socket."""

from __future__ import annotations

from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.config.listeners import front_ends
from lumina_twisted.testing import MemoryConnection, MemoryListener, MemoryPort


class GatewayCase(SynchronousTestCase):
    """Ports ``boiler`` and ``pv`` in memory, and a listener before them."""

    protocol = "modbus-tcp"

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.start()

    def tearDown(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])

    def start(self, *, devices: Any = None, **options: Any) -> None:
        """A new listener."""
        self.boiler = MemoryPort("boiler", "/dev/ttyUSB0", devices)
        self.pv = MemoryPort("pv", "/dev/ttyUSB1")
        front_end: Any = front_ends()[self.protocol]
        self.listener = MemoryListener(front_end, self.boiler, self.pv, **options)
        self.clock = self.listener.clock

    def connect(self) -> MemoryConnection:
        """A client."""
        return self.listener.connect()

    def logged(self) -> str:
        """All that was logged, as a person reads it."""
        return "\n".join(str(event["log_format"]).format(**event) for event in self.events if event.get("log_format"))
