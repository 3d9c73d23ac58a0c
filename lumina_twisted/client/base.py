"""The base class of all clients, floor 3. A client drives its session over one connection after the other, and gives
each caller the outcome of its request. This module uses neither Twisted nor asyncio."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, TypeVar

from lumina_twisted.client.command import check_timeout
from lumina_twisted.client.session import Answered, Failed, Session, Unusable
from lumina_twisted.client.url import check_place
from lumina_twisted.errors import NotConnected

T = TypeVar("T")
Unsubscribe = Callable[[], None]

FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 5.0
FACTOR: Final = 1.5


def wait_before_attempt(failed: int, jitter: Callable[[], float] = random.random) -> float:
    """Seconds before the next attempt to connect, after ``failed`` attempts. The wait varies at random within
    ten percent up and down, so that a thousand clients do not reconnect at the same moment."""
    wait = min(LONGEST_WAIT, FIRST_WAIT * FACTOR ** min(failed, 50))
    return wait * (0.9 + 0.2 * jitter())


class Client:
    """A client of one server. A *face* is a subclass for one kind of event loop, Twisted's or asyncio's: it makes
    connections, has a clock and a timer, and ends the Deferreds or futures that callers wait for.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port.
    :param session: makes the session. It takes the name of the server for error messages.
    :param timeout: seconds that a request may take, unless its caller gives a timeout.
    :raises RequestError: if the host, the port or the timeout is invalid.
    """

    hint = "is it on, and its port right?"
    """What a person should check if there is no connection."""

    def __init__(self, host: str, port: int, session: Callable[[str], Session[Any]], timeout: float) -> None:
        check_place(host, port)
        self.timeout = check_timeout(timeout)
        self._server = host if host.startswith("/") else f"{host}:{port}"
        self._session: Any = session(self._server)
        self._transport: Any = None
        self._closed = False
        self._connecting: list[Any] = []  # Deferreds or futures of connect()
        self._observers: list[Callable[[Any], object]] = []  # called with the outcome of each command

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._transport is not None

    # -- what a face implements ---------------------------------------------------------------------------------------

    def _now(self) -> float:
        """Seconds, by a clock that never goes back."""
        raise NotImplementedError

    def _set_timer(self, deadline: float | None) -> None:
        """Calls :meth:`_on_timer` at ``deadline`` or earlier. If ``deadline`` is None, a timer that is set may stay,
        unless the client is closed. So the face need not move its timer with each request."""
        raise NotImplementedError

    def _abort(self, transport: Any) -> None:
        """Closes a connection at once."""
        raise NotImplementedError

    def _settle(self, caller: Any, outcome: Any) -> None:
        """Ends the Deferred or future of a caller, if it has not ended. An exception is a failure."""
        raise NotImplementedError

    def _report(self, sentence: str, error: Exception) -> None:
        """Logs an exception of an observer. It is called within the ``except`` block."""
        raise NotImplementedError

    # -- the connection --------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise NotConnected("this client was closed; make another one")

    def _on_connected(self, transport: Any) -> None:
        self._transport = transport
        self._session.connected(self._now())
        self._pump()
        self._end_connecting(None)

    def _on_data(self, data: bytes) -> None:
        self._session.receive_data(data, self._now())
        self._pump()

    def _on_lost(self, why: str) -> None:
        self._transport = None
        self._session.connection_lost(why, self._now())
        self._pump()

    def _on_refused(self, why: str) -> None:
        """An attempt to connect has failed."""
        self._session.connection_lost(why, self._now())
        self._pump()
        self._end_connecting(NotConnected(f"no connection to {self._server} ({why}); {self.hint}"))

    def _on_closed(self) -> None:
        """The program closes the client: ends all open requests."""
        self._closed = True
        self._session.close(self._now())
        self._pump()
        self._end_connecting(NotConnected("the client was closed"))

    def _end_connecting(self, outcome: NotConnected | None) -> None:
        waiting, self._connecting = self._connecting, []
        for caller in waiting:
            self._settle(caller, outcome)

    # -- the session -------------------------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        self._session.handle_timer(self._now())
        self._pump()

    def _pump(self) -> None:
        """Sends bytes and delivers events of the session. Callbacks may make requests, which call this again."""
        if self._transport is not None and (data := self._session.data_to_send()):
            self._transport.write(data)
        while (event := self._session.next_event()) is not None:
            self._deliver(event)
        self._set_timer(self._session.get_timer())

    def _deliver(self, event: Any) -> None:
        """Gives an event to the caller that waits for it."""
        if isinstance(event, Answered):
            self._settle(event.request.caller, event.answer)
        elif isinstance(event, Failed):
            self._settle(event.request.caller, event.error)
        elif isinstance(event, Unusable) and self._transport is not None:
            transport = self._transport
            self._on_lost(event.why)
            self._abort(transport)

    def _call(self, observer: Callable[[T], object], what: T, sentence: str) -> None:
        """Calls an observer, and logs what it raises."""
        try:
            observer(what)
        except Exception as error:
            self._report(sentence, error)
