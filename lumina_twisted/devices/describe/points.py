"""Reads a point from plain data, as a TOML file holds it, floor 3.

The address of a point is a number or a text. A number counts from 0, as on the wire. A text is a number of the data
model, which counts from 1 and puts the table first (Modbus Application Protocol V1.1b3, section 4.4): 40001, 400001 and
4x0001 are the first holding register, 0 on the wire. The reader never guesses which of the two is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lumina_twisted.devices.describe.description import BIT_TABLES, WRITABLE_TABLES, Point
from lumina_twisted.devices.describe.settings import SHORTEST_POLL, PointSettings, ProfileSettings, take_over
from lumina_twisted.document import DocumentReader
from lumina_twisted.modbus.access import Table
from lumina_twisted.modbus.values.codec import ValueCodec

NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
"""The name of a point, a device or a profile. The name of a value is DEVICE.POINT."""
LAST_ADDRESS: Final = 0xFFFF
ENTRY_OF: Final[dict[Table, str]] = {
    "coil": "a coil", "discrete": "a discrete input", "holding": "a holding register", "input": "an input register",
}
"""The name of an entry of each table."""
_TABLES: Final[dict[str, Table]] = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_TEXT: Final = re.compile(r"([0134])([0-9]{4,5})|([134])x([0-9]{1,5})")
_FORM: Final = 'or one of the data model in quotes, as "40001", "400001" or "4x0001"'
_NUMBER: Final = re.compile("[0-9]+")
_WHOLE: Final = re.compile(r"-?[0-9]{1,20}|0x[0-9a-fA-F]{1,16}")


class PointReader(DocumentReader):
    """Reads points, and the keys that devices and profiles share with them."""

    def check_name(self, name: str, where: str, what: str) -> None:
        """Adds a fault if ``name`` cannot be part of the name of a value."""
        if not NAME.fullmatch(name):
            self.faults.append(f"{where}: the name of {what} has letters from a to z, digits, '_' and '-' only")

    def check_poll(self, poll: float | None, where: str) -> None:
        """Adds a fault if the interval is too short for any bus."""
        if poll is not None and 0 < poll < SHORTEST_POLL:
            self.faults.append(
                f"{where}.poll: expected {SHORTEST_POLL} and more, or 0 for only when somebody asks; got {poll:g}"
            )

    def point(self, name: str, data: Any, defaults: ProfileSettings, where: str) -> Point | None:
        """The point that ``data`` describes; None after a fault.

        :param defaults: has the word order, the byte order and the interval for points that give none.
        """
        before = len(self.faults)
        self.check_name(name, where, "a point")
        turned = [key for key in ("enum", "bits") if self._is_turned_round(data, key, where)]
        made = self.structured(data, PointSettings, where, turned)
        place = self._place(data, where)
        if made is None:
            return None
        self.check_poll(made.poll, where)
        bits = self._words(made.bits, f"{where}.bits", 0, 16 * (made.length or 1) - 1)
        enum = self._words(made.enum, f"{where}.enum", -(2**63), 2**64 - 1)
        if place is None:
            return None
        table, address = place
        codec = take_over(
            ValueCodec, made, type=made.type or ("bool" if table in BIT_TABLES else "u16"), bits=bits, enum=enum,
            word_order=made.word_order or defaults.word_order, byte_order=made.byte_order or defaults.byte_order,
        )
        poll = defaults.poll if made.poll is None else made.poll
        point = take_over(Point, made, name=name, table=table, address=address, codec=codec, poll=poll)
        self.faults += [f"{where}.{key}: {sentence}" for key, sentence in _faults(point)]
        if made.simulate is not None and not any(codec.faults()):
            from lumina_twisted.simulator.values import point_value  # imported late: few programs need it

            point_value(made.simulate, codec, f"{where}.simulate", self.faults)
        return point if len(self.faults) == before else None

    def _place(self, data: Any, where: str) -> tuple[Table, int] | None:
        """The table and the address of a point, even if other keys have faults; None after a fault of its own."""
        if not isinstance(data, Mapping) or "address" not in data:
            return None  # already reported as a fault of the settings
        address, table = data["address"], data.get("table")
        if table is not None and table not in tuple(ENTRY_OF):
            table = None if isinstance(address, str) else "holding"  # already a fault; any table will do
        try:
            return _from_text(address, table) if isinstance(address, str) else _from_number(address, table)
        except ValueError as error:
            self.faults.append(f"{where}.address: {error}")
            return None

    def _is_turned_round(self, data: Any, key: str, where: str) -> bool:
        """Whether the labels stand before their numbers, or have no numbers. If so, adds a fault."""
        given = data.get(key) if isinstance(data, Mapping) else None
        if isinstance(given, Mapping):
            meant = {
                number: word for word, number in given.items() if type(number) is int and not _WHOLE.match(word)
            }
        else:
            words = given if isinstance(given, list) and all(isinstance(one, str) for one in given) else []
            meant = dict(enumerate(words))
        if meant:
            shown = ", ".join(f'{number} = "{word}"' for number, word in list(meant.items())[:4])
            self.faults.append(f"{where}.{key}: each word has its number before it; write {{ {shown} }}")
        return bool(meant)

    def _words(self, given: Mapping[str, str], where: str, lowest: int, highest: int) -> dict[int, str]:
        """Texts by number."""
        made: dict[int, str] = {}
        for key, word in given.items():
            path = f"{where}.{key}"
            number = int(key, 0 if key.startswith("0x") else 10) if _WHOLE.fullmatch(key) else None
            if number is None or not lowest <= number <= highest:
                self.faults.append(f"{path}: expected a number from {lowest} to {highest} as the key, got {key!r}")
            elif number in made:
                self.faults.append(f"{path}: {number} stands there already, written in another way")
            else:
                made[number] = word
        return made


def _from_number(address: object, table: Table | None) -> tuple[Table, int]:
    """
    :param table: the table that the description gives beside the address, or None.
    :raises ValueError: with a sentence that says what to write.
    """
    if type(address) is not int:
        raise ValueError(f"expected a number that counts from 0, {_FORM}; got {address!r}")
    if not 0 <= address <= LAST_ADDRESS:
        meant = f'; if the data model\'s number is meant, write it in quotes: "{address}"' if address > 0 else ""
        raise ValueError(f"expected a number from 0 to {LAST_ADDRESS}, got {address}{meant}")
    if table is None:
        *others, last = (f'"{one}"' for one in ENTRY_OF)
        is_like_one = _TEXT.fullmatch(str(address))
        meant = f'; if it is the data model\'s, write it in quotes: "{address}"' if is_like_one else ""
        raise ValueError(
            f"a number does not say which table it counts in; add table = {', '.join(others)} or {last}{meant}"
        )
    return table, address


def _from_text(text: str, table: Table | None) -> tuple[Table, int]:
    """Like :func:`_from_number`, for a number of the data model."""
    if re.fullmatch("0x[0-9a-fA-F]+", text):
        raise ValueError(f"{text!r} is no number of the data model; if it counts from 0, take the quotes away: {text}")
    if not (found := _TEXT.fullmatch(text)):
        hint = f"; if it counts from 0, take the quotes away: {int(text)}" if _NUMBER.fullmatch(text) else ""
        raise ValueError(f"expected a number that counts from 0, {_FORM}; got {text!r}{hint}")
    own, number = _TABLES[found[1] or found[3]], int(found[2] or found[4])
    if not 1 <= number <= LAST_ADDRESS + 1:
        raise ValueError(f"the data model counts from 1 to 65536 in each table, and {text!r} is number {number}")
    if table not in (None, own):
        raise ValueError(f'{text!r} is {ENTRY_OF[own]}, and table says "{table}"; take one of the two away')
    return own, number - 1


def _faults(point: Point) -> Iterator[tuple[str, str]]:
    """The keys that cannot be used together: pairs of a key and a sentence."""
    codec, entry = point.codec, ENTRY_OF[point.table]
    of_type = dict(_faults_of_type(point))
    yield from of_type.items()
    yield from (fault for fault in codec.faults() if fault[0] not in of_type)
    if point.end > LAST_ADDRESS + 1:
        yield "address", f"{codec.type} takes {codec.width} registers, and the last one is {LAST_ADDRESS}"
    if point.writable and point.table not in WRITABLE_TABLES:
        meant = ENTRY_OF["coil" if point.is_bit else "holding"]
        yield "writable", f"{entry} cannot be written; take it away, or is it {meant}?"
    if point.write == "single" and codec.width > 1:
        yield "write", f'"single" sets one register, and {codec.type} takes {codec.width} here; write "multiple"'
    if point.tolerance and (codec.type in ("string", "bits", "bool") or codec.enum):
        what = "a value that has words" if codec.enum else f"the type {codec.type}"
        yield "tolerance", f"{what} is taken or not, and is no number that may be near; take it away"
    if point.dead_band and codec.type in ("string", "bits", "bool"):
        yield "dead_band", f"the type {codec.type} is no number, and every change counts; take it away"


def _faults_of_type(point: Point) -> Iterator[tuple[str, str]]:
    codec, entry = point.codec, ENTRY_OF[point.table]
    if point.is_bit:
        if codec.type != "bool":
            yield "type", f'{entry} is one bit, and so its type is "bool"; take {codec.type!r} away'
        elif codec.bit is not None:
            yield "bit", f"{entry} is one bit; take it away"
    elif codec.type == "bool" and codec.bit is None:
        yield "bit", f"{entry} has 16 bits; say which one it is, as bit = 0 for the lowest"
    elif codec.bit is not None and codec.type != "bool":
        yield "bit", f'a single bit is a "bool", and the type is {codec.type!r}; write type = "bool", or take it away'
