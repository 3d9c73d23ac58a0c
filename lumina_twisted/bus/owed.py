"""Replies that are owed: rule 2 of the core.

RTU has no transaction id. An attempt that timed out still owes a reply, and until that has come or its late window
has lapsed, no request that the reply could be taken for (same unit, function and length) goes on the wire. A late
reply is counted, and answers nobody but its own caller.

The window begins when the response timeout ends and is as long again, plus the time the reply takes on the wire. It
grows with replies that come late, shrinks with replies in time, and is at most :data:`LONGEST_WINDOW`.
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

    __slots__ = ("awaits_echo", "count", "is_damaged", "lapses", "overdue_since", "owner")

    def __init__(self, owner: Request, overdue_since: float) -> None:
        self.owner = owner
        self.overdue_since = overdue_since
        self.count = 0
        self.is_damaged = False  # it seems to have come, damaged: its owner need not wait to ask again
        self.awaits_echo = False  # not even the echo came yet, so the first copy that comes is the echo
        self.lapses = overdue_since

    @property
    def pattern(self) -> ReplyPattern:
        """What the owed reply looks like."""
        return self.owner.pattern


class OwedReplies:
    """All that a bus is owed. A debt that has lapsed blocks nobody, and is remembered for a while so that the reply
    that comes even later teaches something."""

    def __init__(self) -> None:
        self._debts: dict[Shape, Debt] = {}
        self._learned: dict[int, float] = {}

    def __iter__(self) -> Iterator[Debt]:
        return iter(self._debts.values())

    def __len__(self) -> int:
        return len(self._debts)

    def add(self, owner: Request, overdue_since: float, window: float) -> Debt:
        """Notes that an attempt of ``owner`` got no reply by ``overdue_since``."""
        shape = owner.pattern.shape
        debt = self._debts.get(shape)
        if debt is None or debt.owner is not owner:
            debt = self._debts[shape] = Debt(owner, overdue_since)
        debt.count += 1
        debt.lapses = max(debt.lapses, overdue_since + window)
        return debt

    def window(self, unit: int, response_timeout: float, reply_time: float) -> float:
        """How long after its response timeout a reply of ``unit`` is still reckoned with, in seconds."""
        late = max(response_timeout, self._learned.get(unit, 0.0))
        return min(LONGEST_WINDOW, late + reply_time + MARGIN)

    def blocks_until(self, request: Request) -> float:
        """The time before which ``request`` may not go: a reply it could take for its own may still come."""
        debt = self._debts.get(request.pattern.shape)
        return debt.lapses if debt is not None and debt.owner is not request else 0.0

    def lapse_of(self, shape: Shape) -> float:
        """The time before which no reply of this shape can be told apart."""
        debt = self._debts.get(shape)
        return 0.0 if debt is None else debt.lapses

    def to_others(self, request: Request, now: float) -> bool:
        """Whether another request to ``request``'s unit and function is owed a reply."""
        unit, code, _ = request.pattern.shape
        return any(
            shape.unit == unit and shape.function_code == code and debt.owner is not request and debt.lapses > now
            for shape, debt in self._debts.items()
        )

    def by_pattern(self, pattern: object) -> Debt | None:
        """The debt whose reply ``pattern`` describes."""
        return next((debt for debt in self._debts.values() if debt.pattern is pattern), None)

    def settle(self, debt: Debt, now: float) -> None:
        """One owed reply came."""
        unit = debt.owner.unit
        lateness = max(0.0, now - debt.overdue_since)
        self._learned[unit] = min(LONGEST_WINDOW, max(self._learned.get(unit, 0.0), GROWTH * lateness))
        debt.count -= 1
        if debt.count <= 0:
            self._debts.pop(debt.owner.pattern.shape, None)

    def in_time(self, unit: int) -> None:
        """A reply of ``unit`` came in time."""
        if unit in self._learned:
            self._learned[unit] *= SHRINKING
            if self._learned[unit] < SHORTEST_WINDOW:
                del self._learned[unit]

    def extend(self, attempt: Attempt, window: float) -> None:
        """One of several attempts of a request was answered, and nobody can tell which: what is still owed may be the
        reply to the last one."""
        debt = self._debts.get(attempt.request.pattern.shape)
        if debt is not None and debt.owner is attempt.request and not debt.is_damaged:
            debt.lapses = max(debt.lapses, attempt.expires + window)

    def purge(self, now: float, about_to_go: Request) -> None:
        """Forgets what lapsed long ago, and what has lapsed of the request that is about to go again."""
        for shape, debt in list(self._debts.items()):
            if debt.lapses + LONGEST_WINDOW < now or (debt.owner is about_to_go and debt.lapses <= now):
                del self._debts[shape]
