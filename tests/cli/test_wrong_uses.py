"""What is typed wrong, and streams that are closed or full: a sentence and a status each, never a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.cli.main import main
from lumina_twisted.cli.registers import address
from tests.cli.case import LUMINA, CommandCase, run_main
from tests.cli.scripted_server import lumina
from tests.twistd_process import PATIENCE, environment


class WordsThatAreWrong(CommandCase):
    """Nothing of them reaches a device."""

    def refused(self, *words: str) -> str:
        status, out, err = self.run_command(*words)
        self.assertEqual((status, out, err[:8], err.count("\n")), (2, "", "lumina: ", 1), words)
        return err

    def test_where_the_server_is(self) -> None:
        place, url = f"127.0.0.1:{self.twistd.tcp_port}", "modbus://127.0.0.1:1"
        for words in (
            ("--server", place, "read", "demo1", "1", "input", "0", "--url", url),
            ("--url", url, "read", "demo1", "1", "input", "0", "--server", place),
            ("--url", url, "ports", "--server", place), ("read", "--server", place, "--url", url, "demo1", "1"),
            ("console", "--url", url, "--server", place), ("--server", place, "console", "127.0.0.1"),
        ):
            self.assertIn("both say where", self.refused(*words))
        for words in (("--server", "", "ports"), ("ports", "--server", ""), ("console", "")):
            self.assertIn("'' is no server", self.refused(*words))
        self.assertIn("'' is no URL", self.refused("--url", "", "ports"))
        for host in ("a..b", "x" * 70, "/" + "x" * 200):
            self.assertIn("is no host" if host[0] != "/" else "107 bytes", self.refused("--server", host, "ports"))

    def test_the_last_of_two(self) -> None:
        url = f"lumina://127.0.0.1:{self.twistd.tcp_port}"
        self.assertEqual(self.said("read", "--url", "modbus://h", "--url", url, "demo1", "2", "holding", "0"), "0 8\n")

    def test_options_that_a_command_has_not(self) -> None:
        for words, option in (
            (("--json", "completion", "bash"), "--json"), (("--json", "console"), "--json"),
            (("--server", "h", "check-config"), "--server"), (("--json", "run", "--check"), "--json"),
            (("--timeout", "1", "simulate", "x"), "--timeout"),
        ):
            status, out, err = self.run_command(*words)
            self.assertEqual(status, 2)
            self.assertIn(f"has no {option}; leave it out", out + err)

    def test_a_port_without_a_name(self) -> None:
        """A server takes it for its first one; a variable that is not set must not switch something there."""
        for words in (
            ("read", "", "1", "input", "0"), ("write", "", "2", "coil", "0", "on"), ("send", "", "020300000001"),
            ("scan", "", "--units", "1"),
        ):
            self.assertIn("PORT is empty", self.refused(*words))

    def test_numbers(self) -> None:
        read, write = ("read", "demo1", "2", "holding"), ("write", "demo1", "2", "holding", "20")
        for words in (
            (*read, "1_0"), (*read, "\N{ARABIC-INDIC DIGIT ONE}"), ("read", "demo1", "1_0", "input", "0"),
            (*read, "0", "--count", "1_0"), (*write, "1_0"), (*write, "1_0", "--type", "f32"),
        ):
            self.refused(*words)
        self.assertIn("too large for f64", self.refused(*write, "1e400", "--type", "f64"))
        for text in ("12345", "-5", "zz"):
            self.assertIn("no register in hex", self.refused(*write, text, "--type", "hex"))
        self.assertIn("--length REGISTERS", self.refused(*write, "", "--type", "string"))
        self.assertIn("write `-- -x` at the end", self.refused(*write, "-x", "--type", "string"))
        self.assertEqual(self.said(*write, "inf", "--type", "f64"), "holding 20 to 23: confirmed\n")

    def test_addresses(self) -> None:
        self.assertEqual([address(one) for one in ("0x00001", "65535", "0xffff")], [1, 65535, 65535])
        for text, sentence in (
            ("0x10000", "from 0 to 65535"), ("400000", "from 0 to 65535"), ("400001", "`holding 0`"),
            ("4x0001", "`holding 0`"), ("000001 ", "no address"),
        ):
            self.assertIn(sentence, self.refused("read", "demo1", "2", "holding", text))
        self.assertEqual(self.refused("read", "demo1", "1", "40001", "0").count("discrete"), 1)

    def test_how_values_lie_where_it_means_nothing(self) -> None:
        coil = ("read", "demo1", "2", "coil", "0")
        for key, value in (("--word-order", "little"), ("--byte-order", "big"), ("--encoding", "ascii")):
            self.assertIn(f"leave out {key}", self.refused(*coil, key, value))
        holding = ("read", "demo1", "2", "holding", "0")
        self.assertIn("--encoding", self.refused(*holding, "--encoding", "ascii"))
        string = ("--type", "string", "--length", "2")
        self.assertIn("--word-order", self.refused(*holding, *string, "--word-order", "little"))

    def test_a_text_that_looks_like_an_option(self) -> None:
        write = ("write", "demo1", "2", "holding", "40", "--type", "string", "--", "--json")
        self.assertEqual(self.said(*write), "holding 40 to 42: confirmed\n")


class Consoles(CommandCase):
    """Its lines are commands of their own."""

    def test_named_by_an_option(self) -> None:
        place = f"127.0.0.1:{self.twistd.tcp_port}"
        self.patch(os, "environ", {**os.environ, "LUMINA_SERVER": "127.0.0.1:1"})
        for words in (("--server", place), ("--url", f"lumina://{place}")):
            for line in (("console", *words), (*words, "console")):
                self.assertEqual(run_main(*line, typed="read demo1 2 holding 0\n"), (0, "0 8\n", ""))

    def test_another_server_in_a_line(self) -> None:
        """It would be asked of this one."""
        for option in ("--server 192.168.1.9", "--url modbus://192.168.1.9"):
            status, out, err = run_main("console", typed=f"read demo1 2 holding 0 {option}\n")
            self.assertEqual((status, out), (2, ""))
            self.assertIn("asks the server that it talks to", err)

    def test_whatever_the_variable_says(self) -> None:
        self.patch(os, "environ", {**os.environ, "LUMINA_SERVER": "modbus://127.0.0.1:1"})
        place = f"127.0.0.1:{self.twistd.tcp_port}"
        self.assertEqual(run_main("console", place, typed="read demo1 2 holding 0\n"), (0, "0 8\n", ""))


class Full(io.StringIO):
    """A file on a disk that is full."""

    def write(self, text: str) -> int:
        """See :class:`io.TextIOBase`."""
        raise OSError(28, "No space left on device")


class Streams(SynchronousTestCase):
    """Where results cannot be written."""

    def run_full(self, *words: str, typed: str = "") -> tuple[int, str]:
        err: Any = io.StringIO()
        return main(words, io.StringIO(typed), Full(), err), err.getvalue()

    def test_json(self) -> None:
        full = "lumina: the result cannot be written (No space left on device)\n"
        for words in (("--version", "--json"), ("read", "--json"), ("--json", "nonsense")):
            self.assertEqual(self.run_full(*words), (1, full))

    def test_console(self) -> None:
        """It is not the server that has left."""
        with lumina(lambda command: b"") as server:
            status, err = self.run_full("console", server.place, typed="ports\nports\n")
        self.assertEqual((status, err), (1, "lumina: the result cannot be written (No space left on device)\n"))

    def test_closed(self) -> None:
        for redirected, status, told in (
            ("protocols >&-", 1, "cannot be written (standard output is closed)"), ("protocols nope 2>&-", 2, ""),
            ("protocols --json nope >&-", 1, "standard output is closed"),
            ("console 127.0.0.1:1 <&-", 1, "no connection"),
        ):
            done = subprocess.run(
                ["sh", "-c", f'"$@" {redirected}', "sh", *LUMINA], env=environment(),
                capture_output=True, text=True, timeout=PATIENCE, check=False,
            )
            self.assertEqual((done.returncode, done.stdout), (status, ""), done)
            self.assertIn(told, done.stderr)
            self.assertNotIn("Traceback", done.stderr)

    def test_console_without_an_input(self) -> None:
        with lumina(lambda command: b"") as server:
            done = subprocess.run(
                ["sh", "-c", f'"$@" console {server.place} <&-', "sh", *LUMINA], env=environment(),
                capture_output=True, text=True, timeout=PATIENCE, check=False,
            )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_json_is_json(self) -> None:
        for words in (("nonsense",), ("read",), ("check-config", "/nowhere"), ("protocols", "nope")):
            status, out, err = run_main("--json", *words)
            self.assertEqual((status, err, [*json.loads(out)][:2]), (2, "", ["error", "message"]))
