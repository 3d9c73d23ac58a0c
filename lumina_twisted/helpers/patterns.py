"""Patterns of replies, floor 3: which fields stand in their data, one behind the other.

A pattern is a list of ``(name, type)`` or ``(name, type, bytes)``, or a mapping of the same by name. In place of the
type stands a :class:`~lumina_twisted.modbus.values.codec.ValueCodec`, or a mapping of its keys, where a value has a
scale, words or named bits; such a mapping's ``length`` counts registers, as in all descriptions. A field whose name is
None is passed over. Coils that follow each other share their bytes, as they do in a reply.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple, Protocol

from attrs import evolve, frozen

from lumina_twisted.errors import ConfigError, RequestError
from lumina_twisted.modbus.registers import KINDS, registers_of
from lumina_twisted.modbus.values.codec import Value, ValueCodec
from lumina_twisted.modbus.values.value import nearest
from lumina_twisted.schema import structure
from lumina_twisted.text import brief


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
        raise fault(name, f"expected a list of (name, type, bytes), or a mapping, got {brief(definition)}")
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
            raise fault(path, f"expected (name, type) or (name, type, bytes), got {brief(spec)}")
        if name is not None and not isinstance(name, str):
            raise fault(path, f"a name is a text, not {brief(name)}")
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


MOST_BYTES: Final = 252
"""What a PDU holds behind its function code (Modbus Application Protocol V1.1b3, section 4.1)."""
TYPES: Final = ("bool", "u8", "i8", *KINDS, "string", "bits", "bytes")
_SAME: Final[Mapping[str, str]] = {
    "boolean": "bool", "coil": "bool", "uint8": "u8", "byte": "u8", "int8": "i8", "uint16": "u16", "word": "u16",
    "int16": "i16", "short": "i16", "uint32": "u32", "int32": "i32", "uint64": "u64", "int64": "i64",
    "float32": "f32", "single": "f32", "float64": "f64", "double": "f64", "str": "string", "text": "string",
    "raw": "bytes",
}
"""What other programs call the types."""
_BY_LENGTH: Final[Mapping[str, Mapping[int, str]]] = {
    "int": {1: "i8", 2: "i16", 4: "i32", 8: "i64"},
    "uint": {1: "u8", 2: "u16", 4: "u32", 8: "u64"},
    "float": {4: "f32", 8: "f64"},
}
_ONE_BYTE: Final = {"u8": "u16", "i8": "i16"}
"""A byte is read as a register whose high byte says nothing new."""
_BYTE_ENDS: Final = {"u8": (0, 0xFF), "i8": (-0x80, 0x7F)}


class Field(NamedTuple):
    """A field without its name and place.

    :param size: bytes; 0 for one coil of a byte.
    """

    meaning: Meaning
    size: int


def field_of(spec: Any, path: str) -> Field:
    """The field that a type describes, or a type and a length in bytes.

    :param spec: the type as a word, a codec, or a mapping of the keys of one; or a tuple of that and the length.
    :param path: begins the path of every fault.
    :raises ConfigError: if it cannot be.
    """
    kind, length = spec if isinstance(spec, tuple | list) and len(spec) == 2 else (spec, None)
    if length is not None and (type(length) is not int or not 0 < length <= MOST_BYTES):
        raise fault(path, f"a length is 1 to {MOST_BYTES} bytes, not {brief(length)}")
    if isinstance(kind, ValueCodec):
        word, codec = str(kind.type), kind
    elif isinstance(kind, Mapping):
        word, codec = _from_keys(kind, path)
    else:
        word = _word(kind, length, path)
        if word == "bytes" or (word == "bool" and length is not None):
            return _plain(word, length, path)
        codec = ValueCodec(type=_ONE_BYTE.get(word, word), length=_registers(word, length, path))  # type: ignore[arg-type]
    return _checked(word, _of_codec(word, codec, path), length, path)


def fault(path: str, sentence: str) -> ConfigError:
    """The error for one thing that is wrong."""
    return ConfigError([f"{path}: {sentence}"])


def _word(kind: Any, length: int | None, path: str) -> str:
    """The type's own name."""
    given = kind.__name__ if isinstance(kind, type) else kind
    word = given.casefold() if isinstance(given, str) else ""
    word = _SAME.get(word, word)
    if word in _BY_LENGTH:
        sizes = _BY_LENGTH[word]
        if length is None or length not in sizes:
            raise fault(path, f"{word} is as long as is said, {', '.join(map(str, sizes))} bytes, not {brief(length)}")
        return sizes[length]
    if word not in TYPES:
        raise fault(path, f"there is no type {brief(kind)}; {nearest(word, TYPES)}")
    return word


def _from_keys(keys: Mapping[str, Any], path: str) -> tuple[str, ValueCodec]:
    word = _word(keys.get("type", "u16"), None, path)
    if word == "bytes":
        raise fault(path, 'bytes have no keys; write (name, "bytes", length)')
    return word, structure({**keys, "type": _ONE_BYTE.get(word, word)}, ValueCodec, path)


def _plain(word: str, length: int | None, path: str) -> Field:
    """What needs its length to say what it is."""
    if length is None:
        raise fault(path, f'{word} need a length: (name, "{word}", length)')
    if word == "bytes":
        return Field(Octets(), length)
    codec = ValueCodec(type="bool")
    if length > 2:
        raise fault(path, f"a bool is a coil (no length), a byte or a register, not {length} bytes; bits are more")
    return Field(InOneByte(codec) if length == 1 else InRegisters(codec), length)


def _registers(word: str, length: int | None, path: str) -> int | None:
    """The codec's length for one in bytes."""
    if word not in ("string", "bits") or (length is None and word == "bits"):
        return None
    if length is None:
        raise fault(path, 'a string needs a length: (name, "string", bytes)')
    if length % 2:
        raise fault(path, f"{word} take whole registers of 2 bytes, so {length} bytes cannot be; type bytes can")
    return length // 2


def _of_codec(word: str, codec: ValueCodec, path: str) -> Field:
    _refuse_faults(codec, path)
    if word in _ONE_BYTE:
        return Field(InOneByte(_narrow(word, codec, path), word == "i8"), 1)
    if codec.type == "bool" and codec.bit is None:
        return Field(OneCoil(codec), 0)
    return Field(InRegisters(codec), 2 * codec.width)


def _refuse_faults(codec: ValueCodec, path: str) -> None:
    if faults := [f"{path}.{key}: {sentence}" for key, sentence in codec.faults()]:
        raise ConfigError(faults)


def _narrow(word: str, codec: ValueCodec, path: str) -> ValueCodec:
    """The same codec, that lets only pass what a byte holds."""
    lowest, highest = _BYTE_ENDS[word]
    if wrong := [number for number in codec.enum if not lowest <= number <= highest]:
        raise ConfigError([f"{path}.enum.{number}: {word} holds {lowest} to {highest}" for number in wrong])
    plain = evolve(codec, enum={}, low=None, high=None)
    low, high = sorted(float(plain.decode((end & 0xFFFF,))) for end in (lowest, highest))  # type: ignore[arg-type]
    narrow = evolve(
        codec, low=low if codec.low is None else max(codec.low, low),
        high=high if codec.high is None else min(codec.high, high),
    )
    _refuse_faults(narrow, path)
    return narrow


def _checked(word: str, field: Field, length: int | None, path: str) -> Field:
    """The same, unless another length was given than it has."""
    if length in (None, field.size):
        return field
    if not field.size:
        raise fault(path, f"a coil takes one bit, not {length} bytes; leave the length out")
    fitting = [one for one in KINDS if one[0] == word[0] and 2 * registers_of(one) == length and word in KINDS]
    hint = f"; {fitting[0]} takes {length}" if fitting else ""
    raise fault(path, f"{word} takes {field.size} byte{'' if field.size == 1 else 's'}, not {length}{hint}")


FieldValue = Value | bytes


class Meaning(Protocol):
    """What some bytes mean; those that are given are always as many as it takes."""

    def read(self, data: bytes) -> FieldValue:
        """The value that these bytes hold."""
        ...

    def write(self, value: object, current: bytes, is_known: bool) -> bytes:
        """The bytes that hold the value.

        :param current: the bytes as they are; zeros if nobody knows, and then ``is_known`` is false.
        :raises RequestError: if it does not fit, or bits of ``current`` are needed that nobody knows.
        """
        ...


@frozen
class InRegisters:
    """A value of whole registers, high byte first."""

    codec: ValueCodec

    def read(self, data: bytes) -> FieldValue:
        """See :class:`Meaning`."""
        return self.codec.decode(_unpacked(data))

    def write(self, value: object, current: bytes, is_known: bool) -> bytes:
        """See :class:`Meaning`."""
        written = self.codec.encode(value, _unpacked(current) if is_known else None)
        return struct.pack(f">{len(written)}H", *written)


@frozen
class InOneByte:
    """A small number, which a codec of one register reads, or a bool that takes a byte.

    :param codec: it lets nothing through that a byte does not hold.
    """

    codec: ValueCodec
    is_signed: bool = False

    def read(self, data: bytes) -> FieldValue:
        """See :class:`Meaning`."""
        return self.codec.decode((int.from_bytes(data, "big", signed=self.is_signed) & 0xFFFF,))

    def write(self, value: object, current: bytes, is_known: bool) -> bytes:
        """See :class:`Meaning`."""
        (register,) = self.codec.encode(value)
        return bytes((register & 0xFF,))


@frozen
class OneCoil:
    """A coil or a discrete input among the eight of a byte, the first in the lowest bit."""

    codec: ValueCodec
    at: int = 0

    def read(self, data: bytes) -> FieldValue:
        """See :class:`Meaning`."""
        return self.codec.decode((data[0] >> self.at & 1,))

    def write(self, value: object, current: bytes, is_known: bool) -> bytes:
        """See :class:`Meaning`."""
        (is_on,) = self.codec.encode(value)
        return bytes((current[0] & ~(1 << self.at) | is_on << self.at,))


@frozen
class Octets:
    """Bytes as they are."""

    def read(self, data: bytes) -> FieldValue:
        """See :class:`Meaning`."""
        return data

    def write(self, value: object, current: bytes, is_known: bool) -> bytes:
        """See :class:`Meaning`."""
        if not isinstance(value, bytes | bytearray) or len(value) != len(current):
            raise RequestError(f"{brief(value)} is not bytes, {len(current)} of them")
        return bytes(value)


def _unpacked(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 2}H", data)
