"""One client's connection to a stream front-end, floor 4: its states, and its open requests.

A connection is in one of four states. The table says what happens in each:

=========  ==========================  ========================  ==================
state      a request comes             a request ends            its last one ended
=========  ==========================  ========================  ==================
TALKING    it goes to its port         its answer is written
DRAINING   it fails with `stopping`    its answer is written     the connection closes
FINISHING  it is ignored               its answer is written     the connection closes
GONE       it is ignored               nothing
=========  ==========================  ========================  ==================

DRAINING: the service stops. FINISHING: the client has closed its side (``printf … | nc``), or has sent bytes after
which no request can be parsed. GONE: the client left, or was dropped because it does not read; its requests are
cancelled.

A TALKING client may be *held*: its next request waits here, and the listener reads nothing more from it. A client is
held while its answers wait to be read, or while the port of its next request has enough requests of this client
(:meth:`lumina_twisted.ports.interfaces.Port.is_full_for`). So a client that sends ten thousand requests at once gets
ten thousand answers; its unread requests wait in the system's buffers, and in the client. At most one piece of
:data:`BITE` bytes waits here. The timeout of a request begins when the request goes to its port. A held client always
has requests under way or answers to read, so it continues when one of them ends. Meanwhile
:class:`lumina_twisted.frontends.pacing.Holding` checks whether the client is still connected. In DRAINING no client is
held: requests that are read then fail with ``stopping``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection as TcpConnection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lumina_twisted.access.caller import Caller
from lumina_twisted.errors import LuminaError
from lumina_twisted.frontends.pacing import Holding
from lumina_twisted.ports.settings import host_of, peer_of

LINGER: Final = 2.0
"""Seconds that a connection may take to close; then it is aborted. Only a client that does not read takes that long."""
BITE: Final = 1024
"""Bytes that are read from one client before the others have their turn. Twisted reads 65,536 by default: a client that
floods could put five thousand requests into each such piece, and all other clients would wait for seconds."""
MOST_UNDER_WAY: Final = 1000
"""The limit of one client's requests under way, at all ports together; at the limit, nothing more is read from it."""
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
"""They detect a client that vanished without closing within two minutes; the system's default is two hours."""


class OpenRequests(set[Deferred[Any]]):
    """The Deferreds of one client's requests that have not ended. A request that is removed from it gets no answer.

    :param log: logs internal errors of Lumina.
    :param ended: called after each request that has ended and is answered.
    """

    def __init__(self, log: Logger, ended: Callable[[], object]) -> None:
        super().__init__()
        self._log = log
        self._ended = ended

    def ask(
        self, asked: Deferred[Any], answer: Callable[..., object], refuse: Callable[..., object], *about: object
    ) -> None:
        """Adds a request, and has it answered when it ends.

        :param answer: called with the result and ``about``.
        :param refuse: called with the error and ``about``. An error that is no :class:`LuminaError` is logged first.
        """
        self.add(asked)
        asked.addCallbacks(self._on_result, self._on_failure, (asked, answer, about), {}, (asked, refuse, about))

    def cancel(self) -> None:
        """Cancels all of them."""
        while self:
            self.pop().cancel()

    def _on_result(self, result: Any, asked: Deferred[Any], answer: Callable[..., object], about: Any) -> None:
        if asked in self:  # else its client is gone
            self.remove(asked)
            answer(result, *about)
            self._ended()

    def _on_failure(self, failure: Failure, asked: Deferred[Any], refuse: Callable[..., object], about: Any) -> None:
        if asked not in self:
            return  # its client is gone, and the failure may come from cancel()
        self.remove(asked)
        if not isinstance(failure.value, LuminaError):
            self._log.failure("a request failed within Lumina: {about}", failure, about=about)
        refuse(failure.value, *about)
        self._ended()


class State(Enum):
    """The state of a connection; see the table above."""

    TALKING = "talking"
    DRAINING = "draining"
    FINISHING = "finishing"
    GONE = "gone"


TALKING, DRAINING, FINISHING, GONE = State


@implementer(IHalfCloseableProtocol, IPushProducer)
class Connection(Protocol):
    """The connection of one client. It registers as a push producer with its own transport, to learn when the client
    does not read.

    A subclass passes the Deferred of each request to ``pending.ask`` (:meth:`OpenRequests.ask`), and writes the answer
    with :meth:`write`. A subclass whose clients may send many requests at once stores what it receives, calls
    :meth:`serve`, and implements :attr:`has_input` and :meth:`take_next`.
    """

    transport: Any  # a stream that is ITransport, IConsumer and IPushProducer at once
    caller: Caller
    """Identifies the client; set by :meth:`makeConnection`."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener
        self.log: Logger = listener.log
        self.state = TALKING
        self.pending = OpenRequests(self.log, self.answered)
        self.is_held = False  # nothing is read from it
        self._holding = Holding(self)
        self._has_ended = False  # it has closed its side; what it has sent is still to be taken
        self._is_plain_socket = False  # a plain Twisted TCP transport, without a layer such as TLS
        self._unread: int | None = None  # bytes written since the transport's buffer was full, or None
        self._cut: IDelayedCall | None = None
        self._idle: IDelayedCall | None = None

    # -- what a subclass may override

    def refused(self, reason: str) -> None:
        """The client is not admitted; ``reason`` begins with a token. A subclass may write a last answer here."""

    @property
    def is_waiting(self) -> bool:
        """Whether something is still to be written to the client."""
        return bool(self.pending) or self.has_input

    @property
    def has_input(self) -> bool:
        """Whether a request that was received but not sent to its port yet may wait here."""
        return False

    def take_next(self) -> bool:
        """Sends the next received request to its port, if there is one and it need not wait. Returns whether another
        request may be taken at once."""
        return False

    def drop_input(self) -> None:
        """Discards what was received but not sent to a port yet."""

    # -- what a subclass uses

    @property
    def is_full(self) -> bool:
        """Whether the client reads too slowly: the transport's buffer is full."""
        return self._unread is not None

    def write(self, data: bytes) -> None:
        """Sends bytes to the client. Drops a client that does not read; does nothing if the client is gone."""
        if self.state is GONE:
            return
        unread = self._unread
        self.transport.write(data)
        if unread is not None:  # else the client had read everything before: no sign that it does not read
            self._unread = unread + len(data)
            if self._unread > self.listener.options.max_buffered:
                self.drop()

    def write_last(self, data: bytes) -> None:
        """Sends an answer, as :meth:`write` does. If the client waits for no other answer, and no other bytes have to
        leave before it, this writes directly to the socket: a write through the reactor costs three more system calls.
        """
        transport = self.transport
        is_last = self._is_plain_socket and not self.pending and self.state is TALKING and not self.has_input
        if is_last and not transport.dataBuffer and not transport._tempDataBuffer:
            sent = transport.writeSomeData(data)  # an error if the connection is lost; the reactor finds it, too
            if sent == len(data):
                return
            data = data[sent:] if isinstance(sent, int) else data
        self.write(data)

    def heard(self) -> None:
        """The client has sent something: it is not idle."""
        if self._idle is not None:
            self._idle.reset(self.listener.options.idle_timeout)

    def finish(self) -> None:
        """Ignores what comes from now on; open requests are still answered."""
        if self.state is not GONE:
            self.state = FINISHING
            self.close_if_done()

    def serve(self) -> None:
        """Takes received requests as long as there is time and room. The rest waits, and nothing is read until then."""
        if self.state is DRAINING:
            while self.step():
                pass
        else:
            self.listener.pacer.serve(self)
            if not self.has_input:
                return  # the last step has called _pace_reading()
        self._pace_reading()

    def step(self) -> bool:
        """Takes one request; returns whether another can be taken at once. See
        :class:`lumina_twisted.frontends.pacing.Paced`."""
        state = self.state
        if (self._unread is not None or state is not TALKING) and state is not DRAINING:
            return False
        try:
            more = self.take_next()
        except Exception:
            self.log.failure("what a client sent failed within Lumina, and its connection is cut")
            self.cut()
            return False
        if not more and (self.is_held or self._has_ended or self.has_input):
            self._pace_reading()
        return more

    def must_wait(self, is_full_for: Callable[[], bool]) -> bool:
        """Whether the next request waits here until another one has ended.

        :param is_full_for: asks the port; not called if the client has no request under way.
        """
        if not self.pending or self.state is not TALKING:
            return False
        return len(self.pending) >= MOST_UNDER_WAY or is_full_for()

    def answered(self) -> None:
        """A request has ended, and its answer is written: the next request may be taken."""
        if self.state is not TALKING:
            self.close_if_done()
        elif self.is_held:
            self.listener.pacer.enqueue(self)  # in a later turn, because hundreds of requests may end at once

    def turn_away(self, why: str) -> None:
        """Ends the connection of a client that speaks another protocol; its open requests are answered.

        :param why: a sentence that says which protocol the client speaks and what to do.
        """
        self.listener.errors += 1
        self.log.warn("closed {peer}: {why}", peer=self.caller.name, why=why, fold=("stranger", why))
        self.drop_input()
        self.transport.pauseProducing()
        self.finish()

    def close_if_done(self) -> None:
        """Ends the connection if no answer is outstanding."""
        if self.state is not GONE and not self.is_waiting:
            self._close()

    def cut(self) -> None:
        """Aborts the connection, and cancels the open requests."""
        self.transport.abortConnection()
        self.let_go()

    # -- the connection

    def makeConnection(self, transport: Any) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        self.caller = Caller(peer_of(transport), host_of(transport), self.listener.name)
        super().makeConnection(transport)

    def connectionMade(self) -> None:
        """Sets the transport's options, and admits the client if there is room."""
        _set_up(self.transport)
        is_tcp = isinstance(self.transport, TcpConnection) and not self.transport.TLS
        self._is_plain_socket = is_tcp and hasattr(self.transport, "_tempDataBuffer")  # private to Twisted
        self.transport.registerProducer(self, True)
        if refused := self.listener.admit(self):
            self.refused(refused)
            self._close()
        elif idle := self.listener.options.idle_timeout:
            self._idle = self.listener.clock.callLater(idle, self._on_idle)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client left: its open requests are cancelled."""
        self.let_go()
        for call in (self._cut, self._idle):
            if call is not None and call.active():
                call.cancel()
        self.listener.forget(self)

    def readConnectionLost(self) -> None:
        """The client has closed its sending side, and may still read."""
        self._has_ended = True
        if not self.has_input:
            self.finish()

    def writeConnectionLost(self) -> None:
        """Never called: this side is never half-closed."""

    def drain(self) -> None:
        """Sends no more requests to any port, and closes the connection when all answers are written."""
        if self.state is TALKING:
            self.state = DRAINING
            self.serve()
            self.close_if_done()

    def let_go(self) -> None:
        """Cancels the open requests; nothing is written any more."""
        self.state = GONE
        self._forget_input()
        self.pending.cancel()

    def _close(self) -> None:
        """Closes the connection when all written bytes have left. It unregisters the producer first: a transport with a
        paused producer would never close."""
        self.state = GONE
        self._forget_input()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        if self._cut is None:
            self._cut = self.listener.clock.callLater(LINGER, self.transport.abortConnection)

    def _forget_input(self) -> None:
        self.listener.pacer.forget(self)
        self._holding.stop()
        self.drop_input()

    def _pace_reading(self) -> None:
        """Pauses reading while received input waits, and resumes it afterwards."""
        if self.state is GONE:
            return
        if self.has_input:
            if not self.is_held:
                self.is_held = True
                self.transport.pauseProducing()
                self._holding.begin()
        elif self._has_ended:
            self.finish()
        elif self.is_held and self.state is not FINISHING:
            self.is_held = False
            self.transport.resumeProducing()

    def _on_idle(self) -> None:
        if self.is_waiting:
            self._idle = self.listener.clock.callLater(self.listener.options.idle_timeout, self._on_idle)
        elif self.state is not GONE:
            self._close()

    def drop(self) -> None:
        """Aborts the connection of a client that does not read its answers: they must not fill the memory."""
        self.log.warn(
            "dropped {peer}: it does not read its answers, {unread} bytes wait for it",
            peer=self.caller.name, unread=self._unread, fold="unread",
        )
        self.cut()

    # -- what the transport calls

    def pauseProducing(self) -> None:
        """The transport's buffer is full. The transport calls this at every write until the buffer is empty."""
        if self._unread is None:
            self._unread = 0

    def resumeProducing(self) -> None:
        """The client has read everything: the transport's buffer is empty."""
        self._unread = None
        self._holding.moved()
        if self.is_held and self.state is TALKING:
            self.serve()

    def stopProducing(self) -> None:
        """See :meth:`connectionLost`, which follows."""


def _set_up(transport: Any) -> None:
    """Sets small reads, no delay for short answers (TCP_NODELAY), and keepalive, which ends connections of vanished
    clients."""
    getattr(transport, "transport", transport).bufferSize = BITE  # a TLS transport wraps the one that reads
    descriptor = getattr(transport, "getHandle", lambda: None)()
    if not ITCPTransport.providedBy(transport) or getattr(descriptor, "family", None) == socket.AF_UNIX:
        return  # a Unix socket calls itself a TCP transport too
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    for name, value in _KEEPALIVE:
        if isinstance(descriptor, socket.socket) and hasattr(socket, name):
            descriptor.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
