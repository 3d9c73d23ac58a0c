"""One port of the daemon, floor 2: it is opened, watched, and reopened until that succeeds.

Twisted's ClientService supervises the connection to the device: it opens, waits, and opens again. Lumina decides how
long it waits and what happens to a request meanwhile. It also opens a port at its first request, and closes it when
it has been idle.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.bus.bus import Bus
from lumina_twisted.bus.events import Request
from lumina_twisted.errors import NotAllowed, PortClosed, RequestError
from lumina_twisted.framing.rtu import check_adu
from lumina_twisted.modbus.functions import MAX_PDU, READS_OF
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.dial_in import DialInEndpoint
from lumina_twisted.ports.interfaces import HealthObserver, PortDescription, SampleObserver
from lumina_twisted.ports.port_log import NoiseTimer, PortLog, WriteLog
from lumina_twisted.ports.protocol import RTUProtocol
from lumina_twisted.ports.serial import SerialEndpoint
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.ports.tcp import Link, SocketEndpoint, framing_of
from lumina_twisted.priority import PRIORITIES, lane_of
from lumina_twisted.reconnecting import Connections, Reconnecting
from lumina_twisted.statistics.monitor import PerformanceMonitor
from lumina_twisted.statistics.queue import QueueAnalytics

_NOBODY: Final = Caller("nobody")
"""The caller of a request that is only estimated, never sent."""
_READ_CODES: Final = frozenset(int(row.code) for row in READS_OF.values())
_USUAL_PRIORITIES: Final = (None, *PRIORITIES)
_CLOSED: Final = "it is closed"
_GIVEN_UP: Final = "the service stops and does not wait for it any longer"


class State(Enum):
    """The state of a port.

    CLOSED: nobody needs the port; a request opens it. OPENING: the first attempt is under way, and requests wait for
    its result. OPEN: the device is there. RECONNECTING: the connection ended a moment ago, and requests wait for the
    next one. UNAVAILABLE: the device is away, and the port tries it again and again. CLOSING: the port becomes CLOSED
    whatever happens to its connection meanwhile; a request that comes now waits, and then opens the port again.
    """

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    RECONNECTING = "reconnecting"
    UNAVAILABLE = "unavailable"
    CLOSING = "closing"


class PortService(Service):
    """A configured port. Implements :class:`lumina_twisted.ports.interfaces.Port`.

    :param admit: called before a request opens the port; returns why the port may not open, or None.
    :param twin: returns the name of another port that leads to the same device; empty if there is none.
    :param monitor: keeps the port's figures; ``analytics`` keeps those of its queue. Without them the port has its own.
    """

    name: str

    def __init__(
        self, name: str, settings: PortSettings, reactor: Any, now: Callable[[], float],
        admit: Callable[[PortService], str | None] = lambda port: None,
        twin: Callable[[PortService], str] = lambda port: "",
        monitor: PerformanceMonitor | None = None, analytics: QueueAnalytics | None = None,
    ) -> None:
        self.setName(name)
        self.settings = settings = settings.of_the_bus()
        self.serial = settings.serial
        self._own_serials = settings.own_serials
        self._address = settings.socket
        self.has_unit_0 = settings.unit_0 == "device"
        self._rules = settings.rules or None
        self.last_request = now()
        self._now = now
        self._admit = admit
        self._reactor = reactor
        self._log = PortLog(name)
        self._writes = WriteLog(name)
        self._framing = framing_of(self._address, settings.zero_ids)
        self._bus = Bus(
            settings, name, framing=self._framing,
            renews_after_silence=settings.zero_ids, monitor=monitor, analytics=analytics,
        )
        self._state = State.CLOSED
        self._why = "it has not been opened yet"  # as people read it
        self._waiting_for_close: list[Deferred[None]] = []
        self._waiting_for_open: list[Deferred[None]] = []
        self._holders = 0
        log = self._log
        self._connections = connections = Connections(is_socket=self._address is not None)
        self._protocol = RTUProtocol(
            self._bus, reactor, now, self._on_opened, self._on_unavailable, log.failed, log.health, log.sample,
            connections=connections, lost=self._on_lost, finding=log.finding,
        )
        self._noise = NoiseTimer(self._bus.noise, reactor, now, log.noise)
        self._endpoint = self._make_endpoint(partial(twin, self))
        self._supervisor = Reconnecting(
            self._endpoint, _SameProtocol(self._protocol), connections.wait, self._protocol.unavailable, reactor
        )

    def _make_endpoint(self, twin: Callable[[], str]) -> SerialEndpoint | SocketEndpoint | DialInEndpoint:
        if self._address is None:
            return SerialEndpoint(self._reactor, self.settings, twin)
        link = Link(self._address, self._framing)
        if self._address.listens:
            return DialInEndpoint(self._reactor, link, self._protocol.unavailable)
        return SocketEndpoint(self._reactor, link)

    @property
    def path(self) -> str:
        """Where the bus is."""
        return self.settings.path

    @property
    def is_supervised(self) -> bool:
        """Whether the port is open, or tries to open again and again."""
        return bool(self._supervisor.running)

    @property
    def is_open(self) -> bool:
        """Whether the device is open."""
        return self._state is State.OPEN

    @property
    def overdue(self) -> float:
        """Seconds by which the port's due work is late, for example a response timeout; 0 if it is on time."""
        return self._protocol.overdue

    @property
    def is_idle(self) -> bool:
        """Whether nobody holds the port, and no request waits or is on the wire."""
        return not self._holders and not self._bus.is_busy and not self._bus.waiting

    @property
    def is_held(self) -> bool:
        """Whether somebody keeps the port open."""
        return self._holders > 0

    def hold(self) -> Callable[[], None]:
        """Keeps the port open once it is open, however long no request comes.

        :return: a function that ends this; call it once.
        """
        self._holders += 1
        return self._let_one_go

    def _let_one_go(self) -> None:
        self._holders -= 1
        self.last_request = self._now()

    def open(self) -> Deferred[None]:
        """Opens the port if it is not open.

        :return: a Deferred that fires with None when the port is open. It fails with
            :class:`~lumina_twisted.errors.PortClosed` if the next attempt fails (further attempts still follow), if too
            many other ports are open, or if the service does not run.
        """
        if self.is_open:
            return succeed(None)
        if not self.running:
            return fail(PortClosed(f"{self.name} cannot be opened, for its service does not run"))
        if self._state is State.CLOSING:
            return self._when_closed().addCallback(lambda _: self.open())
        opened: Deferred[None] = Deferred(self._waiting_for_open.remove)
        self._waiting_for_open.append(opened)
        if not self._supervisor.running and (refused := self._open_for_request()):
            self._end_waiting(refused)
        return opened

    def request(self, caller: Caller, unit: int, pdu: bytes, terms: Terms) -> Deferred[bytes]:
        """See :meth:`lumina_twisted.ports.interfaces.Port.request`."""
        is_usual = 0 <= unit <= 255 and 0 < len(pdu) <= MAX_PDU and self._state is State.OPEN and (
            terms.serial is None and self._rules is None and terms.priority in _USUAL_PRIORITIES
        )
        if is_usual and self._supervisor.running:  # no check, no opening and no wait is needed
            self.last_request = self._now()
            serial = self._own_serials.get(unit, self.serial)
            asked = self._protocol.request(caller, unit, pdu, serial, terms)
        else:
            asked = self._request(caller, unit, pdu, terms)
        if pdu and pdu[0] in _READ_CODES:
            return asked
        return self._writes.follow(caller, unit, pdu, terms.note, asked)

    def _request(self, caller: Caller, unit: int, pdu: bytes, terms: Terms) -> Deferred[bytes]:
        if self._state is State.CLOSING and self.running:
            return self._when_closed().addCallback(lambda _: self._request(caller, unit, pdu, terms))
        try:
            check_adu(unit, pdu)
            lane_of(terms.priority)
        except RequestError as error:
            return fail(error)
        if self._rules is not None and (fault := self._rules.fault(unit, pdu)):
            return fail(self._not_allowed(caller, fault, unit, pdu))
        serial = terms.serial
        if serial is None or self._address is not None:  # behind a socket Lumina cannot set the speed
            serial = self.settings.serial_for(unit)
        elif not self.settings.takes_baudrate(serial.baudrate):
            return fail(RequestError(self._refused_baudrate(serial.baudrate), unit=unit, function_code=pdu[0]))
        self.last_request = self._now()
        if not self._supervisor.running and self.running and (refused := self._open_for_request()):
            return fail(PortClosed(refused, unit=unit, function_code=pdu[0]))
        return self._protocol.request(caller, unit, pdu, serial, terms)

    def is_full_for(self, caller: Caller, timeout: float) -> bool:
        """See :meth:`lumina_twisted.ports.interfaces.Port.is_full_for`."""
        return self._protocol.is_full_for(caller, timeout)

    def serial_for(self, unit: int) -> SerialSettings:
        """See :meth:`lumina_twisted.ports.interfaces.Port.serial_for`."""
        return self.settings.serial_for(unit)

    def describe(self) -> PortDescription:
        """See :meth:`lumina_twisted.ports.interfaces.Port.describe`."""
        return PortDescription(
            self.name, self.path, self._serial_text(), self._why, self._bus.waiting, self._bus.counters,
            lambda: self._bus.figures.report(self._now()), self._bus.health.offline_units(),
            lambda: self._bus.noise.cause(self._now()),
        )

    def watch(self, observer: HealthObserver) -> Callable[[], None]:
        """See :meth:`lumina_twisted.ports.interfaces.Port.watch`."""
        self._log.health_observers.append(observer)
        return partial(self._log.health_observers.remove, observer)

    def listen(self, observer: SampleObserver) -> Callable[[], None]:
        """See :meth:`lumina_twisted.ports.interfaces.Port.listen`."""
        self._log.sample_observers.append(observer)
        self._bus.watch_samples(True)
        return partial(self._unlisten, observer)

    def _unlisten(self, observer: SampleObserver) -> None:
        self._log.sample_observers.remove(observer)
        self._bus.watch_samples(bool(self._log.sample_observers))

    def meter(self, caller: Caller) -> None:
        """See :meth:`lumina_twisted.ports.interfaces.Port.meter`."""
        self._bus.figures.meter(caller)

    def used_by(self, caller: Caller) -> float:
        """See :meth:`lumina_twisted.ports.interfaces.Port.used_by`."""
        return self._bus.figures.used_by(caller, self._now())

    def cost_of(self, unit: int, pdu: bytes) -> float:
        """See :meth:`lumina_twisted.ports.interfaces.Port.cost_of`."""
        check_adu(unit, pdu)
        request = Request(_NOBODY, unit, pdu, self.serial_for(unit), 0.0)
        return self._bus.cost_of(request, self._now())

    def _serial_text(self) -> str:
        if self._address is None:
            return str(self.serial)
        return "Modbus TCP" if self._address.framing == "modbus" else f"RTU at {self.serial.baudrate}"

    def _not_allowed(self, caller: Caller, fault: str, unit: int, pdu: bytes) -> NotAllowed:
        error = NotAllowed(f"not on {self.name}, {fault}", unit=unit, function_code=pdu[0], frame=pdu)
        self._log.refused(caller.name, fault, error)
        return error

    def _refused_baudrate(self, baudrate: int) -> str:
        return f"{self.name} may not be used at {baudrate} baud; its configuration allows {self.settings.speeds_told}"

    def startService(self) -> None:
        """Opens the port, unless it is set to open at its first request."""
        super().startService()
        if self.settings.open == "start":
            self._open()

    def stopService(self) -> Deferred[None]:
        """Sends no further frames, lets the frame on the wire end, and closes the port.

        :return: a Deferred that fires with None within the configured ``stop_timeout``; it does not fail.
        """
        super().stopService()
        stopped = self._protocol.stop()
        cut = self._reactor.callLater(self.settings.stop_timeout, self._protocol.unavailable, _GIVEN_UP)
        stopped.addCallback(lambda _: cut.active() and cut.cancel())
        return stopped.addCallback(lambda _: self.close_device()).addCallback(self._let_go)

    def close_device(self) -> Deferred[None]:
        """Closes the device; the next request opens it again.

        :return: a Deferred that fires with None when the device is closed.
        """
        if not self._supervisor.running:
            return succeed(None)
        self._state = State.CLOSING
        closed = maybeDeferred(self._supervisor.stopService)
        # In a later reactor turn: the supervisor's state machine must be at rest before it starts again.
        return closed.addCallback(lambda _: deferLater(self._reactor, 0, self._on_closed))

    def _on_closed(self) -> None:
        self._state = State.CLOSED
        self._protocol.unavailable(f"{_CLOSED} until somebody needs it" if self.running else _CLOSED)
        waiting, self._waiting_for_close = self._waiting_for_close, []
        for deferred in waiting:
            deferred.callback(None)

    def _when_closed(self) -> Deferred[None]:
        """A Deferred that fires when the port is closed. A request that comes while the port closes waits for it."""
        closed: Deferred[None] = Deferred()
        self._waiting_for_close.append(closed)
        return closed

    def _open_for_request(self) -> str | None:
        refused = self._admit(self)
        if refused is None:
            self._open()
        return refused

    def _open(self) -> None:
        """Begins to open the port. A socket takes a moment; requests wait meanwhile."""
        self._state = State.OPENING
        self._protocol.opening()
        self._supervisor.startService()

    def _on_opened(self) -> None:
        is_back = self._state is State.RECONNECTING
        self._enter(State.OPEN, "open", is_logged=not is_back)

    def _on_unavailable(self, why: str) -> None:
        is_meant = self._state in (State.CLOSED, State.CLOSING)
        self._enter(self._state if is_meant else State.UNAVAILABLE, why)

    def _enter(self, state: State, why: str, is_logged: bool = True) -> None:
        """Enters a state and logs it if the reason changed: a device may be away for a night."""
        was, self._state, self._why = self._why, state, why
        if why != was and is_logged:
            is_in_order = state in (State.OPEN, State.CLOSED)
            self._log.state(why, is_in_order, folds=self._connections.is_fruitless)
        self._end_waiting(why)

    def _on_lost(self, why: str) -> None:
        """The connection ended, and requests wait for the next one. Some devices close connections all day."""
        if self._state is not State.CLOSING:
            self._state = State.RECONNECTING
        self._why = f"it connects again, {why}"
        self._log.lost(why)

    def _end_waiting(self, why: str) -> None:
        """Fires the Deferreds of the callers that wait for the port to open."""
        waiting, self._waiting_for_open = self._waiting_for_open, []
        while waiting:  # a callback may cancel another Deferred
            opened = waiting.pop(0)
            if self.is_open:
                opened.callback(None)
            else:
                opened.errback(PortClosed(f"{self.name} is not open, {why}"))

    def trace_frames(self, wanted: bool) -> None:
        """Turns the debug log of frames in hex on or off. It costs more than all other work for a frame."""
        self._protocol.trace = self._log.frame if wanted else None

    def _let_go(self, _: object) -> Deferred[None] | None:
        self._noise.stop()
        self._protocol.close()
        return self._endpoint.close() if isinstance(self._endpoint, DialInEndpoint) else None


class _SameProtocol(Factory):
    """Hands the port's one protocol to each new connection."""

    noisy = False

    def __init__(self, protocol: RTUProtocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> RTUProtocol:  # type: ignore[override]
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        return self._protocol
