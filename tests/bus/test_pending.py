"""The table of a request's states: what may follow what, and what happens to whoever breaks it."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.pending import QUEUED, STEPS, WITHOUT_CALLER, IllegalStep, Kind, Pending, State
from lumina_twisted.bus.settings import BusSettings
from tests.bus.world import World, ask, read


def pending(state: State = State.NEW) -> Pending:
    """A request in that state."""
    made = Pending(ask("a", read(1, 0), BusSettings().serial, math.inf))
    made.state = state
    return made


class Table(SynchronousTestCase):
    """Rules that hold whatever the steps are."""

    def test_all_steps(self) -> None:
        for before in State:
            for after in State:
                one = pending(before)
                if after in STEPS[before]:
                    one.step(after)
                    self.assertIs(one.state, after)
                else:
                    error = self.assertRaises(IllegalStep, one.step, after)
                    self.assertEqual((error.before, error.after), (before, after))
                    self.assertIs(one.state, before)

    def test_every_state_is_reached_and_ends(self) -> None:
        reached, ends = {State.NEW}, {State.DONE}
        for _ in State:
            reached |= {after for before in reached for after in STEPS[before]}
            ends |= {before for before in State if STEPS[before] & ends}
        self.assertEqual((reached, ends), (set(State), set(State)))
        self.assertEqual(STEPS[State.DONE], frozenset())

    def test_who_has_ended_has_no_caller_again(self) -> None:
        for before in WITHOUT_CALLER:
            self.assertLessEqual(STEPS[before], WITHOUT_CALLER)

    def test_the_sentence_names_both(self) -> None:
        told = str(self.assertRaises(IllegalStep, pending(State.FOLLOWING).step, State.ON_WIRE))
        self.assertIn("FOLLOWING cannot become ON_WIRE", told)


class InABus(SynchronousTestCase):
    """A fault that is planted shows where it is made."""

    def test_one_that_waits_and_is_done(self) -> None:
        world = World(BusSettings(timeout=0.1, echo="off"))
        world.submit(read(1, 0), "a")
        waiting = world.submit(read(1, 1), "b")
        self.assertIn(waiting.state, QUEUED)
        waiting.state = State.DONE  # the fault: the queue has it still
        world.reply()
        error = self.assertRaises(IllegalStep, world.run_dry)
        self.assertEqual((error.before, error.after), (State.DONE, State.ON_WIRE))

    def test_who_has_no_caller(self) -> None:
        world = World(BusSettings(timeout=0.1, echo="auto"), answers_canaries=True)
        self.assertFalse(world.submit(read(1, 0)).done)
        canary = Pending(ask("a", read(1, 0), world.settings.serial, math.inf), Kind.CANARY)
        canary.step(State.ABANDONED)
        self.assertTrue(canary.done)
