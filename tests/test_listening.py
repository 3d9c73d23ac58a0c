"""Who listens to a port: told in order, before the callers, whatever else who listens does."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.bus.events import Sample
from lumina_twisted.errors import ModbusException, OutcomeUnknown, RequestError, ResponseTimeout
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.ports.service import PortService
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.testing import MemoryPort
from tests.bus.world import read, reply_to, sample_of, write

ME, YOU = Caller("me"), Caller("you")

READ = read(1, 5)[1:-2]
WRITE = write(1, 5)[1:-2]


class Terminal:
    """A transport that keeps the frames."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send_frame(self, data: bytes, serial: object) -> None:
        """It is sent."""
        self.frames.append(data)


class OpenPort(SynchronousTestCase):
    """A port whose bus is this test."""

    def setUp(self) -> None:
        self.clock = Clock()
        settings = PortSettings(path="/dev/nowhere", echo="off", timeout=0.1, retries=0, baudrate=115200)
        self.port = PortService("boiler", settings, self.clock, self.clock.seconds)
        self.protocol = self.port._protocol
        self.terminal = Terminal()
        self.protocol.makeConnection(self.terminal)
        self.told: list[Any] = []
        self.addCleanup(self.protocol.close)
        self.clock.advance(1.0)

    def ask(self, pdu: bytes = READ, unit: int = 1, client: Caller = ME) -> None:
        deferred = self.port.request(client, unit, pdu, Terms(1.0))
        deferred.addBoth(lambda outcome: self.told.append("ended"))

    def answer(self) -> None:
        """To the frame that is on the wire."""
        self.clock.pump([0.001] * 20)
        self.protocol.dataReceived(reply_to(self.terminal.frames[-1]))

    def listen(self, name: str) -> Any:
        return self.port.listen(lambda sample: self.told.append((name, sample.request[2])))


class Listening(OpenPort):
    """``listen``."""

    def test_before_its_caller(self) -> None:
        self.port.listen(self.told.append)
        self.ask()
        self.answer()
        sample, ended = self.told
        self.assertEqual(sample[:3], (1, READ, reply_to(read(1, 5))[1:-2]))
        self.assertEqual((sample.is_read, sample.is_proven, ended), (True, True, "ended"))
        self.assertAlmostEqual(sample.sampled_after, 1.0 + 8 * 11 / 115200)

    def test_a_write_in_doubt(self) -> None:
        """Before its caller too, and when nobody waits any more."""
        self.port.listen(self.told.append)
        self.ask(WRITE)
        self.clock.pump([0.01] * 100)
        self.assertEqual((self.told[0].is_proven, self.told[1:]), (False, ["ended"]))

    def test_one_that_raises(self) -> None:
        """It is logged, and harms neither the others nor the caller."""
        self.port.listen(lambda sample: 1 / 0)
        self.listen("b")
        self.ask()
        self.answer()
        self.assertEqual(self.told, [("b", 5), "ended"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_until_it_ends(self) -> None:
        """While nobody listens nothing is kept."""
        self.assertIsNone(self.port._bus._samples)
        ends = [self.listen("a"), self.listen("b")]
        for end, told in zip([*ends, lambda: None], (["a", "b"], ["b"], []), strict=True):
            self.ask()
            self.answer()
            self.assertEqual([one[0] for one in self.told if one != "ended"], told)
            self.told.clear()
            end()
        self.assertIsNone(self.port._bus._samples)

    def test_one_that_asks(self) -> None:
        """Each sample is told to all before the next, and all before the callers; what it asks goes at once."""
        asks = [True]

        def asking(sample: Sample) -> None:
            self.told.append(("a", sample.request[2]))
            if asks:
                asks.pop()
                self.ask(read(2, 9)[1:-2], 2, Caller("listener"))

        self.port.listen(asking)
        self.listen("b")
        self.ask(READ)
        self.clock.pump([0.001] * 20)
        frame = self.terminal.frames[-1]
        self.protocol._bus.receive_data(reply_to(frame), self.clock.seconds())
        self.protocol._bus.events.insert(1, sample_of(read(1, 6), b"", 0.0, is_read=True))
        self.protocol._pump()
        self.assertEqual(self.told, [("a", 5), ("b", 5), ("a", 6), ("b", 6), "ended"])
        self.clock.pump([0.001] * 5)
        self.assertEqual(self.terminal.frames[-1], read(2, 9))
        self.answer()
        self.assertEqual(self.told[5:], [("a", 9), ("b", 9), "ended"])


class Metering(OpenPort):
    """``used_by`` and ``cost_of``; the rest is in test_metering."""

    def test_used(self) -> None:
        self.port.meter(ME)
        self.assertEqual(self.port.used_by(ME), 0.0)
        self.ask()
        self.answer()
        self.assertAlmostEqual(self.port.used_by(ME), 0.02)
        self.assertEqual(self.port.used_by(YOU), 0.0)

    def test_cost(self) -> None:
        characters = 8 + 7 + 1.75e-3 * 115200 / 11
        self.assertAlmostEqual(self.port.cost_of(1, READ), characters * 11 / 115200)
        self.ask()
        self.answer()
        self.assertAlmostEqual(self.port.cost_of(1, READ), 0.02 + 1.75e-3)
        self.assertLess(self.port.cost_of(2, READ), 0.02)

    def test_cost_of_nonsense(self) -> None:
        self.assertRaises(RequestError, self.port.cost_of, 1, b"")


class InMemory(SynchronousTestCase):
    """The double tells the same."""

    def setUp(self) -> None:
        self.port = MemoryPort(devices={1: SimulatedDevice()}, now=lambda: 7.0)
        self.told: list[Any] = []
        self.end = self.port.listen(self.told.append)

    def ask(self, pdu: bytes, unit: int = 1) -> Any:
        return self.port.request(ME, unit, pdu, Terms(1.0))

    def test_replies(self) -> None:
        for pdu, is_reading in ((READ, True), (WRITE, False)):
            reply = self.successResultOf(self.ask(pdu))
            self.assertEqual(self.told.pop(), Sample(1, pdu, reply, 7.0, is_reading))

    def test_before_its_caller(self) -> None:
        ended = self.ask(READ, 2)
        ended.addCallback(self.told.append)
        self.port.waiting[0].end(reply_to(read(2, 5)))
        self.assertEqual([type(one) for one in self.told], [Sample, bytes])

    def test_no_reply(self) -> None:
        self.port.script = [None]
        self.failureResultOf(self.ask(READ), ResponseTimeout)
        self.assertEqual(self.told, [])
        for outcome in (None, OutcomeUnknown("gone")):
            self.port.script = [outcome]
            self.failureResultOf(self.ask(WRITE), OutcomeUnknown)
            self.assertEqual(self.told.pop(), sample_of(write(1, 5), b"", 7.0, is_read=False, is_proven=False))

    def test_an_exception(self) -> None:
        self.failureResultOf(self.ask(read(1, 65535, 9)[1:-2]), ModbusException)
        self.port.script = [encode_adu(1, b"\x83\x02")]
        self.successResultOf(self.ask(READ))
        self.assertEqual(self.told, [])

    def test_a_broadcast(self) -> None:
        self.port.script = [b""]
        self.successResultOf(self.ask(WRITE, 0))
        self.assertEqual(self.told, [sample_of(write(0, 5), b"", 7.0, is_read=False, is_proven=False)])

    def test_its_caller_is_gone(self) -> None:
        ended = self.ask(READ, 2)
        (asked,) = self.port.waiting
        ended.addErrback(lambda failure: None)
        ended.cancel()
        asked.end(reply_to(read(2, 5)))
        self.assertEqual([(one.unit, one.request) for one in self.told], [(2, READ)])

    def test_until_it_ends(self) -> None:
        self.end()
        self.ask(READ)
        self.assertEqual(self.told, [])

    def test_figures(self) -> None:
        """They are the test's to say."""
        self.port.meter(ME)
        self.assertEqual((self.port.used_by(ME), self.port.cost_of(1, READ)), (0.0, 0.0))
        self.port.used[ME], self.port.cost = 1.5, 0.02
        self.assertEqual((self.port.used_by(ME), self.port.cost_of(1, READ)), (1.5, 0.02))
