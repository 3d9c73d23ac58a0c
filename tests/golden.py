"""The specification's own examples (Modbus Application Protocol V1.1b3, section 6), and what they say.

FC 17 has no example there, as its data are the device's own; in that of FC 43/14 the lengths are corrected, which are
not those of the texts beside them.
"""

from __future__ import annotations

from attrs import frozen

from lumina_twisted.framing import Decoded
from lumina_twisted.framing.rtu import OVERHEAD, encode_adu
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.pdu import FileRecord, RecordReference, Reply, Request
from lumina_twisted.modbus.reply import Pattern, ReplyPattern

UNIT = 0x11


@frozen
class Golden:
    """A request and its reply: their PDUs, and what those mean."""

    request_pdu: bytes
    request: Request
    reply_pdu: bytes
    reply: Reply

    @property
    def request_frame(self) -> bytes:
        """The RTU frame of the request."""
        return encode_adu(UNIT, self.request_pdu)

    @property
    def reply_frame(self) -> bytes:
        """The RTU frame of the reply."""
        return encode_adu(UNIT, self.reply_pdu)


def pattern_of(frame: bytes, hint: int = 0) -> ReplyPattern:
    """The pattern of the reply to an RTU frame.

    :param hint: bytes of the reply's RTU frame, as somebody guesses it.
    """
    return ReplyPattern(frame[0], frame[1:-2], max(0, hint - OVERHEAD))


def decoded(frame: bytes, pattern: Pattern | None) -> Decoded:
    """What the decoder says of an RTU frame that it found."""
    return Decoded(frame[0], frame[1:-2], len(frame), pattern)


def whole(found: Decoded) -> bytes:
    """The RTU frame that the decoder found."""
    return encode_adu(found.unit, found.pdu)


def bits(text: str) -> tuple[bool, ...]:
    """Coils as the specification writes them, byte by byte, the highest bit of each first."""
    return tuple(bit == "1" for byte in text.split() for bit in reversed(byte))


def _golden(request_pdu: str, request: Request, reply_pdu: str, reply: Reply) -> Golden:
    return Golden(bytes.fromhex(request_pdu), request, bytes.fromhex(reply_pdu), reply)


_COMPANY = b"Company identification"
_PRODUCT = b"Product code XX"

GOLDEN = (
    _golden(
        "01 0013 0013", pdu.ReadCoilsRequest(0x13, 19),
        "01 03 CD6B05", pdu.ReadCoilsReply(bits("11001101 01101011 00000101")),
    ),
    _golden(
        "02 00C4 0016", pdu.ReadDiscreteInputsRequest(0xC4, 22),
        "02 03 ACDB35", pdu.ReadDiscreteInputsReply(bits("10101100 11011011 00110101")),
    ),
    _golden(
        "03 006B 0003", pdu.ReadHoldingRegistersRequest(0x6B, 3),
        "03 06 022B 0000 0064", pdu.ReadHoldingRegistersReply((555, 0, 100)),
    ),
    _golden(
        "04 0008 0001", pdu.ReadInputRegistersRequest(8, 1), "04 02 000A", pdu.ReadInputRegistersReply((10,)),
    ),
    _golden(
        "05 00AC FF00", pdu.WriteSingleCoilRequest(0xAC, True),
        "05 00AC FF00", pdu.WriteSingleCoilReply(0xAC, True),
    ),
    _golden(
        "06 0001 0003", pdu.WriteSingleRegisterRequest(1, 3), "06 0001 0003", pdu.WriteSingleRegisterReply(1, 3),
    ),
    _golden("07", pdu.ReadExceptionStatusRequest(), "07 6D", pdu.ReadExceptionStatusReply(0x6D)),
    _golden(
        "08 0000 A537", pdu.DiagnosticsRequest(0, b"\xa5\x37"), "08 0000 A537", pdu.DiagnosticsReply(0, b"\xa5\x37"),
    ),
    _golden("0B", pdu.GetCommEventCounterRequest(), "0B FFFF 0108", pdu.GetCommEventCounterReply(0xFFFF, 264)),
    _golden(
        "0C", pdu.GetCommEventLogRequest(),
        "0C 08 0000 0108 0121 20 00", pdu.GetCommEventLogReply(0, 264, 289, b"\x20\x00"),
    ),
    _golden(
        "0F 0013 000A 02 CD01", pdu.WriteMultipleCoilsRequest(0x13, bits("11001101 00000001")[:10]),
        "0F 0013 000A", pdu.WriteMultipleCoilsReply(0x13, 10),
    ),
    _golden(
        "10 0001 0002 04 000A 0102", pdu.WriteMultipleRegistersRequest(1, (10, 0x102)),
        "10 0001 0002", pdu.WriteMultipleRegistersReply(1, 2),
    ),
    _golden("11", pdu.ReportServerIdRequest(), "11 03 5678 FF", pdu.ReportServerIdReply(b"\x56\x78\xff")),
    _golden(
        "14 0E 06 0004 0001 0002 06 0003 0009 0002",
        pdu.ReadFileRecordRequest((RecordReference(4, 1, 2), RecordReference(3, 9, 2))),
        "14 0C 05 06 0DFE 0020 05 06 33CD 0040", pdu.ReadFileRecordReply(((0xDFE, 0x20), (0x33CD, 0x40))),
    ),
    _golden(
        "15 0D 06 0004 0007 0003 06AF 04BE 100D",
        pdu.WriteFileRecordRequest((FileRecord(4, 7, (0x6AF, 0x4BE, 0x100D)),)),
        "15 0D 06 0004 0007 0003 06AF 04BE 100D",
        pdu.WriteFileRecordReply((FileRecord(4, 7, (0x6AF, 0x4BE, 0x100D)),)),
    ),
    _golden(
        "16 0004 00F2 0025", pdu.MaskWriteRegisterRequest(4, 0xF2, 0x25),
        "16 0004 00F2 0025", pdu.MaskWriteRegisterReply(4, 0xF2, 0x25),
    ),
    _golden(
        "17 0003 0006 000E 0003 06 00FF 00FF 00FF",
        pdu.ReadWriteMultipleRegistersRequest(3, 6, 14, (0xFF, 0xFF, 0xFF)),
        "17 0C 00FE 0ACD 0001 0003 000D 00FF",
        pdu.ReadWriteMultipleRegistersReply((0xFE, 0xACD, 1, 3, 0xD, 0xFF)),
    ),
    _golden(
        "18 04DE", pdu.ReadFIFOQueueRequest(0x4DE), "18 0006 0002 01B8 1284", pdu.ReadFIFOQueueReply((440, 4740)),
    ),
    _golden(
        "2B 0E 01 00", pdu.ReadDeviceIdentificationRequest(1, 0),
        f"2B 0E 01 01 00 00 03 00 16 {_COMPANY.hex()} 01 0F {_PRODUCT.hex()} 02 05 {b'V2.11'.hex()}",
        pdu.ReadDeviceIdentificationReply(1, 1, False, 0, ((0, _COMPANY), (1, _PRODUCT), (2, b"V2.11"))),
    ),
)
EXCEPTION_PDU = bytes.fromhex("81 02")
EXCEPTION = pdu.ExceptionReply(1, 2)
