"""One client of a value listener, floor 4: lines in, answers out, and changes as they come.

:mod:`lumina_twisted.frontends.connection` describes the states of the connection. In addition:

- An answer without a tag waits for the answers to the lines before it. It is made when its turn comes, so that ``read``
  shows what the ``write`` before it has set. Requests to devices do not wait for that turn.
- While a client reads too slowly (the transport's buffer is full), no further line of it is taken. Of the changes of
  each value that it watches, only the last is kept: the client gets every last value, and at most one line waits for
  each value.
- A client that does not read what was written to it for ``stalled_after`` seconds is dropped; so is a client for which
  more than ``max_buffered`` bytes wait, such as late answers of devices.
- A client that has closed its side and watches values (``echo 'watch *.*' | nc``) gets changes until it leaves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from attrs import define
from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineOnlyReceiver

from lumina_twisted.awaiting import Semaphore
from lumina_twisted.errors import LineError, LuminaError, Overloaded, Stopping
from lumina_twisted.frontends.connection import DRAINING, FINISHING, GONE, TALKING, Connection
from lumina_twisted.frontends.listener import Listener
from lumina_twisted.frontends.pacing import Stall
from lumina_twisted.frontends.plugin import Context, StreamFrontEnd
from lumina_twisted.frontends.strangers import FirstLine, fault, hint, in_lines
from lumina_twisted.frontends.values.commands import ValueCommands, ValuesOptions, check_patterns, one_or_many
from lumina_twisted.frontends.values.watching import ChangeLine, Watched, Watchers
from lumina_twisted.valueproto import answer as answers
from lumina_twisted.valueproto import command as commands
from lumina_twisted.valueproto.answer import Answer, NamedReading, json_body, refused, tag_json
from lumina_twisted.valueproto.command import MAX_LINE, Command, Format, parse_command, tag_of
from lumina_twisted.valueproto.text_lines import tag_text, text_body

MAX_ANSWER: Final = 1_048_576
"""The limit of one answer, in bytes: room for four thousand values. A client may limit its lines to this length."""
MOST_WAITING: Final = 200
"""The limit of a client's lines that wait for their answers; at the limit, no further line is taken."""
MOST_TO_ASK: Final = 10_000
"""The limit of a client's values that wait for a slot of its semaphore; at the limit, no further line is taken."""
_TOO_LONG: Final = f"the line is longer than {MAX_LINE} bytes, and the connection ends; ask in several lines"
Make = Callable[[], Answer | bytes] | Answer
"""An answer, or a callable that makes it when its turn comes."""


@define(eq=False)
class _Turn:
    """The place of the answer to a line without a tag; ``make`` is None until the answer can be made."""

    make: Make | None = None


class ValuesProtocol(Connection, LineOnlyReceiver):
    """One client."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    listener: ValuesListener

    def __init__(self, listener: ValuesListener) -> None:
        super().__init__(listener)
        self._format: Format = "text"
        self._lines: deque[bytes] = deque()  # received, but not taken yet
        self._turns: deque[_Turn] = deque()
        self._semaphore = Semaphore(listener.options.max_asked)
        self._watched = Watched(listener.watchers, listener.options.max_watched)
        self._goodbye: Make | None = None
        self._is_advancing = False
        self._is_stepping = False
        self._is_new = True
        self._stall = Stall(listener, listener.options.stalled_after, self._give_up)
        self._first_line = FirstLine(listener.clock, lambda: self.write(hint(self._buffer)))

    # -- the connection

    def refused(self, reason: str) -> None:
        """Tells the client why it is not admitted."""
        self.write(self._made(answers.Refused(*reason.split(" ", 1)), ""))

    def dataReceived(self, data: bytes) -> None:
        """See :class:`twisted.protocols.basic.LineOnlyReceiver`."""
        if self._idle is not None:
            self.heard()
        if self._is_new and (stranger := in_lines(data)):
            self.turn_away(stranger)
            return
        self._is_new = False
        super().dataReceived(data)
        self.serve()
        if self._buffer.strip() and self.state is TALKING:
            self._first_line.begun()

    def lineReceived(self, line: bytes) -> None:
        """Stores the line; :meth:`step` takes the lines in order."""
        if not self._first_line.is_over:
            self._first_line.over()
        if self.state is TALKING or self.state is DRAINING:
            self._lines.append(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Stores the beginning of the line, which is refused in its turn. The end of the line is unknown, so the
        connection ends with it."""
        if self.state in {TALKING, DRAINING}:
            self.transport.pauseProducing()
            self._lines.append(line[: MAX_LINE + 1])
            self.state = FINISHING

    def readConnectionLost(self) -> None:
        """See :class:`lumina_twisted.frontends.connection.Connection`; a line without a newline is not carried out."""
        if self._buffer.strip() and self.state in {TALKING, DRAINING}:
            self._first_line.over()
            self._enqueue("", refused(LineError(fault(self._buffer))))
            self._advance()
        super().readConnectionLost()

    @property
    def has_input(self) -> bool:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        return bool(self._lines)

    def drop_input(self) -> None:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        self._lines.clear()

    @property
    def is_waiting(self) -> bool:
        """See :class:`lumina_twisted.frontends.connection.Connection`; a client that watches waits for changes."""
        return bool(self.pending or self._turns or self._lines or self._watched)

    def drain(self) -> None:
        """Answers the received lines, whether the client reads or not, and closes the connection."""
        if self.state in {TALKING, FINISHING}:
            self.state = DRAINING
            self._write_changes()
            self._unwatch_all()
            self.serve()
            self._advance()

    def close_if_done(self) -> None:
        """Answers ``bye`` last, after all other lines."""
        if self._goodbye is not None and self.state is not GONE and not self.is_waiting:
            self.write(self._made(self._goodbye, ""))
        super().close_if_done()

    def let_go(self) -> None:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        self._semaphore.cancel()  # first: each request cancelled below would let the next one begin
        super().let_go()
        self._unwatch_all()
        self._lines.clear()
        self._turns.clear()
        self._stall.stop()
        self._first_line.over()

    # -- as fast as the client reads

    @property
    def _is_unread(self) -> bool:
        """Whether writing waits until the client has read. In DRAINING it does not wait; ``max_buffered`` is the limit
        then."""
        return self.is_full and self.state is not DRAINING

    @property
    def _is_busy(self) -> bool:
        """Whether too many of the client's lines, or values, wait already."""
        return len(self._turns) + len(self.pending) >= MOST_WAITING or len(self._semaphore) >= MOST_TO_ASK

    def pauseProducing(self) -> None:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        if not self.is_full:
            self._stall.begin()
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        super().resumeProducing()
        self._stall.end()
        self._advance()

    def _give_up(self) -> None:
        self.log.warn("dropped {peer}: it does not read what it is sent", peer=self.caller.name, fold="unread")
        self.cut()

    def step(self) -> bool:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        if self.state is not GONE and self._lines and self._can_take:
            self._is_stepping = True
            try:
                if self._watched.waiting:
                    self._write_changes()
                self._take(self._lines.popleft())
                self._advance()
            finally:
                self._is_stepping = False
        if self._lines and self._can_take:
            return True
        if self.is_held or self._has_ended or self._lines:
            self._pace_reading()
        return False

    @property
    def _can_take(self) -> bool:
        """Whether a line may be taken, if one waits."""
        if self._unread is not None and self._is_unread:
            return False
        return not (self._turns or self.pending) or not self._is_busy

    def _advance(self) -> None:
        """Writes waiting changes and answers as long as the client reads them, then has waiting lines taken."""
        if self._is_advancing:  # a call in here may be answered before it returns
            return
        self._is_advancing = True
        try:
            if self._watched.waiting:
                self._write_changes()
            turns = self._turns
            while turns and (make := turns[0].make) is not None and (self._unread is None or not self._is_unread):
                turns.popleft()
                write = self.write if turns else self.write_last
                write(self._made(make, ""))
        finally:
            self._is_advancing = False
        if self._lines and not self._is_stepping and self._can_take:
            self.listener.pacer.enqueue(self)
        if self.state is not TALKING:
            self.close_if_done()

    answered = _advance
    """See :class:`lumina_twisted.frontends.connection.Connection`."""

    # -- lines in

    def _take(self, line: bytes) -> None:
        try:
            if len(line) > MAX_LINE:
                self._unwatch_all()
                raise LineError(_TOO_LONG)
            command = parse_command(line)
        except LineError as error:
            self._enqueue(tag_of(line), refused(error))
            return
        if command is None:
            return
        self.listener.lines += 1
        if self.state is DRAINING:
            self._enqueue(command.tag, refused(Stopping("the service is stopping")))
        elif isinstance(command, commands.Bye):
            self._leave(command)
        elif (asked := self.listener.commands.ask(self.caller, self._semaphore, command)) is not None:
            self._await(command.tag, asked)
        else:
            self._enqueue(command.tag, partial(_AT_ONCE.get(type(command), ValuesProtocol._other), self, command))

    def _leave(self, command: commands.Bye) -> None:
        """Takes no further line. Open requests are answered, and changes are sent until then."""
        self._lines.clear()
        self._goodbye = partial(self._say_goodbye, command.tag)
        self._turns.append(_Turn(self._end))
        self.state = FINISHING

    def _end(self) -> bytes:
        self._unwatch_all()
        return b""

    def _say_goodbye(self, tag: str) -> bytes:
        self._goodbye = None
        return self._encoded(answers.Goodbye(), tag)

    # -- answers out, in their order

    def _enqueue(self, tag: str, make: Make) -> None:
        """Has an answer made and written: at once if it has a tag, else in its turn."""
        if tag:
            self.write(self._made(make, tag))
        else:
            self._turns.append(_Turn(make))

    def _await(self, tag: str, asked: Deferred[Answer]) -> None:
        turn = _Turn()
        if not tag:
            self._turns.append(turn)
        self.pending.ask(asked, self._ready, self._ready, tag, turn)

    def _ready(self, answer: Answer, tag: str, turn: _Turn) -> None:
        """The answer of a device is ready; an error of a command is an answer, too."""
        if tag:
            self.write(self._made(answer, tag))
        else:
            turn.make = answer

    def _made(self, make: Make, tag: str) -> bytes:
        """Makes and encodes an answer. An error on the way becomes the answer: each line gets one."""
        try:
            made = make() if callable(make) else make
            return made if isinstance(made, bytes) else self._encoded(made, tag)
        except LuminaError as error:
            return self._encoded(refused(error), tag)
        except Exception as error:
            self.log.failure("a value line failed within Lumina")
            sentence = f"{type(error).__name__} within Lumina, its log says more"
            return self._encoded(answers.Refused(LuminaError.token, sentence), tag)

    def _encoded(self, answer: Answer, tag: str) -> bytes:
        """The lines of an answer, in the client's format.

        :raises Overloaded: if the answer is too long.
        """
        if isinstance(answer, answers.Refused):
            self.listener.errors += 1
        if self._format == "json":
            line = tag_json(json_body(answer), tag)
        else:
            line = text_body(answer, self.listener.commands.text)
            line = tag_text(line, tag) if tag else line
        if len(line) > MAX_ANSWER:
            why = f"the answer would have {len(line)} bytes, and {MAX_ANSWER} is the most"
            raise Overloaded(f"{why}; ask for fewer values, as with boiler.*")
        return line

    # -- commands of the connection itself

    def _other(self, command: Command) -> Answer:
        return self.listener.commands.answer(command)

    def _speak(self, command: commands.Speak) -> Answer:
        self._format = command.format
        return answers.Speaking(command.format)

    def _watch(self, command: commands.Watch) -> Answer | bytes:
        """Answers with the current readings; from then on, the client gets the changes."""
        answer = one_or_many(*self.listener.commands.readings(command.names))
        if not isinstance(answer, answers.Readings):
            return answer
        names = [one.name for one in answer.values if isinstance(one, NamedReading)]
        self._watched.check(names)
        line = self._encoded(answer, command.tag)  # before anything is watched: the answer may be too long
        self._watched.add(self, names, command.tag)
        return line

    def _unwatch(self, command: commands.Unwatch) -> Answer:
        """Sends no more changes of these values; of no value at all if no names are given."""
        check_patterns(command.names)
        self._watched.remove(self, command.names or ("*",))
        return answers.Watching(len(self._watched))

    def _unwatch_all(self) -> None:
        self._watched.remove(self, ("*",))

    # -- changes out

    def changed(self, name: str, change: ChangeLine) -> None:
        """See :class:`lumina_twisted.frontends.values.watching.Watcher`."""
        if self.is_full or self._watched.waiting:
            self._watched.keep(name, change)
        else:
            self.write(self._watched.line(name, change, self._format))

    def _write_changes(self) -> None:
        """Writes the waiting changes as long as the client reads."""
        while self._watched.waiting and not self._is_unread:
            self.write(self._watched.next_bytes(self._format))


_AT_ONCE: Final[dict[type[Command], Callable[[ValuesProtocol, Any], Answer | bytes]]] = {
    commands.Speak: ValuesProtocol._speak,
    commands.Watch: ValuesProtocol._watch,
    commands.Unwatch: ValuesProtocol._unwatch,
}
"""The commands that need the connection, and not only the values."""


class ValuesListener(Listener):
    """A listener and its clients."""

    protocol = ValuesProtocol
    options: ValuesOptions

    def __init__(self, options: ValuesOptions, context: Context) -> None:
        super().__init__(options, context)
        self.stalled_after = options.stalled_after
        self.commands = ValueCommands(context.values, options, context.now, self._stats, context.log)
        self.watchers = Watchers(self.commands)
        self.lines = 0

    def counts(self) -> dict[str, int]:
        """The figures of this listener for ``stats``."""
        return {
            **super().counts(), "lines": self.lines, "errors": self.errors, "watched": len(self.watchers),
            "changes": self.watchers.changes,
        }

    def _stats(self) -> dict[str, Any]:
        return {"listener": self.counts(), **self.others()}


class ValuesFrontEnd(StreamFrontEnd):
    """Named values."""

    name = "values"
    summary = "values of devices by name: read, write and watch them in lines of text or JSON"
    endpoint = "tcp:5000:interface=127.0.0.1"
    options = ValuesOptions

    def build(self, options: Any, context: Context) -> ValuesListener:
        """See :class:`lumina_twisted.frontends.plugin.StreamFrontEnd`."""
        return ValuesListener(options, context)
