"""What keeps a device open, floor 2: Twisted's ClientService, how long it waits, and who is told why it fails.

A connection to a socket that ends is made anew at once, and what waits keeps waiting: many devices and gateways close
in good order when nobody asks, or after each reply. A connection is *fruitless* if it was asked and carried no reply,
or if the other side closed it as soon as it was made. After each further fruitless one the wait is twice as long, until
a reply comes; from the fifth on, requests are refused meanwhile.
"""

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
LONGEST_FRUITLESS_WAIT: Final = 5.0
"""Seconds before the next connection, at most, to a device that accepts connections and never answers."""
MOST_FRUITLESS: Final = 5
"""So many fruitless connections in a row, and the port counts as not open until the next one."""
_CLOSED_AT_ONCE: Final = 0.25
"""Seconds: sooner than any device closes because nobody asks."""


def wait_before_attempt(failed: int) -> float:
    """Seconds before the next attempt to open a port, after ``failed`` ones."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failed, 10))


class Connections:
    """How the connections of one port ended, and so how long it waits before the next.

    :param is_socket: whether its bus is behind a socket; a serial device that is lost is unplugged.
    """

    def __init__(self, is_socket: bool) -> None:
        self._is_socket = is_socket
        self._began = 0.0
        self._sent = self._heard = 0
        self._has_ended = False
        self.fruitless = 0
        """How many in a row carried no reply."""

    @property
    def is_fruitless(self) -> bool:
        """Whether nothing is expected of the next one either."""
        return self._is_socket and self.fruitless >= MOST_FRUITLESS

    def began(self, now: float, sent: int, heard: int) -> None:
        """One was made. ``sent`` frames have left this port so far, ``heard`` replies have come."""
        self._began, self._sent, self._heard = now, sent, heard

    def ended(self, now: float, sent: int, heard: int) -> bool:
        """It ended, and not by our will.

        :return: whether requests may wait for the next one.
        """
        self._has_ended = True
        if heard > self._heard:
            self.fruitless = 0
        elif sent > self._sent or now < self._began + _CLOSED_AT_ONCE:
            self.fruitless += 1
        return self._is_socket and not self.is_fruitless

    def cut(self) -> None:
        """We ended it, for a new one."""
        self._has_ended = True

    def wait(self, failed: int) -> float:
        """Seconds before the next attempt; ``failed`` counts this loss and the attempts since."""
        has_ended, self._has_ended = self._has_ended, False
        if not has_ended or not self._is_socket:
            return wait_before_attempt(failed)
        if not self.fruitless:
            return 0.0
        return min(LONGEST_FRUITLESS_WAIT, FIRST_WAIT * 2.0 ** min(self.fruitless - 1, 10))


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
