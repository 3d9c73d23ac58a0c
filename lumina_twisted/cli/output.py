"""What the command line prints, floor 5: values on standard output, sentences on standard error."""

from __future__ import annotations

import json
import sys
from typing import Any

from attrs import define, field

from lumina_twisted.errors import LuminaError, ModbusException


@define
class Output:
    """Where results and errors go.

    :param as_json: whether each of them is a JSON object on a line.
    """

    as_json: bool = False
    out: Any = field(factory=lambda: sys.stdout)
    err: Any = field(factory=lambda: sys.stderr)

    def result(self, text: str, **data: Any) -> None:
        """One result: a line for people, or the data of it."""
        print(json.dumps(data) if self.as_json else text, file=self.out, flush=True)

    def note(self, text: str) -> None:
        """What is only for people, and no result."""
        if not self.as_json:
            print(text, file=self.err, flush=True)

    def error(self, error: Exception) -> None:
        """Why there is no result."""
        if self.as_json:
            told: dict[str, Any] = {"error": getattr(error, "token", "usage"), "message": str(error)}
            if isinstance(error, ModbusException):
                told["code"] = error.code
            print(json.dumps(told), file=self.out, flush=True)
        else:
            print(f"lumina: {sentence(error)}", file=self.err, flush=True)


def sentence(error: Exception) -> str:
    """An error for a person; all faults of a configuration, a line each."""
    text = str(error) or type(error).__name__
    return text.replace("\n", "\nlumina: ") if isinstance(error, LuminaError) else text
