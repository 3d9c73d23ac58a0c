"""One client's conversation with a server, floor 3; without Twisted and without a clock: bytes and ``now`` come in as
arguments, bytes and events go out. Both faces of the client drive it, as a port's protocol drives its bus.

What holds for every command:

* It ends with exactly one event, whatever becomes of the connection, and no later than its deadline.
* Each attempt has an id of its own, so that no answer can be taken for another's.
* To one port at most ``window`` commands are with the server at a time, the others wait here, in the order in which
  they were given: a server refuses what exceeds a client's share of its queue.
* When the connection is lost, a read is asked again, and so is what was not sent. A write that may have been sent
  ends as *outcome unknown* and is never repeated.
* A server that stops answers *stopping* to what it has not sent. Those wait for the next connection too.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from lumina_twisted.client.command import PendingCommand
from lumina_twisted.errors import (
    Cancelled,
    Expired,
    LineError,
    ModbusError,
    NotConnected,
    OutcomeUnknown,
    ResponseTimeout,
    Stopping,
    error_from_reason,
)
from lumina_twisted.lineproto import MIN_TIMEOUT, Answer, format_command, parse_answer

WINDOW: Final = 64
"""Commands that one port's queue holds of us at a time; a server's own bound is 100 unless configured otherwise."""
MAX_ANSWER: Final = 1 << 16
"""Bytes of a line, beyond which the far end is no Lumina server."""
_SLACK: Final = 1000
"""Deadlines of ended commands that are kept before they are swept out."""


class Answered(NamedTuple):
    """The command got its reply."""

    command: PendingCommand
    answer: Answer


class Failed(NamedTuple):
    """The command ended without one."""

    command: PendingCommand
    error: ModbusError


class Told(NamedTuple):
    """The server's answer to a word such as ``stats``, line by line."""

    caller: object
    lines: tuple[str, ...]


class Unusable(NamedTuple):
    """The connection must be cut: its far end is dead or no server, and the sentence says why."""

    why: str


Event = Answered | Failed | Told | Unusable


class Session:
    """The commands of one client, and at most one connection.

    :param server: what the server is called in sentences.
    """

    def __init__(self, server: str, window: int = WINDOW) -> None:
        self._server = server
        self._window = window
        self._connected = False
        self._draining = False  # the server stops: nothing more is given to it
        self._why_not = "it has not been tried yet"
        self._heard_at = 0.0
        self._buffer = b""
        self._out: list[bytes] = []
        self._events: deque[Event] = deque()
        self._number = 0
        self._live = 0
        self._ids = 0
        self._waiting: dict[str, deque[PendingCommand]] = {}
        self._sent: dict[str, dict[bytes, PendingCommand]] = {}
        self._by_id: dict[bytes, PendingCommand] = {}
        self._deadlines: list[tuple[float, int, PendingCommand]] = []
        self._asked: deque[object] = deque()
        self._told: list[str] = []

    # -- what goes in ------------------------------------------------------------------------------------------

    def submit(self, command: PendingCommand, now: float) -> None:
        """Takes a command; its event comes later, and exactly once."""
        self._number += 1
        command.number = self._number
        self._live += 1
        if len(self._deadlines) > 2 * self._live + _SLACK:  # most have ended before their deadline
            self._deadlines = [one for one in self._deadlines if not one[2].done]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (command.deadline, command.number, command))
        self._waiting.setdefault(command.port, deque()).append(command)
        self._advance(command.port, now)

    def cancel(self, command: PendingCommand, now: float) -> ModbusError:
        """Its caller takes a command back and hears of no event. One that is with the server keeps its place there
        until it is answered.

        :return: what became of it: cancelled, or for a write that may have been sent, outcome unknown.
        """
        self._end(command)
        if command.sent_at is None:
            self._waiting[command.port].remove(command)
            return _about(Cancelled, command, "cancelled by its caller, it was not sent")
        if command.is_read:
            return _about(Cancelled, command, "cancelled by its caller while its answer was on its way")
        return _about(OutcomeUnknown, command, "cancelled by its caller when it may have been sent already")

    def ask(self, word: str, caller: object) -> None:
        """Sends a word such as ``stats``; whoever asks must be connected."""
        self._asked.append(caller)
        self._out.append(word.encode() + b"\n")

    def connected(self, now: float) -> None:
        """There is a connection, and nothing has been said on it."""
        self._connected, self._draining, self._buffer = True, False, b""
        self._heard_at = now
        for port in list(self._waiting):
            self._advance(port, now)

    def connection_lost(self, why: str, now: float) -> None:
        """There is none, or none could be made; the sentence says why."""
        self._connected, self._draining, self._why_not = False, False, why
        self._out.clear()
        self._told.clear()
        while self._asked:
            self._events.append(Told(self._asked.popleft(), ()))
        for port, sent in self._sent.items():
            self._waiting[port] = deque(sorted([*self._survivors(sent), *self._waiting[port]], key=_by_number))
            sent.clear()
        self._by_id.clear()

    def close(self, now: float) -> None:
        """Ends every command."""
        for sent in self._sent.values():
            for command in sent.values():
                kind = Cancelled if command.is_read else OutcomeUnknown
                self._fail(command, _about(kind, command, "the client was closed before its answer came"))
            sent.clear()
        for waiting in self._waiting.values():
            for command in waiting:
                self._fail(command, _about(Cancelled, command, "the client was closed, it was not sent"))
            waiting.clear()
        self._by_id.clear()

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""
        self._heard_at = now
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._on_line(line, now)
        if len(self._buffer) > MAX_ANSWER:
            self._buffer = b""
            self._events.append(Unusable(f"{self._server} sends no lines; is it a Lumina server?"))

    def handle_timer(self, now: float) -> None:
        """The time of :meth:`get_timer` has come."""
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].done):
            _, _, command = heapq.heappop(self._deadlines)
            if not command.done:
                self._on_deadline(command, now)

    # -- what comes out ------------------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` wants to be called."""
        while self._deadlines and self._deadlines[0][2].done:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def data_to_send(self) -> bytes:
        """What the server is to be told; empty if nothing, or if there is no connection."""
        if not self._out or not self._connected:
            return b""
        data, self._out = b"".join(self._out), []
        return data

    def next_event(self) -> Event | None:
        """What has happened, one by one."""
        return self._events.popleft() if self._events else None

    @property
    def why_not_connected(self) -> str:
        """The sentence of the last loss."""
        return self._why_not

    # -- lines ---------------------------------------------------------------------------------------------------

    def _on_line(self, line: bytes, now: float) -> None:
        if line.startswith(b"#"):
            self._on_comment(line[1:].strip().decode("ascii", "replace"))
            return
        try:
            answer = parse_answer(line)
        except LineError as error:
            self._events.append(Unusable(f"{self._server}: {error}"))
            return
        command = self._by_id.pop(answer.command_id, None)
        if command is None:
            if not answer.command_id:  # about the connection, not about a command
                self._events.append(Unusable(f"{self._server} says: {answer.reason}"))
            return
        del self._sent[command.port][answer.command_id]
        if not command.done:
            self._on_answer(command, answer)
        self._advance(command.port, now)

    def _on_comment(self, text: str) -> None:
        if not self._asked:
            return
        if text:
            self._told.append(text)
            return
        self._events.append(Told(self._asked.popleft(), tuple(self._told)))
        self._told.clear()

    def _on_answer(self, command: PendingCommand, answer: Answer) -> None:
        if not answer.reason:
            self._end(command)
            self._events.append(Answered(command, answer))
            return
        error = error_from_reason(
            answer.reason, unit=command.frame[0], function_code=command.frame[1], frame=command.frame,
            is_read=command.is_read,
        )
        if isinstance(error, Stopping):
            self._draining = True
            self._put_back(command)
        else:
            self._fail(command, error)

    def _put_back(self, command: PendingCommand) -> None:
        """It was not sent on the bus, and waits for the next connection in its place."""
        command.sent_at = None
        waiting = self._waiting[command.port]
        self._waiting[command.port] = deque(sorted([command, *waiting], key=_by_number))

    # -- turns -----------------------------------------------------------------------------------------------------

    def _advance(self, port: str, now: float) -> None:
        """Gives the server what it has room for."""
        waiting, sent = self._waiting[port], self._sent.setdefault(port, {})
        while waiting and self._connected and not self._draining and len(sent) < self._window:
            command = waiting.popleft()
            if command.deadline - now < MIN_TIMEOUT / 2:
                self._fail(command, self._expired(command))
                continue
            self._ids += 1
            command.attempt += 1
            command.command_id = b"%x" % self._ids
            command.sent_at = now
            sent[command.command_id] = self._by_id[command.command_id] = command
            self._out.append(format_command(command.line(now), command.name))

    def _survivors(self, sent: dict[bytes, PendingCommand]) -> Iterator[PendingCommand]:
        """What of the commands that were with the server may be asked again; the others end."""
        for command in sent.values():
            if command.done:
                continue
            if command.is_read:
                command.sent_at = None
                yield command
            else:
                why = f"the connection to {self._server} was lost before the answer came ({self._why_not})"
                self._fail(command, _about(OutcomeUnknown, command, f"{why}; the device may or may not have got it"))

    # -- ends ------------------------------------------------------------------------------------------------------

    def _on_deadline(self, command: PendingCommand, now: float) -> None:
        if command.sent_at is None:
            self._waiting[command.port].remove(command)
            self._fail(command, self._expired(command))
            return
        del self._sent[command.port][command.command_id], self._by_id[command.command_id]
        self._fail(command, self._unanswered(command))
        if command.sent_at >= self._heard_at:
            self._events.append(Unusable(f"{self._server} has been silent since it was asked"))
        self._advance(command.port, now)

    def _expired(self, command: PendingCommand) -> ModbusError:
        if not self._connected or not self._sent.get(command.port):
            return _about(NotConnected, command, f"no connection to {self._server} ({self._why_not})")
        return _about(Expired, command, f"not sent, {self._server} had no room for it in time")

    def _unanswered(self, command: PendingCommand) -> ModbusError:
        kind = ResponseTimeout if command.is_read else OutcomeUnknown
        return _about(kind, command, f"{self._server} did not answer in time")

    def _fail(self, command: PendingCommand, error: ModbusError) -> None:
        self._end(command)
        self._events.append(Failed(command, error))

    def _end(self, command: PendingCommand) -> None:
        command.done = True
        self._live -= 1


def _about(kind: type[ModbusError], command: PendingCommand, sentence: str) -> ModbusError:
    return kind(sentence, unit=command.frame[0], function_code=command.frame[1], frame=command.frame)


def _by_number(command: PendingCommand) -> int:
    return command.number
