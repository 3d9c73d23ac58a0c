"""RTU on a real serial device, floor 4: for a second master, such as a PLC or a panel, on a wire of its own. The master
sends its requests as if the devices were on that wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from lumina_twisted.errors import PortError
from lumina_twisted.framing.rtu import t3_5, wire_time
from lumina_twisted.frontends.plugin import Context
from lumina_twisted.frontends.rtu.program import RtuOptions, RtuService, TerminalFrontEnd, has_unread
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.serial import SerialEndpoint
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.reconnecting import Reconnecting, wait_before_attempt
from lumina_twisted.schema import setting


@frozen(kw_only=True, slots=False)
class RtuSerialOptions(RtuOptions, SerialSettings):
    """How a master on a wire of its own is answered, and the settings of that wire."""

    rs485: bool = setting(False, "let the kernel switch the transceiver's direction by RTS (TIOCSRS485)")

    def faults(self) -> Iterator[tuple[str, str]]:
        """The options that contradict each other: pairs of a key and a sentence."""
        yield from super().faults()
        if self.bytesize != 8:
            yield "bytesize", "RTU needs 8"


class RtuSerialService(RtuService):
    """A serial device on which a master sends requests. A supervisor opens a lost device again."""

    def __init__(self, options: Any, context: Context) -> None:
        super().__init__(options, context)
        self._now = context.now
        self._state = ""
        self._t3_5 = t3_5(options.baudrate)
        self._heard_at = self._sent_at = 0.0
        self._transport: Any = None
        self._settings = PortSettings(
            path=self.path, baudrate=options.baudrate, parity=options.parity, stopbits=options.stopbits,
            rs485=options.rs485,
        )
        endpoint = SerialEndpoint(self.clock, self._settings)
        self._supervisor = Reconnecting(endpoint, _OneMaster(self), wait_before_attempt, self._tell, self.clock)

    def startService(self) -> None:
        """Opens the device, and keeps trying until it is open."""
        super().startService()
        self._supervisor.startService()

    def stopService(self) -> Deferred[None]:
        """Takes no more requests, and closes the device when the last request has ended.

        :return: a Deferred that fires with None when it is closed; it does not fail.
        """
        super().stopService()
        answered = self.last_answered()
        return answered.addCallback(lambda _: deferLater(self.clock, self._until_sent())).addCallback(self._close)

    def _until_sent(self) -> float:
        """Seconds until the last reply has left the device."""
        return max(0.0, self._sent_at - self._now())

    def _close(self, _: object) -> Deferred[None] | None:
        if not self._supervisor.running:
            return None
        return maybeDeferred(self._supervisor.stopService).addCallback(lambda _: None)

    # -- what the device's protocol calls

    def opened(self, transport: Any) -> None:
        """The device is open."""
        self._transport = transport
        self._tell("open")

    def receive(self, data: bytes) -> None:
        """The master has sent something."""
        self._heard_at = self._now()
        if not self.is_stopping:
            self.program.receive(data)

    def lost(self, why: str) -> None:
        """The device is gone."""
        self._transport = None
        self.close_program()
        self._tell(f"it was lost ({why}) and is opened again as soon as it is back")

    # -- what its program needs

    def send(self, frame: bytes) -> None:
        """Sends a frame, as a device does: after T3.5 of silence."""
        now = self._now()
        wait = self._heard_at + self._t3_5 - now
        self._sent_at = max(now, now + wait) + wire_time(self._settings.baudrate, len(frame))
        if wait > 0:
            self.clock.callLater(wait, self._send, frame, self._heard_at)
        else:
            self._send(frame, self._heard_at)

    def _send(self, frame: bytes, heard_at: float) -> None:
        if self._transport is None or heard_at != self._heard_at:
            return
        try:
            self._transport.send_frame(frame, self._settings.serial)
        except PortError as refused:
            self.log.warn("{path}: a reply could not be sent: {why}", path=self.path, why=str(refused), fold="send")

    def begins_anew(self) -> bool:
        """See :class:`lumina_twisted.frontends.rtu.program.RtuService`."""
        return self._transport is not None and has_unread(self._transport.fileno())

    def _tell(self, state: str) -> None:
        """Logs a state only when it changes: a device may be away for a night."""
        if state != self._state:
            self._state = state
            self.log.info("{path}: {state}", path=self.path, state=state)


class _MasterProtocol(Protocol):
    """Passes bytes from the device to its service."""

    def __init__(self, service: RtuSerialService) -> None:
        self._service = service

    def connectionMade(self) -> None:
        """The device is open."""
        self._service.opened(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of a request."""
        self._service.receive(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The device is gone, or closed."""
        self._service.lost(reason.getErrorMessage())


class _OneMaster(Factory):
    noisy = False

    def __init__(self, service: RtuSerialService) -> None:
        self._service = service

    def buildProtocol(self, addr: IAddress | None) -> _MasterProtocol:  # type: ignore[override]
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        return _MasterProtocol(self._service)


class RtuSerialFrontEnd(TerminalFrontEnd):
    """RTU on a real serial device."""

    name = "rtu-serial"
    summary = "a serial device with a second master, such as a PLC or a panel, on a wire of its own"
    endpoint = "/dev/ttyUSB3"
    options = RtuSerialOptions
    what = "a serial device"
    service = RtuSerialService
