"""``twistd lumina``: its options, and the daemon put together, without a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lumina_twisted.config import daemon
from lumina_twisted.config.compose import Given, compose
from lumina_twisted.config.daemon import Daemon
from lumina_twisted.config.protocols import ListenerProtocol
from lumina_twisted.errors import ConfigError
from lumina_twisted.frontends.line_options import LineOptions
from lumina_twisted.tap import Options
from tests.twistd_process import ROOT, environment


class OptionsTests(SynchronousTestCase):
    """The command line; what its words mean is tested with the configuration."""

    def parsed(self, *words: str) -> Options:
        options = Options()
        options.parseOptions(list(words))
        return options

    def refused(self, *words: str) -> str:
        return str(self.assertRaises(SystemExit, self.parsed, *words).code)

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


class StubFrontEnd:
    """A front-end that tells when it is to end."""

    def __init__(self, order: list[str], drained: Deferred[None]) -> None:
        self.order, self.drained = order, drained

    def drain(self) -> Deferred[None]:
        """Ends when the test says so."""
        self.order.append("drain")
        return self.drained


class DaemonTests(SynchronousTestCase):
    """Starting and stopping, in order and against all odds."""

    def setUp(self) -> None:
        self.order: list[str] = []
        self.printed: list[str] = []
        self.exits: list[str] = []
        self.reactor = MemoryReactorClock()
        self.drained: Deferred[None] = Deferred()
        self.patch(daemon, "take_over_signals", lambda reactor: self.order.append("signals"))
        self.patch(daemon, "raise_open_files_limit", lambda: self.order.append("limit"))
        self.patch(daemon, "exit_with_failure", lambda: self.exits.append("exit status 1"))
        self.patch(daemon, "stop_reactor", lambda reactor: self.exits.append("stop"))
        self.patch(daemon, "gc", self)  # the tests' own collector stays as it is
        self.patch(daemon, "complain", self.printed.append)
        self.patch(daemon, "PortPool", lambda *settings: Recording(self.order, "pool"))
        front_end = StubFrontEnd(self.order, self.drained)
        self.patch(daemon, "PROTOCOLS", {"line": ListenerProtocol(LineOptions, lambda *what: front_end)})

    def freeze(self) -> None:
        """As gc's."""

    def set_threshold(self, *counts: int) -> None:
        """As gc's."""

    def make(self, *listening: Deferred[Any], **keywords: Any) -> Daemon:
        """A daemon with a stub for each listener."""
        words = [f"line=tcp:{number}" for number, _ in enumerate(listening, 1)]
        endpoints = dict(zip((word[5:] for word in words), map(StubEndpoint, listening), strict=True))
        self.patch(daemon, "make_endpoint", lambda reactor, text: endpoints[text])
        configuration = compose(Given(ports=["/nonexistent/tty0"], listeners=words))
        return Daemon(configuration, self.reactor, **keywords)

    def test_order(self) -> None:
        demo = Recording(self.order, "demo")
        made = self.make(succeed(StubListening(self.order)), also=(demo,))
        made.privilegedStartService()
        made.startService()
        self.assertEqual(self.order, ["limit", "demo started", "pool started", "signals"])
        del self.order[:]
        stopped = made.stopService()
        self.assertEqual(self.order, ["listener", "pool stopped", "drain"])
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

    def test_every_endpoint_that_cannot_be_listened_on_is_told(self) -> None:
        error = CannotListenError("", 1, OSError(98, "taken"))
        made = self.make(fail(error), succeed(StubListening(self.order)), fail(ValueError("no such thing")))
        self.assertEqual(self.assertRaises(SystemExit, made.privilegedStartService).code, 1)
        self.assertEqual(len(self.printed), 2)
        self.assertIn("cannot listen on tcp:1 (Address already in use): ", self.printed[0])
        self.assertIn("cannot listen on tcp:3 (no such thing): ", self.printed[1])

    def test_in_the_background_twistd_is_told(self) -> None:
        """Its parent process hears of nothing but exceptions, and would wait for ever."""
        made = self.make(fail(ValueError("no such thing")), foreground=False)
        error = self.assertRaises(ConfigError, made.privilegedStartService)
        self.assertIn("cannot listen on tcp:1 (no such thing): ", str(error))

    def test_an_endpoint_that_fails_late_stops_everything(self) -> None:
        late: Deferred[Any] = Deferred()
        made = self.make(late)
        made.privilegedStartService()
        made.startService()
        late.errback(ValueError("no such thing"))
        self.assertEqual(len(self.printed), 1)
        for hook, args, keywords in self.reactor.whenRunningHooks:
            if hook is daemon.stop_reactor:
                hook(*args, **keywords)
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

    def test_first_and_second(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        reactor = CountingReactor()
        daemon.take_over_signals(reactor)
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual(reactor.stopped, 1)
        self.assertIs(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        self.assertEqual(reactor.stopped, 2)


class CountingReactor:
    """Counts how often it was stopped."""

    stopped = 0

    def callFromThread(self, call: Any, *args: Any) -> None:
        """Now."""
        call(*args)

    def stop(self) -> None:
        """See :class:`twisted.internet.interfaces.IReactorCore`."""
        self.stopped += 1
