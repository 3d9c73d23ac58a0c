"""A real ``twistd``: how it starts, refuses to start, and stops."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import resource
import signal
import socket
import stat
import subprocess
import tempfile
import termios
import time

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.framing.crc import crc_ok
from lumina_twisted.framing.rtu import encode_adu
from tests.twistd_process import (
    PATIENCE,
    Client,
    TestDevice,
    Twistd,
    environment,
    free_tcp_port,
    run_twistd,
    twistd_command,
)

READ = encode_adu(1, bytes.fromhex("0300000001"))
REPLY = encode_adu(1, bytes.fromhex("03022a2a"))


def read_line(command_id: bytes, port: bytes = b"bus") -> bytes:
    """A line that reads one register of unit 1."""
    return b"%b:test:%b:9600:%b:7:50" % (command_id, port, READ.hex().encode())


class LifecycleTests(SynchronousTestCase):
    """With a device that answers when the test says so."""

    def setUp(self) -> None:
        self.device = TestDevice()
        self.addCleanup(self.device.close)
        self.port = f"bus={self.device.path}:timeout=40:retries=0"

    def start(self, *options: str, before: str = "") -> Twistd:
        twistd = Twistd(*options, before=before)
        self.addCleanup(twistd.__exit__, None, None, None)
        return twistd.__enter__()

    def assert_clean(self, twistd: Twistd, status: int = 0) -> None:
        self.assertEqual((twistd.wait(), twistd.errors()), (status, ""), twistd.printed)
        self.assertNotIn("Traceback", twistd.printed)
        self.assertNotIn("Unhandled", twistd.printed)


class Serving(LifecycleTests):
    """While it runs."""

    def test_a_line_is_answered(self) -> None:
        twistd = self.start("--port", self.port)
        client = twistd.connect()
        client.write(read_line(b"a"))
        self.assertEqual(self.device.read(len(READ)), READ)
        self.device.write(REPLY)
        command_id, answer, _ = client.read().split(b":")
        self.assertEqual((command_id, bytes.fromhex(answer.decode())), (b"a", REPLY))
        client.close()
        twistd.send(signal.SIGTERM)
        self.assert_clean(twistd)

    def test_a_device_that_is_not_there_fails_only_its_requests(self) -> None:
        twistd = self.start("--port", "gone=/nonexistent/tty0", "--port", self.port)
        client = twistd.connect()
        client.write(read_line(b"a", b"gone"), read_line(b"b"))
        self.device.read(len(READ))
        self.device.write(REPLY)
        answers = {client.read().partition(b":")[0::2] for _ in range(2)}
        by_id = dict(answers)
        self.assertTrue(by_id[b"a"].startswith(b"ERROR:port_closed "), by_id)
        self.assertFalse(by_id[b"b"].startswith(b"ERROR"), by_id)
        client.close()
        twistd.send(signal.SIGTERM)
        self.assert_clean(twistd)

    def test_soft_limit_of_open_files_is_raised(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lower = 256
        resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        twistd = self.start("--port", self.port)
        self.assertEqual(resource.prlimit(twistd.process.pid, resource.RLIMIT_NOFILE), (hard, hard))

    def test_a_file_as_the_configuration(self) -> None:
        path = pathlib.Path(self.mktemp()).absolute()
        path.write_text(f'[ports.bus]\npath = "{self.device.path}"\n')
        twistd = self.start("--config", str(path))
        client = twistd.connect()
        client.write(b"ports")
        self.assertIn(b"# bus ", client.read())


class FileModes(LifecycleTests):
    """What Lumina writes is its user's and its group's, however loose the umask is."""

    def modes(self, umask: int) -> dict[str, int]:
        """By name, what a daemon makes that was started with this umask."""
        twistd = self.start(
            "--log", "directory=deep/logs", "--config", str(self.configuration()),
            before=f"import os; os.umask({umask})",
        )
        client = twistd.connect()
        client.write(b"ports")
        client.read()
        twistd.send(signal.SIGTERM)
        self.assert_clean(twistd)
        return {
            str(one.relative_to(twistd.folder)): stat.S_IMODE(one.stat().st_mode)
            for one in sorted(twistd.folder.rglob("*"))
        }

    def configuration(self) -> pathlib.Path:
        path = pathlib.Path(self.mktemp()).absolute()
        path.write_text(
            f'[ports.bus]\npath = "{self.device.path}"\n[values]\ndatabase = "state/deeper/lumina.db"\n'
            '[devices.a]\nport = "bus"\nunit = 1\n[devices.a.points.b]\ntable = "holding"\naddress = 0\n'
        )
        return path

    def test_loose_umask(self) -> None:
        for umask in (0, 0o022):
            modes = self.modes(umask)
            self.assertEqual(
                {name: oct(mode) for name, mode in modes.items()},
                {name: "0o640" if "." in name.rpartition("/")[2] else "0o750" for name in modes},
            )
            self.assertIn("deep/logs/lumina.log", modes)
            self.assertIn("state/deeper/lumina.db", modes)

    def test_strict_umask(self) -> None:
        modes = self.modes(0o077)
        self.assertEqual((modes["deep/logs/lumina.log"], modes["state/deeper/lumina.db"]), (0o600, 0o600))


class Demo(LifecycleTests):
    """``--demo``."""

    def test_what_it_says_to_type_works(self) -> None:
        twistd = self.start("--demo")
        twistd.wait_for("a small plant")
        twistd.wait_for("help")
        pattern = rf"printf '(1:demo:.*)\\n' \| nc .* 127.0.0.1 {twistd.tcp_port}$"
        told = re.findall(pattern, twistd.printed, re.MULTILINE)
        self.assertGreater(len(told), 3, twistd.printed)
        for line in told:
            client = twistd.connect()
            client.write(line.encode())
            command_id, answer, _ = client.read().split(b":")
            self.assertTrue(command_id == b"1" and crc_ok(bytes.fromhex(answer.decode())), (line, answer))
            client.close()
        twistd.send(signal.SIGTERM)
        self.assert_clean(twistd)

    def test_nothing_of_it_is_left(self) -> None:
        folder = pathlib.Path(self.mktemp()).absolute()
        folder.mkdir()
        self.patch(os, "environ", {**os.environ, "TMPDIR": str(folder)})
        twistd = self.start("--demo")
        self.assertEqual(len(list(folder.glob("*/demo*"))), 2)
        twistd.send(signal.SIGINT)
        self.assert_clean(twistd)
        self.assertEqual(list(folder.iterdir()), [])


class Stopping(LifecycleTests):
    """SIGTERM and Ctrl-C."""

    def stop_while_busy(self, number: signal.Signals) -> Twistd:
        """One request is on the wire, one waits; then the signal comes, and the one that waits is answered."""
        twistd = self.start("--port", self.port)
        self.client = twistd.connect()
        self.client.write(read_line(b"wire"), read_line(b"waits"))
        self.device.read(len(READ))
        self.client.write(b"nonsense")
        self.client.read()  # the lines before it have been taken in when this one is answered
        twistd.send(number)
        self.assertTrue(self.client.read().startswith(b"waits:ERROR:stopping "))
        return twistd

    def last_answers(self) -> list[bytes]:
        return list(iter(self.client.read, b""))

    def test_what_is_on_the_wire_ends(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            twistd = self.stop_while_busy(number)
            self.device.write(REPLY)
            (answer,) = self.last_answers()
            self.assertIn(REPLY.hex(), answer.decode().lower())
            self.assert_clean(twistd)
            self.assertIn(f"{number.name} came, so Lumina stops", twistd.printed)
            self.assertIn("Server Shut Down.", twistd.printed)

    def test_nobody_is_let_in_any_more(self) -> None:
        twistd = self.stop_while_busy(signal.SIGTERM)
        self.client.write(read_line(b"new"))
        self.assertTrue(self.client.read().startswith(b"new:ERROR:stopping "))
        self.assertRaises(ConnectionRefusedError, twistd.connect)
        self.device.write(REPLY)
        self.assert_clean(twistd)

    def test_a_second_one_does_not_wait(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            twistd = self.stop_while_busy(number)
            twistd.send(number)
            self.assertEqual(twistd.wait(), -number)

    def test_a_device_that_does_not_answer_holds_it_up_for_a_while_only(self) -> None:
        self.port += ":stop_timeout=0.5"
        twistd = self.stop_while_busy(signal.SIGTERM)
        (answer,) = self.last_answers()
        self.assertIn(b"wire:ERROR:port_closed bus was lost before the reply came, the service stops and does", answer)
        self.assert_clean(twistd)

    def test_idle(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            twistd = self.start("--port", self.port)
            client = twistd.connect()
            client.write(b"nonsense")
            client.read()  # so that it has been let in
            twistd.send(number)
            self.assertEqual(client.read(), b"")
            self.assert_clean(twistd)

    def test_a_device_that_is_not_there_holds_nobody_up(self) -> None:
        twistd = self.start("--port", "gone=/nonexistent/tty0")
        twistd.send(signal.SIGTERM)
        self.assert_clean(twistd)

    def test_a_device_that_vanished_holds_nobody_up(self) -> None:
        twistd = self.stop_while_busy(signal.SIGTERM)
        self.device.close()
        self.device = TestDevice()
        (answer,) = self.last_answers()
        self.assertTrue(answer.startswith(b"wire:ERROR:port_closed "), answer)
        self.assertEqual(twistd.wait(), 0)


EARLY = """
import os, signal, sys
class Early:
    def find_spec(self, name, path, target=None):
        if name == "lumina_twisted.config.compose":
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Early())
"""
AT_RUN = """
import os, signal
from twisted.internet import reactor
reactor.addSystemEventTrigger("before", "startup", os.kill, os.getpid(), signal.SIGTERM)
"""
CRASH = """
import ctypes
from twisted.internet import reactor
def crash_on_purpose():
    ctypes.string_at(0)
reactor.callWhenRunning(reactor.callLater, 1.5, crash_on_purpose)  # when it has said that it listens
"""
FULL = """
import os
os.mkdir("logs")
os.symlink("/dev/full", "logs/lumina.log")
"""
FAULTY = """
from lumina_twisted.ports.pool import PortPool
def fail_on_purpose(self):
    raise RuntimeError("planted")
PortPool.startService = fail_on_purpose
"""


class Killed(LifecycleTests):
    """All other ways to end, and those that are none; docs/service.md has them in a table."""

    def test_sigterm_while_it_starts(self) -> None:
        """Whenever after the first import."""
        for before in (EARLY, AT_RUN):
            twistd = Twistd("--port", self.port, before=before)
            self.addCleanup(twistd.__exit__, None, None, None)
            self.assert_clean(twistd)
            self.assertIn("SIGTERM came, so Lumina stops", twistd.printed)

    def test_sigkill(self) -> None:
        """Nothing of it is in the way of the next one."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        endpoint = f"unix:{folder.name}/socket"
        for _ in range(2):
            twistd = self.start("--port", self.port, "--listen", f"line={endpoint}")
            twistd.send(signal.SIGKILL)
            self.assertEqual(twistd.wait(), -signal.SIGKILL)
        client = self.start("--port", self.port, "--listen", f"line={endpoint}").connect()
        client.write(read_line(b"a"))
        self.device.read(len(READ))

    def test_sighup(self) -> None:
        twistd = self.start("--port", self.port)
        twistd.send(signal.SIGHUP)
        twistd.wait_for("SIGHUP changes nothing: the configuration is read at the start only")
        twistd.send(signal.SIGTERM)
        self.assert_clean(twistd)

    def test_its_terminal_is_closed(self) -> None:
        """Nobody could see it any more, so it stops."""
        folder = self.mktemp()
        os.mkdir(folder)
        leader, terminal = os.openpty()
        tcp_port = free_tcp_port()
        words = twistd_command("--port", self.port, "--listen", f"line=tcp:{tcp_port}:interface=127.0.0.1")
        process = subprocess.Popen(
            words, env=environment(), cwd=folder, stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.close(terminal)
        printed = b""
        while b"line on" not in printed:
            printed += os.read(leader, 1000)
        os.close(leader)
        self.assertEqual(process.wait(PATIENCE), 0)  # what it says of that, it says to a closed terminal

    def test_sigusr1(self) -> None:
        """Where each thread is; and it goes on."""
        twistd = self.start("--port", self.port)
        twistd.send(signal.SIGUSR1)
        client = twistd.connect()
        client.write(b"ports")
        self.assertTrue(client.read().startswith(b"# bus "))
        twistd.send(signal.SIGTERM)
        self.assertEqual(twistd.wait(), 0)
        self.assertRegex(twistd.errors(), r'most recent call first\):\n  File ".*", line \d+ in ')

    def test_signals_that_mean_nothing(self) -> None:
        """SIGUSR2 and the timers' signals end a process by default; so do the real-time signals."""
        twistd = self.start("--port", self.port)
        numbers = {name: getattr(signal, name) for name in ("SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO")}
        for name, number in {**numbers, "signal 40": 40}.items():
            twistd.send(number)
            twistd.wait_for(f"{name} means nothing to Lumina, which goes on")
        client = twistd.connect()
        client.write(read_line(b"a"))
        self.assertEqual(self.device.read(len(READ)), READ)
        self.device.write(REPLY)
        self.assertTrue(client.read().startswith(b"a:01"))
        client.close()
        twistd.send(signal.SIGTERM)
        self.assert_clean(twistd)

    def test_a_flood_of_them_while_a_request_is_on_the_wire(self) -> None:
        twistd = self.start("--port", self.port)
        client = twistd.connect()
        client.write(read_line(b"a"))
        self.assertEqual(self.device.read(len(READ)), READ)
        for _ in range(200):
            twistd.send(signal.SIGUSR2)
            twistd.send(signal.SIGALRM)
        self.device.write(REPLY)
        self.assertTrue(client.read().startswith(b"a:01"))
        client.close()
        twistd.send(signal.SIGTERM)
        self.assert_clean(twistd)
        self.assertLess(twistd.printed.count("means nothing"), 6)

    def test_sigusr2_while_it_starts(self) -> None:
        kick = "import twisted.scripts.twistd, lumina_twisted.tap, os, signal; os.kill(os.getpid(), signal.SIGUSR2)"
        twistd = self.start("--port", self.port, before=kick)
        twistd.send(signal.SIGTERM)
        self.assert_clean(twistd)

    def test_sigquit(self) -> None:
        twistd = self.start("--port", self.port)
        twistd.send(signal.SIGQUIT)
        self.assertEqual(twistd.wait(), -signal.SIGQUIT)
        self.assertIn("most recent call first", twistd.errors())

    def test_crash(self) -> None:
        """Its reason is on stderr."""
        twistd = self.start("--port", self.port, before=CRASH)
        self.assertEqual(twistd.wait(), -signal.SIGSEGV)
        self.assertIn("Fatal Python error: Segmentation fault", twistd.errors())
        self.assertIn("in crash_on_purpose", twistd.errors())

    def test_a_fault_of_its_own_at_the_start(self) -> None:
        ended = run_twistd("--port", self.port, "--listen", "line=tcp:0", before=FAULTY)
        self.assertEqual(ended.returncode, 1)
        told = ended.stdout + ended.stderr  # twistd makes stderr a part of its log
        self.assertIn("in fail_on_purpose", told)
        self.assertIn("RuntimeError: planted", told)

    def test_disk_full(self) -> None:
        """It serves all the same, says so once, and in the log what is missing, when there is room again."""
        twistd = Twistd("--port", self.port, before=FULL)
        self.addCleanup(twistd.__exit__, None, None, None)
        log = twistd.folder / "logs" / "lumina.log"
        twistd.__enter__()
        client = twistd.connect()
        client.write(read_line(b"a"))
        self.device.read(len(READ))
        self.device.write(REPLY)
        self.assertTrue(client.read().startswith(b"a:01"))
        log.unlink()  # /dev/full
        patience = time.monotonic() + PATIENCE
        while not log.exists() or "are missing here" not in log.read_text():
            self.assertLess(time.monotonic(), patience, twistd.errors())
            twistd.send(signal.SIGHUP)  # one more line for the log
            time.sleep(0.1)
        self.assertRegex(log.read_text(), r"\d+ events are missing here: the log .*lumina\.log could not be written")
        client.close()
        twistd.send(signal.SIGTERM)
        self.assertEqual(twistd.wait(), 0)
        first, second = twistd.errors().splitlines()
        told = "cannot be written (No space left on device); what is logged meanwhile is counted"
        self.assertTrue(first.endswith(told), first)
        self.assertIn("can be written again; ", second)

    def test_port_lost(self) -> None:
        """One, then the last: it stays, says so, and waits for them."""
        other = TestDevice()
        twistd = self.start("--port", self.port, "--port", f"other={other.path}")
        other.close()
        twistd.wait_for("other: it was lost (the device hung up) and is opened again as soon as it is back")
        self.device.close()
        self.device = TestDevice()
        twistd.wait_for("bus: it was lost (the device hung up) and is opened again as soon as it is back")
        client = twistd.connect()
        client.write(read_line(b"a"))
        self.assertTrue(client.read().startswith(b"a:ERROR:port_closed "))
        client.close()
        twistd.send(signal.SIGTERM)
        self.assert_clean(twistd)


class Background(LifecycleTests):
    """``twistd`` without ``-n``: its parent process ends when the daemon serves, or has failed to."""

    def twistd(self, tcp_port: int) -> subprocess.CompletedProcess[str]:
        words = twistd_command("--port", self.port, "--listen", f"line=tcp:{tcp_port}:interface=127.0.0.1")
        self.pid_file = self.folder / "twistd.pid"
        words[words.index("-n"):words.index("lumina")] = [f"--pidfile={self.pid_file}", f"--logfile={self.folder}/log"]
        with open(os.devnull) as nothing:
            return subprocess.run(
                words, env=environment(), cwd=self.folder, stdin=nothing, capture_output=True, text=True,
                timeout=PATIENCE, check=False,
            )

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def test_starts_and_stops(self) -> None:
        tcp_port = free_tcp_port()
        self.assertEqual(self.twistd(tcp_port).returncode, 0)
        self.addCleanup(self.kill)
        client = Client(tcp_port)
        client.write(read_line(b"a"))
        self.device.read(len(READ))
        self.device.write(REPLY)
        self.assertTrue(client.read().startswith(b"a:"))
        os.kill(int(self.pid_file.read_text()), signal.SIGTERM)
        self.assertEqual(client.read(), b"")
        client.close()

    def kill(self) -> None:
        """What a failed test leaves; its pid file goes with a clean end."""
        with contextlib.suppress(OSError):
            os.kill(int(self.pid_file.read_text()), signal.SIGKILL)

    def test_taken_tcp_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ended = self.twistd(taken.getsockname()[1])
        self.assertNotEqual(ended.returncode, 0)
        sentence = ended.stderr.splitlines()[0]
        self.assertTrue(sentence.startswith("lumina: cannot listen on tcp:"), ended.stderr)
        self.assertTrue(sentence.endswith("give another endpoint, with --listen or in the configuration"), ended.stderr)
        self.assertIn("(Address already in use)", (self.folder / "log").read_text())


class Refusing(SynchronousTestCase):
    """What keeps it from starting is one sentence each, and a status that says so."""

    def refused(self, *options: str, status: int = 1) -> list[str]:
        ended = run_twistd(*options)
        self.assertEqual(ended.returncode, status, ended)
        self.assertNotIn("Traceback", ended.stdout + ended.stderr)
        self.assertNotIn("Usage:", ended.stdout + ended.stderr)
        return ended.stderr.splitlines()

    def test_taken_tcp_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            (sentence,) = self.refused("--port", "/nonexistent/tty0", "--listen", f"line={endpoint}")
        self.assertEqual(
            sentence,
            f"lumina: cannot listen on {endpoint} (Address already in use): another program listens there, perhaps"
            " another Lumina; stop it, or give another endpoint, with --listen or in the configuration",
        )

    def test_endpoint_that_cannot_be_listened_on(self) -> None:
        for endpoint, why in (
            ("tcp:0:interface=192.0.2.1", "no interface of this machine has that address"),
            ("unix:/nonexistent/lumina.sock", "No such file or directory): there is no such folder"),
            ("tcp:0:interface=nowhere.invalid", "): no interface of this machine has that address"),
            ("systemd:domain=INET:name=lumina", "lumina"),
        ):
            (sentence,) = self.refused("--port", "/nonexistent/tty0", "--listen", f"line={endpoint}")
            self.assertTrue(sentence.startswith(f"lumina: cannot listen on {endpoint} ("), sentence)
            self.assertIn(why, sentence)

    def test_options_that_do_not_exist(self) -> None:
        for options, start in (
            (["--prot", "x"], "lumina: option --prot not recognized"),
            (["word"], "lumina: 'word' belongs to no option"),
            (["--port"], "lumina: option --port requires argument"),
        ):
            (sentence,) = self.refused(*options, status=2)
            self.assertTrue(sentence.startswith(start), sentence)

    def test_all_faults_of_a_file_at_once(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write('[ports.boiler]\npath = "/dev/a"\nbaudrat = 1\n[[listen]]\nendpoint = "tcp:x"\n')
            file.flush()
            for also in ([], ["--check"]):
                self.assertEqual(
                    self.refused("--config", file.name, *also, status=2),
                    [
                        "lumina: ports.boiler.baudrat: unknown key; did you mean 'baudrate'?",
                        "lumina: listen[0].endpoint: 'x' is no TCP port from 0 to 65535 in 'tcp:x'",
                    ],
                )

    def test_check_of_a_good_file(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write('[ports.boiler]\npath = "/nonexistent/tty0"\n')
            file.flush()
            ended = run_twistd("--config", file.name, "--check")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertEqual(ended.stdout, f"{file.name} is fine: 1 port, 1 listener\n")

    def test_version_and_help(self) -> None:
        self.assertTrue(re.match(r"Lumina \d+\.\d+\.\d+, Twisted \d+", run_twistd("--version").stdout))
        told = run_twistd("--help")
        self.assertEqual(told.returncode, 0)
        for option in ("--config", "--port", "--listen", "--check", "--demo"):
            self.assertIn(option, told.stdout)
