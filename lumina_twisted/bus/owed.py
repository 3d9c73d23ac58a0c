"""Replies that are owed: rule 2 of the core.

RTU has no transaction id. An attempt that timed out still owes a reply, and until that has come or its late window
has lapsed, no request that the reply could be taken for (same unit, function and length) goes on the wire. A late
reply is counted, and answers nobody but its own caller.

The window begins when the response timeout ends and is as long again, plus the time the reply takes on the wire. It
grows with replies that come late, shrinks with replies in time, and is at most :data:`LONGEST_WINDOW`.

Behind a socket no window is enough: a link that stalls for a minute then hands over everything it was sent, in order.
There a debt is *open* until the reply to a request that was sent after it has come (nothing older can follow it), or
until the connection is a new one; then its window counts.

Where replies are numbered (Modbus TCP) the socket drops what does not carry an open number: nothing is held back for a
late reply, which may still answer its own caller until the connection ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lumina_twisted.bus.events import Request
from lumina_twisted.bus.transaction import Attempt
from lumina_twisted.modbus.reply import ReplyPattern, Shape

LONGEST_WINDOW: Final = 5.0
GROWTH: Final = 1.5
"""A window is this much longer than the longest lateness seen."""
SHRINKING: Final = 0.98
"""By which each reply in time multiplies what was learned."""
MARGIN: Final = 0.05
"""What a device, a driver and a busy machine may add, in seconds."""
SHORTEST_WINDOW: Final = 0.01
"""What was learned is forgotten when it has shrunk to so many seconds."""


class Debt:
    """What one shape is owed: ``count`` replies to ``owner``'s attempts.

    All of them are one request's, for no other of this shape went out meanwhile; so they lapse together.
    """

    __slots__ = ("awaits_echo", "count", "first", "is_damaged", "is_open", "lapses", "last", "overdue_since", "owner")

    def __init__(self, owner: Request, overdue_since: float, number: int, is_open: bool) -> None:
        self.owner = owner
        self.overdue_since = overdue_since
        self.count = 0
        self.first = self.last = number  # of its attempts
        self.is_open = is_open  # the socket may still hold its reply, however long that takes
        self.is_damaged = False  # it seems to have come, damaged: its owner need not wait to ask again
        self.awaits_echo = False  # not even the echo came yet, so the first copy that comes is the echo
        self.lapses = overdue_since

    @property
    def pattern(self) -> ReplyPattern:
        """What the owed reply looks like."""
        return self.owner.pattern


class OwedReplies:
    """All that a bus is owed. A debt that has lapsed blocks nobody, and is remembered for a while so that the reply
    that comes even later teaches something.

    :param over_stream: whether replies come over a stream, which delays and never loses.
    :param numbered: whether each reply says whose it is, so that nothing need wait for it.
    """

    def __init__(self, over_stream: bool = False, numbered: bool = False) -> None:
        self._over_stream = over_stream
        self._numbered = numbered
        self.debts: dict[Shape, Debt] = {}
        """By shape; for looking at."""
        self._learned: dict[int, float] = {}

    def __iter__(self) -> Iterator[Debt]:
        return iter(self.debts.values())

    def __len__(self) -> int:
        return len(self.debts)

    def add(self, owner: Request, overdue_since: float, window: float, number: int = 0) -> Debt:
        """Notes that attempt ``number`` of the bus, one of ``owner``'s, got no reply by ``overdue_since``."""
        shape = owner.pattern.shape
        debt = self.debts.get(shape)
        if debt is None or debt.owner is not owner:
            debt = self.debts[shape] = Debt(owner, overdue_since, number, self._over_stream)
        debt.count += 1
        debt.last, debt.is_open = number, self._over_stream
        debt.lapses = max(debt.lapses, overdue_since + window)
        return debt

    def window(self, unit: int, response_timeout: float, reply_time: float) -> float:
        """How long after its response timeout a reply of ``unit`` is still reckoned with, in seconds."""
        late = max(response_timeout, self._learned.get(unit, 0.0))
        return min(LONGEST_WINDOW, late + reply_time + MARGIN)

    def blocks_until(self, request: Request) -> float:
        """The time before which ``request`` may not go: a reply it could take for its own may still come."""
        debt = None if self._numbered else self.debts.get(request.pattern.shape)
        return debt.lapses if debt is not None and debt.owner is not request else 0.0

    def is_open(self, request: Request) -> bool:
        """Whether the socket may still hold another's reply that ``request`` could take for its own."""
        debt = self.debts.get(request.pattern.shape)
        return debt is not None and debt.is_open and debt.owner is not request

    def heard(self, request: Request, number: int) -> None:
        """The reply to attempt ``number``, or to one of its request before, came: what is older comes no more."""
        own = self.debts.get(request.pattern.shape)
        if own is not None and own.owner is request:
            number = own.first
        for debt in self.debts.values():
            if debt.last < number:
                debt.is_open = False

    def renewed(self, now: float) -> None:
        """The connection is a new one: what the old one held is gone, what the device does late is not, but where
        replies are numbered."""
        if self._numbered:
            self.debts.clear()
        for debt in self.debts.values():
            if debt.is_open:
                debt.is_open = False
                late = max(debt.lapses - debt.overdue_since, self._learned.get(debt.owner.unit, 0.0))
                debt.lapses = max(debt.lapses, now + min(LONGEST_WINDOW, late))

    def lapse_of(self, shape: Shape) -> float:
        """The time before which no reply of this shape can be told apart."""
        debt = None if self._numbered else self.debts.get(shape)
        return 0.0 if debt is None else debt.lapses

    def to_others(self, request: Request, now: float) -> bool:
        """Whether another request to ``request``'s unit and function is owed a reply."""
        unit, code, _ = request.pattern.shape
        return not self._numbered and any(
            shape.unit == unit and shape.function_code == code and debt.owner is not request
            and (debt.is_open or debt.lapses > now)
            for shape, debt in self.debts.items()
        )

    def by_pattern(self, pattern: object) -> Debt | None:
        """The debt whose reply ``pattern`` describes."""
        return next((debt for debt in self.debts.values() if debt.pattern is pattern), None)

    def settle(self, debt: Debt, now: float) -> None:
        """One owed reply came."""
        unit = debt.owner.unit
        lateness = max(0.0, now - debt.overdue_since)
        self._learned[unit] = min(LONGEST_WINDOW, max(self._learned.get(unit, 0.0), GROWTH * lateness))
        debt.count -= 1
        if debt.count <= 0:
            self.debts.pop(debt.owner.pattern.shape, None)

    def in_time(self, unit: int) -> None:
        """A reply of ``unit`` came in time."""
        if unit in self._learned:
            self._learned[unit] *= SHRINKING
            if self._learned[unit] < SHORTEST_WINDOW:
                del self._learned[unit]

    def extend(self, attempt: Attempt, window: float) -> None:
        """One of several attempts of a request was answered, and nobody can tell which: what is still owed may be the
        reply to the last one."""
        debt = self.debts.get(attempt.request.pattern.shape)
        if debt is not None and debt.owner is attempt.request and not debt.is_damaged:
            debt.lapses = max(debt.lapses, attempt.expires + window)
            debt.last = attempt.number

    def purge(self, now: float, about_to_go: Request) -> None:
        """Forgets what lapsed long ago, and what has lapsed of the request that is about to go again."""
        for shape, debt in list(self.debts.items()):
            lapsed_long_ago = debt.lapses + LONGEST_WINDOW < now
            if not debt.is_open and (lapsed_long_ago or (debt.owner is about_to_go and debt.lapses <= now)):
                del self.debts[shape]
