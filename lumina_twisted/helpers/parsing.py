"""Replies read by patterns, floor 3: the mission's ``ResponseParser`` (M18) over the codec of all named values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, get_args

from lumina_twisted.errors import (
    EXCEPTION_CLASSES,
    FrameError,
    ModbusException,
    RequestError,
    UnknownName,
    exception_from_code,
)
from lumina_twisted.framing.crc import crc_ok
from lumina_twisted.framing.rtu import decode_adu
from lumina_twisted.helpers.patterns import FieldValue, ReplyPattern, Slot, make_pattern
from lumina_twisted.modbus.codes import EXCEPTION_FLAG, MAX_RTU_ADU, MIN_RTU_ADU
from lumina_twisted.modbus.lengths import UNKNOWN, reply_length
from lumina_twisted.modbus.pdu import REPLIES
from lumina_twisted.modbus.pdu_base import pack_words, unpack_words
from lumina_twisted.modbus.values.value import nearest
from lumina_twisted.text import brief


class ResponseParser:
    """Knows what stands in the replies to some requests, and reads it by name."""

    def __init__(self) -> None:
        self._patterns: dict[str, ReplyPattern] = {}

    def register_response_pattern(self, name: str, pattern: Any) -> None:
        """Says which fields stand in a reply's data, one behind the other; replaces what was said of that name.

        :param pattern: a list of ``(name, type)`` or ``(name, type, bytes)``, or a mapping of the same by name. For the
            types see :data:`lumina_twisted.helpers.patterns.TYPES`; ``int``, ``uint`` and ``float`` are as long as
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
            raise _unknown(f"there is no response pattern {brief(name)}", name, self._patterns)
        return self._patterns[name]

    def _check_names(self, pattern: ReplyPattern, values: Mapping[str, Any], is_all: bool) -> None:
        for field in values:
            if field not in pattern.fields:
                raise _unknown(f"{pattern.name} has no field {brief(field)}", field, pattern.fields)
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


Form = Literal["auto", "frame", "pdu", "data"]
_COUNTED: Final = frozenset({1, 2, 3, 4, 12, 17, 20, 21, 23})
"""Functions whose reply counts in its second byte those that follow."""
_REFUSALS: Final = frozenset(code | EXCEPTION_FLAG for code in REPLIES)
_READS: Final = frozenset({1, 2, 3, 4, 23})
_DIAGNOSTICS: Final = 8
_FIFO: Final = 24
_FIFO_HEAD: Final = 5


def data_of(response: Any, size: int, form: Form = "auto") -> bytes:
    """The ``size`` bytes of data in a reply.

    :param response: bytes, or an object that has a whole frame as its ``frame``, as a client's replies have.
    :param form: what the bytes are; ``auto`` where their length shall tell.
    :raises ModbusException: if the reply is one.
    :raises FrameError: if it is a frame with a wrong CRC.
    :raises RequestError: if it has no such data, or nobody can tell.
    """
    octets, form = _octets(response, form)
    if form == "auto" and len(octets) == size:
        if other := _also(octets):
            raise RequestError(
                f"the bytes {octets[:8].hex(' ')}{' …' * (size > 8)} can be {size} bytes of data, and {other} as well: "
                'give the whole frame of the right reply, or say form="data", or form="pdu"'
            )
        form = "data"
    found = _found(octets, size, form)
    if found is None:
        raise _nothing(octets, size, form)
    if isinstance(found, ModbusException):
        raise found
    return found


def _octets(response: Any, form: Form) -> tuple[bytes, Form]:
    if hasattr(response, "frame"):
        if not response.frame:
            raise RequestError("there is no reply: it was a broadcast, which nobody answers")
        response, form = response.frame, "frame"
    if not isinstance(response, bytes | bytearray | memoryview):
        raise RequestError(f"a response is bytes, or a reply that has a frame, not {type(response).__name__}")
    if form not in get_args(Form):
        raise RequestError(f"form is one of {', '.join(get_args(Form))}, not {form!r}")
    return bytes(response), form


def _also(octets: bytes) -> str:
    """What bytes that are as long as the data can be as well; empty if nothing."""
    if _has_crc(octets) and _found_in_pdu(octets[1:-2]) is not None:
        return "a whole frame"
    if len(octets) == 2 and octets[0] in _REFUSALS and octets[1] in EXCEPTION_CLASSES:
        return "an exception"
    return "the PDU of a read" if len(octets) > 2 and octets[0] in _READS and octets[1] == len(octets) - 2 else ""


def _found(octets: bytes, size: int, form: Form) -> bytes | ModbusException | None:
    """The data of that size, or the exception in its place."""
    if form == "data":
        return octets if len(octets) == size else None
    found: bytes | ModbusException | None = None
    if form == "frame" or (form == "auto" and _has_crc(octets)):
        unit, pdu = decode_adu(octets)
        found = _found_in_pdu(pdu, unit)
    elif form == "pdu" or (octets and reply_length(octets) == len(octets)):
        found = _found_in_pdu(octets)
    return None if isinstance(found, bytes) and len(found) != size else found


def _has_crc(octets: bytes) -> bool:
    return MIN_RTU_ADU <= len(octets) <= MAX_RTU_ADU and crc_ok(octets)


def _found_in_pdu(pdu: bytes, unit: int | None = None) -> bytes | ModbusException | None:
    if len(pdu) == 2 and pdu[0] & EXCEPTION_FLAG:
        return exception_from_code(pdu[1], unit=unit, function_code=pdu[0] & ~EXCEPTION_FLAG)
    return _behind_head(pdu)


def _behind_head(pdu: bytes) -> bytes | None:
    """What a normal reply carries; None if its length is not what its function says."""
    if not pdu or not 0 < pdu[0] < EXCEPTION_FLAG:
        return None
    if pdu[0] != _DIAGNOSTICS and reply_length(pdu) not in (UNKNOWN, len(pdu)):
        return None
    if pdu[0] == _FIFO:
        return pdu[_FIFO_HEAD:]
    return pdu[2:] if pdu[0] in _COUNTED else pdu[1:]


def _nothing(octets: bytes, size: int, form: Form) -> RequestError | FrameError:
    """Why the bytes are not the reply."""
    inner = _behind_head(octets[1:-2]) if form in ("auto", "frame") else None
    if inner is not None and _has_crc(octets):
        return RequestError(f"the reply of function {octets[1]} has {len(inner)} bytes of data, not {size}")
    if inner is not None and len(inner) == size:
        return FrameError("wrong CRC", unit=octets[0], function_code=octets[1], frame=octets)
    return RequestError(
        f"{len(octets)} bytes are no reply with {size} bytes of data: that is {size} for the data alone, "
        f"{size + 2} for the PDU of a read, {size + 5} for its frame"
    )
