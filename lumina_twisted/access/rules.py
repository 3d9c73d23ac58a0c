"""Which requests a bus permits, floor 1: the rules of the mission's ``CommandValidator`` (M14).

A rule is a text:

* ``read UNITS [TABLE [ADDRESSES]]``, ``write UNITS [TABLE [ADDRESSES [VALUES]]]``, ``any UNITS [TABLE [ADDRESSES]]``;
* ``function CODES UNITS``: every request with one of these function codes, whatever the function does.

A table is ``coil``, ``discrete``, ``holding`` or ``input``. All other parts are numbers: ``7``, ``0-99``, ``0-7,16``.
``*`` stands for all, and a part that is left out also means all. Without a table and addresses, ``read`` covers every
function that does not change the device. ``write`` then covers every other function, including unknown ones.

If there are ``allow`` rules, one of them must cover each entry that a request touches. A request is denied if a
``deny`` rule covers any entry that it touches. A broadcast reaches every unit: a write that is denied for one unit is
also denied as a broadcast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from attrs import frozen

from lumina_twisted.errors import FrameError, RequestError
from lumina_twisted.modbus.access import ADDRESSES, TABLES, Access, Table
from lumina_twisted.modbus.functions import BROADCAST, accesses, is_read

Spans = tuple[tuple[int, int], ...]
"""Sets of numbers as half-open ranges (first, last + 1), in ascending order; no range touches the next."""

_ALL: Final[Spans] = ((0, ADDRESSES),)
_BYTES: Final = 255
_REMEMBERED: Final = 1024
"""Reads whose verdict is cached: programs repeat the same reads."""
_EXAMPLES: Final = {
    "read": "read * holding 0-99", "write": "write 2 coil 0-7,16", "any": "any 1-20", "function": "function 43 *",
}
_NAMES: Final = {
    "coil": "coil", "discrete": "discrete input", "holding": "holding register", "input": "input register",
}


@frozen
class Rule:
    """One rule, as :func:`parse_rule` makes it.

    :param codes: the function codes that it covers; None for a rule on reads or writes.
    :param reads: whether it covers reads; ``writes`` likewise for writes.
    :param table: the table that it covers; None for all.
    :param values: the values written to an entry that it covers; None for all.
    """

    text: str
    units: frozenset[int]
    codes: frozenset[int] | None = None
    reads: bool = True
    writes: bool = True
    table: Table | None = None
    addresses: Spans = _ALL
    values: Spans | None = None

    def concerns(self, code: int, access: Access) -> bool:
        """Whether the rule covers this kind of access by the function ``code``."""
        if self.codes is not None:
            return code in self.codes
        if not (self.writes if access.writes else self.reads):
            return False
        if access.table is None:
            return self.table is None and self.addresses is _ALL and self.values is None
        return self.table is None or self.table == access.table

    def reach(self, access: Access, at: int) -> int:
        """The end of the range of an access that the rule covers from the address ``at`` on; ``at`` itself if the rule
        does not cover that address."""
        end = min(next((end for first, end in self.addresses if first <= at < end), at), access.end)
        if self.values is None:
            return end
        while at < end and access.values is not None and _is_in(self.values, access.values[at - access.first]):
            at += 1
        return at

    def first_covered(self, access: Access) -> int | None:
        """The first address of an access that the rule covers, or may cover if the written values are unknown."""
        for first, end in self.addresses:
            for at in range(max(first, access.first), min(end, access.end)):
                if self.values is None or access.values is None:
                    return at
                if _is_in(self.values, access.values[at - access.first]):
                    return at
        return None


class Rules:
    """The rules of one port.

    :param broadcasts: whether unit 0 is the broadcast address; if not, it is a unit like any other.
    :raises RequestError: if a text is no rule, with a sentence that says what to write.
    """

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = (), broadcasts: bool = True) -> None:
        self.allow = tuple(map(parse_rule, allow))
        self.deny = tuple(map(parse_rule, deny))
        self._broadcasts = broadcasts
        self._judge_again = lru_cache(_REMEMBERED)(self._judge)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.allow or self.deny)

    def fault(self, unit: int, pdu: bytes) -> str:
        """Why a request may not be sent, as the end of a sentence; empty if it may be sent.

        :param pdu: the request's PDU, at least one byte long.
        """
        return self._judge_again(unit, pdu) if is_read(pdu) else self._judge(unit, pdu)

    def _judge(self, unit: int, pdu: bytes) -> str:
        if not self:
            return ""
        try:
            touched = accesses(pdu)
        except FrameError as error:
            return f"no rule can judge what contradicts itself; {error}"
        for access in touched:
            if fault := self._denied(unit, pdu[0], access) or self._not_allowed(unit, pdu[0], access):
                return fault
        return ""

    def _denied(self, unit: int, code: int, access: Access) -> str:
        for rule in self.deny:
            reaches = unit in rule.units or (unit == BROADCAST and self._broadcasts)
            if reaches and rule.concerns(code, access) and (at := rule.first_covered(access)) is not None:
                shown = access if rule.codes is None else Access(access.writes, None)
                return f"{self._told(unit, code, shown, at)} is denied by the rule {rule.text!r}"
        return ""

    def _not_allowed(self, unit: int, code: int, access: Access) -> str:
        if not self.allow:
            return ""
        rules = [rule for rule in self.allow if unit in rule.units and rule.concerns(code, access)]
        at = access.first
        while at < access.end:
            reached = max((rule.reach(access, at) for rule in rules), default=at)
            if reached == at:
                return f"{self._told(unit, code, access, at)} is in none of the rules that allow something"
            at = reached
        return ""

    def _told(self, unit: int, code: int, access: Access, at: int) -> str:
        """A description of the access, as the beginning of a sentence."""
        whom = "every unit" if unit == BROADCAST and self._broadcasts else f"unit {unit}"
        if access.table is None:
            return f"function {code} to {whom}"
        entry = f"{_NAMES[access.table]} {at} of {whom}"
        if not access.writes:
            return f"reading {entry}"
        return f"setting {entry}" + ("" if access.values is None else f" to {access.values[at - access.first]}")


def _is_in(spans: Spans, number: int) -> bool:
    for first, end in spans:  # noqa: SIM110 - takes half the time of any()
        if first <= number < end:
            return True
    return False


# -- from text -----------------------------------------------------------------------------------------------------


def parse_rule(text: str) -> Rule:
    """Parses the text of a rule.

    :raises RequestError: if the text is no rule, with a sentence that says what to write.
    """
    words = text.lower().split() if isinstance(text, str) else []
    try:
        if not words or words[0] not in _EXAMPLES:
            raise ValueError(f"it begins with one of {', '.join(_EXAMPLES)}")
        if words[0] == "function":
            return _function_rule(text, words[1:])
        return _table_rule(text, words[0], words[1:])
    except ValueError as error:
        example = _EXAMPLES[words[0] if words and words[0] in _EXAMPLES else "read"]
        raise RequestError(f"{text!r} is no rule: {error}; write for example {example!r}") from None


def rule_faults(texts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The faults of those texts that are no rules: pairs of an index from 0 on and a sentence."""
    for number, text in enumerate(texts):
        try:
            parse_rule(text)
        except RequestError as error:
            yield number, str(error)


def _function_rule(text: str, words: list[str]) -> Rule:
    if len(words) != 2:
        raise ValueError("after function come its codes and the units, and nothing else")
    return Rule(text, _numbers(words[1], "unit", _BYTES), _numbers(words[0], "function code", _BYTES))


def _table_rule(text: str, word: str, words: list[str]) -> Rule:
    if not words:
        raise ValueError("the units are missing, * for all")
    most = 4 if word == "write" else 3
    if len(words) > most:
        raise ValueError(f"{words[most]!r} is one word too many" + ("" if most == 4 else ", only a write has values"))
    units, table, addresses, values = (*words, "*", "*", "*")[:4]
    numbers = _numbers(units, "unit", _BYTES)
    if table not in ("*", *TABLES):
        raise ValueError(f"there is no table {table!r}, but {', '.join(TABLES)} and * for all")
    if word == "write" and table in ("discrete", "input"):
        raise ValueError(f"nobody can write {_NAMES[table]}s")
    highest = 1 if table == "coil" else ADDRESSES - 1
    return Rule(
        text, numbers, None, word != "write", word != "read",
        next((one for one in TABLES if one == table), None), _spans(addresses, "address", ADDRESSES - 1),
        None if values == "*" else _spans(values, "value", highest),
    )


def _numbers(text: str, what: str, highest: int) -> frozenset[int]:
    if text == "*":
        return frozenset(range(highest + 1))
    return frozenset(number for first, end in _spans(text, what, highest) for number in range(first, end))


def _spans(text: str, what: str, highest: int) -> Spans:
    """Parses a set of numbers, such as ``0-7,16``."""
    if text == "*":
        return _ALL
    spans: list[tuple[int, int]] = []
    for first, end in sorted(_span(part, what, highest) for part in text.split(",")):
        if spans and first <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((first, end))
    return tuple(spans)


def _span(part: str, what: str, highest: int) -> tuple[int, int]:
    first, dash, last = part.partition("-")
    numbers = (first, last) if dash else (first, first)
    if not all(one.isascii() and one.isdecimal() and int(one) <= highest for one in numbers):
        raise ValueError(f"{part!r} is no {what}, which is a number from 0 to {highest}, or two of them as 0-{highest}")
    if int(numbers[0]) > int(numbers[1]):
        raise ValueError(f"{part!r} ends before it begins")
    return int(numbers[0]), int(numbers[1]) + 1
