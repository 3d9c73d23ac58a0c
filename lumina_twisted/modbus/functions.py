"""The table of function codes: all that Lumina knows of each public function, one row each. Floor 0.

A new function is a row in :data:`_ROWS`, or in :data:`ENCAPSULATED` for a MEI type of function 43; with a class in
:mod:`lumina_twisted.modbus.pdu`, programs can also make and read its PDUs. Sections are those of the Modbus
Application Protocol V1.1b3 (APP); SER is Modbus over Serial Line V1.02.

A frame on a serial line carries no length of its own, and a pause is a poor mark of its end (USB adapters pause for
16 ms), so the function code determines it. The functions that return the length of a PDU look at ``buffer[start:]``,
which begins with the function code. They return 0 while they need more bytes, and :data:`UNKNOWN` if the bytes never
determine the length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from attrs import field, frozen

from lumina_twisted.errors import FrameError
from lumina_twisted.modbus import access
from lumina_twisted.modbus.access import ADDRESSES, Access, AccessesOf, Table, word

MAX_PDU: Final = 253
"""Bytes of the longest PDU (APP section 4.1)."""
EXCEPTION_FLAG: Final = 0x80
"""Set in the function code of an exception reply (APP section 7)."""
BROADCAST: Final = 0
"""The unit identifier that every device obeys and none answers (SER section 2.2)."""
MEI_DEVICE_IDENTIFICATION: Final = 14
"""The MEI type of Read Device Identification (APP section 6.21)."""
DIAGNOSTICS_RETURN_QUERY_DATA: Final = 0
"""The diagnostics sub-function that returns the request's own data (APP section 6.8)."""

MAX_READ_BITS: Final = 2000
MAX_READ_REGISTERS: Final = 125
MAX_WRITE_BITS: Final = 1968
MAX_WRITE_REGISTERS: Final = 123
MAX_READ_WRITE_REGISTERS: Final = 121
"""Registers that FC 23 may write beside those it reads."""
MAX_FIFO_REGISTERS: Final = 31
MAX_EVENTS: Final = 64
"""Bytes of the communication event log (APP section 6.10)."""


class FunctionCode(IntEnum):
    """Public function codes (APP section 5.1)."""

    READ_COILS = 1
    READ_DISCRETE_INPUTS = 2
    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4
    WRITE_SINGLE_COIL = 5
    WRITE_SINGLE_REGISTER = 6
    READ_EXCEPTION_STATUS = 7
    DIAGNOSTICS = 8
    GET_COMM_EVENT_COUNTER = 11
    GET_COMM_EVENT_LOG = 12
    WRITE_MULTIPLE_COILS = 15
    WRITE_MULTIPLE_REGISTERS = 16
    REPORT_SERVER_ID = 17
    READ_FILE_RECORD = 20
    WRITE_FILE_RECORD = 21
    MASK_WRITE_REGISTER = 22
    READ_WRITE_MULTIPLE_REGISTERS = 23
    READ_FIFO_QUEUE = 24
    ENCAPSULATED_INTERFACE_TRANSPORT = 43


# -- the length of a PDU ---------------------------------------------------------------------------------------------

UNKNOWN: Final = -1
Buffer = bytes | bytearray
Length = int | Callable[[Buffer, int], int]
"""The length of a PDU; or a function that finds it, from a buffer and a start."""


def _counted(at: int) -> Length:
    """The byte at ``at`` counts those that follow."""

    def length(buffer: Buffer, start: int) -> int:
        return 0 if len(buffer) <= start + at else at + 1 + buffer[start + at]

    return length


_COUNTED: Final = _counted(1)


def _diagnostics_request(buffer: Buffer, start: int) -> int:
    """Only the sub-function that returns any data has no length of its own."""
    if len(buffer) < start + 3:
        return 0
    return UNKNOWN if word(buffer, start + 1) == DIAGNOSTICS_RETURN_QUERY_DATA else 5


def _diagnostics_reply(buffer: Buffer, start: int) -> int:
    """Right for all sub-functions but 0, which returns as many bytes as its request has."""
    return 5


def _fifo_reply(buffer: Buffer, start: int) -> int:
    return 0 if len(buffer) < start + 3 else 3 + word(buffer, start + 1)


def _identification_reply(buffer: Buffer, start: int) -> int:
    """Walks the list of objects: id, length, value each (APP section 6.21)."""
    at = start + 7
    if len(buffer) < at:
        return 0
    for _ in range(buffer[start + 6]):
        if len(buffer) < at + 2:
            return 0
        at += 2 + buffer[at + 1]
    return at - start


# -- the byte count of a reply, from its request ---------------------------------------------------------------------


def _bits(pdu: bytes) -> int:
    return ((pdu[3] << 8 | pdu[4]) + 7) // 8


def _registers(pdu: bytes) -> int:
    return 2 * (pdu[3] << 8 | pdu[4])


def _records(pdu: bytes) -> int:
    """For FC 20. Bytes behind the last whole reference do not count: the device judges them."""
    return sum(2 + 2 * word(pdu, at) for at in range(7, len(pdu) - 1, 7))


# -- the table -------------------------------------------------------------------------------------------------------

_WHOLE: Final = MAX_PDU
_SUB_FUNCTION: Final = 3


@frozen
class Function:
    """One function. Its requests may be repeated, and shared by clients, if it only reads; what it writes may be
    broadcast.

    :param request: length of the request, and ``reply`` of the normal reply.
    :param is_read: whether it changes nothing on the device, so that asking twice is harmless.
    :param accesses: which entries of the four tables it touches; None for none.
    :param range_of: the table of which it reads a range of up to ``most`` entries, and does nothing else.
    :param byte_count: the byte count that the reply to a whole request must have; None where the request does not say.
    :param entry_bits: bits of each entry that a range has; 0 for what reads no range.
    :param repeats: how many bytes of a request the normal reply begins with; the function code is one.
    :param is_as_long: whether the reply is as long as the request, whose length varies.
    """

    code: FunctionCode
    request: Length
    reply: Length
    is_read: bool = field(default=False, kw_only=True)
    accesses: AccessesOf | None = field(default=None, kw_only=True)
    range_of: Table | None = field(default=None, kw_only=True)
    most: int = field(default=0, kw_only=True)
    byte_count: Callable[[bytes], int] | None = field(default=None, kw_only=True)
    entry_bits: int = field(default=0, kw_only=True)
    repeats: int = field(default=1, kw_only=True)
    is_as_long: bool = field(default=False, kw_only=True)

    @property
    def has_byte_count(self) -> bool:
        """Whether the second byte of the normal reply counts those that follow."""
        return self.reply is _COUNTED

    @property
    def returns_entries(self) -> bool:
        """Whether the normal reply is a byte count and entries of a table."""
        return self.byte_count is not None and self.accesses is not None

    @property
    def echo_length(self) -> int:
        """How many bytes at the beginning of a request are its whole normal reply; 0 if that holds more."""
        return self.reply if isinstance(self.reply, int) and self.repeats >= self.reply else 0

    @property
    def is_bits(self) -> bool:
        """Whether it reads a range of coils or of discrete inputs."""
        return self.entry_bits == 1


def _range(code: FunctionCode, table: Table, most: int, entry_bits: int) -> Function:
    return Function(
        code, 5, _COUNTED, is_read=True, accesses=access.reads(table), range_of=table, most=most, entry_bits=entry_bits,
        byte_count=_bits if entry_bits == 1 else _registers,
    )


_C = FunctionCode
_ROWS: Final = (
    _range(_C.READ_COILS, "coil", MAX_READ_BITS, 1),
    _range(_C.READ_DISCRETE_INPUTS, "discrete", MAX_READ_BITS, 1),
    _range(_C.READ_HOLDING_REGISTERS, "holding", MAX_READ_REGISTERS, 16),
    _range(_C.READ_INPUT_REGISTERS, "input", MAX_READ_REGISTERS, 16),
    Function(_C.WRITE_SINGLE_COIL, 5, 5, repeats=_WHOLE, accesses=access.write_coil),
    Function(_C.WRITE_SINGLE_REGISTER, 5, 5, repeats=_WHOLE, accesses=access.write_register),
    Function(_C.READ_EXCEPTION_STATUS, 1, 2, is_read=True),
    # No read: some sub-functions restart the device or clear its counters.
    Function(_C.DIAGNOSTICS, _diagnostics_request, _diagnostics_reply, repeats=_SUB_FUNCTION, is_as_long=True),
    Function(_C.GET_COMM_EVENT_COUNTER, 1, 5, is_read=True),
    Function(_C.GET_COMM_EVENT_LOG, 1, _COUNTED, is_read=True),
    Function(_C.WRITE_MULTIPLE_COILS, _counted(5), 5, repeats=5, accesses=access.write_coils),
    Function(_C.WRITE_MULTIPLE_REGISTERS, _counted(5), 5, repeats=5, accesses=access.write_registers),
    Function(_C.REPORT_SERVER_ID, 1, _COUNTED, is_read=True),
    Function(_C.READ_FILE_RECORD, _COUNTED, _COUNTED, is_read=True, byte_count=_records),
    Function(_C.WRITE_FILE_RECORD, _COUNTED, _COUNTED, repeats=_WHOLE, is_as_long=True),
    Function(_C.MASK_WRITE_REGISTER, 7, 7, repeats=_WHOLE, accesses=access.mask_register),
    Function(
        _C.READ_WRITE_MULTIPLE_REGISTERS, _counted(9), _COUNTED, accesses=access.read_write_registers,
        byte_count=_registers,
    ),
    Function(_C.READ_FIFO_QUEUE, 3, _fifo_reply, is_read=True, accesses=access.read_fifo),
)
FUNCTIONS: Final[Mapping[int, Function]] = {row.code: row for row in _ROWS}
"""By function code; without function 43, whose MEI type decides."""

ENCAPSULATED: Final[Mapping[int, Function]] = {
    MEI_DEVICE_IDENTIFICATION: Function(
        _C.ENCAPSULATED_INTERFACE_TRANSPORT, 4, _identification_reply, is_read=True, repeats=3
    ),
}
"""Those of function 43, by MEI type."""

READS_OF: Final[Mapping[Table, Function]] = {row.range_of: row for row in _ROWS if row.range_of}
"""By table, the function that reads a range of it."""


# -- looking it up: where each request passes, without a call for the row --------------------------------------------


def function_of(pdu: Buffer, start: int = 0) -> Function | None:
    """The row of the PDU at ``start``, a request or a normal reply; None if the tables have none."""
    return FUNCTIONS.get(pdu[start]) or _encapsulated(pdu, start)


def _encapsulated(pdu: Buffer, start: int = 0) -> Function | None:
    if pdu[start] != FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT or len(pdu) == start + 1:
        return None
    return ENCAPSULATED.get(pdu[start + 1])


def is_read(pdu: bytes) -> bool:
    """Whether a request PDU leaves the device as it was; its first two bytes will do."""
    function = FUNCTIONS.get(pdu[0]) or _encapsulated(pdu)
    return function is not None and function.is_read


def request_length(buffer: Buffer, start: int = 0) -> int:
    """Length of the request PDU at ``start``."""
    function = FUNCTIONS.get(buffer[start]) or _encapsulated(buffer, start)
    if function is None:
        return _without_row(buffer, start)
    length = function.request
    return length if isinstance(length, int) else length(buffer, start)


def reply_length(buffer: Buffer, start: int = 0) -> int:
    """Length of the reply PDU at ``start``; an exception has 2 bytes whatever its function code. FC 8 counts as 5
    bytes, which is right for all its sub-functions but 0."""
    if buffer[start] & EXCEPTION_FLAG:
        return 2
    function = FUNCTIONS.get(buffer[start]) or _encapsulated(buffer, start)
    if function is None:
        return _without_row(buffer, start)
    length = function.reply
    return length if isinstance(length, int) else length(buffer, start)


def _without_row(buffer: Buffer, start: int) -> int:
    is_cut_off = buffer[start] == FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT and len(buffer) == start + 1
    return 0 if is_cut_off else UNKNOWN


def is_request(pdu: bytes) -> bool:
    """Whether a whole PDU can only be a request: its length is that of a request, and not that of a reply. No reply
    holds half a register, so a read of registers from address 0x0300 to 0x03FF is no reply with three bytes."""
    if request_length(pdu) != len(pdu):
        return False
    if reply_length(pdu) != len(pdu):
        return True
    function = function_of(pdu)
    return function is not None and function.range_of is not None and not function.is_bits and pdu[1] % 2 == 1


def accesses(pdu: bytes) -> tuple[Access, ...]:
    """All that a request PDU does; two things for function 23, one for any other.

    :raises FrameError: if its length, its byte count and its quantities contradict each other, or if it leaves its
        table.
    """
    code = pdu[0]
    if request_length(pdu) not in (UNKNOWN, len(pdu)):
        raise FrameError(f"a request of function {code} does not have {len(pdu)} bytes", function_code=code, frame=pdu)
    function = function_of(pdu)
    if function is None or function.accesses is None:
        return (Access(function is None or not function.is_read, None),)
    found = tuple(function.accesses(pdu))
    for one in found:
        if not one.first < one.end <= ADDRESSES:
            raise FrameError(
                f"function {code} with {one.end - one.first} entries from address {one.first} on is outside of every"
                " table", function_code=code, frame=pdu,
            )
    return found
