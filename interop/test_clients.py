"""Clients that others wrote, unmodified, through the real daemon to a device on pymodbus: each reads and writes all
four tables and is told an exception."""

from __future__ import annotations

import asyncio
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest
from typing import Any

import minimalmodbus
from pymodbus.client import AsyncModbusTcpClient, ModbusSerialClient, ModbusTcpClient

from benchmarks.rig import BIN, Busim, Lumina
from interop.device import PYMODBUS_DEVICE, Wire

HERE = pathlib.Path(__file__).parent
EXPECTED = [
    [0, 1, 0, 1, 0, 1, 0, 1], [1, 0, 0, 1, 0, 0, 1, 0], [2003, 2004], [1003, 1004], [0, 1, 0, 1, 1, 0, 1, 0],
    [3000, 2008, 2730, 3003], 2,
]
"""Coils, discrete inputs, holding and input registers; after the writes coils and holding registers; the exception's
code where there is no register."""


class Case(unittest.TestCase):
    """The device, the daemon, and a folder for a virtual serial port."""

    def setUp(self) -> None:
        wire = Wire()
        self.addCleanup(wire.cut)
        device = subprocess.Popen(
            [sys.executable, "-c", PYMODBUS_DEVICE, wire.theirs, "19200"], stdout=subprocess.PIPE, text=True
        )
        assert device.stdout is not None
        self.addCleanup(device.stdout.close)
        self.addCleanup(device.wait)
        self.addCleanup(device.kill)
        self.assertEqual(device.stdout.readline().strip(), "ready")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tty = f"{folder.name}/ttyMODBUS0"
        self.daemon = Lumina(
            wire.ours, ":baudrate=19200", more=("--listen", f"rtu-pty,timeout=1.8={self.tty}")
        )
        self.addCleanup(self.daemon.stop)
        time.sleep(0.3)

    def run_client(self, *command: str) -> Any:
        """What a client of another language found."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)


class ModbusTcp(Case):
    """Over Modbus TCP."""

    def test_pymodbus(self) -> None:
        """Its synchronous client."""
        with ModbusTcpClient("127.0.0.1", port=self.daemon.modbus_port, timeout=5) as client:
            self.assertEqual(with_pymodbus(client), EXPECTED)

    def test_pymodbus_async(self) -> None:
        """Its asyncio client."""

        async def whole() -> list[Any]:
            client = AsyncModbusTcpClient("127.0.0.1", port=self.daemon.modbus_port, timeout=5)
            await client.connect()
            found = [
                bits(await client.read_coils(0, count=8, device_id=5)),
                bits(await client.read_discrete_inputs(0, count=8, device_id=5)),
                (await client.read_holding_registers(3, count=2, device_id=5)).registers,
                (await client.read_input_registers(3, count=2, device_id=5)).registers,
            ]
            await client.write_coil(2, False, device_id=5)
            await client.write_register(7, 3000, device_id=5)
            await client.write_coils(4, [True, False, True, False], device_id=5)
            await client.write_registers(9, [2730, 3003], device_id=5)
            found.append(bits(await client.read_coils(0, count=8, device_id=5)))
            found.append((await client.read_holding_registers(7, count=4, device_id=5)).registers)
            found.append((await client.read_holding_registers(65535, count=1, device_id=5)).exception_code)
            client.close()
            return found

        self.assertEqual(asyncio.run(whole()), EXPECTED)

    def test_libmodbus(self) -> None:
        """A program in C."""
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(self.run_client(libmodbus_client(folder), str(self.daemon.modbus_port)), EXPECTED)

    def test_node_modbus_serial(self) -> None:
        """A program in JavaScript."""
        found = self.run_client("node", str(HERE / "node_client.js"), str(self.daemon.modbus_port))
        self.assertEqual(found, EXPECTED)

    def test_mbpoll(self) -> None:
        """The command line tool."""
        found: list[Any] = [self.poll("-t", "0", "-c", "8"), self.poll("-t", "1", "-c", "8"),
                            self.poll("-t", "4", "-r", "4", "-c", "2"), self.poll("-t", "3", "-r", "4", "-c", "2")]
        writes = (("0", "3", "0"), ("4", "8", "3000"), ("0", "5", "1 0 1 0"), ("4", "10", "2730 3003"))
        for table, first, values in writes:
            self.assertIn("Written ", self.mbpoll("-t", table, "-r", first, values=values).stdout)
        found += [self.poll("-t", "0", "-c", "8"), self.poll("-t", "4", "-r", "8", "-c", "4")]
        self.assertEqual(found, EXPECTED[:-1])
        self.assertIn("Illegal data address", self.mbpoll("-t", "4", "-r", "65536", "-1").stderr)

    def poll(self, *words: str) -> list[int]:
        """The values that it shows."""
        told = self.mbpoll(*words, "-1").stdout
        return [int(value) for value in re.findall(r"^\[\d+\]:\s+(\d+)", told, re.MULTILINE)]

    def mbpoll(self, *options: str, values: str = "") -> subprocess.CompletedProcess[str]:
        """One run of it."""
        command = ["mbpoll", "-m", "tcp", "-a", "5", "-p", str(self.daemon.modbus_port), *options, "127.0.0.1"]
        command += values.split()
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class VirtualSerialPort(Case):
    """Through the virtual serial port, as programs that only know serial Modbus RTU."""

    def test_pymodbus(self) -> None:
        """Its serial client."""
        with ModbusSerialClient(self.tty, baudrate=9600, timeout=2) as client:
            self.assertEqual(with_pymodbus(client), EXPECTED)

    def test_libmodbus(self) -> None:
        """The program in C."""
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(self.run_client(libmodbus_client(folder), self.tty), EXPECTED)

    def test_minimalmodbus(self) -> None:
        """Which opens and closes the port for each call, and once keeps it open."""
        for close in (False, True):
            client = instrument(self.tty, 5, 2.0)
            client.close_port_after_each_call = close
            found = [
                client.read_bits(0, 8, 1), client.read_bits(0, 8, 2), client.read_registers(3, 2, 3),
                client.read_registers(3, 2, 4),
            ]
            client.write_bit(2, 0, 5)
            client.write_register(7, 3000, functioncode=6)
            client.write_bits(4, [1, 0, 1, 0])
            client.write_registers(9, [2730, 3003])
            found += [client.read_bits(0, 8, 1), client.read_registers(7, 4, 3)]
            if not close:
                self.assertEqual(found, EXPECTED[:-1])
            self.assertEqual(found[4:], EXPECTED[4:-1])
            with self.assertRaises(minimalmodbus.IllegalRequestError):
                client.read_registers(65535, 1)
            client.serial.close()


class SharedWithEverybody(unittest.TestCase):
    """One program on the virtual serial port beside ten on Modbus TCP, on a bus with real wire time."""

    def run_beside_a_load(self, timeout: float, listener_timeout: float) -> tuple[list[int], int, Any, Any]:
        """Reads whose values are known for four seconds: those that were wrong, how many failed, and what the load and
        the bus counted."""
        bus = Busim("--baud", "19200", "--turnaround-us", "1000")
        self.addCleanup(bus.stop)
        with tempfile.TemporaryDirectory() as folder:
            tty = f"{folder}/tty"
            daemon = Lumina(
                bus.path, ":baudrate=19200", more=("--listen", f"rtu-pty,timeout={listener_timeout}={tty}")
            )
            self.addCleanup(daemon.stop)
            time.sleep(0.3)
            bus.reset()
            load = subprocess.Popen(
                [str(BIN / "mbload"), "--target", f"127.0.0.1:{daemon.modbus_port}@0", "--conns", "10", "--count", "10",
                 "--seconds", "4"], stdout=subprocess.PIPE, text=True,
            )
            client, wrong, failed, number = instrument(tty, 3, timeout), [], 0, 0
            expected = dict.fromkeys(range(0, 400, 7))
            while load.poll() is None:
                address = 7 * (number % 58)
                number += 1
                try:
                    value = client.read_register(address)
                except OSError:
                    failed += 1
                    continue
                known = expected[address]
                if known is None:
                    expected[address] = value
                elif known != value:
                    wrong.append(address)
            counts = json.loads(load.communicate()[0])
            self.assertEqual(len({value for value in expected.values() if value is not None}),
                             sum(value is not None for value in expected.values()), "each register has its own value")
            return wrong, failed, counts, bus.report()

    def test_patient(self) -> None:
        """With two seconds of patience all goes well."""
        wrong, failed, load, bus = self.run_beside_a_load(2.0, 1.8)
        self.assertEqual((wrong, failed, load["wrong"], load["errors"]), ([], 0, 0, 0), load)
        self.assertEqual((bus["early"], bus["collision"], bus["bad_crc"]), (0, 0, 0))

    def test_impatient(self) -> None:
        """With 50 ms on a slow bus there are errors, but no wrong value."""
        wrong, failed, load, bus = self.run_beside_a_load(0.05, 0.45)
        self.assertEqual((wrong, load["wrong"]), ([], 0))
        self.assertGreater(failed, 10)
        self.assertEqual((bus["early"], bus["collision"], bus["bad_crc"]), (0, 0, 0))


def with_pymodbus(client: Any) -> list[Any]:
    """What a synchronous client of pymodbus finds."""
    found = [
        bits(client.read_coils(0, count=8, device_id=5)), bits(client.read_discrete_inputs(0, count=8, device_id=5)),
        client.read_holding_registers(3, count=2, device_id=5).registers,
        client.read_input_registers(3, count=2, device_id=5).registers,
    ]
    client.write_coil(2, False, device_id=5)
    client.write_register(7, 3000, device_id=5)
    client.write_coils(4, [True, False, True, False], device_id=5)
    client.write_registers(9, [2730, 3003], device_id=5)
    found.append(bits(client.read_coils(0, count=8, device_id=5)))
    found.append(client.read_holding_registers(7, count=4, device_id=5).registers)
    found.append(client.read_holding_registers(65535, count=1, device_id=5).exception_code)
    return found


def bits(reply: Any) -> list[int]:
    """Its eight bits as numbers."""
    return [int(bit) for bit in reply.bits[:8]]


def instrument(tty: str, unit: int, timeout: float) -> Any:
    """An unmodified minimalmodbus, but for its timeout."""
    made = minimalmodbus.Instrument(tty, unit)
    made.serial.timeout = timeout
    return made


def libmodbus_client(folder: str) -> str:
    """The program in C, built."""
    program = f"{folder}/client"
    subprocess.run(["gcc", "-O2", "-o", program, str(HERE / "libmodbus_client.c"), "-lmodbus"], check=True)
    return program


