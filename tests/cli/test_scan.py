"""``lumina scan`` on buses that are busy, broken or behind a gateway; the server is a script."""

from __future__ import annotations

import io
import json
import sys
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.cli import scan
from lumina_twisted.cli.output import Bar, Lines, OneLine, Output, progress
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.lineproto import Command
from tests.cli.case import run_main
from tests.cli.scripted_server import ScriptedServer, lumina

SILENT = "timeout unit did not answer"
VALUE = b"\x03\x02\x00\x08"


def unit(number: int, command: Command) -> bytes | str:
    """A bus with one unit that can say nothing of itself."""
    if command.frame[0] != number:
        return SILENT
    return encode_adu(number, VALUE) if command.frame[1] == 3 else "exception 1 illegal function"


class Scans(SynchronousTestCase):
    """No pause is waited for; it is noted."""

    def setUp(self) -> None:
        self.pauses: list[float] = []

        async def note(seconds: float) -> None:
            self.pauses.append(seconds)

        self.patch(scan, "sleep", note)

    def test_found(self) -> None:
        with lumina(lambda command: unit(4, command), stats=lambda: "bus  nothing yet") as server:
            status, out, err = run_main("scan", "bus", "--units", "3-5", "--server", server.place)
        self.assertEqual((status, out, err), (0, "unit 4: answers\n", "1 unit found\n"))

    def test_a_unit_that_is_offline(self) -> None:
        """Others have asked it in vain: it is silent, and the next one may answer."""
        offline = "unit_offline not sent, unit 4 does not answer"
        with lumina(lambda command: offline if command.frame[0] == 4 else unit(5, command)) as server:
            status, out, err = run_main("scan", "bus", "--units", "4-5", "--server", server.place)
        self.assertEqual((status, out, err), (0, "unit 5: answers\n", "1 unit found\n"))

    def test_what_a_unit_said_a_moment_ago_is_no_answer(self) -> None:
        asked: list[Command] = []
        with lumina(lambda command: asked.append(command) or unit(4, command)) as server:  # type: ignore[func-returns-value]
            run_main("scan", "bus", "--units", "4", "--server", server.place)
        self.assertEqual({one.max_age for one in asked}, {0.0})

    def test_an_exception_is_an_answer(self) -> None:
        with lumina(lambda command: "exception 1 illegal function") as server:
            status, out, _ = run_main("scan", "bus", "--units", "7", "--server", server.place)
        self.assertEqual((status, out), (0, "unit 7: exception 1\n"))

    def test_a_gateway_that_finds_nobody(self) -> None:
        """Exceptions 10 and 11 come from a gateway, not from a unit."""
        for code in (10, 11):
            with lumina(lambda command, code=code: f"exception {code} gateway") as server:  # type: ignore[misc]
                status, out, err = run_main("scan", "bus", "--units", "7", "--server", server.place)
            self.assertEqual((status, out), (1, ""))
            self.assertEqual(err, "no unit answered on bus; are baud rate, parity and wiring right?\n")

    def test_a_found_unit_is_not_asked_again(self) -> None:
        asked: list[tuple[int, int]] = []

        def answer(command: Command) -> bytes | str:
            if command.frame[1] == 3:
                asked.append((command.baudrate, command.frame[0]))
            return unit(1, command) if command.baudrate == 9600 else SILENT

        with lumina(answer) as server:
            words = ("scan", "bus", "--units", "1-2", "--baudrates", "4800,9600,19200", "--server", server.place)
            self.assertEqual(run_main(*words)[1], "unit 1: answers, 9600\n")
        self.assertEqual(asked, [(4800, 1), (4800, 2), (9600, 1), (9600, 2), (19200, 2), (9600, 2)])

    def test_a_busy_bus(self) -> None:
        """What had no turn is asked again, a little later."""
        said = iter(["expired no turn", "queue_full too many", "overloaded too long", encode_adu(1, VALUE)])
        with lumina(lambda command: next(said, "exception 1 illegal function")) as server:
            status, out, _ = run_main("scan", "bus", "--units", "1", "--server", server.place)
        self.assertEqual((status, out), (0, "unit 1: answers\n"))
        self.assertEqual(self.pauses[:3], [scan.LONGEST_PAUSE] * 3)

    def test_a_bus_that_is_always_busy(self) -> None:
        with lumina(lambda command: "queue_full 100 requests wait") as server:
            status, out, err = run_main("scan", "bus", "--units", "1-9", "--server", server.place)
        self.assertEqual((status, out, err), (1, "", "lumina: 100 requests wait\n"))
        self.assertEqual(len(self.pauses), scan.ATTEMPTS - 1)

    def test_a_port_that_is_closed(self) -> None:
        """There is no use in going on; what was found is told."""
        said = iter([encode_adu(1, VALUE), "exception 1 illegal function"])
        with lumina(lambda command: next(said, "port_closed bus is unplugged")) as server:
            status, out, err = run_main("scan", "bus", "--units", "1-9", "--server", server.place)
        self.assertEqual((status, out), (1, "unit 1: answers\n"))
        self.assertEqual(err, "1 unit found so far\nlumina: bus is unplugged\n")

    def test_settings_that_the_port_does_not_take(self) -> None:
        """The other ones are tried."""

        def answer(command: Command) -> bytes | str:
            return "not_sent bus does not take parity M" if command.parity == "M" else unit(2, command)

        with lumina(answer) as server:
            status, out, err = run_main(
                "scan", "bus", "--units", "1-2", "--parities", "M,E", "--server", server.place
            )
        self.assertEqual((status, out), (0, "unit 2: answers, E\n"))
        self.assertEqual(err, "M: bus does not take parity M\n1 unit found\n")

    def test_room_for_others(self) -> None:
        """It pauses when others used the bus, and only then; a silent unit is asked twice."""
        for others, pauses in ((0, 0), (1, 6)):
            self.pauses.clear()
            with busy(others) as server:
                run_main("scan", "/dev/bus", "--units", "1-3", "--server", server.place)
            self.assertEqual(len(self.pauses), pauses)


DAMAGED = "timeout the reply of unit 3 on bus to function 3 came with a wrong CRC, asked once; check the wiring"
CUT = "timeout the reply of unit 3 on bus to function 3 came cut short, asked once; check the wiring"
JUNK = "timeout the reply of unit 3 on bus to function 3 came unreadable, asked once; check the wiring"


class ANoisyBus(SynchronousTestCase):
    """Row A16: what a retry would have healed is no silence."""

    def scan(self, *said: bytes | str, units: str = "3", then: bytes | str = "") -> tuple[int, str, str]:
        """Unit 3 answers a read in this way, one after the other, and then the last for ever; others are silent."""
        replies = list(said)
        self.asked: list[int] = []

        def answer(command: Command) -> bytes | str:
            number, function = command.frame[:2]
            if number != 3 or function != 3:
                return "exception 1 illegal function" if number == 3 else SILENT
            self.asked.append(number)
            return replies.pop(0) if len(replies) > 1 else replies[0]

        with lumina(answer) as server:
            return run_main("scan", "bus", "--units", units, "--server", server.place)

    def test_a16_damaged_replies_are_counted(self) -> None:
        good = encode_adu(3, VALUE)
        status, out, err = self.scan(DAMAGED, good, DAMAGED, CUT, good, units="2-4")
        self.assertEqual(status, 0)
        self.assertEqual(
            out, "unit 3: answers, but damaged: 2 of 20 replies with a wrong CRC, 1 of 20 replies cut short\n"
        )
        self.assertTrue(err.startswith("1 unit found\nreplies of 3 come damaged; check the wiring"), err)

    def test_a16_a_unit_that_is_only_damaged_is_there(self) -> None:
        status, out, err = self.scan(DAMAGED)
        self.assertEqual((status, out), (0, "unit 3: there, but damaged: 20 of 20 replies with a wrong CRC\n"))
        self.assertNotIn("no unit answered", err)

    def test_a16_a_request_that_was_lost_is_sent_once_more(self) -> None:
        good = encode_adu(3, VALUE)
        status, out, _ = self.scan(SILENT, good)
        self.assertEqual((status, out), (0, "unit 3: answers, but 1 of 20 requests without any reply\n"))

    def test_a16_what_begins_as_no_reply_is_told_and_no_unit(self) -> None:
        """A wrong baud rate looks like this."""
        status, out, err = self.scan(JUNK)
        self.assertEqual((status, out, len(self.asked)), (1, "", scan.NOISE_SAMPLE + 1))
        self.assertIn("something came on bus when 3 was asked, but nothing that begins as a reply;", err)

    def test_a16_noise_over_a_good_unit(self) -> None:
        good = encode_adu(3, VALUE)
        status, out, err = self.scan(JUNK, JUNK, good)
        self.assertEqual((status, out), (0, "unit 3: answers, but damaged: 2 of 20 replies unreadable\n"))
        self.assertNotIn("something came", err)

    def test_a16_a_silent_unit_is_asked_twice_and_not_more(self) -> None:
        status, out, err = self.scan(SILENT)
        self.assertEqual((status, out, len(self.asked)), (1, "", 2))
        self.assertEqual(err, "no unit answered on bus; are baud rate, parity and wiring right?\n")

    def test_a16_a_good_unit_is_asked_once(self) -> None:
        self.scan(encode_adu(3, VALUE))
        self.assertEqual(len(self.asked), 1)

    def test_a16_an_identity_that_comes_damaged(self) -> None:
        """The read went well by chance."""

        def answer(command: Command) -> bytes | str:
            return encode_adu(3, VALUE) if command.frame[1] == 3 else DAMAGED

        with lumina(answer) as server:
            status, out, _ = run_main("scan", "bus", "--units", "3", "--server", server.place)
        self.assertEqual(
            (status, out), (0, "unit 3: answers, but damaged: 3 of 20 replies with a wrong CRC\n")
        )

    def test_a16_in_json(self) -> None:
        with lumina(lambda command: DAMAGED) as server:
            _, out, _ = run_main("scan", "bus", "--units", "3", "--json", "--server", server.place)
        told = json.loads(out.splitlines()[0])
        self.assertEqual((told["asked"], told["silent"], told["answer"]), (20, 0, ""))
        self.assertEqual(told["damaged"], {"wrong_crc": 20, "cut": 0, "unreadable": 0})


def busy(others: int) -> ScriptedServer:
    """A bus without units, on which others ask ``others`` times as often as we."""
    asked: list[Command] = []

    def answer(command: Command) -> str:
        asked.append(command)
        return SILENT

    return lumina(answer, stats=lambda: f"bus  requests {len(asked) * (1 + others)}, timeouts {len(asked)}")


class ATerminal(io.StringIO):
    """Where a person looks."""

    def isatty(self) -> bool:
        """It is one."""
        return True


class ShownProgress(SynchronousTestCase):
    """How far it is."""

    def test_lines_now_and_then(self) -> None:
        err, now = io.StringIO(), 0.0
        lines = Lines(30, Output(err=err), lambda: now)
        for step in range(30):
            now = float(step)
            lines.step(f"unit {step}")
        self.assertEqual(err.getvalue(), "11 of 30: unit 10\n21 of 30: unit 20\n")

    def test_terminal_with_and_without_rich(self) -> None:
        """What is printed meanwhile stands on a line of its own, and nothing of the progress stays."""
        for rich, kind in (("rich", Bar), ("none", OneLine)):
            err = ATerminal()
            missing = {"rich": None} if rich != "rich" else {}
            with mock.patch.dict(sys.modules, missing), progress(3, Output(err=err)) as bar:
                self.assertIsInstance(bar, kind)
                bar.step("unit 1")
                with bar.aside():
                    self.assertTrue(err.getvalue().endswith("\x1b[2K" if rich == "rich" else "\r\x1b[K"))
                bar.step("unit 2")
            self.assertIn("unit 2", err.getvalue())

    def test_nothing_with_json(self) -> None:
        err = ATerminal()
        with progress(3, Output(True, err=err)) as bar:
            bar.step("unit 1")
        self.assertEqual(err.getvalue(), "")
