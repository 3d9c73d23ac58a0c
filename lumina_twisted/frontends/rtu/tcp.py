"""The front-end for RTU over TCP, floor 4: RTU frames through a socket, as serial device servers and cheap converters
carry them, and as programs speak that were made for those."""

from __future__ import annotations

from attrs import frozen

from lumina_twisted.frontends.gateway import Gateway
from lumina_twisted.frontends.listener import FINISHING, TALKING, Connection, Listener, ListenerOptions
from lumina_twisted.frontends.plugin import Context, StreamFrontEnd
from lumina_twisted.frontends.rtu.program import Program, RtuOptions, has_unread


@frozen(kw_only=True, slots=False)
class RtuTcpOptions(RtuOptions, ListenerOptions):
    """How a listener of RTU over TCP reaches its units."""


class RtuTcpProtocol(Connection):
    """One client."""

    listener: RtuTcpListener
    has_input = False  # whether bytes have come that may be a whole request

    def __init__(self, listener: RtuTcpListener) -> None:
        super().__init__(listener)

    def connectionMade(self) -> None:
        """See :class:`lumina_twisted.frontends.listener.Connection`."""
        listener = self.listener
        self.program = Program(
            self.caller, listener.gateway, listener.options, listener.clock, listener.log, send=self.write,
            begins_anew=self._begins_anew, pending=self.pending, turn_away=self.turn_away,
        )
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Requests."""
        self.heard()
        if self.state is TALKING:
            self.program.feed(data)
            self.has_input = True
            self.serve()

    def drop_input(self) -> None:
        """See :class:`lumina_twisted.frontends.listener.Connection`."""
        self.has_input = False

    def take_next(self) -> bool:
        """See :class:`lumina_twisted.frontends.listener.Connection`. A request withdraws the one before, so none
        waits."""
        self.has_input = self.state is TALKING and self.program.take_next()
        return self.has_input

    def let_go(self) -> None:
        """Takes back what was asked."""
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
