"""A bus behind a socket, floor 2: its framing, and the connection, which passes the bytes unchanged."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from lumina_twisted.errors import ConfigError, PortError
from lumina_twisted.framing import Framing
from lumina_twisted.framing.numbered import MbapFraming
from lumina_twisted.framing.rtu import RtuFraming
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.settings import SocketAddress, peer_of, socket_address

CONNECT_TIMEOUT: Final = 5.0
"""Seconds after which an attempt to connect fails."""
_NEXT_ADDRESS: Final = 0.1
"""Seconds until the next address of a name is tried too (RFC 8305, section 5: not less). Twisted also waits this long
before it reports that the last address failed; its default of 0.3 would keep the attempts apart."""
_OPTIONS: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 10_000))
"""A converter that loses its power does not close the connection. These options detect it within 25 s, and within 10 s
if something was sent."""
_log: Final = Logger(namespace="lumina.port")


def framing_of(address: SocketAddress | None, takes_zero: bool = False) -> Framing:
    """The framing of a bus.

    :param address: of the socket; None for a serial device.
    :param takes_zero: for Modbus TCP, whether a reply with transaction identifier 0 answers the only pending request.
    """
    if address is None:
        return RtuFraming()
    return MbapFraming(takes_zero=takes_zero) if address.framing == "modbus" else RtuFraming(has_wire_time=False)


class Link:
    """What the connections of one port have in common.

    :param framing: of the bus; it remembers the requests from one connection to the next.
    """

    def __init__(self, address: SocketAddress, framing: Framing | None = None) -> None:
        self.address = address
        self.framing = framing_of(address) if framing is None else framing
        self.warned: set[str] = set()
        """The warnings that were logged already."""

    def socket(self, bus: IProtocol, lost: Callable[[BusSocket], None] = lambda it: None) -> BusSocket:
        """The protocol of a new connection.

        :param bus: the bus's protocol.
        :param lost: called when the connection has ended.
        """
        return BusSocket(bus, self, lost)


class BusSocket(Protocol):
    """One connection: to the bus it is the transport, to the socket it is the protocol.

    :param bus: the bus's protocol.
    :param link: of the port.
    :param lost: called when the connection has ended.
    """

    transport: Any

    def __init__(
        self, bus: IProtocol, link: Link, lost: Callable[[BusSocket], None] = lambda it: None
    ) -> None:
        self._bus: Any = bus
        self._link = link
        self._lost = lost
        self._is_closing = False
        self._why_cut = ""

    # -- what the bus calls

    def send_frame(self, data: bytes, settings: SerialSettings) -> None:
        """Sends a frame; the peer chooses the serial settings, so ``settings`` are ignored."""
        self.transport.write(data)

    def loseConnection(self) -> None:
        """Closes the connection."""
        self._is_closing = True
        self.transport.loseConnection()

    def abortConnection(self) -> None:
        """Aborts the connection."""
        self._is_closing = True
        self.transport.abortConnection()

    def cut(self, why: str) -> None:
        """Aborts the connection; the bus gets the reason."""
        self._why_cut = why
        self.transport.abortConnection()

    def not_understood(self, what: str) -> None:
        """Aborts the connection, because it does not carry Modbus TCP; ``what`` says why, as a part of a sentence."""
        self._warn("{peer} does not speak Modbus TCP: {what}", what)
        self.cut(f"the other side does not speak Modbus TCP, {what}")

    # -- what the socket calls

    def connectionMade(self) -> None:
        """The bus has a transport."""
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        for name, value in _OPTIONS:
            self.transport.getHandle().setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        framing = self._link.framing
        if isinstance(framing, MbapFraming):
            framing.on_odd = self._odd
        self._bus.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes off the bus."""
        self._bus.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The bus is gone."""
        self._lost(self)
        self._bus.connectionLost(self._explained(reason))

    def _explained(self, reason: Failure) -> Failure:
        """The reason with the side that ended the connection; Twisted does not pass on the kernel's error."""
        if self._is_closing:
            return reason
        theirs = "the other side closed the connection" if reason.check(ConnectionDone) else "the connection broke"
        return Failure(ConnectionLost(self._why_cut or theirs))

    def _odd(self, what: str) -> None:
        self._warn("a reply of {peer} is read by its function code, {what}", what, once=True)

    def _warn(self, text: str, what: str, once: bool = False) -> None:
        """Warns of the device's behaviour; if ``once``, only once in the life of its port."""
        place, warned = str(self._link.address), self._link.warned
        if not (once and text in warned):
            warned.add(text)
            _log.warn(text, peer=peer_of(self.transport), what=what, fold=(place, what))


@implementer(IStreamClientEndpoint)
class SocketEndpoint:
    """Connects to the bus."""

    def __init__(self, reactor: Any, link: Link) -> None:
        self._endpoint = _endpoint(reactor, link.address.host, link.address.tcp_port)
        self._link = link

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connects now.

        :return: a Deferred that fires with the factory's protocol, whose transport has ``send_frame``; or fails with
            :class:`~lumina_twisted.errors.PortError`, within seconds.
        """
        connecting: Deferred[Any] = self._endpoint.connect(_Wrapping(factory, self._link))
        return connecting.addCallbacks(lambda it: it._bus, self._explain)

    def _explain(self, failure: Failure) -> Failure:
        if failure.check(ConnectError, DNSLookupError, UserError, OSError):
            raise PortError(why_no_connection(self._link.address, failure.value)) from None
        return failure


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class SocketEndpointParser:
    """Makes ``rtu+tcp:`` and ``modbus+tcp:`` prefixes of Twisted's client endpoint strings.

    :param prefix: one of them.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def parseStreamClient(self, reactor: Any, *args: str) -> SocketEndpoint:  # type: ignore[override]
        """The endpoint for ``rtu+tcp:HOST:PORT``.

        :raises ConfigError: if the text is no address of a socket.
        """
        try:
            address = socket_address(":".join((self.prefix, *(f"[{one}]" if ":" in one else one for one in args))))
        except ValueError as error:
            raise ConfigError([str(error)]) from None
        assert address is not None, "the prefix is one of a socket"
        return SocketEndpoint(reactor, Link(address))


class _Wrapping(Factory):
    """Wraps each protocol of the bus in the protocol of a socket."""

    noisy = False

    def __init__(self, factory: IProtocolFactory, link: Link) -> None:
        self._factory = factory
        self._link = link

    def buildProtocol(self, addr: Any) -> BusSocket | None:
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        made: Any = self._factory.buildProtocol(addr)
        return None if made is None else self._link.socket(made)


def _endpoint(reactor: Any, host: str, tcp_port: int) -> IStreamClientEndpoint:
    """The endpoint of an address or name. An address that refuses fails at once, a name when all its addresses did."""
    made: IStreamClientEndpoint
    if isIPAddress(host):
        made = TCP4ClientEndpoint(reactor, host, tcp_port, CONNECT_TIMEOUT)
    elif isIPv6Address(host):
        made = TCP6ClientEndpoint(reactor, host, tcp_port, CONNECT_TIMEOUT)
    else:
        made = HostnameEndpoint(reactor, host, tcp_port, CONNECT_TIMEOUT, attemptDelay=_NEXT_ADDRESS)
    return made


def why_no_connection(address: SocketAddress, error: BaseException | None) -> str:
    """The error text for a failed attempt to connect."""
    if isinstance(error, DNSLookupError):
        return f"the name {address.host} is not known; give its address, or correct it"
    if isinstance(error, ConnectionRefusedError):
        return f"{address} refuses the connection; nothing waits there, or somebody else has the only one it takes"
    if isinstance(error, TimeoutError | TCPTimedOutError):
        return f"{address} does not answer; is it on, and is that its address?"
    if isinstance(error, NoRouteError):
        return f"no network leads to {address}; is the cable in, and is that its address?"
    told = (str(error) or type(error).__name__).rstrip(".")
    return f"no connection to {address} ({told}); is it on, does it listen there, and is the network in order?"
