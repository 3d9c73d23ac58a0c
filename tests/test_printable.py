"""No foreign text reaches a terminal or a log raw."""

from __future__ import annotations

import io
import pathlib
from typing import Any

from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted import tap
from lumina_twisted.cli.output import Output
from lumina_twisted.errors import ConfigError, IllegalDataAddress, LineError, PortError, RequestError
from lumina_twisted.log.lines import STYLES
from lumina_twisted.text import shown, shown_lines
from lumina_twisted.valueproto import answer as answers
from lumina_twisted.valueproto.answer import NamedReading
from lumina_twisted.valueproto.reading import Quality, Reading
from lumina_twisted.valueproto.text_lines import text_body
from tests.cli.case import run_main

NASTY = "a\x1b[2J\x00\r\n\x7f\x9b31m\u202eb\u2066\u2028\ufeff\udc80"
TOML = NASTY[:-1].encode("unicode_escape").decode().replace("\\x", "\\u00")
"""As a file can hold it: TOML has no half surrogates."""


def is_fit(text: str, keep: str = "\n\t") -> bool:
    """Whether a terminal obeys nothing of it."""
    return all(one in keep or one == shown(one) for one in text)


class Shown(SynchronousTestCase):
    """The one function."""

    def test_what_it_shows(self) -> None:
        self.assertEqual(shown(NASTY), r"a\x1b[2J\x00\r\n\x7f\x9b31m\u202eb\u2066\u2028\ufeff\udc80")
        self.assertEqual(shown_lines("a\tb\nc\x1b"), "a\tb\nc\\x1b")

    def test_every_control_character(self) -> None:
        for number in (*range(0x20), *range(0x7F, 0xA0), 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A)):
            self.assertTrue(shown(chr(number)).isascii(), hex(number))

    def test_what_stays(self) -> None:
        for text in ("", "21.5 °C", "Küche", "温度", "a\\x1b", "1\N{NO-BREAK SPACE}234", "\N{THERMOMETER}"):
            self.assertEqual(shown(text), text)

    def test_twice_is_once(self) -> None:
        self.assertEqual(shown(shown(NASTY)), shown(NASTY))


class Errors(SynchronousTestCase):
    """Each sentence is fit as soon as it is made."""

    def test_every_error(self) -> None:
        for error in (RequestError(NASTY), PortError(NASTY), LineError(NASTY, b"1"), IllegalDataAddress(NASTY)):
            self.assertTrue(is_fit(str(error), ""), repr(error))

    def test_a_fault_is_one_line(self) -> None:
        error = ConfigError([f"ports.{NASTY}: no", "b: no"])
        self.assertEqual(len(str(error).splitlines()), 2)
        self.assertTrue(is_fit(str(error)))
        self.assertTrue(all(is_fit(one, "") for one in error.faults))


class Log(SynchronousTestCase):
    """What a client sent makes no line of its own."""

    def event(self, **keys: Any) -> Any:
        return {
            "log_namespace": "lumina.port.x", "log_level": LogLevel.info, "log_time": 0.0,
            "log_format": "{peer} said {said}", "peer": "10.0.0.1", "said": NASTY, **keys,
        }

    def test_one_line(self) -> None:
        for style in STYLES.values():
            line = style(self.event(), "").decode()
            self.assertEqual(line.count("\n"), 1)
            self.assertTrue(is_fit(line, "\n"), line)

    def test_what_may_have_lines(self) -> None:
        for more in ({"log_lines": True}, {"log_namespace": "twisted"}):
            event = self.event(said="a\nb\x1b", **more)
            self.assertEqual(STYLES["text"](event, "").decode().splitlines()[1], "\tb\\x1b")
            self.assertIn("\n<6>\tb", STYLES["journal"](event, "").decode())


class Console(SynchronousTestCase):
    """The command line and the check of a configuration."""

    def test_results_and_complaints(self) -> None:
        out, err = io.StringIO(), io.StringIO()
        output = Output(out=out, err=err)
        output.result(f"1 {NASTY}")
        output.note(NASTY)
        output.complain(ValueError(NASTY))
        output.complain(RequestError(NASTY))
        for text in (out.getvalue(), err.getvalue()):
            self.assertTrue(is_fit(text), text)

    def test_words_of_the_command_line(self) -> None:
        for words in ((NASTY,), ("read", NASTY), ("read", "p", "1", NASTY), ("values", NASTY), ("check-config", NASTY),
                      ("read", f"--{NASTY}"), ("values", "config", "x", NASTY)):
            status, out, err = run_main(*words)
            self.assertNotEqual(status, 0, words)
            self.assertTrue(is_fit(out + err), err)

    def test_check_config(self) -> None:
        """Keys and values of every table, each fault with its path."""
        folder = pathlib.Path(self.mktemp())
        folder.mkdir()
        for name, text in (
            ("key", f'"{TOML}" = 1\n'),
            ("port", f'[ports."{TOML}"]\nx = 1\n'),
            ("value", f'[ports.a]\npath = "/dev/x"\nparity = "{TOML}"\n'),
            ("device", f'[devices."{TOML}"]\nport = "a"\nunit = 1\n'),
            ("bits", f'[profiles.a.points.b]\naddress = "40001"\ntype = "bits"\nbits = {{ 0 = "{TOML}" }}\n'),
            ("listen", f'[[listen]]\nprotocol = "{TOML}"\nendpoint = "x"\n'),
            ("endpoint", f'[[listen]]\nendpoint = "{TOML}"\n'),
            ("unknown", f'[values]\n"{TOML}" = 1\n'),
        ):
            path = folder / f"{name}.toml"
            path.write_text(text)
            status, out, err = run_main("check-config", str(path))
            self.assertNotEqual(status, 0, name)
            self.assertTrue(is_fit(out + err), repr(err))
            told = self.check(str(path))
            self.assertTrue(told and is_fit(told), told)

    def check(self, path: str) -> str:
        """What `twistd lumina --check` prints."""
        out = io.StringIO()
        self.patch(tap.sys, "stderr", out)
        self.assertRaises(SystemExit, tap.Options().parseOptions, ["--check", "--config", path])
        return out.getvalue()

    def test_a_file_that_is_fine_and_has_a_name(self) -> None:
        path = pathlib.Path(self.mktemp()).with_name("x\x1b[2J.toml")
        path.write_text('[ports.a]\npath = "/dev/x"\n')
        self.addCleanup(path.unlink)
        status, out, _ = run_main("check-config", str(path))
        self.assertEqual(status, 0)
        self.assertIn(r"x\x1b[2J.toml is fine", out)
        self.assertTrue(is_fit(out))


class ValueLines(SynchronousTestCase):
    """Answers that a person reads with `nc`."""

    def test_a_devices_text_and_a_files_unit_of_measure(self) -> None:
        reading = NamedReading("a.b", Reading(NASTY, Quality.BAD, None, NASTY), NASTY)
        for answer in (answers.Readings((reading,)), answers.Hints((NASTY,)), answers.Refused("invalid", NASTY)):
            told = text_body(answer, lambda _, value: str(value)).decode()
            self.assertTrue(is_fit(told), repr(told))
