"""One client's conversation with a listener of the value lines, floor 3; without Twisted and without a clock: bytes and
``now`` come in as arguments, bytes and events go out. Both faces of the client drive it.

What holds:

* Nothing is asked of a far end that has not said first that it speaks these lines in JSON: it may be anything.
* Every request ends with exactly one event, whatever becomes of the connection, and no later than its deadline. Each
  attempt has a tag of its own, so that no answer can be taken for another's.
* When the connection is lost, what changes nothing is asked again, and so is what was not sent. What may have changed
  something ends as *outcome unknown* and is never repeated.
* A watch outlives connections. While there is none, its observer is told that each value is stale, and why; after the
  next one, what changed meanwhile. One that hears nothing for long asks whether anybody is there still.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final, NamedTuple

from lumina_twisted.client.conversation import LineBuffer, Unusable
from lumina_twisted.client.value_place import PORT
from lumina_twisted.client.value_reading import ValueReading
from lumina_twisted.client.value_request import OpenRequests, ValueRequest
from lumina_twisted.client.value_watches import Watch, Watches
from lumina_twisted.errors import (
    Cancelled,
    ConfigError,
    Expired,
    LineError,
    LuminaError,
    NotConnected,
    NotSent,
    OutcomeUnknown,
    ResponseTimeout,
    Stopping,
    error_from_reason,
)
from lumina_twisted.valueproto import command
from lumina_twisted.valueproto.answer import Answer, Change, Readings, Refused
from lumina_twisted.valueproto.command_lines import format_command
from lumina_twisted.valueproto.json_lines import parse_answer

WINDOW: Final = 64
"""Requests that the server has of us at a time; the others wait here."""
MAX_ANSWER: Final = 1 << 22
"""Bytes of a line, beyond which the far end is no such listener: four times what one writes."""
PATIENCE: Final = 5.0
"""Seconds within which a listener says that it speaks these lines, or that it is there still."""
SILENCE: Final = 20.0
"""Seconds without a byte, after which one who watches asks whether anybody is there."""


class Answered(NamedTuple):
    """The request got its answer."""

    request: ValueRequest
    answer: Answer


class Failed(NamedTuple):
    """The request ended without one."""

    request: ValueRequest
    error: LuminaError


class Told(NamedTuple):
    """A watch has something for its observer."""

    watch: Watch
    reading: ValueReading


Event = Answered | Failed | Told


class State(Enum):
    """Of the connection."""

    APART = "there is none"
    GREETING = "the server has not said yet that it speaks these lines"
    READY = "it may be asked"
    STOPPING = "it answers what it had, and takes nothing new"


class ValueSession:
    """The requests and watches of one client, and at most one connection.

    :param server: what the server is called in sentences.
    :param window: requests that are with it at a time.
    """

    def __init__(self, server: str, window: int = WINDOW) -> None:
        self._server = server
        self._window = window
        self._state = State.APART
        self._why_not = "it has not been tried yet"
        self._heard_at = 0.0
        self._buffer = LineBuffer(MAX_ANSWER)
        self._out: list[bytes] = []
        self._events: deque[Event | Unusable] = deque()
        self._open = OpenRequests()
        self._watches = Watches()
        self._has_watched = False

    # -- what goes in ------------------------------------------------------------------------------------------

    def submit(self, request: ValueRequest, now: float) -> None:
        """Takes a request; its event comes later, and exactly once. One with a watch begins that: what is known of each
        name is told before the request's own event, and each change after it; if it fails, there is no watch."""
        if request.watch is not None:
            self._watches.add(request.watch)
            self._has_watched = True
        self._open.wait(self._open.number(request))
        self._advance(now)

    def unwatch(self, watch: Watch, now: float) -> None:
        """Ends a watch; nothing is told of it any more."""
        self._watches.remove(watch)
        self._events = deque(
            one for one in self._events if not (isinstance(one, Told) and one.watch is watch)
        )
        self._end_watching(now)

    def cancel(self, request: ValueRequest, now: float) -> LuminaError:
        """Its caller takes a request back and hears of no event.

        :return: what became of it: cancelled, or where it may have changed something, outcome unknown.
        """
        request.done = True
        if request.watch is not None:
            self.unwatch(request.watch, now)
        if not self._open.take(request):
            return Cancelled("cancelled by its caller, it was not sent")
        self._advance(now)
        if request.is_read:
            return Cancelled("cancelled by its caller while its answer was on its way")
        return OutcomeUnknown("cancelled by its caller when it may have been carried out already")

    def connected(self, now: float) -> None:
        """There is a connection, and nothing has been said on it."""
        self._state = State.GREETING
        self._buffer.clear()
        self._why_not = "it has not said yet what it speaks"
        self._heard_at = now
        self._ask_own(command.Speak("json"), now)

    def connection_lost(self, why: str, now: float) -> None:
        """There is none, or none could be made; the sentence says why."""
        self._state, self._why_not = State.APART, why
        self._out.clear()
        self._open.put_back([request for request in self._open.take_sent() if self._survives(request)])
        self._tell(self._watches.disconnected(f"the connection to {self._server} was lost ({why})"))

    def close(self, now: float) -> None:
        """Ends every request and every watch. A listener goes on telling one who has only ended his side, as ``nc``
        does at the end of its input, so it is told."""
        if self._has_watched and self._state in (State.READY, State.STOPPING):
            self._out.append(format_command(command.Unwatch()))
        self._end_all("the client was closed before its answer came", Cancelled)
        self._watches = Watches()

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""
        self._heard_at = now
        for line in self._buffer.lines(data):
            self._on_line(line, now)
        if self._buffer.overflows():
            self._misfit("sends no lines")

    def handle_timer(self, now: float) -> None:
        """The time of :meth:`get_timer` has come."""
        for request in self._open.due(now):
            self._on_deadline(request, now)
        if self._listens_only and now >= self._heard_at + SILENCE:
            self._ask_whether_there(now)

    # -- what comes out ------------------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` wants to be called."""
        wanted = (self._open.next_deadline(), self._heard_at + SILENCE if self._listens_only else None)
        return min((one for one in wanted if one is not None), default=None)

    def data_to_send(self) -> bytes:
        """What the server is to be told; empty if nothing, or if there is no connection."""
        if not self._out or self._state is State.APART:
            return b""
        data, self._out = b"".join(self._out), []
        return data

    def next_event(self) -> Event | Unusable | None:
        """What has happened, one by one."""
        return self._events.popleft() if self._events else None

    def take_event(self, request: ValueRequest) -> Answered | Failed | None:
        """The event of one request, out of its turn; None if it has not ended, or has been told."""
        for event in self._events if request.done else ():
            if isinstance(event, Answered | Failed) and event.request is request:
                self._events.remove(event)
                return event
        return None

    # -- turns -----------------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        while self._state is State.READY and len(self._open.sent) < self._window:
            if (request := self._open.next_waiting()) is None:
                return
            self._send(request, now)

    def _send(self, request: ValueRequest, now: float) -> None:
        self._out.append(format_command(self._open.begin(request, now)))

    def _ask_own(self, asked: command.Command, now: float, watch: Watch | None = None) -> None:
        """A request that no caller waits for."""
        self._send(self._open.number(ValueRequest(asked, now + PATIENCE, None, watch)), now)

    def _ask_whether_there(self, now: float) -> None:
        if not any(isinstance(request.asked, command.Speak) for request in self._open.sent.values()):
            self._ask_own(command.Speak("json"), now)

    def _survives(self, request: ValueRequest) -> bool:
        """Whether a request that was with the server may be asked again; else it ends."""
        if request.is_own:
            request.done = True
        elif not request.is_read:
            why = f"the connection to {self._server} was lost before the answer came ({self._why_not})"
            self._fail(request, OutcomeUnknown(f"{why}; it may or may not have been carried out"))
        return not request.done

    @property
    def _listens_only(self) -> bool:
        """Whether nothing would tell that nobody is there any more."""
        return self._state is State.READY and bool(self._watches) and not self._open.sent

    # -- answers ---------------------------------------------------------------------------------------------------

    def _on_line(self, line: bytes, now: float) -> None:
        if self._state is State.APART:
            return  # a line before this one was the end of it
        try:
            answer = parse_answer(line)
        except LineError:
            self._on_other_line(line.decode("utf-8", "replace").strip())
            return
        request = self._open.sent.pop(answer.tag, None) if not isinstance(answer, Change) else None
        if isinstance(answer, Change):
            self._tell(self._watches.changed(ValueReading.of(answer.value)))
            self._end_watching(now)
        elif request is not None:
            self._on_answer(request, answer, now)
            self._advance(now)
        elif isinstance(answer, Refused) and not answer.tag:  # about the connection
            self._cut(f"{self._server} says: {answer.message}")

    def _on_other_line(self, text: str) -> None:
        """A listener that can serve no more clients says so as text."""
        word, _, reason = text.partition(" ")
        if word == "error" and isinstance(error_from_reason(reason, is_read=True), NotSent):
            self._cut(f"{self._server} says: {reason.partition(' ')[2] or reason}")
        else:
            self._misfit(f"says {text[:80]!r}")

    def _on_answer(self, request: ValueRequest, answer: Answer, now: float) -> None:
        if isinstance(request.asked, command.Speak):
            request.done = True
            self._on_greeting(answer, now)
        elif isinstance(answer, Refused):
            self._on_refused(request, answer, now)
        elif request.watch is not None:
            self._on_watching(request, request.watch, answer, now)
        else:
            self._answered(request, answer)

    def _on_greeting(self, answer: Answer, now: float) -> None:
        """It speaks these lines, or refuses to; or it is there still."""
        if isinstance(answer, Refused):
            self._misfit(f"says {answer.message!r}")
        elif self._state is State.GREETING:
            self._state = State.READY
            for watch in self._watches.lost():
                self._ask_own(watch.asked, now, watch)

    def _on_refused(self, request: ValueRequest, answer: Refused, now: float) -> None:
        error = _error(request, answer)
        if isinstance(error, Stopping):
            self._state = State.STOPPING
            request.done = request.is_own
            self._open.put_back([] if request.done else [request])  # the next connection may be to one that takes it
        elif request.watch is not None and request.is_own:
            request.done = True
            self._tell(self._watches.stale(request.watch, str(error)))
        else:
            self._fail(request, error)
            self._end_watching(now)

    def _on_watching(self, request: ValueRequest, watch: Watch, answer: Answer, now: float) -> None:
        readings = [ValueReading.of(one) for one in answer.values] if isinstance(answer, Readings) else []
        fault = next((one.error for one in readings if one.error is not None), None)
        told = self._watches.began(watch, readings) if watch in self._watches else []
        if fault is not None and not request.is_own:
            self._fail(request, fault)
        else:
            self._tell(told)
            self._answered(request, answer)
        self._end_watching(now)

    def _end_watching(self, now: float) -> None:
        """Says which names nobody watches any more; not while it is unknown which are meant by a pattern."""
        if self._state is State.READY and not any(request.watch for request in self._open.sent.values()):
            for names in self._watches.take_unwatched():
                self._ask_own(command.Unwatch(names), now)

    # -- ends ------------------------------------------------------------------------------------------------------

    def _on_deadline(self, request: ValueRequest, now: float) -> None:
        if not self._open.take(request):
            self._fail(request, self._too_late())
            return
        self._fail(request, self._unanswered(request))
        if isinstance(request.asked, command.Speak):
            self._cut(f"{self._server} has been silent since it was asked")
        if request.is_own and request.watch in self._watches and self._state is State.READY:
            self._ask_own(request.asked, now, request.watch)
        if request.sent_at >= self._heard_at and self._state is State.READY:
            self._ask_whether_there(now)  # a device may be slow, and the server is not
        self._advance(now)

    def _too_late(self) -> LuminaError:
        if self._state is State.STOPPING:
            return Stopping(f"{self._server} is stopping, and was not there again in time")
        if self._state is State.READY:
            return Expired(f"not asked, {self._server} had no room for it in time")
        return NotConnected(f"no connection to {self._server} ({self._why_not})")

    def _unanswered(self, request: ValueRequest) -> LuminaError:
        kind = ResponseTimeout if request.is_read else OutcomeUnknown
        return kind(f"{self._server} did not answer in time")

    def _misfit(self, why: str) -> None:
        """The far end is something else: nothing that waits can be served, and to wait longer is no use."""
        sentence = f"{self._server} is no listener for values, it {why}; port {PORT} is one unless configured otherwise"
        self._end_all(sentence, NotConnected)
        self._cut(sentence)

    def _cut(self, why: str) -> None:
        self._state = State.APART
        self._events.append(Unusable(why))

    def _end_all(self, why: str, kind: type[LuminaError]) -> None:
        """Ends every request.

        :param kind: how those end that have changed nothing.
        """
        for request in self._open.take_sent():
            self._fail(request, (kind if request.is_read else OutcomeUnknown)(why))
        for request in self._open.take_waiting():
            self._fail(request, kind(why))

    def _tell(self, told: list[tuple[Watch, ValueReading]]) -> None:
        self._events += (Told(watch, reading) for watch, reading in told)

    def _answered(self, request: ValueRequest, answer: Answer) -> None:
        request.done = True
        if not request.is_own:
            self._events.append(Answered(request, answer))

    def _fail(self, request: ValueRequest, error: LuminaError) -> None:
        request.done = True
        if not request.is_own:
            if request.watch is not None:
                self._watches.remove(request.watch)
            self._events.append(Failed(request, error))


def _error(request: ValueRequest, answer: Refused) -> LuminaError:
    if isinstance(request.asked, command.Config) and answer.error == ConfigError.token and request.asked.changes:
        return ConfigError(answer.message.split("\n"))
    return error_from_reason(f"{answer.error} {answer.message}", is_read=request.is_read)
