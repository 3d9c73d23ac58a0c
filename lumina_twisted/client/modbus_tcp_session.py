"""A session in Modbus TCP, floor 3: with a device, a gateway, or a Lumina server that listens for it."""

from __future__ import annotations

from math import inf
from typing import Final

from lumina_twisted.client.command import CommandSettings, PendingCommand
from lumina_twisted.client.conversation import Unusable
from lumina_twisted.client.session import Session, about
from lumina_twisted.errors import (
    FrameError,
    GatewayTargetDeviceFailedToRespond,
    ModbusError,
    OutcomeUnknown,
    RequestError,
)
from lumina_twisted.framing.mbap import Adu, MbapDecoder, encode_adu
from lumina_twisted.framing.rtu import encode_adu as encode_rtu
from lumina_twisted.lineproto import Answer

TRANSACTIONS: Final = 16
"""Requests that are with the server at a time, as the Implementation Guide V1.0b, section 4.4.1.1, has it."""
SILENCE: Final = 10.0
"""Seconds without a reply to anything, after which the far end counts as dead. Many gateways say nothing of a unit that
does not answer, so a request whose time is up proves nothing."""
_IDS: Final = 1 << 16


class ModbusTcpSession(Session):
    """The commands of one client in Modbus TCP. A command's id is its transaction identifier, in hexadecimal digits.

    :raises RequestError: if ``window`` is not from 1 to 65535.
    """

    def __init__(self, server: str, window: int = TRANSACTIONS) -> None:
        if not isinstance(window, int) or not 0 < window < _IDS:
            raise RequestError(f"transactions is 1 to {_IDS - 1}, not {window!r}")
        super().__init__(server, window)
        self._decoder = MbapDecoder()
        self._number_of_last = 0
        self._asked_at = inf
        self.late = 0
        """Replies that nobody waited for: too late, twice, or never asked."""

    def check(self, name: str, port: str, settings: CommandSettings) -> None:
        """Refuses what has no place in a frame.

        :raises RequestError: if it is asked for.
        """
        if port:
            raise RequestError(f"Modbus TCP knows no ports; leave {port!r} out, the unit says which device it is")
        for key in ("baudrate", "parity", "bytesize", "stopbits", "retries", "priority", "max_age"):
            if getattr(settings, key) is not None:
                raise RequestError(f"a request over Modbus TCP has no {key}; leave it out, the gateway has its own")

    def connected(self, now: float) -> None:
        """There is a connection, and nothing has been said on it."""
        self._decoder = MbapDecoder()
        self._asked_at = inf
        super().connected(now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""
        self._heard_at, self._asked_at = now, inf
        try:
            for adu in self._decoder.receive(data):
                self._on_reply(adu, now)
        except FrameError as error:
            self._decoder = MbapDecoder()
            self._events.append(Unusable(f"{self._server} does not speak Modbus TCP: {error}"))

    def _next_id(self) -> bytes:
        while True:
            self._number_of_last = (self._number_of_last + 1) % _IDS
            if (made := b"%x" % self._number_of_last) not in self._by_id:
                return made

    def _encode(self, command: PendingCommand, now: float) -> bytes:
        self._asked_at = min(self._asked_at, now)
        return encode_adu(int(command.command_id, 16), command.frame[0], command.frame[1:-2])

    def _seems_dead(self, sent_at: float, now: float) -> bool:
        """To cut it costs every write that is there its proof; such a one may still be answered until its deadline."""
        if sent_at < self._heard_at or now - self._asked_at < SILENCE:
            return False
        return all(command.is_read or command.done for command in self._by_id.values())

    def _on_reply(self, adu: Adu, now: float) -> None:
        command = self._by_id.pop(b"%x" % adu.transaction_id, None)
        if command is None:
            self.late += 1
            return
        del self._sent[command.port][command.command_id]
        if not command.done:
            # Many devices repeat the unit wrongly; its number says whose reply it is.
            self._on_frame(command, Answer(command.command_id, encode_rtu(command.frame[0], adu.pdu), 0.0))
        self._advance(command.port, now)

    def _refused(self, command: PendingCommand, frame: bytes) -> ModbusError:
        if frame[2] == GatewayTargetDeviceFailedToRespond.code and not command.is_read:
            why = f"{self._server} got no reply from unit {command.frame[0]} (exception 11)"
            return about(OutcomeUnknown, command, f"{why}; the device may or may not have carried it out")
        return super()._refused(command, frame)
