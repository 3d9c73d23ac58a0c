"""The seam between floors 2 and 4: all that a front-end sees of a port."""

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
    """A port as a person wants to see it.

    :param serial: its serial settings as a person reads them, or what is behind a socket.
    :param state: ``open``, or a sentence that says why it is not.
    :param waiting: requests that wait for their turn.
    :param offline: units that do not answer.
    :param slow_because: gives, when it is called, which unit's failed attempts take much of the bus; an empty text if
        none does.
    :param report: gives its figures as they are when it is called.
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
"""Called when a unit is offline, or online again."""
SampleObserver = Callable[[Sample], None]
"""Called with what a reply says of a device."""


class Port(Protocol):
    """One serial port and the bus behind it."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    @property
    def path(self) -> str:
        """Where its bus is: a device, or a socket."""
        ...

    @property
    def has_unit_0(self) -> bool:
        """Whether unit 0 is a device behind it like any other, and not every device."""
        ...

    @property
    def serial(self) -> SerialSettings:
        """The settings of a request that brings none, to a unit that has none of its own."""
        ...

    def serial_for(self, unit: int) -> SerialSettings:
        """The settings of a request to ``unit`` that brings none."""
        ...

    def request(self, caller: Caller, unit: int, pdu: bytes, terms: Terms) -> Deferred[bytes]:
        """Asks a unit something, when its caller's turn comes.

        :param caller: whose request it is; turns are taken between callers.
        :param pdu: function code and data.
        :return: a Deferred that fires once: with the reply's PDU (empty for a broadcast that was sent),
            or it fails with :class:`~lumina_twisted.errors.ModbusException` (the device said no),
            :class:`~lumina_twisted.errors.NotSent` (or a subclass: it never reached the wire),
            :class:`~lumina_twisted.errors.ResponseTimeout` or :class:`~lumina_twisted.errors.PortLost` (a read that
            was sent), :class:`~lumina_twisted.errors.OutcomeUnknown` (a write that was sent and is not proven),
            :class:`~lumina_twisted.errors.RequestError` (it cannot be framed, or there is no such priority). Cancelling
            it takes a waiting request back (:class:`~lumina_twisted.errors.Cancelled`); one on the wire is let go and
            waited out.
        """
        ...

    def is_full_for(self, caller: Caller, timeout: float) -> bool:
        """Whether a client should wait with its next request until one of those that it has here ends: the next would
        be refused (``queue_full``, ``overloaded``) or come too late, only for what it has asked already. Never true of
        a client that has nothing here, so the end of a request is always the moment to look again. Whoever asks all
        the same is refused as :meth:`request` says.

        :param caller: who would ask.
        :param timeout: seconds that the caller would wait.
        """
        ...

    def watch(self, observer: HealthObserver) -> Callable[[], None]:
        """Calls ``observer`` for each unit that goes offline or comes back.

        :return: ends that.
        """
        ...

    def listen(self, observer: SampleObserver) -> Callable[[], None]:
        """Calls ``observer`` with what the wire shows of the devices, whoever asked: each normal reply, once for each
        transaction, and each write that is proven or may have been carried out. See
        :mod:`lumina_twisted.bus.samples`. It is called before the Deferred of the request fires; times are those of the
        port's clock. What it raises is logged and harms nobody.

        :return: ends that.
        """
        ...

    def meter(self, caller: Caller) -> None:
        """Has it kept how much of the bus this client uses, however many other clients come."""
        ...

    def used_by(self, caller: Caller) -> float:
        """Seconds that transactions for this client have taken, with the silence before each, response timeouts,
        retries, and what runs now. A read that others share is its whose turn it was. Counts from the client's first
        request; a client that is not metered may be forgotten meanwhile."""
        ...

    def cost_of(self, unit: int, pdu: bytes) -> float:
        """Seconds for which such a request would probably hold the bus, with the silence before it: as those of the
        same unit, function and length did in the last seconds; if there were none, the least that its bytes take.

        :raises RequestError: if it cannot be framed.
        """
        ...

    def describe(self) -> PortDescription:
        """Its present state."""
        ...


class Ports(Protocol):
    """The configured ports."""

    def __iter__(self) -> Iterator[Port]:
        """All of them, in the order of the configuration."""
        ...

    def find(self, text: str) -> Port:
        """The port of that name or path, compared as it is written.

        :raises RequestError: with a sentence that says which ports exist.
        """
        ...
