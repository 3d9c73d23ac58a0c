"""The Modbus TCP front-end, floor 4: unmodified Modbus TCP clients reach the buses (Modbus Messaging on TCP/IP
Implementation Guide V1.0b).

Requests of one connection may overlap: each reply leaves as soon as it is available, with its request's transaction
identifier. Requests to one unit keep their order.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall

from lumina_twisted.errors import FrameError, Stopping
from lumina_twisted.framing.mbap import MBAP, Adu, MbapDecoder, encode_adu
from lumina_twisted.frontends.connection import DRAINING, TALKING, Connection
from lumina_twisted.frontends.gateway import Gateway, GatewayOptions, exception_pdu
from lumina_twisted.frontends.listener import Listener, ListenerOptions
from lumina_twisted.frontends.plugin import Context, StreamFrontEnd
from lumina_twisted.frontends.strangers import LOOKED_AT, RTU, in_modbus_tcp, is_rtu
from lumina_twisted.modbus.functions import EXCEPTION_FLAG
from lumina_twisted.schema import Between, setting

LOOK_AFTER: Final = 0.5
"""Seconds until an incomplete request is checked: its first bytes may show another protocol."""
REST_AFTER: Final = 10.0
"""Seconds that a request may take to arrive completely; without this limit, a client that sends incomplete frames would
wait for ever. TCP repeats a lost segment several times within that time."""


@frozen(kw_only=True, slots=False)
class ModbusTcpOptions(GatewayOptions, ListenerOptions):
    """How a listener of Modbus TCP reaches its units."""

    timeout: Annotated[float, Between(0.05, 3600)] = setting(
        5.0, "how long a request may take, waiting for its turn included; then it is answered by exception 0B, or 06"
        " if it was not sent", unit="s",
    )


class ModbusTcpProtocol(Connection):
    """One client."""

    listener: ModbusTcpListener
    has_input = False  # whether bytes have come that may be a whole request

    def __init__(self, listener: ModbusTcpListener) -> None:
        super().__init__(listener)
        self._decoder = MbapDecoder()
        self._held: Adu | None = None  # taken out of the decoder, but not sent to its port yet
        self._has_asked = False
        self._rest: IDelayedCall | None = None  # checks whether the rest of a request has come

    def dataReceived(self, data: bytes) -> None:
        """Requests, or parts of them."""
        if self._idle is not None:
            self.heard()
        if self.state is not TALKING and self.state is not DRAINING:
            return
        # Only the first request is checked for other protocols. Later, a chunk that is one request is taken as it is.
        if self._has_asked and not self.has_input and (adu := self._decoder.whole(data)) is not None:
            self._held = adu
        else:
            self._decoder.feed(data)
        self.has_input = True
        self.serve()

    def drop_input(self) -> None:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        self._held, self.has_input = None, False
        self._forget_rest()

    def take_next(self) -> bool:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        adu, self._held = self._held or self._next(), None
        if adu is None:
            self.has_input = False
            if self._rest is None and self._decoder.buffer and self.state is TALKING:
                self._rest = self.listener.clock.callLater(LOOK_AFTER, self._look)
            return False
        if self._rest is not None:
            self._forget_rest()
        if self.pending and self.must_wait(partial(self.listener.gateway.is_full_for, self.caller, adu.unit)):
            self._held = adu
            return False
        listener = self.listener
        listener.requests += 1
        self._has_asked = True
        self.has_input = bool(self._decoder.buffer)
        if self.state is DRAINING:
            self._write_exception(Stopping("the service is stopping"), adu)
        else:
            asked = listener.gateway.request(self.caller, adu.unit, adu.pdu)
            self.pending.ask(asked, self._write_reply, self._write_exception, adu)
        return self.has_input

    def _next(self) -> Adu | None:
        """The next whole request. After an invalid header the start of the next request is unknown, so the client is
        turned away."""
        first = b"" if self._has_asked else bytes(self._decoder.buffer[:LOOKED_AT])
        try:
            adu = self._decoder.next_adu()
            if first and adu is not None and not 0 < adu.pdu[0] < EXCEPTION_FLAG and is_rtu(first):
                self.turn_away(RTU)  # the address of a write looks like a length
                return None
            return adu
        except FrameError as error:
            self.turn_away(self._stranger() or f"it does not speak Modbus TCP: {error}")
            return None

    def _stranger(self) -> str:
        """Names the client's protocol, if its first bytes show another one and it has sent no request yet."""
        return "" if self._has_asked else in_modbus_tcp(bytes(self._decoder.buffer[:LOOKED_AT]))

    def _look(self) -> None:
        """The rest of a request has not come within :data:`LOOK_AFTER`."""
        self._rest = None
        if stranger := self._stranger():
            self.turn_away(stranger)
        else:
            self._rest = self.listener.clock.callLater(REST_AFTER - LOOK_AFTER, self._give_up)

    def _give_up(self) -> None:
        self._rest = None
        count = len(self._decoder.buffer)
        self.turn_away(f"{count} bytes of a Modbus TCP request came, and not the rest within {REST_AFTER:.0f} s")

    def _forget_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _write_reply(self, reply: bytes, adu: Adu) -> None:
        if reply:
            self.write_last(MBAP.pack(adu.transaction_id, 0, len(reply) + 1, adu.unit) + reply)

    def _write_exception(self, error: BaseException, adu: Adu) -> None:
        self.listener.errors += 1
        self.write(encode_adu(adu.transaction_id, adu.unit, exception_pdu(adu.pdu[0], error)))


class ModbusTcpListener(Listener):
    """A listener and its clients."""

    protocol = ModbusTcpProtocol

    def __init__(self, options: ModbusTcpOptions, context: Context) -> None:
        super().__init__(options, context)
        self.gateway = Gateway(options, options.timeout, context.buses)
        self.requests = 0

    def counts(self) -> dict[str, int]:
        """The figures of this listener for ``stats``."""
        return {**super().counts(), "requests": self.requests, "errors": self.errors}


class ModbusTcpFrontEnd(StreamFrontEnd):
    """Modbus TCP, for any program or panel that speaks it."""

    name = "modbus-tcp"
    summary = "Modbus TCP, which most programs speak"
    endpoint = "tcp:502"
    options = ModbusTcpOptions

    def build(self, options: ModbusTcpOptions, context: Context) -> ModbusTcpListener:
        """See :class:`lumina_twisted.frontends.plugin.StreamFrontEnd`."""
        return ModbusTcpListener(options, context)
