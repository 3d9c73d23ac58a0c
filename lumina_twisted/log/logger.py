"""The mission's logger (M4), floor 2: for programs of users, with or without Twisted."""

from __future__ import annotations

import re
from typing import Final

from twisted.logger import Logger

from lumina_twisted.log.observer import LogObserver, make_observer
from lumina_twisted.log.settings import Console, Level, LogSettings
from lumina_twisted.schema import structure

_observers: Final[dict[tuple[str, str, str, str], LogObserver]] = {}
"""Loggers of one program that write the same file share what writes it."""


class LuminaLogger:
    """Logs to the console and to ``DIRECTORY/NAME.log``, which is rotated at 5 MB and each day.

    :param name: of the program or the part; stands in each line.
    :param directory: of the file; empty for none.
    :param level: what is less important is not logged.
    :param console: ``text``, ``json``, ``journal``, ``off``, or ``auto`` for what fits.
    :raises ConfigError: if one of these cannot be.
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
        """For whoever looks for a fault."""
        self._log.debug("{message}", message=str(message))

    def info(self, message: object) -> None:
        """What happens as it should."""
        self._log.info("{message}", message=str(message))

    def warning(self, message: object) -> None:
        """What somebody should look at."""
        self._log.warn("{message}", message=str(message))

    def error(self, message: object) -> None:
        """What failed."""
        self._log.error("{message}", message=str(message))

    def critical(self, message: object) -> None:
        """What the program cannot go on after."""
        self._log.critical("{message}", message=str(message))

    def flush(self) -> None:
        """Waits, two seconds at most, until all is written; the end of the program does so by itself."""
        self._observer.close()
