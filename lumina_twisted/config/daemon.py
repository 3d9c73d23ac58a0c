"""The whole daemon as one service: ports, the listeners before them, and how they stop."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.logger import Logger
from twisted.python.failure import Failure

from lumina_twisted.config.configuration import Configuration
from lumina_twisted.config.protocols import PROTOCOLS, FrontEnd
from lumina_twisted.ports.pool import PortPool

_COLLECT_AFTER: Final = 20_000
"""New objects between two looks of the garbage collector. Nearly all of ours die by their reference count; its default
of 700 looks every few dozen commands and costs a tenth of the throughput."""


class Daemon(Service):
    """Everything that one configuration asks for.

    :param also: services of floor 5's own, such as the demo's simulated buses; they start first and stop last.
    :param hints: told in the log when all is listening.
    """

    _log = Logger(namespace="lumina")

    def __init__(
        self, configuration: Configuration, reactor: Any, *, also: tuple[Service, ...] = (), hints: str = "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configuration = configuration
        self._reactor = reactor
        self._also = also
        self._hints = hints
        self._pool = PortPool(configuration.ports, reactor, now)
        self._fronts: list[tuple[Any, FrontEnd]] = [
            (one, PROTOCOLS[one.protocol].make(one, self._pool, reactor)) for one in configuration.listeners
        ]
        self._listening: list[Any] = []

    def privilegedStartService(self) -> None:
        """Listens, while the process may still do what it may not do later.

        :raises SystemExit: with a sentence, if an endpoint cannot be listened on.
        """
        raise_open_files_limit()
        for one, front in self._fronts:
            failed: list[Failure] = []
            serverFromString(self._reactor, one.endpoint).listen(front).addCallbacks(self._listening.append, failed.append)
            if failed:  # Twisted's endpoints listen, or fail to, before they return
                raise SystemExit(_cannot_listen(failed[0], one))

    def startService(self) -> None:
        """Opens the ports, and takes over the signals once the reactor has set its own."""
        super().startService()
        for service in self._also:
            service.startService()
        self._pool.startService()
        self._reactor.callWhenRunning(take_over_signals, self._reactor)
        self._reactor.callWhenRunning(self._tell)
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER, 20, 20)

    def stopService(self) -> Deferred[None]:
        """No new connection, no new request: what is on the wire ends, what waits is answered, what is written leaves.

        :return: a Deferred that fires with None within the longest response timeout and the second that clients have
            to read their last answers; it does not fail.
        """
        super().stopService()
        closing = [maybeDeferred(one.stopListening) for one in self._listening]
        stopping = maybeDeferred(self._pool.stopService)  # from here on, what waits is being answered
        draining = [maybeDeferred(front.drain) for _, front in self._fronts]
        stopped = gatherResults([*closing, stopping, *draining], consumeErrors=True)
        stopped.addErrback(self._log_failure)
        return stopped.addCallback(self._stop_others)

    def _stop_others(self, _: object) -> Deferred[None]:
        others = gatherResults([maybeDeferred(service.stopService) for service in self._also])
        return others.addCallback(lambda _: None)

    def _log_failure(self, failure: Failure) -> None:
        self._log.failure("stopping was not clean", failure)

    def _tell(self) -> None:
        for port in self._pool:
            self._log.info("port {name} is {path}, {serial}", name=port.name, path=port.path, serial=str(port.serial))
        for one, _ in self._fronts:
            self._log.info("{protocol} on {endpoint}", protocol=one.protocol, endpoint=one.endpoint)
        if self._hints:
            self._log.info("{hints}", hints=self._hints)


def _cannot_listen(failure: Failure, one: Any) -> str:
    error = failure.value
    why = os.strerror(error.socketError.errno) if isinstance(error, CannotListenError) else failure.getErrorMessage()
    return (
        f"lumina: cannot listen on {one.endpoint} ({why}); stop what uses it, or give another endpoint with --listen or"
        " in the configuration"
    )


def raise_open_files_limit() -> None:
    """A thousand clients need more descriptors than the usual soft limit; the hard one is what an operator set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def take_over_signals(reactor: Any) -> None:
    """SIGTERM and Ctrl-C stop the daemon and leave exit status 0: after the reactor's own handling, twistd would
    send the signal once more to be killed by it. A second one does not wait any longer."""

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(stop_once)

    def stop_once() -> None:
        with contextlib.suppress(ReactorNotRunning):
            reactor.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
