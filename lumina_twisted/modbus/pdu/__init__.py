"""Requests and replies of the public functions as frozen, validated classes (Modbus Application Protocol V1.1b3,
section 6), and raw classes for all other functions. Floor 0.

The gateway passes PDUs as bytes and does not check them. These classes are for the code that makes and reads PDUs: the
client, the simulator, the named points. ``decode(x.encode()) == x`` holds for all of them. Decoding uses a class if its
name is in ``__all__``.
"""

from __future__ import annotations

from typing import Final, Self, TypeVar

from attrs import field, frozen

from lumina_twisted.errors import FrameError
from lumina_twisted.modbus.functions import EXCEPTION_FLAG, MAX_PDU, FunctionCode
from lumina_twisted.modbus.pdu.coils_and_registers import (
    MaskWriteRegisterReply,
    MaskWriteRegisterRequest,
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
from lumina_twisted.modbus.pdu.devices_and_files import (
    DiagnosticsReply,
    DiagnosticsRequest,
    FileRecord,
    GetCommEventCounterReply,
    GetCommEventCounterRequest,
    GetCommEventLogReply,
    GetCommEventLogRequest,
    ReadDeviceIdentificationReply,
    ReadDeviceIdentificationRequest,
    ReadExceptionStatusReply,
    ReadExceptionStatusRequest,
    ReadFileRecordReply,
    ReadFileRecordRequest,
    RecordReference,
    ReportServerIdReply,
    ReportServerIdRequest,
    WriteFileRecordReply,
    WriteFileRecordRequest,
)
from lumina_twisted.modbus.pdu.layout import PDU, Byte, Octets, Reply, Request, wrong_length

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

P = TypeVar("P", bound=PDU)


@frozen
class RawRequest(Request):
    """A request of any function, with uninterpreted data. Decoding returns it for functions without a class."""

    function_code: int = field(validator=Byte(1, EXCEPTION_FLAG - 1))
    data: bytes = field(validator=Octets(0, MAX_PDU - 1))

    def data_bytes(self) -> bytes:
        """The data."""
        return self.data


@frozen
class RawReply(Reply):
    """A normal reply of any function, with uninterpreted data. Decoding returns it for functions without a class."""

    function_code: int = field(validator=Byte(1, EXCEPTION_FLAG - 1))
    data: bytes = field(validator=Octets(0, MAX_PDU - 1))

    def data_bytes(self) -> bytes:
        """The data."""
        return self.data


@frozen
class ExceptionReply(Reply):
    """The device refused (section 7); ``function_code`` is that of the request, without the flag."""

    function_code: int = field(validator=Byte(0, EXCEPTION_FLAG - 1))
    exception_code: int = field(validator=Byte())

    def encode(self) -> bytes:
        """The PDU's bytes, two of them."""
        return bytes((self.function_code | EXCEPTION_FLAG, self.exception_code))

    @classmethod
    def from_pdu(cls, pdu: bytes) -> Self:
        """The exception reply that these bytes are.

        :raises FrameError: if there are not two bytes.
        """
        if len(pdu) != 2:
            code = pdu[0] & ~EXCEPTION_FLAG
            raise FrameError(f"an exception reply has 2 bytes, not {len(pdu)}", function_code=code, frame=pdu)
        return cls(pdu[0] & ~EXCEPTION_FLAG, pdu[1])


def _classes(kind: type[P]) -> dict[bytes, type[P]]:
    """The classes of requests or of replies, by the bytes that their PDUs begin with."""
    public = [globals().get(name) for name in __all__]
    found = [one for one in public if isinstance(one, type) and issubclass(one, kind)]
    coded = [one for one in found if isinstance(getattr(one, "function_code", None), int)]
    return {bytes((one.function_code,)) + one.prefix: one for one in coded}


_REQUESTS: Final = _classes(Request)
_REPLIES: Final = _classes(Reply)

REQUESTS: Final[dict[int, type[Request]]] = {head[0]: cls for head, cls in _REQUESTS.items()}
"""The class of each public function's request. For function 43 it is the class of one MEI type; :func:`decode_request`
distinguishes the types."""
REPLIES: Final[dict[int, type[Reply]]] = {head[0]: cls for head, cls in _REPLIES.items()}
"""The class of each public function's normal reply."""


def decode_request(pdu: bytes) -> Request:
    """The request that these bytes are.

    :raises FrameError: if they are no PDU of their function.
    :raises RequestError: if a value breaks the specification's limits.
    """
    _check_size(pdu)
    cls = _REQUESTS.get(pdu[:1]) or _REQUESTS.get(pdu[:2])
    return cls.from_data(pdu[1:]) if cls else RawRequest(pdu[0], pdu[1:])


def decode_reply(pdu: bytes) -> Reply:
    """The reply that these bytes are: a normal one, or an exception.

    :raises FrameError: if they are no PDU of their function.
    :raises RequestError: if a value breaks the specification's limits.
    """
    _check_size(pdu)
    if pdu[0] & EXCEPTION_FLAG:
        return ExceptionReply.from_pdu(pdu)
    cls = _REPLIES.get(pdu[:1]) or _REPLIES.get(pdu[:2])
    return cls.from_data(pdu[1:]) if cls else RawReply(pdu[0], pdu[1:])


def _check_size(pdu: bytes) -> None:
    if not 0 < len(pdu) <= MAX_PDU:
        raise FrameError(f"a PDU has 1 to {MAX_PDU} bytes, not {len(pdu)}", frame=pdu)
    if pdu == _WITHOUT_MEI_TYPE:
        raise wrong_length(REQUESTS[pdu[0]], b"")


_WITHOUT_MEI_TYPE: Final = bytes((FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT,))
