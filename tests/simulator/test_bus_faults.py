"""Faults on a real pseudo-terminal, and what its bus tells of them."""

from __future__ import annotations

import os
from typing import Any

from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.simulator.bus import SimulatedBus
from lumina_twisted.simulator.faults import Faults
from lumina_twisted.simulator.wire_log import OnWire
from tests.simulator.test_faults import fault
from tests.test_simulator import ANSWER, READ_TWO, BusTestCase

ABSENT = encode_adu(2, READ_TWO[1:-2])


class FaultyBusTestCase(BusTestCase):
    """A bus whose faults are given by kind, and what it tells."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[OnWire] = []

    def faulty(self, kind: str, rate: float = 1.0, **keys: Any) -> SimulatedBus:
        """One with that fault."""
        return self.bus(faults=Faults([fault(kind, rate, **keys)]), on_wire=self.told.append, name="here")

    def heard(self) -> list[tuple[bool, bytes, tuple[str, ...]]]:
        """Direction, bytes and faults of all that was told."""
        return [(one.to_devices, one.data, one.faults) for one in self.told]


class FaultTests(FaultyBusTestCase):
    """What reaches the program that has the terminal open."""

    async def test_junk(self) -> None:
        bus = self.faulty("junk", where="both", least=2, most=2)
        got = await self.gateway().ask(READ_TWO, len(ANSWER) + 4)
        self.assertEqual(got[2:-2], ANSWER)
        self.assertEqual(bus.fault_counts, {"junk": 1})

    async def test_echo(self) -> None:
        self.faulty("echo")
        self.assertEqual(await self.gateway().ask(READ_TWO, len(READ_TWO + ANSWER)), READ_TWO + ANSWER)

    async def test_duplicate(self) -> None:
        self.faulty("duplicate")
        self.assertEqual(await self.gateway().ask(READ_TWO, 2 * len(ANSWER)), 2 * ANSWER)

    async def test_silence_now_and_then(self) -> None:
        """A program that asks again gets its answer in the end."""
        bus, gateway = self.faulty("silence", 0.5), self.gateway()
        while not gateway.received:
            before = len(bus.heard) + sum(bus.fault_counts.values())
            gateway.send(READ_TWO)
            while len(bus.heard) + sum(bus.fault_counts.values()) == before:
                await self.turn()
            if bus.fault_counts["silence"] < len(bus.heard):
                break
        self.assertEqual(await gateway.read(len(ANSWER)), ANSWER)

    async def test_gap(self) -> None:
        """A request right behind an answer is not understood; one after a pause is."""
        bus, gateway = self.faulty("gap", seconds=0.2), self.gateway()
        await gateway.ask(READ_TWO, len(ANSWER))
        gateway.send(READ_TWO)
        while not bus.fault_counts:
            await self.turn()
        await self.pause(0.3)
        self.assertEqual(await gateway.ask(READ_TWO, len(ANSWER)), ANSWER)
        self.assertEqual((len(bus.heard), bus.fault_counts), (3, {"gap": 1}))

    async def test_gap_is_that_after_the_answer(self) -> None:
        """However long the device took for it."""
        bus = self.bus(faults=Faults([fault("gap", seconds=0.2)]), device_time=0.3)
        gateway = self.gateway()
        gateway.send(await gateway.ask(READ_TWO, len(ANSWER)) and READ_TWO)
        while len(bus.heard) < 2:
            await self.turn()
        self.assertEqual(bus.fault_counts, {"gap": 1})

    async def test_two_requests_without_a_gap(self) -> None:
        """Also where one write holds both of them."""
        bus, gateway = self.faulty("gap", seconds=0.2), self.gateway()
        self.assertEqual(await gateway.ask(READ_TWO + READ_TWO, len(ANSWER)), ANSWER)
        while len(bus.heard) < 2:
            await self.turn()
        self.assertEqual(bus.fault_counts, {"gap": 1})


class ToldTests(FaultyBusTestCase):
    """What comes over the wire is told, in its order."""

    async def test_request_and_reply(self) -> None:
        self.faulty("corrupt", 0.0)
        await self.gateway().ask(READ_TWO, len(ANSWER))
        self.assertEqual(self.heard(), [(True, READ_TWO, ()), (False, ANSWER, ())])
        self.assertEqual({one.bus for one in self.told}, {"here"})
        self.assertEqual(
            [one.what for one in self.told],
            ["unit 1: read holding registers, address 5, quantity 2", "unit 1: read holding registers, values 7 8"],
        )

    async def test_fault(self) -> None:
        """The bytes are those that were sent, the words those that were meant."""
        self.faulty("corrupt")
        got = await self.gateway().ask(READ_TWO, len(ANSWER))
        self.assertEqual(self.heard()[1], (False, got, ("corrupt",)))
        self.assertEqual(self.told[1].what, "unit 1: read holding registers, values 7 8")

    async def test_silence(self) -> None:
        self.faulty("silence")
        self.gateway().send(READ_TWO)
        await self.until(2)
        self.assertEqual(self.heard(), [(True, READ_TWO, ()), (False, b"", ("silence",))])

    async def test_one_after_the_other(self) -> None:
        """Nothing of a request is left when the next one comes."""
        self.faulty("silence", 0.0)
        gateway = self.gateway()
        for frame in (READ_TWO, encode_adu(1, bytes.fromhex("03 0006 0001")), READ_TWO):
            await gateway.ask(frame, 2 * frame[5] + 5)
        self.assertEqual([one.what.partition(",")[0] for one in self.told], ["unit 1: read holding registers"] * 6)

    async def test_absent_unit(self) -> None:
        self.faulty("silence")
        self.gateway().send(ABSENT)
        await self.until(1)
        self.assertEqual(self.heard(), [(True, ABSENT, ())])
        self.assertIn("there is no such unit", self.told[0].what)

    async def test_another_speed(self) -> None:
        self.faulty("silence")
        self.gateway(9600).send(READ_TWO)
        await self.until(1)
        self.assertEqual(self.told[0].what, "not understood: sent at 9600 baud, not at 19200")

    async def test_junk_of_the_gateway(self) -> None:
        """What is no frame is told when it is silent again."""
        self.faulty("silence", 0.0)
        gateway = self.gateway()
        gateway.send(READ_TWO[:5])
        await self.until(1)
        self.assertEqual(await gateway.ask(READ_TWO, len(ANSWER)), ANSWER)
        await self.until(3)
        self.assertEqual(self.heard(), [(True, READ_TWO[:5], ()), (True, READ_TWO, ()), (False, ANSWER, ())])

    async def test_echo_of_the_adapter(self) -> None:
        bus = self.faulty("silence", 0.0)
        bus.echo = True
        await self.gateway().ask(READ_TWO, len(READ_TWO + ANSWER))
        self.assertEqual(self.told[1].what, "echo")
        self.assertEqual([data for _, data, _ in self.heard()], [READ_TWO, READ_TWO, ANSWER])

    async def test_script(self) -> None:
        bus = self.faulty("silence")
        bus.script = lambda frame: [(0.0, b"a"), (0.01, b"b")]
        await self.gateway().ask(READ_TWO, 2)
        self.assertEqual(self.heard(), [(True, READ_TWO, ()), (False, b"a", ()), (False, b"b", ())])

    async def until(self, count: int) -> None:
        """So many events have been told."""
        while len(self.told) < count:
            await self.turn()


class LinkTests(BusTestCase):
    """The link under which the terminal appears."""

    def test_one_that_leads_nowhere_is_replaced(self) -> None:
        """It was left by a simulation that was killed."""
        os.symlink("/dev/pts/nowhere", self.path)
        self.bus()
        self.assertTrue(os.path.exists(self.path))

    def test_one_of_somebody_else_stays(self) -> None:
        bus = self.bus()
        os.unlink(self.path)
        os.symlink("/dev/null", self.path)
        bus.stop()
        self.assertEqual(os.readlink(self.path), "/dev/null")
