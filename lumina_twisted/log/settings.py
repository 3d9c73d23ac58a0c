"""Settings of the log, floor 2: the ``[log]`` table of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from attrs import Factory, field, frozen

from lumina_twisted.schema import Between, setting

Level = Literal["debug", "info", "warn", "error", "critical"]
Console = Literal["auto", "text", "json", "journal", "off"]


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
        60.0, "an event that repeats itself is told again only after so long, with the number of repetitions; while it"
        " goes on, up to an hour; 0: each is told", unit="s",
    )
    buffer: Annotated[int, Between(100, 10_000_000)] = setting(
        10_000, "lines that may wait for a slow disk or terminal; what exceeds them is dropped and counted"
    )
