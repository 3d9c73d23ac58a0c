"""A request as the bus keeps it, from its arrival to its end. Floor 1.

The rules, which :data:`STEPS` has as a table:

* A request that is refused because its port, or its unit, is not there is REFUSED: it ends a moment later. Any other
  waits in the queue (WAITING), or a read that waits there is asked for it too (FOLLOWING).
* It leaves the queue when its frame goes on the wire (ON_WIRE). If its reply comes, it is DONE.
* If no reply comes, or the device is busy, it is back in the queue to be sent again (RETRY_LATER). If it was sent as
  often as it may be, it is there until its late reply comes, or is not reckoned with any more (AWAITING_LATE_REPLY).
* A request ends once. If its caller leaves, or its deadline passes, or a broadcast has left, while the transaction
  runs, then that goes on without a caller (ABANDONED), for the wire is not free. If others follow that read, it may
  even be sent again for them (ABANDONED_RETRY). What the bus asks of its own for a proof never has a caller.
* What follows another read is asked for by itself, in the queue, if the other one came to nothing for a reason of its
  own.

Whoever breaks these rules gets :class:`IllegalStep`: a fault of ours, never of a client's or a device's.
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
"""Which state may follow which."""
QUEUED: Final = frozenset({State.WAITING, State.RETRY_LATER, State.AWAITING_LATE_REPLY, State.ABANDONED_RETRY})
"""In the queue."""
WITHOUT_CALLER: Final = frozenset({State.ABANDONED, State.ABANDONED_RETRY, State.DONE})
"""Nobody waits for its end."""


class IllegalStep(RuntimeError):
    """A request was to take a step that the rules do not have."""

    def __init__(self, before: State, after: State) -> None:
        super().__init__(f"a request that is {before.name} cannot become {after.name}")
        self.before = before
        self.after = after


class Kind(IntEnum):
    """Whose request it is."""

    CALLER = auto()
    """A caller's."""
    BLOCK = auto()
    """The bus's own read for those that follow it; see :mod:`lumina_twisted.bus.merging`."""
    CANARY = auto()
    """The bus's own, for a proof; see :mod:`lumina_twisted.bus.canary`."""
    ECHO_PROBE = auto()
    """The bus's own read that shows whether the port echoes; see :mod:`lumina_twisted.bus.echo`."""
    OTHER_MASTER = auto()
    """Another master's, which was only heard."""


class Estimate:
    """What is known of the transactions of one shape, in seconds: what they ``cost``, answered or not, with the silence
    before each; how long after its first byte one is ``answered``, if it is; and when either was learned last."""

    __slots__ = ("answered", "answered_at", "cost", "cost_at")

    def __init__(self) -> None:
        self.cost = self.answered = 0.0
        self.cost_at = self.answered_at = -math.inf


class Pending:
    """One request and all that the bus knows of it. ``request`` is the caller's; what is read often stands here too.

    :param kind: whose it is.
    :param ahead_of: the caller's request that the bus's own one goes ahead of.
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
        self.span: tuple[int, int] | None = None  # of a plain read: its first entry, and the one behind its last
        if len(pdu) == LENGTH and pdu[0] in PLAIN_READS:
            first = pdu[1] << 8 | pdu[2]
            self.span = first, first + (pdu[3] << 8 | pdu[4])
        self.is_read = self.span is not None or is_read(pdu)  # or it changes nothing, as a canary
        self.is_broadcast = is_broadcast  # it is to every device, and nobody answers it
        self.number = 0  # in the order in which the bus was given them
        self.arrived = self.not_before = -math.inf  # when the bus was given it; when it may go, again
        self.epoch = (0, 0)  # how many writes came before it
        self.cost = 0.0  # seconds of bus time that it will probably take
        self.estimate: Estimate | None = None  # what is known of its shape, once `admission` has looked that up
        self.least_time = 0.0  # seconds that it takes at least, from then on
        self.followers: list[Pending] = []  # reads of others that its reply answers too
        self.attempts = 0  # how often it was put on the wire
        self.canaries = 0  # how many went ahead of it and were not answered
        self.is_probed = False  # an echo probe has gone ahead of it
        self.heard: tuple[Fault, ...] = ()  # how each attempt failed that did
        self.remark = ""  # what came instead of its reply, as a part of a sentence
        self.busy = 0  # the device's exception code, if it was too busy when it was asked last
        self.waited: float | None = None  # seconds until its first frame left; see `figures`
        self.held: float | None = None  # those for which the wire was its own
        self.left_at: float | None = None  # when its first frame had left whole, if that is known; see `samples`

    def step(self, state: State) -> None:
        """It is in this state from now on.

        :raises IllegalStep: if that cannot follow the state it is in.
        """
        if state not in STEPS[self.state]:
            raise IllegalStep(self.state, state)
        self.state = state

    @property
    def done(self) -> bool:
        """Whether nobody waits for its end: it is out, or its caller has left, or it never had one."""
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
    """A reply came too soon; whether it counts has to be proven."""
    BROADCAST = auto()
    """No reply was due."""
    PORT_LOST = auto()
    """The port was lost meanwhile: that says nothing of the unit."""
    NOT_SENT = auto()
    """The frame could not be sent."""


class Finished(NamedTuple):
    """A transaction that has ended, or whose reply came late. Times are the bus's.

    :param reply: its PDU; empty if none came.
    :param began: when the first byte of its frame left.
    :param sent_until: when the last one had left.
    :param ended: when it ended, or its late reply came.
    """

    request: Pending
    outcome: Outcome
    reply: bytes
    began: float
    sent_until: float
    ended: float


class Learner(Protocol):
    """What learns from each transaction of a bus."""

    def began(self, request: Pending, silent_from: float, sent_until: float) -> None:
        """A frame leaves now. It could have left from ``silent_from`` on but for its turn; its last byte leaves at
        ``sent_until``."""
        ...

    def finished(self, transaction: Finished) -> None:
        """It has ended; called before its request does."""
        ...
