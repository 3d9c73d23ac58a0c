"""Text that people read or type: what was probably meant, and how values are written."""

from __future__ import annotations

import math
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.text import ON_OFF, brief, close_to, did_you_mean, nearest, on_off, shortest_f32
from tests.strategies import QUICK

PORTS = ("boiler", "Chiller", "pv")


class MeantTests(SynchronousTestCase):
    """A word that nobody knows."""

    def test_nearest_in_any_case(self) -> None:
        for word, expected in (("boilr", "boiler"), ("BOILER", "boiler"), ("chiler", "Chiller"), ("x", ""), ("", "")):
            self.assertEqual(close_to(word, PORTS), expected)
        self.assertEqual(close_to("boilr", PORTS, 0.99), "")

    def test_sentences(self) -> None:
        self.assertEqual(did_you_mean("boilr", PORTS, "ask"), "did you mean 'boiler'?")
        self.assertEqual(did_you_mean("x", PORTS, "ask"), "ask")
        self.assertEqual(nearest("x", PORTS), "there are boiler, Chiller, pv")
        self.assertEqual(nearest("x", ()), "there are none")

    def test_what_is_no_text(self) -> None:
        self.assertEqual(nearest(7, ("7a", "b")), "did you mean '7a'?")


class ValueTests(SynchronousTestCase):
    """How values are written."""

    def test_on_and_off(self) -> None:
        for value in (True, False):
            self.assertIs(ON_OFF[on_off(value)], value)

    def test_brief(self) -> None:
        for value, text in (
            (21.0, "21"), (0.5, "0.5"), (7, "7"), ("a", "'a'"), (math.inf, "inf"),
            (10**5000, "a number of that many digits"),
        ):
            self.assertEqual(brief(value), text)
        self.assertEqual(len(brief("x" * 500)), 100)

    @QUICK
    @given(st.floats(width=32))
    def test_shortest_is_the_same_f32(self, value: float) -> None:
        short = shortest_f32(value)
        if not math.isnan(value):
            self.assertEqual(struct.pack(">f", short), struct.pack(">f", value))
        self.assertLessEqual(len(repr(short)), max(len(repr(value)), 1))

    def test_shortest(self) -> None:
        self.assertEqual(shortest_f32(struct.unpack(">f", struct.pack(">f", 23.4))[0]), 23.4)
        self.assertEqual(shortest_f32(1e300), 1e300)
