"""Which units make a bus lose time, and when the log reports them. Floor 1.

Retries hide a bad cable until it is so bad that the retries fail too. So the log names a unit whose attempts fail
repeatedly, with the kinds of the failures, while its requests still succeed. The log repeats this, less and less often,
while the failures go on, and reports once when they are over. A single error on a serial bus is not worth a report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from lumina_twisted.bus.figures import BusFigures
from lumina_twisted.errors import OutcomeUnknown, ResponseTimeout
from lumina_twisted.statistics.counters import DAMAGED, FAILED, Fault, Faults, failures_text

FIRST_LOOK: Final = 10.0
"""Seconds from the first failure to the first check for more failures."""
LOOK_EVERY: Final = 60.0
"""Seconds between two checks; also the time without a failure after which a unit can be in order again."""
LONGEST_PAUSE: Final = 3600.0
"""Seconds between two reports on a unit, at most: the pause doubles each time."""
MEMORY: Final = 600.0
"""Seconds for which a few failures are added up; after that they count as single errors."""
FEW: Final = 3
"""Fewer failures than this in that time count as single errors."""
ENOUGH: Final = 20
"""Attempts in a row without a failure that a unit needs to be in order again."""
NOT_YET: Final = -1
RARE: Final = 0.01
"""A smaller share of failed attempts is not reported, because nobody can repair its cause."""
MUCH: Final = 0.1
"""If failed attempts take at least this share of the time, they are the reason why the bus is slow."""
_WIRING: Final = "check the wiring, its termination and bias, and that no two units share an address"
_TOO_SLOW: Final = "it answers later than its timeout; raise that"
_SILENT: Final = "check its power and the wiring, and whether it is slower than its timeout"


class Trouble(NamedTuple):
    """The faults of one unit in the last ``seconds``.

    :param attempts: frames that were sent to the unit.
    :param counts: the faults by kind, in the order of :class:`Fault`.
    :param unanswered: requests that ended without a reply, after all retries.
    :param lost: seconds that attempts without a reply in time took on the wire.
    """

    unit: int
    seconds: float
    attempts: int
    counts: tuple[int, ...]
    unanswered: int
    lost: float

    @property
    def failed(self) -> int:
        """Attempts without a usable reply."""
        return sum(self.counts[kind] for kind in FAILED)

    @property
    def is_news(self) -> bool:
        """Whether to report it. A unit that is only silent is off, not noisy; another module reports that."""
        enough = max(sum(self.counts[kind] for kind in DAMAGED), self.counts[Fault.HEALED]) >= FEW
        return enough and self.failed >= RARE * self.attempts

    @property
    def share(self) -> float:
        """The share of the time that failed attempts took, from 0 to 1."""
        return min(1.0, self.lost / self.seconds) if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        kinds = failures_text(dict(zip(Fault, self.counts, strict=True)))
        return f"{self.failed} of {self.attempts} attempts failed in the last {_span(self.seconds)} ({kinds})"

    @property
    def outcome(self) -> str:
        """How the requests ended, as text."""
        healed, lost = self.counts[Fault.HEALED], self.unanswered
        if not healed:
            return f"{_requests(lost)} got no answer"
        return f"retries healed {_requests(healed)}, {lost or 'none'} got no answer"

    @property
    def remedy(self) -> str:
        """The advice for this trouble."""
        if any(self.counts[kind] for kind in DAMAGED):
            return _WIRING
        return _TOO_SLOW if 2 * self.counts[Fault.LATE] >= self.failed else _SILENT


class _Span:
    """The time from which one unit is watched, and its counts at that time."""

    __slots__ = ("begin", "clean_from", "is_named", "last", "pause", "since")

    def __init__(self, since: float, begin: Trouble) -> None:
        self.since = self.last = since
        self.begin = begin
        self.clean_from = begin.attempts  # the attempts counted at the first check after the last failure
        self.pause = LOOK_EVERY
        self.is_named = False


class NoiseWatch:
    """Watches the faults of the units on one bus.

    The owner of the clock sets :attr:`on_begin`. After that is called, the owner calls :meth:`look` after a while, and
    again as long as :attr:`is_watching` is True. While nothing fails, the watch does no work. It watches at most 256
    units, the number of unit addresses.
    """

    def __init__(self, figures: BusFigures, faults: Faults, port: str) -> None:
        self._figures = figures
        self._faults = faults
        self._port = port
        self._spans: dict[int, _Span] = {}
        self.on_begin: Callable[[], None] = lambda: None
        """Called when the watch begins, because an attempt failed."""
        faults.on_failed = self._failed

    @property
    def is_watching(self) -> bool:
        """Whether any unit is watched."""
        return bool(self._spans)

    def _failed(self, unit: int) -> None:
        now = self._figures.called_before  # the failed attempt has used the wire since then
        span = self._spans.get(unit)
        if span is not None:
            span.last, span.clean_from = now, NOT_YET
            return
        was_watching = self.is_watching
        self._spans[unit] = _Span(now, self._counted(unit, 0.0))
        if not was_watching:
            self.on_begin()

    def look(self, now: float) -> Iterator[tuple[int, bool, str]]:
        """Yields the reports that are due: the unit, whether it is in trouble, and the text."""
        for unit, span in list(self._spans.items()):
            trouble = self._trouble(unit, span, now)
            if said := self._look_at(span, trouble, now):
                yield unit, span.is_named, f"unit {unit} on {self._port}: {said}"
            if (said and not span.is_named) or self._is_forgotten(span, now):
                del self._spans[unit]
            elif said:
                self._begin_anew(unit, span, now)

    def _look_at(self, span: _Span, trouble: Trouble, now: float) -> str:
        attempts = span.begin.attempts + trouble.attempts
        if span.clean_from == NOT_YET:
            span.clean_from = attempts
        if span.is_named and now - span.last >= LOOK_EVERY and attempts - span.clean_from >= ENOUGH:
            span.is_named = False
            return f"no attempt has failed for {_span(now - span.last)}; it is in order again"
        if trouble.is_news and (not span.is_named or now - span.since >= span.pause):
            span.pause = min(2 * span.pause, LONGEST_PAUSE) if span.is_named else LOOK_EVERY
            span.is_named = True
            return f"{trouble}, {trouble.outcome}; {trouble.remedy}"
        return ""

    @staticmethod
    def _is_forgotten(span: _Span, now: float) -> bool:
        """Whether the few failures of a unit were single errors, or no client asks that unit any more."""
        quiet = now - span.last
        return quiet > LONGEST_PAUSE if span.is_named else quiet >= LOOK_EVERY and now - span.since > MEMORY

    def _begin_anew(self, unit: int, span: _Span, now: float) -> None:
        span.since, span.begin = now, self._counted(unit, 0.0)

    def cause(self, now: float) -> str:
        """Why the bus is slow, as text, if failed attempts take much of its time; else an empty text."""
        if not self._spans:
            return ""
        troubles = [self._trouble(unit, span, now) for unit, span in self._spans.items()]
        share = sum(one.share for one in troubles)
        if share < MUCH:
            return ""
        worst = max(troubles, key=lambda one: one.share)
        return f"failed attempts take {min(share, 1.0):.0%} of the bus: unit {worst.unit}, {worst}; {worst.remedy}"

    def _trouble(self, unit: int, span: _Span, now: float) -> Trouble:
        end, begin = self._counted(unit, now - span.since), span.begin
        return Trouble(
            unit, end.seconds, end.attempts - begin.attempts,
            tuple(after - before for before, after in zip(begin.counts, end.counts, strict=True)),
            end.unanswered - begin.unanswered, end.lost - begin.lost,
        )

    def _counted(self, unit: int, seconds: float) -> Trouble:
        """The counts of a unit so far."""
        port = self._figures.port
        port.settle()
        tally = port.unit(unit)
        unanswered = sum(tally.errors.get(kind.token, 0) for kind in (ResponseTimeout, OutcomeUnknown))
        return Trouble(unit, seconds, tally.sent, tuple(self._faults.of(unit).counts), unanswered, tally.lost)


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
