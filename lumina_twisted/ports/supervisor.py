"""What keeps a device open, floor 2: Twisted's ClientService, how long it waits, and who is told why it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.python.failure import Failure
from zope.interface import implementer, provider

LONGEST_WAIT: Final = 0.5
"""Seconds between two attempts to open a port that is gone, at most."""
FIRST_WAIT: Final = 0.05


def wait_before_attempt(failed: int) -> float:
    """Seconds before the next attempt to open a port, after ``failed`` ones."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failed, 10))


@provider(ILogObserver)
def _nobody(event: LogEvent) -> None:
    """Observes nothing."""


class Supervisor(ClientService):
    """ClientService logs each attempt; a port that is away for a night is told once, by the port itself."""

    _log = Logger(namespace="lumina.port", observer=_nobody)


@implementer(IStreamClientEndpoint)
class Reporting:
    """An endpoint that tells why it failed to connect."""

    def __init__(self, endpoint: IStreamClientEndpoint, report: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._report = report

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connects, and passes the failure on after it has been told."""
        return self._endpoint.connect(factory).addErrback(self._tell)

    def _tell(self, failure: Failure) -> Failure:
        self._report(failure.getErrorMessage())
        return failure
