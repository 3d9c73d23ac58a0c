"""Ports without a wire, and devices whose answers a test sets, floor 4."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, fail

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.bus.events import Sample
from lumina_twisted.bus.figures import BusFigures
from lumina_twisted.errors import (
    LuminaError,
    OutcomeUnknown,
    PortClosed,
    RequestError,
    ResponseTimeout,
    exception_from_code,
)
from lumina_twisted.framing.rtu import OVERHEAD, decode_adu, encode_adu
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.functions import BROADCAST, EXCEPTION_FLAG, is_read
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.interfaces import HealthObserver, Port, PortDescription, SampleObserver
from lumina_twisted.priority import Priority, lane_of
from lumina_twisted.statistics.counters import Counters

Outcome = bytes | pdu.Reply | Exception | None
"""How a request ends: the reply's PDU, or the bytes of its whole RTU frame; an error; or None, when no reply comes."""


class Device(Protocol):
    """A device of a :class:`MemoryPort`, such as a :class:`lumina_twisted.simulator.device.SimulatedDevice`."""

    def answer(self, data: bytes, now: float) -> bytes | None:
        """The reply PDU to a request PDU; None if the device is silent."""
        ...


class ScriptedDevice:
    """A device whose answers a test sets: first the replies of :meth:`then`, then the reply of ``replies`` for the
    request. It answers any other request with exception 01, illegal function.

    :param replies: replies by request.
    """

    def __init__(self, replies: Mapping[pdu.Request, pdu.Reply] | None = None) -> None:
        self.replies = dict(replies or {})
        self.asked: list[pdu.Request] = []
        self._next: deque[pdu.Reply | None] = deque()

    def then(self, *replies: pdu.Reply | None) -> ScriptedDevice:
        """Adds the answers to the next requests, one for each; None is silence."""
        self._next.extend(replies)
        return self

    def answer(self, data: bytes, now: float) -> bytes | None:
        """See :class:`Device`."""
        request = pdu.decode_request(data)
        self.asked.append(request)
        reply: pdu.Reply | None
        if self._next:
            reply = self._next.popleft()
        else:
            reply = self.replies.get(request, pdu.ExceptionReply(request.function_code, 1))
        return None if reply is None else reply.encode()


@define(eq=False)
class Asked:
    """One request as a port got it; ``answer`` is the Deferred its caller holds."""

    caller: Caller
    unit: int
    pdu: bytes
    terms: Terms
    cancelled: bool = False
    tell: Callable[[Asked, bytes | None], None] = field(default=lambda asked, reply: None, repr=False)
    """Called with the PDU of the reply; with None if there is no reply."""
    answer: Deferred[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.answer = Deferred(self._cancel)

    @property
    def client(self) -> Caller:
        """The client that sent the request."""
        return self.caller

    @property
    def timeout(self) -> float:
        """Seconds that the caller waits."""
        return self.terms.timeout

    @property
    def serial(self) -> SerialSettings | None:
        """The serial settings of the request, if it has any."""
        return self.terms.serial

    @property
    def retries(self) -> int | None:
        """How often the request may be sent again, if it says so."""
        return self.terms.retries

    @property
    def response_length(self) -> int:
        """The caller's guess of the length of the reply's RTU frame, in bytes; 0 if there is none."""
        return self.terms.response_length + OVERHEAD if self.terms.response_length else 0

    @property
    def priority(self) -> Priority | None:
        """The lane of the request, if it names one."""
        return self.terms.priority

    @property
    def max_age(self) -> float | None:
        """The highest age of a value that may answer the request, in seconds, if it says so."""
        return self.terms.max_age

    @property
    def note(self) -> str:
        """The note of the request: what a write means."""
        return self.terms.note

    def _cancel(self, _: object) -> None:
        self.cancelled = True  # without firing the Deferred: cancel() itself fires it, with CancelledError

    def end(self, outcome: Outcome) -> None:
        """Ends the request: fires its Deferred, unless it was cancelled."""
        if isinstance(outcome, pdu.Reply):
            outcome = outcome.encode()
        elif isinstance(outcome, bytes) and outcome:
            outcome = decode_adu(outcome)[1]
        if isinstance(outcome, bytes | OutcomeUnknown | None):
            self.tell(self, outcome if isinstance(outcome, bytes) else None)
        if self.cancelled:
            return
        if isinstance(outcome, bytes):
            self.answer.callback(outcome)
        else:
            self.answer.errback(outcome or self._no_reply())

    def _no_reply(self) -> LuminaError:
        kind = ResponseTimeout if is_read(self.pdu) else OutcomeUnknown
        return kind(f"unit {self.unit} did not answer", unit=self.unit, function_code=self.pdu[0])


class MemoryPort:
    """A port without a wire. Implements :class:`lumina_twisted.ports.interfaces.Port`.

    The next outcome in ``script`` answers a request; if there is none, the device of its unit does. Otherwise the
    request waits, in ``waiting``, until :meth:`Asked.end` is called. ``asked`` keeps all requests.

    :param devices: devices by unit identifier.
    :param serial: serial settings, such as ``baudrate=19200``.
    """

    def __init__(
        self, name: str = "boiler", path: str = "/dev/ttyUSB0", devices: Mapping[int, Device] | None = None,
        now: Callable[[], float] = lambda: 0.0, **serial: Any,
    ) -> None:
        self.name = name
        self.path = path
        self.serial = SerialSettings(**serial)
        self.has_unit_0 = False
        self.units: dict[int, SerialSettings] = {}
        """Serial settings of units that have their own."""
        self.devices = dict(devices or {})
        self.asked: list[Asked] = []
        self.script: list[Outcome] = []
        self.closed = ""
        """The reason why the port is not open; empty while it is open."""
        self.counters = Counters()
        """The counters in :meth:`describe`. The port counts its requests; a test sets the other counters."""
        self.observers: list[HealthObserver] = []
        """The health observers; a test calls them with a :class:`~lumina_twisted.bus.health.HealthChange`."""
        self.listeners: list[SampleObserver] = []
        """Observers of each reply."""
        self.used: dict[Caller, float] = {}
        """The results of :meth:`used_by`; it returns 0 for any other caller."""
        self.cost = 0.0
        """The result of :meth:`cost_of` for any request."""
        self.figures = BusFigures(name, self.counters)
        """The other figures of the port; only the test records into them."""
        self.most_per_client = 0
        """The number of waiting requests of one client at which :meth:`is_full_for` returns True; 0: never."""
        self._now = now

    @property
    def waiting(self) -> list[Asked]:
        """The requests that have not ended."""
        return [one for one in self.asked if not one.answer.called]

    def serial_for(self, unit: int) -> SerialSettings:
        """See :meth:`lumina_twisted.ports.interfaces.Port.serial_for`."""
        return self.units.get(unit, self.serial)

    def request(self, caller: Caller, unit: int, pdu: bytes, terms: Terms) -> Deferred[bytes]:
        """See :meth:`lumina_twisted.ports.interfaces.Port.request`."""
        try:
            lane_of(terms.priority)
        except RequestError as error:
            return fail(error)
        asked = Asked(caller, unit, pdu, terms, tell=self._tell)
        self.asked.append(asked)
        self.counters.requests += 1
        if self.closed:
            asked.end(PortClosed(f"{self.name} is not open, {self.closed}", unit=unit, function_code=pdu[0]))
        elif self.script:
            asked.end(self.script.pop(0))
        elif unit in self.devices:
            asked.end(_from_device(unit, self.devices[unit].answer(pdu, self._now())))
        return asked.answer

    def is_full_for(self, caller: Caller, timeout: float) -> bool:
        """See :meth:`lumina_twisted.ports.interfaces.Port.is_full_for`."""
        own = sum(one.caller is caller for one in self.waiting) if self.most_per_client else 0
        return own > 0 and own >= self.most_per_client

    def watch(self, observer: HealthObserver) -> Callable[[], None]:
        """See :meth:`lumina_twisted.ports.interfaces.Port.watch`."""
        self.observers.append(observer)
        return lambda: self.observers.remove(observer)

    def listen(self, observer: SampleObserver) -> Callable[[], None]:
        """See :meth:`lumina_twisted.ports.interfaces.Port.listen`. An error of an observer reaches the test."""
        self.listeners.append(observer)
        return lambda: self.listeners.remove(observer)

    def _tell(self, asked: Asked, reply: bytes | None) -> None:
        if not self.listeners:
            return
        is_proven = reply is not None and asked.unit != BROADCAST
        reading, answer = is_read(asked.pdu), reply or b""
        if (answer and answer[0] & EXCEPTION_FLAG) or (reading and not is_proven):
            return
        sample = Sample(asked.unit, asked.pdu, answer, self._now(), reading, is_proven)
        for observer in list(self.listeners):
            observer(sample)

    def meter(self, caller: Caller) -> None:
        """See :meth:`lumina_twisted.ports.interfaces.Port.meter`."""
        self.used.setdefault(caller, 0.0)

    def used_by(self, caller: Caller) -> float:
        """See :meth:`lumina_twisted.ports.interfaces.Port.used_by`."""
        return self.used.get(caller, 0.0)

    def cost_of(self, unit: int, pdu: bytes) -> float:
        """See :meth:`lumina_twisted.ports.interfaces.Port.cost_of`."""
        return self.cost

    def describe(self) -> PortDescription:
        """See :meth:`lumina_twisted.ports.interfaces.Port.describe`."""
        return PortDescription(
            self.name, self.path, str(self.serial), self.closed or "open", len(self.waiting),
            self.counters, lambda: self.figures.report(self._now()),
        )


def _from_device(unit: int, reply: bytes | None) -> Outcome:
    if reply is None:
        return None
    if reply[0] & EXCEPTION_FLAG:
        return exception_from_code(reply[1], unit=unit, function_code=reply[0] & ~EXCEPTION_FLAG, frame=reply)
    return encode_adu(unit, reply)


class MemoryPorts:
    """Some ports in memory. Implements :class:`lumina_twisted.ports.interfaces.Ports`."""

    def __init__(self, *ports: MemoryPort) -> None:
        self.ports = ports

    def __iter__(self) -> Iterator[Port]:
        return iter(self.ports)

    def find(self, text: str) -> Port:
        """See :meth:`lumina_twisted.ports.interfaces.Ports.find`."""
        for port in self.ports:
            if text in {port.name, port.path}:
                return port
        known = ", ".join(f"{port.name} ({port.path})" for port in self.ports)
        raise RequestError(f"there is no port {text!r}; configured are {known}")
