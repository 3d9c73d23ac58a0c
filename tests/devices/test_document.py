"""Descriptions from TOML: what a file may say, what it then means, and a sentence for each thing it may not."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices.describe.description import Device, Point, Profile
from lumina_twisted.devices.describe.document import plain, read_device, read_devices, read_profiles, shipped_profiles
from lumina_twisted.modbus.values.codec import ValueCodec

HEATING = """
[profiles.heating]
summary = "a heating controller"
word_order = "little"
poll = 2.0
most = 16

[profiles.heating.points]
flow = { address = "30001", type = "i16", scale = 0.1, unit_of_measure = "°C", dead_band = 0.2 }
set_point = { table = "holding", address = 0x10, writable = true, low = 30, high = 80, read_back = true, poll = 0 }
energy = { address = "3x0011", type = "u32" }
pump = { table = "coil", address = 3, writable = true }
mode = { address = "400033", enum = { 0 = "off", 1 = "auto", 0x10 = "test" } }
alarms = { address = "400034", type = "bits", bits = { 0 = "hot", 3 = "cold" } }
is_hot = { address = "400034", type = "bool", bit = 0 }
is_cold = { address = "400034", type = "bool", bit = 3 }
name = { address = "400100", type = "string", length = 8 }
"""
POINT = "profiles.p.points.x"


def profiles(text: str) -> tuple[dict[str, Profile], list[str]]:
    """The profiles in a TOML text, and its faults."""
    faults: list[str] = []
    return read_profiles(tomllib.loads(text).get("profiles", {}), "profiles", faults), faults


def faults_of(point: str) -> list[str]:
    """Those of a profile with this one point, without its path where they begin with that."""
    return profiles(f"[profiles.p.points]\nx = {{ {point} }}")[1]


def devices(text: str, before: str = HEATING) -> tuple[dict[str, Device], list[str]]:
    """The devices in a TOML text on the ports north and south, and its faults."""
    known, faults = profiles(before)
    return read_devices(tomllib.loads(text)["devices"], "devices", known, ["north", "south"], faults), faults


class MeaningTests(SynchronousTestCase):
    """What is said is what is read."""

    def points(self) -> Mapping[str, Point]:
        made, faults = profiles(HEATING)
        self.assertEqual(faults, [])
        return made["heating"].points

    def test_profile(self) -> None:
        made = profiles(HEATING)[0]["heating"]
        self.assertEqual((made.name, made.summary, made.poll, made.most), ("heating", "a heating controller", 2.0, 16))
        self.assertEqual(list(made.points)[:3], ["flow", "set_point", "energy"], "in the order of the file")

    def test_points(self) -> None:
        points = self.points()
        self.assertEqual(
            points["flow"],
            Point(
                name="flow", table="input", address=0, codec=ValueCodec(type="i16", scale=0.1, word_order="little"),
                unit_of_measure="°C", dead_band=0.2, poll=2.0,
            ),
        )
        self.assertEqual(
            points["set_point"],
            Point(
                name="set_point", table="holding", address=16, poll=0.0, writable=True, read_back=True,
                codec=ValueCodec(low=30.0, high=80.0, word_order="little"),
            ),
        )

    def test_type_that_is_not_said(self) -> None:
        points = self.points()
        self.assertEqual([points[one].codec.type for one in ("set_point", "pump")], ["u16", "bool"])

    def test_words(self) -> None:
        points = self.points()
        self.assertEqual(points["mode"].codec.enum, {0: "off", 1: "auto", 16: "test"})
        self.assertEqual(points["alarms"].codec.bits, {0: "hot", 3: "cold"})

    def test_order_of_its_own(self) -> None:
        text = HEATING + '[profiles.heating.points.x]\naddress = "30100"\nword_order = "big"'
        self.assertEqual(profiles(text)[0]["heating"].points["x"].codec.word_order, "big")

    def test_device_as_its_profile(self) -> None:
        made, faults = devices('[devices.boiler]\nport = "north"\nunit = 3\nprofile = "heating"\nbaudrate = 4800')
        self.assertEqual(faults, [])
        boiler = made["boiler"]
        self.assertEqual((boiler.port, boiler.unit, boiler.profile, boiler.most), ("north", 3, "heating", 16))
        self.assertEqual(boiler.line, {"baudrate": 4800})
        self.assertEqual(boiler.points, self.points())

    def test_all_of_a_kind_share_their_points(self) -> None:
        """A hundred devices of a kind take the memory of one description."""
        text = 'port = "north"\nunit = 3\nprofile = "heating"\n'
        made, _ = devices(f"[devices.a]\n{text}[devices.b]\n{text}")
        self.assertIs(made["a"].points, made["b"].points)

    def test_device_that_differs(self) -> None:
        made, faults = devices(
            '[devices.boiler]\nport = "north"\nunit = 3\nprofile = "heating"\npoll = 9.0\nmost = 60\nhole = 4\n'
            'word_order = "big"\n[devices.boiler.points]\nflow = { scale = 0.01, poll = 5 }\nname = { length = 20 }\n'
            'alarms = { address = "40200" }\nset_point = { address = 17 }\nown = { address = "00007" }'
        )
        self.assertEqual(faults, [])
        boiler, points = made["boiler"], made["boiler"].points
        self.assertEqual((boiler.most, boiler.hole), (60, 4))
        self.assertEqual((points["flow"].codec.scale, points["flow"].codec.type), (0.01, "i16"))
        self.assertEqual({name: points[name].poll for name in ("flow", "set_point", "energy", "own")},
                         {"flow": 5.0, "set_point": 0.0, "energy": 9.0, "own": 9.0})
        self.assertEqual(points["energy"].codec.word_order, "big")
        self.assertEqual(points["name"].codec.length, 20)
        self.assertEqual((points["alarms"].table, points["alarms"].address), ("holding", 199))
        self.assertEqual((points["set_point"].table, points["set_point"].address), ("holding", 17))
        self.assertEqual((points["own"].table, points["own"].address, points["own"].codec.type), ("coil", 6, "bool"))
        self.assertEqual(list(points), [*self.points(), "own"], "in the order of the profile, then its own")

    def test_device_without_a_profile(self) -> None:
        made, faults = devices('[devices.a]\nport = "south"\nunit = 255\n[devices.a.points]\nx = { address = "40001" }')
        self.assertEqual(faults, [])
        self.assertEqual(made["a"].points, {"x": Point(name="x", table="holding", address=0)})
        self.assertEqual((made["a"].most, made["a"].hole), (125, 0))

    def test_plain_is_what_was_read(self) -> None:
        """What is shown can be changed and read again."""
        text = '[devices.a]\nport = "north"\nunit = 3\nprofile = "heating"\n[devices.a.points]\nflow = { scale = 0.01 }'
        made = devices(text)[0]["a"]
        shown = plain(made)
        self.assertEqual(shown, tomllib.loads(text)["devices"]["a"])
        shown["points"]["flow"]["scale"] = 1.0
        self.assertEqual(plain(made)["points"]["flow"]["scale"], 0.01, "a copy")
        faults: list[str] = []
        again = read_device("a", shown, profiles(HEATING)[0], faults, "devices.a")
        assert again is not None
        self.assertEqual((again.points["flow"].codec.scale, faults), (1.0, []))

    def test_plain_of_a_device_made_in_python(self) -> None:
        made = Device(name="a", port="p", unit=1, points={}, line={"retries": 0})
        self.assertEqual(plain(made), {"port": "p", "unit": 1, "retries": 0})

    def test_device_with_a_fault_is_none(self) -> None:
        faults: list[str] = []
        self.assertIsNone(read_device("a", {"port": "p", "unit": 0}, {}, faults, "config a"))
        self.assertEqual(len(faults), 2)
        self.assertTrue(all(one.startswith("config a") for one in faults), faults)

    def test_fault_of_a_profile_is_told_once(self) -> None:
        made, faults = devices(
            '[devices.a]\nport = "north"\nunit = 3\nprofile = "p"\n[devices.a.points]\nx = { poll = 5 }',
            '[profiles.p.points]\nx = { address = 400001 }\ny = { address = "40001" }',
        )
        self.assertEqual(len(faults), 1)
        self.assertEqual(list(made["a"].points), ["y"])

    def test_profile_whose_points_are_no_tables(self) -> None:
        _, faults = devices(
            '[devices.a]\nport = "north"\nunit = 3\nprofile = "p"\n[devices.a.points]\nx = { poll = 5 }',
            "[profiles.p]\npoints = 3",
        )
        self.assertEqual(faults[0], "profiles.p.points: expected tables, got 3")

    def test_points_that_share_a_register_as_they_may(self) -> None:
        self.assertEqual(profiles(HEATING)[1], [])
        self.assertEqual(
            profiles('[profiles.p.points]\nx = { address = "40001" }\ny = { address = "30001" }\n'
                     'z = { address = "00001" }\na = { address = "10001" }')[1], [],
        )

    def test_shipped(self) -> None:
        """All that come with Lumina can be read."""
        for name in shipped_profiles():
            self.assertTrue(shipped_profiles()[name].points, name)
        self.assertNotIn("nothing", shipped_profiles())
        self.assertEqual(len(shipped_profiles()), len(list(shipped_profiles())))
        self.assertRaises(KeyError, shipped_profiles().__getitem__, "../description")


class WrongPoints(SynchronousTestCase):
    """Each is refused with its key's path and a sentence that says what to write."""

    def refused(self, point: str, *expected: str) -> None:
        self.assertEqual(faults_of(point), [f"{POINT}{one}" for one in expected])

    def test_address(self) -> None:
        form = (
            'expected a number that counts from 0, or one of the data model in quotes, as "40001", "400001" or "4x0001"'
        )
        for address, sentence in {
            "400001": 'expected a number from 0 to 65535, got 400001; if the data model\'s number is meant, write it in'
                      ' quotes: "400001"',
            "-1": "expected a number from 0 to 65535, got -1",
            '"0x12"': "'0x12' is no number of the data model; if it counts from 0, take the quotes away: 0x12",
            '"12"': f"{form}; got '12'; if it counts from 0, take the quotes away: 12",
            '"holding 3"': f"{form}; got 'holding 3'",
            '"20001"': f"{form}; got '20001'; if it counts from 0, take the quotes away: 20001",
            '"40000"': "the data model counts from 1 to 65536 in each table, and '40000' is number 0",
            '"465537"': "the data model counts from 1 to 65536 in each table, and '465537' is number 65537",
            '"4x99999"': "the data model counts from 1 to 65536 in each table, and '4x99999' is number 99999",
            "1.5": f"{form}; got 1.5",
            "true": f"{form}; got True",
        }.items():
            self.refused(f"table = 'holding', address = {address}", f".address: {sentence}")

    def test_words_and_points_in_the_wrong_place(self) -> None:
        address = "address = '40001', "
        self.refused(
            address + "enum = { off = 0, eco = 1 }",
            '.enum: each word has its number before it; write { 0 = "off", 1 = "eco" }',
        )
        self.refused(
            address + "type = 'bits', bits = ['dry', 'broken']",
            '.bits: each word has its number before it; write { 0 = "dry", 1 = "broken" }',
        )
        self.assertEqual(
            profiles("[profiles.p.flow]\naddress = '30001'")[1],
            ["profiles.p.flow: a point stands in [profiles.p.points.flow]"],
        )
        found = devices("[devices.d]\nport = 'north'\nunit = 1\nprofile = 'heating'\n[devices.d.flow]\nscale = 1")
        self.assertEqual(found[1], ["devices.d.flow: a point stands in [devices.d.points.flow]"])

    def test_table(self) -> None:
        self.refused(
            "address = 3", '.address: a number does not say which table it counts in; add table = "coil", "discrete",'
            ' "holding" or "input"',
        )
        self.refused(
            "address = 30001", '.address: a number does not say which table it counts in; add table = "coil",'
            ' "discrete", "holding" or "input"; if it is the data model\'s, write it in quotes: "30001"',
        )
        self.refused(
            'address = "30001", table = "holding"',
            ".address: '30001' is an input register, and table says \"holding\"; take one of the two away",
        )
        self.refused(
            'address = 1, table = "inputs"',
            ".table: expected one of 'coil', 'discrete', 'holding', 'input', got 'inputs'",
        )

    def test_required(self) -> None:
        self.refused("", ".address: this key is required")

    def test_unknown_key(self) -> None:
        self.refused('address = "40001", scael = 0.1', ".scael: unknown key; did you mean 'scale'?")

    def test_wrong_values(self) -> None:
        self.refused(
            'address = "40001", scale = "0.1", writable = 1, bit = 16, length = 126, dead_band = -1',
            ".length: expected 1 to 125, got 126", ".bit: expected 0 to 15, got 16",
            ".scale: expected a number, got '0.1'; take the quotes away: 0.1",
            ".writable: expected true or false, got 1",
            ".dead_band: expected 0 to 1e+20, got -1.0",
        )

    def test_beyond_the_end(self) -> None:
        self.refused('address = "465536", type = "u32"', ".address: u32 takes 2 registers, and the last one is 65535")

    def test_writable(self) -> None:
        self.refused(
            'address = "30001", writable = true',
            ".writable: an input register cannot be written; take it away, or is it a holding register?",
        )
        self.refused(
            'address = "10001", writable = true',
            ".writable: a discrete input cannot be written; take it away, or is it a coil?",
        )

    def test_types_of_bits(self) -> None:
        self.refused(
            'address = "00001", type = "u16"',
            ".type: a coil is one bit, and so its type is \"bool\"; take 'u16' away",
        )
        self.refused('address = "10001", bit = 3', ".bit: a discrete input is one bit; take it away")
        self.refused(
            'address = "40001", type = "bool"',
            ".bit: a holding register has 16 bits; say which one it is, as bit = 0 for the lowest",
        )
        self.refused(
            'address = "40001", bit = 3',
            ".bit: a single bit is a \"bool\", and the type is 'u16'; write type = \"bool\", or take it away",
        )

    def test_string(self) -> None:
        self.refused(
            'address = "40001", type = "string"',
            ".length: a string needs it: how many registers it takes, two characters each",
        )

    def test_words(self) -> None:
        self.refused(
            'address = "40001", enum = { off = "0" }',
            ".enum.off: expected a number from -9223372036854775808 to 18446744073709551615 as the key, got 'off'",
        )
        self.refused('address = "40001", enum = { 0 = 1 }', ".enum.0: expected a text in quotes, got 1")
        self.refused('address = "40001", enum = [1, 2]', ".enum: expected a table, got [1, 2]")
        self.refused('address = "40001", enum = []', ".enum: expected a table, got []")
        self.refused(
            'address = "40001", enum = { 1 = "a", 0x1 = "b" }',
            ".enum.0x1: 1 stands there already, written in another way"
        )
        self.refused(
            'address = "40001", type = "bits", bits = { 16 = "a" }',
            ".bits.16: expected a number from 0 to 15 as the key, got '16'",
        )

    def test_range(self) -> None:
        self.refused('address = "40001", low = 80, high = 30', ".low: 80 is above high, 30")

    def test_dead_band(self) -> None:
        self.refused(
            'address = "40001", type = "string", length = 2, dead_band = 1',
            ".dead_band: the type string is no number, and every change counts; take it away",
        )

    def test_tolerance(self) -> None:
        for keys, what in (
            ('type = "string", length = 2', "the type string"), ('type = "bool", bit = 2', "the type bool"),
            ('type = "bits"', "the type bits"), ('enum = { 0 = "off" }', "a value that has words"),
        ):
            self.refused(
                f'address = "40001", {keys}, tolerance = 1',
                f".tolerance: {what} is taken or not, and is no number that may be near; take it away",
            )
        self.refused('address = "40001", tolerance = -1', ".tolerance: expected 0 to 1e+20, got -1.0")

    def test_poll(self) -> None:
        self.refused('address = "40001", poll = -1', ".poll: expected 0 to 86400, got -1.0")
        self.refused(
            'address = "40001", poll = 0.01',
            ".poll: expected 0.05 and more, or 0 for only when somebody asks; got 0.01"
        )

    def test_write(self) -> None:
        self.refused(
            'address = "40001", type = "f32", write = "single"',
            '.write: "single" sets one register, and f32 takes 2 here; write "multiple"',
        )

    def test_all_at_once(self) -> None:
        self.refused(
            'address = "0x1", scael = 3, dead_band = "x"', ".dead_band: expected a number, got 'x'",
            ".scael: unknown key; did you mean 'scale'?",
            ".address: '0x1' is no number of the data model; if it counts from 0, take the quotes away: 0x1",
        )
        self.refused(
            'address = "30001", writable = true, simulate = "x"',
            ".writable: an input register cannot be written; take it away, or is it a holding register?",
            ".simulate: 'x' is no number, as u16 needs",
        )

    def test_what_the_codec_refuses(self) -> None:
        """Its own sentences, below the same path."""
        self.refused('address = "40001", length = 2', ".length: means nothing for u16; it is for string, bits")
        self.refused(
            'address = "40001", scale = 0',
            ".scale: expected any number but 0: with 0 every register would mean the same",
        )
        self.refused(
            'address = "40001", enum = { 0 = "off", 1 = "off" }', ".enum.1: 'off' is the word of 0 already"
        )

    def test_simulate(self) -> None:
        for simulate, expected in {
            '{ kind = "wabe" }': ".kind: there is no kind of value 'wabe'; did you mean 'wave'?",
            '{ kind = "bits" }':
                ".kind: there is no kind of value 'bits'; there are constant, ramp, wave, counter, walk",
            '{ kind = "wave", hgih = 3 }': ".hgih: unknown key; did you mean 'high'?",
            '{ kind = "wave", type = "u32" }': ".type: the point itself says that; take it away",
            '{ kind = "wave", low = 3, high = 2 }': ": low is 3, which is more than high, 2",
            '{ kind = "wave", high = 6554 }':
                ": 6554 is 65540 in the registers: 65540 does not fit into u16, which holds 0 to 65535; u32 would hold"
                " it",
        }.items():
            self.refused(f'address = "40001", scale = 0.1, simulate = {simulate}', f".simulate{expected}")

    def test_simulate_that_does_not_fit(self) -> None:
        """What the codec says, whatever that is."""
        for point in (
            'simulate = "on"', 'simulate = true', 'enum = { 0 = "off" }, simulate = "on"', "simulate = 70000",
            'type = "string", length = 2, simulate = "too long"', 'type = "bits", bits = { 0 = "a" }, simulate = ["b"]',
            'type = "bits", simulate = "a"', 'type = "bits", simulate = { kind = "wave" }',
            'type = "string", length = 2, simulate = { kind = "ramp" }', 'type = "bool", bit = 3, simulate = 7',
            'type = "bool", bit = 3, simulate = { kind = "counter" }',
        ):
            faults = faults_of(f'address = "40001", {point}')
            self.assertEqual([one.partition(": ")[0] for one in faults], [f"{POINT}.simulate"], f"{point}: {faults}")

    def test_no_table(self) -> None:
        self.assertEqual(
            profiles("[profiles.p]\npoints = { x = 3 }")[1], [f"{POINT}: expected a table, got 3"]
        )

    def test_name(self) -> None:
        self.assertEqual(
            profiles('[profiles.p.points]\n"flow.temp" = { address = "40001" }')[1],
            ["profiles.p.points.flow.temp: the name of a point has letters from a to z, digits, '_' and '-' only"],
        )


class WrongProfiles(SynchronousTestCase):
    """What its points are to each other, and what it says itself."""

    def refused(self, text: str, *expected: str) -> None:
        self.assertEqual(profiles(text)[1], list(expected))

    def test_keys(self) -> None:
        self.refused(
            "[profiles.p]\nmost = 126\nhole = -1\npoll = 0.01\nword_ordr = 1\npoints.x.address = '40001'",
            "profiles.p.hole: expected 0 to 124, got -1", "profiles.p.most: expected 1 to 125, got 126",
            "profiles.p.word_ordr: unknown key; did you mean 'word_order'?",
        )
        self.refused(
            "[profiles.p]\npoll = 0.01\npoints.x.address = '40001'",
            "profiles.p.poll: expected 0.05 and more, or 0 for only when somebody asks; got 0.01",
        )

    def test_no_tables(self) -> None:
        self.refused("profiles = 3", "profiles: expected tables [profiles.NAME], got 3")
        self.refused("profiles.p = 3", "profiles.p: expected a table, got 3")
        self.refused("[profiles.p]\npoints = 3", "profiles.p.points: expected tables, got 3")
        self.refused("[profiles.p]", "profiles.p.points: there is no point; add a table [profiles.p.points.NAME]")

    def test_name(self) -> None:
        self.refused(
            '[profiles."SDM 120"]\npoints.x.address = "40001"',
            "profiles.SDM 120: the name of a profile has letters from a to z, digits, '_' and '-' only",
        )

    def test_registers_of_another(self) -> None:
        self.refused(
            '[profiles.p.points]\na = { address = "30001", type = "f32" }\nb = { address = "30002", type = "f32" }',
            "profiles.p.points.b.address: the point 'a' takes registers 0 to 1; only single bits, and the type bits,"
            " may share a register",
        )
        self.refused(
            '[profiles.p.points]\na = { address = "30002" }\nb = { address = "30001", type = "u64" }',
            "profiles.p.points.b.address: the point 'a' takes register 1; only single bits, and the type bits, may"
            " share a register",
        )

    def test_bit_of_another(self) -> None:
        bit = '{ address = "40001", type = "bool", bit = 3 }'
        self.refused(
            f"[profiles.p.points]\na = {bit}\nb = {bit}",
            "profiles.p.points.b.address: bit 3 of it is the point 'a' already",
        )
        self.refused(
            f'[profiles.p.points]\na = {{ address = "40001" }}\nb = {bit}',
            "profiles.p.points.b.address: the point 'a' takes register 0; only single bits, and the type bits, may"
            " share a register",
        )
        self.refused(
            '[profiles.p.points]\na = { address = "00005" }\nb = { table = "coil", address = 4 }',
            "profiles.p.points.b.address: it is 4, as that of the point 'a'; each has one of its own",
        )

    def test_wider_than_a_reply(self) -> None:
        self.refused(
            '[profiles.p]\nmost = 4\npoints.a = { address = "30001", type = "string", length = 5 }',
            "profiles.p.points.a: takes 5 registers, and the device gives 4 in one reply, as most says; it could never"
            " be read",
        )


class WrongDevices(SynchronousTestCase):
    """Their place, their kind, and what they say otherwise."""

    def refused(self, text: str, *expected: str) -> None:
        self.assertEqual(devices(text)[1], list(expected))

    def boiler(self, text: str) -> str:
        return f'[devices.boiler]\nport = "north"\nunit = 3\nprofile = "heating"\n{text}'

    def test_place(self) -> None:
        self.refused(
            "[devices.a]\npoints.x.address = '40001'", "devices.a.port: this key is required",
            "devices.a.unit: this key is required",
        )
        for unit in (0, 256):
            self.refused(
                f'[devices.a]\nport = "north"\nunit = {unit}\nprofile = "heating"',
                f"devices.a.unit: expected 1 to 255, got {unit}",
            )

    def test_port(self) -> None:
        self.refused(
            self.boiler("").replace("north", "nord"),
            "devices.boiler.port: there is no port 'nord'; did you mean 'north'?"
        )
        self.refused(
            self.boiler("").replace("north", "x"), "devices.boiler.port: there is no port 'x'; there are north, south"
        )

    def test_profile(self) -> None:
        self.refused(
            self.boiler('points.flow = { poll = 5 }').replace("heating", "heatin"),
            "devices.boiler.profile: there is no profile 'heatin'; did you mean 'heating'?",
        )
        self.refused(
            '[devices.a]\nport = "north"\nunit = 3',
            'devices.a: it has neither a profile nor points; add profile = "…", or a table [devices.a.points.NAME]',
        )
        self.refused(
            '[devices.a]\nport = "north"\nunit = 3\nprofile = 3', "devices.a.profile: expected a text in quotes, got 3"
        )

    def test_name(self) -> None:
        self.refused(
            self.boiler("").replace("boiler", '"my boiler"'),
            "devices.my boiler: the name of a device has letters from a to z, digits, '_' and '-' only",
        )

    def test_line_settings(self) -> None:
        self.refused(
            self.boiler('baudrate = "fast"\nparity = "even"'),
            "devices.boiler.baudrate: expected a whole number, got 'fast'",
            "devices.boiler.parity: expected one of 'N', 'E', 'O', 'M', 'S', got 'even'",
        )

    def test_poll(self) -> None:
        self.refused(
            self.boiler("poll = 0.01"),
            "devices.boiler.poll: expected 0.05 and more, or 0 for only when somebody asks; got 0.01",
        )

    def test_override(self) -> None:
        self.refused(
            self.boiler("points.flow = { scael = 1 }"),
            "devices.boiler.points.flow.scael: unknown key; did you mean 'scale'?",
        )
        self.refused(
            self.boiler("points.set_point = { low = 90 }"),
            "devices.boiler.points.set_point.low: 90 is above high, 80"
        )
        self.refused(self.boiler("points.flow = 3"), "devices.boiler.points.flow: expected a table, got 3")

    def test_point_that_its_profile_does_not_have(self) -> None:
        self.refused(
            self.boiler("points.flwo = { poll = 5 }"),
            "devices.boiler.points.flwo: the profile heating has no such point, and one of its own needs an address;"
            " did you mean 'flow'?",
        )

    def test_point_of_its_own_on_one_of_its_profile(self) -> None:
        self.refused(
            self.boiler('points.own = { address = "30012" }'),
            "devices.boiler.points.own.address: the point 'energy' takes registers 10 to 11; only single bits, and the"
            " type bits, may share a register",
        )
        self.refused(
            self.boiler('points.flow = { address = "30011" }'),
            "devices.boiler.points.flow.address: the point 'energy' takes registers 10 to 11; only single bits, and the"
            " type bits, may share a register",
        )

    def test_most(self) -> None:
        self.refused(
            self.boiler("most = 7"),
            "devices.boiler.points.name: takes 8 registers, and the device gives 7 in one reply, as most says; it could"
            " never be read",
        )

    def test_all_at_once(self) -> None:
        wrong = self.boiler("pol = 3\n[devices.boiler.points]\nflow = { scale = [] }\nx = { address = 3 }")
        _, faults = devices(wrong.replace("north", "nord"))
        self.assertEqual([one.partition(":")[0] for one in faults], [
            "devices.boiler.pol", "devices.boiler.port", "devices.boiler.points.flow.scale",
            "devices.boiler.points.x.address",
        ])

    def tables(self, data: Any) -> list[str]:
        faults: list[str] = []
        self.assertEqual(read_devices(data, "devices", {}, [], faults), {})
        return faults

    def test_no_tables(self) -> None:
        self.assertEqual(self.tables([]), ["devices: expected tables [devices.NAME], got []"])
        self.assertEqual(self.tables({"a": 3}), ["devices.a: expected a table, got 3"])
