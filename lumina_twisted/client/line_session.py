"""A session in text lines, floor 3: with a Lumina server.

A server that stops answers *stopping* to what it has not sent. Such commands wait for the next connection, as reads do
whose connection was lost.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from lumina_twisted.client.command import CommandSettings, PendingCommand, check_name
from lumina_twisted.client.conversation import LineBuffer, Unusable
from lumina_twisted.client.session import Session, Told, by_number
from lumina_twisted.errors import LineError, NotConnected, RequestError, Stopping, error_from_reason
from lumina_twisted.lineproto import Answer, format_command, parse_answer

WINDOW: Final = 64
"""Commands that one port's queue holds of us at a time; a server's own bound is 100 unless configured otherwise."""
MAX_ANSWER: Final = 1 << 16
"""Bytes of a line, beyond which the far end is no Lumina server."""


class LineSession(Session):
    """The commands of one client in lines, and the words that it asks."""

    def __init__(self, server: str, window: int = WINDOW) -> None:
        super().__init__(server, window)
        self._buffer = LineBuffer(MAX_ANSWER)
        self._ids = 0
        self._asked: deque[object] = deque()
        self._told: list[str] = []

    def ask(self, word: str, caller: object) -> None:
        """Sends a word such as ``stats``; whoever asks must be connected."""
        self._asked.append(caller)
        self._out.append(word.encode() + b"\n")

    def check(self, name: str, port: str, settings: CommandSettings) -> None:
        """Refuses what cannot stand in a line.

        :raises RequestError: if it is asked for.
        """
        check_name(name, "the name")
        check_name(port, "the port")

    def connected(self, now: float) -> None:
        """There is a connection, and nothing has been said on it."""
        self._buffer.clear()
        super().connected(now)

    def connection_lost(self, why: str, now: float) -> None:
        """There is none, or none could be made; the sentence says why."""
        self._told.clear()
        while self._asked:
            self._events.append(Told(self._asked.popleft(), ()))
        super().connection_lost(why, now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""
        self._heard_at = now
        for line in self._buffer.lines(data):
            self._on_line(line, now)
        if self._buffer.overflows():
            self._events.append(Unusable(f"{self._server} sends no lines; is it a Lumina server?"))

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
            self._on_frame(command, answer)
            return
        error = error_from_reason(
            answer.reason, unit=command.frame[0], function_code=command.frame[1], frame=command.frame,
            is_read=command.is_read,
        )
        if isinstance(error, Stopping):
            self._paused = True
            self._put_back(command)
        else:
            self._fail(command, error)

    def _put_back(self, command: PendingCommand) -> None:
        """It was not sent on the bus, and waits for the next connection in its place."""
        command.sent_at = None
        waiting = self._waiting[command.port]
        self._waiting[command.port] = deque(sorted([command, *waiting], key=by_number))


def check_word(word: str) -> None:
    """Refuses what is no word to ask a server; two lines would bring two answers.

    :raises RequestError: if it is none.
    """
    if not check_name(word, "the word"):
        raise RequestError("there is no word to ask; help, ports and stats are some")


def not_told(server: str, word: str, seconds: float) -> NotConnected:
    """The error of a word that got no answer."""
    return NotConnected(f"{server} did not answer {word!r} within {seconds:g} s; is it a Lumina server?")
