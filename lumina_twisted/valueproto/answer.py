"""What a client of the value lines gets, floor 0; :mod:`~lumina_twisted.valueproto.json_lines` and
:mod:`~lumina_twisted.valueproto.text_lines` write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from lumina_twisted.errors import LuminaError, ModbusException
from lumina_twisted.valueproto.command import Format
from lumina_twisted.valueproto.reading import PointDescription, Reading


@frozen
class NamedReading:
    """What is known of a point, with its name."""

    name: str
    reading: Reading
    unit_of_measure: str = ""


@frozen
class NamedFault:
    """Why there is no reading of a point: a token and a sentence."""

    name: str
    error: str
    message: str


@frozen
class Answer:
    """What comes in one go; ``tag`` is that of the line it answers, or of the ``watch`` it belongs to."""

    tag: str = field(default="", kw_only=True)


@frozen
class Readings(Answer):
    """Of ``read``, ``read!`` and ``watch``."""

    values: tuple[NamedReading | NamedFault, ...]


@frozen
class Change(Answer):
    """A watched point as it is now; it answers nothing."""

    value: NamedReading


@frozen
class Written(Answer):
    """Of ``write``: the device has confirmed it.

    :param not_read_back: why the value could not be read back, if it was to be; see
        :class:`~lumina_twisted.valueproto.reading.Confirmed`.
    """

    value: NamedReading
    not_read_back: str = ""


@frozen
class Past(Answer):
    """Of ``history``, the oldest first."""

    history: tuple[NamedReading, ...]


@frozen
class Points(Answer):
    """Of ``list``."""

    names: tuple[PointDescription, ...]


@frozen
class Described(Answer):
    """Of ``describe``."""

    point: PointDescription


@frozen
class Configured(Answer):
    """Of ``config``: what is configured for a device, as the tables of a file have it."""

    device: str
    config: Mapping[str, Any]


@frozen
class Watching(Answer):
    """Of ``unwatch``: how many points are still watched."""

    watched: int


@frozen
class Speaking(Answer):
    """Of ``format``: how answers are written from now on."""

    format: Format


@frozen
class Figures(Answer):
    """Of ``stats``: counts by name."""

    stats: Mapping[str, Mapping[str, int]]


@frozen
class Hints(Answer):
    """Of ``help``: lines for a person."""

    help: tuple[str, ...]


@frozen
class Goodbye(Answer):
    """Of ``bye``: nothing comes any more."""


@frozen
class Refused(Answer):
    """A token that a program may compare, and a sentence for a person."""

    error: str
    message: str


def refused(error: LuminaError, tag: str = "") -> Refused:
    """How a line is answered that could not be answered otherwise."""
    return Refused(*reason_of(error), tag=tag)


def reason_of(error: LuminaError) -> tuple[str, str]:
    """The token and the sentence of an error. Both, parted by a blank, are what
    :func:`lumina_twisted.errors.error_from_reason` understands."""
    if isinstance(error, ModbusException):
        whom = "" if error.unit is None else f", says unit {error.unit} of function {error.function_code}"
        return error.token, f"{error.code} {error.title}{whom}"
    return error.token, str(error)
