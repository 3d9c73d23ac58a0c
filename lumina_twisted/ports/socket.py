"""A bus behind a socket, floor 2: RTU frames as they are, or each in a frame of Modbus TCP and back.

Either way the bus above stays the one that knows the rules: one transaction at a time, late replies, proven writes.
With Modbus TCP it never hears a reply whose transaction identifier is not that of a request still open.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import CannotListenError, ConnectError, DNSLookupError, UserError
from twisted.internet.interfaces import (
    IAddress,
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
            peer, told = self.transport.getPeer(), str(error)
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


@implementer(IStreamClientEndpoint)
class DialInEndpoint(Factory):
    """Waits for the other side to connect; the one that came last is the bus, for a converter that comes again has
    forgotten the connection before.

    :param tell: told why there is no bus.
    """

    noisy = False

    def __init__(self, reactor: Any, address: SocketAddress, tell: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._address = address
        self._tell = tell
        self._listening: Any = None
        self._wanted: tuple[IProtocolFactory, Deferred[IProtocol]] | None = None
        self._current: BusSocket | None = None
        self._next: _Newcomer | None = None

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """The next connection, or the one that has come since the last was lost.

        :return: a Deferred that fires with the factory's protocol, whose transport has ``send_frame``; or fails with
            :class:`~lumina_twisted.errors.PortError` if nobody can listen there.
        """
        if self._listening is None:
            try:
                self._listening = self._reactor.listenTCP(self._address.tcp_port, self, interface=self._address.host)
            except CannotListenError as error:
                why = error.socketError.strerror or error.socketError
                return fail(PortError(f"cannot listen on {self._address} ({why}); does another program listen there?"))
        if self._next is not None:
            newcomer, self._next = self._next, None
            return succeed(self._hand_over(newcomer, factory))
        self._tell(f"nobody has dialled in on {self._address} yet; the converter is to connect to this machine")
        waiting: Deferred[IProtocol] = Deferred(self._cancelled)
        self._wanted = factory, waiting
        return waiting

    def close(self) -> Deferred[None]:
        """Listens no longer; fires with None when that is done."""
        listening, self._listening = self._listening, None
        if self._next is not None:
            self._next.transport.abortConnection()
        return succeed(None) if listening is None else maybeDeferred(listening.stopListening)

    def buildProtocol(self, addr: IAddress | None) -> _Newcomer:  # type: ignore[override]
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        return _Newcomer(self)

    def arrived(self, newcomer: _Newcomer) -> None:
        """Somebody has connected."""
        if self._wanted is not None:
            (factory, waiting), self._wanted = self._wanted, None
            waiting.callback(self._hand_over(newcomer, factory))
            return
        _log.info("{peer} dialled in and takes the place of the one before", peer=newcomer.transport.getPeer())
        if self._next is not None:
            self._next.transport.abortConnection()
        self._next = newcomer
        if self._current is not None:
            self._current.abortConnection()

    def left(self, newcomer: _Newcomer) -> None:
        """It went before its turn came."""
        if self._next is newcomer:
            self._next = None

    def _hand_over(self, newcomer: _Newcomer, factory: IProtocolFactory) -> IProtocol:
        bus: Any = factory.buildProtocol(newcomer.transport.getPeer())
        self._current = bus_socket(self._address)(bus, self._ended)
        newcomer.become(self._current)
        made: IProtocol = bus
        return made

    def _ended(self, it: BusSocket) -> None:
        if self._current is it:
            self._current = None

    def _cancelled(self, _: object) -> None:
        self._wanted = None


class _Newcomer(Protocol):
    """A connection that is not the bus yet."""

    transport: Any

    def __init__(self, endpoint: DialInEndpoint) -> None:
        self._endpoint = endpoint
        self._it: BusSocket | None = None

    def become(self, it: BusSocket) -> None:
        """It is the bus from now on."""
        self._it = it
        it.makeConnection(self.transport)

    def connectionMade(self) -> None:
        """It has come."""
        self._endpoint.arrived(self)

    def dataReceived(self, data: bytes) -> None:
        """What a newcomer says before anybody asks it, such as who it is, is nobody's reply."""
        if self._it is not None:
            self._it.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It has gone."""
        if self._it is not None:
            self._it.connectionLost(reason)
        else:
            self._endpoint.left(self)


def why_no_connection(address: SocketAddress, error: BaseException | None) -> str:
    """The sentence for an attempt to connect that failed."""
    if isinstance(error, DNSLookupError):
        return f"the name {address.host} is not known; give its address, or correct it"
    told = (str(error) or type(error).__name__).rstrip(".")
    return f"no connection to {address} ({told}); is it on, does it listen there, and is the network in order?"
