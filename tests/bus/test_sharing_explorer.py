"""Every sequence of events, to a depth, among readers that share: of a range, of a part of it, of what lies next to it,
with writes in between, replies in time and late, exceptions, silence, callers who leave and a port that is lost.

Whatever happens, each request ends once, with values of its own range that are all of one transaction, and no older
than the last write that was confirmed before it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.events import Reply
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.settings import BusSettings
from tests.bus.test_explorer import DEPTH, Playing, state_of
from tests.bus.test_sharing import SharedWorld, values
from tests.bus.world import Sent, frame_of, read, reply_frame, write

SUBMITS = {"whole": (10, 2), "part": (11, 1), "next": (12, 1)}


class SharedWalk(Playing):
    """One sequence being played."""

    world: SharedWorld

    def __init__(self, merge: bool, max_age: float | None) -> None:
        self.world = SharedWorld(BusSettings(timeout=0.1, echo="off", retries=1, merge=merge))
        self.max_age = max_age
        self.requests: list[Pending] = []
        self.written_before: dict[Pending, int] = {}

    def steps(self) -> Iterator[str]:
        """What can happen next."""
        yield from (*SUBMITS, "write")
        if any(not one.done for one in self.requests):
            yield "cancel"
        if self.live:
            yield "reply"
            if self.live.frame[1] in (3, 8):
                yield "refusal"
        if self.overdue:
            yield "late"
        if self.world.bus.get_timer() is not None:
            yield "timer"
        if self.requests:
            yield "lost"

    @property
    def overdue(self) -> Sent | None:
        """The oldest read, or canary, that may still be answered; writes are answered in time or never."""
        return next((one for one in self.unanswered if one.frame[1] in (3, 8)), None)

    def play(self, step: str) -> None:
        """Makes it happen."""
        world = self.world
        if step in SUBMITS or step == "write":
            frame = write(1, 10) if step == "write" else read(1, *SUBMITS[step])
            before = world.written
            request = world.submit(frame, len(self.requests) % 2, timeout=1.0, max_age=self.max_age)
            self.requests.append(request)
            self.written_before[request] = before
        elif step == "cancel":
            world.cancel(next(one for one in self.requests if not one.done))
        elif step in ("reply", "refusal") and (live := self.live):
            world.answer(live, refuses=step == "refusal")
        elif step == "late" and (overdue := self.overdue):
            overdue.answered = True
            world.hear(values(overdue.frame, world.written), overdue.until)
        elif step == "timer":
            world.tick()
        elif step == "lost":
            world.lose_port()

    def finish(self) -> list[str]:
        """Lets time run out.

        :return: all that went wrong.
        """
        world = self.world
        world.run_dry()
        wrong = list(world.wrong)
        for one in self.requests:
            event = world.ended.get(one)
            if not one.done:
                wrong.append(f"never ended: {frame_of(one).hex()}")
            elif isinstance(event, Reply) and one.is_read:
                written = reply_frame(event)[4]
                if reply_frame(event) != values(frame_of(one), written):
                    wrong.append(f"{frame_of(one).hex()} was given {reply_frame(event).hex()}")
                if written < self.written_before[one]:
                    wrong.append(f"{frame_of(one).hex()} was given what it was before a write")
        if world.bus.waiting:
            wrong.append("something waits for ever")
        return wrong

    def state(self) -> str:
        """All that the future depends on; see :func:`tests.bus.test_explorer.state_of`."""
        bus = self.world.bus
        coalescing, ages = bus._coalescing, bus._reply_cache
        now = self.world.now
        return repr((
            state_of(self),  # type: ignore[arg-type]
            [(self.requests.index(one), frame_of(leader)) for one, leader in coalescing.primary_of.items()],
            [(one.epoch, one.state, self.written_before[one] == self.world.written) for one in self.requests],
            [(key, [(kept.reply, round(now - kept.sampled_after, 6), kept.epoch) for kept in group.values()])
             for key, group in ages._groups.items()],
            ages._epoch_sent, list(ages._writes.items()), list(coalescing.merging._cuts), self.world.written,
        ))


def explore(merge: bool, max_age: float | None, depth: int, begin: tuple[str, ...]) -> tuple[int, list[str]]:
    """All sequences of ``depth`` steps after those of ``begin``: how many different states they led to, and the first
    faults."""
    faults: list[str] = []
    seen: set[int] = set()
    following: list[tuple[str, ...]] = [begin]
    for _ in range(depth + 1):
        level, following = following, []
        for steps in level:
            walk = SharedWalk(merge, max_age)
            for step in steps:
                walk.play(step)
            state = hash(walk.state())
            if state in seen:
                continue
            seen.add(state)
            following.extend((*steps, step) for step in walk.steps())
            if wrong := walk.finish():
                faults.append(f"{' > '.join(steps)}: {'; '.join(wrong)}")
                if len(faults) == 5:
                    return len(seen), faults
    return len(seen), faults


class SharingExplorerTests(SynchronousTestCase):
    """Two steps less than the explorer of single requests: here each has three to share with."""

    def test_sharing(self) -> None:
        self.assert_nothing_is_found(merge=False, max_age=None)

    def test_merging(self) -> None:
        self.assert_nothing_is_found(merge=True, max_age=None)

    def test_old_values(self) -> None:
        """From where one has been read."""
        self.assert_nothing_is_found(False, 0.3, "whole", "reply")

    def assert_nothing_is_found(self, merge: bool, max_age: float | None, *begin: str) -> None:
        depth = max(2, DEPTH - 2)
        count, faults = explore(merge, max_age, depth, begin)
        self.assertEqual(faults, [])
        self.assertGreater(count, 4**depth)
