"""Histograms, exact where they say so and near it elsewhere; and the share of the time that something is used."""

from __future__ import annotations

import math
import random

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.statistics.histogram import BUCKETS, FIRST, RELATIVE_ERROR, Histogram, Usage, add_to_both


class Histograms(SynchronousTestCase):
    """Against what a sorted list says."""

    def test_percentiles_within_their_error(self) -> None:
        chance = random.Random(5)
        for low, high in ((-4, 3), (-3, -1), (0, 0.5)):
            values = sorted(10 ** chance.uniform(low, high) for _ in range(999))
            whole = Histogram()
            for value in values:
                whole.add(value)
            for share in (0.01, 0.5, 0.99, 1.0):
                right = values[math.ceil(share * len(values)) - 1]
                self.assertLessEqual(abs(whole.percentile(share) / right - 1), RELATIVE_ERROR + 1e-9, (low, share))
            told = whole.summary()
            self.assertEqual((told.count, told.min, told.max), (999, values[0], values[-1]))
            self.assertAlmostEqual(told.mean, sum(values) / 999)

    def test_both_ends(self) -> None:
        whole = Histogram()
        for value in (-1e-6, 0.0, FIRST / 2, 1e9):
            whole.add(value)
        told = whole.summary()
        self.assertEqual((told.count, told.min, told.max, told.p99), (4, 0.0, 1e9, 1e9))
        self.assertLessEqual(told.p50, FIRST)
        self.assertEqual((whole.buckets[0], whole.buckets[BUCKETS - 1]), (3, 1))

    def test_nothing(self) -> None:
        self.assertEqual(set(Histogram().summary().as_dict().values()), {0.0})

    def test_add_to_both_is_add(self) -> None:
        """The same, faster."""
        chance = random.Random(6)
        one, two, three = Histogram(), Histogram(), Histogram()
        for _ in range(500):
            value = 10 ** chance.uniform(-6, 4) - 1e-5
            add_to_both(one, two, value)
            three.add(value)
        self.assertEqual((one.buckets, one.summary()), (three.buckets, three.summary()))
        self.assertEqual((two.buckets, two.summary()), (three.buckets, three.summary()))

    def test_sum(self) -> None:
        parts = [Histogram() for _ in range(3)]
        whole = Histogram()
        for number, value in enumerate((0.5, 0.02, 7.0, 0.001)):
            parts[number % 2].add(value)  # the third one stays empty
            whole.add(value)
        self.assertEqual(Histogram.sum_of(parts).summary(), whole.summary())


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
