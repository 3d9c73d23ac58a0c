"""The protocol ``echo``, floor 4 (S4): every chunk comes back with the prefix ``Echo: ``. It uses no port. It is the
smallest front-end, and the client stub of the original Lumina Server speaks it. That stub connects to TCP port 5000 by
default, where ``values`` listens by default."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from lumina_twisted.frontends.connection import TALKING, Connection
from lumina_twisted.frontends.listener import Listener, ListenerOptions
from lumina_twisted.frontends.plugin import Context, StreamFrontEnd

ANSWER: Final = b"Echo: "


@frozen(kw_only=True, slots=False)
class EchoOptions(ListenerOptions):
    """The limits for its clients."""


class EchoProtocol(Connection):
    """One client."""

    def dataReceived(self, data: bytes) -> None:
        """A chunk needs no terminator: each received piece is answered at once."""
        self.heard()
        if self.state is TALKING:
            self.write(ANSWER + data)


class EchoListener(Listener):
    """A listener and its clients."""

    protocol = EchoProtocol


class EchoFrontEnd(StreamFrontEnd):
    """Echo."""

    name = "echo"
    summary = "sends back what it gets, with `Echo: ` before it; to try a connection"
    endpoint = "tcp:5001:interface=127.0.0.1"
    options = EchoOptions

    def build(self, options: Any, context: Context) -> EchoListener:
        """See :class:`lumina_twisted.frontends.plugin.StreamFrontEnd`."""
        return EchoListener(options, context)
