"""What was asked for: the table of docs/mission.md has no gap, the calls that were printed run, and the rows that are
the whole daemon's hold of a real one."""

from __future__ import annotations

import ast
import asyncio
import functools
import json
import os
import pathlib
import re
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.helpers import (
    CommandPrioritizer,
    CommandValidator,
    DeviceConfigManager,
    DeviceStateManager,
    PerformanceMonitor,
    QueueAnalytics,
    ResponseParser,
    RetryManager,
)
from tests.twistd_process import Client, Twistd, free_tcp_port

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "mission.md"
ROWS = [f"M{number}" for number in range(1, 20)] + [f"S{number}" for number in range(1, 7)]


def rows() -> Iterator[list[str]]:
    """The cells of each row."""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"[MS]\d+", cells[0]):
            yield cells


@functools.cache
def anchors(page: pathlib.Path) -> set[str]:
    """Those of its headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@functools.cache
def named_in(path: pathlib.Path) -> set[str]:
    """The classes of a file, and their tests as ``Class::test``."""
    found = set()
    for one in ast.parse(path.read_text()).body:
        if isinstance(one, ast.ClassDef):
            found.add(one.name)
            found |= {
                f"{one.name}::{inner.name}" for inner in one.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name.startswith("test")
            }
    return found


class Table(SynchronousTestCase):
    """docs/mission.md."""

    def test_every_row(self) -> None:
        self.assertEqual([row[0] for row in rows()], ROWS)

    def test_no_gap(self) -> None:
        for row in rows():
            self.assertEqual(len(row), 5, row)
            self.assertTrue(all(row), row)

    def test_where(self) -> None:
        for row in rows():
            paths = re.findall(r"`([^`]*)`", row[2])
            self.assertTrue(paths, row)
            for path in paths:
                self.assertTrue((ROOT / path).exists(), path)

    def test_examples(self) -> None:
        """Each is a heading of a page that is there; what stands below it tests/test_docs.py runs."""
        for row in rows():
            links = re.findall(r"\]\(([^)#]*)#([^)]*)\)", row[3])
            self.assertTrue(links, row)
            for page, anchor in links:
                self.assertIn(anchor, anchors((PAGE.parent / page).resolve()), row)

    def test_tests(self) -> None:
        for row in rows():
            named = re.findall(r"`([^`]*)`", row[4])
            self.assertTrue(named, row)
            for one in named:
                file, _, test = one.partition("::")
                self.assertTrue((ROOT / file).exists(), one)
                if test:
                    self.assertIn(test, named_in(ROOT / file), one)


class Seeds(SynchronousTestCase):
    """The calls as they were printed, but for the imports, in the asyncio programs that they were printed for."""

    def test_retry_management(self) -> None:
        asked: list[Any] = []

        async def send_command(command_data: Any) -> str:
            asked.append(command_data)
            if len(asked) < 3:
                raise OSError("not yet")
            return "done"

        async def main() -> Any:
            retry_manager = RetryManager(max_retries=3, backoff_factor=1.5)
            return await retry_manager.execute_with_retry(send_command, "command_data")

        self.assertEqual(asyncio.run(main()), "done")
        self.assertEqual(asked, ["command_data"] * 3)

    def test_command_prioritization(self) -> None:
        async def main() -> Any:
            prioritizer = CommandPrioritizer()
            await prioritizer.enqueue_command("low", "other_data")
            await prioritizer.enqueue_command("high", "command_data")
            return await prioritizer.get_next_command()

        self.assertEqual(asyncio.run(main()), "command_data")

    def test_performance_monitoring(self) -> None:
        monitor = PerformanceMonitor()
        monitor.record_command_execution(port="/dev/ttyAMA2", command_id="cmd1", execution_time=0.5)
        report = monitor.get_port_performance_report()
        told = report["/dev/ttyAMA2"]
        self.assertEqual((told["count"], told["mean"], told["min"], told["max"]), (1, 0.5, 0.5, 0.5))

    def test_command_validation(self) -> None:
        async def main(command_data: Any) -> Any:
            validator = CommandValidator()
            is_valid = await validator.validate_command(command_data)
            self.assertIsInstance(is_valid, bool)
            return is_valid

        self.assertIs(asyncio.run(main({"port": "/dev/ttyAMA2", "command": bytes.fromhex("010300000002")})), True)
        self.assertIs(asyncio.run(main({"port": "/dev/ttyAMA2", "command": bytes.fromhex("0103000000")})), False)

    def test_device_state_management(self) -> None:
        async def main() -> Any:
            state_manager = DeviceStateManager()
            await state_manager.update_state("device1", {"temperature": 21.5})
            return state_manager.get_state("device1")

        self.assertEqual(asyncio.run(main()), {"temperature": 21.5})

    def test_queue_analytics(self) -> None:
        analytics = QueueAnalytics()
        analytics.record_enqueue("main_queue", "cmd1")
        stats = analytics.get_queue_statistics("main_queue")
        self.assertEqual(stats["size"], 1)

    def test_response_parsing(self) -> None:
        parser = ResponseParser()
        parser.register_response_pattern("read_holding", [("temperature", "i16", 2), ("energy", "u32", 4)])
        response_bytes = encode_adu(1, bytes.fromhex("0306ffd800010009"))
        parsed_data = parser.parse_response("read_holding", response_bytes)
        self.assertEqual(parsed_data, {"temperature": -40, "energy": 65545})

    def test_device_configuration(self) -> None:
        async def main() -> Any:
            config_manager = DeviceConfigManager()
            config_manager.register_device_config("device_type1", {"poll": float})
            await config_manager.set_device_config("device1", "device_type1", {"poll": 0.5})
            return config_manager.get_device_config("device1")

        self.assertEqual(asyncio.run(main()), {"poll": 0.5})


class Daemon(SynchronousTestCase):
    """A real process with the demo's plant."""

    def setUp(self) -> None:
        self.values_port = free_tcp_port()
        listen = f"values=tcp:{self.values_port}:interface=127.0.0.1"
        self.twistd = Twistd("--demo", "--listen", listen, "--log", "directory=").__enter__()
        self.addCleanup(self.twistd.__exit__, None, None, None)

    def values(self) -> Client:
        client = Client(self.values_port)
        self.addCleanup(client.close)
        client.write(b"format json")
        client.read()
        return client

    def ask(self, client: Client, line: str) -> Any:
        client.write(line.encode())
        return json.loads(client.read())

    def test_one_thread(self) -> None:
        """Also while values, lines and simulated buses are at work, but for the one that writes the log; a database
        would have one of its own."""
        client = self.values()
        self.assertTrue(self.ask(client, "read! greenhouse.temperature")["ok"])
        self.assertEqual(len(os.listdir(f"/proc/{self.twistd.process.pid}/task")), 2)

    def test_ports_are_independent(self) -> None:
        """A device that does not answer on one takes nothing from the other."""
        nobody = self.twistd.connect()
        self.addCleanup(nobody.close)
        for number in range(20):
            nobody.write(b"d%d:nobody:demo2:9600:09040000000130A2:7:10" % number)
        began = time.monotonic()
        client = self.twistd.connect()
        self.addCleanup(client.close)
        for _ in range(20):
            client.write(b"a:sensor:demo1:19200:01040000000131CA:7:10")
            self.assertTrue(client.read().startswith(b"a:010402"))
        self.assertLess(time.monotonic() - began, 10)

    def test_values(self) -> None:
        """List, read, write and watch; a change on the bus comes to who watches."""
        client = self.values()
        self.assertIn("relays.relay_5", [one["name"] for one in self.ask(client, "list relays.*")["names"]])
        written = self.ask(client, "write relays.relay_5 on")["written"]
        self.assertEqual((written["value"], written["quality"]), (True, "good"))
        self.ask(client, "watch relays.relay_5")
        other = self.twistd.connect()
        self.addCleanup(other.close)
        frame = encode_adu(2, bytes.fromhex("0500040000")).hex().encode()
        other.write(b"w:relays:demo1:19200:" + frame + b":8")  # over the line protocol, by registers
        self.assertTrue(other.read().startswith(b"w:0205"))
        self.assertIs(json.loads(client.read())["change"]["value"], False)

    def test_many_at_the_same_time(self) -> None:
        """Fifty clients that ask three devices on two buses."""
        clients = [self.values() for _ in range(50)]
        for number, client in enumerate(clients):
            name = ("greenhouse.temperature", "relays.relay_1", "greenhouse.humidity")[number % 3]
            client.write(f"@{number} read! {name}".encode(), f"read {name}".encode())
        for number, client in enumerate(clients):
            answers = [json.loads(client.read()) for _ in range(2)]
            self.assertIn(str(number), [one.get("tag") for one in answers])
            self.assertTrue(all(one["ok"] for one in answers), answers)

    def test_ctrl_c(self) -> None:
        """What was asked is answered, and the process ends."""
        client = self.values()
        client.write(b"read! pump.state")
        self.ask(self.values(), "read relays.relay_1")
        self.twistd.send(signal.SIGINT)
        self.assertIn("ok", json.loads(client.read()))
        self.assertEqual(self.twistd.wait(), 0)
        self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", self.values_port), 1)
