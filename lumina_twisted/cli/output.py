"""The output of the command line, floor 5: results on standard output, messages and progress on standard error."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from lumina_twisted.errors import ConfigError, LuminaError, ModbusException
from lumina_twisted.text import shown_lines


class WriteFailed(Exception):
    """A result could not be written, to a full disk for example."""


class _Closed(io.StringIO):
    """Stands for a closed standard output."""

    def write(self, text: str) -> int:
        """See :class:`io.TextIOBase`."""
        raise OSError(errno.EBADF, "standard output is closed")


def wants_json(args: Sequence[str]) -> bool:
    """Whether ``--json`` is among the options; after ``--`` it is a value."""
    return "--json" in args[: args.index("--") if "--" in args else len(args)]


class Output:
    """The streams for results and errors, and the source of typed lines.

    :param as_json: whether each result or error is a JSON object on a line.
    :param out: a stream; None: that of the process. Likewise ``err`` and ``source``.
    """

    def __init__(self, as_json: bool = False, out: Any = None, err: Any = None, source: Any = None) -> None:
        self.as_json = as_json
        self.out = out or sys.stdout or _Closed()
        self.err = err or sys.stderr or io.StringIO()
        self.source = source or sys.stdin or io.StringIO()

    def result(self, text: str, **data: Any) -> None:
        """Prints one result: a line for people, or its data.

        :raises WriteFailed: if it cannot be written.
        :raises BrokenPipeError: if the reader closed the pipe.
        """
        self.line(json.dumps(data) if self.as_json else text)

    def line(self, text: str, before: str = "") -> None:
        """Prints lines on standard output; fails as :meth:`result` does.

        :param before: a control sequence for the terminal.
        """
        try:
            print(before + shown_lines(text), file=self.out, flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise WriteFailed(f"the result cannot be written ({error.strerror or error})") from None

    def note(self, text: str) -> None:
        """Prints a message that is only for people and is no result."""
        if not self.as_json:
            print(shown_lines(text), file=self.err, flush=True)

    def error(self, error: Exception) -> None:
        """Prints why there is no result. As JSON, printing fails as :meth:`result` does."""
        if not self.as_json:
            self.complain(error)
            return
        data: dict[str, Any] = {"error": getattr(error, "token", "usage"), "message": str(error)}
        if isinstance(error, ModbusException):
            data["code"] = error.code
        if isinstance(error, ConfigError):
            data["faults"] = error.faults
        self.line(json.dumps(data))

    def complain(self, error: Exception) -> None:
        """Prints an error for a person, with a line for each fault of a configuration."""
        text = shown_lines(str(error) or type(error).__name__)
        if isinstance(error, LuminaError):
            text = text.replace("\n", "\nlumina: ")
        print(f"lumina: {text}", file=self.err, flush=True)


EVERY: Final = 10.0
"""Seconds between progress lines without a terminal."""


class Progress:
    """The progress of a slow command. This class shows nothing; it serves for JSON results.

    :param total: the number of steps.
    """

    def __init__(self, total: int, output: Output) -> None:
        self.total = total
        self.output = output
        self.done = 0

    def step(self, text: str) -> None:
        """Counts one more step, which ``text`` describes."""
        self.done += 1
        self.show(text, f"{self.done} of {self.total}: {text}")

    def show(self, text: str, line: str) -> None:
        """Shows a step.

        :param line: ``text`` with its number.
        """

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Keeps text that is printed in this context apart from the progress."""
        yield

    def end(self) -> None:
        """Ends the display."""


class Lines(Progress):
    """Progress as a new line, at most every :data:`EVERY` seconds."""

    def __init__(self, total: int, output: Output, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(total, output)
        self._now = now
        self._shown_at = now()

    def show(self, text: str, line: str) -> None:
        """See :class:`Progress`."""
        if self._now() >= self._shown_at + EVERY:
            self._shown_at = self._now()
            self.output.note(line)


class OneLine(Progress):
    """Progress as one line on a terminal, overwritten at each step."""

    def show(self, text: str, line: str) -> None:
        """See :class:`Progress`."""
        print(f"\r{line}\x1b[K", end="", file=self.output.err, flush=True)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """See :class:`Progress`."""
        self.end()
        yield

    def end(self) -> None:
        """See :class:`Progress`."""
        self.show("", "")


class Bar(Progress):
    """A progress bar of rich on a terminal."""

    def __init__(self, total: int, output: Output, bar: Any) -> None:
        super().__init__(total, output)
        self._bar = bar
        self._task = bar.add_task("", total=total)
        bar.start()

    def show(self, text: str, line: str) -> None:
        """See :class:`Progress`."""
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
    """The progress of ``total`` steps, in a form that suits the stream for errors."""
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
