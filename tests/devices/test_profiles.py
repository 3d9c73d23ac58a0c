"""The shipped profiles beside the documents they name: addresses, types and scales as printed, examples as worked."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices.describe.description import Device, Point, Profile
from lumina_twisted.devices.describe.document import shipped_profiles
from lumina_twisted.devices.poll.plan import blocks_of
from lumina_twisted.modbus.values.codec import Value

Row = tuple[str, str, int, str, float]
"""Point, table, address, type and scale."""

PRINTED: Final[Mapping[str, tuple[str, tuple[Row, ...]]]] = {
    # "Start Address Hex" of the input registers, section 1.2.1, and of the holding registers, section 1.3.1.
    "sdm630": ("SDM630Modbus Smart Meter Modbus Protocol Implementation, V1.8", (
        ("voltage_l1", "input", 0x0000, "f32", 1), ("voltage_l3", "input", 0x0004, "f32", 1),
        ("current_l1", "input", 0x0006, "f32", 1), ("power_l1", "input", 0x000C, "f32", 1),
        ("apparent_power_l2", "input", 0x0014, "f32", 1), ("reactive_power_l3", "input", 0x001C, "f32", 1),
        ("power_factor_l1", "input", 0x001E, "f32", 1), ("phase_angle_l3", "input", 0x0028, "f32", 1),
        ("voltage", "input", 0x002A, "f32", 1), ("current", "input", 0x002E, "f32", 1),
        ("current_sum", "input", 0x0030, "f32", 1), ("power", "input", 0x0034, "f32", 1),
        ("apparent_power", "input", 0x0038, "f32", 1), ("reactive_power", "input", 0x003C, "f32", 1),
        ("power_factor", "input", 0x003E, "f32", 1), ("phase_angle", "input", 0x0042, "f32", 1),
        ("frequency", "input", 0x0046, "f32", 1), ("import_energy", "input", 0x0048, "f32", 1),
        ("export_energy", "input", 0x004A, "f32", 1), ("charge", "input", 0x0052, "f32", 1),
        ("power_demand", "input", 0x0054, "f32", 1), ("apparent_power_demand", "input", 0x0064, "f32", 1),
        ("current_neutral_demand_max", "input", 0x006A, "f32", 1), ("voltage_l1_l2", "input", 0x00C8, "f32", 1),
        ("voltage_between_phases", "input", 0x00CE, "f32", 1), ("current_neutral", "input", 0x00E0, "f32", 1),
        ("voltage_thd_l1", "input", 0x00EA, "f32", 1), ("current_thd", "input", 0x00FA, "f32", 1),
        ("current_demand_l1", "input", 0x0102, "f32", 1), ("current_demand_max_l3", "input", 0x010C, "f32", 1),
        ("voltage_thd_between_phases", "input", 0x0154, "f32", 1), ("total_energy", "input", 0x0156, "f32", 1),
        ("import_energy_l1", "input", 0x015A, "f32", 1), ("total_energy_l3", "input", 0x016A, "f32", 1),
        ("total_reactive_energy_l3", "input", 0x017C, "f32", 1), ("demand_period", "holding", 0x0002, "f32", 1),
        ("system_type", "holding", 0x000A, "f32", 1), ("baudrate_code", "holding", 0x001C, "f32", 1),
        ("serial_number", "holding", 0xFC00, "u32", 1),
    )),
    # "Register Map", functions 04 and 03.
    "sdm120": ("SDM120Modbus Smart Meter Modbus Protocol Implementation, V2.4", (
        ("voltage", "input", 0x0000, "f32", 1), ("current", "input", 0x0006, "f32", 1),
        ("power", "input", 0x000C, "f32", 1), ("apparent_power", "input", 0x0012, "f32", 1),
        ("reactive_power", "input", 0x0018, "f32", 1), ("power_factor", "input", 0x001E, "f32", 1),
        ("frequency", "input", 0x0046, "f32", 1), ("import_energy", "input", 0x0048, "f32", 1),
        ("export_reactive_energy", "input", 0x004E, "f32", 1), ("power_demand", "input", 0x0054, "f32", 1),
        ("export_power_demand_max", "input", 0x005E, "f32", 1), ("current_demand", "input", 0x0102, "f32", 1),
        ("current_demand_max", "input", 0x0108, "f32", 1), ("total_energy", "input", 0x0156, "f32", 1),
        ("total_reactive_energy", "input", 0x0158, "f32", 1), ("pulse_width", "holding", 0x000C, "f32", 1),
        ("address", "holding", 0x0014, "f32", 1), ("pulse_output", "holding", 0x0056, "f32", 1),
        ("serial_number", "holding", 0xFC00, "u32", 1),
    )),
    # Table "Modbus Protocol".
    "sht20": ("XY-MD02, Modbus RTU RS485 SHT20 Temperature Humidity Transmitter", (
        ("temperature", "input", 0x0001, "i16", 0.1), ("humidity", "input", 0x0002, "u16", 0.1),
        ("address", "holding", 0x0101, "u16", 1), ("baudrate", "holding", 0x0102, "u16", 1),
        ("temperature_correction", "holding", 0x0103, "i16", 0.1),
        ("humidity_correction", "holding", 0x0104, "i16", 0.1),
    )),
    # The wiki's relay addresses, and those of its protocol V2.
    "relay8": ("Protocol Manual of Modbus RTU Relay", (
        *((f"relay_{n}", "coil", n - 1, "bool", 1.0) for n in range(1, 9)),
        ("address", "holding", 0x4000, "u16", 1), ("version", "holding", 0x8000, "u16", 0.01),
    )),
    # Sheet "Parameters": logic address, type and units of each code.
    "atv12": ("ATV12 Communication Parameters, BBV51917, 1.4IE05", (
        ("control_word", "holding", 0x2135, "bits", 1), ("frequency_reference", "holding", 0x2136, "i16", 0.1),
        ("speed_reference", "holding", 0x219A, "i16", 1), ("status_word", "holding", 0x0C81, "bits", 1),
        ("output_frequency", "holding", 0x0C82, "i16", 0.1), ("ramp_input", "holding", 0x0C83, "i16", 0.1),
        ("current", "holding", 0x0C84, "u16", 0.1), ("mains_voltage", "holding", 0x0C87, "u16", 1),
        ("drive_thermal_state", "holding", 0x0C89, "u16", 1), ("power", "holding", 0x0C8B, "i16", 1),
        ("state", "holding", 0x0CA8, "u16", 1), ("inputs", "holding", 0x1451, "bits", 1),
        ("last_fault", "holding", 0x1BD1, "u16", 1), ("output_speed", "holding", 0x219C, "i16", 1),
        ("acceleration", "holding", 0x2329, "u16", 0.1), ("deceleration", "holding", 0x232A, "u16", 0.1),
        ("motor_thermal_state", "holding", 0x259E, "u16", 1), ("high_speed", "holding", 0x0C20, "u16", 0.1),
        ("low_speed", "holding", 0x0C21, "u16", 0.1), ("rated_current", "holding", 0x0BC9, "u16", 0.1),
    )),
}

WORKED: Final[tuple[tuple[str, str, tuple[int, ...], Value], ...]] = (
    ("sdm120", "voltage", (0x4366, 0x3334), 230.2),  # section 2.1
    ("sdm120", "address", (0x4270, 0x0000), 60.0),  # section 2.3
    ("sdm630", "voltage_l1", (0x4370, 0x8000), 240.5),  # section 3.7
    ("sht20", "temperature", (0x0131,), 30.5),
    ("sht20", "temperature", (0xFF33,), -20.5),
    ("sht20", "humidity", (0x0222,), 54.6),
    ("relay8", "version", (200,), 2.0),
    ("atv12", "high_speed", (0x01F4,), 50.0),  # read example of the Modbus manual
    ("atv12", "control_word", (0x000F,), ("switch_on", "enable_voltage", "no_quick_stop", "enable_operation")),
    ("atv12", "status_word", (0x0637,), (
        "ready", "switched_on", "running", "voltage", "no_quick_stop", "remote", "reference_reached",
    )),
    ("atv12", "last_fault", (9,), "overcurrent"),
    ("atv12", "last_fault", (253,), 253),
    ("atv12", "state", (4,), "running"),
)
"""Profile, point, entries, and the value that they are."""

BLOCKS: Final[Mapping[str, tuple[tuple[float, str, int, int], ...]]] = {
    "sdm630": (
        (1, "input", 0, 72), (5, "input", 200, 8), (5, "input", 224, 2), (30, "input", 72, 12),
        (30, "input", 342, 40), (60, "input", 84, 4), (60, "input", 100, 8), (60, "input", 234, 18),
        (60, "input", 258, 12), (60, "input", 334, 8),
    ),
    "sdm120": (
        (2, "input", 0, 32), (2, "input", 70, 2), (30, "input", 72, 8), (30, "input", 342, 4), (60, "input", 84, 12),
        (60, "input", 258, 8),
    ),
    "sht20": ((5, "input", 1, 2),),
    "relay8": ((1, "coil", 0, 8),),
    "atv12": (
        (1, "holding", 3201, 4), (1, "holding", 3211, 1), (1, "holding", 3240, 1), (1, "holding", 8604, 1),
        (5, "holding", 3207, 1), (5, "holding", 3209, 1), (5, "holding", 5201, 1), (5, "holding", 7121, 1),
        (5, "holding", 8501, 2), (5, "holding", 8602, 1), (5, "holding", 9630, 1), (60, "holding", 3104, 2),
        (60, "holding", 9001, 2),
    ),
}
"""What is read of each: interval, table, first address and how many."""


def points() -> Iterator[tuple[str, Profile, Point]]:
    """Each point of each profile, after its path."""
    for name, profile in shipped_profiles().items():
        for point in profile.points.values():
            yield f"{name}.{point.name}", profile, point


class ShippedProfilesTests(SynchronousTestCase):
    """What comes with Lumina can be relied on."""

    def test_there_are_five(self) -> None:
        """Each is read without a fault, and says what it is and which document it follows."""
        self.assertEqual(sorted(shipped_profiles()), sorted(PRINTED))
        for name, profile in shipped_profiles().items():
            self.assertIn(PRINTED[name][0], profile.source)
            self.assertTrue(profile.maker and profile.model and profile.summary, name)

    def test_the_page_has_them(self) -> None:
        """With the document each follows."""
        page = (pathlib.Path(__file__).parents[2] / "docs" / "profiles.md").read_text()
        for name, (document, _) in PRINTED.items():
            self.assertIn(document, next(line for line in page.splitlines() if line.startswith(f"| `{name}` ")))

    def test_the_printed_tables(self) -> None:
        """Each row is the point it is printed as."""
        for name, (_, rows) in PRINTED.items():
            for point, *row in rows:
                made = shipped_profiles()[name].points[point]
                self.assertEqual([made.table, made.address, made.codec.type, made.codec.scale], row, f"{name}.{point}")

    def test_the_worked_examples(self) -> None:
        """What the documents read out of registers is what is read out of them here."""
        for name, point, entries, value in WORKED:
            read = shipped_profiles()[name].points[point].codec.decode(entries)
            if isinstance(value, float):
                self.assertAlmostEqual(read, value, 4, f"{name}.{point}")
            else:
                self.assertEqual(read, value, f"{name}.{point}")

    def test_every_point_says_what_it_is(self) -> None:
        """A short summary, and a value for the simulator that the point can hold."""
        for path, _, point in points():
            self.assertTrue(0 < len(point.summary) < 110, path)
            for value in simulated(point.simulate):
                point.codec.encode(tuple(value) if isinstance(value, list) else value, [0] * point.codec.width)

    def test_no_write_cuts_the_connection(self) -> None:
        """Address, baud rate and parity are read only; who writes a setting learns whether the device took it."""
        commands = {"atv12.control_word", "atv12.frequency_reference", "atv12.speed_reference"}
        for path, _, point in points():
            cuts = point.name.startswith(("address", "baudrate", "parity"))
            self.assertFalse(cuts and point.writable, path)
            self.assertEqual(point.read_back, point.writable and path not in commands, path)

    def test_the_fewest_reads(self) -> None:
        """They go over no hole that nobody was seen to read over, and are no longer than the device gives."""
        for name, profile in shipped_profiles().items():
            device = Device(
                name=name, port="bus", unit=1, points=profile.points, hole=profile.hole, most=profile.most
            )
            blocks = [(one.poll, one.table, one.address, one.quantity) for one in blocks_of(device)]
            self.assertEqual(sorted(blocks), sorted(BLOCKS[name]), name)

    def test_meters_get_even_reads(self) -> None:
        """They refuse an odd number of registers, and an odd address."""
        for path, profile, point in points():
            if profile.maker.endswith("Eastron Electronic"):
                self.assertEqual((point.address % 2, point.codec.width, profile.hole % 2), (0, 2, 0), path)


def simulated(simulate: Any) -> Iterator[Any]:
    """The values that a simulated one has, or its ends."""
    if not isinstance(simulate, Mapping):
        assert simulate is not None, "nothing to simulate"
        yield simulate
        return
    assert {"kind"} < set(simulate), simulate
    yield from (simulate[key] for key in ("low", "high", "start") if key in simulate)
