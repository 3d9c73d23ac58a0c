"""Ports on real pseudo-terminals: opened, lost, reopened, shared by settings, closed when idle.

The numbers are those of the fault matrix.
"""

from __future__ import annotations

import array
import errno
import fcntl
import grp
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import serial.serialposix
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lumina_twisted.access.caller import Caller, Terms, caller_of
from lumina_twisted.bus.settings import UnitSettings
from lumina_twisted.errors import (
    Cancelled,
    ConfigError,
    NotSent,
    OutcomeUnknown,
    PortClosed,
    PortError,
    PortLost,
    RequestError,
)
from lumina_twisted.framing.crc import append_crc
from lumina_twisted.framing.rtu import decode_adu
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.pool import PortPool
from lumina_twisted.ports.serial import why_lost, why_not_open
from lumina_twisted.ports.service import PortService
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.ports.timer import CallLaterTimer, FineTimer, make_timer
from lumina_twisted.reconnecting import LONGEST_WAIT, wait_before_attempt
from lumina_twisted.simulator.bus import SimulatedBus
from tests.bus.world import read, reply_to

ME = Caller("me")
YOU = Caller("you")

TIOCGRS485, TIOCSRS485 = 0x542E, 0x542F
READ = bytes.fromhex("0300050001")
ANSWER = decode_adu(reply_to(read(1, 5)))[1]


def later(seconds: float) -> Deferred[None]:
    """Fires after a while."""
    return deferLater(reactor, seconds, lambda: None)


class PortTestCase(TestCase):
    """Devices and ports that are gone after the test."""

    timeout = 20

    def setUp(self) -> None:
        """A folder for the devices' links."""
        self.folder = pathlib.Path(self.mktemp())
        self.folder.mkdir()

    def device(
        self, name: str = "tty0", respond: Callable[[bytes], list[bytes]] = lambda frame: [reply_to(frame)]
    ) -> SimulatedBus:
        """A plugged device that answers with these pieces."""

        def script(frame: bytes) -> list[tuple[float, bytes]]:
            pieces = [frame] if frame[1] == 8 else respond(frame)  # what the bus itself asks
            return [(number / 1000, piece) for number, piece in enumerate(pieces)]

        device = SimulatedBus(reactor, {}, str(self.folder / name), time.monotonic, script=script)
        self.addCleanup(device.stop)
        return device

    def pool(self, most_open: int = 64, **ports: Any) -> PortPool:
        """A running pool of the named ports; each option is a path or keywords of its settings."""
        settings = {}
        for name, options in ports.items():
            keywords = {"path": str(self.folder / "tty0"), "timeout": 0.2, "baudrate": 115200, **options}
            settings[name] = PortSettings(**keywords)
        pool = PortPool(settings, reactor, time.monotonic, most_open)
        pool.startService()
        self.addCleanup(self.stopped, pool)
        return pool

    def stopped(self, pool: PortPool) -> Deferred[Any] | None:
        """A pool that runs no longer."""
        return pool.stopService() if pool.running else None

    async def until(self, condition: Any) -> None:
        """Waits for what will come true."""
        while not condition():
            await later(0.01)


class OpeningTests(PortTestCase):
    """Cases 8 and 9: a port that vanishes, returns, or was never there."""

    async def test_case_8_unplug_and_replug(self) -> None:
        """Meanwhile requests fail at once with the reason; one second after the path is back they succeed."""
        device = self.device()
        port = self.pool(a={}).find("a")
        self.assertEqual(await port.request(ME, 1, READ, Terms(2)), ANSWER)
        device.unplug()
        await self.until(lambda: port.describe().state != "open")
        error = await self.failed(port, PortClosed)
        self.assertIn("a is not open", str(error))
        device.replug()
        await later(1.0)
        self.assertEqual(await port.request(ME, 1, READ, Terms(2)), ANSWER)
        self.assertEqual(port.describe().state, "open")

    async def test_case_8_in_the_middle(self) -> None:
        """What was on the wire when it vanished ends: a read as lost, a write with its outcome unknown."""
        for pdu, kind in ((READ, PortLost), (bytes.fromhex("0600050001"), OutcomeUnknown)):
            device = self.device(respond=lambda frame: [])
            port = self.pool(a={"echo": "off", "timeout": 5.0}).find("a")
            ended = self.assertFailure(port.request(ME, 1, pdu, Terms(10)), kind)
            await self.until(lambda device=device: device.heard)
            device.unplug()
            await ended

    async def test_case_9_missing_at_start(self) -> None:
        """It starts all the same, tells why requests fail, and opens the port when it appears."""
        port = self.pool(a={}).find("a")
        error = await self.failed(port, PortClosed)
        self.assertIn(str(self.folder / "tty0"), str(error))
        self.device()
        await later(1.0)
        self.assertEqual(await port.request(ME, 1, READ, Terms(2)), ANSWER)

    async def test_lost_is_a_sentence(self) -> None:
        """Nothing of Twisted's connections that are lost in a non-clean fashion."""
        device = self.device()
        port = self.pool(a={}).find("a")
        told: list[str] = []
        port._protocol._closed = told.append
        device.unplug()
        await self.until(lambda: told)
        self.assertRegex(told[0], r"^it was lost \([^:]+\) and is opened again as soon as it is back$")
        self.assertNotIn("non-clean", told[0])

    async def test_one_device_through_two_links(self) -> None:
        """The second is told whose device it is."""
        device = self.device()
        (self.folder / "link").symlink_to(pathlib.Path(device.path).resolve())
        pool = self.pool(a={}, b={"path": str(self.folder / "link")})
        await pool.find("a").request(ME, 1, READ, Terms(2))
        error = await self.failed(pool.find("b"), PortClosed)
        self.assertIn("is the device of port a too; a device belongs to one port, take one of the two away", str(error))

    async def test_locked_by_another(self) -> None:
        """A device that another process holds fails its requests with that process's name."""
        device = self.device()
        holder = subprocess.Popen(
            [sys.executable, "-c", "import serial, sys; one = serial.Serial(sys.argv[1], exclusive=True);"
             " print('held', flush=True); sys.stdin.read()", str(device.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        try:
            error = await self.failed(self.pool(a={}).find("a"), PortClosed)
            self.assertIn(f"(process {holder.pid})", str(error))
        finally:
            holder.stdin.close()
            holder.stdout.close()
            holder.wait()

    async def test_ours_is_locked_against_others(self) -> None:
        """While it is open, nobody else gets it exclusively; afterwards they do."""
        device = self.device()
        pool = self.pool(a={})
        other = os.open(device.path, os.O_RDWR | os.O_NOCTTY)
        self.addCleanup(os.close, other)
        self.assertRaises(BlockingIOError, fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        await pool.stopService()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_never_long_between_attempts(self) -> None:
        """However long a port has been away."""
        waits = [wait_before_attempt(failed) for failed in range(1, 2000)]
        self.assertEqual(max(waits), LONGEST_WAIT)

    def failed(self, port: Any, kind: type[Exception]) -> Deferred[Any]:
        """Asks something that must fail within 100 ms."""
        start = time.monotonic()
        failing = self.assertFailure(port.request(ME, 1, READ, Terms(5)), kind)
        return failing.addCallback(self.in_time, start)

    def in_time(self, error: Exception, start: float) -> Exception:
        """An error that came at once."""
        self.assertLess(time.monotonic() - start, 0.1)
        return error


class SettingsTests(PortTestCase):
    """Case 11: settings belong to the request."""

    async def test_case_11_alternating_speeds(self) -> None:
        """Every frame leaves at its own speed, on one descriptor."""
        device = self.device()
        port = self.pool(a={"baudrate": 9600, "share": False}).find("a")
        speeds = [9600, 4800, 9600, 4800, 9600, 9600, 4800]
        answers = [
            port.request(caller_of(client), 1, READ, Terms(5, serial=SerialSettings(baudrate=speed)))
            for client, speed in enumerate(speeds)
        ]
        await gatherResults(answers)
        self.assertEqual([one.baudrate for one in device.heard], speeds)

    async def test_units_with_settings_of_their_own(self) -> None:
        """A request that brings none leaves with its unit's; what it brings wins."""
        device = self.device()
        units = {3: UnitSettings(baudrate=4800), 4: UnitSettings(baudrate=19200, timeout=1.0)}
        port = self.pool(a={"baudrate": 9600, "units": units}).find("a")
        self.assertEqual(port.serial_for(3), SerialSettings(baudrate=4800))
        asked = [(3, None), (1, None), (4, None), (3, SerialSettings(baudrate=9600)), (3, None)]
        await gatherResults(port.request(ME, unit, READ, Terms(2, serial=serial)) for unit, serial in asked)
        self.assertEqual([one.baudrate for one in device.heard], [4800, 9600, 19200, 9600, 4800])

    async def test_settings_that_the_driver_refuses(self) -> None:
        """Their request fails with a sentence, the next one goes on at its own."""
        device = self.device()
        port = self.pool(a={}).find("a")
        odd = SerialSettings(baudrate=115200, stopbits=3)  # type: ignore[arg-type]
        error = await self.assertFailure(port.request(ME, 1, READ, Terms(2, serial=odd)), NotSent)
        self.assertIn("does not take", str(error))
        await port.request(ME, 1, READ, Terms(2))
        self.assertEqual(len(device.heard), 1)

    async def test_speeds_that_a_request_may_ask_for(self) -> None:
        """What is not allowed never reaches the bus: at 75 baud one reply would hold it for a minute."""
        device = self.device()
        for options, allowed, refused, told in (
            ({}, (1200, 31250, 115200), 1199, "1200 and above"),
            ({"baudrate": 300}, (300, 600), 299, "300 and above"),
            ({"baudrates": (4800, 2400)}, (115200, 4800, 2400), 9600, "2400, 4800, 115200"),
            ({"units": {7: UnitSettings(baudrate=600)}}, (600, 1200), 1199, "600, 1200 and above"),
            ({"baudrates": (4800,), "units": {7: UnitSettings(baudrate=2400)}}, (2400,), 9600, "2400, 4800, 115200"),
        ):
            pool = self.pool(a=options)
            port = pool.find("a")
            for speed in allowed:
                answer = port.request(ME, 1, READ, Terms(5, serial=SerialSettings(baudrate=speed)))
                self.assertEqual(await answer, ANSWER)
            heard = len(device.heard)
            refusing = port.request(ME, 1, READ, Terms(5, serial=SerialSettings(baudrate=refused)))
            error = self.failureResultOf(refusing, RequestError).value
            self.assertEqual(str(error), f"a may not be used at {refused} baud; its configuration allows {told}")
            self.assertEqual(len(device.heard), heard)
            await pool.stopService()

    async def test_pieces_and_noise(self) -> None:
        """A reply in pieces, with junk around it."""
        answer = reply_to(read(1, 5))
        self.device(respond=lambda frame: [b"\x00\xff", answer[:3], answer[3:], b"\x00"])
        port = self.pool(a={}).find("a")
        self.assertEqual(await port.request(ME, 1, READ, Terms(2)), ANSWER)

    async def test_unit_settings(self) -> None:
        """A unit's own response timeout is used."""
        self.device(respond=lambda frame: [])
        port = self.pool(a={"units": {3: UnitSettings(timeout=0.05, retries=0)}, "timeout": 9.0}).find("a")
        start = time.monotonic()
        await self.assertFailure(port.request(ME, 3, READ, Terms(8)), Exception)
        self.assertLess(time.monotonic() - start, 4)


class PoolTests(PortTestCase):
    """M15: ports opened at the first request, bounded, closed when idle."""

    async def test_opened_at_the_first_request(self) -> None:
        """Not before."""
        self.device()
        port = self.pool(a={"open": "request"}).find("a")
        self.assertNotEqual(port.describe().state, "open")
        self.assertEqual(await port.request(ME, 1, READ, Terms(2)), ANSWER)

    async def test_bound(self) -> None:
        """One more than allowed closes the one that has been idle longest, if its requests may open it again."""
        for name in ("tty0", "tty1", "tty2"):
            self.device(name)
        options = {name: {"path": str(self.folder / f"tty{number}"), "open": "request"}
                   for number, name in enumerate("abc")}
        pool = self.pool(2, **options)
        for name in ("a", "b", "c", "a"):
            await pool.find(name).request(ME, 1, READ, Terms(2))
            self.assertLessEqual(sum(one.is_supervised for one in pool), 2)
        self.assertEqual([one.is_supervised for one in pool], [True, False, True])

    async def test_bound_without_an_idle_one(self) -> None:
        """If all are in use, the request fails and says so."""
        self.device("tty0")
        self.device("tty1")
        pool = self.pool(1, a={}, b={"path": str(self.folder / "tty1"), "open": "request"})
        error = await self.assertFailure(pool.find("b").request(ME, 1, READ, Terms(2)), PortClosed)
        self.assertIn("1 ports are open already", str(error))

    async def test_idle_one_is_closed(self) -> None:
        """And opened again by its next request."""
        self.device()
        port = self.pool(a={"open": "request", "idle_close": 0.5}).find("a")
        await port.request(ME, 1, READ, Terms(2))
        assert isinstance(port, PortService)
        await self.until(lambda: not port.is_supervised)
        self.assertEqual(await port.request(ME, 1, READ, Terms(2)), ANSWER)

    async def test_request_while_it_is_being_closed(self) -> None:
        """It opens the port again when that is done; a cancelled one does not."""
        device = self.device()
        port = self.pool(a={"open": "request"}).find("a")
        await port.request(ME, 1, READ, Terms(2))
        assert isinstance(port, PortService)
        port.close_device()
        cancelled, kept = port.request(ME, 1, READ, Terms(2)), port.request(ME, 1, READ, Terms(2))
        cancelled.cancel()
        await self.assertFailure(cancelled, CancelledError)
        self.assertEqual(await kept, ANSWER)
        self.assertEqual(len(device.heard), 2)

    def test_unknown_port(self) -> None:
        """The error says which there are."""
        pool = PortPool({"a": PortSettings(path="/dev/x")}, reactor, time.monotonic)
        error = self.assertRaises(RequestError, pool.find, "/dev/y")
        self.assertIn("a (/dev/x)", str(error))
        self.addCleanup(pool.stopService)

    async def test_stopping_is_bounded(self) -> None:
        """After `stop_timeout` the callers of what is on the wire are told, and the port is closed."""
        for pdu, kind, told in (
            (READ, PortLost, "the service stops and does not wait for it any longer"),
            (bytes.fromhex("0600050001"), OutcomeUnknown, "was sent to unit 1 and a was lost before its reply came"),
        ):
            device = self.device(respond=lambda frame: [])
            pool = self.pool(a={"echo": "off", "timeout": 3600.0, "stop_timeout": 0.1})
            ended = self.assertFailure(pool.find("a").request(ME, 1, pdu, Terms(3600)), kind)
            await self.until(lambda device=device: device.heard)
            await pool.stopService()
            self.assertIn(told, str(self.successResultOf(ended)))
            device.stop()

    async def test_stopping_while_nothing_is_on_the_wire_waits_for_nothing(self) -> None:
        """Nor does it leave a delayed call behind, which trial would tell."""
        self.device()
        pool = self.pool(a={"stop_timeout": 3600.0})
        await pool.find("a").request(ME, 1, READ, Terms(2))
        await pool.stopService()

    async def test_cancelled(self) -> None:
        """A Deferred that is cancelled before its turn was not sent; one on the wire leaves the next one clean."""
        answers = [[], [reply_to(read(1, 5))]]
        device = self.device(respond=lambda frame: answers.pop(0))
        port = self.pool(a={"timeout": 0.3, "echo": "off"}).find("a")
        first = port.request(ME, 1, READ, Terms(5))
        second = port.request(ME, 1, READ, Terms(5))
        third = port.request(YOU, 1, READ, Terms(5))
        second.cancel()
        await self.assertFailure(second, Cancelled)
        await self.until(lambda: device.heard)
        first.cancel()
        await self.assertFailure(first, Cancelled)
        self.assertEqual(await third, ANSWER)
        self.assertEqual([one.data[1] for one in device.heard], [3, 8, 3])


class LogTests(PortTestCase):
    """What a port tells the log."""

    async def logged(self, port: Any, *pdus: bytes) -> list[dict[str, Any]]:
        """What is logged while these are asked."""
        with capturedLogs() as events:
            for pdu in pdus:
                await port.request(ME, 1, pdu, Terms(2)).addErrback(lambda failure: None)
        return [event for event in events if event["log_namespace"] == "lumina.port.a"]

    async def test_failures(self) -> None:
        """One line each, with what makes it the same again; a caller's mistake is the caller's."""
        refusal = append_crc(bytes((1, 0x83, 2)))
        answers = [[], [refusal], [reply_to(read(1, 5))], []]
        self.device(respond=lambda frame: answers.pop(0))
        port = self.pool(a={"timeout": 0.1, "retries": 0, "echo": "off"}).find("a")
        await self.until(lambda: port.describe().state == "open")
        write = bytes.fromhex("0600050001")
        events = await self.logged(port, READ, READ, READ, b"", write)
        self.assertEqual(
            [(one["log_level"].name, one["fold"]) for one in events],
            [("warn", (1, 3, "timeout")), ("info", (1, 3, "exception")), ("warn", (1, 6, "outcome_unknown"))],
        )
        self.assertEqual(
            formatEvent(events[0]), "a: unit 1 on a did not answer function 3, asked once; check its address, its"
            " settings and the wiring",
        )

    async def test_port_that_is_not_there(self) -> None:
        port = self.pool(a={"path": "/nonexistent/tty0"}).find("a")
        (event,) = await self.logged(port, READ)
        self.assertEqual((event["log_level"].name, event["fold"]), ("info", (1, 3, "port_closed")))

    async def test_frames(self) -> None:
        """In hex, both ways, and only if that is asked for."""
        self.device()
        port = self.pool(a={}).find("a")
        assert isinstance(port, PortService)
        self.assertEqual(await self.logged(port, READ), [])
        port.trace_frames(True)
        events = await self.logged(port, READ)
        self.assertEqual(
            [formatEvent(one) for one in events],
            [f"a > {read(1, 5).hex(' ')}", f"a < {reply_to(read(1, 5)).hex(' ')}"],
        )
        self.assertEqual({one["log_level"].name for one in events}, {"debug"})
        port.trace_frames(False)
        self.assertEqual(await self.logged(port, READ), [])


class EndpointTests(PortTestCase):
    """``serial:`` as a Twisted client endpoint."""

    async def test_connect(self) -> None:
        """The string makes a protocol on the device."""
        device = self.device()
        endpoint = clientFromString(reactor, f"serial:{device.path}:baudrate=19200")
        protocol = await endpoint.connect(Factory.forProtocol(Protocol))
        protocol.transport.write(read(1, 5))
        await self.until(lambda: device.heard)
        self.assertEqual([(one.data, one.baudrate) for one in device.heard], [(read(1, 5), 19200)])
        protocol.transport.loseConnection()
        await later(0.05)

    async def test_fails_with_a_sentence(self) -> None:
        """A device that is not there."""
        endpoint = clientFromString(reactor, f"serial:{self.folder}/none")
        error = await self.assertFailure(endpoint.connect(Factory.forProtocol(Protocol)), PortError)
        self.assertIn("there is no device", str(error))

    def test_wrong_setting(self) -> None:
        """An unknown key is refused with its path."""
        error = self.assertRaises(ConfigError, clientFromString, reactor, "serial:/dev/x:baudrat=1")
        self.assertIn("serial.baudrat", str(error))


class DirectionTests(PortTestCase):
    """RS-485 direction by the kernel, when asked."""

    async def test_what_the_kernel_is_told(self) -> None:
        """TIOCSRS485 with flags and delays (linux/serial.h: enabled 1, RTS on send 2, RTS after send 4)."""
        told: list[array.array[int]] = []
        ioctl = fcntl.ioctl

        def recording(fd: int, request: int, *rest: Any) -> Any:
            if request in (TIOCGRS485, TIOCSRS485):
                if request == TIOCSRS485:
                    told.append(rest[0][:3])
                return 0
            return ioctl(fd, request, *rest)

        self.patch(serial.serialposix.fcntl, "ioctl", recording)
        self.device()
        options = {"rs485": True, "rs485_delay_before_send": 1.0, "rs485_delay_after_send": 2.0}
        port = self.pool(a=options).find("a")
        self.assertEqual(port.describe().state, "open")
        self.assertEqual([list(one) for one in told], [[1 | 2, 1, 2]])

    async def test_a_driver_that_cannot(self) -> None:
        """It is said, and nothing raises."""
        self.device()
        port = self.pool(a={"rs485": True}).find("a")
        error = await self.assertFailure(port.request(ME, 1, READ, Terms(1)), PortClosed)
        self.assertIn("cannot be opened", str(error))


class DiagnosisTests(SynchronousTestCase):
    """Sentences for what a system says in numbers."""

    def test_sentences(self) -> None:
        """Each names the device and what to do."""
        here = self.mktemp()
        pathlib.Path(here).touch()
        for number, expected in (
            (errno.ENOENT, "there is no device"), (errno.EBUSY, "is in use by"), (errno.EINVAL, "no serial device"),
            (errno.EIO, "has no hardware behind it"), (errno.EMFILE, "cannot be opened (Too many open files)"),
        ):
            sentence = why_not_open(here if number != errno.ENOENT else "/nowhere", OSError(number, "x"))
            self.assertIn(expected, sentence)

    def test_what_is_no_serial_device(self) -> None:
        """Opened for real: the number is in what pyserial's error was raised from."""
        file, folder = self.mktemp(), self.mktemp()
        pathlib.Path(file).touch()
        pathlib.Path(folder).mkdir()
        for path, expected in (
            (file, f"{file} is a file and no serial device; "),
            (folder, f"{folder} is a folder and no serial device; "),
            ("/dev/null", "/dev/null is no serial device, or does not take these settings (Inappropriate ioctl for"),
        ):
            endpoint = clientFromString(reactor, f"serial:{path}")
            error = self.failureResultOf(endpoint.connect(Factory.forProtocol(Protocol)), PortError).value
            self.assertTrue(str(error).startswith(expected), error)

    def test_why_lost(self) -> None:
        """Without Twisted's words about connections."""
        self.assertEqual(why_lost(ConnectionLost()), "the device hung up")
        self.assertEqual(why_lost(ConnectionLost("Input/output error")), "Input/output error")

    def test_permission(self) -> None:
        """The group to join is named."""
        here = self.mktemp()
        pathlib.Path(here).touch()
        self.patch(os, "access", lambda path, mode: False)
        self.assertIn("sudo usermod -aG", why_not_open(here, OSError(errno.EACCES, "x")))
        self.patch(grp, "getgrgid", lambda number: Mock(gr_name="nogroup"))
        self.assertIn("in a service DeviceAllow=, would have to", why_not_open(here, OSError(errno.EACCES, "x")))


class TimerTests(TestCase):
    """The one delayed call of a port."""

    async def test_fine_timer(self) -> None:
        """Calls back in time, and only once; putting it off costs an early call at most."""
        called: list[float] = []
        timer = make_timer(reactor, time.monotonic, lambda: called.append(time.monotonic()))
        self.assertIsInstance(timer, FineTimer)
        start = time.monotonic()
        timer.set(start + 0.02)
        timer.set(start + 5)
        await later(0.1)
        self.assertEqual(len(called), 1)
        self.assertGreaterEqual(called[0] - start, 0.0195)
        timer.set(time.monotonic() + 0.01)
        timer.close()
        await later(0.05)
        self.assertEqual(len(called), 1)

    async def test_call_later_timer(self) -> None:
        """Where there is no timerfd."""
        called: list[float] = []
        timer = CallLaterTimer(reactor, time.monotonic, lambda: called.append(time.monotonic()))
        timer.set(time.monotonic() + 5)
        timer.set(time.monotonic() + 0.01)
        timer.set(None)
        await later(0.05)
        self.assertEqual(len(called), 1)
        timer.set(time.monotonic() + 0.01)
        timer.close()
        await later(0.05)
        self.assertEqual(len(called), 1)
