"""A load that goes on while something else is measured."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.length import Figures
from benchmarks.rig import BIN, build, parsed


class Background:
    """A running mbload, which ends by itself after its seconds."""

    def __init__(self, seconds: float, *options: str) -> None:
        build()
        self._seconds = seconds
        self._process = subprocess.Popen(
            [str(BIN / "mbload"), *options, "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True
        )

    def figures(self) -> Figures:
        """Waits for its end: what it counted, and ``seconds``.

        :raises CannotMeasure: it ended without.
        """
        try:
            text = self._process.communicate(timeout=self._seconds + 10)[0]
        except subprocess.TimeoutExpired:
            text = ""
        return {**parsed(text, "mbload in the background"), "seconds": self._seconds}

    def stop(self) -> None:
        """Ends it, whatever it does."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def background(seconds: float, *options: str) -> Iterator[Background]:
    """Such a load, which is ended on leaving."""
    load = Background(seconds, *options)
    try:
        yield load
    finally:
        load.stop()
