"""The public functions as calls that take and return values: each has a request and reads its reply. Floor 0.

Both clients, and the units of a connection pool, have a method of the same name for each. A call that breaks the
specification's limits raises :class:`~lumina_twisted.errors.RequestError` before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from attrs import frozen

from lumina_twisted.errors import FrameError, ModbusException, RequestError
from lumina_twisted.modbus import pdu

T = TypeVar("T")


@frozen
class Call(Generic[T]):
    """A request, and what its normal reply means.

    :param take: takes the decoded reply; returns the result, or the next call, which leads to the result.
    """

    request: pdu.Request
    take: Callable[[Any], T | Call[T]]

    def result(self, reply: bytes) -> T | Call[T]:
        """The result from the reply's PDU; None for a broadcast.

        :param reply: empty for a broadcast that was sent.
        :return: the result; or the call to make next, whose result is that of this call.
        :raises FrameError: if the PDU is no reply to this request.
        :raises ModbusException: if the reply is an exception.
        """
        if not reply:
            return None  # type: ignore[return-value]
        decoded = pdu.decode_reply(reply)
        if isinstance(decoded, pdu.ExceptionReply):
            raise ModbusException(code=decoded.exception_code, function_code=decoded.function_code)
        if decoded.function_code != self.request.function_code:
            raise FrameError(
                f"the reply has function {decoded.function_code}, the request {self.request.function_code}", frame=reply
            )
        return self.take(decoded)


def raw(request: pdu.Request) -> Call[pdu.Reply]:
    """Any request; the result is its decoded reply."""
    return Call(request, lambda reply: reply)


def _values(reply: Any) -> tuple[Any, ...]:
    values: tuple[Any, ...] = reply.values
    return values


def _nothing(reply: Any) -> None:
    """The result of a reply without values."""


def _state(value: Any) -> bool:
    """The state of a coil. A text is refused, because Python takes even "off" for True."""
    if value not in (0, 1) or isinstance(value, float):
        raise RequestError(f"a coil is True or False, not {value!r}")
    return bool(value)


def _listed(values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise RequestError(f"values is a list of them, not {values!r}")
    return list(values)


def read_coils(address: int, quantity: int = 1) -> Call[tuple[bool, ...]]:
    """FC 01: 1 to 2000 coils from ``address`` on."""
    return Call(pdu.ReadCoilsRequest(address, quantity), lambda reply: _values(reply)[:quantity])


def read_discrete_inputs(address: int, quantity: int = 1) -> Call[tuple[bool, ...]]:
    """FC 02: 1 to 2000 discrete inputs from ``address`` on."""
    return Call(pdu.ReadDiscreteInputsRequest(address, quantity), lambda reply: _values(reply)[:quantity])


def read_holding_registers(address: int, quantity: int = 1) -> Call[tuple[int, ...]]:
    """FC 03: 1 to 125 holding registers from ``address`` on, each 0 to 65535."""
    return Call(pdu.ReadHoldingRegistersRequest(address, quantity), _values)


def read_input_registers(address: int, quantity: int = 1) -> Call[tuple[int, ...]]:
    """FC 04: 1 to 125 input registers from ``address`` on, each 0 to 65535."""
    return Call(pdu.ReadInputRegistersRequest(address, quantity), _values)


def write_single_coil(address: int, value: bool) -> Call[None]:
    """FC 05: switches one coil."""
    return Call(pdu.WriteSingleCoilRequest(address, _state(value)), _nothing)


def write_single_register(address: int, value: int) -> Call[None]:
    """FC 06: sets one holding register to 0 to 65535."""
    return Call(pdu.WriteSingleRegisterRequest(address, value), _nothing)


def write_multiple_coils(address: int, values: Sequence[bool]) -> Call[None]:
    """FC 15: switches 1 to 1968 coils from ``address`` on."""
    return Call(pdu.WriteMultipleCoilsRequest(address, [_state(one) for one in _listed(values)]), _nothing)


def write_multiple_registers(address: int, values: Sequence[int]) -> Call[None]:
    """FC 16: sets 1 to 123 holding registers from ``address`` on."""
    return Call(pdu.WriteMultipleRegistersRequest(address, _listed(values)), _nothing)


def mask_write_register(address: int, and_mask: int, or_mask: int) -> Call[None]:
    """FC 22: the register becomes ``(register AND and_mask) OR (or_mask AND NOT and_mask)``."""
    return Call(pdu.MaskWriteRegisterRequest(address, and_mask, or_mask), _nothing)


def read_write_multiple_registers(
    read_address: int, quantity: int, write_address: int, values: Sequence[int]
) -> Call[tuple[int, ...]]:
    """FC 23: sets 1 to 121 holding registers from ``write_address`` on, then reads ``quantity``, 1 to 125."""
    request = pdu.ReadWriteMultipleRegistersRequest(read_address, quantity, write_address, _listed(values))
    return Call(request, _values)


def read_exception_status() -> Call[int]:
    """FC 07: eight outputs of the device's own choice, as the bits of a byte."""
    return Call(pdu.ReadExceptionStatusRequest(), lambda reply: int(reply.status))


def diagnostics(sub_function: int, data: bytes = b"\0\0") -> Call[bytes]:
    """FC 08: the data of the reply; sub-function 0 returns the data of the request."""
    return Call(pdu.DiagnosticsRequest(sub_function, data), lambda reply: bytes(reply.data))


def get_comm_event_counter() -> Call[pdu.GetCommEventCounterReply]:
    """FC 11: ``status`` and ``event_count``."""
    return Call(pdu.GetCommEventCounterRequest(), lambda reply: reply)


def get_comm_event_log() -> Call[pdu.GetCommEventLogReply]:
    """FC 12: ``status``, ``event_count``, ``message_count`` and ``events``, the newest first."""
    return Call(pdu.GetCommEventLogRequest(), lambda reply: reply)


def report_server_id() -> Call[bytes]:
    """FC 17: server id, run indicator (0xFF on, 0 off) and the device's own additions."""
    return Call(pdu.ReportServerIdRequest(), lambda reply: bytes(reply.data))


def read_file_record(references: Sequence[pdu.RecordReference]) -> Call[tuple[tuple[int, ...], ...]]:
    """FC 20: the registers of each run of records, in the order of the references."""
    return Call(pdu.ReadFileRecordRequest(references), lambda reply: reply.records)


def write_file_record(records: Sequence[pdu.FileRecord]) -> Call[None]:
    """FC 21: writes runs of records."""
    return Call(pdu.WriteFileRecordRequest(records), _nothing)


def read_fifo_queue(address: int) -> Call[tuple[int, ...]]:
    """FC 24: up to 31 registers of the queue at ``address``, which stay in it."""
    return Call(pdu.ReadFIFOQueueRequest(address), _values)


def read_device_identification(read_code: int = 1) -> Call[dict[int, bytes]]:
    """FC 43/14: the objects of all pages, by id; ``read_code`` is 1 for basic, 2 for regular, 3 for extended."""
    return _identification_page(read_code, 0, {})


def _identification_page(read_code: int, object_id: int, found: dict[int, bytes]) -> Call[dict[int, bytes]]:
    """The call for the page from ``object_id`` on; ``found`` has the objects of the pages before. A page without new
    objects is the last one, because some devices always say that more follows."""

    def take(reply: pdu.ReadDeviceIdentificationReply) -> dict[int, bytes] | Call[dict[int, bytes]]:
        objects = {**found, **dict(reply.objects)}
        if reply.more_follows and len(objects) > len(found):
            return _identification_page(read_code, reply.next_object_id, objects)
        return objects

    return Call(pdu.ReadDeviceIdentificationRequest(read_code, object_id), take)
