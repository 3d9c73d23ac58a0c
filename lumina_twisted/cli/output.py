"""What the command line prints, floor 5: values on standard output, sentences on standard error."""

from __future__ import annotations

import errno
import io
import json
import sys
from collections.abc import Sequence
from typing import Any

from lumina_twisted.errors import ConfigError, LuminaError, ModbusException
from lumina_twisted.text import shown_lines


class WriteFailed(Exception):
    """A result could not be written, to a full disk for example."""


class _Closed(io.StringIO):
    """Stands for a standard output that whoever started us has closed."""

    def write(self, text: str) -> int:
        """See :class:`io.TextIOBase`."""
        raise OSError(errno.EBADF, "standard output is closed")


def wants_json(words: Sequence[str]) -> bool:
    """Whether ``--json`` is among the options; behind ``--`` it is a text."""
    return "--json" in words[: words.index("--") if "--" in words else len(words)]


class Output:
    """Where results and errors go, and where lines are typed.

    :param as_json: whether each of them is a JSON object on a line.
    :param out: and the two after it: streams; the process's own if none are given.
    """

    def __init__(self, as_json: bool = False, out: Any = None, err: Any = None, source: Any = None) -> None:
        self.as_json = as_json
        self.out = out or sys.stdout or _Closed()
        self.err = err or sys.stderr or io.StringIO()  # nobody reads it
        self.source = source or sys.stdin or io.StringIO()

    def result(self, text: str, **data: Any) -> None:
        """One result: a line for people, or the data of it.

        :raises WriteFailed: if it cannot be written.
        :raises BrokenPipeError: if nobody reads any more.
        """
        self.line(json.dumps(data) if self.as_json else text)

    def line(self, text: str, before: str = "") -> None:
        """A line on standard output, or several; it fails as :meth:`result` does.

        :param before: what the terminal is to obey before it.
        """
        try:
            print(before + shown_lines(text), file=self.out, flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise WriteFailed(f"the result cannot be written ({error.strerror or error})") from None

    def note(self, text: str) -> None:
        """What is only for people, and no result."""
        if not self.as_json:
            print(shown_lines(text), file=self.err, flush=True)

    def error(self, error: Exception) -> None:
        """Why there is no result; it fails as :meth:`result` does if that is JSON."""
        if not self.as_json:
            self.complain(error)
            return
        told: dict[str, Any] = {"error": getattr(error, "token", "usage"), "message": str(error)}
        if isinstance(error, ModbusException):
            told["code"] = error.code
        if isinstance(error, ConfigError):
            told["faults"] = error.faults
        self.line(json.dumps(told))

    def complain(self, error: Exception) -> None:
        """The same for a person, also where results cannot be written."""
        print(f"lumina: {sentence(error)}", file=self.err, flush=True)


def sentence(error: Exception) -> str:
    """An error for a person; all faults of a configuration, a line each."""
    text = shown_lines(str(error) or type(error).__name__)
    return text.replace("\n", "\nlumina: ") if isinstance(error, LuminaError) else text
