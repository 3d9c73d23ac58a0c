"""The parts of all PDUs: a base class that packs and unpacks, and the kinds of fields with their limits. Floor 0.

A PDU class names its fields; the validator of each field is its kind, as in ``field(validator=Word(1, 125))``. A kind
defines how a value lies in the data, and which values are allowed. The data consists, in this order, of what
:attr:`PDU.prefix` or :attr:`PDU.is_counted` describes, numbers of one or two bytes, and at most one field that takes
the rest.

Words are big-endian; coils fill bytes from the lowest bit on (Modbus Application Protocol V1.1b3, section 4.2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Self

import attrs

from lumina_twisted.errors import FrameError, RequestError


class PDU:
    """Function code and data. A PDU that breaks the specification's limits cannot be made: that raises
    :class:`~lumina_twisted.errors.RequestError`."""

    __slots__ = ()
    function_code: int
    prefix: ClassVar[bytes] = b""
    """The first bytes in the data of each PDU of the class: the MEI type of function 43."""
    is_counted: ClassVar[bool] = False
    """Whether the data begins with the number of bytes that follow."""

    def encode(self) -> bytes:
        """The PDU's bytes."""
        return bytes((self.function_code,)) + self.data_bytes()

    def data_bytes(self) -> bytes:
        """The bytes after the function code."""
        packed = _layout(type(self)).pack(self)
        return bytes((len(packed),)) + packed if self.is_counted else self.prefix + packed

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """The PDU whose function code is followed by ``data``.

        :raises FrameError: if its length contradicts the function.
        :raises RequestError: if a value breaks the specification's limits.
        """
        if cls.is_counted:
            expect(data[:1] == bytes((max(0, len(data) - 1),)), cls, data)
        return cls(*_layout(cls).unpack(cls, data, 1 if cls.is_counted else len(cls.prefix)))


class Request(PDU):
    """The PDU of a request."""

    __slots__ = ()


class Reply(PDU):
    """The PDU of a reply."""

    __slots__ = ()


# -- kinds of numbers ------------------------------------------------------------------------------------------------


class Word:
    """A number of two bytes; both limits are allowed."""

    format = "H"
    is_itself = True
    """Whether the value is the number that stands for it."""

    def __init__(self, lowest: int = 0, highest: int = 0xFFFF) -> None:
        self.lowest, self.highest = lowest, highest

    def __call__(self, pdu: PDU, attribute: Any, value: Any) -> None:
        """Refuses a value, as attrs asks its validators."""
        check_number(pdu, attribute.name, value, self.lowest, self.highest)

    def pack(self, value: Any) -> int:
        """The number that stands for a value."""
        return int(value)

    def unpack(self, number: int, cls: type[PDU], data: bytes) -> Any:
        """The value of a number.

        :raises RequestError: if it has none.
        """
        return number


class Byte(Word):
    """A number of one byte."""

    format = "B"

    def __init__(self, lowest: int = 0, highest: int = 0xFF) -> None:
        super().__init__(lowest, highest)


class Flag(Byte):
    """True as 0xFF, False as 0."""

    is_itself = False

    def pack(self, value: Any) -> int:
        return 0xFF if value else 0


class Coil(Word):
    """True as 0xFF00, False as 0, and nothing else is allowed."""

    ON: Final = 0xFF00
    is_itself = False

    def pack(self, value: Any) -> int:
        return self.ON if value else 0

    def unpack(self, number: int, cls: type[PDU], data: bytes) -> Any:
        if number not in (0, self.ON):
            raise refused(cls, data, f"value {number:#06x} is neither 0xff00 (on) nor 0 (off)")
        return number == self.ON


# -- kinds that take the rest of the data ----------------------------------------------------------------------------


class Rest:
    """A field that takes the rest of the data."""

    def __call__(self, pdu: PDU, attribute: Any, value: Any) -> None:
        """Refuses a value, as attrs asks its validators."""

    def pack(self, value: Any) -> bytes:
        """The bytes of a value."""
        raise NotImplementedError

    def unpack(self, rest: bytes, cls: type[PDU], data: bytes) -> Any:
        """The value of these bytes.

        :param data: of which they are the rest, for errors.
        :raises FrameError: if their length contradicts the function.
        """
        raise NotImplementedError


class Octets(Rest):
    """Plain bytes.

    :param are_words: whether the bytes are 16-bit words, so that their number must be even.
    """

    def __init__(self, fewest: int, most: int, are_words: bool = False) -> None:
        self.fewest, self.most, self.are_words = fewest, most, are_words

    def __call__(self, pdu: PDU, attribute: Any, value: Any) -> None:
        if not isinstance(value, bytes):
            raise refusal(pdu, f"{attribute.name} {value!r} is not bytes")
        check_count(pdu, attribute.name, len(value), self.fewest, self.most)
        if self.are_words and len(value) % 2:
            raise refusal(pdu, f"{attribute.name} has {len(value)} bytes, which is no whole number of words")

    def pack(self, value: bytes) -> bytes:
        return value

    def unpack(self, rest: bytes, cls: type[PDU], data: bytes) -> bytes:
        expect(len(rest) >= self.fewest and not (self.are_words and len(rest) % 2), cls, data)
        return rest


class Words(Rest):
    """Values of registers.

    :param with_quantity: whether the quantity and the byte count stand before the values.
    """

    def __init__(self, fewest: int, most: int, with_quantity: bool = False) -> None:
        self.fewest, self.most, self.with_quantity = fewest, most, with_quantity

    def __call__(self, pdu: PDU, attribute: Any, values: Any) -> None:
        check_count(pdu, attribute.name, len(values), self.fewest, self.most)
        for value in values:
            check_number(pdu, f"one of {attribute.name},", value, 0, 0xFFFF)

    def pack(self, values: tuple[int, ...]) -> bytes:
        packed = pack_words(values)
        return _QUANTITY.pack(len(values), len(packed)) + packed if self.with_quantity else packed

    def unpack(self, rest: bytes, cls: type[PDU], data: bytes) -> tuple[int, ...]:
        if self.with_quantity:
            quantity, rest = _with_quantity(rest, cls, data)
            expect(len(rest) == 2 * quantity, cls, data)
        expect(len(rest) % 2 == 0, cls, data)
        return unpack_words(rest)


class Bits(Rest):
    """Coils or discrete inputs.

    :param with_quantity: as in :class:`Words`; bits after the quantity are ignored. Without it, the values are whole
        bytes, which may hold more bits than were requested.
    """

    def __init__(self, most: int, with_quantity: bool = False) -> None:
        self.most, self.with_quantity = most, with_quantity

    def __call__(self, pdu: PDU, attribute: Any, values: Any) -> None:
        check_count(pdu, attribute.name, len(values), 1, self.most)

    def pack(self, values: tuple[bool, ...]) -> bytes:
        packed = sum(bit << at for at, bit in enumerate(values)).to_bytes((len(values) + 7) // 8, "little")
        return _QUANTITY.pack(len(values), len(packed)) + packed if self.with_quantity else packed

    def unpack(self, rest: bytes, cls: type[PDU], data: bytes) -> tuple[bool, ...]:
        quantity = 8 * len(rest)
        if self.with_quantity:
            quantity, rest = _with_quantity(rest, cls, data)
            expect(len(rest) == (quantity + 7) // 8, cls, data)
        return tuple(bool(byte >> at & 1) for byte in rest for at in range(8))[:quantity]


_QUANTITY: Final = struct.Struct(">HB")


def _with_quantity(rest: bytes, cls: type[PDU], data: bytes) -> tuple[int, bytes]:
    expect(len(rest) >= _QUANTITY.size, cls, data)
    quantity, count = _QUANTITY.unpack_from(rest)
    rest = rest[_QUANTITY.size:]
    expect(len(rest) == count, cls, data)
    return quantity, rest


# -- converters ------------------------------------------------------------------------------------------------------


def as_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    """A converter for fields: makes a tuple of any sequence; a tuple stays as it is."""
    return tuple(values)


def as_tuples(values: Iterable[Iterable[Any]]) -> tuple[tuple[Any, ...], ...]:
    """The same for sequences of sequences."""
    return tuple(map(tuple, values))


def as_bits(values: Iterable[Any]) -> tuple[bool, ...]:
    """A converter for coils, which also accepts 0 and 1."""
    return tuple(map(bool, values))


def as_whole_bytes(values: Iterable[Any]) -> tuple[bool, ...]:
    """The same, filled up with False to whole bytes."""
    bits = as_bits(values)
    return bits + (False,) * (-len(bits) % 8)


# -- refusals --------------------------------------------------------------------------------------------------------


def check_number(pdu: PDU, name: str, value: object, lowest: int, highest: int) -> None:
    """Refuses a value that is no whole number within the limits.

    :raises RequestError: if so.
    """
    if not isinstance(value, int) or not lowest <= value <= highest:
        raise refusal(pdu, f"{name} {value!r} is not from {lowest} to {highest}")


def check_count(pdu: PDU, name: str, count: int, fewest: int, most: int) -> None:
    """Refuses a list that is too short or too long.

    :raises RequestError: if it is.
    """
    if not fewest <= count <= most:
        raise refusal(pdu, f"the number of {name} is {count}, not from {fewest} to {most}")


def refusal(pdu: PDU, sentence: str) -> RequestError:
    """The error for a value that breaks a limit."""
    return RequestError(f"{type(pdu).__name__}: {sentence}", function_code=pdu.function_code)


def refused(cls: type[PDU], data: bytes, sentence: str) -> RequestError:
    """The error for received data that encodes no value."""
    frame = bytes((cls.function_code,)) + data
    return RequestError(f"{cls.__name__}: {sentence}", function_code=cls.function_code, frame=frame)


def wrong_length(cls: type[PDU], data: bytes) -> FrameError:
    """The error for a PDU whose length contradicts its function code."""
    pdu = bytes((cls.function_code,)) + data
    return FrameError(
        f"{cls.__name__}: {len(pdu)} bytes contradict the function or its byte count",
        function_code=cls.function_code, frame=pdu,
    )


def expect(is_so: bool, cls: type[PDU], data: bytes) -> None:
    """Refuses data whose length contradicts the function.

    :raises FrameError: if so.
    """
    if not is_so:
        raise wrong_length(cls, data)


# -- packing ---------------------------------------------------------------------------------------------------------


def pack_words(values: Iterable[int]) -> bytes:
    """Registers as bytes."""
    return b"".join(value.to_bytes(2, "big") for value in values)


def unpack_words(data: bytes) -> tuple[int, ...]:
    """Bytes, an even number, as registers."""
    return struct.unpack(f">{len(data) // 2}H", data)


def _fields(cls: type[Any]) -> tuple[attrs.Attribute[Any], ...]:
    return attrs.fields(cls) if attrs.has(cls) else ()


class _Layout:
    """How the fields of a class lie in its data: the numbers at the head, and the field that takes the rest."""

    def __init__(self, cls: type[Any]) -> None:
        kinds: list[tuple[str, Any]] = [(one.name, one.validator) for one in _fields(cls)]
        numbers = [(name, kind) for name, kind in kinds if isinstance(kind, Word)]
        self._names = [name for name, _ in numbers]
        self._head = struct.Struct(">" + "".join(kind.format for _, kind in numbers))
        self._odd = [(at, kind) for at, (_, kind) in enumerate(numbers) if not kind.is_itself]
        self._rest = [(name, kind) for name, kind in kinds if isinstance(kind, Rest)]

    def pack(self, pdu: PDU) -> bytes:
        """The bytes of all fields."""
        numbers = [getattr(pdu, name) for name in self._names]
        for at, kind in self._odd:
            numbers[at] = kind.pack(numbers[at])
        packed = self._head.pack(*numbers)
        for name, rest in self._rest:
            packed += rest.pack(getattr(pdu, name))
        return packed

    def unpack(self, cls: type[PDU], data: bytes, at: int) -> list[Any]:
        """The values of all fields.

        :param at: where the first one begins.
        """
        end = at + self._head.size
        expect(len(data) >= end if self._rest else len(data) == end, cls, data)
        values = list(self._head.unpack_from(data, at))
        for place, kind in self._odd:
            values[place] = kind.unpack(values[place], cls, data)
        return values + [kind.unpack(data[end:], cls, data) for _, kind in self._rest]


_LAYOUTS: Final[dict[type[PDU], _Layout]] = {}


def _layout(cls: type[PDU]) -> _Layout:
    layout = _LAYOUTS.get(cls)
    if layout is None:
        layout = _LAYOUTS[cls] = _Layout(cls)
    return layout
