"""Sessions that carry commands, floor 3: in text lines, with a Lumina server; and in Modbus TCP, with a device, a
gateway, or a Lumina server that listens for it.

A session accepts a reply only if it fits the request: CRC, unit, function, byte count, and the echo of a write. Not
every server checks that.

A Lumina server that shuts down answers *stopping* to the commands that it has not sent. These commands wait for the
next connection, as reads do when a connection is lost.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final, NamedTuple

from lumina_twisted.client.command import CommandSettings, PendingCommand, Reply, check_name
from lumina_twisted.client.session import LineBuffer, Session, State
from lumina_twisted.errors import (
    FrameError,
    GatewayTargetDeviceFailedToRespond,
    LineError,
    LuminaError,
    NotConnected,
    OutcomeUnknown,
    RequestError,
    Stopping,
    error_from_reason,
    exception_from_code,
)
from lumina_twisted.framing.mbap import Adu, MbapDecoder, encode_adu
from lumina_twisted.framing.rtu import OVERHEAD, decode_adu
from lumina_twisted.framing.rtu import encode_adu as encode_rtu
from lumina_twisted.lineproto import Answer, format_command, parse_answer
from lumina_twisted.modbus.functions import BROADCAST
from lumina_twisted.modbus.reply import reply_pattern

WINDOW: Final = 64
"""Commands of this client for one port that may be with the server at a time. The server's own limit is 100, unless
configured otherwise."""
MAX_ANSWER: Final = 1 << 16
"""The longest line in bytes. A peer that sends a longer one is no Lumina server."""
TRANSACTIONS: Final = 16
"""Requests that may be with a Modbus TCP server at a time; see the Implementation Guide V1.0b, section 4.4.1.1."""
SILENCE: Final = 10.0
"""Seconds without any reply after which a Modbus TCP server counts as dead. Many gateways send nothing if a unit does
not answer, so one request that reaches its deadline proves nothing."""
_IDS: Final = 1 << 16


class TextAnswer(NamedTuple):
    """The lines that answer a text command such as ``stats``; empty if the connection was lost before the answer."""

    caller: object
    lines: tuple[str, ...]


class CommandSession(Session[PendingCommand]):
    """The commands of one client, over any protocol."""

    def check(self, name: str, port: str, settings: CommandSettings) -> None:
        """Checks that the protocol can carry the name, the port and the settings.

        :raises RequestError: if it cannot.
        """
        raise NotImplementedError

    def _seems_dead(self, sent_at: float, now: float) -> bool:
        """Whether to close the connection, after a command got no answer before its deadline."""
        return sent_at >= self._received_at

    def _on_unanswered(self, request: PendingCommand, now: float) -> None:
        assert request.sent_at is not None
        if self._seems_dead(request.sent_at, now):
            self._cut(f"{self._server} has been silent since it was asked")

    def _on_reply(self, command: PendingCommand, reply: Reply) -> None:
        """The server sent this reply; an empty PDU means that a broadcast was sent."""
        pdu = reply.pdu
        if not pdu and command.unit == BROADCAST:
            self._answered(command, reply)
        elif not pdu or not _fits(command, pdu):
            self._unfit(command, pdu)
        elif pdu[0] != command.pdu[0]:
            self._fail(command, self._refused(command, pdu))
        else:
            self._answered(command, reply)

    def _unfit(self, command: PendingCommand, received: bytes) -> None:
        kind = FrameError if command.is_read else OutcomeUnknown
        what = received.hex() or "nothing"
        self._fail(command, command.error(kind, f"{self._server} sent {what}, which is no reply to this request"))

    def _refused(self, command: PendingCommand, pdu: bytes) -> LuminaError:
        """The error for an exception reply."""
        frame = encode_rtu(command.unit, pdu)
        return exception_from_code(pdu[1], unit=command.unit, function_code=command.pdu[0], frame=frame)


def _fits(command: PendingCommand, pdu: bytes) -> bool:
    """Whether a PDU has the form of the reply to a command, or of an exception."""
    hint = max(0, command.response_length - OVERHEAD)
    return reply_pattern(command.unit, command.pdu, hint).fits(pdu)


class LineSession(CommandSession):
    """The session of a client that sends commands in lines, and text commands."""

    def __init__(self, server: str, window: int = WINDOW) -> None:
        super().__init__(server, window)
        self._buffer = LineBuffer(MAX_ANSWER)
        self._ids = 0
        self._asked: deque[object] = deque()
        self._comments: list[str] = []

    def ask(self, word: str, caller: object) -> None:
        """Sends a text command such as ``stats``; there must be a connection."""
        self._asked.append(caller)
        self._out.append(word.encode() + b"\n")

    def check(self, name: str, port: str, settings: CommandSettings) -> None:
        """Checks that the name and the port can stand in a line.

        :raises RequestError: if they cannot.
        """
        check_name(name, "the name")
        check_name(port, "the port")

    def connected(self, now: float) -> None:
        """There is a connection, and nothing was sent on it."""
        self._buffer.clear()
        super().connected(now)

    def connection_lost(self, why: str, now: float) -> None:
        """The connection was lost, or an attempt failed; the sentence says why."""
        self._comments.clear()
        while self._asked:
            self._events.append(TextAnswer(self._asked.popleft(), ()))
        super().connection_lost(why, now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""
        self._received_at = now
        for line in self._buffer.lines(data):
            self._on_line(line, now)
        if self._buffer.overflows():
            self._cut(f"{self._server} sends no lines; is it a Lumina server?")

    def _next_id(self) -> bytes:
        self._ids += 1
        return b"%x" % self._ids

    def _encode(self, command: PendingCommand, now: float) -> bytes:
        return format_command(command.line(now), command.name)

    def _on_line(self, line: bytes, now: float) -> None:
        if line.startswith(b"#"):
            self._on_comment(line[1:].strip().decode("ascii", "replace"))
            return
        try:
            answer = parse_answer(line)
        except LineError as error:
            self._cut(f"{self._server}: {error}")
            return
        command = self._take(answer.command_id)
        if command is not None:
            if not command.done:
                self._on_answer(command, answer)
            self._advance(command.lane, now)
        elif not answer.command_id:  # about the connection, not about a command
            self._cut(f"{self._server} says: {answer.reason}")

    def _on_comment(self, text: str) -> None:
        """A line of the answer to a text command; an empty one ends it."""
        if not self._asked:
            return
        if text:
            self._comments.append(text)
            return
        self._events.append(TextAnswer(self._asked.popleft(), tuple(self._comments)))
        self._comments.clear()

    def _on_answer(self, command: PendingCommand, answer: Answer) -> None:
        if answer.reason:
            self._on_failure(command, answer.reason)
            return
        try:
            unit, pdu = decode_adu(answer.frame) if answer.frame else (command.unit, b"")
        except FrameError:
            self._unfit(command, answer.frame)
            return
        if unit == command.unit:
            self._on_reply(command, Reply(pdu, answer.stamp))
        else:
            self._unfit(command, answer.frame)

    def _on_failure(self, command: PendingCommand, reason: str) -> None:
        error = error_from_reason(
            reason, unit=command.unit, function_code=command.pdu[0], frame=command.frame, is_read=command.is_read
        )
        if isinstance(error, Stopping):
            self._state = State.STOPPING
            self._put_back([command])
        else:
            self._fail(command, error)


def check_word(word: str) -> None:
    """Checks that the text is one text command. Two lines would bring two answers.

    :raises RequestError: if it is not.
    """
    if not check_name(word, "the word"):
        raise RequestError("there is no word to ask; help, ports and stats are some")


def no_answer(server: str, word: str, seconds: float) -> NotConnected:
    """The error for a text command that got no answer in time."""
    return NotConnected(f"{server} did not answer {word!r} within {seconds:g} s; is it a Lumina server?")


class ModbusTcpSession(CommandSession):
    """The session of a client for Modbus TCP. The id of an attempt is its transaction identifier.

    :raises RequestError: if ``window`` is not from 1 to 65535.
    """

    def __init__(self, server: str, window: int = TRANSACTIONS) -> None:
        if not isinstance(window, int) or not 0 < window < _IDS:
            raise RequestError(f"transactions is 1 to {_IDS - 1}, not {window!r}")
        super().__init__(server, window)
        self._decoder = MbapDecoder()
        self._last_id = 0
        self._asked_at = inf
        self.late = 0
        """The number of replies for which no request was open: late, repeated or unrequested replies."""

    def check(self, name: str, port: str, settings: CommandSettings) -> None:
        """Refuses a port, and settings that a Modbus TCP frame cannot carry.

        :raises RequestError: if there are any.
        """
        if port:
            raise RequestError(f"Modbus TCP knows no ports; leave {port!r} out, the unit says which device it is")
        for key in ("baudrate", "parity", "bytesize", "stopbits", "retries", "priority", "max_age"):
            if getattr(settings, key) is not None:
                raise RequestError(f"a request over Modbus TCP has no {key}; leave it out, the gateway has its own")

    def connected(self, now: float) -> None:
        """There is a connection, and nothing was sent on it."""
        self._decoder = MbapDecoder()
        self._asked_at = inf
        super().connected(now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""
        self._received_at, self._asked_at = now, inf
        try:
            for adu in self._decoder.receive(data):
                self._on_adu(adu, now)
        except FrameError as error:
            self._decoder = MbapDecoder()
            self._cut(f"{self._server} does not speak Modbus TCP: {error}")

    def _next_id(self) -> int:
        while True:
            self._last_id = (self._last_id + 1) % _IDS
            if self._last_id not in self._by_id:
                return self._last_id

    def _encode(self, command: PendingCommand, now: float) -> bytes:
        self._asked_at = min(self._asked_at, now)
        return encode_adu(command.attempt_id, command.unit, command.pdu)

    def _seems_dead(self, sent_at: float, now: float) -> bool:
        """Waits for open writes: the server may answer a write until its deadline. If the session closed the connection
        earlier, the outcome of the write would be unknown."""
        if sent_at < self._received_at or now - self._asked_at < SILENCE:
            return False
        return all(command.is_read or command.done for command in self._by_id.values())

    def _on_adu(self, adu: Adu, now: float) -> None:
        command = self._take(adu.transaction_id)
        if command is None:
            self.late += 1
            return
        if not command.done:
            # Many devices return a wrong unit; the transaction identifier is enough to find the request.
            self._on_reply(command, Reply(adu.pdu, 0.0))
        self._advance(command.lane, now)

    def _refused(self, command: PendingCommand, pdu: bytes) -> LuminaError:
        if pdu[1] == GatewayTargetDeviceFailedToRespond.code and not command.is_read:
            why = f"{self._server} got no reply from unit {command.unit} (exception 11)"
            return command.error(OutcomeUnknown, f"{why}; the device may or may not have carried it out")
        return super()._refused(command, pdu)
