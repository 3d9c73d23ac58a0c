"""The table of function codes: all that Lumina knows about each public function, one row each. Floor 0.

A new function is a row in :data:`_ROWS`, or in :data:`ENCAPSULATED` for a MEI type of function 43. With a class in a
file of :mod:`lumina_twisted.modbus.pdu`, named in its ``__all__``, programs can also make and read its PDUs. Sections
are those of the Modbus Application Protocol V1.1b3 (APP); SER is Modbus over Serial Line V1.02.

A frame on a serial line carries no length, and a pause is a poor mark of its end (USB adapters pause for 16 ms). So the
function code determines the length. The functions that return the length of a PDU look at ``buffer[start:]``,
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
"""The most registers that FC 23 may write; those that it reads do not count."""
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
"""The length of a PDU, or a function that returns it for a buffer and a start."""


def _counted(at: int) -> Length:
    """The length of a PDU whose byte at ``at`` counts the bytes that follow."""

    def length(buffer: Buffer, start: int) -> int:
        return 0 if len(buffer) <= start + at else at + 1 + buffer[start + at]

    return length


_COUNTED: Final = _counted(1)


def _diagnostics_request(buffer: Buffer, start: int) -> int:
    """Always 5, except for sub-function 0: it returns any data, so its length is unknown."""
    if len(buffer) < start + 3:
        return 0
    return UNKNOWN if word(buffer, start + 1) == DIAGNOSTICS_RETURN_QUERY_DATA else 5


def _diagnostics_reply(buffer: Buffer, start: int) -> int:
    """Always 5. That is wrong for sub-function 0, whose reply is as long as its request."""
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
    """The byte count for FC 20. Bytes after the last whole reference do not count: the device judges them."""
    return sum(2 + 2 * word(pdu, at) for at in range(7, len(pdu) - 1, 7))


# -- the table -------------------------------------------------------------------------------------------------------

_WHOLE: Final = MAX_PDU
_SUB_FUNCTION: Final = 3


@frozen
class Function:
    """One function. If it only reads, its requests may be repeated and shared by clients. If it writes, its requests
    may be broadcast.

    :param request: length of the request; ``reply`` is that of the normal reply.
    :param is_read: whether the function changes nothing on the device, so that a repeated request is harmless.
    :param accesses: which entries of the four tables the function touches; None if it touches none.
    :param range_of: the table, if the function reads a range of up to ``most`` entries from it and does nothing else.
    :param byte_count: the byte count that the reply to a whole request must have; None if the request does not
        determine it.
    :param entry_bits: bits of each entry in the range; 0 if the function reads no range.
    :param repeats: how many bytes at the beginning of a request its normal reply repeats, with the function code.
    :param is_as_long: whether the reply is as long as the request, if the length of the request varies.
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
        """Whether the second byte of the normal reply counts the bytes that follow."""
        return self.reply is _COUNTED

    @property
    def returns_entries(self) -> bool:
        """Whether the normal reply consists of a byte count and the entries of a table."""
        return self.byte_count is not None and self.accesses is not None

    @property
    def echo_length(self) -> int:
        """How many bytes at the beginning of a request form its whole normal reply; 0 if the reply holds more."""
        return self.reply if isinstance(self.reply, int) and self.repeats >= self.reply else 0

    @property
    def is_bits(self) -> bool:
        """Whether the function reads a range of coils or of discrete inputs."""
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
    # Not a read: some sub-functions restart the device or clear its counters.
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
"""The rows by function code, without function 43: its rows are found by MEI type."""

ENCAPSULATED: Final[Mapping[int, Function]] = {
    MEI_DEVICE_IDENTIFICATION: Function(
        _C.ENCAPSULATED_INTERFACE_TRANSPORT, 4, _identification_reply, is_read=True, repeats=3
    ),
}
"""The rows of function 43, by MEI type."""

READS_OF: Final[Mapping[Table, Function]] = {row.range_of: row for row in _ROWS if row.range_of}
"""For each table, the function that reads a range of it."""


# -- look-ups: every request needs them, so they find the row without a further call ---------------------------------


def function_of(pdu: Buffer, start: int = 0) -> Function | None:
    """The row of the PDU at ``start``, a request or a normal reply; None if the tables have none."""
    return FUNCTIONS.get(pdu[start]) or _encapsulated(pdu, start)


def _encapsulated(pdu: Buffer, start: int = 0) -> Function | None:
    if pdu[start] != FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT or len(pdu) == start + 1:
        return None
    return ENCAPSULATED.get(pdu[start + 1])


def is_read(pdu: bytes) -> bool:
    """Whether a request PDU changes nothing on the device. The first two bytes of the PDU are enough."""
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
    bytes, which is right for all sub-functions except 0."""
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
    """Whether a whole PDU can only be a request: it has the length of a request, and not that of a reply. One case has
    both: the address of a register read, 0x0300 to 0x03FF, looks like the byte count 3 of a reply. That is a request
    too, because no reply holds half a register."""
    if request_length(pdu) != len(pdu):
        return False
    if reply_length(pdu) != len(pdu):
        return True
    function = function_of(pdu)
    return function is not None and function.range_of is not None and not function.is_bits and pdu[1] % 2 == 1


def accesses(pdu: bytes) -> tuple[Access, ...]:
    """All accesses of a request PDU: two for function 23, one for any other function.

    :raises FrameError: if the PDU's length, byte count and quantities contradict each other, or if its range exceeds
        its table.
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
