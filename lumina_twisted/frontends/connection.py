"""One client's connection at a stream front-end, floor 4: its life, and its open requests.

A connection is in one of four states; what happens in each:

=========  ==========================  ========================  ==================
state      a request comes             a request ends            its last one ended
=========  ==========================  ========================  ==================
TALKING    it is asked of its port     its answer is written
DRAINING   it fails with `stopping`    its answer is written     the connection closes
FINISHING  nobody looks at it          its answer is written     the connection closes
GONE       nobody looks at it          nothing
=========  ==========================  ========================  ==================

DRAINING: the service stops. FINISHING: the client has ended its side (``printf … | nc``), or sent what cannot be
understood any further. GONE: the client left, or was dropped because it does not read; its requests are cancelled.

A TALKING client may be *held*: its next request waits here, and nothing more is read of it, while its answers wait to
be read, or while the port that the request is for has enough of this client's
(:meth:`lumina_twisted.ports.interfaces.Port.is_full_for`). A client that sends ten thousand requests at once so gets
ten thousand answers, and what it has sent waits in the system's buffers, and in the client. No more than one piece of
:data:`BITE` bytes waits here. A request's time begins when it is asked of its port. A held client always has requests
under way or answers to read, so that it goes on when one of them ends. Meanwhile
:class:`lumina_twisted.frontends.pacing.Holding` looks whether it is still there. A stop holds nobody: requests that are
read then fail with ``stopping``.
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
"""Seconds that a connection may take to close; then it is cut. Only a client that does not read needs them."""
BITE: Final = 1024
"""Bytes that are taken from one client before the others have their turn. Of Twisted's own 65,536 a client that floods
could fill each with five thousand requests, and everybody else would wait for seconds."""
MOST_UNDER_WAY: Final = 1000
"""Requests of one client that may be under way, at all ports together; nothing more is read of it meanwhile."""
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
"""A client that vanished without a word is noticed within two minutes; the system's own default is two hours."""


class OpenRequests(set[Deferred[Any]]):
    """The Deferreds of one client's requests that have not ended. What is taken out of it is not answered any more.

    :param log: where a fault of Lumina's own is logged.
    :param ended: called after each request that has ended and is answered.
    """

    def __init__(self, log: Logger, ended: Callable[[], object]) -> None:
        super().__init__()
        self._log = log
        self._ended = ended

    def ask(
        self, asked: Deferred[Any], answer: Callable[..., object], refuse: Callable[..., object], *about: object
    ) -> None:
        """Has a request answered when it ends.

        :param answer: called with the result and ``about``.
        :param refuse: called with the error and ``about``; one that was not raised on purpose is in the log then.
        """
        self.add(asked)
        asked.addCallbacks(self._on_result, self._on_failure, (asked, answer, about), {}, (asked, refuse, about))

    def cancel(self) -> None:
        """Takes all of them back."""
        while self:
            self.pop().cancel()

    def _on_result(self, result: Any, asked: Deferred[Any], answer: Callable[..., object], about: Any) -> None:
        if asked in self:  # else its client is gone
            self.remove(asked)
            answer(result, *about)
            self._ended()

    def _on_failure(self, failure: Failure, asked: Deferred[Any], refuse: Callable[..., object], about: Any) -> None:
        if asked not in self:
            return  # its client is gone, and this may be our own cancelling
        self.remove(asked)
        if not isinstance(failure.value, LuminaError):
            self._log.failure("a request failed within Lumina: {about}", failure, about=about)
        refuse(failure.value, *about)
        self._ended()


class State(Enum):
    """Of a connection; see above."""

    TALKING = "talking"
    DRAINING = "draining"
    FINISHING = "finishing"
    GONE = "gone"


TALKING, DRAINING, FINISHING, GONE = State


@implementer(IHalfCloseableProtocol, IPushProducer)
class Connection(Protocol):
    """One client. It is a push producer of its own transport, to learn when the client does not read.

    A protocol gives the Deferred of each request to :meth:`OpenRequests.ask` of ``pending``, and writes the answer with
    :meth:`write`. One whose clients may send many requests at once keeps what it receives,
    calls :meth:`serve`, and implements :attr:`has_input` and :meth:`take_next`.
    """

    transport: Any  # a stream that is ITransport, IConsumer and IPushProducer at once
    caller: Caller
    """Who it is, from :meth:`makeConnection` on."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener
        self.log: Logger = listener.log
        self.state = TALKING
        self.pending = OpenRequests(self.log, self.answered)
        self.is_held = False  # nothing is read of it
        self._holding = Holding(self)
        self._has_ended = False  # it will send nothing more; what it has sent is still to be taken
        self._is_plain_socket = False  # of Twisted's own, with nothing between it and us, such as TLS
        self._unread: int | None = None  # bytes written since the transport's buffer was full, or None
        self._cut: IDelayedCall | None = None
        self._idle: IDelayedCall | None = None

    # -- what a protocol may add to

    def refused(self, reason: str) -> None:
        """It is not taken in; ``reason`` begins with a token. Its last words may be written."""

    @property
    def is_waiting(self) -> bool:
        """Whether something is still to be written to it."""
        return bool(self.pending) or self.has_input

    @property
    def has_input(self) -> bool:
        """Whether a request may wait here that was received and is not asked yet."""
        return False

    def take_next(self) -> bool:
        """Asks the next request that was received, if there is one and it need not wait; whether there may be another
        that can be asked at once."""
        return False

    def drop_input(self) -> None:
        """Forgets what was received and is not asked yet."""

    # -- what a protocol uses

    @property
    def is_full(self) -> bool:
        """Whether it reads more slowly than it is written to: the transport's buffer is full."""
        return self._unread is not None

    def write(self, data: bytes) -> None:
        """Sends bytes to the client, or drops it if it does not read; nothing if it is gone."""
        if self.state is GONE:
            return
        unread = self._unread
        self.transport.write(data)
        if unread is not None:  # else it has read all there was before: no sign that it does not
            self._unread = unread + len(data)
            if self._unread > self.listener.options.max_buffered:
                self.drop()

    def write_last(self, data: bytes) -> None:
        """Sends an answer as :meth:`write` does. If it is the last one that the client waits for, and nothing else is
        to leave before it, it goes straight to the socket: through the reactor it costs three more system calls."""
        transport = self.transport
        is_last = self._is_plain_socket and not self.pending and self.state is TALKING and not self.has_input
        if is_last and not transport.dataBuffer and not transport._tempDataBuffer:
            sent = transport.writeSomeData(data)  # an error if it is lost, which the reactor then finds, too
            if sent == len(data):
                return
            data = data[sent:] if isinstance(sent, int) else data
        self.write(data)

    def heard(self) -> None:
        """The client has sent something: it is not idle."""
        if self._idle is not None:
            self._idle.reset(self.listener.options.idle_timeout)

    def finish(self) -> None:
        """Nobody looks at what comes from now on; what was asked is answered."""
        if self.state is not GONE:
            self.state = FINISHING
            self.close_if_done()

    def serve(self) -> None:
        """Takes what was received, as far as there is time and room; the rest later, and nothing is read until then."""
        if self.state is DRAINING:
            while self.step():
                pass
        else:
            self.listener.pacer.serve(self)
            if not self.has_input:
                return  # the last step has seen to it
        self._pace_reading()

    def step(self) -> bool:
        """Takes one request; whether another can be taken at once. See :class:`lumina_twisted.frontends.pacing.Paced`.
        """
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

        :param is_full_for: asks its port, which is not asked for a client that has nothing under way.
        """
        if not self.pending or self.state is not TALKING:
            return False
        return len(self.pending) >= MOST_UNDER_WAY or is_full_for()

    def answered(self) -> None:
        """A request has ended, and its answer is written: the next one may be asked."""
        if self.state is not TALKING:
            self.close_if_done()
        elif self.is_held:
            self.listener.pacer.enqueue(self)  # in a turn of its own, for hundreds may end at once

    def turn_away(self, why: str) -> None:
        """Ends the connection of a client that speaks another protocol; what it has asked is answered.

        :param why: a sentence that says what it speaks and what to do.
        """
        self.listener.errors += 1
        self.log.warn("closed {peer}: {why}", peer=self.caller.name, why=why, fold=("stranger", why))
        self.drop_input()
        self.transport.pauseProducing()
        self.finish()

    def close_if_done(self) -> None:
        """Ends the connection if nothing is to be answered any more."""
        if self.state is not GONE and not self.is_waiting:
            self._close()

    def cut(self) -> None:
        """Ends the connection at once; what was asked is taken back."""
        self.transport.abortConnection()
        self.let_go()

    # -- the connection

    def makeConnection(self, transport: Any) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        self.caller = Caller(peer_of(transport), host_of(transport), self.listener.name)
        super().makeConnection(transport)

    def connectionMade(self) -> None:
        """Makes the connection quick and mortal, and takes the client in if there is room."""
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
        """The client left: what it asked for is taken back."""
        self.let_go()
        for call in (self._cut, self._idle):
            if call is not None and call.active():
                call.cancel()
        self.listener.forget(self)

    def readConnectionLost(self) -> None:
        """The client has said all it wants to say, and may still listen."""
        self._has_ended = True
        if not self.has_input:
            self.finish()

    def writeConnectionLost(self) -> None:
        """Does not happen: we never close only our side."""

    def drain(self) -> None:
        """Asks nothing more of any port, and closes when all answers are written."""
        if self.state is TALKING:
            self.state = DRAINING
            self.serve()
            self.close_if_done()

    def let_go(self) -> None:
        """Takes back what was asked; nothing is written any more."""
        self.state = GONE
        self._forget_input()
        self.pending.cancel()

    def _close(self) -> None:
        """Closes when what is written has left; a transport with a paused producer would never."""
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
        """Nothing is read while something that was read waits."""
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
        """Cuts a client that asks and does not read: it must not fill the memory."""
        self.log.warn(
            "dropped {peer}: it does not read its answers, {unread} bytes wait for it",
            peer=self.caller.name, unread=self._unread, fold="unread",
        )
        self.cut()

    # -- what the transport calls

    def pauseProducing(self) -> None:
        """The transport's buffer is full; it says so at every write until it is empty."""
        if self._unread is None:
            self._unread = 0

    def resumeProducing(self) -> None:
        """The client has read on."""
        self._unread = None
        self._holding.moved()
        if self.is_held and self.state is TALKING:
            self.serve()

    def stopProducing(self) -> None:
        """See :meth:`connectionLost`, which follows."""


def _set_up(transport: Any) -> None:
    """Small bites, no delay for short answers, and an end for connections whose client is no more."""
    getattr(transport, "transport", transport).bufferSize = BITE  # that of TLS wraps the one that reads
    descriptor = getattr(transport, "getHandle", lambda: None)()
    if not ITCPTransport.providedBy(transport) or getattr(descriptor, "family", None) == socket.AF_UNIX:
        return  # a Unix socket calls itself a TCP transport too
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    for name, value in _KEEPALIVE:
        if isinstance(descriptor, socket.socket) and hasattr(socket, name):
            descriptor.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
