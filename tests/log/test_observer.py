"""From events to lines: levels, styles, folding, and what a slow or full disk does."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.log.folding import Folding
from lumina_twisted.log.lines import as_json, as_text, for_journal
from lumina_twisted.log.observer import LogObserver, LogSettings, make_observer
from lumina_twisted.log.writer import Writer
from tests.twistd_process import ROOT


class Memory:
    """A sink that keeps lines, unless it is full or held up."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.error: OSError | None = None
        self.go_on = threading.Event()
        self.go_on.set()

    def write(self, lines: Sequence[bytes]) -> None:
        self.go_on.wait(30)
        if self.error is not None:
            raise self.error
        self.lines += lines


class FoldingTests(SynchronousTestCase):
    """What repeats itself is counted."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.folding = Folding(60, self.clock.seconds, lambda event, more: self.told.append(event["text"] + more))
        self.log = Logger(namespace="lumina.port.boiler", observer=self.folding.take)

    def dead(self, unit: int = 9) -> None:
        self.log.warn("{text}", text=f"unit {unit} is silent", fold=(unit,))

    def test_a_dead_device_for_an_hour(self) -> None:
        """3,600 failures are a handful of lines, and each failure is accounted for."""
        for _ in range(3600):
            self.dead()
            self.clock.advance(1)
        self.folding.finish()
        self.assertLess(len(self.told), 10)
        more = sum(int(found.replace(",", "")) for one in self.told for found in re.findall(r"\(([\d,]+) more", one))
        self.assertEqual(more + len(self.told), 3600)

    def test_different_ones_are_not_folded(self) -> None:
        self.dead(1)
        self.dead(2)
        self.dead(1)
        self.assertEqual(self.told, ["unit 1 is silent", "unit 2 is silent"])

    def test_told_when_it_ends(self) -> None:
        for _ in range(5):
            self.dead()
        self.clock.advance(61)
        self.folding.sweep()
        self.assertEqual(self.told[1:], ["unit 9 is silent (3 more like this in 60 s)"])

    def test_same_text_without_a_fold(self) -> None:
        for _ in range(3):
            self.log.error("{text}", text="broken")
        self.assertEqual(self.told, ["broken"])

    def test_what_is_not_folded(self) -> None:
        for _ in range(3):
            self.log.info("{text}", text="hello")
            self.log.debug("{text}", text="0103", fold=1)
        self.assertEqual(len(self.told), 6)

    def test_bounded(self) -> None:
        for unit in range(5000):
            self.dead(unit)
        self.assertEqual(len(self.told), 5000)
        self.assertLessEqual(len(self.folding._repeated), 1000)


class Lines(SynchronousTestCase):
    """One event in each style."""

    def event(self, **more: Any) -> LogEvent:
        seen: list[LogEvent] = []
        Logger(namespace="lumina.port.boiler", observer=seen.append).warn("unit {unit} is silent", unit=9, **more)
        return seen[0]

    def test_text(self) -> None:
        line = as_text(self.event(), " (3 more)").decode()
        self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} \[lumina\.port\.boiler#warn\] unit 9")
        self.assertTrue(line.endswith("silent (3 more)\n"))

    def test_json(self) -> None:
        told = json.loads(as_json(self.event(note="a\nb")))
        self.assertEqual((told["level"], told["name"], told["message"], told["unit"], told["note"]),
                         ("warn", "lumina.port.boiler", "unit 9 is silent", 9, "a\nb"))

    def test_journal(self) -> None:
        self.assertEqual(for_journal(self.event()), b"<4>[lumina.port.boiler] unit 9 is silent\n")

    def test_traceback(self) -> None:
        seen: list[LogEvent] = []
        log = Logger(namespace="x", observer=seen.append)
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            log.failure("it broke")
        self.assertIn("ZeroDivisionError", json.loads(as_json(seen[0]))["message"])
        self.assertEqual(as_text(seen[0]).count(b"\n"), as_text(seen[0]).count(b"\n\t") + 1)
        self.assertTrue(all(line.startswith(b"<2>") for line in for_journal(seen[0]).splitlines()))


class Writers(SynchronousTestCase):
    """A thread for each sink."""

    def setUp(self) -> None:
        self.sink = Memory()
        self.clock = Clock()
        self.reports: list[str] = []
        self.writer = Writer(self.sink, "the disk", 100, self.reports.append, now=self.clock.seconds)

    def test_in_order(self) -> None:
        for number in range(100):
            self.writer.put(b"%d" % number)
        self.assertTrue(self.writer.flush())
        self.assertEqual(self.sink.lines, [b"%d" % number for number in range(100)])

    def test_a_sink_that_is_stuck_holds_nobody_up(self) -> None:
        """What finds no room is counted, and told."""
        self.sink.go_on.clear()
        for _ in range(1000):
            self.writer.put(b"x\n")
        self.assertFalse(self.writer.flush(0.01))
        self.sink.go_on.set()
        self.assertTrue(self.writer.flush(30))
        written = self.sink.lines.count(b"x\n")
        (told,) = [line for line in self.sink.lines if line != b"x\n"]
        dropped = int(told.split()[0])
        self.assertEqual(written + dropped, 1000)
        self.assertIn(b"was too slow", told)

    def test_a_full_disk(self) -> None:
        """Told once, tried again now and then, and what is missing is counted in the log itself."""
        self.sink.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for _ in range(3):
            self.writer.write([b"x\n", b"y\n"])
        self.assertEqual(self.reports, [
            "the disk cannot be written (No space left on device); what is logged meanwhile is counted"
        ])
        self.clock.advance(1)
        self.writer.write([b"z\n"])
        self.sink.error = None
        self.writer.write([b"too early\n"])
        self.clock.advance(2)
        self.writer.write([b"back\n"])
        self.assertEqual(
            self.sink.lines, [b"8 events are missing here: the disk could not be written\n", b"back\n"]
        )
        self.assertIn("can be written again", self.reports[1])

    def test_dev_full(self) -> None:
        class Full:
            def write(self, lines: Sequence[bytes]) -> None:
                descriptor = os.open("/dev/full", os.O_WRONLY)
                try:
                    os.write(descriptor, b"".join(lines))
                finally:
                    os.close(descriptor)

        writer = Writer(Full(), "the log", 100, self.reports.append)
        writer.put(b"x\n")
        self.assertTrue(writer.flush())
        self.assertIn("No space left on device", self.reports[0])

    def test_in_the_process_that_forked(self) -> None:
        self.writer.put(b"parent\n")
        self.writer.flush()
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            self.writer.put(b"child\n")
            done = self.writer.flush(30)
            os.write(write_end, b"".join(self.sink.lines) + (b"!" if done else b"?"))
            os._exit(0)
        os.waitpid(child, 0)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            self.assertEqual(pipe.read(), b"parent\nchild\n!")


class Observers(SynchronousTestCase):
    """The whole way to a file."""

    def make(self, **settings: Any) -> LogObserver:
        self.folder = pathlib.Path(self.mktemp())
        self.reports: list[str] = []
        self.stamp = 1_795_000_000.0
        return make_observer(
            LogSettings(console="off", directory=str(self.folder), **settings), report=self.reports.append,
            stamp=lambda: self.stamp,
        )

    def text(self) -> str:
        return (self.folder / "lumina.log").read_text()

    def test_levels(self) -> None:
        observer = self.make(level="warn", levels={"port.boiler": "debug", "lumina.line": "error"})
        for namespace in ("lumina", "lumina.port.boiler", "lumina.port.pv", "lumina.line"):
            log = Logger(namespace=namespace, observer=observer)
            log.debug("debug")
            log.warn("warn")
        observer.close()
        found = re.findall(r"\[(\S+)#(\w+)\]", self.text())
        self.assertEqual(found, [
            ("lumina", "warn"), ("lumina.port.boiler", "debug"), ("lumina.port.boiler", "warn"),
            ("lumina.port.pv", "warn"),
        ])
        self.assertTrue(observer.is_logged("lumina.port.boiler", "debug"))
        self.assertFalse(observer.is_logged("lumina.port.pv", "info"))

    def test_sixty_thousand_events(self) -> None:
        """Day and size are passed several times: no file is too large, and no event is lost."""
        observer = self.make(file_size=500_000, buffer=100_000, keep=100)
        log = Logger(namespace="lumina.port.boiler", observer=observer)
        for number in range(60_000):
            log.info("event {number}", number=number)
            if number % 20_000 == 19_999:
                for writer, _ in observer._writers:
                    self.assertTrue(writer.flush(60))
                self.stamp += 86400
        observer.close()
        files = sorted(self.folder.iterdir())
        self.assertGreater(len(files), 8)
        self.assertLessEqual(max(one.stat().st_size for one in files), 500_000)
        numbers = [int(one) for file in files for one in re.findall(r"event (\d+)", file.read_text())]
        self.assertEqual(sorted(numbers), list(range(60_000)))
        self.assertEqual(len({file.name.split(".")[2] for file in files if file.name != "lumina.log"}), 3)

    def test_folder_that_cannot_be_made(self) -> None:
        self.make()
        self.folder.write_text("a file")
        observer = make_observer(
            LogSettings(console="off", directory=str(self.folder / "logs")), report=self.reports.append
        )
        Logger(namespace="x", observer=observer).info("hello")
        observer.close()
        self.assertIn("cannot be written (Not a directory)", self.reports[0])

    def test_settings(self) -> None:
        self.assertEqual(LogSettings().directory, "logs")
        self.assertEqual(LogSettings().file_size, 5_000_000)


class ForUsers(SynchronousTestCase):
    """LuminaLogger in a plain script."""

    def test_as_the_mission_prints_it(self) -> None:
        folder = pathlib.Path(self.mktemp())
        folder.mkdir()
        script = (
            "from lumina_twisted.helpers import LuminaLogger\n"
            'logger = LuminaLogger("MyApplication")\n'
            'logger.info("Application started")\n'
            'logger.debug("Debug information")\n'
            'logger.error("Error occurred")\n'
            'logger.warning("100 % of {braces}")\n'
            'logger.critical("over")\n'
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True, timeout=60,
        )
        written = (folder / "logs" / "MyApplication.log").read_text()
        self.assertEqual(written, done.stdout)
        said = re.findall(r"\[MyApplication#(\w+)\] (.*)", written)
        self.assertEqual(said, [
            ("info", "Application started"), ("debug", "Debug information"), ("error", "Error occurred"),
            ("warn", "100 % of {braces}"), ("critical", "over"),
        ])
