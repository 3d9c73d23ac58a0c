"""Every snippet of the documentation runs: transcripts against the demo, command lines and files as options."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.cli.main import main
from lumina_twisted.config.compose import DEMO_LISTENER
from lumina_twisted.config.configuration import Draft
from lumina_twisted.config.simulation import settings_from_data
from lumina_twisted.config.sources import add_document
from lumina_twisted.tap import Options
from tests.twistd_process import Client, Twistd, environment, free_tcp_port

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LUMINA = re.compile(r"(?:echo '.*' \| )?(\.venv/bin/)?lumina (\S+)")
PRINTF = re.compile(r"printf '(.*)' \| nc -q1 127\.0\.0\.1 (8888|5000)")


def snippets(language: str) -> Iterator[tuple[str, str]]:
    """Page and text of each fenced block of a language."""
    for page in PAGES:
        for found, text in FENCE.findall(page.read_text()):
            if found == language:
                yield page.name, text


def commands() -> Iterator[tuple[str, str, list[str]]]:
    """Page, command and the lines shown below it."""
    for page, text in snippets("console"):
        for part in text.split("$ ")[1:]:
            command, *shown = part.splitlines()
            yield page, command, shown


class DocumentationTests(SynchronousTestCase):
    """What the documentation shows."""

    def test_only_known_languages(self) -> None:
        """No snippet escapes these tests by its language."""
        languages = {found for page in PAGES for found, _ in FENCE.findall(page.read_text())}
        self.assertEqual(languages - {"console", "toml", "python"}, set())

    def test_transcripts(self) -> None:
        """Each command sent to a real demo gets the lines shown; `…` stands for what moves."""
        shown = [(page, match, lines) for page, command, lines in commands() if (match := PRINTF.fullmatch(command))]
        self.assertGreater(len(shown), 20)
        with Twistd("--demo", *self.values()) as twistd:
            self.wait_for_values()
            for page, match, lines in shown:
                typed = match[1]
                client = twistd.connect() if match[2] == "8888" else Client(self.values_port)
                client.write(*typed.encode().decode("unicode_escape").encode().splitlines())
                for line in lines:
                    answer = client.read().decode().rstrip("\n")
                    pattern = ".*".join(map(re.escape, line.split("…")))
                    self.assertRegex(answer, f"^{pattern}$", f"{page}: {typed}")
                client.close()

    def test_commands_of_lumina(self) -> None:
        """Each prints the lines shown, errors included; `…` stands for what moves, a line of its own for any number."""
        shown = [one for one in commands() if (match := LUMINA.match(one[1])) and match[2] not in ("run", "simulate")]
        self.assertGreater(len(shown), 15)
        with Twistd("--demo", *self.values(), *self.modbus_tcp()) as twistd:
            self.wait_for_values()
            self.patch(os, "environ", {
                **os.environ, "LUMINA_SERVER": f"127.0.0.1:{twistd.tcp_port}",
                "LUMINA_VALUES": f"127.0.0.1:{self.values_port}",
            })
            self.addCleanup(os.chdir, os.getcwd())
            os.chdir(ROOT)
            for page, command, lines in shown:
                typed, _, words = command.replace(":1502", f":{self.modbus_port}").rpartition("| ")
                typed = shlex.split(typed)[1] + "\n" if typed else ""
                printed = io.StringIO()
                main(shlex.split(words)[1:], io.StringIO(typed), printed, printed)
                parts = ("\n" + ".*".join(map(re.escape, line.split("…"))) for line in lines)
                pattern = "".join(r"(\n.*)*?" if part == "\n.*" else part for part in parts)
                pattern = pattern.replace(r".*\ ms", r".*\ m?s")  # a slow machine waits for seconds
                said = re.sub(r"\n\d units found$", "", printed.getvalue().rstrip("\n"))
                self.assertRegex("\n" + said, rf"\A{pattern}\Z", f"{page}: {command}")

    def values(self) -> tuple[str, ...]:
        """A listener of values, at a port that is free."""
        self.values_port = free_tcp_port()
        return "--listen", f"values=tcp:{self.values_port}:interface=127.0.0.1"

    def wait_for_values(self) -> None:
        """Until the greenhouse and the relays have been read."""
        client = Client(self.values_port)
        answer = b"stale"
        while b"stale" in answer:
            client.write(b"format json", b"read greenhouse.temperature greenhouse.humidity relays.relay_1")
            client.read()
            answer = client.read()
            time.sleep(0.05)
        client.close()

    def modbus_tcp(self) -> tuple[str, ...]:
        """The demo's listener of Modbus TCP, at a port that is free."""
        self.modbus_port = free_tcp_port()
        return "--listen", DEMO_LISTENER.replace(":1502:", f":{self.modbus_port}:")

    def test_example_of_a_protocol(self) -> None:
        """The page shows what the distribution has; its tests are run with that."""
        example = (ROOT / "docs" / "examples" / "lumina_values" / "lumina_values" / "__init__.py").read_text()
        self.assertIn(f"```python\n{example}```", (ROOT / "docs" / "adding-a-protocol.md").read_text())
        self.assertLess(len(example.splitlines()), 60)

    def test_programs(self) -> None:
        """Each Python snippet runs, against the demo; one with tests is run by trial."""
        with Twistd("--demo", *self.values(), *self.modbus_tcp()) as twistd:
            self.wait_for_values()
            ports = f"port={twistd.tcp_port}, values_port={self.values_port}"
            for page, text in snippets("python"):
                folder = pathlib.Path(self.mktemp())
                folder.mkdir()
                (folder / "test_snippet.py").write_text(
                    text.replace("LuminaModbusClient()", f"LuminaModbusClient({ports})")
                    .replace("LuminaValuesClient()", f"LuminaValuesClient(port={self.values_port})")
                    .replace(":1502", f":{self.modbus_port}")
                )
                run = ["-m", "twisted.trial", "test_snippet"] if "TestCase" in text else ["test_snippet.py"]
                done = subprocess.run(
                    [sys.executable, *run], env=environment(), cwd=folder, text=True, capture_output=True, timeout=60,
                    check=False,
                )
                self.assertEqual(done.returncode, 0, f"{page}: {done.stdout}{done.stderr}")
                self.assertTrue("TestCase" not in text or "successes=" in done.stdout, done.stdout)

    def test_command_lines(self) -> None:
        """Each is accepted as it is shown."""
        shown = [(page, command) for page, command, _ in commands() if "twistd" in command or " run " in command]
        self.assertGreater(len(shown), 4)
        for page, command in shown:
            words = shlex.split(command)
            words = words[words.index("run" if "run" in words else "lumina") + 1 :]
            words = [str(ROOT / word) if word.startswith("etc/") else word for word in words]
            with contextlib.redirect_stdout(io.StringIO()) as said:
                stopped = self.assertRaises(SystemExit, Options().parseOptions, [*words, "--check"])
            self.assertEqual(stopped.code, 0, f"{page}: {command}")
            self.assertIn("is fine", said.getvalue())

    def test_files(self) -> None:
        """Each TOML snippet is a configuration, or a simulation, without a fault."""
        for page, text in snippets("toml"):
            if page == "simulator.md":
                self.assertTrue(settings_from_data(tomllib.loads(text)).buses)
                continue
            draft = Draft()
            add_document(draft, tomllib.loads(text))
            draft.finish()
            self.assertTrue(draft.ports, page)

    def test_make_targets(self) -> None:
        """Each exists."""
        makefile = (ROOT / "Makefile").read_text()
        for page, command, _ in commands():
            if command.startswith("make "):
                self.assertIn(f"\n{command.split()[1]}:", makefile, page)

    def test_every_command_is_one_of_these(self) -> None:
        """Nothing is shown that nobody runs."""
        for page, command, _ in commands():
            self.assertRegex(command, r"^(printf|make|((echo '.*' \| )?(\.venv/bin/)?(twistd|lumina))) ", page)

    def test_links(self) -> None:
        """Pages that are linked exist."""
        for page in PAGES:
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
                self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")
