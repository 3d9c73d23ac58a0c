"""The words before a command, where the server is, and commands that need none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted import __version__
from lumina_twisted.cli.arguments import ServerAddress, UsageError, server_address
from lumina_twisted.cli.main import COMMANDS
from tests.cli.case import LUMINA, CommandCase, run_main
from tests.cli.scripted_server import ScriptedServer
from tests.twistd_process import PATIENCE, ROOT, environment


class TheServer(CommandCase):
    """Where it is, and what if it is not."""

    def test_places(self) -> None:
        for text, place in (
            ("pi", ("pi", 8888)), ("pi:99", ("pi", 99)), ("[::1]", ("::1", 8888)), ("[::1]:99", ("::1", 99)),
            ("/run/lumina.sock", ("/run/lumina.sock", 0)), ("lumina://pi", ("pi", 8888)),
        ):
            self.assertEqual(server_address(text), (*place, "lumina"))
        self.assertEqual(server_address("modbus://[::1]"), ("::1", 502, "modbus"))
        for address, text in ((("pi", 9), "pi:9"), (("::1", 9), "[::1]:9"), (("/a", 0), "/a")):
            self.assertEqual(str(ServerAddress(*address)), text)
        for text in ("", "::1", "pi:", "pi:0", "pi:65536", "a b", "pi:x"):
            self.assertRaises(UsageError, server_address, text)

    def test_named_before_the_command(self) -> None:
        place = f"127.0.0.1:{self.twistd.tcp_port}"
        os.environ["LUMINA_SERVER"] = "127.0.0.1:1"
        self.assertEqual(self.said("--server", place, "read", "demo1", "2", "holding", "0"), "0 8\n")
        self.assertEqual(json.loads(self.said("--json", f"--server={place}", "stats").splitlines()[0])["clients"], 1)

    def test_wrong_variable(self) -> None:
        os.environ["LUMINA_SERVER"] = "here:there"
        self.assertRegex(self.run_command("ports")[2], r"^lumina: LUMINA_SERVER: 'here:there' is no server; write ")

    def test_silent_server(self) -> None:
        """Nobody waits for ever."""
        with ScriptedServer(lambda line: b"", by_line=True) as silent:
            place = ("--server", silent.place, "--timeout", "0.1")
            for words in (("ports",), ("stats",), ("scan", "demo1")):
                status, out, err = self.run_command(*words, *place)
                self.assertEqual((status, out), (1, ""))
                self.assertRegex(err, r"^lumina: the server did not answer '\w+' within 0.1 s; is it a Lumina ")

    def test_other_server(self) -> None:
        with ScriptedServer(lambda line: b"Echo: " + line + b"\n", by_line=True) as other:
            words = ("--server", other.place, "--timeout", "0.5")
            for command in (("ports",), ("read", "demo1", "1", "input", "0")):
                status, out, err = self.run_command(*command, *words)
                self.assertEqual((status, out, err[:8], err.count("\n")), (1, "", "lumina: ", 1), err)


class Words(CommandCase):
    """Help and versions."""

    def test_help(self) -> None:
        whole = self.said("--help")
        self.assertEqual([one for one in COMMANDS if one not in whole], [])
        self.assertEqual(self.said("help"), whole)
        for name in COMMANDS:
            one = self.said(name, "--help")
            self.assertEqual(self.said("help", name), one)
            self.assertRegex(one, rf"(?s)usage: lumina {name} .*examples:\n.*  lumina {name}")

    def test_help_beside_mistakes(self) -> None:
        """Whoever asks for help has not written all."""
        self.assertIn("usage: lumina write", self.said("write", "demo1", "--help"))

    def test_version(self) -> None:
        self.assertEqual(self.said("--version"), f"Lumina {__version__}\n")
        self.assertEqual(self.told("--version"), [{"version": __version__}])


class Local(SynchronousTestCase):
    """Commands that need no server."""

    def test_check_config(self) -> None:
        folder = self.mktemp()
        os.mkdir(folder)
        with open(f"{folder}/x.toml", "w") as file:
            file.write("[ports.a]\npath = '/dev/null'\nbaudrat = 9600\nparity = 'X'\n")
        status, out, err = run_main("check-config", f"{folder}/x.toml")
        self.assertEqual((status, out, err.count("lumina: ")), (2, "", 2))
        self.assertIn("did you mean 'baudrate'", err)
        status, out, err = run_main("check-config", "--json", f"{folder}/x.toml")
        self.assertEqual((status, err, len(json.loads(out)["faults"])), (2, "", 2))
        status, out, _ = run_main("check-config", "--json", str(ROOT / "etc" / "lumina.toml"))
        self.assertEqual((status, [*json.loads(out)]), (0, ["file", "configuration"]))

    def test_check_a_simulation(self) -> None:
        status, out, err = run_main("simulate", "--check", str(ROOT / "etc" / "simulation.toml"))
        self.assertEqual((status, err), (0, ""))
        self.assertIn("is fine: buses heating", out)

    def test_completion_is_a_script(self) -> None:
        status, script, _ = run_main("completion", "bash")
        self.assertEqual(status, 0)
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=PATIENCE)
        for word in (*COMMANDS, "--word-order", "holding", "latin-1"):
            self.assertIn(word, script)

    def test_completion_without_shtab(self) -> None:
        with mock.patch.dict(sys.modules, {"shtab": None}):
            status, out, err = run_main("completion", "bash")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "lumina: completion needs shtab; `pip install 'lumina_twisted[cli]'` installs it\n")

    def test_run_with_a_wrong_option(self) -> None:
        done = subprocess.run(
            [*LUMINA, "run", "--prot", "/dev/null"], env=environment(), capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"^lumina: option --prot not recognized; .* tells which options there are\n$")

    def test_as_a_module(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "lumina_twisted.cli", "--version"], env=environment(), capture_output=True,
            text=True, timeout=PATIENCE, check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (0, f"Lumina {__version__}\n"))
