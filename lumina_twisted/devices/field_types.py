"""The types of a reply's fields, floor 3: what people call them, how many bytes they take, and what those mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from attrs import evolve

from lumina_twisted.devices.fields import InOneByte, InRegisters, Meaning, Octets, OneCoil
from lumina_twisted.errors import ConfigError
from lumina_twisted.modbus.registers import KINDS, registers_of
from lumina_twisted.modbus.values.codec import ValueCodec
from lumina_twisted.modbus.values.value import nearest, told
from lumina_twisted.schema import structure

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
        raise fault(path, f"a length is 1 to {MOST_BYTES} bytes, not {told(length)}")
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
            raise fault(path, f"{word} is as long as is said, {', '.join(map(str, sizes))} bytes, not {told(length)}")
        return sizes[length]
    if word not in TYPES:
        raise fault(path, f"there is no type {told(kind)}; {nearest(word, TYPES)}")
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
