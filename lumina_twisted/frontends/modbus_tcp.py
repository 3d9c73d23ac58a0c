"""The Modbus TCP front-end, floor 4: unmodified Modbus TCP clients before the buses (Modbus Messaging on TCP/IP
Implementation Guide V1.0b).

Requests of one connection may overlap: each reply leaves as soon as it is there, under its request's transaction
identifier. Those to one unit keep their order.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lumina_twisted.errors import FrameError, Stopping
from lumina_twisted.frontends.context import Context
from lumina_twisted.frontends.gateway import Gateway, GatewayOptions, exception_pdu, is_ours
from lumina_twisted.frontends.listener import DRAINING, GONE, TALKING, Connection, Listener, ListenerOptions
from lumina_twisted.frontends.plugin import StreamFrontEnd
from lumina_twisted.modbus.mbap import Adu, MbapDecoder, encode_adu
from lumina_twisted.ports.peer import peer_of
from lumina_twisted.schema import Between, setting

_NO_KEYWORDS: Final[dict[str, Any]] = {}


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

    def __init__(self, listener: ModbusTcpListener) -> None:
        super().__init__(listener)
        self._decoder = MbapDecoder()

    def dataReceived(self, data: bytes) -> None:
        """Passes whole requests on. After a header that is none, nobody knows where the next one begins."""
        self.heard()
        if self.state not in {TALKING, DRAINING}:
            return
        try:
            for adu in self._decoder.receive(data):
                if self.state is GONE:
                    return  # dropped for the answer before
                self._ask(adu)
        except FrameError as error:
            self.listener.errors += 1
            self.log.warn(
                "closed {peer}, which does not speak Modbus TCP: {error}", peer=peer_of(self.transport),
                error=str(error), fold=("header", str(error)),
            )
            self.transport.pauseProducing()
            self.finish()

    def _ask(self, adu: Adu) -> None:
        listener = self.listener
        listener.requests += 1
        if self.state is DRAINING:
            self._write_exception(adu, Stopping("the service is stopping"))
            return
        deferred = listener.gateway.request(self, adu.unit, adu.pdu)
        self.pending.add(deferred)
        arguments = (adu, deferred)
        deferred.addCallbacks(self._replied, self._failed, arguments, _NO_KEYWORDS, arguments)

    def _replied(self, frame: bytes, adu: Adu, deferred: Deferred[bytes]) -> None:
        if deferred not in self.pending:
            return  # the client left
        self.pending.remove(deferred)
        if frame:
            self.write(encode_adu(adu.transaction_id, adu.unit, frame[1:-2]))
        if self.state is not TALKING:
            self.close_if_done()

    def _failed(self, failure: Failure, adu: Adu, deferred: Deferred[bytes]) -> None:
        if deferred not in self.pending:
            return  # the client left, this may be our own cancelling
        self.pending.remove(deferred)
        if not is_ours(failure.value):
            self.log.failure("a request failed within Lumina: {request}", failure, request=adu)
        self._write_exception(adu, failure.value)
        if self.state is not TALKING:
            self.close_if_done()

    def _write_exception(self, adu: Adu, error: BaseException | None) -> None:
        self.listener.errors += 1
        self.write(encode_adu(adu.transaction_id, adu.unit, exception_pdu(adu.pdu[0], error)))


class ModbusTcpListener(Listener):
    """A listener and its clients."""

    protocol = ModbusTcpProtocol

    def __init__(self, options: ModbusTcpOptions, context: Context) -> None:
        super().__init__(options, context)
        self.gateway = Gateway(options, options.timeout, context.ports)
        self.requests = 0
        self.errors = 0

    def counts(self) -> dict[str, int]:
        """What ``stats`` tells about this listener."""
        return {**super().counts(), "requests": self.requests, "errors": self.errors}


class ModbusTcpFrontEnd(StreamFrontEnd):
    """Modbus TCP, for whatever program or panel speaks it."""

    name = "modbus-tcp"
    summary = "Modbus TCP, which most programs speak"
    endpoint = "tcp:502"
    options = ModbusTcpOptions

    def build(self, options: ModbusTcpOptions, context: Context) -> ModbusTcpListener:
        """See :class:`lumina_twisted.frontends.plugin.StreamFrontEnd`."""
        return ModbusTcpListener(options, context)
