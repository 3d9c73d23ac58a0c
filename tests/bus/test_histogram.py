"""Histograms: exact where they say so, and within their error elsewhere."""

from __future__ import annotations

import math
import random

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.statistics.histogram import BUCKETS, FIRST, RELATIVE_ERROR, Histogram, add_to_both


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
            told = whole.told()
            self.assertEqual((told.count, told.min, told.max), (999, values[0], values[-1]))
            self.assertAlmostEqual(told.mean, sum(values) / 999)

    def test_both_ends(self) -> None:
        whole = Histogram()
        for value in (-1e-6, 0.0, FIRST / 2, 1e9):
            whole.add(value)
        told = whole.told()
        self.assertEqual((told.count, told.min, told.max, told.p99), (4, 0.0, 1e9, 1e9))
        self.assertLessEqual(told.p50, FIRST)
        self.assertEqual((whole.buckets[0], whole.buckets[BUCKETS - 1]), (3, 1))

    def test_nothing(self) -> None:
        self.assertEqual(set(Histogram().told().as_dict().values()), {0.0})

    def test_add_to_both_is_add(self) -> None:
        """The same, faster."""
        chance = random.Random(6)
        one, two, three = Histogram(), Histogram(), Histogram()
        for _ in range(500):
            value = 10 ** chance.uniform(-6, 4) - 1e-5
            add_to_both(one, two, value)
            three.add(value)
        self.assertEqual((one.buckets, one.told()), (three.buckets, three.told()))
        self.assertEqual((two.buckets, two.told()), (three.buckets, three.told()))

    def test_sum(self) -> None:
        parts = [Histogram() for _ in range(3)]
        whole = Histogram()
        for number, value in enumerate((0.5, 0.02, 7.0, 0.001)):
            parts[number % 2].add(value)  # the third one stays empty
            whole.add(value)
        self.assertEqual(Histogram.sum_of(parts).told(), whole.told())
