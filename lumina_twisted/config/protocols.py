"""The protocols that a listener may speak, floor 5. Another one is one more entry of :data:`PROTOCOLS`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol

from lumina_twisted.frontends.line import LineFactory
from lumina_twisted.frontends.line_options import LineOptions
from lumina_twisted.ports.interfaces import Ports

DEFAULT_PROTOCOL: Final = "line"


class FrontEnd(Protocol):
    """A Twisted factory that can be told to come to its end."""

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        ...

    def drain(self) -> Deferred[None] | None:
        """Asks nothing more of any port, and fires when all its answers are written."""
        ...


@frozen
class ListenerProtocol:
    """One protocol.

    :param options: its settings class.
    :param make: makes its front-end of a listener's settings, the ports, and the reactor.
    """

    options: type[Any]
    make: Callable[[Any, Ports, Any], FrontEnd]


PROTOCOLS: Final[dict[str, ListenerProtocol]] = {
    "line": ListenerProtocol(
        LineOptions, lambda options, ports, reactor: LineFactory(options, ports, reactor, time.time)
    ),
}
"""By the name that the configuration uses."""


def listener_class(protocol: ListenerProtocol) -> type[Any]:
    """The settings class of a whole ``[[listen]]`` table: what every listener has, and the protocol's own options."""
    common = {
        "protocol": attrs.field(default=DEFAULT_PROTOCOL, type=str, metadata=_doc("what it speaks")),
        "endpoint": attrs.field(
            type=str, metadata=_doc("where it listens: a Twisted server endpoint, as tcp:8888:interface=127.0.0.1")
        ),
    }
    name = f"{protocol.options.__name__}Listener"
    return attrs.make_class(name, common, bases=(protocol.options,), frozen=True, kw_only=True, slots=False)


def _doc(text: str) -> dict[str, str]:
    return {"doc": text, "unit": ""}


LISTENER_CLASSES: Final = {name: listener_class(one) for name, one in PROTOCOLS.items()}
"""The settings class of each protocol's ``[[listen]]`` table."""
