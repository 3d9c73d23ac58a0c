"""How far something is that takes a while, floor 5: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from lumina_twisted.cli.output import Output

EVERY: Final = 10.0
"""Seconds between lines where there is no terminal."""


class Progress:
    """Nobody is told: results are JSON.

    :param total: steps to do.
    """

    def __init__(self, total: int, output: Output) -> None:
        self.total = total
        self.output = output
        self.done = 0

    def step(self, text: str) -> None:
        """One more is done; ``text`` says which."""
        self.done += 1

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """What is printed within does not mix with the progress."""
        yield

    def end(self) -> None:
        """No more is shown."""


class Lines(Progress):
    """A line now and then."""

    def __init__(self, total: int, output: Output, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(total, output)
        self._now = now
        self._told_at = now()

    def step(self, text: str) -> None:
        """See :class:`Progress`."""
        super().step(text)
        if self._now() >= self._told_at + EVERY:
            self._told_at = self._now()
            self.output.note(f"{self.done} of {self.total}: {text}")


class OneLine(Progress):
    """A line that is written over and over, on a terminal."""

    def step(self, text: str) -> None:
        """See :class:`Progress`."""
        super().step(text)
        self._write(f"{self.done} of {self.total}: {text}")

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """See :class:`Progress`."""
        self.end()
        yield

    def end(self) -> None:
        """See :class:`Progress`."""
        self._write("")

    def _write(self, text: str) -> None:
        print(f"\r{text}\x1b[K", end="", file=self.output.err, flush=True)


class Bar(Progress):
    """One of rich's, on a terminal."""

    def __init__(self, total: int, output: Output, bar: Any) -> None:
        super().__init__(total, output)
        self._bar = bar
        self._task = bar.add_task("", total=total)
        bar.start()

    def step(self, text: str) -> None:
        """See :class:`Progress`."""
        super().step(text)
        self._bar.update(self._task, advance=1, description=text)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """See :class:`Progress`."""
        self._bar.stop()
        yield
        self._bar.start()

    def end(self) -> None:
        """See :class:`Progress`."""
        self._bar.stop()


@contextlib.contextmanager
def progress(total: int, output: Output) -> Iterator[Progress]:
    """The progress of ``total`` steps, shown as it suits where the errors go."""
    one = _suitable(total, output)
    try:
        yield one
    finally:
        one.end()


def _suitable(total: int, output: Output) -> Progress:
    if output.as_json:
        return Progress(total, output)
    if not output.err.isatty():
        return Lines(total, output)
    try:
        from rich import console
        from rich import progress as bars
    except ImportError:
        return OneLine(total, output)
    return Bar(total, output, bars.Progress(console=console.Console(file=output.err), transient=True))
