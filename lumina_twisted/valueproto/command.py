"""What a client of the value lines may ask, floor 0; :mod:`lumina_twisted.valueproto.command_lines` has the lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import Factory, field, frozen

Format = Literal["text", "json"]


@frozen
class Command:
    """One line; ``tag`` stands before each line of its answer, none if it is empty."""

    tag: str = field(default="", kw_only=True)


@frozen
class List(Command):
    """Which values there are."""

    pattern: str = "*"


@frozen
class Read(Command):
    """What is known of some points. ``names`` may be patterns; ``ask``: the devices are asked."""

    names: tuple[str, ...]
    ask: bool = field(default=False, kw_only=True)


@frozen
class Write(Command):
    """Sets a point; ``value`` is as a person types it."""

    name: str
    value: str


@frozen
class Watch(Command):
    """Has each change told from now on. ``names`` may be patterns."""

    names: tuple[str, ...]


@frozen
class Unwatch(Command):
    """Ends that, for all points if there are no ``names``."""

    names: tuple[str, ...] = ()


@frozen
class History(Command):
    """The last changes of a point, ``count`` at most; None for all that is kept."""

    name: str
    count: int | None = None


@frozen
class Describe(Command):
    """What a point is."""

    name: str


@frozen
class Config(Command):
    """What is configured for a device; ``changes`` are made before that is told, by keys with dots as a file has them.

    A change's value is what it says as JSON, else the text itself.
    """

    device: str
    changes: Mapping[str, Any] = field(default=Factory(dict))


@frozen
class Speak(Command):
    """How answers are written from now on, this one's too."""

    format: Format


@frozen
class Stats(Command):
    """What was counted."""


@frozen
class Help(Command):
    """What can be said."""


@frozen
class Bye(Command):
    """The client leaves when all it asked is answered."""
