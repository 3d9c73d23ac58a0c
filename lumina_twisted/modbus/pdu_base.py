"""What all PDUs are made of: their base classes, the limits of their fields, and how fields are laid out in bytes.

Numbers are big-endian words; coils fill bytes from the lowest bit on (Modbus Application Protocol V1.1b3, section 4.2).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

from lumina_twisted.errors import FrameError, RequestError

ADDRESS: Final = (0, 0xFFFF)
WORD: Final = (0, 0xFFFF)
BYTE: Final = (0, 0xFF)

Check = Callable[[Any, Any, Any], None]
"""A validator as attrs calls it: with the PDU, the attribute and its value."""


class PDU:
    """Function code and data.

    What breaks the specification's limits is refused when it is made, with
    :class:`~lumina_twisted.errors.RequestError`.
    """

    __slots__ = ()
    function_code: int

    def encode(self) -> bytes:
        """The PDU's bytes."""
        return bytes((self.function_code,)) + self.data_bytes()

    def data_bytes(self) -> bytes:
        """What follows the function code."""
        return b""

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """The PDU whose function code is followed by ``data``.

        :raises FrameError: if its length contradicts the function.
        :raises RequestError: if a value breaks the specification's limits.
        """
        if data:
            raise wrong_length(cls, data)
        return cls()


class Request(PDU):
    """What a client asks."""

    __slots__ = ()


class Reply(PDU):
    """What a server answers."""

    __slots__ = ()


# -- limits --------------------------------------------------------------------------------------------------------


def within(lowest: int, highest: int) -> Check:
    """A validator for whole numbers; both ends are allowed."""

    def check(pdu: PDU, attribute: Any, value: int) -> None:
        check_number(pdu, attribute.name, value, lowest, highest)

    return check


def words(fewest: int, most: int) -> Check:
    """A validator for the values of registers."""

    def check(pdu: PDU, attribute: Any, values: tuple[int, ...]) -> None:
        check_count(pdu, attribute.name, len(values), fewest, most)
        for value in values:
            check_number(pdu, f"one of {attribute.name},", value, *WORD)

    return check


def octets(fewest: int, most: int, *, even: bool = False) -> Check:
    """A validator for plain bytes.

    :param even: whether they are words, so that no odd number will do.
    """

    def check(pdu: PDU, attribute: Any, value: bytes) -> None:
        if not isinstance(value, bytes):
            raise refusal(pdu, f"{attribute.name} {value!r} is not bytes")
        check_count(pdu, attribute.name, len(value), fewest, most)
        if even and len(value) % 2:
            raise refusal(pdu, f"{attribute.name} has {len(value)} bytes, which is no whole number of words")

    return check


def check_count(pdu: PDU, name: str, count: int, fewest: int, most: int) -> None:
    """Refuses a list that is too short or too long.

    :raises RequestError: if it is.
    """
    if not fewest <= count <= most:
        raise refusal(pdu, f"the number of {name} is {count}, not from {fewest} to {most}")


def refusal(pdu: PDU, sentence: str) -> RequestError:
    """The error for a value that breaks a limit."""
    return RequestError(f"{type(pdu).__name__}: {sentence}", function_code=pdu.function_code)


def check_number(pdu: PDU, name: str, value: object, lowest: int, highest: int) -> None:
    """Refuses what is no whole number within the limits.

    :raises RequestError: if so.
    """
    if not isinstance(value, int) or not lowest <= value <= highest:
        raise refusal(pdu, f"{name} {value!r} is not from {lowest} to {highest}")


def as_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    """A converter for fields: any sequence will do, a tuple is kept."""
    return tuple(values)


def as_bits(values: Iterable[Any]) -> tuple[bool, ...]:
    """A converter for fields that hold coils: 0 and 1 will do as well."""
    return tuple(map(bool, values))


# -- layout --------------------------------------------------------------------------------------------------------


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


def unpack(layout: struct.Struct, cls: type[PDU], data: bytes) -> tuple[int, ...]:
    """The numbers in data that has exactly this layout.

    :raises FrameError: if it has another length.
    """
    expect(len(data) == layout.size, cls, data)
    return layout.unpack(data)


def unpack_counted(layout: struct.Struct, cls: type[PDU], data: bytes) -> tuple[tuple[int, ...], bytes]:
    """The numbers at the head of data, of which the last counts the bytes that follow; and those bytes.

    :raises FrameError: if the count is wrong.
    """
    expect(len(data) >= layout.size, cls, data)
    *numbers, count = layout.unpack_from(data)
    rest = data[layout.size:]
    expect(len(rest) == count, cls, data)
    return tuple(numbers), rest


def pack_words(values: Iterable[int]) -> bytes:
    """Registers as bytes."""
    return b"".join(value.to_bytes(2, "big") for value in values)


def unpack_words(data: bytes) -> tuple[int, ...]:
    """Bytes, an even number, as registers."""
    return struct.unpack(f">{len(data) // 2}H", data)


def pack_bits(values: Iterable[bool]) -> bytes:
    """Coils as bytes, the last one filled up with zeros."""
    bits = tuple(values)
    return sum(bit << at for at, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little")


def unpack_bits(data: bytes) -> tuple[bool, ...]:
    """Bytes as coils, eight each."""
    return tuple(bool(byte >> at & 1) for byte in data for at in range(8))


COUNT: Final = struct.Struct(">B")
TWO_WORDS: Final = struct.Struct(">HH")
