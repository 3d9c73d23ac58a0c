"""Why an endpoint cannot be listened on, floor 5, as a sentence that says what to do."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from twisted.internet.error import CannotListenError

from lumina_twisted.errors import LuminaError

_ANOTHER: Final = "give another endpoint, with --listen or in the configuration"
_NO_SUCH_INTERFACE: Final = f"no interface of this machine has that address; {_ANOTHER}"
_REMEDIES: Final = {
    errno.EADDRINUSE: f"another program listens there, perhaps another Lumina; stop it, or {_ANOTHER}",
    errno.EACCES: f"this user may not; TCP ports below 1024 are kept from ordinary users; {_ANOTHER}",
    errno.EADDRNOTAVAIL: _NO_SUCH_INTERFACE,
    errno.ENOENT: f"there is no such folder; make it, or {_ANOTHER}",
}


def why_not_listening(endpoint: str, error: BaseException | None) -> str:
    """The sentence for an error that listening on ``endpoint`` raised."""
    if isinstance(error, LuminaError):
        return str(error)
    if isinstance(error, CannotListenError):
        error = error.socketError
    if isinstance(error, socket.gaierror):  # its numbers are its own, and strerror does not know them
        return f"cannot listen on {endpoint} ({error.strerror}): {_NO_SUCH_INTERFACE}"
    number = getattr(error, "errno", None)
    why = str(error) if number is None else os.strerror(number)
    return f"cannot listen on {endpoint} ({why}): {_REMEDIES.get(number or 0, _ANOTHER)}"
