"""Log events as lines, floor 2: as text, as JSON, and in the form that systemd's journal reads."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Final

from twisted.logger import LogEvent, LogLevel, formatEvent

from lumina_twisted.text import shown, shown_lines

_PRIORITY: Final = {
    LogLevel.debug: 7, LogLevel.info: 6, LogLevel.warn: 4, LogLevel.error: 3, LogLevel.critical: 2,
}
"""The journal's priority of each level (sd-daemon(3))."""

Style = Callable[[LogEvent, str], bytes]
"""Makes a line from an event and the text to append to it."""


def text_of(event: LogEvent) -> str:
    """The text of an event, with its traceback. A foreign name in the text cannot add a line."""
    text = formatEvent(event)
    text = shown_lines(text) if _may_have_lines(event) else shown(text)
    failure = event.get("log_failure")
    if failure is not None:
        try:
            text = f"{text}\n{shown_lines(failure.getTraceback())}".rstrip()
        except Exception:
            text = f"{text}\n(its traceback cannot be shown)"
    return text


def _may_have_lines(event: LogEvent) -> bool:
    """Whether the text may have several lines. Lumina's events have one line unless ``log_lines`` is set; other events
    may have more."""
    return bool(event.get("log_lines")) or not str(event["log_namespace"]).startswith("lumina")


def as_text(event: LogEvent, more: str = "") -> bytes:
    """``2026-11-20T23:10:00.123+0100 [lumina.port.boiler#warn] what happened``."""
    stamp = event["log_time"]
    local = time.localtime(stamp)
    when = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{int(stamp % 1 * 1000):03d}{time.strftime('%z', local)}"
    text = _indented(text_of(event) + more)
    return f"{when} [{event['log_namespace']}#{event['log_level'].name}] {text}\n".encode("utf-8", "replace")


def as_json(event: LogEvent, more: str = "") -> bytes:
    """One JSON object a line: time (seconds since 1970), level, name, message, and the event's own plain values."""
    line = {
        "time": round(event["log_time"], 6), "level": event["log_level"].name, "name": event["log_namespace"],
        "message": text_of(event) + more,
    }
    for key, value in event.items():
        if not key.startswith("log_") and key not in line and isinstance(value, str | int | float | bool):
            line[key] = value
    return json.dumps(line, ensure_ascii=True).encode() + b"\n"


def for_journal(event: LogEvent, more: str = "") -> bytes:
    """Lines with the priority in front, and without the time, which the journal adds."""
    head = f"<{_PRIORITY.get(event['log_level'], 6)}>"
    lines = _indented(f"[{event['log_namespace']}] {text_of(event)}{more}").split("\n")
    return "".join(f"{head}{line}\n" for line in lines).encode("utf-8", "replace")


STYLES: Final[dict[str, Style]] = {"text": as_text, "json": as_json, "journal": for_journal}


def console_style(console: str) -> Style | None:
    """The style for a ``console`` setting; None if the console is off."""
    if console == "auto":
        console = "journal" if _is_journal() else "text"
    return STYLES.get(console)


def _is_journal() -> bool:
    """Whether standard output is systemd's journal; see systemd.exec(5)."""
    stream = sys.__stdout__
    try:
        found = os.fstat(stream.fileno())  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _indented(text: str) -> str:
    return text.replace("\n", "\n\t")
