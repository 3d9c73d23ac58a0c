"""Patterns of replies, floor 3: which fields stand in their data, one behind the other.

A pattern is a list of ``(name, type)`` or ``(name, type, bytes)``, or a mapping of the same by name. In place of the
type stands a :class:`~lumina_twisted.modbus.values.codec.ValueCodec`, or a mapping of its keys, where a value has a
scale, words or named bits; such a mapping's ``length`` counts registers, as in all descriptions. A field whose name is
None is passed over. Coils that follow each other share their bytes, as they do in a reply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from attrs import evolve, frozen

from lumina_twisted.devices.field_types import MOST_BYTES, fault, field_of
from lumina_twisted.devices.fields import Meaning, OneCoil
from lumina_twisted.errors import ConfigError
from lumina_twisted.modbus.values.value import told


@frozen
class Slot:
    """A field and where its bytes begin."""

    name: str | None
    start: int
    size: int
    meaning: Meaning

    @property
    def place(self) -> slice:
        """Its bytes among all."""
        return slice(self.start, self.start + self.size)


@frozen
class ReplyPattern:
    """What stands in a reply's data of ``size`` bytes."""

    name: str
    slots: tuple[Slot, ...]
    size: int

    @cached_property
    def fields(self) -> dict[str, Slot]:
        """Those that have a name."""
        return {slot.name: slot for slot in self.slots if slot.name is not None}


def make_pattern(name: str, definition: Any) -> ReplyPattern:
    """The pattern that is described.

    :raises ConfigError: with a fault for each field that is wrong.
    """
    slots = _Slots()
    faults: list[str] = []
    for path, field, spec in _entries(name, definition):
        try:
            slots.add(field, spec, path)
        except ConfigError as error:
            faults += error.faults
    if not faults and not 0 < slots.end <= MOST_BYTES:
        faults.append(f"{name}: a reply has 1 to {MOST_BYTES} bytes of data, these fields have {slots.end}")
    if faults:
        raise ConfigError(faults)
    return ReplyPattern(name, tuple(slots.made), slots.end)


def _entries(name: str, definition: Any) -> Iterator[tuple[str, Any, Any]]:
    """Path, name and type of each field; an entry that has none has itself as its type, for the list of faults."""
    if isinstance(definition, Mapping):
        for field, spec in definition.items():
            yield f"{name}.{field}", field, spec
        return
    if isinstance(definition, str | bytes) or not isinstance(definition, Iterable):
        raise fault(name, f"expected a list of (name, type, bytes), or a mapping, got {told(definition)}")
    for number, entry in enumerate(definition):
        path = f"{name}[{number}]"
        if not isinstance(entry, tuple | list) or len(entry) not in (2, 3):
            yield path, "", entry
            continue
        field, *spec = entry
        yield f"{name}.{field}" if field else path, field, tuple(spec) if len(spec) == 2 else spec[0]


class _Slots:
    """Lays one field behind the other."""

    def __init__(self) -> None:
        self.made: list[Slot] = []
        self.end = 0
        self._coils = 0  # that stand directly before the end
        self._names: set[str] = set()

    def add(self, name: Any, spec: Any, path: str) -> None:
        """One more.

        :raises ConfigError: if it cannot be.
        """
        if name == "":
            raise fault(path, f"expected (name, type) or (name, type, bytes), got {told(spec)}")
        if name is not None and not isinstance(name, str):
            raise fault(path, f"a name is a text, not {told(name)}")
        if name in self._names:
            raise fault(path, "there is a field of that name already")
        if name is not None:
            self._names.add(name)
        self._place(name, *field_of(spec, path))

    def _place(self, name: str | None, meaning: Meaning, size: int) -> None:
        if isinstance(meaning, OneCoil):
            at = self._coils % 8
            self._coils += 1
            self.end += at == 0
            self.made.append(Slot(name, self.end - 1, 1, evolve(meaning, at=at)))
            return
        self._coils = 0
        self.made.append(Slot(name, self.end, size, meaning))
        self.end += size
