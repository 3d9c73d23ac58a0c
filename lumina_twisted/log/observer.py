"""The log of a program, floor 2: its settings, the observer that writes each event to the sinks, and the logger of the
mission (M4).
"""

from __future__ import annotations

import pathlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal

from attrs import Factory, field, frozen
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from zope.interface import implementer

from lumina_twisted.log.folding import Folding
from lumina_twisted.log.lines import STYLES, Style, console_style
from lumina_twisted.log.rotating import RotatingFile
from lumina_twisted.log.writer import StandardOutput, Writer, complain
from lumina_twisted.schema import Between, setting, structure

Level = Literal["debug", "info", "warn", "error", "critical"]
Console = Literal["auto", "text", "json", "journal", "off"]

_RANK: Final = {level: number for number, level in enumerate(LogLevel.iterconstants())}
"""The rank of each level, from debug up to critical."""
ROOT: Final = "lumina."
"""The first part of Lumina's own namespaces; the configuration may omit it."""


@frozen(kw_only=True, slots=False)
class LogSettings:
    """What is logged, and where to."""

    console: Console = setting(
        "auto", "how standard output is written: text, json, journal (for systemd), off; auto: journal under systemd,"
        " else text",
    )
    directory: str = setting("logs", "folder of the log files, made if it is missing; empty: no files")
    format: Literal["text", "json"] = setting("text", "how the files are written")
    file_size: Annotated[int, Between(10_000, 10**12)] = setting(
        5_000_000, "no file is larger; a new one is begun before, and on each day", unit="bytes"
    )
    keep: Annotated[int, Between(1, 100_000)] = setting(30, "older files that are kept")
    level: Level = setting("info", "what is less important than this is not logged")
    levels: dict[str, Level] = field(
        default=Factory(dict),
        metadata={"doc": 'other levels by part, as "port.boiler" = "debug", which logs its frames', "unit": ""},
    )
    fold: Annotated[float, Between(0, 3600)] = setting(
        60.0, "an event that repeats itself is written again only after so long, with the number of repetitions; while"
        " it goes on, up to an hour; 0: each is written", unit="s",
    )
    buffer: Annotated[int, Between(100, 10_000_000)] = setting(
        10_000, "lines that may wait for a slow disk or terminal; what exceeds them is dropped and counted"
    )


@implementer(ILogObserver)
class LogObserver:
    """Writes each event to all writers, each in its own style.

    :param level: events below it are not written.
    :param levels: other levels by part: a namespace, or the beginning of one; ``lumina.`` may be left out.
    :param now: a clock that never goes back, for the folding.
    """

    def __init__(
        self, writers: list[tuple[Writer, Style]], level: str = "info", levels: Mapping[str, str] | None = None,
        fold: float = 0.0, now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writers = writers
        self._default = _rank(level)
        self._parts = {part.removeprefix(ROOT): _rank(one) for part, one in (levels or {}).items()}
        self._lowest: dict[str, int] = {}
        self._folding = Folding(fold, now, self._write)

    def __call__(self, event: LogEvent) -> None:
        """Takes one event; does not block and does not raise."""
        event.setdefault("log_namespace", "-")
        event.setdefault("log_level", LogLevel.info)
        event.setdefault("log_time", time.time())
        if _RANK.get(event["log_level"], 1) >= self._lowest_of(event["log_namespace"]):
            self._folding.take(event)

    def is_logged(self, namespace: str, level: str) -> bool:
        """Whether an event of this namespace and level would be written. For events that are expensive to make."""
        return _rank(level) >= self._lowest_of(namespace)

    def sweep(self) -> None:
        """Writes the counts of repetitions that are due. Call it every few seconds."""
        self._folding.sweep()

    def close(self) -> None:
        """Writes the counts of repetitions, and waits a short time until all lines are written."""
        self._folding.finish()
        for writer, _ in self._writers:
            writer.flush()

    def _write(self, event: LogEvent, more: str) -> None:
        for writer, style in self._writers:
            writer.put(style(event, more))

    def _lowest_of(self, namespace: str) -> int:
        """The lowest rank at which events of this namespace are written."""
        found = self._lowest.get(namespace)
        if found is None:
            part = namespace.removeprefix(ROOT)
            while part and part not in self._parts:
                part = part.rpartition(".")[0]
            found = self._lowest[namespace] = self._parts.get(part, self._default)
        return found


def make_observer(
    settings: LogSettings, file_name: str = "lumina.log", *, report: Callable[[str], None] = complain,
    stamp: Callable[[], float] = time.time, now: Callable[[], float] = time.monotonic,
) -> LogObserver:
    """The observer that ``settings`` describe. Nothing is opened before the first event.

    :param file_name: the name of the file in the settings' directory.
    :param report: called with a sentence when a file cannot be written.
    :param stamp: the time of day, which decides when a new day's file begins.
    """
    writers: list[tuple[Writer, Style]] = []
    console = console_style(settings.console)
    if console is not None:
        writers.append((Writer(StandardOutput(), "standard output", settings.buffer, lambda _: None), console))
    if settings.directory:
        path = pathlib.Path(settings.directory) / file_name
        file, style = RotatingFile(path, settings.file_size, settings.keep, stamp), STYLES[settings.format]

        def line(sentence: str) -> bytes:
            return style({
                "log_namespace": "lumina.log", "log_level": LogLevel.warn, "log_time": stamp(),
                "log_format": "{sentence}", "sentence": sentence,
            }, "")

        writers.append((Writer(file, f"the log {path}", settings.buffer, report, line), style))
    return LogObserver(writers, settings.level, settings.levels, settings.fold, now)


def _rank(name: str) -> int:
    return _RANK[LogLevel.levelWithName(name)]


_observers: Final[dict[tuple[str, str, str, str], LogObserver]] = {}
"""The observers of this program; loggers with the same arguments share one, and so its file."""


class LuminaLogger:
    """Logs to the console and to ``DIRECTORY/NAME.log``, which is rotated at 5 MB and each day.

    :param name: the name of the program or of its part; it stands in each line.
    :param directory: the folder of the file; empty for no file.
    :param level: events below this level are not logged.
    :param console: ``text``, ``json``, ``journal``, ``off``, or ``auto``: ``journal`` under systemd, else ``text``.
    :raises ConfigError: if one of these is invalid.
    """

    def __init__(
        self, name: str, *, directory: str = "logs", level: Level = "debug", console: Console = "auto"
    ) -> None:
        key = (directory, name, level, console)
        if key not in _observers:
            given = {"directory": directory, "level": level, "console": console}
            file_name = re.sub(r"[^\w.-]", "_", name) + ".log"
            _observers[key] = make_observer(structure(given, LogSettings, "LuminaLogger"), file_name)
        self._observer = _observers[key]
        self._log = Logger(namespace=name, observer=self._observer)

    def debug(self, message: object) -> None:
        """Logs a detail for debugging."""
        self._log.debug("{message}", message=str(message))

    def info(self, message: object) -> None:
        """Logs an expected event."""
        self._log.info("{message}", message=str(message))

    def warning(self, message: object) -> None:
        """Logs an event that somebody should look at."""
        self._log.warn("{message}", message=str(message))

    def error(self, message: object) -> None:
        """Logs a failure."""
        self._log.error("{message}", message=str(message))

    def critical(self, message: object) -> None:
        """Logs a failure that ends the program."""
        self._log.critical("{message}", message=str(message))

    def flush(self) -> None:
        """Waits at most two seconds until all lines are written. The end of the program does the same."""
        self._observer.close()
