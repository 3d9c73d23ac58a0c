"""Events that repeat themselves, floor 2: told once, then counted, so that a dead device does not fill a disk.

The first passes. Those that follow within the window are counted; the next one after it passes with their number, and
opens a window twice as long, up to an hour. None is lost silently: what was counted is told when the repetition ends.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from attrs import define
from twisted.logger import LogEvent, LogLevel, formatEvent

LONGEST_WINDOW: Final = 3600.0
_MOST: Final = 1000
"""Different events that are watched at a time; beyond, the one whose window ends first is told."""


@define(eq=False)
class _Repeated:
    event: LogEvent
    ends: float
    window: float
    count: int = 0


class Folding:
    """Decides what passes.

    :param window: seconds of the first window; 0 lets everything pass.
    :param now: a clock that never goes back, in seconds.
    :param tell: given an event that passes, and what is appended to its text.
    """

    def __init__(self, window: float, now: Callable[[], float], tell: Callable[[LogEvent, str], None]) -> None:
        self._window = window
        self._now = now
        self._tell = tell
        self._repeated: dict[Hashable, _Repeated] = {}
        self._next_end = 0.0

    def take(self, event: LogEvent) -> None:
        """One event."""
        key = self._key(event)
        if key is None:
            self._tell(event, "")
            return
        now = self._now()
        found = self._repeated.get(key)
        if found is None:
            self._tell(event, "")
            self._watch(key, _Repeated(event, now + self._window, self._window))
        elif now < found.ends:
            found.count += 1
            found.event = event
        else:
            self._tell(event, _more(found))
            window = min(2 * found.window, LONGEST_WINDOW) if found.count else self._window
            self._watch(key, _Repeated(event, now + window, window))
        if now >= self._next_end:
            self.sweep()

    def sweep(self) -> None:
        """Tells what has come to its end; to be called now and then, also if nothing happens."""
        now = self._now()
        for key, found in list(self._repeated.items()):
            if now >= found.ends:
                if not found.count:
                    del self._repeated[key]
                    continue
                self._tell_last(found)
                window = min(2 * found.window, LONGEST_WINDOW)
                self._repeated[key] = _Repeated(found.event, now + window, window)
        self._next_end = min((one.ends for one in self._repeated.values()), default=now + self._window)

    def finish(self) -> None:
        """Tells all that was only counted."""
        for found in self._repeated.values():
            if found.count:
                self._tell_last(found)
        self._repeated.clear()

    def _tell_last(self, found: _Repeated) -> None:
        """The last of those that were counted stands for all of them."""
        found.count -= 1
        self._tell(found.event, _more(found))

    def _watch(self, key: Hashable, one: _Repeated) -> None:
        if key not in self._repeated and len(self._repeated) >= _MOST:
            first = min(self._repeated, key=lambda other: self._repeated[other].ends)
            oldest = self._repeated.pop(first)
            if oldest.count:
                self._tell_last(oldest)
        self._repeated[key] = one
        self._next_end = min(self._next_end, one.ends)

    def _key(self, event: LogEvent) -> Hashable | None:
        """What makes two events the same; None for one that is never folded."""
        level = event["log_level"]
        if not self._window or level is LogLevel.debug:
            return None
        fold = event.get("fold")
        if fold is None:
            if level is LogLevel.info:
                return None
            fold = formatEvent(event)
        return (event["log_namespace"], level, event.get("log_format"), fold)


def _more(found: _Repeated) -> str:
    return f" ({found.count:,} more like this in {found.window:.0f} s)" if found.count else ""
