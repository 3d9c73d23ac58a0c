"""The fields of a reply's data, floor 3: what some of its bytes mean, both ways."""

from __future__ import annotations

import struct
from typing import Protocol

from attrs import frozen

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.values.codec import Value, ValueCodec
from lumina_twisted.modbus.values.value import told

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
        return self.codec.decode(_registers(data))

    def write(self, value: object, current: bytes, is_known: bool) -> bytes:
        """See :class:`Meaning`."""
        written = self.codec.encode(value, _registers(current) if is_known else None)
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
            raise RequestError(f"{told(value)} is not bytes, {len(current)} of them")
        return bytes(value)


def _registers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 2}H", data)
