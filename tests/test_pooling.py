"""ConnectionPool, in both worlds: the same programs in Twisted and in asyncio, where no reactor runs, over real
pseudo-terminals."""

from __future__ import annotations

import asyncio
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lumina_twisted.awaiting import LoopReactor, reactor_here
from lumina_twisted.errors import (
    ConfigError,
    IllegalDataAddress,
    LuminaError,
    NotAllowed,
    PortClosed,
    RequestError,
    ResponseTimeout,
)
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.helpers import ConnectionPool
from lumina_twisted.modbus import pdu
from lumina_twisted.ports.pool import PortPool
from lumina_twisted.ports.service import State
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.ports.timer import FineTimer
from lumina_twisted.simulator.bus import SimulatedBus
from lumina_twisted.simulator.device import SimulatedDevice
from tests.twistd_process import environment

READ = bytes.fromhex("0300050002")
FAST = {"baudrate": 115200, "timeout": 0.2, "echo": "off", "retries": 0}


class Programs:
    """Programs that run in either world. Each gets a folder with the terminals of three simulated buses."""

    folder: pathlib.Path
    buses: list[SimulatedBus]

    def bus(self, name: str) -> SimulatedBus:
        device = SimulatedDevice(("maker", "thing", "2.0"))
        device.holding_registers[5:7] = [7, 8]
        bus = SimulatedBus(reactor_here(), {1: device}, self.path(name), time.monotonic, baudrate=115200)
        self.buses.append(bus)
        return bus

    def stop_buses(self) -> None:
        for bus in self.buses:
            bus.stop()

    def path(self, name: str) -> str:
        return str(self.folder / name)

    async def failed(self, awaitable: Awaitable[Any], kind: type[LuminaError]) -> str:
        try:
            found = await awaitable
        except kind as error:
            return str(error)
        raise AssertionError(f"it gave {found!r}")

    async def reads_and_writes(self, test: Any) -> None:
        bus = self.bus("a")
        async with ConnectionPool(**FAST) as pool:
            connection = await pool.get_connection(port=self.path("a"))
            test.assertEqual((connection.name, connection.baudrate), (self.path("a"), 115200))
            test.assertEqual(await connection.request(1, READ), encode_adu(1, bytes.fromhex("030400070008")))
            unit = connection.unit(1, timeout=2.0)
            test.assertEqual(await unit.read_holding_registers(5, 2), (7, 8))
            test.assertEqual(await unit.read_holding_registers(5), (7,))
            test.assertIsNone(await unit.write_multiple_registers(5, [1, 2]))
            test.assertEqual(await unit.request(pdu.ReadHoldingRegistersRequest(5, 2)),
                             pdu.ReadHoldingRegistersReply([1, 2]))
            test.assertEqual(await unit.read_device_identification(), {0: b"maker", 1: b"thing", 2: b"2.0"})
            test.assertIn("illegal", await self.failed(unit.read_coils(65535, 2), IllegalDataAddress))
            test.assertIn("quantity", await self.failed(unit.read_coils(0, 3000), RequestError))
            await self.failed(connection.unit(9).read_coils(0), ResponseTimeout)
            await connection.close()
            test.assertIn("was given back", await self.failed(unit.read_coils(0), PortClosed))
        test.assertEqual(bus.heard[0].data, encode_adu(1, READ))

    async def speeds(self, test: Any) -> None:
        """Two connections to one port have different speeds."""
        bus = self.bus("a")
        async with ConnectionPool(**{**FAST, "baudrate": 9600}) as pool:
            slow = await pool.get_connection(self.path("a"))
            fast = await pool.get_connection(self.path("a"), 115200, parity="N")
            await fast.request(1, READ)
            await self.failed(slow.request(1, READ), ResponseTimeout)
            await fast.request(1, READ)
            asked = [one.baudrate for one in bus.heard if one.data == encode_adu(1, READ)]
            test.assertEqual(asked, [115200, 9600, 115200])
            test.assertEqual((slow.baudrate, fast.baudrate), (9600, 115200))

    async def bounded(self, test: Any) -> None:
        """Beyond the limit a port waits until another one is given back."""
        for name in "abc":
            self.bus(name)
        async with ConnectionPool(2, **FAST) as pool:
            first = await pool.get_connection(self.path("a"))
            again = await pool.get_connection(self.path("a"))
            second = await pool.get_connection(self.path("b"))
            told = await self.failed(pool.get_connection(self.path("c"), timeout=0.01), PortClosed)
            test.assertEqual(told, (
                f"no connection to {self.path('c')} within 0.01 s, for all 2 are in use ({self.path('a')},"
                f" {self.path('b')}); close one, or raise max_connections"
            ))
            await first.close()
            third = test.begin(pool.get_connection(self.path("c")))
            await test.turn()
            test.assertEqual(len(pool._waiting), 1, "one of the two to the same port is open still")
            await again.close()
            third = await third
            await third.request(1, READ)
            test.assertFalse(pool._by_path[self.path("a")].is_supervised)
            test.assertTrue(second.is_open)
            await second.close()
            fourth = await pool.get_connection(self.path("a"))
            await fourth.request(1, READ)

    async def first_come(self, test: Any) -> None:
        for name in "abc":
            self.bus(name)
        async with ConnectionPool(1, **FAST) as pool:
            one = await pool.get_connection(self.path("a"))
            waiting = []
            for name in "bca":
                waiting.append(test.begin(pool.get_connection(self.path(name))))
                await test.turn()
            again = await waiting.pop()
            test.assertEqual(again.name, one.name, "that port is open, so it need not wait")
            await one.close()
            await again.close()
            for name in "bc":
                connection = await waiting.pop(0)
                test.assertEqual(connection.name, self.path(name))
                await connection.request(1, READ)
                await connection.close()

    async def cancelled(self, test: Any) -> None:
        """A caller that was cancelled leaves nothing behind."""
        for name in "ab":
            self.bus(name)
        async with ConnectionPool(1, **FAST) as pool:
            one = await pool.get_connection(self.path("a"))
            doomed = test.begin(pool.get_connection(self.path("b")))
            await test.turn()
            doomed.cancel()
            await self.ends(doomed)
            test.assertEqual(len(pool._waiting), 0)
            await one.close()
            two = await pool.get_connection(self.path("b"))
            test.assertTrue(two.is_open)

    async def given_back_when_done(self, test: Any) -> None:
        """A connection that is closed ends its open requests before another port gets its place."""
        for name in "ab":
            self.bus(name)
        async with ConnectionPool(1, **FAST) as pool:
            one = await pool.get_connection(self.path("a"))
            answer = test.begin(one.request(1, READ))
            values = test.begin(one.unit(1).read_input_registers(0, 2))
            closed = test.begin(one.close())
            await test.turn()
            test.assertTrue(one._port.is_held)
            two = await pool.get_connection(self.path("b"))
            test.assertEqual((len(await answer), len(await values)), (9, 2))
            await closed
            await one.close()
            test.assertEqual(one._port._holders, 0, "it was given back once")
            test.assertTrue(two.is_open)

    async def not_there(self, test: Any) -> None:
        async with ConnectionPool(1, **FAST) as pool:
            told = await self.failed(pool.get_connection(self.path("x")), PortClosed)
            test.assertIn("is not open, there is no", told)
            test.assertFalse(pool._by_path[self.path("x")].is_supervised, "nobody goes on trying")
            self.bus("a")
            connection = await pool.get_connection(self.path("a"))
            test.assertTrue(connection.is_open, "the one that failed takes no place")

    async def back_again(self, test: Any) -> None:
        """When a device is lost, requests fail at once; who waits for the port goes on as soon as it is open."""
        bus = self.bus("a")
        async with ConnectionPool(**FAST) as pool:
            connection = await pool.get_connection(self.path("a"))
            bus.unplug()
            while connection.is_open:
                await test.later(0.01)
            test.assertIn("is not open", await self.failed(connection.request(1, READ), PortClosed))
            bus.replug()
            again = await pool.get_connection(self.path("a"))
            test.assertEqual(len(await again.request(1, READ)), 9)
            test.assertEqual(len(await connection.request(1, READ)), 9)

    async def back_elsewhere(self, test: Any) -> None:
        """A symbolic link to a device that has another name since it was plugged in again."""
        for name in "ab":
            self.bus(name)
        link = pathlib.Path(self.path("by-id"))
        link.symlink_to(self.path("a"))
        async with ConnectionPool(1, **FAST) as pool:
            before = await pool.get_connection(str(link))
            self.buses[0].unplug()
            while before.is_open:
                await test.later(0.01)
            await before.close()
            link.unlink()
            link.symlink_to(self.path("b"))
            connection = await pool.get_connection(str(link))
            test.assertEqual(len(await connection.request(1, READ)), 9)
            same = await pool.get_connection(self.path("b"))
            test.assertIs(same._port, connection._port)

    async def idle(self, test: Any) -> None:
        """A pool with the clock of the test."""
        self.bus("a")
        now = [1000.0]
        async with ConnectionPool(idle_close=60, now=lambda: now[0] + time.monotonic(), **FAST) as pool:
            connection = await pool.get_connection(self.path("a"))
            port, ports = connection._port, pool._ports
            assert isinstance(ports, PortPool)
            now[0] += 100
            ports._close_idle()
            test.assertTrue(port.is_supervised, "somebody has it")
            await connection.close()
            ports._close_idle()
            test.assertTrue(port.is_supervised, "the time begins when it is given back")
            now[0] += 61
            ports._close_idle()
            test.assertTrue(port._state is State.CLOSING or not port.is_supervised)
            again = await pool.get_connection(self.path("a"))
            test.assertEqual(len(await again.request(1, READ)), 9)

    async def rules(self, test: Any) -> None:
        """The ports of a pool have the settings of the server's ports."""
        self.bus("a")
        async with ConnectionPool(**FAST, deny=["write *"]) as pool:
            connection = await pool.get_connection(self.path("a"))
            told = await self.failed(connection.unit(1).write_single_register(5, 1), NotAllowed)
            test.assertIn("denied by the rule 'write *'", told)

    async def wrong_uses(self, test: Any) -> None:
        pool = ConnectionPool(1)
        for port, fault in (("", "not ''"), (None, "not None"), ("rtu+tcp:x", "is no place"),
                            ("serial:/dev/ttyUSB0:baudrate=1200", "'baudrate=1200' cannot stand in a path")):
            test.assertIn(fault, await self.failed(pool.get_connection(port), RequestError))  # type: ignore[arg-type]
        for key, value in (("baudrate", "fast"), ("baudrate", 0), ("parity", "X"), ("bauds", 9600)):
            told = await self.failed(pool.get_connection("/dev/ttyUSB0", **{key: value}), ConfigError)
            test.assertTrue(told.startswith(f"{key}: "), told)
        await pool.close()
        test.assertIn("is closed", await self.failed(pool.get_connection("/dev/ttyUSB0"), PortClosed))

    async def closed_meanwhile(self, test: Any) -> None:
        for name in "ab":
            self.bus(name)
        pool = ConnectionPool(1, **FAST)
        one = await pool.get_connection(self.path("a"))
        waits = test.begin(self.failed(pool.get_connection(self.path("b")), PortClosed))
        await test.turn()
        await pool.close()
        test.assertIn("closed meanwhile", await waits)
        await self.failed(one.request(1, READ), LuminaError)  # type: ignore[type-abstract]
        await one.close()
        await pool.close()

    async def ends(self, what: Any) -> None:
        try:
            await what
        except (CancelledError, asyncio.CancelledError):
            return
        raise AssertionError("it was cancelled")


PROGRAMS = (
    "reads_and_writes", "speeds", "bounded", "first_come", "cancelled", "given_back_when_done", "not_there",
    "back_again", "back_elsewhere", "idle", "rules", "wrong_uses", "closed_meanwhile",
)


class InTwisted(TestCase, Programs):
    """With the reactor of the test."""

    timeout = 20

    def setUp(self) -> None:
        self.folder = pathlib.Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.buses = []
        self.addCleanup(self.stop_buses)

    def begin(self, awaitable: Any) -> Any:
        return awaitable if isinstance(awaitable, Deferred) else Deferred.fromCoroutine(awaitable)

    def later(self, seconds: float) -> Any:
        return deferLater(reactor, seconds)

    async def turn(self) -> None:
        """Runs until nothing more happens."""


    async def test_whoever_is_served_may_cancel_others(self) -> None:
        for name in "ab":
            self.bus(name)
        async with ConnectionPool(1, **FAST) as pool:
            one = await pool.get_connection(self.path("a"))
            served = pool.get_connection(self.path("b"))
            other = pool.get_connection(self.path("b"))
            served.addCallback(lambda connection: other.cancel() or connection)
            await one.close()
            await self.ends(other)
            self.assertTrue((await served).is_open)


class InAsyncio(SynchronousTestCase, Programs):
    """With nothing but asyncio."""

    def setUp(self) -> None:
        self.folder = pathlib.Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.buses = []

    def begin(self, awaitable: Any) -> Any:
        return asyncio.ensure_future(awaitable)

    def later(self, seconds: float) -> Any:
        return asyncio.sleep(seconds)

    async def turn(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    def run_program(self, program: Callable[[Any], Any]) -> None:
        async def bounded() -> None:
            try:
                await asyncio.wait_for(program(self), 20)
            finally:
                self.stop_buses()

        asyncio.run(bounded())

    def test_no_reactor_runs(self) -> None:
        """And the timer is the fine one all the same."""

        async def program(_: object) -> None:
            self.bus("a")
            async with ConnectionPool(**FAST) as pool:
                connection = await pool.get_connection(self.path("a"))
                self.assertIsInstance(pool._reactor, LoopReactor)
                self.assertFalse(pool._reactor.running)
                self.assertIsInstance(connection._port._protocol._timer, FineTimer)

        self.run_program(program)

    def test_many_at_a_time(self) -> None:
        async def program(_: object) -> None:
            for name in "ab":
                self.bus(name)
            async with ConnectionPool(**FAST) as pool:
                units = [(await pool.get_connection(self.path(name))).unit(1) for name in "abab"]
                asked = (unit.read_holding_registers(5 + at % 2) for at in range(20) for unit in units)
                found = await asyncio.gather(*asked)
                self.assertEqual(found, [(7 + at // 4 % 2,) for at in range(80)])

        self.run_program(program)

    def test_cancelled_when_it_was_made_already(self) -> None:
        """The connection goes back, for the task was cancelled before it got it."""

        async def program(_: object) -> None:
            for name in "ab":
                self.bus(name)
            async with ConnectionPool(1, **FAST) as pool:
                one = await pool.get_connection(self.path("a"))
                doomed = asyncio.ensure_future(pool.get_connection(self.path("b")))
                await self.turn()
                one.close()
                self.assertTrue(pool._by_path[self.path("b")].is_held)
                doomed.cancel()
                await self.ends(doomed)
                again = await pool.get_connection(self.path("a"), timeout=0.2)
                self.assertTrue(again.is_open)

        self.run_program(program)

    def test_a_pool_belongs_to_its_loop(self) -> None:
        pool = ConnectionPool(**FAST)

        async def program(_: object) -> None:
            await self.failed(pool.get_connection(self.path("x")), PortClosed)

        self.run_program(program)
        with self.assertRaises(RequestError) as caught:
            self.run_program(program)
        self.assertIn("make one for each", str(caught.exception))

        async def closing(_: object) -> None:
            self.assertIn("close it there", await self.failed(pool.close(), RequestError))

        self.run_program(closing)

    def test_names_are_looked_up_by_the_loop(self) -> None:
        async def unknown(*where: Any, **how: Any) -> Any:
            raise socket.gaierror("unknown")

        async def program(_: object) -> None:
            async with ConnectionPool(**FAST) as pool:
                told = await self.failed(pool.get_connection("rtu+tcp:localhost:1"), PortClosed)
                self.assertIn("refuses the connection", told)
                self.patch(asyncio.get_running_loop(), "getaddrinfo", unknown)
                told = await self.failed(pool.get_connection("rtu+tcp:host.invalid:1"), PortClosed)
                self.assertIn("is not known", told)

        self.run_program(program)

    def test_nothing_stays(self) -> None:
        """Neither descriptors nor readers."""

        async def program(_: object) -> None:
            self.bus("a")
            before = os.listdir("/proc/self/fd"), len(asyncio.get_running_loop()._selector.get_map())  # type: ignore[attr-defined]
            for _ in range(2):
                async with ConnectionPool(**FAST) as pool:
                    connection = await pool.get_connection(self.path("a"))
                    await connection.request(1, READ)
            await asyncio.sleep(0)
            after = os.listdir("/proc/self/fd"), len(asyncio.get_running_loop()._selector.get_map())  # type: ignore[attr-defined]
            self.assertEqual(after, before)

        self.run_program(program)

    def test_no_reactor_is_installed(self) -> None:
        """A program may want to install one that suits it, later on."""
        program = """if True:
            import asyncio, sys
            from lumina_twisted.errors import PortClosed
            from lumina_twisted.helpers import ConnectionPool

            async def main():
                async with ConnectionPool() as pool:
                    try:
                        await pool.get_connection("/dev/nowhere")
                    except PortClosed:
                        print("asked")

            asyncio.run(main())
            print("twisted.internet.reactor" in sys.modules)
        """
        printed = subprocess.check_output([sys.executable, "-c", program], env=environment(), text=True)
        self.assertEqual(printed.split(), ["asked", "False"])

    def test_as_the_mission_prints_it(self) -> None:
        """But for its imports and the device."""

        async def program(_: object) -> None:
            self.bus("ttyAMA2")
            pool = ConnectionPool(max_connections=10)
            connection = await pool.get_connection(port=self.path("ttyAMA2"), baudrate=9600)
            self.assertEqual(connection.baudrate, 9600)

        self.run_program(program)


class Wrong(SynchronousTestCase):
    """Settings that a pool refuses."""

    def test_how_many(self) -> None:
        for most, why in ((0, "expected 1 to 10000, got 0"), ("3", "whole number"), (1.5, "whole number")):
            error = self.assertRaises(ConfigError, ConnectionPool, most)
            self.assertIn("max_connections: ", str(error))
            self.assertIn(why, str(error))


class AtRunTime(SynchronousTestCase):
    """Ports that are added to a running pool."""

    def test_one_more(self) -> None:
        clock = Clock()
        pool = PortPool({"a": PortSettings(path="/dev/nowhere")}, clock, clock.seconds)
        pool.startService()
        port = pool.add("b", PortSettings(path="/dev/nothing", open="request", idle_close=60))
        self.assertEqual(list(pool)[1:], [port])
        self.assertIs(pool.find("b"), port)
        self.assertIs(pool.find("/dev/nothing"), port)
        self.assertTrue(port.running)
        self.assertIsNotNone(pool._look)
        self.assertIn("'a' already", str(self.assertRaises(RequestError, pool.add, "a", PortSettings(path="/dev/x"))))
        pool.stopService()
        self.assertIn("does not run", self.failureResultOf(port.open(), PortClosed).getErrorMessage())


def _add_tests() -> None:
    """Makes a test of each program in each world."""
    for name in PROGRAMS:
        program: Any = getattr(Programs, name)

        def in_twisted(self: InTwisted, program: Any = program) -> Any:
            return Deferred.fromCoroutine(program(self, self))

        def in_asyncio(self: InAsyncio, program: Any = program) -> None:
            self.run_program(partial(program, self))

        for case, test in ((InTwisted, in_twisted), (InAsyncio, in_asyncio)):
            test.__name__, test.__doc__ = f"test_{name}", program.__doc__
            setattr(case, f"test_{name}", test)


_add_tests()
