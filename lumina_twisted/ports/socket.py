"""A bus behind a socket, floor 2: RTU frames as they are, or each in a frame of Modbus TCP and back.

Either way the bus above stays the one that knows the rules: one transaction at a time, late replies, proven writes.
With Modbus TCP it never hears a reply whose transaction identifier is not that of a request still open.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError, UserError
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

from lumina_twisted.errors import ConfigError, FrameError, PortError
from lumina_twisted.modbus.codes import EXCEPTION_FLAG
from lumina_twisted.modbus.mbap import MbapDecoder, TransactionTable
from lumina_twisted.modbus.mbap import encode_adu as encode_mbap
from lumina_twisted.modbus.rtu import encode_adu as encode_rtu
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.address import SocketAddress, socket_address
from lumina_twisted.ports.peer import peer_of

CONNECT_TIMEOUT: Final = 5.0
"""Seconds until an attempt to connect is given up."""
_OPTIONS: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 10_000))
"""A converter that lost its power says nothing: it is noticed within 25 s, and within 10 s if something was sent."""
_log: Final = Logger(namespace="lumina.port")


class BusSocket(Protocol):
    """One connection with RTU on it: the transport of a bus, and the protocol of a socket.

    :param bus: the bus's protocol.
    :param lost: called when it has ended.
    """

    transport: Any

    def __init__(self, bus: IProtocol, lost: Callable[[BusSocket], None] = lambda it: None) -> None:
        self._bus: Any = bus
        self._lost = lost

    # -- what the bus calls

    def send_frame(self, data: bytes, settings: SerialSettings) -> None:
        """Sends a frame; its serial settings are the other side's business."""
        self.transport.write(data)

    def loseConnection(self) -> None:
        """Closes it."""
        self.transport.loseConnection()

    def abortConnection(self) -> None:
        """Cuts it."""
        self.transport.abortConnection()

    # -- what the socket tells

    def connectionMade(self) -> None:
        """The bus has a transport."""
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        for name, value in _OPTIONS:
            self.transport.getHandle().setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._bus.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes off the bus."""
        self._bus.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The bus is gone."""
        self._lost(self)
        self._bus.connectionLost(reason)


class ModbusTcpSocket(BusSocket):
    """One connection with Modbus TCP on it."""

    def __init__(self, bus: IProtocol, lost: Callable[[BusSocket], None] = lambda it: None) -> None:
        super().__init__(bus, lost)
        self._decoder = MbapDecoder()
        self._open: TransactionTable[tuple[int, int]] = TransactionTable()
        self._number_of: dict[tuple[int, int], int] = {}
        self.dropped = 0

    def send_frame(self, data: bytes, settings: SerialSettings) -> None:
        """Sends an RTU frame as one of Modbus TCP. A reply to an earlier one of the same unit and function, which this
        one's reply could be mistaken for, counts no more."""
        asked = data[0], data[1]
        if asked in self._number_of:
            self._open.take(self._number_of[asked])
        self._number_of[asked] = number = self._open.add(asked)
        self.transport.write(encode_mbap(number, data[0], data[1:-2]))

    def dataReceived(self, data: bytes) -> None:
        """Replies, as RTU frames to the bus."""
        try:
            for adu in self._decoder.receive(data):
                asked = self._open.take(adu.transaction_id)
                if asked is None or asked[1] != adu.pdu[0] & ~EXCEPTION_FLAG:
                    self.dropped += 1
                else:  # many devices repeat the unit wrongly; its number says whose reply it is
                    super().dataReceived(encode_rtu(asked[0], adu.pdu))
        except FrameError as error:
            peer, told = peer_of(self.transport), str(error)
            _log.warn("{peer} does not speak Modbus TCP: {error}", peer=peer, error=told, fold=("mbap", told))
            self.transport.abortConnection()


def bus_socket(address: SocketAddress) -> type[BusSocket]:
    """What speaks there."""
    return ModbusTcpSocket if address.framing == "modbus" else BusSocket


@implementer(IStreamClientEndpoint)
class SocketEndpoint:
    """Connects to the bus."""

    def __init__(self, reactor: Any, address: SocketAddress) -> None:
        self._reactor = reactor
        self._address = address

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connects now.

        :return: a Deferred that fires with the factory's protocol, whose transport has ``send_frame``; or fails with
            :class:`~lumina_twisted.errors.PortError`, within seconds.
        """
        wrapped = _Wrapping(factory, self._address)
        endpoint = HostnameEndpoint(self._reactor, self._address.host, self._address.tcp_port, timeout=CONNECT_TIMEOUT)
        connecting: Deferred[Any] = endpoint.connect(wrapped)
        return connecting.addCallbacks(lambda it: it._bus, self._explain)

    def _explain(self, failure: Failure) -> Failure:
        if failure.check(ConnectError, DNSLookupError, UserError, OSError):
            raise PortError(why_no_connection(self._address, failure.value)) from None
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

        :raises ConfigError: if that is no place.
        """
        try:
            address = socket_address(":".join((self.prefix, *(f"[{one}]" if ":" in one else one for one in args))))
        except ValueError as error:
            raise ConfigError([str(error)]) from None
        assert address is not None, "the prefix is one of a socket"
        return SocketEndpoint(reactor, address)


class _Wrapping(Factory):
    """Makes the socket's side for each protocol of the bus's side."""

    noisy = False

    def __init__(self, factory: IProtocolFactory, address: SocketAddress) -> None:
        self._factory = factory
        self._kind = bus_socket(address)

    def buildProtocol(self, addr: Any) -> BusSocket | None:
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        made: Any = self._factory.buildProtocol(addr)
        return None if made is None else self._kind(made)


def why_no_connection(address: SocketAddress, error: BaseException | None) -> str:
    """The sentence for an attempt to connect that failed."""
    if isinstance(error, DNSLookupError):
        return f"the name {address.host} is not known; give its address, or correct it"
    told = (str(error) or type(error).__name__).rstrip(".")
    return f"no connection to {address} ({told}); is it on, does it listen there, and is the network in order?"
