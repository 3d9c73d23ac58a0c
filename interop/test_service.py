"""The system service, as far as a machine without a running systemd can tell: the unit, judged by systemd's own
programs; what `make install-service` leaves in a folder, run as the unit would run it; and its system calls."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import tty
import unittest
from collections.abc import Iterator

from benchmarks.rig import ROOT, free_port

UNIT = ROOT / "etc" / "lumina.service"
AS_THE_UNIT = (
    "setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=dialout", "--no-new-privs", "--bounding-set=-all",
    "--inh-caps=-all",
) if os.geteuid() == 0 else ("setpriv", "--no-new-privs")
"""Who is no root has no capabilities either."""
IRRELEVANT = {"exit_group", "execve", "setresuid", "setresgid", "setgroups", "setuid", "setgid", "capset"}
"""What setpriv itself does before our program runs."""


def output(*command: str) -> str:
    """What a program prints, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout + done.stderr


class UnitTests(unittest.TestCase):
    """``etc/lumina.service``."""

    def test_verify(self) -> None:
        """Without a word."""
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "bin").mkdir()
            program = pathlib.Path(folder) / "bin" / "lumina"
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
            unit = pathlib.Path(folder) / "lumina.service"
            unit.write_text(UNIT.read_text().replace("/opt/lumina", folder))
            self.assertEqual(output("systemd-analyze", "verify", str(unit)), "")

    def test_exposure(self) -> None:
        """As docs/service.md says, on systemd 252; others judge a little differently."""
        told = output("systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT))
        found = re.search(r"Overall exposure level for lumina\.service: (\S+) ", told)
        assert found is not None, told
        stated = re.search(r"exposure level of \*\*(\S+)\*\*", (ROOT / "docs" / "service.md").read_text())
        assert stated is not None
        if "systemd 252 " in output("systemd-analyze", "--version"):
            self.assertEqual(found[1], stated[1])
        self.assertLess(float(found[1]), 2.0)


class InstalledTests(unittest.TestCase):
    """What an installation below a folder leaves."""

    folder: tempfile.TemporaryDirectory[str]
    root: pathlib.Path

    @classmethod
    def setUpClass(cls) -> None:
        """Installed once."""
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name) / "root"
        cls.root.mkdir()
        pathlib.Path(cls.folder.name).chmod(0o755)
        for _ in range(2):  # the second time over the first
            subprocess.run(
                ["make", "-s", "install-service"], cwd=ROOT, env={**os.environ, "DESTDIR": str(cls.root)}, check=True,
                capture_output=True,
            )

    @classmethod
    def tearDownClass(cls) -> None:
        """Nothing is left."""
        cls.folder.cleanup()

    def test_files(self) -> None:
        """The unit, the configuration as it is documented, an environment that has no word of the folder."""
        unit = (self.root / "etc/systemd/system/lumina.service").read_text()
        self.assertEqual(unit, UNIT.read_text())
        self.assertEqual((self.root / "etc/lumina/lumina.toml").read_text(), (ROOT / "etc/lumina.toml").read_text())
        self.assertEqual([one.name for one in (self.root / "opt").iterdir()], ["lumina"])
        scripts = [one for one in (self.root / "opt/lumina/bin").iterdir() if not one.is_symlink()]
        self.assertEqual([one.name for one in scripts if str(self.root) in one.read_text()], [])
        self.assertTrue((self.root / "opt/lumina/bin/lumina").read_text().startswith("#!/opt/lumina/bin/python"))

    def test_changes_of_the_configuration_are_kept(self) -> None:
        """And taking it away leaves them too."""
        configuration = self.root / "etc/lumina/lumina.toml"
        before = configuration.read_text()
        self.addCleanup(configuration.write_text, before)
        configuration.write_text("# mine\n")
        environment = {**os.environ, "DESTDIR": str(self.root), "DRY_RUN": "yes"}
        for target, done in (("install-service", "install -m 0644 etc/lumina.serv"), ("uninstall-service", "rm -rf")):
            told = subprocess.run(
                ["make", "-s", target], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
            ).stdout
            self.assertIn(done, told)
            self.assertNotIn("lumina.toml", told)

    def test_runs_as_the_unit_runs_it(self) -> None:
        """Another user in dialout, no capability; it opens its port, says READY, and stops with status 0."""
        with self.daemon() as (process, notify):
            self.assertEqual(notify.recv(1000), b"READY=1")
            self.assertEqual(notify.recv(1000), b"STATUS=1 of 1 ports open")
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, printed)
            self.assertNotRegex(printed, "Unable to write|Traceback|rror")

    def test_system_calls(self) -> None:
        """Each that it makes, from its start to its end, is in the unit's filter."""
        trace = pathlib.Path(self.folder.name) / "trace"
        with self.daemon("strace", "-f", "-qq", "-e", "signal=none", "-o", str(trace)) as (process, notify):
            while notify.recv(1000) != b"STATUS=1 of 1 ports open":
                pass
            children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGTERM)
            process.communicate(timeout=60)
        made = {found[1] for line in trace.read_text().splitlines() if (found := re.match(r"\d+ +(\w+)\(", line))}
        self.assertIn("openat", made)
        self.assertEqual(made - allowed_calls() - IRRELEVANT, set())

    @contextlib.contextmanager
    def daemon(self, *before: str) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
        """The installed one, with a pty of the group dialout as its port."""
        leader, terminal = os.openpty()
        tty.setraw(terminal)
        if os.geteuid() == 0:
            os.chown(terminal, 0, int(output("getent", "group", "dialout").split(":")[2]))
            os.chmod(terminal, 0o660)
        folder = tempfile.TemporaryDirectory()
        os.chmod(folder.name, 0o777)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(f"{folder.name}/notify")
        os.chmod(f"{folder.name}/notify", 0o777)
        notify.settimeout(60)
        installed = self.root / "opt/lumina/bin"
        process = subprocess.Popen(
            [*before, *AS_THE_UNIT, str(installed / "python"), str(installed / "lumina"), "run",
             "--port", f"bus={os.ttyname(terminal)}", "--listen", f"line=tcp:{free_port()}"],
            cwd=folder.name, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": f"{folder.name}/notify", "WATCHDOG_USEC": "2000000"},
        )
        try:
            yield process, notify
        finally:
            process.kill()
            process.communicate()
            notify.close()
            os.close(leader)
            os.close(terminal)
            folder.cleanup()


def allowed_calls() -> set[str]:
    """What the unit's SystemCallFilter= lines come to."""
    allowed: set[str] = set()
    for words in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        found = {call for word in words.lstrip("~").split() for call in calls_of(word)}
        allowed = allowed - found if words.startswith("~") else allowed | found
    return allowed


def calls_of(word: str) -> Iterator[str]:
    """One system call, or those of a group."""
    if not word.startswith("@"):
        yield word
        return
    for line in output("systemd-analyze", "--no-pager", "syscall-filter", word).splitlines()[1:]:
        inner = line.strip()
        if inner and not inner.startswith("#"):
            yield from calls_of(inner)
