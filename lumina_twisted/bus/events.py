"""The inputs and outputs of a bus. Floor 1.

The input is a caller's :class:`Request`, which the bus does not change. The outputs are frames for the wire, and one
stream of events in the order in which things happened. Each request ends with one :class:`Reply` or :class:`Failure`,
unless its caller cancels it. A :class:`Sample` is an observation of a device's state; it comes before the ending that
it belongs to. The other events report what the bus found out about its units and its connection.
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
    """A caller's request.

    :param caller: whose request it is; the bus takes turns between callers.
    :param unit: the unit that it is for.
    :param pdu: the PDU to send.
    :param serial: the serial settings of its frame.
    :param deadline: when its caller stops waiting, in the bus's time.
    :param retries: how often it may be sent again; None for what the configuration says for its class.
    :param lane: 0 goes first, 1 is normal, 2 can wait; see :class:`lumina_twisted.bus.queue.Lane`.
    :param max_age: the greatest age in seconds of a cached value that may answer it; None for the configured age.
    :param response_length: the caller's guess of the length of the reply's PDU, for unknown functions; 0 for no guess.
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
    """Bytes for the wire and the serial settings to send them with."""

    data: bytes
    serial: SerialSettings


class Reply(NamedTuple):
    """The request was answered; ``pdu`` is the reply's, empty for a broadcast that was sent."""

    request: Request
    pdu: bytes


class Failure(NamedTuple):
    """The request ended without a normal reply. ``error`` says why, and for a write whether it was sent."""

    request: Request
    error: ModbusError


Ending = Reply | Failure
"""How a request ends."""


class UnitState(Enum):
    """Whether a unit answers."""

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
    """An observation of a device's state; see :mod:`lumina_twisted.bus.samples`.

    :param request: the PDU that was sent to ``unit``.
    :param reply: the PDU that answered it; empty if none did, or if none is due.
    :param sampled_after: in the bus's time. The device took the values of a read at this time or later. It carried out
        a write at this time or later, so values that were read before may have changed.
    :param is_read: whether the request leaves the device unchanged.
    :param is_proven: whether the reply leaves no doubt. If not, the values that the request writes may have changed,
        and have to be read again.
    """

    unit: int
    request: bytes
    reply: bytes
    sampled_after: float
    is_read: bool
    is_proven: bool = True


class Finding(NamedTuple):
    """A fact that the bus found out about a device.

    :param kind: ``doubled``: the unit answers requests twice; ``other_master``: another master on the wire asks it.
    """

    unit: int
    kind: Literal["doubled", "other_master"]


class RenewalWanted(NamedTuple):
    """The owner of the port should cut the connection and make a new one.

    :param unheard: attempts in a row without a received byte.
    """

    unheard: int


Event = Reply | Failure | Sample | HealthChange | Finding | RenewalWanted
Events = deque[Event]
"""The events of a bus that nobody has taken yet, oldest first."""


class Findings:
    """Reports each finding once.

    :param events: receives the findings.
    """

    def __init__(self, events: Events) -> None:
        self._known: set[Finding] = set()
        self._events = events

    def add(self, finding: Finding) -> None:
        """Reports a finding, unless it has been reported before."""
        if finding not in self._known:
            self._known.add(finding)
            self._events.append(finding)
