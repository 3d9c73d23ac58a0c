"""What libmodbus's own unit tests demand, through the gateway: a device on libmodbus with registers that misbehave, and
a Modbus TCP client. Whatever a register does, its request ends in time, and the next one is right."""

from __future__ import annotations

import pathlib
import subprocess
import tempfile
import time
import unittest

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from benchmarks.rig import Lumina
from interop.device import Wire

HERE = pathlib.Path(__file__).parent
UNIT = 5
SHORT, ALSO_SHORT, BUSY, ILLEGAL, SLOW, DRIPPING = 10, 11, 20, 21, 30, 31
AT_ONCE, IN_TIME = 0.1, 0.8
NO_REPLY = 0x0B


class UnitTests(unittest.TestCase):
    """A port with ``timeout=0.6:retries=0``, a listener with ``timeout=0.7``."""

    program: str
    folder: tempfile.TemporaryDirectory[str]

    @classmethod
    def setUpClass(cls) -> None:
        """The device, compiled once."""
        cls.folder = tempfile.TemporaryDirectory()
        cls.program = f"{cls.folder.name}/device"
        source = str(HERE / "libmodbus_odd_device.c")
        subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", cls.program, source, "-lmodbus"], check=True)
        cls.addClassCleanup(cls.folder.cleanup)

    def setUp(self) -> None:
        """The device, the daemon and the client."""
        wire = Wire()
        self.addCleanup(wire.cut)
        device = subprocess.Popen([self.program, wire.theirs, "115200"], stdout=subprocess.PIPE, text=True)
        assert device.stdout is not None
        self.addCleanup(device.stdout.close)
        self.addCleanup(device.wait)
        self.addCleanup(device.kill)
        self.assertEqual(device.stdout.readline().strip(), "ready")
        daemon = Lumina(wire.ours, ":baudrate=115200:timeout=0.6:retries=0", listener=",timeout=0.7")
        self.addCleanup(daemon.stop)
        self.client = ModbusTcpClient("127.0.0.1", port=daemon.modbus_port, timeout=3, retries=0)
        self.addCleanup(self.client.close)
        until = time.monotonic() + 10
        while not self.client.connect():
            self.assertLess(time.monotonic(), until)
        self.read(0, 1)

    def read(self, address: int, count: int, within: float = IN_TIME) -> list[int] | int:
        """The values, or the code of the exception."""
        began = time.monotonic()
        reply = self.client.read_holding_registers(address, count=count, device_id=UNIT)
        self.assertLess(time.monotonic() - began, within, (address, count))
        return int(reply.exception_code) if reply.isError() else list(reply.registers)

    def test_exceptions_after_a_short_reply(self) -> None:
        """06 and 03 come at once, whatever shape is asked for, and whatever was read before."""
        self.check_exceptions(None)
        self.check_exceptions((1, 1))

    def test_exceptions_after_what_may_be_a_copy(self) -> None:
        """A short reply that equals the reply before: a proof goes ahead. The bus learns first that this device does
        not answer function 8 in time."""
        for count in (1, 2, 3) * 2:
            self.read(SHORT, 1)
            self.read(SHORT, 2)
            self.read(BUSY, count)
        self.check_exceptions((SHORT, 1))

    def check_exceptions(self, before: tuple[int, int] | None) -> None:
        """After a read of ``before``, and a short reply."""
        for address, code in ((BUSY, 6), (ILLEGAL, 3)):
            for count in (1, 2, 3):
                with self.subTest(code=code, count=count):
                    if before is not None:
                        self.read(*before)
                    self.assertEqual(self.read(SHORT, 2), NO_REPLY)
                    self.assertEqual(self.read(address, count, AT_ONCE), code)
                    self.assertEqual(self.read(3, count, AT_ONCE), [2003, 2004, 2005][:count])

    def test_values_after_a_short_reply(self) -> None:
        """Of its own shape and of others; after one, and after two in a row."""
        for count in (1, 2, 3):
            self.assertEqual(self.read(SHORT, 2), NO_REPLY)
            self.assertEqual(self.read(40, count, AT_ONCE), [2040, 2041, 2042][:count])
            self.assertEqual([self.read(SHORT, 2), self.read(ALSO_SHORT, 2)], [NO_REPLY, NO_REPLY])
            self.assertEqual(self.read(50, count, AT_ONCE), [2050, 2051, 2052][:count])

    def test_exceptions(self) -> None:
        """Each is the device's own, at once, and the next value is right."""
        for address, code in ((BUSY, 6), (ILLEGAL, 3)) * 3:
            self.assertEqual(self.read(address, 1, AT_ONCE), code)
            self.assertEqual(self.read(7, 1, AT_ONCE), [2007])

    def test_the_same_refusal_again(self) -> None:
        """libmodbus refuses an address that it has not after 0.5 s; twice the same is no copy."""
        for _ in range(3):
            self.assertEqual(self.read(99, 2), 2)
            self.assertEqual(self.read(5, 2, AT_ONCE), [2005, 2006])
        self.assertEqual([self.read(99, 2) for _ in range(3)], [2, 2, 2])

    def test_slow(self) -> None:
        """0.5 s are within the port's 0.6 s; the next one is not delayed."""
        for _ in range(2):
            self.assertEqual(self.read(SLOW, 1), [2030])
            self.assertEqual(self.read(8, 1, AT_ONCE), [2008])

    def test_a_client_that_gives_up_before_a_slow_reply(self) -> None:
        """And asks again on another connection: it gets its own value."""
        hasty = ModbusTcpClient("127.0.0.1", port=self.client.comm_params.port, timeout=0.2, retries=0)
        with hasty, self.assertRaises(ModbusIOException):
            hasty.read_holding_registers(SLOW, count=1, device_id=UNIT)
        self.assertEqual(self.read(9, 1), [2009])
        self.assertEqual(self.read(SLOW, 1), [2030])

    def test_bytes_apart(self) -> None:
        """5 ms between bytes, many times T3.5, do not end a reply."""
        for _ in range(3):
            self.assertEqual(self.read(DRIPPING, 1, 0.2), [2031])
            self.assertEqual(self.read(DRIPPING, 2, AT_ONCE), [2031, 2032])
