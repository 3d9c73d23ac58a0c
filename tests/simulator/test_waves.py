"""Values that move: the same time gives the same, and they keep within their bounds."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.simulator.values import MOST_STEPS, Counter, Motion, Ramp, Shape, Walk, Wave
from tests.strategies import QUICK

SHAPES: tuple[Shape, ...] = ("sine", "square", "saw", "triangle")


def wave(shape: Shape, low: float, high: float, period: float, phase: float = 0.0) -> Motion:
    """How a wave of these settings moves."""
    return Wave(shape=shape, low=low, high=high, period=period, phase=phase).motion(random.Random())


def ramp(start: float, end: float, seconds: float) -> Motion:
    """How a ramp of these settings moves."""
    return Ramp(start=start, end=end, seconds=seconds).motion(random.Random())


class WaveTests(SynchronousTestCase):
    """What comes again."""

    def at_quarters(self, shape: Shape, phase: float = 0.0) -> list[float]:
        motion = wave(shape, 10, 30, 8.0, phase)
        return [round(motion(now), 6) for now in (0.0, 2.0, 4.0, 6.0, 8.0)]

    def test_shapes(self) -> None:
        self.assertEqual(self.at_quarters("sine"), [20, 30, 20, 10, 20])
        self.assertEqual(self.at_quarters("square"), [30, 30, 10, 10, 30])
        self.assertEqual(self.at_quarters("saw"), [10, 15, 20, 25, 10])
        self.assertEqual(self.at_quarters("triangle"), [10, 20, 30, 20, 10])

    def test_phase(self) -> None:
        self.assertEqual(self.at_quarters("sine", 0.25), [30, 20, 10, 20, 30])

    @QUICK
    @given(st.sampled_from(SHAPES), st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(0.001, 1e6), st.floats(0, 1e9))
    def test_within_its_bounds(self, shape: Shape, low: float, swing: float, period: float, now: float) -> None:
        value = wave(shape, low, low + swing, period)(now)
        self.assertTrue(low - 1e-6 <= value <= low + swing + 1e-6)


class RampTests(SynchronousTestCase):
    """What goes somewhere and stays."""

    def test_up_and_down(self) -> None:
        self.assertEqual([ramp(0, 100, 10)(now) for now in (0, 2.5, 10, 1000)], [0, 25, 100, 100])
        self.assertEqual([ramp(5, -5, 10)(now) for now in (0, 5, 10, 11)], [5, 0, -5, -5])


class CounterTests(SynchronousTestCase):
    """What grows."""

    def test_whole(self) -> None:
        counter = Counter(2.5, 100)
        self.assertEqual([counter(now) for now in (0, 0.39, 0.4, 10)], [100, 100, 101, 125])

    def test_with_fractions(self) -> None:
        self.assertEqual(Counter(0.5, 0.25, is_whole=False)(1.0), 0.75)

    def test_set(self) -> None:
        counter = Counter(2.0, 7)
        counter.count_from(0, 10.0)
        self.assertEqual(counter(11.5), 3)


class WalkTests(SynchronousTestCase):
    """What moves at random."""

    def walk(self, seed: int = 1, step: float = 5.0) -> Walk:
        return Walk(50, step, 0, 100, 1.0, random.Random(seed))

    def test_same_seed(self) -> None:
        """However often it is looked at."""
        one, other, third = self.walk(), self.walk(), self.walk(2)
        seldom = [one(now) for now in range(0, 100, 7)]
        often = [other(now / 10) for now in range(1000)][0:981:70]
        self.assertEqual(seldom, often)
        self.assertNotEqual(seldom, [third(now) for now in range(0, 100, 7)])

    def test_stands_between_two_steps(self) -> None:
        walk = self.walk()
        self.assertEqual(walk(0.99), 50)
        self.assertNotEqual(walk(1.0), 50)
        self.assertEqual(walk(1.0), walk(1.99))

    def test_within_its_bounds(self) -> None:
        walk = self.walk(step=60.0)
        values = [walk(now) for now in range(1000)]
        self.assertTrue(all(0 <= value <= 100 for value in values))
        self.assertGreater(len(set(values)), 500)

    def test_long_unseen(self) -> None:
        """Only so many steps are made up for, and it walks on at its pace."""
        walk = self.walk()
        walk(1e9)
        here = walk(1e9 + 0.5)
        self.assertEqual(walk(1e9 + 0.9), here)
        self.assertNotEqual(walk(1e9 + 1), here)

        class Throws(random.Random):
            thrown = 0

            def uniform(self, a: float, b: float) -> float:
                self.thrown += 1
                return 0.0

        dice = Throws()
        Walk(50, 5.0, 0, 100, 0.001, dice)(1e9)
        self.assertEqual(dice.thrown, MOST_STEPS)
