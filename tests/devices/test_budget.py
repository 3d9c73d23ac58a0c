"""The share of a bus."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices.poll.plan import CREDIT, Budget


class Share(SynchronousTestCase):
    """What may begin, and when."""

    def spent(self, share: float, cost: float, seconds: float, under_way: int = 1) -> float:
        """Of so many seconds, those that who always wants more gets."""
        budget, now, used = Budget(share, 0.0), 0.0, 0.0
        while now < seconds:
            wait = budget.wait(cost, now)
            now += wait
            begun = 0
            while begun < under_way and not budget.wait(cost, now):
                budget.begin(cost)
                begun += 1
            for _ in range(begun):
                budget.end(cost, cost)
                used += cost
                now += cost
        return used

    def test_no_more_than_the_share(self) -> None:
        for share in (0.1, 0.5, 0.9):
            for cost in (0.002, 0.02, 0.2, 2.0):
                for under_way in (1, 3):
                    used = self.spent(share, cost, 100.0, under_way)
                    self.assertLessEqual(used, 100.0 * share + CREDIT + under_way * cost, (share, cost))
                    self.assertGreaterEqual(used, 95.0 * share - 2 * cost, (share, cost))

    def test_what_takes_longer_than_thought_is_paid_back(self) -> None:
        budget = Budget(0.5, 0.0)
        budget.begin(0.01)
        budget.end(0.01, 1.0)
        self.assertAlmostEqual(budget.wait(0.01, 0.0), (1.0 - CREDIT + 0.01) / 0.5)
        self.assertEqual(budget.wait(0.01, 1.6), 0.0)

    def test_what_is_under_way_counts(self) -> None:
        budget = Budget(0.5, 0.0)
        for _ in range(3):
            self.assertEqual(budget.wait(0.1, 0.0), 0.0) if _ < 2 else self.assertGreater(budget.wait(0.1, 0.0), 0.0)
            budget.begin(0.1)
