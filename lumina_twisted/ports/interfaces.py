"""The interface between floors 2 and 4: all that a front-end sees of a port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.bus.events import HealthChange, Sample
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.statistics.counters import Counters
from lumina_twisted.statistics.report import Report


@frozen
class PortDescription:
    """A port, described for people.

    :param serial: its serial settings as text; for a socket, which protocol it carries.
    :param state: ``open``, or a sentence that says why it is not.
    :param waiting: how many requests wait for their turn.
    :param offline: units that do not answer.
    :param slow_because: a function that returns which unit's failed attempts take much of the bus time; an empty text
        if no unit's do.
    :param report: a function that returns the port's present figures.
    """

    name: str
    path: str
    serial: str
    state: str
    waiting: int
    counters: Counters
    report: Callable[[], Report]
    offline: tuple[int, ...] = ()
    slow_because: Callable[[], str] = str


HealthObserver = Callable[[HealthChange], None]
"""Called when a unit goes offline or comes back online."""
SampleObserver = Callable[[Sample], None]
"""Called with what the wire shows of a device's state."""


class Port(Protocol):
    """One serial port and the bus behind it."""

    @property
    def name(self) -> str:
        """The port's name in the configuration."""
        ...

    @property
    def path(self) -> str:
        """Where the bus is: the path of a serial device, or a socket."""
        ...

    @property
    def has_unit_0(self) -> bool:
        """Whether unit 0 is an ordinary device on this bus, and not the broadcast address."""
        ...

    @property
    def serial(self) -> SerialSettings:
        """The settings for a request without settings of its own, to a unit without settings of its own."""
        ...

    def serial_for(self, unit: int) -> SerialSettings:
        """The settings for a request to ``unit`` that has no settings of its own."""
        ...

    def request(self, caller: Caller, unit: int, pdu: bytes, terms: Terms) -> Deferred[bytes]:
        """Sends a request to a unit when its caller's turn comes.

        :param caller: the client that makes the request; clients take turns.
        :param pdu: function code and data.
        :return: a Deferred that fires exactly once, with the reply's PDU (empty for a broadcast that was sent). It
            fails with :class:`~lumina_twisted.errors.ModbusException` (the device replied with an exception),
            :class:`~lumina_twisted.errors.NotSent` or a subclass (the request never reached the wire),
            :class:`~lumina_twisted.errors.ResponseTimeout` or :class:`~lumina_twisted.errors.PortLost` (a read that
            was sent), :class:`~lumina_twisted.errors.OutcomeUnknown` (a write that was sent and is not proven), or
            :class:`~lumina_twisted.errors.RequestError` (the request cannot be framed, or its priority does not
            exist). Cancelling it removes a request that waits (:class:`~lumina_twisted.errors.Cancelled`). If the
            request is on the wire, its caller gets no reply, and the bus still waits for the transaction to end.
        """
        ...

    def is_full_for(self, caller: Caller, timeout: float) -> bool:
        """Whether a client should hold its next request back until one of its pending requests on this port ends. In
        that case its pending requests alone would make the next one too late, or have it refused (``queue_full``,
        ``overloaded``). The result is False for a client that has no pending request here, so the end of a request is
        always the moment to check again. A client that sends its request anyway gets the error that :meth:`request`
        describes.

        :param caller: the client.
        :param timeout: the seconds that its next request would wait.
        """
        ...

    def watch(self, observer: HealthObserver) -> Callable[[], None]:
        """Calls ``observer`` for each unit that goes offline or comes back online.

        :return: a function that removes the observer.
        """
        ...

    def listen(self, observer: SampleObserver) -> Callable[[], None]:
        """Calls ``observer`` with what the wire shows of the devices, whichever client made the request: each normal
        reply, once for each transaction, and each write that is proven or may have been carried out. See
        :mod:`lumina_twisted.bus.samples`. The call comes before the request's Deferred fires. Times are those of the
        port's clock. An exception that the observer raises is logged and has no other effect.

        :return: a function that removes the observer.
        """
        ...

    def meter(self, caller: Caller) -> None:
        """Has the port keep this client's bus time, however many other clients come."""
        ...

    def used_by(self, caller: Caller) -> float:
        """Seconds of bus time that this client has used since its first request. They include the silence before each
        transaction, response timeouts, retries and the transaction that runs now. A read that several clients share
        counts for the client whose turn it was. The port may forget a client that is not metered."""
        ...

    def cost_of(self, unit: int, pdu: bytes) -> float:
        """The seconds for which such a request would probably hold the bus, including the silence before it. The
        estimate follows the requests of the same unit, function and length in the last seconds. If there were none, it
        is the shortest time that the request's bytes can take.

        :raises RequestError: if the request cannot be framed.
        """
        ...

    def describe(self) -> PortDescription:
        """The port's present state."""
        ...


class Ports(Protocol):
    """The configured ports."""

    def __iter__(self) -> Iterator[Port]:
        """All of them, in the order of the configuration."""
        ...

    def find(self, text: str) -> Port:
        """The port with exactly this name or path.

        :raises RequestError: with a sentence that says which ports exist.
        """
        ...
