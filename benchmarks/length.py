"""How long is measured, and the progress that is told meanwhile."""

from __future__ import annotations

import sys
from typing import Any

from attrs import frozen

Figures = dict[str, Any]
"""What a part measured, as it goes into the results file."""

BAUDRATES = (9600, 19200, 115200)
LOAD = ("--conns", "10", "--count", "10")
"""Ten connections, each of which reads ten registers of its own as soon as it is answered."""


@frozen(kw_only=True)
class Length:
    """How long to measure."""

    seconds: float = 5.0
    """Of each load."""
    rounds: int = 5
    """Of what is measured in turns with a peer, each of half the seconds."""
    starts: int = 10
    """Of the daemon."""


QUICK = Length(seconds=2.0, rounds=2, starts=3)
"""Shows that all works; such figures are worth little."""


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
