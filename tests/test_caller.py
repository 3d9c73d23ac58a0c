"""Who asks: names that people can read, and callers for the clients of others' protocols."""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access import caller as module
from lumina_twisted.access.caller import MAX_NAME, Caller, caller_of


class Client:
    """Without a text of its own."""


class Callers(SynchronousTestCase):
    """A caller is equal to itself only."""

    def test_two_of_one_name(self) -> None:
        self.assertNotEqual(Caller("a"), Caller("a"))
        self.assertEqual(len({Caller("a"), Caller("a")}), 2)

    def test_its_name_can_be_printed(self) -> None:
        self.assertEqual(Caller("x\x1b[2J\n").name, "x?[2J?")
        self.assertEqual(len(Caller("x" * 1000).name), MAX_NAME)
        self.assertEqual(str(Caller("10.0.0.7:4001", "10.0.0.7", "line tcp:8888")), "10.0.0.7:4001")


class Others(SynchronousTestCase):
    """What others name their clients by."""

    def test_a_caller_is_its_own(self) -> None:
        one = Caller("a")
        self.assertIs(caller_of(one), one)

    def test_an_object_that_has_one(self) -> None:
        client = Client()
        client.caller = Caller("a")  # type: ignore[attr-defined]
        self.assertIs(caller_of(client), client.caller)  # type: ignore[attr-defined]

    def test_another_object(self) -> None:
        """Its caller is the same for as long as it lives, and does not keep it alive."""
        one, other = Client(), Client()
        self.assertIs(caller_of(one), caller_of(one))
        self.assertIsNot(caller_of(one), caller_of(other))
        self.assertEqual(caller_of(one).name, "Client")
        gc.collect()  # what other tests have left
        before = len(module._callers)
        del one
        gc.collect()
        self.assertEqual(len(module._callers), before - 1)

    def test_texts_and_numbers_by_value(self) -> None:
        self.assertIs(caller_of("me"), caller_of("m" + "e"))
        self.assertIsNot(caller_of("me"), caller_of("you"))
        self.assertEqual((caller_of(7).name, caller_of(("a", 1)).name), ("7", "('a', 1)"))
