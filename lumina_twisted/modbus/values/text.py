"""Texts in registers, floor 0."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.registers import ByteOrder, Encoding, decode_text, encode_text, no_registers
from lumina_twisted.modbus.values.value import Value
from lumina_twisted.text import brief


class Text:
    """A text of so many registers, two bytes each.

    :param length: registers.
    """

    needs_current = False

    def __init__(self, length: int, encoding: Encoding, byte_order: ByteOrder) -> None:
        self._length = length
        self._encoding = encoding
        self._byte_order = byte_order

    def decode(self, entries: Sequence[int]) -> Value:
        """See :class:`~lumina_twisted.modbus.values.codec.ValueCodec`."""
        try:
            if len(entries) == self._length:
                return decode_text(entries, self._encoding, self._byte_order)
        except struct.error:
            pass
        raise no_registers("this text", self._length, entries)

    def encode(self, value: object, current: Sequence[int] | None) -> tuple[int, ...]:
        """See :class:`~lumina_twisted.modbus.values.codec.ValueCodec`."""
        if not isinstance(value, str):
            raise RequestError(f"{brief(value)} is no text")
        if "\0" in value:
            raise RequestError("a NUL ends the text in a register, so it cannot stand within")
        return encode_text(value, self._length, self._encoding, self._byte_order)

    def agrees(self, held: Sequence[int], written: Sequence[int], tolerance: float) -> bool:
        """See :class:`~lumina_twisted.modbus.values.codec.ValueCodec`; how it is padded does not matter."""
        return self.decode(held) == self.decode(written)

    def parse(self, text: str) -> Value:
        """See :class:`~lumina_twisted.modbus.values.codec.ValueCodec`."""
        return text

    def format(self, value: Value) -> str:
        """See :class:`~lumina_twisted.modbus.values.codec.ValueCodec`."""
        return str(value)
