"""A simulated RTU device, floor 2: a request PDU and the time in, a reply PDU out. Pure.

Values that move are functions of the time, so that two runs give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lumina_twisted.errors import (
    FrameError,
    IllegalDataAddress,
    IllegalDataValue,
    IllegalFunction,
    ModbusException,
    RequestError,
)
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.functions import MAX_FIFO_REGISTERS
from lumina_twisted.simulator.comm import CommCounters
from lumina_twisted.simulator.identity import Identity
from lumina_twisted.simulator.tables import Table


class SimulatedDevice:
    """The four tables, files and queues, and what the public functions do with them.

    :param identity: objects of Read Device Identification by their ids, or the first of them: vendor, product code,
        revision.
    """

    def __init__(
        self, identity: Sequence[str] | Mapping[int, str] = ("Lumina", "simulated device", "1.0")
    ) -> None:
        self.coils = Table()
        self.discrete_inputs = Table()
        self.holding_registers = Table()
        self.input_registers = Table()
        self.on_write: dict[int, list[Callable[[float], None]]] = {}
        """What a write to a holding register also does, by address."""
        self.files: dict[int, list[int]] = {}
        """Records of each file, by its number; functions 20 and 21."""
        self.fifo_queues: dict[int, list[int]] = {}
        """Registers of each queue, by the address of its count; function 24."""
        self._identity = Identity(identity if isinstance(identity, Mapping) else dict(enumerate(identity)))
        self._comm = CommCounters()
        self._functions: dict[type[pdu.Request], Callable[[Any, float], pdu.Reply]] = {
            pdu.ReadCoilsRequest: self._read_coils,
            pdu.ReadDiscreteInputsRequest: self._read_discrete_inputs,
            pdu.ReadHoldingRegistersRequest: self._read_holding_registers,
            pdu.ReadInputRegistersRequest: self._read_input_registers,
            pdu.WriteSingleCoilRequest: self._write_single_coil,
            pdu.WriteSingleRegisterRequest: self._write_single_register,
            pdu.WriteMultipleCoilsRequest: self._write_multiple_coils,
            pdu.WriteMultipleRegistersRequest: self._write_multiple_registers,
            pdu.MaskWriteRegisterRequest: self._mask_write_register,
            pdu.ReadWriteMultipleRegistersRequest: self._read_write_multiple_registers,
            pdu.ReadExceptionStatusRequest: self._read_exception_status,
            pdu.ReadFileRecordRequest: self._read_file_record,
            pdu.WriteFileRecordRequest: self._write_file_record,
            pdu.ReadFIFOQueueRequest: self._read_fifo_queue,
            pdu.DiagnosticsRequest: lambda request, now: self._comm.diagnose(request),
            pdu.GetCommEventCounterRequest: lambda request, now: self._comm.event_counter(),
            pdu.GetCommEventLogRequest: lambda request, now: self._comm.event_log(),
            pdu.ReportServerIdRequest: lambda request, now: self._identity.server_id(),
            pdu.ReadDeviceIdentificationRequest: lambda request, now: self._identity.read(
                request.read_code, request.object_id
            ),
        }

    def answer(self, data: bytes, now: float, *, is_broadcast: bool = False) -> bytes:
        """The reply PDU, normal or an exception; after a broadcast nobody sends it.

        :param data: the request's PDU, a byte at least.
        :param now: seconds on the clock by which values move.
        """
        self._comm.received(is_broadcast)
        try:
            reply = self._answer(data, now).encode()
        except ModbusException as refused:
            reply = pdu.ExceptionReply(data[0] & 0x7F, refused.code).encode()
        self._comm.completed(reply, is_broadcast)
        return reply

    def _answer(self, data: bytes, now: float) -> pdu.Reply:
        try:
            request = pdu.decode_request(data)
        except (FrameError, RequestError):
            raise IllegalDataValue from None  # section 7: a length or a quantity that cannot be
        function = self._functions.get(type(request))
        if function is None:
            raise IllegalFunction
        return function(request, now)

    # -- the tables ----------------------------------------------------------------------------------------------

    def _read_coils(self, request: pdu.ReadCoilsRequest, now: float) -> pdu.Reply:
        return pdu.ReadCoilsReply(self.coils.read(request.address, request.quantity, now))

    def _read_discrete_inputs(self, request: pdu.ReadDiscreteInputsRequest, now: float) -> pdu.Reply:
        return pdu.ReadDiscreteInputsReply(self.discrete_inputs.read(request.address, request.quantity, now))

    def _read_holding_registers(self, request: pdu.ReadHoldingRegistersRequest, now: float) -> pdu.Reply:
        return pdu.ReadHoldingRegistersReply(self.holding_registers.read(request.address, request.quantity, now))

    def _read_input_registers(self, request: pdu.ReadInputRegistersRequest, now: float) -> pdu.Reply:
        return pdu.ReadInputRegistersReply(self.input_registers.read(request.address, request.quantity, now))

    def _write_single_coil(self, request: pdu.WriteSingleCoilRequest, now: float) -> pdu.Reply:
        self.coils.write(request.address, [int(request.value)], now)
        return pdu.WriteSingleCoilReply(request.address, request.value)

    def _write_single_register(self, request: pdu.WriteSingleRegisterRequest, now: float) -> pdu.Reply:
        self._store(request.address, [request.value], now)
        return pdu.WriteSingleRegisterReply(request.address, request.value)

    def _write_multiple_coils(self, request: pdu.WriteMultipleCoilsRequest, now: float) -> pdu.Reply:
        self.coils.write(request.address, [int(value) for value in request.values], now)
        return pdu.WriteMultipleCoilsReply(request.address, len(request.values))

    def _write_multiple_registers(self, request: pdu.WriteMultipleRegistersRequest, now: float) -> pdu.Reply:
        self._store(request.address, request.values, now)
        return pdu.WriteMultipleRegistersReply(request.address, len(request.values))

    def _mask_write_register(self, request: pdu.MaskWriteRegisterRequest, now: float) -> pdu.Reply:
        (present,) = self.holding_registers.read(request.address, 1, now)
        value = (present & request.and_mask) | (request.or_mask & ~request.and_mask & 0xFFFF)
        self._store(request.address, [value], now)
        return pdu.MaskWriteRegisterReply(request.address, request.and_mask, request.or_mask)

    def _read_write_multiple_registers(
        self, request: pdu.ReadWriteMultipleRegistersRequest, now: float
    ) -> pdu.Reply:
        place = request.read_address, request.read_quantity
        self.holding_registers.check_read(*place)  # nothing is written if it refuses
        self._store(request.write_address, request.values, now)
        return pdu.ReadWriteMultipleRegistersReply(self.holding_registers.read(*place, now))

    def _store(self, address: int, values: Sequence[int], now: float) -> None:
        self.holding_registers.write(address, values, now)
        for written in range(address, address + len(values)):
            for also in self.on_write.get(written, ()):
                also(now)

    def _read_exception_status(self, request: pdu.ReadExceptionStatusRequest, now: float) -> pdu.Reply:
        """Its eight outputs are the first coils."""
        first = self.coils.read(0, min(8, len(self.coils)), now)
        return pdu.ReadExceptionStatusReply(sum(bit << number for number, bit in enumerate(first)))

    # -- files and queues ----------------------------------------------------------------------------------------

    def _read_file_record(self, request: pdu.ReadFileRecordRequest, now: float) -> pdu.Reply:
        return pdu.ReadFileRecordReply(
            [self._file(one)[_records(one)] for one in request.references]
        )

    def _write_file_record(self, request: pdu.WriteFileRecordRequest, now: float) -> pdu.Reply:
        files = [self._file(one) for one in request.records]  # nothing is written if one of them is refused
        for file, one in zip(files, request.records, strict=True):
            file[_records(one)] = one.values
        return pdu.WriteFileRecordReply(request.records)

    def _file(self, place: pdu.RecordReference | pdu.FileRecord) -> list[int]:
        file = self.files.get(place.file_number, [])
        if place.record_number + place.length > len(file):
            raise IllegalDataAddress
        return file

    def _read_fifo_queue(self, request: pdu.ReadFIFOQueueRequest, now: float) -> pdu.Reply:
        if request.address not in self.fifo_queues:
            raise IllegalDataAddress
        queue = self.fifo_queues[request.address]
        if len(queue) > MAX_FIFO_REGISTERS:
            raise IllegalDataValue  # section 6.18
        return pdu.ReadFIFOQueueReply(queue)


def _records(place: pdu.RecordReference | pdu.FileRecord) -> slice:
    """Where they stand in their file."""
    return slice(place.record_number, place.record_number + place.length)
