"""Awaiting with asyncio and with Twisted, floor 2: a caller in an asyncio task gets an asyncio future, any other caller
a Deferred.

Where an asyncio loop runs and no reactor does, Twisted's reactor over asyncio moves the bytes. It is bound to the
running loop, and is never run itself. It has no threads: the loop resolves names, and other threads reach the reactor
through the loop. When the last reference to it goes, nothing of it remains.
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
    """``result`` in a form that the caller can await: an asyncio task cannot await a plain Deferred."""
    return in_callers_world(result) if isinstance(result, Deferred) else result


def in_callers_world(work: Deferred[Any] | Coroutine[Any, Any, Any]) -> Any:
    """``work`` in a form that the caller can await: an asyncio future in an asyncio task, a Deferred anywhere else. A
    coroutine is started; whatever it awaits must go through :func:`awaitable`."""
    if in_asyncio_task():
        return work.asFuture(asyncio.get_running_loop()) if isinstance(work, Deferred) else asyncio.ensure_future(work)
    return work if isinstance(work, Deferred) else ensureDeferred(work)


def in_asyncio_task() -> bool:
    """Whether the caller is an asyncio task, which can await only what asyncio knows."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The asyncio loop that runs in this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def reactor_here() -> Any:
    """The reactor of this program: the one on the running loop where asyncio runs, else the installed one."""
    loop = running_loop()
    if loop is None:
        from twisted.internet import reactor

        return reactor
    installed: Any = sys.modules.get("twisted.internet.reactor")
    if getattr(installed, "_asyncioEventloop", None) is loop:
        return installed
    return LoopReactor(loop)


class Semaphore:
    """Lets a limited number of callers in at a time, and the others in order.

    Twisted's ``DeferredLock`` and ``DeferredSemaphore`` start the next caller on the stack of the one that ended. When
    hundreds end at once (a unit is offline, their timeout is over, the service stops), that exhausts the stack. This
    class starts them in a loop. It works with ``async with``, in asyncio tasks and in Twisted coroutines.

    :param most: how many callers may be in at a time.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._inside = 0
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        self._is_advancing = False

    def __len__(self) -> int:
        """How many callers wait."""
        return len(self._waiting)

    async def __aenter__(self) -> None:
        await awaitable(self.acquire())

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def run(self, work: Callable[..., Deferred[T]], *args: Any) -> Deferred[T]:
        """Calls ``work`` when its turn comes. The turn lasts until the Deferred of ``work`` has ended.

        :return: a Deferred that ends like that of ``work``, or fails with what ``work`` raises. Cancelling it gives the
            turn up, or cancels the work if that has begun.
        """
        if self._waiting or self._inside >= self._most:
            return self.acquire().addCallback(lambda _: maybeDeferred(work, *args).addBoth(self._release_and_return))
        self._inside += 1
        return maybeDeferred(work, *args).addBoth(self._release_and_return)

    def acquire(self) -> Deferred[None]:
        """A Deferred that fires with None when the caller is let in. The caller must call :meth:`release` when it has
        finished. Cancelling the Deferred gives the turn up."""
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
        """Cancels all callers that wait."""
        for turn in list(self._waiting):
            turn.cancel()

    def _release_and_return(self, result: Any) -> Any:
        self._inside -= 1
        if self._waiting:
            self._advance()
        return result

    def _advance(self) -> None:
        if self._is_advancing:  # a caller that the loop below lets in may leave at once
            return
        self._is_advancing = True
        try:
            while self._waiting and self._inside < self._most:
                self._inside += 1
                self._waiting.popitem(last=False)[0].callback(None)
        finally:
            self._is_advancing = False


class LoopReactor(AsyncioSelectorReactor):  # type: ignore[misc]
    """A reactor that an asyncio loop drives.

    :param loop: the running loop.
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
        """See :class:`twisted.internet.interfaces.IHostnameResolver`; an unknown name has no addresses."""

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
