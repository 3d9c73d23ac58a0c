"""PDUs that ask a device about itself: functions 7, 8, 11, 12, 17 and 43/14 (Modbus Application Protocol V1.1b3)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final, Self

from attrs import field, frozen

from lumina_twisted.modbus.functions import (
    DIAGNOSTICS_RETURN_QUERY_DATA,
    MAX_EVENTS,
    MAX_PDU,
    MEI_DEVICE_IDENTIFICATION,
    FunctionCode,
)
from lumina_twisted.modbus.pdu_base import (
    BYTE,
    COUNT,
    PDU,
    TWO_WORDS,
    WORD,
    Reply,
    Request,
    check_count,
    check_number,
    expect,
    octets,
    refusal,
    unpack,
    unpack_counted,
    within,
)

_THREE_BYTES: Final = struct.Struct(">BBB")
_IDENTIFICATION: Final = struct.Struct(">BBBBBB")


@frozen
class ReadExceptionStatusRequest(Request):
    """FC 07, section 6.7; serial line only."""

    function_code = FunctionCode.READ_EXCEPTION_STATUS


@frozen
class ReadExceptionStatusReply(Reply):
    """FC 07, section 6.7: ``status`` are eight outputs of the device's own choice."""

    function_code = FunctionCode.READ_EXCEPTION_STATUS
    status: int = field(validator=within(*BYTE))

    def data_bytes(self) -> bytes:
        """The status."""
        return COUNT.pack(self.status)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        return cls(*unpack(COUNT, cls, data))


class _Diagnostics(PDU):
    """A sub-function and its words."""

    __slots__ = ()
    sub_function: int
    data: bytes

    def data_bytes(self) -> bytes:
        """Sub-function and data."""
        return self.sub_function.to_bytes(2, "big") + self.data

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        expect(len(data) >= 4 and len(data) % 2 == 0, cls, data)
        sub_function = int.from_bytes(data[:2], "big")
        expect(sub_function == DIAGNOSTICS_RETURN_QUERY_DATA or len(data) == 4, cls, data)
        return cls(sub_function, data[2:])  # type: ignore[call-arg]

    def __attrs_post_init__(self) -> None:
        if self.sub_function != DIAGNOSTICS_RETURN_QUERY_DATA and len(self.data) != 2:
            raise refusal(self, f"sub-function {self.sub_function} has 2 bytes of data, not {len(self.data)}")


@frozen
class DiagnosticsRequest(_Diagnostics, Request):
    """FC 08, section 6.8; serial line only. Sub-function 0 takes any words, the others one."""

    function_code = FunctionCode.DIAGNOSTICS
    sub_function: int = field(validator=within(*WORD))
    data: bytes = field(validator=octets(2, MAX_PDU - 3, even=True))


@frozen
class DiagnosticsReply(_Diagnostics, Reply):
    """FC 08, section 6.8."""

    function_code = FunctionCode.DIAGNOSTICS
    sub_function: int = field(validator=within(*WORD))
    data: bytes = field(validator=octets(2, MAX_PDU - 3, even=True))


@frozen
class GetCommEventCounterRequest(Request):
    """FC 11, section 6.9; serial line only."""

    function_code = FunctionCode.GET_COMM_EVENT_COUNTER


@frozen
class GetCommEventCounterReply(Reply):
    """FC 11, section 6.9: ``status`` is 0xFFFF while an earlier program command is carried out, else 0."""

    function_code = FunctionCode.GET_COMM_EVENT_COUNTER
    status: int = field(validator=within(*WORD))
    event_count: int = field(validator=within(*WORD))

    def data_bytes(self) -> bytes:
        """Status and event count."""
        return TWO_WORDS.pack(self.status, self.event_count)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        return cls(*unpack(TWO_WORDS, cls, data))


@frozen
class GetCommEventLogRequest(Request):
    """FC 12, section 6.10; serial line only."""

    function_code = FunctionCode.GET_COMM_EVENT_LOG


_LOG_HEAD: Final = struct.Struct(">HHH")


@frozen
class GetCommEventLogReply(Reply):
    """FC 12, section 6.10: as :class:`GetCommEventCounterReply`, and up to 64 events, the newest first."""

    function_code = FunctionCode.GET_COMM_EVENT_LOG
    status: int = field(validator=within(*WORD))
    event_count: int = field(validator=within(*WORD))
    message_count: int = field(validator=within(*WORD))
    events: bytes = field(validator=octets(0, MAX_EVENTS))

    def data_bytes(self) -> bytes:
        """Byte count, status, both counts and the events."""
        head = _LOG_HEAD.pack(self.status, self.event_count, self.message_count)
        return COUNT.pack(len(head) + len(self.events)) + head + self.events

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        _, rest = unpack_counted(COUNT, cls, data)
        expect(len(rest) >= _LOG_HEAD.size, cls, data)
        status, event_count, message_count = _LOG_HEAD.unpack_from(rest)
        return cls(status, event_count, message_count, rest[_LOG_HEAD.size:])


@frozen
class ReportServerIdRequest(Request):
    """FC 17, section 6.13; serial line only."""

    function_code = FunctionCode.REPORT_SERVER_ID


@frozen
class ReportServerIdReply(Reply):
    """FC 17, section 6.13: ``data`` are the server id, the run indicator (0xFF on, 0 off) and whatever else the
    device tells; how long each is, only the device's maker knows."""

    function_code = FunctionCode.REPORT_SERVER_ID
    data: bytes = field(validator=octets(0, MAX_PDU - 2))

    def data_bytes(self) -> bytes:
        """Byte count and data."""
        return COUNT.pack(len(self.data)) + self.data

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`."""
        return cls(unpack_counted(COUNT, cls, data)[1])


@frozen
class ReadDeviceIdentificationRequest(Request):
    """FC 43 / MEI 14, section 6.21: ``read_code`` 1 basic, 2 regular, 3 extended, all from ``object_id`` on; 4 that
    one object."""

    function_code = FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT
    read_code: int = field(validator=within(1, 4))
    object_id: int = field(validator=within(*BYTE))

    def data_bytes(self) -> bytes:
        """MEI type, read code and object id."""
        return _THREE_BYTES.pack(MEI_DEVICE_IDENTIFICATION, self.read_code, self.object_id)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`; the MEI type has been looked at."""
        _, read_code, object_id = unpack(_THREE_BYTES, cls, data)
        return cls(read_code, object_id)


def _pairs(objects: Iterable[Iterable[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(one) for one in objects)


def _check_objects(pdu: PDU, _: Any, objects: tuple[tuple[int, bytes], ...]) -> None:
    check_count(pdu, "objects", len(objects), 0, 255)
    for object_id, value in objects:
        check_number(pdu, "object id", object_id, *BYTE)
        if not isinstance(value, bytes):
            raise refusal(pdu, f"the value {value!r} of object {object_id} is not bytes")
        check_count(pdu, f"bytes of object {object_id}", len(value), 0, 245)
    size = sum(2 + len(value) for _, value in objects)
    check_count(pdu, "bytes of all objects", size, 0, MAX_PDU - 1 - _IDENTIFICATION.size)


@frozen
class ReadDeviceIdentificationReply(Reply):
    """FC 43 / MEI 14, section 6.21: ``objects`` are pairs of id and value. If ``more_follows``, the rest is to be
    asked from ``next_object_id`` on."""

    function_code = FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT
    read_code: int = field(validator=within(1, 4))
    conformity_level: int = field(validator=within(*BYTE))
    more_follows: bool = field(converter=bool)
    next_object_id: int = field(validator=within(*BYTE))
    objects: tuple[tuple[int, bytes], ...] = field(converter=_pairs, validator=_check_objects)

    def data_bytes(self) -> bytes:
        """The head of six fields, then id, length and value of each object."""
        head = _IDENTIFICATION.pack(
            MEI_DEVICE_IDENTIFICATION, self.read_code, self.conformity_level, 0xFF if self.more_follows else 0,
            self.next_object_id, len(self.objects),
        )
        return head + b"".join(bytes((object_id, len(value))) + value for object_id, value in self.objects)

    @classmethod
    def from_data(cls, data: bytes) -> Self:
        """See :meth:`PDU.from_data`; the MEI type has been looked at."""
        expect(len(data) >= _IDENTIFICATION.size, cls, data)
        _, read_code, level, more, next_id, count = _IDENTIFICATION.unpack_from(data)
        objects, at = [], _IDENTIFICATION.size
        for _ in range(count):
            expect(len(data) >= at + 2 and len(data) >= at + 2 + data[at + 1], cls, data)
            objects.append((data[at], data[at + 2 : at + 2 + data[at + 1]]))
            at += 2 + data[at + 1]
        expect(at == len(data), cls, data)
        return cls(read_code, level, more, next_id, objects)
