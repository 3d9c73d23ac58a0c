"""A simulated RTU device, floor 2: a request PDU and the time in, a reply PDU out. Pure.

Values that move are functions of the time, so that two runs give the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from lumina_twisted.errors import (
    FrameError,
    IllegalDataAddress,
    IllegalDataValue,
    IllegalFunction,
    ModbusException,
    RequestError,
)
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.codes import DIAGNOSTICS_RETURN_QUERY_DATA

TABLE_SIZE: Final = 1000
"""Entries of each table; addresses beyond do not exist."""

Moving = Callable[[float], int]
"""A register's value at a time."""


def drifting(mean: float, swing: float, period: float) -> Moving:
    """A value that swings around its mean, such as a temperature in tenths of a degree.

    :param period: seconds from one crest to the next.
    """
    return lambda now: round(mean + swing * math.sin(2 * math.pi * now / period)) & 0xFFFF


class Counter:
    """A 32-bit counter in two registers, high word first, that counts up with time."""

    def __init__(self, per_second: float, start: int = 0) -> None:
        self._per_second = per_second
        self._start = start
        self._since = 0.0

    def value(self, now: float) -> int:
        """What it has counted."""
        return int(self._start + (now - self._since) * self._per_second) & 0xFFFFFFFF

    def reset(self, now: float) -> None:
        """Counts from zero again."""
        self._start, self._since = 0, now

    def high(self, now: float) -> int:
        """Its high word."""
        return self.value(now) >> 16

    def low(self, now: float) -> int:
        """Its low word."""
        return self.value(now) & 0xFFFF


class SimulatedDevice:
    """The four tables and what the public functions do with them.

    :param identity: objects of Read Device Identification: vendor, product code, revision.
    """

    def __init__(self, identity: tuple[str, ...] = ("Lumina", "simulated device", "1.0")) -> None:
        self.coils = [0] * TABLE_SIZE
        self.discrete_inputs = [0] * TABLE_SIZE
        self.holding_registers = [0] * TABLE_SIZE
        self.input_registers = [0] * TABLE_SIZE
        self.moving: dict[int, Moving] = {}
        """Input registers whose value the time tells, by address."""
        self.on_write: dict[int, Callable[[float], None]] = {}
        """What a write to a holding register also does, by address."""
        self._identity = identity
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
            pdu.DiagnosticsRequest: self._diagnostics,
            pdu.ReportServerIdRequest: self._report_server_id,
            pdu.ReadDeviceIdentificationRequest: self._read_device_identification,
        }

    def answer(self, data: bytes, now: float) -> bytes:
        """The reply PDU, normal or an exception.

        :param data: the request's PDU, a byte at least.
        :param now: seconds on the clock by which values move.
        """
        try:
            return self._answer(data, now).encode()
        except ModbusException as refused:
            return pdu.ExceptionReply(data[0] & 0x7F, refused.code).encode()

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
        return pdu.ReadCoilsReply(_part(self.coils, request.address, request.quantity))

    def _read_discrete_inputs(self, request: pdu.ReadDiscreteInputsRequest, now: float) -> pdu.Reply:
        return pdu.ReadDiscreteInputsReply(_part(self.discrete_inputs, request.address, request.quantity))

    def _read_holding_registers(self, request: pdu.ReadHoldingRegistersRequest, now: float) -> pdu.Reply:
        return pdu.ReadHoldingRegistersReply(_part(self.holding_registers, request.address, request.quantity))

    def _read_input_registers(self, request: pdu.ReadInputRegistersRequest, now: float) -> pdu.Reply:
        for address, value in self.moving.items():
            self.input_registers[address] = value(now)
        return pdu.ReadInputRegistersReply(_part(self.input_registers, request.address, request.quantity))

    def _write_single_coil(self, request: pdu.WriteSingleCoilRequest, now: float) -> pdu.Reply:
        _put(self.coils, request.address, [int(request.value)])
        return pdu.WriteSingleCoilReply(request.address, request.value)

    def _write_single_register(self, request: pdu.WriteSingleRegisterRequest, now: float) -> pdu.Reply:
        self._store(request.address, [request.value], now)
        return pdu.WriteSingleRegisterReply(request.address, request.value)

    def _write_multiple_coils(self, request: pdu.WriteMultipleCoilsRequest, now: float) -> pdu.Reply:
        _put(self.coils, request.address, [int(value) for value in request.values])
        return pdu.WriteMultipleCoilsReply(request.address, len(request.values))

    def _write_multiple_registers(self, request: pdu.WriteMultipleRegistersRequest, now: float) -> pdu.Reply:
        self._store(request.address, request.values, now)
        return pdu.WriteMultipleRegistersReply(request.address, len(request.values))

    def _mask_write_register(self, request: pdu.MaskWriteRegisterRequest, now: float) -> pdu.Reply:
        (present,) = _part(self.holding_registers, request.address, 1)
        value = (present & request.and_mask) | (request.or_mask & ~request.and_mask & 0xFFFF)
        self._store(request.address, [value], now)
        return pdu.MaskWriteRegisterReply(request.address, request.and_mask, request.or_mask)

    def _read_write_multiple_registers(
        self, request: pdu.ReadWriteMultipleRegistersRequest, now: float
    ) -> pdu.Reply:
        _part(self.holding_registers, request.read_address, request.read_quantity)  # nothing is written if it refuses
        self._store(request.write_address, request.values, now)
        return pdu.ReadWriteMultipleRegistersReply(
            _part(self.holding_registers, request.read_address, request.read_quantity)
        )

    def _store(self, address: int, values: Sequence[int], now: float) -> None:
        _put(self.holding_registers, address, values)
        for written in range(address, address + len(values)):
            if written in self.on_write:
                self.on_write[written](now)

    # -- what it says of itself ----------------------------------------------------------------------------------

    def _read_exception_status(self, request: pdu.ReadExceptionStatusRequest, now: float) -> pdu.Reply:
        return pdu.ReadExceptionStatusReply(sum(bit << number for number, bit in enumerate(self.coils[:8])))

    def _diagnostics(self, request: pdu.DiagnosticsRequest, now: float) -> pdu.Reply:
        if request.sub_function != DIAGNOSTICS_RETURN_QUERY_DATA:
            raise IllegalFunction
        return pdu.DiagnosticsReply(request.sub_function, request.data)

    def _report_server_id(self, request: pdu.ReportServerIdRequest, now: float) -> pdu.Reply:
        return pdu.ReportServerIdReply(self._identity[1].encode() + b"\xff")

    def _read_device_identification(self, request: pdu.ReadDeviceIdentificationRequest, now: float) -> pdu.Reply:
        """Conformity level 01: the basic objects, as a stream; one by one (read code 4) they are not to be had."""
        if request.read_code > 3:
            raise IllegalDataValue
        objects = [(number, text.encode()) for number, text in enumerate(self._identity)]
        first = request.object_id if request.object_id < len(objects) else 0  # section 6.21: an unknown one begins anew
        return pdu.ReadDeviceIdentificationReply(request.read_code, 1, False, 0, objects[first:])


def _part(table: list[int], address: int, quantity: int) -> list[int]:
    if address + quantity > len(table):
        raise IllegalDataAddress
    return table[address : address + quantity]


def _put(table: list[int], address: int, values: Sequence[int]) -> None:
    _part(table, address, len(values))
    table[address : address + len(values)] = values
