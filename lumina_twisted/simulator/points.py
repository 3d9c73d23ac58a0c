"""How a described value moves, floor 2: a value of a table, told in the value's own unit of measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import attrs

from lumina_twisted.document import DocumentReader
from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.registers import Kind
from lumina_twisted.modbus.values.codec import ValueCodec
from lumina_twisted.simulator.settings import VALUE_KINDS, Constant, Value
from lumina_twisted.simulator.values import value_fault

_KINDS: Final = {name: kind for name, kind in VALUE_KINDS.items() if name != "bits"}
_OF_THE_CODEC: Final = ("type", "word_order", "byte_order", "scale", "offset", "length", "encoding")


def point_value(data: Any, codec: ValueCodec, where: str, faults: list[str]) -> Value | None:
    """The value of a table that ``data`` describes; None after a fault. That of a ``bool`` is a single bit, also where
    it is one of a register.

    :param data: a value as the codec takes it, or a table with a ``kind``.
    :param where: begins the path of every fault.
    :param faults: takes what is wrong.
    """
    before = len(faults)
    table = data if isinstance(data, Mapping) else {"value": data}
    faults += [f"{where}.{key}: the point itself says that; take it away" for key in _OF_THE_CODEC if key in table]
    rest = {key: one for key, one in table.items() if key not in _OF_THE_CODEC}
    made = DocumentReader(faults).kind(rest, _KINDS, "constant", "kind of value", where)
    if made is None or len(faults) > before:
        return None
    try:
        return constant_of(made.value, codec) if isinstance(made, Constant) else _moving(made, codec)
    except RequestError as error:
        faults.append(f"{where}: {error}")
        return None


def constant_of(value: Any, codec: ValueCodec) -> Constant:
    """The entries of a value that stays.

    :raises RequestError: if it does not fit.
    """
    if codec.type == "bits" and not isinstance(value, (list, tuple)):
        raise RequestError(f"expected a list of the names of the bits that are set, got {value!r}")
    whole = attrs.evolve(codec, bit=None, low=None, high=None)
    return Constant(value=list(whole.encode(value, [0] * whole.width)))


def _moving(value: Value, codec: ValueCodec) -> Value:
    """
    :raises RequestError: if the codec cannot hold it.
    """
    if codec.type == "bool":
        made = value
    elif codec.type in ("string", "bits"):
        raise RequestError(f"the type {codec.type} does not move; write a value that stays")
    else:
        made = attrs.evolve(
            value, type=cast(Kind, codec.type), word_order=codec.word_order, byte_order=codec.byte_order,
            scale=codec.scale, offset=codec.offset,
        )
    if fault := value_fault(made, codec.type == "bool"):
        raise RequestError(fault)
    return made
