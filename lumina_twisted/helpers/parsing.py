"""Reads replies by patterns, floor 4: ``ResponseParser`` (M18). It uses the same codec as all named values.

A reply is a frame, a PDU, or the data alone. The exact lengths, and the CRC of a frame, show which.
If two forms are possible, it does not guess but refuses the reply, and the caller must say which form it is.
"""

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
from lumina_twisted.framing.crc import append_crc, crc_ok, without_crc
from lumina_twisted.framing.rtu import MAX_RTU_ADU, MIN_RTU_ADU, decode_adu
from lumina_twisted.helpers.patterns import FieldValue, ReplyPattern, make_pattern
from lumina_twisted.modbus.functions import EXCEPTION_FLAG, UNKNOWN, FunctionCode, function_of, reply_length
from lumina_twisted.modbus.pdu import REPLIES
from lumina_twisted.modbus.pdu.layout import pack_words, unpack_words
from lumina_twisted.modbus.values.value import nearest
from lumina_twisted.text import brief

Form = Literal["auto", "frame", "pdu", "data"]
_REFUSALS: Final = frozenset(code | EXCEPTION_FLAG for code in REPLIES)


class ResponseParser:
    """Reads the fields in the data of replies, by registered patterns."""

    def __init__(self) -> None:
        self._patterns: dict[str, ReplyPattern] = {}

    def register_response_pattern(self, name: str, pattern: Any) -> None:
        """Registers the fields in a reply's data, in their order. It replaces an earlier pattern of that name.

        :param pattern: a list of ``(name, type)`` or ``(name, type, bytes)``, or a mapping of the same by name. For the
            types see :data:`lumina_twisted.helpers.patterns.TYPES`; ``int``, ``uint`` and ``float`` need a length in
            bytes. Instead of a type, an entry may have a :class:`~lumina_twisted.modbus.values.codec.ValueCodec`, or a
            mapping of its keys: word order, scale, labels, names of bits. A field whose name is None is skipped.
        :raises ConfigError: with a sentence for each wrong field.
        """
        self._patterns[name] = make_pattern(name, pattern)

    def parse_response(self, name: str, response: Any, *, form: Form = "auto") -> dict[str, FieldValue]:
        """The values in a reply, by the names of their fields.

        :param response: the reply that a client returned, or bytes: a whole RTU frame, its PDU, or the data alone.
            With ``form="auto"``, their length and the CRC of a frame decide which.
        :param form: the form of the bytes, if the parser should not find it out: for example, two bytes of data may
            look like an exception, and ``auto`` refuses them then.
        :raises ModbusException: if the reply is an exception.
        :raises FrameError: if it is a frame with a wrong CRC.
        :raises UnknownName: if there is no such pattern.
        :raises RequestError: if the bytes are no reply, or the data has not the length of the pattern.
        """
        pattern = self._pattern(name)
        try:
            data = _data_of(response, pattern.size, form)
        except (FrameError, RequestError) as error:
            raise type(error)(f"{name}: {error}", frame=error.frame) from None
        return {key: slot.field.read(data[slot.place]) for key, slot in pattern.fields.items()}

    def make_registers(
        self, name: str, values: Mapping[str, Any], current: Sequence[int] | None = None
    ) -> tuple[int, ...]:
        """The reverse of :meth:`parse_response`: the registers that hold these values, for a write to the place
        that the pattern reads.

        :param values: of all fields; with ``current``, only of the fields that shall change.
        :param current: the present registers. Fields that are not in ``values`` keep their bits.
        :raises UnknownName: if there is no such pattern, or the pattern has no such field.
        :raises RequestError: if a value is missing or does not fit, with the name of its field.
        """
        pattern = self._pattern(name)
        if pattern.size % 2:
            raise RequestError(f"{name}: {pattern.size} bytes are no whole number of registers")
        if current is not None and len(current) != pattern.size // 2:
            raise RequestError(f"{name} has {pattern.size // 2} registers, current has {len(current)}")
        for key in values:
            if key not in pattern.fields:
                raise _unknown(f"{name} has no field {brief(key)}", key, pattern.fields)
        missing = [key for key in pattern.fields if key not in values]
        if current is None and missing:
            raise RequestError(
                f"{name}: {', '.join(missing)} must have a value too, or the registers as they are be given"
            )
        data = bytearray(pattern.size) if current is None else bytearray(_packed(current))
        for key, value in values.items():
            slot = pattern.fields[key]
            try:
                data[slot.place] = slot.field.write(value, bytes(data[slot.place]), current is not None)
            except RequestError as error:
                raise RequestError(f"{key}: {error}") from None
        return unpack_words(bytes(data))

    def _pattern(self, name: str) -> ReplyPattern:
        if name not in self._patterns:
            raise _unknown(f"there is no response pattern {brief(name)}", name, self._patterns)
        return self._patterns[name]


def _unknown(what: str, name: object, known: Iterable[str]) -> UnknownName:
    return UnknownName(f"{what}; {nearest(str(name), known)}")


def _packed(registers: Sequence[int]) -> bytes:
    try:
        return pack_words(registers)
    except (OverflowError, AttributeError):
        raise RequestError(f"a register is a whole number from 0 to 65535; these are {list(registers)}") from None


# -- the data within a reply ------------------------------------------------------------------------------------------


def _data_of(response: Any, size: int, form: Form) -> bytes:
    """The ``size`` bytes of data in a reply; raises what :meth:`ResponseParser.parse_response` does."""
    if hasattr(response, "frame"):
        if not response.frame:
            raise RequestError("there is no reply: it was a broadcast, which nobody answers")
        response, form = response.frame, "frame"
    if not isinstance(response, bytes | bytearray | memoryview):
        raise RequestError(f"a response is bytes, or a reply that has a frame, not {type(response).__name__}")
    if form not in get_args(Form):
        raise RequestError(f"form is one of {', '.join(get_args(Form))}, not {form!r}")
    octets = bytes(response)
    if form == "auto" and len(octets) == size:
        if other := _what_else(octets):
            raise RequestError(
                f"the bytes {octets[:8].hex(' ')}{' …' * (size > 8)} can be {size} bytes of data, and {other} as well: "
                'give the whole frame of the right reply, or say form="data", or form="pdu"'
            )
        form = "data"
    found = octets if form == "data" else _within(octets, form)
    if isinstance(found, ModbusException):
        raise found
    if found is None or len(found) != size:
        raise _nothing(octets, size, form)
    return found


def _what_else(octets: bytes) -> str:
    """What else the bytes could be, although they have the length of the data; empty if nothing else."""
    if _has_crc(octets) and _within_pdu(decode_adu(octets)[1]) is not None:
        return "a whole frame"
    if len(octets) == 2 and octets[0] in _REFUSALS and octets[1] in EXCEPTION_CLASSES:
        return "an exception"
    if len(octets) > 2 and octets[1] == len(octets) - 2:
        function = function_of(octets)
        return "the PDU of a read" if function and function.returns_entries else ""
    return ""


def _within(octets: bytes, form: Form) -> bytes | ModbusException | None:
    """The data in a frame or in a PDU, or the exception that it carries; None if the bytes are neither."""
    if form == "frame" or (form == "auto" and _has_crc(octets)):
        unit, pdu = decode_adu(octets)
        return _within_pdu(pdu, unit)
    if form == "pdu" or (octets and reply_length(octets) == len(octets)):
        return _within_pdu(octets)
    return None


def _within_pdu(pdu: bytes, unit: int | None = None) -> bytes | ModbusException | None:
    if len(pdu) == 2 and pdu[0] & EXCEPTION_FLAG:
        return exception_from_code(pdu[1], unit=unit, function_code=pdu[0] & ~EXCEPTION_FLAG)
    return _behind_head(pdu)


def _behind_head(pdu: bytes) -> bytes | None:
    """The data of a normal reply; None if its length does not fit its function."""
    if not pdu or not 0 < pdu[0] < EXCEPTION_FLAG:
        return None
    if pdu[0] != FunctionCode.DIAGNOSTICS and reply_length(pdu) not in (UNKNOWN, len(pdu)):
        return None
    if pdu[0] == FunctionCode.READ_FIFO_QUEUE:
        return pdu[5:]
    function = function_of(pdu)
    return pdu[2:] if function and function.has_byte_count else pdu[1:]


def _has_crc(octets: bytes) -> bool:
    return MIN_RTU_ADU <= len(octets) <= MAX_RTU_ADU and crc_ok(octets)


def _nothing(octets: bytes, size: int, form: Form) -> RequestError | FrameError:
    """The error that says why the bytes are not the reply."""
    if form in ("auto", "frame") and MIN_RTU_ADU <= len(octets) <= MAX_RTU_ADU:
        repaired = append_crc(without_crc(octets))
        unit, pdu = decode_adu(repaired)
        inner = _behind_head(pdu)
        if inner is not None and repaired == octets:
            return RequestError(f"the reply of function {pdu[0]} has {len(inner)} bytes of data, not {size}")
        if inner is not None and len(inner) == size:
            return FrameError("wrong CRC", unit=unit, function_code=pdu[0], frame=octets)
    return RequestError(
        f"{len(octets)} bytes are no reply with {size} bytes of data: that is {size} for the data alone, "
        f"{size + 2} for the PDU of a read, {size + 5} for its frame"
    )
