"""Devices and profiles in a configuration: in its file, in ``devices.d`` beside it, and what becomes of them."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.settings import UnitSettings
from lumina_twisted.config import compose as composing
from lumina_twisted.config.compose import Given, compose
from lumina_twisted.config.configuration import Configuration
from lumina_twisted.devices.describe.document import shipped_profiles
from lumina_twisted.devices.describe.settings import ValuesSettings
from lumina_twisted.errors import ConfigError
from lumina_twisted.schema import UnitId
from lumina_twisted.tap import Options

ETC = pathlib.Path(__file__).parent.parent / "etc"
PORT = '[ports.bus1]\npath = "/dev/ttyUSB0"\n'
HEATER = '[profiles.heater.points]\nflow = { address = "30001" }\n'
BOILER = '[devices.boiler]\nport = "bus1"\nunit = 3\nprofile = "heater"\n'


class DeviceConfigTests(SynchronousTestCase):
    """A file, and files of its ``devices.d``."""

    def file(self, text: str, **others: str) -> str:
        folder = pathlib.Path(self.mktemp())
        (folder / "devices.d").mkdir(parents=True)
        for name, other in others.items():
            (folder / "devices.d" / f"{name}.toml").write_text(other)
        (folder / "lumina.toml").write_text(text)
        return str(folder / "lumina.toml")

    def made(self, text: str, **others: str) -> Configuration:
        return compose(Given(file=self.file(text, **others)))

    def refused(self, text: str, *expected: str, **others: str) -> None:
        faults = self.assertRaises(ConfigError, self.made, text, **others).faults
        self.assertEqual(list(faults), list(expected))


class FileTests(DeviceConfigTests):
    """What the file itself says."""

    def test_devices(self) -> None:
        made = self.made(PORT + HEATER + BOILER)
        self.assertEqual(list(made.devices), ["boiler"])
        self.assertEqual(list(made.devices["boiler"].points), ["flow"])
        self.assertIn("heater", made.profiles)
        self.assertEqual(str(made), "1 port, 2 listeners, 1 device")

    def test_none(self) -> None:
        made = self.made(PORT)
        self.assertEqual((made.devices, str(made)), ({}, "1 port, 1 listener"))
        self.assertEqual(list(made.profiles), list(shipped_profiles()))

    def test_profile_that_comes_with_lumina(self) -> None:
        """A file's own of the same name is taken in its place."""
        for name in shipped_profiles():
            made = self.made(PORT + BOILER.replace("heater", name))
            self.assertIs(made.devices["boiler"].points, shipped_profiles()[name].points)
            made = self.made(PORT + (HEATER + BOILER).replace("heater", name))
            self.assertEqual(list(made.devices["boiler"].points), ["flow"])

    def test_all_faults_at_once(self) -> None:
        self.refused(
            "[ports.bus1]\npath = 3\n[values]\nhistry = 5\n" + HEATER.replace("30001", "0x1")
            + BOILER.replace("bus1", "bus2") + "poll = -1\n",
            "ports.bus1.path: expected a text in quotes, got 3",
            "values.histry: unknown key; did you mean 'history'?",
            "profiles.heater.points.flow.address: '0x1' is no number of the data model; if it counts from 0, take the"
            " quotes away: 0x1",
            "devices.boiler.poll: expected 0 to 86400, got -1.0",
            "devices.boiler.port: there is no port 'bus2'; did you mean 'bus1'?",
        )

    def test_no_such_port(self) -> None:
        self.refused(
            PORT + HEATER + BOILER.replace("bus1", "bus2"),
            "devices.boiler.port: there is no port 'bus2'; did you mean 'bus1'?",
        )

    def test_ports_of_the_demo_and_of_the_command_line(self) -> None:
        other = BOILER.replace("boiler", "b").replace("bus1", "x")
        file = self.file(PORT + HEATER + BOILER.replace("bus1", "demo2") + other)
        made = compose(Given(file=file, demo=True, ports=["x=/dev/x"]))
        self.assertEqual([one.port for one in made.devices.values()][-2:], ["demo2", "x"])

    def test_check(self) -> None:
        options = ["--check", "--config", self.file(PORT + HEATER + BOILER)]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(self.assertRaises(SystemExit, Options().parseOptions, options).code, 0)
        self.assertIn("is fine: 1 port, 2 listeners, 1 device\n", said.getvalue())

    def test_values_that_nobody_can_ask_for(self) -> None:
        """A file that has a listener of its own has no other, and so none for values."""
        made = self.made('[[listen]]\nendpoint = "tcp:8888"\n' + PORT + HEATER + BOILER)
        self.assertEqual(
            str(made),
            "1 port, 1 listener, 1 device; nobody can ask for values by name, for no [[listen]] has"
            ' protocol = "values"',
        )
        self.assertEqual(made.unasked, str(made).partition("; ")[2])


class FolderTests(DeviceConfigTests):
    """``devices.d``."""

    def test_files(self) -> None:
        """In the order of their names; a device may have a profile of another file."""
        made = self.made(PORT, b=BOILER, a=BOILER.replace("boiler", "cellar"), c=HEATER)
        self.assertEqual(list(made.devices), ["cellar", "boiler"])

    def test_other_files_are_left_alone(self) -> None:
        file = self.file(PORT, a=HEATER + BOILER)
        for name in ("b.toml~", ".b.toml", "README"):
            (pathlib.Path(file).parent / "devices.d" / name).write_text("nonsense")
        self.assertEqual(list(compose(Given(file=file)).devices), ["boiler"])

    def test_no_file_no_folder(self) -> None:
        self.assertEqual(compose(Given(ports=["/dev/a"])).devices, {})

    def test_file_is_named(self) -> None:
        self.refused(
            PORT,
            "devices.d/a.toml: this is not TOML: Expected '=' after a key in a key/value pair (at end of document)",
            "devices.d/b.toml: ports: unknown key; a file in devices.d has profiles and devices only",
            "devices.d/c.toml: x: a number of more than 64 bits",
            "devices.d/e.toml: device: unknown key; did you mean 'devices'? A file in devices.d has profiles and"
            " devices only",
            "devices.d/b.toml: devices.boiler.profile: there is no profile 'heaters'; did you mean 'heater'?",
            "devices.d/d.toml: devices: expected tables [devices.NAME], got 3",
            a="nonsense", b=PORT + BOILER.replace("heater", "heaters"), c=f"x = {2**70}", d="devices = 3\n" + HEATER,
            e="[device.x]",
        )

    def test_two_with_one_name(self) -> None:
        self.refused(
            PORT + HEATER + BOILER,
            "devices.d/a.toml: profiles.heater: profiles.heater has this name too; give one of them another name",
            "devices.d/a.toml: devices.boiler: devices.boiler has this name too; give one of them another name",
            "devices.d/b.toml: devices.x: devices.d/a.toml: devices.x has this name too; give one of them another name",
            a=HEATER + BOILER + BOILER.replace("boiler", "x"), b=BOILER.replace("boiler", "x"),
        )

    def test_that_is_no_folder(self) -> None:
        file = self.file(PORT)
        folder = pathlib.Path(file).parent / "devices.d"
        folder.rmdir()
        folder.write_text("")
        faults = self.assertRaises(ConfigError, compose, Given(file=file)).faults
        self.assertEqual(
            list(faults), [f"{folder}: cannot be read ({os.strerror(20)}); it should be a folder of *.toml files"]
        )

    def test_shipped_example(self) -> None:
        """It changes nothing as it is, and works with every `#` before a key taken away."""
        self.assertEqual(str(compose(Given(file=str(ETC / "lumina.toml")))), "1 port, 1 listener")
        for path in (ETC / "devices.d").iterdir():
            text = re.sub(r"^#(?=[a-z0-9_]+ = |\[)", "", path.read_text(), flags=re.MULTILINE)
            made = self.made(PORT, a=text)
            self.assertEqual(made.devices["boiler"].points["set_point"].codec.high, 65.0)


class UnitTests(DeviceConfigTests):
    """Line settings of a device are those of its unit."""

    def unit(self, configuration: Configuration) -> UnitSettings:
        return configuration.ports["bus1"].units[UnitId(3)]

    def test_of_a_device(self) -> None:
        made = self.made(PORT + HEATER + BOILER + 'baudrate = 4800\nparity = "E"\ntimeout = 1.5\nframe_gap = 0.02')
        self.assertEqual(self.unit(made), UnitSettings(baudrate=4800, parity="E", timeout=1.5, frame_gap=0.02))
        self.assertTrue(made.ports["bus1"].takes_baudrate(4800))

    def test_beside_those_of_the_port(self) -> None:
        port = PORT + "units.3 = { merge = true, retries = 1 }\n"
        made = self.made(port + HEATER + BOILER + "retries = 1\ntimeout = 2")
        self.assertEqual(self.unit(made), UnitSettings(merge=True, retries=1, timeout=2.0))

    def test_two_devices_of_a_unit(self) -> None:
        both = HEATER + BOILER + "retries = 1\n" + BOILER.replace("boiler", "b") + "retries = 1\ntimeout = 2"
        self.assertEqual(self.unit(self.made(PORT + both)), UnitSettings(retries=1, timeout=2.0))

    def test_another_than_the_port_says(self) -> None:
        self.refused(
            PORT + "units.3.baudrate = 9600\n" + HEATER + BOILER + "baudrate = 4800",
            "devices.boiler.baudrate: 4800 here, and 9600 in ports.bus1.units.3, for unit 3 of port bus1; a unit has"
            " one",
        )

    def test_another_than_a_device_says(self) -> None:
        self.refused(
            PORT + HEATER + BOILER + "retries = 1",
            "devices.d/a.toml: devices.b.retries: 2 here, and 1 in devices.boiler, for unit 3 of port bus1; a unit has"
            " one",
            a=BOILER.replace("boiler", "b") + "retries = 2",
        )

    def test_that_its_port_cannot_have(self) -> None:
        self.refused(
            PORT.replace("/dev/ttyUSB0", "rtu+tcp:localhost:4001") + HEATER + BOILER + 'parity = "E"',
            "devices.boiler.parity: only a serial device has this, and rtu+tcp:localhost:4001 is none",
        )


class ValuesTests(DeviceConfigTests):
    """``[values]`` and ``--values``."""

    def test_defaults(self) -> None:
        self.assertEqual(
            self.made(PORT).values,
            ValuesSettings(
                poll_share=0.5, stale_after=3.0, database="state/lumina.db", save_every=1.0, history=100,
                history_rows=100_000,
            ),
        )

    def test_words_win(self) -> None:
        file = self.file(PORT + '[values]\nhistory = 5\npoll_share = 0.3\ndatabase = ""')
        made = compose(Given(file=file, values=["history=7", "save_every=2"])).values
        self.assertEqual(made, ValuesSettings(history=7, poll_share=0.3, database="", save_every=2.0))

    def test_wrong_words(self) -> None:
        faults = self.assertRaises(ConfigError, compose, Given(values=["history=x", "save"])).faults
        self.assertEqual(
            list(faults),
            ["--values: expected key=value, got 'save'; a colon in a path is written \\:",
             "--values.history: expected a whole number, got 'x'"],
        )

    def test_of_twistd(self) -> None:
        options = Options()
        options.parseOptions(["--port", "/dev/a", "--values", "poll_share=0", "--values", "database="])
        assert options.configuration is not None
        self.assertEqual(options.configuration.values, ValuesSettings(poll_share=0.0, database=""))


class ListenerTests(DeviceConfigTests):
    """Where there are devices, their values can be asked for."""

    def setUp(self) -> None:
        self.added: list[str] = []
        self.patch(composing, "add_listen_argument", lambda draft, word: self.added.append(word))

    def test_devices(self) -> None:
        self.made(PORT, a=HEATER + BOILER)
        self.assertEqual(self.added, ["line=tcp:8888:interface=127.0.0.1", "values=tcp:5000:interface=127.0.0.1"])

    def test_no_devices(self) -> None:
        self.made(PORT + HEATER + "[devices]")
        self.assertEqual(self.added, ["line=tcp:8888:interface=127.0.0.1"])

    def test_other_listeners(self) -> None:
        self.made(PORT + HEATER + BOILER + '[[listen]]\nendpoint = "tcp:1"')
        self.assertEqual(self.added, [])
