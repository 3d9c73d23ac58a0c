"""``serial:/dev/ttyUSB0:baudrate=19200``: a serial device as a client endpoint, floor 2."""

from __future__ import annotations

import termios
from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet import defer
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

from lumina_twisted.errors import PortError
from lumina_twisted.ports.diagnosis import why_not_open
from lumina_twisted.ports.serial import BusTransport
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.schema import structure_text


@implementer(IAddress)
@frozen
class SerialAddress:
    """Where a serial protocol is connected to."""

    path: str


@implementer(IStreamClientEndpoint)
class SerialEndpoint:
    """Opens a serial device.

    :param settings: what to open and how.
    :param twin: names the port of ours, if there is one, that has the same device under another path.
    """

    def __init__(self, reactor: Any, settings: PortSettings, twin: Callable[[], str] = lambda: "") -> None:
        self._reactor = reactor
        self._settings = settings
        self._twin = twin

    def connect(self, factory: IProtocolFactory) -> defer.Deferred[IProtocol]:
        """Opens the device now.

        :return: a Deferred that has fired: with the protocol, connected to a transport that has ``send_frame``; or
            it failed with :class:`~lumina_twisted.errors.PortError`, whose sentence names the cause and the remedy.
        """
        protocol = factory.buildProtocol(SerialAddress(self._settings.path))
        if protocol is None:
            return defer.fail(PortError(f"nothing wants to talk to {self._settings.path}"))
        try:
            BusTransport(protocol, self._settings, self._reactor)
        except (OSError, ValueError, termios.error) as cause:
            return defer.fail(PortError(why_not_open(self._settings.path, cause, self._twin)))
        return defer.succeed(protocol)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class SerialEndpointParser:
    """Makes ``serial:`` a prefix of Twisted's client endpoint strings; every setting of a port can stand there."""

    prefix = "serial"

    def parseStreamClient(  # type: ignore[override]
        self, reactor: Any, *args: str, **settings: str
    ) -> SerialEndpoint:
        """The endpoint for ``serial:PATH[:key=value]…``.

        :raises ConfigError: if a setting is unknown or wrong.
        """
        path = {"path": args[0]} if args else {}
        return SerialEndpoint(reactor, structure_text({**path, **settings}, PortSettings, "serial"))
