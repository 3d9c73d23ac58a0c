"""A model of what stands behind a port in the field: devices, an adapter or a link, and another master; for the walk.

It is written from what the guarantees promise, not from the code that keeps them. Each unit carries out what reaches it
in order, and answers in order, however late, or never. What it carries out it notes, so that whoever gets an answer can
look up whether that execution took place, and when.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

import attrs

from lumina_twisted.framing.rtu import encode_adu

ADDRESSES: Final = 64
"""Registers and coils of each unit; the last quarter of them is refused."""
REFUSED: Final = 48
_TAG: Final = 10
"""A register holds its address above so many bits, and a number below."""


class Execution(NamedTuple):
    """A unit carried out, or refused, what a frame asked for."""

    frame: bytes
    at: float
    reply: bytes
    is_ours: bool


@attrs.define
class Habits:
    """How a unit and its adapter behave; each is a probability for one frame, unless it says otherwise."""

    late: float = 0.0
    latest: float = 1.0  # seconds
    deaf: float = 0.0  # nothing is carried out
    lost: float = 0.0  # it is carried out, the reply never comes
    damaged: float = 0.0
    cut: float = 0.0
    split: float = 0.0
    doubled: float = 0.0
    copy_after: float = 0.0  # seconds, up to 1.3 times as many
    busy: float = 0.0  # exception 6
    diagnostics: str = "returns"  # or refuses, silent


class Unit:
    """One device."""

    def __init__(self, number: int, habits: Habits, chance: Random) -> None:
        self.number = number
        self.habits = habits
        self.chance = chance
        self.numbers = dict.fromkeys(range(ADDRESSES), 0)
        self.coils = dict.fromkeys(range(ADDRESSES), False)
        self.done: list[Execution] = []
        self.free_at = 0.0
        self.is_on = True

    def execute(self, frame: bytes, at: float, is_ours: bool) -> bytes:
        """Carries it out now; the reply's frame."""
        pdu = self._answer(frame[1:-2])
        reply = encode_adu(self.number, pdu)
        self.done.append(Execution(frame, at, reply, is_ours))
        return reply

    def _answer(self, pdu: bytes) -> bytes:
        code = pdu[0]
        if code == 8:
            return pdu if self.habits.diagnostics == "returns" else b"\x88\x01"
        first, word = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        count = word if code in (1, 2, 3, 4, 15, 16) else 1
        if self.chance.random() < self.habits.busy:
            return bytes((code | 0x80, 6))
        if first + count > REFUSED:
            return bytes((code | 0x80, 3 if first + count > REFUSED + 8 else 2))
        return self._carry_out(code, first, count, word, pdu)

    def _carry_out(self, code: int, first: int, count: int, word: int, pdu: bytes) -> bytes:
        if code in (1, 2):
            bits = sum(self.coils[first + at] << at for at in range(count))
            return bytes((code, (count + 7) // 8)) + bits.to_bytes((count + 7) // 8, "little")
        if code in (3, 4):
            of_now = len(self.done) % (1 << _TAG)
            values = [at << _TAG | (of_now if code == 4 else self.numbers[at]) for at in range(first, first + count)]
            return bytes((code, 2 * count)) + b"".join(one.to_bytes(2, "big") for one in values)
        if code == 5:
            self.coils[first] = bool(word)
        elif code == 6:
            self.numbers[first] = word % (1 << _TAG)
        else:
            for at in range(count):
                self.numbers[first + at] = int.from_bytes(pdu[6 + 2 * at : 8 + 2 * at], "big") % (1 << _TAG)
        return pdu[:5]


class Field:
    """All that is behind one port, and its time.

    :param deliver: takes the bytes that reach the port.
    :param echoes: whether the adapter hands back what is sent.
    :param latency: seconds that the adapter, or the link, may keep bytes; it hands them over in order.
    """

    def __init__(
        self, chance: Random, units: dict[int, Unit], deliver: Callable[[bytes, int], None], *, baudrate: int,
        echoes: bool, latency: float, now: float,
    ) -> None:
        self.chance = chance
        self.units = units
        self.deliver = deliver
        self.baudrate = baudrate
        self.echoes = echoes
        self.latency = latency
        self.now = now
        self.stalled_until = 0.0
        self.plugged = 0  # how often
        self.unheard: dict[int, bytes] = {}
        """By their identity, the frames of the other master that the port has not received; and that it never will, if
        the link stalled and was cut meanwhile."""
        self._handed_at = 0.0
        self._masters_until = 0.0  # until when a frame of a master is on the wire
        self._number = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """When something happens by itself."""
        return self._due[0][0] if self._due else None

    def step(self) -> None:
        """It happens."""
        self.now, _, happen = heapq.heappop(self._due)
        happen()

    def at(self, when: float, happen: Callable[[], None]) -> None:
        """Something will happen."""
        self._number += 1
        heapq.heappush(self._due, (max(self.now, when), self._number, happen))

    def wire_time(self, frame: bytes) -> float:
        """Seconds that a frame takes."""
        return len(frame) * 11 / self.baudrate

    # -- the wire ------------------------------------------------------------------------------------------------

    def hand_over(self, data: bytes, when: float, unit: int = -1) -> None:
        """Bytes are on the wire by ``when``; the port gets them a little later, and in order."""
        when = max(when, self.stalled_until) + self.chance.random() * self.latency
        self._handed_at = when = max(when, self._handed_at)
        plugged = self.plugged
        self.at(when, lambda: self.deliver(data, unit) if plugged == self.plugged else None)

    def carry(self, frame: bytes, is_ours: bool, hit: bool = False) -> None:
        """A frame leaves a master now."""
        if not is_ours and self.now < self._masters_until:
            self.at(self._masters_until + 0.002, lambda: self.carry(frame, is_ours))
            return
        until = self._masters_until = self.now + self.wire_time(frame)
        if is_ours and self.echoes:
            self.hand_over(_bent(frame, self.chance) if hit else frame, until)
        elif not is_ours:
            self.unheard[id(frame)] = frame
            self.hand_over(frame, until)
        for unit in self.units.values() if frame[0] == 0 else [self.units[frame[0]]] if frame[0] in self.units else ():
            self.at(until, lambda unit=unit: self._reaches(unit, frame, is_ours))  # type: ignore[misc]

    def _reaches(self, unit: Unit, frame: bytes, is_ours: bool) -> None:
        habits, chance = unit.habits, self.chance
        is_silent = frame[1] == 8 and habits.diagnostics == "silent"
        if not unit.is_on or is_silent or chance.random() < habits.deaf:
            return
        takes = chance.choice((0.0002, 0.002, 0.005))
        if chance.random() < habits.late:
            takes = chance.random() * habits.latest
        begins = max(self.now, unit.free_at)
        unit.free_at = begins + takes
        self.at(begins + takes * chance.random(), lambda: self._carries_out(unit, frame, is_ours))

    def _carries_out(self, unit: Unit, frame: bytes, is_ours: bool) -> None:
        if not unit.is_on:
            return
        reply = unit.execute(frame, self.now, is_ours)
        if frame[0] == 0 or self.chance.random() < unit.habits.lost:
            return
        ends = max(unit.free_at, self.now) + self.wire_time(reply)
        unit.free_at = ends
        self._answers(unit, reply, ends)
        if self.chance.random() < unit.habits.doubled:
            delay = unit.habits.copy_after * (1 + 0.3 * self.chance.random()) + self.wire_time(reply)
            self.at(ends + delay, lambda: self.hand_over(reply, self.now, unit.number))

    def _answers(self, unit: Unit, reply: bytes, ends: float) -> None:
        habits, chance = unit.habits, self.chance
        data = reply
        if chance.random() < habits.damaged:
            data = _bent(reply, chance)
        elif chance.random() < habits.cut:
            data = reply[: chance.randrange(1, len(reply))]
        if chance.random() < habits.split and len(data) > 1:
            at = chance.randrange(1, len(data))
            rest, pause = data[at:], chance.choice((0.001, 0.016, 0.03))
            data, unit.free_at = data[:at], ends + pause
            self.at(ends, lambda: self.hand_over(data, self.now))
            self.at(ends + pause, lambda: self.hand_over(rest, self.now))
        else:
            self.at(ends, lambda: self.hand_over(data, self.now))


def _bent(frame: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(frame))
    return frame[:at] + bytes((frame[at] ^ 1 << chance.randrange(8),)) + frame[at + 1 :]


def span(frame: bytes) -> tuple[int, int, int]:
    """Function, first entry and number of entries of a request."""
    code, count = frame[1], int.from_bytes(frame[4:6], "big")
    return code, int.from_bytes(frame[2:4], "big"), 1 if code in (5, 6) else count


def part(reply: bytes, first: int, count: int) -> object:
    """Some of the values of a normal reply."""
    if reply[1] in (1, 2):
        return int.from_bytes(reply[3:-2], "little") >> first & (1 << count) - 1
    return reply[3 + 2 * first : 3 + 2 * (first + count)]
