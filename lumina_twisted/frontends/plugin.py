"""What a protocol is to the service, floor 4: a plugin that Twisted finds, ours and those that others add (S3).

A distribution that has a protocol puts a module into ``twisted/plugins`` (a folder without ``__init__.py``) with an
instance of a class that implements :class:`IFrontEnd`; :class:`StreamFrontEnd` is one to derive from. Nothing of
Lumina's is changed for it: the configuration, ``--listen`` and ``lumina protocols`` know it once it is installed.

Some fronts listen, others go out: a publisher connects to a broker or a database and has no endpoint. Each is given a
:class:`Context`: the ports, the values, a logger, clocks, and the figures of all that runs.
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
    """What a front-end is given.

    :param name: its listener or publisher, as ``stats`` calls it.
    :param buses: all it may ask, and the only way to a bus; protocols of others ask :attr:`ports`.
    :param reactor: for what Twisted does with one: listening, delayed calls.
    :param now: a clock that never goes back, in seconds.
    :param stamp: the time of day, in seconds since 1970.
    :param log: its logger, for what concerns this listener.
    :param figures: those of all ports, listeners and publishers.
    :param values: those of all devices; None where no device is described.
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
        """The ports as the protocols of others ask them."""
        return PluginPorts(self.buses)

    def others(self) -> dict[str, Mapping[str, int]]:
        """What the other listeners and publishers have counted, by their names."""
        return self.figures.counts(without=self)


class Figures:
    """The figures of all that runs: what each listener and publisher counts, and the reports of the ports.

    :param ports: all of them.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._counts: dict[Context, Callable[[], Mapping[str, int]]] = {}

    def add(self, owner: Context, counts: Callable[[], Mapping[str, int]]) -> None:
        """Registers a listener or a publisher.

        :param counts: gives its numbers by name.
        """
        self._counts[owner] = counts

    def counts(self, without: Context | None = None) -> dict[str, Mapping[str, int]]:
        """What all have counted so far, by their names."""
        return {owner.name: counts() for owner, counts in self._counts.items() if owner is not without}

    def ports(self) -> Iterator[PortDescription]:
        """The present state of each port; its ``report`` gives its figures."""
        return (port.describe() for port in self._ports)


class PluginPort:
    """A port as the protocols of others ask it, which do not know callers and terms: any object may be the client,
    terms are keywords, and a reply is a whole RTU frame. All else is the port's own."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def request(
        self, client: object, unit: int, pdu: bytes, *, timeout: float, response_length: int = 0, **terms: Any
    ) -> Deferred[bytes]:
        """See :meth:`lumina_twisted.ports.interfaces.Port.request`.

        :param terms: as :class:`lumina_twisted.access.caller.Terms` has them; ``response_length`` is the frame's.
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
    """A protocol. One that can be listened for has what :class:`IListeningFrontEnd` adds."""

    name: str = Attribute("What the configuration and ``--listen`` call it.")
    summary: str = Attribute("What it is, in one line, for ``lumina protocols``.")
    options: type[Any] = Attribute(
        """The settings class of its own options, made with attrs and :func:`lumina_twisted.schema.setting`; without
        the keys ``protocol`` and ``endpoint``, which every listener has (a publisher only the first). An option called
        ``port`` names a port. A method ``faults()`` may give what cannot be used together, as pairs of a key and a
        sentence, and a method ``named_ports()`` the ports that it names, as pairs of a key and a name."""
    )

    def make(options: Any, context: Context) -> IService:  # noqa: N805
        """A listener or a publisher as a service.

        :param options: an instance of :attr:`options`, which has ``protocol`` and ``endpoint`` too.
        :return: a service that begins to listen in ``privilegedStartService``, which raises, or gives a Deferred that
            fails, if that cannot be done. ``stopService`` listens no longer, asks nothing more of any port, and gives
            a Deferred that fires when the last answer is written: the ports stop at the same time, so that all that
            waits for them ends. It may have a method ``counts()``: numbers by name, which ``stats`` tells.
        """


class IListeningFrontEnd(IFrontEnd):
    """A protocol that a listener can speak at an endpoint."""

    endpoint: str = Attribute("An example of where it listens.")

    def fault(endpoint: str) -> str | None:  # noqa: N805 - zope's way
        """A sentence that says why it cannot listen at ``endpoint``, or None. Nothing is opened."""

    def place(endpoint: str) -> Place | None:  # noqa: N805
        """Where a faultless ``endpoint`` is, so that two listeners are not put in one place; None if nobody knows."""


def listens(front_end: IFrontEnd) -> bool:
    """Whether it listens at an endpoint; else it is a publisher, which has none."""
    return hasattr(front_end, "endpoint")


@implementer(IListeningFrontEnd)
class StreamFrontEnd:
    """A protocol over streams, such as TCP connections, that listens at a Twisted server endpoint. To derive from: a
    name, a summary, options, and :meth:`build`."""

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
        """The factory of one listener. Its ``drain`` and ``counts``, which a
        :class:`lumina_twisted.frontends.listener.Listener` has, are heeded if they are there."""
        raise NotImplementedError


class StreamService(Service):
    """Listens while it runs.

    :param endpoint: a Twisted server endpoint, as text.
    :param factory: what speaks there. If it has ``drain``, that is called at the stop, and its Deferred waited for; if
        it has ``counts``, ``stats`` shows them.
    """

    def __init__(self, endpoint: str, factory: IProtocolFactory, reactor: Any) -> None:
        self.endpoint = endpoint
        self.factory: Any = factory
        self._reactor = reactor
        self._starting: Deferred[Any] | None = None
        self._listening: Any = None

    def privilegedStartService(self) -> Deferred[None]:
        """Listens, while the process may still do what it may not do later.

        :return: a Deferred that fires with None when it listens, or fails with whatever the endpoint's ``listen``
            fails with; with :class:`~twisted.internet.defer.CancelledError` if it is stopped before.
        """
        self._starting = maybeDeferred(self._listen)
        return self._starting.addCallback(self._listens)

    def stopService(self) -> Deferred[None]:
        """Takes no connection any more, and lets those that are there come to their end.

        :return: a Deferred that fires with None when that is done; it does not fail, but logs what does.
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
