"""From the settings of simulated devices to the devices themselves, floor 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Final

import attrs

from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.modbus.functions import BROADCAST
from lumina_twisted.modbus.pdu import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
)
from lumina_twisted.simulator.bus import OtherMaster
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.simulator.faults import Fault, Faults, Gap
from lumina_twisted.simulator.settings import (
    Constant,
    Count,
    IdentitySettings,
    RangeSettings,
    SimulatedBusSettings,
    SimulatedUnitSettings,
    TableSettings,
)
from lumina_twisted.simulator.tables import Cell, Range, Table
from lumina_twisted.simulator.values import codec_of, entries_of, motion_of
from lumina_twisted.simulator.waves import Counter

_READS: Final = {
    "coils": ReadCoilsRequest, "discrete_inputs": ReadDiscreteInputsRequest,
    "holding_registers": ReadHoldingRegistersRequest, "input_registers": ReadInputRegistersRequest,
}


def devices_of(bus: SimulatedBusSettings, seed: str) -> dict[int, SimulatedDevice]:
    """The devices of a bus, by unit identifier."""
    return {number: _device(unit, f"{seed} unit {number}") for number, unit in bus.units.items()}


def own_times(bus: SimulatedBusSettings) -> dict[int, float]:
    """The device time of those units that have one of their own."""
    return {number: unit.device_time for number, unit in bus.units.items() if unit.device_time is not None}


def faults_of(bus: SimulatedBusSettings, seed: str) -> Faults:
    """The faults of a bus; a silence that its devices need is one of each."""
    units = {
        number: [*_gap(bus.frame_gap if unit.frame_gap is None else unit.frame_gap), *unit.faults]
        for number, unit in bus.units.items()
    }
    return Faults(bus.faults, {BROADCAST: _gap(bus.frame_gap), **units}, seed)


def masters_of(bus: SimulatedBusSettings) -> list[OtherMaster]:
    """The other masters of a bus."""
    return [
        OtherMaster(encode_adu(one.unit, _READS[one.table](one.address, one.count).encode()), one.interval)
        for one in bus.masters
    ]


def _gap(seconds: float) -> list[Fault]:
    return [Gap(rate=1.0, seconds=seconds)] if seconds else []


def _device(unit: SimulatedUnitSettings, seed: str) -> SimulatedDevice:
    device = SimulatedDevice(_objects(unit.identity))
    device.coils = _table(unit.coils, f"{seed} coils", is_bits=True)
    device.discrete_inputs = _table(unit.discrete_inputs, f"{seed} discrete_inputs", is_bits=True)
    device.holding_registers = _table(unit.holding_registers, f"{seed} holding_registers")
    device.input_registers = _table(unit.input_registers, f"{seed} input_registers")
    device.files = {number: list(records) for number, records in unit.files.items()}
    device.fifo_queues = {address: list(registers) for address, registers in unit.fifo_queues.items()}
    for settings, table in (
        (unit.holding_registers, device.holding_registers), (unit.input_registers, device.input_registers)
    ):
        for address, reset in _resets(settings, table):
            device.on_write.setdefault(address, []).append(reset)
    return device


def _objects(identity: IdentitySettings) -> dict[int, str]:
    """The fields stand in the order of the objects."""
    return {number: text for number, text in enumerate(attrs.astuple(identity)) if text}


def _table(settings: TableSettings, seed: str, *, is_bits: bool = False) -> Table:
    table = Table(
        settings.size, forbidden=_ranges(settings.forbidden), read_only=_ranges(settings.read_only),
        write_once=_ranges(settings.write_once),
    )
    for address, value in settings.values.items():
        if isinstance(value, Constant):
            entries = entries_of(value, is_bits)
            table[address : address + len(entries)] = entries
        else:
            motion = motion_of(value, Random(f"{seed} {address}"))
            table.cells.append(Cell(address, motion, codec_of(value, is_bits)))
    return table


def _ranges(settings: Sequence[RangeSettings]) -> list[Range]:
    return [Range(one.first, one.first if one.last is None else one.last, one.exception) for one in settings]


def _resets(settings: TableSettings, table: Table) -> Iterator[tuple[int, Callable[[float], None]]]:
    """What a write to a register resets."""
    for cell in table.cells:
        value = settings.values[cell.address]
        if isinstance(value, Count) and value.reset_by is not None and isinstance(cell.motion, Counter):
            yield value.reset_by, partial(cell.motion.count_from, 0)
