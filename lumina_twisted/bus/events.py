"""What goes into a bus and what comes out of it. Floor 1.

A caller's :class:`Request` goes in, and the bus changes nothing of it. Out come frames for the wire, and one stream of
events in the order in which things happened: each request ends with one :class:`Reply` or :class:`Failure`, unless its
caller takes it back; what the wire says of a device's state is a :class:`Sample`, which comes before the ending that it
belongs to; the rest says what the bus found out about its units and its connection.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Literal, NamedTuple

from attrs import frozen

from lumina_twisted.access.caller import Caller
from lumina_twisted.errors import ModbusError
from lumina_twisted.modbus.settings import SerialSettings


@frozen(eq=False, slots=False)  # a port makes one for each request; without slots that takes two thirds of the time
class Request:
    """What a caller asks.

    :param caller: whose request it is; turns are taken between callers.
    :param unit: whom it asks.
    :param pdu: what it asks.
    :param serial: the settings its frame leaves with.
    :param deadline: when its caller stops waiting, in the bus's time.
    :param retries: how often it may be sent again; None for what its class and the configuration say.
    :param lane: 0 for what goes first, 1, or 2 for what can wait; see :class:`lumina_twisted.bus.queue.Lane`.
    :param max_age: how many seconds old a value may be that answers it; None for what the configuration says.
    :param response_length: bytes of the reply's PDU as the caller guesses it, for unknown functions; 0 if it does not.
    """

    caller: Caller
    unit: int
    pdu: bytes
    serial: SerialSettings
    deadline: float
    retries: int | None = None
    lane: int = 1
    max_age: float | None = None
    response_length: int = 0


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


Ending = Reply | Failure
"""How a request ends."""


class UnitState(Enum):
    """What is known of a unit."""

    ONLINE = "online"
    SUSPECT = "suspect"
    OFFLINE = "offline"
    PROBING = "probing"


class HealthChange(NamedTuple):
    """A unit went offline, or is back online."""

    unit: int
    serial: SerialSettings
    state: UnitState


class Sample(NamedTuple):
    """What the wire says of a device's state; see :mod:`lumina_twisted.bus.samples`.

    :param request: the PDU that was sent to ``unit``.
    :param reply: the PDU that answered it; empty if none did, or none is due.
    :param sampled_after: in the bus's time. Of a read: the device looked at its values then or later. Of a write: it
        was carried out then or later, and what was read before may be different now.
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


class Finding(NamedTuple):
    """What was found out about the devices of a bus.

    :param kind: ``doubled``: the unit answers requests twice; ``other_master``: somebody else asks it on the same wire.
    """

    unit: int
    kind: Literal["doubled", "other_master"]


class RenewalWanted(NamedTuple):
    """The connection shall be cut and made anew.

    :param unheard: attempts in a row during which not one byte came.
    """

    unheard: int


Event = Reply | Failure | Sample | HealthChange | Finding | RenewalWanted
Events = deque[Event]
"""The stream of a bus, until somebody takes it, oldest first."""


class Findings:
    """Reports each finding once.

    :param events: where it goes.
    """

    def __init__(self, events: Events) -> None:
        self._known: set[Finding] = set()
        self._events = events

    def add(self, finding: Finding) -> None:
        """It was found out, perhaps again."""
        if finding not in self._known:
            self._known.add(finding)
            self._events.append(finding)
