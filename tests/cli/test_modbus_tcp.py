"""The command line over Modbus TCP: ``--url modbus://…``, without a port's name."""

from __future__ import annotations

import atexit
import functools
import os
import re

from tests.cli.case import CommandCase, run_main
from tests.twistd_process import Twistd, free_tcp_port


@functools.cache
def shared_gateway() -> int:
    """The TCP port of a daemon that listens for Modbus TCP before the demo's devices; it ends with this process."""
    tcp_port = free_tcp_port()
    routes = "routes.1-99=demo1,routes.101-199=demo2@1"
    twistd = Twistd("--demo", "--listen", f"modbus-tcp,{routes}=tcp:{tcp_port}:interface=127.0.0.1")
    atexit.register(twistd.__exit__, None, None, None)
    twistd.__enter__()
    return tcp_port


class ModbusTcpCommands(CommandCase):
    """Against a real gateway."""

    def setUp(self) -> None:
        super().setUp()
        self.url = f"modbus://127.0.0.1:{shared_gateway()}"

    def test_read_and_write(self) -> None:
        self.assertRegex(self.said("read", "--url", self.url, "1", "input", "0"), r"^0 2\d\d\n$")
        self.assertEqual(self.said("write", "2", "holding", "40", "-3", "--url", self.url, "--type", "i16"),
                         "holding 40: confirmed\n")
        self.assertEqual(self.said("read", "2", "holding", "40", "--type", "i16", f"--url={self.url}"), "40 -3\n")
        self.assertEqual(self.said("--url", self.url, "read", "2", "holding", "0"), "0 8\n")

    def test_from_the_environment(self) -> None:
        self.patch(os, "environ", {**os.environ, "LUMINA_SERVER": self.url})
        self.assertEqual(self.said("read", "2", "holding", "0"), "0 8\n")

    def test_send(self) -> None:
        self.assertEqual(self.said("send", "--url", self.url, "02 03 0000 0001"), "0203020008FD82\n")

    def test_scan(self) -> None:
        status, out, _ = run_main("scan", "--url", self.url, "--units", "1-3,102")
        self.assertEqual(status, 0)
        self.assertEqual(re.findall(r"unit (\d+): answers", out), ["1", "2", "3", "102"])

    def test_what_the_gateway_says(self) -> None:
        for words, status, sentence in (
            (("read", "100", "coil", "0"), 1, "unit 100 refused function 1: exception 10 gateway path unavailable"),
            (("read", "2", "holding", "9999"), 1, "exception 2 illegal data address"),
            (("read", "--baudrate", "9600", "2", "holding", "0"), 2, "a request over Modbus TCP has no --baudrate"),
            (("read", "--max-age", "0", "2", "holding", "0"), 2, "a request over Modbus TCP has no --max-age"),
            (("write", "--priority", "low", "2", "coil", "3", "on"), 2, "a request over Modbus TCP has no --priority"),
            (("send", "--priority", "low", "020300000001"), 2, "a request over Modbus TCP has no --priority"),
            (("read", "demo1", "2", "holding", "0"), 2, "Modbus TCP knows no ports; leave 'demo1' out"),
            (("read", "1", "2", "holding", "0"), 2, "Modbus TCP knows no ports; leave '1' out"),
            (("write", "demo1", "2", "coil", "3", "on"), 2, "Modbus TCP knows no ports; leave 'demo1' out"),
            (("send", "demo1", "020300000001"), 2, "Modbus TCP knows no ports; leave 'demo1' out"),
            (("scan", "demo1", "--units", "2"), 2, "Modbus TCP knows no ports; leave 'demo1' out"),
            (("read", "x2", "holding", "0"), 2, "'x2' is no unit"),
            (("read", "256", "holding", "0"), 2, "'256' is no unit"),
            (("console",), 2, "the console talks in lines"),
            (("scan", "--baudrates", "9600"), 2, "over Modbus TCP no speed or parity can be tried"),
            (("stats",), 2, "this asks a Lumina server, and 127.0.0.1:"),
            (("ports",), 2, "write --url lumina://HOST"),
            (("read", "--server", "h", "2", "holding", "0"), 2, "--server and --url both say where"),
        ):
            found = self.run_command(*words, "--url", self.url)
            self.assertEqual(found[0], status, found)
            self.assertIn(sentence, found[2])

    def test_console(self) -> None:
        self.patch(os, "environ", {**os.environ, "LUMINA_SERVER": self.url})
        status, _, err = self.run_command("console")
        self.assertEqual(status, 2)
        self.assertIn("the console talks in lines", err)

    def test_urls(self) -> None:
        server = f"lumina://127.0.0.1:{self.twistd.tcp_port}"
        self.assertEqual(self.said("read", "--url", server, "demo1", "2", "holding", "0"), "0 8\n")
        for url in ("10.0.0.5", "http://h", "modbus://", "modbus:10.0.0.5"):
            status, _, err = self.run_command("read", "--url", url, "2", "holding", "0")
            self.assertEqual(status, 2)
            self.assertIn("expected lumina://HOST[:8888] or modbus://HOST[:502]", err)
        status, _, err = self.run_command("read", "--url", "modbus://127.0.0.1:1", "2", "holding", "0")
        self.assertEqual(status, 1)
        self.assertIn("no connection to 127.0.0.1:1 (Connection refused); is it on, and its port right?", err)


class Slips(CommandCase):
    """What a newcomer types."""

    def test_in_the_console(self) -> None:
        typed = 'raed demo1 2 holding 0\nlumina read demo1 2 holding 0\nread demo1 2 "hold\n'
        status, out, err = run_main("console", typed=typed)
        self.assertEqual((status, out), (2, "0 8\n"))
        self.assertIn("there is no command 'raed' here; did you mean 'read'?", err)
        self.assertIn("there is no table '\"hold'", err)

    def test_a_word_that_is_missing(self) -> None:
        for words in (("1", "input", "0"), ("demo1", "input", "1", "0")):
            status, _, err = self.run_command("read", *words)
            self.assertEqual(status, 2)
            self.assertIn("PORT or UNIT is missing before 'input'; write PORT UNIT TABLE ADDRESS, as demo1 1", err)

    def test_a_port_that_is_nearly_one(self) -> None:
        _, _, err = self.run_command("read", "Demo1", "1", "input", "0")
        self.assertIn("there is no port 'Demo1'; did you mean 'demo1'?", err)

    def test_a_value_that_needs_more_room(self) -> None:
        for value, kind in (("-3", "i16"), ("70000", "u32"), ("-40000", "i32")):
            _, _, err = self.run_command("write", "demo1", "2", "holding", "0", value)
            self.assertIn(f"does not fit into u16, which holds 0 to 65535; {kind} would hold it", err)


class Protocols(CommandCase):
    """``lumina protocols``."""

    def test_all(self) -> None:
        told = self.said("protocols")
        for name in ("line", "values", "modbus-tcp", "rtu-tcp", "rtu-pty", "rtu-serial", "echo"):
            self.assertRegex(told, rf"(?m)^{name}: .*\n  --listen {name}=")
        self.assertIn("  readonly = false\n      answer what is no read by exception 01\n", told)

    def test_one(self) -> None:
        self.assertNotIn("modbus", self.said("protocols", "echo"))
        (told,) = self.told("protocols", "modbus-tcp")
        self.assertEqual(told["protocol"], "modbus-tcp")
        self.assertEqual((told["options"][-1]["name"], told["options"][-1]["default"]), ("timeout", "5.0"))
        status, _, err = self.run_command("protocols", "modbus")
        self.assertEqual(status, 2)
        self.assertIn("there is no protocol 'modbus'; did you mean 'modbus-tcp'?", err)
