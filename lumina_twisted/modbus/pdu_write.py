"""PDUs that write coils and holding registers: functions 5, 6, 15, 16, 22 and 23 (Modbus Application Protocol V1.1b3).

Functions 5, 6 and 22 are answered with the request itself.
"""

from __future__ import annotations

import struct
from typing import Any, Final, Self

from attrs import field, frozen

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.functions import (
    MAX_READ_REGISTERS,
    MAX_READ_WRITE_REGISTERS,
    MAX_WRITE_BITS,
    MAX_WRITE_REGISTERS,
    FunctionCode,
)
from lumina_twisted.modbus.pdu_base import (
    ADDRESS,
    PDU,
    TWO_WORDS,
    WORD,
    Reply,
    Request,
    as_bits,
    as_tuple,
    check_count,
    expect,
    pack_bits,
    pack_words,
    unpack,
    unpack_bits,
    unpack_counted,
    unpack_words,
    within,
    words,
)
from lumina_twisted.modbus.pdu_read import RegistersReply

_ON: Final = 0xFF00
_THREE_WORDS: Final = struct.Struct(">HHH")
_RANGE_AND_COUNT: Final = struct.Struct(">HHB")
_TWO_RANGES_AND_COUNT: Final = struct.Struct(">HHHHB")


class _Coil(PDU):
    """One coil: 0xFF00 is on, 0 is off, and nothing else is allowed."""

    __slots__ = ()
    address: int
    value: bool

    def data_bytes(self) -> bytes:
        """Address and value."""
        return TWO_WORDS.pack(self.address, _ON if self.value else 0)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        address, value = unpack(TWO_WORDS, cls, data)
        if value not in (0, _ON):
            raise RequestError(
                f"{cls.__name__}: value {value:#06x} is neither 0xff00 (on) nor 0 (off)",
                function_code=cls.function_code, frame=bytes((cls.function_code,)) + data,
            )
        return cls(address, value == _ON)  # type: ignore[call-arg]


@frozen
class WriteSingleCoilRequest(_Coil, Request):
    """FC 05, section 6.5."""

    function_code = FunctionCode.WRITE_SINGLE_COIL
    address: int = field(validator=within(*ADDRESS))
    value: bool = field(converter=bool)


@frozen
class WriteSingleCoilReply(_Coil, Reply):
    """FC 05, section 6.5."""

    function_code = FunctionCode.WRITE_SINGLE_COIL
    address: int = field(validator=within(*ADDRESS))
    value: bool = field(converter=bool)


class _Register(PDU):
    """One register."""

    __slots__ = ()
    address: int
    value: int

    def data_bytes(self) -> bytes:
        """Address and value."""
        return TWO_WORDS.pack(self.address, self.value)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        return cls(*unpack(TWO_WORDS, cls, data))


@frozen
class WriteSingleRegisterRequest(_Register, Request):
    """FC 06, section 6.6."""

    function_code = FunctionCode.WRITE_SINGLE_REGISTER
    address: int = field(validator=within(*ADDRESS))
    value: int = field(validator=within(*WORD))


@frozen
class WriteSingleRegisterReply(_Register, Reply):
    """FC 06, section 6.6."""

    function_code = FunctionCode.WRITE_SINGLE_REGISTER
    address: int = field(validator=within(*ADDRESS))
    value: int = field(validator=within(*WORD))


def _check_bits(pdu: PDU, _: Any, values: tuple[bool, ...]) -> None:
    check_count(pdu, "values", len(values), 1, MAX_WRITE_BITS)


@frozen
class WriteMultipleCoilsRequest(Request):
    """FC 15, section 6.11: 1 to 1968 coils from ``address`` on."""

    function_code = FunctionCode.WRITE_MULTIPLE_COILS
    address: int = field(validator=within(*ADDRESS))
    values: tuple[bool, ...] = field(converter=as_bits, validator=_check_bits)

    def data_bytes(self) -> bytes:
        """Address, quantity, byte count and bits."""
        packed = pack_bits(self.values)
        return _RANGE_AND_COUNT.pack(self.address, len(self.values), len(packed)) + packed

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`; bits beyond the quantity are not looked at."""
        (address, quantity), packed = unpack_counted(_RANGE_AND_COUNT, cls, data)
        expect(len(packed) == (quantity + 7) // 8, cls, data)
        return cls(address, unpack_bits(packed)[:quantity])


@frozen
class WriteMultipleRegistersRequest(Request):
    """FC 16, section 6.12: 1 to 123 registers from ``address`` on."""

    function_code = FunctionCode.WRITE_MULTIPLE_REGISTERS
    address: int = field(validator=within(*ADDRESS))
    values: tuple[int, ...] = field(converter=as_tuple, validator=words(1, MAX_WRITE_REGISTERS))

    def data_bytes(self) -> bytes:
        """Address, quantity, byte count and registers."""
        quantity = len(self.values)
        return _RANGE_AND_COUNT.pack(self.address, quantity, 2 * quantity) + pack_words(self.values)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        (address, quantity), packed = unpack_counted(_RANGE_AND_COUNT, cls, data)
        expect(len(packed) == 2 * quantity, cls, data)
        return cls(address, unpack_words(packed))


class _Written(Reply):
    """The range that was written."""

    __slots__ = ()
    address: int
    quantity: int

    def data_bytes(self) -> bytes:
        """Address and quantity."""
        return TWO_WORDS.pack(self.address, self.quantity)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        return cls(*unpack(TWO_WORDS, cls, data))


@frozen
class WriteMultipleCoilsReply(_Written):
    """FC 15, section 6.11."""

    function_code = FunctionCode.WRITE_MULTIPLE_COILS
    address: int = field(validator=within(*ADDRESS))
    quantity: int = field(validator=within(1, MAX_WRITE_BITS))


@frozen
class WriteMultipleRegistersReply(_Written):
    """FC 16, section 6.12."""

    function_code = FunctionCode.WRITE_MULTIPLE_REGISTERS
    address: int = field(validator=within(*ADDRESS))
    quantity: int = field(validator=within(1, MAX_WRITE_REGISTERS))


class _Mask(PDU):
    """``(register AND and_mask) OR (or_mask AND NOT and_mask)``."""

    __slots__ = ()
    address: int
    and_mask: int
    or_mask: int

    def data_bytes(self) -> bytes:
        """Address and both masks."""
        return _THREE_WORDS.pack(self.address, self.and_mask, self.or_mask)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        return cls(*unpack(_THREE_WORDS, cls, data))


@frozen
class MaskWriteRegisterRequest(_Mask, Request):
    """FC 22, section 6.16: the register becomes ``(register AND and_mask) OR (or_mask AND NOT and_mask)``."""

    function_code = FunctionCode.MASK_WRITE_REGISTER
    address: int = field(validator=within(*ADDRESS))
    and_mask: int = field(validator=within(*WORD))
    or_mask: int = field(validator=within(*WORD))


@frozen
class MaskWriteRegisterReply(_Mask, Reply):
    """FC 22, section 6.16."""

    function_code = FunctionCode.MASK_WRITE_REGISTER
    address: int = field(validator=within(*ADDRESS))
    and_mask: int = field(validator=within(*WORD))
    or_mask: int = field(validator=within(*WORD))


@frozen
class ReadWriteMultipleRegistersRequest(Request):
    """FC 23, section 6.17: writes 1 to 121 registers, then reads 1 to 125."""

    function_code = FunctionCode.READ_WRITE_MULTIPLE_REGISTERS
    read_address: int = field(validator=within(*ADDRESS))
    read_quantity: int = field(validator=within(1, MAX_READ_REGISTERS))
    write_address: int = field(validator=within(*ADDRESS))
    values: tuple[int, ...] = field(converter=as_tuple, validator=words(1, MAX_READ_WRITE_REGISTERS))

    def data_bytes(self) -> bytes:
        """Both ranges, byte count and the registers to write."""
        quantity = len(self.values)
        ranges = (self.read_address, self.read_quantity, self.write_address, quantity)
        return _TWO_RANGES_AND_COUNT.pack(*ranges, 2 * quantity) + pack_words(self.values)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        (read_address, read_quantity, address, quantity), packed = unpack_counted(_TWO_RANGES_AND_COUNT, cls, data)
        expect(len(packed) == 2 * quantity, cls, data)
        return cls(read_address, read_quantity, address, unpack_words(packed))


@frozen
class ReadWriteMultipleRegistersReply(RegistersReply):
    """FC 23, section 6.17: what was read."""

    function_code = FunctionCode.READ_WRITE_MULTIPLE_REGISTERS
    values: tuple[int, ...] = field(converter=as_tuple, validator=words(1, MAX_READ_REGISTERS))
