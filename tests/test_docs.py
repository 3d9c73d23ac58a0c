"""Every snippet of the documentation runs: transcripts against the demo, command lines and files as options."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
import shlex
import tomllib
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.config.configuration import Draft
from lumina_twisted.config.toml_file import add_document
from lumina_twisted.tap import Options
from tests.twistd_process import Twistd

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRINTF = re.compile(r"printf '(.*)' \| nc -q1 127\.0\.0\.1 8888")


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
        self.assertEqual(languages - {"console", "toml"}, set())

    def test_transcripts(self) -> None:
        """Each command sent to a real demo gets the lines shown; `…` stands for what moves."""
        shown = [(page, match[1], lines) for page, command, lines in commands() if (match := PRINTF.fullmatch(command))]
        self.assertGreater(len(shown), 10)
        with Twistd("--demo") as twistd:
            for page, typed, lines in shown:
                client = twistd.connect()
                client.write(*typed.encode().decode("unicode_escape").encode().splitlines())
                for line in lines:
                    answer = client.read().decode().rstrip("\n")
                    pattern = ".*".join(map(re.escape, line.split("…")))
                    self.assertRegex(answer, f"^{pattern}$", f"{page}: {typed}")
                client.close()

    def test_command_lines(self) -> None:
        """Each is accepted as it is shown."""
        shown = [(page, command) for page, command, _ in commands() if "twistd" in command]
        self.assertGreater(len(shown), 4)
        for page, command in shown:
            words = shlex.split(command)
            words = words[words.index("lumina") + 1 :]
            words = [str(ROOT / word) if word.startswith("etc/") else word for word in words]
            with contextlib.redirect_stdout(io.StringIO()) as said:
                stopped = self.assertRaises(SystemExit, Options().parseOptions, [*words, "--check"])
            self.assertEqual(stopped.code, 0, f"{page}: {command}")
            self.assertIn("is fine", said.getvalue())

    def test_files(self) -> None:
        """Each TOML snippet is a configuration without a fault."""
        for page, text in snippets("toml"):
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
            self.assertRegex(command, r"^(printf|make|(\.venv/bin/)?twistd) ", page)

    def test_links(self) -> None:
        """Pages that are linked exist."""
        for page in PAGES:
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
                self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")
