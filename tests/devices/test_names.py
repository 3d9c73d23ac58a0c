"""Which name was probably meant."""

from __future__ import annotations

import time
import unittest

from lumina_twisted.devices.describe.description import found
from lumina_twisted.errors import UnknownName

PLANT = {
    f"{device}.{point}": None
    for device in ("boiler", "greenhouse", "pump", *(f"meter_{number}" for number in range(150)))
    for point in ("flow", "temperature", "pressure", *(f"zone_{number:02d}" for number in range(70)))
}


class Meant(unittest.TestCase):
    """In a plant of 10,000 values."""

    def told(self, name: str) -> str:
        with self.assertRaises(UnknownName) as caught:
            found(name, PLANT, "value")
        return str(caught.exception).partition("; ")[2]

    def test_the_point_is_wrong(self) -> None:
        self.assertEqual(self.told("boiler.temprature"), "did you mean 'boiler.temperature'?")
        self.assertEqual(self.told("Pump.Flow"), "did you mean 'pump.flow'?")

    def test_the_device_is_wrong(self) -> None:
        self.assertEqual(self.told("geenhouse.temperature"), "did you mean 'greenhouse.temperature'?")
        self.assertEqual(self.told("oiler.presure"), "did you mean 'boiler.pressure'?")

    def test_the_device_is_missing(self) -> None:
        self.assertRegex(self.told("temperature"), r"did you mean '\w+.temperature'\?")

    def test_one_device_has_them_all(self) -> None:
        wide = {f"wide.x{number:05d}": None for number in range(10_000)}
        with self.assertRaisesRegex(UnknownName, "did you mean 'wide.x0[0-9]+'"):
            found("wide.x0123", wide, "value")

    def test_hundreds_of_wrong_names_in_a_line(self) -> None:
        """Nobody else is served meanwhile."""
        since = time.process_time()
        for number in range(100):
            self.told(f"meter_{number}.zone{number}")
        self.assertLess(time.process_time() - since, 3)  # it was 20
