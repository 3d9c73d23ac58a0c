"""Described devices in a simulation: each point can be read there as it is described, and moves as it says."""

from __future__ import annotations

import pathlib
import tomllib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.config.simulation import settings_from_data, settings_from_toml, simulated_unit
from lumina_twisted.devices.describe.description import Point, Profile
from lumina_twisted.devices.describe.document import read_profiles, shipped_profiles
from lumina_twisted.errors import ConfigError
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.simulator.settings import SimulatedBusSettings, SimulatedUnitSettings
from lumina_twisted.simulator.simulation import devices_of

SQUARE = 'kind = "wave", shape = "square", period = 10'


def profile(points: str, more: str = "") -> Profile:
    """That of a TOML text."""
    faults: list[str] = []
    data = tomllib.loads(f"{more}\n[points]\n{points}")
    made = read_profiles({"p": data}, "profiles", faults)["p"]
    assert not faults, faults
    return made


def device(unit: SimulatedUnitSettings) -> SimulatedDevice:
    """As the simulator makes it."""
    return devices_of(SimulatedBusSettings(units={1: unit}), "seed")[1]


def value(made: SimulatedDevice, point: Point, now: float = 0.0) -> Value:
    """What a point of it is."""
    tables = {
        "coil": made.coils, "discrete": made.discrete_inputs, "holding": made.holding_registers,
        "input": made.input_registers,
    }
    return point.codec.decode(tables[point.table].read(point.address, point.codec.width, now))


class PointTests(SynchronousTestCase):
    """Sizes, values, orders and words."""

    def values(self, points: str, now: float = 0.0, more: str = "") -> dict[str, Value]:
        made = profile(points, more)
        simulated = device(simulated_unit(made.points.values()))
        return {name: value(simulated, point, now) for name, point in made.points.items()}

    def assert_value(self, point: str, expected: Any, now: float = 0.0) -> None:
        self.assertEqual(self.values(f"x = {{ {point} }}", now)["x"], expected, point)

    def test_moves_in_its_unit_of_measure(self) -> None:
        point = f'address = "30001", type = "i16", scale = 0.1, simulate = {{ {SQUARE}, low = -3.5, high = 21.5 }}'
        self.assert_value(point, 21.5, 1.0)
        self.assert_value(point, -3.5, 6.0)

    def test_offset(self) -> None:
        self.assert_value('address = "30001", scale = 0.5, offset = -40, simulate = -12.5', -12.5)

    def test_every_type_and_order(self) -> None:
        for kind in ("u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"):
            for word_order in ("big", "little"):
                for byte_order in ("big", "little"):
                    of = f'type = "{kind}", word_order = "{word_order}", byte_order = "{byte_order}"'
                    self.assert_value(f'address = "40001", {of}, simulate = 1234', 1234)
                    motion = '{ kind = "ramp", start = 0, end = 4321, seconds = 1 }'
                    self.assert_value(f'address = "40001", {of}, simulate = {motion}', 4321, 2.0)

    def test_what_only_a_write_must_keep(self) -> None:
        """A range is that of what is written; a sensor may be beyond it."""
        self.assert_value('address = "40001", low = 5, high = 6, simulate = 7', 7)

    def test_text_and_words(self) -> None:
        for order in ("big", "little"):
            of = f'type = "string", length = 4, byte_order = "{order}"'
            self.assert_value(f'address = "40001", {of}, simulate = "abc"', "abc")
        self.assert_value('address = "40001", enum = { 0 = "off", 4 = "eco" }, simulate = "eco"', "eco")
        self.assert_value('address = "40001", type = "bits", bits = { 0 = "a", 9 = "b" }, simulate = ["b"]', ("b",))

    def test_coils(self) -> None:
        self.assert_value('address = "00005", simulate = true', True)
        self.assert_value(f'address = "10005", simulate = {{ {SQUARE} }}', True, 1.0)
        self.assert_value(f'address = "10005", simulate = {{ {SQUARE} }}', False, 6.0)

    def test_bits_of_one_register(self) -> None:
        """Some move, some stay, and one that names all of them tells the same."""
        for byte_order in ("big", "little"):
            names = 'bits = { 1 = "one", 9 = "nine" }, simulate = ["one", "nine"]'
            points = (
                f'all = {{ address = "40002", type = "bits", {names} }}\n'
                'still = { address = "40002", type = "bool", bit = 4, simulate = true }\n'
                f'moves = {{ address = "40002", type = "bool", bit = 9, simulate = {{ {SQUARE} }} }}\n'
                'off = { address = "40002", type = "bool", bit = 0 }'
            )
            more = f'byte_order = "{byte_order}"'
            self.assertEqual(
                self.values(points, 1.0, more),
                {"all": ("one", "bit4", "nine"), "still": True, "moves": True, "off": False},
            )
            self.assertEqual(
                self.values(points, 6.0, more), {"all": ("one", "bit4"), "still": True, "moves": False, "off": False}
            )

    def test_bit_of_the_second_register_of_bits(self) -> None:
        names = 'bits = { 0 = "a", 16 = "b" }, simulate = ["a", "b"]'
        points = (
            f'all = {{ address = "40001", type = "bits", length = 2, {names} }}\n'
            'one = { address = "40001", type = "bool", bit = 3, simulate = true }'
        )
        self.assertEqual(self.values(points), {"all": ("a", "b", "bit19"), "one": True})

    def test_what_is_not_said_may_well_be(self) -> None:
        for point, expected in {
            'unit_of_measure = "°C", scale = 0.1': 21.0, 'unit_of_measure = "V", type = "f32"': 230.0, "": 0,
            "low = 20, high = 30": 25, 'unit_of_measure = "°C", low = 40, high = 50': 45, "low = 7": 7,
            'type = "bits", bits = { 0 = "a" }': (), 'type = "string", length = 2': "x",
            'enum = { 3 = "run", 2 = "stop" }': "stop", 'type = "bool", bit = 3': False,
            'unit_of_measure = "V", scale = 0.001': 0.0,
        }.items():
            self.assert_value(f'address = "40001"{point and ", "}{point}', expected)

    def test_tables_end_behind_their_last_point(self) -> None:
        unit = simulated_unit(profile('x = { address = "30011", type = "u32" }').points.values())
        self.assertEqual((unit.input_registers.size, unit.holding_registers.size, unit.coils.size), (12, 0, 0))

    def test_writing_ends_a_motion(self) -> None:
        made = profile(f'x = {{ address = "40001", scale = 0.1, simulate = {{ {SQUARE} }} }}')
        simulated = device(simulated_unit(made.points.values()))
        simulated.holding_registers.write(0, [215], 1.0)
        self.assertEqual(value(simulated, made.points["x"], 6.0), 21.5)

    def test_shipped(self) -> None:
        """Every point of every profile is what it says at the beginning, and can be read ever after."""
        for name, made in shipped_profiles().items():
            simulated = device(simulated_unit(made.points.values()))
            for point in made.points.values():
                for now in (0.0, 1e6):
                    read = value(simulated, point, now)
                if isinstance(point.simulate, list):
                    self.assertEqual(read, tuple(point.simulate), f"{name}.{point.name}")
                elif isinstance(point.simulate, (bool, int, float)):
                    self.assertTrue(isinstance(read, (int, float)), f"{name}.{point.name}")
                    self.assertAlmostEqual(point.simulate, read, 4, f"{name}.{point.name}")  # type: ignore[arg-type]


class FileTests(SynchronousTestCase):
    """``profile`` in a simulation."""

    TEXT = """
    [buses.b.units.1]
    profile = "mine"
    [buses.b.units.2]
    profile = "sdm120"
    [buses.b.units.2.input_registers]
    0 = { value = 1.5, type = "f32" }
    [profiles.mine]
    maker = "ACME"
    [profiles.mine.points]
    x = { address = "40001", simulate = 7 }
    """

    def test_profiles(self) -> None:
        path = pathlib.Path(self.mktemp())
        path.write_text(self.TEXT)
        made = devices_of(settings_from_toml(path).buses["b"], "seed")
        self.assertEqual(made[1].holding_registers.read(0, 1, 0.0), [7])
        points = shipped_profiles()["sdm120"].points
        self.assertEqual(value(made[2], points["voltage"]), 1.5)
        self.assertGreater(value(made[2], points["import_energy"]), 0)  # type: ignore[operator]

    def test_who_it_is(self) -> None:
        units = settings_from_data(tomllib.loads(self.TEXT)).buses["b"].units
        self.assertEqual((units[1].identity.vendor_name, units[1].identity.product_code), ("ACME", "mine"))

    def test_all_faults_at_once(self) -> None:
        text = self.TEXT.replace("sdm120", "sdm12").replace('"40001"', "400001")
        faults = self.assertRaises(ConfigError, settings_from_data, tomllib.loads(text)).faults
        self.assertEqual(
            [one.partition(": ")[0] for one in faults],
            ["profiles.mine.points.x.address", "buses.b.units.2.profile"],
        )
        self.assertIn("did you mean 'sdm120'?", faults[1])

    def test_fault_of_a_profile_alone(self) -> None:
        data = tomllib.loads(self.TEXT.replace('"40001"', "400001"))
        self.assertEqual(len(self.assertRaises(ConfigError, settings_from_data, data).faults), 1)
