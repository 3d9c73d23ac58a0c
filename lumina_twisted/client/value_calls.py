"""What can be asked of a listener for values, floor 3: the line, and what its answer gives. Both faces of the client
make their methods of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen

from lumina_twisted.client.value_reading import ValueReading, value_text
from lumina_twisted.errors import RequestError, ServerError
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto import command
from lumina_twisted.valueproto.answer import Answer, Configured, Described, Past, Points, Readings, Written
from lumina_twisted.valueproto.command_lines import MAX_COUNT
from lumina_twisted.valueproto.point import PointDescription

T = TypeVar("T")
A = TypeVar("A", bound=Answer)
CHANGES = 1000
"""Changes that wait for one who reads them; of more, the last of each name."""


@frozen
class ValueCall(Generic[T]):
    """One thing to ask.

    :param asked: what is said.
    :param result: what its answer gives; it raises the failure that the answer tells.
    """

    asked: command.Command
    result: Callable[[Answer], T]


def list_points(pattern: str) -> ValueCall[tuple[PointDescription, ...]]:
    """Which points there are."""
    return ValueCall(command.List(_text(pattern)), lambda answer: _is(Points, answer).names)


def describe(name: str) -> ValueCall[PointDescription]:
    """What a point is."""
    return ValueCall(command.Describe(_one(name)), lambda answer: _is(Described, answer).point)


def read(names: tuple[str, ...], fresh: bool) -> ValueCall[tuple[ValueReading, ...]]:
    """Several points."""
    return ValueCall(command.Read(_names(names), ask=fresh), _readings)


def read_one(name: str, fresh: bool) -> ValueCall[ValueReading]:
    """One point."""
    return ValueCall(command.Read((_one(name),), ask=fresh), lambda answer: _readings(answer)[0])


def write(name: str, value: Value) -> ValueCall[ValueReading]:
    """Sets a point."""
    asked = command.Write(_one(name), value_text(value))
    return ValueCall(asked, _written)


def watch(names: tuple[str, ...]) -> command.Watch:
    """Has changes told."""
    return command.Watch(_names(names))


def history(name: str, count: int | None) -> ValueCall[tuple[ValueReading, ...]]:
    """What a point was before."""
    if count is not None and (not isinstance(count, int) or not 0 < count <= MAX_COUNT):
        raise RequestError(f"{count!r} is no count of changes; give a whole number from 1 to {MAX_COUNT}")
    asked = command.History(_one(name), count)
    return ValueCall(asked, lambda answer: tuple(map(ValueReading.of, _is(Past, answer).history)))


def config(device: str, changes: Mapping[str, Any]) -> ValueCall[Mapping[str, Any]]:
    """What is configured for a device, after ``changes``."""
    return ValueCall(command.Config(_one(device), dict(changes)), lambda answer: _is(Configured, answer).config)


def _readings(answer: Answer) -> tuple[ValueReading, ...]:
    """What is known of each; what a device did not tell is a reading of bad quality.

    :raises LuminaError: if a name is wrong, or if no device told anything.
    """
    readings = tuple(map(ValueReading.of, _is(Readings, answer).values))
    faults = [one.error for one in readings if one.error is not None]
    for fault in faults:
        if isinstance(fault, RequestError) or len(faults) == len(readings):
            raise fault
    if not readings:
        raise ServerError("the server told of no value")
    return readings


def _written(answer: Answer) -> ValueReading:
    written = _is(Written, answer)
    return evolve(ValueReading.of(written.value), not_read_back=written.not_read_back)


def _is(kind: type[A], answer: Answer) -> A:
    if not isinstance(answer, kind):
        raise ServerError(f"the server's answer is to another question: {answer}")
    return answer


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise RequestError("no name is given; write one, or a pattern such as boiler.*")
    return tuple(map(_text, names))


def _one(name: str) -> str:
    if any(sign in _text(name) for sign in "*?"):
        raise RequestError(f"{name!r} is a pattern, and this is for one name; client.read() and client.watch() take it")
    return name


def _text(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise RequestError(f"a name is a text such as boiler.pressure, not {name!r}")
    return name
