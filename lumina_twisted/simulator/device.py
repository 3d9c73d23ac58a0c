"""A simulated RTU device, floor 2: a request PDU and the time in, a reply PDU out. Pure.

Values that move are functions of the time, so that two runs give the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from lumina_twisted.modbus.codes import EXCEPTION_FLAG, MEI_DEVICE_IDENTIFICATION
from lumina_twisted.modbus.lengths import UNKNOWN, request_length

TABLE_SIZE: Final = 1000
"""Entries of each table; addresses beyond do not exist."""
ILLEGAL_FUNCTION, ILLEGAL_DATA_ADDRESS, ILLEGAL_DATA_VALUE = 1, 2, 3

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


class _Refused(Exception):
    """Ends in an exception reply."""


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
        self._functions = {
            1: self._read_bits, 2: self._read_bits, 3: self._read_registers, 4: self._read_registers,
            5: self._write_coil, 6: self._write_register, 7: self._exception_status, 8: self._diagnostics,
            15: self._write_coils, 16: self._write_registers, 17: self._report_server_id, 22: self._mask_write,
            23: self._read_write, 43: self._identify,
        }

    def answer(self, pdu: bytes, now: float) -> bytes:
        """The reply PDU, normal or an exception.

        :param pdu: the request's, a byte at least.
        :param now: seconds on the clock by which values move.
        """
        function = self._functions.get(pdu[0])
        try:
            if function is None:
                raise _Refused(ILLEGAL_FUNCTION)
            if request_length(pdu) not in (UNKNOWN, len(pdu)):
                raise _Refused(ILLEGAL_DATA_VALUE)
            return pdu[:1] + function(pdu, now)
        except _Refused as refused:
            return bytes((pdu[0] | EXCEPTION_FLAG, refused.args[0]))

    def _read_bits(self, pdu: bytes, now: float) -> bytes:
        address, quantity = _range(pdu, 1, 2000)
        table = self.coils if pdu[0] == 1 else self.discrete_inputs
        return _counted(_packed(table[address : address + quantity]))

    def _read_registers(self, pdu: bytes, now: float) -> bytes:
        address, quantity = _range(pdu, 1, 125)
        return _counted(self._registers(pdu[0], address, quantity, now))

    def _registers(self, code: int, address: int, quantity: int, now: float) -> bytes:
        if code == 4:
            for moving, value in self.moving.items():
                self.input_registers[moving] = value(now)
        table = self.input_registers if code == 4 else self.holding_registers
        return b"".join(value.to_bytes(2, "big") for value in table[address : address + quantity])

    def _write_coil(self, pdu: bytes, now: float) -> bytes:
        if pdu[3:5] not in (b"\x00\x00", b"\xff\x00"):
            raise _Refused(ILLEGAL_DATA_VALUE)
        self.coils[_address(pdu)] = pdu[3] & 1
        return pdu[1:5]

    def _write_register(self, pdu: bytes, now: float) -> bytes:
        self._store(_address(pdu), pdu[3:5], now)
        return pdu[1:5]

    def _write_coils(self, pdu: bytes, now: float) -> bytes:
        address, quantity = _range(pdu, 1, 1968)
        if pdu[5] != (quantity + 7) // 8:
            raise _Refused(ILLEGAL_DATA_VALUE)
        for number in range(quantity):
            self.coils[address + number] = pdu[6 + number // 8] >> number % 8 & 1
        return pdu[1:5]

    def _write_registers(self, pdu: bytes, now: float) -> bytes:
        address, quantity = _range(pdu, 1, 123)
        if pdu[5] != 2 * quantity:
            raise _Refused(ILLEGAL_DATA_VALUE)
        self._store(address, pdu[6 : 6 + 2 * quantity], now)
        return pdu[1:5]

    def _mask_write(self, pdu: bytes, now: float) -> bytes:
        address = _address(pdu)
        keep, put = _word(pdu, 3), _word(pdu, 5)
        value = (self.holding_registers[address] & keep) | (put & ~keep & 0xFFFF)
        self._store(address, value.to_bytes(2, "big"), now)
        return pdu[1:7]

    def _read_write(self, pdu: bytes, now: float) -> bytes:
        read, read_quantity = _range(pdu, 1, 125)
        written, quantity = _range(pdu, 1, 121, at=5)
        if pdu[9] != 2 * quantity:
            raise _Refused(ILLEGAL_DATA_VALUE)
        self._store(written, pdu[10 : 10 + 2 * quantity], now)
        return _counted(self._registers(3, read, read_quantity, now))

    def _store(self, address: int, data: bytes, now: float) -> None:
        for number in range(len(data) // 2):
            self.holding_registers[address + number] = _word(data, 2 * number)
            if address + number in self.on_write:
                self.on_write[address + number](now)

    def _exception_status(self, pdu: bytes, now: float) -> bytes:
        return _packed(self.coils[:8])

    def _diagnostics(self, pdu: bytes, now: float) -> bytes:
        if pdu[1:3] != b"\x00\x00":
            raise _Refused(ILLEGAL_FUNCTION)
        return pdu[1:]

    def _report_server_id(self, pdu: bytes, now: float) -> bytes:
        return _counted(self._identity[1].encode() + b"\xff")

    def _identify(self, pdu: bytes, now: float) -> bytes:
        """Conformity level 01: the basic objects, as a stream; one by one (read code 4) they are not to be had."""
        if pdu[1] != MEI_DEVICE_IDENTIFICATION:
            raise _Refused(ILLEGAL_FUNCTION)
        if not 1 <= pdu[2] <= 3:
            raise _Refused(ILLEGAL_DATA_VALUE)
        first = pdu[3] if pdu[3] < len(self._identity) else 0  # section 6.21: an unknown one begins anew
        objects = [bytes((number, len(text))) + text.encode() for number, text in enumerate(self._identity)][first:]
        return bytes((MEI_DEVICE_IDENTIFICATION, pdu[2], 0x01, 0, 0, len(objects))) + b"".join(objects)


def _word(pdu: bytes, at: int) -> int:
    return pdu[at] << 8 | pdu[at + 1]


def _address(pdu: bytes) -> int:
    address = _word(pdu, 1)
    if address >= TABLE_SIZE:
        raise _Refused(ILLEGAL_DATA_ADDRESS)
    return address


def _range(pdu: bytes, least: int, most: int, at: int = 1) -> tuple[int, int]:
    address, quantity = _word(pdu, at), _word(pdu, at + 2)
    if not least <= quantity <= most:
        raise _Refused(ILLEGAL_DATA_VALUE)
    if address + quantity > TABLE_SIZE:
        raise _Refused(ILLEGAL_DATA_ADDRESS)
    return address, quantity


def _counted(data: bytes) -> bytes:
    return bytes((len(data),)) + data


def _packed(bits: list[int]) -> bytes:
    packed = bytearray((len(bits) + 7) // 8)
    for number, bit in enumerate(bits):
        packed[number // 8] |= bit << number % 8
    return bytes(packed)
