"""Waiting in two worlds, floor 2: a caller in an asyncio task gets an asyncio future, any other caller a Deferred.

Where an asyncio loop runs and no reactor does, Twisted's reactor over asyncio moves the bytes. It is bound to the loop
that runs already, and is never run itself: it has no threads, so the loop looks up names, and other threads reach it
through the loop. Nothing of it stays behind when it is forgotten.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

T = TypeVar("T")


def awaitable(result: Awaitable[Any]) -> Awaitable[Any]:
    """A task of asyncio's cannot wait for a Deferred as it is."""
    return in_callers_world(result) if isinstance(result, Deferred) else result


def in_callers_world(work: Deferred[Any] | Coroutine[Any, Any, Any]) -> Any:
    """``work`` as its caller can await it: an asyncio future in a task of asyncio's, a Deferred anywhere else. A
    coroutine is begun; what it awaits in its turn goes through :func:`awaitable`."""
    if in_asyncio_task():
        return work.asFuture(asyncio.get_running_loop()) if isinstance(work, Deferred) else asyncio.ensure_future(work)
    return work if isinstance(work, Deferred) else ensureDeferred(work)


def in_asyncio_task() -> bool:
    """Whether it is a task of asyncio's that calls, which can wait for nothing but what is asyncio's."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


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


class Semaphore:
    """Lets a number of callers in at a time, the others in their order.

    Twisted's ``DeferredLock`` and ``DeferredSemaphore`` begin the next one on the stack of the one that ended. Where
    hundreds end at once (a unit is offline, their time is over, the service stops), that exhausts the stack. This one
    begins them in a loop. It is a context manager for ``async with``, in both worlds.

    :param most: how many may be in.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._inside = 0
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        self._is_advancing = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def __aenter__(self) -> None:
        await awaitable(self.acquire())

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def run(self, work: Callable[..., Deferred[T]], *args: Any) -> Deferred[T]:
        """Calls ``work`` when its turn has come; the next turn comes when its Deferred has ended.

        :return: a Deferred that ends as that of ``work``, or fails with what ``work`` raises. Cancelling it gives the
            turn away, or cancels the work.
        """
        if self._waiting or self._inside >= self._most:
            return self.acquire().addCallback(lambda _: maybeDeferred(work, *args).addBoth(self._release_and_return))
        self._inside += 1
        return maybeDeferred(work, *args).addBoth(self._release_and_return)

    def acquire(self) -> Deferred[None]:
        """A Deferred that fires with None when the caller is let in, who then calls :meth:`release`. Cancelling it
        gives the turn away."""
        turn: Deferred[None] = Deferred(lambda gone: self._waiting.pop(gone, None))
        self._waiting[turn] = None
        self._advance()
        return turn

    def release(self) -> None:
        """A caller leaves."""
        self._inside -= 1
        if self._waiting:
            self._advance()

    def cancel(self) -> None:
        """Cancels all that wait."""
        for turn in list(self._waiting):
            turn.cancel()

    def _release_and_return(self, result: Any) -> Any:
        self._inside -= 1
        if self._waiting:
            self._advance()
        return result

    def _advance(self) -> None:
        if self._is_advancing:  # a caller that is let in below may leave before that returns
            return
        self._is_advancing = True
        try:
            while self._waiting and self._inside < self._most:
                self._inside += 1
                self._waiting.popitem(last=False)[0].callback(None)
        finally:
            self._is_advancing = False


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
