"""The daemon's own log: its settings, and what a real process writes."""

from __future__ import annotations

import json
import pathlib
import re
import signal

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.config.compose import Given, compose
from lumina_twisted.errors import ConfigError
from lumina_twisted.log import LogSettings
from tests.twistd_process import Twistd


class Settings(SynchronousTestCase):
    """A table of the file, words of the command line."""

    def from_file(self, text: str, *words: str) -> LogSettings:
        file = pathlib.Path(self.mktemp())
        file.write_text('[ports.a]\npath = "/dev/null"\n' + text)
        return compose(Given(file=str(file), log=words)).log

    def test_file_and_words(self) -> None:
        found = self.from_file(
            '[log]\nlevel = "warn"\nfold = 0\n[log.levels]\nport.a = "debug"\n"line" = "error"\n', "level=error",
            "levels.port.b=debug", "directory=",
        )
        self.assertEqual((found.level, found.fold, found.directory), ("error", 0.0, ""))
        self.assertEqual(found.levels, {"port.a": "debug", "line": "error", "port.b": "debug"})

    def test_faults(self) -> None:
        for text, words in (
            ('[log]\nlevl = "warn"\n', "log.levl: unknown key; did you mean"),
            ('[log]\nlevel = "loud"\n', "log.level: expected one of 'debug'"),
            ('[log.levels]\nport.a = 7\n', "log.levels.port.a"),
            ("[log]\nfile_size = 5\n", "log.file_size: expected 10000 to"),
            ("log = 7\n", "unknown key"),
        ):
            error = self.assertRaises(ConfigError, self.from_file, text)
            self.assertIn(words, str(error))


class Running(SynchronousTestCase):
    """A real daemon in a folder of its own."""

    def test_console_and_file_say_the_same(self) -> None:
        with Twistd("--demo", "--log", "levels.port.demo1=debug", "--log", "format=json") as twistd:
            client = twistd.connect()
            client.write(b"a:x:demo1:19200:0203000000018439:7", b"b:x:demo2:9600:02030000000184390:7")
            client.read(), client.read()
            client.close()
            twistd.send(signal.SIGTERM)
            self.assertEqual(twistd.wait(), 0)
            written = [json.loads(line) for line in (twistd.folder / "logs" / "lumina.log").read_text().splitlines()]
            said = re.findall(r"^\S+ \[(\S+)#(\w+)\] (.*)", twistd.printed, re.MULTILINE)
            self.assertEqual(
                said, [(one["name"], one["level"], one["message"].splitlines()[0]) for one in written]
            )
            frames = [one["message"] for one in written if one["level"] == "debug"]
            self.assertTrue(any("02 03 00 00 00 01 84 39" in one for one in frames), frames)
            self.assertEqual({one["name"] for one in written if one["level"] == "debug"}, {"lumina.port.demo1"})

    def test_dead_device_is_folded(self) -> None:
        with Twistd("--demo") as twistd:
            client = twistd.connect()
            for _ in range(7):
                client.write(b"a:x:demo1:19200:0903000000018542:7:3:retries=0")
                client.read()
            client.close()
            twistd.send(signal.SIGTERM)
            twistd.wait()
            text = (twistd.folder / "logs" / "lumina.log").read_text()
            self.assertIn("unit 9 on demo1 did not answer function 3", text)
            self.assertLess(len(re.findall("unit 9 on demo1 d[^,]*not answer", text)), 5)
            self.assertIn(" more like this in 60 s)", text)
            self.assertEqual(len(re.findall("unit 9 is offline", text)), 1)

    def test_no_file(self) -> None:
        with Twistd("--demo", "--log", "directory=") as twistd:
            self.assertFalse((twistd.folder / "logs").exists())

    def test_folder_of_systemd(self) -> None:
        folder = pathlib.Path(self.mktemp()).absolute()
        with Twistd("--demo", LOGS_DIRECTORY=str(folder)) as twistd:
            twistd.send(signal.SIGTERM)
            twistd.wait()
        self.assertIn("Server Shut Down", (folder / "lumina.log").read_text())

    def test_folder_that_cannot_be_made(self) -> None:
        """It starts, and says so."""
        with Twistd("--demo", "--log", "directory=/dev/null/logs") as twistd:
            client = twistd.connect()
            client.write(b"help")
            self.assertIn(b"command", client.read())
            client.close()
            twistd.send(signal.SIGTERM)
            self.assertEqual(twistd.wait(), 0)
            self.assertIn("the log /dev/null/logs/lumina.log cannot be written (Not a directory)", twistd.errors())

    def test_disk_full(self) -> None:
        """Commands are answered as ever, stderr says it once, the exit status is 0."""
        folder = pathlib.Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "lumina.log").symlink_to("/dev/full")
        with Twistd("--demo", "--log", f"directory={folder}") as twistd:
            client = twistd.connect()
            client.write(b"a:x:demo1:19200:0203000000018439:7")
            self.assertIn(b"a:0203020008FD82", client.read())
            client.close()
            twistd.send(signal.SIGTERM)
            self.assertEqual(twistd.wait(), 0)
            self.assertEqual(twistd.errors().count("cannot be written (No space left on device)"), 1)
