"""One client of the line front-end, floor 4: text lines over a stream, one answer line to each.

How its connection lives and ends: :mod:`lumina_twisted.frontends.listener`.

Each answer is one write: the original client loses a line that comes to it in pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from lumina_twisted.errors import LineError, LuminaError
from lumina_twisted.frontends.line_figures import rows_told
from lumina_twisted.frontends.line_words import HELP, commented, ports_told, stats_told
from lumina_twisted.frontends.listener import DRAINING, TALKING, Connection
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



class LineProtocol(Connection, LineOnlyReceiver):
    """One client."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    listener: LineFactory

    def __init__(self, listener: LineFactory) -> None:
        super().__init__(listener)
        self._dialect = listener.options.dialect

    # -- the connection

    def refused(self, reason: str) -> None:
        """Says why it is not taken in."""
        self._write_error(b"", reason)

    def dataReceived(self, data: bytes) -> None:
        """See :class:`twisted.protocols.basic.LineOnlyReceiver`."""
        self.heard()
        super().dataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Where such a line ends nobody knows, so the connection ends with it."""
        if self.state in {TALKING, DRAINING}:
            self._write_error(command_id_of(line[:MAX_LINE // 16]), f"invalid the line is longer than {MAX_LINE} bytes")
            self.transport.pauseProducing()
            self.finish()

    # -- lines in

    def lineReceived(self, line: bytes) -> None:
        """Passes a command on to its port."""
        if self.state is not TALKING or line.strip().lower() in _WORDS:
            self._unusual(line)
            return
        self.listener.lines += 1
        try:
            command = parse_command(line)
        except LineError as error:
            self._write_error(error.command_id, reason_of(error))
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
            frame, timeout, max_age = command.frame, command.timeout, command.max_age
            options = self.listener.options
            return port.request(
                self, frame[0], frame[1:-2],
                timeout=SHARE * (options.timeout if timeout is None else timeout),
                serial=other, retries=command.retries, response_length=command.response_length,
                priority=command.priority or options.priority,
                max_age=options.max_age if max_age is None else max_age,
            )
        except Exception:
            return fail()

    def _unusual(self, line: bytes) -> None:
        """Whatever is no command, or comes when none is taken."""
        word = line.strip().lower()
        if self.state is DRAINING and word:
            self._write_error(command_id_of(line), "stopping the service is stopping")
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
        self.write(commented(ports_told(self.listener.ports)))

    def _stats(self) -> None:
        self.write(commented(stats_told(self.listener.ports, self.listener.counts(), self.listener.others())))

    def _stats_json(self) -> None:
        listener = self.listener
        most = listener.options.max_buffered
        self.write(commented(rows_told(listener.ports, listener.counts(), listener.others(), most)))

    # -- answers out

    def _replied(self, frame: bytes, command_id: bytes, deferred: Deferred[bytes]) -> None:
        if deferred not in self.pending:
            return  # the client left
        self.pending.remove(deferred)
        listener = self.listener
        self.write(format_reply(command_id, frame, listener.stamp(), self._dialect, listener.options.hex))
        if self.state is not TALKING:
            self.close_if_done()

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
        if self.state is not TALKING:
            self.close_if_done()

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
