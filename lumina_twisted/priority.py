"""The priorities of requests, as programs and people write them. Floor 0."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

from lumina_twisted.errors import RequestError

Priority = Literal["high", "normal", "low"]
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
"""The most urgent one first."""
DEFAULT: Final[Priority] = "normal"
LANES: Final[dict[Priority | None, int]] = {
    None: PRIORITIES.index(DEFAULT), **{one: lane for lane, one in enumerate(PRIORITIES)}
}
"""What :func:`lane_of` says, for who knows already that there is such a priority."""
MAX_AGE: Final = 3600.0
"""Seconds: the greatest age of a value that a read may accept."""


def lane_of(priority: Any) -> int:
    """The number of the lane in which a request waits: 0, 1 or 2, as :class:`lumina_twisted.bus.queue.Lane` has them.

    :param priority: one of the words; None for ``normal``.
    :raises RequestError: for anything else, with a sentence that names the three.
    """
    if priority is None:
        priority = DEFAULT
    if priority not in PRIORITIES:
        raise RequestError(f"a priority is one of {', '.join(PRIORITIES)}, not {str(priority)[:40]!r}")
    return PRIORITIES.index(priority)
