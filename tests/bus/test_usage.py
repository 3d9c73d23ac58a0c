"""The share of the time in which something was in use."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.statistics.usage import Usage


class Shares(SynchronousTestCase):
    """Over all, and over the last minute."""

    def test_nothing_yet(self) -> None:
        self.assertEqual((Usage().share(5.0), Usage().share_of_last_minute(5.0)), (0.0, 0.0))

    def test_last_minute_forgets(self) -> None:
        usage = Usage()
        usage.since = 0.0
        usage.add(0.0, 50.0)
        self.assertAlmostEqual(usage.share_of_last_minute(50.0), 1.0)
        self.assertAlmostEqual(usage.share_of_last_minute(60.0), 50 / 60)
        self.assertAlmostEqual(usage.share_of_last_minute(80.0), 0.5)
        self.assertEqual(usage.share_of_last_minute(111.0), 0.0)
        self.assertAlmostEqual(usage.share(100.0), 0.5)
        self.assertAlmostEqual(usage.share(100.0, running=25.0), 0.75)

    def test_idle_time_is_not_smeared(self) -> None:
        """A use that got no mark of its own ended when it ended, whenever the next one came."""
        usage = Usage()
        for start, end in ((0.0, 1.0), (1.1, 1.9), (10.0, 10.5)):
            usage.add(start, end)
        self.assertAlmostEqual(usage.share_of_last_minute(65.0), 0.5 / 60)
        self.assertAlmostEqual(usage.share_of_last_minute(61.9), 0.5 / 60)
        self.assertLess(abs(usage.share_of_last_minute(61.5) - 0.9 / 60), 0.06 / 60)  # evenly between two marks

    def test_against_every_use(self) -> None:
        """Short uses at random, some far apart: never more than a second's worth of error."""
        chance = random.Random(9)
        usage, uses, now = Usage(), [], 0.0
        for _ in range(4000):
            start = now + chance.choice((0.001, 0.01, 0.05, chance.uniform(0, 5) if chance.random() < 0.02 else 0.01))
            now = start + chance.uniform(0.001, 0.08)
            usage.add(start, now)
            uses.append((start, now))
            if chance.random() < 0.02 and now > 70:
                right = sum(min(end, now) - max(begin, now - 60) for begin, end in uses if end > now - 60) / 60
                self.assertLess(abs(usage.share_of_last_minute(now) - right), 1 / 60)
