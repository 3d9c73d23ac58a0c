"""The whole daemon as one service: the ports, the listeners in front of them, and how they start and stop. Floor 5."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lumina_twisted.config import process
from lumina_twisted.config.configuration import Configuration
from lumina_twisted.config.listeners import front_ends, label, why_not_listening
from lumina_twisted.config.reporting import DaemonLog, Notifier, Operator, Report
from lumina_twisted.errors import ConfigError
from lumina_twisted.frontends.connection import LINGER
from lumina_twisted.frontends.plugin import Context, Figures
from lumina_twisted.ports.pool import PortPool
from lumina_twisted.text import counted

if TYPE_CHECKING:
    from lumina_twisted.devices.plant import PlantService

_log: Final = Logger(namespace="lumina")

GRACE: Final = 3.0
"""Seconds by which a stop may exceed its limit; systemd itself waits for 20 in all."""


class Daemon(Service):
    """Runs everything that one configuration asks for.

    :param also: other services of floor 5, such as the demo's simulated buses; they start first and stop last.
    :param hints: text for the log when all listeners listen.
    :param operator: gets a sentence if the daemon cannot start.
    :param log: where the daemon's log goes; None if twistd has a log of its own.
    """

    def __init__(
        self, configuration: Configuration, reactor: Any, *, also: tuple[Service, ...] = (), hints: str = "",
        now: Callable[[], float] = time.monotonic, operator: Operator | None = None, log: DaemonLog | None = None,
    ) -> None:
        self._own_log = log
        self._configuration = configuration
        self._reactor = reactor
        self._also = also
        self._hints = hints
        self._operator = operator or Operator()
        self._refused: list[str] = []
        self._pool = PortPool(configuration.ports, reactor, now, configuration.limits.open_ports)
        self._plant = self._make_plant(now) if configuration.devices else None
        self._report = Report(Notifier(os.environ), reactor, self._pool.status, self._pool.stuck)
        self._figures = Figures(self._pool)
        self._fronts = [(one, self._front(one, now)) for one in configuration.listeners]
        self._starting: list[Deferred[Any]] = []

    def _make_plant(self, now: Callable[[], float]) -> PlantService:
        from lumina_twisted.devices.plant import PlantService  # imports a database, which a plain gateway does not need

        one = self._configuration
        return PlantService(one.devices, one.profiles, one.values, self._pool, self._reactor, now, time.time)

    def _front(self, one: Any, now: Callable[[], float]) -> IService:
        context = Context(
            buses=self._pool, reactor=self._reactor, now=now, stamp=time.time, figures=self._figures,
            log=Logger(namespace=f"lumina.{one.protocol}"), name=label(one),
            values=None if self._plant is None else self._plant.plant,
        )
        front = front_ends()[one.protocol].make(one, context)
        self._figures.add(context, getattr(front, "counts", dict))
        return front

    def setServiceParent(self, parent: Any) -> None:
        """Offers the log's observer to twistd, which asks its application for one before it makes one itself."""
        super().setServiceParent(parent)
        if self._own_log is not None:
            self._own_log.offer_to(parent)

    def privilegedStartService(self) -> None:
        """Starts to listen while the process still has the privileges that it drops later.

        :raises SystemExit: if a listener cannot listen, after a sentence on stderr.
        :raises ConfigError: instead of that in the background. There twistd's parent process waits for an exception; if
            the process ended in another way, the parent would wait for ever.
        """
        process.raise_open_files_limit()
        for one, front in self._fronts:
            self._starting.append(maybeDeferred(front.privilegedStartService).addErrback(self._on_refused, one))
        if self._refused:  # Twisted's own endpoints succeed or fail before they return
            raise self._end()

    def startService(self) -> None:
        """Opens the ports, and takes over the signals once the reactor has installed its own signal handlers.

        :raises SystemExit: or :class:`~lumina_twisted.errors.ConfigError`, as :meth:`privilegedStartService` does, if
            another service uses the database.
        """
        if self._plant is not None and (sentence := self._plant.claim()):
            self._report_refusal(sentence)
            raise self._end()
        super().startService()
        if self._own_log is not None:
            self._own_log.start(self._pool)
        plant = [] if self._plant is None else [self._plant]
        for service in (*self._also, self._pool, *plant, *(front for _, front in self._fronts)):
            service.startService()
        process.block_signals()
        self._reactor.callWhenRunning(process.handle_signals, self._reactor)
        self._reactor.callWhenRunning(self._log_start)
        process.collect_less()

    def stopService(self) -> Deferred[None]:
        """Takes no new connection and no new request. Requests on the wire end, waiting requests get an answer, and
        data already written to clients is sent.

        :return: a Deferred that fires with None and does not fail. It fires within the longest ``stop_timeout`` plus
            the two seconds that clients have to read their last answers. After :data:`GRACE` more seconds, services
            that have not stopped are left behind.
        """
        super().stopService()
        self._report.stopping()
        # The poller stops first, so that it sends no request to a stopping port. The ports stop before the front-ends,
        # so that requests that wait for a port have their answer when the front-ends close their connections.
        plant = [] if self._plant is None else [self._plant]
        services = (*plant, self._pool, *(front for _, front in self._fronts))
        stopped = self._all_of(*(service.stopService for service in services))
        return stopped.addCallback(
            lambda _: self._all_of(*(service.stopService for service in self._also), self._close_log)
        )

    def _close_log(self) -> None:
        if self._own_log is not None:
            self._own_log.close()

    def _all_of(self, *calls: Callable[[], Any]) -> Deferred[None]:
        """Fires when all calls have ended. A failure is logged, and does not keep other services from stopping."""
        ended = [self._bounded(maybeDeferred(call)).addErrback(self._log_failure) for call in calls]
        return gatherResults(ended).addCallback(lambda _: None)

    def _bounded(self, stopping: Deferred[Any]) -> Deferred[Any]:
        """Limits the time of a stop: a disk that hangs, or a bug of ours, must not keep the process alive for ever."""
        if stopping.called and stopping.paused == 0:
            return stopping
        longest = max((one.stop_timeout for one in self._configuration.ports.values()), default=0.0)
        return stopping.addTimeout(longest + LINGER + GRACE, self._reactor)

    def _log_failure(self, failure: Failure) -> None:
        _log.failure("stopping was not clean", failure)

    def _on_refused(self, failure: Failure, one: Any) -> None:
        """A listener cannot listen. Ends the process: at once or, if the daemon runs already, by a clean stop."""
        if failure.check(CancelledError):
            return
        self._report_refusal(why_not_listening(one.endpoint, failure.value))
        if self.running:
            process.exit_with_failure()
            self._reactor.callWhenRunning(process.stop_reactor, self._reactor)

    def _report_refusal(self, sentence: str) -> None:
        _log.critical("{sentence}", sentence=sentence)
        self._operator.tell(sentence)
        self._report.failed(sentence)
        self._refused.append(sentence)

    def _end(self) -> BaseException:
        return SystemExit(1) if self._operator.foreground else ConfigError(self._refused)

    def _log_start(self) -> None:
        for port in self._pool:
            _log.info("port {name} is {path}, {serial}", name=port.name, path=port.path, serial=str(port.serial))
        if devices := self._configuration.devices:
            points = counted(sum(len(one.points) for one in devices.values()), "point")
            _log.info("described: {devices} with {points}", devices=counted(len(devices), "device"), points=points)
        if unasked := self._configuration.unasked:
            _log.warn("{sentence}", sentence=unasked)
        for one, _ in self._fronts:
            where = f" on {one.endpoint}" if one.endpoint else ""
            _log.info("{protocol}{where}", protocol=one.protocol, endpoint=one.endpoint, where=where)
        if self._hints:
            _log.info("{hints}", hints=self._hints, log_lines=True)
        self._operator.leave_alone()
        DeferredList(self._starting).addCallback(self._on_started)

    def _on_started(self, _: object) -> None:
        if self.running and not self._refused:
            self._report.ready()
