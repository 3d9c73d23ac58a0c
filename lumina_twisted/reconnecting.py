"""How connections are kept, floor 2: Twisted's ClientService for ports and for clients, and how long a port waits
before it connects again.

When the connection of a port to a socket ends, the port makes a new one at once, and requests keep waiting: many
devices and gateways close a connection when they get no requests, or after each reply. A connection is *fruitless* if
it carried requests and no reply, or if the other side closed it as soon as it was made. After each further fruitless
connection the port waits twice as long, until a reply comes. From the fifth on, it refuses requests until the next
connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

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
"""After this many fruitless connections in a row the port counts as not open until the next connection."""
_CLOSED_AT_ONCE: Final = 0.25
"""Seconds. A device that closes the connection because it gets no requests waits longer than this."""


def wait_before_attempt(failed: int) -> float:
    """Seconds before the next attempt to open a port, after ``failed`` failed attempts."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failed, 10))


class Connections:
    """How the connections of one port ended, which decides how long it waits before the next.

    :param is_socket: whether the bus is behind a socket. If not, a lost connection means that the device is unplugged.
    """

    def __init__(self, is_socket: bool) -> None:
        self._is_socket = is_socket
        self._began = 0.0
        self._sent = self._received = 0
        self._has_ended = False
        self.fruitless = 0
        """How many connections in a row were fruitless."""

    @property
    def is_fruitless(self) -> bool:
        """Whether no reply is expected over the next connection either."""
        return self._is_socket and self.fruitless >= MOST_FRUITLESS

    def began(self, now: float, sent: int, received: int) -> None:
        """A connection was made. So far ``sent`` frames have left this port, and ``received`` replies have come."""
        self._began, self._sent, self._received = now, sent, received

    def ended(self, now: float, sent: int, received: int) -> bool:
        """The connection ended, and Lumina did not close it.

        :return: whether requests may wait for the next one.
        """
        self._has_ended = True
        if received > self._received:
            self.fruitless = 0
        elif sent > self._sent or now < self._began + _CLOSED_AT_ONCE:
            self.fruitless += 1
        return self._is_socket and not self.is_fruitless

    def cut(self) -> None:
        """Lumina closed the connection, to make a new one."""
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


class Reconnecting(ClientService):
    """A connection that is made again whenever it is lost, until that succeeds.

    The log of ClientService, which has each attempt, is turned off. A port that is away for a night is logged once, by
    the port itself. A client's program learns of it from the errors of its requests.

    :param wait: returns the seconds before the next attempt, from the number of failed attempts.
    :param report: called with a sentence when an attempt has failed.
    :param clock: for the waits.
    """

    _log = Logger(namespace="lumina.port", observer=_nobody)

    def __init__(
        self, endpoint: IStreamClientEndpoint, factory: IProtocolFactory, wait: Callable[[int], float],
        report: Callable[[str], None], clock: Any,
    ) -> None:
        super().__init__(_Reporting(endpoint, report), factory, wait, clock)


@implementer(IStreamClientEndpoint)
class _Reporting:
    """An endpoint that reports why it failed to connect."""

    def __init__(self, endpoint: IStreamClientEndpoint, report: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._report = report

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connects. Reports a failure first, and then passes it on."""
        return self._endpoint.connect(factory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self._report(sentence_of(failure))
        return failure


def sentence_of(failure: Failure) -> str:
    """Why a connection ended or was not made, without a full stop."""
    return failure.getErrorMessage().rstrip(".") or type(failure.value).__name__
