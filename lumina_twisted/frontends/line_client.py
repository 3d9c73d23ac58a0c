"""One client of the line front-end, floor 4: text lines over a stream, one answer line to each.

How its connection lives and ends: :mod:`lumina_twisted.frontends.listener`.

Each answer is one write: the original client loses a line that comes to it in pieces.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from lumina_twisted.access.caller import Terms
from lumina_twisted.errors import LineError, LuminaError, RequestError
from lumina_twisted.framing.rtu import OVERHEAD
from lumina_twisted.frontends.line_figures import rows_told
from lumina_twisted.frontends.line_words import HELP, commented, ports_told, stats_told
from lumina_twisted.frontends.listener import DRAINING, TALKING, Connection
from lumina_twisted.frontends.strangers import in_lines
from lumina_twisted.lineproto import (
    MAX_LINE,
    PING,
    Command,
    command_id_of,
    format_error,
    format_reply,
    parse_command,
    reason_of,
)
from lumina_twisted.modbus.settings import SerialSettings

if TYPE_CHECKING:
    from lumina_twisted.frontends.line import LineFactory

SHARE: Final = 0.9
"""Of what a caller waits, what its request may take, so that the answer finds it still waiting."""
_NO_KEYWORDS: Final[dict[str, Any]] = {}
_STOPPING: Final = "stopping the service is stopping"


class LineProtocol(Connection, LineOnlyReceiver):
    """One client."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    listener: LineFactory

    def __init__(self, listener: LineFactory) -> None:
        super().__init__(listener)
        self._dialect = listener.options.dialect
        self._lines: deque[bytes] = deque()  # that are not taken yet
        self._held: Command | None = None  # taken before them, and not asked yet
        self._is_new = True

    # -- the connection

    def refused(self, reason: str) -> None:
        """Says why it is not taken in."""
        self._write_error(b"", reason)

    def dataReceived(self, data: bytes) -> None:
        """See :class:`twisted.protocols.basic.LineOnlyReceiver`."""
        self.heard()
        if self._is_new and (stranger := in_lines(data)):
            self.turn_away(stranger)
        self._is_new = False
        if self.state is TALKING or self.state is DRAINING:
            super().dataReceived(data)
            self.serve()

    def lineReceived(self, line: bytes) -> None:
        """It is taken in its turn."""
        self._lines.append(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """It is taken for the last one, in its turn."""
        self._lines.append(line[: MAX_LINE + 1])

    # -- lines in

    @property
    def has_input(self) -> bool:
        """See :class:`lumina_twisted.frontends.listener.Connection`."""
        return self._held is not None or bool(self._lines)

    def drop_input(self) -> None:
        """See :class:`lumina_twisted.frontends.listener.Connection`."""
        self._held = None
        self._lines.clear()

    def take_next(self) -> bool:
        """See :class:`lumina_twisted.frontends.listener.Connection`."""
        command, self._held = self._held, None
        if command is None and self._lines:
            command = self._command_of(self._lines.popleft())
        if command is not None:
            if self.pending and self.must_wait(partial(self._is_full_for, command)):
                self._held = command
                return False
            self._pass_on(command)
        return bool(self._lines)

    def _command_of(self, line: bytes) -> Command | None:
        """The command of a line; None if it has none, and is answered."""
        if len(line) > MAX_LINE:
            self._refuse_too_long(line)
        elif self.state is not TALKING or line.strip().lower() in _WORDS:
            self._unusual(line)
        else:
            self.listener.lines += 1
            try:
                return parse_command(line)
            except LineError as error:
                self._write_error(error.command_id, reason_of(error))
        return None

    def _refuse_too_long(self, line: bytes) -> None:
        """Where such a line ends nobody knows, so the connection ends with it."""
        self._write_error(command_id_of(line[:MAX_LINE // 16]), f"invalid the line is longer than {MAX_LINE} bytes")
        self._lines.clear()
        self.transport.pauseProducing()
        self.finish()

    def _is_full_for(self, command: Command) -> bool:
        try:
            port = self.listener.find(command.port)
        except RequestError:
            return False  # which is answered at once
        return port.is_full_for(self.caller, self._timeout_of(command))

    def _timeout_of(self, command: Command) -> float:
        return SHARE * (self.listener.options.timeout if command.timeout is None else command.timeout)

    def _pass_on(self, command: Command) -> None:
        """Asks the port of a command."""
        if self.state is DRAINING:
            self._write_error(command.command_id, _STOPPING)
            return
        deferred = self._ask(command)
        self.pending.add(deferred)
        arguments = (command.command_id, deferred)
        deferred.addCallbacks(self._replied, self._failed, arguments, _NO_KEYWORDS, arguments)

    def _ask(self, command: Command) -> Deferred[bytes]:
        """Whatever goes wrong on the way, the line gets its answer."""
        try:
            port = self.listener.find(command.port)
            serial = port.serial_for(command.frame[0])
            own_speed = command.baudrate in (0, serial.baudrate)
            if own_speed and not (command.parity or command.bytesize or command.stopbits):
                other = None
            else:
                other = _other_settings(serial, command.baudrate, command.parity, command.bytesize, command.stopbits)
            frame, max_age = command.frame, command.max_age
            options = self.listener.options
            terms = Terms(
                self._timeout_of(command), other, command.retries, max(0, command.response_length - OVERHEAD),
                command.priority or options.priority, options.max_age if max_age is None else max_age,
            )
            return port.request(self.caller, frame[0], frame[1:-2], terms)
        except Exception:
            return fail()

    def _unusual(self, line: bytes) -> None:
        """Whatever is no command, or comes when none is taken."""
        word = line.strip().lower()
        if self.state is DRAINING and word:
            self._write_error(command_id_of(line), _STOPPING)
        elif self.state is TALKING:
            _WORDS[word](self)

    def _nothing(self) -> None:
        """An empty line gets no answer."""

    def _ping(self) -> None:
        self._dialect = "v1"
        self.write(PING + b"\n")

    def _help(self) -> None:
        self.write(commented(HELP))

    def _ports(self) -> None:
        self.write(commented(ports_told(self.listener.buses)))

    def _stats(self) -> None:
        self.write(commented(stats_told(self.listener.buses, self.listener.counts(), self.listener.others())))

    def _stats_json(self) -> None:
        listener = self.listener
        most = listener.options.max_buffered
        self.write(commented(rows_told(listener.buses, listener.counts(), listener.others(), most)))

    # -- answers out

    def _replied(self, frame: bytes, command_id: bytes, deferred: Deferred[bytes]) -> None:
        if deferred not in self.pending:
            return  # the client left
        self.pending.remove(deferred)
        listener = self.listener
        self.write(format_reply(command_id, frame, listener.stamp(), self._dialect, listener.options.hex))
        self.answered()

    def _failed(self, failure: Failure, command_id: bytes, deferred: Deferred[bytes]) -> None:
        if deferred not in self.pending:
            return  # the client left, this may be our own cancelling
        self.pending.remove(deferred)
        error = failure.value
        if isinstance(error, LuminaError):
            self._write_error(command_id, reason_of(error))
        else:
            self.log.failure("command {command} failed within Lumina", failure, command=command_id)
            self._write_error(command_id, f"error {type(error).__name__} within Lumina, its log says more")
        self.answered()

    def _write_error(self, command_id: bytes, reason: str) -> None:
        self.listener.errors += 1
        self.write(format_error(command_id, reason, self.listener.stamp(), self._dialect))


_WORDS: Final[dict[bytes, Callable[[LineProtocol], None]]] = {
    b"": LineProtocol._nothing,
    PING.lower(): LineProtocol._ping,
    b"help": LineProtocol._help,
    b"ports": LineProtocol._ports,
    b"stats": LineProtocol._stats,
    b"stats json": LineProtocol._stats_json,
}
"""Whole lines that are no command, in lower case."""


@lru_cache(maxsize=1024)
def _other_settings(
    serial: SerialSettings, baudrate: int, parity: Any, bytesize: Any, stopbits: Any
) -> SerialSettings | None:
    """The settings a command asks for, or None if they are its port's own; made once, not for every command."""
    other = attrs.evolve(
        serial, baudrate=baudrate or serial.baudrate, parity=parity or serial.parity,
        bytesize=bytesize or serial.bytesize, stopbits=stopbits or serial.stopbits,
    )
    return None if other == serial else other
