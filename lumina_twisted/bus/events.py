"""What goes into a bus and what comes out of it: requests, frames, samples, and one event that ends each request."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from typing import Literal, NamedTuple

from lumina_twisted.errors import ModbusError
from lumina_twisted.modbus.functions import BROADCAST, is_read
from lumina_twisted.modbus.reply import reply_pattern
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.statistics.counters import Fault


class Request:
    """One request, from its arrival to its one event.

    :param client: whose request it is; turns are taken between clients.
    :param unit: whom it asks.
    :param pdu: what it asks.
    :param serial: the settings its frame leaves with.
    :param deadline: when its caller stops waiting, in the bus's time.
    :param retries: how often it may be sent again; None for what its class and the configuration say.
    :param lane: 0 for what goes first, 1, or 2 for what can wait; see :class:`lumina_twisted.bus.queue.Lane`.
    :param max_age: how many seconds old a value may be that answers it; None for what the configuration says.
    :param response_length: bytes of the reply's PDU as the caller guesses them, for unknown functions.
    """

    __slots__ = (
        "arrived", "attempts", "busy", "canaries", "client", "cost", "deadline", "done", "ends_at", "epoch", "heard",
        "held", "is_block", "is_broadcast", "is_canary", "is_foreign", "is_given_up", "is_read", "is_refused",
        "is_waiting", "lane", "left_at", "max_age", "not_before", "number", "pattern", "pdu", "probe_for", "probed",
        "remark", "retries", "riders", "serial", "unit", "waited",
    )

    arrived: float
    """When it was submitted."""

    def __init__(
        self, client: Hashable, unit: int, pdu: bytes, serial: SerialSettings, deadline: float, *,
        retries: int | None = None, response_length: int = 0, lane: int = 1,
        max_age: float | None = None,
    ) -> None:
        self.client = client
        self.unit = unit
        self.pdu = pdu
        self.serial = serial
        self.deadline = deadline
        self.retries = retries
        self.pattern = reply_pattern(unit, pdu, response_length)
        self.is_read = is_read(pdu)
        self.is_broadcast = unit == BROADCAST
        self.probe_for: Request | None = None  # this is the bus's own read, which goes ahead of that request
        self.probed = False  # such a read has gone ahead of this one
        self.is_canary = False  # this is the bus's own, for a proof; see `canary`
        self.is_foreign = False  # another master's, which we only heard
        self.canaries = 0  # how many went ahead of it and were not answered
        self.lane = lane
        self.max_age = max_age
        self.cost = 0.0  # seconds of bus time that it will probably take
        self.is_waiting = False  # in the queue
        self.number = 0  # in the order in which the bus was given them
        self.arrived = -math.inf  # when the bus was given it
        self.attempts = 0  # how often it was put on the wire
        self.done = False  # its event is out, or its caller took it back
        self.ends_at = deadline  # when the bus gives it up
        self.not_before = -math.inf  # when it may go, again
        self.is_given_up = False  # it was sent as often as it may be
        self.is_block = False  # the bus's own, for those who ride with it; see `merging`
        self.is_refused = False  # it is told so in a moment
        self.heard: tuple[Fault, ...] = ()  # how each attempt failed that did
        self.remark = ""  # what came instead of its reply, as a part of a sentence
        self.busy = 0  # the device's exception code, if it was too busy when it was asked last
        self.riders: list[Request] = []  # those of others that its reply answers too
        self.epoch = (0, 0)  # how many writes came before it
        self.waited: float | None = None  # seconds until its first frame left; see `figures`
        self.held: float | None = None  # those for which the wire was its own
        self.left_at: float | None = None  # when its first frame had left whole, if that is known; see `samples`


class Frame(NamedTuple):
    """Bytes for the wire and the settings they leave with."""

    data: bytes
    serial: SerialSettings


class Reply(NamedTuple):
    """The request was answered; ``pdu`` is the reply's, empty for a broadcast that was sent."""

    request: Request
    pdu: bytes


class Failure(NamedTuple):
    """The request ended without a normal reply; ``error`` says how, and for a write whether it was sent."""

    request: Request
    error: ModbusError


Event = Reply | Failure


class Finding(NamedTuple):
    """What was found out about the devices of a bus.

    :param kind: ``doubled``: the unit answers requests twice; ``other_master``: somebody else asks it on the same wire.
    """

    unit: int
    kind: Literal["doubled", "other_master"]


class Findings:
    """Each finding once, until somebody takes it."""

    def __init__(self) -> None:
        self._known: set[Finding] = set()
        self.new: deque[Finding] = deque()
        """Not yet taken, oldest first."""

    def add(self, finding: Finding) -> None:
        """It was found out, perhaps again."""
        if finding not in self._known:
            self._known.add(finding)
            self.new.append(finding)


class Sample(NamedTuple):
    """What the wire told of a device's state; see :mod:`lumina_twisted.bus.samples`.

    :param request: the PDU that was sent to ``unit``.
    :param reply: the PDU that answered it; empty if none did, or none is due.
    :param sampled_after: in the bus's time. Of a read: the device looked at what it tells then or later. Of a write:
        it was carried out then or later, and what was read before may be different now.
    :param is_read: whether the request left the device as it was.
    :param is_proven: whether the reply leaves no doubt. If not, what the request writes may have changed, and has to be
        read again.
    """

    unit: int
    request: bytes
    reply: bytes
    sampled_after: float
    is_read: bool
    is_proven: bool = True
