"""Simulated values, floor 2: their settings, their description in a document, their motion, their entries in a table.

A :class:`Value` holds the settings of one ``kind``. The entries of a constant are computed once. Any other value
becomes a :class:`Cell` of a table: a motion, which is a pure function of the seconds since the simulation began, and
the codec that turns the moving number into entries. The same seed gives the same values in every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Annotated, Any, Final, Literal, Protocol, cast

import attrs
from attrs import Factory, field, frozen

from lumina_twisted.document import DocumentReader
from lumina_twisted.errors import RequestError
from lumina_twisted.modbus import registers
from lumina_twisted.modbus.registers import ByteOrder, Encoding, Kind, WordOrder
from lumina_twisted.modbus.values.codec import ValueCodec
from lumina_twisted.schema import Between, required, setting

Address = Annotated[int, Between(0, 0xFFFF)]
Amount = Annotated[float, Between(-1e20, 1e20)]
Period = Annotated[float, Between(0.001, 1e9)]
Shape = Literal["sine", "square", "saw", "triangle"]

Motion = Callable[[float], float]
"""Returns the value at a time, in seconds since the simulation began."""

MOST_STEPS: Final = 10_000
"""The most steps that a random walk catches up at once, so that the first read in a year does not take a second."""

_SHAPES: Final[Mapping[str, Motion]] = {
    "sine": lambda part: (1 + math.sin(math.tau * part)) / 2,
    "square": lambda part: float(part < 0.5),
    "saw": lambda part: part,
    "triangle": lambda part: 1 - abs(2 * part - 1),
}
"""Each shape's value from 0 to 1, by the elapsed fraction of the period."""
_CODEC_KEYS: Final = ("type", "word_order", "byte_order", "scale", "offset", "length", "encoding")
"""Keys that describe the encoding of a value in registers."""
_MOST_BITS: Final = 64


def tables(doc: str) -> Any:
    """A field that holds nested tables, by name, number or address."""
    return field(default=Factory(dict), metadata={"doc": doc, "unit": ""})


# -- how a table serves a value --------------------------------------------------------------------------------------


class Codec(Protocol):
    """The encoding of a number in one or several entries."""

    @property
    def width(self) -> int:
        """The number of entries that it takes."""
        ...

    def encode(self, value: float) -> Sequence[int]:
        """The entries of a value."""
        ...

    def decode(self, entries: Sequence[int]) -> float:
        """The value of entries."""
        ...


class Bit:
    """A coil or a discrete input: on if the number is at least 0.5."""

    width = 1

    def encode(self, value: float) -> Sequence[int]:
        """See :class:`Codec`."""
        return (int(value >= 0.5),)

    def decode(self, entries: Sequence[int]) -> float:
        """See :class:`Codec`."""
        return entries[0]


@frozen(eq=False)
class Cell:
    """Entries that start at ``address``, and whose value depends on the time."""

    address: int
    motion: Motion
    codec: Codec

    @property
    def entries(self) -> slice:
        """The place of the entries in their table."""
        return slice(self.address, self.address + self.codec.width)


class Counter:
    """The motion of a value that grows with time.

    :param rate: growth per second.
    :param start: the first value.
    :param is_whole: whether it grows in steps of one.
    """

    def __init__(self, rate: float, start: float = 0, *, is_whole: bool = True) -> None:
        self._rate = rate
        self._start = start
        self._since = 0.0
        self._is_whole = is_whole

    def __call__(self, now: float) -> float:
        """The count at the time ``now``."""
        grown = (now - self._since) * self._rate
        return self._start + (math.floor(grown) if self._is_whole else grown)

    def count_from(self, value: float, now: float) -> None:
        """Continues the count from ``value``."""
        self._start, self._since = value, now


class Walk:
    """The motion of a value that makes a random step at regular intervals, between two bounds.

    :param start: the first value.
    :param step: the longest step, up or down.
    :param every: seconds between two steps.
    :param random: draws the steps.
    """

    def __init__(self, start: float, step: float, low: float, high: float, every: float, random: Random) -> None:
        self._value = start
        self._step = step
        self._low, self._high = low, high
        self._every = every
        self._random = random
        self._done = 0

    def __call__(self, now: float) -> float:
        """The value after all steps that are due."""
        due = int(now / self._every)
        for _ in range(min(due - self._done, MOST_STEPS)):
            moved = self._value + self._random.uniform(-self._step, self._step)
            self._value = min(max(moved, self._low), self._high)
        self._done = max(self._done, due)
        return self._value


# -- the kinds of values ---------------------------------------------------------------------------------------------


@frozen(kw_only=True, slots=False)
class Value:
    """A value at an address, and the codec of its number in registers. Coils and discrete inputs have no types and no
    byte or word orders. An integer beyond the range of its type wraps around, as counters do.
    """

    type: Kind = setting("u16", "how a number lies in registers: u16, i16, u32, i32, u64, i64, f32 or f64")
    word_order: WordOrder = setting("big", "which word of a number comes first: big, the high one, or little")
    byte_order: ByteOrder = setting(
        "big", "which byte of a register comes first: big, as the specification says, or little"
    )
    scale: Amount = setting(
        1.0, "what the number in the registers is multiplied by to get the value: 0.1 if they hold tenths"
    )
    offset: Amount = setting(0.0, "what is then added")

    @property
    def width(self) -> int:
        """The number of registers that its number takes."""
        return registers.registers_of(self.type)

    @property
    def is_whole(self) -> bool:
        """Whether the number in the registers is an integer."""
        return self.type[0] != "f"

    @property
    def is_scaled(self) -> bool:
        """Whether the number in the registers differs from the value."""
        return (self.scale, self.offset) != (1, 0)

    def number(self, value: float) -> float:
        """The number in the registers for a value."""
        number = (value - self.offset) / self.scale if self.is_scaled else value
        return round(number) if self.is_whole and self.is_scaled and math.isfinite(number) else number

    def encode(self, value: float) -> Sequence[int]:
        """See :class:`Codec`."""
        number = self.number(value)
        if self.is_whole:
            bits = 16 * self.width
            number = round(number) % (1 << bits)
            if self.type[0] == "i" and number >> (bits - 1):
                number -= 1 << bits
        return registers.encode(number, self.type, self.word_order, self.byte_order)

    def decode(self, entries: Sequence[int]) -> float:
        """See :class:`Codec`."""
        number = registers.decode(entries, self.type, self.word_order, self.byte_order)
        return number * self.scale + self.offset if self.is_scaled else number

    def size(self, is_bits: bool) -> int:
        """The number of entries that the value takes in a table."""
        return 1 if is_bits else self.width

    def motion(self, random: Random) -> Motion:
        """The motion of the value.

        :param random: draws the steps of a random walk.
        """
        raise NotImplementedError

    def fault(self, is_bits: bool) -> str:
        """A sentence that says what is wrong with the settings; empty if nothing is."""
        try:
            if self.scale == 0:
                raise RequestError("scale is 0, and nothing can be divided by that")
            self._check(is_bits)
            for key in () if is_bits else ("start", "end", "low", "high"):
                if (end := getattr(self, key, None)) is not None:
                    self._check_end(end)
        except RequestError as error:
            return str(error)
        return ""

    def _check(self, is_bits: bool) -> None:
        """
        :raises RequestError: if the settings of this kind contradict each other or the table.
        """

    def _check_end(self, end: float) -> None:
        """
        :raises RequestError: if the registers cannot hold this end of a motion.
        """
        held = self.number(end)
        try:
            registers.encode(round(held) if self.is_whole else held, self.type)
        except RequestError as error:
            meant = f"{end:g} is {held:g} in the registers: " if self.is_scaled else ""
            raise RequestError(f"{meant}{error}") from None


@frozen(kw_only=True, slots=False)
class Constant(Value):
    """A value that stays the same until a client writes it."""

    value: Any = required("a number, true or false, a list of them, or a text, two characters in each register")
    length: Annotated[int, Between(1, 125)] | None = setting(
        None, "of a text: how many registers it takes, filled up with NUL; not given: as many as it needs",
        unit="registers",
    )
    encoding: Encoding = setting("ascii", "of a text: ascii, utf-8 or latin-1")

    def entries(self, is_bits: bool) -> list[int]:
        """The table entries that hold the value.

        :raises RequestError: if entries cannot hold such a value.
        """
        if is_bits:
            return [_bit(one) for one in self._listed()]
        if isinstance(self.value, str):
            return self._text(self.value)
        if self.length is not None:
            raise RequestError(f"length is that of a text, and {self.value!r} is none")
        return [entry for one in self._listed() for entry in self._number(one)]

    def _listed(self) -> list[Any]:
        if self.value == []:
            raise RequestError("an empty list holds no value")
        return self.value if isinstance(self.value, list) else [self.value]

    def _number(self, number: Any) -> Sequence[int]:
        if type(number) not in (int, float):
            raise RequestError(f"expected a number, a text or a list of numbers, got {number!r}")
        return registers.encode(self.number(number), self.type, self.word_order, self.byte_order)

    def _text(self, text: str) -> list[int]:
        if not text and self.length is None:
            raise RequestError("an empty text holds no value; length says how many registers it takes")
        length = self.length or (len(text.encode(self.encoding, "replace")) + 1) // 2
        return list(registers.encode_text(text, length, self.encoding, self.byte_order))

    def size(self, is_bits: bool) -> int:
        """See :meth:`Value.size`."""
        return len(self.entries(is_bits))

    def motion(self, random: Random) -> Motion:
        """The motion of a constant that is a single bit."""
        (entry,) = self.entries(is_bits=True)
        return lambda now: entry

    def _check(self, is_bits: bool) -> None:
        self.entries(is_bits)


@frozen(kw_only=True, slots=False)
class Ramp(Value):
    """A value that moves from one number to another, and stays there."""

    start: Amount = setting(0.0, "where it begins")
    end: Amount = setting(1.0, "where it stays")
    seconds: Period = setting(60.0, "how long it takes", unit="s")

    def motion(self, random: Random) -> Motion:
        """See :meth:`Value.motion`."""
        way = self.end - self.start
        return lambda now: self.start + way * min(now / self.seconds, 1.0) if self.seconds else self.end


@frozen(kw_only=True, slots=False)
class _Bounded(Value):
    """A value between two others."""

    low: Amount = setting(0.0, "the lowest value")
    high: Amount = setting(1.0, "the highest value")

    def _check(self, is_bits: bool) -> None:
        if self.low > self.high:
            raise RequestError(f"low is {self.low:g}, which is more than high, {self.high:g}")


@frozen(kw_only=True, slots=False)
class Wave(_Bounded):
    """A value that oscillates between two others. A sine begins in the middle and rises, a square is high in the first
    half of its period, a saw and a triangle begin low.
    """

    shape: Shape = setting("sine", "its form: sine, square, saw or triangle")
    period: Period = setting(60.0, "from one crest to the next", unit="s")
    phase: Annotated[float, Between(0, 1)] = setting(0.0, "which part of a period it is ahead")

    def motion(self, random: Random) -> Motion:
        """See :meth:`Value.motion`."""
        form = _SHAPES[self.shape]
        return lambda now: self.low + (self.high - self.low) * form((now / self.period + self.phase) % 1.0)


@frozen(kw_only=True, slots=False)
class Count(Value):
    """A value that grows with time, and restarts from 0 beyond its type. After a write, it goes on from there."""

    rate: Amount = setting(1.0, "by how much it grows", unit="1/s")
    start: Amount = setting(0.0, "where it begins")
    reset_by: Address | None = setting(None, "a write to this holding register sets it to 0")

    def motion(self, random: Random) -> Motion:
        """See :meth:`Value.motion`."""
        return Counter(self.rate, self.start, is_whole=self.is_whole and not self.is_scaled)

    def _check(self, is_bits: bool) -> None:
        if is_bits:
            raise RequestError('a bit cannot count; kind = "wave" with shape = "square" makes it come and go')


@frozen(kw_only=True, slots=False)
class RandomWalk(_Bounded):
    """A value that makes a random step at regular intervals, between two bounds."""

    start: Amount | None = setting(None, "where it begins; not given: in the middle")
    step: Annotated[float, Between(0, 1e18)] = setting(0.1, "the longest step, up or down")
    every: Period = setting(1.0, "from one step to the next", unit="s")

    @property
    def first(self) -> float:
        """The first value."""
        return (self.low + self.high) / 2 if self.start is None else self.start

    def motion(self, random: Random) -> Motion:
        """See :meth:`Value.motion`."""
        return Walk(self.first, self.step, self.low, self.high, self.every, random)

    def _check(self, is_bits: bool) -> None:
        super()._check(is_bits)
        if not self.low <= self.first <= self.high:
            raise RequestError(
                f"start is {self.first:g}, which is not from low, {self.low:g}, to high, {self.high:g}"
            )


@frozen(kw_only=True, slots=False)
class Bits(Value):
    """One or several registers in which each bit is a separate value. Bits without a value are 0."""

    bits: Mapping[int, Value] = tables("true, false, or what moves, by number; 0 is the lowest bit")

    def motion(self, random: Random) -> Motion:
        """The motion of the number that the bits form."""
        motions = {bit: one.motion(Random(random.random())) for bit, one in self.bits.items()}
        return lambda now: sum((motion(now) >= 0.5) << bit for bit, motion in motions.items())

    def _check(self, is_bits: bool) -> None:
        if is_bits:
            raise RequestError("a bit has no bits of its own")
        if self.type[0] != "u" or self.is_scaled:
            raise RequestError("bits are those of u16, u32 or u64, without scale and offset")
        if self.bits and max(self.bits) >= 16 * self.width:
            raise RequestError(f"{self.type} has no bit {max(self.bits)}; write a longer type")
        for bit, one in self.bits.items():
            if one.size(is_bits=True) != 1:
                raise RequestError(f"bit {bit} is one value, and there are several")


VALUE_KINDS: Final[Mapping[str, type[Value]]] = {
    "constant": Constant, "ramp": Ramp, "wave": Wave, "counter": Count, "walk": RandomWalk, "bits": Bits,
}
"""The class of each ``kind``."""


def _bit(value: Any) -> int:
    if value not in (0, 1) or isinstance(value, float):
        raise RequestError(f"expected true or false, 1 or 0, or a list of them, got {value!r}")
    return int(value)


# -- how a document describes a value --------------------------------------------------------------------------------


class ValueReader(DocumentReader):
    """Reads values, and continues after a fault."""

    def value(self, data: Any, is_bits: bool, where: str) -> Value | None:
        """The value of a table that ``data`` describes; None after a fault.

        :param data: a constant, or a table with a ``kind``.
        :param is_bits: whether the table holds bits.
        """
        if not isinstance(data, Mapping):
            made: Value | None = Constant(value=data)
        else:
            made = self.kind(data, VALUE_KINDS, "constant", "kind of value", where, apart=("bits",))
            if isinstance(made, Bits):
                made = attrs.evolve(made, bits=self._bits(data, where))
            elif "bits" in data and made is not None:
                self.faults.append(f'{where}.bits: only kind = "bits" has them')
            unused = [key for key in _CODEC_KEYS if is_bits and key in data]
            self.faults.extend(f"{where}.{key}: a bit has no {key}; take it away" for key in unused)
        if made is not None and (fault := made.fault(is_bits)):
            self.faults.append(f"{where}: {fault}")
            return None
        return made

    def _bits(self, data: Mapping[str, Any], where: str) -> dict[int, Value]:
        made: dict[int, Value] = {}
        for key, one in self.tables(data, "bits", where):
            path = f"{where}.bits.{key}"
            bit = self.number(key, path, "the number of a bit", 0, _MOST_BITS - 1, made)
            value = self.value(one, True, path)
            if bit is not None and value is not None:
                made[bit] = value
        return made


def point_value(data: Any, codec: ValueCodec, where: str, faults: list[str]) -> Value | None:
    """The value of a point, in the point's own unit of measure; None after a fault. The value of a ``bool`` is a single
    bit, even if that bit is in a register.

    :param data: a value that the codec accepts, or a table with a ``kind``.
    :param where: the start of each fault's path.
    :param faults: the list to which faults are added.
    """
    before = len(faults)
    table = data if isinstance(data, Mapping) else {"value": data}
    faults += [f"{where}.{key}: the point itself says that; take it away" for key in _CODEC_KEYS if key in table]
    rest = {key: one for key, one in table.items() if key not in _CODEC_KEYS}
    kinds = {name: kind for name, kind in VALUE_KINDS.items() if name != "bits"}
    made = DocumentReader(faults).kind(rest, kinds, "constant", "kind of value", where)
    if made is None or len(faults) > before:
        return None
    try:
        return constant_of(made.value, codec) if isinstance(made, Constant) else _moving(made, codec)
    except RequestError as error:
        faults.append(f"{where}: {error}")
        return None


def constant_of(value: Any, codec: ValueCodec) -> Constant:
    """The entries of a constant value of a point.

    :raises RequestError: if the value does not fit.
    """
    if codec.type == "bits" and not isinstance(value, (list, tuple)):
        raise RequestError(f"expected a list of the names of the bits that are set, got {value!r}")
    whole = attrs.evolve(codec, bit=None, low=None, high=None)
    return Constant(value=list(whole.encode(value, [0] * whole.width)))


def _moving(value: Value, codec: ValueCodec) -> Value:
    if codec.type in ("string", "bits"):
        raise RequestError(f"the type {codec.type} does not move; write a value that stays")
    if codec.type != "bool":
        value = attrs.evolve(
            value, type=cast(Kind, codec.type), word_order=codec.word_order, byte_order=codec.byte_order,
            scale=codec.scale, offset=codec.offset,
        )
    if fault := value.fault(codec.type == "bool"):
        raise RequestError(fault)
    return value
