"""Settings of a simulation, floor 2. All times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from attrs import Factory, field, frozen

from lumina_twisted.bus.settings import Seconds
from lumina_twisted.modbus.registers import ByteOrder, Encoding, Kind, WordOrder
from lumina_twisted.modbus.settings import Baudrate
from lumina_twisted.schema import Between, required, setting
from lumina_twisted.simulator.faults import Fault
from lumina_twisted.simulator.tables import TABLE_SIZE
from lumina_twisted.simulator.waves import Shape

Address = Annotated[int, Between(0, 0xFFFF)]
Amount = Annotated[float, Between(-1e20, 1e20)]
TableName = Literal["coils", "discrete_inputs", "holding_registers", "input_registers"]
Period = Annotated[float, Between(0.001, 1e9)]


def tables(doc: str) -> Any:
    """A field that holds tables of its own, by name, number or address."""
    return field(default=Factory(dict), metadata={"doc": doc, "unit": ""})


# -- values --------------------------------------------------------------------------------------------------------


@frozen(kw_only=True, slots=False)
class Value:
    """What stands from an address on. Coils and discrete inputs have neither types nor orders."""

    type: Kind = setting("u16", "how a number lies in registers: u16, i16, u32, i32, u64, i64, f32 or f64")
    word_order: WordOrder = setting("big", "which word of a number comes first: big, the high one, or little")
    byte_order: ByteOrder = setting(
        "big", "which byte of a register comes first: big, as the specification says, or little"
    )
    scale: Amount = setting(
        1.0, "what the number in the registers is multiplied by to get the value: 0.1 if they hold tenths"
    )
    offset: Amount = setting(0.0, "what is then added")


@frozen(kw_only=True, slots=False)
class Constant(Value):
    """A value that stays until it is written."""

    value: Any = required("a number, true or false, a list of them, or a text, two characters in each register")
    length: Annotated[int, Between(1, 125)] | None = setting(
        None, "of a text: how many registers it takes, filled up with NUL; not given: as many as it needs",
        unit="registers",
    )
    encoding: Encoding = setting("ascii", "of a text: ascii, utf-8 or latin-1")


@frozen(kw_only=True, slots=False)
class Ramp(Value):
    """A value that goes from one to another, and stays."""

    start: Amount = setting(0.0, "where it begins")
    end: Amount = setting(1.0, "where it stays")
    seconds: Period = setting(60.0, "how long it takes", unit="s")


@frozen(kw_only=True, slots=False)
class Wave(Value):
    """A value that swings between two others."""

    shape: Shape = setting("sine", "its form: sine, square, saw or triangle")
    low: Amount = setting(0.0, "the lowest value")
    high: Amount = setting(1.0, "the highest value")
    period: Period = setting(60.0, "from one crest to the next", unit="s")
    phase: Annotated[float, Between(0, 1)] = setting(0.0, "which part of a period it is ahead")


@frozen(kw_only=True, slots=False)
class Count(Value):
    """A value that grows with time, and begins again from 0 beyond its type; written, it goes on from there."""

    rate: Amount = setting(1.0, "by how much it grows", unit="1/s")
    start: Amount = setting(0.0, "where it begins")
    reset_by: Address | None = setting(None, "a write to this holding register sets it to 0")


@frozen(kw_only=True, slots=False)
class RandomWalk(Value):
    """A value that makes a random step now and then, between two bounds."""

    low: Amount = setting(0.0, "the lowest value")
    high: Amount = setting(1.0, "the highest value")
    start: Amount | None = setting(None, "where it begins; not given: in the middle")
    step: Annotated[float, Between(0, 1e18)] = setting(0.1, "the longest step, up or down")
    every: Period = setting(1.0, "from one step to the next", unit="s")


@frozen(kw_only=True, slots=False)
class Bits(Value):
    """A register, or several, of which each bit is a value of its own; those that are not given are 0."""

    bits: Mapping[int, Value] = tables("true, false, or what moves, by number; 0 is the lowest bit")


VALUE_KINDS: Mapping[str, type[Value]] = {
    "constant": Constant, "ramp": Ramp, "wave": Wave, "counter": Count, "walk": RandomWalk, "bits": Bits,
}
"""The class of each ``kind``."""


# -- devices -------------------------------------------------------------------------------------------------------


@frozen(kw_only=True, slots=False)
class RangeSettings:
    """Addresses that are refused."""

    first: Address = required("the first address")
    last: Address | None = setting(None, "the last one; not given: there is only one")
    exception: Annotated[int, Between(1, 255)] = setting(2, "the code of the exception")

    def __attrs_post_init__(self) -> None:
        if self.last is not None and self.last < self.first:
            raise ValueError(f"the last address, {self.last}, comes before the first, {self.first}")


@frozen(kw_only=True, slots=False)
class TableSettings:
    """One of the four tables of a device."""

    size: Annotated[int, Between(0, 0x10000)] = setting(
        TABLE_SIZE, "how many entries it has; addresses beyond do not exist: exception 2", unit="entries"
    )
    forbidden: tuple[RangeSettings, ...] = setting((), "addresses that can be neither read nor written")
    read_only: tuple[RangeSettings, ...] = setting((), "addresses that cannot be written")
    write_once: tuple[RangeSettings, ...] = setting((), "addresses that can be written once, each")
    values: Mapping[int, Value] = tables("what stands there, by address")


@frozen(kw_only=True, slots=False)
class IdentitySettings:
    """What a device tells of itself by functions 17 and 43/14; what is empty it does not tell."""

    vendor_name: str = setting("Lumina", "object 0")
    product_code: str = setting("simulated device", "object 1, and the server id")
    revision: str = setting("1.0", "object 2")
    vendor_url: str = setting("", "object 3")
    product_name: str = setting("", "object 4")
    model_name: str = setting("", "object 5")
    user_application_name: str = setting("", "object 6")


@frozen(kw_only=True, slots=False)
class SimulatedUnitSettings:
    """One device."""

    profile: str = setting(
        "", "what kind of device it is, one of Lumina's profiles or of this file's: it has that one's points, and what"
        " else is said here replaces them",
    )
    device_time: Seconds | None = setting(
        None, "from the silence after a request to the answer's first byte; not given: that of its bus", unit="s"
    )
    frame_gap: Seconds | None = setting(
        None, "the silence it needs before a request; not given: that of its bus", unit="s",
    )
    identity: IdentitySettings = field(
        default=IdentitySettings(), metadata={"doc": "what it tells of itself", "unit": ""}
    )
    coils: TableSettings = setting(TableSettings(), "bits that can be read and written")
    discrete_inputs: TableSettings = setting(TableSettings(), "bits that can be read")
    holding_registers: TableSettings = setting(TableSettings(), "registers that can be read and written")
    input_registers: TableSettings = setting(TableSettings(), "registers that can be read")
    files: Mapping[int, tuple[int, ...]] = tables("the records of each file, by its number; functions 20 and 21")
    fifo_queues: Mapping[int, tuple[int, ...]] = tables("the registers of each queue, by its address; function 24")
    faults: tuple[Fault, ...] = setting((), "what goes wrong with this device")


# -- buses ---------------------------------------------------------------------------------------------------------


@frozen(kw_only=True, slots=False)
class OtherMasterSettings:
    """Another master on the bus, which reads by itself."""

    unit: Annotated[int, Between(1, 255)] = required("the unit it asks")
    table: TableName = setting(
        "holding_registers", "what it reads: coils, discrete_inputs, holding_registers or input_registers"
    )
    address: Address = setting(0, "the first address it reads")
    count: Annotated[int, Between(1, 125)] = setting(1, "how many entries it reads", unit="entries")
    interval: Annotated[float, Between(0.01, 1e6)] = setting(1.0, "from one request to the next", unit="s")


@frozen(kw_only=True, slots=False)
class SimulatedBusSettings:
    """One bus, its adapter and its devices."""

    link: str = setting(
        "", "the path under which the bus can be opened, as a serial device; not given: one in a folder of its own"
    )
    baudrate: Baudrate = setting(9600, "the speed of its devices; at another one they do not understand", unit="baud")
    device_time: Seconds = setting(
        0.001, "from the silence after a request to the answer's first byte", unit="s"
    )
    frame_gap: Seconds = setting(
        0.0, "the silence its devices need before a request; one that comes sooner they do not understand", unit="s"
    )
    echo: bool = setting(False, "whether its adapter hands back what is sent")
    units: Mapping[int, SimulatedUnitSettings] = tables("its devices, by unit identifier, 1 to 255")
    faults: tuple[Fault, ...] = setting((), "what goes wrong with all of them")
    masters: tuple[OtherMasterSettings, ...] = setting((), "other masters on its wire, which ask by themselves")


@frozen(kw_only=True, slots=False)
class WireLogSettings:
    """The file of what came over the wires."""

    path: str = setting("", "the file; not given: none")
    size: Annotated[int, Between(0, 10**15)] = setting(
        50_000_000, "when it has grown to this, it becomes PATH.1 and another is begun; 0: never", unit="bytes"
    )
    waiting: Annotated[int, Between(1, 1_000_000)] = setting(
        10_000, "lines that may wait in memory until they are written; what is more is dropped and counted",
        unit="lines",
    )


@frozen(kw_only=True, slots=False)
class SimulationSettings:
    """A whole simulation."""

    seed: Annotated[int, Between(0, 2**63 - 1)] = setting(
        0, "what faults and random walks are drawn from: the same number, the same faults for the same requests"
    )
    log: WireLogSettings = setting(WireLogSettings(), "what came over the wires")
    buses: Mapping[str, SimulatedBusSettings] = tables("the buses, by name")
