"""Where a point lies, floor 3: a number counts from 0, as on the wire; a text is a number of the data model.

The data model counts from 1 and puts the table first (Modbus Application Protocol V1.1b3, section 4.4): 40001, 400001
and 4x0001 are the first holding register, 0 on the wire. Which of the two counts is meant is never guessed.
"""

from __future__ import annotations

import re
from typing import Final

from lumina_twisted.modbus.access import Table

LAST_ADDRESS: Final = 0xFFFF
ENTRY_OF: Final[dict[Table, str]] = {
    "coil": "a coil", "discrete": "a discrete input", "holding": "a holding register", "input": "an input register",
}
"""What an entry of each table is called."""

_TABLES: Final[dict[str, Table]] = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_TEXT: Final = re.compile(r"([0134])([0-9]{4,5})|([134])x([0-9]{1,5})")
_FORM: Final = 'or one of the data model in quotes, as "40001", "400001" or "4x0001"'
_NUMBER: Final = re.compile("[0-9]+")


def place_of(address: object, table: Table | None) -> tuple[Table, int]:
    """The table of a point and its address from 0.

    :param address: as a file has it.
    :param table: the one that is said beside it, which a number needs.
    :raises ValueError: with a sentence that says what to write.
    """
    if isinstance(address, str):
        return _from_text(address, table)
    if type(address) is not int:
        raise ValueError(f"expected a number that counts from 0, {_FORM}; got {address!r}")
    if not 0 <= address <= LAST_ADDRESS:
        meant = f'; if the data model\'s number is meant, write it in quotes: "{address}"' if address > 0 else ""
        raise ValueError(f"expected a number from 0 to {LAST_ADDRESS}, got {address}{meant}")
    if table is None:
        is_like_one = _TEXT.fullmatch(str(address))
        meant = f'; if it is the data model\'s, write it in quotes: "{address}"' if is_like_one else ""
        raise ValueError(f"a number does not say which table it counts in; add table = {_choice()}{meant}")
    return table, address


def _from_text(text: str, table: Table | None) -> tuple[Table, int]:
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


def _choice() -> str:
    *others, last = (f'"{one}"' for one in ENTRY_OF)
    return f"{', '.join(others)} or {last}"
