"""What the tests of the command line share."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.cli.main import main
from tests.demo import shared_demo

LUMINA = [sys.executable, "-c", "import sys; from lumina_twisted.cli.main import main; sys.exit(main())"]


class CommandCase(SynchronousTestCase):
    """``lumina`` in this process, and one daemon with the demo's devices."""

    def setUp(self) -> None:
        self.twistd = shared_demo()
        self.patch(os, "environ", {**os.environ, "LUMINA_SERVER": f"127.0.0.1:{self.twistd.tcp_port}"})

    def run_command(self, *words: str, typed: str = "") -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        return run_main(*words, typed=typed)

    def said(self, *words: str) -> str:
        """What a command prints that goes well."""
        status, out, err = self.run_command(*words)
        self.assertEqual((status, err), (0, ""), out)
        return out

    def told(self, *words: str) -> list[Any]:
        """What it prints as JSON."""
        return [json.loads(line) for line in self.run_command(*words, "--json")[1].splitlines()]


def run_main(*words: str, typed: str = "") -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command in this process.

    :param typed: its standard input.
    """
    out, err = io.StringIO(), io.StringIO()
    status = main(words, io.StringIO(typed), out, err)
    return status, out.getvalue(), err.getvalue()
