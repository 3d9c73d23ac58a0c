"""A client whose server is restarted under it: every Deferred fires exactly once."""

from __future__ import annotations

import itertools
from collections import Counter

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import OutcomeUnknown
from lumina_twisted.modbus import pdu
from lumina_twisted.testing import MemoryPort, MemoryServer

COMMANDS = 10_000
IN_FLIGHT = 500
RESTARTS = {2_500, 5_000, 7_500}


class Restarts(SynchronousTestCase):
    """10,000 commands, 500 in flight, three restarts; every fifth is a write."""

    def setUp(self) -> None:
        self.port = MemoryPort()
        self.server = MemoryServer(self.port)
        self.client = self.server.client(timeout=60)
        self.numbers = iter(range(COMMANDS))
        self.fired: Counter[int] = Counter()
        self.ends: Counter[str] = Counter()
        self.wrong = 0

    def ask(self, number: int) -> None:
        unit = self.client.port("boiler").unit(1)
        if number % 5 == 0:
            asked: Deferred[object] = unit.write_single_register(number, 1)  # type: ignore[assignment]
        else:
            asked = unit.read_holding_registers(number)  # type: ignore[assignment]
        asked.addBoth(self.ended, number)

    def ended(self, result: object, number: int) -> None:
        self.fired[number] += 1
        kind = "write" if number % 5 == 0 else "read"
        if kind == "read" and result != (number,):
            self.wrong += 1
        self.ends[f"{kind} {getattr(getattr(result, 'value', None), 'token', 'ok')}"] += 1
        for following in itertools.islice(self.numbers, 1):
            self.ask(following)

    def test_every_deferred_fires_once(self) -> None:
        for number in itertools.islice(self.numbers, IN_FLIGHT):
            self.ask(number)
        restarts, executed = set(RESTARTS), Counter[int]()
        while len(self.fired) < COMMANDS:
            waiting = [one for one in self.port.asked if not one.answer.called]
            self.port.asked = waiting
            if not waiting:
                self.server.clock.advance(0.2)
            for asked in waiting[:7]:
                address = int.from_bytes(asked.pdu[1:3], "big")
                if asked.pdu[0] == 6:
                    executed[address] += 1
                    asked.end(pdu.WriteSingleRegisterReply(address, 1))
                else:
                    asked.end(pdu.ReadHoldingRegistersReply([address]))
            if restarts and len(self.fired) >= min(restarts):
                restarts.remove(min(restarts))
                self.server.refuses = True
                self.server.lose_connections()
                self.server.clock.advance(0.3)
                self.server.refuses = False
        self.assertEqual((set(self.fired.values()), self.wrong), ({1}, 0))
        self.assertEqual(max(executed.values()), 1, "a write was carried out twice")
        self.assertEqual(set(self.ends), {"read ok", "write ok", f"write {OutcomeUnknown.token}"})
        self.assertEqual(self.ends["read ok"], COMMANDS * 4 // 5)
        self.assertLessEqual(self.ends["write outcome_unknown"], 3 * 64)
        self.client.close()
