"""What a front-end has to work with, floor 4."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lumina_twisted.access.caller import Terms, caller_of
from lumina_twisted.devices.interfaces import Values
from lumina_twisted.framing.rtu import OVERHEAD
from lumina_twisted.ports.interfaces import Port, Ports


@frozen(kw_only=True)
class Context:
    """What a front-end is given.

    :param name: its listener, as ``stats`` calls it.
    :param buses: all it may ask, and the only way to a bus; protocols of others ask :attr:`ports`.
    :param reactor: for what Twisted does with one: listening, delayed calls.
    :param now: a clock that never goes back, in seconds.
    :param stamp: the time of day, in seconds since 1970.
    :param log: its logger; what it tells is about this listener.
    :param others: what the other listeners have counted, by protocol and endpoint.
    :param values: those of all devices; None where no device is described.
    """

    buses: Ports
    reactor: Any
    now: Callable[[], float]
    stamp: Callable[[], float]
    log: Logger
    others: Callable[[], Mapping[str, Mapping[str, int]]] = dict
    values: Values | None = None
    name: str = ""

    @property
    def ports(self) -> PluginPorts:
        """The ports as the protocols of others ask them."""
        return PluginPorts(self.buses)


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
        return self._port.request(caller_of(client), unit, pdu, Terms(timeout, **terms))

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
