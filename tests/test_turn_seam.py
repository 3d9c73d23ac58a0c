"""Priority and max_age, from a port's caller to its bus."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.bus.queue import Lane
from lumina_twisted.errors import RequestError
from lumina_twisted.ports.service import PortService, State
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.priority import PRIORITIES, lane_of
from lumina_twisted.testing import MemoryPort

ME = Caller("me")

READ = bytes.fromhex("0300050001")


class Lanes(SynchronousTestCase):
    """The words, and the queue's lanes."""

    def test_each_is_a_lane(self) -> None:
        self.assertEqual([lane_of(one) for one in PRIORITIES], list(Lane))
        self.assertEqual([one.name.lower() for one in Lane], list(PRIORITIES))
        self.assertEqual(lane_of(None), Lane.NORMAL)

    def test_nothing_else_is(self) -> None:
        for wrong in ("urgent", "HIGH", "", 0, ["high"]):
            told = str(self.assertRaises(RequestError, lane_of, wrong))
            self.assertIn("one of high, normal, low", told)


class Ports(SynchronousTestCase):
    """What the bus of a port is given."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.port = PortService("boiler", PortSettings(path="/dev/nowhere"), self.clock, self.clock.seconds)
        self.asked: list[Any] = []
        self.patch(self.port._bus, "submit", lambda request, now: self.asked.append(request))

    def told(self) -> list[tuple[int, float | None]]:
        return [(one.lane, one.max_age) for one in self.asked]

    def test_the_bus_is_told(self) -> None:
        self.port.request(ME, 1, READ, Terms(1.0, priority="high", max_age=2.5))
        self.port.request(ME, 1, READ, Terms(1.0, priority="low", max_age=0.0))
        self.port.request(ME, 1, READ, Terms(1.0))
        self.assertEqual(self.told(), [(Lane.HIGH, 2.5), (Lane.LOW, 0.0), (Lane.NORMAL, None)])

    def test_while_the_port_is_closing(self) -> None:
        self.port._state, self.port.running = State.CLOSING, 1
        self.port.request(ME, 1, READ, Terms(1.0, priority="low", max_age=2.5))
        self.assertEqual(self.told(), [])
        self.port.running = 0
        self.port._on_closed()
        self.assertEqual(self.told(), [(Lane.LOW, 2.5)])

    def test_a_word_that_is_none(self) -> None:
        for port in (self.port, MemoryPort()):
            failed = port.request(ME, 1, READ, Terms(1.0, priority="urgent"))  # type: ignore[arg-type]
            self.assertIn("high, normal, low", self.failureResultOf(failed, RequestError).getErrorMessage())
        self.assertEqual(self.told(), [])
