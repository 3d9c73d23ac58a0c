"""RTU towards programs behind terminals: the virtual serial port, and a serial device with a second master."""

from __future__ import annotations

import os
import pathlib
import stat
import termios
import time
import tty
from collections.abc import Callable
from typing import Any

import serial
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.logger import Logger, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lumina_twisted.config.listeners import front_ends, listener_class
from lumina_twisted.errors import PortError
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.frontends.plugin import Context
from lumina_twisted.frontends.rtu import pty as rtu_pty
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.serial import BusTransport, is_pty
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.ports.terminal import Terminal
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.testing import MemoryPort, MemoryPorts

READ = encode_adu(1, bytes.fromhex("0300000001"))
REPLY = encode_adu(1, bytes.fromhex("0302002A"))
WRITE = encode_adu(1, bytes.fromhex("060000002A"))


class TerminalCase(TestCase):
    """A front-end on a terminal, and a port in memory behind it."""

    protocol = ""
    timeout = 20

    def setUp(self) -> None:
        self.folder = pathlib.Path(self.mktemp())
        self.folder.mkdir()
        self.path = str(self.folder.resolve() / "ttyMODBUS0")
        self.port = MemoryPort(devices={1: SimulatedDevice()})

    def make(self, **options: Any) -> Any:
        settings = listener_class(self.protocol)(endpoint=self.path, **options)
        context = Context(
            buses=MemoryPorts(self.port), reactor=reactor, now=time.monotonic, stamp=time.time,
            log=Logger(f"lumina.{self.protocol}"),
        )
        service: Any = front_ends()[self.protocol].make(settings, context)
        return service

    async def start(self, **options: Any) -> Any:
        self.service = self.make(**options)
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)
        return self.service

    async def until(self, true: Callable[[], object]) -> None:
        """Lets the reactor work until something holds; trial's own time limit ends what never does."""
        while not true():
            await deferLater(reactor, 0.002)


class VirtualPorts(TerminalCase):
    """``rtu-pty``."""

    protocol = "rtu-pty"

    def ask(self, request: bytes, length: int, timeout: float = 5.0, baudrate: int = 9600) -> Deferred[bytes]:
        """As a program does: opens the port, asks, reads, closes it."""

        def whole() -> bytes:
            with serial.Serial(self.path, baudrate, timeout=timeout) as port:
                port.write(request)
                return bytes(port.read(length))

        asked: Deferred[bytes] = deferToThread(whole)
        return asked

    async def test_a_program_opens_it_again_and_again(self) -> None:
        """At whatever speed, under the same link."""
        await self.start()
        self.assertEqual(await self.ask(WRITE, 8), WRITE)
        for baudrate in (300, 19200, 115200, 921600):
            self.assertEqual(await self.ask(READ, 7, baudrate=baudrate), REPLY)
        self.assertEqual(self.service.counts(), {"requests": 5, "errors": 0, "withheld": 0})

    async def test_turns(self) -> None:
        await self.start(priority="high", max_age=0.5)
        await self.ask(WRITE, 8)
        self.assertEqual((self.port.asked[0].priority, self.port.asked[0].max_age), ("high", 0.5))

    async def test_who_may_open_it(self) -> None:
        group = os.getgid()
        import grp

        await self.start(mode="666", group=grp.getgrgid(group).gr_name)
        told = os.stat(self.path)
        self.assertEqual((stat.S_IMODE(told.st_mode), told.st_gid), (0o666, group))

    async def test_the_link_goes_with_the_service(self) -> None:
        service = await self.start()
        await service.stopService()
        self.assertFalse(os.path.lexists(self.path))

    async def test_a_link_that_was_removed_is_made_again(self) -> None:
        self.patch(rtu_pty, "CHECK_EVERY", 0.01)
        service = await self.start()
        for _ in range(3):
            os.unlink(self.path)
            await self.until(lambda: os.path.islink(self.path))
            self.assertEqual(await self.ask(WRITE, 8), WRITE)
        await service.stopService()
        self.assertFalse(os.path.lexists(self.path))

    async def test_a_link_that_was_removed_while_a_program_has_it_open(self) -> None:
        """That program goes on, and the next one finds the same terminal."""
        self.patch(rtu_pty, "CHECK_EVERY", 0.01)
        await self.start()
        terminal = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        self.addCleanup(os.close, terminal)
        os.unlink(self.path)
        await self.until(lambda: os.path.islink(self.path))
        self.assertEqual(os.readlink(self.path), os.ttyname(terminal))
        os.write(terminal, WRITE)
        self.assertEqual(await deferToThread(os.read, terminal, 100), WRITE)

    async def test_a_link_whose_place_was_taken(self) -> None:
        """It is left alone, said once, and made again when the place is free."""
        self.patch(rtu_pty, "CHECK_EVERY", 0.01)
        with capturedLogs() as events:
            await self.start()
            for other in (lambda: pathlib.Path(self.path).write_text("x"), lambda: os.symlink("/dev/null", self.path)):
                os.unlink(self.path)
                other()
                count = len(events)
                await deferLater(reactor, 0.1)
                self.assertNotIn("/dev/pts", os.path.realpath(self.path))
                self.assertEqual(len(events), count + 1)
                self.assertIn("cannot be made again (File exists): something else is there", formatEvent(events[-1]))
                os.unlink(self.path)
                await self.until(lambda: os.path.islink(self.path) and "/dev/pts" in os.readlink(self.path))
            self.service.stopService()

    async def test_a_folder_that_was_removed(self) -> None:
        """And comes back, as /run/lumina does."""
        self.patch(rtu_pty, "CHECK_EVERY", 0.01)
        await self.start()
        os.unlink(self.path)
        self.folder.rmdir()
        await deferLater(reactor, 0.05)
        self.folder.mkdir()
        await self.until(lambda: os.path.islink(self.path))

    async def test_a_link_that_was_left_is_replaced(self) -> None:
        os.symlink("/dev/pts/99999", self.path)
        await self.start()
        self.assertEqual(await self.ask(WRITE, 8), WRITE)

    async def test_what_is_there_stays(self) -> None:
        pathlib.Path(self.path).write_text("something else")
        error = self.assertRaises(PortError, self.make().privilegedStartService)
        self.assertIn(f"{self.path} (File exists): something else is there; remove it", str(error))
        self.path = str(self.folder / "nowhere" / "tty")
        error = self.assertRaises(PortError, self.make().privilegedStartService)
        self.assertIn("there is no such folder", str(error))

    async def test_an_unread_reply_is_not_the_next_ones(self) -> None:
        """A program that gave up, closed the port and comes again without emptying it."""
        await self.start()
        master = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        self.addCleanup(os.close, master)
        os.write(master, WRITE)
        await self.until(lambda: not self.port.waiting and self.service.program.requests == 1)
        await deferLater(reactor, 0.02)  # the reply lies there, unread
        os.write(master, READ)
        await self.until(lambda: self.service.program.requests == 2)
        self.assertEqual(await deferToThread(os.read, master, 100), REPLY)

    async def test_a_terminal_that_echoes(self) -> None:
        """Whatever a program leaves it like, our replies do not come back as its requests."""
        await self.start()
        master = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        self.addCleanup(os.close, master)
        modes = termios.tcgetattr(master)
        modes[3] |= termios.ECHO
        termios.tcsetattr(master, termios.TCSANOW, modes)
        os.write(master, WRITE)
        self.assertEqual(await deferToThread(os.read, master, 100), WRITE)
        await deferLater(reactor, 0.05)
        self.assertEqual(self.service.program.requests, 1)

    async def test_the_stop_waits_for_what_is_asked(self) -> None:
        self.port.devices.clear()
        service = await self.start()
        reply = self.ask(READ, 7)
        await self.until(lambda: self.port.waiting)
        stopped = service.stopService()
        self.assertNoResult(stopped)
        self.port.waiting[0].end(REPLY)
        self.assertEqual(await reply, REPLY)
        await stopped

    def test_places(self) -> None:
        front_end = front_ends()["rtu-pty"]
        self.assertIn("expected the path", str(front_end.fault("ttyMODBUS0")))
        self.assertIsNone(front_end.fault("/run/lumina/ttyMODBUS0"))
        self.assertEqual(front_end.place("/run/../run/a"), front_end.place("/run/a"))


class SecondMasters(TerminalCase):
    """``rtu-serial``."""

    protocol = "rtu-serial"

    def plug(self) -> int:
        """The other end of the wire: what the master reads and writes."""
        terminal = Terminal(self.path)
        terminal.plug()
        self.addCleanup(lambda: terminal.is_plugged and terminal.unplug())
        self.terminal = terminal
        return terminal.fileno()

    async def exchange(self, request: bytes, length: int) -> bytes:
        os.write(self.terminal.fileno(), request)
        found = b""
        while len(found) < length:
            try:
                found += os.read(self.terminal.fileno(), 100)
            except BlockingIOError:
                await deferLater(reactor, 0.002)
        return found

    async def test_a_master_asks(self) -> None:
        self.plug()
        await self.start(baudrate=19200)
        await self.until(lambda: self.service._transport is not None)
        self.assertEqual(await self.exchange(WRITE, 8), WRITE)
        self.assertEqual(await self.exchange(READ, 7), REPLY)
        self.assertEqual(self.terminal.speed, 19200)

    async def test_turns(self) -> None:
        self.plug()
        await self.start(priority="low", max_age=0.5)
        await self.until(lambda: self.service._transport is not None)
        await self.exchange(WRITE, 8)
        self.assertEqual((self.port.asked[0].priority, self.port.asked[0].max_age), ("low", 0.5))

    async def test_unplugged_and_plugged_again(self) -> None:
        self.plug()
        await self.start()
        await self.until(lambda: self.service._transport is not None)
        self.terminal.unplug()
        await self.until(lambda: self.service._transport is None)
        self.plug()
        await self.until(lambda: self.service._transport is not None)
        self.assertEqual(await self.exchange(WRITE, 8), WRITE)

    async def test_not_there_at_the_start(self) -> None:
        await self.start()
        self.plug()
        await self.until(lambda: self.service._transport is not None)
        self.assertEqual(await self.exchange(WRITE, 8), WRITE)

    async def test_silence_before_the_reply(self) -> None:
        """A device keeps T3.5 of silence, at 300 baud 0.13 s."""
        self.plug()
        await self.start(baudrate=300)
        await self.until(lambda: self.service._transport is not None)
        asked_at = time.monotonic()
        await self.exchange(WRITE, 8)
        self.assertGreaterEqual(time.monotonic() - asked_at, 0.128)

    async def test_the_stop_waits_for_what_is_asked(self) -> None:
        self.port.devices.clear()
        self.plug()
        service = await self.start()
        await self.until(lambda: service._transport is not None)
        os.write(self.terminal.fileno(), READ)
        await self.until(lambda: self.port.waiting)
        stopped = service.stopService()
        self.assertNoResult(stopped)
        self.port.waiting[0].end(REPLY)
        await stopped


    async def test_unplugged_while_it_stops(self) -> None:
        """The stop does not wait for what cannot be answered any more."""
        self.port.devices.clear()
        self.plug()
        service = await self.start()
        await self.until(lambda: service._transport is not None)
        os.write(self.terminal.fileno(), READ)
        await self.until(lambda: self.port.waiting)
        stopped = service.stopService()
        self.terminal.unplug()
        await stopped


class Terminals(SynchronousTestCase):
    """Links, and what they lead to."""

    def test_a15_a_parity_is_taken_each_time(self) -> None:
        """A pseudo-terminal drops parity and data bits; the C library refuses to set only what it drops."""
        terminal = Terminal(self.mktemp())
        terminal.plug()
        self.addCleanup(terminal.unplug)
        for wanted in ({"parity": "E"}, {"parity": "O"}, {"parity": "M"}, {"bytesize": 7, "parity": "E"}, {}):
            for _ in range(3):
                transport = BusTransport(Protocol(), PortSettings(path=terminal.path, **wanted), MemoryReactorClock())
                transport.connectionLost(Failure(ConnectionDone()))

    def test_a15_a_request_changes_to_a_parity_and_back(self) -> None:
        """Also a unit that has one of its own, and a speed that does change."""
        terminal = Terminal(self.mktemp())
        terminal.plug()
        self.addCleanup(terminal.unplug)
        settings = PortSettings(path=terminal.path, parity="E")
        transport = BusTransport(Protocol(), settings, MemoryReactorClock())
        self.addCleanup(transport.connectionLost, Failure(ConnectionDone()))
        for baudrate in (9600, 19200):
            for parity in ("N", "E", "E", "O", "N"):
                one = SerialSettings(parity=parity, baudrate=baudrate)
                transport.send_frame(READ, one)
                self.assertEqual((os.read(terminal.fileno(), 100), terminal.speed), (READ, baudrate))

    def test_a15_what_is_no_pseudo_terminal(self) -> None:
        """Real devices are set as they were told; a path that leads nowhere is none."""
        self.assertFalse(is_pty("/dev/null"))
        self.assertFalse(is_pty(self.mktemp()))

    def test_a_number_that_was_given_to_another_terminal(self) -> None:
        """A link that was left by a killed process may lead to somebody else's terminal by now."""
        path = self.mktemp()
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        tty.setraw(slave)
        os.symlink(os.ttyname(slave), path)
        terminal = Terminal(path)
        with self.assertRaises(FileExistsError):  # it is older than the link: the one that the link was made for
            terminal.plug()
        os.utime(path, (0, 0), follow_symlinks=False)
        terminal.plug()
        self.assertNotEqual(os.readlink(path), os.ttyname(slave))
        terminal.unplug()
