"""Every sequence of events to depth 7, over two units and two shapes: the core never delivers wrongly.

A sequence is replayed from its beginning at each step: the core then needs no copying, and a failure names the whole
sequence, ready to become a test of its own. Steps that change nothing at their place (a reply when nothing was sent)
are left out, and so is what differs by the names of the units only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.modbus.rtu import encode_adu
from tests.bus.world import Sent, World, read, write

DEPTH = int(os.environ.get("LUMINA_EXPLORER_DEPTH", "7"))
SUBMITS = ("read 1", "long 1", "write 1", "read 2")
"""Two units, and of the first unit two shapes that differ by their length only, and one of another function."""
FOREIGN = encode_adu(9, bytes((3, 2, 0x12, 0x34)))


class Playing:
    """What the wire of a world waits for."""

    world: World

    @property
    def live(self) -> Sent | None:
        """The frame whose reply the core waits for, if that has not come."""
        last = self.world.sent[-1] if self.world.sent and self.world.bus.is_busy else None
        return last if last and not last.answered else None


class Walk(Playing):
    """One sequence being played."""

    def __init__(self, echoes: bool) -> None:
        self.world = World(BusSettings(timeout=0.1, echo="auto", retries=1), echoes=echoes)
        self.requests = []
        self.heard_late = False

    def steps(self) -> Iterator[str]:
        """What can happen next."""
        world = self.world
        yield from SUBMITS if self.requests else SUBMITS[:3]
        if any(not one.done for one in self.requests):
            yield "cancel"
        if self.live:
            yield "reply"
            yield "refusal"
            if world.echoes and not self.live.echoed:
                yield "echo"
        if self.overdue:
            yield "late"
            yield "late refusal"
        if world.bus.is_busy:
            yield "foreign"
            yield "junk"
        if world.bus.get_timer() is not None:
            yield "timer"
        if self.requests:
            yield "lost"

    @property
    def overdue(self) -> Sent | None:
        """The oldest frame that may still be answered late: a device answers in order, within twice its time."""
        for sent in self.world.sent:
            in_reach = self.world.now <= sent.until + 0.2
            if not sent.answered and sent is not self.live and in_reach:
                return sent
        return None

    def play(self, step: str) -> None:
        """Makes it happen."""
        world = self.world
        if step in SUBMITS:
            kind, unit = step.split()
            address = 0x100 + 0x10 * len(self.requests)  # apart, for what rides with another is test_sharing's
            frames = {"read": read(int(unit), address), "long": read(int(unit), address, 2)}
            frame = frames.get(kind) or write(int(unit), address)
            self.requests.append(world.submit(frame, client=len(self.requests) % 2, timeout=1.0))
        elif step == "cancel":
            world.cancel(next(one for one in self.requests if not one.done))
        elif step in ("reply", "refusal") and (live := self.live):
            world.reply(live, refuses=step == "refusal")
        elif step == "echo":
            world.echo()
        elif step in ("late", "late refusal") and (overdue := self.overdue):
            world.reply(overdue, after=0.0, refuses=step == "late refusal")
        elif step == "foreign":
            world.hear(FOREIGN)
        elif step == "junk":
            world.hear(b"\xff\x00\x01")
        elif step == "timer":
            world.tick()
        elif step == "lost":
            world.lose_port()

    def finish(self) -> None:
        """Lets time run out; then every request must have ended."""
        self.world.run_dry()
        self.world.wrong += [f"never ended: {one.frame.hex()}" for one in self.requests if not one.done]


def play(steps: tuple[str, ...], echoes: bool) -> Walk:
    """A walk after these steps."""
    walk = Walk(echoes)
    for step in steps:
        walk.play(step)
    return walk


def state_of(walk: Walk) -> str:
    """All that the future depends on, with times told from now: two sequences that lead here need be followed once."""
    world, bus = walk.world, walk.world.bus
    now = world.now

    def rel(time: float) -> float:
        return round(time - now, 6)

    wire = bus._wire
    live, ear, owed = wire.attempt, wire._ear, wire._owed
    return repr((
        live and (live.request.frame, live.echo, live.echoed, rel(live.expires), rel(live.sent_until)),
        [(one.frame, one.attempts, rel(one.ends_at), rel(one.not_before), one.client) for one in bus._queue],
        [(d.owner.frame, d.owner.done, d.count, d.awaits_echo, rel(d.lapses), rel(d.overdue_since)) for d in owed],
        [list(ring) for ring in bus._queue._rings], bus._queue._served and bus._queue._served.key,
        {key: round(one.balance, 6) for key, one in bus._queue._clients.items()},
        [round(one.value, 6) for one in bus._queue._usual],
        wire.echo.known, owed._learned, bytes(ear._decoder._buffer),
        rel(wire.quiet_from), rel(ear._heard_at), rel(world.quiet_from), wire._last_frame, len(walk.requests),
        [(one.frame, one.answered, one.echoed, rel(one.until)) for one in world.sent if now <= one.until + 0.2],
        {(one.frame, one.refused) for one in world.sent if one.answered},
        [(one.done, one.probed) for one in walk.requests],
    ))


def explore(echoes: bool, depth: int) -> tuple[int, list[str]]:
    """All sequences up to ``depth``: how many different states they led to, and the first faults, each with the
    sequence that shows it."""
    faults: list[str] = []
    seen: set[int] = set()
    following: list[tuple[str, ...]] = [()]
    for _ in range(depth + 1):
        level, following = following, []
        for steps in level:
            walk = play(steps, echoes)
            if not walk.world.wrong:
                state = hash(state_of(walk))
                if state in seen:
                    continue
                seen.add(state)
                following.extend((*steps, step) for step in walk.steps())
                walk.finish()
            if walk.world.wrong:
                faults.append(f"{' > '.join(steps)}: {'; '.join(walk.world.wrong)}")
                if len(faults) == 5:
                    return len(seen), faults
    return len(seen), faults


class ExplorerTests(SynchronousTestCase):
    """No wrong delivery, no second outcome, no early frame, no request without an end."""

    def test_quiet_port(self) -> None:
        """On a port that does not echo."""
        count, faults = explore(echoes=False, depth=DEPTH)
        self.assertEqual(faults, [])
        self.assertGreater(count, 5 ** (DEPTH - 1))

    def test_echoing_port(self) -> None:
        """On a port that hands back what it sends."""
        count, faults = explore(echoes=True, depth=DEPTH)
        self.assertEqual(faults, [])
        self.assertGreater(count, 5 ** (DEPTH - 1))
