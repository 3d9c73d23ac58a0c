"""Requests and replies of the public functions as frozen, validated classes (Modbus Application Protocol V1.1b3,
section 6), and raw ones for all others.

The gateway passes PDUs as bytes and does not judge them; these classes are for those who make and read PDUs: the
client, the simulator, the named points. ``decode(x.encode()) == x`` for all of them.
"""

from __future__ import annotations

from typing import Final, Self

from attrs import field, frozen

from lumina_twisted.errors import FrameError
from lumina_twisted.modbus.functions import EXCEPTION_FLAG, MAX_PDU, FunctionCode, function_of
from lumina_twisted.modbus.pdu_base import Reply, Request, octets, within, wrong_length
from lumina_twisted.modbus.pdu_diagnostics import (
    DiagnosticsReply,
    DiagnosticsRequest,
    GetCommEventCounterReply,
    GetCommEventCounterRequest,
    GetCommEventLogReply,
    GetCommEventLogRequest,
    ReadDeviceIdentificationReply,
    ReadDeviceIdentificationRequest,
    ReadExceptionStatusReply,
    ReadExceptionStatusRequest,
    ReportServerIdReply,
    ReportServerIdRequest,
)
from lumina_twisted.modbus.pdu_file import (
    FileRecord,
    ReadFileRecordReply,
    ReadFileRecordRequest,
    RecordReference,
    WriteFileRecordReply,
    WriteFileRecordRequest,
)
from lumina_twisted.modbus.pdu_read import (
    ReadCoilsReply,
    ReadCoilsRequest,
    ReadDiscreteInputsReply,
    ReadDiscreteInputsRequest,
    ReadFIFOQueueReply,
    ReadFIFOQueueRequest,
    ReadHoldingRegistersReply,
    ReadHoldingRegistersRequest,
    ReadInputRegistersReply,
    ReadInputRegistersRequest,
)
from lumina_twisted.modbus.pdu_write import (
    MaskWriteRegisterReply,
    MaskWriteRegisterRequest,
    ReadWriteMultipleRegistersReply,
    ReadWriteMultipleRegistersRequest,
    WriteMultipleCoilsReply,
    WriteMultipleCoilsRequest,
    WriteMultipleRegistersReply,
    WriteMultipleRegistersRequest,
    WriteSingleCoilReply,
    WriteSingleCoilRequest,
    WriteSingleRegisterReply,
    WriteSingleRegisterRequest,
)

__all__ = [
    "REPLIES", "REQUESTS", "DiagnosticsReply", "DiagnosticsRequest", "ExceptionReply", "FileRecord",
    "GetCommEventCounterReply", "GetCommEventCounterRequest", "GetCommEventLogReply", "GetCommEventLogRequest",
    "MaskWriteRegisterReply", "MaskWriteRegisterRequest", "RawReply", "RawRequest", "ReadCoilsReply",
    "ReadCoilsRequest", "ReadDeviceIdentificationReply", "ReadDeviceIdentificationRequest",
    "ReadDiscreteInputsReply", "ReadDiscreteInputsRequest", "ReadExceptionStatusReply",
    "ReadExceptionStatusRequest", "ReadFIFOQueueReply", "ReadFIFOQueueRequest", "ReadFileRecordReply",
    "ReadFileRecordRequest", "ReadHoldingRegistersReply", "ReadHoldingRegistersRequest",
    "ReadInputRegistersReply", "ReadInputRegistersRequest", "ReadWriteMultipleRegistersReply",
    "ReadWriteMultipleRegistersRequest", "RecordReference", "Reply", "ReportServerIdReply",
    "ReportServerIdRequest", "Request", "WriteFileRecordReply", "WriteFileRecordRequest",
    "WriteMultipleCoilsReply", "WriteMultipleCoilsRequest", "WriteMultipleRegistersReply",
    "WriteMultipleRegistersRequest", "WriteSingleCoilReply", "WriteSingleCoilRequest",
    "WriteSingleRegisterReply", "WriteSingleRegisterRequest", "decode_reply", "decode_request",
]


@frozen
class RawRequest(Request):
    """A request of any function, its data as it is. Decoding makes one of the functions that have no class."""

    function_code: int = field(validator=within(1, EXCEPTION_FLAG - 1))
    data: bytes = field(validator=octets(0, MAX_PDU - 1))

    def data_bytes(self) -> bytes:
        """The data."""
        return self.data


@frozen
class RawReply(Reply):
    """A normal reply of any function, its data as it is. Decoding makes one of the functions that have no class."""

    function_code: int = field(validator=within(1, EXCEPTION_FLAG - 1))
    data: bytes = field(validator=octets(0, MAX_PDU - 1))

    def data_bytes(self) -> bytes:
        """The data."""
        return self.data


@frozen
class ExceptionReply(Reply):
    """The device said no (section 7); ``function_code`` is that of the request, without the flag."""

    function_code: int = field(validator=within(0, EXCEPTION_FLAG - 1))
    exception_code: int = field(validator=within(0, 255))

    def encode(self) -> bytes:
        """The PDU's bytes, two of them."""
        return bytes((self.function_code | EXCEPTION_FLAG, self.exception_code))

    @classmethod
    def from_pdu(cls, pdu: bytes) -> Self:
        """The exception reply that these bytes are.

        :raises FrameError: if they are not two.
        """
        if len(pdu) != 2:
            code = pdu[0] & ~EXCEPTION_FLAG
            raise FrameError(f"an exception reply has 2 bytes, not {len(pdu)}", function_code=code, frame=pdu)
        return cls(pdu[0] & ~EXCEPTION_FLAG, pdu[1])


REQUESTS: Final[dict[int, type[Request]]] = {
    cls.function_code: cls
    for cls in (
        ReadCoilsRequest, ReadDiscreteInputsRequest, ReadHoldingRegistersRequest, ReadInputRegistersRequest,
        WriteSingleCoilRequest, WriteSingleRegisterRequest, ReadExceptionStatusRequest, DiagnosticsRequest,
        GetCommEventCounterRequest, GetCommEventLogRequest, WriteMultipleCoilsRequest, WriteMultipleRegistersRequest,
        ReportServerIdRequest, ReadFileRecordRequest, WriteFileRecordRequest, MaskWriteRegisterRequest,
        ReadWriteMultipleRegistersRequest, ReadFIFOQueueRequest, ReadDeviceIdentificationRequest,
    )
}
"""The class of each public function's request; FC 43 has it for MEI type 14 only."""

REPLIES: Final[dict[int, type[Reply]]] = {
    cls.function_code: cls
    for cls in (
        ReadCoilsReply, ReadDiscreteInputsReply, ReadHoldingRegistersReply, ReadInputRegistersReply,
        WriteSingleCoilReply, WriteSingleRegisterReply, ReadExceptionStatusReply, DiagnosticsReply,
        GetCommEventCounterReply, GetCommEventLogReply, WriteMultipleCoilsReply, WriteMultipleRegistersReply,
        ReportServerIdReply, ReadFileRecordReply, WriteFileRecordReply, MaskWriteRegisterReply,
        ReadWriteMultipleRegistersReply, ReadFIFOQueueReply, ReadDeviceIdentificationReply,
    )
}
"""The class of each public function's normal reply."""


def decode_request(pdu: bytes) -> Request:
    """The request that these bytes are.

    :raises FrameError: if they are no PDU of their function.
    :raises RequestError: if a value breaks the specification's limits.
    """
    _check_size(pdu)
    cls = REQUESTS.get(pdu[0])
    if cls is None or _is_other_mei(pdu):
        return RawRequest(pdu[0], pdu[1:])
    return cls.from_data(pdu[1:])


def decode_reply(pdu: bytes) -> Reply:
    """The reply that these bytes are: a normal one, or an exception.

    :raises FrameError: if they are no PDU of their function.
    :raises RequestError: if a value breaks the specification's limits.
    """
    _check_size(pdu)
    if pdu[0] & EXCEPTION_FLAG:
        return ExceptionReply.from_pdu(pdu)
    cls = REPLIES.get(pdu[0])
    if cls is None or _is_other_mei(pdu):
        return RawReply(pdu[0], pdu[1:])
    return cls.from_data(pdu[1:])


def _is_other_mei(pdu: bytes) -> bool:
    """Whether this is an encapsulated interface other than the device identification."""
    if pdu[0] != FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT or function_of(pdu) is not None:
        return False
    if len(pdu) < 2:
        raise wrong_length(REQUESTS[pdu[0]], pdu[1:])
    return True


def _check_size(pdu: bytes) -> None:
    if not 0 < len(pdu) <= MAX_PDU:
        raise FrameError(f"a PDU has 1 to {MAX_PDU} bytes, not {len(pdu)}", frame=pdu)
