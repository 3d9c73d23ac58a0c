"""The command ``lumina`` against a real daemon with the demo's devices."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pty
import subprocess

from lumina_twisted.cli.scan import units
from lumina_twisted.lineproto import parse_command
from tests.cli.case import LUMINA, CommandCase
from tests.cli.scripted_server import lumina
from tests.twistd_process import ROOT, Twistd, environment, free_tcp_port


class Values(CommandCase):
    """read, write and send."""

    def test_read(self) -> None:
        self.assertRegex(self.said("read", "demo1", "1", "input", "0"), r"^0 2\d\d\n$")
        self.assertEqual(self.said("read", "demo1", "2", "holding-registers", "0x0"), "0 8\n")
        self.assertEqual(self.told("read", "demo1", "2", "holding", "0"), [
            {"port": "demo1", "unit": 2, "table": "holding", "address": 0, "value": 8}
        ])

    def test_write_and_read_back(self) -> None:
        for values, options, shown in (
            (["-3"], ["--type", "i16"], "40 -3\n"),
            (["21.5", "-3"], ["--type", "f32", "--word-order", "little"], "40 21.5\n42 -3.0\n"),
            (["123456789"], ["--type", "u32", "--byte-order", "little"], "40 123456789\n"),
            (["0xFFFF"], ["--multiple"], "40 65535\n"),
            (["hello", "you"], ["--type", "string", "--length", "5"], "40 hello you\n"),
        ):
            self.assertIn("confirmed", self.said("write", "demo1", "2", "holding", "40", *values, *options))
            count = "1" if "string" in options else str(len(values))
            read = [one for one in options if one != "--multiple"]
            self.assertEqual(self.said("read", "demo1", "2", "holding", "40", "--count", count, *read), shown)

    def test_coils(self) -> None:
        self.assertEqual(self.said("write", "demo1", "2", "coil", "3", "on"), "coil 3: confirmed\n")
        self.assertEqual(self.said("write", "demo1", "2", "coils", "4", "on", "off"), "coil 4 to 5: confirmed\n")
        self.assertEqual(self.said("read", "demo1", "2", "coil", "3", "--count", "3"), "3 on\n4 on\n5 off\n")

    def test_ways_to_show_registers(self) -> None:
        self.said("write", "demo1", "2", "holding", "60", "0x0AFF")
        self.assertEqual(self.said("read", "demo1", "2", "holding", "60", "--type", "hex"), "60 0AFF\n")
        self.assertEqual(self.said("read", "demo1", "2", "holding", "60", "--type", "bits"), "60 0000101011111111\n")

    def test_long_range_in_several_requests(self) -> None:
        self.assertEqual(len(self.said("read", "demo1", "2", "holding", "0", "--count", "300").splitlines()), 300)

    def test_send(self) -> None:
        self.assertEqual(self.said("send", "demo1", "020300000001"), "0203020008FD82\n")
        self.assertEqual(self.said("send", "demo1", "02 03 0000 0001", "8439"), "0203020008FD82\n")

    def test_turns(self) -> None:
        frames = {3: "0203020008FD82", 5: "02050000FF008C09"}
        with lumina(lambda command: bytes.fromhex(frames[command.frame[1]])) as server:
            for words in (
                ("read", "bus", "2", "holding", "0", "--priority", "LOW", "--max-age", "2.5"),
                ("read", "bus", "2", "holding", "0", "--max-age", "0"), ("read", "bus", "2", "holding", "0"),
                ("write", "bus", "2", "coil", "0", "on", "--priority", "high"),
                ("send", "bus", "020300000001", "--priority", "normal"),
            ):
                self.said(*words, "--server", server.place)
        told = [(one.priority, one.max_age) for one in map(parse_command, server.asked)]
        self.assertEqual(told, [("low", 2.5), (None, 0.0), (None, None), ("high", None), ("normal", None)])

    def test_turns_that_cannot_be(self) -> None:
        read = ("read", "demo1", "2", "holding", "0")
        for words, sentence in (
            ((*read, "--priority", "urgent"), "'urgent' is no priority; write high, normal or low"),
            ((*read, "--max-age", "3601"), "'3601' is no age; give a number from 0 to 3600\n"),
            ((*read, "--max-age", "nan"), "no age"),
            (("write", "demo1", "2", "coil", "0", "on", "--max-age", "1"), "'--max-age' is no option here"),
        ):
            status, _, err = self.run_command(*words)
            self.assertEqual(status, 2)
            self.assertIn(sentence, err)

    def test_a_value_of_a_moment_ago(self) -> None:
        """From the command line through a server to its bus, which is not asked again."""
        with Twistd("--demo") as twistd:
            server = f"127.0.0.1:{twistd.tcp_port}"
            for _ in range(3):
                self.said("read", "demo1", "2", "holding", "0", "--max-age", "3600", "--server", server)
            # A poll of the demo may come between.
            self.assertRegex(self.said("stats", "--server", server), r"demo1  requests \d+, replies \d+, fresh 2,")

    def test_broadcast(self) -> None:
        self.assertIn("do not answer", self.said("write", "demo1", "0", "coil", "7", "on"))

    def test_what_the_device_says(self) -> None:
        status, out, err = self.run_command("read", "demo1", "2", "holding", "9999")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "lumina: unit 2 refused function 3: exception 2 illegal data address\n")
        (told,) = self.told("read", "demo1", "2", "holding", "9999")
        self.assertEqual((told["error"], told["code"]), ("exception", 2))

    def test_register_numbers_of_manuals(self) -> None:
        self.assertIn("its address is 11", self.run_command("read", "demo1", "2", "holding", "40012")[2])

    def test_unknown_outcome(self) -> None:
        status, _, err = self.run_command("write", "demo1", "9", "coil", "0", "on", "--timeout", "1")
        self.assertEqual(status, 1)
        self.assertIn("Read it back before you write it again", err)


class AboutTheServer(CommandCase):
    """ports, stats, scan and the console."""

    def test_ports(self) -> None:
        self.assertIn("demo1", self.said("ports"))
        told = self.told("ports")
        # Another test may have made a unit of the shared daemon offline.
        found = [(one["name"], one["serial"], one["state"].partition(",")[0]) for one in told]
        self.assertEqual(found, [("demo1", "19200 8N1", "open"), ("demo2", "9600 8N1", "open")])

    def test_stats(self) -> None:
        self.said("read", "demo1", "2", "holding", "0")
        rows = self.told("stats")
        listener, demo1, demo2 = (row for row in rows if row["what"] in ("listener", "port"))
        self.assertEqual(listener["clients"], 1)
        self.assertGreaterEqual(demo1["replies"], 1)
        self.assertGreater(demo1["bus"]["p99"], 0)
        self.assertEqual(demo2["name"], "demo2")
        self.assertIn(("demo1", 2), [(row["port"], row["unit"]) for row in rows if row["what"] == "unit"])
        self.assertRegex(self.said("stats"), r"\ndemo1 wire  used .* of the last minute")

    def test_scan(self) -> None:
        status, out, err = self.run_command("scan", "demo1", "--units", "1-3")
        self.assertEqual((status, err), (0, "3 units found\n"))
        self.assertEqual(out.splitlines(), [
            "unit 1: answers, Lumina thermometer 1.0", "unit 2: answers, Lumina relay board 1.0",
            "unit 3: answers, XY XY-MD02 1.0",
        ])

    def test_scan_settings(self) -> None:
        found = self.told("scan", "demo2", "--units", "1", "--baudrates", "4800,9600", "--function", "4")
        self.assertEqual([(one["unit"], one["baudrate"]) for one in found], [(1, 9600)])

    def test_scan_finds_nobody(self) -> None:
        status, out, err = self.run_command("scan", "demo1", "--units", "77")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("no unit answered on demo1", err)

    def test_units(self) -> None:
        self.assertEqual(units("1-3,7,2"), (1, 2, 3, 7))
        for wrong in ("", "0", "5-1", "1-256", "x", "1,,2"):
            self.assertRaises(ValueError, units, wrong)

    def test_console_of_a_pipe(self) -> None:
        typed = (
            "read demo1 2 holding 0\nread demo1 2 nothing 0\nports\na:x:demo1:19200:0203000000018439:7\n\nbye\nports\n"
        )
        done = subprocess.run(
            [*LUMINA, "console"], input=typed, env={**environment(), **os.environ}, capture_output=True, text=True,
            timeout=60, check=False,
        )
        first, one, two, reply = done.stdout.splitlines()
        self.assertEqual((done.returncode, first), (2, "0 8"))
        self.assertRegex(one + two, "demo1 .*demo2 ")
        self.assertRegex(reply, r"^a:0203020008FD82:\d")
        self.assertIn("there is no table 'nothing'", done.stderr)

    def test_console_of_a_person(self) -> None:
        """On a terminal it has a prompt, and `bye` leaves."""
        parent, child = pty.openpty()
        process = subprocess.Popen(
            [*LUMINA, "console"], stdin=child, stdout=child, stderr=child,
            env={**environment(), **os.environ, "HOME": self.mktemp(), "TERM": "dumb"}, close_fds=True,
        )
        os.close(child)
        seen = b""
        with contextlib.suppress(OSError):  # the terminal ends with it
            while b"lumina> " not in seen:
                seen += os.read(parent, 4096)
            os.write(parent, b"read demo1 2 holding 0\r")
            while b"0 8" not in seen:
                seen += os.read(parent, 4096)
            os.write(parent, b"bye\r")
            while chunk := os.read(parent, 4096):
                seen += chunk
        self.assertEqual(process.wait(60), 0, seen)
        os.close(parent)

    def test_reader_that_has_enough(self) -> None:
        done = subprocess.run(
            ["bash", "-c", 'set -o pipefail; "$@" | head -1; echo ${PIPESTATUS[0]}', "bash", *LUMINA, "read", "demo1",
             "2", "holding", "0", "--count", "900"],
            env={**environment(), **os.environ}, capture_output=True, text=True, timeout=60, check=False,
        )
        self.assertEqual((done.stdout.splitlines()[0], done.stderr), ("0 8", ""))


class Local(CommandCase):
    """Commands that need no server."""

    def test_version_and_help(self) -> None:
        self.assertRegex(self.said("--version"), r"^Lumina \d")
        for command in ("read", "write", "send", "scan", "console", "simulate", "check-config", "stats", "ports"):
            self.assertIn("usage: ", self.said(command, "--help"))
            self.assertTrue(command in {"stats", "ports"} or "examples:" in self.said(command, "--help"), command)

    def test_completion(self) -> None:
        for shell in ("bash", "zsh"):
            self.assertIn("check-config", self.said("completion", shell))

    def test_check_config(self) -> None:
        self.assertIn("is fine", self.said("check-config", str(ROOT / "etc" / "lumina.toml")))

    def test_run(self) -> None:
        done = subprocess.run(
            [*LUMINA, "run", "--port", "/dev/null", "--check"], env=environment(), capture_output=True, text=True,
            timeout=60, check=False,
        )
        self.assertIn("is fine", done.stdout + done.stderr)

    def test_simulate(self) -> None:
        """A daemon reads from what it simulates."""
        folder = pathlib.Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "simulation.toml").write_text(
            f'[buses.roof]\nlink = "{folder}/roof"\n[buses.roof.units.5.holding_registers]\n3 = 77\n'
        )
        process = subprocess.Popen(
            [*LUMINA, "simulate", str(folder / "simulation.toml")], stdout=subprocess.PIPE, text=True,
            env=environment(),
        )
        assert process.stdout is not None
        try:
            self.assertIn(f"{folder}/roof, 9600 baud, unit 5", process.stdout.readline())
            with Twistd("--port", f"roof={folder}/roof") as twistd:
                where = f"127.0.0.1:{twistd.tcp_port}"
                self.assertEqual(self.said("read", "roof", "5", "holding", "3", "--server", where), "3 77\n")
        finally:
            process.terminate()
            self.assertEqual(process.wait(30), 0)
            process.stdout.close()
        self.assertFalse((folder / "roof").is_symlink())


WRONG = (
    ("", "as `lumina read demo1 1 input 0`"),
    ("reed demo1", "did you mean 'read'?"),
    ("fetch", "there are read, write"),
    ("read", "write `lumina read PORT UNIT TABLE ADDRESS`"),
    ("read demo1 1 inputt 0", "did you mean 'input'?"),
    ("read demo1 900 input 0", "give a number from 0 to 255"),
    ("read demo1 one input 0", "give a number from 0 to 255"),
    ("read demo1 0 input 0", "give a unit from 1 to 247"),
    ("read demo1 1 input 70000", "give a number from 0 to 65535"),
    ("read demo1 1 input -1", "give a number from 0 to 65535"),
    ("read demo1 1 holding 400012", "write `holding 11`"),
    ("read demo1 1 input 3x00012", "write `input 11`"),
    ("read demo1 1 input zero", "as 16 or 0x10"),
    ("read demo1 1 input 0 --typ u32", "did you mean '--type'?"),
    ("read demo1 1 input 0 --type u33", "did you mean 'u32'?"),
    ("read demo1 1 input 0 --type", "write `--type TYPE`"),
    ("read demo1 1 input 0 --json=yes", "write `--json`"),
    ("read demo1 1 input 0 --type string", "write --length REGISTERS"),
    ("read demo1 1 input 0 --length 3", "write --type string, or --count"),
    ("read demo1 2 coil 0 --type f32", "leave out --type"),
    ("read demo1 1 input 0 --count 0", "give a number from 1"),
    ("read demo1 1 input 65535 --count 3", "give a smaller --count"),
    ("read demo1 1 input 0 --timeout 0", "from 0.05 to 60"),
    ("read demo1 1 input 0 --parity X", "write N, E, O, M or S"),
    ("read demo1 1 input 0 --stopbits 3", "write 1 or 2"),
    ("read demo1 1 input 0 --word-order middle", "write big or little"),
    ("read demo1 1 input 0 7", "is more than this command takes"),
    ("read demo7 1 input 0", "configured are demo1"),
    ("read demo1 1 input 0 --server :::", "write HOST, HOST:PORT"),
    ("--servr here read demo1 1 input 0", "did you mean '--server'?"),
    ("write demo1 2 input 0 5", "write `holding`"),
    ("write demo1 2 discrete 0 on", "write `coil`"),
    ("write demo1 2 coil 0 maybe", "write on or off"),
    ("write demo1 2 coil 0 -5", "write on or off"),
    ("write demo1 2 holding 0 70000", "which holds 0 to 65535"),
    ("write demo1 2 holding 0 -1", "which holds 0 to 65535"),
    ("write demo1 2 holding 0 2.5", "write --type f32"),
    ("write demo1 2 holding 0 5 --type bits", "write the register as a number"),
    ("write demo1 2 holding 65535 1 2", "give fewer values, or a lower address"),
    ("write demo1 2 holding 0", "write `lumina write PORT UNIT TABLE ADDRESS VALUE`"),
    ("send demo1 0x0103", "as 020300000001"),
    ("send demo1 02", "write unit, function and data"),
    ("send demo1 0203", "has 6 bytes with its unit and without its CRC"),
    ("send demo1 020300000001FFFF", "the right one is 8439; leave it out"),
    ("scan demo1 --units 9-1", "write as 1-10,17"),
    ("scan demo1 --baudrates fast", "write as 9600,19200"),
    ("scan demo1 --function 5", "write 1, 2, 3, 4, 7, 17 or 43"),
    ("scan demo7", "configured are demo1"),
    ("stats --interval", "write `--interval SECONDS`"),
    ("completion fish", "write bash, zsh or tcsh"),
    ("check-config /nowhere.toml", "cannot be read (No such file or directory)"),
    ("simulate /nowhere.toml", "cannot be read (No such file or directory)"),
    ("console localhost eight", "no TCP port"),
)


class WrongUses(CommandCase):
    """Each is answered by exit status 2 and a sentence that says what to write instead."""

    def test_table(self) -> None:
        for line, words in WRONG:
            with self.subTest(line=line):
                status, out, err = self.run_command(*line.split())
                self.assertEqual((status, out), (2, ""), err)
                self.assertIn(words, err, line)
                self.assertEqual((err.count("\n"), err[:8]), (1, "lumina: "))

    def test_as_json(self) -> None:
        (told,) = self.told("read", "demo1", "1", "inputt", "0")
        self.assertEqual(told["error"], "usage")
        self.assertIn("did you mean", told["message"])

    def test_no_server(self) -> None:
        for server in (f"127.0.0.1:{free_tcp_port()}", "/nowhere/lumina.sock", "nowhere.invalid"):
            for command in (("ports",), ("read", "demo1", "1", "input", "0")):
                status, out, err = self.run_command(*command, "--server", server)
                self.assertEqual((status, out), (1, ""))
                self.assertIn("is Lumina running there?", err)
        with self.assertRaises(AssertionError):
            self.said("console", "127.0.0.1", str(free_tcp_port()))
