"""Who keeps a state by the samples alone is never wrong without knowing it.

Devices hold registers and carry out what they hear in its order, at once or late; requests get lost, and replies are
late or lost too. A mirror does with the samples what :class:`lumina_twisted.bus.events.Sample` says. Whenever the bus
is free, what the mirror knows and does not doubt is what the device holds.
"""

from __future__ import annotations

import random
from collections import defaultdict

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Ending, Frame, Sample
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.world import Sent, World, read, write

UNITS = (1, 2)
REGISTERS = range(4)


def write_several(unit: int, address: int, value: int) -> bytes:
    """The same by function 16, whose reply another may not be taken for."""
    return encode_adu(unit, bytes((16, 0, address, 0, 1, 2, *value.to_bytes(2, "big"))))


def written(frame: bytes) -> tuple[int, int]:
    """Address and value."""
    return int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[-4:-2], "big")


class Mirror:
    """The state as the samples tell it."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], tuple[float, int]] = {}
        self.doubted: dict[tuple[int, int], float] = {}

    def take(self, sample: Sample) -> None:
        """One more."""
        unit, at = sample.unit, sample.sampled_after
        if not sample.is_proven:
            for one in (unit,) if unit else UNITS:
                self.doubted[one, written(encode_adu(unit, sample.request))[0]] = at
        elif not sample.is_read:
            self._is(unit, *written(encode_adu(unit, sample.request)), at)
        else:
            first = int.from_bytes(sample.request[1:3], "big")
            for number in range(sample.reply[1] // 2):
                self._is(unit, first + number, int.from_bytes(sample.reply[2 + 2 * number :][:2], "big"), at)

    def _is(self, unit: int, address: int, value: int, at: float) -> None:
        key = unit, address
        if at >= self.known.get(key, (at,))[0]:
            self.known[key] = at, value
        if at >= self.doubted.get(key, at):
            self.doubted.pop(key, None)


class Plant(World):
    """The devices, and the mirror."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.registers: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.to_do: list[tuple[Sent, bool]] = []  # heard and not carried out; whether a reply comes
        self.replies: dict[Sent, bytes] = {}
        self.mirror = Mirror()
        self.checked = 0
        super().__init__(BusSettings(
            timeout=0.1, echo="off", retries=chance.randrange(3), merge=chance.random() < 0.5, turnaround=0.1,
            retry_writes=chance.randrange(2),
        ))

    def _on_frame(self, frame: Frame) -> None:
        super()._on_frame(frame)
        sent, fate = self.sent[-1], self.chance.random()
        if fate < 0.1:
            return  # it is lost
        self.carry_out(sent.frame[0])
        self.to_do.append((sent, fate > 0.2))
        if fate < 0.9:
            self.carry_out(sent.frame[0])

    def carry_out(self, unit: int) -> None:
        """What those units have heard and not done; a broadcast is to all."""
        for one in [one for one in self.to_do if unit == 0 or one[0].frame[0] in (unit, 0)]:
            self.to_do.remove(one)
            sent, replies = one
            reply = self._do(sent.frame)
            if replies and sent.frame[0]:
                self.replies[sent] = reply

    def _do(self, frame: bytes) -> bytes:
        unit, code = frame[:2]
        if code == 8:
            return frame
        if code in (3, 4):
            first, quantity = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
            data = b"".join(self.registers[unit, first + at].to_bytes(2, "big") for at in range(quantity))
            return encode_adu(unit, bytes((code, len(data))) + data)
        address, value = written(frame)
        for one in (unit,) if unit else UNITS:
            self.registers[one, address] = value
        return frame if code == 6 else encode_adu(unit, frame[1:6])

    def answer(self) -> None:
        """The oldest reply that is under way arrives, if that is not too late for its window; slow ones are done."""
        for sent, replies in list(self.to_do):
            if replies:
                self.advance(max(0.0, sent.until - self.now))
                self.carry_out(sent.frame[0])
        for sent in list(self.replies):
            self.advance(max(0.0, sent.until - self.now) + 0.001)
            self.hear(self.replies.pop(sent))
            return

    def pass_by(self, seconds: float) -> None:
        """Time passes, never so much that a reply comes after its window."""
        self.advance(seconds)
        oldest = min((one.until for one in (*self.replies, *(one for one, _ in self.to_do))), default=self.now)
        if self.now > oldest + 0.15:
            self.carry_out(0)
            while self.replies:
                self.answer()

    def lose_port(self) -> None:
        """What is under way is lost."""
        self.carry_out(0)
        self.replies.clear()
        super().lose_port()

    def collect(self) -> None:
        """And the mirror is compared."""
        super().collect()
        if self.bus.is_busy:
            return
        for key, (_, value) in self.mirror.known.items():
            self.checked += 1
            if key not in self.mirror.doubted and value != self.registers[key]:
                self.wrong.append(f"{self.now:.4f}: {key} is {self.registers[key]}, the mirror shows {value}")

    def _on_sample(self, sample: Sample) -> None:
        self.mirror.take(sample)

    def _on_event(self, event: Ending) -> None:
        pass


class AnythingGoes(SynchronousTestCase):
    """Seeded crowds."""

    def test_crowds(self) -> None:
        checked = sum(self.crowd(random.Random(seed)) for seed in range(300))
        self.assertGreater(checked, 20_000)

    def crowd(self, chance: random.Random) -> int:
        plant, value, requests = Plant(chance), 0, []
        kinds = ("read", "write", "broadcast", "cancel", "lose", "answer", "pass")
        for step in chance.choices(kinds, (8, 5, 0.3, 1, 0.2, 16, 6), k=80):
            unit, address, client = chance.choice(UNITS), chance.choice(REGISTERS), chance.randrange(4)
            timeout = chance.choice((0.05, 0.3, 2.0))
            if step == "read":
                requests.append(plant.submit(read(unit, address, chance.randrange(1, 4)), client, timeout=timeout))
            elif step in ("write", "broadcast"):
                value += 1
                how = chance.choice((write, write_several))
                unit = unit if step == "write" else 0
                requests.append(plant.submit(how(unit, address, value), client, timeout=timeout))
            elif step == "cancel" and (waiting := [one for one in requests if not one.done]):
                plant.cancel(chance.choice(waiting))
            elif step == "lose":
                plant.lose_port()
            elif step == "answer":
                plant.answer()
            else:
                plant.pass_by(chance.choice((0.002, 0.02, 0.15)))
            self.assertEqual(plant.wrong, [])
        return plant.checked
