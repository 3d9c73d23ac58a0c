"""The poller of a port."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet.defer import fail
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.access.rules import Rules
from lumina_twisted.bus.events import Sample
from lumina_twisted.devices.describe.description import Device, Point
from lumina_twisted.devices.poll.plan import CREDIT, Block, Task
from lumina_twisted.devices.poll.poller import WHOLE_AGAIN, PortPoller
from lumina_twisted.errors import Expired, NotAllowed, ResponseTimeout
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.modbus.values.codec import ValueCodec
from lumina_twisted.simulator.device import Range, SimulatedDevice, Table
from tests.devices.timed_port import TimedPort

CLIENT = Caller("client")


def a_device(
    name: str = "d", unit: int = 1, addresses: tuple[int, ...] = (0,), poll: float = 1.0, **keys: Any
) -> Device:
    points = {
        f"p{at}": Point(name=f"p{at}", table="holding", address=at, poll=poll, codec=ValueCodec()) for at in addresses
    }
    return Device(name=name, port="p", unit=unit, points=points, **keys)


def a_device_of(*parts: Device) -> Device:
    """The points of all of them."""
    return Device(name="d", port="p", unit=1, points={name: one for part in parts for name, one in part.points.items()})


class PollerCase(SynchronousTestCase):
    """A poller on a port of its own."""

    def poll(self, *devices: Device, share: float = 0.5, cost: float = 0.01, **units: Any) -> None:
        self.clock = Clock()
        self.port = TimedPort(self.clock, {one.unit: SimulatedDevice() for one in devices}, cost=cost)
        self.failures: list[tuple[float, str, int, str]] = []
        self.poller = PortPoller(self.port, devices, share, self.clock, self.clock.seconds, self.failed)  # type: ignore[arg-type]
        self.port.listen(self.heard)
        self.poller.start()

    def heard(self, _: Sample) -> None:
        self.poller.replies += 1

    def failed(self, device: Device, block: Block, why: str) -> None:
        self.failures.append((self.clock.seconds(), device.name, block.address, why))

    def run_for(self, seconds: float, step: float = 0.001) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def times(self, unit: int = 1, address: int = 0) -> list[float]:
        """When a block was asked for."""
        return [
            at for at, client, asked, request in self.port.asked
            if client is self.poller.caller and asked == unit and request[1:3] == address.to_bytes(2, "big")
        ]

    def tearDown(self) -> None:
        self.poller.stop()
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Intervals(PollerCase):
    """When blocks are read."""

    def test_each_at_its_own(self) -> None:
        self.poll(a_device("a", 1, poll=1.0), a_device("b", 2, poll=0.25))
        self.run_for(10.02)
        self.assertIn(len(self.times(1)), (10, 11))
        self.assertIn(len(self.times(2)), (40, 41))
        pauses = [b - a for a, b in itertools.pairwise(self.times(1))]
        self.assertTrue(all(abs(one - 1.0) < 0.02 for one in pauses), pauses)

    def test_phases_are_spread(self) -> None:
        self.poll(*[a_device(f"d{unit}", unit) for unit in range(1, 21)])
        self.run_for(3)
        begins = [at for at, *_ in self.port.asked if 1 <= at < 2]
        self.assertEqual(len(begins), 20)
        tenths = [sum(1 for at in begins if 1 + part / 10 <= at < 1.1 + part / 10) for part in range(10)]
        self.assertLessEqual(max(tenths), 4, tenths)

    def test_long_intervals_begin_at_once_and_spread_later(self) -> None:
        self.poll(*[a_device(f"d{unit}", unit, poll=60.0) for unit in range(1, 11)])
        self.run_for(2.1, 0.01)
        self.assertEqual(len(self.port.asked), 10)
        self.run_for(120, 0.01)
        begins = sorted(at for at, *_ in self.port.asked if 30 < at < 65)
        self.assertEqual(len(begins), 10)
        self.assertGreater(begins[-1] - begins[0], 20)

    def test_what_is_not_polled(self) -> None:
        self.poll(a_device(poll=0))
        self.run_for(3)
        self.assertEqual(self.port.asked, [])

    def test_what_a_client_has_just_read_waits_an_interval(self) -> None:
        self.poll(a_device(addresses=(0, 1)))
        self.run_for(1.5)
        before = len(self.times())
        for _ in range(20):
            self.poller.heard("d", "holding", 0, 2)
            self.run_for(0.5)
        self.assertLessEqual(len(self.times()) - before, 1)
        self.run_for(1.02)
        self.assertEqual(len(self.times()) - before, 1)

    def test_a_part_of_it_is_not_enough(self) -> None:
        self.poll(a_device(addresses=(0, 1)))
        self.run_for(1.5)
        before = len(self.times())
        for _ in range(20):
            self.poller.heard("d", "holding", 0, 1)
            self.run_for(0.1)
        self.assertEqual(len(self.times()) - before, 2)

    def test_what_was_written_is_read_at_once(self) -> None:
        self.poll(a_device(poll=100.0))
        self.run_for(99, 0.5)
        before = len(self.times())
        self.poller.hurry("d", "holding", 0, 1)
        self.poller.hurry("d", "holding", 7, 1)
        self.run_for(0.02)
        self.assertEqual(len(self.times()) - before, 1)


class Shares(PollerCase):
    """How much of the bus it takes."""

    def test_never_more_than_its_own(self) -> None:
        for share in (0.2, 0.5):
            self.poll(*[a_device(f"d{unit}", unit, poll=0.1) for unit in range(1, 11)], share=share, cost=0.02)
            self.run_for(20, 0.002)
            used = self.port.used[self.poller.caller]
            self.assertLessEqual(used, 20 * share + CREDIT + 0.06)
            self.assertGreater(used, 20 * share * 0.9)
            counts = [len(self.times(unit)) for unit in range(1, 11)]
            self.assertLessEqual(max(counts) - min(counts), 2, counts)
            self.poller.stop()

    def test_too_many_intervals_are_told_once_an_hour(self) -> None:
        told: list[str] = []

        def log(event: LogEvent) -> None:
            told.extend([formatEvent(event)] if event.get("log_namespace") == "lumina.poller" else [])

        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)
        self.poll(*[a_device(f"d{unit}", unit, poll=0.5) for unit in range(1, 11)], cost=0.02)
        self.run_for(20, 0.01)
        self.assertEqual(told, [])
        self.poller.add(a_device("d11", 11, tuple(range(0, 200, 2)), poll=0.5))
        self.port.devices[11] = SimulatedDevice()
        self.run_for(60, 0.01)
        (sentence,) = told
        self.assertRegex(sentence, r"^p: what is read at intervals comes late, d\d+ by 1\.\d s: .*poll_share")

    def test_a17_late_for_noise_is_not_blamed_on_load(self) -> None:
        told: list[str] = []

        def log(event: LogEvent) -> None:
            told.extend([formatEvent(event)] if event.get("log_namespace") == "lumina.poller" else [])

        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)
        self.poll(*[a_device(f"d{unit}", unit, poll=0.5) for unit in range(1, 31)], cost=0.2)
        self.port.noise = "failed attempts take 60% of the bus: unit 3"
        self.run_for(60, 0.01)
        (sentence,) = told
        self.assertRegex(sentence, r"comes late, d\d+ by 1\.\d s: failed attempts take 60% of the bus: unit 3$")

    def test_clients_come_first(self) -> None:
        self.poll(*[a_device(f"d{unit}", unit, poll=0.05) for unit in range(1, 11)], cost=0.02, share=0.9)
        self.run_for(1)
        for _ in range(50):
            began, ended = self.clock.seconds(), []
            self.port.request(CLIENT, 1, pdu.ReadHoldingRegistersRequest(0, 1).encode(), Terms(5)).addCallback(
                lambda _, ended=ended: ended.append(self.clock.seconds())
            )
            self.run_for(0.05)
            self.assertLessEqual(ended[0] - began, 2 * 0.02 + 0.002)


class Crowded(PollerCase):
    """Clients that leave the low lane nothing."""

    def crowd(self) -> None:
        """One more request of a client's as soon as one has ended."""
        ended: Any = self.port.request(CLIENT, 1, pdu.ReadHoldingRegistersRequest(50, 1).encode(), Terms(5))
        ended.addCallback(lambda _: self.crowd() if self.is_crowded else None)

    def test_the_poller_is_one_of_them(self) -> None:
        self.poll(*[a_device(f"d{unit}", unit) for unit in range(1, 6)])
        self.run_for(2.5)
        self.is_crowded = True
        self.crowd()
        self.crowd()
        begin = self.clock.seconds()
        self.run_for(10)
        for unit in range(1, 6):
            times = [at for at in self.times(unit) if at > begin]
            self.assertGreaterEqual(len(times), 9, unit)
            self.assertLess(max(b - a for a, b in itertools.pairwise(times)), 1.3, unit)
        self.assertEqual(self.failures, [])
        self.is_crowded = False
        self.run_for(10)
        self.assertEqual(self.port.lanes[self.poller.caller][-1], 2)

    def test_a_slow_device_is_no_crowd(self) -> None:
        self.poll(a_device("a", 1), a_device("b", 2))
        self.port.cost = 0.3
        self.run_for(5)
        self.assertEqual(set(self.port.lanes[self.poller.caller]), {2})

    def test_nor_is_one_that_does_not_answer(self) -> None:
        self.poll(a_device())
        self.port.cost = 1.5
        self.port.faults[1] = ResponseTimeout("unit 1 did not answer")
        self.run_for(5)
        self.assertEqual(set(self.port.lanes[self.poller.caller]), {2})
        self.assertGreaterEqual(len(self.failures), 2)


class Faults(PollerCase):
    """What goes wrong."""

    def test_it_is_told_and_it_goes_on(self) -> None:
        self.poll(a_device("a", 1), a_device("b", 2))
        self.port.faults[1] = ResponseTimeout("unit 1 did not answer")
        self.run_for(5)
        self.assertEqual({(name, why) for _, name, _, why in self.failures}, {("a", "unit 1 did not answer")})
        self.assertGreaterEqual(len(self.times(2)), 4)
        self.assertGreaterEqual(len(self.times(1)), 4)

    def test_what_is_only_late_is_not_the_devices(self) -> None:
        self.poll(a_device())
        self.port.faults[1] = Expired("no time")
        self.run_for(3)
        self.assertEqual(self.failures, [])

    def test_a_unit_that_is_offline_costs_one_question_a_second(self) -> None:
        self.poll(a_device("a", 1, addresses=(0, 10, 20), poll=0.1), a_device("b", 2, poll=0.1))
        self.run_for(1)
        self.port.go_offline(1)
        told = [name for _, name, _, _ in self.failures]
        self.assertEqual(told, ["a", "a", "a"])
        begin = self.clock.seconds()
        self.run_for(10)
        asked = [at for at, _, unit, _ in self.port.asked if unit == 1 and at > begin + 0.02]
        self.assertLessEqual(len(asked), 11)
        self.assertGreaterEqual(len(asked), 9)
        self.assertEqual(len(self.failures), 3)
        self.assertGreater(len([at for at in self.times(2) if at > begin]), 90)

    def test_all_of_it_is_read_when_it_is_back(self) -> None:
        self.poll(a_device("a", 1, addresses=(0, 10, 20), poll=30.0))
        self.run_for(31, 0.01)
        self.port.go_offline(1)
        self.run_for(40, 0.01)
        self.port.come_back(1)
        begin = self.clock.seconds()
        self.run_for(0.1)
        for address in (0, 10, 20):
            self.assertTrue(any(at >= begin for at in self.times(1, address)), address)

    def test_a_block_that_is_refused_is_read_in_halves(self) -> None:
        self.poll(a_device(addresses=(0, 1, 2, 3)))
        self.port.devices[1].holding_registers = Table(forbidden=[Range(2, 2)])
        self.run_for(5)
        asked = {(request[2], request[4]) for at, _, _, request in self.port.asked if at > 3}
        self.assertEqual(asked, {(0, 2), (2, 1), (3, 1)})
        self.assertEqual({(address, why) for _, _, address, why in self.failures}, {
            (2, "unit 1 refused function 3: exception 2 illegal data address"),
        })

    def test_so_is_one_that_the_rules_of_its_port_do_not_allow(self) -> None:
        """As a whole it is refused for one entry, which may be one that nobody gave a name."""
        self.poll(a_device(addresses=(0, 2, 3), hole=4))
        rules = Rules(deny=("read * holding 1", "read * holding 3"))
        request = self.port.request

        def ruled(caller: Any, unit: int, pdu: bytes, terms: Any) -> Any:
            fault = rules.fault(unit, pdu)
            return fail(NotAllowed(fault)) if fault else request(caller, unit, pdu, terms)

        self.patch(self.port, "request", ruled)
        self.run_for(5)
        self.assertEqual({(asked[2], asked[4]) for _, _, _, asked in self.port.asked}, {(0, 1), (2, 1)})
        self.assertEqual(len(self.times(1, 0)), 5)
        self.assertEqual({address for _, _, address, _ in self.failures}, {3})

    def test_offline_at_the_speed_of_somebody_else(self) -> None:
        self.poll(a_device("a", 1, addresses=(0, 10)))
        self.run_for(2)
        self.port.tell_offline(1, SerialSettings(baudrate=4800))
        begin = self.clock.seconds()
        self.run_for(5)
        self.assertEqual(self.failures, [])
        for address in (0, 10):
            self.assertGreaterEqual(len([at for at in self.times(1, address) if at > begin]), 4, address)

    def test_a_unit_that_was_offline_before_anybody_watched(self) -> None:
        self.poll(a_device("b", 2))
        self.port.go_offline(1)
        self.port.devices[1] = SimulatedDevice()
        self.poller.add(a_device("a", 1, addresses=(0, 10, 20), poll=1.0))
        self.run_for(10)
        self.assertEqual({(name, at) for _, name, at, _ in self.failures}, {("a", 0), ("a", 10), ("a", 20)})
        self.port.come_back(1)
        begin = self.clock.seconds()
        self.run_for(5)
        self.assertGreaterEqual(len([at for at in self.times(1, 20) if at > begin]), 4)

    def test_what_answers_is_not_offline(self) -> None:
        """Whatever was told of it, for what was told may have been late."""
        self.poll(a_device("a", 1, addresses=(0, 10), poll=1.0))
        self.run_for(2)
        self.port.tell_offline(1, SerialSettings())
        begin = self.clock.seconds()
        self.run_for(5)
        self.assertGreaterEqual(len([at for at in self.times(1, 10) if at > begin]), 4)

    def test_a_unit_is_asked_for_its_fastest_block_while_it_is_offline(self) -> None:
        fast, slow = a_device(addresses=(0, 1)), a_device(addresses=(50,), poll=600.0)
        self.poll(a_device_of(fast, slow))
        self.port.devices[1].holding_registers = Table(forbidden=[Range(1, 1)])
        self.run_for(5)
        self.port.go_offline(1)
        begin = self.clock.seconds()
        self.run_for(10)
        self.assertGreaterEqual(len([at for at in self.times() if at > begin]), 8)

    def test_what_was_refused_for_a_while_is_one_block_again(self) -> None:
        self.poll(a_device(addresses=(0, 1, 2, 3)))
        self.port.devices[1].holding_registers = Table(forbidden=[Range(0, 9)])
        self.run_for(10, 0.01)
        self.port.devices[1].holding_registers = Table()
        self.run_for(WHOLE_AGAIN + 5, 0.01)
        end = self.clock.seconds()
        self.assertEqual({request[4] for at, _, _, request in self.port.asked if at > end - 2}, {4})

    def test_a_device_that_is_taken_away(self) -> None:
        self.poll(a_device("a", 1), a_device("b", 2))
        self.run_for(1)
        self.poller.remove("a")
        begin = self.clock.seconds()
        self.run_for(3)
        self.assertEqual([at for at in self.times(1) if at > begin], [])
        self.assertGreater(len([at for at in self.times(2) if at > begin]), 1)

    def test_nothing_grows(self) -> None:
        self.poll(a_device(poll=0.1))
        for _ in range(300):
            self.poller.heard("d", "holding", 0, 1)
            self.poller.hurry("d", "holding", 0, 1)
            self.run_for(0.01)
        self.assertLess(len(self.poller._schedule), 5)

    def test_nor_what_is_due_in_a_long_time(self) -> None:
        self.poll(a_device(poll=86400.0), *[a_device(f"d{unit}", unit) for unit in range(2, 9)])
        self.run_for(3)
        for _ in range(300):
            self.poller.hurry("d", "holding", 0, 1)
            self.run_for(0.05)
        self.assertGreater(len(self.times()), 200)
        self.assertLess(len(self.poller._schedule), 100)

    def test_a_thousand_blocks_of_a_busy_unit_cost_nothing(self) -> None:
        self.poll(a_device(addresses=tuple(range(0, 2000, 2))), a_device("b", 2))
        self.run_for(3, 0.01)
        calls = 0

        def looked(task: Any) -> bool:
            nonlocal calls
            calls += 1
            return False

        self.patch(Task, "is_over", property(looked, lambda task, _: None))
        asked = self.poller.reads
        self.run_for(1, 0.01)
        self.assertLess(calls, 100 * (self.poller.reads - asked))
