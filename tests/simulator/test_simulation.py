"""A whole simulation as a service, on real pseudo-terminals; and Lumina's own ports on faulty buses."""

from __future__ import annotations

import os
import pathlib
import random
import time
import tomllib
from collections import Counter
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lumina_twisted.access.caller import Terms, caller_of
from lumina_twisted.bus.settings import UnitSettings
from lumina_twisted.errors import ConfigError, LuminaError, PortError
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.modbus.pdu import ReadHoldingRegistersReply, ReadHoldingRegistersRequest, decode_reply
from lumina_twisted.ports.interfaces import Port
from lumina_twisted.ports.pool import PortPool
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.schema import UnitId
from lumina_twisted.simulator.settings import simulation_settings
from lumina_twisted.simulator.simulation import Simulation
from lumina_twisted.simulator.wire_log import OnWire
from tests.test_simulator import Gateway

TWO_BUSES = """
[buses.heating]
baudrate = 19200
[buses.heating.units.1.holding_registers]
5 = [7, 8]
[buses.solar]
baudrate = 115200
[buses.solar.units.3]
device_time = 0.2
[buses.solar.units.3.holding_registers]
5 = [9, 10]
"""
READ = bytes.fromhex("03 0005 0002")


class SimulationTestCase(TestCase):
    """A simulation from a TOML text, of which nothing is left."""

    timeout = 60

    def simulation(self, text: str = TWO_BUSES, **options: Any) -> Simulation:
        """One that has been started."""
        made = Simulation(simulation_settings(tomllib.loads(text)), reactor, time.monotonic, **options)
        self.addCleanup(made.stopService)
        made.startService()
        return made

    def ask(self, simulation: Simulation, bus: str, unit: int, baudrate: int) -> Deferred[bytes]:
        """Two registers of a device, as a frame."""
        gateway = Gateway(simulation.buses[bus].path, baudrate)
        self.addCleanup(gateway.close)
        return gateway.ask(encode_adu(unit, READ), 9)


class ServiceTests(SimulationTestCase):
    """Start, stop, and what can be looked at."""

    async def test_each_bus_has_its_devices(self) -> None:
        made = self.simulation()
        self.assertEqual(await self.ask(made, "heating", 1, 19200), encode_adu(1, bytes.fromhex("03 04 0007 0008")))
        self.assertEqual(await self.ask(made, "solar", 3, 115200), encode_adu(3, bytes.fromhex("03 04 0009 000a")))
        self.assertEqual([len(bus.heard) for bus in made.buses.values()], [1, 1])

    async def test_nothing_is_left(self) -> None:
        made = self.simulation()
        paths = [bus.path for bus in made.buses.values()]
        self.assertTrue(all(map(os.path.exists, paths)))
        made.stopService()
        self.assertEqual([os.path.lexists(path) for path in (*paths, os.path.dirname(paths[0]))], [False] * 3)

    async def test_started_again(self) -> None:
        made = self.simulation()
        made.stopService()
        made.startService()
        self.assertEqual(len(await self.ask(made, "heating", 1, 19200)), 9)

    def test_link(self) -> None:
        link = str(pathlib.Path(self.mktemp()).absolute())
        made = self.simulation(f"[buses.b]\nlink = '{link}'")
        self.assertEqual(made.buses["b"].path, link)
        self.assertTrue(os.path.exists(link))
        self.assertEqual(made.summary(), [f"b: {link}, 9600 baud, no units"])

    def test_summary(self) -> None:
        made = self.simulation(TWO_BUSES + "[buses.solar.units.1]")
        told = [line.replace(made.buses[line.partition(":")[0]].path, "PATH") for line in made.summary()]
        self.assertEqual(told, ["heating: PATH, 19200 baud, unit 1", "solar: PATH, 115200 baud, units 1, 3"])

    def test_link_that_is_taken(self) -> None:
        """None of the buses is there then."""
        link = self.mktemp()
        pathlib.Path(link).touch()
        free = self.mktemp()
        text = f"[buses.a]\nlink = '{free}'\n[buses.b]\nlink = '{link}'"
        error = self.assertRaises(PortError, self.simulation, text)
        self.assertEqual(
            str(error), f"bus b: {link} exists already; if no other simulation runs there, remove it, or give the bus"
            " another link"
        )
        self.assertFalse(os.path.lexists(free))

    def test_link_in_no_folder(self) -> None:
        error = self.assertRaises(PortError, self.simulation, "[buses.b]\nlink = '/nowhere/at/all'")
        self.assertEqual(
            str(error), "bus b: /nowhere/at/all cannot be made (No such file or directory); does its folder exist?"
        )

    def test_log_that_cannot_be_written(self) -> None:
        error = self.assertRaises(ConfigError, self.simulation, "log = { path = '/nowhere/at/all' }\n[buses.b]")
        self.assertEqual(str(error), "log.path: /nowhere/at/all cannot be written (No such file or directory)")

    async def test_values_move_from_the_start_on(self) -> None:
        """Whatever the clock says."""
        made = self.simulation("[buses.b.units.1.holding_registers]\n5 = { kind = 'counter', type = 'u32' }")
        gateway = Gateway(made.buses["b"].path, 9600)
        self.addCleanup(gateway.close)
        self.assertEqual(await gateway.ask(encode_adu(1, READ), 9), encode_adu(1, bytes.fromhex("03 04 0000 0000")))


class WireTests(SimulationTestCase):
    """What came over the wires."""

    async def test_remembered_told_and_written(self) -> None:
        path, told = self.mktemp(), list[OnWire]()
        made = self.simulation(f"log = {{ path = '{path}' }}\n{TWO_BUSES}", on_wire=told.append, stamp=lambda: 1.5)
        await self.ask(made, "heating", 1, 19200)
        made.stopService()
        self.assertEqual(list(made.wire), told)
        self.assertEqual(
            pathlib.Path(path).read_text().splitlines(),
            ["1970-01-01T00:00:01.500000Z\theating\t>\t01 03 00 05 00 02 d4 0a\t"
             "unit 1: read holding registers, address 5, quantity 2\t",
             "1970-01-01T00:00:01.500000Z\theating\t<\t01 03 04 00 07 00 08 4a 34\t"
             "unit 1: read holding registers, values 7 8\t"],
        )

    async def test_own_gap_and_device_time(self) -> None:
        """A unit may differ from its bus in both."""
        text = "[buses.b]\nframe_gap = 0.3\n[buses.b.units.1]\n[buses.b.units.2]\nframe_gap = 0.0\ndevice_time = 0.1"
        made = self.simulation(text)
        gateway = Gateway(made.buses["b"].path, 9600)
        self.addCleanup(gateway.close)
        began = time.monotonic()
        await gateway.ask(encode_adu(2, READ), 9)
        self.assertGreaterEqual(time.monotonic() - began, 0.1)
        gateway.send(encode_adu(1, READ))
        while not made.buses["b"].fault_counts["gap"]:
            await deferLater(reactor, 0.01)
        await gateway.ask(encode_adu(2, READ), 9)
        self.assertEqual(made.buses["b"].fault_counts, {"gap": 1})


    async def test_gap_before_a_broadcast(self) -> None:
        """That of the bus; a broadcast that comes too soon nobody obeys."""
        text = "[buses.b]\nframe_gap = 0.3\n[buses.b.units.2]\nframe_gap = 0.0"
        made = self.simulation(text)
        gateway = Gateway(made.buses["b"].path, 9600)
        self.addCleanup(gateway.close)
        await gateway.ask(encode_adu(2, READ), 9)
        gateway.send(encode_adu(0, bytes.fromhex("06 0005 0001")))
        while len(made.buses["b"].heard) < 2:
            await deferLater(reactor, 0.01)
        self.assertEqual(await gateway.ask(encode_adu(2, READ), 9), encode_adu(2, bytes.fromhex("03 04 0000 0000")))
        self.assertEqual(made.buses["b"].fault_counts, {"gap": 1})


FAULTY = """
seed = {seed}
[buses.faulty]
baudrate = 115200
device_time = 0.0
[[buses.faulty.faults]]
kind = "corrupt"
rate = 0.05
[[buses.faulty.faults]]
kind = "truncate"
rate = 0.05
[[buses.faulty.faults]]
kind = "wrong_unit"
rate = 0.05
[[buses.faulty.faults]]
kind = "junk"
rate = 0.10
where = "both"
most = 20
[[buses.faulty.faults]]
kind = "echo"
rate = 0.05
[[buses.faulty.faults]]
kind = "exception"
rate = 0.05
code = 6
[[buses.faulty.faults]]
kind = "delay"
rate = 0.05
most = 0.05
[[buses.faulty.units.1.faults]]
kind = "late"
rate = 0.06
after = 0.35
[[buses.faulty.units.1.faults]]
kind = "silence"
rate = 0.05
[buses.faulty.units.1.holding_registers]
0 = {first}
[buses.faulty.units.2]
frame_gap = 0.002
[buses.faulty.units.2.holding_registers]
0 = {second}
"""
"""All that `docs/guarantees.md` promises to bear; a reply that comes twice is not among it."""

VALUES = {1: [7 * address + 1 for address in range(100)], 2: [11 * address + 2 for address in range(100)]}
"""Every register has a value of its own."""


class FaultyBusTests(SimulationTestCase):
    """Lumina's ports on a bus where every third exchange goes wrong."""

    def setUp(self) -> None:
        text = FAULTY.format(seed=66, first=VALUES[1], second=VALUES[2])
        self.simulated = self.simulation(text)
        self.bus = self.simulated.buses["faulty"]
        settings = PortSettings(
            path=self.bus.path, baudrate=115200, timeout=0.3, echo="off", retries=3,
            units={UnitId(2): UnitSettings(frame_gap=0.002)},
        )
        pool = PortPool({"faulty": settings}, reactor, time.monotonic)
        pool.startService()
        self.addCleanup(pool.stopService)
        self.port = pool.find("faulty")
        self.ended: Counter[str] = Counter()

    async def test_no_wrong_value(self) -> None:
        """Four clients ask for registers of two units; each value is the right one, or there is none."""
        asking = [self.client(self.port, number) for number in range(4)]
        for succeeded, result in await DeferredList(asking):
            self.assertTrue(succeeded, result)
        self.assertEqual(self.ended["wrong"], 0)
        self.assertEqual(sum(self.ended.values()), 100)
        self.assertGreater(self.ended["right"], 75, self.ended)
        kinds = {"corrupt", "truncate", "wrong_unit", "junk", "echo", "exception", "delay", "late", "silence"}
        self.assertEqual(kinds - set(self.bus.fault_counts), set())

    @inlineCallbacks
    def client(self, port: Port, number: int) -> Any:
        """Some reads, one after the other."""
        drawn = random.Random(number)
        for _ in range(25):
            unit, address, quantity = drawn.choice((1, 2)), drawn.randrange(98), drawn.choice((1, 1, 2))
            request = ReadHoldingRegistersRequest(address, quantity)
            try:
                reply = yield port.request(caller_of(f"client {number}"), unit, request.encode(), Terms(20))
            except LuminaError as error:
                self.ended[type(error).__name__] += 1
                continue
            expected = ReadHoldingRegistersReply(VALUES[unit][address : address + quantity])
            right = decode_reply(reply) == expected
            self.ended["right" if right else "wrong"] += 1
