"""A simulated RTU device, floor 2: its tables, and its reply PDU to a request PDU at a given time. Pure.

Moving values are functions of time, so that two runs give the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

from attrs import frozen

from lumina_twisted.errors import (
    FrameError,
    IllegalDataAddress,
    IllegalDataValue,
    IllegalFunction,
    ModbusException,
    RequestError,
    exception_from_code,
)
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.functions import EXCEPTION_FLAG, MAX_FIFO_REGISTERS
from lumina_twisted.schema import Between, required, setting
from lumina_twisted.simulator.diagnostics import CommCounters, Identity
from lumina_twisted.simulator.values import Address, Cell, Counter

TABLE_SIZE: Final = 1000
"""The default number of entries of a table; addresses beyond do not exist."""


@frozen(slots=False)
class Range:
    """A range of addresses that the device refuses."""

    first: Address = required("the first address")
    last: Address | None = setting(None, "the last one; not given: there is only one")
    exception: Annotated[int, Between(1, 255)] = setting(2, "the code of the exception")

    def __attrs_post_init__(self) -> None:
        if self.last is not None and self.last < self.first:
            raise ValueError(f"the last address, {self.last}, comes before the first, {self.first}")

    def __contains__(self, address: int) -> bool:
        return self.first <= address <= (self.first if self.last is None else self.last)


class Table(list[int]):
    """Coils or registers by address.

    :param size: the number of entries.
    :param cells: the entries that change with time.
    :param forbidden: addresses that can be neither read nor written.
    :param read_only: addresses that cannot be written.
    :param write_once: addresses that can be written once.
    """

    def __init__(
        self, size: int = TABLE_SIZE, *, cells: Iterable[Cell] = (), forbidden: Sequence[Range] = (),
        read_only: Sequence[Range] = (), write_once: Sequence[Range] = (),
    ) -> None:
        super().__init__([0] * size)
        self.cells = list(cells)
        self._forbidden = forbidden
        self._read_only = read_only
        self._write_once = write_once
        self._written: set[int] = set()

    def read(self, address: int, quantity: int, now: float) -> list[int]:
        """The entries that start at an address.

        :param now: seconds since the simulation began.
        :raises ModbusException: if an entry does not exist or cannot be read.
        """
        self.check_read(address, quantity)
        for cell in self._cells_within(address, quantity):
            self[cell.entries] = cell.codec.encode(cell.motion(now))
        return self[address : address + quantity]

    def write(self, address: int, values: Sequence[int], now: float) -> None:
        """Writes all ``values`` or none. A written counter goes on from its new value; any other moving value stops.

        :param now: seconds since the simulation began.
        :raises ModbusException: if an entry does not exist or cannot be written.
        """
        self.check_write(address, len(values))
        self.read(address, len(values), now)
        self[address : address + len(values)] = values
        for cell in self._cells_within(address, len(values)):
            if isinstance(cell.motion, Counter):
                cell.motion.count_from(cell.codec.decode(self[cell.entries]), now)
            else:
                self.cells.remove(cell)
        if self._write_once:
            self._written.update(range(address, address + len(values)))

    def check_read(self, address: int, quantity: int) -> None:
        """Checks that all entries exist and can be read.

        :raises ModbusException: if not.
        """
        if address + quantity > len(self):
            raise IllegalDataAddress
        _refuse(self._forbidden, range(address, address + quantity))

    def check_write(self, address: int, quantity: int) -> None:
        """Checks that all entries exist and can be written.

        :raises ModbusException: if not.
        """
        self.check_read(address, quantity)
        addresses = range(address, address + quantity)
        _refuse(self._read_only, addresses)
        _refuse(self._write_once, self._written.intersection(addresses) if self._write_once else ())

    def _cells_within(self, address: int, quantity: int) -> list[Cell]:
        end = address + quantity
        return [cell for cell in self.cells if cell.address < end and cell.entries.stop > address]


def _refuse(ranges: Sequence[Range], addresses: Iterable[int]) -> None:
    for at in addresses if ranges else ():
        for refused in ranges:
            if at in refused:
                raise exception_from_code(refused.exception)


class SimulatedDevice:
    """The four tables, the files and the queues, and the public functions that use them.

    :param identity: the objects of Read Device Identification by id, or the first three in order: vendor, product
        code, revision.
    """

    def __init__(
        self, identity: Sequence[str] | Mapping[int, str] = ("Lumina", "simulated device", "1.0")
    ) -> None:
        self.coils = Table()
        self.discrete_inputs = Table()
        self.holding_registers = Table()
        self.input_registers = Table()
        self.on_write: dict[int, list[Callable[[float], None]]] = {}
        """Further effects of a write to a holding register, by address."""
        self.files: dict[int, list[int]] = {}
        """The records of each file, by file number; for functions 20 and 21."""
        self.fifo_queues: dict[int, list[int]] = {}
        """The registers of each queue, by the address of its count; for function 24."""
        self.identity = Identity(identity if isinstance(identity, Mapping) else dict(enumerate(identity)))
        self.counters = CommCounters()

    def answer(self, data: bytes, now: float, *, is_broadcast: bool = False) -> bytes:
        """The reply PDU, normal or an exception. The caller does not send the reply to a broadcast.

        :param data: the request's PDU, at least one byte.
        :param now: seconds on the clock that moves the values.
        """
        self.counters.received(is_broadcast)
        try:
            reply = self._reply(data, now).encode()
        except ModbusException as refused:
            reply = pdu.ExceptionReply(data[0] & ~EXCEPTION_FLAG, refused.code).encode()
        self.counters.completed(reply, is_broadcast)
        return reply

    def _reply(self, data: bytes, now: float) -> pdu.Reply:
        try:
            request = pdu.decode_request(data)
        except (FrameError, RequestError):
            raise IllegalDataValue from None  # section 7: an impossible length or quantity
        if type(request) not in _FUNCTIONS:
            raise IllegalFunction
        return _FUNCTIONS[type(request)](self, request, now)

    # -- the tables ----------------------------------------------------------------------------------------------

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

    def _read_write_multiple_registers(self, request: pdu.ReadWriteMultipleRegistersRequest, now: float) -> pdu.Reply:
        place = request.read_address, request.read_quantity
        self.holding_registers.check_read(*place)  # if this raises, nothing is written
        self._store(request.write_address, request.values, now)
        return pdu.ReadWriteMultipleRegistersReply(self.holding_registers.read(*place, now))

    def _store(self, address: int, values: Sequence[int], now: float) -> None:
        self.holding_registers.write(address, values, now)
        for written in range(address, address + len(values)):
            for also in self.on_write.get(written, ()):
                also(now)

    def _read_exception_status(self, request: pdu.ReadExceptionStatusRequest, now: float) -> pdu.Reply:
        """Function 7: the eight outputs are the first eight coils."""
        first = self.coils.read(0, min(8, len(self.coils)), now)
        return pdu.ReadExceptionStatusReply(sum(bit << number for number, bit in enumerate(first)))

    # -- files and queues ----------------------------------------------------------------------------------------

    def _read_file_record(self, request: pdu.ReadFileRecordRequest, now: float) -> pdu.Reply:
        return pdu.ReadFileRecordReply([self._file(one)[_records(one)] for one in request.references])

    def _write_file_record(self, request: pdu.WriteFileRecordRequest, now: float) -> pdu.Reply:
        files = [self._file(one) for one in request.records]  # if one record is refused, nothing is written
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
    return slice(place.record_number, place.record_number + place.length)


_Function = Callable[[SimulatedDevice, Any, float], pdu.Reply]


def _read(table: str, reply: Callable[[Sequence[Any]], pdu.Reply]) -> _Function:
    return lambda device, request, now: reply(getattr(device, table).read(request.address, request.quantity, now))


_FUNCTIONS: Final[Mapping[type[pdu.Request], _Function]] = {
    pdu.ReadCoilsRequest: _read("coils", pdu.ReadCoilsReply),
    pdu.ReadDiscreteInputsRequest: _read("discrete_inputs", pdu.ReadDiscreteInputsReply),
    pdu.ReadHoldingRegistersRequest: _read("holding_registers", pdu.ReadHoldingRegistersReply),
    pdu.ReadInputRegistersRequest: _read("input_registers", pdu.ReadInputRegistersReply),
    pdu.WriteSingleCoilRequest: SimulatedDevice._write_single_coil,
    pdu.WriteSingleRegisterRequest: SimulatedDevice._write_single_register,
    pdu.WriteMultipleCoilsRequest: SimulatedDevice._write_multiple_coils,
    pdu.WriteMultipleRegistersRequest: SimulatedDevice._write_multiple_registers,
    pdu.MaskWriteRegisterRequest: SimulatedDevice._mask_write_register,
    pdu.ReadWriteMultipleRegistersRequest: SimulatedDevice._read_write_multiple_registers,
    pdu.ReadExceptionStatusRequest: SimulatedDevice._read_exception_status,
    pdu.ReadFileRecordRequest: SimulatedDevice._read_file_record,
    pdu.WriteFileRecordRequest: SimulatedDevice._write_file_record,
    pdu.ReadFIFOQueueRequest: SimulatedDevice._read_fifo_queue,
    pdu.DiagnosticsRequest: lambda device, request, now: device.counters.diagnose(request),
    pdu.GetCommEventCounterRequest: lambda device, request, now: device.counters.event_counter(),
    pdu.GetCommEventLogRequest: lambda device, request, now: device.counters.event_log(),
    pdu.ReportServerIdRequest: lambda device, request, now: device.identity.server_id(),
    pdu.ReadDeviceIdentificationRequest: lambda device, request, now: device.identity.read(
        request.read_code, request.object_id
    ),
}
