"""How old values are: each register holds the time at which its device looked. Whoever shares, merges, asks again, or
is content with old values, nobody is given one from before its question, or older than it said; none is torn, and no
sample claims to be younger than it is."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Reply, Sample
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.settings import BusSettings, UnitSettings
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.test_sharing import SharedWorld
from tests.bus.world import Sent, read, write

TICK = 0.005
"""Seconds for which a register's value stands."""


class Clockwork(SharedWorld):
    """Its devices look when a question has arrived whole, however late they answer."""

    def answer(self, sent: Sent | None = None, *, refuses: bool = False) -> None:
        """See :class:`tests.bus.test_sharing.SharedWorld`."""
        sent = sent or self.sent[-1]
        if sent.frame[1] != 3 or refuses:
            super().answer(sent, refuses=refuses)
            return
        sent.answered = True
        looked = int((sent.until - 100.0) / TICK)
        self.advance(max(0.0, sent.until - self.now) + 0.001)
        data = looked.to_bytes(2, "big") * int.from_bytes(sent.frame[4:6], "big")
        self.hear(encode_adu(sent.frame[0], bytes((3, len(data))) + data))

    def _on_sample(self, sample: Sample) -> None:
        self.samples.append(sample)
        if sample.is_read and sample.sampled_after > until_of(sample.reply):
            self.wrong.append(f"a sample of {until_of(sample.reply)} counts from {sample.sampled_after}")


def until_of(reply: bytes) -> float:
    """When the value that a reply's PDU tells was the device's last."""
    return 100.0 + (int.from_bytes(reply[2:4], "big") + 1) * TICK


class Ages(SynchronousTestCase):
    """Seeded crowds on two units."""

    def test_crowds(self) -> None:
        found = [self.crowd(random.Random(seed)) for seed in range(400)]
        self.assertGreater(sum(found), 4000)

    def crowd(self, chance: random.Random) -> int:
        world = Clockwork(BusSettings(
            timeout=0.1, echo="off", retries=chance.randrange(3), merge=chance.random() < 0.5, merge_hole=2,
            units={2: UnitSettings(max_age=0.2)},
        ))
        asked: dict[Pending, float] = {}
        ended: dict[Pending, float] = {}
        kinds = ("read", "write", "cancel", "lose", "answer", "late", "pass")
        for step in chance.choices(kinds, (16, 1, 1, 0.2, 12, 1, 5), k=100):
            live = world.sent[-1] if world.sent and world.bus.is_busy and not world.sent[-1].answered else None
            if step == "read":
                frame = read(chance.choice((1, 2)), chance.randrange(10), chance.randrange(1, 5))
                age = chance.choice((None, None, 0.0, 0.1, 0.5))
                timeout = chance.choice((0.05, 0.3, 2.0))
                before, client = world.now, chance.randrange(6)
                asked[world.submit(frame, client, timeout=timeout, max_age=age, lane=chance.randrange(3))] = before
            elif step == "write":
                world.submit(write(chance.choice((1, 2)), 50), chance.randrange(6), timeout=2.0)
            elif step == "cancel" and (waiting := [one for one in asked if not one.done]):
                world.cancel(chance.choice(waiting))
            elif step == "lose":
                world.lose_port()
            elif step == "answer" and live:
                world.answer(refuses=chance.random() < 0.1)
            elif step == "late" and live and live.frame[1] == 3:
                world.advance(0.13)
                if not live.answered:
                    world.answer(live)
            else:
                world.advance(chance.choice((0.001, 0.01, 0.15)))
            for request in asked:
                if request.done:
                    ended.setdefault(request, world.now)
        world.run_dry()
        self.assertEqual(world.wrong, [])
        return sum(self.judge(world, request, asked[request], ended.get(request, world.now)) for request in asked)

    def judge(self, world: Clockwork, request: Pending, asked: float, ended: float) -> bool:
        """Whether it was answered, and then rightly."""
        event = world.outcome(request)
        if not isinstance(event, Reply):
            return False
        self.assertTrue(world.samples)
        values = {event.pdu[at : at + 2] for at in range(2, len(event.pdu), 2)}
        self.assertEqual(len(values), 1, "torn")
        looked = until_of(event.pdu)
        allowed = request.request.max_age
        if allowed is None:
            allowed = 0.2 if request.unit == 2 else 0.0
        self.assertGreaterEqual(looked, asked - allowed, f"asked at {asked}, ended by {ended}, {allowed} allowed")
        return True
