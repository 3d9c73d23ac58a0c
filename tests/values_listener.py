"""The real value front-end on a real socket, before values in memory."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.trial.unittest import TestCase

from lumina_twisted.devices.interfaces import PointDescription
from lumina_twisted.frontends.plugin import Context
from lumina_twisted.frontends.values.client import ValuesFrontEnd, ValuesOptions
from lumina_twisted.testing import MemoryPorts, MemoryValues

reactor: Any = global_reactor
FLOW = PointDescription(
    name="boiler.flow", type="i16", unit_of_measure="°C", summary="Flow temperature", device="boiler",
    port="demo1", unit=1,
)
SET = PointDescription(
    name="boiler.set", type="i16", unit_of_measure="°C", writable=True, low=10, high=80, summary="Set point",
    device="boiler", port="demo1", unit=1,
)
MODE = PointDescription(
    name="boiler.mode", type="u16", writable=True, words=("off", "eco", "on"), device="boiler", port="demo1", unit=1
)
POWER = PointDescription(name="meter.power", type="f32", unit_of_measure="kW", device="meter", port="demo2", unit=3)


def some_values() -> MemoryValues:
    """A boiler and a meter that nobody has read yet."""
    return MemoryValues(
        {"boiler.flow": 54.5, "boiler.set": 60.0, "boiler.mode": "eco", "meter.power": None}, FLOW, SET, MODE, POWER,
        configs={"boiler": {"poll": 1.0, "points": {"flow": {"dead_band": 0.5}}}},
    )


class ValuesCase(TestCase):
    """One listener."""

    def setUp(self) -> None:
        self.values = some_values()
        ports: Any = MemoryPorts()
        context = Context(
            buses=ports, reactor=reactor, now=time.monotonic, stamp=time.time, log=Logger("lumina.values"),
            values=self.values,
        )
        self.listener = ValuesFrontEnd().build(ValuesOptions(configure=True), context)
        listening = reactor.listenTCP(0, self.listener, interface="127.0.0.1")
        self.tcp_port: int = listening.getHost().port
        self.addCleanup(listening.stopListening)
        self.addCleanup(self._part)

    def _part(self) -> Any:
        """From clients, some of which may wait for an answer that a test never gave."""
        for client in tuple(self.listener._clients):
            client.cut()
        return self.listener.drain()

    def in_thread(self, function: Any, *args: Any) -> Any:
        """Runs what has a loop of its own, while the listener goes on."""
        return deferToThread(function, *args)

    def tell(self, name: str, value: Any) -> None:
        """A device says this now; may be called from any thread."""
        reactor.callFromThread(self.values.tell, name, value)
