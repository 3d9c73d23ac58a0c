"""PDUs of functions that few devices have: those about the device itself (7, 8, 11, 12, 17 and 43/14) and those about
its files (20, 21) (Modbus Application Protocol V1.1b3). Floor 0.

A file is up to 10,000 records of one register each; a PDU names several runs of records.
"""

from __future__ import annotations

import struct
from typing import Any, Final, Self

from attrs import field, frozen

from lumina_twisted.modbus.functions import (
    DIAGNOSTICS_RETURN_QUERY_DATA,
    MAX_EVENTS,
    MAX_PDU,
    MEI_DEVICE_IDENTIFICATION,
    FunctionCode,
)
from lumina_twisted.modbus.pdu.layout import (
    PDU,
    Byte,
    Flag,
    Octets,
    Reply,
    Request,
    Rest,
    Word,
    as_tuple,
    as_tuples,
    check_count,
    check_number,
    expect,
    pack_words,
    refusal,
    refused,
    unpack_words,
)

# -- the device itself -----------------------------------------------------------------------------------------------


@frozen
class ReadExceptionStatusRequest(Request):
    """FC 07, section 6.7; serial line only."""

    function_code = FunctionCode.READ_EXCEPTION_STATUS


@frozen
class ReadExceptionStatusReply(Reply):
    """FC 07, section 6.7: ``status`` holds eight outputs that the device chooses."""

    function_code = FunctionCode.READ_EXCEPTION_STATUS
    status: int = field(validator=Byte())


@frozen
class _Diagnostics(PDU):
    """A sub-function and its words."""

    function_code = FunctionCode.DIAGNOSTICS
    sub_function: int = field(validator=Word())
    data: bytes = field(validator=Octets(2, MAX_PDU - 3, are_words=True))

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        expect(not any(data[:2]) or len(data) == 4, cls, data)
        return super().from_data(data)

    def __attrs_post_init__(self) -> None:
        if self.sub_function != DIAGNOSTICS_RETURN_QUERY_DATA and len(self.data) != 2:
            raise refusal(self, f"sub-function {self.sub_function} has 2 bytes of data, not {len(self.data)}")


@frozen
class DiagnosticsRequest(_Diagnostics, Request):
    """FC 08, section 6.8; serial line only. Sub-function 0 takes any words, the others one."""


@frozen
class DiagnosticsReply(_Diagnostics, Reply):
    """FC 08, section 6.8."""


@frozen
class GetCommEventCounterRequest(Request):
    """FC 11, section 6.9; serial line only."""

    function_code = FunctionCode.GET_COMM_EVENT_COUNTER


@frozen
class GetCommEventCounterReply(Reply):
    """FC 11, section 6.9: ``status`` is 0xFFFF while an earlier program command is carried out, else 0."""

    function_code = FunctionCode.GET_COMM_EVENT_COUNTER
    status: int = field(validator=Word())
    event_count: int = field(validator=Word())


@frozen
class GetCommEventLogRequest(Request):
    """FC 12, section 6.10; serial line only."""

    function_code = FunctionCode.GET_COMM_EVENT_LOG


@frozen
class GetCommEventLogReply(Reply):
    """FC 12, section 6.10: the fields of :class:`GetCommEventCounterReply`, and up to 64 events, the newest first."""

    function_code = FunctionCode.GET_COMM_EVENT_LOG
    is_counted = True
    status: int = field(validator=Word())
    event_count: int = field(validator=Word())
    message_count: int = field(validator=Word())
    events: bytes = field(validator=Octets(0, MAX_EVENTS))


@frozen
class ReportServerIdRequest(Request):
    """FC 17, section 6.13; serial line only."""

    function_code = FunctionCode.REPORT_SERVER_ID


@frozen
class ReportServerIdReply(Reply):
    """FC 17, section 6.13: ``data`` are the server id, the run indicator (0xFF on, 0 off) and the device's own
    additions; only the maker of the device knows how long each is."""

    function_code = FunctionCode.REPORT_SERVER_ID
    is_counted = True
    data: bytes = field(validator=Octets(0, MAX_PDU - 2))


@frozen
class ReadDeviceIdentificationRequest(Request):
    """FC 43 / MEI 14, section 6.21. ``read_code`` 1 reads the basic, 2 the regular and 3 the extended objects, all
    from ``object_id`` on; 4 reads that one object."""

    function_code = FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT
    prefix = bytes((MEI_DEVICE_IDENTIFICATION,))
    read_code: int = field(validator=Byte(1, 4))
    object_id: int = field(validator=Byte())


class _Objects(Rest):
    """Pairs of id and value. The data has their number, and then the id, length and value of each."""

    MOST_BYTES: Final = MAX_PDU - 7

    def __call__(self, pdu: PDU, attribute: Any, objects: Any) -> None:
        check_count(pdu, "objects", len(objects), 0, 255)
        for object_id, value in objects:
            check_number(pdu, "object id", object_id, 0, 0xFF)
            if not isinstance(value, bytes):
                raise refusal(pdu, f"the value {value!r} of object {object_id} is not bytes")
            check_count(pdu, f"bytes of object {object_id}", len(value), 0, 245)
        check_count(pdu, "bytes of all objects", sum(2 + len(value) for _, value in objects), 0, self.MOST_BYTES)

    def pack(self, objects: tuple[tuple[int, bytes], ...]) -> bytes:
        return bytes((len(objects),)) + b"".join(bytes((one, len(value))) + value for one, value in objects)

    def unpack(self, rest: bytes, cls: type[PDU], data: bytes) -> list[tuple[int, bytes]]:
        expect(len(rest) > 0, cls, data)
        objects, at = [], 1
        for _ in range(rest[0]):
            expect(len(rest) >= at + 2 and len(rest) >= at + 2 + rest[at + 1], cls, data)
            objects.append((rest[at], rest[at + 2 : at + 2 + rest[at + 1]]))
            at += 2 + rest[at + 1]
        expect(at == len(rest), cls, data)
        return objects


@frozen
class ReadDeviceIdentificationReply(Reply):
    """FC 43 / MEI 14, section 6.21: ``objects`` are pairs of id and value. If ``more_follows``, the next request
    begins at ``next_object_id``."""

    function_code = FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT
    prefix = bytes((MEI_DEVICE_IDENTIFICATION,))
    read_code: int = field(validator=Byte(1, 4))
    conformity_level: int = field(validator=Byte())
    more_follows: bool = field(converter=bool, validator=Flag())
    next_object_id: int = field(validator=Byte())
    objects: tuple[tuple[int, bytes], ...] = field(converter=as_tuples, validator=_Objects())


# -- files -----------------------------------------------------------------------------------------------------------

REFERENCE_TYPE: Final = 6
MAX_READ_RECORD_BYTES: Final = 0xF5
"""The highest byte count of an FC 20 request or reply."""
MAX_WRITE_RECORD_BYTES: Final = 0xFB
"""The highest byte count of an FC 21 request or reply."""
MAX_RECORD_NUMBER: Final = 0x270F

_REFERENCE: Final = struct.Struct(">BHHH")


@frozen
class RecordReference:
    """``length`` registers of file ``file_number`` from record ``record_number`` on."""

    file_number: int
    record_number: int
    length: int


@frozen
class FileRecord:
    """The ``values`` of file ``file_number`` from record ``record_number`` on."""

    file_number: int
    record_number: int
    values: tuple[int, ...] = field(converter=as_tuple)

    @property
    def length(self) -> int:
        """How many registers."""
        return len(self.values)


def _packed(one: RecordReference | FileRecord) -> bytes:
    return _REFERENCE.pack(REFERENCE_TYPE, one.file_number, one.record_number, one.length)


def _check_place(pdu: PDU, one: RecordReference | FileRecord) -> None:
    check_number(pdu, "file number", one.file_number, 1, 0xFFFF)
    check_number(pdu, "record number", one.record_number, 0, MAX_RECORD_NUMBER)


def _check_values(pdu: PDU, values: tuple[int, ...]) -> None:
    for value in values:
        check_number(pdu, "value", value, 0, 0xFFFF)


def _check_type(reference_type: int, cls: type[PDU], data: bytes) -> None:
    if reference_type != REFERENCE_TYPE:
        raise refused(cls, data, f"reference type {reference_type} is not {REFERENCE_TYPE}")


class _References(Rest):
    """Runs of records to be read."""

    def __call__(self, pdu: PDU, attribute: Any, references: Any) -> None:
        check_count(pdu, "references", len(references), 1, MAX_READ_RECORD_BYTES // _REFERENCE.size)
        for one in references:
            _check_place(pdu, one)
            check_number(pdu, "number of registers", one.length, 1, MAX_READ_RECORD_BYTES // 2 - 1)
        size = sum(2 + 2 * one.length for one in references)
        check_count(pdu, "bytes of the reply", size, 1, MAX_READ_RECORD_BYTES)

    def pack(self, references: tuple[RecordReference, ...]) -> bytes:
        return b"".join(map(_packed, references))

    def unpack(self, rest: bytes, cls: type[PDU], data: bytes) -> list[RecordReference]:
        expect(len(rest) % _REFERENCE.size == 0, cls, data)
        references = []
        for reference_type, *place in _REFERENCE.iter_unpack(rest):
            _check_type(reference_type, cls, data)
            references.append(RecordReference(*place))
        return references


@frozen
class ReadFileRecordRequest(Request):
    """FC 20, section 6.14: up to 35 runs of records, if the reply has room for them."""

    function_code = FunctionCode.READ_FILE_RECORD
    is_counted = True
    references: tuple[RecordReference, ...] = field(converter=as_tuple, validator=_References())


class _Records(Rest):
    """The registers of runs of records. The data has the length, the reference type and the registers of each run."""

    def __call__(self, pdu: PDU, attribute: Any, records: Any) -> None:
        for values in records:
            check_count(pdu, "registers", len(values), 1, MAX_READ_RECORD_BYTES // 2 - 1)
            _check_values(pdu, values)
        check_count(pdu, "bytes", sum(2 + 2 * len(values) for values in records), 1, MAX_READ_RECORD_BYTES)

    def pack(self, records: tuple[tuple[int, ...], ...]) -> bytes:
        return b"".join(bytes((1 + 2 * len(values), REFERENCE_TYPE)) + pack_words(values) for values in records)

    def unpack(self, rest: bytes, cls: type[PDU], data: bytes) -> list[tuple[int, ...]]:
        records, at = [], 0
        while at < len(rest):
            end = at + 1 + rest[at]
            expect(rest[at] % 2 == 1 and end <= len(rest), cls, data)
            _check_type(rest[at + 1], cls, data)
            records.append(unpack_words(rest[at + 2 : end]))
            at = end
        return records


@frozen
class ReadFileRecordReply(Reply):
    """FC 20, section 6.14: the registers of each run, in the order of the references."""

    function_code = FunctionCode.READ_FILE_RECORD
    is_counted = True
    records: tuple[tuple[int, ...], ...] = field(converter=as_tuples, validator=_Records())


class _FileRecords(Rest):
    """Runs of records with their values."""

    def __call__(self, pdu: PDU, attribute: Any, records: Any) -> None:
        for one in records:
            _check_place(pdu, one)
            check_count(pdu, "registers", one.length, 1, MAX_WRITE_RECORD_BYTES // 2)
            _check_values(pdu, one.values)
        size = sum(_REFERENCE.size + 2 * one.length for one in records)
        check_count(pdu, "bytes", size, _REFERENCE.size + 2, MAX_WRITE_RECORD_BYTES)

    def pack(self, records: tuple[FileRecord, ...]) -> bytes:
        return b"".join(_packed(one) + pack_words(one.values) for one in records)

    def unpack(self, rest: bytes, cls: type[PDU], data: bytes) -> list[FileRecord]:
        records, at = [], 0
        while at < len(rest):
            start = at + _REFERENCE.size
            expect(start <= len(rest), cls, data)
            reference_type, file_number, record_number, length = _REFERENCE.unpack_from(rest, at)
            _check_type(reference_type, cls, data)
            at = start + 2 * length
            expect(at <= len(rest), cls, data)
            records.append(FileRecord(file_number, record_number, unpack_words(rest[start:at])))
        return records


@frozen
class WriteFileRecordRequest(Request):
    """FC 21, section 6.15."""

    function_code = FunctionCode.WRITE_FILE_RECORD
    is_counted = True
    records: tuple[FileRecord, ...] = field(converter=as_tuple, validator=_FileRecords())


@frozen
class WriteFileRecordReply(Reply):
    """FC 21, section 6.15: the request itself."""

    function_code = FunctionCode.WRITE_FILE_RECORD
    is_counted = True
    records: tuple[FileRecord, ...] = field(converter=as_tuple, validator=_FileRecords())
