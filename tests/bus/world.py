"""A bus and the world behind its port, for tests: devices that answer, late, foreign or not at all; time that moves.

The world knows what the core cannot: which request each reply was made for. It checks, whatever happens, that no
request gets another's answer, that none ends twice, that no write is confirmed which no device carried out, that
no frame begins before its silence, and that no sample is another's or claims to be younger than it is.
"""

from __future__ import annotations

import math
from typing import Any

from lumina_twisted.access.caller import Caller
from lumina_twisted.bus.bus import Bus
from lumina_twisted.bus.events import Ending, Event, Failure, Frame, Reply, Request, Sample
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.queue import Lane
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.errors import ModbusException, OutcomeUnknown
from lumina_twisted.framing.rtu import OVERHEAD, encode_adu, t3_5, wire_time
from lumina_twisted.modbus.settings import SerialSettings

BIT = 1e-9
"""Rounding of times."""


def read(unit: int, address: int, quantity: int = 1) -> bytes:
    """The frame of a read of holding registers."""
    return encode_adu(unit, bytes((3, *address.to_bytes(2, "big"), *quantity.to_bytes(2, "big"))))


def write(unit: int, address: int, value: int = 7) -> bytes:
    """The frame of a write of a single register."""
    return encode_adu(unit, bytes((6, *address.to_bytes(2, "big"), *value.to_bytes(2, "big"))))


_CALLERS: dict[object, Caller] = {}


def caller_of(client: object) -> Caller:
    """The caller that tests call so."""
    if isinstance(client, Caller):
        return client
    if client not in _CALLERS:
        _CALLERS[client] = Caller(str(client))
    return _CALLERS[client]


def ask(
    client: object, frame: bytes, serial: SerialSettings, deadline: float, *, response_length: int = 0, **options: Any
) -> Request:
    """What the RTU frame asks, as a request.

    :param response_length: bytes of the reply's RTU frame.
    """
    hint = max(0, response_length - OVERHEAD)
    return Request(caller_of(client), frame[0], frame[1:-2], serial, deadline, response_length=hint, **options)


def frame_of(request: Request | Pending) -> bytes:
    """The RTU frame of a request."""
    return encode_adu(request.unit, request.pdu)


def reply_frame(event: Reply) -> bytes:
    """The RTU frame of a reply; empty for a broadcast that was sent."""
    return encode_adu(event.request.unit, event.pdu) if event.pdu else b""


def sample_of(frame: bytes, reply: bytes, sampled_after: float, is_read: bool, is_proven: bool = True) -> Sample:
    """The sample of two RTU frames; the second may be empty."""
    return Sample(frame[0], frame[1:-2], reply[1:-2], sampled_after, is_read, is_proven)


def reply_to(frame: bytes) -> bytes:
    """What a device answers: a read with the address as the value of each register, so that answers tell whose they
    are; a write with its echo."""
    if frame[1] in (5, 6, 8):
        return frame
    if frame[1] in (15, 16):
        return encode_adu(frame[0], frame[1:6])
    if frame[1] > 4:
        return b""  # a test that asks for more says what it is
    values = frame[2:4] * int.from_bytes(frame[4:6], "big")
    if frame[1] < 3:
        values = values[: (len(values) // 2 + 7) // 8]
    return encode_adu(frame[0], bytes((frame[1], len(values))) + values)


class Sent:
    """A frame of ours that left, and whether the world has answered it."""

    def __init__(self, request_frame: bytes, at: float, until: float) -> None:
        self.frame = request_frame
        self.at = at
        self.until = until
        self.answered = False
        self.refused = False
        self.echoed = False
        self.lost = False  # no device will ever answer it


class World:
    """Plays everything but the core; ``now`` is its time.

    :param echoes: whether the adapter hands back what is sent.
    :param answers_canaries: whether the devices answer, by themselves, what the bus asks for a proof.
    """

    def __init__(
        self, settings: BusSettings | None = None, *, echoes: bool = False, opened: bool = True,
        answers_canaries: bool = False,
    ) -> None:
        self.settings = settings or BusSettings(timeout=0.1, echo="off")
        self.bus = Bus(self.settings, "tty")
        self.echoes = echoes
        self.answers_canaries = answers_canaries
        self.asked: set[bytes] = set()
        self.now = 100.0
        self.quiet_from = 100.0
        self.sent: list[Sent] = []
        self.pending: dict[Request, Pending] = {}
        self.ended: dict[Pending, Ending] = {}
        self.others: list[Event] = []
        """What came of it that is no ending and no sample."""
        self.wrong: list[str] = []
        self.order: list[Pending] = []
        self.samples: list[Sample] = []
        self.looked = math.inf  # when the device that answers now did what it was asked
        self.bus.watch_samples(True)
        if opened:
            self.bus.port_opened(self.now)
            self.now += 1
        self.collect()

    # -- what a client does ------------------------------------------------------------------------------------

    def submit(
        self, frame: bytes, client: object = "client", *, timeout: float = 5.0, retries: int | None = None,
        response_length: int = 0, baudrate: int | None = None, lane: int = Lane.NORMAL,
        max_age: float | None = None,
    ) -> Pending:
        """A request arrives."""
        serial = self.settings.serial if baudrate is None else BusSettings(baudrate=baudrate).serial
        request = ask(
            client, frame, serial, self.now + timeout, retries=retries, response_length=response_length,
            lane=lane, max_age=max_age,
        )
        self.asked.add(frame)
        pending = self.pending[request] = self.bus.submit(request, self.now)
        self.collect()
        return pending

    def cancel(self, request: Pending) -> None:
        """Its caller leaves."""
        self.bus.cancel(request, self.now)
        self.collect()

    # -- what time does ----------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Time passes; whatever is due meanwhile is done in time."""
        until = self.now + seconds
        while (due := self._next_due()) is not None and due <= until:
            self.tick()
        self.now = max(self.now, until)

    def tick(self) -> bool:
        """Time passes until the core has something to do; False if it never will."""
        due = self._next_due()
        if due is None:
            return False
        self.now = max(self.now, due)
        if self._pending_echo is not None and due == self._pending_echo.until:
            self.echo()
        elif (canary := self._pending_canary) is not None and due >= canary.until:
            self.reply(canary, after=0.0)
        else:
            self.bus.handle_timer(self.now)
            self.collect()
        return True

    def _next_due(self) -> float | None:
        """When the core, or the adapter's echo, is next."""
        due, echo = self.bus.get_timer(), self._pending_echo
        if echo is not None and (due is None or echo.until <= due):
            return echo.until
        canary = self._pending_canary
        return due if canary is None or due is None else min(due, canary.until)

    @property
    def _pending_canary(self) -> Sent | None:
        last = self.sent[-1] if self.answers_canaries and self.sent else None
        return last if last and self.is_canary(last) and not last.answered and self.bus.is_busy else None

    def is_canary(self, sent: Sent) -> bool:
        """Whether nobody but the bus itself asked that."""
        return sent.frame not in self.asked

    @property
    def _pending_echo(self) -> Sent | None:
        last = self.sent[-1] if self.echoes and self.sent else None
        return last if last and not last.echoed else None

    def run_dry(self) -> None:
        """Time passes until the core wants nothing any more."""
        for _ in range(10_000):
            if not self.tick():
                return
        raise AssertionError("the core never comes to rest")

    # -- what the wire brings ----------------------------------------------------------------------------------

    def hear(self, data: bytes, looked: float = math.inf) -> None:
        """Bytes come off the wire, now; what their device tells it knows since ``looked``."""
        self.looked = looked
        self.bus.receive_data(data, self.now)
        self.quiet_from = max(self.quiet_from, self.now)
        self.collect()

    def reply(
        self, sent: Sent | None = None, *, after: float = 0.001, refuses: bool = False, code: int = 2
    ) -> None:
        """A device answers a frame of ours: the last one, unless told; with an exception, if it refuses."""
        sent = sent or self.sent[-1]
        sent.answered, sent.refused = True, refuses
        answer = encode_adu(sent.frame[0], bytes((sent.frame[1] | 0x80, code))) if refuses else reply_to(sent.frame)
        self.echo(sent)
        self.advance(max(0.0, sent.until - self.now) + after)
        self.hear(answer, sent.until)

    def echo(self, sent: Sent | None = None) -> None:
        """The adapter hands back a frame of ours, if it is one that does."""
        sent = sent or self.sent[-1]
        if self.echoes and not sent.echoed:
            sent.echoed = True
            self.advance(max(0.0, sent.until - self.now))
            self.hear(sent.frame)

    def lose_port(self) -> None:
        """The adapter vanishes and comes back."""
        for sent in self.sent:
            sent.echoed = True  # whatever was still in it is lost
        self.bus.port_lost(self.now, "unplugged")
        self.collect()
        self.now += 0.01
        self.bus.port_opened(self.now)
        self.quiet_from = self.now
        self.collect()

    # -- what comes of it --------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Takes frames and events out of the core and checks them."""
        while frame := self.bus.next_frame():
            self._on_frame(frame)
        while event := self.bus.next_event():
            if isinstance(event, Sample):
                self._on_sample(event)
            elif isinstance(event, Reply | Failure):
                self._on_event(event)
            else:
                self.others.append(event)

    def outcome(self, request: Pending) -> Ending | None:
        """How a request ended, if it did."""
        return self.ended.get(request)

    def error(self, request: Pending) -> type | None:
        """The class of the error it ended with, if it did."""
        event = self.ended.get(request)
        return None if event is None or isinstance(event, Reply) else type(event.error)

    def _on_frame(self, frame: Frame) -> None:
        gap = self.settings.frame_gap
        silence = t3_5(frame.serial.baudrate) if gap is None else gap
        if self.now < self.quiet_from + silence - BIT:
            self.wrong.append(f"early frame: {self.now - self.quiet_from:.6f} s of silence before it")
        until = self.now + wire_time(frame.serial.baudrate, len(frame.data))
        self.quiet_from = until
        self.sent.append(Sent(frame.data, self.now, until))

    def _on_sample(self, sample: Sample) -> None:
        self.samples.append(sample)
        if not sample.is_proven:
            return
        asked = encode_adu(sample.unit, sample.request)
        if sample.reply != reply_to(asked)[1:-2]:
            self.wrong.append(f"the sample of {asked.hex()} is {sample.reply.hex()}")
        if not any(sent.answered and not sent.refused for sent in self.sent if sent.frame == asked):
            self.wrong.append(f"a sample of {asked.hex()}, and no device answered it")
        if sample.is_read and sample.sampled_after > self.looked + BIT:
            self.wrong.append(f"a sample of {self.looked:.6f} counts from {sample.sampled_after:.6f}")

    def _on_event(self, event: Ending) -> None:
        request = self.pending[event.request]
        if request in self.ended:
            self.wrong.append(f"second outcome of {frame_of(request).hex()}")
        self.ended[request] = event
        self.order.append(request)
        if not isinstance(event, Reply):
            if isinstance(event.error, ModbusException) and not any(
                sent.refused for sent in self.sent if sent.frame == frame_of(request)
            ):
                self.wrong.append(f"{frame_of(request).hex()} was given another's exception")
            was_sent = any(sent.frame == frame_of(request) for sent in self.sent)
            if not request.is_read and was_sent and request.attempts and not _tells(event):
                self.wrong.append(f"a write that was sent ended as {event}")
            return
        if request.is_broadcast or request.pdu[0] > 20:
            return
        if reply_frame(event) != reply_to(frame_of(request)):
            self.wrong.append(f"{frame_of(request).hex()} was given {reply_frame(event).hex()}")
        if not any(sent.answered for sent in self.sent if sent.frame == frame_of(request)):
            self.wrong.append(f"{frame_of(request).hex()} was confirmed, and no device answered it")


def _tells(event: Ending) -> bool:
    error = getattr(event, "error", None)
    return isinstance(error, OutcomeUnknown) or getattr(error, "token", "") == "exception"
