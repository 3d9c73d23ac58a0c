"""Seeded gateways that do everything odd at once: late, kept over connections, doubled, cut, wrong headers, resets. No
value is ever another request's, no write is confirmed that was not carried out, and none is sent twice."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.bus import Bus, Renewal
from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.pending import Pending
from lumina_twisted.errors import FrameError
from lumina_twisted.framing.mbap import Adu, MbapDecoder
from lumina_twisted.framing.mbap import encode_adu as mbap
from lumina_twisted.framing.numbered import MbapFraming, Numbers
from lumina_twisted.framing.rtu import encode_adu as rtu
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.settings import PortSettings
from tests.bus.world import ask

SEEDS, STEPS = 400, 60
SERIAL = SerialSettings()


class Walk:
    """One gateway, two clients, some seconds."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        settings = PortSettings(path="modbus+tcp:h", timeout=0.5, retries=self.random.choice((0, 2)), offline_after=0)
        self.bus = Bus(settings.of_the_bus(), framing=MbapFraming(Numbers(self.random.randrange(65536))))
        self.now = 0.0
        self.kept: list[tuple[float, list[bytes]]] = []
        self.carried_out: Counter[int] = Counter()
        self.asked: list[Pending] = []
        self.wrong: list[object] = []
        self.answered = 0
        self.connect()

    def connect(self) -> None:
        """A new connection; what the gateway kept comes over it."""
        self.decoder = MbapDecoder()
        self.bus.port_opened(self.now)
        self.collect()

    def lose(self) -> None:
        """The connection ends."""
        self.bus.connection_lost(self.now, "it was lost")
        if self.random.random() < 0.1:
            self.bus.port_lost(self.now, "it refuses")
        self.connect()

    def ask(self) -> None:
        """A read of a register of its own, or a write of a number of its own."""
        number = len(self.asked)
        pdu = (b"\x03" if self.random.random() < 0.6 else b"\x06") + number.to_bytes(2, "big")
        frame = rtu(self.random.choice((1, 1, 2)), pdu + (b"\0\1" if pdu[0] == 3 else number.to_bytes(2, "big")))
        request = ask(self.random.choice("ab"), frame, SERIAL, self.now + self.random.choice((0.4, 2.0, 6.0)))
        self.asked.append(self.bus.submit(request, self.now))
        self.collect()

    def collect(self) -> None:
        """As a port does it."""
        while (frame := self.bus.next_frame()) is not None:
            for adu in self.decoder.receive(frame.data):
                self.kept += [(self.now + after, pieces) for after, *pieces in self.replies(adu)]
        while (event := self.bus.next_event()) is not None:
            if isinstance(event, Reply):
                self.answered += 1
                self.judge(event)
        assert self.bus.renewal is not Renewal.WANTED, "nothing is in doubt where replies are numbered"

    def judge(self, reply: Reply) -> None:
        address = reply.request.pdu[1:3]
        is_of_read = reply.pdu[0] == 3
        if not (reply.pdu[2:4] == address if is_of_read else self.carried_out[int.from_bytes(address, "big")]):
            self.wrong.append(reply)

    def replies(self, adu: Adu) -> list[tuple[Any, ...]]:
        """What the gateway sends: after how long, and in which pieces."""
        if adu.pdu[0] == 6:
            self.carried_out[int.from_bytes(adu.pdu[1:3], "big")] += self.random.random() < 0.9 or 0
            if not self.carried_out[int.from_bytes(adu.pdu[1:3], "big")]:
                return []
        pdu = b"\x03\x02" + adu.pdu[1:3] if adu.pdu[0] == 3 else adu.pdu
        good, after = mbap(adu.transaction_id, adu.unit, pdu), self.random.choice((0.01, 0.01, 0.3, 0.7, 3.0))
        head = good[:4]
        return self.random.choice((
            [(after, good)], [(after, good)], [(after, good), (after + 0.01, good)], [],
            [(after, head + self.random.randrange(2, 300).to_bytes(2, "big") + good[6:])],
            [(after, head + b"\0\1" + good[6:7])], [(after, good[: self.random.randrange(6, len(good))])],
            [(after, mbap(adu.transaction_id, adu.unit, b"\x04\x02\xee\xee"))],
            [(after, head + b"\0\4" + good[6:7] + bytes((adu.pdu[0] | 0x80, 6)))],
            [(after, mbap(self.random.randrange(65536), adu.unit, b"\x03\x02\xee\xee")), (after, good)],
            [(after, good[:6], good[6:])], [(after, good[:9], good[9:])],
        ))

    def hear(self, data: bytes) -> None:
        """Bytes come in pieces."""
        try:
            self.bus.receive_data(data, self.now)
            self.collect()
        except FrameError:
            self.lose()

    def step(self) -> None:
        """Time goes on."""
        self.now += self.random.choice((0.005, 0.05, 0.3))
        self.kept.sort()
        while self.kept and self.kept[0][0] <= self.now:
            for data in self.kept.pop(0)[1]:
                self.hear(data)
        if self.random.random() < 0.05:
            self.lose()  # what is kept comes over the next connection
        self.bus.handle_timer(self.now)
        self.collect()

    def play(self) -> Walk:
        for _ in range(STEPS):
            if self.random.random() < 0.3:
                self.ask()
            self.step()
        self.kept.clear()
        for _ in range(200):
            self.step()
        return self


class OddGateways(SynchronousTestCase):
    """Whatever they do."""

    def test_no_value_is_anothers_and_no_write_goes_twice(self) -> None:
        answered = asked = 0
        for seed in range(SEEDS):
            walk = Walk(seed).play()
            self.assertEqual(walk.wrong, [], seed)
            self.assertLessEqual(max(walk.carried_out.values(), default=0), 1, seed)
            self.assertTrue(all(one.done for one in walk.asked), seed)
            answered, asked = answered + walk.answered, asked + len(walk.asked)
        self.assertGreater(answered, asked / 5)
