"""What a value is, and what every way to lay values in entries can do, floor 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from lumina_twisted.errors import RequestError
from lumina_twisted.text import did_you_mean

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
    more = ", …" if len(words) > _MOST_NAMED else ""
    return did_you_mean(text, words, f"known are {', '.join(words[:_MOST_NAMED])}{more}")
