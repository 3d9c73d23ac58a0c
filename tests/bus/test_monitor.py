"""What a bus records of its requests, and PerformanceMonitor and QueueAnalytics as the mission calls them."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access.caller import Caller
from lumina_twisted.bus.bus import Bus
from lumina_twisted.bus.figures import BusFigures
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.helpers import PerformanceMonitor as Exported
from lumina_twisted.helpers import QueueAnalytics
from lumina_twisted.statistics.counters import Counters
from lumina_twisted.statistics.monitor import PerformanceMonitor
from lumina_twisted.statistics.tally import MOST_CLIENTS, Clients
from tests.bus.world import World, read, reply_to, write


class Mission(SynchronousTestCase):
    """Its examples, word for word but for the import."""

    def test_performance_monitor(self) -> None:
        monitor = Exported()
        monitor.record_command_execution(port="/dev/ttyAMA2", command_id="cmd1", execution_time=0.5)
        report = monitor.get_port_performance_report()
        self.assertEqual(report["/dev/ttyAMA2"], {
            "count": 1, "mean": 0.5, "min": 0.5, "max": 0.5, "p50": 0.5, "p99": 0.5, "failure_rate": 0.0,
            "slowest": "cmd1",
        })

    def test_queue_analytics(self) -> None:
        analytics = QueueAnalytics()
        analytics.record_enqueue("main_queue", "cmd1")
        stats = analytics.get_queue_statistics("main_queue")
        self.assertEqual((stats["size"], stats["highest"], stats["enqueued"]), (1, 1, 1))


class Monitor(SynchronousTestCase):
    """record_command_execution."""

    def test_failures_and_the_slowest(self) -> None:
        monitor = PerformanceMonitor()
        for number, outcome in enumerate(("ok", "timeout", "ok", "exception", "cancelled")):
            monitor.record_command_execution("a", number, number / 10, outcome=outcome, unit=3, client="me")
        report = monitor.get_port_performance_report()["a"]
        self.assertEqual((report["count"], report["failure_rate"], report["slowest"]), (4, 0.5, 3))
        self.assertEqual(monitor.port("a").unit(3).ended, {"ok": 2, "timeout": 1, "exception": 1, "cancelled": 1})
        self.assertEqual([one.name for one in monitor.port("a").clients], ["me"])

    def test_wrong_times(self) -> None:
        for wrong in (-1.0, float("nan"), float("inf")):
            error = self.assertRaises(ValueError, PerformanceMonitor().record_command_execution, "a", 1, wrong)
            self.assertIn("a number from 0 on", str(error))

    def test_ports_are_bounded(self) -> None:
        monitor = PerformanceMonitor(most_ports=2)
        for port in ("a", "b", "a", "c"):
            monitor.record_command_execution(port, 1, 0.1)
        self.assertEqual(list(monitor.get_port_performance_report()), ["a", "c"])

    def test_clients_are_bounded(self) -> None:
        """The one that has asked nothing for longest goes."""
        clients = Clients()
        for number in range(MOST_CLIENTS):
            clients.of(number, number)
        clients.of(0, 1000.0)
        clients.of("new", 1001.0)
        names = [one.name for one in clients]
        self.assertEqual((len(names), clients.forgotten), (MOST_CLIENTS, 1))
        self.assertTrue("0" in names and "new" in names and "1" not in names)


class Queues(SynchronousTestCase):
    """QueueAnalytics."""

    def setUp(self) -> None:
        self.now = 10.0
        self.analytics = QueueAnalytics(lambda: self.now)

    def test_sizes_waits_processing_and_errors(self) -> None:
        analytics = self.analytics
        analytics.record_enqueue("q", "a")
        self.now += 1
        analytics.record_enqueue("q", "b")
        self.now += 1
        analytics.record_dequeue("q", "a")
        self.now += 0.5
        analytics.record_done("q", "a", failed=True)
        self.now += 1.5
        told = analytics.get_queue_statistics("q")
        self.assertEqual((told["size"], told["highest"], told["enqueued"], told["errors"]), (1, 2, 2, 1))
        self.assertEqual((told["wait"]["count"], told["wait"]["mean"], told["processing"]["max"]), (1, 2.0, 0.5))
        self.assertAlmostEqual(told["mean_size"], (1 + 2 + 2) / 4)

    def test_what_comes_again_is_new(self) -> None:
        self.analytics.record_enqueue("q", "a")
        self.analytics.record_enqueue("q", "a")
        told = self.analytics.get_queue_statistics("q")
        self.assertEqual((told["size"], told["unserved"]), (1, 1))

    def test_wrong_order(self) -> None:
        for call in (self.analytics.record_dequeue, self.analytics.record_done):
            self.assertIn("comes before", str(self.assertRaises(ValueError, call, "q", "a")))
        self.assertEqual(self.analytics.get_queue_statistics("q")["size"], 0)


class OfABus(SynchronousTestCase):
    """What a bus records."""

    def setUp(self) -> None:
        self.world = World(BusSettings(timeout=0.1, echo="off", baudrate=9600))
        self.bus = self.world.bus

    def report(self) -> Any:
        told = self.bus.figures.report(self.world.now)
        json.dumps(told, allow_nan=False)
        return told

    def answer(self, after: float = 0.02) -> None:
        """What was sent last gets its reply; time passes until then."""
        world, frame = self.world, self.world.sent[-1].frame
        world.advance(max(0.0, world.sent[-1].until + after - world.now))
        self.bus.receive_data(reply_to(frame), world.now)
        world.collect()

    def test_queue_and_bus_time_apart(self) -> None:
        begin = self.world.now
        self.world.submit(read(1, 0), "a")
        self.world.submit(read(2, 0), "b")
        self.answer()
        first = self.world.now - begin
        self.world.advance(0.01)  # the silence before the second
        second_sent = self.world.sent[1].at
        self.answer()
        told = self.report()
        self.assertEqual(told["ended"], {"ok": 2})
        one, two = told["units"]
        self.assertEqual((one["unit"], one["queue"]["max"], two["unit"]), (1, 0.0, 2))
        self.assertAlmostEqual(one["bus"]["mean"], first)
        self.assertAlmostEqual(two["queue"]["mean"], second_sent - begin)
        self.assertAlmostEqual(two["bus"]["mean"], self.world.now - second_sent)
        self.assertAlmostEqual(told["time"]["max"], self.world.now - begin)
        self.assertEqual([row["client"] for row in told["clients"]], ["b", "a"])
        self.assertEqual((told["waiting"]["now"], told["waiting"]["highest"]), (0, 1))
        self.assertAlmostEqual(told["utilisation"]["seconds"], self.world.now - begin)

    def test_riders_have_no_bus_time(self) -> None:
        self.world.submit(read(9, 0), "z")
        for client in "abc":
            self.world.submit(read(1, 0, 2), client)
        self.answer()
        self.world.advance(0.01)
        self.answer()
        told = self.report()
        unit = told["units"][0]
        self.assertEqual((unit["ended"], unit["shared"]), ({"ok": 3}, 2))
        self.assertEqual((unit["queue"]["count"], unit["bus"]["count"]), (3, 1))
        self.assertEqual((told["transactions"], told["requests_per_transaction"]), (2, 2.0))
        self.assertEqual(told["waiting"]["now"], 0)

    def test_silence_and_retry(self) -> None:
        """The two attempts are both bus time, the pause between them is not; the unit answered neither."""
        self.world.submit(read(1, 0), retries=1, timeout=3.0)
        self.world.advance(5.0)
        told = self.report()
        self.assertEqual(told["ended"], {"timeout": 1})
        frames = [sent.until - sent.at + 0.1 for sent in self.world.sent]
        self.assertEqual(len(frames), 2)
        self.assertAlmostEqual(told["bus"]["max"], sum(frames), places=3)
        self.assertEqual(told["units"][0]["diagnostics"]["server_no_response"], 2)
        self.assertEqual(told["diagnostics"]["server_message"], 2)
        self.assertEqual(told["failure_rate"], 1.0)

    def test_exceptions_by_the_spec_names(self) -> None:
        for code in (6, 7, 2):
            self.world.submit(read(1, 0), retries=0)
            self.world.advance(0.05)
            self.bus.receive_data(encode_adu(1, bytes((0x83, code))), self.world.now)
            self.world.collect()
            self.world.advance(0.05)
        told = self.report()["diagnostics"]
        self.assertEqual(
            (told["bus_exception_error"], told["server_busy"], told["server_nak"], told["bus_message"]), (3, 1, 1, 6)
        )

    def test_cancelled_expired_and_refused(self) -> None:
        self.world.submit(read(1, 0), "a")
        waiting = self.world.submit(read(2, 0), "b")
        self.world.submit(read(3, 0), "c", timeout=0.09)
        self.world.advance(0.1)
        self.world.cancel(waiting)
        self.world.submit(encode_adu(0, bytes((3, 0, 0, 0, 1))), "d")  # a broadcast that reads
        told = self.report()
        by_unit = {row["unit"]: row["ended"] for row in told["units"]}
        self.assertEqual(by_unit, {0: {"invalid": 1}, 2: {"cancelled": 1}, 3: {"expired": 1}})
        self.assertEqual(told["ended"], {"invalid": 1, "cancelled": 1, "expired": 1})
        self.assertEqual((told["waiting"]["now"], told["queue"]["count"]), (0, 2))
        self.assertAlmostEqual(told["units"][1]["queue"]["max"], 0.1)

    def test_broadcast(self) -> None:
        self.world.submit(write(0, 1))
        self.world.advance(1.0)
        told = self.report()
        self.assertEqual((told["ended"], told["diagnostics"]["server_no_response"]), ({"ok": 1}, 0))
        self.assertEqual((told["units"][0]["shared"], told["bus"]["count"]), (0, 1))

    def test_lost_port(self) -> None:
        self.world.submit(read(1, 0))
        self.world.advance(0.05)
        self.bus.port_lost(self.world.now)
        self.world.collect()
        told = self.report()
        self.assertEqual((told["ended"], told["transactions"]), ({"port_closed": 1}, 1))
        self.assertEqual(told["diagnostics"]["server_no_response"], 0)
        self.world.advance(100.0)
        self.assertLess(self.report()["utilisation"]["seconds"], 0.1)

    def test_utilisation_of_a_full_wire(self) -> None:
        """The silence between two frames is part of what a transaction takes."""
        for number in range(40):
            self.world.submit(read(1, number), "a")
        for _ in range(40):
            self.answer()
            self.world.advance(0.005)
        used = self.report()["utilisation"]
        self.assertGreater(used["overall"], 0.97)
        self.world.advance(200.0)
        self.assertEqual(self.report()["utilisation"]["last_minute"], 0.0)

    def test_monitor_and_analytics_are_recorded_into(self) -> None:
        monitor, analytics = PerformanceMonitor(), QueueAnalytics(lambda: 0.0)
        bus = self.bus = self.world.bus = Bus(self.world.settings, "boiler", monitor=monitor, analytics=analytics)
        bus.port_opened(self.world.now)
        self.world.submit(read(1, 0))
        self.assertEqual(analytics.get_queue_statistics("boiler")["enqueued"], 1)
        self.world.advance(0.1)
        self.answer()
        report = monitor.get_port_performance_report()["boiler"]
        self.assertEqual((report["count"], report["failure_rate"]), (1, 0.0))
        self.assertEqual(report["slowest"], read(1, 0))
        self.assertEqual(analytics.get_queue_statistics("boiler")["processing"]["count"], 1)

    def test_a_client_is_not_kept_alive(self) -> None:
        client = Caller("10.0.0.7:4001")
        gone = weakref.ref(client)
        self.world.submit(read(1, 0), client)
        self.answer()
        self.world.submit(read(1, 0), "another")  # whose turn is the newest the bus remembers
        self.world.advance(0.1)
        self.answer()
        self.report()
        self.world.ended.clear()
        self.world.order.clear()
        self.world.pending.clear()
        del client
        gc.collect()
        self.assertIsNone(gone())
        self.assertEqual([row["client"] for row in self.report()["clients"]], ["another", "10.0.0.7:4001"])

    def test_nothing_yet(self) -> None:
        told = BusFigures("x", Counters()).report(5.0)
        json.dumps(told, allow_nan=False)
        self.assertEqual((told["seconds"], told["transactions"]), (0.0, 0))
