"""RTU towards programs, floor 4: the common part of the front-ends that speak RTU, and the front-end for RTU over TCP.
A program that only knows serial Modbus sends its requests here as if it had the bus to itself.

RTU has no transaction identifiers: a program takes the first frame that comes for the reply to its latest request. So
a program only gets the reply to its latest request, within the timeout of that request, and never after it has begun to
send the next request.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Annotated, Any, Final

from attrs import frozen
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from lumina_twisted.access.caller import Caller
from lumina_twisted.errors import ModbusException
from lumina_twisted.framing.rtu import Decoder, encode_adu
from lumina_twisted.frontends.connection import FINISHING, TALKING, Connection, OpenRequests
from lumina_twisted.frontends.endpoints import Place
from lumina_twisted.frontends.gateway import (
    BUSY,
    NO_PATH,
    NO_REPLY,
    Gateway,
    GatewayOptions,
    exception_code,
    exception_pdu,
)
from lumina_twisted.frontends.listener import Listener, ListenerOptions
from lumina_twisted.frontends.plugin import Context, IListeningFrontEnd, StreamFrontEnd
from lumina_twisted.frontends.strangers import LOOKED_AT, in_rtu
from lumina_twisted.modbus.functions import request_length
from lumina_twisted.schema import Between, setting

SILENCE: Final = 0.02
"""Seconds of silence that end a request whose function code does not determine its length."""
LONGEST_PAUSE: Final = 0.05
"""Seconds of silence after which the bytes of an incomplete request are dropped: USB adapters pause for 16 ms."""
_NOBODY: Final[tuple[Any, ...]] = ()
_OURS: Final = frozenset({BUSY, NO_PATH, NO_REPLY})


@frozen(kw_only=True, slots=False)
class RtuOptions(GatewayOptions):
    """How a program that speaks RTU is answered."""

    timeout: Annotated[float, Between(0.01, 3600)] = setting(
        0.45, "how long a request may take, waiting for its turn included; a reply that takes longer is not sent. Give"
        " a little less than the program itself waits", unit="s",
    )
    gateway_exceptions: bool = setting(
        False, "tell by exceptions 06, 0A and 0B that a request could not be carried out or got no reply; else there is"
        " silence, as on a wire",
    )


class Program:
    """One program that sends requests. Its requests come as bytes; only the reply to the latest request goes back.

    :param caller: identifies the program.
    :param send: sends a frame to the program.
    :param begins_anew: returns whether bytes of the program wait that have not been read yet.
    :param pending: holds the request of the program that is under way, if there is one.
    :param turn_away: called with a sentence about the protocol that the program speaks, if that is not RTU. Without it,
        the sentence is logged.
    """

    def __init__(
        self, caller: Caller, gateway: Gateway, options: RtuOptions, clock: IReactorTime, log: Logger, *,
        send: Callable[[bytes], None], begins_anew: Callable[[], bool], pending: OpenRequests,
        turn_away: Callable[[str], None] | None = None,
    ) -> None:
        self._caller = caller
        self.requests = 0
        self.errors = 0
        self.withheld = 0
        self._gateway = gateway
        self._exceptions = options.gateway_exceptions
        self._clock = clock
        self._log = log
        self._send = send
        self._begins_anew = begins_anew
        self._pending = pending
        self._decoder = Decoder(request_length)
        self._turn_away = turn_away
        self._first = b""  # the bytes that came before the first request
        self._silence: IDelayedCall | None = None

    def receive(self, data: bytes) -> None:
        """Takes bytes of the program, and sends the requests in them."""
        self.feed(data)
        while self.take_next():
            pass

    def feed(self, data: bytes) -> None:
        """Takes bytes of the program, for :meth:`take_next`."""
        self._stop_waiting()
        self._decoder.receive(data)
        if not self.requests:
            self._first = (self._first + data)[:LOOKED_AT]

    def take_next(self) -> bool:
        """Sends the next whole request; returns whether there was one."""
        if found := self._decoder.next_frame(_NOBODY):
            self._ask(found.unit, found.pdu)
            return True
        if self._has_junk and self._silence is None:
            self._silence = self._clock.callLater(SILENCE, self._on_silence)
        return False

    def close(self) -> None:
        """The program is gone: its request is cancelled."""
        self._stop_waiting()
        self._decoder.clear()
        self.withdraw()

    def withdraw(self) -> None:
        """Cancels the request under way, if there is one: its reply is not wanted any more."""
        for deferred in list(self._pending):
            self._pending.discard(deferred)
            self.withheld += 1
            deferred.cancel()

    def _on_silence(self) -> None:
        self._silence = None
        if found := self._decoder.end_of_burst(_NOBODY):
            self._ask(found.unit, found.pdu)
        if self._has_junk:
            self._silence = self._clock.callLater(LONGEST_PAUSE - SILENCE, self._forget)

    @property
    def _has_junk(self) -> bool:
        """Whether bytes have come that are no request yet."""
        return len(self._decoder) > 0 or (not self.requests and bool(self._first))

    def _forget(self) -> None:
        """Drops the bytes that have come: they are no request, and become none."""
        self._silence = None
        self.errors += 1
        junk = self._decoder.clear()
        first, self._first = self._first, b""
        if (stranger := in_rtu(first)) and self._turn_away is not None:
            self._turn_away(stranger)
            return
        if stranger:
            self._log.warn("{stranger}", stranger=stranger, fold=stranger)
        self._log.info("{junk} bytes that are no request were dropped", junk=junk, fold="junk")

    def _stop_waiting(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _ask(self, unit: int, pdu: bytes) -> None:
        self.requests += 1
        self._first = b""
        self.withdraw()
        self._pending.ask(self._gateway.request(self._caller, unit, pdu), self._on_reply, self._on_error, unit, pdu)

    def _on_reply(self, reply: bytes, unit: int, pdu: bytes) -> None:
        if reply:
            self._answer(encode_adu(unit, reply))

    def _on_error(self, error: BaseException, unit: int, pdu: bytes) -> None:
        self.errors += 1
        if self._exceptions or exception_code(error) not in _OURS or _of_device(error):
            self._answer(encode_adu(unit, exception_pdu(pdu[0], error)))

    def _answer(self, frame: bytes) -> None:
        """Sends a reply, unless the program has begun its next request: it would take the reply for that request's."""
        if len(self._decoder) or self._begins_anew():
            self.withheld += 1
        else:
            self._send(frame)


def _of_device(error: BaseException | None) -> bool:
    """Whether the exception comes from a device, and not from this gateway."""
    return isinstance(error, ModbusException) and bool(error.frame)


def has_unread(descriptor: int) -> bool:
    """Whether bytes wait at a descriptor now."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class RtuService(Service):
    """A base class for one program behind a terminal. A subclass implements :meth:`send` and :meth:`begins_anew`."""

    def __init__(self, options: Any, context: Context) -> None:
        self.path: str = options.endpoint
        self.log = context.log
        self.clock = context.reactor
        self.is_stopping = False
        self._pending = OpenRequests(self.log, self._ended)
        self._waiting_for_end: list[Deferred[None]] = []
        self.program = Program(
            Caller(f"the program at {self.path}", listener=context.name),
            Gateway(options, options.timeout, context.buses), options, self.clock, self.log, send=self.send,
            begins_anew=self.begins_anew, pending=self._pending,
        )

    def send(self, frame: bytes) -> None:
        """Sends a frame to the program."""
        raise NotImplementedError

    def begins_anew(self) -> bool:
        """Whether bytes of the program wait that have not been read yet."""
        raise NotImplementedError

    def counts(self) -> dict[str, int]:
        """Its figures for ``stats``."""
        program = self.program
        return {"requests": program.requests, "errors": program.errors, "withheld": program.withheld}

    def last_answered(self) -> Deferred[None]:
        """Takes no more requests; returns a Deferred that fires with None when the last request has ended."""
        self.is_stopping = True
        if not self._pending:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._waiting_for_end.append(ended)
        return ended

    def close_program(self) -> None:
        """Cancels the program's request."""
        self.program.close()
        self._ended()

    def _ended(self) -> None:
        if not self._pending:
            waiting, self._waiting_for_end = self._waiting_for_end, []
            for deferred in waiting:
                deferred.callback(None)


@implementer(IListeningFrontEnd)
class TerminalFrontEnd:
    """A base class for front-ends whose endpoint is a path. A subclass sets all attributes below."""

    name = ""
    summary = ""
    endpoint = ""
    options: type[Any]
    what = ""
    """What the path names, for error messages."""
    service: type[RtuService]

    def fault(self, endpoint: str) -> str | None:
        """See :class:`lumina_twisted.frontends.plugin.IFrontEnd`."""
        if not endpoint.startswith("/"):
            return f"expected the path of {self.what}, as {self.endpoint}, got {endpoint!r}"
        return None

    def place(self, endpoint: str) -> Place | None:
        """See :class:`lumina_twisted.frontends.plugin.IFrontEnd`."""
        return Place(os.path.realpath(endpoint))

    def make(self, options: Any, context: Context) -> IService:
        """See :class:`lumina_twisted.frontends.plugin.IFrontEnd`."""
        return self.service(options, context)


# -- RTU over TCP, as serial device servers and cheap converters send it ---------------------------------------------


@frozen(kw_only=True, slots=False)
class RtuTcpOptions(RtuOptions, ListenerOptions):
    """How a listener of RTU over TCP reaches its units."""


class RtuTcpProtocol(Connection):
    """One client."""

    listener: RtuTcpListener
    has_input = False  # whether bytes have come that may be a whole request

    def connectionMade(self) -> None:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        listener = self.listener
        self.program = Program(
            self.caller, listener.gateway, listener.options, listener.clock, listener.log, send=self.write,
            begins_anew=self._begins_anew, pending=self.pending, turn_away=self.turn_away,
        )
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Requests, or parts of them."""
        self.heard()
        if self.state is TALKING:
            self.program.feed(data)
            self.has_input = True
            self.serve()

    def drop_input(self) -> None:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        self.has_input = False

    def take_next(self) -> bool:
        """See :class:`lumina_twisted.frontends.connection.Connection`. A request withdraws the one before, so no
        request waits."""
        self.has_input = self.state is TALKING and self.program.take_next()
        return self.has_input

    def let_go(self) -> None:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        super().let_go()
        self.program.close()

    def _begins_anew(self) -> bool:
        descriptor = getattr(self.transport, "fileno", lambda: -1)()
        return self.state is not FINISHING and descriptor >= 0 and has_unread(descriptor)


class RtuTcpListener(Listener):
    """A listener and its clients."""

    protocol = RtuTcpProtocol

    def __init__(self, options: RtuTcpOptions, context: Context) -> None:
        super().__init__(options, context)
        self.gateway = Gateway(options, options.timeout, context.buses)


class RtuTcpFrontEnd(StreamFrontEnd):
    """RTU over TCP."""

    name = "rtu-tcp"
    summary = "RTU frames over TCP, as serial device servers carry them"
    endpoint = "tcp:4001"
    options = RtuTcpOptions

    def build(self, options: RtuTcpOptions, context: Context) -> RtuTcpListener:
        """See :class:`lumina_twisted.frontends.plugin.StreamFrontEnd`."""
        return RtuTcpListener(options, context)
