"""From an event to the sinks, floor 2: level, folding, one line for each style."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Final

from twisted.logger import ILogObserver, LogEvent, LogLevel
from zope.interface import implementer

from lumina_twisted.log.folding import Folding
from lumina_twisted.log.lines import STYLES, Style, console_style
from lumina_twisted.log.rotating import RotatingFile
from lumina_twisted.log.settings import LogSettings
from lumina_twisted.log.writer import Console, Writer, complain

_RANK: Final = {level: number for number, level in enumerate(LogLevel.iterconstants())}
"""From debug to critical."""
ROOT: Final = "lumina."
"""What the configuration leaves out of the names of our own parts."""


class Levels:
    """Which level each part logs from.

    :param levels: by part: a namespace, or the beginning of one; ``lumina.`` may be left out.
    """

    def __init__(self, level: str, levels: Mapping[str, str]) -> None:
        self._default = _rank(level)
        self._parts = {part.removeprefix(ROOT): _rank(one) for part, one in levels.items()}
        self._known: dict[str, int] = {}

    def lowest(self, namespace: str) -> int:
        """The rank from which on ``namespace`` is logged."""
        found = self._known.get(namespace)
        if found is None:
            found = self._known[namespace] = self._find(namespace.removeprefix(ROOT))
        return found

    def _find(self, part: str) -> int:
        while part:
            if part in self._parts:
                return self._parts[part]
            part = part.rpartition(".")[0]
        return self._default


@implementer(ILogObserver)
class LogObserver:
    """Writes events to some writers, each in its style.

    :param now: a clock that never goes back, for the folding.
    """

    def __init__(
        self, writers: list[tuple[Writer, Style]], level: str = "info", levels: Mapping[str, str] | None = None,
        fold: float = 0.0, now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writers = writers
        self._levels = Levels(level, levels or {})
        self._folding = Folding(fold, now, self._tell)

    def __call__(self, event: LogEvent) -> None:
        """One event; does not wait and does not raise."""
        event.setdefault("log_namespace", "-")
        event.setdefault("log_level", LogLevel.info)
        event.setdefault("log_time", time.time())
        if _RANK.get(event["log_level"], 1) >= self._levels.lowest(event["log_namespace"]):
            self._folding.take(event)

    def is_logged(self, namespace: str, level: str) -> bool:
        """Whether such an event would be written; for those that cost much to make."""
        return _rank(level) >= self._levels.lowest(namespace)

    def sweep(self) -> None:
        """Tells the repetitions whose time has come; to be called every few seconds."""
        self._folding.sweep()

    def close(self) -> None:
        """Tells what was only counted, and waits a short time until all is written."""
        self._folding.finish()
        for writer, _ in self._writers:
            writer.flush()

    def _tell(self, event: LogEvent, more: str) -> None:
        for writer, style in self._writers:
            writer.put(style(event, more))


def make_observer(
    settings: LogSettings, file_name: str = "lumina.log", *, report: Callable[[str], None] = complain,
    stamp: Callable[[], float] = time.time, now: Callable[[], float] = time.monotonic,
) -> LogObserver:
    """The observer that ``settings`` describe. Nothing is opened before the first event.

    :param file_name: of the file in the settings' directory.
    :param report: told in a sentence what keeps a file from being written.
    :param stamp: the time of day, for the days of files.
    """
    writers: list[tuple[Writer, Style]] = []
    console = console_style(settings.console)
    if console is not None:
        writers.append((Writer(Console(), "standard output", settings.buffer, lambda _: None), console))
    if settings.directory:
        path = pathlib.Path(settings.directory) / file_name
        file, style = RotatingFile(path, settings.file_size, settings.keep, stamp), STYLES[settings.format]
        writers.append((
            Writer(file, f"the log {path}", settings.buffer, report, lambda told: style(_own(told, stamp()), "")), style
        ))
    return LogObserver(writers, settings.level, settings.levels, settings.fold, now)


def _own(sentence: str, stamp: float) -> LogEvent:
    return {
        "log_namespace": "lumina.log", "log_level": LogLevel.warn, "log_time": stamp, "log_format": "{sentence}",
        "sentence": sentence,
    }


def _rank(name: str) -> int:
    return _RANK[LogLevel.levelWithName(name)]
