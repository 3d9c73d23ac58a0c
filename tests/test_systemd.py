"""What systemd is told, by the pieces and by a real daemon before a notify socket of the test's own."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import tempfile

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.config.reporting import Notifier, Report
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.ports.pool import STUCK_AFTER, PortPool
from lumina_twisted.ports.protocol import RTUProtocol
from lumina_twisted.ports.service import State
from lumina_twisted.ports.settings import PortSettings
from tests.twistd_process import PATIENCE, ROOT, TestDevice, Twistd

READ = encode_adu(1, bytes.fromhex("0300000001"))


class NotifySocket:
    """systemd's end."""

    def __init__(self, address: str = "") -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.address = address or f"{self._folder.name}/notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address else self.address)
        self._socket.settimeout(PATIENCE)

    def read(self) -> dict[str, str]:
        """The next message."""
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def read_until(self, key: str) -> dict[str, str]:
        """The next message that has this key."""
        while key not in (message := self.read()):
            pass
        return message

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(PATIENCE)
        return False

    def drain(self) -> None:
        """Throws away what has come."""
        while not self.is_silent(0.001):
            pass

    def close(self) -> None:
        """Nobody listens any more."""
        self._socket.close()
        self._folder.cleanup()


class SystemdTests(SynchronousTestCase):
    """With a socket."""

    def listen(self, address: str = "") -> NotifySocket:
        """A new one."""
        made = NotifySocket(address)
        self.addCleanup(made.close)
        return made


class NotifierTests(SystemdTests):
    """The datagrams."""

    def test_path_and_abstract(self) -> None:
        for address in ("", f"@lumina-test-{os.getpid()}"):
            notify = self.listen(address)
            notifier = Notifier({"NOTIFY_SOCKET": notify.address})
            self.assertTrue(notifier.is_there)
            notifier.tell(READY="1", STATUS="two\nlines  größer")
            self.assertEqual(notify.read(), {"READY": "1", "STATUS": "two lines größer"})

    def test_without_systemd(self) -> None:
        notifier = Notifier({"WATCHDOG_USEC": "1000000"})
        self.assertFalse(notifier.is_there)
        self.assertEqual(notifier.watchdog, 0.0)
        notifier.tell(READY="1")

    def test_nobody_is_held_up(self) -> None:
        """By a socket that is gone, and by one that is full."""
        Notifier({"NOTIFY_SOCKET": "/nonexistent/notify"}).tell(READY="1")
        notifier = Notifier({"NOTIFY_SOCKET": self.listen().address})
        for _ in range(2000):
            notifier.tell(STATUS="x" * 200)

    def test_watchdog(self) -> None:
        """In microseconds, for the process that is meant."""
        for pid, usec, seconds in (
            (None, "30000000", 30.0), (str(os.getpid()), "500000", 0.5), ("1", "500000", 0.0), (None, "", 0.0),
            (None, "soon", 0.0),
        ):
            environment = {"NOTIFY_SOCKET": "/nonexistent/notify", "WATCHDOG_USEC": usec}
            if pid:
                environment["WATCHDOG_PID"] = pid
            self.assertEqual(Notifier(environment).watchdog, seconds, (pid, usec))


class ReportTests(SystemdTests):
    """What is told when."""

    def setUp(self) -> None:
        self.notify = self.listen()
        self.clock = Clock()
        self.status = "2 of 2 ports open"
        self.stuck: list[str] = []

    def report(self, usec: str = "20000000") -> Report:
        notifier = Notifier({"NOTIFY_SOCKET": self.notify.address, "WATCHDOG_USEC": usec})
        return Report(notifier, self.clock, lambda: self.status, lambda: self.stuck)

    def test_from_start_to_end(self) -> None:
        report = self.report()
        report.ready()
        told = [self.notify.read() for _ in range(3)]
        self.assertEqual(told, [{"READY": "1"}, {"STATUS": "2 of 2 ports open"}, {"WATCHDOG": "1"}])
        self.clock.advance(5)
        self.assertEqual(self.notify.read(), {"WATCHDOG": "1"}, "a status is told when it changes")
        self.status = "1 of 2 ports open; not open: b"
        self.clock.advance(5)
        self.assertEqual(self.notify.read(), {"STATUS": self.status})
        report.stopping()
        self.assertEqual(self.notify.read_until("STOPPING"), {"STOPPING": "1", "STATUS": "stopping"})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stuck(self) -> None:
        """Nothing is fed then; the log says so once, and once that it is over."""
        report = self.report()
        report.ready()
        self.stuck = ["boiler"]
        self.notify.drain()
        with capturedLogs() as logs:
            for _ in range(4):
                self.clock.advance(5)
            self.assertTrue(self.notify.is_silent(0.01))
            self.stuck = []
            self.clock.advance(5)
        self.assertEqual(self.notify.read(), {"WATCHDOG": "1"})
        told = [formatEvent(one) for one in logs]
        self.assertTrue(told[0].startswith("what is due on boiler is not done"), told)
        self.assertEqual(told[1:], ["all ports make progress again"])
        report.stopping()

    def test_without_a_watchdog(self) -> None:
        report = self.report("")
        report.ready()
        self.clock.advance(60)
        self.assertEqual([self.notify.read() for _ in range(2)], [{"READY": "1"}, {"STATUS": self.status}])
        self.assertTrue(self.notify.is_silent(0.01))
        report.stopping()

    def test_without_systemd(self) -> None:
        report = Report(Notifier({}), self.clock, lambda: self.status, lambda: self.stuck)
        report.ready()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        report.stopping()

    def test_failed(self) -> None:
        self.report().failed("x" * 1000)
        self.assertEqual(self.notify.read(), {"STATUS": "x" * 300})


class PoolTests(SynchronousTestCase):
    """How the ports are."""

    def test_told_and_stuck(self) -> None:
        now = 0.0
        settings = {name: PortSettings(path=f"/nonexistent/{name}") for name in "abc"}
        pool = PortPool(settings, MemoryReactorClock(), lambda: now)
        ports = list(pool)
        ports[1]._state = State.OPEN
        self.assertEqual(pool.status(), "1 of 3 ports open; not open: a, c")
        for port in ports:
            port._state = State.OPEN
        self.assertEqual(pool.status(), "3 of 3 ports open")
        protocol: RTUProtocol = ports[2]._protocol
        protocol._bus.port_opened(now)
        protocol.request(Caller("me"), 1, READ[1:-2], ports[2].serial, Terms(2.0)).addErrback(lambda failure: None)
        self.assertEqual(pool.stuck(), [])
        due = protocol._bus.get_timer()
        assert due is not None
        now = due + STUCK_AFTER - 0.01
        self.assertEqual(pool.stuck(), [])
        now = due + STUCK_AFTER + 0.01
        self.assertEqual(pool.stuck(), ["c"])


HANGS = """
import time
from twisted.internet import reactor
def hang_on_purpose():
    print("hangs", flush=True)
    time.sleep(600)
reactor.callLater(1, hang_on_purpose)
"""
STUCK = """
import lumina_twisted.ports.pool, lumina_twisted.ports.timer
lumina_twisted.ports.pool.STUCK_AFTER = 0.2
lumina_twisted.ports.timer.FineTimer.set = lambda self, when: None
"""


class DaemonTests(SystemdTests):
    """A real one, which takes the test for systemd."""

    def setUp(self) -> None:
        self.notify = self.listen()
        self.device = TestDevice()
        self.addCleanup(self.device.close)

    def start(self, before: str = "") -> Twistd:
        """With a watchdog of less than half a second."""
        twistd = Twistd(
            "--port", f"bus={self.device.path}:timeout=0.1:retries=0", before=before,
            NOTIFY_SOCKET=self.notify.address, WATCHDOG_USEC="400000",
        )
        self.addCleanup(twistd.__exit__, None, None, None)
        return twistd.__enter__()

    def assert_starves(self, twistd: Twistd) -> str:
        """Nothing is fed; systemd then sends SIGABRT, and the stacks are on stderr."""
        self.notify.drain()
        self.assertTrue(self.notify.is_silent(1.0))
        twistd.send(signal.SIGABRT)
        self.assertEqual(twistd.wait(), -signal.SIGABRT)
        errors = twistd.errors()
        self.assertIn("Fatal Python error: Aborted", errors)
        return errors

    def test_from_start_to_end(self) -> None:
        twistd = self.start()
        self.assertEqual(self.notify.read(), {"READY": "1"})
        self.assertEqual(self.notify.read(), {"STATUS": "1 of 1 ports open"})
        for _ in range(3):
            self.assertEqual(self.notify.read(), {"WATCHDOG": "1"})
        twistd.connect().close()  # whoever was told that it is ready is let in
        self.device.close()
        self.assertEqual(self.notify.read_until("STATUS"), {"STATUS": "0 of 1 ports open; not open: bus"})
        self.device = TestDevice()
        self.notify.read_until("WATCHDOG")
        twistd.send(signal.SIGTERM)
        self.assertEqual(self.notify.read_until("STOPPING"), {"STOPPING": "1", "STATUS": "stopping"})
        self.assertEqual((twistd.wait(), twistd.errors()), (0, ""))

    def test_a_reactor_that_hangs(self) -> None:
        """Its crash says where."""
        twistd = self.start(HANGS)
        twistd.wait_for("hangs")
        self.assertIn("in hang_on_purpose", self.assert_starves(twistd))

    def test_a_port_that_is_stuck(self) -> None:
        """The reactor turns, and what was asked is never given up."""
        twistd = self.start(STUCK)
        self.notify.read_until("WATCHDOG")
        client = twistd.connect()
        client.write(b"a:test:bus:9600:%b:7" % READ.hex().encode())
        twistd.wait_for("what is due on bus is not done, a fault of Lumina's own; systemd's watchdog ends it")
        self.assert_starves(twistd)
        client.close()

    def test_a_start_that_fails(self) -> None:
        """What systemctl status shows then."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            twistd = Twistd(
                "--port", "/nonexistent/tty0", "--listen", f"line={endpoint}", NOTIFY_SOCKET=self.notify.address
            )
            self.addCleanup(twistd.__exit__, None, None, None)
            self.assertEqual(twistd.wait(), 1)
        told = f"cannot listen on {endpoint} (Address already in use): "
        self.assertTrue(self.notify.read()["STATUS"].startswith(told))


class InstallTests(SynchronousTestCase):
    """``make install-service``, without doing it: what it would do, and what it refuses."""

    def setUp(self) -> None:
        """A folder of programs that tell what the test wants to hear."""
        self.programs = pathlib.Path(self.mktemp()).absolute()
        self.programs.mkdir()
        self.program("python", 'case "$2" in *base_prefix*) echo /usr ;; esac')
        self.program("getent", "exit 2")
        self.root = pathlib.Path(self.mktemp()).absolute()

    def program(self, name: str, script: str) -> str:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def run_make(self, target: str = "install-service", **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}", "PYTHON": "python", **variables}
        return subprocess.run(
            ["make", "-s", target], cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )

    def would_run(self, target: str = "install-service", **variables: str) -> list[str]:
        done = self.run_make(target, DRY_RUN="yes", **variables)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [line.removeprefix("would run: ") for line in done.stdout.splitlines() if line.startswith("would run: ")]

    def test_what_would_be_done(self) -> None:
        """The environment is whole before the old one goes, and the unit is there before it is started."""
        told = self.would_run(PREFIX="/srv/lumina")
        self.assertEqual(
            [" ".join(line.split()[:2]) for line in told if not line.startswith(("install", "find", "rm", "cp"))],
            ["useradd --system", "python -m", "/srv/lumina.new/bin/python -m", "/srv/lumina.new/bin/python -I",
             "mv /srv/lumina.new", "sed -i", "systemctl daemon-reload", "systemctl enable", "systemctl restart"],
        )
        self.assertIn("sed -i s|/opt/lumina|/srv/lumina|g /etc/systemd/system/lumina.service", told)

    def test_a_user_that_is_there(self) -> None:
        self.program("getent", "exit 0")
        self.assertEqual([line for line in self.would_run() if line.startswith("useradd")], [])

    def test_below_a_folder(self) -> None:
        """Nothing of this machine is touched."""
        told = self.would_run(DESTDIR=str(self.root))
        self.assertEqual([line for line in told if line.startswith(("useradd", "systemctl"))], [])
        self.assertIn(f"install -m 0644 etc/lumina.service {self.root}/etc/systemd/system/lumina.service", told)

    def test_configuration_that_is_there(self) -> None:
        (self.root / "etc" / "lumina").mkdir(parents=True)
        (self.root / "etc" / "lumina" / "lumina.toml").touch()
        self.assertEqual([line for line in self.would_run(DESTDIR=str(self.root)) if "lumina.toml" in line], [])

    def test_taking_it_away(self) -> None:
        """Only what is there, and only if it is ours."""
        self.assertEqual(self.would_run("uninstall-service", DESTDIR=str(self.root), PREFIX="/opt"), [])
        for path in ("etc/systemd/system/lumina.service", "opt/lumina/pyvenv.cfg", "opt/lumina/bin/lumina"):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).touch()
        self.assertEqual(
            self.would_run("uninstall-service", DESTDIR=str(self.root)),
            [f"rm {self.root}/etc/systemd/system/lumina.service", f"rm -rf {self.root}/opt/lumina"],
        )

    def test_refused(self) -> None:
        """A sentence each."""
        old = self.program("old", 'case "$2" in *exit*) exit 1 ;; *) echo 3.9.2 ;; esac')
        at_home = self.program("athome", 'case "$2" in *base_prefix*) echo /home/pi/.pyenv ;; esac')
        for user, variables, sentence in (
            (1000, {}, "this needs root; run `sudo make install-service`"),
            (0, {"SYSTEMD": "/nonexistent"}, "systemd does not run on this machine; start Lumina by what does, with"),
            (0, {"DRY_RUN": "1", "PREFIX": "lumina"}, "PREFIX must begin with /, got 'lumina'"),
            (0, {"DRY_RUN": "1", "PYTHON": "/nonexistent/python"}, "there is no /nonexistent/python; `apt install"),
            (0, {"DRY_RUN": "1", "PYTHON": old}, f"Lumina needs Python 3.11 or newer, {old} is 3.9.2"),
            (0, {"DRY_RUN": "1", "PYTHON": at_home}, f"{at_home} lies in /home/pi/.pyenv, which the service may not"),
        ):
            self.program("id", f"echo {user}")
            done = self.run_make(**variables)
            self.assertNotEqual(done.returncode, 0)
            self.assertTrue(done.stderr.startswith(f"install-service: {sentence}"), done.stderr)
            self.assertEqual(done.stdout, "")
