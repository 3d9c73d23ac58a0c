"""The whole daemon as one service: ports, the listeners before them, and how they stop."""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.logger import Logger
from twisted.python.failure import Failure

from lumina_twisted.config.configuration import Configuration
from lumina_twisted.config.endpoints import make_endpoint
from lumina_twisted.config.protocols import PROTOCOLS, FrontEnd
from lumina_twisted.errors import ConfigError
from lumina_twisted.ports.pool import PortPool

_COLLECT_AFTER: Final = 20_000
"""New objects between two looks of the garbage collector. Nearly all of ours die by their reference count; its default
of 700 looks every few dozen commands and costs a tenth of the throughput."""


class Daemon(Service):
    """Everything that one configuration asks for.

    :param also: services of floor 5's own, such as the demo's simulated buses; they start first and stop last.
    :param hints: told in the log when all is listening.
    :param foreground: whether the operator sees our stderr.
    """

    _log = Logger(namespace="lumina")

    def __init__(
        self, configuration: Configuration, reactor: Any, *, also: tuple[Service, ...] = (), hints: str = "",
        now: Callable[[], float] = time.monotonic, foreground: bool = True,
    ) -> None:
        self._configuration = configuration
        self._reactor = reactor
        self._also = also
        self._hints = hints
        self._foreground = foreground
        self._refused: list[str] = []
        self._pool = PortPool(configuration.ports, reactor, now, configuration.limits.open_ports)
        self._fronts: list[tuple[Any, FrontEnd]] = [
            (one, PROTOCOLS[one.protocol].make(one, self._pool, reactor)) for one in configuration.listeners
        ]
        self._starting: list[Deferred[Any]] = []
        self._listening: list[Any] = []

    def privilegedStartService(self) -> None:
        """Listens, while the process may still do what it may not do later.

        :raises SystemExit: after a sentence on stderr, if an endpoint cannot be listened on.
        :raises ConfigError: likewise in the background, where twistd's own parent process waits to be told by an
            exception, and would wait for ever for another end.
        """
        raise_open_files_limit()
        for one, front in self._fronts:
            starting = maybeDeferred(self._listen, one, front)
            starting.addCallbacks(self._listening.append, self._refuse, errbackArgs=(one,))
            self._starting.append(starting)
        if self._refused:  # Twisted's own endpoints listen, or fail to, before they return
            raise SystemExit(1) if self._foreground else ConfigError(self._refused)

    def startService(self) -> None:
        """Opens the ports, and takes over the signals: now, and again once the reactor has set its own."""
        super().startService()
        for service in self._also:
            service.startService()
        self._pool.startService()
        take_over_signals(self._reactor)
        self._reactor.callWhenRunning(take_over_signals, self._reactor)
        self._reactor.callWhenRunning(self._tell)
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER, 20, 20)

    def stopService(self) -> Deferred[None]:
        """No new connection, no new request: what is on the wire ends, what waits is answered, what is written leaves.

        :return: a Deferred that fires with None within the longest ``stop_timeout`` and the two seconds that clients
            have to read their last answers; it does not fail.
        """
        super().stopService()
        for starting in self._starting:
            starting.cancel()
        closing = [one.stopListening for one in self._listening]
        draining = [front.drain for _, front in self._fronts]
        # The pool before the fronts: from then on, what waits is being answered.
        return self._all_of(*closing, self._pool.stopService, *draining).addCallback(
            lambda _: self._all_of(*(service.stopService for service in self._also))
        )

    def _all_of(self, *calls: Callable[[], Any]) -> Deferred[None]:
        """Fires when all have ended; what fails is logged, and keeps nobody from stopping."""
        ended = [maybeDeferred(call).addErrback(self._log_failure) for call in calls]
        return gatherResults(ended).addCallback(lambda _: None)

    def _log_failure(self, failure: Failure) -> None:
        self._log.failure("stopping was not clean", failure)

    def _listen(self, one: Any, front: FrontEnd) -> Deferred[Any]:
        endpoint: Any = make_endpoint(self._reactor, one.endpoint)
        listening: Deferred[Any] = endpoint.listen(front)
        return listening

    def _refuse(self, failure: Failure, one: Any) -> None:
        """Ends the process, at once or, if it runs already, by way of a clean stop."""
        if failure.check(CancelledError):
            return
        sentence = _cannot_listen(failure, one)
        self._log.critical("{sentence}", sentence=sentence)
        complain(sentence)
        self._refused.append(sentence)
        if self.running:
            exit_with_failure()
            self._reactor.callWhenRunning(stop_reactor, self._reactor)

    def _tell(self) -> None:
        for port in self._pool:
            self._log.info("port {name} is {path}, {serial}", name=port.name, path=port.path, serial=str(port.serial))
        for one, _ in self._fronts:
            self._log.info("{protocol} on {endpoint}", protocol=one.protocol, endpoint=one.endpoint)
        if self._hints:
            self._log.info("{hints}", hints=self._hints)


def _cannot_listen(failure: Failure, one: Any) -> str:
    error = failure.value.socketError if isinstance(failure.value, CannotListenError) else failure.value
    if isinstance(error, socket.gaierror):  # numbers of its own, which strerror does not know
        return f"cannot listen on {one.endpoint} ({error.strerror}): {_NO_SUCH_INTERFACE}"
    number = getattr(error, "errno", None)
    why = str(error) if number is None else os.strerror(number)
    return f"cannot listen on {one.endpoint} ({why}): {_LISTEN_REMEDIES.get(number or 0, _ANOTHER)}"


_ANOTHER: Final = "give another endpoint, with --listen or in the configuration"
_NO_SUCH_INTERFACE: Final = f"no interface of this machine has that address; {_ANOTHER}"
_LISTEN_REMEDIES: Final = {
    errno.EADDRINUSE: f"another program listens there; stop it, or {_ANOTHER}",
    errno.EACCES: f"this user may not; TCP ports below 1024 are kept from ordinary users; {_ANOTHER}",
    errno.EADDRNOTAVAIL: _NO_SUCH_INTERFACE,
    errno.ENOENT: f"there is no such folder; make it, or {_ANOTHER}",
}


def complain(sentence: str) -> None:
    """Says it where the operator looks; what twistd has put in the place of stderr is its log."""
    print(f"lumina: {sentence}", file=sys.__stderr__, flush=True)


def raise_open_files_limit() -> None:
    """A thousand clients need more descriptors than the usual soft limit; the hard one is what an operator set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # some systems refuse what they call unlimited
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def stop_reactor(reactor: Any) -> None:
    """Stops it if nobody else has."""
    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()


def exit_with_failure() -> None:
    """Lets a process that twistd ends cleanly have exit status 1; twistd itself has no way to say so."""

    def leave() -> None:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        os._exit(1)

    atexit.register(leave)


def take_over_signals(reactor: Any) -> None:
    """SIGTERM and Ctrl-C stop the daemon and leave exit status 0: after the reactor's own handling, twistd would
    send the signal once more to be killed by it. A second one does not wait any longer."""

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(stop_reactor, reactor)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
