"""What moves the bytes where an asyncio loop runs and no reactor does, floor 2: Twisted's reactor over asyncio, bound
to the loop that runs already, and never run itself.

Nobody starts it, so it has no threads: names are looked up by the loop. What other threads want of it goes through the
loop, so there is nothing to wake either, and nothing of it stays behind when it is forgotten.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Asyncio's, if it runs here."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def reactor_here() -> Any:
    """What this program runs on: the running loop's reactor where asyncio runs, else the program's own."""
    loop = running_loop()
    if loop is None:
        from twisted.internet import reactor

        return reactor
    installed: Any = sys.modules.get("twisted.internet.reactor")
    if getattr(installed, "_asyncioEventloop", None) is loop:
        return installed
    return LoopReactor(loop)


class LoopReactor(AsyncioSelectorReactor):  # type: ignore[misc]
    """A reactor that the loop drives.

    :param loop: which runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.installNameResolver(_LoopResolver(loop))

    def installWaker(self) -> None:
        """See :class:`twisted.internet.base.ReactorBase`; a loop wakes itself."""


@implementer(IHostResolution)
@frozen
class _Resolution:
    name: str
    task: asyncio.Future[Any]

    def cancel(self) -> None:
        """See :class:`twisted.internet.interfaces.IHostResolution`."""
        self.task.cancel()


@implementer(IHostnameResolver)
@frozen
class _LoopResolver:
    loop: asyncio.AbstractEventLoop

    def resolveHostName(
        self, resolutionReceiver: IResolutionReceiver, hostName: str, portNumber: int = 0,
        addressTypes: Sequence[type[Any]] | None = None, transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See :class:`twisted.internet.interfaces.IHostnameResolver`; a name that nobody knows has no addresses."""

        def found(answer: asyncio.Future[Any]) -> None:
            if answer.cancelled():
                return
            entries = [] if answer.exception() else answer.result()
            for family, _, _, _, where in entries:
                kind: Any = IPv4Address if family == socket.AF_INET else IPv6Address
                if addressTypes is None or kind in addressTypes:
                    resolutionReceiver.addressResolved(kind(transportSemantics, *where))
            resolutionReceiver.resolutionComplete()

        task = asyncio.ensure_future(
            self.loop.getaddrinfo(hostName, portNumber, type=socket.SOCK_STREAM), loop=self.loop
        )
        resolution: IHostResolution = _Resolution(hostName, task)
        resolutionReceiver.resolutionBegan(resolution)
        task.add_done_callback(found)
        return resolution
