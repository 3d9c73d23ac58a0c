"""``lumina`` as a process: at a terminal, in a pipe, interrupted, and how long it takes to start."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Sequence

from tests.cli.case import LUMINA, CommandCase
from tests.cli.scripted_server import ScriptedServer
from tests.twistd_process import PATIENCE, environment

MODULES = "import json, sys; from lumina_twisted.cli.main import main; main({words}); print(json.dumps([*sys.modules]))"


class Terminal:
    """A process at a terminal, its session's leader, so that Ctrl-C reaches it.

    :param missing: packages that it does not find.
    """

    def __init__(self, *words: str, missing: Sequence[str] = (), **variables: str) -> None:
        without = "".join(f"import sys; sys.modules[{one!r}] = None\n" for one in missing)
        attach = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        self._end, child = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", attach + without + LUMINA[2], *words], stdin=child, stdout=child, stderr=child,
            env={**environment(), **os.environ, "TERM": "dumb", **variables}, start_new_session=True,
        )
        os.close(child)
        self.seen = ""
        self._at = 0

    def wait_for(self, text: str) -> None:
        """Until it has printed ``text`` since the last time."""
        while text not in self.seen[self._at :]:
            assert self._read(), f"{text!r} did not come: {self.seen!r}"
        self._at = self.seen.index(text, self._at) + len(text)

    def type(self, text: str) -> None:
        """As a person would."""
        os.write(self._end, text.encode())

    def wait(self) -> int:
        """Its exit status, when it has ended and all that it printed was seen."""
        while self._read():
            pass
        os.close(self._end)
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        data = b""
        if select.select([self._end], [], [], PATIENCE)[0]:
            with contextlib.suppress(OSError):  # the terminal ended with it
                data = os.read(self._end, 4096)
        self.seen += data.decode("utf-8", "replace")
        return bool(data)


class AtATerminal(CommandCase):
    """With a person."""

    def test_console_with_an_editor(self) -> None:
        """What was typed is kept for the next time."""
        home = self.mktemp()
        one = Terminal("console", HOME=home)
        one.wait_for("lumina> ")
        one.type("read demo1 2 holding 0\r")
        one.wait_for("\n0 8")
        one.wait_for("lumina> ")
        one.type("bye\r")
        self.assertEqual(one.wait(), 0, one.seen)
        with open(f"{home}/.local/state/lumina/history") as history:
            self.assertIn("+read demo1 2 holding 0\n", history.read())

    def test_console_whose_history_cannot_be_kept(self) -> None:
        one = Terminal("console", XDG_STATE_HOME="/dev/null")
        one.wait_for("lumina> ")
        one.type("bye\r")
        self.assertEqual(one.wait(), 0, one.seen)

    def test_console_without_an_editor(self) -> None:
        one = Terminal("console", missing=["prompt_toolkit"])
        one.wait_for("lumina> ")
        one.type("read demo1 2 holding 0\n")
        one.wait_for("0 8")
        one.wait_for("lumina> ")
        one.type("\x04")
        self.assertEqual(one.wait(), 0, one.seen)

    def test_interrupted_command_leaves_the_console(self) -> None:
        """Ctrl-C ends the scan, not the conversation."""
        one = Terminal("console", missing=["prompt_toolkit", "rich"])
        one.wait_for("lumina> ")
        one.type("scan demo1 --units 1-247\n")
        one.wait_for("unit 2: answers")
        one.type("\x03")
        one.wait_for("interrupted; 2 units found so far")
        one.wait_for("lumina> ")
        one.type("bye\n")
        self.assertEqual(one.wait(), 0, one.seen)

    def test_interrupted(self) -> None:
        """Each ends with 130, and without a traceback."""
        for words, text in (
            (["console"], "lumina> "), (["scan", "demo1"], "unit 2: answers"),
            (["read", "demo1", "2", "holding", "0", "--watch", "0.05"], "0 8"),
        ):
            one = Terminal(*words, missing=["prompt_toolkit"])
            one.wait_for(text)
            one.type("\x03")
            self.assertEqual(one.wait(), 130, one.seen)
            self.assertNotIn("Traceback", one.seen)

    def test_stats_watched(self) -> None:
        """It ends as it is meant to, with 0."""
        one = Terminal("stats", "--watch", "0.1", TERM="xterm")
        one.wait_for("demo2")
        one.type("\x03")
        self.assertEqual(one.wait(), 0, one.seen)
        self.assertNotIn("Traceback", one.seen)

    def test_scan_with_a_bar(self) -> None:
        """The bar goes, the units stay, each on a line of its own."""
        one = Terminal("scan", "demo1", "--units", "1-2", TERM="xterm")
        self.assertEqual(one.wait(), 0, one.seen)
        lines = [line.rpartition("\x1b[2K")[2] for line in one.seen.split("\r\n")]
        self.assertIn("unit 1: answers, Lumina thermometer 1.0", lines)
        self.assertIn("unit 2: answers, Lumina relay board 1.0", lines)

    def test_what_comes_unasked(self) -> None:
        """It is shown when it comes, and so is that the server has left."""
        released = []

        def answer(line: bytes) -> bytes | None:
            released.append(line)
            return b"first\nsecond\n" if line == b"watch" else None

        with ScriptedServer(answer, by_line=True) as server:
            one = Terminal("console", server.place, missing=["prompt_toolkit"])
            one.wait_for("lumina> ")
            one.type("watch\n")
            one.wait_for("second")
            one.type("leave\n")
            one.wait_for("the server has closed the connection")
            self.assertEqual(one.wait(), 1, one.seen)


class InAPipe(CommandCase):
    """With a program."""

    def run_process(self, *words: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [*LUMINA, *words], env={**environment(), **os.environ}, stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False,
        )

    def test_reader_that_has_enough(self) -> None:
        """Whether it is in the midst of values or of a help: no word of it, and the status of a broken pipe."""
        for words in (["read", "demo1", "2", "holding", "0", "--watch", "0.01"], ["read", "--help"]):
            end, start = os.pipe()
            os.close(end)
            done = self.run_process(*words, stdout=start)
            os.close(start)
            self.assertEqual((done.returncode, done.stderr), (128 + signal.SIGPIPE, ""))

    def test_full_disk(self) -> None:
        with open("/dev/full", "w") as full:
            for words in (["ports"], ["--help"]):
                done = self.run_process(*words, stdout=full.fileno())
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, r"^lumina: [^\n]*No space left on device[^\n]*\n$")

    def test_interrupted(self) -> None:
        with subprocess.Popen(
            [*LUMINA, "read", "demo1", "2", "holding", "0", "--watch", "0.05"], env={**environment(), **os.environ},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            self.assertEqual(process.stdout.readline(), "0 8\n")
            process.send_signal(signal.SIGINT)
            self.assertEqual((process.wait(PATIENCE), process.stderr.read()), (130, ""))


class Start(CommandCase):
    """What is imported: on a small machine that takes longer than all else."""

    def modules(self, *words: str) -> set[str]:
        """The packages that a command needs."""
        done = subprocess.run(
            [sys.executable, "-c", MODULES.format(words=list(words))], env={**environment(), **os.environ}, text=True,
            stdout=subprocess.PIPE, timeout=PATIENCE, check=True,
        )
        return {one.partition(".")[0] for one in json.loads(done.stdout.splitlines()[-1])}

    def test_help_needs_next_to_nothing(self) -> None:
        self.assertEqual(self.modules("--help") & {"asyncio", "attr", "cattrs", "twisted", "rich", "shtab"}, set())

    def test_reading_needs_no_twisted(self) -> None:
        found = self.modules("read", "demo1", "2", "holding", "0")
        self.assertEqual(found & {"twisted", "zope", "serial", "rich", "prompt_toolkit", "shtab"}, set())
