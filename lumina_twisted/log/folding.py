"""Folding of repeated events, floor 2: they are written once and then counted, so that a dead device does not fill a
disk.

The first event passes and opens a window. The events that follow within the window are counted. The next event after
the window passes with their number, and opens a window twice as long, up to an hour. No event is lost silently: the
count is written when the repetition ends.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from attrs import define
from twisted.logger import LogEvent, LogLevel, formatEvent

LONGEST_WINDOW: Final = 3600.0
_MOST: Final = 1000
"""How many different events are counted at a time. For one more, the count whose window ends first is written."""


@define(eq=False)
class _Repeated:
    event: LogEvent
    ends: float
    window: float
    count: int = 0

    def more(self, count: int) -> str:
        """The text to append to an event that stands for ``count`` other events."""
        return f" ({count:,} more like this in {self.window:.0f} s)" if count else ""


class Folding:
    """Decides which events pass.

    :param window: seconds of the first window; 0 lets everything pass.
    :param now: a clock that never goes back, in seconds.
    :param write: called with an event that passes, and with the text to append to it.
    """

    def __init__(self, window: float, now: Callable[[], float], write: Callable[[LogEvent, str], None]) -> None:
        self._window = window
        self._now = now
        self._write = write
        self._repeated: dict[Hashable, _Repeated] = {}
        self._next_end = 0.0

    def take(self, event: LogEvent) -> None:
        """Takes one event: passes it on or counts it."""
        key = self._key(event)
        if key is None:
            self._write(event, "")
            return
        now = self._now()
        found = self._repeated.get(key)
        if found is not None and now < found.ends:
            found.count += 1
            found.event = event
        else:
            self._write(event, found.more(found.count) if found else "")
            self._watch(key, event, now, found)
        if now >= self._next_end:
            self.sweep()

    def sweep(self) -> None:
        """Writes the counts of the windows that have ended. Call it from time to time, even without events."""
        now = self._now()
        for key, found in list(self._repeated.items()):
            if now < found.ends:
                continue
            if found.count:
                self._write_count(found)
                self._watch(key, found.event, now, found)
            else:
                del self._repeated[key]
        self._next_end = min((one.ends for one in self._repeated.values()), default=now + self._window)

    def finish(self) -> None:
        """Writes the counts that are not written yet."""
        for found in self._repeated.values():
            self._write_count(found)
        self._repeated.clear()

    def _write_count(self, found: _Repeated) -> None:
        """Writes the last counted event, which stands for all of them."""
        if found.count:
            self._write(found.event, found.more(found.count - 1))

    def _watch(self, key: Hashable, event: LogEvent, now: float, before: _Repeated | None) -> None:
        """Opens a window. It is twice as long as the previous one if that counted events."""
        window = min(2 * before.window, LONGEST_WINDOW) if before and before.count else self._window
        if key not in self._repeated and len(self._repeated) >= _MOST:
            first = min(self._repeated, key=lambda other: self._repeated[other].ends)
            self._write_count(self._repeated.pop(first))
        self._repeated[key] = _Repeated(event, now + window, window)
        self._next_end = min(self._next_end, now + window)

    def _key(self, event: LogEvent) -> Hashable | None:
        """A key that is equal for events that are folded together; None for an event that is never folded."""
        level = event["log_level"]
        if not self._window or level is LogLevel.debug:
            return None
        fold = event.get("fold")
        if fold is None:
            if level is LogLevel.info:
                return None
            fold = formatEvent(event)
        return (event["log_namespace"], level, event.get("log_format"), fold)
