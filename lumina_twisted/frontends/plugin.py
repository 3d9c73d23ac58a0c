"""Protocols as plugins, floor 4: Twisted finds each protocol, Lumina's own and those of other distributions (S3).

A distribution that adds a protocol puts a module into ``twisted/plugins`` (a folder without ``__init__.py``). The
module holds an instance of a class that implements :class:`IFrontEnd`; :class:`StreamFrontEnd` is a base class for it.
Lumina itself does not change: the configuration, ``--listen`` and ``lumina protocols`` know an installed protocol.

Some front-ends listen. Others are publishers: a publisher connects to a broker or a database and has no endpoint. Each
front-end gets a :class:`Context`: the ports, the values, a logger, clocks, and the figures of all listeners, publishers
and ports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import Factory, frozen
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import Attribute, implementer

from lumina_twisted.access.caller import Terms, caller_of
from lumina_twisted.devices.interfaces import Values
from lumina_twisted.framing.rtu import OVERHEAD, encode_adu
from lumina_twisted.frontends.endpoints import Place, endpoint_fault, make_endpoint, place_of
from lumina_twisted.ports.interfaces import Port, PortDescription, Ports

_log: Final = Logger(namespace="lumina.listener")


@frozen(kw_only=True, eq=False)
class Context:
    """What a front-end gets from the service.

    :param name: the name of its listener or publisher in ``stats``.
    :param buses: the ports, and the only way to a bus; protocols of other distributions use :attr:`ports`.
    :param reactor: Twisted's reactor, for listening and delayed calls.
    :param now: a monotonic clock, in seconds.
    :param stamp: the time of day, in seconds since 1970.
    :param log: the logger of this listener or publisher.
    :param figures: the figures of all ports, listeners and publishers.
    :param values: the values of all devices; None if the configuration describes no device.
    """

    buses: Ports
    reactor: Any
    now: Callable[[], float]
    stamp: Callable[[], float]
    log: Logger
    figures: Figures = Factory(lambda self: Figures(self.buses), takes_self=True)
    values: Values | None = None
    name: str = ""

    @property
    def ports(self) -> PluginPorts:
        """The ports, with the interface for protocols of other distributions."""
        return PluginPorts(self.buses)

    def others(self) -> dict[str, Mapping[str, int]]:
        """The counts of the other listeners and publishers, by name."""
        return self.figures.counts(without=self)


class Figures:
    """The counts of each listener and publisher, and the reports of the ports.

    :param ports: all ports.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._counts: dict[Context, Callable[[], Mapping[str, int]]] = {}

    def add(self, owner: Context, counts: Callable[[], Mapping[str, int]]) -> None:
        """Registers a listener or a publisher.

        :param counts: returns its counts by name.
        """
        self._counts[owner] = counts

    def counts(self, without: Context | None = None) -> dict[str, Mapping[str, int]]:
        """The counts of all listeners and publishers so far, by name; those of ``without`` are left out."""
        return {owner.name: counts() for owner, counts in self._counts.items() if owner is not without}

    def ports(self) -> Iterator[PortDescription]:
        """The current state of each port; ``report`` of a description returns the port's figures."""
        return (port.describe() for port in self._ports)


class PluginPort:
    """A port, with the interface for protocols of other distributions, which do not know callers and terms.

    Any object may be the client, terms are keywords, and a reply is a whole RTU frame. All other attributes are the
    port's own."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def request(
        self, client: object, unit: int, pdu: bytes, *, timeout: float, response_length: int = 0, **terms: Any
    ) -> Deferred[bytes]:
        """See :meth:`lumina_twisted.ports.interfaces.Port.request`.

        :param response_length: the length of the whole RTU frame of the reply.
        :param terms: the other fields of :class:`lumina_twisted.access.caller.Terms`.
        """
        terms["response_length"] = max(0, response_length - OVERHEAD)
        asked = self._port.request(caller_of(client), unit, pdu, Terms(timeout, **terms))
        return asked.addCallback(lambda reply: encode_adu(unit, reply) if reply else b"")

    def is_full_for(self, client: object, timeout: float) -> bool:
        """See :meth:`lumina_twisted.ports.interfaces.Port.is_full_for`."""
        return self._port.is_full_for(caller_of(client), timeout)

    def meter(self, client: object) -> None:
        """See :meth:`lumina_twisted.ports.interfaces.Port.meter`."""
        self._port.meter(caller_of(client))

    def used_by(self, client: object) -> float:
        """See :meth:`lumina_twisted.ports.interfaces.Port.used_by`."""
        return self._port.used_by(caller_of(client))


class PluginPorts:
    """The configured ports, each as a :class:`PluginPort`."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def __iter__(self) -> Iterator[PluginPort]:
        return map(PluginPort, self._ports)

    def find(self, text: str) -> PluginPort:
        """See :meth:`lumina_twisted.ports.interfaces.Ports.find`."""
        return PluginPort(self._ports.find(text))


class IFrontEnd(IPlugin):
    """A protocol. A protocol that listens implements :class:`IListeningFrontEnd`."""

    name: str = Attribute("What the configuration and ``--listen`` call it.")
    summary: str = Attribute("What it is, in one line, for ``lumina protocols``.")
    options: type[Any] = Attribute(
        """The settings class of its own options, made with attrs and :func:`lumina_twisted.schema.setting`; without
        the keys ``protocol`` and ``endpoint``, which every listener has (a publisher only the first). An option called
        ``port`` names a port. A method ``faults()`` may give what cannot be used together, as pairs of a key and a
        sentence, and a method ``named_ports()`` the ports that it names, as pairs of a key and a name."""
    )

    def make(options: Any, context: Context) -> IService:  # noqa: N805
        """Makes the service of a listener or a publisher.

        :param options: an instance of :attr:`options`, with ``protocol`` and ``endpoint`` added.
        :return: a service that starts to listen in ``privilegedStartService``. If it cannot listen, that method raises
            or returns a Deferred that fails. ``stopService`` stops listening, sends no more requests to any port, and
            returns a Deferred that fires when the last answer is written. The ports stop at the same time, so every
            request that waits for a port ends. The service may have a method ``counts()``, which returns numbers by
            name; ``stats`` shows them.
        """


class IListeningFrontEnd(IFrontEnd):
    """A protocol that listens at an endpoint."""

    endpoint: str = Attribute("An example of where it listens.")

    def fault(endpoint: str) -> str | None:  # noqa: N805 - zope's way
        """A sentence that says why the protocol cannot listen at ``endpoint``, or None. It opens nothing."""

    def place(endpoint: str) -> Place | None:  # noqa: N805
        """The place of a valid ``endpoint``, to refuse two listeners in the same place; None if it is unknown."""


def listens(front_end: IFrontEnd) -> bool:
    """Whether a front-end listens at an endpoint; otherwise it is a publisher, which has no endpoint."""
    return hasattr(front_end, "endpoint")


@implementer(IListeningFrontEnd)
class StreamFrontEnd:
    """A base class for protocols over streams, such as TCP connections, that listen at a Twisted server endpoint. A
    subclass sets ``name``, ``summary`` and ``options``, and implements :meth:`build`."""

    name = ""
    summary = ""
    endpoint = "tcp:8888:interface=127.0.0.1"
    options: type[Any]

    def fault(self, endpoint: str) -> str | None:
        """See :class:`IListeningFrontEnd`."""
        return endpoint_fault(endpoint)

    def place(self, endpoint: str) -> Place | None:
        """See :class:`IListeningFrontEnd`."""
        return place_of(endpoint)

    def make(self, options: Any, context: Context) -> IService:
        """See :class:`IFrontEnd`."""
        return StreamService(options.endpoint, self.build(options, context), context.reactor)

    def build(self, options: Any, context: Context) -> IProtocolFactory:
        """Makes the factory of one listener. If the factory has ``drain`` and ``counts``, as a
        :class:`lumina_twisted.frontends.listener.Listener` does, :class:`StreamService` calls them."""
        raise NotImplementedError


class StreamService(Service):
    """A service that listens while it runs.

    :param endpoint: a Twisted server endpoint, as text.
    :param factory: makes the protocol of each connection. If it has ``drain``, :meth:`stopService` calls it and waits
        for its Deferred. If it has ``counts``, ``stats`` shows them.
    """

    def __init__(self, endpoint: str, factory: IProtocolFactory, reactor: Any) -> None:
        self.endpoint = endpoint
        self.factory: Any = factory
        self._reactor = reactor
        self._starting: Deferred[Any] | None = None
        self._listening: Any = None

    def privilegedStartService(self) -> Deferred[None]:
        """Starts to listen, before the process drops its privileges.

        :return: a Deferred that fires with None when the service listens. It fails with the error of the endpoint's
            ``listen``, or with :class:`~twisted.internet.defer.CancelledError` if the service stops before.
        """
        self._starting = maybeDeferred(self._listen)
        return self._starting.addCallback(self._listens)

    def stopService(self) -> Deferred[None]:
        """Accepts no more connections, and drains those that exist.

        :return: a Deferred that fires with None when that is done. It does not fail; failures are logged.
        """
        super().stopService()
        if self._listening is None and self._starting is not None:
            self._starting.cancel()
        closing = [maybeDeferred(self._listening.stopListening)] if self._listening is not None else []
        drain = getattr(self.factory, "drain", None)
        draining = [] if drain is None else [maybeDeferred(drain)]
        ended = [one.addErrback(_log_failure) for one in (*closing, *draining)]
        return gatherResults(ended).addCallback(lambda _: None)

    def counts(self) -> dict[str, int]:
        """Its figures for ``stats``."""
        counts: dict[str, int] = getattr(self.factory, "counts", dict)()
        return counts

    def _listen(self) -> Deferred[Any]:
        endpoint: Any = make_endpoint(self._reactor, self.endpoint)
        listening: Deferred[Any] = endpoint.listen(self.factory)
        return listening

    def _listens(self, listening: Any) -> None:
        self._listening = listening


def _log_failure(failure: Failure) -> None:
    _log.failure("a listener did not stop cleanly", failure)
