"""A client over real restarts of the real server, on a simulated bus: every Deferred fires exactly once."""

from __future__ import annotations

import itertools
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lumina_twisted.client import LuminaModbusClient
from tests.twistd_process import environment, free_tcp_port, twistd_command

COMMANDS = 10_000
IN_FLIGHT = 500
RESTARTS = {2_500: signal.SIGKILL, 5_000: signal.SIGTERM, 7_500: signal.SIGKILL}
SIMULATE = [sys.executable, "-c", "import sys; from lumina_twisted.cli.main import main; sys.exit(main())", "simulate"]


class Restarts(TestCase):
    """10,000 commands over one client, every fifth a write."""

    timeout = 500

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.tty = str(self.folder / "tty")
        (self.folder / "bus.toml").write_text(
            f'[buses.b]\nlink = "{self.tty}"\nbaudrate = 115200\n[buses.b.units.1.holding_registers]\n0 = 7\n'
        )
        self.bus = subprocess.Popen([*SIMULATE, "bus.toml"], cwd=self.folder, env=environment(), stdout=subprocess.PIPE)
        assert self.bus.stdout is not None
        self.bus.stdout.readline()
        self.tcp_port = free_tcp_port()
        self.server = self.start()
        self.client = LuminaModbusClient(port=self.tcp_port, timeout=60)
        self.unit = self.client.port("b").unit(1)
        self.numbers = iter(range(COMMANDS))
        self.fired: Counter[int] = Counter()
        self.ends: Counter[str] = Counter()
        self.restarts = dict(RESTARTS)
        self.all_fired: Deferred[None] = Deferred()

    def tearDown(self) -> Deferred[None]:
        self.server.kill()
        self.server.wait()
        self.bus.terminate()
        self.bus.communicate()
        return self.client.close()

    def start(self) -> subprocess.Popen[bytes]:
        words = twistd_command(
            "--port", f"b={self.tty}:baudrate=115200", "--listen", f"line=tcp:{self.tcp_port}:interface=127.0.0.1",
            "--log", "console=off",
        )
        return subprocess.Popen(words, cwd=self.folder, env=environment())

    def ask(self, number: int) -> None:
        asked: Deferred[Any] = (
            self.unit.read_holding_registers(0) if number % 5 else self.unit.write_single_register(9, number)
        )
        asked.addBoth(self.ended, number)

    def ended(self, result: Any, number: int) -> None:
        self.fired[number] += 1
        kind = "read" if number % 5 else "write"
        self.ends[f"{kind} {getattr(getattr(result, 'value', None), 'token', result)}"] += 1
        if self.restarts and len(self.fired) >= min(self.restarts):
            self.server.send_signal(self.restarts.pop(min(self.restarts)))
            self.server.wait()
            self.server = self.start()
        for following in itertools.islice(self.numbers, 1):
            self.ask(following)
        if len(self.fired) == COMMANDS and not self.all_fired.called:
            self.all_fired.callback(None)

    def test_every_deferred_fires_once(self) -> Deferred[None]:
        for number in itertools.islice(self.numbers, IN_FLIGHT):
            self.ask(number)
        return self.all_fired.addCallback(self.judge)

    def judge(self, _: None) -> None:
        self.assertEqual(set(self.fired.values()), {1})
        self.assertEqual(self.ends.pop("read (7,)"), COMMANDS * 4 // 5)
        self.assertGreater(self.ends.pop("write None"), 1700)
        self.assertEqual(set(self.ends), {"write outcome_unknown"})
