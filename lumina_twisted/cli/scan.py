"""``lumina scan``: which units answer, and with which settings, floor 5.

A scan leaves room on a bus in use: it sends one request at a time, without retries. If other clients used the bus since
its last request, the scan pauses for as long as that request took. So it takes at most half of the bus.

One request proves little: it may be lost, and its reply may be damaged. So the scan asks a silent address again after
all others. If bytes came from an address, the scan asks it again at once, until the share of damaged replies is clear.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from asyncio import sleep
from collections import Counter
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
"""Seconds for one answer, including the turns of other clients."""
LONGEST_PAUSE: Final = 1.0
MOST_LISTED: Final = 8
ATTEMPTS: Final = 5
"""The most tries of one request if the bus is busy."""
IDENTITY_ATTEMPTS: Final = 3
SAMPLE: Final = 20
"""Requests to a unit after a damaged reply, to count how many replies are damaged."""
NOISE_SAMPLE: Final = 4
"""Requests to an address that sent bytes, but never the beginning of a reply."""
SILENCE: Final = (ResponseTimeout, UnitOffline, GatewayPathUnavailable, GatewayTargetDeviceFailedToRespond)
"""Failures that mean that there is no such unit: it did not answer, or did not answer other requests lately. The last
two come from a gateway, not from the unit."""
REQUESTS: Final[dict[int, pdu.Request]] = {
    1: pdu.ReadCoilsRequest(0, 1), 2: pdu.ReadDiscreteInputsRequest(0, 1), 3: pdu.ReadHoldingRegistersRequest(0, 1),
    4: pdu.ReadInputRegistersRequest(0, 1), 7: pdu.ReadExceptionStatusRequest(), 17: pdu.ReportServerIdRequest(),
    43: pdu.ReadDeviceIdentificationRequest(1, 0),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`lumina_twisted.cli.main`."""
    add_port(parser, bool)  # no other positional argument can come first
    parser.add_argument(
        "--units", type=checked(units, "no list of units; write as 1-10,17, from 1 to 255"),
        default=tuple(range(1, 248)), metavar="LIST", help="which to ask (1-247)",
    )
    parser.add_argument(
        "--baudrates", type=checked(_baudrates, "no list of baud rates; write as 9600,19200"), default=(None,),
        metavar="LIST", help="speeds to try (the port's own)",
    )
    parser.add_argument(
        "--parities", type=checked(_parities, "no list of parities; write as N,E,O"), default=(None,), metavar="LIST",
        help="parities to try (the port's own)",
    )
    parser.add_argument(
        "--function", **chosen(tuple(REQUESTS), "function that only asks", int), default=3, metavar="CODE",
        help="what to ask: 1 to 4 read one entry, 7, 17, 43 (3); an exception counts as an answer",
    )
    add_request_options(parser, PATIENCE)


def units(text: str) -> tuple[int, ...]:
    """The units in a list such as ``1-10,17``.

    :raises ValueError: if the text is no such list.
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


def _baudrates(text: str) -> tuple[int, ...]:
    values = tuple(decimal(one.strip()) for one in text.split(","))
    if not all(0 < one <= 10_000_000 for one in values):
        raise ValueError
    return values


def _parities(text: str) -> tuple[str, ...]:
    values = tuple(one.strip().upper() for one in text.split(","))
    if not set(values) <= set("NEOMS"):
        raise ValueError
    return values


async def ask(options: Any, client: LuminaModbusClient | ModbusTcpClient, output: Output) -> int:
    """Prints each unit as soon as it is found. The exit status is 1 if no unit answers."""
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
            output.note(f"interrupted; {_counted(scan.found)} so far")
            raise
        except LuminaError:
            bar.end()
            if scan.found:
                output.note(f"{_counted(scan.found)} so far")
            raise
    output.note(_conclusion(scan, f" on {options.port}" if options.port else ""))
    return EXIT_OK if scan.found else EXIT_REFUSED


def _conclusion(scan: Scan, where: str) -> str:
    """The conclusion of the scan. It reports noise too, so that the operator looks for the fault in the right place."""
    lines = [_counted(scan.found)] if scan.found else []
    if damaged := [str(one.number) for one in scan.found.values() if one.damaged]:
        lines.append(f"replies of {', '.join(damaged)} come damaged; {REMEDY}")
    if scan.noise:
        listed = ", ".join(map(str, scan.noise[:MOST_LISTED])) + (", …" if len(scan.noise) > MOST_LISTED else "")
        lines.append(
            f"something came{where} when {listed} {'was' if len(scan.noise) == 1 else 'were'} asked, but nothing"
            " that begins as a reply; wrong baud rate or parity, noise, or two units with one address"
        )
    return "\n".join(lines) or f"no unit answered{where}; are baud rate, parity and wiring right?"


def _counted(found: dict[int, Observations]) -> str:
    return f"{counted(len(found), 'unit')} found"


class Serial(NamedTuple):
    """Serial settings to try; None stands for the port's own setting."""

    baudrate: int | None
    parity: str | None

    def __str__(self) -> str:
        return " ".join(str(one) for one in self if one)


class Observations:
    """The replies, damaged replies and silences of one unit.

    :param number: the unit identifier.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked = 0
        self.answer = ""
        """How the unit answers, if an intact reply came."""
        self.identity = ""
        """The device identification, as text."""
        self.damaged: Counter[Fault] = Counter()
        self.silent = 0
        """Requests without any reply."""
        self.identity_attempts = 0

    @property
    def is_there(self) -> bool:
        """Whether at least the beginning of a reply came; other bytes may be noise."""
        return bool(self.answer or self.damaged[Fault.WRONG_CRC] or self.damaged[Fault.CUT])

    @property
    def is_clear(self) -> bool:
        """Whether the scan need not ask the unit again now."""
        if not self.damaged and (not self.answer or not self.silent):
            return True
        return self.asked >= (SAMPLE if self.is_there else NOISE_SAMPLE)

    def note_failure(self, error: ModbusError) -> None:
        """Counts a request without an intact reply."""
        if (kind := damage_in(str(error))) is not None:
            self.damaged[kind] += 1
        else:
            self.silent += 1

    def __str__(self) -> str:
        faults = [f"{self.damaged[kind]} of {self.asked} replies {HEARD[kind]}" for kind in HEARD if self.damaged[kind]]
        if self.silent:
            faults.append(f"{self.silent} of {self.asked} requests without any reply")
        if not self.damaged:
            return ", but ".join((self.answer, *faults))
        return f"{self.answer or 'there'}, but damaged: {', '.join(faults)}"


class Scan:
    """One scan.

    :param bar: shows the progress.
    """

    def __init__(
        self, options: Any, client: LuminaModbusClient | ModbusTcpClient, output: Output, bar: Progress
    ) -> None:
        self.found: dict[int, Observations] = {}
        self.noise: list[int] = []
        """Units from which bytes came that are no reply."""
        self._options = options
        self._client = client
        self._output = output
        self._bar = bar
        self._name = options.port
        self._clock = asyncio.get_running_loop().time
        self._requests = 0  # of this scan
        self._foreign = 0  # of other clients, as far as the scan knows
        self._live: set[Serial] = set()  # settings with which bytes came
        self._observed: dict[tuple[Serial, int], Observations] = {}

    async def run(self) -> None:
        """Asks one unit after the other, with all settings. A found unit is not asked with further settings.

        :raises LuminaError: if there is no port, no server, or no room on the bus.
        """
        if isinstance(self._client, LuminaModbusClient):
            for line in await text_command(self._client, "ports", self._options.timeout):
                if (port := ports.parsed(line)) and port.path == self._options.port:
                    self._name = port.name
        self._foreign = await self._others() or 0
        all_settings = [Serial(*one) for one in product(self._options.baudrates, self._options.parities)]
        usable = [one for one in all_settings if await self._ask_all(one)]
        for one in [one for one in usable if one in self._live] or usable:  # asks silent addresses again
            await self._ask_all(one)

    async def _ask_all(self, serial: Serial) -> bool:
        """Asks all units that are not found yet; returns whether the adapter accepts these settings."""
        for number in self._options.units:
            if number not in self.found and not await self._ask(serial, number):
                return False
            self._bar.step(" ".join(filter(None, (self._options.port, str(serial), f"unit {number}"))))
        return True

    async def _ask(self, serial: Serial, number: int) -> bool:
        """Asks one unit until its observations are clear; returns whether the adapter accepts these settings."""
        unit = self._unit(serial, number)
        seen = self._observed.setdefault((serial, number), Observations(number))
        try:
            await self._ask_once(unit, seen)
            while not seen.is_clear:
                await self._ask_once(unit, seen)
        except NotSent as error:
            if type(error) is not NotSent:
                raise
            self._output.note(f"{serial}: {error}")
            return False
        if seen.answer or seen.damaged:
            self._live.add(serial)
        if seen.is_there:
            self.found[number] = seen
            self._show(serial, seen)
            self.noise = [one for one in self.noise if one != number]
        elif seen.damaged and number not in self.noise:
            self.noise.append(number)
        return True

    async def _ask_once(self, unit: Unit, seen: Observations) -> None:
        began = self._clock()
        seen.asked += 1
        try:
            seen.answer = await self._answer(unit)
        except SILENCE as error:
            seen.note_failure(error)
        await self._leave_room(self._clock() - began)
        if seen.answer and not seen.identity:
            await self._identify(unit, seen)

    def _unit(self, serial: Serial, number: int) -> Unit:
        timeout = self._options.timeout
        if isinstance(self._client, ModbusTcpClient):
            return self._client.unit(number, timeout)
        terms = {"baudrate": serial.baudrate, "parity": serial.parity, "timeout": timeout, "retries": 0, "max_age": 0}
        return self._client.port(self._options.port, **terms).unit(number)

    async def _answer(self, unit: Unit) -> str:
        """How a unit answers. If the bus is busy, the scan tries again a little later."""
        for attempt in range(1, ATTEMPTS + 1):
            self._requests += 1
            try:
                await unit.request(REQUESTS[self._options.function])
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

    async def _identify(self, unit: Unit, seen: Observations) -> None:
        """Asks for the device identification, at most :data:`IDENTITY_ATTEMPTS` times."""
        if seen.identity_attempts >= IDENTITY_ATTEMPTS:
            return
        seen.identity_attempts += 1
        self._requests += 1
        try:
            objects = await unit.read_device_identification()
        except NotConnected:
            raise
        except ModbusError as error:
            if damage_in(str(error)) is not None:
                seen.asked += 1
                seen.note_failure(error)
        else:
            seen.identity = " ".join(objects[one].decode("utf-8", "replace") for one in sorted(objects)[:3])

    def _show(self, serial: Serial, seen: Observations) -> None:
        text = ", ".join(filter(None, (f"unit {seen.number}: {seen}", str(serial), seen.identity)))
        with self._bar.aside():
            self._output.result(
                text, port=self._options.port, unit=seen.number, baudrate=serial.baudrate, parity=serial.parity,
                answer=seen.answer, identity=seen.identity, asked=seen.asked, silent=seen.silent,
                damaged={kind.name.lower(): seen.damaged[kind] for kind in HEARD},
            )

    async def _leave_room(self, used: float) -> None:
        """Pauses for about as long as the bus was used, if there are, or may be, other clients."""
        foreign = await self._others()
        if foreign is None or foreign > self._foreign:
            await sleep(min(used, LONGEST_PAUSE))
        self._foreign = foreign or 0

    async def _others(self) -> int | None:
        """The number of requests that other clients sent to the port; None if unknown."""
        if isinstance(self._client, ModbusTcpClient):
            return None
        for line in await text_command(self._client, "stats", self._options.timeout):
            name, counts = stats.parsed(line)
            if name == self._name:
                return counts.get("requests", 0) - self._requests
        return None
