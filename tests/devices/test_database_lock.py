"""Two services do not share a database."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices.store.database import DatabaseLock
from tests.cli.case import run_main
from tests.twistd_process import PATIENCE, Twistd, environment, free_tcp_port, run_twistd, twistd_command

HOLD = """
import sys, time
from lumina_twisted.devices.store.database import DatabaseLock
print(repr(DatabaseLock(sys.argv[1]).take(0)), flush=True)
LOCK = DatabaseLock(sys.argv[1]); print(LOCK.take(0), flush=True)
time.sleep(600)
"""
TOML = """
[ports.a]
path = "/dev/does-not-exist"

[devices.d]
port = "a"
unit = 1
points.x = {{ address = "40001" }}

[values]
database = "{database}"

[[listen]]
endpoint = "tcp:{tcp_port}:interface=127.0.0.1"
"""


class Lock(SynchronousTestCase):
    """By itself."""

    def setUp(self) -> None:
        self.folder = pathlib.Path(self.mktemp()).absolute()
        self.path = str(self.folder / "state" / "lumina.db")

    def lock(self, path: str | None = None) -> DatabaseLock:
        lock = DatabaseLock(self.path if path is None else path)
        self.addCleanup(lock.release)
        return lock

    def test_the_second_is_told_who_has_it(self) -> None:
        first = self.lock()
        self.assertEqual(first.take(0), "")
        self.assertEqual(first.take(0), "", "it has it already")
        told = self.lock().take(0)
        self.assertIn(f"the database {self.path} is in use by another Lumina, process {os.getpid()}; stop that", told)
        first.release()
        self.assertEqual(self.lock().take(0), "")

    def test_by_whatever_name(self) -> None:
        self.assertEqual(self.lock().take(0), "")
        link = self.folder / "link.db"
        link.symlink_to(self.path)
        for path in (str(link), os.path.relpath(self.path), f"{self.folder}/state/../state/lumina.db"):
            self.assertIn("in use", self.lock(path).take(0))

    def test_another_database_is_another(self) -> None:
        self.assertEqual(self.lock().take(0), "")
        self.assertEqual(self.lock(f"{self.path}2").take(0), "")

    def test_none(self) -> None:
        for path in ("", ":memory:"):
            self.assertEqual((self.lock(path).take(0), self.lock(path).take(0)), ("", ""))
        self.assertFalse(pathlib.Path(":memory:.lock").exists())

    def test_it_waits_for_one_that_is_about_to_stop(self) -> None:
        first = self.lock()
        first.take(0)
        threading.Timer(0.2, first.release).start()
        self.assertEqual(self.lock().take(PATIENCE), "")

    def test_where_nothing_can_be_written(self) -> None:
        """That is told by whoever opens the database."""
        self.folder.write_text("no folder")
        self.assertEqual(self.lock().take(0), "")

    def test_a_process_that_is_killed_gives_it_back(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, self.path], env=environment(), stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            holder.stdout.readline()
            self.assertIn(f"process {holder.pid};", self.lock().take(0))
            holder.send_signal(signal.SIGKILL)
            holder.wait(PATIENCE)
        self.assertEqual(self.lock().take(0), "")


class Services(SynchronousTestCase):
    """Real ones."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.database = self.folder / "state" / "lumina.db"

    def file(self, name: str, database: str | None = None) -> str:
        path = self.folder / f"{name}.toml"
        database = str(self.database) if database is None else database
        path.write_text(TOML.format(database=database, tcp_port=free_tcp_port()))
        return str(path)

    def start(self, file: str) -> Twistd:
        twistd = Twistd("--config", file)
        self.addCleanup(twistd.__exit__, None, None, None)
        return twistd.__enter__()

    def test_the_second_does_not_start(self) -> None:
        first = self.start(self.file("one"))
        other = self.file("two")
        refused = run_twistd("--config", other)
        self.assertEqual(refused.returncode, 1, refused)
        sentence = f"lumina: the database {self.database} is in use by another Lumina, process {first.process.pid}; "
        self.assertIn(sentence, refused.stderr)
        self.assertEqual(len(refused.stderr.splitlines()), 1, refused.stderr)
        self.assertNotIn("Traceback", refused.stdout + refused.stderr)
        self.assertEqual(run_main("check-config", other)[0], 0, "a check is no use of it")
        self.assertEqual(run_twistd("--check", "--config", other).returncode, 0)
        first.send(signal.SIGKILL)
        first.process.wait(PATIENCE)
        self.start(other)

    def test_without_a_database_there_is_nothing_to_share(self) -> None:
        self.start(self.file("one", ""))
        self.start(self.file("two", ""))

    def test_a_restart_that_overlaps(self) -> None:
        first = self.start(self.file("one"))
        second = Twistd("--config", self.file("two"))
        self.addCleanup(second.__exit__, None, None, None)
        time.sleep(1.0)  # it may wait by now
        first.send(signal.SIGTERM)
        self.assertEqual(first.wait(), 0)
        second.__enter__()

    def test_in_the_background(self) -> None:
        """The parent process hears it, and does not wait for ever."""
        self.start(self.file("one"))
        command = [word for word in twistd_command("--config", self.file("two")) if word != "-n"]
        refused = subprocess.run(
            command, env=environment(), cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        self.assertEqual(refused.returncode, 1, refused)
        self.assertIn("is in use by another Lumina", refused.stderr)
