"""The open requests of one client, floor 3. A session uses neither Twisted nor a clock: bytes and ``now`` come in as
arguments, bytes and events go out. A client drives it, as the protocol of a port drives its bus. A subclass knows what
is on the wire: text lines, Modbus TCP, or the lines of values.

What holds for every request:

* It ends with exactly one event, whatever happens to the connection, and no later than its deadline.
* Each attempt has an id of its own, so that no answer can be taken for another's.
* Requests wait in lanes: one lane for each port of the server, or a single lane. At most ``window`` requests of a lane
  are with the server at a time. The others wait here, in the order of the calls, because a server refuses requests
  beyond a client's share of its queue, or beyond what a device can hold.
* After the loss of a connection, reads and unsent requests go over the next connection. A write that may have been sent
  ends as *outcome unknown* and is never repeated.
"""

from __future__ import annotations

import heapq
from collections import deque
from enum import Enum
from typing import Any, Final, Generic, NamedTuple, TypeVar

from lumina_twisted.errors import (
    Cancelled,
    Expired,
    LuminaError,
    NotConnected,
    OutcomeUnknown,
    ResponseTimeout,
    Stopping,
)
from lumina_twisted.lineproto import MIN_TIMEOUT

_SLACK: Final = 1000
"""How many deadlines of ended requests may be kept before they are removed."""


class State(Enum):
    """The state of the connection."""

    DISCONNECTED = "there is none"
    GREETING = "the server has not said yet that it speaks this protocol"
    READY = "it takes requests"
    STOPPING = "it answers what it had, and takes nothing new until there is another connection"


class OpenRequest:
    """One request of a client, from the call to its one end.

    :param deadline: when its caller stops waiting, on the session's clock.
    :param is_read: whether it changes nothing, and so may be sent again.
    :param lane: the queue in which it waits.
    """

    __slots__ = ("attempt_id", "caller", "deadline", "done", "is_internal", "is_read", "lane", "number", "sent_at")

    def __init__(self, deadline: float, is_read: bool, caller: Any = None, lane: str = "") -> None:
        self.deadline = deadline
        self.is_read = is_read
        self.caller = caller  # the Deferred or future that waits for it; only the client uses it
        self.lane = lane
        self.number = 0  # in the order of the calls
        self.attempt_id: Any = None  # of the current attempt
        self.sent_at: float | None = None  # of the current attempt; None while it waits here
        self.done = False
        self.is_internal = False  # whether the session itself made it; then it has no event

    def error(self, kind: type[LuminaError], sentence: str) -> LuminaError:
        """The error of this request, with what is known of the request."""
        return kind(sentence)


class Answered(NamedTuple):
    """The request got its answer."""

    request: Any
    answer: Any


class Failed(NamedTuple):
    """The request ended without an answer."""

    request: Any
    error: LuminaError


class Unusable(NamedTuple):
    """The connection must be closed, because its peer is dead or is no server.

    :param why: a sentence that says which of the two it is.
    """

    why: str


R = TypeVar("R", bound=OpenRequest)


class Session(Generic[R]):
    """The open requests of one client, and at most one connection.

    :param server: the name of the server in error messages.
    :param window: how many requests of one lane are with the server at a time.
    """

    frees_cancelled = False
    """Whether a cancelled request frees its place in the window at once. Otherwise it keeps the place until its answer
    or its deadline, because the server still has it."""

    def __init__(self, server: str, window: int) -> None:
        self._server = server
        self._window = window
        self._state = State.DISCONNECTED
        self._why_not = "it has not been tried yet"
        self._received_at = 0.0
        self._out: list[bytes] = []
        self._events: deque[Any] = deque()
        self._number = 0
        self._live = 0
        self._waiting: dict[str, deque[R]] = {}
        self._sent: dict[str, dict[Any, R]] = {}
        self._by_id: dict[Any, R] = {}
        self._deadlines: list[tuple[float, int, R]] = []

    # -- what goes in ------------------------------------------------------------------------------------------

    def submit(self, request: R, now: float) -> None:
        """Takes a request; its event comes later, and exactly once."""
        self._register(request)
        self._waiting.setdefault(request.lane, deque()).append(request)
        self._advance(request.lane, now)

    def cancel(self, request: R, now: float) -> LuminaError:
        """Cancels a request that has not ended; it gets no event. If a request has ended already, its event is still in
        the queue, see :meth:`take_event`.

        :return: the outcome: cancelled, or outcome unknown for a write that may have been sent.
        """
        self._end(request)
        if request.sent_at is None:
            self._waiting[request.lane].remove(request)
            return request.error(Cancelled, "cancelled by its caller, it was not sent")
        if self.frees_cancelled:
            self._take(request.attempt_id)
            self._advance(request.lane, now)
        if request.is_read:
            return request.error(Cancelled, "cancelled by its caller while its answer was on its way")
        return request.error(OutcomeUnknown, "cancelled by its caller when it may have been carried out already")

    def abandon(self, request: R, now: float) -> None:
        """Nobody waits for the request any more: cancels it if it has not ended."""
        if not request.done:
            self.cancel(request, now)

    def connected(self, now: float) -> None:
        """There is a new connection."""
        self._state = State.READY
        self._received_at = now
        for lane in list(self._waiting):
            self._advance(lane, now)

    def connection_lost(self, why: str, now: float) -> None:
        """There is no connection: it was lost, or an attempt failed. The sentence says why."""
        self._state, self._why_not = State.DISCONNECTED, why
        self._out.clear()
        sent, self._by_id = list(self._by_id.values()), {}
        for lane in self._sent.values():
            lane.clear()
        self._put_back([request for request in sent if self._may_be_sent_again(request)])

    def close(self, now: float) -> None:
        """Ends every request."""
        sent, unsent = "the client was closed before its answer came", "the client was closed, it was not sent"
        self._end_all(Cancelled, sent, unsent)

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""
        raise NotImplementedError

    def handle_timer(self, now: float) -> None:
        """The time of :meth:`get_timer` has come."""
        while self._deadlines and (self._deadlines[0][0] <= now or self._is_over(self._deadlines[0][2])):
            _, _, request = heapq.heappop(self._deadlines)
            if not self._is_over(request):
                self._on_deadline(request, now)

    # -- what comes out ------------------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        """When to call :meth:`handle_timer`; None if no request has a deadline."""
        while self._deadlines and self._is_over(self._deadlines[0][2]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def data_to_send(self) -> bytes:
        """Bytes for the server; empty if there are none, or there is no connection."""
        if not self._out or self._state is State.DISCONNECTED:
            return b""
        data, self._out = b"".join(self._out), []
        return data

    def next_event(self) -> Any:
        """The next event; None if there is none. After :class:`Unusable` the client closes the connection."""
        return self._events.popleft() if self._events else None

    def take_event(self, request: R) -> Answered | Failed | None:
        """The event of one request, ahead of its turn; None if it has not ended, or its event was taken."""
        for event in self._events if request.done else ():
            if isinstance(event, Answered | Failed) and event.request is request:
                self._events.remove(event)
                return event
        return None

    @property
    def why_not_connected(self) -> str:
        """Why there is no connection: the sentence of the last loss."""
        return self._why_not

    # -- what a subclass implements ------------------------------------------------------------------------------------

    def _next_id(self) -> Any:
        """The id of the next attempt on the wire."""
        raise NotImplementedError

    def _encode(self, request: R, now: float) -> bytes:
        """The bytes of a request, whose ``attempt_id`` is set."""
        raise NotImplementedError

    def _on_unanswered(self, request: R, now: float) -> None:
        """A request was with the server until its deadline, and got no answer."""

    # -- turns -----------------------------------------------------------------------------------------------------

    def _register(self, request: R) -> None:
        """Gives a request its number, and notes its deadline."""
        self._number += 1
        request.number = self._number
        self._live += 1
        if len(self._deadlines) > 2 * self._live + _SLACK:  # most requests end before their deadline
            self._deadlines = [one for one in self._deadlines if not self._is_over(one[2])]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (request.deadline, request.number, request))

    def _advance(self, lane: str, now: float) -> None:
        """Sends waiting requests of a lane, as many as the window allows."""
        waiting, sent = self._waiting.get(lane), self._sent.setdefault(lane, {})
        while waiting and self._state is State.READY and len(sent) < self._window:
            request = waiting.popleft()
            if request.deadline - now < MIN_TIMEOUT / 2:
                self._fail(request, self._expired(request))
            else:
                self._send(request, now)

    def _send(self, request: R, now: float) -> None:
        """Begins an attempt."""
        request.attempt_id = self._next_id()
        request.sent_at = now
        self._by_id[request.attempt_id] = request
        self._sent.setdefault(request.lane, {})[request.attempt_id] = request
        self._out.append(self._encode(request, now))

    def _take(self, attempt_id: Any) -> R | None:
        """Takes the request of an attempt from those that are with the server; None if it is not among them."""
        request = self._by_id.pop(attempt_id, None)
        if request is not None:
            del self._sent[request.lane][attempt_id]
        return request

    def _put_back(self, requests: list[R]) -> None:
        """Lets requests wait again, in the order of the calls."""
        lanes = {request.lane for request in requests}
        for request in requests:
            request.sent_at = None
            self._waiting.setdefault(request.lane, deque()).append(request)
        for lane in lanes:
            self._waiting[lane] = deque(sorted(self._waiting[lane], key=lambda request: request.number))

    def _may_be_sent_again(self, request: R) -> bool:
        """Whether a request that was with the server is sent again over the next connection; else it ends here."""
        if request.is_internal and not request.done:
            self._end(request)
        elif not request.is_read and not request.done:
            why = f"the connection to {self._server} was lost before the answer came ({self._why_not})"
            self._fail(request, request.error(OutcomeUnknown, f"{why}; it may or may not have been carried out"))
        return not request.done

    # -- ends ------------------------------------------------------------------------------------------------------

    def _on_deadline(self, request: R, now: float) -> None:
        if request.sent_at is None:
            self._waiting[request.lane].remove(request)
            self._fail(request, self._expired(request))
            return
        self._take(request.attempt_id)
        if not request.done:
            kind = ResponseTimeout if request.is_read else OutcomeUnknown
            self._fail(request, request.error(kind, f"{self._server} did not answer in time"))
        self._on_unanswered(request, now)
        self._advance(request.lane, now)

    def _expired(self, request: R) -> LuminaError:
        """The failure of a request that was not sent in time."""
        if self._state is State.STOPPING:
            return request.error(Stopping, f"{self._server} is stopping, and was not there again in time")
        if self._state is not State.READY or not self._sent.get(request.lane):
            return request.error(NotConnected, f"no connection to {self._server} ({self._why_not})")
        return request.error(Expired, f"not sent, {self._server} had no room for it in time")

    def _end_all(self, kind: type[LuminaError], sent: str, unsent: str) -> None:
        """Ends every request; a write that may have been sent as *outcome unknown*.

        :param kind: the error of all other requests.
        :param sent: the sentence for requests that are with the server.
        :param unsent: the sentence for those that wait.
        """
        with_server, self._by_id = list(self._by_id.values()), {}
        for lane in self._sent.values():
            lane.clear()
        for request in with_server:
            if not request.done:
                self._fail(request, request.error(kind if request.is_read else OutcomeUnknown, sent))
        for waiting in self._waiting.values():
            for request in waiting:
                self._fail(request, request.error(kind, unsent))
            waiting.clear()

    def _cut(self, why: str) -> None:
        """Makes the client close the connection."""
        self._state, self._why_not = State.DISCONNECTED, why
        self._events.append(Unusable(why))

    def _answered(self, request: R, answer: Any) -> None:
        self._end(request)
        if not request.is_internal:
            self._events.append(Answered(request, answer))

    def _fail(self, request: R, error: LuminaError) -> None:
        self._end(request)
        if not request.is_internal:
            self._events.append(Failed(request, error))

    def _is_over(self, request: R) -> bool:
        """Whether the deadline of a request no longer matters. It still matters while the server has the request."""
        return request.done and self._by_id.get(request.attempt_id) is not request

    def _end(self, request: R) -> None:
        request.done = True
        self._live -= 1


class LineBuffer:
    """Cuts bytes into lines.

    :param most: the longest unfinished line, in bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""

    def clear(self) -> None:
        """Drops an unfinished line, for a new connection."""
        self._rest = b""

    def lines(self, data: bytes) -> list[bytes]:
        """The lines that end in ``data``, without their newlines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def overflows(self) -> bool:
        """Whether the unfinished line is too long; it is dropped then."""
        if len(self._rest) <= self._most:
            return False
        self.clear()
        return True
