"""Which unit of a listener is which unit of which port, floor 4."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from attrs import frozen

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.functions import BROADCAST
from lumina_twisted.ports.interfaces import Port, Ports

NO_UNIT: Final = 255
"""What Modbus TCP clients send to a device that has no units behind it (Implementation Guide, section 4.4.1.2)."""
_UNITS: Final = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?")
_TARGET: Final = re.compile(r"(?P<port>.+?)(?:@(?P<first>\d{1,3})(?:-(?P<last>\d{1,3}))?)?")
_FORM: Final = 'expected units and a port, as "1-20" = "boiler", or "101-120" = "pv@1-20" where its units are others'


@frozen
class Route:
    """Units ``first`` to ``last`` of a listener are the units from ``to`` on of a port."""

    first: int
    last: int
    port: str
    to: int


class Target(NamedTuple):
    """Where the requests to one unit go."""

    port: Port
    unit: int


def parse_route(units: str, target: str) -> Route:
    """The route from ``"101-120"`` to ``"pv@1-20"``.

    :raises ValueError: with a sentence.
    """
    asked, there = _UNITS.fullmatch(units.strip()), _TARGET.fullmatch(target.strip())
    if asked is None or there is None:
        raise ValueError(_FORM)
    first, last = int(asked[1]), int(asked[2] or asked[1])
    to = int(there["first"] or first)
    end = int(there["last"] or to + last - first)
    if not (first <= last <= 255 and to <= end <= 255):
        raise ValueError(f"units are from 0 to 255, the lower one first, got {units!r} and {target!r}")
    if end - to != last - first:
        raise ValueError(f"{last - first + 1} units cannot be {end - to + 1} units of the port")
    return Route(first, last, there["port"], to)


def route_faults(routes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with a table of routes: the key and a sentence, each."""
    taken: dict[int, str] = {}
    for units, target in routes.items():
        try:
            route = parse_route(units, target)
        except ValueError as error:
            yield units, str(error)
            continue
        for unit in range(route.first, route.last + 1):
            if unit in taken:
                yield units, f"unit {unit} is in {taken[unit]!r} too; a unit has one route"
                break
            taken[unit] = units


def unit_0_fault(port: str) -> str:
    """Why no route leads to unit 0 of a port."""
    return (
        f"unit 0 of {port} is every device on it; begin at 1, `broadcast` says what 0 may do; only of a Modbus TCP port"
        ' with unit_0 = "device" it is one device'
    )


def targets(routes: Mapping[str, str], port: str, default_unit: int | None, ports: Ports) -> dict[int, Target]:
    """Where each unit's requests go; those of a unit that is not in it go nowhere.

    :param port: has all units if there are no routes; empty for the first one.
    :param default_unit: the unit of the listener that 0 and 255 mean, if they mean one.
    :raises RequestError: if a port is not there, or a route leads to its unit 0, which is no device.
    """
    whole = dict(_routed(routes, ports)) if routes else _all_of(ports.find(port) if port else next(iter(ports)))
    found = {unit: target for unit, target in whole.items() if routes or _is_meant(unit, target)}
    if default_unit is not None and default_unit in whole:
        found = {BROADCAST: whole[default_unit], NO_UNIT: whole[default_unit], **found}
    return found


def _is_meant(unit: int, target: Target) -> bool:
    """Whether a unit leads to a port that has all units."""
    return target.port.has_unit_0 if unit == BROADCAST else unit != NO_UNIT


def _all_of(port: Port) -> dict[int, Target]:
    return {unit: Target(port, unit) for unit in range(256)}


def _routed(routes: Mapping[str, str], ports: Ports) -> Iterator[tuple[int, Target]]:
    for units, target in routes.items():
        route = parse_route(units, target)
        there = ports.find(route.port)
        if route.to == BROADCAST and not there.has_unit_0:
            raise RequestError(unit_0_fault(there.name))
        for unit in range(route.first, route.last + 1):
            yield unit, Target(there, unit - route.first + route.to)
