"""A log file that is rotated by size and by day."""

from __future__ import annotations

import calendar
import os
import pathlib
import time

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.log.rotating import RotatingFile, day_of

NOON = float(calendar.timegm((2026, 11, 20, 12, 0, 0)))
DAY = 86400.0


class Rotating(SynchronousTestCase):
    """Time is told by the test."""

    def setUp(self) -> None:
        self.folder = pathlib.Path(self.mktemp())
        self.stamp = NOON
        self.file = self.make()
        self.addCleanup(lambda: self.file.close())

    def make(self, size: int = 100, keep: int = 30) -> RotatingFile:
        return RotatingFile(self.folder / "lumina.log", size, keep, lambda: self.stamp)

    def found(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.folder.iterdir())}

    def test_size_is_looked_at_before(self) -> None:
        for _ in range(5):
            self.file.write([b"x" * 39 + b"\n"] * 2)
        sizes = [path.stat().st_size for path in self.folder.iterdir()]
        self.assertEqual((max(sizes), sum(sizes)), (80, 400))

    def test_exactly_full(self) -> None:
        self.file.write([b"x" * 49 + b"\n"] * 2)
        self.assertEqual(list(self.found()), ["lumina.log"])

    def test_line_longer_than_a_file(self) -> None:
        self.file.write([b"y" * 500 + b"\n"])
        self.assertEqual(len(self.found()["lumina.log"]), 100)

    def test_each_day(self) -> None:
        self.file.write([b"friday\n"])
        self.stamp += DAY
        self.file.write([b"saturday\n"])
        self.stamp += DAY
        self.file.write([b"sunday\n"])
        self.assertEqual(self.found(), {
            "lumina.log": "sunday\n", "lumina.log.2026-11-20.001": "friday\n",
            "lumina.log.2026-11-21.001": "saturday\n",
        })

    def test_several_on_one_day_are_numbered(self) -> None:
        for number in range(4):
            self.file.write([b"%d" % number + b"x" * 60 + b"\n"])
        self.assertEqual(
            list(self.found()), ["lumina.log", *(f"lumina.log.2026-11-20.00{number}" for number in (1, 2, 3))]
        )

    def test_day_over_while_it_was_not_running(self) -> None:
        self.file.write([b"friday\n"])
        self.file.close()
        os.utime(self.folder / "lumina.log", (NOON, NOON))
        self.stamp += 3 * DAY
        self.file = self.make()
        self.file.write([b"monday\n"])
        self.assertEqual(self.found(), {"lumina.log": "monday\n", "lumina.log.2026-11-20.001": "friday\n"})

    def test_clock_set_back(self) -> None:
        self.file.write([b"one\n"])
        self.stamp -= 2 * DAY
        self.file.write([b"two\n"])
        self.assertEqual(self.found(), {"lumina.log": "one\ntwo\n"})

    def test_only_so_many_are_kept(self) -> None:
        self.file = self.make(keep=3)
        for number in range(12):
            self.file.write([b"%02d" % number + b"x" * 60 + b"\n"])
        self.assertEqual([text[:2] for text in self.found().values()], ["11", "08", "09", "10"])

    def test_removed_or_moved_by_somebody(self) -> None:
        self.file.write([b"one\n"])
        (self.folder / "lumina.log").rename(self.folder / "mine")
        self.file.write([b"two\n"])
        (self.folder / "lumina.log").unlink()
        (self.folder / "mine").unlink()
        self.folder.rmdir()
        self.file.write([b"three\n"])
        self.assertEqual(self.found(), {"lumina.log": "three\n"})

    def test_another_writes_it(self) -> None:
        self.file.write([b"first\n"])
        other = self.make()
        self.addCleanup(other.close)
        other.write([b"second\n"])
        self.assertEqual(self.found(), {"lumina.log": "first\n", f"lumina-{os.getpid()}.log": "second\n"})

    def test_day_is_the_local_one(self) -> None:
        before = os.environ.get("TZ")
        self.addCleanup(self.set_zone, before)
        self.set_zone("Pacific/Kiritimati")
        self.assertEqual(day_of(NOON), "2026-11-21")

    def set_zone(self, zone: str | None) -> None:
        os.environ.pop("TZ", None)
        if zone is not None:
            os.environ["TZ"] = zone
        time.tzset()
