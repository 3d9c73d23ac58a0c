"""The line front-end, floor 4: text lines over a stream, one answer line for each.

:mod:`lumina_twisted.frontends.connection` describes the states of the connection.

Each answer is one write: the original client loses a line that it receives in pieces.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Annotated, Any, Final

import attrs
from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.protocols.basic import LineOnlyReceiver

from lumina_twisted.access.caller import Terms
from lumina_twisted.errors import LineError, LuminaError, RequestError
from lumina_twisted.framing.rtu import OVERHEAD, encode_adu
from lumina_twisted.frontends.connection import DRAINING, TALKING, Connection
from lumina_twisted.frontends.line.answers import HELP, commented, json_rows, port_lines, stats_lines
from lumina_twisted.frontends.listener import Listener, ListenerOptions, TurnOptions
from lumina_twisted.frontends.plugin import Context, StreamFrontEnd
from lumina_twisted.frontends.strangers import in_lines
from lumina_twisted.lineproto import (
    MAX_LINE,
    MAX_TIMEOUT,
    MIN_TIMEOUT,
    PING,
    Command,
    Dialect,
    HexStyle,
    command_id_of,
    format_error,
    format_reply,
    parse_command,
    reason_of,
)
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.interfaces import Port
from lumina_twisted.schema import Between, setting

SHARE: Final = 0.9
"""The share of a caller's timeout that its request may take, so that the answer comes while the caller still waits."""
_STOPPING: Final = "stopping the service is stopping"


class LineProtocol(Connection, LineOnlyReceiver):
    """One client."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    listener: LineFactory

    def __init__(self, listener: LineFactory) -> None:
        super().__init__(listener)
        self._dialect = listener.options.dialect
        self._lines: deque[bytes] = deque()  # received, but not taken yet
        self._held: Command | None = None  # taken out of the lines, but not sent to its port yet
        self._is_new = True

    # -- the connection

    def refused(self, reason: str) -> None:
        """Tells the client why it is not admitted."""
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
        """Stores the line; :meth:`take_next` takes the lines in order."""
        self._lines.append(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Stores the beginning of the line as the last one; :meth:`take_next` refuses it in its turn."""
        self._lines.append(line[: MAX_LINE + 1])

    # -- lines in

    @property
    def has_input(self) -> bool:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        return self._held is not None or bool(self._lines)

    def drop_input(self) -> None:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
        self._held = None
        self._lines.clear()

    def take_next(self) -> bool:
        """See :class:`lumina_twisted.frontends.connection.Connection`."""
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
        """The command of a line. A line that is no command is answered here, and gives None."""
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
        """Refuses a line that is too long. Its end is unknown, so the connection ends with it."""
        self._write_error(command_id_of(line[:MAX_LINE // 16]), f"invalid the line is longer than {MAX_LINE} bytes")
        self._lines.clear()
        self.transport.pauseProducing()
        self.finish()

    def _is_full_for(self, command: Command) -> bool:
        try:
            port = self.listener.find(command.port)
        except RequestError:
            return False  # an error, which is answered at once
        return port.is_full_for(self.caller, self._timeout_of(command))

    def _timeout_of(self, command: Command) -> float:
        return SHARE * (self.listener.options.timeout if command.timeout is None else command.timeout)

    def _pass_on(self, command: Command) -> None:
        """Sends a command's request to its port."""
        if self.state is DRAINING:
            self._write_error(command.command_id, _STOPPING)
            return
        self.pending.ask(self._ask(command), self._write_reply, self._write_failure, command)

    def _ask(self, command: Command) -> Deferred[bytes]:
        """Sends a command's request to its port. An error on the way becomes a Deferred that fails: each line gets its
        answer."""
        try:
            port = self.listener.find(command.port)
            serial = port.serial_for(command.unit)
            own_speed = command.baudrate in (0, serial.baudrate)
            if own_speed and not (command.parity or command.bytesize or command.stopbits):
                other = None
            else:
                other = _other_settings(serial, command.baudrate, command.parity, command.bytesize, command.stopbits)
            max_age = command.max_age
            options = self.listener.options
            terms = Terms(
                self._timeout_of(command), other, command.retries, max(0, command.response_length - OVERHEAD),
                command.priority or options.priority, options.max_age if max_age is None else max_age,
            )
            return port.request(self.caller, command.unit, command.pdu, terms)
        except Exception:
            return fail()

    def _unusual(self, line: bytes) -> None:
        """Answers a line that is no command, or that comes when no command is taken any more."""
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
        self.write(commented(port_lines(self.listener.buses)))

    def _stats(self) -> None:
        self.write(commented(stats_lines(self.listener.buses, self.listener.counts(), self.listener.others())))

    def _stats_json(self) -> None:
        listener = self.listener
        most = listener.options.max_buffered
        self.write(commented(json_rows(listener.buses, listener.counts(), listener.others(), most)))

    # -- answers out

    def _write_reply(self, reply: bytes, command: Command) -> None:
        listener = self.listener
        frame = encode_adu(command.unit, reply) if reply else b""
        self.write_last(format_reply(command.command_id, frame, listener.stamp(), self._dialect, listener.options.hex))

    def _write_failure(self, error: BaseException, command: Command) -> None:
        command_id = command.command_id
        if isinstance(error, LuminaError):
            self._write_error(command_id, reason_of(error))
        else:
            self._write_error(command_id, f"error {type(error).__name__} within Lumina, its log says more")

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
"""The methods for whole lines that are no command, by the line in lower case."""


@lru_cache(maxsize=1024)
def _other_settings(
    serial: SerialSettings, baudrate: int, parity: Any, bytesize: Any, stopbits: Any
) -> SerialSettings | None:
    """The settings that a command asks for; None if they are those of its port. They are cached: equal commands share
    them."""
    other = attrs.evolve(
        serial, baudrate=baudrate or serial.baudrate, parity=parity or serial.parity,
        bytesize=bytesize or serial.bytesize, stopbits=stopbits or serial.stopbits,
    )
    return None if other == serial else other


@frozen(kw_only=True, slots=False)
class LineOptions(TurnOptions, ListenerOptions):
    """The dialect of a listener of the text protocol, and the limits for its clients."""

    port: str = setting("", "name or path of the port meant by an empty port field; not given: the first one")
    dialect: Dialect = setting(
        "v2", "v2 for clients since 2025-01; v1 for older ones, which read neither timestamps nor reasons"
    )
    hex: HexStyle = setting(
        "compact", "how v2 writes bytes: compact, or spaced with a blank between them; the original client loses"
        " spaced replies of more than 30 registers, compact ones of more than 46",
    )
    timeout: Annotated[float, Between(MIN_TIMEOUT, MAX_TIMEOUT)] = setting(
        5.0, "how long the caller of a line without a timeout waits; answers leave at 0.9 of it", unit="s"
    )


class LineFactory(Listener):
    """A line listener and its clients."""

    protocol = LineProtocol
    options: LineOptions

    def __init__(self, options: LineOptions, context: Context) -> None:
        super().__init__(options, context)
        self.lines = 0

    def find(self, text: str) -> Port:
        """The port that a command names.

        :raises RequestError: if there is no such port; the message lists the ports.
        """
        if text or (text := self.options.port):
            return self.buses.find(text)
        for port in self.buses:
            return port
        raise RequestError("no port is configured")

    def counts(self) -> dict[str, int]:
        """The figures of this listener for ``stats``."""
        return {**super().counts(), "lines": self.lines, "errors": self.errors}


class LineFrontEnd(StreamFrontEnd):
    """The text protocol of the original Lumina Modbus Server."""

    name = "line"
    summary = "text lines, one command each; the original Lumina's clients speak it"
    options = LineOptions

    def build(self, options: LineOptions, context: Context) -> LineFactory:
        """See :class:`lumina_twisted.frontends.plugin.StreamFrontEnd`."""
        return LineFactory(options, context)
