"""A request as the bus keeps it, from its arrival to its end. Floor 1.

The table :data:`STEPS` holds these rules:

* If the port or the unit of a request is not there, or the bus is overloaded, the request is REFUSED, and ends a moment
  later. Any other request waits in the queue (WAITING), or follows a read that waits there (FOLLOWING). It may also go
  on the wire or end at once.
* A request leaves the queue when its frame goes on the wire (ON_WIRE). When its reply comes, it is DONE.
* If no reply comes, or the device is busy, the request goes back to the queue to be sent again (RETRY_LATER). If it has
  no retries left, it stays in the queue until its late reply comes or is no longer expected (AWAITING_LATE_REPLY).
* A request ends once. While its transaction runs, its caller may leave, its deadline may pass, or its broadcast may
  have left completely. Then the transaction goes on without a caller (ABANDONED), because the wire is not free. If
  other reads follow it, it may even be sent again for them (ABANDONED_RETRY). The bus's own canaries and echo probes
  never have a caller.
* If a primary fails for a reason of its own, each of its followers waits in the queue for a turn of its own, or follows
  another read.

A step that breaks these rules raises :class:`IllegalStep`. That is a bug in the bus, never a fault of a client or a
device.
"""

from __future__ import annotations

import math
from enum import IntEnum, auto
from typing import Final, NamedTuple, Protocol

from lumina_twisted.bus.events import Request
from lumina_twisted.modbus.functions import is_read
from lumina_twisted.modbus.read_range import LENGTH, PLAIN_READS
from lumina_twisted.modbus.reply import reply_pattern
from lumina_twisted.statistics.counters import Fault


class State(IntEnum):
    """Where a request is."""

    NEW = auto()
    REFUSED = auto()
    WAITING = auto()
    FOLLOWING = auto()
    ON_WIRE = auto()
    RETRY_LATER = auto()
    AWAITING_LATE_REPLY = auto()
    ABANDONED = auto()
    ABANDONED_RETRY = auto()
    DONE = auto()


STEPS: Final[dict[State, frozenset[State]]] = {
    State.NEW: frozenset({
        State.REFUSED, State.WAITING, State.FOLLOWING, State.ON_WIRE, State.ABANDONED, State.DONE,
    }),
    State.REFUSED: frozenset({State.DONE}),
    State.WAITING: frozenset({State.REFUSED, State.FOLLOWING, State.ON_WIRE, State.DONE}),
    State.FOLLOWING: frozenset({State.REFUSED, State.WAITING, State.FOLLOWING, State.DONE}),
    State.ON_WIRE: frozenset({State.RETRY_LATER, State.AWAITING_LATE_REPLY, State.ABANDONED, State.DONE}),
    State.RETRY_LATER: frozenset({State.ON_WIRE, State.DONE}),
    State.AWAITING_LATE_REPLY: frozenset({State.DONE}),
    State.ABANDONED: frozenset({State.ABANDONED_RETRY, State.DONE}),
    State.ABANDONED_RETRY: frozenset({State.ABANDONED, State.DONE}),
    State.DONE: frozenset(),
}
"""For each state, the states that may follow it."""
QUEUED: Final = frozenset({State.WAITING, State.RETRY_LATER, State.AWAITING_LATE_REPLY, State.ABANDONED_RETRY})
"""The states of a request in the queue."""
WITHOUT_CALLER: Final = frozenset({State.ABANDONED, State.ABANDONED_RETRY, State.DONE})
"""The states of a request for whose end nobody waits."""


class IllegalStep(RuntimeError):
    """A request was about to take a step that the rules do not allow."""

    def __init__(self, before: State, after: State) -> None:
        super().__init__(f"a request that is {before.name} cannot become {after.name}")
        self.before = before
        self.after = after


class Kind(IntEnum):
    """Whose request it is."""

    CALLER = auto()
    """A caller's."""
    BLOCK = auto()
    """The bus's own read in place of its followers; see :mod:`lumina_twisted.bus.merging`."""
    CANARY = auto()
    """The bus's own request for a proof; see :mod:`lumina_twisted.bus.canary`."""
    ECHO_PROBE = auto()
    """The bus's own read that shows whether the port echoes; see :mod:`lumina_twisted.bus.echo`."""
    OTHER_MASTER = auto()
    """Another master's, which the bus only received."""


class Estimate:
    """The estimates for the transactions of one shape, in seconds.

    ``cost`` is the bus time of a transaction, answered or not, including the silence before it. ``answered`` is the
    time from the first byte of an answered request to its reply. ``cost_at`` and ``answered_at`` are the times of their
    last updates.
    """

    __slots__ = ("answered", "answered_at", "cost", "cost_at")

    def __init__(self) -> None:
        self.cost = self.answered = 0.0
        self.cost_at = self.answered_at = -math.inf


class Pending:
    """One request and its state in the bus. ``request`` is the caller's; fields of it that are read often are copied.

    :param kind: whose request it is.
    :param ahead_of: for the bus's own request, the caller's request that it goes ahead of.
    """

    __slots__ = (
        "ahead_of", "arrived", "attempts", "busy", "caller", "canaries", "cost", "deadline", "ends_at", "epoch",
        "estimate", "followers", "heard", "held", "is_broadcast", "is_probed", "is_read", "kind", "lane",
        "least_time", "left_at", "not_before", "number", "pattern", "pdu", "remark", "request", "serial", "span",
        "state", "unit", "waited",
    )

    def __init__(
        self, request: Request, kind: Kind = Kind.CALLER, ahead_of: Pending | None = None, is_broadcast: bool = False
    ) -> None:
        self.request = request
        self.kind = kind
        self.state = State.NEW
        self.ahead_of = ahead_of
        self.caller = request.caller
        self.unit = unit = request.unit
        self.pdu = pdu = request.pdu
        self.serial = request.serial
        self.deadline = self.ends_at = request.deadline  # `ends_at`: when the bus gives it up
        self.lane = request.lane
        self.pattern = reply_pattern(unit, pdu, request.response_length)
        self.span: tuple[int, int] | None = None  # the range of a plain read as (first, last + 1)
        if len(pdu) == LENGTH and pdu[0] in PLAIN_READS:
            first = pdu[1] << 8 | pdu[2]
            self.span = first, first + (pdu[3] << 8 | pdu[4])
        self.is_read = self.span is not None or is_read(pdu)  # also set for a canary, which changes nothing
        self.is_broadcast = is_broadcast  # it is for every device, and no device answers it
        self.number = 0  # in the order of submission
        self.arrived = self.not_before = -math.inf  # the time of submission; the earliest time for the next attempt
        self.epoch = (0, 0)  # how many writes to its unit, and to all units, came before it
        self.cost = 0.0  # seconds of bus time that it will probably take
        self.estimate: Estimate | None = None  # the estimate of its shape, set by `admission`
        self.least_time = 0.0  # seconds that it takes at least, set together with `estimate`
        self.followers: list[Pending] = []  # reads of other clients that its reply answers too
        self.attempts = 0  # how often it was put on the wire
        self.canaries = 0  # how many unanswered canaries went ahead of it
        self.is_probed = False  # an echo probe has gone ahead of it
        self.heard: tuple[Fault, ...] = ()  # for each failed attempt, how it failed
        self.remark = ""  # what came instead of its reply, as a part of a sentence
        self.busy = 0  # the exception code with which the device said that it is busy; else 0
        self.waited: float | None = None  # seconds until its first frame left; see `figures`
        self.held: float | None = None  # seconds for which it used the wire
        self.left_at: float | None = None  # when its first frame had left completely, if known; see `samples`

    def step(self, state: State) -> None:
        """Moves the request to another state.

        :raises IllegalStep: if the rules do not allow that step.
        """
        if state not in STEPS[self.state]:
            raise IllegalStep(self.state, state)
        self.state = state

    @property
    def done(self) -> bool:
        """Whether nobody waits for its end: it has ended, or its caller has left, or it never had a caller."""
        return self.state in WITHOUT_CALLER


class Outcome(IntEnum):
    """How a transaction ended."""

    REPLY = auto()
    """Its reply came in time."""
    LATE_REPLY = auto()
    """Its reply came after it had ended without one: the second record of that transaction."""
    NO_REPLY = auto()
    """No reply came in time."""
    HELD = auto()
    """A reply came too soon and is held; it counts only after a proof."""
    BROADCAST = auto()
    """No reply was due."""
    PORT_LOST = auto()
    """The port was lost during the transaction, which tells nothing about the unit."""
    NOT_SENT = auto()
    """The frame could not be sent."""


class Finished(NamedTuple):
    """A transaction that has ended, or whose reply came late. Times are the bus's.

    :param reply: the PDU of the reply; empty if none came.
    :param began: when the first byte of the frame left.
    :param sent_until: when the last byte had left.
    :param ended: when the transaction ended, or its late reply came.
    """

    request: Pending
    outcome: Outcome
    reply: bytes
    began: float
    sent_until: float
    ended: float


class Learner(Protocol):
    """Learns from each transaction of a bus."""

    def began(self, request: Pending, silent_from: float, sent_until: float) -> None:
        """A frame leaves now. Its last byte leaves at ``sent_until``. The silence before the frame was complete at
        ``silent_from``."""
        ...

    def finished(self, transaction: Finished) -> None:
        """A transaction has ended. The bus calls this before it ends the request."""
        ...
