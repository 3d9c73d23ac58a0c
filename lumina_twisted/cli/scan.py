"""``lumina scan``: which units answer, and with which settings, floor 5.

It is polite to a bus in use: one request at a time, no retries, and whenever others used the bus since the last one, a
pause as long as that one took, so that half of the bus at most is its own.

One try is not the truth. A request may be lost, and a reply may come damaged. So an address that stays silent is asked
once more when all others have been asked. One from which something came is asked again at once, until it is clear how
many of its replies are damaged.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from asyncio import sleep
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any, Final, NamedTuple

from lumina_twisted.bus.failures import REMEDY
from lumina_twisted.cli import ports, stats
from lumina_twisted.cli.arguments import (
    EXIT_OK,
    EXIT_REFUSED,
    UsageError,
    add_request_options,
    checked,
    chosen,
    decimal,
)
from lumina_twisted.cli.connection import text_command
from lumina_twisted.cli.output import Output, Progress, progress
from lumina_twisted.cli.registers import add_port, check_port
from lumina_twisted.client.aio import LuminaModbusClient, ModbusTcpClient, Unit
from lumina_twisted.errors import (
    Expired,
    GatewayPathUnavailable,
    GatewayTargetDeviceFailedToRespond,
    LuminaError,
    ModbusError,
    ModbusException,
    NotConnected,
    NotSent,
    Overloaded,
    QueueFull,
    ResponseTimeout,
    UnitOffline,
)
from lumina_twisted.modbus import pdu
from lumina_twisted.statistics.counters import HEARD, Fault, damage_in
from lumina_twisted.text import counted

EXAMPLES: Final = """\
  lumina scan demo1                                units 1 to 247, with the port's own settings
  lumina scan demo1 --units 1-10,17
  lumina scan /dev/ttyUSB0 --units 1-5 --baudrates 9600,19200,38400 --parities N,E
"""
PATIENCE: Final = 10.0
"""Seconds for one answer, turns of others included."""
LONGEST_PAUSE: Final = 1.0
MOST_TOLD: Final = 8
ATTEMPTS: Final = 5
"""How often a unit is asked for which the bus had no time."""
INTRODUCTIONS: Final = 3
SAMPLE: Final = 20
"""Requests by which the damaged replies of a unit are counted, once there was one."""
NOISE_TRIES: Final = 4
"""Requests to an address from which nothing came that begins as a reply does."""
SILENCE: Final = (ResponseTimeout, UnitOffline, GatewayPathUnavailable, GatewayTargetDeviceFailedToRespond)
"""What says that there is no such unit: nobody answered, or has answered others of late; the latter two come from a
gateway, not from the unit."""
QUESTIONS: Final[dict[int, pdu.Request]] = {
    1: pdu.ReadCoilsRequest(0, 1), 2: pdu.ReadDiscreteInputsRequest(0, 1), 3: pdu.ReadHoldingRegistersRequest(0, 1),
    4: pdu.ReadInputRegistersRequest(0, 1), 7: pdu.ReadExceptionStatusRequest(), 17: pdu.ReportServerIdRequest(),
    43: pdu.ReadDeviceIdentificationRequest(1, 0),
}


class Way(NamedTuple):
    """One way to ask; None for the port's own."""

    baudrate: int | None
    parity: str | None

    def __str__(self) -> str:
        return " ".join(str(one) for one in self if one)


def units(text: str) -> tuple[int, ...]:
    """Units of a list such as ``1-10,17``.

    :raises ValueError: if it is none.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part.strip())
        if match is None:
            raise ValueError
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= 255:
            raise ValueError
        found.update(dict.fromkeys(range(first, last + 1)))
    return tuple(found)


def _numbers(text: str) -> tuple[int, ...]:
    values = tuple(decimal(one.strip()) for one in text.split(","))
    if not all(0 < one <= 10_000_000 for one in values):
        raise ValueError
    return values


def _parities(text: str) -> tuple[str, ...]:
    values = tuple(one.strip().upper() for one in text.split(","))
    if not set(values) <= set("NEOMS"):
        raise ValueError
    return values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    add_port(parser, bool)  # no other word can stand there
    parser.add_argument(
        "--units", type=checked(units, "no list of units; write as 1-10,17, from 1 to 255"),
        default=tuple(range(1, 248)), metavar="LIST", help="which to ask (1-247)",
    )
    parser.add_argument(
        "--baudrates", type=checked(_numbers, "no list of baud rates; write as 9600,19200"), default=(None,),
        metavar="LIST", help="speeds to try (the port's own)",
    )
    parser.add_argument(
        "--parities", type=checked(_parities, "no list of parities; write as N,E,O"), default=(None,), metavar="LIST",
        help="parities to try (the port's own)",
    )
    parser.add_argument(
        "--function", **chosen(tuple(QUESTIONS), "function that only asks", int), default=3, metavar="CODE",
        help="what to ask: 1 to 4 read one entry, 7, 17, 43 (3); an exception counts as an answer",
    )
    add_request_options(parser, PATIENCE)


class Heard:
    """What came from one unit.

    :param number: of the unit.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked = 0
        self.answer = ""
        """How it answers, if a good reply came."""
        self.damaged: Counter[Fault] = Counter()
        self.silent = 0
        """Requests without any reply."""
        self.introduced = 0
        """How often it was asked what it is."""

    @property
    def is_there(self) -> bool:
        """Whether a reply began at least; other bytes may be noise."""
        return bool(self.answer) or any(self.damaged[kind] for kind in (Fault.WRONG_CRC, Fault.CUT))

    @property
    def is_clear(self) -> bool:
        """Whether there is no need to ask it again now."""
        if not self.damaged and (not self.answer or not self.silent):
            return True
        return self.asked >= (SAMPLE if self.is_there else NOISE_TRIES)

    def __str__(self) -> str:
        kinds = [kind for kind in HEARD if self.damaged[kind]]
        told = [f"{self.damaged[kind]} of {self.asked} replies {HEARD[kind]}" for kind in kinds]
        if self.silent:
            told.append(f"{self.silent} of {self.asked} requests without any reply")
        if not self.damaged:
            return ", but ".join((self.answer, *told))
        return f"{self.answer or 'there'}, but damaged: {', '.join(told)}"


class Scan:
    """One scan.

    :param bar: is told how far it is.
    """

    def __init__(
        self, options: Any, client: LuminaModbusClient | ModbusTcpClient, output: Output, bar: Progress
    ) -> None:
        self.found: dict[int, Heard] = {}
        self.noise: list[int] = []
        """Units from which something came that is no reply."""
        self._options = options
        self._client = client
        self._output = output
        self._bar = bar
        self._name = options.port
        self._clock = asyncio.get_running_loop().time
        self._requests = 0  # of ours
        self._foreign = 0  # of others, as far as we know
        self._live: set[Way] = set()  # in which something was heard
        self._heard: dict[tuple[Way, int], Heard] = {}

    async def run(self) -> None:
        """Asks one unit after the other; what answered once is not asked in other ways.

        :raises LuminaError: if there is no port, no server, or no room on the bus.
        """
        if isinstance(self._client, LuminaModbusClient):
            for line in await text_command(self._client, "ports", self._options.timeout):
                if (port := ports.parsed(line)) and port.path == self._options.port:
                    self._name = port.name
        self._foreign = await self._others() or 0
        ways = [way for way in self._ways() if await self._ask_all(way)]
        live = [way for way in ways if way in self._live]
        for way in live or ways:  # where something was heard it is worth while, or else everywhere
            await self._ask_all(way)

    async def _ask_all(self, way: Way) -> bool:
        """Asks all units that have not been found; whether they can be asked that way."""
        for number in self._options.units:
            if number not in self.found and not await self._ask(way, number):
                return False
            self._bar.step(" ".join(filter(None, (self._options.port, str(way), f"unit {number}"))))
        return True

    def _ways(self) -> Iterator[Way]:
        for one in product(self._options.baudrates, self._options.parities):
            yield Way(*one)

    async def _ask(self, way: Way, number: int) -> bool:
        """Whether others can be asked that way."""
        unit, heard = self._unit(way, number), self._heard.setdefault((way, number), Heard(number))
        try:
            await self._hear(unit, heard)
            identity = await self._identity(unit, heard) if heard.answer else ""
            while not heard.is_clear:
                await self._hear(unit, heard)
                if heard.answer and not identity:
                    identity = await self._identity(unit, heard)
        except NotSent as error:
            if type(error) is not NotSent:
                raise
            self._output.note(f"{way}: {error}")  # the adapter does not take these settings
            return False
        if heard.answer or heard.damaged:
            self._live.add(way)
        if heard.is_there:
            self.found[number] = heard
            self._tell(way, heard, identity)
            self.noise = [one for one in self.noise if one != number]
        elif heard.damaged and number not in self.noise:
            self.noise.append(number)
        return True

    async def _hear(self, unit: Unit, heard: Heard) -> None:
        """Asks a unit once."""
        began = self._clock()
        heard.asked += 1
        try:
            heard.answer = await self._answer(unit)
        except SILENCE as error:
            self._note_damage(error, heard)
        await self._make_room(self._clock() - began)

    @staticmethod
    def _note_damage(error: ModbusError, heard: Heard) -> None:
        if (kind := damage_in(str(error))) is not None:
            heard.damaged[kind] += 1
        else:
            heard.silent += 1

    def _unit(self, way: Way, number: int) -> Unit:
        timeout = self._options.timeout
        if isinstance(self._client, ModbusTcpClient):
            return self._client.unit(number, timeout)
        how = {"baudrate": way.baudrate, "parity": way.parity, "timeout": timeout, "retries": 0, "max_age": 0}
        return self._client.port(self._options.port, **how).unit(number)

    async def _answer(self, unit: Unit) -> str:
        for attempt in range(1, ATTEMPTS + 1):
            self._requests += 1
            try:
                await unit.request(QUESTIONS[self._options.function])
            except SILENCE:
                raise
            except ModbusException as refused:
                return f"exception {refused.code}"
            except (Expired, QueueFull, Overloaded):
                self._requests -= 1
                if attempt == ATTEMPTS:
                    raise
                await sleep(LONGEST_PAUSE)
            else:
                return "answers"
        raise AssertionError("the last attempt returns or raises")

    def _tell(self, way: Way, heard: Heard, identity: str) -> None:
        told = ", ".join(filter(None, (f"unit {heard.number}: {heard}", str(way), identity)))
        damaged = {kind.name.lower(): heard.damaged[kind] for kind in HEARD}
        with self._bar.aside():
            self._output.result(
                told, port=self._options.port, unit=heard.number, baudrate=way.baudrate, parity=way.parity,
                answer=heard.answer, identity=identity, asked=heard.asked, silent=heard.silent,
                damaged=damaged,
            )

    async def _identity(self, unit: Unit, heard: Heard) -> str:
        """What the device says of itself, if it can; that is not asked again and again."""
        if heard.introduced >= INTRODUCTIONS:
            return ""
        heard.introduced += 1
        self._requests += 1
        try:
            objects = await unit.read_device_identification()
        except NotConnected:
            raise
        except ModbusError as error:
            if damage_in(str(error)) is not None:
                heard.asked += 1
                self._note_damage(error, heard)
            return ""
        return " ".join(objects[one].decode("utf-8", "replace") for one in sorted(objects)[:3])

    async def _make_room(self, used: float) -> None:
        """Leaves the bus to others for as long as it was used, if there are others."""
        foreign = await self._others()
        if foreign is None or foreign > self._foreign:
            await sleep(min(used, LONGEST_PAUSE))
        self._foreign = foreign or 0

    async def _others(self) -> int | None:
        """How many requests of others the port has had; None if nobody can tell."""
        if isinstance(self._client, ModbusTcpClient):
            return None
        for line in await text_command(self._client, "stats", self._options.timeout):
            name, counts = stats.parsed(line)
            if name == self._name:
                return counts.get("requests", 0) - self._requests
        return None


async def ask(options: Any, client: LuminaModbusClient | ModbusTcpClient, output: Output) -> int:
    """Prints each unit that answers as it is found; 1 if none does."""
    if isinstance(client, ModbusTcpClient) and (options.baudrates != (None,) or options.parities != (None,)):
        raise UsageError("over Modbus TCP no speed or parity can be tried; leave out --baudrates and --parities")
    if isinstance(client, LuminaModbusClient):
        check_port(options)
    total = 2 * len(options.units) * len(options.baudrates) * len(options.parities)
    with progress(total, output) as bar:
        scan = Scan(options, client, output, bar)
        try:
            await scan.run()
        except asyncio.CancelledError:
            bar.end()
            output.note(f"interrupted; {_told(scan.found)} so far")
            raise
        except LuminaError:
            bar.end()
            if scan.found:
                output.note(f"{_told(scan.found)} so far")
            raise
    output.note(_conclusion(scan, f" on {options.port}" if options.port else ""))
    return EXIT_OK if scan.found else EXIT_REFUSED


def _conclusion(scan: Scan, where: str) -> str:
    """The last line. Who is told that nobody is there, although something came, looks in the wrong place."""
    told = [_told(scan.found)] if scan.found else []
    if damaged := [str(one.number) for one in scan.found.values() if one.damaged]:
        told.append(f"replies of {', '.join(damaged)} come damaged; {REMEDY}")
    if scan.noise:
        units_told = ", ".join(map(str, scan.noise[:MOST_TOLD])) + (", …" if len(scan.noise) > MOST_TOLD else "")
        told.append(
            f"something came{where} when {units_told} {'was' if len(scan.noise) == 1 else 'were'} asked, but nothing"
            " that begins as a reply; wrong baud rate or parity, noise, or two units with one address"
        )
    return "\n".join(told) or f"no unit answered{where}; are baud rate, parity and wiring right?"


def _told(found: dict[int, Heard]) -> str:
    return f"{counted(len(found), 'unit')} found"
