"""Ports without a wire, and devices that answer as a test says, floor 4."""

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
    """What stands behind a :class:`MemoryPort`; a :class:`lumina_twisted.simulator.device.SimulatedDevice` is one."""

    def answer(self, data: bytes, now: float) -> bytes | None:
        """The reply PDU to a request PDU, or None if it is silent."""
        ...


class ScriptedDevice:
    """Answers as a test says: first what :meth:`then` lines up, then what ``replies`` has for the request; anything
    else with exception 01, illegal function.

    :param replies: by request.
    """

    def __init__(self, replies: Mapping[pdu.Request, pdu.Reply] | None = None) -> None:
        self.replies = dict(replies or {})
        self.asked: list[pdu.Request] = []
        self._next: deque[pdu.Reply | None] = deque()

    def then(self, *replies: pdu.Reply | None) -> ScriptedDevice:
        """What it answers next, one each; None is silence."""
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
    """Called with the reply's PDU, or None if none comes."""
    answer: Deferred[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.answer = Deferred(self._cancel)

    @property
    def client(self) -> Caller:
        """Whose request it is."""
        return self.caller

    @property
    def timeout(self) -> float:
        """Seconds that its caller waits."""
        return self.terms.timeout

    @property
    def serial(self) -> SerialSettings | None:
        """The settings that it brings, if any."""
        return self.terms.serial

    @property
    def retries(self) -> int | None:
        """How often it may be sent again, if it says so."""
        return self.terms.retries

    @property
    def response_length(self) -> int:
        """Bytes of the reply's RTU frame as its caller guesses it; 0 if it does not."""
        return self.terms.response_length + OVERHEAD if self.terms.response_length else 0

    @property
    def priority(self) -> Priority | None:
        """Its lane, if it says so."""
        return self.terms.priority

    @property
    def max_age(self) -> float | None:
        """Seconds that a value may be old that answers it, if it says so."""
        return self.terms.max_age

    @property
    def note(self) -> str:
        """What a write means."""
        return self.terms.note

    def _cancel(self, _: object) -> None:
        self.cancelled = True  # and does not fire: Deferred.cancel() does then, with CancelledError

    def end(self, outcome: Outcome) -> None:
        """Fires the Deferred, unless its caller is gone."""
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

    A request is answered by the next outcome in ``script``; else by the device of its unit; else it waits, in
    ``waiting``, until :meth:`Asked.end` is called. ``asked`` keeps all of them.

    :param devices: by unit identifier.
    :param serial: serial settings, as ``baudrate=19200``.
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
        """Why it is not open; empty while it is."""
        self.counters = Counters()
        """What :meth:`describe` gives; its requests are counted, a test sets the rest."""
        self.observers: list[HealthObserver] = []
        """Those who watch; a test calls them with a :class:`~lumina_twisted.bus.health.HealthChange`."""
        self.listeners: list[SampleObserver] = []
        """Observers of each reply."""
        self.used: dict[Caller, float] = {}
        """What :meth:`used_by` gives; 0 for anybody else."""
        self.cost = 0.0
        """What :meth:`cost_of` gives for any request."""
        self.figures = BusFigures(name, self.counters)
        """The rest of its figures; nothing records into them but the test."""
        self.most_per_client = 0
        """How many requests of one client may wait until :meth:`is_full_for` says so; 0: any number."""
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
        """See :meth:`lumina_twisted.ports.interfaces.Port.listen`. What it raises reaches the test."""
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
    """Some of them. Implements :class:`lumina_twisted.ports.interfaces.Ports`."""

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
