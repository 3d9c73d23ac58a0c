"""Function codes, exception codes and size limits of the Modbus Application Protocol V1.1b3 (APP)
and of Modbus over Serial Line V1.02 (SER)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

MAX_PDU: Final = 253
"""Bytes of the longest PDU (APP section 4.1)."""

MAX_RTU_ADU: Final = 256
"""Bytes of the longest RTU frame: unit, PDU, CRC (SER section 2.5.1)."""

MIN_RTU_ADU: Final = 4
"""Bytes of the shortest RTU frame: unit, function code, CRC."""

EXCEPTION_RTU_ADU: Final = 5
"""Bytes of an exception reply's RTU frame: unit, function code + 0x80, exception code, CRC."""

EXCEPTION_FLAG: Final = 0x80
"""Set in the function code of an exception reply (APP section 7)."""

BROADCAST: Final = 0
"""The unit identifier that every device obeys and none answers (SER section 2.2)."""


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


MEI_DEVICE_IDENTIFICATION: Final = 14
"""The MEI type of Read Device Identification (APP section 6.21)."""

DIAGNOSTICS_RETURN_QUERY_DATA: Final = 0
"""The diagnostics sub-function that returns the request's own data (APP section 6.8)."""

READS: Final = frozenset({1, 2, 3, 4, 7, 11, 12, 17, 20, 24})
"""Functions that change nothing on the device, so asking twice is harmless; FC 43 is one when its MEI type is 14."""


def is_read(pdu: bytes) -> bool:
    """Whether a request PDU leaves the device as it was.

    FC 8 counts as a write: some of its sub-functions restart the device or clear its counters.
    """
    return pdu[0] in READS or (pdu[0] == 43 and pdu[1:2] == b"\x0e")
