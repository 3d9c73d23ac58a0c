"""Replies read by patterns, floor 3: the mission's ``ResponseParser`` (M18) over the codec of all named values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lumina_twisted.devices.fields import FieldValue
from lumina_twisted.devices.patterns import ReplyPattern, Slot, make_pattern
from lumina_twisted.devices.reply_data import Form, data_of
from lumina_twisted.errors import FrameError, RequestError, UnknownName
from lumina_twisted.modbus.pdu_base import pack_words, unpack_words
from lumina_twisted.modbus.values.value import nearest, told


class ResponseParser:
    """Knows what stands in the replies to some requests, and reads it by name."""

    def __init__(self) -> None:
        self._patterns: dict[str, ReplyPattern] = {}

    def register_response_pattern(self, name: str, pattern: Any) -> None:
        """Says which fields stand in a reply's data, one behind the other; replaces what was said of that name.

        :param pattern: a list of ``(name, type)`` or ``(name, type, bytes)``, or a mapping of the same by name. For the
            types see :data:`lumina_twisted.devices.field_types.TYPES`; ``int``, ``uint`` and ``float`` are as long as
            is said. In place of the type may stand a :class:`~lumina_twisted.modbus.values.codec.ValueCodec`, or a
            mapping of its keys: word order, scale, words, names of bits. A name that is None passes bytes over.
        :raises ConfigError: with a sentence for each field that is wrong.
        """
        self._patterns[name] = make_pattern(name, pattern)

    def parse_response(self, name: str, response: Any, *, form: Form = "auto") -> dict[str, FieldValue]:
        """The values in a reply, by the names of their fields.

        :param response: what a client gave, or bytes: a whole RTU frame, its PDU, or the data alone. Their lengths and
            the frame's CRC tell which.
        :param form: what the bytes are, where that shall not be left to their length: two bytes of data may look like
            an exception, and are then refused.
        :raises ModbusException: if the reply is one.
        :raises FrameError: if it is a frame with a wrong CRC.
        :raises UnknownName: if there is no such pattern.
        :raises RequestError: if the data is not as long as the pattern, or no frame, PDU or data at all.
        """
        pattern = self._pattern(name)
        try:
            data = data_of(response, pattern.size, form)
        except (FrameError, RequestError) as error:
            raise type(error)(f"{name}: {error}", frame=error.frame) from None
        return {field: slot.meaning.read(data[slot.place]) for field, slot in pattern.fields.items()}

    def make_registers(
        self, name: str, values: Mapping[str, Any], current: Sequence[int] | None = None
    ) -> tuple[int, ...]:
        """The other way round: the registers that hold these values, to be written where the pattern reads them.

        :param values: of all fields; with ``current`` those that shall change.
        :param current: the registers as they are. What is not in ``values`` stays.
        :raises UnknownName: if there is no such pattern, or a field of another name.
        :raises RequestError: if a value is missing or does not fit, with the name of its field.
        """
        pattern = self._pattern(name)
        if pattern.size % 2:
            raise RequestError(f"{name}: {pattern.size} bytes are no whole number of registers")
        if current is not None and len(current) != pattern.size // 2:
            raise RequestError(f"{name} has {pattern.size // 2} registers, current has {len(current)}")
        self._check_names(pattern, values, is_all=current is None)
        data = bytearray(pattern.size) if current is None else bytearray(_words(current))
        for field, value in values.items():
            slot = pattern.fields[field]
            data[slot.place] = _written(slot, value, bytes(data[slot.place]), current is not None)
        return unpack_words(bytes(data))

    def _pattern(self, name: str) -> ReplyPattern:
        if name not in self._patterns:
            raise _unknown(f"there is no response pattern {told(name)}", name, self._patterns)
        return self._patterns[name]

    def _check_names(self, pattern: ReplyPattern, values: Mapping[str, Any], is_all: bool) -> None:
        for field in values:
            if field not in pattern.fields:
                raise _unknown(f"{pattern.name} has no field {told(field)}", field, pattern.fields)
        missing = [field for field in pattern.fields if field not in values]
        if is_all and missing:
            raise RequestError(
                f"{pattern.name}: {', '.join(missing)} must have a value too, or the registers as they are be given"
            )


def _unknown(what: str, name: object, known: Iterable[str]) -> UnknownName:
    return UnknownName(f"{what}; {nearest(str(name), known)}")


def _words(registers: Sequence[int]) -> bytes:
    try:
        return pack_words(registers)
    except (OverflowError, AttributeError):
        raise RequestError(f"a register is a whole number from 0 to 65535; these are {list(registers)}") from None


def _written(slot: Slot, value: object, current: bytes, is_known: bool) -> bytes:
    try:
        return slot.meaning.write(value, current, is_known)
    except RequestError as error:
        raise RequestError(f"{slot.name}: {error}") from None
