"""The RTU protocol of a port, floor 2: the one place where a bus's events become Deferreds.

The protocol and its bus outlive the transport: a factory returns the same protocol each time the port opens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure as TwistedFailure

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.bus.bus import Bus, Renewal
from lumina_twisted.bus.events import Event, Failure, Finding, Frame, HealthChange, Reply, Request, Sample
from lumina_twisted.bus.pending import Pending
from lumina_twisted.errors import Cancelled, FrameError, ModbusError, OutcomeUnknown, PortError
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.serial import why_lost
from lumina_twisted.ports.timer import make_timer
from lumina_twisted.priority import LANES
from lumina_twisted.reconnecting import Connections


class RTUProtocol(Protocol):
    """Drives a bus over the port's present transport.

    :param reactor: for the timer.
    :param now: a clock that never goes back, in seconds.
    :param opened: called when the port is open.
    :param closed: called with a sentence that says why the port is not open.
    :param failed: called with each request that ends without a normal reply, and its error.
    :param health: called when a unit goes offline or comes back online.
    :param sample: called with each sample, if the bus's samples are watched, before the request that caused it ends.
    :param connections: decides whether requests wait for the next connection when this one ends.
    :param finding: receives what the bus finds out about its devices.
    :param lost: called with the reason when a connection ends and requests wait for the next one.
    """

    def __init__(
        self, bus: Bus, reactor: Any, now: Callable[[], float], opened: Callable[[], None] = lambda: None,
        closed: Callable[[str], None] = lambda why: None,
        failed: Callable[[Request, ModbusError], None] = lambda request, error: None,
        health: Callable[[HealthChange], None] = lambda change: None,
        sample: Callable[[Sample], None] = lambda sample: None, *, connections: Connections | None = None,
        lost: Callable[[str], None] = lambda why: None, finding: Callable[[Finding], None] = lambda finding: None,
    ) -> None:
        self._bus = bus
        self._now = now
        self._opened = opened
        self._closed = closed
        self._failed = failed
        self._health = health
        self._sample = sample
        self._connections = connections or Connections(is_socket=False)
        self._lost = lost
        self._finding = finding
        self._deferreds: dict[Request, Deferred[bytes]] = {}
        self._is_delivering = False
        self.trace: Callable[[str, bytes], None] | None = None
        """If set, called with the bytes of each frame sent (``>``) and of each piece received (``<``)."""
        self._timer = make_timer(reactor, now, self._on_timer)
        self._waiting_for_idle: list[Deferred[None]] = []

    # -- what Twisted calls --------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The port is open."""
        self._connections.began(self._now(), *self._traffic)
        self._bus.port_opened(self._now())
        self._opened()  # a callback may send a request at once
        self._pump()

    def dataReceived(self, data: bytes) -> None:
        """Bytes came off the wire. They arrived earlier than now, by at least the time that a wake-up takes."""
        if self.trace is not None:
            self.trace("<", data)
        try:
            self._bus.receive_data(data, self._now() - self._timer.anticipation)
        except FrameError as error:
            transport: Any = self.transport
            transport.not_understood(str(error))
        self._pump()

    def connectionLost(self, reason: TwistedFailure | None = None) -> None:
        """The port is gone."""
        self.transport = None
        if self._bus.renewal is Renewal.WANTED:
            self._connections.cut()
            self._bus.connection_lost(self._now(), "")
        elif reason is None or reason.check(ConnectionDone):
            self.unavailable("it was closed")
        else:
            self._end(why_lost(reason.value))

    def _end(self, why: str) -> None:
        """The connection ended, and Lumina did not close it."""
        now = self._now()
        if self._connections.ended(now, *self._traffic):
            self._bus.connection_lost(now, f"it was lost ({why})")
            self._lost(why)
            self._pump()
        elif self._connections.is_fruitless:
            self.unavailable(f"it was lost ({why}), and so were those before, each without a reply; it tries again")
        else:
            self.unavailable(f"it was lost ({why}) and is opened again as soon as it is back")

    @property
    def _traffic(self) -> tuple[int, int]:
        """How many frames were sent and how many replies were received so far."""
        return self._bus.counters.frames, self._bus.replies_heard

    @property
    def overdue(self) -> float:
        """Seconds by which the bus's next timer is late, for example a response timeout; 0 if it is on time."""
        due = self._bus.get_timer()
        return 0.0 if due is None else max(0.0, self._now() - due)

    # -- what the port's service calls ---------------------------------------------------------------------------

    def request(
        self, caller: Caller, unit: int, pdu: bytes, serial: SerialSettings, terms: Terms
    ) -> Deferred[bytes]:
        """See :meth:`lumina_twisted.ports.interfaces.Port.request`. The frame is sent with the settings ``serial``. The
        Deferred fires with the reply's PDU."""
        now = self._now()
        request = Request(
            caller, unit, pdu, serial, now + terms.timeout, terms.retries, LANES[terms.priority], terms.max_age,
            terms.response_length,
        )
        pending = self._bus.submit(request, now)
        deferred: Deferred[bytes] = Deferred(lambda _: self._cancelled(pending))
        self._deferreds[request] = deferred
        self._pump()
        return deferred

    def is_full_for(self, caller: Caller, timeout: float) -> bool:
        """See :meth:`lumina_twisted.ports.interfaces.Port.is_full_for`."""
        return self._bus.is_full_for(caller, timeout, self._now())

    def _cancelled(self, pending: Pending) -> None:
        """The caller cancelled its request."""
        deferred = self._deferreds.pop(pending.request)
        self._bus.cancel(pending, self._now())
        self._pump()
        kind = OutcomeUnknown if pending.attempts and not pending.is_read else Cancelled
        state = "it was on the wire" if pending.attempts else "it was not sent"
        deferred.errback(kind(f"cancelled by its caller, {state}", unit=pending.unit, function_code=pending.pdu[0]))

    def opening(self) -> None:
        """An attempt to open the port begins; requests wait for its result."""
        self._bus.port_opening()

    def unavailable(self, why: str) -> None:
        """The port is not open, and this sentence says why."""
        self._bus.port_lost(self._now(), why)
        self._closed(why)
        self._pump()

    def stop(self) -> Deferred[None]:
        """Sends no further frames.

        :return: a Deferred that fires with None when the frame on the wire has ended; it does not fail.
        """
        self._bus.stop(self._now())
        self._pump()
        return self.when_idle()

    def when_idle(self) -> Deferred[None]:
        """A Deferred that fires with None when no frame of this port is on the wire."""
        if not self._bus.is_busy:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting_for_idle.append(waiting)
        return waiting

    def close(self) -> None:
        """Closes the timer; no call may follow."""
        self._timer.close()

    # -- the pump ------------------------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        self._bus.handle_timer(self._now())
        self._pump()

    def _pump(self) -> None:
        """Takes the results of the last call from the bus: frames first, then events, in order.

        A callback may make a request, which calls the pump again. That inner pump writes frames only. The outer pump
        delivers the events one after the other, each to all its receivers before the next.
        """
        bus = self._bus
        frames, events = bus.frames, bus.events
        while frames:
            self._write(frames.popleft())
        if self._is_delivering:
            return
        if events:
            self._is_delivering = True
            try:
                while events:
                    self._deliver(events.popleft())
            finally:
                self._is_delivering = False
        self._timer.set(bus.get_timer())
        if self._waiting_for_idle and not bus.is_busy:
            waiting, self._waiting_for_idle = self._waiting_for_idle, []
            for deferred in waiting:
                deferred.callback(None)

    def _write(self, frame: Frame) -> None:
        try:
            self.transport.send_frame(frame.data, frame.serial)  # type: ignore[union-attr]
        except PortError as refused:
            self._bus.frame_refused(str(refused), self._now())
            return
        if self.trace is not None:
            self.trace(">", frame.data)

    def _cut_connection(self) -> None:
        """Cuts the connection; the port's supervisor connects again."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def _deliver(self, event: Event) -> None:
        if isinstance(event, Reply):
            deferred = self._deferreds.pop(event.request, None)
            if deferred is not None:  # None: the callback of an earlier event cancelled it
                deferred.callback(event.pdu)
        elif isinstance(event, Failure):
            deferred = self._deferreds.pop(event.request, None)
            if deferred is not None:
                self._failed(event.request, event.error)
                deferred.errback(event.error)
        elif isinstance(event, Sample):
            self._sample(event)
        elif isinstance(event, HealthChange):
            self._health(event)
        elif isinstance(event, Finding):
            self._finding(event)
        else:
            self._cut_connection()
