"""Every sequence of events to a depth, over two units and two shapes: the core never delivers wrongly.

``LUMINA_EXPLORER_DEPTH`` is the number of events.

The devices answer in order, however late, or never; some twice; another master may ask them too. A sequence is
replayed from its beginning at each step: the core then needs no copying, and a failure names the whole sequence, ready
to become a test of its own. Steps that change nothing at their place (a reply when nothing was sent) are left out, and
so is what differs by the names of the units only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.framing.rtu import encode_adu
from tests.bus.world import Sent, World, frame_of, read, reply_to, write

DEPTH = int(os.environ.get("LUMINA_EXPLORER_DEPTH", "4"))
SUBMITS = ("read 1", "long 1", "write 1", "read 2")
"""Two units, and of the first unit two shapes that differ by their length only, and one of another function."""
FOREIGN = encode_adu(9, bytes((3, 2, 0x12, 0x34)))
OTHERS_QUESTION = read(1, 0x50)
OTHERS_REPLY = encode_adu(1, bytes((3, 2, 0xEE, 0xEE)))


class Playing:
    """What the wire of a world waits for."""

    world: World

    @property
    def live(self) -> Sent | None:
        """The frame whose reply the core waits for, if that has not come."""
        last = self.world.sent[-1] if self.world.sent and self.world.bus.is_busy else None
        return last if last and not last.answered and not last.lost else None

    @property
    def unanswered(self) -> list[Sent]:
        """The frames that may still be answered, but for the one that the core waits for. A device answers in order:
        what it has not answered before a later one it never will, for it was deaf."""
        answered: dict[int, int] = {}
        for order, sent in enumerate(self.world.sent):
            if sent.answered:
                answered[sent.frame[0]] = order
        return [
            sent for order, sent in enumerate(self.world.sent)
            if sent is not self.live and not sent.lost and sent.frame[0] and order > answered.get(sent.frame[0], -1)
        ]

    @property
    def overdue(self) -> Sent | None:
        """The oldest of them."""
        return next(iter(self.unanswered), None)


class Walk(Playing):
    """One sequence being played.

    :param extra: what else happens: ``copy``, a device that answers twice; ``other``, another master.
    """

    def __init__(self, echoes: bool, extra: str = "") -> None:
        self.world = World(BusSettings(timeout=0.1, echo="auto", retries=1), echoes=echoes)
        self.extra = extra
        self.requests = []
        self.heard_late = False
        self.others_at: int | None = None  # how many frames of ours had left when the other master asked
        self.copied: Sent | None = None

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
        if self.extra == "copy" and self.copyable:
            yield "copy"
        if self.extra == "other":
            yield "other asks" if self.others_at is None else "other is answered"

    @property
    def copyable(self) -> Sent | None:
        """The frame that was answered last; a copy of its reply may follow, once."""
        answered = [one for one in self.world.sent if one.answered and not one.refused and one.frame[1] != 8]
        return answered[-1] if answered and answered[-1] is not self.copied else None

    def other_is_answered(self) -> None:
        """In its order, too: what the device was asked before and has not answered it never will, and the other's
        question it answers no more once it has answered a later one."""
        sent, at = self.world.sent, self.others_at
        self.others_at = None
        if any(one.answered and one.frame[0] == 1 for one in sent[at:]):
            return
        for one in sent[:at]:
            one.lost = one.lost or (one.frame[0] == 1 and not one.answered)
        self.world.hear(OTHERS_REPLY)

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
        elif step == "copy" and (copied := self.copyable):
            self.copied = copied
            world.hear(reply_to(copied.frame))
        elif step == "other asks":
            self.others_at = len(world.sent)
            world.hear(OTHERS_QUESTION)
        elif step == "other is answered":
            self.other_is_answered()

    def finish(self) -> None:
        """Lets time run out; then every request must have ended."""
        self.world.run_dry()
        self.world.wrong += [f"never ended: {one.frame.hex()}" for one in self.requests if not one.done]


def play(steps: tuple[str, ...], echoes: bool, extra: str = "") -> Walk:
    """A walk after these steps."""
    walk = Walk(echoes, extra)
    for step in steps:
        walk.play(step)
    return walk


def state_of(walk: Walk) -> str:
    """All that the future depends on, with times told from now: two sequences that lead here need be followed once."""
    world, bus = walk.world, walk.world.bus
    now = world.now

    def rel(time: float) -> float:
        return round(time - now, 6)

    def ahead(time: float) -> float:
        return max(0.0, rel(time))

    wire = bus._wire
    live, ear, unanswered = wire.attempt, wire._receiver, [id(one) for one in walk.unanswered]
    doubts = sorted(wire.doubts.late, key=lambda one: one.numbers)
    canaries, surplus = wire.doubts.canaries._units.values(), [one for one in wire.doubts.surplus._units if one]
    return repr((
        live and (
            live.request.unit, live.request.pdu, live.echo, live.echoed, live.held, rel(live.expires),
            rel(live.sent_until),
        ),
        [(frame_of(one), one.state, one.attempts, rel(one.ends_at), ahead(one.not_before), one.caller.name,
          one.canaries, one.remark) for one in bus._queue],
        [(frame_of(one.request), one.request.done, len(one.numbers), one.more, one.awaits_echo, one.held,
          rel(one.expired_at), [one.numbers < other.numbers for other in doubts],
          live and one.numbers[-1] < live.number) for one in doubts],
        [(ahead(one.canary_at), one.tends_to_be_late, one.lateness) for one in wire.doubts.late.units.values()],
        [(one.sent % 12, one.returns, one.silent) for one in canaries],
        [(one.shape, one.delay, [(reply, ahead(at + 2)) for reply, at in one.recent], ahead(one.at + 2))
         for one in surplus],
        [[one.name for one in ring] for ring in bus._queue._rings], bus._queue._served and bus._queue._served.key.name,
        {key.name: round(one.balance, 6) for key, one in bus._queue._clients.items()},
        [round(one.value, 6) for one in bus._queue._usual],
        wire.echo.known, bytes(ear._framing._buffer),
        rel(wire.quiet_from), rel(ear.received_at), rel(world.quiet_from),
        wire._unexpected.last and frame_of(wire._unexpected.last), len(walk.requests),
        [(one.frame, one.echoed, rel(one.until)) for one in world.sent if id(one) in unanswered or one is walk.live],
        {(one.frame, one.refused) for one in world.sent if one.answered},
        [(one.done, one.is_probed) for one in walk.requests],
    ))


def explore(echoes: bool, depth: int, extra: str = "", wrong_once: bool = False) -> tuple[int, list[str]]:
    """All sequences up to ``depth``: how many different states they led to, and the first faults, each with the
    sequence that shows it.

    :param wrong_once: one wrong answer is no fault: nobody can tell the first copy of a reply from the next one.
    """
    faults: list[str] = []
    seen: set[int] = set()
    following: list[tuple[str, ...]] = [()]
    for _ in range(depth + 1):
        level, following = following, []
        for steps in level:
            walk = play(steps, echoes, extra)
            if not is_faulty(walk.world.wrong, wrong_once):
                state = hash(state_of(walk) + repr(walk.world.wrong))
                if state in seen:
                    continue
                seen.add(state)
                following.extend((*steps, step) for step in walk.steps())
                walk.finish()
            if is_faulty(walk.world.wrong, wrong_once):
                faults.append(f"{' > '.join(steps)}: {'; '.join(walk.world.wrong)}")
                if len(faults) == 5:
                    return len(seen), faults
    return len(seen), faults


def is_faulty(wrong: list[str], wrong_once: bool) -> bool:
    """Whether something went wrong; but for one request that was given a copy, the sample of that, and a frame that
    leaves sooner, for a reply says that the request has left whole."""
    if not wrong_once:
        return bool(wrong)
    answers = {one.split()[0] for one in wrong if "was given" in one or "was confirmed" in one}
    of_a_copy = ("was given", "was confirmed", "sample of")
    others = [one for one in wrong if not any(kind in one for kind in of_a_copy)]
    was_given = len(others) < len(wrong)
    return len(answers) > 1 or any(not was_given or not one.startswith("early frame") for one in others)


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

    def test_another_master(self) -> None:
        """Who asks the same unit on the same wire, for a reply of the same form."""
        count, faults = explore(echoes=False, depth=DEPTH - 1, extra="other")
        self.assertEqual(faults, [])
        self.assertGreater(count, 4 ** (DEPTH - 1))

    def test_a_unit_that_answers_twice(self) -> None:
        """At any time after its reply."""
        count, faults = explore(echoes=False, depth=DEPTH - 1, extra="copy", wrong_once=True)
        self.assertEqual(faults, [])
        self.assertGreater(count, 4 ** (DEPTH - 1))
