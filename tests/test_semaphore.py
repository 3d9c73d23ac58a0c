"""So many at a time, however many end at once."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.awaiting import Semaphore


class Turns(SynchronousTestCase):
    """Work that ends when the test says so, at once, or never begins."""

    def setUp(self) -> None:
        self.begun: list[tuple[str, Deferred[str]]] = []

    def begin(self, name: str) -> Deferred[str]:
        self.begun.append((name, Deferred()))
        return self.begun[-1][1]

    def test_in_their_order(self) -> None:
        turns = Semaphore(2)
        done = [turns.run(self.begin, name) for name in "abcd"]
        self.assertEqual(([name for name, _ in self.begun], len(turns)), (["a", "b"], 2))
        self.begun[1][1].callback("B")
        self.begun[0][1].errback(ValueError())
        self.assertEqual([name for name, _ in self.begun], ["a", "b", "c", "d"])
        self.assertEqual(self.successResultOf(done[1]), "B")
        self.failureResultOf(done[0], ValueError)

    def test_who_gives_a_turn_away(self) -> None:
        turns = Semaphore()
        done = [turns.run(self.begin, name) for name in "abc"]
        done[1].cancel()
        done[0].cancel()
        self.failureResultOf(done[0], CancelledError)
        self.failureResultOf(done[1], CancelledError)
        self.assertEqual([name for name, _ in self.begun], ["a", "c"])
        self.begun[-1][1].callback("C")
        self.successResultOf(turns.acquire())

    def test_all_waiting_are_cancelled(self) -> None:
        turns = Semaphore()
        done = [turns.run(self.begin, name) for name in "abc"]
        turns.cancel()
        self.failureResultOf(done[1], CancelledError)
        self.failureResultOf(done[2], CancelledError)
        self.assertNoResult(done[0])

    def test_thousands_that_end_at_once(self) -> None:
        turns = Semaphore()
        turns.run(self.begin, "a")
        done = [turns.run(partial(fail, ValueError())) for _ in range(5000)]
        self.begun[0][1].callback("A")
        for one in done:
            self.failureResultOf(one, ValueError)
        self.successResultOf(turns.acquire())
