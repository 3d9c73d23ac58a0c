"""Patterns of replies, floor 4: the fields in the data of a reply, in their order.

A pattern is a list of ``(name, type)`` or ``(name, type, bytes)``, or a mapping of the same by name. If a value has a
scale, labels or named bits, the type is a :class:`~lumina_twisted.modbus.values.codec.ValueCodec`, or a mapping of its
keys. The ``length`` in such a mapping counts registers, as in all descriptions. A field whose
name is None is skipped. Consecutive coils share their bytes, as they do in a reply.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from attrs import evolve, frozen

from lumina_twisted.errors import ConfigError, RequestError
from lumina_twisted.modbus.registers import KINDS, registers_of
from lumina_twisted.modbus.values.codec import Value, ValueCodec
from lumina_twisted.modbus.values.value import nearest
from lumina_twisted.schema import structure
from lumina_twisted.text import brief, counted

FieldValue = Value | bytes
MOST_BYTES: Final = 252
"""The most bytes in a PDU after its function code (Modbus Application Protocol V1.1b3, section 4.1)."""
TYPES: Final = ("bool", "u8", "i8", *KINDS, "string", "bits", "bytes")
_SAME: Final[Mapping[str, str]] = {
    "boolean": "bool", "coil": "bool", "uint8": "u8", "byte": "u8", "int8": "i8", "uint16": "u16", "word": "u16",
    "int16": "i16", "short": "i16", "uint32": "u32", "int32": "i32", "uint64": "u64", "int64": "i64",
    "float32": "f32", "single": "f32", "float64": "f64", "double": "f64", "str": "string", "text": "string",
    "raw": "bytes",
}
"""The names that other programs use for the types."""
_BY_LENGTH: Final[Mapping[str, Mapping[int, str]]] = {
    "int": {1: "i8", 2: "i16", 4: "i32", 8: "i64"},
    "uint": {1: "u8", 2: "u16", 4: "u32", 8: "u64"},
    "float": {4: "f32", 8: "f64"},
}
_ONE_BYTE: Final[Mapping[str, Any]] = {"u8": "u16", "i8": "i16"}
"""A byte is read as a register: the high byte is its sign extension, or 0."""
_BYTE_ENDS: Final = {"u8": (0, 0xFF), "i8": (-0x80, 0x7F)}


@frozen
class Field:
    """Decodes and encodes some bytes of a reply. The caller always passes exactly as many bytes as the field takes.

    :param codec: the codec of the registers, the byte or the coil; None for raw bytes. The codec of a byte accepts only
        values that a byte can hold.
    :param size: in bytes; 0 for a coil, which shares its byte.
    :param is_signed: whether a number of one byte is signed.
    :param at: the bit of a coil in its byte, 0 is the lowest.
    """

    codec: ValueCodec | None
    size: int
    is_signed: bool = False
    at: int = 0

    def read(self, data: bytes) -> FieldValue:
        """The value that these bytes hold."""
        return data if self.codec is None else self.codec.decode(self._entries(data))

    def write(self, value: object, current: bytes, is_known: bool) -> bytes:
        """The bytes that hold the value.

        :param current: the present bytes; zeros if they are not known.
        :param is_known: whether the present bytes are known.
        :raises RequestError: if the value does not fit, or needs bits of ``current`` that are not known.
        """
        if self.codec is None:
            if not isinstance(value, bytes | bytearray) or len(value) != len(current):
                raise RequestError(f"{brief(value)} is not bytes, {len(current)} of them")
            return bytes(value)
        written = self.codec.encode(value, self._entries(current) if is_known else None)
        if self.size > 1:
            return struct.pack(f">{len(written)}H", *written)
        if self.size:
            return bytes((written[0] & 0xFF,))
        return bytes((current[0] & ~(1 << self.at) | written[0] << self.at,))

    def _entries(self, data: bytes) -> tuple[int, ...]:
        if self.size > 1:
            return struct.unpack(f">{len(data) // 2}H", data)
        if self.size:
            return (int.from_bytes(data, "big", signed=self.is_signed) & 0xFFFF,)
        return (data[0] >> self.at & 1,)


@frozen
class Slot:
    """A field, and the bytes of the data that it takes."""

    name: str | None
    place: slice
    field: Field


@frozen
class ReplyPattern:
    """The fields in a reply's data of ``size`` bytes."""

    name: str
    slots: tuple[Slot, ...]
    size: int

    @cached_property
    def fields(self) -> dict[str, Slot]:
        """The slots that have a name."""
        return {slot.name: slot for slot in self.slots if slot.name is not None}


def make_pattern(name: str, definition: Any) -> ReplyPattern:
    """Makes a pattern from its definition.

    :raises ConfigError: with a fault for each field that is wrong.
    """
    slots: list[Slot] = []
    faults: list[str] = []
    names: set[str] = set()
    end = coils = 0  # coils that stand directly before the end
    for path, key, spec in _entries(name, definition):
        try:
            _check_name(key, spec, path, names)
            field = _field(spec, path)
        except ConfigError as error:
            faults += error.faults
            continue
        if field.size:
            coils = 0
            slots.append(Slot(key, slice(end, end + field.size), field))
            end += field.size
        else:
            end += coils % 8 == 0
            slots.append(Slot(key, slice(end - 1, end), evolve(field, at=coils % 8)))
            coils += 1
    if not faults and not 0 < end <= MOST_BYTES:
        faults.append(f"{name}: a reply has 1 to {MOST_BYTES} bytes of data, these fields have {end}")
    if faults:
        raise ConfigError(faults)
    return ReplyPattern(name, tuple(slots), end)


def _entries(name: str, definition: Any) -> Iterator[tuple[str, Any, Any]]:
    """Path, name and type of each field. A malformed entry gives an empty name and itself, for the fault."""
    if isinstance(definition, Mapping):
        for field, spec in definition.items():
            yield f"{name}.{field}", field, spec
        return
    if isinstance(definition, str | bytes) or not isinstance(definition, Iterable):
        raise _fault(name, f"expected a list of (name, type, bytes), or a mapping, got {brief(definition)}")
    for number, entry in enumerate(definition):
        path = f"{name}[{number}]"
        if not isinstance(entry, tuple | list) or len(entry) not in (2, 3):
            yield path, "", entry
            continue
        field, *spec = entry
        yield f"{name}.{field}" if field else path, field, tuple(spec) if len(spec) == 2 else spec[0]


def _check_name(name: Any, spec: Any, path: str, names: set[str]) -> None:
    if name == "":
        raise _fault(path, f"expected (name, type) or (name, type, bytes), got {brief(spec)}")
    if name is None:
        return
    if not isinstance(name, str):
        raise _fault(path, f"a name is a text, not {brief(name)}")
    if name in names:
        raise _fault(path, "there is a field of that name already")
    names.add(name)


# -- types ------------------------------------------------------------------------------------------------------------


def _field(spec: Any, path: str) -> Field:
    """The field that a type describes, or a type and a length in bytes.

    :param spec: the name of a type, a codec, or a mapping of the keys of a codec; or a tuple of one of these and the
        length.
    :raises ConfigError: if the type is invalid.
    """
    kind, length = spec if isinstance(spec, tuple | list) and len(spec) == 2 else (spec, None)
    if length is not None and (type(length) is not int or not 0 < length <= MOST_BYTES):
        raise _fault(path, f"a length is 1 to {MOST_BYTES} bytes, not {brief(length)}")
    if isinstance(kind, ValueCodec):
        name, codec = str(kind.type), kind
    elif isinstance(kind, Mapping):
        name = _type(kind.get("type", "u16"), None, path)
        if name == "bytes":
            raise _fault(path, 'bytes have no keys; write (name, "bytes", length)')
        codec = structure({**kind, "type": _ONE_BYTE.get(name, name)}, ValueCodec, path)
    else:
        name = _type(kind, length, path)
        if name == "bytes" or (name == "bool" and length is not None):
            return _sized(name, length, path)
        type_: Any = _ONE_BYTE.get(name, name)
        codec = ValueCodec(type=type_, length=_registers(name, length, path))
    return _checked(name, _of_codec(name, codec, path), length, path)


def _fault(path: str, sentence: str) -> ConfigError:
    return ConfigError([f"{path}: {sentence}"])


def _type(kind: Any, length: int | None, path: str) -> str:
    """Lumina's name of the type."""
    given = kind.__name__ if isinstance(kind, type) else kind
    name = given.casefold() if isinstance(given, str) else ""
    name = _SAME.get(name, name)
    if sizes := _BY_LENGTH.get(name):
        if length is None or length not in sizes:
            raise _fault(path, f"{name} is as long as is said, {', '.join(map(str, sizes))} bytes, not {brief(length)}")
        return sizes[length]
    if name not in TYPES:
        raise _fault(path, f"there is no type {brief(kind)}; {nearest(name, TYPES)}")
    return name


def _sized(name: str, length: int | None, path: str) -> Field:
    """The field of a type that is defined by its length."""
    if length is None:
        raise _fault(path, f'{name} need a length: (name, "{name}", length)')
    if name == "bytes":
        return Field(None, length)
    if length > 2:
        raise _fault(path, f"a bool is a coil (no length), a byte or a register, not {length} bytes; bits are more")
    return Field(ValueCodec(type="bool"), length)


def _registers(name: str, length: int | None, path: str) -> int | None:
    """The length in registers, from the length in bytes."""
    if name not in ("string", "bits") or (length is None and name == "bits"):
        return None
    if length is None:
        raise _fault(path, 'a string needs a length: (name, "string", bytes)')
    if length % 2:
        raise _fault(path, f"{name} take whole registers of 2 bytes, so {length} bytes cannot be; type bytes can")
    return length // 2


def _of_codec(name: str, codec: ValueCodec, path: str) -> Field:
    _check(codec, path)
    if name in _ONE_BYTE:
        return Field(_narrow(name, codec, path), 1, is_signed=name == "i8")
    return Field(codec, 0 if codec.type == "bool" and codec.bit is None else 2 * codec.width)


def _check(codec: ValueCodec, path: str) -> None:
    if faults := [f"{path}.{key}: {sentence}" for key, sentence in codec.faults()]:
        raise ConfigError(faults)


def _narrow(name: str, codec: ValueCodec, path: str) -> ValueCodec:
    """A copy of the codec that accepts only values that a byte can hold."""
    lowest, highest = _BYTE_ENDS[name]
    if wrong := [number for number in codec.enum if not lowest <= number <= highest]:
        raise ConfigError([f"{path}.enum.{number}: {name} holds {lowest} to {highest}" for number in wrong])
    plain = evolve(codec, enum={}, low=None, high=None)
    low, high = sorted(float(plain.decode((end & 0xFFFF,))) for end in (lowest, highest))  # type: ignore[arg-type]
    narrow = evolve(
        codec, low=low if codec.low is None else max(codec.low, low),
        high=high if codec.high is None else min(codec.high, high),
    )
    _check(narrow, path)
    return narrow


def _checked(name: str, field: Field, length: int | None, path: str) -> Field:
    """Returns the field, if its size is the given length or no length is given.

    :raises ConfigError: if the sizes differ.
    """
    if length in (None, field.size):
        return field
    if not field.size:
        raise _fault(path, f"a coil takes one bit, not {length} bytes; leave the length out")
    fitting = [one for one in KINDS if one[0] == name[0] and 2 * registers_of(one) == length and name in KINDS]
    hint = f"; {fitting[0]} takes {length}" if fitting else ""
    raise _fault(path, f"{name} takes {counted(field.size, 'byte')}, not {length}{hint}")
