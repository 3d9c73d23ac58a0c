"""One client's conversation with a server, floor 3; without Twisted and without a clock: bytes and ``now`` come in as
arguments, bytes and events go out. Both faces of the client drive it, as a port's protocol drives its bus. What is on
the wire is a subclass's business: text lines, or Modbus TCP.

What holds for every command:

* It ends with exactly one event, whatever becomes of the connection, and no later than its deadline.
* Each attempt has an id of its own, so that no answer can be taken for another's.
* A frame is its reply only if it is one to that request: CRC, unit, function, byte count, what a write echoes. Not
  every server that a program may be pointed at looks.
* To one port at most ``window`` commands are with the server at a time, the others wait here, in the order in which
  they were given: a server refuses what exceeds a client's share of its queue, or what a device can hold.
* When the connection is lost, a read is asked again, and so is what was not sent. A write that may have been sent
  ends as *outcome unknown* and is never repeated.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from lumina_twisted.client.command import CommandSettings, PendingCommand
from lumina_twisted.client.conversation import Unusable
from lumina_twisted.errors import (
    Cancelled,
    Expired,
    FrameError,
    ModbusError,
    NotConnected,
    OutcomeUnknown,
    ResponseTimeout,
    Stopping,
    exception_from_code,
)
from lumina_twisted.framing.crc import crc16
from lumina_twisted.framing.rtu import OVERHEAD
from lumina_twisted.lineproto import MIN_TIMEOUT, Answer
from lumina_twisted.modbus.codes import BROADCAST, MIN_RTU_ADU
from lumina_twisted.modbus.reply import ReplyPattern, reply_pattern

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


Event = Answered | Failed | Told
"""What a client is told; and it cuts the connection when there is an :class:`Unusable`."""


class Session:
    """The commands of one client, and at most one connection.

    :param server: what the server is called in sentences.
    :param window: commands to one port that are with it at a time.
    """

    def __init__(self, server: str, window: int) -> None:
        self._server = server
        self._window = window
        self._connected = False
        self._paused = False  # nothing more is given to the server until there is another connection
        self._why_not = "it has not been tried yet"
        self._heard_at = 0.0
        self._out: list[bytes] = []
        self._events: deque[Event | Unusable] = deque()
        self._number = 0
        self._live = 0
        self._waiting: dict[str, deque[PendingCommand]] = {}
        self._sent: dict[str, dict[bytes, PendingCommand]] = {}
        self._by_id: dict[bytes, PendingCommand] = {}
        self._deadlines: list[tuple[float, int, PendingCommand]] = []

    # -- what goes in ------------------------------------------------------------------------------------------

    def check(self, name: str, port: str, settings: CommandSettings) -> None:
        """Refuses what this server cannot be told.

        :raises RequestError: if it is asked for.
        """
        raise NotImplementedError

    def submit(self, command: PendingCommand, now: float) -> None:
        """Takes a command; its event comes later, and exactly once."""
        self._number += 1
        command.number = self._number
        self._live += 1
        if len(self._deadlines) > 2 * self._live + _SLACK:  # most ended before their deadline
            self._deadlines = [one for one in self._deadlines if not self._is_over(one[2])]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (command.deadline, command.number, command))
        self._waiting.setdefault(command.port, deque()).append(command)
        self._advance(command.port, now)

    def cancel(self, command: PendingCommand, now: float) -> ModbusError:
        """Its caller takes a command back and hears of no event. One that is with the server keeps its place there
        until it is answered, until its deadline at the latest. One that has ended already has its event, see
        :meth:`take_event`.

        :return: what became of it: cancelled, or for a write that may have been sent, outcome unknown.
        """
        self._end(command)
        if command.sent_at is None:
            self._waiting[command.port].remove(command)
            return about(Cancelled, command, "cancelled by its caller, it was not sent")
        if command.is_read:
            return about(Cancelled, command, "cancelled by its caller while its answer was on its way")
        return about(OutcomeUnknown, command, "cancelled by its caller when it may have been sent already")

    def connected(self, now: float) -> None:
        """There is a connection, and nothing has been said on it."""
        self._connected, self._paused = True, False
        self._heard_at = now
        for port in list(self._waiting):
            self._advance(port, now)

    def connection_lost(self, why: str, now: float) -> None:
        """There is none, or none could be made; the sentence says why."""
        self._connected, self._paused, self._why_not = False, False, why
        self._out.clear()
        for port, sent in self._sent.items():
            self._waiting[port] = deque(sorted([*self._survivors(sent), *self._waiting[port]], key=by_number))
            sent.clear()
        self._by_id.clear()

    def close(self, now: float) -> None:
        """Ends every command."""
        for sent in self._sent.values():
            for command in (one for one in sent.values() if not one.done):
                kind = Cancelled if command.is_read else OutcomeUnknown
                self._fail(command, about(kind, command, "the client was closed before its answer came"))
            sent.clear()
        for waiting in self._waiting.values():
            for command in waiting:
                self._fail(command, about(Cancelled, command, "the client was closed, it was not sent"))
            waiting.clear()
        self._by_id.clear()

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""
        raise NotImplementedError

    def handle_timer(self, now: float) -> None:
        """The time of :meth:`get_timer` has come."""
        while self._deadlines and (self._deadlines[0][0] <= now or self._is_over(self._deadlines[0][2])):
            _, _, command = heapq.heappop(self._deadlines)
            if not self._is_over(command):
                self._on_deadline(command, now)

    # -- what comes out ------------------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` wants to be called."""
        while self._deadlines and self._is_over(self._deadlines[0][2]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def data_to_send(self) -> bytes:
        """What the server is to be told; empty if nothing, or if there is no connection."""
        if not self._out or not self._connected:
            return b""
        data, self._out = b"".join(self._out), []
        return data

    def next_event(self) -> Event | Unusable | None:
        """What has happened, one by one."""
        return self._events.popleft() if self._events else None

    def take_event(self, command: PendingCommand) -> Answered | Failed | None:
        """The event of one command, out of its turn; None if it has not ended, or has been told."""
        for event in self._events if command.done else ():
            if isinstance(event, Answered | Failed) and event.command is command:
                self._events.remove(event)
                return event
        return None

    @property
    def why_not_connected(self) -> str:
        """The sentence of the last loss."""
        return self._why_not

    # -- what a subclass says ------------------------------------------------------------------------------------

    def _next_id(self) -> bytes:
        """What the next attempt is called on the wire."""
        raise NotImplementedError

    def _encode(self, command: PendingCommand, now: float) -> bytes:
        """What the server is sent for a command that has its id."""
        raise NotImplementedError

    def _seems_dead(self, sent_at: float, now: float) -> bool:
        """Whether silence about a command, whose deadline has come, says that the connection must be cut."""
        return sent_at >= self._heard_at

    # -- turns -----------------------------------------------------------------------------------------------------

    def _advance(self, port: str, now: float) -> None:
        """Gives the server what it has room for."""
        waiting, sent = self._waiting[port], self._sent.setdefault(port, {})
        while waiting and self._connected and not self._paused and len(sent) < self._window:
            command = waiting.popleft()
            if command.deadline - now < MIN_TIMEOUT / 2:
                self._fail(command, self._expired(command))
                continue
            command.attempt += 1
            command.command_id = self._next_id()
            command.sent_at = now
            sent[command.command_id] = self._by_id[command.command_id] = command
            self._out.append(self._encode(command, now))

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
                self._fail(command, about(OutcomeUnknown, command, f"{why}; the device may or may not have got it"))

    # -- replies ---------------------------------------------------------------------------------------------------

    def _on_frame(self, command: PendingCommand, answer: Answer) -> None:
        """The server says that ``answer`` has the reply's frame; an empty one says that a broadcast was sent."""
        frame, pattern = answer.frame, _pattern_of(command)
        if not frame and command.frame[0] == BROADCAST:
            self._answered(command, answer)
        elif not _is_reply(frame, pattern):
            self._fail(command, self._unfit(command, frame))
        elif pattern.is_exception(frame[1:-2]):
            self._fail(command, self._refused(command, frame))
        else:
            self._answered(command, answer)

    def _answered(self, command: PendingCommand, answer: Answer) -> None:
        self._end(command)
        self._events.append(Answered(command, answer))

    def _unfit(self, command: PendingCommand, frame: bytes) -> ModbusError:
        kind = FrameError if command.is_read else OutcomeUnknown
        told = frame.hex() or "nothing"
        return about(kind, command, f"{self._server} sent {told}, which is no reply to this request")

    def _refused(self, command: PendingCommand, frame: bytes) -> ModbusError:
        return exception_from_code(frame[2], unit=command.frame[0], function_code=command.frame[1], frame=frame)

    # -- ends ------------------------------------------------------------------------------------------------------

    def _on_deadline(self, command: PendingCommand, now: float) -> None:
        if command.sent_at is None:
            self._waiting[command.port].remove(command)
            self._fail(command, self._expired(command))
            return
        del self._sent[command.port][command.command_id], self._by_id[command.command_id]
        if not command.done:
            self._fail(command, self._unanswered(command))
        if self._seems_dead(command.sent_at, now):
            self._events.append(Unusable(f"{self._server} has been silent since it was asked"))
        self._advance(command.port, now)

    def _expired(self, command: PendingCommand) -> ModbusError:
        if self._paused:
            return about(Stopping, command, f"{self._server} is stopping, and was not there again in time")
        if not self._connected or not self._sent.get(command.port):
            return about(NotConnected, command, f"no connection to {self._server} ({self._why_not})")
        return about(Expired, command, f"not sent, {self._server} had no room for it in time")

    def _unanswered(self, command: PendingCommand) -> ModbusError:
        kind = ResponseTimeout if command.is_read else OutcomeUnknown
        return about(kind, command, f"{self._server} did not answer in time")

    def _fail(self, command: PendingCommand, error: ModbusError) -> None:
        self._end(command)
        self._events.append(Failed(command, error))

    def _is_over(self, command: PendingCommand) -> bool:
        """Whether its deadline does not matter any more: one that its caller took back may still be with the server."""
        return command.done and self._by_id.get(command.command_id) is not command

    def _end(self, command: PendingCommand) -> None:
        command.done = True
        self._live -= 1


def _pattern_of(command: PendingCommand) -> ReplyPattern:
    frame = command.frame
    return reply_pattern(frame[0], frame[1:-2], max(0, command.response_length - OVERHEAD))


def _is_reply(frame: bytes, pattern: ReplyPattern) -> bool:
    is_whole = len(frame) >= MIN_RTU_ADU and frame[0] == pattern.unit and crc16(frame) == 0
    return is_whole and pattern.fits(frame[1:-2])


def about(kind: type[ModbusError], command: PendingCommand, sentence: str) -> ModbusError:
    """The error of a command."""
    return kind(sentence, unit=command.frame[0], function_code=command.frame[1], frame=command.frame)


def by_number(command: PendingCommand) -> int:
    """In the order of the calls."""
    return command.number
