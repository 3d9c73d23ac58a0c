"""Lumina's own ports on a simulated bus: both ends of the wire are ours, and they understand each other."""

from __future__ import annotations

import os
import pathlib
import re
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.config.demo import DemoService, hints
from lumina_twisted.errors import IllegalDataAddress, OutcomeUnknown, PortClosed, ResponseTimeout
from lumina_twisted.framing.rtu import encode_adu, t3_5, wire_time
from lumina_twisted.lineproto import parse_command
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.interfaces import Port
from lumina_twisted.ports.pool import PortPool
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.simulator.bus import SimulatedBus
from lumina_twisted.simulator.device import SimulatedDevice

ME = Caller("me")

READ = bytes.fromhex("0300050002")
ANSWER_PDU = bytes.fromhex("030400070008")
ANSWER = encode_adu(1, ANSWER_PDU)
WRITE = bytes.fromhex("0600050063")


class SimulatedBusTestCase(TestCase):
    """A bus with unit 1 at 9600 baud and a port that leads to it; nothing is left of them."""

    timeout = 20

    def setUp(self) -> None:
        self.path = str(pathlib.Path(self.mktemp()).absolute())
        self.device = SimulatedDevice()
        self.device.holding_registers[5:7] = [7, 8]

    def bus(self, **options: Any) -> SimulatedBus:
        """A plugged bus."""
        bus = SimulatedBus(reactor, {1: self.device}, self.path, time.monotonic, **options)
        self.addCleanup(bus.stop)
        return bus

    def port(self, **options: Any) -> Port:
        """A port that is being opened."""
        return self.pool(bus=PortSettings(**{"path": self.path, "echo": "off", "retries": 0, **options})).find("bus")

    def pool(self, **ports: PortSettings) -> PortPool:
        """The ports as the daemon has them."""
        pool = PortPool(ports, reactor, time.monotonic)
        pool.startService()
        self.addCleanup(pool.stopService)
        return pool


class PortOnSimulatedBus(SimulatedBusTestCase):
    """Requests through a port."""

    async def test_read_write_read(self) -> None:
        self.bus()
        port = self.port()
        self.assertEqual(await port.request(ME, 1, READ, Terms(5)), ANSWER_PDU)
        self.assertEqual(await port.request(ME, 1, WRITE, Terms(5)), WRITE)
        self.assertEqual(self.device.holding_registers[5], 0x63)

    async def test_exception(self) -> None:
        self.bus()
        asked = self.port().request(ME, 1, bytes.fromhex("03ffff0001"), Terms(5))
        await self.assertFailure(asked, IllegalDataAddress)

    async def test_replies_whose_length_the_reply_tells(self) -> None:
        """Loop-back of any length, server id and identification."""
        self.bus()
        port = self.port()
        for text in ("08000001020304", "11", "2b0e0100"):
            pdu = bytes.fromhex(text)
            self.assertEqual(
                await port.request(ME, 1, pdu, Terms(5)), self.device.answer(pdu, 0.0), text
            )

    async def test_broadcast(self) -> None:
        """Obeyed by the time of the next request, which waits for the turnaround delay."""
        self.bus()
        port = self.port()
        self.assertEqual(await port.request(ME, 0, WRITE, Terms(5)), b"")
        answer = await port.request(ME, 1, READ, Terms(5))
        self.assertEqual(answer, bytes.fromhex("030400630008"))

    async def test_it_takes_the_time_of_the_wire(self) -> None:
        """At least; how much longer is the machine's affair."""
        self.bus()
        port, began = self.port(), time.monotonic()
        await port.request(ME, 1, READ, Terms(5))
        self.assertGreaterEqual(time.monotonic() - began, wire_time(9600, 8 + len(ANSWER)) + t3_5(9600))

    async def test_another_speed_is_silence(self) -> None:
        """The same port reaches the unit when a request brings the right speed."""
        bus, port = self.bus(), self.port(baudrate=19200, timeout=0.1)
        await self.assertFailure(port.request(ME, 1, READ, Terms(5)), ResponseTimeout)
        right = SerialSettings(baudrate=9600)
        self.assertEqual(await port.request(ME, 1, READ, Terms(5, serial=right)), ANSWER_PDU)
        self.assertEqual([one.baudrate for one in bus.heard if one.data[1] != 8], [19200, 9600])

    async def test_echo(self) -> None:
        """A write is proven by its reply, not by its echo."""
        self.bus(echo=True)
        port = self.port(echo="on", timeout=0.1)
        self.assertEqual(await port.request(ME, 1, READ, Terms(5)), ANSWER_PDU)
        self.assertEqual(await port.request(ME, 1, WRITE, Terms(5)), WRITE)
        await self.assertFailure(port.request(ME, 2, WRITE, Terms(5)), OutcomeUnknown)

    async def test_unplug_and_replug(self) -> None:
        bus, port = self.bus(), self.port()
        self.assertEqual(await port.request(ME, 1, READ, Terms(5)), ANSWER_PDU)
        bus.unplug()
        while port.describe().state == "open":
            await deferLater(reactor, 0.01)
        await self.assertFailure(port.request(ME, 1, READ, Terms(5)), PortClosed)
        bus.replug()
        while port.describe().state != "open":
            await deferLater(reactor, 0.01)
        self.assertEqual(await port.request(ME, 1, READ, Terms(5)), ANSWER_PDU)

    async def test_script(self) -> None:
        """A foreign frame, a corrupt one and then the answer in two pieces: only the answer is taken."""
        foreign, corrupt = encode_adu(9, bytes.fromhex("030400010002")), ANSWER[:-1] + bytes((ANSWER[-1] ^ 1,))
        pieces = [(0.02, foreign), (0.06, corrupt), (0.10, ANSWER[:4]), (0.12, ANSWER[4:])]
        bus = self.bus(script=lambda frame: pieces)
        self.assertEqual(await self.port(timeout=5.0).request(ME, 1, READ, Terms(10)), ANSWER_PDU)
        self.assertEqual(len(bus.heard), 1)


class DescriptorTests(SimulatedBusTestCase):
    """Nothing stays open, whatever becomes of the link."""

    def open_descriptors(self) -> int:
        """How many this process has."""
        return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))

    def test_link_that_somebody_removed(self) -> None:
        before, bus = self.open_descriptors(), self.bus()
        os.unlink(self.path)
        bus.unplug()
        self.assertEqual(self.open_descriptors(), before)

    def test_path_that_is_taken(self) -> None:
        pathlib.Path(self.path).touch()
        before = self.open_descriptors()
        self.assertRaises(FileExistsError, self.bus)
        self.assertEqual(self.open_descriptors(), before)

    def test_replug_of_what_is_plugged(self) -> None:
        bus = self.bus()
        before = self.open_descriptors()
        bus.replug()
        self.assertEqual(self.open_descriptors(), before)


class DemoPorts(SimulatedBusTestCase):
    """The demo behind its own port settings."""

    async def test_answers_are_those_that_it_tells(self) -> None:
        """Each fixed answer is to the letter what comes back."""
        demo = DemoService(reactor)
        demo.startService()
        self.addCleanup(demo.stopService)
        ports = self.pool(**demo.ports)
        told = re.findall(r"printf '(1:.*?)\\n'.*\n  # 1:([0-9A-F]+):TIME", hints())
        self.assertEqual(len(told), 2)
        for line, answer in told:
            command = parse_command(line.encode())
            asked = ports.find(command.port).request(ME, command.unit, command.pdu, Terms(5))
            self.assertEqual(encode_adu(command.unit, await asked).hex().upper(), answer)
