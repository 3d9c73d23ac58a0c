"""Whatever happens to devices, wires and descriptions: what is told as good was so, and is known once all is well."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.devices.plant_world import PlantWorld


class AnythingGoes(SynchronousTestCase):
    """Random walks."""

    def test_no_wrong_value_is_good(self) -> None:
        for seed in range(12):
            world = PlantWorld(seed)
            world.walk(60)
            world.rest()
            world.stop()
            self.assertEqual(world.wrong[:5], [], f"seed {seed}")
