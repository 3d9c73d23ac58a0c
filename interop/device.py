"""A device on pymodbus behind a pair of terminals of socat: unit 5 with four tables of 100 entries."""

from __future__ import annotations

import pathlib
import subprocess
import tempfile
import time

PYMODBUS_DEVICE = """
import asyncio, sys
from pymodbus import FramerType
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import StartAsyncSerialServer

def table(value):
    return ModbusSequentialDataBlock(1, [value(i) for i in range(100)])

tables = ModbusDeviceContext(
    di=table(lambda i: i % 3 == 0), co=table(lambda i: i % 2),
    hr=table(lambda i: 2000 + i), ir=table(lambda i: 1000 + i),
)
print("ready", flush=True)
asyncio.run(StartAsyncSerialServer(
    ModbusServerContext(devices={5: tables}, single=False), framer=FramerType.RTU, port=sys.argv[1],
    baudrate=int(sys.argv[2]),
))
"""


class Wire:
    """A pair of pseudo-terminals that socat connects."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.ours, self.theirs = f"{self._folder.name}/ours", f"{self._folder.name}/theirs"
        self._socat = subprocess.Popen(
            ["socat", f"pty,raw,echo=0,link={self.ours}", f"pty,raw,echo=0,link={self.theirs}"]
        )
        while not (pathlib.Path(self.ours).exists() and pathlib.Path(self.theirs).exists()):
            time.sleep(0.01)

    def cut(self) -> None:
        """Ends it."""
        self._socat.terminate()
        self._socat.wait()
        self._folder.cleanup()
