"""PDUs that read and write the four tables, and the FIFO queue: functions 1 to 6, 15, 16 and 22 to 24 (Modbus
Application Protocol V1.1b3). Floor 0.

The normal reply of functions 5, 6 and 22 is the request itself.
"""

from __future__ import annotations

import struct
from typing import Final

from attrs import field, frozen

from lumina_twisted.modbus.functions import (
    MAX_FIFO_REGISTERS,
    MAX_READ_BITS,
    MAX_READ_REGISTERS,
    MAX_READ_WRITE_REGISTERS,
    MAX_WRITE_BITS,
    MAX_WRITE_REGISTERS,
    FunctionCode,
)
from lumina_twisted.modbus.pdu.layout import (
    PDU,
    Bits,
    Coil,
    Reply,
    Request,
    Word,
    Words,
    as_bits,
    as_tuple,
    as_whole_bytes,
    expect,
)

# -- reading ---------------------------------------------------------------------------------------------------------


@frozen
class ReadCoilsRequest(Request):
    """FC 01, section 6.1: 1 to 2000 coils from ``address`` on."""

    function_code = FunctionCode.READ_COILS
    address: int = field(validator=Word())
    quantity: int = field(validator=Word(1, MAX_READ_BITS))


@frozen
class ReadDiscreteInputsRequest(Request):
    """FC 02, section 6.2: 1 to 2000 discrete inputs from ``address`` on."""

    function_code = FunctionCode.READ_DISCRETE_INPUTS
    address: int = field(validator=Word())
    quantity: int = field(validator=Word(1, MAX_READ_BITS))


@frozen
class ReadHoldingRegistersRequest(Request):
    """FC 03, section 6.3: 1 to 125 holding registers from ``address`` on."""

    function_code = FunctionCode.READ_HOLDING_REGISTERS
    address: int = field(validator=Word())
    quantity: int = field(validator=Word(1, MAX_READ_REGISTERS))


@frozen
class ReadInputRegistersRequest(Request):
    """FC 04, section 6.4: 1 to 125 input registers from ``address`` on."""

    function_code = FunctionCode.READ_INPUT_REGISTERS
    address: int = field(validator=Word())
    quantity: int = field(validator=Word(1, MAX_READ_REGISTERS))


@frozen
class ReadCoilsReply(Reply):
    """FC 01, section 6.1. ``values`` fill whole bytes, with False at the end, because a reply does not say how many
    coils were requested. Only the first ``quantity`` values count."""

    function_code = FunctionCode.READ_COILS
    is_counted = True
    values: tuple[bool, ...] = field(converter=as_whole_bytes, validator=Bits(MAX_READ_BITS))


@frozen
class ReadDiscreteInputsReply(Reply):
    """FC 02, section 6.2; ``values`` as in :class:`ReadCoilsReply`."""

    function_code = FunctionCode.READ_DISCRETE_INPUTS
    is_counted = True
    values: tuple[bool, ...] = field(converter=as_whole_bytes, validator=Bits(MAX_READ_BITS))


@frozen
class ReadHoldingRegistersReply(Reply):
    """FC 03, section 6.3."""

    function_code = FunctionCode.READ_HOLDING_REGISTERS
    is_counted = True
    values: tuple[int, ...] = field(converter=as_tuple, validator=Words(1, MAX_READ_REGISTERS))


@frozen
class ReadInputRegistersReply(Reply):
    """FC 04, section 6.4."""

    function_code = FunctionCode.READ_INPUT_REGISTERS
    is_counted = True
    values: tuple[int, ...] = field(converter=as_tuple, validator=Words(1, MAX_READ_REGISTERS))


@frozen
class ReadFIFOQueueRequest(Request):
    """FC 24, section 6.18: the queue whose count stands at ``address``."""

    function_code = FunctionCode.READ_FIFO_QUEUE
    address: int = field(validator=Word())


class _Queue(Words):
    """Registers after two words: the number of bytes that follow, and the number of registers."""

    HEAD: Final = struct.Struct(">HH")

    def pack(self, values: tuple[int, ...]) -> bytes:
        return self.HEAD.pack(2 + 2 * len(values), len(values)) + super().pack(values)

    def unpack(self, rest: bytes, cls: type[PDU], data: bytes) -> tuple[int, ...]:
        expect(len(rest) >= self.HEAD.size, cls, data)
        byte_count, count = self.HEAD.unpack_from(rest)
        expect(byte_count == len(rest) - 2 == 2 + 2 * count, cls, data)
        return super().unpack(rest[self.HEAD.size:], cls, data)


@frozen
class ReadFIFOQueueReply(Reply):
    """FC 24, section 6.18: up to 31 registers, which stay in the queue."""

    function_code = FunctionCode.READ_FIFO_QUEUE
    values: tuple[int, ...] = field(converter=as_tuple, validator=_Queue(0, MAX_FIFO_REGISTERS))


# -- writing ---------------------------------------------------------------------------------------------------------


@frozen
class WriteSingleCoilRequest(Request):
    """FC 05, section 6.5."""

    function_code = FunctionCode.WRITE_SINGLE_COIL
    address: int = field(validator=Word())
    value: bool = field(converter=bool, validator=Coil())


@frozen
class WriteSingleCoilReply(Reply):
    """FC 05, section 6.5."""

    function_code = FunctionCode.WRITE_SINGLE_COIL
    address: int = field(validator=Word())
    value: bool = field(converter=bool, validator=Coil())


@frozen
class WriteSingleRegisterRequest(Request):
    """FC 06, section 6.6."""

    function_code = FunctionCode.WRITE_SINGLE_REGISTER
    address: int = field(validator=Word())
    value: int = field(validator=Word())


@frozen
class WriteSingleRegisterReply(Reply):
    """FC 06, section 6.6."""

    function_code = FunctionCode.WRITE_SINGLE_REGISTER
    address: int = field(validator=Word())
    value: int = field(validator=Word())


@frozen
class WriteMultipleCoilsRequest(Request):
    """FC 15, section 6.11: 1 to 1968 coils from ``address`` on."""

    function_code = FunctionCode.WRITE_MULTIPLE_COILS
    address: int = field(validator=Word())
    values: tuple[bool, ...] = field(converter=as_bits, validator=Bits(MAX_WRITE_BITS, with_quantity=True))


@frozen
class WriteMultipleCoilsReply(Reply):
    """FC 15, section 6.11: the range that was written."""

    function_code = FunctionCode.WRITE_MULTIPLE_COILS
    address: int = field(validator=Word())
    quantity: int = field(validator=Word(1, MAX_WRITE_BITS))


@frozen
class WriteMultipleRegistersRequest(Request):
    """FC 16, section 6.12: 1 to 123 registers from ``address`` on."""

    function_code = FunctionCode.WRITE_MULTIPLE_REGISTERS
    address: int = field(validator=Word())
    values: tuple[int, ...] = field(converter=as_tuple, validator=Words(1, MAX_WRITE_REGISTERS, with_quantity=True))


@frozen
class WriteMultipleRegistersReply(Reply):
    """FC 16, section 6.12: the range that was written."""

    function_code = FunctionCode.WRITE_MULTIPLE_REGISTERS
    address: int = field(validator=Word())
    quantity: int = field(validator=Word(1, MAX_WRITE_REGISTERS))


@frozen
class MaskWriteRegisterRequest(Request):
    """FC 22, section 6.16: the register becomes ``(register AND and_mask) OR (or_mask AND NOT and_mask)``."""

    function_code = FunctionCode.MASK_WRITE_REGISTER
    address: int = field(validator=Word())
    and_mask: int = field(validator=Word())
    or_mask: int = field(validator=Word())


@frozen
class MaskWriteRegisterReply(Reply):
    """FC 22, section 6.16."""

    function_code = FunctionCode.MASK_WRITE_REGISTER
    address: int = field(validator=Word())
    and_mask: int = field(validator=Word())
    or_mask: int = field(validator=Word())


@frozen
class ReadWriteMultipleRegistersRequest(Request):
    """FC 23, section 6.17: writes 1 to 121 registers, then reads 1 to 125."""

    function_code = FunctionCode.READ_WRITE_MULTIPLE_REGISTERS
    read_address: int = field(validator=Word())
    read_quantity: int = field(validator=Word(1, MAX_READ_REGISTERS))
    write_address: int = field(validator=Word())
    values: tuple[int, ...] = field(
        converter=as_tuple, validator=Words(1, MAX_READ_WRITE_REGISTERS, with_quantity=True)
    )


@frozen
class ReadWriteMultipleRegistersReply(Reply):
    """FC 23, section 6.17: the registers that were read."""

    function_code = FunctionCode.READ_WRITE_MULTIPLE_REGISTERS
    is_counted = True
    values: tuple[int, ...] = field(converter=as_tuple, validator=Words(1, MAX_READ_REGISTERS))
