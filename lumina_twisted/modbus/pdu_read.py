"""PDUs that read the four tables and the FIFO queue: functions 1 to 4 and 24 (Modbus Application Protocol V1.1b3)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, Self

from attrs import field, frozen

from lumina_twisted.modbus.functions import MAX_FIFO_REGISTERS, MAX_READ_BITS, MAX_READ_REGISTERS, FunctionCode
from lumina_twisted.modbus.pdu_base import (
    ADDRESS,
    COUNT,
    PDU,
    TWO_WORDS,
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

_WORD: Final = struct.Struct(">H")


class _Range(Request):
    """A range of one table."""

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
class ReadCoilsRequest(_Range):
    """FC 01, section 6.1: 1 to 2000 coils from ``address`` on."""

    function_code = FunctionCode.READ_COILS
    address: int = field(validator=within(*ADDRESS))
    quantity: int = field(validator=within(1, MAX_READ_BITS))


@frozen
class ReadDiscreteInputsRequest(_Range):
    """FC 02, section 6.2: 1 to 2000 discrete inputs from ``address`` on."""

    function_code = FunctionCode.READ_DISCRETE_INPUTS
    address: int = field(validator=within(*ADDRESS))
    quantity: int = field(validator=within(1, MAX_READ_BITS))


@frozen
class ReadHoldingRegistersRequest(_Range):
    """FC 03, section 6.3: 1 to 125 holding registers from ``address`` on."""

    function_code = FunctionCode.READ_HOLDING_REGISTERS
    address: int = field(validator=within(*ADDRESS))
    quantity: int = field(validator=within(1, MAX_READ_REGISTERS))


@frozen
class ReadInputRegistersRequest(_Range):
    """FC 04, section 6.4: 1 to 125 input registers from ``address`` on."""

    function_code = FunctionCode.READ_INPUT_REGISTERS
    address: int = field(validator=within(*ADDRESS))
    quantity: int = field(validator=within(1, MAX_READ_REGISTERS))


def _whole_bytes(values: Iterable[object]) -> tuple[bool, ...]:
    bits = as_bits(values)
    return bits + (False,) * (-len(bits) % 8)


def _check_bits(pdu: PDU, _: object, values: tuple[bool, ...]) -> None:
    check_count(pdu, "values", len(values), 1, MAX_READ_BITS)


class _Bits(Reply):
    """Coils or discrete inputs."""

    __slots__ = ()
    values: tuple[bool, ...]

    def data_bytes(self) -> bytes:
        """Byte count and bits."""
        packed = pack_bits(self.values)
        return COUNT.pack(len(packed)) + packed

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        return cls(unpack_bits(unpack_counted(COUNT, cls, data)[1]))  # type: ignore[call-arg]


@frozen
class ReadCoilsReply(_Bits):
    """FC 01, section 6.1. ``values`` are whole bytes, filled up with False, for a reply does not tell how many were
    asked: the first ``quantity`` count."""

    function_code = FunctionCode.READ_COILS
    values: tuple[bool, ...] = field(converter=_whole_bytes, validator=_check_bits)


@frozen
class ReadDiscreteInputsReply(_Bits):
    """FC 02, section 6.2; ``values`` as in :class:`ReadCoilsReply`."""

    function_code = FunctionCode.READ_DISCRETE_INPUTS
    values: tuple[bool, ...] = field(converter=_whole_bytes, validator=_check_bits)


class RegistersReply(Reply):
    """Values of registers after a count of their bytes."""

    __slots__ = ()
    values: tuple[int, ...]

    def data_bytes(self) -> bytes:
        """Byte count and registers."""
        return COUNT.pack(2 * len(self.values)) + pack_words(self.values)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        _, packed = unpack_counted(COUNT, cls, data)
        expect(len(packed) % 2 == 0, cls, data)
        return cls(unpack_words(packed))  # type: ignore[call-arg]


@frozen
class ReadHoldingRegistersReply(RegistersReply):
    """FC 03, section 6.3."""

    function_code = FunctionCode.READ_HOLDING_REGISTERS
    values: tuple[int, ...] = field(converter=as_tuple, validator=words(1, MAX_READ_REGISTERS))


@frozen
class ReadInputRegistersReply(RegistersReply):
    """FC 04, section 6.4."""

    function_code = FunctionCode.READ_INPUT_REGISTERS
    values: tuple[int, ...] = field(converter=as_tuple, validator=words(1, MAX_READ_REGISTERS))


@frozen
class ReadFIFOQueueRequest(Request):
    """FC 24, section 6.18: the queue whose count stands at ``address``."""

    function_code = FunctionCode.READ_FIFO_QUEUE
    address: int = field(validator=within(*ADDRESS))

    def data_bytes(self) -> bytes:
        """The FIFO pointer address."""
        return _WORD.pack(self.address)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        return cls(*unpack(_WORD, cls, data))


@frozen
class ReadFIFOQueueReply(Reply):
    """FC 24, section 6.18: up to 31 registers, which stay in the queue. Its byte count is a word."""

    function_code = FunctionCode.READ_FIFO_QUEUE
    values: tuple[int, ...] = field(converter=as_tuple, validator=words(0, MAX_FIFO_REGISTERS))

    def data_bytes(self) -> bytes:
        """Byte count, FIFO count and registers."""
        return TWO_WORDS.pack(2 + 2 * len(self.values), len(self.values)) + pack_words(self.values)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        expect(len(data) >= TWO_WORDS.size, cls, data)
        byte_count, count = TWO_WORDS.unpack_from(data)
        expect(byte_count == len(data) - 2 == 2 + 2 * count, cls, data)
        return cls(unpack_words(data[TWO_WORDS.size:]))
