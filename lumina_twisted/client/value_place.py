"""Where a Lumina server listens for values, and how long it is waited for, floor 3."""

from __future__ import annotations

from typing import Final

from lumina_twisted.client.command import DEFAULT_TIMEOUT as COMMANDS_TIMEOUT
from lumina_twisted.client.url import check_place
from lumina_twisted.errors import RequestError

PORT: Final = 5000
"""Where a listener for values is, unless configured otherwise."""
DEFAULT_TIMEOUT: Final = 6.0
"""Seconds that a caller waits who does not say: one more than a listener waits for a device unless configured
otherwise, so that it is the listener that says what went wrong."""


def values_place(host: str, port: int | str) -> tuple[str, int]:
    """Where a Lumina server listens for values.

    :param host: where it takes commands; for the path of a Unix socket, that is this machine.
    :param port: a TCP port there, or the path of a Unix socket.
    :raises RequestError: if that cannot be.
    """
    if isinstance(port, str):
        place = port, PORT
        if not port.startswith("/"):
            raise RequestError(f"values_port is a TCP port or the path of a Unix socket, not {port!r}")
    else:
        place = "127.0.0.1" if host.startswith("/") else host, port
    check_place(*place)
    return place


def values_timeout(timeout: float) -> float:
    """Seconds that a request for values may take, for a client whose commands may take ``timeout``."""
    return DEFAULT_TIMEOUT if timeout == COMMANDS_TIMEOUT else timeout
