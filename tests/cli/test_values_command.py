"""``lumina values`` against the real value front-end."""

from __future__ import annotations

import json
import os
from typing import Any

from lumina_twisted.cli.main import main
from lumina_twisted.errors import ConfigError, NotTaken, ResponseTimeout
from lumina_twisted.valueproto.reading import Confirmed, Quality, Reading
from tests.cli.case import run_main
from tests.cli.scripted_server import ScriptedServer
from tests.twistd_process import free_tcp_port
from tests.values_listener import ValuesCase


class ValuesCommandCase(ValuesCase):
    """The command in a thread, for it has a loop of its own."""

    def setUp(self) -> None:
        super().setUp()
        environment = {**os.environ, "LUMINA_VALUES": f"127.0.0.1:{self.tcp_port}", "TZ": "UTC"}
        self.patch(os, "environ", environment)

    def run_command(self, *words: str) -> Any:
        """A Deferred of exit status, standard output and standard error."""
        return self.in_thread(run_main, "values", *words)

    async def said(self, *words: str) -> str:
        """What a command prints that goes well."""
        status, out, err = await self.run_command(*words)
        self.assertEqual((status, err), (0, ""), out)
        return str(out)

    async def told(self, *words: str) -> list[Any]:
        """What it prints as JSON."""
        return [json.loads(line) for line in (await self.run_command(*words, "--json"))[1].splitlines()]


class Words(ValuesCommandCase):
    """What is asked, and how it is told."""

    async def test_list(self) -> None:
        self.assertEqual((await self.said("list")).splitlines(), [
            "boiler.flow  i16  r   °C                Flow temperature",
            "boiler.set   i16  rw  °C  10 to 80      Set point",
            "boiler.mode  u16  rw      off, eco, on",
            "meter.power  f32  r   kW",
        ])
        (power,) = await self.told("list", "meter.*")
        self.assertEqual((power["name"], power["writable"], power["unit_of_measure"]), ("meter.power", False, "kW"))

    async def test_list_of_nothing(self) -> None:
        status, out, err = await self.run_command("list", "pump.*")
        self.assertEqual((status, out), (2, ""))
        self.assertIn("'pump.*'", err)

    async def test_read(self) -> None:
        """In columns, and a status for scripts: 1 where there is no value to rely on."""
        self.values.tell("boiler.set", 8.0)
        self.values.stamp = 0.0
        self.values.tell("boiler.mode", Reading("eco", Quality.STALE, 0.0, "it was not read for 9 s"))
        out = await self.said("read", "boiler.*")
        self.assertEqual([line.split()[:3] for line in out.splitlines()], [
            ["boiler.flow", "54.5", "°C"], ["boiler.set", "8.0", "°C"], ["boiler.mode", "eco", "stale"],
        ])
        self.assertRegex(out, r"boiler.flow  54.5  °C  good   20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\nboiler.set    8.0 ")
        self.assertIn("it was not read for 9 s\n", out)
        status, out, _ = await self.run_command("read", "meter.power")
        self.assertEqual((status, out), (1, "meter.power  -  kW  stale  -  it was not read yet\n"))
        (flow,) = await self.told("read", "boiler.flow")
        self.assertEqual((flow["value"], flow["quality"], flow["why"]), (54.5, "good", ""))

    async def test_a_long_value(self) -> None:
        """It takes no room from the others."""
        self.values.tell("boiler.mode", ("running", "alarm", "door_open", "maintenance"))
        flow, _, mode = (await self.said("read", "boiler.*")).splitlines()
        self.assertRegex(flow, r"^boiler.flow  54.5  °C  good")
        self.assertRegex(mode, r"^boiler.mode  running,alarm,door_open,maintenance      good")

    async def test_read_of_several_kinds_of_ends(self) -> None:
        """What is known is told, then what failed."""
        self.values.then(55.0, ResponseTimeout("unit 1 does not answer"))
        status, out, err = await self.run_command("read", "boiler.flow", "boiler.set", "boiler.flaw", "--fresh")
        self.assertEqual(status, 2)
        self.assertIn("boiler.flow  55.0", out)
        self.assertIn("unit 1 does not answer", err)
        self.assertRegex(err, "there is no value 'boiler.flaw'; did you mean 'boiler.flow'")

    async def test_b1_a_write_that_was_not_read_back(self) -> None:
        """B1."""
        done = Confirmed(Reading(61.0, Quality.GOOD, self.values.stamp), "unit 1 said \x1b[2J nothing")
        self.values.then(done, done)
        said = await self.said("write", "boiler.set", "61")
        self.assertIn("boiler.set 61.0 °C: confirmed, not read back, because ", said)
        self.assertIn("nothing", said)
        self.assertNotIn("\x1b", said)
        told = json.loads(await self.said("write", "boiler.set", "61", "--json"))
        self.assertIn("nothing", told["not_read_back"])

    async def test_write(self) -> None:
        self.assertEqual(await self.said("write", "boiler.set", "-6.5"), "boiler.set -6.5 °C: confirmed\n")
        self.assertEqual(await self.said("write", "boiler.mode", "on"), "boiler.mode on: confirmed\n")
        (told,) = await self.told("write", "boiler.set", "61")
        self.assertEqual((told["name"], told["value"]), ("boiler.set", 61.0))

    async def test_writes_that_fail(self) -> None:
        for words, outcome, status, sentence in (
            (("boiler.flow", "3"), [], 2, "cannot be written"), (("boiler.set", "warm"), [], 2, "'warm' is no value"),
            (("boiler.set", "61"), [NotTaken("it holds 60")], 1, "it holds 60"),
        ):
            self.values.then(*outcome)
            got, out, err = await self.run_command("write", *words)
            self.assertEqual((got, out), (status, ""))
            self.assertIn(sentence, err)

    async def test_history(self) -> None:
        self.values.tell("boiler.flow", 55.0)
        out = await self.said("history", "boiler.flow", "--count", "5")
        self.assertRegex(out, r"^\S+ \S+  54.5  °C  good\n\S+ \S+  55.0  °C  good\n$")
        self.assertEqual([one["value"] for one in await self.told("history", "boiler.flow", "--count", "1")], [55.0])

    async def test_config(self) -> None:
        self.assertEqual(await self.said("config", "boiler"), "poll=1.0\npoints.flow.dead_band=0.5\n")
        out = await self.said("config", "boiler", "poll=0.5", "summary=in the cellar")
        self.assertIn('poll=0.5\n', out)
        self.assertIn('summary="in the cellar"\n', out)
        self.assertEqual((await self.told("config", "boiler"))[0]["config"]["summary"], "in the cellar")
        self.values.then(ConfigError(["boiler.poll: is 0 or more", "boiler.x: is no key"]))
        status, out, err = await self.run_command("config", "boiler", "poll=-1", "x=1")
        self.assertEqual((status, out), (2, ""))
        self.assertEqual(err, "lumina: boiler.poll: is 0 or more\nlumina: boiler.x: is no key\n")

    async def test_watch(self) -> None:
        """Each change, in the columns of what was known; it ends when nobody reads any more."""
        out = _Reader(self)
        status = await self.in_thread(main, ["values", "watch", "boiler.*"], None, out)
        self.assertEqual(status, 141)
        self.assertRegex(out.lines[0], r"^boiler.flow  54.5  °C  good ")
        self.assertRegex(out.lines[2], r"^boiler.mode   eco      good ")
        self.assertRegex(out.lines[3], r"^boiler.set   61.0  °C  good ")

    async def test_watching_what_is_not_there(self) -> None:
        status, out, err = await self.run_command("watch", "boiler.flaw")
        self.assertEqual((status, out), (2, ""))
        self.assertIn("did you mean 'boiler.flow'", err)


class _Reader:
    """Reads what is watched: it changes a value when the last that is known has come, and leaves after the change."""

    def __init__(self, case: ValuesCase) -> None:
        self.lines: list[str] = []
        self._case = case

    def write(self, text: str) -> None:
        if text != "\n":
            self.lines.append(text)
        if len(self.lines) == 3 and text == "\n":
            self._case.tell("boiler.set", 61.0)
        elif len(self.lines) == 4:
            raise BrokenPipeError

    def flush(self) -> None:
        """It is written at once."""

    def fileno(self) -> int:
        """It is no file."""
        raise OSError


class WrongUses(ValuesCommandCase):
    """Each with a sentence that says what to write."""

    def test_sentences(self) -> None:
        for words, sentence in (
            ((), "WORD is missing; write `lumina values WORD NAME`"),
            (("reed", "x"), "there is no 'reed' here; did you mean 'read'?"),
            (("read",), "there is too little behind 'read'; write `lumina values read NAME… [--fresh]`"),
            (("write", "boiler.set"), "write `lumina values write NAME VALUE`"),
            (("write", "boiler.set", "1", "2"), "there is too much behind 'write'; write `lumina values"),
            (("list", "--fresh"), "`lumina values list` has no --fresh; leave it out"),
            (("read", "x", "--count", "3"), "has no --count"), (("history", "x", "--count", "0"), "no count"),
            (("config", "boiler", "poll"), "'poll' is no change; write KEY=VALUE, as poll=2.5"),
            (("config", "boiler", "poll=1", "poll=2"), "'poll' is there twice; write it once"),
            (("config", "boiler", f"points={600 * '['}1{600 * ']'}"), "more than 8 tables in each other"),
            (("read", "a.b", "--server", "a:b:c"), "'a:b:c' is no server; write HOST, HOST:PORT as 127.0.0.1:5000"),
            (("read", "a.b", "--url", "modbus://h"), "h:502 is to speak Modbus TCP"),
            (("read", "a.b", "--url", "http://h"), "expected lumina://HOST[:5000]"),
        ):
            status, out, err = run_main("values", *words)
            self.assertEqual((status, out), (2, ""), words)
            self.assertIn(sentence, err)


class Places(ValuesCommandCase):
    """Where the server is."""

    async def test_said(self) -> None:
        """By an option, before the command too; by a variable; or by that of the other commands."""
        os.environ.pop("LUMINA_VALUES")
        place = f"127.0.0.1:{self.tcp_port}"
        words = ("values", "read", "boiler.flow")
        for said in ((*words, "--server", place), ("--server", place, *words), (*words, "--url", f"lumina://{place}")):
            self.assertIn("54.5", (await self.in_thread(run_main, *said))[1])
        self.patch(_connection(), "VALUES_PORT", self.tcp_port)
        for commands in ("127.0.0.1:8888", "127.0.0.1", "/run/lumina.sock", "lumina://127.0.0.1"):
            os.environ["LUMINA_SERVER"] = commands
            self.assertIn("54.5", (await self.run_command("read", "boiler.flow"))[1])

    async def test_said_wrongly(self) -> None:
        os.environ["LUMINA_VALUES"] = "a b"
        self.assertIn("LUMINA_VALUES: 'a b' is no server", (await self.run_command("list"))[2])
        os.environ.pop("LUMINA_VALUES")
        os.environ["LUMINA_SERVER"] = "modbus://10.0.0.5"
        self.assertIn("10.0.0.5:", (await self.run_command("list"))[2])

    async def test_nobody_there(self) -> None:
        os.environ["LUMINA_VALUES"] = f"127.0.0.1:{free_tcp_port()}"
        status, _, err = await self.run_command("list")
        self.assertEqual(status, 1)
        self.assertIn("does Lumina listen for values there? `lumina run` or the service starts it", err)

    async def test_the_port_of_the_commands(self) -> None:
        """It is told at once, and nothing is written there."""
        with ScriptedServer(lambda line: b":error:invalid no command\n", by_line=True) as server:
            os.environ["LUMINA_VALUES"] = server.place
            status, out, err = await self.run_command("write", "a.b", "1")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("is no listener for values", err)
        self.assertIn("port 5000 is one unless configured otherwise", err)
        self.assertTrue(all(line.endswith(b" format json") for line in server.asked))

    async def test_a_server_that_says_nothing(self) -> None:
        with ScriptedServer(lambda line: b"", by_line=True) as server:
            os.environ["LUMINA_VALUES"] = server.place
            status, _, err = await self.run_command("list", "--timeout", "0.1")
        self.assertEqual(status, 1)
        self.assertIn("it has not said yet what it speaks", err)


def _connection() -> Any:
    from lumina_twisted.cli import connection

    return connection
