"""A client of one server that connects again whenever it must, for asyncio programs, floor 3. No reactor is needed: it
drives the same conversations over asyncio's own streams."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any, Self

from lumina_twisted.client.backoff import wait_before_attempt
from lumina_twisted.client.command import check_timeout
from lumina_twisted.client.conversation import Conversation, Pump
from lumina_twisted.client.url import check_place
from lumina_twisted.errors import NotConnected, RequestError


class ReconnectingClient(Pump):
    """A client of one server, for one event loop. It connects when it is told to or first used, and again whenever the
    connection is lost, until it is closed. ``async with`` connects and closes it.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port.
    :param conversation: what is said to it, and understood; it is given the server's name for sentences.
    :param timeout: seconds that a request may take whose caller does not say.
    :raises RequestError: if the server cannot be there, or the timeout cannot be.
    """

    hint = "is it on, and its port right?"
    """What to look at if there is no connection."""

    def __init__(self, host: str, port: int, conversation: Callable[[str], Conversation], *, timeout: float) -> None:
        check_place(host, port)
        self.timeout = check_timeout(timeout)
        self._host = host
        self._tcp_port = port
        self._server = host if host.startswith("/") else f"{host}:{port}"
        self._session: Any = conversation(self._server)
        self._transport: asyncio.WriteTransport | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # the one that it is used in
        self._lost = asyncio.Event()
        self._first: list[asyncio.Future[None]] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- the connection --------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connects, and goes on trying for as long as it takes.

        :raises NotConnected: when the next attempt has failed, or the client is closed. Requests may be made in any
            case; they wait for a connection until their own timeout.
        :raises RequestError: in another event loop than the one that it was first used in.
        """
        self._stay_in_loop()
        if self._closed:
            raise NotConnected("this client was closed; make another one")
        if self._transport is not None:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._first.append(waiting)
        self._start()
        await waiting

    async def close(self) -> None:
        """Ends all requests that are open (:class:`~lumina_twisted.errors.Cancelled`, or
        :class:`~lumina_twisted.errors.OutcomeUnknown` for a write that may have been sent) and the connection."""
        if self._loop is not None and self._loop.is_closed():
            self._closed = True  # all that it had went with its loop
            return
        self._stay_in_loop()
        self._closed = True
        self._session.close(loop_time())
        self._pump()
        self._end_first(NotConnected("the client was closed"))
        if self._transport is not None:
            self._transport.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._transport is not None

    # -- what the connection tells -----------------------------------------------------------------------------------

    def _stay_in_loop(self) -> None:
        """Nothing that waits in one loop hears of what happens in another."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RequestError("this client belongs to another event loop; make one in each, as each asyncio.run() is")

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._stay_connected())

    async def _stay_connected(self) -> None:
        failed = 0
        while True:
            self._lost.clear()
            try:
                await self._open()
            except (OSError, ValueError) as error:  # the latter for a name that cannot be looked up
                self._on_refused(_sentence(error))
            else:
                failed = 0
                await self._lost.wait()
            await asyncio.sleep(wait_before_attempt(failed))
            failed += 1

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        if self._host.startswith("/"):
            await loop.create_unix_connection(lambda: _LineStream(self), self._host)
        else:
            await loop.create_connection(lambda: _LineStream(self), self._host, self._tcp_port)

    def _on_connected(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._session.connected(loop_time())
        self._pump()
        waiting, self._first = self._first, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _on_data(self, data: bytes) -> None:
        self._session.receive_data(data, loop_time())
        self._pump()

    def _on_lost(self, why: str) -> None:
        self._transport = None
        self._session.connection_lost(why, loop_time())
        self._lost.set()
        self._pump()

    def _on_refused(self, why: str) -> None:
        self._session.connection_lost(why, loop_time())
        self._pump()
        self._end_first(NotConnected(f"no connection to {self._server} ({why}); {self.hint}"))

    def _end_first(self, error: NotConnected) -> None:
        waiting, self._first = self._first, []
        for future in waiting:
            if not future.done():
                future.set_exception(error)

    # -- the pump ------------------------------------------------------------------------------------------------------

    def _abort(self, transport: Any) -> None:
        transport.abort()

    def _set_timer(self) -> None:
        wanted = self._session.get_timer()
        if self._timer is not None and (wanted is None or self._timer.when() > wanted):
            self._timer.cancel()
            self._timer = None
        if wanted is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(wanted, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._session.handle_timer(loop_time())
        self._pump()


def loop_time() -> float:
    """Seconds, by the clock of the loop that runs."""
    return asyncio.get_running_loop().time()


def report(what: str) -> Callable[[BaseException], None]:
    """Tells the loop of an error that nobody waits for.

    :param what: a sentence for the log.
    """

    def tell(error: BaseException) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": what, "exception": error})

    return tell


def settle(future: Any, outcome: Any) -> None:
    """Ends what somebody waits for, who may be gone."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's own text shows a tuple
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _LineStream(asyncio.Protocol):
    """One connection."""

    def __init__(self, client: ReconnectingClient) -> None:
        self._client = client
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._client._on_connected(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._client._transport is self._transport:
            self._client._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._client._transport is self._transport:
            self._client._on_lost(_sentence(exc) if exc else "the server closed it")
