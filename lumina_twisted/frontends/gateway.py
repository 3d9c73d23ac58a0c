"""The common part of the front-ends that speak Modbus, floor 4: it maps each unit of a listener to a unit of a port,
and chooses the exception when no device answers. Their clients see a gateway (Modbus Application Protocol V1.1b3,
section 7)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Final, Literal, NamedTuple

from attrs import Factory, field, frozen
from twisted.internet.defer import Deferred, fail, gatherResults

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.errors import (
    Expired,
    FrameError,
    GatewayPathUnavailable,
    IllegalFunction,
    ModbusException,
    NotAllowed,
    NotSent,
    Overloaded,
    QueueFull,
    RequestError,
    UnitOffline,
)
from lumina_twisted.frontends.listener import TurnOptions
from lumina_twisted.modbus.functions import (
    BROADCAST,
    EXCEPTION_FLAG,
    FUNCTIONS,
    MAX_PDU,
    UNKNOWN,
    function_of,
    is_read,
    request_length,
)
from lumina_twisted.ports.interfaces import Port, Ports
from lumina_twisted.schema import Between, setting

CANNOT_BE_FRAMED: Final = 0x03
BUSY: Final = 0x06
NO_PATH: Final = 0x0A
NO_REPLY: Final = 0x0B


@frozen(kw_only=True, slots=False)
class GatewayOptions(TurnOptions):
    """Which units a listener reaches, and how."""

    port: str = setting("", "name or path of the port that has all units; not given: the first one")
    routes: dict[str, str] = field(
        default=Factory(dict),
        metadata={
            "doc": 'instead of one port, ports by unit, as "1-20" = "boiler"; "101-120" = "pv@1-20" where the units of'
            " the port are others; what has no route is answered by exception 0A", "unit": "",
        },
    )
    default_unit: Annotated[int, Between(1, 255)] | None = setting(
        None, "which unit of this listener 0 and 255 mean; not given: they are answered by exception 0A"
    )
    broadcast: Literal["off", "on", "reply"] = setting(
        "off", "whether unit 0 is every device, for writes: off; on, without an answer; or reply, answered as if a"
        " device had confirmed it",
    )
    readonly: bool = setting(False, "answer what is no read by exception 01")

    def faults(self) -> Iterator[tuple[str, str]]:
        """The options that contradict each other: pairs of a key and a sentence."""
        for units, sentence in route_faults(self.routes):
            yield f"routes.{units}", sentence
        if self.port and self.routes:
            yield "port", "the routes say which ports there are; take one of the two away"

    def named_ports(self) -> Iterator[tuple[str, str]]:
        """The ports that these options name: pairs of a key and a name."""
        if self.port:
            yield "port", self.port
        for units, target in self.routes.items():
            with contextlib.suppress(ValueError):  # faults() reports it
                yield f"routes.{units}", parse_route(units, target).port

    def unit_0_routes(self) -> Iterator[tuple[str, str]]:
        """The ports to whose unit 0 a route leads: pairs of a key and a name."""
        for units, target in self.routes.items():
            with contextlib.suppress(ValueError):  # faults() reports it
                if (route := parse_route(units, target)).to == BROADCAST:
                    yield f"routes.{units}", route.port


class Gateway:
    """Forwards the requests of a front-end to the ports.

    :param timeout: seconds that a caller waits.
    """

    def __init__(self, options: GatewayOptions, timeout: float, ports: Ports) -> None:
        self._targets = targets(options.routes, options.port, options.default_unit, ports)
        self._every_port = list(dict.fromkeys(target.port for target in self._targets.values()))
        self._timeout = timeout
        self._terms = Terms(timeout, priority=options.priority, max_age=options.max_age)
        self._terms_of_broadcasts = Terms(timeout, priority=options.priority)
        self._readonly = options.readonly
        self._broadcast = options.broadcast

    def request(self, caller: Caller, unit: int, pdu: bytes) -> Deferred[bytes]:
        """Sends a request to a unit.

        :param caller: the client that sends the request.
        :return: a Deferred that ends as :meth:`lumina_twisted.ports.interfaces.Port.request` says. It also fails with
            :class:`~lumina_twisted.errors.FrameError` (no RTU frame can carry the request),
            :class:`~lumina_twisted.errors.GatewayPathUnavailable` (the unit has no route) or
            :class:`~lumina_twisted.errors.IllegalFunction` (the listener only reads). After a broadcast that is not
            confirmed it fires with empty bytes: the client gets no answer.
        """
        # The usual request is a read whose reply fits into a frame: it needs no further check.
        is_usual = len(pdu) == 5 and pdu[3] << 8 | pdu[4] <= _MOST_READ.get(pdu[0], -1)
        if not is_usual and (fault := _unframeable(pdu)):
            return fail(FrameError(fault, unit=unit, function_code=pdu[0]))
        if self._readonly and not is_usual and not is_read(pdu):
            return fail(IllegalFunction(unit=unit, function_code=pdu[0]))
        if unit == BROADCAST and self._broadcast != "off":
            return self._ask_everybody(caller, pdu)
        target = self._targets.get(unit)
        if target is None:
            return fail(GatewayPathUnavailable(unit=unit, function_code=pdu[0]))
        port, there = target
        return port.request(caller, there, pdu, self._terms)

    def is_full_for(self, caller: Caller, unit: int) -> bool:
        """Whether a client should wait with a request to that unit; see
        :meth:`lumina_twisted.ports.interfaces.Port.is_full_for`."""
        if unit == BROADCAST and self._broadcast != "off":
            return any(port.is_full_for(caller, self._timeout) for port in self._every_port)
        target = self._targets.get(unit)
        return target is not None and target.port.is_full_for(caller, self._timeout)

    def _ask_everybody(self, caller: Caller, pdu: bytes) -> Deferred[bytes]:
        if is_read(pdu):
            return fail(GatewayPathUnavailable(unit=BROADCAST, function_code=pdu[0]))
        sent = [self._send_to_all(port, caller, pdu) for port in self._every_port]
        return gatherResults(sent, consumeErrors=True).addCallbacks(
            lambda _: self._confirmation(pdu), lambda failure: failure.value.subFailure
        )

    def _send_to_all(self, port: Port, caller: Caller, pdu: bytes) -> Deferred[bytes]:
        return port.request(caller, BROADCAST, pdu, self._terms_of_broadcasts)

    def _confirmation(self, pdu: bytes) -> bytes:
        function = function_of(pdu)
        length = function.echo_length if function else 0
        if self._broadcast == "on" or not length:
            return b""
        return pdu[:length]


def exception_code(error: BaseException | None) -> int:
    """The exception code for a request that failed. Code 0B leaves the outcome of a write open, so a write that was not
    sent gets another code."""
    if isinstance(error, ModbusException):
        return error.code
    if isinstance(error, QueueFull | Overloaded | Expired):
        return BUSY  # the request was not sent, and may be repeated
    if isinstance(error, UnitOffline) and is_read(error.frame):
        return NO_REPLY
    if isinstance(error, NotAllowed):
        return IllegalFunction.code
    if isinstance(error, NotSent):
        return NO_PATH
    if isinstance(error, RequestError | FrameError):
        return CANNOT_BE_FRAMED
    return NO_REPLY


def exception_pdu(function_code: int, error: BaseException | None) -> bytes:
    """The PDU of the exception response."""
    return bytes((function_code | EXCEPTION_FLAG, exception_code(error)))


_MOST_READ: Final = {code: row.most for code, row in FUNCTIONS.items() if row.range_of}
"""The highest number of table entries that a request may read, by function code."""


@lru_cache(maxsize=1024)  # clients repeat the same requests
def _unframeable(pdu: bytes) -> str:
    """Why no RTU frame can carry the request, or its reply; empty if one can."""
    code = pdu[0]
    if code & EXCEPTION_FLAG or not code:
        return f"{code} is no function code"
    length = request_length(pdu)
    if length not in (UNKNOWN, len(pdu)):
        return f"a request of function {code} does not have {len(pdu)} bytes"
    function = function_of(pdu)
    if function and function.accesses and function.byte_count and 2 + function.byte_count(pdu) > MAX_PDU:
        return f"the reply to this function {code} would be longer than a frame"
    return ""


NO_UNIT: Final = 255
"""The unit identifier that Modbus TCP clients send to a device without units behind it (Implementation Guide, section
4.4.1.2)."""
_UNITS: Final = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?")
_TARGET: Final = re.compile(r"(?P<port>.+?)(?:@(?P<first>\d{1,3})(?:-(?P<last>\d{1,3}))?)?")
_FORM: Final = 'expected units and a port, as "1-20" = "boiler", or "101-120" = "pv@1-20" where its units are others'


@frozen
class Route:
    """Maps the units ``first`` to ``last`` of a listener to the units of a port that begin at ``to``."""

    first: int
    last: int
    port: str
    to: int


class Target(NamedTuple):
    """The port and the unit to which the requests to one unit of a listener go."""

    port: Port
    unit: int


def parse_route(units: str, target: str) -> Route:
    """The route from ``"101-120"`` to ``"pv@1-20"``.

    :raises ValueError: if the route is invalid; the message is a sentence for a person.
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
    """The faults of a table of routes: pairs of a key and a sentence."""
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
    """A sentence that says why no route may lead to unit 0 of a port."""
    return (
        f"unit 0 of {port} is every device on it; begin at 1, `broadcast` says what 0 may do; only of a Modbus TCP port"
        ' with unit_0 = "device" it is one device'
    )


def targets(routes: Mapping[str, str], port: str, default_unit: int | None, ports: Ports) -> dict[int, Target]:
    """The target of each unit of a listener. A unit that is not in it has no target.

    :param port: the port that has all units if there are no routes; empty for the first port.
    :param default_unit: the unit of the listener that 0 and 255 stand for; None if they stand for no other unit.
    :raises RequestError: if a port does not exist, or a route leads to a unit 0 that is no device.
    """
    whole = dict(_routed(routes, ports)) if routes else _all_of(ports.find(port) if port else next(iter(ports)))
    found = {unit: target for unit, target in whole.items() if routes or _is_meant(unit, target)}
    if default_unit is not None and default_unit in whole:
        found = {BROADCAST: whole[default_unit], NO_UNIT: whole[default_unit], **found}
    return found


def _is_meant(unit: int, target: Target) -> bool:
    """Whether a unit has a target when one port has all units."""
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
