"""The session of a client for values, floor 3: its requests and its watches. It uses neither Twisted nor a clock.

These rules hold besides those of every :class:`~lumina_twisted.client.session.Session`:

* No caller's request is sent before the peer has confirmed that it speaks these lines in JSON.
* A watch outlives connections. Without a connection, its observer gets each value once as stale, with the reason.
  After the next connection, the observer gets the values that have changed. If the server sends nothing for long, the
  session asks whether it is still there.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from attrs import evolve

from lumina_twisted.client.session import LineBuffer, OpenRequest, Session, State
from lumina_twisted.client.url import VALUES_PORT
from lumina_twisted.client.value_watches import Changes, ValueReading, Watch, Watches
from lumina_twisted.errors import (
    ConfigError,
    LineError,
    LuminaError,
    NotConnected,
    NotSent,
    Stopping,
    error_from_reason,
)
from lumina_twisted.valueproto import command
from lumina_twisted.valueproto.answer import Answer, Change, Readings, Refused, parse_answer
from lumina_twisted.valueproto.command import format_command

WINDOW: Final = 64
"""Requests of this client that may be with the server at a time."""
MAX_ANSWER: Final = 1 << 22
"""The longest line in bytes, four times a listener's longest. A peer that sends a longer one is no such listener."""
PATIENCE: Final = 5.0
"""Seconds within which a listener must confirm that it speaks these lines, or that it is still there."""
SILENCE: Final = 20.0
"""Seconds without a byte after which a session that only watches asks whether the server is still there."""


class ValueRequest(OpenRequest):
    """One request.

    :param asked: the command.
    :param watch: the watch that it starts, or None.
    :param is_internal: whether the session itself makes it.
    """

    __slots__ = ("asked", "watch")

    def __init__(
        self, asked: command.Command, deadline: float, *, watch: Watch | None = None, is_internal: bool = False
    ) -> None:
        changes_something = isinstance(asked, command.Write) or bool(getattr(asked, "changes", None))
        super().__init__(deadline, is_read=not changes_something)
        self.asked = asked
        self.watch = watch
        self.is_internal = is_internal


class Changed(NamedTuple):
    """The observer of a watch gets a reading."""

    watch: Watch
    reading: ValueReading


class ValueSession(Session[ValueRequest]):
    """The requests and watches of one client, and at most one connection.

    :param server: the name of the server in error messages.
    :param window: how many requests are with the server at a time.
    """

    frees_cancelled = True

    def __init__(self, server: str, window: int = WINDOW) -> None:
        super().__init__(server, window)
        self._buffer = LineBuffer(MAX_ANSWER)
        self._tags = 0
        self._watches = Watches()
        self._has_watched = False

    # -- what goes in ------------------------------------------------------------------------------------------

    def submit(self, request: ValueRequest, now: float) -> None:
        """Takes a request. Its event comes later, exactly once. If the request begins a watch, the observer gets the
        known value of each name before that event, and each change after it. If the request fails, there is no
        watch."""
        if request.watch is not None:
            self._watches.add(request.watch)
            self._has_watched = True
        super().submit(request, now)

    def unwatch(self, watch: Watch, now: float) -> None:
        """Ends a watch. Its observer gets no more readings."""
        self._watches.remove(watch)
        self._events = deque(one for one in self._events if not (isinstance(one, Changed) and one.watch is watch))
        self._end_watching(now)

    def cancel(self, request: ValueRequest, now: float) -> LuminaError:
        """Cancels a request, and the watch that it begins; see :class:`Session`."""
        if request.watch is not None:
            self.unwatch(request.watch, now)
        return super().cancel(request, now)

    def abandon(self, request: ValueRequest, now: float) -> None:
        """The caller has left: cancels the request, and ends its watch, which nobody else can end."""
        super().abandon(request, now)
        if request.watch is not None:
            self.unwatch(request.watch, now)

    def connected(self, now: float) -> None:
        """There is a new connection."""
        self._state = State.GREETING
        self._buffer.clear()
        self._why_not = "it has not said yet what it speaks"
        self._received_at = now
        self._ask(command.Speak("json"), now)

    def connection_lost(self, why: str, now: float) -> None:
        """There is no connection: it was lost, or an attempt failed. The sentence says why."""
        super().connection_lost(why, now)
        self._change(self._watches.disconnected(f"the connection to {self._server} was lost ({why})"))

    def close(self, now: float) -> None:
        """Ends every request and every watch. A connection that is closed on our side only still receives
        changes (``nc`` at the end of its input needs that), so the session sends *unwatch* first."""
        if self._has_watched and self._state in (State.READY, State.STOPPING):
            self._out.append(format_command(command.Unwatch()))
        super().close(now)
        self._watches = Watches()

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""
        self._received_at = now
        for line in self._buffer.lines(data):
            self._on_line(line, now)
        if self._buffer.overflows():
            self._on_other_peer("sends no lines")

    def handle_timer(self, now: float) -> None:
        """The time of :meth:`get_timer` has come."""
        super().handle_timer(now)
        if self._only_watches and now >= self._received_at + SILENCE:
            self._ask_whether_there(now)

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` wants to be called."""
        wanted = (super().get_timer(), self._received_at + SILENCE if self._only_watches else None)
        return min((one for one in wanted if one is not None), default=None)

    # -- requests ----------------------------------------------------------------------------------------------------

    def _next_id(self) -> str:
        self._tags += 1
        return f"{self._tags:x}"

    def _encode(self, request: ValueRequest, now: float) -> bytes:
        return format_command(evolve(request.asked, tag=request.attempt_id))

    def _ask(self, asked: command.Command, now: float, watch: Watch | None = None) -> None:
        """Sends a request that the session itself makes."""
        request = ValueRequest(asked, now + PATIENCE, watch=watch, is_internal=True)
        self._register(request)
        self._send(request, now)

    def _ask_whether_there(self, now: float) -> None:
        if not any(isinstance(request.asked, command.Speak) for request in self._by_id.values()):
            self._ask(command.Speak("json"), now)

    @property
    def _only_watches(self) -> bool:
        """Whether there are watches and no open request. Then no deadline would reveal a dead server."""
        return self._state is State.READY and bool(self._watches) and not self._by_id

    def _on_unanswered(self, request: ValueRequest, now: float) -> None:
        if isinstance(request.asked, command.Speak):
            self._cut(f"{self._server} has been silent since it was asked")
        if request.is_internal and request.watch in self._watches and self._state is State.READY:
            self._ask(request.asked, now, request.watch)
        assert request.sent_at is not None
        if request.sent_at >= self._received_at and self._state is State.READY:
            self._ask_whether_there(now)  # perhaps only a device is slow; the server itself answers at once

    def _fail(self, request: ValueRequest, error: LuminaError) -> None:
        if request.watch is not None and not request.is_internal:
            self._watches.remove(request.watch)
        super()._fail(request, error)

    # -- answers ---------------------------------------------------------------------------------------------------

    def _on_line(self, line: bytes, now: float) -> None:
        if self._state is State.DISCONNECTED:
            return  # an earlier line has made the session close the connection
        try:
            answer = parse_answer(line)
        except LineError:
            self._on_other_line(line.decode("utf-8", "replace").strip())
            return
        if isinstance(answer, Change):
            self._change(self._watches.changed(ValueReading.of(answer.value)))
            self._end_watching(now)
        elif (request := self._take(answer.tag)) is not None:
            self._on_answer(request, answer, now)
            self._advance(request.lane, now)
        elif isinstance(answer, Refused) and not answer.tag:  # about the connection
            self._cut(f"{self._server} says: {answer.message}")

    def _on_other_line(self, text: str) -> None:
        """A line that is no JSON. A listener that refuses further clients sends such a line."""
        word, _, reason = text.partition(" ")
        if word == "error" and isinstance(error_from_reason(reason, is_read=True), NotSent):
            self._cut(f"{self._server} says: {reason.partition(' ')[2] or reason}")
        else:
            self._on_other_peer(f"says {text[:80]!r}")

    def _on_other_peer(self, why: str) -> None:
        """The peer is no listener for values: fails all requests at once, for waiting is useless."""
        sentence = (
            f"{self._server} is no listener for values, it {why}; port {VALUES_PORT} is one unless configured otherwise"
        )
        self._end_all(NotConnected, sentence, sentence)
        self._cut(sentence)

    def _on_answer(self, request: ValueRequest, answer: Answer, now: float) -> None:
        if isinstance(request.asked, command.Speak):
            self._end(request)
            self._on_greeting(answer, now)
        elif isinstance(answer, Refused):
            self._on_refusal(request, answer, now)
        elif request.watch is not None:
            self._on_watching(request, request.watch, answer, now)
        else:
            self._answered(request, answer)

    def _on_greeting(self, answer: Answer, now: float) -> None:
        """The answer to ``Speak``: the peer speaks these lines, or refuses to, or shows that it is still there."""
        if isinstance(answer, Refused):
            self._on_other_peer(f"says {answer.message!r}")
        elif self._state is State.GREETING:
            self._state = State.READY
            for watch in self._watches.lost():
                self._ask(watch.asked, now, watch)

    def _on_refusal(self, request: ValueRequest, answer: Refused, now: float) -> None:
        error = _error(request, answer)
        if isinstance(error, Stopping):
            self._state = State.STOPPING
            if request.is_internal:
                self._end(request)
            else:
                self._put_back([request])  # the next connection may reach a server that accepts it
        elif request.watch is not None and request.is_internal:
            self._end(request)
            self._change(self._watches.stale(request.watch, str(error)))
        else:
            self._fail(request, error)
            self._end_watching(now)

    def _on_watching(self, request: ValueRequest, watch: Watch, answer: Answer, now: float) -> None:
        readings = [ValueReading.of(one) for one in answer.values] if isinstance(answer, Readings) else []
        fault = next((one.error for one in readings if one.error is not None), None)
        known = self._watches.began(watch, readings) if watch in self._watches else []
        if fault is not None and not request.is_internal:
            self._fail(request, fault)
        else:
            self._change(known)
            self._answered(request, answer)
        self._end_watching(now)

    def _change(self, changes: Changes) -> None:
        self._events += (Changed(watch, reading) for watch, reading in changes)

    def _end_watching(self, now: float) -> None:
        """Sends the server the names that no watch needs any more. It waits while a request for a watch is open, for
        only its answer has the names that match its pattern."""
        if self._state is State.READY and not any(request.watch for request in self._by_id.values()):
            for names in self._watches.take_unwatched():
                self._ask(command.Unwatch(names), now)


def _error(request: ValueRequest, answer: Refused) -> LuminaError:
    if isinstance(request.asked, command.Config) and answer.error == ConfigError.token and request.asked.changes:
        return ConfigError(answer.message.split("\n"))
    return error_from_reason(f"{answer.error} {answer.message}", is_read=request.is_read)
