"""Devices that are busy or deaf, that answer twice, and that another master asks too: in order, one at a time."""

from __future__ import annotations

import itertools
import time
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.config.simulation import settings_from_data
from lumina_twisted.framing.rtu import decode_adu, encode_adu, t3_5, wire_time
from lumina_twisted.simulator.bus import OtherMaster, SimulatedBus
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.simulator.faults import Exchange, Fault, Faults
from lumina_twisted.simulator.simulation import masters_of
from lumina_twisted.simulator.units import Turns, Units
from tests.simulator.test_bus_faults import FaultyBusTestCase
from tests.simulator.test_faults import ANSWER, BROADCAST, READ, START, WRITE, FaultTestCase, fault
from tests.test_simulator import BusTestCase, Gateway

OTHER = encode_adu(1, bytes.fromhex("03 0006 0002"))
OTHER_ANSWER = encode_adu(1, bytes.fromhex("03 04 0008 0000"))
ONE = encode_adu(1, bytes.fromhex("03 0006 0001"))
ONE_ANSWER = encode_adu(1, bytes.fromhex("03 02 0008"))


class BusyTests(FaultTestCase):
    """What it does to an exchange."""

    def units(self, *faults: Fault) -> Units:
        return Units(self.devices, faults=Faults(faults))

    def made(self, units: Units, frame: bytes, now: float) -> Exchange:
        made = units.exchange(*decode_adu(frame), 1.0, now)
        assert made is not None
        return made

    def test_the_reply_comes_so_much_later(self) -> None:
        made = self.exchange(fault("busy", seconds=1.2), frame=WRITE)
        self.assertEqual(made.sent(9600, 0.001), [(START + 1.2, WRITE)])
        self.assertEqual(self.devices[1].holding_registers[5], 0x63)

    def test_every_third(self) -> None:
        units = self.units(fault("busy", None, every=3))
        drawn = [bool(self.made(units, READ, number).faults) for number in range(9)]
        self.assertEqual(drawn, [False, False, True] * 3)

    def test_every_of_a_bus_and_of_a_unit(self) -> None:
        """Each counts the requests that it could hit: those of all units, or its own."""
        whole, own = fault("silence", None, every=2), fault("delay", None, every=2)
        units = Units(self.devices, faults=Faults([whole], {2: [own]}))
        second = encode_adu(2, READ[1:-2])
        drawn = [self.made(units, frame, 0.0).faults for frame in (READ, second, READ, second, second, second)]
        self.assertEqual(drawn, [[], ["silence"], [], ["silence", "delay"], [], ["silence", "delay"]])

    def test_deaf(self) -> None:
        """What comes meanwhile is neither done nor answered; what comes afterwards is both."""
        units = self.units(fault("busy", None, every=2, seconds=1.3, deaf=True))
        for now, faults in ((0.0, []), (1.0, ["busy"]), (1.5, ["deaf"]), (2.2, ["deaf"])):
            self.assertEqual(self.made(units, READ, now).faults, faults)
        lost = self.made(units, WRITE, 2.25)
        self.assertEqual((lost.sent(9600, 0.001), self.devices[1].holding_registers[5]), ([], 7))
        heard = self.made(units, WRITE, 2.31)
        self.assertEqual((len(heard.sent(9600, 0.001)), self.devices[1].holding_registers[5]), (1, 0x63))

    def test_deaf_to_a_broadcast(self) -> None:
        """Others on the bus obey it."""
        units = self.units(fault("busy", deaf=True))
        self.made(units, READ, 0.0)
        self.made(units, BROADCAST, 1.0)
        self.assertEqual([self.devices[unit].holding_registers[5] for unit in (1, 2)], [7, 0x63])

    def test_who_is_not_deaf_hears(self) -> None:
        units = self.units(fault("busy", seconds=5.0))
        self.made(units, READ, 0.0)
        self.made(units, WRITE, 1.0)
        self.assertEqual(self.devices[1].holding_registers[5], 0x63)

    def test_a_copy_after_a_silence(self) -> None:
        (first, _), (second, other) = self.exchange(fault("duplicate", after=0.005)).sent(9600, 0.001)
        self.assertEqual(other, ANSWER)
        self.assertAlmostEqual(second - first, wire_time(9600, len(ANSWER)) + t3_5(9600) + 0.005)

    def test_it_takes_a_request_up_when_it_is_free(self) -> None:
        for kind, keys in (("busy", {"seconds": 0.0}), ("delay", {"least": 0.0, "most": 0.0})):
            made = self.exchange(fault(kind, **keys))
            self.assertEqual(made.sent(9600, 0.001, 2.0), [(START + 2.0, ANSWER)])

    def test_late_while_another_reply_is_due(self) -> None:
        """It does not overtake that one."""
        made = self.exchange(fault("late", after=0.6))
        self.assertEqual([made.sent(9600, 0.001, wait)[0][0] for wait in (0.0, 0.5, 0.9)], [0.6, 0.6, 0.9])


class TurnTests(SynchronousTestCase):
    """Times on the wire."""

    def test_a_unit_is_free_when_its_reply_has_left(self) -> None:
        turns = Turns()
        turns.occupy(1, 5.0)
        turns.occupy(1, 4.0)
        self.assertEqual([turns.wait(unit, 3.5) for unit in (1, 2)], [1.5, 0.0])
        self.assertEqual(turns.wait(1, 6.0), 0.0)

    def test_one_at_a_time(self) -> None:
        turns = Turns()
        self.assertEqual(turns.reserve(1.0, 1.0, 0.0), 1.0)
        self.assertEqual(turns.reserve(1.5, 1.0, 0.0), 2.0)  # behind it
        self.assertEqual(turns.reserve(0.0, 1.0, 0.0), 0.0)  # before it
        self.assertEqual(turns.reserve(0.5, 0.5, 0.0), 3.0)  # no room before

    def test_what_is_over_is_forgotten(self) -> None:
        turns = Turns()
        turns.reserve(1.0, 1.0, 0.0)
        self.assertEqual(turns.reserve(1.5, 1.0, 2.5), 1.5)

    def test_what_takes_no_time_hinders_nobody(self) -> None:
        turns = Turns()
        turns.reserve(1.0, 0.0, 0.0)
        self.assertEqual(turns.reserve(0.5, 1.0, 0.0), 0.5)


class BusyBusTests(FaultyBusTestCase):
    """On a real pseudo-terminal."""

    async def test_in_order(self) -> None:
        """Item 10: what arrives while the device is busy is answered behind the reply that it is busy with."""
        self.faulty("busy", None, every=2, seconds=0.2)
        gateway = self.gateway()
        await gateway.ask(READ, len(ANSWER))
        got = await gateway.ask(OTHER + ONE + READ, len(OTHER_ANSWER) + len(ONE_ANSWER) + len(ANSWER))
        self.assertEqual(got, OTHER_ANSWER + ONE_ANSWER + ANSWER)

    async def test_a_late_one_is_not_overtaken(self) -> None:
        """Whatever the fault is."""
        self.faulty("late", None, every=2, after=0.2)
        gateway = self.gateway()
        await gateway.ask(READ, len(ANSWER))
        got = await gateway.ask(OTHER + ONE, len(OTHER_ANSWER) + len(ONE_ANSWER))
        self.assertEqual(got, OTHER_ANSWER + ONE_ANSWER)

    async def test_deaf(self) -> None:
        """What it is sent meanwhile is told as lost, and never answered."""
        bus = self.faulty("busy", None, every=2, seconds=0.2, deaf=True)
        gateway = self.gateway()
        await gateway.ask(READ, len(ANSWER))
        self.assertEqual(await gateway.ask(OTHER + ONE, len(OTHER_ANSWER)), OTHER_ANSWER)
        await self.pause(0.05)
        self.assertEqual(await gateway.ask(ONE, len(ONE_ANSWER)), ONE_ANSWER)
        self.assertEqual(bus.fault_counts, {"busy": 1, "deaf": 1})
        self.assertIn((False, b"", ("deaf",)), self.heard())

    async def test_busy_and_then_silent(self) -> None:
        """What it is sent meanwhile waits also where the reply that it is busy with is lost."""
        self.bus(faults=Faults([fault("busy", None, every=3, seconds=0.2), fault("silence", None, every=3)]))
        gateway = self.gateway()
        await gateway.ask(READ + READ, 2 * len(ANSWER))
        began = time.monotonic()
        self.assertEqual(await gateway.ask(OTHER + ONE, len(ONE_ANSWER)), ONE_ANSWER)
        self.assertGreater(time.monotonic() - began, 0.2)

    async def test_one_speaks_at_a_time(self) -> None:
        """A reply of 0.146 s has no room before another unit's late one, due in 0.05 s: it follows that one."""
        long, begun = bytes.fromhex("03 0000 007d"), [bytes((unit, 3, 250)) for unit in (1, 2)]
        bus = SimulatedBus(
            reactor, {1: self.device, 2: SimulatedDevice()}, self.path, time.monotonic, baudrate=19200,
            faults=Faults([], {1: [fault("late", after=0.05)]}),
        )
        self.addCleanup(bus.stop)
        got = await self.gateway().ask(encode_adu(1, long) + encode_adu(2, long), 510)
        self.assertEqual([got[at : at + 3] for at in (0, 255)], begun)

    async def test_others_answer_meanwhile(self) -> None:
        """A unit that is busy holds up nobody else."""
        second = encode_adu(2, ONE[1:-2])
        bus = SimulatedBus(
            reactor, {1: self.device, 2: SimulatedDevice()}, self.path, time.monotonic, baudrate=19200,
            faults=Faults([], {1: [fault("busy", seconds=0.2)]}),
        )
        self.addCleanup(bus.stop)
        answer = encode_adu(2, bytes.fromhex("03 02 0000"))
        self.assertEqual(await self.gateway().ask(ONE + second, len(answer + ONE_ANSWER)), answer + ONE_ANSWER)


class MasterTests(BusTestCase):
    """Another master on the same wire."""

    async def test_its_request_and_the_reply_are_heard(self) -> None:
        """A10: both come to the gateway, whole; the wire log says who asked."""
        told: list[Any] = []
        bus = self.bus(masters=[OtherMaster(*decode_adu(OTHER), 0.05)], on_wire=told.append)
        gateway = self.gateway()
        self.assertEqual(await gateway.read(len(OTHER + OTHER_ANSWER)), OTHER + OTHER_ANSWER)
        self.assertEqual(told[0].what, "another master: unit 1: read holding registers, address 6, quantity 2")
        self.assertEqual((told[0].to_devices, told[0].faults), (False, ("master",)))
        self.assertGreaterEqual(bus.fault_counts["master"], 1)
        self.assertEqual(bus.heard, [])  # which are the gateway's

    async def test_between_a_request_and_its_reply(self) -> None:
        """It does not wait for what the gateway waits for; the device answers in order."""
        self.bus(masters=[OtherMaster(*decode_adu(OTHER), 0.6)], device_time=0.9)
        got = await self.gateway().ask(READ, len(OTHER + ANSWER))
        self.assertEqual(got, OTHER + ANSWER)

    async def test_of_another_speed(self) -> None:
        """A program that has set one hears nothing of it."""
        bus = self.bus(masters=[OtherMaster(*decode_adu(OTHER), 0.02)])
        gateway = self.gateway(9600)
        await self.pause(0.1)
        self.assertEqual((bytes(gateway.received), bus.fault_counts), (b"", {}))

    async def test_nobody_reads(self) -> None:
        """It does not fill the terminal up: what a program finds that opens the bus is one exchange at most."""
        bus = self.bus(masters=[OtherMaster(*decode_adu(OTHER), 0.02)])
        self.gateway().close()
        await self.pause(0.3)
        self.assertLessEqual(bus.fault_counts["master"], 2)

    async def test_time_passes_while_it_asks(self) -> None:
        """The clock goes on between two looks at it: what was to begin at once begins now."""
        ticks = itertools.count()
        bus = SimulatedBus(
            reactor, {1: self.device}, self.path, lambda: 0.01 * next(ticks), baudrate=19200,
            masters=[OtherMaster(*decode_adu(OTHER), 0.05)],
        )
        self.addCleanup(bus.stop)
        self.assertEqual(await self.gateway().read(len(OTHER + OTHER_ANSWER)), OTHER + OTHER_ANSWER)

    async def test_plugged_in_again(self) -> None:
        """It goes on asking, once each time."""
        bus = self.bus(masters=[OtherMaster(*decode_adu(OTHER), 0.05)])
        bus.unplug()
        bus.replug()
        gateway = Gateway(bus.path, 19200)
        self.addCleanup(gateway.close)
        await gateway.read(len(OTHER + OTHER_ANSWER))
        self.assertEqual(bus.fault_counts["master"], 1)

    def test_of_a_file(self) -> None:
        """Each table by its function."""
        for code, table in enumerate(("coils", "discrete_inputs", "holding_registers", "input_registers"), 1):
            data = {"buses": {"b": {"masters": [{"unit": 7, "table": table, "address": 80, "count": 3}]}}}
            (master,) = masters_of(settings_from_data(data).buses["b"])
            self.assertEqual(master, OtherMaster(7, bytes((code, 0, 80, 0, 3)), 1.0))
