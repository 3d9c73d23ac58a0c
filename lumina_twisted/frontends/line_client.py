"""One client of the line front-end, floor 4: text lines over a stream, one answer line to each.

A connection is in one of four states; what happens in each:

=========  ==========================  ========================  ==================
state      a line comes                a command ends            its last one ended
=========  ==========================  ========================  ==================
TALKING    it is asked of its port     its answer is written
DRAINING   it is answered `stopping`   its answer is written     the connection closes
FINISHING  nobody looks at it          its answer is written     the connection closes
GONE       nobody looks at it          nothing
=========  ==========================  ========================  ==================

DRAINING: the service stops. FINISHING: the client has ended its side (``printf … | nc``), or sent a line without an
end. GONE: the client left, or was dropped because it does not read; its commands are cancelled.

Each answer is one write: the original client loses a line that comes to it in pieces.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from lumina_twisted.errors import LineError, LuminaError
from lumina_twisted.frontends.line_words import HELP, commented, ports_told, stats_told
from lumina_twisted.lineproto import (
    MAX_LINE,
    PING,
    Command,
    command_id_of,
    format_error,
    format_reply,
    parse_command,
    reason_of,
)
from lumina_twisted.modbus.settings import SerialSettings

if TYPE_CHECKING:
    from lumina_twisted.frontends.line import LineFactory

SHARE: Final = 0.9
"""Of what a caller waits, what its request may take, so that the answer finds it still waiting."""
LINGER: Final = 2.0
"""Seconds that a connection may take to close; then it is cut. Only a client that does not read needs them."""
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
"""A client that vanished without a word is noticed within two minutes; the system's own default is two hours."""

_NO_KEYWORDS: Final[dict[str, Any]] = {}


_log: Final = Logger(namespace="lumina.line")


class _State(Enum):
    TALKING = "talking"
    DRAINING = "draining"
    FINISHING = "finishing"
    GONE = "gone"


_TALKING, _DRAINING, _FINISHING, _GONE = _State


@implementer(IHalfCloseableProtocol, IPushProducer)
class LineProtocol(LineOnlyReceiver):
    """One client. It is a push producer of its own transport, to learn when the client does not read."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    factory: LineFactory
    transport: Any  # a stream that is ITransport, IConsumer and IPushProducer at once
    def __init__(self, factory: LineFactory) -> None:
        self.factory = factory
        self._dialect = factory.options.dialect
        self._state = _TALKING
        self._pending: set[Deferred[bytes]] = set()
        self._unread: int | None = None  # bytes written since the transport's buffer was full, or None
        self._cut: IDelayedCall | None = None

    # -- the connection

    def connectionMade(self) -> None:
        """Makes the connection quick and mortal, and takes the client in if there is room."""
        _set_up(self.transport)
        self.transport.registerProducer(self, True)
        if refused := self.factory.admit(self):
            self._write_error(b"", refused)
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client left: what it asked for is taken back."""
        self._let_go()
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
        self.factory.forget(self)

    def readConnectionLost(self) -> None:
        """The client has said all it wants to say, and may still listen."""
        self._finish()

    def writeConnectionLost(self) -> None:
        """Does not happen: we never close only our side."""

    def lineLengthExceeded(self, line: bytes) -> None:
        """Where such a line ends nobody knows, so the connection ends with it."""
        if self._state in {_TALKING, _DRAINING}:
            self._write_error(command_id_of(line[:MAX_LINE // 16]), f"invalid the line is longer than {MAX_LINE} bytes")
            self.transport.pauseProducing()
            self._finish()

    def drain(self) -> None:
        """Asks nothing more of any port, and closes when all answers are written."""
        if self._state is _TALKING:
            self._state = _DRAINING
            self._close_if_done()

    def _finish(self) -> None:
        if self._state is not _GONE:
            self._state = _FINISHING
            self._close_if_done()

    def _close_if_done(self) -> None:
        if not self._pending and self._state is not _GONE:
            self._close()

    def _close(self) -> None:
        """Closes when what is written has left; a transport with a paused producer would never."""
        self._state = _GONE
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        if self._cut is None:
            self._cut = self.factory.clock.callLater(LINGER, self.transport.abortConnection)

    def _let_go(self) -> None:
        self._state = _GONE
        pending, self._pending = self._pending, set()
        for deferred in pending:
            deferred.cancel()

    # -- lines in

    def lineReceived(self, line: bytes) -> None:
        """Passes a command on to its port."""
        if self._state is not _TALKING or line.strip().lower() in _WORDS:
            self._unusual(line)
            return
        self.factory.lines += 1
        try:
            command = parse_command(line)
        except LineError as error:
            self._write_error(error.command_id, reason_of(error))
            return
        deferred = self._ask(command)
        self._pending.add(deferred)
        arguments = (command.command_id, deferred)
        deferred.addCallbacks(self._replied, self._failed, arguments, _NO_KEYWORDS, arguments)

    def _ask(self, command: Command) -> Deferred[bytes]:
        """Whatever goes wrong on the way, the line gets its answer."""
        try:
            port = self.factory.find(command.port)
            serial = port.serial
            own_speed = command.baudrate in (0, serial.baudrate)
            if own_speed and not (command.parity or command.bytesize or command.stopbits):
                other = None
            else:
                other = _other_settings(serial, command.baudrate, command.parity, command.bytesize, command.stopbits)
            frame, timeout = command.frame, command.timeout
            return port.request(
                self, frame[0], frame[1:-2],
                timeout=SHARE * (self.factory.options.timeout if timeout is None else timeout),
                serial=other, retries=command.retries, response_length=command.response_length,
            )
        except Exception:
            return fail()

    def _unusual(self, line: bytes) -> None:
        """Whatever is no command, or comes when none is taken."""
        word = line.strip().lower()
        if self._state is _DRAINING and word:
            self._write_error(command_id_of(line), "stopping the service is stopping")
        elif self._state is _TALKING:
            _WORDS[word](self)

    def _nothing(self) -> None:
        """An empty line gets no answer."""

    def _ping(self) -> None:
        self._dialect = "v1"
        self._write(PING + b"\n")

    def _help(self) -> None:
        self._write(commented(HELP))

    def _ports(self) -> None:
        self._write(commented(ports_told(self.factory.ports)))

    def _stats(self) -> None:
        self._write(commented(stats_told(self.factory.ports, self.factory.counts())))

    # -- answers out

    def _replied(self, frame: bytes, command_id: bytes, deferred: Deferred[bytes]) -> None:
        if deferred not in self._pending:
            return  # the client left
        self._pending.remove(deferred)
        factory = self.factory
        self._write(format_reply(command_id, frame, factory.stamp(), self._dialect, factory.options.hex))
        if self._state is not _TALKING:
            self._close_if_done()

    def _failed(self, failure: Failure, command_id: bytes, deferred: Deferred[bytes]) -> None:
        if deferred not in self._pending:
            return  # the client left, this may be our own cancelling
        self._pending.remove(deferred)
        error = failure.value
        if isinstance(error, LuminaError):
            self._write_error(command_id, reason_of(error))
        else:
            _log.failure("command {command} failed within Lumina", failure, command=command_id)
            self._write_error(command_id, f"error {type(error).__name__} within Lumina, its log says more")
        if self._state is not _TALKING:
            self._close_if_done()

    def _write_error(self, command_id: bytes, reason: str) -> None:
        self.factory.errors += 1
        self._write(format_error(command_id, reason, self.factory.stamp(), self._dialect))

    def _write(self, data: bytes) -> None:
        self.transport.write(data)
        if self._unread is not None:
            self._unread += len(data)
            if self._unread > self.factory.options.max_buffered:
                self._drop()

    def _drop(self) -> None:
        """A client that asks and does not read must not fill the memory."""
        _log.warn(
            "dropped {peer}: it does not read its answers, {unread} bytes wait for it",
            peer=self.transport.getPeer(), unread=self._unread,
        )
        self.transport.abortConnection()
        self._let_go()

    # -- what the transport tells its producer

    def pauseProducing(self) -> None:
        """The transport's buffer is full; it says so at every write until it is empty."""
        if self._unread is None:
            self._unread = 0

    def resumeProducing(self) -> None:
        """The client has read on."""
        self._unread = None

    def stopProducing(self) -> None:
        """See :meth:`connectionLost`, which follows."""


_WORDS: Final[dict[bytes, Callable[[LineProtocol], None]]] = {
    b"": LineProtocol._nothing,
    PING.lower(): LineProtocol._ping,
    b"help": LineProtocol._help,
    b"ports": LineProtocol._ports,
    b"stats": LineProtocol._stats,
}
"""Whole lines that are no command, in lower case."""


@lru_cache(maxsize=1024)
def _other_settings(
    serial: SerialSettings, baudrate: int, parity: Any, bytesize: Any, stopbits: Any
) -> SerialSettings | None:
    """The settings a command asks for, or None if they are its port's own; made once, not for every command."""
    other = attrs.evolve(
        serial, baudrate=baudrate or serial.baudrate, parity=parity or serial.parity,
        bytesize=bytesize or serial.bytesize, stopbits=stopbits or serial.stopbits,
    )
    return None if other == serial else other


def _set_up(transport: Any) -> None:
    """No delay for short answers, and an end for connections whose client is no more."""
    descriptor = getattr(transport, "getHandle", lambda: None)()
    if not ITCPTransport.providedBy(transport) or getattr(descriptor, "family", None) == socket.AF_UNIX:
        return  # a Unix socket calls itself a TCP transport too
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    for name, value in _KEEPALIVE:
        if isinstance(descriptor, socket.socket) and hasattr(socket, name):
            descriptor.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
