"""Times on the wire."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.framing.rtu import character_time, shortest_response_timeout, t1_5, t3_5, wire_time


class TimingTests(SynchronousTestCase):
    """The specification's times, in milliseconds with three places."""

    def milliseconds(self, seconds: float, expected: float) -> None:
        self.assertEqual(round(1000 * seconds, 3), expected)

    def test_t3_5_at_19200_is_not_fixed_yet(self) -> None:
        self.milliseconds(t3_5(19200), 2.005)

    def test_t3_5(self) -> None:
        for baudrate, expected in (
            (1200, 32.083), (9600, 4.010), (19201, 1.75), (38400, 1.75), (115200, 1.75), (10_000_000, 1.75)
        ):
            self.milliseconds(t3_5(baudrate), expected)

    def test_t1_5(self) -> None:
        for baudrate, expected in ((9600, 1.719), (19200, 0.859), (19201, 0.75), (115200, 0.75)):
            self.milliseconds(t1_5(baudrate), expected)

    def test_characters_of_another_size(self) -> None:
        self.milliseconds(t3_5(19200, 10), 1.823)
        self.milliseconds(t1_5(9600, 10), 1.562)
        self.milliseconds(t3_5(38400, 10), 1.75)

    def test_character_and_wire_time(self) -> None:
        self.milliseconds(character_time(9600), 1.146)
        self.milliseconds(character_time(9600, 10), 1.042)
        self.milliseconds(wire_time(9600, 8), 9.167)
        self.assertEqual(wire_time(9600, 0), 0)

    def test_shortest_response_timeout(self) -> None:
        """1.5 x character time x expected length + 20 ms."""
        self.milliseconds(shortest_response_timeout(9600, 7), 1.5 * 7 * 11 / 9.6 + 20 - 0.00025)
        self.milliseconds(shortest_response_timeout(9600, 0), 20)
        self.milliseconds(shortest_response_timeout(1200, 256), 3540)
