"""``twistd lumina``: its options, and the daemon put together, without a process of its own."""

from __future__ import annotations

import errno
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lumina_twisted import tap
from lumina_twisted.config import daemon, process
from lumina_twisted.config.compose import Given, compose
from lumina_twisted.config.daemon import Daemon
from lumina_twisted.config.listeners import why_not_listening
from lumina_twisted.config.reporting import Operator
from lumina_twisted.errors import ConfigError
from lumina_twisted.frontends import plugin as stream
from lumina_twisted.frontends.line.client import LineOptions
from lumina_twisted.frontends.plugin import Context, StreamFrontEnd
from lumina_twisted.tap import Options
from tests.twistd_process import ROOT, environment


class OptionsTests(SynchronousTestCase):
    """The command line; what its words mean is tested with the configuration."""

    def parsed(self, *words: str) -> Options:
        options = Options()
        options.parseOptions(list(words))
        return options

    def refused(self, *words: str) -> str:
        printed = io.StringIO()
        self.patch(sys, "stderr", printed)
        self.assertEqual(self.assertRaises(SystemExit, self.parsed, *words).code, 2)
        return printed.getvalue().rstrip("\n")

    def test_options_can_be_repeated(self) -> None:
        made = self.parsed(
            "--port", "a=/dev/a", "--port", "b=/dev/b", "--listen", "line=tcp:1", "--listen", "line=tcp:2"
        )
        assert made.configuration is not None
        self.assertEqual(list(made.configuration.ports), ["a", "b"])
        self.assertEqual([one.endpoint for one in made.configuration.listeners], ["tcp:1", "tcp:2"])

    def test_demo(self) -> None:
        made = self.parsed("--demo", "--listen", "line,port=demo2=tcp:1")
        assert made.configuration is not None
        self.assertEqual(made.configuration.listeners[0].port, "demo2")

    def test_an_option_that_is_nearly_one(self) -> None:
        self.assertIn("option --prot not recognized; did you mean --port?", self.refused("--prot", "a=/dev/a"))

    def test_a_file_that_nobody_named(self) -> None:
        self.patch(tap, "file_used", lambda given: "/etc/lumina/lumina.toml")
        self.patch(tap, "compose", self.faulty)
        told = self.refused()
        self.assertIn("\nlumina: this was read from /etc/lumina/lumina.toml, because no option says what to", told)

    def faulty(self, given: Given) -> Any:
        """A file with a fault."""
        raise ConfigError(["ports.a.path: this key is required"])

    def test_every_fault_is_a_line_of_its_own(self) -> None:
        self.assertEqual(
            self.refused("--port", "a=/dev/a:baudrat=1", "--listen", "line=tcp:x"),
            "lumina: --port a.baudrat: unknown key; did you mean 'baudrate'?\n"
            "lumina: --listen 'line=tcp:x'.endpoint: 'x' is no TCP port from 0 to 65535 in 'tcp:x'",
        )

    def test_words_that_are_no_options(self) -> None:
        self.assertTrue(self.refused("word").startswith("lumina: 'word' belongs to no option; "))
        self.assertTrue(self.refused("--nope").startswith("lumina: option --nope not recognized; "))

    def test_importing_installs_no_reactor(self) -> None:
        """Else ``twistd --reactor`` would come too late."""
        code = (
            "import sys, lumina_twisted.tap, twisted.plugins.lumina_plugin;"
            "print('twisted.internet.reactor' in sys.modules)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code], env=environment(), cwd=ROOT, capture_output=True, text=True, check=True
        )
        self.assertEqual(ended.stdout, "False\n")


@implementer(IStreamServerEndpoint)
class StubEndpoint:
    """Listens when its test says so."""

    def __init__(self, listening: Deferred[Any]) -> None:
        self.listening = listening

    def listen(self, factory: Any) -> Deferred[Any]:
        """Later."""
        return self.listening


class StubListening:
    """A listening port that takes its time to close."""

    def __init__(self, order: list[str], closed: Deferred[None] | None = None) -> None:
        self.order = order
        self.closed = closed or succeed(None)

    def stopListening(self) -> Deferred[None]:
        """Closes."""
        self.order.append("listener")
        return self.closed


class Recording(Service):
    """Tells when it was started and stopped."""

    def __init__(self, order: list[str], name: str, stopped: Deferred[None] | None = None) -> None:
        self.order, self.label, self.stopped = order, name, stopped or succeed(None)

    def startService(self) -> None:
        """See :class:`Service`."""
        super().startService()
        self.order.append(f"{self.label} started")

    def stopService(self) -> Deferred[None]:
        """See :class:`Service`."""
        super().stopService()
        self.order.append(f"{self.label} stopped")
        return self.stopped


class StubPool(Recording):
    """A pool without ports."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def status(self) -> str:
        """As the pool's."""
        return "0 of 0 ports open"

    def stuck(self) -> list[str]:
        """As the pool's."""
        return []


class StubFrontEnd(StreamFrontEnd):
    """A front-end that tells when it is to end."""

    name = "line"
    options = LineOptions

    def __init__(self, order: list[str], drained: Deferred[None]) -> None:
        self.order, self.drained = order, drained

    def build(self, options: Any, context: Context) -> Any:
        """It is its own factory."""
        return self

    def drain(self) -> Deferred[None]:
        """Ends when the test says so."""
        self.order.append("drain")
        return self.drained


class DaemonTests(SynchronousTestCase):
    """Starting and stopping, in order and against all odds."""

    def setUp(self) -> None:
        self.foreground = True  # as the operator's
        self.order: list[str] = []
        self.printed: list[str] = []
        self.exits: list[str] = []
        self.reactor = MemoryReactorClock()
        self.drained: Deferred[None] = Deferred()
        self.patch(daemon, "process", self)
        self.patch(daemon, "PortPool", lambda *settings: StubPool(self.order, "pool"))
        front_end = StubFrontEnd(self.order, self.drained)
        self.patch(daemon, "front_ends", lambda: {"line": front_end})

    def raise_open_files_limit(self) -> None:
        """As of the module ``process``, like the next five."""
        self.order.append("limit")

    def collect_less(self) -> None:
        """The tests' own collector stays as it is."""

    def exit_with_failure(self) -> None:
        """See above."""
        self.exits.append("exit status 1")

    def block_signals(self) -> None:
        """See above."""
        self.order.append("signals blocked")

    def handle_signals(self, reactor: Any) -> None:
        """See above."""
        self.order.append("signals")

    def stop_reactor(self, reactor: Any) -> None:
        """See above."""
        self.exits.append("stop")

    def tell(self, sentence: str) -> None:
        """As the operator's."""
        self.printed.append(sentence)

    def leave_alone(self) -> None:
        """As the operator's."""
        self.order.append("left alone")

    def run_hooks(self) -> None:
        """The reactor runs."""
        hooks, self.reactor.whenRunningHooks = self.reactor.whenRunningHooks, []
        for hook, args, keywords in hooks:
            hook(*args, **keywords)

    def make(self, *listening: Deferred[Any], **keywords: Any) -> Daemon:
        """A daemon with a stub for each listener."""
        words = [f"line=tcp:{number}" for number, _ in enumerate(listening, 1)]
        endpoints = dict(zip((word[5:] for word in words), map(StubEndpoint, listening), strict=True))
        self.patch(stream, "make_endpoint", lambda reactor, text: endpoints[text])
        configuration = compose(Given(ports=["/nonexistent/tty0"], listeners=words))
        return Daemon(configuration, self.reactor, operator=self, **keywords)  # type: ignore[arg-type]

    def test_order(self) -> None:
        demo = Recording(self.order, "demo")
        made = self.make(succeed(StubListening(self.order)), also=(demo,))
        made.privilegedStartService()
        made.startService()
        self.assertEqual(self.order, ["limit", "demo started", "pool started", "signals blocked"])
        self.run_hooks()
        self.assertEqual(self.order[4:], ["signals", "left alone"])
        del self.order[:]
        stopped = made.stopService()
        self.assertEqual(self.order, ["pool stopped", "listener", "drain"])
        self.assertNoResult(stopped)
        self.drained.callback(None)
        self.assertEqual(self.order[3:], ["demo stopped"])
        self.assertIsNone(self.successResultOf(stopped))

    def test_what_fails_keeps_nobody_from_stopping(self) -> None:
        made = self.make(succeed(StubListening(self.order, fail(ValueError("closing")))))
        made.privilegedStartService()
        made.startService()
        stopped = made.stopService()
        self.assertNoResult(stopped)
        self.drained.errback(ValueError("draining"))
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual([str(one.value) for one in self.flushLoggedErrors(ValueError)], ["closing", "draining"])

    def test_what_never_stops_is_left_behind(self) -> None:
        made = self.make(succeed(StubListening(self.order)), also=(Recording(self.order, "demo"),))
        made.privilegedStartService()
        made.startService()
        stopped = made.stopService()
        self.reactor.advance(9.9)
        self.assertNoResult(stopped)
        self.reactor.advance(0.2)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.order[-1], "demo stopped")
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_every_endpoint_that_cannot_be_listened_on_is_told(self) -> None:
        error = CannotListenError("", 1, OSError(98, "taken"))
        made = self.make(fail(error), succeed(StubListening(self.order)), fail(ValueError("no such thing")))
        self.assertEqual(self.assertRaises(SystemExit, made.privilegedStartService).code, 1)
        self.assertEqual(len(self.printed), 2)
        self.assertIn("cannot listen on tcp:1 (Address already in use): ", self.printed[0])
        self.assertIn("cannot listen on tcp:3 (no such thing): ", self.printed[1])

    def test_in_the_background_twistd_is_told(self) -> None:
        """Its parent process hears of nothing but exceptions, and would wait for ever."""
        self.foreground = False
        made = self.make(fail(ValueError("no such thing")))
        error = self.assertRaises(ConfigError, made.privilegedStartService)
        self.assertIn("cannot listen on tcp:1 (no such thing): ", str(error))

    def test_an_endpoint_that_fails_late_stops_everything(self) -> None:
        late: Deferred[Any] = Deferred()
        made = self.make(late)
        made.privilegedStartService()
        made.startService()
        late.errback(ValueError("no such thing"))
        self.assertEqual(len(self.printed), 1)
        self.run_hooks()
        self.assertEqual(self.exits, ["exit status 1", "stop"])

    def test_an_endpoint_that_never_listens_holds_nobody_up(self) -> None:
        made = self.make(Deferred())
        made.privilegedStartService()
        made.startService()
        self.drained.callback(None)
        self.assertIsNone(self.successResultOf(made.stopService()))
        self.assertEqual(self.printed, [])


class Signals(SynchronousTestCase):
    """The first one stops the reactor, the second the process."""

    def setUp(self) -> None:
        """What the test's own process does with signals comes back."""
        for number in (*process.STOPPING, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.addCleanup(signal.pthread_sigmask, signal.SIG_UNBLOCK, process.STOPPING)
        self.patch(process, "noted", [])
        self.reactor = CountingReactor()

    def test_first_and_second(self) -> None:
        process.handle_signals(self.reactor)
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual(self.reactor.stopped, 1)
        self.assertIs(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        self.assertEqual(self.reactor.stopped, 2)

    def test_before_there_is_a_reactor(self) -> None:
        """It is noted, and stops the reactor as soon as there is one; a second one kills."""
        self.patch(process, "write_stacks_to", lambda stream: None)
        process.note_signals()
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        self.assertIs(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)
        process.handle_signals(self.reactor)
        self.assertEqual(self.reactor.stopped, 1)

    def test_while_the_reactor_takes_its_own_way(self) -> None:
        """It waits until that has been undone."""
        taken: list[int] = []
        process.block_signals()
        signal.signal(signal.SIGTERM, lambda number, frame: taken.append(number))
        signal.raise_signal(signal.SIGTERM)
        process.handle_signals(self.reactor)
        self.assertEqual((taken, self.reactor.stopped), ([], 1))

    def test_hang_up(self) -> None:
        """Changes nothing, but for the terminal's own."""
        self.patch(os, "isatty", lambda fd: fd == 0)
        self.patch(process, "_is_gone", lambda fd: gone)
        gone = False
        process.handle_signals(self.reactor)
        signal.raise_signal(signal.SIGHUP)
        self.assertEqual(self.reactor.stopped, 0)
        gone = True
        signal.raise_signal(signal.SIGHUP)
        self.assertEqual(self.reactor.stopped, 1)

    def test_nohup_is_kept(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        process.handle_signals(self.reactor)
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)


class CountingReactor:
    """Counts how often it was stopped."""

    stopped = 0

    def callFromThread(self, call: Any, *args: Any) -> None:
        """Now."""
        call(*args)

    callWhenRunning = callFromThread

    def stop(self) -> None:
        """See :class:`twisted.internet.interfaces.IReactorCore`."""
        self.stopped += 1


class OperatorTests(SynchronousTestCase):
    """Who is told why the start fails."""

    def setUp(self) -> None:
        reading, self.writing = os.pipe()
        self.heard = os.fdopen(reading, "rb", buffering=0)
        self.addCleanup(self.heard.close)
        stderr = os.dup(2)
        os.dup2(self.writing, 2)
        self.addCleanup(os.close, stderr)
        self.addCleanup(os.dup2, stderr, 2)
        self.addCleanup(os.close, self.writing)

    def test_in_the_background_stderr_is_kept(self) -> None:
        operator = Operator(foreground=False)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)  # as twistd does
        os.close(null)
        operator.tell("größer " + "x" * 200)
        self.assertEqual(self.heard.read(300).decode(), "lumina: größer " + "x" * 200 + "\n")
        operator.leave_alone()
        operator.tell("nobody hears this")
        os.close(self.writing)
        self.writing = os.dup(2)
        self.assertEqual(self.heard.read(300), b"")

    def test_in_the_foreground(self) -> None:
        operator = Operator()
        operator.leave_alone()
        operator.tell("why")
        self.assertEqual(self.heard.read(300), b"lumina: why\n")


class ListeningTests(SynchronousTestCase):
    """Why an endpoint cannot be listened on."""

    def test_sentences(self) -> None:
        for error, told in (
            (OSError(errno.EADDRINUSE, ""), "(Address already in use): another program listens there, perhaps"),
            (OSError(errno.EACCES, ""), "(Permission denied): this user may not; TCP ports below 1024 are kept from"),
            (socket.gaierror(-2, "Name or service not known"), "(Name or service not known): no interface of this"),
            (OSError(errno.ENOENT, ""), "(No such file or directory): there is no such folder; make it, or give"),
        ):
            for raised in (error, CannotListenError("x", 1, error)):
                sentence = why_not_listening("tcp:1", raised)
                self.assertTrue(sentence.startswith(f"cannot listen on tcp:1 {told}"), sentence)
        self.assertEqual(
            why_not_listening("tcp:1", ValueError("odd")),
            "cannot listen on tcp:1 (odd): give another endpoint, with --listen or in the configuration",
        )
