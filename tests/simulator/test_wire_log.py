"""The log of what came over simulated buses: its words, its file, and what becomes of it when the disk is full."""

from __future__ import annotations

import os
import pathlib

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import ConfigError
from lumina_twisted.simulator.wire_log import (
    FLUSH_AFTER,
    LINES_AT_ONCE,
    NEXT_AFTER,
    OnWire,
    WireLog,
    reply_text,
    request_text,
)


def event(number: int = 0) -> OnWire:
    """One that can be told from others."""
    return OnWire(number, "bus", True, b"\x01\x02", "what")


LINE = len(str(event())) + 1
"""Bytes of such a line."""


class WordsTests(SynchronousTestCase):
    """Frames in words, events as lines."""

    def told(self, text: str) -> str:
        return request_text(1, bytes.fromhex(text))

    def test_requests(self) -> None:
        self.assertEqual(self.told("03 0005 0002"), "unit 1: read holding registers, address 5, quantity 2")
        self.assertEqual(self.told("10 0005 0001 02 0007"), "unit 1: write multiple registers, address 5, values 7")
        self.assertEqual(self.told("05 0005 ff00"), "unit 1: write single coil, address 5, value True")
        self.assertEqual(self.told("41 0102"), "unit 1: function 65, data 01 02")
        self.assertEqual(self.told("07"), "unit 1: read exception status")

    def test_what_is_no_request(self) -> None:
        self.assertIn("unit 1: wrong: ReadHoldingRegistersRequest: quantity 0 ", self.told("03 0005 0000"))

    def test_replies(self) -> None:
        self.assertEqual(
            reply_text(1, bytes.fromhex("03 04 0007 0008")), "unit 1: read holding registers, values 7 8"
        )
        self.assertEqual(reply_text(1, b"\x83\x02"), "unit 1: exception 2 illegal data address")
        self.assertEqual(
            reply_text(1, bytes.fromhex("01 01 05")), "unit 1: read coils, values 1 0 1 0 0 0 0 0"
        )

    def test_lines(self) -> None:
        one = OnWire(1.5, "heating", True, b"\x01\x83", "what")
        self.assertEqual(str(one), "1970-01-01T00:00:01.500000Z\theating\t>\t01 83\twhat\t")
        other = OnWire(0.0, "heating", False, b"", "nothing is sent", ("silence", "late"))
        self.assertEqual(
            str(other), "1970-01-01T00:00:00.000000Z\theating\t<\t\tnothing is sent\tsilence, late"
        )


class FileTests(SynchronousTestCase):
    """Lines in a file, in their order and not at once."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = self.mktemp()

    def log(self, path: str = "", **options: int) -> WireLog:
        """One that is closed at the end, and leaves nothing to call."""
        log = WireLog(self.clock, path or self.path, **options)
        self.addCleanup(self.assertEqual, self.clock.getDelayedCalls(), [])
        self.addCleanup(log.close)
        return log

    def lines(self, path: str = "") -> list[str]:
        """What the file holds."""
        return pathlib.Path(path or self.path).read_text().splitlines()

    def test_written_a_little_later(self) -> None:
        log = self.log()
        log(event(1))
        log(event(2))
        self.assertEqual(self.lines(), [])
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual(self.lines(), [str(event(1)), str(event(2))])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_written_at_the_end(self) -> None:
        log = self.log()
        for number in range(3 * LINES_AT_ONCE):
            log(event(number))
        log.close()
        self.assertEqual(self.lines(), [str(event(number)) for number in range(3 * LINES_AT_ONCE)])

    def test_added_to_what_is_there(self) -> None:
        pathlib.Path(self.path).write_text("before\n")
        log = self.log()
        log(event())
        log.close()
        self.assertEqual(self.lines(), ["before", str(event())])

    def test_many_lines_take_several_turns(self) -> None:
        """So that other work has its turn between them."""
        log = self.log()
        for number in range(2 * LINES_AT_ONCE):
            log(event(number))
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual(len(self.lines()), LINES_AT_ONCE)
        self.clock.advance(NEXT_AFTER)
        self.assertEqual(len(self.lines()), 2 * LINES_AT_ONCE)

    def test_bounded_in_memory(self) -> None:
        """What is too much is counted, and the file says so."""
        log = self.log(waiting=10)
        for number in range(13):
            log(event(number))
        self.assertEqual(log.dropped, 3)
        self.clock.advance(FLUSH_AFTER)
        expected = [*map(str, map(event, range(10))), "# 3 lines were dropped: they could not be written in time"]
        self.assertEqual(self.lines(), expected)
        log(event(99))
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual(self.lines()[11:], [str(event(99))])

    def test_begun_anew_at_its_size(self) -> None:
        log = self.log(size=2 * LINE)
        for number in range(5):
            log(event(number))
            self.clock.advance(FLUSH_AFTER)
        self.assertEqual(self.lines(), [str(event(4))])
        self.assertEqual(self.lines(f"{self.path}.1"), [str(event(2)), str(event(3))])

    def test_folder_that_is_not_there(self) -> None:
        error = self.assertRaises(ConfigError, WireLog, self.clock, "/nowhere/at/all")
        self.assertEqual(str(error), "log.path: /nowhere/at/all cannot be written (No such file or directory)")

    def test_full_disk(self) -> None:
        """It is said once, lines wait, and what goes beyond is dropped."""
        log = self.log("/dev/full", waiting=10)
        for number in range(20):
            log(event(number))
        for _ in range(5):
            self.clock.advance(FLUSH_AFTER)
        log(event())
        self.assertEqual(log.dropped, 10)
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_pipe_that_nobody_empties(self) -> None:
        """It waits and does not block; what is read later comes whole and in order."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        log = self.log()
        expected = "".join(f"{event(number)}\n" for number in range(5 * LINES_AT_ONCE))
        for number in range(5 * LINES_AT_ONCE):
            log(event(number))
        got = b""
        while len(got) < len(expected):
            self.clock.advance(FLUSH_AFTER)
            for _ in range(3):
                self.clock.advance(NEXT_AFTER)
            got += os.read(reader, 1 << 20)
        self.assertEqual(got.decode(), expected)
