"""What a value is, and what every way to lay values in entries can do, floor 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from lumina_twisted.errors import RequestError
from lumina_twisted.schema import close_to

Value = bool | int | float | str | tuple[str, ...]
"""A coil or a single bit; a number; a text or the word of a number; the names of the bits that are set."""

_MOST_NAMED: Final = 12


class Layout(Protocol):
    """One way to lay values in entries; see :class:`~lumina_twisted.modbus.values.codec.ValueCodec`."""

    needs_current: bool

    def decode(self, entries: Sequence[int]) -> Value:
        """The value that the entries hold."""
        ...

    def encode(self, value: object, current: Sequence[int] | None) -> tuple[int, ...]:
        """The entries that hold the value."""
        ...

    def agrees(self, held: Sequence[int], written: Sequence[int], tolerance: float) -> bool:
        """Whether a device that holds these entries has taken those that were written."""
        ...

    def parse(self, text: str) -> Value:
        """The value that a person typed."""
        ...

    def format(self, value: Value) -> str:
        """The value as a person reads it."""
        ...


class Words:
    """The words of numbers, both ways.

    :param by_number: no two are the same, whatever their case.
    """

    def __init__(self, by_number: Mapping[int, str]) -> None:
        self.by_number = dict(by_number)
        self._numbers = {word.casefold(): number for number, word in by_number.items()}

    def __bool__(self) -> bool:
        return bool(self.by_number)

    def find(self, text: str) -> int | None:
        """The number of a word, in any case."""
        return self._numbers.get(text.strip().casefold())

    def number(self, text: str) -> int:
        """The same.

        :raises RequestError: if there is no such word, with the nearest.
        """
        number = self.find(text)
        if number is None:
            raise RequestError(f"there is no {text!r} here; {nearest(text, self.by_number.values())}")
        return number


def nearest(text: str, known: Iterable[str]) -> str:
    """What to say after a word that nobody knows: the nearest, or those that there are."""
    words = list(known)
    if near := close_to(text, words):
        return f"did you mean {near!r}?"
    more = ", …" if len(words) > _MOST_NAMED else ""
    return f"known are {', '.join(words[:_MOST_NAMED])}{more}"


def told(value: object) -> str:
    """A number as people write it, and anything else as Python does; never endless."""
    try:
        text = repr(value)
    except ValueError:  # of thousands of digits, which Python refuses to write
        return "a number of that many digits"
    if isinstance(value, float):
        return text.removesuffix(".0")
    return text if len(text) <= 100 else f"{text[:99]}…"
