"""PDUs that read and write file records: functions 20 and 21 (Modbus Application Protocol V1.1b3, sections 6.14, 6.15).

A file is up to 10,000 records of one register each; a PDU asks for several runs of records.
"""

from __future__ import annotations

import struct
from typing import Any, Final, Self

from attrs import field, frozen

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.functions import FunctionCode
from lumina_twisted.modbus.pdu_base import (
    COUNT,
    PDU,
    WORD,
    Reply,
    Request,
    as_tuple,
    check_count,
    check_number,
    expect,
    pack_words,
    unpack_counted,
    unpack_words,
)

REFERENCE_TYPE: Final = 6
MAX_READ_RECORD_BYTES: Final = 0xF5
"""The byte count of an FC 20 request or reply is this at most."""
MAX_WRITE_RECORD_BYTES: Final = 0xFB
"""The byte count of an FC 21 request or reply is this at most."""
MAX_RECORD_NUMBER: Final = 0x270F

_REFERENCE: Final = struct.Struct(">BHHH")


@frozen
class RecordReference:
    """``length`` registers of file ``file_number`` from record ``record_number`` on."""

    file_number: int
    record_number: int
    length: int

    def data_bytes(self) -> bytes:
        """Reference type and the three numbers."""
        return _REFERENCE.pack(REFERENCE_TYPE, self.file_number, self.record_number, self.length)


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

    def data_bytes(self) -> bytes:
        """Reference type, the three numbers and the registers."""
        head = _REFERENCE.pack(REFERENCE_TYPE, self.file_number, self.record_number, self.length)
        return head + pack_words(self.values)


def _check_place(pdu: PDU, one: RecordReference | FileRecord) -> None:
    check_number(pdu, "file number", one.file_number, 1, 0xFFFF)
    check_number(pdu, "record number", one.record_number, 0, MAX_RECORD_NUMBER)


def _check_values(pdu: PDU, values: tuple[int, ...]) -> None:
    for value in values:
        check_number(pdu, "value", value, *WORD)


def _check_type(cls: type[PDU], reference_type: int, data: bytes) -> None:
    if reference_type != REFERENCE_TYPE:
        raise RequestError(
            f"{cls.__name__}: reference type {reference_type} is not {REFERENCE_TYPE}",
            function_code=cls.function_code, frame=bytes((cls.function_code,)) + data,
        )


def _check_references(pdu: PDU, _: Any, references: tuple[RecordReference, ...]) -> None:
    most = MAX_READ_RECORD_BYTES // _REFERENCE.size
    check_count(pdu, "references", len(references), 1, most)
    for one in references:
        _check_place(pdu, one)
        check_number(pdu, "number of registers", one.length, 1, MAX_READ_RECORD_BYTES // 2 - 1)
    size = sum(2 + 2 * one.length for one in references)
    check_count(pdu, "bytes of the reply", size, 1, MAX_READ_RECORD_BYTES)


@frozen
class ReadFileRecordRequest(Request):
    """FC 20, section 6.14: up to 35 runs of records, if the reply has room for them."""

    function_code = FunctionCode.READ_FILE_RECORD
    references: tuple[RecordReference, ...] = field(converter=as_tuple, validator=_check_references)

    def data_bytes(self) -> bytes:
        """Byte count and references."""
        packed = b"".join(one.data_bytes() for one in self.references)
        return COUNT.pack(len(packed)) + packed

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        _, packed = unpack_counted(COUNT, cls, data)
        expect(len(packed) % _REFERENCE.size == 0, cls, data)
        references = []
        for reference_type, *place in _REFERENCE.iter_unpack(packed):
            _check_type(cls, reference_type, data)
            references.append(RecordReference(*place))
        return cls(references)


def _check_records(pdu: PDU, _: Any, records: tuple[tuple[int, ...], ...]) -> None:
    for values in records:
        check_count(pdu, "registers", len(values), 1, MAX_READ_RECORD_BYTES // 2 - 1)
        _check_values(pdu, values)
    size = sum(2 + 2 * len(values) for values in records)
    check_count(pdu, "bytes", size, 1, MAX_READ_RECORD_BYTES)


def _tuples(records: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(values) for values in records)


@frozen
class ReadFileRecordReply(Reply):
    """FC 20, section 6.14: the registers of each run that was asked, in its order."""

    function_code = FunctionCode.READ_FILE_RECORD
    records: tuple[tuple[int, ...], ...] = field(converter=_tuples, validator=_check_records)

    def data_bytes(self) -> bytes:
        """Byte count, then length, reference type and registers of each."""
        packed = b"".join(
            bytes((1 + 2 * len(values), REFERENCE_TYPE)) + pack_words(values) for values in self.records
        )
        return COUNT.pack(len(packed)) + packed

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        _, packed = unpack_counted(COUNT, cls, data)
        records, at = [], 0
        while at < len(packed):
            end = at + 1 + packed[at]
            expect(packed[at] % 2 == 1 and end <= len(packed), cls, data)
            _check_type(cls, packed[at + 1], data)
            records.append(unpack_words(packed[at + 2 : end]))
            at = end
        return cls(records)


def _check_file_records(pdu: PDU, _: Any, records: tuple[FileRecord, ...]) -> None:
    for one in records:
        _check_place(pdu, one)
        check_count(pdu, "registers", one.length, 1, MAX_WRITE_RECORD_BYTES // 2)
        _check_values(pdu, one.values)
    size = sum(_REFERENCE.size + 2 * one.length for one in records)
    check_count(pdu, "bytes", size, _REFERENCE.size + 2, MAX_WRITE_RECORD_BYTES)


class _FileRecords(PDU):
    """Runs of records with their values."""

    __slots__ = ()
    records: tuple[FileRecord, ...]

    def data_bytes(self) -> bytes:
        """Byte count and records."""
        packed = b"".join(one.data_bytes() for one in self.records)
        return COUNT.pack(len(packed)) + packed

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        _, packed = unpack_counted(COUNT, cls, data)
        records, at = [], 0
        while at < len(packed):
            start = at + _REFERENCE.size
            expect(start <= len(packed), cls, data)
            reference_type, file_number, record_number, length = _REFERENCE.unpack_from(packed, at)
            _check_type(cls, reference_type, data)
            at = start + 2 * length
            expect(at <= len(packed), cls, data)
            records.append(FileRecord(file_number, record_number, unpack_words(packed[start:at])))
        return cls(records)  # type: ignore[call-arg]


@frozen
class WriteFileRecordRequest(_FileRecords, Request):
    """FC 21, section 6.15."""

    function_code = FunctionCode.WRITE_FILE_RECORD
    records: tuple[FileRecord, ...] = field(converter=as_tuple, validator=_check_file_records)


@frozen
class WriteFileRecordReply(_FileRecords, Reply):
    """FC 21, section 6.15: the request itself."""

    function_code = FunctionCode.WRITE_FILE_RECORD
    records: tuple[FileRecord, ...] = field(converter=as_tuple, validator=_check_file_records)
