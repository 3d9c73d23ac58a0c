"""What the operator gave becomes one configuration, or all that is wrong with it."""

from __future__ import annotations

import pathlib
import re
import tomllib
from collections.abc import Sequence
from typing import Any, ClassVar
from unittest.mock import Mock

import attrs
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lumina_twisted.bus.settings import UnitSettings
from lumina_twisted.config import listeners as protocols
from lumina_twisted.config.compose import DEFAULT_FILE, DEMO_PORTS, Given, compose, file_used
from lumina_twisted.config.configuration import Configuration, Draft
from lumina_twisted.config.listeners import DEFAULT_PROTOCOL, front_ends, listener_class
from lumina_twisted.config.reference import OTHERS, reference
from lumina_twisted.config.sources import add_document
from lumina_twisted.devices.describe.settings import DeviceSettings, PointSettings, ProfileSettings, ValuesSettings
from lumina_twisted.errors import ConfigError
from lumina_twisted.frontends import endpoints
from lumina_twisted.frontends.echo import EchoFrontEnd
from lumina_twisted.frontends.endpoints import BACKLOG, endpoint_fault, make_endpoint, place_of, tcp_address
from lumina_twisted.frontends.line.client import LineFactory, LineFrontEnd, LineOptions
from lumina_twisted.frontends.plugin import Context, IFrontEnd
from lumina_twisted.ports.settings import Limits, PortSettings
from lumina_twisted.schema import is_required, structure
from lumina_twisted.testing import MemoryPort, MemoryPorts

CONTEXT = Context(
    buses=MemoryPorts(MemoryPort()), reactor=Clock(), now=lambda: 0.0, stamp=lambda: 0.0, log=Logger("test")
)
KNOWN = "echo, line, modbus-tcp, rtu-pty, rtu-serial, rtu-tcp, values"
REFERENCE = pathlib.Path(__file__).parent.parent / "etc" / "lumina.toml"


class ConfigTests(SynchronousTestCase):
    """Composes from files and words."""

    def from_words(self, *ports: str, listen: Sequence[str] = (), **given: Any) -> Configuration:
        return compose(Given(ports=ports, listeners=listen, **given), "/nonexistent/lumina.toml")

    def from_file(self, text: str | bytes, **given: Any) -> Configuration:
        return compose(Given(file=self.file(text), **given))

    def file(self, text: str | bytes) -> str:
        path = pathlib.Path(self.mktemp())
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def faults_of_words(self, *ports: str, **given: Any) -> list[str]:
        return list(self.assertRaises(ConfigError, self.from_words, *ports, **given).faults)

    def faults_of_file(self, text: str | bytes, **given: Any) -> list[str]:
        return list(self.assertRaises(ConfigError, self.from_file, text, **given).faults)

    def assert_ports(self, made: Configuration, **paths: str) -> None:
        self.assertEqual({name: one.path for name, one in made.ports.items()}, paths)
        self.assertEqual(list(made.ports), list(paths), "the order decides which is the first")

    def assert_endpoints(self, made: Configuration, *endpoints: str) -> None:
        self.assertEqual(tuple(one.endpoint for one in made.listeners), endpoints)


class Defaults(ConfigTests):
    """What is not said."""

    def test_nothing_at_all(self) -> None:
        made = self.from_words()
        self.assert_ports(made, ttyAMA2="/dev/ttyAMA2", ttyAMA3="/dev/ttyAMA3", ttyAMA4="/dev/ttyAMA4")
        self.assert_endpoints(made, "tcp:8888:interface=127.0.0.1")
        self.assertEqual(str(made), "3 ports, 1 listener")

    def test_the_usual_file_if_it_is_there(self) -> None:
        path = self.file('[ports.a]\npath = "/dev/a"')
        self.assert_ports(compose(Given(), path), a="/dev/a")
        self.assertEqual(file_used(Given(), path), path)
        self.assertEqual(DEFAULT_FILE, "/etc/lumina/lumina.toml")

    def test_the_usual_file_only_if_nothing_is_given(self) -> None:
        path = self.file("nonsense")
        for given in (Given(ports=["/dev/b"]), Given(demo=True), Given(listeners=["line=tcp:1"])):
            compose(given, path)
            self.assertEqual(file_used(given, path), "")

    def test_port_without_listen(self) -> None:
        made = self.from_words("/dev/ttyUSB0")
        self.assert_ports(made, ttyUSB0="/dev/ttyUSB0")
        self.assert_endpoints(made, "tcp:8888:interface=127.0.0.1")

    def test_listen_without_port(self) -> None:
        made = self.from_words(listen=("line=tcp:1",))
        self.assertEqual(len(made.ports), 3)
        self.assert_endpoints(made, "tcp:1")

    def test_file_without_listeners(self) -> None:
        self.assert_endpoints(self.from_file('[ports.a]\npath = "/dev/a"'), "tcp:8888:interface=127.0.0.1")

    def test_demo_alone_has_no_other_ports(self) -> None:
        self.assertEqual(self.from_words(demo=True).ports, {})

    def test_demo_ports_can_be_named(self) -> None:
        made = self.from_words(demo=True, listen=("line,port=demo2=tcp:1",))
        self.assertEqual(made.listeners[0].port, "demo2")
        self.assertEqual(
            self.faults_of_words("demo1=/dev/a", demo=True),
            ["--port demo1: --demo is named 'demo1' too; give one of them another name"],
        )
        self.assertEqual(DEMO_PORTS, ("demo1", "demo2"))


class Files(ConfigTests):
    """TOML."""

    def test_ports_and_listeners(self) -> None:
        made = self.from_file(
            """
            [ports.boiler]
            path = "/dev/ttyUSB0"
            baudrate = 19200
            frame_gap = 0
            units.17.timeout = 1.5

            [ports.pump]
            path = "/dev/ttyUSB1"

            [[listen]]
            endpoint = "tcp:8888"

            [[listen]]
            protocol = "line"
            endpoint = "unix:/run/lumina.sock"
            dialect = "v1"
            port = "/dev/ttyUSB1"
            """
        )
        self.assert_ports(made, boiler="/dev/ttyUSB0", pump="/dev/ttyUSB1")
        boiler = made.ports["boiler"]
        self.assertEqual((boiler.baudrate, boiler.frame_gap, boiler.for_unit(17).timeout), (19200, 0.0, 1.5))
        self.assert_endpoints(made, "tcp:8888", "unix:/run/lumina.sock")
        self.assertIsInstance(made.listeners[1], LineOptions)
        self.assertEqual((made.listeners[1].dialect, made.listeners[1].port), ("v1", "/dev/ttyUSB1"))

    def test_all_faults_at_once(self) -> None:
        faults = self.faults_of_file(
            """
            logs = "here"

            [ports.boiler]
            path = "/dev/ttyUSB0"
            baudrat = 19200

            [ports.pump]
            path = "/dev/ttyUSB0"
            timeout = "1"

            [ports.fan]

            [[listen]]
            endpoint = "tcp:8888"
            port = "boilr"
            dialect = "v3"

            [[listen]]
            protocol = "modbus"
            endpoint = "tcp:502"

            [[listen]]
            endpoint = "tcp:many"
            port = "boilr"
            """
        )
        self.assertEqual(
            faults,
            [
                "logs: unknown key; did you mean 'log'? a file has tables [ports.NAME], [[listen]], [devices.NAME],"
                " [profiles.NAME], [values], [limits] and [log]",
                "ports.boiler.baudrat: unknown key; did you mean 'baudrate'?",
                "ports.pump.path: ports.boiler is /dev/ttyUSB0 too; a device belongs to one port",
                "ports.pump.timeout: expected a number, got '1'; take the quotes away: 1; 'auto' is possible too",
                "ports.fan.path: this key is required",
                "listen[0].dialect: expected one of 'v1', 'v2', got 'v3'",
                "listen[1].protocol: there is no protocol 'modbus'; those that exist: " + KNOWN,
                "listen[2].endpoint: 'many' is no TCP port from 0 to 65535 in 'tcp:many'",
                "listen[2].port: there is no port 'boilr'; did you mean 'boiler'?",
            ],
        )

    def test_what_python_cannot_read(self) -> None:
        """Too deep, too long, a mark of Windows: a sentence each, or it works."""
        for text in ("a = " + "[" * 100_000, "a = " + "1" * 5000):
            path = self.file(text)
            (fault,) = self.assertRaises(ConfigError, compose, Given(file=path)).faults
            self.assertEqual(fault, f"{path}: a number is too long, or values are nested too deep")
        self.assert_ports(self.from_file('[ports.a]\npath = "/dev/a"'.encode("utf-8-sig")), a="/dev/a")

    def test_what_no_setting_can_be(self) -> None:
        """And what cannot be shown to a person."""
        deep = "ports.a." + ".".join("b" * 5000) + ' = 1\nports.a.path = "/dev/a"'
        huge = f'[ports.a]\npath = "/dev/a"\nbaudrate = 0x{"f" * 9000}\n[[listen]]\nendpoint = 0x{"f" * 9000}'
        self.assertEqual(self.faults_of_file(deep), ["ports.a.b.b…: nested more than 16 deep"])
        self.assertEqual(
            sorted(self.faults_of_file(huge)),
            ["listen.0.endpoint: a number of more than 64 bits", "ports.a.baudrate: a number of more than 64 bits"],
        )

    def test_paths_that_are_none(self) -> None:
        for path, shown in (("", "''"), ("\\u0000", "'\\x00'"), ("/dev/\\u0000a", "'/dev/\\x00a'")):
            self.assertEqual(
                self.faults_of_file(f'[ports.a]\npath = "{path}"'),
                [f"ports.a.path: expected the path of a serial device, as /dev/ttyUSB0, got {shown}"],
            )

    def test_one_device_through_two_links(self) -> None:
        folder = pathlib.Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "tty0").touch()
        (folder / "link").symlink_to("tty0")
        self.assertEqual(
            self.faults_of_file(f'[ports.a]\npath = "{folder}/tty0"\n[ports.b]\npath = "{folder}/link"'),
            [f"ports.b.path: ports.a is {folder}/tty0, the same device as {folder}/link, too; a device belongs to one"
             " port"],
        )

    def test_limits(self) -> None:
        ports = "".join(f'[ports.p{number}]\npath = "/dev/{number}"\n' for number in range(3))
        self.assertEqual(self.from_file(ports).limits, Limits(open_ports=64))
        made = self.from_file(ports + "[limits]\nopen_ports = 3\n", limits=["open_ports=7"])
        self.assertEqual(made.limits, Limits(open_ports=7), "the command line wins")
        for text, fault in (
            ("[limits]\nopen_ports = 2\n", "limits.open_ports: 3 ports are opened at the start, which is more than 2;"
             ' raise it, or give some of them open = "request"'),
            ("[limits]\nopen_ports = 0\n", "limits.open_ports: expected 1 to 10000, got 0"),
            ("[limits]\nopen = 3\n", "limits.open: unknown key; did you mean 'open_ports'?"),
            ("[[limits]]\n", "limits: expected a table, got [{}]"),
        ):
            self.assertEqual(self.faults_of_file(ports + text), [fault])
        self.assertEqual(
            self.faults_of_words("/dev/a", limits=["open_ports=x", "ports"]),
            ["--limit: expected key=value, got 'ports'; a colon in a path is written \\:",
             "--limit.open_ports: expected a whole number, got 'x'"],
        )

    def test_one_endpoint_twice(self) -> None:
        self.assertEqual(
            self.faults_of_file('[ports.a]\npath="/dev/a"\n[[listen]]\nendpoint="tcp:1"\n[[listen]]\nendpoint="tcp:1"'),
            ["listen[1].endpoint: listen[0] listens on tcp:1 too"],
        )

    def test_one_place_in_other_words(self) -> None:
        folder = "/run/lumina"
        for one, two, meet in (
            ("tcp:8888", "tcp:port=8888", True), ("tcp:8888", "tcp:8888:interface=127.0.0.1", True),
            ("tcp:8888:interface=0.0.0.0", "tcp:interface=127.0.0.1:port=08888", True),
            ("tcp:8888:interface=127.0.0.1", "tcp:8888:interface=127.0.0.2", False), ("tcp:0", "tcp:0", False),
            ("tcp:8888", "tcp:8889", False), ("tcp6:8888", r"tcp:8888:interface=\:\:1", True),
            ("tcp6:8888", "tcp:8888:interface=127.0.0.1", True), ("tcp:8888", r"tcp:8888:interface=\:\:1", False),
            (f"unix:{folder}/a", f"unix:address={folder}/./a:mode=600", True),
            (f"unix:{folder}/a", f"unix:{folder}/b", False),
            ("systemd:domain=INET:index=0", "systemd:domain=INET:index=0", False),
        ):
            listen = "".join(f"[[listen]]\nendpoint='{endpoint}'\n" for endpoint in (one, two))
            text = f'[ports.a]\npath="/dev/a"\n{listen}'
            if meet:
                self.assertEqual(self.faults_of_file(text), [f"listen[1].endpoint: listen[0] listens on {one} too"])
            else:
                self.assert_endpoints(self.from_file(text), one, two)

    def test_no_ports(self) -> None:
        (fault,) = self.faults_of_file("")
        self.assertEqual(fault, 'ports: no port is configured; add a table [ports.NAME] with path = "/dev/…"')

    def test_listener_without_an_endpoint(self) -> None:
        self.assertEqual(
            self.faults_of_file('[ports.a]\npath="/dev/a"\n[[listen]]\nendpont="tcp:1"'),
            ["listen[0].endpoint: this key is required", "listen[0].endpont: unknown key; did you mean 'endpoint'?"],
        )

    def test_tables_of_another_kind(self) -> None:
        one_bracket = 'ports.a.path = "x"\n[listen]\nendpoint = "tcp:1"'
        for text, start in (
            ("ports = 3", "ports: expected tables [ports.NAME], got 3"),
            ("ports.a = 3", "ports.a: expected a table, got 3"),
            ('ports.a.path = "x"\nlisten = 3', "listen: expected tables [[listen]], with two brackets"),
            (one_bracket, "listen: expected tables [[listen]], with two brackets"),
            ('ports.a.path = "x"\nlisten = [3]', "listen[0]: expected a table, got 3"),
            ('ports.a.path = "x"\n[[listen]]\nprotocol = 3', "listen[0].protocol: there is no protocol 3"),
        ):
            (fault,) = self.faults_of_file(text)
            self.assertTrue(fault.startswith(start), fault)

    def test_names_that_no_line_can_say(self) -> None:
        for name in ("a:b", "a b", "", "größe"):
            (fault,) = self.faults_of_file(f'[ports."{name}"]\npath = "/dev/a"')
            self.assertEqual(
                fault, f"ports.{name}: a port's name has neither colons nor blanks nor letters beyond ASCII"
            )

    def test_what_is_not_toml(self) -> None:
        path = self.file("[ports.a]\npath = [")
        (fault,) = self.assertRaises(ConfigError, compose, Given(file=path)).faults
        self.assertTrue(fault.startswith(f"{path}: this is not TOML: "), fault)
        self.assertRegex(fault, r"line 2, column|end of document")

    def test_name_given_twice_is_not_toml(self) -> None:
        (fault,) = self.faults_of_file('[ports.a]\npath="x"\n[ports.a]\npath="y"')
        self.assertRegex(fault, r"this is not TOML: .*line 3, column")

    def test_what_is_not_text(self) -> None:
        (fault,) = self.faults_of_file(b"a = '\xff'")
        self.assertTrue(fault.endswith("byte 5 is not UTF-8, as TOML must be"), fault)

    def test_file_that_is_not_there(self) -> None:
        (fault,) = self.assertRaises(ConfigError, compose, Given(file="/nonexistent.toml")).faults
        self.assertEqual(fault, "/nonexistent.toml: cannot be read (No such file or directory)")

    def test_words_add_to_the_file(self) -> None:
        made = self.from_file(
            '[ports.a]\npath="/dev/a"\n[[listen]]\nendpoint="tcp:1"',
            ports=["b=/dev/b"], listeners=["line,port=a=tcp:2"],
        )
        self.assert_ports(made, a="/dev/a", b="/dev/b")
        self.assert_endpoints(made, "tcp:1", "tcp:2")

    def test_words_that_contradict_the_file(self) -> None:
        self.assertEqual(
            self.faults_of_file('[ports.a]\npath="/dev/a"', ports=["a=/dev/b", "b=/dev/a"]),
            [
                "--port a: ports.a is named 'a' too; give one of them another name",
                "--port b.path: ports.a is /dev/a too; a device belongs to one port",
            ],
        )


class Words(ConfigTests):
    """The command line."""

    def test_two_ports_in_one_place(self) -> None:
        for first, second in (
            ("rtu+tcp:h:1", "rtu+tcp:h:1:timeout=1"), ("rtu+tcp-listen:1", "rtu+tcp-listen:1:interface=127.0.0.1"),
        ):
            with self.assertRaises(ConfigError) as raised:
                self.from_words(f"a={first}", f"b={second}")
            self.assertIn("--port a is ", str(raised.exception))
            self.assertIn("a device belongs to one port", str(raised.exception))

    def test_settings_in_a_path(self) -> None:
        """An endpoint string may stand where a path does, in a file too."""
        draft = Draft()
        add_document(draft, {"ports": {"a": {"path": "serial:/dev/a:baudrate=19200:timeout=2", "retries": 0}}})
        self.assertEqual(
            draft.ports["a"],
            PortSettings(path="/dev/a", baudrate=19200, timeout=2.0, retries=0),
        )
        self.assertEqual(draft.faults, [])
        draft = Draft()
        add_document(draft, {"ports": {"a": {"path": "rtu+tcp:h:1:timeout=2:baud=1", "timeout": 1.0}}})
        self.assertEqual(
            draft.faults,
            ["ports.a.timeout: this key is given twice", "ports.a.path.baud: unknown key; did you mean 'baudrate'?"],
        )

    def test_what_a_path_may_say(self) -> None:
        """All that a table may, also what is a table or a list there."""
        path = "rtu+tcp:h:1:units.3.timeout=2:units.3.retries=0"
        made = self.from_file(f'[ports.a]\npath = "{path}"\n[ports.b]\npath = "serial:/dev/b:baudrates=4800,300"')
        self.assertEqual(made.ports["a"].units, {3: UnitSettings(timeout=2.0, retries=0)})
        self.assertEqual(made.ports["b"].baudrates, (4800, 300))
        for path, told in (
            ("serial:/dev/a:baudrate=1200:baudrate=9600", "ports.a.path.baudrate: this key is given twice"),
            ("serial:/dev/a:baudrate=1200:parity",
             "ports.a.path: expected key=value, got 'parity'; a colon in a path is written \\:"),
            ("rtu+tcp:h:1:path=/dev/a", "ports.a.path.path: this key is given twice"),
        ):
            self.assertEqual(self.faults_of_file(f'[ports.a]\npath = "{path}"'), [told])

    def test_a_port_and_a_listener_in_one_place(self) -> None:
        word = "modbus-tcp=tcp:1502:interface=127.0.0.1"
        for place in ("rtu+tcp-listen:1502", "modbus+tcp-listen:1502:interface=127.0.0.1"):
            self.assertEqual(
                self.faults_of_words(f"dtu={place}", listen=(word,)),
                [f"--listen {word!r}.endpoint: --port dtu listens on {place} too"],
            )
        for place in ("rtu+tcp-listen:1503", "rtu+tcp-listen:1502:interface=127.0.0.2", "rtu+tcp:127.0.0.1:1502"):
            self.from_words(f"dtu={place}", listen=(word,))

    def test_routes(self) -> None:
        made = self.from_words(
            "a=/dev/a", "b=/dev/b", listen=["modbus-tcp,routes.1-20=a,routes.101-120=b@1-20,default_unit=1=tcp:1502"]
        )
        self.assertEqual(made.listeners[0].routes, {"1-20": "a", "101-120": "b@1-20"})
        for options, fault in (
            ("routes.1-20=c", ".routes.1-20: there is no port 'c'; those that exist: b"),
            ("routes.1-300=b", ".routes.1-300: units are from 0 to 255, the lower one first, got '1-300' and 'b'"),
            ("routes.one=b", ".routes.one: expected units and a port, as "),
            ("routes.1-4=b@1-3", ".routes.1-4: 4 units cannot be 3 units of the port"),
            ("routes.0-247=b", ".routes.0-247: unit 0 of b is every device on it; begin at 1"),
            ("routes.7=b@0", ".routes.7: unit 0 of b is every device on it"),
            ("routes.1-4=b,routes.4=b", ".routes.4: unit 4 is in '1-4' too; a unit has one route"),
            ("port=b,routes.1=b", ".port: the routes say which ports there are; take one of the two away"),
            ("broadcast=maybe", ".broadcast: expected one of off, on, reply, got 'maybe'"),
            ("default_unit=0", ".default_unit: expected 1 to 255, got 0"),
        ):
            with self.assertRaises(ConfigError) as raised:
                self.from_words("b=/dev/b", listen=[f"modbus-tcp,{options}=tcp:1502"])
            self.assertIn(fault, str(raised.exception))

    def test_where_the_others_listen(self) -> None:
        for word, fault in (
            ("rtu-pty=tty0", ".endpoint: expected the path of the virtual serial port, as /run/lumina/ttyMODBUS0, got"),
            ("rtu-pty,mode=rw=/run/x", ".mode: expected three octal digits, as 660, got 'rw'"),
            ("rtu-pty,group=nobodys=/run/x", ".group: this machine has no group 'nobodys'"),
            ("rtu-serial,bytesize=7=/dev/x", ".bytesize: RTU needs 8"),
            ("rtu-serial=/dev/b", ".endpoint: /dev/b is the device of port b; a master needs a wire of its own"),
        ):
            with self.assertRaises(ConfigError) as raised:
                self.from_words("b=/dev/b", listen=[word])
            self.assertIn(fault, str(raised.exception))

    def test_port_forms(self) -> None:
        for word, name, path in (
            ("/dev/ttyUSB0", "ttyUSB0", "/dev/ttyUSB0"),
            ("boiler=/dev/ttyUSB0", "boiler", "/dev/ttyUSB0"),
            ("boiler=tty0", "boiler", "tty0"),
            (r"/dev/serial/by-path/usb-0\:1.2\:1.0", "usb-0_1.2_1.0", "/dev/serial/by-path/usb-0:1.2:1.0"),
            (r"b=/dev/by-path/usb-0\:1:baudrate=19200", "b", "/dev/by-path/usb-0:1"),
            ("/dev/odd=name/tty0", "tty0", "/dev/odd=name/tty0"),
            ("serial:/dev/ttyUSB0:baudrate=19200", "ttyUSB0", "/dev/ttyUSB0"),
            ("rtu+tcp:10.0.0.5:4001:timeout=1", "10.0.0.5_4001", "rtu+tcp:10.0.0.5:4001"),
            ("plc=rtu+tcp:10.0.0.5:4001", "plc", "rtu+tcp:10.0.0.5:4001"),
            ("plc=modbus+tcp:[fe80::1]:502:retries=0", "plc", "modbus+tcp:[fe80::1]:502"),
            ("dtu=rtu+tcp-listen:4001:interface=10.0.0.1:timeout=2", "dtu", "rtu+tcp-listen:4001:interface=10.0.0.1"),
        ):
            self.assert_ports(self.from_words(word), **{name: path})

    def test_settings(self) -> None:
        made = self.from_words(
            "b=/dev/a:baudrate=19200:parity=E:timeout=0.6:frame_gap=0:exclusive=no:units.17.timeout=2"
        )
        self.assertEqual(
            made.ports["b"],
            structure(
                {
                    "path": "/dev/a", "baudrate": 19200, "parity": "E", "timeout": 0.6, "frame_gap": 0,
                    "exclusive": False, "units": {"17": {"timeout": 2}},
                },
                PortSettings,
            ),
        )

    def test_every_setting_can_stand_there(self) -> None:
        for one in attrs.fields(PortSettings):
            if is_required(one) or one.default is None or one.name == "units":
                continue
            word = str(one.default).lower() if isinstance(one.default, bool) else one.default
            word = ",".join(map(str, word)) if isinstance(word, tuple) else word
            made = self.from_words(f"b=/dev/a:{one.name}={word}").ports["b"]
            self.assertEqual(getattr(made, one.name), one.default, one.name)

    def test_port_faults(self) -> None:
        for word, fault in (
            ("", "--port '': expected [NAME=]PATH[:key=value…], got ''"),
            ("b=", "--port b: expected [NAME=]PATH[:key=value…], got 'b='"),
            ("=/dev/a", "--port '=/dev/a': expected [NAME=]PATH[:key=value…], got '=/dev/a'"),
            ("/dev/", "--port '/dev/': expected [NAME=]PATH[:key=value…], got '/dev/'"),
            ("/dev/a:9600", "--port a: expected key=value, got '9600'; a colon in a path is written \\:"),
            ("/dev/a:=1", "--port a: expected key=value, got '=1'; a colon in a path is written \\:"),
            ("/dev/a:baudrate=9600:baudrate=1", "--port a.baudrate: this key is given twice"),
            ("/dev/a:units=1:units.3.timeout=1", "--port a.units.3.timeout: this key is given twice"),
            ("/dev/a:baudrat=1", "--port a.baudrat: unknown key; did you mean 'baudrate'?"),
            ("/dev/a:path=/dev/b", "--port a.path: this key is given twice"),
            (
                "p=rtu+tcp:h:0",
                "--port p.path: '0' is no TCP port from 1 to 65535; a place looks like rtu+tcp:192.168.1.5:4001",
            ),
            ("p=rtu+tcp:h", "--port p.path: 'rtu+tcp:h' is no place of a bus; one looks like rtu+tcp:192.168.1.5:4001"),
            ("p=modbus+tcp:h:rs485=yes", "--port p.rs485: only a serial device has this, and modbus+tcp:h is none"),
            ("p=modbus-tcp:h:502:timeout=1",
             "--port p.path: 'modbus-tcp:h:502' is no place of a bus; one looks like modbus+tcp:192.168.1.5:502"),
            ("p=rtu+tcp:h:1,timeout=1,retries=0",
             "--port p: settings of a port are parted by colons; write 'rtu+tcp:h:1:timeout=1:retries=0'"),
            ("b=/dev/a,baudrate=1", "--port b: settings of a port are parted by colons; write '/dev/a:baudrate=1'"),
            ("/dev/a:timeout=soon", "--port a.timeout: expected a number, got 'soon'; 'auto' is possible too"),
        ):
            self.assertIn(fault, self.faults_of_words(word), word)

    def test_two_ports_of_one_name(self) -> None:
        self.assertEqual(
            self.faults_of_words("/one/tty0", "/two/tty0"),
            ["--port tty0: --port tty0 is named 'tty0' too; give one of them another name"],
        )

    def test_listen_forms(self) -> None:
        for word, endpoint, options in (
            ("line=tcp:8888", "tcp:8888", {}),
            ("line=tcp:8888:interface=127.0.0.1", "tcp:8888:interface=127.0.0.1", {}),
            ("line,dialect=v1,port=b=tcp:8889:interface=127.0.0.1", "tcp:8889:interface=127.0.0.1",
             {"dialect": "v1", "port": "b"}),
            ("line,port=/dev/a,timeout=2=unix:/run/x", "unix:/run/x", {"port": "/dev/a", "timeout": 2.0}),
        ):
            made = self.from_words("b=/dev/a", listen=(word,))
            (listener,) = made.listeners
            self.assertEqual(listener, listener_class("line")(endpoint=endpoint, **options))

    def test_listen_faults(self) -> None:
        for word, fault in (
            ("line", "expected PROTOCOL[,option=value…]=ENDPOINT"),
            ("line=", "expected PROTOCOL[,option=value…]=ENDPOINT"),
            ("line,dialect=tcp:1", "expected PROTOCOL[,option=value…]=ENDPOINT"),
            ("lines=tcp:1", ".protocol: there is no protocol 'lines'; those that exist: " + KNOWN),
            ("line,dialect=v3=tcp:1", ".dialect: expected one of "),
            ("line,dialekt=v1=tcp:1", ".dialekt: unknown key; did you mean 'dialect'?"),
            ("line,endpoint=tcp\\:2=tcp:1", ".endpoint: this key is given twice"),
            ("line,port=c=tcp:1", ".port: there is no port 'c'; those that exist: b"),
            ("line=tcq:1", ".endpoint: 'tcq:1' is no endpoint (Unknown endpoint type: 'tcq')"),
        ):
            (found,) = self.faults_of_words("b=/dev/a", listen=(word,))
            self.assertIn(fault, found)
            self.assertTrue(found.startswith(f"--listen {word!r}"), found)


class Endpoints(SynchronousTestCase):
    """Nothing is opened to see whether an endpoint string can be right."""

    def test_right_ones(self) -> None:
        for text in (
            "tcp:0", "tcp:8888", "tcp:65535", "tcp:port=8888", "tcp6:8888", "unix:/run/lumina.sock",
            "tcp:8888:interface=127.0.0.1", "systemd:domain=INET:name=lumina", "systemd:domain=INET:index=0",
        ):
            self.assertIsNone(endpoint_fault(text), text)

    def test_wrong_ones(self) -> None:
        for text, sentence in (
            ("", "'' is no endpoint (Unknown endpoint type: '')"),
            ("8888", "'8888' is no endpoint (Unknown endpoint type: '8888')"),
            ("tcp", "'tcp' is no endpoint (missing 1 required positional argument: 'port')"),
            ("tcp:many", "'many' is no TCP port from 0 to 65535 in 'tcp:many'"),
            ("tcp:65536", "'65536' is no TCP port from 0 to 65535 in 'tcp:65536'"),
            ("tcp:-1", "'-1' is no TCP port from 0 to 65535 in 'tcp:-1'"),
            ("tcp:1:host=x", "'tcp:1:host=x' is no endpoint (got an unexpected keyword argument 'host')"),
            ("tcp:" + "1" * 5000, "'11111111111111111111' is no TCP port from 0 to 65535 in 'tcp:1111"),
            ("stdio:", "'stdio:' is the terminal of whoever starts the service, which clients cannot share; "),
            ("unix:", "'unix:' has no path; a Unix socket looks like unix:/run/lumina/lumina.sock"),
            ("unix:/a\0b", "'unix:/a\\x00b' has no path; "),
            ("unix:/" + "x" * 107, f"'/{'x' * 107}' is longer than the 107 bytes that the path of a Unix socket may"),
            ("tcp:1:interface=::1", r"the colons of an IPv6 address are escaped: write 'tcp:1:interface=\:\:1', with"),
            ("tcp6:1:interface=[fe80::1%eth0]:backlog=5", r"the colons of an IPv6 address are escaped: write"
             r" 'tcp6:1:interface=fe80\:\:1%eth0:backlog=5'"),
        ):
            self.assert_fault(text, sentence)

    def test_tls_without_its_package(self) -> None:
        """Twisted itself tells nothing, or a name that is not defined."""
        self.patch(endpoints, "_has_tls", lambda: False)
        for text in ("ssl:8443:privateKey=/x.pem", "tls:/etc/keys:443"):
            self.assert_fault(text, f"{text!r} needs pyOpenSSL, which is not here; `pip install 'twisted[tls]'` brings")

    def test_backlog(self) -> None:
        """For a thousand clients that come at once, unless it is given."""
        for text, backlog in (
            ("tcp:8888", BACKLOG), ("tcp6:8888", BACKLOG), ("unix:/run/x", BACKLOG), ("tcp:8888:backlog=5", 5),
            ("tcp:8888:127.0.0.1:6", 6), ("tcp6:8888:7", 7),
        ):
            reactor = MemoryReactor()
            made = make_endpoint(reactor, text)
            self.successResultOf(made.listen(Factory()))
            ((_, _, found, *_),) = reactor.tcpServers or reactor.unixServers
            self.assertEqual(found, backlog, text)

    def test_place_of_what_nobody_knows(self) -> None:
        for text in ("tcp:0", "systemd:domain=INET:index=0", "haproxy:tcp:80"):
            self.assertIsNone(place_of(text))

    def test_what_an_endpoint_lacks(self) -> None:
        """Told by its parser; which there are, and what they need, differs from one system to another."""
        for error, sentence in (
            (FileNotFoundError(2, "No such file or directory", "/x.pem"), "/x.pem cannot be read (No such file or dir"),
            (ModuleNotFoundError("No module named 'x'"), "'odd:1' needs a package that is not here (No module named"),
            (KeyError("eth7"), "'odd:1' cannot be used ('eth7'); a Twisted server endpoint looks like tcp:8888"),
            (RuntimeError(), "'odd:1' is no endpoint (RuntimeError); a Twisted server endpoint looks like tcp:8888"),
        ):
            self.patch(endpoints, "serverFromString", Mock(side_effect=error))
            self.assert_fault("odd:1", sentence)

    def assert_fault(self, text: str, sentence: str) -> None:
        found = endpoint_fault(text)
        self.assertTrue(found is not None and found.startswith(sentence), (text, found))

    def test_where_a_client_reaches_it(self) -> None:
        for text, address in (
            ("tcp:8888", ("127.0.0.1", 8888)),
            ("tcp:port=8888:interface=0.0.0.0", ("127.0.0.1", 8888)),
            ("tcp:1:interface=192.0.2.1:backlog=5", ("192.0.2.1", 1)), (r"tcp:1:interface=\:\:1", ("::1", 1)),
            ("unix:/run/x", None),
            ("ssl:8443", None),
        ):
            self.assertEqual(tcp_address(text), address)


class Protocols(SynchronousTestCase):
    """The registry."""

    def test_ours(self) -> None:
        ours = ["echo", "line", "modbus-tcp", "rtu-pty", "rtu-serial", "rtu-tcp", "values"]
        self.assertEqual(list(front_ends()), ours)
        self.assertEqual({DEFAULT_PROTOCOL, *OTHERS}, set(front_ends()))

    def test_line(self) -> None:
        options = listener_class("line")(endpoint="tcp:1", dialect="v1")
        made: Any = front_ends()["line"].make(options, CONTEXT)
        self.assertIsInstance(made.factory, LineFactory)
        self.assertEqual(made.factory.options.dialect, "v1")

    def test_no_protocol_has_a_key_that_every_listener_has(self) -> None:
        for name, one in front_ends().items():
            own = {field.name for field in attrs.fields(one.options)}
            self.assertEqual(own & {"protocol", "endpoint"}, set(), name)
            self.assertTrue(verifyObject(IFrontEnd, one))

    def test_of_two_with_one_name_ours_is_taken(self) -> None:
        theirs = EchoFrontEnd()
        theirs.__class__ = type("Theirs", (EchoFrontEnd,), {"__module__": "acme", "name": "line"})
        self.patch(protocols, "getPlugins", lambda interface: [theirs, LineFrontEnd()])
        self.assertIsInstance(front_ends.__wrapped__()["line"], LineFrontEnd)


class Reference(SynchronousTestCase):
    """``etc/lumina.toml`` says what the settings classes say."""

    KEY = re.compile(r"^#?(?=[a-z0-9_]+ = |\[)", re.MULTILINE)

    CLASSES = (
        PortSettings, UnitSettings, *map(listener_class, (DEFAULT_PROTOCOL, *OTHERS)), DeviceSettings, ProfileSettings,
        PointSettings, ValuesSettings, Limits,
    )
    ELSEWHERE: ClassVar = {
        "length": "serial_number", "encoding": "serial_number", "bit": "door", "bits": "alarms", "enum": "mode",
    }
    """Keys of a point that stand at another one, which they suit."""

    def tables(self) -> tuple[dict[str, Any], ...]:
        """What the classes describe, with every comment sign before a key taken away."""
        whole = tomllib.loads(self.KEY.sub("", REFERENCE.read_text()))
        port = whole["ports"]["bus1"]
        unit = port.pop("units")["17"]
        device, profile = whole["devices"]["boiler"], whole["profiles"]["heater"]
        points = profile.pop("points")
        point = {**points["flow_temperature"], **{key: points[name][key] for key, name in self.ELSEWHERE.items()}}
        del device["points"]
        return port, unit, *whole["listen"], device, profile, point, whole["values"], whole["limits"]

    def test_file_is_what_the_classes_tell(self) -> None:
        self.assertEqual(
            REFERENCE.read_text(), reference(), "run `python -m lumina_twisted.config.reference > etc/lumina.toml`"
        )

    def test_every_key_and_its_default(self) -> None:
        for table, cls in zip(self.tables(), self.CLASSES, strict=True):
            fields = {one.name: one for one in attrs.fields(cls) if one.name != "units"}
            self.assertEqual(set(table), set(fields))
            for name, one in fields.items():
                made = one.default.factory() if isinstance(one.default, attrs.Factory) else one.default  # type: ignore[arg-type]
                default = list(made) if isinstance(made, tuple) else made
                if not is_required(one) and default not in (None, {}):
                    self.assertEqual(table[name], default, name)
                    self.assertIs(type(table[name]), type(default), name)

    def test_every_key_is_explained(self) -> None:
        paragraphs = " ".join(re.sub(r"^# ?", "", REFERENCE.read_text(), flags=re.MULTILINE).split())
        for cls in self.CLASSES:
            for one in attrs.fields(cls):
                if one.name != "units":
                    unit = one.metadata["unit"]
                    self.assertIn(one.metadata["doc"] + (f" [{unit}]" if unit else ""), paragraphs)

    def test_it_works_as_it_is(self) -> None:
        made = compose(Given(file=str(REFERENCE)))
        self.assertEqual(made.ports, {"bus1": PortSettings(path="/dev/ttyUSB0")})
        self.assertEqual(made.listeners, (listener_class("line")(endpoint="tcp:8888:interface=127.0.0.1"),))

    def test_it_works_with_every_key_taken_in(self) -> None:
        path = pathlib.Path(self.mktemp())
        path.write_text(self.KEY.sub("", REFERENCE.read_text()))
        self.assertEqual(str(compose(Given(file=str(path)))), "1 port, 7 listeners, 1 device")
